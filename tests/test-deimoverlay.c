/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-deimoverlay.c - what deimoverlay draws, where, and who blends it.
 */
#include <cairo.h>
#include <stdlib.h>

#include "element-helpers.h"
#include "overlay/draw.h"

GST_PLUGIN_STATIC_DECLARE (deim);
GST_PLUGIN_STATIC_DECLARE (deimoverlay);

#define WIDTH  320
#define HEIGHT 200
#define CAPS   "video/x-raw,format=RGB,width=320,height=200,framerate=25/1"
#define GREY   100 /* make_frame() fills a frame with its number */

static void
add_foreign_region (GstBuffer *buffer, const gchar *label, guint x, guint y, guint w, guint h)
{
  gst_buffer_add_video_region_of_interest_meta (buffer, label, x, y, w, h);
}

/* As deimdetect and DL Streamer attach it. */
static void
add_detection (GstBuffer *buffer, const gchar *label, gint label_id, gdouble confidence, const DeimDrawRect *rect)
{
  GstVideoRegionOfInterestMeta *roi = gst_buffer_add_video_region_of_interest_meta (
      buffer, label, (guint) rect->x, (guint) rect->y, (guint) rect->width, (guint) rect->height);
  gst_video_region_of_interest_meta_add_param (
      roi,
      gst_structure_new ("detection", "confidence", G_TYPE_DOUBLE, confidence, "label_id", G_TYPE_INT, label_id, NULL));
}

static GstBuffer *
draw (GstHarness *harness, GstBuffer *buffer)
{
  g_assert_cmpint (gst_harness_push (harness, buffer), ==, GST_FLOW_OK);
  return gst_harness_pull (harness);
}

static void
get_pixel (GstBuffer *buffer, guint x, guint y, gint rgb[3])
{
  guint8 bytes[3] = { 0 };
  g_assert_cmpuint (gst_buffer_extract (buffer, (y * WIDTH + x) * 3, bytes, 3), ==, 3);
  for (guint i = 0; i < 3; i++)
    rgb[i] = bytes[i];
}

static void
assert_pixel (GstBuffer *buffer, guint x, guint y, const gint expected[3])
{
  gint rgb[3];
  get_pixel (buffer, x, y, rgb);
  for (guint i = 0; i < 3; i++)
    g_assert_cmpint (ABS (rgb[i] - expected[i]), <=, 2);
}

static void
class_colour (guint index, gint rgb[3])
{
  gdouble colour[3];
  deim_draw_colour (index, colour);
  for (guint i = 0; i < 3; i++)
    rgb[i] = (gint) (colour[i] * 255 + 0.5);
}

static const gint grey[3] = { GREY, GREY, GREY };

/* The border has the colour of the class, inside and outside are as they were. */
static void
test_border (void)
{
  GstHarness *harness = setup_harness ("deimoverlay draw-labels=false line-width=4", CAPS);
  GstBuffer *buffer = make_frame (CAPS, GREY);
  add_detection (buffer, "dog", 5, 0.8, &(DeimDrawRect){ 100, 60, 120, 90 });
  g_autoptr (GstBuffer) out = draw (harness, buffer);
  gint colour[3];
  class_colour (5, colour);
  for (guint i = 0; i < 4; i++) {
    assert_pixel (out, 100 + i, 100, colour);
    assert_pixel (out, 219 - i, 100, colour);
    assert_pixel (out, 150, 60 + i, colour);
    assert_pixel (out, 150, 149 - i, colour);
  }
  assert_pixel (out, 160, 100, grey);
  assert_pixel (out, 106, 66, grey);
  assert_pixel (out, 97, 100, grey);
  assert_pixel (out, 222, 100, grey);
  assert_pixel (out, 150, 57, grey);
  assert_pixel (out, 150, 152, grey);
  teardown_harness (harness);
}

static guint
count_changed (GstBuffer *buffer)
{
  guint changed = 0;
  for (guint y = 0; y < HEIGHT; y++) {
    for (guint x = 0; x < WIDTH; x++) {
      gint rgb[3];
      get_pixel (buffer, x, y, rgb);
      changed += rgb[0] != GREY || rgb[1] != GREY || rgb[2] != GREY;
    }
  }
  return changed;
}

