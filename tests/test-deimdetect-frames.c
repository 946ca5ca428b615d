/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-deimdetect-frames.c - the element and its frames: what the engine is shown, and what is attached.
 * Runs on fake-deim.c, which says what it was shown.
 */
#include <glib/gstdio.h>
#include <gst/controller/gstdirectcontrolbinding.h>
#include <gst/controller/gstinterpolationcontrolsource.h>
#include <string.h>

#include "element-helpers.h"
#include "fake-deim.h"

GST_PLUGIN_STATIC_DECLARE (deim);

static gchar *model; /* a fake one of 5 classes */

static GstHarness *
setup (const gchar *properties, const gchar *caps)
{
  fake_deim_reset ();
  g_autofree gchar *launch = g_strdup_printf ("deimdetect model=%s in-flight=1 %s", model, properties);
  return setup_harness (launch, caps);
}

static void
teardown (GstHarness *harness)
{
  teardown_harness (harness);
  g_assert_cmpuint (fake_deim_get_counts ().live, ==, 0);
}

/* Frame @number through the element. */
static GstBuffer *
infer (GstHarness *harness, const gchar *caps, guint number)
{
  push_frames (harness, caps, number, 1);
  return pull_frame (harness, number);
}

static gdouble
get_double (GstVideoRegionOfInterestMeta *roi, const gchar *field)
{
  gdouble value = -1;
  g_assert_true (
      gst_structure_get_double (gst_video_region_of_interest_meta_get_param (roi, "detection"), field, &value));
  return value;
}

/* -------------------------------------------------------------- what it is shown */

static void
test_formats (void)
{
  static const gchar *const names[] = { "I420", "YV12", "NV12", "NV21", "YUY2",      "UYVY",      "Y42B",
                                        "Y444", "RGB",  "BGR",  "RGBx", "BGRx",      "RGBA",      "BGRA",
                                        "ARGB", "ABGR", "xRGB", "xBGR", "P010_10LE", "I420_10LE", "GRAY8" };
  for (guint i = 0; i < G_N_ELEMENTS (names); i++) {
    /* An odd size: planes of chroma are rounded up. */
    g_autofree gchar *caps_text = g_strdup_printf ("video/x-raw,format=%s,width=67,height=45,framerate=25/1", names[i]);
    g_autoptr (GstCaps) caps = gst_caps_from_string (caps_text);
    GstVideoInfo info;
    g_assert_true (gst_video_info_from_caps (&info, caps));
    GstHarness *harness = setup ("", caps_text);
    g_autoptr (GstBuffer) buffer = infer (harness, caps_text, 7);
    g_assert_cmpuint (count_regions (buffer), ==, 2);
    DeimFrame shown = fake_deim_get_counts ().last;
    g_assert_cmpint (shown.format, ==, deim_format_from_name (names[i]));
    g_assert_cmpuint (shown.width, ==, 67);
    g_assert_cmpuint (shown.height, ==, 45);
    for (guint plane = 0; plane < GST_VIDEO_INFO_N_PLANES (&info); plane++) {
      g_assert_cmpuint (shown.stride[plane], ==, GST_VIDEO_INFO_PLANE_STRIDE (&info, plane));
      g_assert_cmpint (shown.data[plane] - shown.data[0], ==, GST_VIDEO_INFO_PLANE_OFFSET (&info, plane));
    }
    /* Caps and bytes pass unchanged. */
    g_autoptr (GstCaps) out = gst_pad_get_current_caps (harness->sinkpad);
    g_assert_true (gst_caps_is_equal (out, caps));
    GstMapInfo map;
    g_assert_true (gst_buffer_map (buffer, &map, GST_MAP_READ));
    for (gsize byte = 0; byte < map.size; byte++)
      g_assert_cmpuint (map.data[byte], ==, 7);
    gst_buffer_unmap (buffer, &map);
    teardown (harness);
  }
}

