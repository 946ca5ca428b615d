/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-image-gst.c - our pixel formats and colours against GStreamer's. */
#include <gst/video/video.h>
#include <string.h>

#include "engine/image/preprocess.h"
#include "image-frames.h"

static const DeimMatrix matrices[] = { DEIM_MATRIX_BT601, DEIM_MATRIX_BT709, DEIM_MATRIX_BT2020, DEIM_MATRIX_SMPTE240M,
                                       DEIM_MATRIX_FCC };

static void
make (DeimPreprocess *p, const DeimFrame *frame)
{
  g_autoptr (GError) error = NULL;
  deim_preprocess_init (p, frame, 32, 32, DEIM_RESIZE_STRETCH, &error);
  g_assert_no_error (error);
}

static void
assert_close (const guint8 *got, const guint8 *expected, gsize size, gint limit, const gchar *what)
{
  gint worst = 0;
  for (gsize i = 0; i < size; i++)
    worst = MAX (worst, ABS ((gint) got[i] - expected[i]));
  if (worst > 0)
    g_test_message ("%s: off by %d levels", what, worst);
  g_assert_cmpint (worst, <=, limit);
}

static void
test_gst_table (void)
{
  for (DeimFormat f = DEIM_FORMAT_INVALID + 1; f < DEIM_FORMAT_LAST; f++) {
    const DeimFormatInfo *info = deim_format_get_info (f);
    const GstVideoFormatInfo *gst = gst_video_format_get_info (gst_video_format_from_string (info->name));
    g_assert_cmpstr (gst->name, ==, info->name);
    g_assert_cmpuint (gst->n_planes, ==, info->n_planes);
    g_assert_cmpint (GST_VIDEO_FORMAT_INFO_IS_YUV (gst), ==, info->yuv);
    for (guint c = 0; c < 3; c++) {
      guint k = GST_VIDEO_FORMAT_INFO_IS_GRAY (gst) ? 0 : c;
      const DeimSampleInfo *s = &info->sample[c];
      g_assert_cmpuint (gst->plane[k], ==, s->plane);
      /* GStreamer 1.22's table has P010's V at byte 1, its reader at byte 2 (compared below). */
      if (f != DEIM_FORMAT_P010_10LE)
        g_assert_cmpuint (gst->poffset[k], ==, s->offset);
      g_assert_cmpuint (gst->pixel_stride[k], ==, s->step);
      g_assert_cmpuint (gst->w_sub[k], ==, s->h_shift);
      g_assert_cmpuint (gst->h_sub[k], ==, s->v_shift);
      g_assert_cmpuint (gst->depth[k], ==, info->depth);
      g_assert_cmpuint (gst->shift[k], ==, info->shift);
    }
    /* GStreamer's own strides are never too short for us, and are those we stage with. */
    for (guint i = 0; i < 200; i++) {
      GstVideoInfo video;
      guint w = (guint) g_test_rand_int_range (1, 2000), h = (guint) g_test_rand_int_range (1, 100);
      g_assert_true (gst_video_info_set_format (&video, gst->format, w, h));
      guint8 byte = 0;
      DeimFrame frame = { .format = f, .width = w, .height = h };
      for (guint k = 0; k < info->n_planes; k++) {
        frame.data[k] = &byte;
        frame.stride[k] = (guint) video.stride[k];
      }
      DeimPreprocess p;
      make (&p, &frame);
      for (guint k = 0; k < info->n_planes; k++)
        g_assert_cmpuint (p.plane[k].stride, ==, frame.stride[k]);
      deim_preprocess_finish (&p);
    }
  }
}

static GstVideoColorMatrix
gst_matrix (DeimMatrix matrix)
{
  static const GstVideoColorMatrix map[] = {
    [DEIM_MATRIX_BT601] = GST_VIDEO_COLOR_MATRIX_BT601,   [DEIM_MATRIX_BT709] = GST_VIDEO_COLOR_MATRIX_BT709,
    [DEIM_MATRIX_BT2020] = GST_VIDEO_COLOR_MATRIX_BT2020, [DEIM_MATRIX_SMPTE240M] = GST_VIDEO_COLOR_MATRIX_SMPTE240M,
    [DEIM_MATRIX_FCC] = GST_VIDEO_COLOR_MATRIX_FCC,
  };
  return map[matrix];
}