/* Where DL Streamer's tracker gave a number, that is the colour, and it is written. */
static void
test_tracks (void)
{
  guint changed[2];
  for (guint i = 0; i < 2; i++) {
    GstHarness *harness = setup_harness ("deimoverlay line-width=4", CAPS);
    GstBuffer *buffer = make_frame (CAPS, GREY);
    add_detection (buffer, "dog", 5, 0.8, &(DeimDrawRect){ 100, 60, 120, 90 });
    gpointer state = NULL;
    GstMeta *meta = gst_buffer_iterate_meta_filtered (buffer, &state, GST_VIDEO_REGION_OF_INTEREST_META_API_TYPE);
    if (i)
      gst_video_region_of_interest_meta_add_param ((GstVideoRegionOfInterestMeta *) meta,
                                                   gst_structure_new ("object_id", "id", G_TYPE_INT, 1234, NULL));
    g_autoptr (GstBuffer) out = draw (harness, buffer);
    gint colour[3];
    class_colour (i ? 1234 : 5, colour);
    assert_pixel (out, 101, 100, colour);
    changed[i] = count_changed (out);
    teardown_harness (harness);
  }
  g_assert_cmpuint (changed[1], >, changed[0] + 100); /* "#1234 " */
}

/* Regions of elements that know nothing of ours: with a label, without one, one beyond the frame, one without size. */
static void
test_foreign_regions (void)
{
  GstHarness *harness = setup_harness ("deimoverlay line-width=2", CAPS);
  GstBuffer *buffer = make_frame (CAPS, GREY);
  add_foreign_region (buffer, "face", 20, 100, 50, 50);
  GstVideoRegionOfInterestMeta *nameless =
      gst_buffer_add_video_region_of_interest_meta_id (buffer, 0, 200, 100, 60, 50);
  g_assert_nonnull (nameless);
  add_foreign_region (buffer, "huge", 300, 180, G_MAXUINT, G_MAXUINT);
  add_foreign_region (buffer, "gone", 5000, 5000, 10, 10);
  add_foreign_region (buffer, "flat", 10, 10, 0, 0);
  g_autoptr (GstBuffer) out = draw (harness, buffer);
  gint pixel[3];
  get_pixel (out, 20, 125, pixel);
  g_assert_false (pixel[0] == GREY && pixel[1] == GREY && pixel[2] == GREY);
  get_pixel (out, 200, 125, pixel);
  g_assert_false (pixel[0] == GREY && pixel[1] == GREY && pixel[2] == GREY);
  get_pixel (out, 300, 190, pixel);
  g_assert_false (pixel[0] == GREY && pixel[1] == GREY && pixel[2] == GREY);
  assert_pixel (out, 10, 10, grey);
  teardown_harness (harness);
}

/* A frame without regions passes untouched, its memory too. */
static void
test_nothing_to_draw (void)
{
  GstHarness *harness = setup_harness ("deimoverlay", CAPS);
  GstBuffer *buffer = make_frame (CAPS, GREY);
  GstMemory *memory = gst_buffer_peek_memory (buffer, 0);
  g_autoptr (GstBuffer) out = draw (harness, buffer);
  g_assert_true (gst_buffer_peek_memory (out, 0) == memory);
  g_assert_cmpuint (count_changed (out), ==, 0);
  teardown_harness (harness);
}

static void
test_labels (void)
{
  guint changed[3];
  static const gchar *const launches[] = { "deimoverlay draw-labels=false", "deimoverlay draw-scores=false",
                                           "deimoverlay" };
  for (guint i = 0; i < 3; i++) {
    GstHarness *harness = setup_harness (launches[i], CAPS);
    GstBuffer *buffer = make_frame (CAPS, GREY);
    add_detection (buffer, "dog", 5, 0.8, &(DeimDrawRect){ 100, 60, 40, 90 });
    g_autoptr (GstBuffer) out = draw (harness, buffer);
    changed[i] = count_changed (out);
    teardown_harness (harness);
  }
  g_test_message ("pixels drawn: box %u, with label %u, with score %u", changed[0], changed[1], changed[2]);
  g_assert_cmpuint (changed[0], >, 0);
  g_assert_cmpuint (changed[1], >, changed[0] + 100);
  g_assert_cmpuint (changed[2], >, changed[1] + 100);
}

