/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-deimdetect-streams.c - many elements on one engine: who shares with whom, and that each stream goes its own way.
 * Runs on fake-deim.c, where every frame of every stream has detections of its own.
 */
#include <glib/gstdio.h>
#include <string.h>

#include "element-helpers.h"
#include "fake-deim.h"

GST_PLUGIN_STATIC_DECLARE (deim);

#define N       4
#define FRAMES  40
#define STRIDE  60 /* frame k of stream s has the number, and holds the bytes, STRIDE * s + k */
#define HEALTHY (N - 1)

static gchar *model; /* a fake one of 5 classes */

static GstHarness *
add_element (const gchar *properties)
{
  g_autofree gchar *launch = g_strdup_printf ("deimdetect model=%s %s", model, properties);
  return setup_harness (launch, RGB_CAPS);
}

/* ----------------------------------------------------------------- sharing */

/* So many engines are made for elements with these properties. */
static guint
count_engines (const gchar *a, const gchar *b)
{
  fake_deim_reset ();
  GstHarness *first = add_element (a), *second = add_element (b);
  guint engines = fake_deim_get_counts ().engines_made;
  g_assert_cmpuint (fake_deim_get_counts ().models_loaded, ==, 1);
  teardown_harness (first);
  teardown_harness (second);
  g_assert_cmpuint (fake_deim_get_counts ().live, ==, 0);
  return engines;
}

static void
test_who_shares (void)
{
  g_assert_cmpuint (count_engines ("", ""), ==, 1);
  /* What belongs to the stream does not divide. */
  g_assert_cmpuint (count_engines ("", "threshold=0.9 in-flight=7 resize=letterbox classes=2 region=0,0,9,9"), ==, 1);
  g_assert_cmpuint (count_engines ("", "precision=fp16"), ==, 2);
  g_assert_cmpuint (count_engines ("", "max-detections=7"), ==, 2);
  g_assert_cmpuint (count_engines ("batch-size=4", "batch-size=8"), ==, 2);
  g_assert_cmpuint (count_engines ("batch-timeout=4", ""), ==, 2);
  g_assert_cmpuint (count_engines ("device=x", "device=y"), ==, 2);
  g_assert_cmpuint (count_engines ("cache-dir=/tmp/x", ""), ==, 2);
  g_assert_cmpuint (count_engines ("model-instance-id=a", "model-instance-id=a"), ==, 1);
  g_assert_cmpuint (count_engines ("model-instance-id=a", "model-instance-id=b"), ==, 2);
  g_assert_cmpuint (count_engines ("model-instance-id=a", ""), ==, 2);
}

/* Elements of one id must agree, and are told about what. */
static void
test_disagreement (void)
{
  static const struct {
    const gchar *property, *value, *words;
  } cases[] = {
    { "batch-size", "8", "batch-size=2, this element wants batch-size=8" },
    { "precision", "fp16", "precision=auto, this element wants precision=fp16" },
    { "device", "other", "device=, this element wants device=other" },
  };
  fake_deim_reset ();
  GstHarness *first = add_element ("model-instance-id=door batch-size=2");
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    GstElement *second = gst_object_ref_sink (gst_element_factory_make ("deimdetect", NULL));
    g_autoptr (GstBus) bus = gst_bus_new ();
    GstHarness view = { .element = second };
    gst_element_set_bus (second, bus);
    g_object_set (second, "model", model, "model-instance-id", "door", "batch-size", 2, NULL);
    gst_util_set_object_arg (G_OBJECT (second), cases[i].property, cases[i].value);
    g_assert_cmpint (gst_element_set_state (second, GST_STATE_PAUSED), ==, GST_STATE_CHANGE_FAILURE);
    assert_one_error (&view, GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_SETTINGS, cases[i].words);
    /* With another id all is well, and with the same settings too. */
    g_object_set (second, "model-instance-id", "window", NULL);
    g_assert_cmpint (gst_element_set_state (second, GST_STATE_PAUSED), !=, GST_STATE_CHANGE_FAILURE);
    gst_element_set_state (second, GST_STATE_NULL);
    gst_element_set_bus (second, NULL);
    gst_object_unref (second);
  }
  push_frames (first, RGB_CAPS, 0, 3); /* the one that was there first has noticed nothing */
  gst_harness_push_event (first, gst_event_new_eos ());
  g_assert_cmpuint (gst_harness_buffers_received (first), ==, 3);
  teardown_harness (first);
  g_assert_cmpuint (fake_deim_get_counts ().live, ==, 0);
}