static void
test_colorimetry (void)
{
  static const struct {
    const gchar *fields;
    DeimMatrix matrix;
    DeimRange range;
  } cases[] = {
    { "width=64,height=48", DEIM_MATRIX_BT601, DEIM_RANGE_LIMITED },
    { "width=1280,height=720", DEIM_MATRIX_BT709, DEIM_RANGE_LIMITED },
    { "width=64,height=48,colorimetry=bt709", DEIM_MATRIX_BT709, DEIM_RANGE_LIMITED },
    { "width=64,height=48,colorimetry=bt2020", DEIM_MATRIX_BT2020, DEIM_RANGE_LIMITED },
    { "width=64,height=48,colorimetry=smpte240m", DEIM_MATRIX_SMPTE240M, DEIM_RANGE_LIMITED },
    { "width=64,height=48,colorimetry=2:2:0:0", DEIM_MATRIX_FCC, DEIM_RANGE_LIMITED },
    { "width=64,height=48,colorimetry=1:4:0:0", DEIM_MATRIX_BT601, DEIM_RANGE_FULL },
  };
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree gchar *caps = g_strdup_printf ("video/x-raw,format=I420,framerate=25/1,%s", cases[i].fields);
    GstHarness *harness = setup ("", caps);
    gst_buffer_unref (infer (harness, caps, 1));
    DeimFrame shown = fake_deim_get_counts ().last;
    g_test_message ("%s: matrix %d, range %d", cases[i].fields, shown.matrix, shown.range);
    g_assert_cmpint (shown.matrix, ==, cases[i].matrix);
    g_assert_cmpint (shown.range, ==, cases[i].range);
    teardown (harness);
  }
}

/* NV12 of 641 x 363 with its planes far apart and rows padded, as decoders and capture devices give it. */
static GstBuffer *
make_padded (guint number)
{
  enum { STRIDE = 768, UV = STRIDE * 400 };
  gsize offsets[GST_VIDEO_MAX_PLANES] = { 128, UV };
  gint strides[GST_VIDEO_MAX_PLANES] = { STRIDE, STRIDE };
  gsize size = UV + STRIDE * 200;
  GstBuffer *buffer = gst_buffer_new_allocate (NULL, size, NULL);
  gst_buffer_memset (buffer, 0, 0xff, size);
  for (guint y = 0; y < 363; y++)
    gst_buffer_memset (buffer, 128 + y * STRIDE, (guint8) number, 641);
  for (guint y = 0; y < 182; y++)
    gst_buffer_memset (buffer, UV + y * STRIDE, (guint8) number, 642);
  gst_buffer_add_video_meta_full (buffer, GST_VIDEO_FRAME_FLAG_NONE, GST_VIDEO_FORMAT_NV12, 641, 363, 2, offsets,
                                  strides);
  GST_BUFFER_PTS (buffer) = number * (GST_SECOND / 25);
  GST_BUFFER_DURATION (buffer) = GST_SECOND / 25;
  GST_BUFFER_OFFSET (buffer) = number;
  return buffer;
}

#define PADDED_CAPS "video/x-raw,format=NV12,width=641,height=363,framerate=25/1"

static void
test_padded (void)
{
  GstHarness *harness = setup ("", PADDED_CAPS);
  gst_harness_push (harness, make_padded (9));
  g_autoptr (GstBuffer) buffer = pull_frame (harness, 9);
  DeimFrame shown = fake_deim_get_counts ().last;
  g_assert_cmpuint (shown.width, ==, 641);
  g_assert_cmpuint (shown.height, ==, 363);
  g_assert_cmpuint (shown.stride[0], ==, 768);
  g_assert_cmpuint (shown.stride[1], ==, 768);
  g_assert_cmpint (shown.data[1] - shown.data[0], ==, 768 * 400 - 128);
  /* Nobody asked for an allocation, so the layout is upstream's business. */
  g_assert_nonnull (gst_buffer_get_video_meta (buffer));
  GstVideoRegionOfInterestMeta *roi = get_region (buffer, "class 0");
  g_assert_cmpuint (roi->x, ==, 160);
  g_assert_cmpuint (roi->x + roi->w, ==, 481);
  g_assert_cmpuint (roi->y, ==, 90);
  g_assert_cmpuint (roi->y + roi->h, ==, 273);
  teardown (harness);
}

