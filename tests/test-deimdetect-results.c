/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-deimdetect-results.c - what applications and other elements get from deimdetect: messages, the position, and
 * metadata that follows the picture through scaling and cropping. Runs on fake-deim.c.
 */
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "element-helpers.h"
#include "fake-deim.h"

GST_PLUGIN_STATIC_DECLARE (deim);
GST_PLUGIN_STATIC_DECLARE (deimoverlay);

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

/* ----------------------------------------------------------------- position */

static gint64
query_position (GstHarness *harness)
{
  g_autoptr (GstQuery) query = gst_query_new_position (GST_FORMAT_TIME);
  gint64 position = -1;
  g_assert_true (gst_pad_peer_query (harness->sinkpad, query));
  gst_query_parse_position (query, NULL, &position);
  return position;
}

static void
push_segment (GstHarness *harness, GstClockTime start, GstClockTime stop, GstClockTime time)
{
  GstSegment segment;
  gst_segment_init (&segment, GST_FORMAT_TIME);
  segment.start = segment.position = start;
  segment.stop = stop;
  segment.time = time;
  g_assert_true (gst_harness_push_event (harness, gst_event_new_segment (&segment)));
}

/* The end of what was pushed last, in stream time; frames inside do not count yet. */
static void
test_position (void)
{
  GstHarness *harness = setup ("in-flight=1");
  push_frames (harness, RGB_CAPS, 0, 3);
  g_assert_cmpint (query_position (harness), ==, 120 * GST_MSECOND);
  teardown (harness);

  harness = setup ("in-flight=4");
  fake_deim_set_gate (FALSE);
  push_frames (harness, RGB_CAPS, 0, 3);
  g_assert_cmpint (query_position (harness), ==, 0);
  fake_deim_set_gate (TRUE);
  g_assert_true (gst_harness_push_event (harness, gst_event_new_eos ()));
  g_assert_cmpint (query_position (harness), ==, 120 * GST_MSECOND);
  teardown (harness);
}

static void
test_position_in_segment (void)
{
  GstHarness *harness = setup ("in-flight=1");
  push_frames (harness, RGB_CAPS, 0, 1);
  /* A cut that lies 10 s into a file and is 3 frames and a half long. */
  push_segment (harness, 80 * GST_MSECOND, 220 * GST_MSECOND, 10 * GST_SECOND);
  g_assert_cmpint (query_position (harness), ==, 10 * GST_SECOND);
  push_frames (harness, RGB_CAPS, 2, 1);
  g_assert_cmpint (query_position (harness), ==, 10 * GST_SECOND + 40 * GST_MSECOND);
  push_frames (harness, RGB_CAPS, 3, 3);
  g_assert_cmpint (query_position (harness), ==, 10 * GST_SECOND + 140 * GST_MSECOND);

  /* In other formats it has no answer of its own. */
  g_autoptr (GstQuery) bytes = gst_query_new_position (GST_FORMAT_BYTES);
  g_assert_false (gst_pad_peer_query (harness->sinkpad, bytes));
  teardown (harness);
}

/* A segment that counts bytes, as file sources make it: no times, and no complaint. */
static void
test_bytes (void)
{
  GstHarness *harness = setup ("in-flight=1 post-messages=true");
  GstSegment segment;
  gst_segment_init (&segment, GST_FORMAT_BYTES);
  g_assert_true (gst_harness_push_event (harness, gst_event_new_segment (&segment)));
  push_frames (harness, RGB_CAPS, 0, 1);
  g_autoptr (GstMessage) message = pop_message (harness, GST_MESSAGE_ELEMENT);
  g_assert_nonnull (message);
  guint64 time = 0;
  g_assert_true (gst_structure_get_uint64 (gst_message_get_structure (message), "stream-time", &time));
  g_assert_cmpuint (time, ==, GST_CLOCK_TIME_NONE);
  teardown (harness);
}

/* ------------------------------------------------------------------ messages */

