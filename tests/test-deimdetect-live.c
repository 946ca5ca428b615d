/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-deimdetect-live.c - the element in time: lateness, and a source that stalls. test-deimdetect-latency.c has what
 * it announces, test-deimdetect-overload.c a source that is quicker than the device. Runs on fake-deim.c, so that an
 * inference lasts as long as the test wants.
 */
#include <glib/gstdio.h>

#include "fake-harness.h"

GST_PLUGIN_STATIC_DECLARE (deim);

static gchar *model; /* a fake one of 5 classes */

/* Microseconds for which a thread that could go on waits for the processor, where others compute; where none do it is
 * less than one of them. */
#define BUSY 150000

/* Of those that came to upstream since the last call. */
static guint
count_qos_events (GstHarness *harness)
{
  GstEvent *event;
  guint count = 0;
  while ((event = gst_harness_try_pull_upstream_event (harness))) {
    count += GST_EVENT_TYPE (event) == GST_EVENT_QOS;
    gst_event_unref (event);
  }
  return count;
}

static void
test_qos (void)
{
  GstHarness *harness = fake_harness_setup_live (model, "in-flight=1", RGB_CAPS);
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

  /* What it mends itself it keeps from upstream, where a decoder would drop frames. */
  g_assert_cmpuint (count_qos_events (harness), ==, 0);

  /* Switched off while playing. */
  g_object_set (harness->element, "qos", FALSE, NULL);
  gst_harness_push_upstream_event (harness, gst_event_new_qos (GST_QOS_TYPE_UNDERFLOW, 1.5, GST_SECOND, 0));
  g_assert_cmpuint (count_qos_events (harness), ==, 1);
  push_frames (harness, RGB_CAPS, 4, 1);
  g_autoptr (GstBuffer) buffer = pull_frame (harness, 4);
  g_assert_true (was_inferred (buffer));

  /* Nor is there anything to mend where it makes no inference. */
  g_object_set (harness->element, "qos", TRUE, "pass-through", TRUE, NULL);
  gst_harness_push_upstream_event (harness, gst_event_new_qos (GST_QOS_TYPE_UNDERFLOW, 1.5, GST_SECOND, 0));
  g_assert_cmpuint (count_qos_events (harness), ==, 1);
  fake_harness_teardown (harness);
}

/* The source stalls behind a slow inference: the frames are let out all the same, and one that comes meanwhile does not
 * wait for that. */
static void
test_stall (void)
{
  GstHarness *harness = fake_harness_setup_live (model, "in-flight=2", QUICK_CAPS);
  fake_deim_set_gate (FALSE);
  push_frames (harness, QUICK_CAPS, 0, 3);
  g_usleep (60000); /* longer than the announced latency: they are looked for, every 5 ms */
  gint64 before = g_get_monotonic_time ();
  push_frames (harness, QUICK_CAPS, 3, 1);
  gint64 pushed = g_get_monotonic_time ();
  fake_deim_set_gate (TRUE);
  for (guint i = 0; i < 4; i++)
    gst_buffer_unref (pull_frame (harness, i));
  gint64 out = g_get_monotonic_time ();
  g_test_message ("pushed in %.1f ms, out %.1f ms later", (gdouble) (pushed - before) / 1000,
                  (gdouble) (out - pushed) / 1000);
  /* A push keeps the source for a frame time at most, and those that are overdue leave one frame time after another. */
  const gint64 frame = 5000;
  g_assert_cmpint (pushed - before, <, frame + BUSY);
  g_assert_cmpint (out - pushed, <, 4 * frame + (gint64) get_stat (harness->element, "latency") / 1000 + BUSY);
  fake_harness_teardown (harness);
}

/* The same of a frame that is not inferred: the only one after a flush, while the device is busy with what was thrown
 * away. */
static void
test_stall_skipped (void)
{
  GstHarness *harness = fake_harness_setup_live (model, "in-flight=2", QUICK_CAPS);
  fake_deim_set_gate (FALSE);
  push_frames (harness, QUICK_CAPS, 0, 3);
  gst_harness_push_event (harness, gst_event_new_flush_start ());
  gst_harness_push_event (harness, gst_event_new_flush_stop (TRUE));
  GstSegment segment;
  gst_segment_init (&segment, GST_FORMAT_TIME);
  gst_harness_push_event (harness, gst_event_new_segment (&segment));
  guint before = gst_harness_buffers_received (harness);
  g_usleep (200000); /* nobody looks for those of before the flush any more */
  push_frames (harness, QUICK_CAPS, 3, 1);
  for (guint i = 0; i < 1000 && gst_harness_buffers_received (harness) == before; i++)
    g_usleep (10000);
  g_assert_cmpuint (gst_harness_buffers_received (harness), ==, before + 1);
  g_assert_cmpuint (get_stat (harness->element, "skipped-overload"), ==, 1);
  fake_deim_set_gate (TRUE);
  fake_harness_teardown (harness);
}

int
main (int argc, char **argv)
{
  init_element_tests (&argc, &argv);
  GST_PLUGIN_STATIC_REGISTER (deim);
  model = fake_deim_write_model (5);

  g_test_add_func ("/deimdetect/qos", test_qos);
  g_test_add_func ("/deimdetect/stall", test_stall);
  g_test_add_func ("/deimdetect/stall-skipped", test_stall_skipped);
  int result = run_element_tests ();
  g_unlink (model);
  g_free (model);
  return result;
}
