/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-deimdetect.c - the element from start to stop: states, order, flushing, draining, sharing.
 * Runs on fake-deim.c, so that an inference lasts as long as the test wants.
 */
#include <glib/gstdio.h>
#include <string.h>

#include "element-helpers.h"
#include "fake-deim.h"

GST_PLUGIN_STATIC_DECLARE (deim);

static gchar *model; /* a fake one of 5 classes */

/* One more element, that takes @path. */
static GstHarness *
add_element (const gchar *path, const gchar *properties)
{
  g_autofree gchar *launch = g_strdup_printf ("deimdetect model=%s %s", path, properties);
  return setup_harness (launch, RGB_CAPS);
}

static GstHarness *
setup (const gchar *properties)
{
  fake_deim_reset ();
  return add_element (model, properties);
}

static void
teardown (GstHarness *harness)
{
  fake_deim_set_gate (TRUE);
  teardown_harness (harness);
  g_assert_cmpuint (fake_deim_get_counts ().live, ==, 0);
}

static void
drop_outputs (GstHarness *harness)
{
  GstBuffer *buffer;
  while ((buffer = gst_harness_try_pull (harness)))
    gst_buffer_unref (buffer);
}

/* --------------------------------------------------------------- introspection */

static void
test_properties (void)
{
  typedef enum { READY, LIVE, READ } When;
  static const struct {
    const gchar *name, *type;
    When when;
  } expected[] = {
    { "model", "gchararray", READY },
    { "device", "gchararray", READY },
    { "precision", "GstDeimPrecision", READY },
    { "labels-file", "gchararray", READY },
    { "threshold", "gdouble", LIVE },
    { "class-thresholds", "gchararray", LIVE },
    { "classes", "gchararray", LIVE },
    { "max-detections", "guint", READY },
    { "inference-interval", "guint", LIVE },
    { "in-flight", "guint", READY },
    { "resize", "GstDeimResize", READY },
    { "region", "gchararray", LIVE },
    { "meta", "GstDeimMetaMode", READY },
    { "qos", "gboolean", LIVE },
    { "pass-through", "gboolean", LIVE },
    { "cache-dir", "gchararray", READY },
    { "post-messages", "gboolean", LIVE },
    { "stats", "GstStructure", READ },
    { "model-instance-id", "gchararray", READY },
    { "batch-size", "guint", READY },
    { "batch-timeout", "guint", READY },
  };
  g_autoptr (GstElement) element = gst_object_ref_sink (gst_element_factory_make ("deimdetect", NULL));
  g_assert_nonnull (element);
  for (guint i = 0; i < G_N_ELEMENTS (expected); i++) {
    GParamSpec *spec = g_object_class_find_property (G_OBJECT_GET_CLASS (element), expected[i].name);
    g_assert_nonnull (spec);
    g_assert_true (spec->owner_type == G_OBJECT_TYPE (element));
    g_assert_cmpstr (g_type_name (spec->value_type), ==, expected[i].type);
    g_assert_true (!!(spec->flags & GST_PARAM_MUTABLE_READY) == (expected[i].when == READY));
    g_assert_true (!!(spec->flags & GST_PARAM_MUTABLE_PLAYING) == (expected[i].when == LIVE));
    g_assert_true (!!(spec->flags & G_PARAM_WRITABLE) == (expected[i].when != READ));
    g_assert_true (!!(spec->flags & GST_PARAM_CONTROLLABLE) == (strcmp (expected[i].name, "threshold") == 0));
    const gchar *blurb = g_param_spec_get_blurb (spec);
    g_assert_true (blurb && g_ascii_isupper (blurb[0]));
  }
  gdouble threshold;
  guint max_detections, interval, in_flight;
  gboolean qos, pass_through;
  g_autofree gchar *no_model = NULL;
  g_object_get (element, "threshold", &threshold, "max-detections", &max_detections, "inference-interval", &interval,
                "in-flight", &in_flight, "qos", &qos, "pass-through", &pass_through, "model", &no_model, NULL);
  g_assert_cmpfloat (threshold, ==, 0.5);
  g_assert_cmpuint (max_detections, ==, 300);
  g_assert_cmpuint (interval, ==, 1);
  g_assert_cmpuint (in_flight, ==, 2);
  g_assert_true (qos && !pass_through && !no_model);

  GstElementFactory *factory = gst_element_get_factory (element);
  g_assert_cmpstr (gst_element_factory_get_metadata (factory, GST_ELEMENT_METADATA_KLASS), ==, "Filter/Analyzer/Video");
  g_assert_cmpint (gst_plugin_feature_get_rank (GST_PLUGIN_FEATURE (factory)), ==, GST_RANK_NONE);
}