static guint64
get_uint64 (const GstStructure *structure, const gchar *field)
{
  guint64 value = 0;
  g_assert_true (gst_structure_get_uint64 (structure, field, &value));
  return value;
}

static void
test_messages (void)
{
  GstHarness *harness = setup ("in-flight=1 inference-interval=2 post-messages=true");
  push_segment (harness, 0, GST_CLOCK_TIME_NONE, 5 * GST_SECOND);
  push_frames (harness, RGB_CAPS, 0, 4);
  for (guint frame = 0; frame < 4; frame += 2) {
    g_autoptr (GstMessage) message = pop_message (harness, GST_MESSAGE_ELEMENT);
    g_assert_nonnull (message);
    g_assert_true (GST_MESSAGE_SRC (message) == GST_OBJECT (harness->element));
    const GstStructure *content = gst_message_get_structure (message);
    g_assert_true (gst_structure_has_name (content, "deim-detections"));
    g_assert_cmpuint (get_uint64 (content, "frame"), ==, frame);
    g_assert_cmpuint (get_uint64 (content, "timestamp"), ==, frame * 40 * GST_MSECOND);
    g_assert_cmpuint (get_uint64 (content, "running-time"), ==, frame * 40 * GST_MSECOND);
    g_assert_cmpuint (get_uint64 (content, "stream-time"), ==, 5 * GST_SECOND + frame * 40 * GST_MSECOND);
    g_assert_cmpuint (get_uint64 (content, "duration"), ==, 40 * GST_MSECOND);
    guint width, height;
    g_assert_true (gst_structure_get (content, "width", G_TYPE_UINT, &width, "height", G_TYPE_UINT, &height, NULL));
    g_assert_cmpuint (width, ==, 64);
    g_assert_cmpuint (height, ==, 48);

    const GValue *list = gst_structure_get_value (content, "detections");
    g_assert_cmpuint (gst_value_array_get_size (list), ==, 2);
    const GstStructure *corner = gst_value_get_structure (gst_value_array_get_value (list, 1));
    gdouble score, x1, y1, x2, y2;
    guint label_id;
    g_assert_cmpstr (gst_structure_get_string (corner, "label"), ==, "class 1");
    g_assert_true (gst_structure_get (corner, "label-id", G_TYPE_UINT, &label_id, "score", G_TYPE_DOUBLE, &score, "x1",
                                      G_TYPE_DOUBLE, &x1, "y1", G_TYPE_DOUBLE, &y1, "x2", G_TYPE_DOUBLE, &x2, "y2",
                                      G_TYPE_DOUBLE, &y2, NULL));
    g_assert_cmpuint (label_id, ==, 1);
    g_assert_cmpfloat_with_epsilon (score, 0.6, 1e-6);
    g_assert_cmpfloat (x1, ==, 0);
    g_assert_cmpfloat (y1, ==, 0);
    g_assert_cmpfloat (x2, ==, 16);
    g_assert_cmpfloat (y2, ==, 12);
  }
  g_assert_null (pop_message (harness, GST_MESSAGE_ELEMENT));

  /* Nothing found is a result too. */
  fake_deim_set_nothing (TRUE);
  push_frames (harness, RGB_CAPS, 4, 1);
  g_autoptr (GstMessage) empty = pop_message (harness, GST_MESSAGE_ELEMENT);
  g_assert_nonnull (empty);
  const GValue *none = gst_structure_get_value (gst_message_get_structure (empty), "detections");
  g_assert_cmpuint (gst_value_array_get_size (none), ==, 0);

  /* Switched off while playing. */
  g_object_set (harness->element, "post-messages", FALSE, "inference-interval", 1, NULL);
  push_frames (harness, RGB_CAPS, 5, 2);
  g_assert_null (pop_message (harness, GST_MESSAGE_ELEMENT));
  teardown (harness);
}

/* ---------------------------------------------------------------- cache folder */

