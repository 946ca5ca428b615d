/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-deimdetect-scenario.c - what a player does to a file: pause, play, seek in both and after the end, play a part
 * at twice the speed; with deimdetect and deimoverlay behind decodebin. Runs on fake-deim.c. (Debian has no package of
 * gst-validate, which would run such a scenario.)
 *
 * At the sink, between two flushes: a segment comes before frames, frames come in order and each has its mark; after a
 * seek the first frame is the one that was asked for, and to the end come exactly those that are left.
 */
#include <glib/gstdio.h>

#include "element-helpers.h"
#include "fake-deim.h"

GST_PLUGIN_STATIC_DECLARE (deim);
GST_PLUGIN_STATIC_DECLARE (deimoverlay);

#define FRAMES 200 /* 100 a second, 10 ms each */
#define FRAME  (10 * GST_MSECOND)

static gchar *model; /* a fake one of 5 classes */
static gchar *movie;

/* What came since the last flush; the streaming thread's but for the test's look at it. */
typedef struct {
  GMutex lock;
  gboolean flushing, segment;
  guint frames, inferred;
  GstClockTime first, last; /* PTS */
} Sink;

static GstPadProbeReturn
watch (GstPad *pad, GstPadProbeInfo *info, gpointer data)
{
  Sink *sink = data;
  g_mutex_lock (&sink->lock);
  if (info->type & GST_PAD_PROBE_TYPE_BUFFER) {
    GstBuffer *buffer = GST_PAD_PROBE_INFO_BUFFER (info);
    g_assert_false (sink->flushing);
    g_assert_true (sink->segment);
    if (sink->frames++ == 0)
      sink->first = GST_BUFFER_PTS (buffer);
    else
      g_assert_cmpuint (GST_BUFFER_PTS (buffer), ==, sink->last + FRAME);
    sink->last = GST_BUFFER_PTS (buffer);
    sink->inferred += was_inferred (buffer);
  } else {
    switch (GST_EVENT_TYPE (GST_PAD_PROBE_INFO_EVENT (info))) {
    case GST_EVENT_FLUSH_START:
      sink->flushing = TRUE;
      break;
    case GST_EVENT_FLUSH_STOP:
      sink->flushing = sink->segment = FALSE;
      sink->frames = sink->inferred = 0;
      break;
    case GST_EVENT_SEGMENT:
      sink->segment = TRUE;
      break;
    default:
      break;
    }
  }
  g_mutex_unlock (&sink->lock);
  return GST_PAD_PROBE_OK;
}

static void
wait_for_end (GstElement *pipeline)
{
  g_autoptr (GstBus) bus = gst_element_get_bus (pipeline);
  g_autoptr (GstMessage) message =
      gst_bus_timed_pop_filtered (bus, 60 * GST_SECOND, GST_MESSAGE_EOS | GST_MESSAGE_ERROR);
  g_autoptr (GError) error = NULL;
  g_assert_nonnull (message);
  if (GST_MESSAGE_TYPE (message) == GST_MESSAGE_ERROR)
    gst_message_parse_error (message, &error, NULL);
  g_assert_no_error (error);
}

static void
make_movie (void)
{
  g_autoptr (GError) error = NULL;
  g_autofree gchar *text = g_strdup_printf ("videotestsrc num-buffers=%d ! video/x-raw,width=64,height=48,"
                                            "framerate=100/1 ! jpegenc ! matroskamux ! filesink location=%s",
                                            FRAMES, movie);
  g_autoptr (GstElement) pipeline = gst_parse_launch (text, &error);
  g_assert_no_error (error);
  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  wait_for_end (pipeline);
  gst_element_set_state (pipeline, GST_STATE_NULL);
}

static void
set_state (GstElement *pipeline, GstState state)
{
  gst_element_set_state (pipeline, state);
  g_assert_cmpint (gst_element_get_state (pipeline, NULL, NULL, 60 * GST_SECOND), ==, GST_STATE_CHANGE_SUCCESS);
}

/* Waits until the pipeline has what it needs, in PAUSED and in PLAYING. */
static void
seek (GstElement *pipeline, gdouble rate, GstClockTime from, GstClockTime to)
{
  g_assert_true (gst_element_seek (pipeline, rate, GST_FORMAT_TIME, GST_SEEK_FLAG_FLUSH | GST_SEEK_FLAG_ACCURATE,
                                   GST_SEEK_TYPE_SET, (gint64) from, GST_SEEK_TYPE_SET, (gint64) to));
  g_assert_cmpint (gst_element_get_state (pipeline, NULL, NULL, 60 * GST_SECOND), ==, GST_STATE_CHANGE_SUCCESS);
}

