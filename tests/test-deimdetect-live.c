/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-deimdetect-live.c - the element in time: latency, lateness, a source that is quicker than the device.
 * Runs on fake-deim.c, so that an inference lasts as long as the test wants.
 */
#include <glib/gstdio.h>

#include "element-helpers.h"
#include "fake-deim.h"

GST_PLUGIN_STATIC_DECLARE (deim);

static gchar *model; /* a fake one of 5 classes */

static GstHarness *
setup (const gchar *properties)
{
  fake_deim_reset ();
  g_autofree gchar *launch = g_strdup_printf ("deimdetect model=%s %s", model, properties);
  return setup_harness (launch, RGB_CAPS);
}

static void
teardown (GstHarness *harness)
{
  teardown_harness (harness);
  g_assert_cmpuint (fake_deim_get_counts ().live, ==, 0);
}

static GstClockTime
query_latency (GstHarness *harness, gboolean *live, GstClockTime *max)
{
  g_autoptr (GstQuery) query = gst_query_new_latency ();
  GstClockTime min;
  g_assert_true (gst_pad_peer_query (harness->sinkpad, query));
  gst_query_parse_latency (query, live, &min, max);
  return min;
}

static void
test_latency (void)
{
  GstHarness *harness = setup ("in-flight=3");
  gboolean live;
  GstClockTime max;
  gst_harness_set_upstream_latency (harness, 7 * GST_MSECOND);
  g_assert_cmpuint (query_latency (harness, &live, &max), ==, 127 * GST_MSECOND); /* 7 + 3 x 40 */
  g_assert_true (live);
  GstMessage *message;
  while ((message = pop_message (harness, GST_MESSAGE_LATENCY)))
    gst_message_unref (message);

  /* Other caps, other latency, and the application is told to ask again. */
  gst_harness_set_src_caps_str (harness, "video/x-raw,format=RGB,width=64,height=48,framerate=100/1");
  message = pop_message (harness, GST_MESSAGE_LATENCY);
  g_assert_nonnull (message);
  gst_message_unref (message);
  g_assert_cmpuint (query_latency (harness, &live, &max), ==, 37 * GST_MSECOND);
  g_assert_cmpuint (get_stat (harness->element, "latency"), ==, 30 * GST_MSECOND);
  teardown (harness);
}

static void
test_latency_of_slow_device (void)
{
  static const gchar quick_caps[] = "video/x-raw,format=RGB,width=64,height=48,framerate=100/1";
  GstHarness *harness = setup ("in-flight=1 qos=false");
  gboolean live;
  GstClockTime max;
  gst_harness_set_upstream_latency (harness, 0);
  gst_harness_set_src_caps_str (harness, quick_caps);
  query_latency (harness, &live, &max);
  fake_deim_set_delay (60);
  push_frames (harness, quick_caps, 0, 4);
  /* What the device takes, with headroom, and not the 10 ms of a frame. */
  g_assert_cmpuint (query_latency (harness, &live, &max), >=, 60 * GST_MSECOND);
  g_assert_cmpuint (get_stat (harness->element, "inference-time"), >=, 60 * GST_MSECOND);
  teardown (harness);
}

static void
test_qos (void)
{
  GstHarness *harness = setup ("in-flight=1");
  push_frames (harness, RGB_CAPS, 0, 2);
  /* Frame 1, at 40 ms, came 20 ms too late: nothing up to 80 ms can be in time. */
  gst_harness_push_upstream_event (harness,
                                   gst_event_new_qos (GST_QOS_TYPE_UNDERFLOW, 1.5, 20 * GST_MSECOND, 40 * GST_MSECOND));
  push_frames (harness, RGB_CAPS, 2, 2);
  for (guint i = 0; i < 4; i++) {
    g_autoptr (GstBuffer) buffer = pull_frame (harness, i);
    g_assert_true (was_inferred (buffer) == (i != 2));
    g_assert_cmpuint (count_regions (buffer), ==, i != 2 ? 2 : 0);
    if (i == 2)
      g_assert_cmpstr (gst_structure_get_string (get_frame_mark (buffer), "skipped"), ==, "late");
  }
  g_assert_cmpuint (get_stat (harness->element, "skipped-late"), ==, 1);
  g_autoptr (GstMessage) message = pop_message (harness, GST_MESSAGE_QOS);
  g_assert_nonnull (message);
  guint64 processed, dropped, running;
  GstFormat format;
  gst_message_parse_qos_stats (message, &format, &processed, &dropped);
  gst_message_parse_qos (message, NULL, &running, NULL, NULL, NULL);
  g_assert_cmpuint (processed, ==, 2);
  g_assert_cmpuint (dropped, ==, 1);
  g_assert_cmpuint (running, ==, 80 * GST_MSECOND);
  g_assert_null (pop_message (harness, GST_MESSAGE_QOS));

  /* Switched off while playing. */
  g_object_set (harness->element, "qos", FALSE, NULL);
  gst_harness_push_upstream_event (harness, gst_event_new_qos (GST_QOS_TYPE_UNDERFLOW, 1.5, GST_SECOND, 0));
  push_frames (harness, RGB_CAPS, 4, 1);
  g_autoptr (GstBuffer) buffer = pull_frame (harness, 4);
  g_assert_true (was_inferred (buffer));
  teardown (harness);
}

/* A live source, quicker than the device: every frame comes out, few with results, and nothing piles up. */
static void
test_live_overload (void)
{
  static const gchar quick_caps[] = "video/x-raw,format=RGB,width=64,height=48,framerate=200/1";
  enum { FRAMES = 60, PACE = 5000, DELAY = 60 };
  GstHarness *harness = setup ("in-flight=2");
  gboolean live;
  GstClockTime max;
  gst_harness_set_upstream_latency (harness, 0);
  gst_harness_set_src_caps_str (harness, quick_caps);
  query_latency (harness, &live, &max);
  fake_deim_set_delay (DELAY);
  gint64 start = g_get_monotonic_time ();
  for (guint i = 0; i < FRAMES; i++) {
    gint64 due = start + i * PACE;
    g_usleep ((gulong) MAX (0, due - g_get_monotonic_time ()));
    push_frames (harness, quick_caps, i, 1);
  }
  gint64 taken = g_get_monotonic_time () - start;
  gst_harness_push_event (harness, gst_event_new_eos ());
  g_assert_cmpuint (gst_harness_buffers_received (harness), ==, FRAMES);
  guint64 inferred = get_stat (harness->element, "inferred"), skipped = get_stat (harness->element, "skipped-overload");
  g_test_message ("%d ms for %d frames, %d inferred", (gint) (taken / 1000), FRAMES, (gint) inferred);
  g_assert_cmpuint (inferred + skipped, ==, FRAMES);
  g_assert_cmpuint (skipped, >, FRAMES / 2);
  /* Inferring all of them would take 60 x 60 ms; the source takes 300 ms. */
  g_assert_cmpint (taken, <, FRAMES * DELAY * 1000 / 3);
  teardown (harness);
}

int
main (int argc, char **argv)
{
  init_element_tests (&argc, &argv);
  GST_PLUGIN_STATIC_REGISTER (deim);
  model = fake_deim_write_model (5);

  g_test_add_func ("/deimdetect/latency", test_latency);
  g_test_add_func ("/deimdetect/latency-of-slow-device", test_latency_of_slow_device);
  g_test_add_func ("/deimdetect/qos", test_qos);
  g_test_add_func ("/deimdetect/live-overload", test_live_overload);
  int result = g_test_run ();
  g_unlink (model);
  g_free (model);
  return result;
}