static void
test_cache_dir (void)
{
  GstHarness *first = setup ("cache-dir=/tmp/of-the-test");
  g_assert_cmpstr (fake_deim_get_counts ().cache_dir, ==, "/tmp/of-the-test");
  g_autofree gchar *launch = g_strdup_printf ("deimdetect model=%s", model);
  GstHarness *second = setup_harness (launch, RGB_CAPS);
  g_assert_cmpstr (fake_deim_get_counts ().cache_dir, ==, "");
  g_assert_cmpuint (fake_deim_get_counts ().devices_opened, ==, 2);
  g_assert_cmpuint (fake_deim_get_counts ().models_loaded, ==, 1);
  GstHarness *third = setup_harness (launch, RGB_CAPS);
  g_assert_cmpuint (fake_deim_get_counts ().devices_opened, ==, 2);
  g_assert_null (pop_message (first, GST_MESSAGE_WARNING));
  teardown_harness (third);
  teardown_harness (second);
  teardown (first);
}

/* A folder that cannot be written costs time at each start, which a message says, and nothing else. */
static void
test_no_cache (void)
{
  GstHarness *harness = setup ("in-flight=1 cache-dir=/proc/nope");
  g_autoptr (GstMessage) message = pop_message (harness, GST_MESSAGE_WARNING);
  g_autoptr (GError) warning = NULL;
  g_assert_nonnull (message);
  gst_message_parse_warning (message, &warning, NULL);
  g_assert_error (warning, GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_OPEN_WRITE);
  g_assert_nonnull (strstr (warning->message, "cache-dir"));
  g_assert_null (pop_message (harness, GST_MESSAGE_WARNING | GST_MESSAGE_ERROR));
  push_frames (harness, RGB_CAPS, 0, 1);
  g_autoptr (GstBuffer) buffer = pull_frame (harness, 0);
  g_assert_true (was_inferred (buffer));
  teardown (harness);
}

/* -------------------------------------------------------------------- meta */

/* Where GStreamer has no analytics, asking for them is an error that says so; test-analytics.c has the rest. */
static void
test_no_analytics (void)
{
#ifdef HAVE_ANALYTICS
  g_test_skip ("this GStreamer has analytics");
#else
  fake_deim_reset ();
  g_autoptr (GstElement) element = gst_object_ref_sink (gst_element_factory_make ("deimdetect", NULL));
  g_autoptr (GstBus) bus = gst_bus_new ();
  gst_element_set_bus (element, bus);
  gst_util_set_object_arg (G_OBJECT (element), "meta", "analytics");
  g_object_set (element, "model", model, NULL);
  g_assert_cmpint (gst_element_set_state (element, GST_STATE_PAUSED), ==, GST_STATE_CHANGE_FAILURE);
  g_autoptr (GstMessage) message = gst_bus_pop_filtered (bus, GST_MESSAGE_ERROR);
  g_assert_nonnull (message);
  g_autoptr (GError) error = NULL;
  gst_message_parse_error (message, &error, NULL);
  g_assert_error (error, GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_SETTINGS);
  g_assert_nonnull (strstr (error->message, "meta=roi"));
  gst_element_set_state (element, GST_STATE_NULL);
  gst_element_set_bus (element, NULL);
  g_assert_cmpuint (fake_deim_get_counts ().live, ==, 0);
#endif
}

/* ------------------------------------------------------------------- scaling */

/* A sink that can show a part of a frame. */
static GstPadProbeReturn
know_crop (GstPad *pad, GstPadProbeInfo *info, gpointer unused)
{
  GstQuery *query = GST_PAD_PROBE_INFO_QUERY (info);
  if (GST_QUERY_TYPE (query) != GST_QUERY_ALLOCATION)
    return GST_PAD_PROBE_OK;
  gst_query_add_allocation_meta (query, GST_VIDEO_META_API_TYPE, NULL);
  gst_query_add_allocation_meta (query, GST_VIDEO_CROP_META_API_TYPE, NULL);
  return GST_PAD_PROBE_HANDLED;
}