static void
assert_began_at (Sink *sink, GstClockTime pts)
{
  g_mutex_lock (&sink->lock);
  g_assert_cmpuint (sink->frames, >, 0);
  g_assert_cmpuint (sink->first, ==, pts);
  g_mutex_unlock (&sink->lock);
}

/* Since the last seek, which must have ended. Behind a file none is skipped. */
static void
assert_frames (Sink *sink, guint frames)
{
  g_mutex_lock (&sink->lock);
  g_assert_cmpuint (sink->frames, ==, frames);
  g_assert_cmpuint (sink->inferred, ==, frames);
  g_mutex_unlock (&sink->lock);
}

static void
test_player (gconstpointer in_flight)
{
  fake_deim_reset ();
  fake_deim_set_delay (3);
  g_autoptr (GError) error = NULL;
  g_autofree gchar *text = g_strdup_printf ("filesrc location=%s ! decodebin ! deimdetect model=%s in-flight=%d ! "
                                            "deimoverlay ! fakesink name=sink sync=true",
                                            movie, model, GPOINTER_TO_INT (in_flight));
  g_autoptr (GstElement) pipeline = gst_parse_launch (text, &error);
  g_assert_no_error (error);
  g_autoptr (GstElement) end = gst_bin_get_by_name (GST_BIN (pipeline), "sink");
  g_autoptr (GstPad) pad = gst_element_get_static_pad (end, "sink");
  Sink sink = { 0 };
  gst_pad_add_probe (pad,
                     GST_PAD_PROBE_TYPE_BUFFER | GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM | GST_PAD_PROBE_TYPE_EVENT_FLUSH,
                     watch, &sink, NULL);

  set_state (pipeline, GST_STATE_PAUSED);
  assert_began_at (&sink, 0);
  set_state (pipeline, GST_STATE_PLAYING);
  g_usleep (200000);
  set_state (pipeline, GST_STATE_PAUSED);

  seek (pipeline, 1.0, GST_SECOND, GST_CLOCK_TIME_NONE); /* paused */
  assert_began_at (&sink, GST_SECOND);
  gint64 position = -1;
  g_assert_true (gst_element_query_position (pipeline, GST_FORMAT_TIME, &position));
  g_assert_cmpint (position, ==, GST_SECOND);
  set_state (pipeline, GST_STATE_PLAYING);
  g_usleep (100000);
  seek (pipeline, 1.0, 300 * GST_MSECOND, GST_CLOCK_TIME_NONE); /* playing, and at once again */
  seek (pipeline, 1.0, 1700 * GST_MSECOND, GST_CLOCK_TIME_NONE);
  assert_began_at (&sink, 1700 * GST_MSECOND);
  wait_for_end (pipeline);
  assert_frames (&sink, 30);

  seek (pipeline, 2.0, 500 * GST_MSECOND, 1500 * GST_MSECOND); /* after the end: a part, at twice the speed */
  wait_for_end (pipeline);
  assert_began_at (&sink, 500 * GST_MSECOND);
  assert_frames (&sink, 100);

  g_object_set (end, "sync", FALSE, NULL);
  seek (pipeline, 1.0, 0, GST_CLOCK_TIME_NONE); /* and all of it, as quick as it goes */
  wait_for_end (pipeline);
  assert_began_at (&sink, 0);
  assert_frames (&sink, FRAMES);
  gst_element_set_state (pipeline, GST_STATE_NULL);
  g_assert_cmpuint (fake_deim_get_counts ().live, ==, 0);
}

int
main (int argc, char **argv)
{
  g_autofree gchar *folder = g_dir_make_tmp ("deim-scenario-XXXXXX", NULL);
  movie = g_build_filename (folder, "movie.mkv", NULL);
  init_element_tests (&argc, &argv);
  GST_PLUGIN_STATIC_REGISTER (deim);
  GST_PLUGIN_STATIC_REGISTER (deimoverlay);
  model = fake_deim_write_model (5);
  make_movie ();

  g_test_add_data_func ("/deimdetect/player/1", GINT_TO_POINTER (1), test_player);
  g_test_add_data_func ("/deimdetect/player/4", GINT_TO_POINTER (4), test_player);
  int result = run_element_tests ();
  g_unlink (model);
  g_unlink (movie);
  g_rmdir (folder);
  g_free (model);
  g_free (movie);
  return result;
}