/* The harness' answer to the question who blends: itself, that is this test. */
static GstHarness *
setup_blender (const gchar *launch)
{
  GstHarness *harness = setup_harness (launch, NULL);
  gst_harness_add_propose_allocation_meta (harness, GST_VIDEO_OVERLAY_COMPOSITION_META_API_TYPE, NULL);
  gst_harness_set_sink_caps_str (harness,
                                 "video/x-raw(memory:SystemMemory,meta:GstVideoOverlayComposition);video/x-raw");
  gst_harness_set_src_caps_str (harness, CAPS);
  return harness;
}

static GstBuffer *
blend (GstBuffer *buffer)
{
  g_autoptr (GstCaps) caps = gst_caps_from_string (CAPS);
  GstVideoInfo info;
  GstVideoFrame frame;
  gst_video_info_from_caps (&info, caps);
  buffer = gst_buffer_make_writable (buffer);
  GstVideoOverlayCompositionMeta *meta = gst_buffer_get_video_overlay_composition_meta (buffer);
  if (meta) {
    g_assert_true (gst_video_frame_map (&frame, &info, buffer, GST_MAP_READWRITE));
    gst_video_overlay_composition_blend (meta->overlay, &frame);
    gst_video_frame_unmap (&frame);
  }
  return buffer;
}

/* The overlay cuts its drawing into pieces; put together again they must be what one drawing in one piece is. */
static void
test_pieces_are_complete (gconstpointer downstream_blends)
{
  GRand *rand = g_rand_new_with_seed (7);
  GstHarness *harness = downstream_blends ? setup_blender ("deimoverlay") : setup_harness ("deimoverlay", CAPS);
  for (guint round = 0; round < 60; round++) {
    guint n = (guint) g_rand_int_range (rand, 1, 7), line = (guint) g_rand_int_range (rand, 0, 9);
    g_object_set (harness->element, "line-width", line, NULL);
    GstBuffer *buffer = make_frame (CAPS, GREY);
    DeimDrawBox boxes[8];
    for (guint i = 0; i < n; i++) {
      DeimDrawRect rect = { g_rand_int_range (rand, 0, WIDTH), g_rand_int_range (rand, 0, HEIGHT),
                            g_rand_int_range (rand, 1, WIDTH), g_rand_int_range (rand, 1, HEIGHT) };
      add_detection (buffer, i % 2 ? "person" : "fire hydrant", (gint) i, 0.3 + 0.1 * i, &rect);
      boxes[i] = (DeimDrawBox){ .x1 = rect.x,
                                .y1 = rect.y,
                                .x2 = rect.x + rect.width,
                                .y2 = rect.y + rect.height,
                                .label = i % 2 ? "person" : "fire hydrant",
                                .score = 0.3 + 0.1 * i,
                                .class_index = i,
                                .track_id = -1 };
    }
    g_autoptr (GstBuffer) out = downstream_blends ? blend (draw (harness, buffer)) : draw (harness, buffer);

    cairo_surface_t *surface = cairo_image_surface_create (CAIRO_FORMAT_RGB24, WIDTH, HEIGHT);
    cairo_t *cr = cairo_create (surface);
    cairo_set_source_rgb (cr, GREY / 255.0, GREY / 255.0, GREY / 255.0);
    cairo_paint (cr);
    DeimDrawStyle style = { .line_width = line };
    deim_draw_boxes (cr, WIDTH, HEIGHT, boxes, n, &style);
    cairo_destroy (cr);
    cairo_surface_flush (surface);
    const guint8 *data = cairo_image_surface_get_data (surface);
    gint stride = cairo_image_surface_get_stride (surface);
    for (gint y = 0; y < HEIGHT; y++) {
      for (gint x = 0; x < WIDTH; x++) {
        gint rgb[3];
        get_pixel (out, (guint) x, (guint) y, rgb);
        const guint8 *expected = data + y * stride + x * 4;
        for (gint c = 0; c < 3; c++) {
          if (ABS (rgb[c] - expected[2 - c]) > 3)
            g_error ("round %u, pixel %d,%d: %d instead of %d (line width %u)", round, x, y, rgb[c], expected[2 - c],
                     line);
        }
      }
    }
    cairo_surface_destroy (surface);
  }
  teardown_harness (harness);
  g_rand_free (rand);
}