/* One frame of RGB_CAPS through deimdetect and @after. */
static GstSample *
detect_and (const gchar *after, gboolean sink_knows_crop)
{
  fake_deim_reset ();
  g_autofree gchar *launch = g_strdup_printf ("appsrc name=in caps=%s format=time ! deimdetect model=%s ! %s ! "
                                              "appsink name=out sync=false",
                                              RGB_CAPS, model, after);
  g_autoptr (GError) error = NULL;
  g_autoptr (GstElement) pipeline = gst_parse_launch (launch, &error);
  g_assert_no_error (error);
  g_autoptr (GstElement) in = gst_bin_get_by_name (GST_BIN (pipeline), "in");
  g_autoptr (GstElement) out = gst_bin_get_by_name (GST_BIN (pipeline), "out");
  g_autoptr (GstPad) sink = gst_element_get_static_pad (out, "sink");
  if (sink_knows_crop)
    gst_pad_add_probe (sink, GST_PAD_PROBE_TYPE_QUERY_DOWNSTREAM, know_crop, NULL, NULL);
  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  GstFlowReturn flow;
  GstBuffer *frame = make_frame (RGB_CAPS, 0);
  g_signal_emit_by_name (in, "push-buffer", frame, &flow);
  gst_buffer_unref (frame);
  g_signal_emit_by_name (in, "end-of-stream", &flow);
  GstSample *sample = NULL;
  g_signal_emit_by_name (out, "pull-sample", &sample);
  g_assert_nonnull (sample);
  gst_element_set_state (pipeline, GST_STATE_NULL);
  g_assert_cmpuint (fake_deim_get_counts ().live, ==, 0);
  return sample;
}

static void
assert_region (GstBuffer *buffer, const gchar *label, guint x, guint y, guint w, guint h)
{
  GstVideoRegionOfInterestMeta *roi = get_region (buffer, label);
  g_test_message ("%s: %u,%u %ux%u", label, roi->x, roi->y, roi->w, roi->h);
  g_assert_cmpuint (roi->x, ==, x);
  g_assert_cmpuint (roi->y, ==, y);
  g_assert_cmpuint (roi->w, ==, w);
  g_assert_cmpuint (roi->h, ==, h);
}

static void
test_scaled (void)
{
  g_autoptr (GstSample) sample = detect_and ("videoscale ! video/x-raw,width=128,height=24", FALSE);
  GstBuffer *buffer = gst_sample_get_buffer (sample);
  assert_region (buffer, "class 0", 32, 6, 64, 12);
  assert_region (buffer, "class 1", 0, 0, 32, 6);
  /* And what is said about the object goes along. */
  GstStructure *fields = gst_video_region_of_interest_meta_get_param (get_region (buffer, "class 0"), "detection");
  gdouble confidence = 0;
  g_assert_nonnull (fields);
  g_assert_true (gst_structure_get_double (fields, "confidence", &confidence));
  g_assert_cmpfloat_with_epsilon (confidence, 0.7, 1e-6);
  g_assert_true (was_inferred (buffer));
}

/* ---------------------------------------------------------------- DL Streamer */

/* Python's gstgva asks a field for its type, and takes what is neither text nor int nor double for an address. */
static void
assert_readable_in_python (const GstStructure *tensor)
{
  for (gint i = 0; i < gst_structure_n_fields (tensor); i++) {
    GType type = gst_structure_get_field_type (tensor, gst_structure_nth_field_name (tensor, (guint) i));
    g_assert_true (type == G_TYPE_STRING || type == G_TYPE_INT || type == G_TYPE_DOUBLE);
  }
}

/*
 * The regions of @buffer as DL Streamer's elements and libraries read the metadata that it calls "legacy" now
 * (GVA::RegionOfInterest and GVA::Tensor in C++, gstgva in Python, gvametaconvert), one a line:
 *
 *   label label_id confidence, x y w h in pixels, x y w h as fractions
 *
 * The label is the text of roi_type, whether there is one or not. Every structure among the parameters is a tensor,
 * but "object_id", which is a tracker's. The one called "detection" is the detection; with several of that name C++
 * takes the last and Python the first. A field of another type than asked for reads as 0. No region has the id 0;
 * with the analytics library it is the id of the object (test-analytics.c), which begins with 0.
 */