/* --------------------------------------------------------------- isolation */

typedef struct {
  guint index;
  GstHarness *harness;
  GThread *thread;
  gint done; /* atomic: frames that came out, all of them right */
} Stream;

/* The buffer is frame @number, and has its detections. */
static void
check_frame (GstBuffer *buffer, guint number)
{
  g_assert_cmpuint (GST_BUFFER_OFFSET (buffer), ==, number);
  g_assert_true (was_inferred (buffer));
  GstStructure *detection = gst_video_region_of_interest_meta_get_param (get_region (buffer, "class 0"), "detection");
  gdouble confidence = 0;
  g_assert_true (gst_structure_get_double (detection, "confidence", &confidence));
  g_assert_cmpfloat_with_epsilon (confidence, 0.7 + number / 1000.0, 1e-6);
}

static void
take_frames (Stream *s)
{
  GstBuffer *buffer;
  while ((buffer = gst_harness_try_pull (s->harness))) {
    check_frame (buffer, STRIDE * s->index + (guint) s->done);
    g_atomic_int_inc (&s->done);
    gst_buffer_unref (buffer);
  }
}

/* Pushes until all is in or the element refuses. */
static gpointer
stream_main (gpointer data)
{
  Stream *s = data;
  for (guint k = 0; k < FRAMES; k++) {
    if (gst_harness_push (s->harness, make_frame (RGB_CAPS, STRIDE * s->index + k)) != GST_FLOW_OK)
      return NULL;
    take_frames (s);
  }
  gst_harness_push_event (s->harness, gst_event_new_eos ());
  take_frames (s);
  return NULL;
}

static void
start_stream (Stream *s, guint index)
{
  *s = (Stream){ .index = index, .harness = add_element (index % 2 ? "in-flight=3" : "in-flight=1") };
}

static void
start_streams (Stream streams[N])
{
  fake_deim_reset ();
  fake_deim_set_delay (1);
  for (guint i = 0; i < N; i++)
    start_stream (&streams[i], i);
  g_assert_cmpuint (fake_deim_get_counts ().engines_made, ==, 1);
}

static void
run_healthy (Stream streams[N])
{
  for (guint i = 0; i < HEALTHY; i++)
    streams[i].thread = g_thread_new ("stream", stream_main, &streams[i]);
}

static void
end_streams (Stream streams[N])
{
  for (guint i = 0; i < N; i++)
    teardown_harness (streams[i].harness);
  g_assert_cmpuint (fake_deim_get_counts ().live, ==, 0);
}

static void
join_healthy (Stream streams[N])
{
  for (guint i = 0; i < HEALTHY; i++) {
    g_thread_join (streams[i].thread);
    g_assert_cmpint (streams[i].done, ==, FRAMES);
    g_assert_null (pop_message (streams[i].harness, GST_MESSAGE_ERROR));
  }
}

static void
test_error (void)
{
  Stream streams[N];
  start_streams (streams);
  fake_deim_set_victim (STRIDE * HEALTHY + 5);
  fake_deim_set_failure (DEIM_ERROR_DEVICE);
  run_healthy (streams);
  stream_main (&streams[HEALTHY]);
  join_healthy (streams);
  g_assert_cmpint (streams[HEALTHY].done, <=, 5); /* those before it that had not left yet are thrown away */
  assert_one_error (streams[HEALTHY].harness, GST_LIBRARY_ERROR, GST_LIBRARY_ERROR_FAILED, "told to fail");
  end_streams (streams);
}

static GstPadProbeReturn
hold_up (GstPad *pad, GstPadProbeInfo *info, gpointer data)
{
  return GST_PAD_PROBE_OK; /* keeps blocking */
}

/* Downstream of one stream takes nothing any more. */
static void
test_stall (void)
{
  Stream streams[N];
  start_streams (streams);
  g_autoptr (GstPad) pad = gst_element_get_static_pad (streams[HEALTHY].harness->element, "src");
  gulong probe = gst_pad_add_probe (pad, GST_PAD_PROBE_TYPE_BLOCK | GST_PAD_PROBE_TYPE_BUFFER, hold_up, NULL, NULL);
  GThread *stalled = g_thread_new ("stalled", stream_main, &streams[HEALTHY]);
  run_healthy (streams);
  join_healthy (streams);
  g_assert_cmpint (g_atomic_int_get (&streams[HEALTHY].done), ==, 0);
  gst_pad_remove_probe (pad, probe);
  g_thread_join (stalled);
  g_assert_cmpint (streams[HEALTHY].done, ==, FRAMES); /* later than the others, but nothing is lost */
  end_streams (streams);
}

