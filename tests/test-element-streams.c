/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-element-streams.c - the built plugin with the real engine: sixteen streams of different pictures, each in a
 * pipeline of its own, on one engine. Each gets, to the bit, the detections that it has alone, and as many turns as the
 * others; streams that stop, fail or bring nothing do not disturb the others; memory stays flat while all of them run,
 * and over rounds of streams that come and go.
 *
 * The network is the golden Atto, whose detections mean nothing but depend on every pixel; it needs no files of others.
 */
#include <glib/gstdio.h>
#include <malloc.h>
#include <string.h>

#include "element-helpers.h"
#include "process.h"

#define N      16
#define FRAMES 2 /* of each stream */
#define STEADY 8 /* the same, where all of them run for longer */

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

/* A pipeline with the picture of @index, paused; @middle: elements between source and detector, each with a "!" behind
 * it. */
static void
prepare (Stream *s, guint index, guint frames, const gchar *middle, const gchar *properties)
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
  gst_element_set_state (s->pipeline, GST_STATE_PAUSED);
}

static void
start (Stream *s, guint index, guint frames, const gchar *middle, const gchar *properties)
{
  prepare (s, index, frames, middle, properties);
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

/* What each of them is without company. An element that is given nothing keeps the engine, whose making takes longer
 * than a frame. */
static void
test_alone (void)
{
  g_autofree gchar *text = g_strdup_printf ("deimdetect model=%s max-detections=20", model);
  g_autoptr (GstElement) keeper = gst_object_ref_sink (gst_parse_launch (text, NULL));
  g_assert_cmpint (gst_element_set_state (keeper, GST_STATE_PAUSED), ==, GST_STATE_CHANGE_SUCCESS);
  for (guint i = 0; i < N; i++) {
    Stream s;
    start (&s, i, 1, "", "");
    g_assert_cmpint (wait_for_end (&s), ==, GST_MESSAGE_EOS);
    g_assert_cmpuint (s.frames, ==, 1);
    g_assert_cmpuint (get_stat (s.detect, "batch-frames"), ==, i + 1); /* of the engine that is kept */
    stop (&s);
    g_assert_true (expected[i] && strstr (expected[i], "\n"));
    for (guint j = 0; j < i; j++)
      g_assert_cmpstr (expected[i], !=, expected[j]);
  }
  gst_element_set_state (keeper, GST_STATE_NULL);
}

/* So many frames were computed by the engine of these, which is one and the same; and in how many batches. */
static guint64
count_computed (Stream streams[N], guint64 *batches)
{
  guint64 frames = 0;
  *batches = 0;
  for (guint i = 0; i < N; i++) {
    *batches = MAX (*batches, get_stat (streams[i].detect, "batches"));
    frames = MAX (frames, get_stat (streams[i].detect, "batch-frames"));
  }
  return frames;
}

static void
wait_for_all (Stream streams[N], guint frames)
{
  for (guint i = 0; i < N; i++) {
    g_assert_cmpint (wait_for_end (&streams[i]), ==, GST_MESSAGE_EOS);
    g_assert_cmpuint (streams[i].frames, ==, frames);
    g_assert_cmpuint (get_stat (streams[i].detect, "inferred"), ==, frames);
  }
}

/* All of them at once. */
static void
test_together_in_batches (void)
{
  Stream streams[N];
  guint64 batches;
  for (guint i = 0; i < N; i++)
    start (&streams[i], i, FRAMES, "", "batch-size=4");
  wait_for_all (streams, FRAMES);
  g_assert_cmpuint (count_computed (streams, &batches), ==, N * FRAMES);
  g_assert_cmpuint (batches, <, N * FRAMES);
  g_test_message ("%u frames in %" G_GUINT64_FORMAT " batches", N * FRAMES, batches);
  for (guint i = 0; i < N; i++)
    stop (&streams[i]);
}

/* The streams side by side, from when they all began until the first is through. */
typedef struct {
  GMutex lock;
  guint frames[N], all;
  guint apart;       /* the most that one was ahead of another */
  gsize first, last; /* resident KiB after FRAMES of each, in the mean, and in the end */
} Race;

typedef struct {
  Race *race;
  guint index;
} Runner;

static GstPadProbeReturn
watch_race (GstPad *pad, GstPadProbeInfo *info, gpointer data)
{
  const Runner *runner = data;
  Race *race = runner->race;
  g_mutex_lock (&race->lock);
  race->frames[runner->index]++;
  race->all++;
  guint least = G_MAXUINT, most = 0;
  for (guint i = 0; i < N; i++) {
    least = MIN (least, race->frames[i]);
    most = MAX (most, race->frames[i]);
  }
  if (most < STEADY)
    race->apart = MAX (race->apart, most - least);
  if (race->all == N * FRAMES)
    race->first = resident_kib ();
  if (race->all == N * STEADY)
    race->last = resident_kib ();
  g_mutex_unlock (&race->lock);
  return GST_PAD_PROBE_OK;
}

/*
 * All of them for longer, from a common start. The engine takes them round robin, so that it is ahead by one frame of a
 * stream at most; the element keeps up to one more until the next comes, and at the start one had one more in it.
 * Memory: a frame of each, were it kept, would be more than 1 MiB.
 */
static void
test_steady (void)
{
  Stream streams[N];
  Runner runners[N];
  Race race = { 0 };
  for (guint i = 0; i < N; i++) {
    prepare (&streams[i], i, STEADY, "", "");
    runners[i] = (Runner){ &race, i };
  }
  for (guint i = 0; i < N; i++) {
    g_assert_cmpint (gst_element_get_state (streams[i].pipeline, NULL, NULL, 240 * GST_SECOND), ==,
                     GST_STATE_CHANGE_SUCCESS);
    g_autoptr (GstPad) pad = gst_element_get_static_pad (streams[i].detect, "src");
    gst_pad_add_probe (pad, GST_PAD_PROBE_TYPE_BUFFER, watch_race, &runners[i], NULL);
    race.frames[i] = 1; /* which the sink waits with */
    race.all++;
  }
  for (guint i = 0; i < N; i++)
    gst_element_set_state (streams[i].pipeline, GST_STATE_PLAYING);
  wait_for_all (streams, STEADY);
  guint64 batches;
  g_assert_cmpuint (count_computed (streams, &batches), ==, N * STEADY);
  g_assert_cmpuint (batches, ==, N * STEADY);
  g_test_message ("at most %u frames apart; %" G_GSIZE_FORMAT " KiB resident, then %" G_GSIZE_FORMAT, race.apart,
                  race.first, race.last);
  g_assert_cmpuint (race.apart, <=, 3);
  g_assert_cmpuint (race.last, <, race.first + 4096);
  for (guint i = 0; i < N; i++)
    stop (&streams[i]);
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
  for (guint round = 0; round < 6; round++) {
    Stream streams[4];
    for (guint i = 0; i < 4; i++)
      start (&streams[i], i, 1, "", "batch-size=2");
    for (guint i = 0; i < 4; i++)
      wait_for_end (&streams[i]);
    for (guint i = 0; i < 4; i++)
      stop (&streams[i]);
    last = resident_kib ();
    g_test_message ("round %u: %" G_GSIZE_FORMAT " KiB resident", round, last);
    if (round == 1)
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
  g_test_add_func ("/element-streams/together-in-batches", test_together_in_batches);
  g_test_add_func ("/element-streams/steady", test_steady);
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