static gchar *
read_as_dlstreamer (GstBuffer *buffer)
{
  GString *text = g_string_new (NULL);
  gpointer state = NULL;
  GstMeta *meta;
  while ((meta = gst_buffer_iterate_meta_filtered (buffer, &state, GST_VIDEO_REGION_OF_INTEREST_META_API_TYPE))) {
    const GstVideoRegionOfInterestMeta *roi = (GstVideoRegionOfInterestMeta *) meta;
    const GstStructure *detection = NULL;
    for (GList *item = roi->params; item; item = item->next) {
      const GstStructure *tensor = item->data;
      g_assert_nonnull (tensor);
      if (gst_structure_has_name (tensor, "object_id"))
        continue;
      assert_readable_in_python (tensor);
      if (!gst_structure_has_name (tensor, "detection"))
        continue;
      g_assert_null (detection);
      detection = tensor;
    }
#ifndef HAVE_ANALYTICS
    g_assert_cmpint (roi->id, !=, 0);
#endif
    g_assert_nonnull (g_quark_to_string (roi->roi_type));
    g_assert_nonnull (detection);
    gint label_id = 0;
    gdouble confidence = 0, x_min = 0, y_min = 0, x_max = 0, y_max = 0;
    gst_structure_get_int (detection, "label_id", &label_id);
    gst_structure_get_double (detection, "confidence", &confidence);
    gst_structure_get_double (detection, "x_min", &x_min);
    gst_structure_get_double (detection, "y_min", &y_min);
    gst_structure_get_double (detection, "x_max", &x_max);
    gst_structure_get_double (detection, "y_max", &y_max);
    g_string_append_printf (text, "%s %d %.3f, %u %u %u %u, %.4f %.4f %.4f %.4f\n", g_quark_to_string (roi->roi_type),
                            label_id, confidence, roi->x, roi->y, roi->w, roi->h, x_min, y_min, x_max - x_min,
                            y_max - y_min);
  }
  return g_string_free (text, FALSE);
}

static void
test_dlstreamer (void)
{
  g_autoptr (GstSample) plain = detect_and ("identity", FALSE);
  g_autofree gchar *of_plain = read_as_dlstreamer (gst_sample_get_buffer (plain));
  g_assert_cmpstr (of_plain, ==,
                   "class 0 0 0.700, 16 12 32 24, 0.2500 0.2500 0.5000 0.5000\n"
                   "class 1 1 0.600, 0 0 16 12, 0.0000 0.0000 0.2500 0.2500\n");
  g_autoptr (GstSample) scaled = detect_and ("videoscale ! video/x-raw,width=128,height=24", FALSE);
  g_autofree gchar *of_scaled = read_as_dlstreamer (gst_sample_get_buffer (scaled));
  g_assert_cmpstr (of_scaled, ==,
                   "class 0 0 0.700, 32 6 64 12, 0.2500 0.2500 0.5000 0.5000\n"
                   "class 1 1 0.600, 0 0 32 6, 0.0000 0.0000 0.2500 0.2500\n");
}

/* ------------------------------------------------------------------- cropping */

#define CROP "videocrop left=8 top=4 right=2 bottom=2"

/*
 * videocrop that copies the picture drops the regions, until GStreamer has a metadata transform for it (1.28); nothing
 * in the buffers tells where the part was cut out, so that the mark, which it keeps, cannot put them back.
 */
static void
test_cropped (void)
{
  g_autoptr (GstSample) sample = detect_and (CROP, FALSE);
  GstBuffer *buffer = gst_sample_get_buffer (sample);
  g_assert_true (was_inferred (buffer));
  guint major, minor, micro, nano, regions = count_regions (buffer);
  gst_version (&major, &minor, &micro, &nano);
  g_test_message ("%u regions are left", regions);
  if (minor < 28)
    g_assert_cmpuint (regions, ==, 0);
  if (regions > 0)
    assert_region (buffer, "class 0", 8, 8, 32, 24);
}