/* The answer to ALLOCATION that downstream gives is completed; what it lacks is made good. */
static void
test_allocation (gconstpointer data)
{
  gboolean downstream_knows_strides = GPOINTER_TO_INT (data);
  GstHarness *harness = setup ("in-flight=3", PADDED_CAPS);
  if (downstream_knows_strides)
    gst_harness_add_propose_allocation_meta (harness, GST_VIDEO_META_API_TYPE, NULL);

  g_autoptr (GstCaps) caps = gst_caps_from_string (PADDED_CAPS);
  g_autoptr (GstQuery) query = gst_query_new_allocation (caps, TRUE);
  g_assert_true (gst_pad_peer_query (harness->srcpad, query));
  g_assert_true (gst_query_find_allocation_meta (query, GST_VIDEO_META_API_TYPE, NULL));
  g_assert_cmpuint (gst_query_get_n_allocation_metas (query), ==, 1);
  g_assert_cmpuint (gst_query_get_n_allocation_pools (query), ==, 1);
  guint size, min, max;
  gst_query_parse_nth_allocation_pool (query, 0, NULL, &size, &min, &max);
  g_assert_cmpuint (min, >=, 3);
  g_assert_true (max == 0 || max >= min);

  gst_harness_push (harness, make_padded (9));
  g_autoptr (GstBuffer) buffer = pull_frame (harness, 9);
  GstVideoInfo info;
  gst_video_info_from_caps (&info, caps);
  if (downstream_knows_strides) {
    g_assert_cmpint (gst_buffer_get_video_meta (buffer)->stride[0], ==, 768);
  } else {
    g_assert_null (gst_buffer_get_video_meta (buffer));
    g_assert_cmpuint (gst_buffer_get_size (buffer), ==, GST_VIDEO_INFO_SIZE (&info));
    GstVideoFrame frame;
    g_assert_true (gst_video_frame_map (&frame, &info, buffer, GST_MAP_READ));
    for (guint y = 0; y < 363; y++)
      for (guint x = 0; x < 641; x++)
        g_assert_cmpuint (((guint8 *) frame.data[0])[y * (guint) info.stride[0] + x], ==, 9);
    gst_video_frame_unmap (&frame);
  }
  g_assert_cmpuint (count_regions (buffer), ==, 2);
  g_assert_true (was_inferred (buffer));
  teardown (harness);
}

static GstPadProbeReturn
propose_pools (GstPad *pad, GstPadProbeInfo *info, gpointer data)
{
  GstQuery *query = GST_PAD_PROBE_INFO_QUERY (info);
  if (GST_QUERY_TYPE (query) != GST_QUERY_ALLOCATION)
    return GST_PAD_PROBE_OK;
  gst_query_add_allocation_pool (query, NULL, 1234, 2, 0);
  gst_query_add_allocation_pool (query, NULL, 1234, 2, 4);
  return GST_PAD_PROBE_HANDLED;
}

/* Pools that downstream offers must hold the frames in flight too, as far as they can grow. */
static void
test_pools (void)
{
  GstHarness *harness = setup ("in-flight=3", RGB_CAPS);
  gst_pad_add_probe (harness->sinkpad, GST_PAD_PROBE_TYPE_QUERY_DOWNSTREAM, propose_pools, NULL, NULL);
  g_autoptr (GstCaps) caps = gst_caps_from_string (RGB_CAPS);
  g_autoptr (GstQuery) query = gst_query_new_allocation (caps, TRUE);
  g_assert_true (gst_pad_peer_query (harness->srcpad, query));
  g_assert_cmpuint (gst_query_get_n_allocation_pools (query), ==, 2);
  static const guint expected[2][2] = { { 5, 0 }, { 4, 4 } };
  for (guint i = 0; i < 2; i++) {
    guint size, min, max;
    gst_query_parse_nth_allocation_pool (query, i, NULL, &size, &min, &max);
    g_assert_cmpuint (size, ==, 1234);
    g_assert_cmpuint (min, ==, expected[i][0]);
    g_assert_cmpuint (max, ==, expected[i][1]);
  }
  teardown (harness);
}

/* ------------------------------------------------------------------- regions */

static void
assert_shown_region (guint x, guint y, guint w, guint h)
{
  DeimFrame shown = fake_deim_get_counts ().last;
  g_assert_cmpuint (shown.region_x, ==, x);
  g_assert_cmpuint (shown.region_y, ==, y);
  g_assert_cmpuint (shown.region_w, ==, w);
  g_assert_cmpuint (shown.region_h, ==, h);
}

