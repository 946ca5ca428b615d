/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-element-streams.c - the built plugin with the real engine: sixteen streams of different pictures, each in a
 * pipeline of its own, on one engine. Each gets, to the bit, the detections that it has alone; streams that stop, fail
 * or bring nothing do not disturb the others; memory stays flat over rounds of streams that come and go.
 *
 * The network is the golden Atto, whose detections mean nothing but depend on every pixel; it needs no files of others.
 */
#include <glib/gstdio.h>
#include <malloc.h>
#include <string.h>

#include "element-helpers.h"
#include "process.h"

#define N      16
#define FRAMES 2

/* Without the noise that smpte has in a corner. */
static const gchar *const patterns[N] = {
  "black",      "white",    "red",      "green",  "blue",       "checkers-1", "checkers-2",        "checkers-4",
  "checkers-8", "gradient", "circular", "spokes", "zone-plate", "pinwheel",   "chroma-zone-plate", "solid-color",
};

static gchar *model;
static gchar *expected[N]; /* the detections of a frame, as text */

typedef struct {
  guint index;
  GstElement *pipeline, *detect;
  guint frames; /* streaming thread, then the test */
} Stream;

static gchar *
describe (GstBuffer *buffer)
{
  GString *text = g_string_new (NULL);
  gpointer state = NULL;
  GstMeta *meta;
  while ((meta = gst_buffer_iterate_meta_filtered (buffer, &state, GST_VIDEO_REGION_OF_INTEREST_META_API_TYPE))) {
    GstVideoRegionOfInterestMeta *roi = (GstVideoRegionOfInterestMeta *) meta;
    gdouble confidence = 0;
    gst_structure_get_double (gst_video_region_of_interest_meta_get_param (roi, "detection"), "confidence",
                              &confidence);
    g_string_append_printf (text, "%s %u,%u,%u,%u %a\n", g_quark_to_string (roi->roi_type), roi->x, roi->y, roi->w,
                            roi->h, confidence);
  }
  return g_string_free (text, FALSE);
}

static GstPadProbeReturn
check_frame (GstPad *pad, GstPadProbeInfo *info, gpointer data)
{
  Stream *s = data;
  g_autofree gchar *text = describe (GST_PAD_PROBE_INFO_BUFFER (info));
  if (!expected[s->index])
    expected[s->index] = g_steal_pointer (&text);
  else
    g_assert_cmpstr (text, ==, expected[s->index]);
  s->frames++;
  return GST_PAD_PROBE_OK;
}

/* A pipeline with the picture of @index; @middle: elements between source and detector, each with a "!" behind it. */
static void
start (Stream *s, guint index, guint frames, const gchar *middle, const gchar *properties)
{
  g_autoptr (GError) error = NULL;
  g_autofree gchar *text = g_strdup_printf (
      "videotestsrc num-buffers=%u pattern=%s foreground-color=0xff80c0f0 ! video/x-raw,format=%s,"
      "width=%u,height=%u ! %s deimdetect name=d model=%s threshold=0 max-detections=20 %s ! fakesink",
      frames, patterns[index], index % 2 ? "NV12" : "RGB", 160 + 8 * index, 240 - 6 * index, middle, model, properties);
  *s = (Stream){ .index = index, .pipeline = gst_parse_launch (text, &error) };
  g_assert_no_error (error);
  s->detect = gst_bin_get_by_name (GST_BIN (s->pipeline), "d");
  g_autoptr (GstPad) pad = gst_element_get_static_pad (s->detect, "src");
  gst_pad_add_probe (pad, GST_PAD_PROBE_TYPE_BUFFER, check_frame, s, NULL);
  gst_element_set_state (s->pipeline, GST_STATE_PLAYING);
}

static GstMessageType
wait_for_end (Stream *s)
{
  g_autoptr (GstBus) bus = gst_element_get_bus (s->pipeline);
  g_autoptr (GstMessage) end = gst_bus_timed_pop_filtered (bus, 240 * GST_SECOND, GST_MESSAGE_EOS | GST_MESSAGE_ERROR);
  g_assert_nonnull (end);
  return GST_MESSAGE_TYPE (end);
}

static void
stop (Stream *s)
{
  gst_element_set_state (s->pipeline, GST_STATE_NULL);
  gst_object_unref (s->detect);
  gst_object_unref (s->pipeline);
}