/* A property is kept even when it makes no sense: start() is who says so. */
static void
test_properties_are_kept (void)
{
  g_autoptr (GstElement) element = gst_object_ref_sink (gst_element_factory_make ("deimdetect", NULL));
  g_object_set (element, "model", "/does/not/exist", "region", "nonsense", "classes", "unicorn", NULL);
  g_autofree gchar *path = NULL, *region = NULL, *classes = NULL;
  g_object_get (element, "model", &path, "region", &region, "classes", &classes, NULL);
  g_assert_cmpstr (path, ==, "/does/not/exist");
  g_assert_cmpstr (region, ==, "nonsense");
  g_assert_cmpstr (classes, ==, "unicorn");
}

static void
test_options_reach_the_engine (void)
{
  GstHarness *harness = setup ("in-flight=5 max-detections=17 resize=letterbox precision=fp16 batch-size=4 "
                               "batch-timeout=7");
  DeimDetectorOptions options = fake_deim_get_counts ().options;
  g_assert_cmpuint (options.in_flight, ==, 5);
  g_assert_cmpuint (options.max_detections, ==, 17);
  g_assert_cmpint (options.resize, ==, DEIM_RESIZE_LETTERBOX);
  g_assert_cmpint (options.precision, ==, DEIM_PRECISION_FP16);
  g_assert_cmpuint (options.batch, ==, 4);
  g_assert_cmpuint (options.batch_timeout, ==, 7);
  teardown (harness);
}

/* ----------------------------------------------------------------- states, order */

static void
test_states (void)
{
  fake_deim_reset ();
  g_autofree gchar *launch = g_strdup_printf ("videotestsrc num-buffers=5 ! deimdetect model=%s ! fakesink", model);
  g_autoptr (GstElement) pipeline = gst_parse_launch (launch, NULL);
  g_autoptr (GstBus) bus = gst_element_get_bus (pipeline);
  for (guint round = 0; round < 4; round++) {
    gst_element_set_state (pipeline, GST_STATE_PLAYING);
    g_autoptr (GstMessage) end = gst_bus_timed_pop_filtered (bus, 20 * GST_SECOND, GST_MESSAGE_EOS | GST_MESSAGE_ERROR);
    g_assert_nonnull (end);
    g_assert_cmpint (GST_MESSAGE_TYPE (end), ==, GST_MESSAGE_EOS);
    gst_element_set_state (pipeline, round % 2 ? GST_STATE_READY : GST_STATE_NULL);
    g_assert_cmpuint (fake_deim_get_counts ().live, ==, 0);
  }
  /* Stopped in full flight, with an inference that does not end. */
  fake_deim_set_gate (FALSE);
  gst_element_set_state (pipeline, GST_STATE_PAUSED);
  while (fake_deim_get_counts ().submitted < 21)
    g_usleep (1000);
  fake_deim_set_delay (20);
  fake_deim_set_gate (TRUE);
  gst_element_set_state (pipeline, GST_STATE_NULL);
  g_assert_cmpuint (fake_deim_get_counts ().live, ==, 0);
}