/* Formats with subsampled chroma and 10 bits, and an odd size. */
static void
test_formats (void)
{
  static const gchar *const names[] = { "I420", "NV12", "YUY2", "Y444", "RGB", "ARGB", "GRAY8", "P010_10LE" };
  for (guint i = 0; i < G_N_ELEMENTS (names); i++) {
    g_autofree gchar *caps_text =
        g_strdup_printf ("video/x-raw,format=%s,width=161,height=91,framerate=25/1", names[i]);
    g_autoptr (GstCaps) caps = gst_caps_from_string (caps_text);
    GstHarness *harness = setup_harness ("deimoverlay", caps_text);
    GstBuffer *buffer = make_frame (caps_text, GREY);
    add_foreign_region (buffer, "face", 31, 31, 60, 40);
    g_autoptr (GstBuffer) before = gst_buffer_copy_deep (buffer);
    g_autoptr (GstBuffer) out = draw (harness, buffer);
    GstMapInfo a, b;
    g_assert_true (gst_buffer_map (before, &a, GST_MAP_READ) && gst_buffer_map (out, &b, GST_MAP_READ));
    guint changed = 0;
    g_assert_cmpuint (a.size, ==, b.size);
    for (gsize byte = 0; byte < a.size; byte++)
      changed += a.data[byte] != b.data[byte];
    g_test_message ("%s: %u bytes drawn", names[i], changed);
    g_assert_cmpuint (changed, >, 200);
    gst_buffer_unmap (before, &a);
    gst_buffer_unmap (out, &b);
    g_autoptr (GstCaps) out_caps = gst_pad_get_current_caps (harness->sinkpad);
    g_assert_true (gst_caps_is_equal (out_caps, caps));
    teardown_harness (harness);
  }
}

/* A frame that belongs to the overlay alone is drawn into, not copied. */
static void
test_in_place (void)
{
  GstHarness *harness = setup_harness ("deimoverlay", CAPS);
  GstBuffer *buffer = make_frame (CAPS, GREY);
  GstMemory *memory = gst_buffer_peek_memory (buffer, 0);
  add_foreign_region (buffer, "face", 20, 100, 50, 50);
  g_autoptr (GstBuffer) out = draw (harness, buffer);
  g_assert_true (gst_buffer_peek_memory (out, 0) == memory);
  g_assert_cmpuint (count_changed (out), >, 0);

  /* One that others hold, too, stays as it is for them. */
  g_autoptr (GstBuffer) shared = make_frame (CAPS, GREY);
  add_foreign_region (shared, "face", 20, 100, 50, 50);
  g_autoptr (GstBuffer) drawn = draw (harness, gst_buffer_ref (shared));
  g_assert_cmpuint (count_changed (shared), ==, 0);
  g_assert_cmpuint (count_changed (drawn), ==, count_changed (out));
  teardown_harness (harness);
}

/* A cropped frame is drawn into as a whole, and regions count from its corner, not from the picture's. */
static void
test_cropped (void)
{
  static const gchar part[] = "video/x-raw,format=RGB,width=200,height=120,framerate=25/1";
  GstHarness *harness = setup_harness ("deimoverlay draw-labels=false line-width=4", part);
  GstBuffer *buffer = make_frame (CAPS, GREY);
  gst_buffer_add_video_meta (buffer, GST_VIDEO_FRAME_FLAG_NONE, GST_VIDEO_FORMAT_RGB, WIDTH, HEIGHT);
  GstVideoCropMeta *crop = gst_buffer_add_video_crop_meta (buffer);
  crop->x = 51;
  crop->y = 33;
  crop->width = 200;
  crop->height = 120;
  add_detection (buffer, "dog", 5, 0.8, &(DeimDrawRect){ 71, 63, 90, 60 });
  g_autoptr (GstBuffer) out = draw (harness, buffer);
  gint colour[3];
  class_colour (5, colour);
  assert_pixel (out, 72, 93, colour);
  assert_pixel (out, 159, 93, colour);
  assert_pixel (out, 110, 64, colour);
  assert_pixel (out, 110, 121, colour);
  assert_pixel (out, 21, 60, grey);
  teardown_harness (harness);
}

