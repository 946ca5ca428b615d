/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-analytics.c - detections as GstAnalyticsRelationMeta: written, merged, read, and drawn by GStreamer's own
 * element. Built where GStreamer has its analytics library (1.24; tests/trixie.sh). Runs on fake-deim.c.
 */
#include <glib/gstdio.h>
#include <json-glib/json-glib.h>
#include <math.h>
#include <string.h>

#define GST_USE_UNSTABLE_API
#include <gst/analytics/analytics.h>

#include "element-helpers.h"
#include "fake-deim.h"

GST_PLUGIN_STATIC_DECLARE (deim);
GST_PLUGIN_STATIC_DECLARE (deimoverlay);

/* of RGB_CAPS */
#define WIDTH  64
#define HEIGHT 48

static gchar *model; /* a fake one of 5 classes */

static GstHarness *
setup (const gchar *properties)
{
  fake_deim_reset ();
  g_autofree gchar *launch = g_strdup_printf ("deimdetect model=%s in-flight=1 %s", model, properties);
  return setup_harness (launch, RGB_CAPS);
}

static void
teardown (GstHarness *harness)
{
  teardown_harness (harness);
  g_assert_cmpuint (fake_deim_get_counts ().live, ==, 0);
}

static GstBuffer *
infer (GstHarness *harness, GstBuffer *buffer)
{
  g_assert_cmpint (gst_harness_push (harness, buffer), ==, GST_FLOW_OK);
  return gst_harness_pull (harness);
}

static guint
count_objects (GstBuffer *buffer)
{
  GstAnalyticsRelationMeta *relations = gst_buffer_get_analytics_relation_meta (buffer);
  gpointer state = NULL;
  GstAnalyticsMtd object;
  guint count = 0;
  while (relations &&
         gst_analytics_relation_meta_iterate (relations, &state, gst_analytics_od_mtd_get_mtd_type (), &object))
    count++;
  return count;
}

static void
assert_object (GstBuffer *buffer, const gchar *label, const gint box[4], gdouble confidence)
{
  GstAnalyticsRelationMeta *relations = gst_buffer_get_analytics_relation_meta (buffer);
  gpointer state = NULL;
  GstAnalyticsODMtd object;
  while (gst_analytics_relation_meta_iterate (relations, &state, gst_analytics_od_mtd_get_mtd_type (),
                                              (GstAnalyticsMtd *) &object)) {
    gint x, y, w, h;
    gfloat score;
    if (g_strcmp0 (g_quark_to_string (gst_analytics_od_mtd_get_obj_type (&object)), label) != 0)
      continue;
    g_assert_true (gst_analytics_od_mtd_get_location (&object, &x, &y, &w, &h, &score));
    g_test_message ("%s: %d,%d %dx%d, %.3f", label, x, y, w, h, (gdouble) score);
    g_assert_cmpint (x, ==, box[0]);
    g_assert_cmpint (y, ==, box[1]);
    g_assert_cmpint (w, ==, box[2]);
    g_assert_cmpint (h, ==, box[3]);
    g_assert_cmpfloat_with_epsilon ((gdouble) score, confidence, 1e-6);
    return;
  }
  g_error ("no object \"%s\"", label);
}

/* A region has the id of the object that it is: DL Streamer pairs them by it. */
static void
assert_same_ids (GstBuffer *buffer)
{
  GstAnalyticsRelationMeta *relations = gst_buffer_get_analytics_relation_meta (buffer);
  gpointer state = NULL;
  GstMeta *meta;
  while ((meta = gst_buffer_iterate_meta_filtered (buffer, &state, GST_VIDEO_REGION_OF_INTEREST_META_API_TYPE))) {
    const GstVideoRegionOfInterestMeta *region = (GstVideoRegionOfInterestMeta *) meta;
    GstAnalyticsODMtd object;
    g_assert_true (gst_analytics_relation_meta_get_od_mtd (relations, (guint) region->id, &object));
    g_assert_cmpuint (gst_analytics_od_mtd_get_obj_type (&object), ==, region->roi_type);
  }
}

static void
test_modes (void)
{
  static const struct {
    const gchar *properties;
    guint objects, regions;
  } cases[] = { { "", 2, 2 }, { "meta=both", 2, 2 }, { "meta=analytics", 2, 0 }, { "meta=roi", 0, 2 } };
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    GstHarness *harness = setup (cases[i].properties);
    g_autoptr (GstBuffer) buffer = infer (harness, make_frame (RGB_CAPS, 0));
    g_assert_cmpuint (count_objects (buffer), ==, cases[i].objects);
    g_assert_cmpuint (count_regions (buffer), ==, cases[i].regions);
    g_assert_true (!gst_buffer_get_analytics_relation_meta (buffer) == (cases[i].objects == 0));
    if (cases[i].objects > 0) {
      assert_object (buffer, "class 0", (const gint[]){ 16, 12, 32, 24 }, 0.7);
      assert_object (buffer, "class 1", (const gint[]){ 0, 0, 16, 12 }, 0.6);
      assert_same_ids (buffer);
    }
    teardown (harness);
  }
}