/* What each of them is without company. */
static void
test_alone (void)
{
  for (guint i = 0; i < N; i++) {
    Stream s;
    start (&s, i, 1, "", "");
    g_assert_cmpint (wait_for_end (&s), ==, GST_MESSAGE_EOS);
    g_assert_cmpuint (s.frames, ==, 1);
    stop (&s);
    g_assert_true (expected[i] && strstr (expected[i], "\n"));
    for (guint j = 0; j < i; j++)
      g_assert_cmpstr (expected[i], !=, expected[j]);
  }
}

/* All of them at once; @data: properties. */
static void
test_together (gconstpointer data)
{
  Stream streams[N];
  gsize before = resident_kib ();
  for (guint i = 0; i < N; i++)
    start (&streams[i], i, FRAMES, "", data);
  for (guint i = 0; i < N; i++) {
    g_assert_cmpint (wait_for_end (&streams[i]), ==, GST_MESSAGE_EOS);
    g_assert_cmpuint (streams[i].frames, ==, FRAMES);
    g_assert_cmpuint (get_stat (streams[i].detect, "inferred"), ==, FRAMES);
  }
  guint64 batches = 0, frames = 0;
  for (guint i = 0; i < N; i++) {
    batches = MAX (batches, get_stat (streams[i].detect, "batches"));
    frames = MAX (frames, get_stat (streams[i].detect, "batch-frames"));
    stop (&streams[i]);
  }
  g_assert_cmpuint (frames, ==, N * FRAMES); /* all of them on the same engine */
  g_test_message ("%s: %" G_GUINT64_FORMAT " frames in %" G_GUINT64_FORMAT " batches; %" G_GSIZE_FORMAT
                  " KiB resident before, %" G_GSIZE_FORMAT " after",
                  (const gchar *) data, frames, batches, before, resident_kib ());
}

/* Among healthy streams one fails, one brings nothing, and others come and go. */
static void
test_unruly (void)
{
  enum { HEALTHY = 6 };
  Stream streams[HEALTHY], failing, silent, passing;
  start (&streams[0], 0, 4, "", "batch-size=4");
  start (&failing, 6, 10, "identity error-after=2 !", "batch-size=4");
  start (&silent, 7, 100, "valve drop=true !", "batch-size=4");
  for (guint i = 1; i < HEALTHY; i++)
    start (&streams[i], i, 4, "", "batch-size=4");
  for (guint round = 0; round < 6; round++) {
    start (&passing, 8 + round, 50, "", "batch-size=4");
    g_usleep (20000);
    stop (&passing); /* in the middle of its work, if it got that far */
  }
  for (guint i = 0; i < HEALTHY; i++) {
    g_assert_cmpint (wait_for_end (&streams[i]), ==, GST_MESSAGE_EOS);
    g_assert_cmpuint (streams[i].frames, ==, 4);
    stop (&streams[i]);
  }
  g_assert_cmpint (wait_for_end (&failing), ==, GST_MESSAGE_ERROR);
  stop (&failing);
  g_assert_cmpuint (silent.frames, ==, 0);
  stop (&silent);
}

/* Streams that come and go leave nothing behind. */
static void
test_memory (void)
{
  gsize first = 0, last = 0;
  for (guint round = 0; round < 8; round++) {
    Stream streams[4];
    for (guint i = 0; i < 4; i++)
      start (&streams[i], i, 1, "", "batch-size=2");
    for (guint i = 0; i < 4; i++)
      wait_for_end (&streams[i]);
    for (guint i = 0; i < 4; i++)
      stop (&streams[i]);
    last = resident_kib ();
    g_test_message ("round %u: %" G_GSIZE_FORMAT " KiB resident", round, last);
    if (round == 3)
      first = last;
  }
  /* An engine of this network takes 30 MiB. */
  g_assert_cmpuint (last, <, first + 4096);
}

int
main (int argc, char **argv)
{
  g_autofree gchar *folder = g_dir_make_tmp ("deim-streams-XXXXXX", NULL);
  model = g_build_filename (folder, "golden.safetensors", NULL);
  make_golden_file (model);
  mallopt (M_ARENA_MAX, 1); /* else glibc keeps for each thread what others have freed, for a while */
  init_element_tests (&argc, &argv);

  g_test_add_func ("/element-streams/alone", test_alone);
  g_test_add_data_func ("/element-streams/together", "", test_together);
  g_test_add_data_func ("/element-streams/together-in-batches", "batch-size=4", test_together);
  g_test_add_func ("/element-streams/unruly", test_unruly);
  g_test_add_func ("/element-streams/memory", test_memory);
  int result = run_element_tests ();
  for (guint i = 0; i < N; i++)
    g_free (expected[i]);
  g_unlink (model);
  g_rmdir (folder);
  g_free (model);
  return result;
}