/* Downstream that blends gets the drawing as metadata and the picture as it was. */
static void
test_downstream_blends (void)
{
  GstHarness *harness = setup_blender ("deimoverlay");
  GstBuffer *buffer = make_frame (CAPS, GREY);
  add_detection (buffer, "dog", 5, 0.8, &(DeimDrawRect){ 100, 60, 120, 90 });
  g_autoptr (GstBuffer) out = draw (harness, buffer);
  g_assert_cmpuint (count_changed (out), ==, 0);
  GstVideoOverlayCompositionMeta *meta = gst_buffer_get_video_overlay_composition_meta (out);
  g_assert_nonnull (meta);
  /* Four strips and a label: the inside of a box is not worth blending. */
  guint n = gst_video_overlay_composition_n_rectangles (meta->overlay);
  g_assert_cmpuint (n, ==, 5);
  guint area = 0;
  for (guint i = 0; i < n; i++) {
    gint x, y;
    guint w, h;
    GstVideoOverlayRectangle *rect = gst_video_overlay_composition_get_rectangle (meta->overlay, i);
    gst_video_overlay_rectangle_get_render_rectangle (rect, &x, &y, &w, &h);
    g_assert_true (x >= 0 && y >= 0 && x + (gint) w <= WIDTH && y + (gint) h <= HEIGHT);
    area += w * h;
  }
  g_assert_cmpuint (area, <, 120 * 90);
  teardown_harness (harness);
}

/* New sizes in mid-stream, and starting again. */
static void
test_caps_change (void)
{
  static const gchar small_caps[] = "video/x-raw,format=RGB,width=64,height=48,framerate=25/1";
  GstHarness *harness = setup_harness ("deimoverlay", CAPS);
  for (guint round = 0; round < 3; round++) {
    const gchar *caps = round % 2 ? small_caps : CAPS;
    gst_harness_set_src_caps_str (harness, caps);
    GstBuffer *buffer = make_frame (caps, GREY);
    add_foreign_region (buffer, "face", 10, 20, 40, 20);
    gst_buffer_unref (draw (harness, buffer));
  }
  teardown_harness (harness);
}

/* Frame @number as deimdetect leaves it: with a box, or not inferred. */
static GstBuffer *
make_marked (guint number, gboolean inferred)
{
  GstBuffer *buffer = make_frame (CAPS, GREY);
  GST_BUFFER_PTS (buffer) = number * 40 * GST_MSECOND;
  if (inferred)
    add_detection (buffer, "dog", 5, 0.8, &(DeimDrawRect){ 100, 60, 120, 90 });
  GstStructure *fields = gst_custom_meta_get_structure (gst_buffer_add_custom_meta (buffer, "DeimFrameMeta"));
  gst_structure_set (fields, "inferred", G_TYPE_BOOLEAN, inferred, NULL);
  return buffer;
}

static guint
draw_and_count (GstHarness *harness, GstBuffer *buffer)
{
  g_autoptr (GstBuffer) out = draw (harness, buffer);
  return count_changed (out);
}

/* 250 ms are six frames of 40 ms. */
static void
test_hold (void)
{
  GstHarness *harness = setup_harness ("deimoverlay hold=250 draw-labels=false line-width=4", CAPS);
  g_assert_cmpuint (draw_and_count (harness, make_marked (0, FALSE)), ==, 0);
  guint whole = draw_and_count (harness, make_marked (1, TRUE));
  g_assert_cmpuint (whole, >, 0);
  guint dashed = 0;
  for (guint i = 2; i < 8; i++) {
    g_autoptr (GstBuffer) out = draw (harness, make_marked (i, FALSE));
    dashed = count_changed (out);
    /* Dashed: about half of the line is there, in the same place and colour. */
    g_test_message ("frame %u: %u of %u pixels", i, dashed, whole);
    g_assert_cmpuint (dashed, >, whole / 3);
    g_assert_cmpuint (dashed, <, whole * 4 / 5);
    gint colour[3];
    class_colour (5, colour);
    assert_pixel (out, 103, 62, colour);
    assert_pixel (out, 160, 100, grey);
  }
  g_assert_cmpuint (draw_and_count (harness, make_marked (8, FALSE)), ==, 0);

  /* Seen again, then told not to hold, then told to hold again. */
  g_assert_cmpuint (draw_and_count (harness, make_marked (9, TRUE)), ==, whole);
  g_object_set (harness->element, "hold", 0, NULL);
  g_assert_cmpuint (draw_and_count (harness, make_marked (10, FALSE)), ==, 0);
  g_object_set (harness->element, "hold", 1000, NULL);
  g_assert_cmpuint (draw_and_count (harness, make_marked (11, FALSE)), ==, dashed);

  /* Looked at and nothing found: nothing to hold. */
  GstBuffer *empty = make_marked (12, FALSE);
  gst_structure_set (gst_custom_meta_get_structure (gst_buffer_get_custom_meta (empty, "DeimFrameMeta")), "inferred",
                     G_TYPE_BOOLEAN, TRUE, NULL);
  g_assert_cmpuint (draw_and_count (harness, empty), ==, 0);
  g_assert_cmpuint (draw_and_count (harness, make_marked (13, FALSE)), ==, 0);
  teardown_harness (harness);
}