/* The region may change from frame to frame; boxes are in pixels of the whole frame. */
static void
test_region (void)
{
  GstHarness *harness = setup ("region=16,8,32,16", RGB_CAPS);
  g_autoptr (GstBuffer) part = infer (harness, RGB_CAPS, 0);
  assert_shown_region (16, 8, 32, 16);
  GstVideoRegionOfInterestMeta *roi = get_region (part, "class 0");
  g_assert_cmpuint (roi->x, ==, 24);
  g_assert_cmpuint (roi->y, ==, 12);
  g_assert_cmpuint (roi->w, ==, 16);
  g_assert_cmpuint (roi->h, ==, 8);
  g_assert_cmpfloat_with_epsilon (get_double (roi, "x_min"), 24.0 / 64, 1e-9);

  g_object_set (harness->element, "region", "40,20,0,100", NULL);
  gst_buffer_unref (infer (harness, RGB_CAPS, 1));
  assert_shown_region (40, 20, 24, 28);
  g_object_set (harness->element, "region", "", NULL);
  gst_buffer_unref (infer (harness, RGB_CAPS, 2));
  assert_shown_region (0, 0, 64, 48);

  /* Outside: the frame passes, once with a warning. */
  guint submitted = fake_deim_get_counts ().submitted;
  g_object_set (harness->element, "region", "64,0,10,10", NULL);
  for (guint i = 3; i < 5; i++) {
    g_autoptr (GstBuffer) outside = infer (harness, RGB_CAPS, i);
    g_assert_false (was_inferred (outside));
  }
  g_assert_cmpuint (fake_deim_get_counts ().submitted, ==, submitted);
  g_autoptr (GstMessage) warning = pop_message (harness, GST_MESSAGE_WARNING);
  g_assert_nonnull (warning);
  g_assert_null (pop_message (harness, GST_MESSAGE_WARNING));
  teardown (harness);
}

/* A crop is all that is looked at, in the coordinates of the frame that lies in memory. */
static void
test_crop (void)
{
  static const gchar cropped_caps[] = "video/x-raw,format=RGB,width=32,height=24,framerate=25/1";
  GstHarness *harness = setup ("", cropped_caps);
  GstBuffer *buffer = make_frame (RGB_CAPS, 0);
  gst_buffer_add_video_meta (buffer, GST_VIDEO_FRAME_FLAG_NONE, GST_VIDEO_FORMAT_RGB, 64, 48);
  GstVideoCropMeta *crop = gst_buffer_add_video_crop_meta (buffer);
  crop->x = 20;
  crop->y = 10;
  crop->width = 32;
  crop->height = 24;
  gst_harness_push (harness, buffer);
  g_autoptr (GstBuffer) out = pull_frame (harness, 0);
  assert_shown_region (20, 10, 32, 24);
  g_assert_cmpuint (fake_deim_get_counts ().last.width, ==, 64);
  GstVideoRegionOfInterestMeta *roi = get_region (out, "class 0");
  g_assert_cmpuint (roi->x, ==, 28);
  g_assert_cmpuint (roi->y, ==, 16);
  g_assert_cmpuint (roi->w, ==, 16);
  g_assert_cmpuint (roi->h, ==, 12);
  teardown (harness);
}

/* ------------------------------------------------------------------ metadata */