/* All frames, in order, each with its own result, whatever the number in flight. */
static void
test_eos (gconstpointer data)
{
  g_autofree gchar *properties = g_strdup_printf ("in-flight=%d", GPOINTER_TO_INT (data));
  GstHarness *harness = setup (properties);
  fake_deim_set_delay (1);
  push_frames (harness, RGB_CAPS, 0, 50);
  g_assert_true (gst_harness_push_event (harness, gst_event_new_eos ()));
  g_assert_cmpuint (gst_harness_buffers_received (harness), ==, 50);
  for (guint i = 0; i < 50; i++) {
    g_autoptr (GstBuffer) buffer = pull_frame (harness, i);
    g_assert_true (was_inferred (buffer));
    g_assert_cmpuint (count_regions (buffer), ==, 2);
    gdouble confidence = 0;
    GstStructure *detection = gst_video_region_of_interest_meta_get_param (get_region (buffer, "class 0"), "detection");
    g_assert_true (gst_structure_get_double (detection, "confidence", &confidence));
    g_assert_cmpfloat_with_epsilon (confidence, 0.7 + i / 1000.0, 1e-6);
  }
  g_assert_cmpuint (get_stat (harness->element, "frames"), ==, 50);
  g_assert_cmpuint (get_stat (harness->element, "inferred"), ==, 50);
  g_assert_cmpuint (get_stat (harness->element, "detections"), ==, 100);
  g_assert_cmpuint (get_stat (harness->element, "discarded"), ==, 0);
  teardown (harness);
}

/* With one slot a frame leaves within its own chain call; with n, n - 1 may stay. */
static void
test_in_flight (gconstpointer data)
{
  guint slots = (guint) GPOINTER_TO_INT (data);
  g_autofree gchar *properties = g_strdup_printf ("in-flight=%u", slots);
  GstHarness *harness = setup (properties);
  fake_deim_set_gate (slots == 1);
  push_frames (harness, RGB_CAPS, 0, slots > 1 ? slots - 1 : 1);
  g_assert_cmpuint (fake_deim_get_counts ().submitted, ==, slots > 1 ? slots - 1 : 1);
  g_assert_cmpuint (gst_harness_buffers_received (harness), ==, slots == 1 ? 1 : 0);
  fake_deim_set_gate (TRUE);
  gst_harness_push_event (harness, gst_event_new_eos ());
  drop_outputs (harness);
  teardown (harness);
}

/* The flags and offsets of a frame are its own, whenever it leaves. */
static void
test_flags (void)
{
  GstHarness *harness = setup ("in-flight=3");
  fake_deim_set_gate (FALSE);
  for (guint i = 0; i < 2; i++) {
    GstBuffer *buffer = make_frame (RGB_CAPS, i);
    GST_BUFFER_FLAG_UNSET (buffer, GST_BUFFER_FLAG_DISCONT);
    GST_BUFFER_FLAG_SET (buffer, i == 1 ? GST_BUFFER_FLAG_DISCONT : GST_BUFFER_FLAG_MARKER);
    GST_BUFFER_DTS (buffer) = i;
    GST_BUFFER_OFFSET_END (buffer) = 100 + i;
    gst_harness_push (harness, buffer);
  }
  fake_deim_set_gate (TRUE);
  push_frames (harness, RGB_CAPS, 2, 1);
  gst_harness_push_event (harness, gst_event_new_eos ());
  for (guint i = 0; i < 3; i++) {
    g_autoptr (GstBuffer) buffer = pull_frame (harness, i);
    g_assert_true (GST_BUFFER_FLAG_IS_SET (buffer, GST_BUFFER_FLAG_DISCONT) == (i == 1));
    g_assert_true (GST_BUFFER_FLAG_IS_SET (buffer, GST_BUFFER_FLAG_MARKER) == (i == 0));
    if (i < 2) {
      g_assert_cmpuint (GST_BUFFER_DTS (buffer), ==, i);
      g_assert_cmpuint (GST_BUFFER_OFFSET_END (buffer), ==, 100 + i);
    }
  }
  teardown (harness);
}