/* Two detectors in a row: the frame as "often" leaves it, which looks at each, and "seldom", which looks at every
 * other. */
static GstBuffer *
make_twice_marked (guint number)
{
  static const struct {
    const gchar *source;
    DeimDrawRect rect;
  } detectors[] = { { "often", { 20, 60, 60, 60 } }, { "seldom", { 160, 60, 60, 60 } } };
  GstBuffer *buffer = make_frame (CAPS, GREY);
  GST_BUFFER_PTS (buffer) = number * 40 * GST_MSECOND;
  for (guint i = 0; i < G_N_ELEMENTS (detectors); i++) {
    gboolean inferred = i == 0 || number % 2 == 0;
    if (inferred) {
      add_detection (buffer, detectors[i].source, 5, 0.8, &detectors[i].rect);
      GstStructure *detection =
          gst_video_region_of_interest_meta_get_param (get_region (buffer, detectors[i].source), "detection");
      gst_structure_set (detection, "source", G_TYPE_STRING, detectors[i].source, NULL);
    }
    GstStructure *fields = gst_custom_meta_get_structure (gst_buffer_add_custom_meta (buffer, "DeimFrameMeta"));
    gst_structure_set (fields, "source", G_TYPE_STRING, detectors[i].source, "inferred", G_TYPE_BOOLEAN, inferred,
                       NULL);
  }
  return buffer;
}

static void
test_hold_by_source (void)
{
  GstHarness *harness = setup_harness ("deimoverlay hold=250 draw-labels=false line-width=4", CAPS);
  guint whole = draw_and_count (harness, make_twice_marked (0));
  gint colour[3];
  class_colour (5, colour);
  for (guint i = 1; i < 4; i++) {
    g_autoptr (GstBuffer) out = draw (harness, make_twice_marked (i));
    g_test_message ("frame %u: %u of %u pixels", i, count_changed (out), whole);
    /* One box as it is, the other held: dashed, or as it is too. */
    g_assert_cmpuint (count_changed (out), >, whole / 2 + whole / 6);
    g_assert_true (i % 2 ? count_changed (out) < whole : count_changed (out) == whole);
    assert_pixel (out, 23, 62, colour);
    assert_pixel (out, 163, 62, colour);
  }
  teardown_harness (harness);
}

/* Frames that no deimdetect marked show what they have; boxes do not outlive a seek or other caps. */
static void
test_hold_ends (void)
{
  static const gchar other_caps[] = "video/x-raw,format=RGB,width=330,height=200,framerate=25/1";
  GstHarness *harness = setup_harness ("deimoverlay hold=5000 draw-labels=false", CAPS);
  guint whole = draw_and_count (harness, make_marked (0, TRUE));
  g_assert_cmpuint (whole, >, 0);
  g_assert_cmpuint (draw_and_count (harness, make_frame (CAPS, GREY)), ==, 0);
  g_assert_cmpuint (draw_and_count (harness, make_marked (2, FALSE)), >, 0);

  gst_harness_push_event (harness, gst_event_new_flush_start ());
  gst_harness_push_event (harness, gst_event_new_flush_stop (TRUE));
  GstSegment segment;
  gst_segment_init (&segment, GST_FORMAT_TIME);
  gst_harness_push_event (harness, gst_event_new_segment (&segment));
  g_assert_cmpuint (draw_and_count (harness, make_marked (3, FALSE)), ==, 0);

  g_assert_cmpuint (draw_and_count (harness, make_marked (4, TRUE)), ==, whole);
  gst_harness_set_src_caps_str (harness, other_caps);
  GstBuffer *buffer = make_frame (other_caps, GREY);
  GST_BUFFER_PTS (buffer) = 200 * GST_MSECOND;
  GstMemory *memory = gst_buffer_peek_memory (buffer, 0);
  GstStructure *fields = gst_custom_meta_get_structure (gst_buffer_add_custom_meta (buffer, "DeimFrameMeta"));
  gst_structure_set (fields, "inferred", G_TYPE_BOOLEAN, FALSE, NULL);
  g_autoptr (GstBuffer) out = draw (harness, buffer);
  g_assert_true (gst_buffer_peek_memory (out, 0) == memory);
  teardown_harness (harness);
}

