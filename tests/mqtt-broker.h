/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * mqtt-broker.h - a real MQTT broker (mosquitto) on a port of the loopback, and someone who reads there.
 */
#pragma once

#include <gio/gio.h>
#include <gst/gst.h>

/* A port on which nobody listens. */
guint16 find_free_port (void);

typedef struct {
  gchar *address;
  guint16 port;
  gchar *folder, *config; /* its configuration and what it keeps */
  GSubprocess *process;   /* NULL: it does not run */
} TestBroker;

/* Whether mosquitto is installed; else the test is marked as skipped. */
gboolean have_mosquitto (void);

/* @address: where it listens, "127.0.0.1"; @settings: lines of mosquitto.conf for that, "allow_anonymous true". Does
 * not start it. */
TestBroker *test_broker_new (const gchar *address, const gchar *settings);
/* Returns when it can be connected to. */
void test_broker_start (TestBroker *broker);
/* As its service is stopped: it saves what it has and ends. */
void test_broker_stop (TestBroker *broker);
void test_broker_free (TestBroker *broker);

typedef struct _TestReader TestReader;

/* Subscribes to @topic and waits until that is confirmed; comes back by itself when the broker does. The broker keeps
 * what it has for the reader meanwhile. */
TestReader *test_reader_new (TestBroker *broker, const gchar *topic);
/* Disconnects; connects and subscribes once more. */
void test_reader_leave (TestReader *reader);
void test_reader_come_back (TestReader *reader, const TestBroker *broker);
void test_reader_free (TestReader *reader);

/* Waits for @count documents, and fails when they do not come. */
void test_reader_wait (TestReader *reader, guint count);
guint test_reader_count (TestReader *reader);
/* Document @index in order of arrival; belongs to the reader. @ret_topic: (optional). */
const gchar *test_reader_get (TestReader *reader, guint index, const gchar **ret_topic);