/* Takes everything that came out, as "0 1 E2 3": frames by number, events by letter and frames before them. */
static GstPadProbeReturn
note_output (GstPad *pad, GstPadProbeInfo *info, gpointer data)
{
  GString *order = data;
  if (GST_PAD_PROBE_INFO_TYPE (info) & GST_PAD_PROBE_TYPE_BUFFER) {
    g_string_append_printf (order, "%d ", (gint) GST_BUFFER_OFFSET (GST_PAD_PROBE_INFO_BUFFER (info)));
    return GST_PAD_PROBE_OK;
  }
  switch (GST_EVENT_TYPE (GST_PAD_PROBE_INFO_EVENT (info))) {
  case GST_EVENT_CAPS:
    g_string_append (order, "caps ");
    break;
  case GST_EVENT_SEGMENT:
    g_string_append (order, "segment ");
    break;
  case GST_EVENT_GAP:
    g_string_append (order, "gap ");
    break;
  case GST_EVENT_TAG:
    g_string_append (order, "tag ");
    break;
  case GST_EVENT_CUSTOM_DOWNSTREAM:
    g_string_append (order, "custom ");
    break;
  case GST_EVENT_EOS:
    g_string_append (order, "eos ");
    break;
  default:
    break;
  }
  return GST_PAD_PROBE_OK;
}

static void
test_events_in_order (void)
{
  static const gchar other_caps[] = "video/x-raw,format=NV12,width=33,height=17,framerate=25/1";
  GstHarness *harness = setup ("in-flight=4");
  g_autoptr (GString) order = g_string_new (NULL);
  g_autoptr (GstPad) src = gst_element_get_static_pad (harness->element, "src");
  gst_pad_add_probe (src, GST_PAD_PROBE_TYPE_BUFFER | GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM, note_output, order, NULL);
  fake_deim_set_delay (3);

  push_frames (harness, RGB_CAPS, 0, 2);
  gst_harness_push_event (harness,
                          gst_event_new_custom (GST_EVENT_CUSTOM_DOWNSTREAM, gst_structure_new_empty ("mark")));
  push_frames (harness, RGB_CAPS, 2, 2);
  gst_harness_push_event (harness, gst_event_new_gap (4 * GST_SECOND / 25, GST_SECOND / 25));
  push_frames (harness, RGB_CAPS, 4, 3);
  gst_harness_set_src_caps_str (harness, other_caps);
  push_frames (harness, other_caps, 7, 2);
  GstSegment segment;
  gst_segment_init (&segment, GST_FORMAT_TIME);
  segment.base = GST_SECOND;
  gst_harness_push_event (harness, gst_event_new_segment (&segment));
  push_frames (harness, other_caps, 9, 1);
  gst_harness_push_event (harness, gst_event_new_tag (gst_tag_list_new (GST_TAG_TITLE, "t", NULL)));
  gst_harness_push_event (harness, gst_event_new_eos ());
  /* The harness sends a segment of its own behind new caps. */
  g_assert_cmpstr (order->str, ==, "0 1 custom 2 3 gap 4 5 6 caps segment 7 8 segment 9 tag eos ");
  drop_outputs (harness);
  teardown (harness);
}

static gpointer
push_three (gpointer data)
{
  GstHarness *harness = data;
  GstFlowReturn flow = GST_FLOW_OK;
  for (guint i = 0; i < 3 && flow == GST_FLOW_OK; i++)
    flow = gst_harness_push (harness, make_frame (RGB_CAPS, i));
  return GINT_TO_POINTER (flow);
}

/* A streaming thread that waits for an inference, which ends when the gate is opened and not before. */
static GThread *
start_waiting (GstHarness *harness)
{
  fake_deim_set_gate (FALSE);
  GThread *streaming = g_thread_new ("streaming", push_three, harness);
  while (fake_deim_get_counts ().submitted < 2)
    g_usleep (1000);
  return streaming;
}