static void
test_metadata (void)
{
  GstHarness *harness = setup ("", RGB_CAPS);
  g_autoptr (GstBuffer) buffer = infer (harness, RGB_CAPS, 0);
  GstVideoRegionOfInterestMeta *middle = get_region (buffer, "class 0"), *corner = get_region (buffer, "class 1");
  g_assert_cmpuint (middle->x, ==, 16);
  g_assert_cmpuint (middle->y, ==, 12);
  g_assert_cmpuint (middle->w, ==, 32);
  g_assert_cmpuint (middle->h, ==, 24);
  g_assert_cmpint (middle->id, !=, corner->id);
  g_assert_cmpint (middle->parent_id, ==, -1);
  GstStructure *fields = gst_video_region_of_interest_meta_get_param (corner, "detection");
  gint label_id = -1;
  g_assert_true (gst_structure_get_int (fields, "label_id", &label_id));
  g_assert_cmpint (label_id, ==, 1);
  g_assert_cmpstr (gst_structure_get_string (fields, "label"), ==, "class 1");
  /* What readers of DL Streamer's layout know, of the types that they ask for, and which element it comes from. */
  static const struct {
    const gchar *name;
    GType type;
  } layout[] = { { "confidence", G_TYPE_DOUBLE }, { "label_id", G_TYPE_INT }, { "label", G_TYPE_STRING },
                 { "x_min", G_TYPE_DOUBLE },      { "y_min", G_TYPE_DOUBLE }, { "x_max", G_TYPE_DOUBLE },
                 { "y_max", G_TYPE_DOUBLE },      { "source", G_TYPE_STRING } };
  g_assert_cmpint (gst_structure_n_fields (fields), ==, G_N_ELEMENTS (layout));
  for (guint i = 0; i < G_N_ELEMENTS (layout); i++)
    g_assert_true (gst_structure_has_field_typed (fields, layout[i].name, layout[i].type));
  g_assert_cmpfloat_with_epsilon (get_double (corner, "confidence"), 0.6, 1e-6);
  /* The engine's box begins at -10, -10; what is attached ends at the frame. */
  g_assert_cmpuint (corner->x, ==, 0);
  g_assert_cmpuint (corner->y, ==, 0);
  g_assert_cmpuint (corner->w, ==, 16);
  g_assert_cmpuint (corner->h, ==, 12);
  g_assert_cmpfloat (get_double (corner, "x_min"), ==, 0.0);
  g_assert_cmpfloat_with_epsilon (get_double (corner, "x_max"), 0.25, 1e-6);
  g_assert_cmpfloat_with_epsilon (get_double (corner, "y_max"), 0.25, 1e-6);

  GstStructure *mark = get_frame_mark (buffer);
  guint detections = 0;
  guint64 frame = 99;
  g_assert_true (gst_structure_get_uint (mark, "detections", &detections));
  g_assert_true (gst_structure_get_uint64 (mark, "frame", &frame));
  g_assert_cmpuint (detections, ==, 2);
  g_assert_cmpuint (frame, ==, 0);
  g_assert_cmpstr (gst_structure_get_string (mark, "source"), ==, GST_OBJECT_NAME (harness->element));
  teardown (harness);
}

/* Nothing found, and nothing looked for, are two things. */
static void
test_empty (void)
{
  GstHarness *harness = setup ("inference-interval=2", RGB_CAPS);
  fake_deim_set_nothing (TRUE);
  g_autoptr (GstBuffer) nothing = infer (harness, RGB_CAPS, 0);
  g_autoptr (GstBuffer) skipped = infer (harness, RGB_CAPS, 1);
  g_assert_cmpuint (count_regions (nothing), ==, 0);
  g_assert_cmpuint (count_regions (skipped), ==, 0);
  g_assert_true (was_inferred (nothing));
  g_assert_false (was_inferred (skipped));
  g_assert_cmpstr (gst_structure_get_string (get_frame_mark (skipped), "skipped"), ==, "interval");
  teardown (harness);
}

/* A buffer that other branches of a tee hold too stays as it was. */
static void
test_shared_buffer (void)
{
  GstHarness *harness = setup ("", RGB_CAPS);
  GstBuffer *buffer = make_frame (RGB_CAPS, 0);
  g_autoptr (GstBuffer) other_branch = gst_buffer_ref (buffer);
  gst_harness_push (harness, buffer);
  g_autoptr (GstBuffer) out = pull_frame (harness, 0);
  g_assert_cmpuint (count_regions (out), ==, 2);
  g_assert_cmpuint (count_regions (other_branch), ==, 0);
  g_assert_null (get_frame_mark (other_branch));
  /* And its memory was not copied. */
  g_assert_true (gst_buffer_peek_memory (out, 0) == gst_buffer_peek_memory (other_branch, 0));
  teardown (harness);
}

/* ------------------------------------------------------------ settings while playing */

static void
assert_found (GstHarness *harness, guint number, guint expected)
{
  g_autoptr (GstBuffer) buffer = infer (harness, RGB_CAPS, number);
  g_assert_true (was_inferred (buffer));
  g_assert_cmpuint (count_regions (buffer), ==, expected);
}

