/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * mqtt-helpers.h - what the tests of deimmqtt have in common: a harness around it, frames with something to tell of,
 * and messages that come from another thread.
 */
#pragma once

#include "element-helpers.h"
#include "mqtt-broker.h"

#define OPEN_TO_ALL "allow_anonymous true"

/* A deimmqtt for the broker at @port of this machine; free with teardown_harness(). */
GstHarness *setup_mqtt (guint16 port, const gchar *properties);

/* Pushes frame @number with one object in it, or @count of those. */
GstFlowReturn push_object (GstHarness *harness, guint number);
void push_objects (GstHarness *harness, guint first, guint count);

/* The number of the frame that document @index of @reader is about. */
guint get_frame_of (TestReader *reader, guint index);

/* The next message of @type, which must come; its text must hold @words. */
void wait_for_message (GstHarness *harness, GstMessageType type, gint code, const gchar *words);
/* There is no message of @types. */
void assert_silence (GstHarness *harness, GstMessageType types);

/* Certificates in a new folder: ca.pem vouches for the broker at 127.0.0.1, other.pem does not. @ret_settings: what is
 * to stand in its configuration. NULL where there is no openssl; then the test is marked as skipped. */
gchar *make_certificates (gchar **ret_settings);
void remove_certificates (const gchar *folder);
