/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* element-helpers.h - what the tests of the elements have in common: a harness, frames, messages and metadata. */
#pragma once

#include <gst/check/gstharness.h>
#include <gst/gst.h>
#include <gst/video/video.h>

#define RGB_CAPS "video/x-raw,format=RGB,width=64,height=48,framerate=25/1"

/* gst_init() and g_test_init(), with a registry in the build folder instead of the user's ($GST_REGISTRY overrules),
 * and with GStreamer's leaks tracer. */
void init_element_tests (int *argc, char ***argv);
/* g_test_run(), which fails when an object of GStreamer's is left over in the end. */
int run_element_tests (void);
/* What is left over between these is another project's doing, and forgiven. */
void begin_foreign_leaks (void);
void end_foreign_leaks (void);

/* A harness around the one element of @launch ("deimdetect in-flight=2"), with a bus; free with teardown_harness().
 * The source is none that is live, or one with @latency. */
GstHarness *setup_harness (const gchar *launch, const gchar *caps);
GstHarness *setup_live_harness (const gchar *launch, const gchar *caps, GstClockTime latency);
void teardown_harness (GstHarness *harness);

/* Frame @number of the stream @caps, 25 a second; its bytes are all @number. */
GstBuffer *make_frame (const gchar *caps, guint number);
/* Pushes frames first .. first+count-1 of the harness' stream. */
void push_frames (GstHarness *harness, const gchar *caps, guint first, guint count);
/* Takes the next buffer out; fails when it is not frame @number. The caller unrefs it. */
GstBuffer *pull_frame (GstHarness *harness, guint number);

/* The next message of @type on the bus, taken from it; NULL when there is none. */
GstMessage *pop_message (GstHarness *harness, GstMessageType type);
/* Exactly one error is on the bus, and it is this one; its text holds @words. */
void assert_one_error (GstHarness *harness, GQuark domain, gint code, const gchar *words);

/* The number of regions of interest. */
guint count_regions (GstBuffer *buffer);
/* The region called @label, which must exist. */
GstVideoRegionOfInterestMeta *get_region (GstBuffer *buffer, const gchar *label);
/* The DeimFrameMeta; NULL when there is none. */
GstStructure *get_frame_mark (GstBuffer *buffer);
gboolean was_inferred (GstBuffer *buffer);
guint64 get_stat (GstElement *element, const gchar *field);