/* What another element found stays, in the one meta that there is. */
static void
test_merge (void)
{
  GstHarness *harness = setup ("");
  GstBuffer *buffer = make_frame (RGB_CAPS, 0);
  GstAnalyticsRelationMeta *before = gst_buffer_add_analytics_relation_meta (buffer);
  GstAnalyticsODMtd face;
  g_assert_true (
      gst_analytics_relation_meta_add_od_mtd (before, g_quark_from_string ("face"), 1, 2, 3, 4, 0.5f, &face));
  g_autoptr (GstBuffer) out = infer (harness, buffer);
  g_assert_cmpuint (gst_buffer_get_n_meta (out, GST_ANALYTICS_RELATION_META_API_TYPE), ==, 1);
  g_assert_cmpuint (count_objects (out), ==, 3);
  assert_object (out, "face", (const gint[]){ 1, 2, 3, 4 }, 0.5);
  assert_object (out, "class 1", (const gint[]){ 0, 0, 16, 12 }, 0.6);
  teardown (harness);
}

/* The meta is there and empty when nothing was found, and not there when nobody looked. */
static void
test_empty (void)
{
  GstHarness *harness = setup ("inference-interval=2");
  fake_deim_set_nothing (TRUE);
  g_autoptr (GstBuffer) nothing = infer (harness, make_frame (RGB_CAPS, 0));
  g_autoptr (GstBuffer) skipped = infer (harness, make_frame (RGB_CAPS, 1));
  GstAnalyticsRelationMeta *relations = gst_buffer_get_analytics_relation_meta (nothing);
  g_assert_nonnull (relations);
  g_assert_cmpuint (gst_analytics_relation_get_length (relations), ==, 0);
  g_assert_null (gst_buffer_get_analytics_relation_meta (skipped));
  teardown (harness);
}

/* More objects than the meta has room for at first. */
static void
test_many (void)
{
  GstHarness *harness = setup ("threshold=0");
  GstBuffer *buffer = make_frame (RGB_CAPS, 0);
  for (guint round = 0; round < 100; round++)
    buffer = infer (harness, buffer);
  g_assert_cmpuint (count_objects (buffer), ==, 300);
  gst_buffer_unref (buffer);
  teardown (harness);
}

/* ------------------------------------------------------------------- reading */

/* The detections that deimjson writes for @buffer. Free with json_node_unref(). */
static JsonNode *
tell (GstBuffer *buffer)
{
  g_autofree gchar *path = NULL, *text = NULL;
  g_autoptr (GError) error = NULL;
  gint file = g_file_open_tmp ("deim-XXXXXX.jsonl", &path, &error);
  g_assert_no_error (error);
  g_close (file, NULL);
  g_autofree gchar *launch = g_strdup_printf ("deimjson location=%s", path);
  GstHarness *harness = setup_harness (launch, RGB_CAPS);
  gst_buffer_unref (infer (harness, gst_buffer_ref (buffer)));
  teardown_harness (harness);
  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  g_unlink (path);
  JsonNode *node = json_from_string (text, &error);
  g_assert_no_error (error);
  g_assert_nonnull (node);
  return node;
}

static JsonObject *
told (JsonNode *node, guint index, guint expected)
{
  JsonArray *detections = json_object_get_array_member (json_node_get_object (node), "detections");
  g_assert_cmpuint (json_array_get_length (detections), ==, expected);
  return json_array_get_object_element (detections, index);
}

/* An object that stands there twice is told once. */
static void
test_read_both (void)
{
  GstHarness *harness = setup ("meta=both");
  g_autoptr (GstBuffer) buffer = infer (harness, make_frame (RGB_CAPS, 0));
  g_autoptr (JsonNode) node = tell (buffer);
  JsonObject *first = told (node, 0, 2);
  g_assert_cmpstr (json_object_get_string_member (first, "label"), ==, "class 0");
  g_assert_cmpint (json_object_get_int_member (first, "label_id"), ==, 0);
  teardown (harness);
}