/* Boxes that something took off the frames before they came here are told of, once. */
static void
test_lost_boxes (void)
{
  GstHarness *harness = setup_harness ("deimoverlay", CAPS);
  for (guint i = 0; i < 3; i++) {
    GstBuffer *buffer = make_marked (i, FALSE);
    gst_structure_set (gst_custom_meta_get_structure (gst_buffer_get_custom_meta (buffer, "DeimFrameMeta")), "inferred",
                       G_TYPE_BOOLEAN, TRUE, "detections", G_TYPE_UINT, i, NULL);
    g_assert_cmpuint (draw_and_count (harness, buffer), ==, 0);
    g_autoptr (GstMessage) message = pop_message (harness, GST_MESSAGE_WARNING);
    g_assert_true ((message != NULL) == (i == 1));
  }
  teardown_harness (harness);
}

/* More than Cairo can draw on: an error that says so, once, and the end of the stream. Without boxes nothing is drawn.
 */
static void
test_too_large (void)
{
  static const gchar large[] = "video/x-raw,format=RGB,width=40000,height=16,framerate=25/1";
  GstHarness *harness = setup_harness ("deimoverlay", large);
  gst_buffer_unref (draw (harness, make_frame (large, 0)));
  for (guint i = 1; i < 3; i++) {
    GstBuffer *buffer = make_frame (large, i);
    add_foreign_region (buffer, "train", 10, 2, 30000, 12);
    g_assert_cmpint (gst_harness_push (harness, buffer), ==, GST_FLOW_ERROR);
  }
  assert_one_error (harness, GST_STREAM_ERROR, GST_STREAM_ERROR_FORMAT, "40000x16");
  teardown_harness (harness);
}

int
main (int argc, char **argv)
{
  init_element_tests (&argc, &argv);
  GST_PLUGIN_STATIC_REGISTER (deim);
  GST_PLUGIN_STATIC_REGISTER (deimoverlay);

  g_test_add_func ("/deimoverlay/border", test_border);
  g_test_add_func ("/deimoverlay/tracks", test_tracks);
  g_test_add_func ("/deimoverlay/foreign-regions", test_foreign_regions);
  g_test_add_func ("/deimoverlay/nothing-to-draw", test_nothing_to_draw);
  g_test_add_func ("/deimoverlay/labels", test_labels);
  g_test_add_func ("/deimoverlay/lost-boxes", test_lost_boxes);
  g_test_add_data_func ("/deimoverlay/pieces-are-complete/here", NULL, test_pieces_are_complete);
  g_test_add_data_func ("/deimoverlay/pieces-are-complete/downstream", "", test_pieces_are_complete);
  g_test_add_func ("/deimoverlay/formats", test_formats);
  g_test_add_func ("/deimoverlay/in-place", test_in_place);
  g_test_add_func ("/deimoverlay/cropped", test_cropped);
  g_test_add_func ("/deimoverlay/downstream-blends", test_downstream_blends);
  g_test_add_func ("/deimoverlay/caps-change", test_caps_change);
  g_test_add_func ("/deimoverlay/too-large", test_too_large);
  g_test_add_func ("/deimoverlay/hold", test_hold);
  g_test_add_func ("/deimoverlay/hold-by-source", test_hold_by_source);
  g_test_add_func ("/deimoverlay/hold-ends", test_hold_ends);
  return run_element_tests ();
}