/* The three detections score 0.7, 0.6 and 0.2; each change holds from the next frame on. */
static void
test_live_filter (void)
{
  GstHarness *harness = setup ("", RGB_CAPS);
  GObject *element = G_OBJECT (harness->element);
  assert_found (harness, 0, 2);
  g_object_set (element, "threshold", 0.65, NULL);
  assert_found (harness, 1, 1);
  g_object_set (element, "threshold", 0.0, NULL);
  assert_found (harness, 2, 3);
  g_object_set (element, "threshold", 1.0, NULL);
  assert_found (harness, 3, 0);
  g_object_set (element, "class-thresholds", "class 2:0.1, 1:0.6", NULL);
  assert_found (harness, 4, 2);
  g_object_set (element, "class-thresholds", "", "threshold", 0.5, "classes", " class 1 , 2", NULL);
  assert_found (harness, 5, 1);

  /* Nonsense is a warning, once, and the former choice stays. */
  g_object_set (element, "classes", "unicorn", NULL);
  assert_found (harness, 6, 1);
  assert_found (harness, 7, 1);
  g_autoptr (GstMessage) warning = pop_message (harness, GST_MESSAGE_WARNING);
  g_assert_nonnull (warning);
  g_assert_null (pop_message (harness, GST_MESSAGE_WARNING));
  g_assert_null (pop_message (harness, GST_MESSAGE_ERROR));
  g_object_set (element, "classes", NULL, NULL);
  assert_found (harness, 8, 2);
  teardown (harness);
}

/* With frames inside, a change holds from the next frame on that leaves, or enters: region, interval, pass-through. */
static void
test_live_in_flight (void)
{
  GstHarness *harness = setup ("in-flight=4", RGB_CAPS);
  GObject *element = G_OBJECT (harness->element);
  fake_deim_set_gate (FALSE);
  push_frames (harness, RGB_CAPS, 0, 2);
  g_object_set (element, "threshold", 0.65, "region", "0,0,32,24", "inference-interval", 2, NULL);
  push_frames (harness, RGB_CAPS, 2, 1); /* the second of a pair: skipped */
  g_object_set (element, "inference-interval", 1, NULL);
  push_frames (harness, RGB_CAPS, 3, 1);
  assert_shown_region (0, 0, 32, 24);
  g_object_set (element, "pass-through", TRUE, NULL);
  push_frames (harness, RGB_CAPS, 4, 1);
  fake_deim_set_gate (TRUE);
  gst_harness_push_event (harness, gst_event_new_eos ());
  for (guint i = 0; i < 5; i++) {
    g_autoptr (GstBuffer) buffer = pull_frame (harness, i);
    if (i == 4) {
      g_assert_null (get_frame_mark (buffer));
      continue;
    }
    g_assert_true (was_inferred (buffer) == (i != 2));
    g_assert_cmpuint (count_regions (buffer), ==, i != 2); /* of class 0 alone */
    if (i != 2) {
      g_assert_cmpuint (get_region (buffer, "class 0")->x, ==, i < 2 ? 16 : 8);
      g_assert_cmpuint (get_region (buffer, "class 0")->w, ==, i < 2 ? 32 : 16);
    }
  }
  teardown (harness);
}

/* The threshold as a function of time. */
static void
test_controlled (void)
{
  GstHarness *harness = setup ("", RGB_CAPS);
  g_autoptr (GstControlSource) source = gst_interpolation_control_source_new ();
  g_object_set (source, "mode", GST_INTERPOLATION_MODE_NONE, NULL);
  GstTimedValueControlSource *times = GST_TIMED_VALUE_CONTROL_SOURCE (source);
  gst_timed_value_control_source_set (times, 0, 0.5);
  gst_timed_value_control_source_set (times, 80 * GST_MSECOND, 0.65);
  gst_timed_value_control_source_set (times, 160 * GST_MSECOND, 1.0);
  g_assert_true (gst_object_add_control_binding (
      GST_OBJECT (harness->element),
      gst_direct_control_binding_new_absolute (GST_OBJECT (harness->element), "threshold", source)));
  static const guint expected[] = { 2, 2, 1, 1, 0, 0 };
  for (guint i = 0; i < G_N_ELEMENTS (expected); i++)
    assert_found (harness, i, expected[i]);
  teardown (harness);
}