/* A flush while the streaming thread waits for an inference, and new frames before that inference has ended. */
static void
test_flush (void)
{
  GstHarness *harness = setup ("in-flight=2");
  GThread *streaming = start_waiting (harness);
  gst_harness_push_event (harness, gst_event_new_flush_start ());
  g_assert_cmpint (GPOINTER_TO_INT (g_thread_join (streaming)), ==, GST_FLOW_FLUSHING);
  gst_harness_push_event (harness, gst_event_new_flush_stop (TRUE));
  g_assert_cmpuint (gst_harness_buffers_received (harness), ==, 0);
  guint64 discarded = get_stat (harness->element, "discarded");
  g_assert_cmpuint (discarded, >=, 2);

  GstSegment segment;
  gst_segment_init (&segment, GST_FORMAT_TIME);
  gst_harness_push_event (harness, gst_event_new_segment (&segment));
  fake_deim_set_delay (150);
  fake_deim_set_gate (TRUE);
  push_frames (harness, RGB_CAPS, 10, 5);
  gst_harness_push_event (harness, gst_event_new_eos ());
  for (guint i = 10; i < 15; i++) {
    g_autoptr (GstBuffer) buffer = pull_frame (harness, i);
    g_assert_true (was_inferred (buffer));
  }
  g_assert_cmpuint (get_stat (harness->element, "inferred"), ==, 5);
  g_assert_null (pop_message (harness, GST_MESSAGE_ERROR));
  teardown (harness);
}

/* The same of a frame that waits for the slot of one that a former flush has thrown away. */
static void
test_flush_again (void)
{
  GstHarness *harness = setup ("in-flight=2");
  GThread *streaming = start_waiting (harness);
  gst_harness_push_event (harness, gst_event_new_flush_start ());
  g_thread_join (streaming);
  gst_harness_push_event (harness, gst_event_new_flush_stop (TRUE));
  GstSegment segment;
  gst_segment_init (&segment, GST_FORMAT_TIME);
  gst_harness_push_event (harness, gst_event_new_segment (&segment));
  streaming = g_thread_new ("streaming", push_three, harness);
  while (get_stat (harness->element, "frames") < 3)
    g_usleep (1000);
  gst_harness_push_event (harness, gst_event_new_flush_start ());
  g_assert_cmpint (GPOINTER_TO_INT (g_thread_join (streaming)), ==, GST_FLOW_FLUSHING);
  gst_harness_push_event (harness, gst_event_new_flush_stop (TRUE));
  g_assert_cmpuint (fake_deim_get_counts ().submitted, ==, 2);
  g_assert_cmpuint (get_stat (harness->element, "discarded"), ==, get_stat (harness->element, "frames"));
  teardown (harness);
}

/* Stopping does not wait for an inference either, and the next start is as any other. */
static void
test_stop_while_waiting (void)
{
  GstHarness *harness = setup ("in-flight=2");
  GThread *streaming = start_waiting (harness);
  g_assert_cmpint (gst_element_set_state (harness->element, GST_STATE_NULL), ==, GST_STATE_CHANGE_SUCCESS);
  g_assert_cmpint (GPOINTER_TO_INT (g_thread_join (streaming)), ==, GST_FLOW_FLUSHING);
  g_assert_cmpuint (fake_deim_get_counts ().live, ==, 0);
  fake_deim_set_gate (TRUE);
  teardown (harness);
}

/* Many flushes in a row, each with frames in flight: no slot is lost. */
static void
test_flush_often (void)
{
  GstHarness *harness = setup ("in-flight=3");
  fake_deim_set_delay (2);
  for (guint round = 0; round < 20; round++) {
    push_frames (harness, RGB_CAPS, 0, 2);
    gst_harness_push_event (harness, gst_event_new_flush_start ());
    gst_harness_push_event (harness, gst_event_new_flush_stop (TRUE));
    GstSegment segment;
    gst_segment_init (&segment, GST_FORMAT_TIME);
    gst_harness_push_event (harness, gst_event_new_segment (&segment));
    drop_outputs (harness);
  }
  g_assert_null (pop_message (harness, GST_MESSAGE_ERROR));
  g_assert_cmpuint (get_stat (harness->element, "inferred") + get_stat (harness->element, "discarded"), ==, 40);
  teardown (harness);
}