/* Objects and tracks of other elements, without regions of interest. */
static void
test_read_foreign (void)
{
  g_autoptr (GstBuffer) buffer = make_frame (RGB_CAPS, 0);
  GstAnalyticsRelationMeta *relations = gst_buffer_add_analytics_relation_meta (buffer);
  GstAnalyticsODMtd face, hand;
  GstAnalyticsTrackingMtd track;
  gst_analytics_relation_meta_add_od_mtd (relations, g_quark_from_string ("face"), 1, 2, 3, 4, 0.5f, &face);
  gst_analytics_relation_meta_add_od_mtd (relations, g_quark_from_string ("hand"), -5, 2, 30, 4, 0.25f, &hand);
  gst_analytics_relation_meta_add_tracking_mtd (relations, 77, 0, &track);
  gst_analytics_relation_meta_set_relation (relations, GST_ANALYTICS_REL_TYPE_RELATE_TO, hand.id, track.id);
  g_autoptr (JsonNode) node = tell (buffer);
  g_assert_false (json_object_has_member (told (node, 0, 2), "track_id"));
  JsonObject *second = told (node, 1, 2);
  g_assert_cmpstr (json_object_get_string_member (second, "label"), ==, "hand");
  g_assert_cmpint (json_object_get_int_member (second, "track_id"), ==, 77);
  g_assert_true (json_object_get_null_member (second, "label_id"));
  g_assert_cmpfloat (json_object_get_double_member (second, "score"), ==, 0.25);
  JsonArray *box = json_object_get_array_member (second, "box");
  g_assert_cmpint (json_array_get_int_element (box, 0), ==, -5);
  g_assert_cmpint (json_array_get_int_element (box, 2), ==, 25);
}

/* ------------------------------------------------------------------ pipelines */

/* One black frame of RGB_CAPS through deimdetect, with its metadata of kind @meta, and @after. */
static GstBuffer *
detect_and (const gchar *meta, const gchar *after)
{
  fake_deim_reset ();
  g_autofree gchar *launch =
      g_strdup_printf ("videotestsrc num-buffers=1 pattern=black ! %s ! deimdetect model=%s meta=%s ! %s "
                       "! appsink name=out sync=false",
                       RGB_CAPS, model, meta, after);
  g_autoptr (GError) error = NULL;
  g_autoptr (GstElement) pipeline = gst_parse_launch (launch, &error);
  g_assert_no_error (error);
  g_autoptr (GstElement) out = gst_bin_get_by_name (GST_BIN (pipeline), "out");
  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  g_autoptr (GstSample) sample = NULL;
  g_signal_emit_by_name (out, "pull-sample", &sample);
  g_assert_nonnull (sample);
  gst_element_set_state (pipeline, GST_STATE_NULL);
  return gst_buffer_ref (gst_sample_get_buffer (sample));
}

static void
test_scaled (void)
{
  g_autoptr (GstBuffer) buffer = detect_and ("auto", "videoscale ! video/x-raw,width=128,height=24");
  g_assert_cmpuint (count_objects (buffer), ==, 2);
  assert_object (buffer, "class 0", (const gint[]){ 32, 6, 64, 12 }, 0.7);
  assert_object (buffer, "class 1", (const gint[]){ 0, 0, 32, 6 }, 0.6);
  /* Both kinds were scaled alike, so they are still known for the same objects. */
  g_autoptr (JsonNode) node = tell (buffer);
  told (node, 0, 2);
}

static void
test_cropped (void)
{
  g_autoptr (GstBuffer) buffer = detect_and ("auto", "videocrop left=8 top=4 right=2 bottom=2");
  guint major, minor, micro, nano, objects = count_objects (buffer);
  gst_version (&major, &minor, &micro, &nano);
  g_test_message ("%u objects and %u regions are left", objects, count_regions (buffer));
  if (minor < 28) /* see test-deimdetect-results.c */
    g_assert_cmpuint (objects, ==, 0);
  if (objects > 0)
    assert_object (buffer, "class 0", (const gint[]){ 8, 8, 32, 24 }, 0.7);
}

/* How far a pixel is from the outline of x1, y1, x2, y2; an outline at the frame's own edge only counts @at_border. */
static gdouble
distance (guint x, guint y, const gint box[4], gboolean at_border)
{
  gdouble dx = 1e9, dy = 1e9, px = x + 0.5, py = y + 0.5;
  for (guint i = 0; i < 4; i += 2) {
    if (box[i] > 0 || at_border)
      dx = MIN (dx, fabs (px - box[i]));
    if (box[i + 1] > 0 || at_border)
      dy = MIN (dy, fabs (py - box[i + 1]));
  }
  gdouble beside_x = MAX (0, MAX (box[0] - px, px - box[2])), beside_y = MAX (0, MAX (box[1] - py, py - box[3]));
  return MIN (MAX (dx, beside_y), MAX (dy, beside_x));
}