static void
test_labels (void)
{
  g_autofree gchar *path = fake_deim_write_model (1);
  g_assert_true (g_file_set_contents (path, "cat\ndog: small\nbird\nfish\ncow\n", -1, NULL));
  g_autofree gchar *properties = g_strdup_printf ("labels-file=%s class-thresholds=\"cat:0.9,dog: small:0.5\"", path);
  GstHarness *harness = setup (properties, RGB_CAPS);
  g_autoptr (GstBuffer) buffer = infer (harness, RGB_CAPS, 0);
  g_assert_cmpuint (count_regions (buffer), ==, 1);
  get_region (buffer, "dog: small");
  teardown (harness);
  g_unlink (path);
}

static void
test_interval (void)
{
  GstHarness *harness = setup ("inference-interval=3", RGB_CAPS);
  for (guint i = 0; i < 7; i++) {
    g_autoptr (GstBuffer) buffer = infer (harness, RGB_CAPS, i);
    g_assert_true (was_inferred (buffer) == (i % 3 == 0));
  }
  g_object_set (harness->element, "inference-interval", 1, NULL);
  for (guint i = 7; i < 10; i++) {
    g_autoptr (GstBuffer) buffer = infer (harness, RGB_CAPS, i);
    g_assert_true (was_inferred (buffer));
  }
  g_assert_cmpuint (get_stat (harness->element, "skipped-interval"), ==, 4);
  teardown (harness);
}

/* Untouched means: the very same buffer, without a mark. */
static void
test_pass_through (void)
{
  GstHarness *harness = setup ("", RGB_CAPS);
  assert_found (harness, 0, 2);
  g_object_set (harness->element, "pass-through", TRUE, NULL);
  GstBuffer *buffer = make_frame (RGB_CAPS, 1);
  g_autoptr (GstBuffer) shared = gst_buffer_ref (buffer);
  gst_harness_push (harness, buffer);
  g_autoptr (GstBuffer) out = pull_frame (harness, 1);
  g_assert_true (out == shared);
  g_assert_null (get_frame_mark (out));
  g_assert_cmpuint (fake_deim_get_counts ().submitted, ==, 1);
  g_assert_cmpuint (get_stat (harness->element, "passed-through"), ==, 1);
  g_object_set (harness->element, "pass-through", FALSE, NULL);
  assert_found (harness, 2, 2);
  teardown (harness);
}

/* Memory that is no picture of these caps is an error, not a crash. */
static void
test_short_buffer (void)
{
  GstHarness *harness = setup ("", RGB_CAPS);
  GstBuffer *buffer = make_frame (RGB_CAPS, 0);
  gst_buffer_set_size (buffer, 100);
  g_assert_cmpint (gst_harness_push (harness, buffer), ==, GST_FLOW_ERROR);
  assert_one_error (harness, GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_READ, "cannot be read");
  teardown (harness);
}

int
main (int argc, char **argv)
{
  init_element_tests (&argc, &argv);
  GST_PLUGIN_STATIC_REGISTER (deim);
  model = fake_deim_write_model (5);

  g_test_add_func ("/deimdetect/formats", test_formats);
  g_test_add_func ("/deimdetect/colorimetry", test_colorimetry);
  g_test_add_func ("/deimdetect/padded", test_padded);
  g_test_add_data_func ("/deimdetect/allocation/strides", GINT_TO_POINTER (TRUE), test_allocation);
  g_test_add_data_func ("/deimdetect/allocation/no-strides", GINT_TO_POINTER (FALSE), test_allocation);
  g_test_add_func ("/deimdetect/pools", test_pools);
  g_test_add_func ("/deimdetect/region", test_region);
  g_test_add_func ("/deimdetect/crop", test_crop);
  g_test_add_func ("/deimdetect/metadata", test_metadata);
  g_test_add_func ("/deimdetect/empty", test_empty);
  g_test_add_func ("/deimdetect/shared-buffer", test_shared_buffer);
  g_test_add_func ("/deimdetect/live-filter", test_live_filter);
  g_test_add_func ("/deimdetect/live-in-flight", test_live_in_flight);
  g_test_add_func ("/deimdetect/controlled", test_controlled);
  g_test_add_func ("/deimdetect/labels", test_labels);
  g_test_add_func ("/deimdetect/interval", test_interval);
  g_test_add_func ("/deimdetect/pass-through", test_pass_through);
  g_test_add_func ("/deimdetect/short-buffer", test_short_buffer);
  int result = run_element_tests ();
  g_unlink (model);
  g_free (model);
  return result;
}