/* Upstream stalls: the frames that are left come out all the same, and again after a pause. */
static void
test_linger (void)
{
  GstHarness *harness = setup ("in-flight=4");
  for (guint first = 0; first < 4; first += 2) {
    fake_deim_set_gate (FALSE);
    push_frames (harness, RGB_CAPS, first, 2);
    g_assert_cmpuint (gst_harness_buffers_in_queue (harness), ==, 0);
    fake_deim_set_gate (TRUE);
    gst_buffer_unref (pull_frame (harness, first)); /* waits up to a minute */
    gst_buffer_unref (pull_frame (harness, first + 1));
    g_usleep (50000);
  }
  teardown (harness);
}

/* Nobody is downstream while upstream stalls: the frames that leave by themselves then are lost, and no others. */
static void
test_linger_unlinked (void)
{
  GstHarness *harness = setup ("in-flight=4");
  g_autoptr (GstPad) source = gst_element_get_static_pad (harness->element, "src");
  g_autoptr (GstPad) sink = gst_element_get_static_pad (harness->element, "sink");
  fake_deim_set_gate (FALSE);
  push_frames (harness, RGB_CAPS, 0, 2);
  g_assert_true (gst_pad_unlink (source, harness->sinkpad));
  fake_deim_set_gate (TRUE);
  while (get_stat (harness->element, "inferred") + get_stat (harness->element, "discarded") < 2)
    g_usleep (1000);
  GST_PAD_STREAM_LOCK (sink); /* the last one's push has returned */
  GST_PAD_STREAM_UNLOCK (sink);
  g_assert_cmpint (gst_pad_link (source, harness->sinkpad), ==, GST_PAD_LINK_OK);
  push_frames (harness, RGB_CAPS, 2, 4);
  gst_harness_push_event (harness, gst_event_new_eos ());
  for (guint i = 2; i < 6; i++)
    gst_buffer_unref (pull_frame (harness, i));
  g_assert_cmpuint (get_stat (harness->element, "discarded"), ==, 0);
  teardown (harness);
}

/* Whatever drains the element: batches that wait for company get to know that nothing more comes. */
static void
test_drain_batches (void)
{
  GstHarness *harness = setup ("in-flight=4");
  fake_deim_set_company (TRUE);
  g_autoptr (GstQuery) drain = gst_query_new_drain ();
  for (guint i = 0; i < 4; i++) {
    push_frames (harness, RGB_CAPS, 3 * i, 3);
    g_assert_cmpuint (gst_harness_buffers_received (harness), ==, 3 * i);
    if (i == 0)
      g_assert_true (gst_pad_peer_query (harness->srcpad, drain));
    else if (i == 1)
      gst_harness_push_event (harness, gst_event_new_gap (GST_SECOND, GST_SECOND));
    else if (i == 2)
      gst_harness_set_src_caps_str (harness, "video/x-raw,format=BGR,width=64,height=48,framerate=25/1");
    else
      gst_harness_push_event (harness, gst_event_new_eos ());
    g_assert_cmpuint (gst_harness_buffers_received (harness), ==, 3 * i + 3);
  }
  g_assert_cmpuint (get_stat (harness->element, "inferred"), ==, 12);
  teardown (harness);
}

/* Upstream wants its buffers back. */
static void
test_drain_query (void)
{
  GstHarness *harness = setup ("in-flight=4");
  fake_deim_set_delay (5);
  push_frames (harness, RGB_CAPS, 0, 3);
  g_autoptr (GstQuery) query = gst_query_new_drain ();
  gst_pad_peer_query (harness->srcpad, query);
  g_assert_cmpuint (gst_harness_buffers_received (harness), ==, 3);
  drop_outputs (harness);
  teardown (harness);
}