/* GStreamer's own overlay draws our objects where they are, and ours draws the same: along every edge there is colour,
 * and nowhere else. */
static void
test_drawn (gconstpointer data)
{
  static const gint boxes[2][4] = { { 16, 12, 48, 36 }, { 0, 0, 16, 12 } };
  const gchar *const *drawing = data, *overlay = drawing[1];
  g_autofree gchar *name = g_strdelimit (g_strdup (overlay), " ", '\0');
  gboolean upstream = g_str_equal (name, "objectdetectionoverlay");
  g_autoptr (GstElementFactory) factory = gst_element_factory_find (name);
  if (!factory) {
    g_test_skip ("GStreamer's bad plugins are not here");
    return;
  }
  /* It keeps the last drawing for ever (1.26.2). */
  if (upstream)
    begin_foreign_leaks ();
  GstBuffer *buffer = detect_and (drawing[0], overlay);
  GstMapInfo map;
  g_assert_true (gst_buffer_map (buffer, &map, GST_MAP_READ));
  g_assert_cmpuint (map.size, ==, WIDTH * HEIGHT * 3);
  gboolean drawn[HEIGHT][WIDTH];
  for (guint y = 0; y < HEIGHT; y++) {
    for (guint x = 0; x < WIDTH; x++) {
      const guint8 *rgb = map.data + (y * WIDTH + x) * 3;
      drawn[y][x] = MAX (MAX (rgb[0], rgb[1]), rgb[2]) > 64;
      if (drawn[y][x] && upstream)
        g_assert_cmpuint (MAX (rgb[0], rgb[2]), <, rgb[1] / 4); /* of the colour that was asked for */
      if (drawn[y][x] && MIN (distance (x, y, boxes[0], TRUE), distance (x, y, boxes[1], TRUE)) > 3)
        g_error ("something is drawn at %u,%u: %u %u %u", x, y, rgb[0], rgb[1], rgb[2]);
    }
  }
  gst_buffer_unmap (buffer, &map);
  gst_buffer_unref (buffer);
  if (upstream)
    end_foreign_leaks ();
  for (guint i = 0; i < G_N_ELEMENTS (boxes); i++) {
    for (guint y = 0; y < HEIGHT; y++) {
      for (guint x = 0; x < WIDTH; x++) {
        gboolean near = FALSE;
        if (distance (x, y, boxes[i], FALSE) > 0.6)
          continue;
        for (guint v = y - MIN (y, 2); v <= MIN (y + 2, HEIGHT - 1); v++)
          for (guint u = x - MIN (x, 2); u <= MIN (x + 2, WIDTH - 1); u++)
            near |= drawn[v][u];
        if (!near)
          g_error ("nothing is drawn at %u,%u, on the edge of box %u", x, y, i);
      }
    }
  }
}

int
main (int argc, char **argv)
{
  init_element_tests (&argc, &argv);
  GST_PLUGIN_STATIC_REGISTER (deim);
  GST_PLUGIN_STATIC_REGISTER (deimoverlay);
  model = fake_deim_write_model (5);

  g_test_add_func ("/analytics/modes", test_modes);
  g_test_add_func ("/analytics/merge", test_merge);
  g_test_add_func ("/analytics/empty", test_empty);
  g_test_add_func ("/analytics/many", test_many);
  g_test_add_func ("/analytics/read-both", test_read_both);
  g_test_add_func ("/analytics/read-foreign", test_read_foreign);
  g_test_add_func ("/analytics/scaled", test_scaled);
  g_test_add_func ("/analytics/cropped", test_cropped);
  static const gchar *const drawings[][2] = { { "auto", "objectdetectionoverlay draw-labels=false "
                                                        "object-detection-outline-color=0xff00ff00" },
                                              { "auto", "deimoverlay draw-labels=false" },
                                              { "analytics", "deimoverlay draw-labels=false" },
                                              { "roi", "deimoverlay draw-labels=false" } };
  for (guint i = 0; i < G_N_ELEMENTS (drawings); i++) {
    g_autofree gchar *overlay = g_strdelimit (g_strdup (drawings[i][1]), " ", '\0');
    g_autofree gchar *path = g_strdup_printf ("/analytics/drawn/%s/%s", drawings[i][0], overlay);
    g_test_add_data_func (path, drawings[i], test_drawn);
  }
  int result = run_element_tests ();
  g_unlink (model);
  g_free (model);
  return result;
}