/* GStreamer reads the packers' frames as we do, for every matrix and range. Its arithmetic is rougher than ours (8-bit
 * coefficients), less so towards 16 bits a sample: 3 levels, where its way to 8 bits is off by up to 6. */
static void
test_gst_convert (void)
{
  const guint w = 32, h = 16;
  g_autofree guint8 *got = g_malloc (w * h * 3), *expected = g_malloc (w * h * 3);
  for (guint i = 0; i < (DEIM_FORMAT_LAST - 1) * 10; i++) {
    DeimFormat format = (DeimFormat) (1 + i / 10);
    DeimMatrix matrix = matrices[i % 5];
    DeimRange range = i % 10 < 5 ? DEIM_RANGE_LIMITED : DEIM_RANGE_FULL;
    const DeimFormatInfo *info = deim_format_get_info (format);
    g_autofree guint8 *rgb = test_picture_new (w, h, 1, FALSE, i);
    TestFrame f;
    DeimPreprocess p;
    test_frame_init (&f, format, rgb, w, h, matrix, range, 0);
    make (&p, &f.frame);
    deim_preprocess_convert (&p, &f.frame, got);

    GstVideoInfo in, out;
    gst_video_info_set_format (&in, gst_video_format_from_string (info->name), w, h);
    gst_video_info_set_format (&out, info->yuv ? GST_VIDEO_FORMAT_ARGB64 : GST_VIDEO_FORMAT_RGB, w, h);
    if (info->yuv) {
      in.colorimetry.matrix = gst_matrix (matrix);
      in.colorimetry.range = range == DEIM_RANGE_FULL ? GST_VIDEO_COLOR_RANGE_0_255 : GST_VIDEO_COLOR_RANGE_16_235;
    }
    GstBuffer *a = gst_buffer_new_allocate (NULL, in.size, NULL), *b = gst_buffer_new_allocate (NULL, out.size, NULL);
    GstVideoFrame from, to;
    g_assert_true (gst_video_frame_map (&from, &in, a, GST_MAP_READWRITE));
    g_assert_true (gst_video_frame_map (&to, &out, b, GST_MAP_READWRITE));
    for (guint k = 0; k < info->n_planes; k++) {
      g_assert_cmpuint (GST_VIDEO_FRAME_PLANE_STRIDE (&from, k), ==, f.frame.stride[k]);
      memcpy (GST_VIDEO_FRAME_PLANE_DATA (&from, k), f.frame.data[k],
              (gsize) f.frame.stride[k] * deim_format_rows (info, k, h));
    }
    /* Without its chroma mode it interpolates chroma where no fast path does otherwise; we repeat it. */
    GstStructure *options = gst_structure_new (
        "options", GST_VIDEO_CONVERTER_OPT_CHROMA_MODE, GST_TYPE_VIDEO_CHROMA_MODE, GST_VIDEO_CHROMA_MODE_NONE,
        GST_VIDEO_CONVERTER_OPT_DITHER_METHOD, GST_TYPE_VIDEO_DITHER_METHOD, GST_VIDEO_DITHER_NONE, NULL);
    GstVideoConverter *convert = gst_video_converter_new (&in, &out, options);
    gst_video_converter_frame (convert, &from, &to);
    const guint8 *bytes = GST_VIDEO_FRAME_PLANE_DATA (&to, 0);
    const guint16 *words = GST_VIDEO_FRAME_PLANE_DATA (&to, 0);
    for (guint k = 0; k < w * h * 3; k++)
      expected[k] = info->yuv ? (guint8) ((words[k / 3 * 4 + 1 + k % 3] + 128) / 257) : bytes[k];
    g_autofree gchar *what = g_strdup_printf ("%s matrix %d range %d", info->name, matrix, range);
    assert_close (got, expected, w * h * 3, !info->yuv ? 0 : info->depth == 8 ? 3 : 1, what);
    gst_video_converter_free (convert);
    gst_video_frame_unmap (&from);
    gst_video_frame_unmap (&to);
    gst_buffer_unref (a);
    gst_buffer_unref (b);
    deim_preprocess_finish (&p);
    test_frame_clear (&f);
  }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_setenv ("GST_REGISTRY_DISABLE", "yes", TRUE); /* no plugin is needed, and reading of them takes long */
  gst_init (NULL, NULL);
  g_test_add_func ("/image/gstreamer/table", test_gst_table);
  g_test_add_func ("/image/gstreamer/convert", test_gst_convert);
  return g_test_run ();
}