/* Downstream's answer goes up. */
static void
test_flow_return (void)
{
  GstHarness *harness = setup ("in-flight=1");
  push_frames (harness, RGB_CAPS, 0, 1);
  gst_pad_set_active (harness->sinkpad, FALSE);
  g_assert_cmpint (gst_harness_push (harness, make_frame (RGB_CAPS, 1)), ==, GST_FLOW_FLUSHING);
  gst_pad_set_active (harness->sinkpad, TRUE);
  drop_outputs (harness);
  teardown (harness);
}

/* ----------------------------------------------------------------------- sharing */

static void
test_sharing (void)
{
  fake_deim_reset ();
  g_autofree gchar *other = fake_deim_write_model (5);
  GstHarness *harness[4];
  for (guint i = 0; i < 4; i++)
    harness[i] = add_element (i == 3 ? other : model, "");
  g_assert_cmpuint (fake_deim_get_counts ().models_loaded, ==, 2);
  g_assert_cmpuint (fake_deim_get_counts ().devices_opened, ==, 1);
  g_assert_cmpuint (fake_deim_get_counts ().engines_made, ==, 2);
  g_assert_cmpuint (fake_deim_get_counts ().live, ==, 2 + 1 + 2 + 4);

  /* One goes, the others keep what they have. */
  teardown_harness (harness[0]);
  g_assert_cmpuint (fake_deim_get_counts ().live, ==, 2 + 1 + 2 + 3);
  push_frames (harness[1], RGB_CAPS, 0, 2);
  gst_harness_push_event (harness[1], gst_event_new_eos ());
  g_assert_cmpuint (gst_harness_buffers_received (harness[1]), ==, 2);

  /* A file that was replaced is another model. */
  g_assert_true (g_file_set_contents (other, "fake 7 ", -1, NULL));
  GstHarness *late = add_element (other, "");
  g_assert_cmpuint (fake_deim_get_counts ().models_loaded, ==, 3);
  teardown_harness (late);
  for (guint i = 1; i < 4; i++)
    teardown_harness (harness[i]);
  g_assert_cmpuint (fake_deim_get_counts ().live, ==, 0);
  g_unlink (other);
}

int
main (int argc, char **argv)
{
  init_element_tests (&argc, &argv);
  GST_PLUGIN_STATIC_REGISTER (deim);
  model = fake_deim_write_model (5);

  g_test_add_func ("/deimdetect/properties", test_properties);
  g_test_add_func ("/deimdetect/properties-are-kept", test_properties_are_kept);
  g_test_add_func ("/deimdetect/options", test_options_reach_the_engine);
  g_test_add_func ("/deimdetect/states", test_states);
  g_test_add_data_func ("/deimdetect/eos/1", GINT_TO_POINTER (1), test_eos);
  g_test_add_data_func ("/deimdetect/eos/2", GINT_TO_POINTER (2), test_eos);
  g_test_add_data_func ("/deimdetect/eos/16", GINT_TO_POINTER (16), test_eos);
  g_test_add_data_func ("/deimdetect/in-flight/1", GINT_TO_POINTER (1), test_in_flight);
  g_test_add_data_func ("/deimdetect/in-flight/4", GINT_TO_POINTER (4), test_in_flight);
  g_test_add_func ("/deimdetect/flags", test_flags);
  g_test_add_func ("/deimdetect/events-in-order", test_events_in_order);
  g_test_add_func ("/deimdetect/flush", test_flush);
  g_test_add_func ("/deimdetect/flush-again", test_flush_again);
  g_test_add_func ("/deimdetect/stop-while-waiting", test_stop_while_waiting);
  g_test_add_func ("/deimdetect/flush-often", test_flush_often);
  g_test_add_func ("/deimdetect/linger", test_linger);
  g_test_add_func ("/deimdetect/linger-unlinked", test_linger_unlinked);
  g_test_add_func ("/deimdetect/drain-batches", test_drain_batches);
  g_test_add_func ("/deimdetect/drain-query", test_drain_query);
  g_test_add_func ("/deimdetect/flow-return", test_flow_return);
  g_test_add_func ("/deimdetect/sharing", test_sharing);
  int result = run_element_tests ();
  g_unlink (model);
  g_free (model);
  return result;
}