/* One element leaves with frames inside, and comes back, again and again. */
static void
test_leave (void)
{
  Stream streams[N];
  start_streams (streams);
  run_healthy (streams);
  for (guint round = 0; round < 20; round++) {
    push_frames (streams[HEALTHY].harness, RGB_CAPS, STRIDE * HEALTHY, 1 + round % 4);
    teardown_harness (streams[HEALTHY].harness);
    start_stream (&streams[HEALTHY], HEALTHY);
  }
  join_healthy (streams);
  stream_main (&streams[HEALTHY]);
  g_assert_cmpint (streams[HEALTHY].done, ==, FRAMES);
  end_streams (streams);
}

/* One stream is flushed all the time. */
static void
test_flush (void)
{
  Stream streams[N];
  start_streams (streams);
  run_healthy (streams);
  for (guint round = 0; round < 20; round++) {
    push_frames (streams[HEALTHY].harness, RGB_CAPS, STRIDE * HEALTHY, 3);
    gst_harness_push_event (streams[HEALTHY].harness, gst_event_new_flush_start ());
    gst_harness_push_event (streams[HEALTHY].harness, gst_event_new_flush_stop (TRUE));
    GstSegment segment;
    gst_segment_init (&segment, GST_FORMAT_TIME);
    gst_harness_push_event (streams[HEALTHY].harness, gst_event_new_segment (&segment));
  }
  join_healthy (streams);
  end_streams (streams);
}

static gpointer
start_another (gpointer properties)
{
  return add_element (properties);
}

/* An element that takes long to load its model, to open its device or to make its network holds up no other that starts
 * or stops meanwhile; one that wants the very same waits for it, and does nothing twice. */
static void
test_slow_start (gconstpointer data)
{
  FakeStage stage = GPOINTER_TO_INT (data);
  fake_deim_reset ();
  GstHarness *early = add_element ("device=a");
  fake_deim_hold_stage (stage);
  g_autofree gchar *file = fake_deim_write_model (5), *other = g_strdup_printf ("device=b model=%s", file);
  GThread *slow = g_thread_new ("slow", start_another, other);
  fake_deim_await_held ();
  GThread *same = g_thread_new ("same", start_another, other);
  GstHarness *late = add_element ("device=c");
  push_frames (late, RGB_CAPS, 0, 3);
  teardown_harness (late);
  teardown_harness (early);
  fake_deim_release_stage ();
  GstHarness *pair[] = { g_thread_join (slow), g_thread_join (same) };
  FakeDeimCounts counts = fake_deim_get_counts ();
  g_assert_cmpuint (counts.models_loaded, ==, 2);
  g_assert_cmpuint (counts.devices_opened, ==, 3);
  g_assert_cmpuint (counts.engines_made, ==, 3);
  teardown_harness (pair[0]);
  teardown_harness (pair[1]);
  g_assert_cmpuint (fake_deim_get_counts ().live, ==, 0);
  g_unlink (file);
}

int
main (int argc, char **argv)
{
  init_element_tests (&argc, &argv);
  GST_PLUGIN_STATIC_REGISTER (deim);
  model = fake_deim_write_model (5);

  g_test_add_func ("/deimdetect-streams/who-shares", test_who_shares);
  g_test_add_func ("/deimdetect-streams/disagreement", test_disagreement);
  g_test_add_func ("/deimdetect-streams/error", test_error);
  g_test_add_func ("/deimdetect-streams/stall", test_stall);
  g_test_add_func ("/deimdetect-streams/leave", test_leave);
  g_test_add_func ("/deimdetect-streams/flush", test_flush);
  g_test_add_data_func ("/deimdetect-streams/slow-start/load", GINT_TO_POINTER (FAKE_LOAD), test_slow_start);
  g_test_add_data_func ("/deimdetect-streams/slow-start/open", GINT_TO_POINTER (FAKE_OPEN), test_slow_start);
  g_test_add_data_func ("/deimdetect-streams/slow-start/make", GINT_TO_POINTER (FAKE_MAKE), test_slow_start);
  int result = run_element_tests ();
  g_unlink (model);
  g_free (model);
  return result;
}
