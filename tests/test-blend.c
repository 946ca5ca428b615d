/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-blend.c - what deimoverlay draws into frames by itself, against GStreamer's blending.
 */
#include "gst-plugin/gstdeimblend.h"

/* What GStreamer makes of it; FALSE where it cannot blend into the format. */
static gboolean
blend_as_gstreamer (GstVideoFrame *frame, gint x, gint y, const guint32 *pixels, gint w, gint h, gint pitch)
{
  g_autoptr (GstBuffer) picture = gst_buffer_new_allocate (NULL, (gsize) (w * h) * 4, NULL);
  for (gint row = 0; row < h; row++)
    gst_buffer_fill (picture, (gsize) (row * w) * 4, pixels + row * pitch, (gsize) w * 4);
  gst_buffer_add_video_meta (picture, GST_VIDEO_FRAME_FLAG_NONE, GST_VIDEO_OVERLAY_COMPOSITION_FORMAT_RGB, (guint) w,
                             (guint) h);
  GstVideoOverlayRectangle *rect = gst_video_overlay_rectangle_new_raw (
      picture, x, y, (guint) w, (guint) h, GST_VIDEO_OVERLAY_FORMAT_FLAG_PREMULTIPLIED_ALPHA);
  GstVideoOverlayComposition *composition = gst_video_overlay_composition_new (rect);
  gst_video_overlay_rectangle_unref (rect);
  gboolean can = gst_video_overlay_composition_blend (composition, frame);
  gst_video_overlay_composition_unref (composition);
  return can;
}

/* A frame of random bytes, mapped; without the bits that the format leaves unused, which packing a row clears. */
static GstBuffer *
map_noise (GRand *rand, const GstVideoInfo *info, GstVideoFrame *ret_frame)
{
  static const guint32 nothing[64] = { 0 };
  GstBuffer *buffer = gst_buffer_new_allocate (NULL, info->size, NULL);
  GstMapInfo map;
  g_assert_true (gst_buffer_map (buffer, &map, GST_MAP_WRITE));
  for (gsize i = 0; i < map.size; i++)
    map.data[i] = (guint8) g_rand_int (rand);
  gst_buffer_unmap (buffer, &map);
  g_assert_true (gst_video_frame_map (ret_frame, info, buffer, GST_MAP_READWRITE));
  blend_as_gstreamer (ret_frame, 0, 0, nothing, 1, info->height, 1);
  return buffer;
}

/* Premultiplied colours, some of them transparent. */
static void
fill_picture (GRand *rand, guint32 *pixels, guint n)
{
  for (guint i = 0; i < n; i++) {
    guint32 alpha = (guint32) g_rand_int_range (rand, 0, 4) * 85;
    pixels[i] = alpha << 24;
    for (guint c = 0; c < 24; c += 8)
      pixels[i] |= (guint32) g_rand_int_range (rand, 0, (gint32) alpha + 1) << c;
  }
}

/* What blends at the cost of the drawing does what GStreamer does at the cost of whole rows: in every format, byte for
 * byte, at odd places and across the edges. */
static void
test_blend_as_gstreamer (void)
{
  enum { W = 46, H = 31, MOST = 24 };
  GRand *rand = g_rand_new_with_seed (11);
  guint n_formats, n_blended = 0;
  const GstVideoFormat *formats = gst_video_formats_raw (&n_formats);
  for (guint f = 0; f < n_formats; f++) {
    for (guint round = 0; round < 20; round++) {
      /* Packing a row of odd width exchanges the last pixel's chroma (seen in 1.22), drawn over or not. */
      if (formats[f] == GST_VIDEO_FORMAT_NV61 && round % 2)
        continue;
      guint32 pixels[MOST * MOST];
      gint x = g_rand_int_range (rand, -MOST, W + 3), y = g_rand_int_range (rand, -MOST, H + 3);
      gint w = g_rand_int_range (rand, 1, MOST), h = g_rand_int_range (rand, 1, MOST);
      GstVideoInfo info;
      GstVideoFrame theirs, ours;
      g_assert_true (gst_video_info_set_format (&info, formats[f], (guint) (W + round % 4), H));
      g_autoptr (GstBuffer) expected = map_noise (rand, &info, &theirs);
      g_autoptr (GstBuffer) buffer = gst_buffer_copy_deep (expected);
      g_assert_true (gst_video_frame_map (&ours, &info, buffer, GST_MAP_READWRITE));
      fill_picture (rand, pixels, MOST * MOST);

      gboolean can = blend_as_gstreamer (&theirs, x, y, pixels, w, h, MOST);
      g_assert_cmpint (gst_deim_blend (&ours, x, y, pixels, w, h, MOST * 4), ==, can);
      n_blended += can;
      gst_video_frame_unmap (&theirs);
      gst_video_frame_unmap (&ours);

      GstMapInfo a, b;
      g_assert_true (gst_buffer_map (expected, &a, GST_MAP_READ) && gst_buffer_map (buffer, &b, GST_MAP_READ));
      for (gsize i = 0; i < a.size; i++)
        if (a.data[i] != b.data[i])
          g_error ("%s, %dx%d at %d,%d: byte %" G_GSIZE_FORMAT " is %u instead of %u",
                   gst_video_format_to_string (formats[f]), w, h, x, y, i, b.data[i], a.data[i]);
      gst_buffer_unmap (expected, &a);
      gst_buffer_unmap (buffer, &b);
    }
  }
  g_test_message ("%u formats, %u times blended", n_formats, n_blended);
  g_assert_cmpuint (n_blended, >, 1000);
  g_rand_free (rand);
}

int
main (int argc, char **argv)
{
  gst_init (NULL, NULL);
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/blend/as-gstreamer", test_blend_as_gstreamer);
  return g_test_run ();
}