/* Where the sink can show a part, the picture stays whole, and so do the regions. */
static void
test_cropped_in_place (void)
{
  g_autoptr (GstSample) sample = detect_and (CROP, TRUE);
  GstBuffer *buffer = gst_sample_get_buffer (sample);
  const GstVideoCropMeta *crop = gst_buffer_get_video_crop_meta (buffer);
  g_assert_nonnull (crop);
  g_assert_cmpuint (crop->x, ==, 8);
  g_assert_cmpuint (crop->y, ==, 4);
  g_assert_cmpuint (crop->width, ==, 54);
  assert_region (buffer, "class 0", 16, 12, 32, 24);

  /* Whoever counts from the corner of the part, as we do, says so. */
  g_autofree gchar *path = g_strdup_printf ("%s/deim-cropped-%d.jsonl", g_get_tmp_dir (), getpid ()), *text = NULL;
  g_autofree gchar *after = g_strdup_printf (CROP " ! deimjson location=%s", path);
  gst_sample_unref (detect_and (after, TRUE));
  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  g_unlink (path);
  g_test_message ("%s", text);
  g_assert_nonnull (strstr (text, "\"width\": 54"));
  g_assert_nonnull (strstr (text, "\"box\": [8, 8, 40, 32]"));
}

/* What is drawn lies around the object, in the whole picture. */
static void
test_cropped_and_drawn (void)
{
  g_autoptr (GstSample) sample = detect_and (CROP " ! deimoverlay draw-labels=false line-width=1", TRUE);
  GstBuffer *buffer = gst_sample_get_buffer (sample);
  g_assert_nonnull (gst_buffer_get_video_crop_meta (buffer));
  GstMapInfo map;
  g_assert_true (gst_buffer_map (buffer, &map, GST_MAP_READ));
  guint right = 0, bottom = 0;
  /* Class 0 alone, whose box begins right of and below the other's. */
  for (guint y = 20; y < 48; y++)
    for (guint x = 20; x < 64; x++) {
      const guint8 *pixel = map.data + (y * 64 + x) * 3;
      if (pixel[0] || pixel[1] || pixel[2]) {
        right = MAX (right, x);
        bottom = MAX (bottom, y);
      }
    }
  gst_buffer_unmap (buffer, &map);
  g_test_message ("drawn down to %u,%u", right, bottom);
  g_assert_cmpuint (right, >=, 47);
  g_assert_cmpuint (right, <=, 49);
  g_assert_cmpuint (bottom, >=, 35);
  g_assert_cmpuint (bottom, <=, 37);
}

int
main (int argc, char **argv)
{
  init_element_tests (&argc, &argv);
  GST_PLUGIN_STATIC_REGISTER (deim);
  GST_PLUGIN_STATIC_REGISTER (deimoverlay);
  model = fake_deim_write_model (5);

  g_test_add_func ("/deimdetect/position", test_position);
  g_test_add_func ("/deimdetect/position-in-segment", test_position_in_segment);
  g_test_add_func ("/deimdetect/bytes", test_bytes);
  g_test_add_func ("/deimdetect/messages", test_messages);
  g_test_add_func ("/deimdetect/cache-dir", test_cache_dir);
  g_test_add_func ("/deimdetect/no-cache", test_no_cache);
  g_test_add_func ("/deimdetect/no-analytics", test_no_analytics);
  g_test_add_func ("/deimdetect/scaled", test_scaled);
  g_test_add_func ("/deimdetect/dlstreamer", test_dlstreamer);
  g_test_add_func ("/deimdetect/cropped", test_cropped);
  g_test_add_func ("/deimdetect/cropped-in-place", test_cropped_in_place);
  g_test_add_func ("/deimdetect/cropped-and-drawn", test_cropped_and_drawn);
  int result = run_element_tests ();
  g_unlink (model);
  g_free (model);
  return result;
}
