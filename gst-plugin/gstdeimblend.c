/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * gstdeimblend.c - blending into a frame that begins and ends where the picture does: its rows are the same memory,
 * seen from another column on. GStreamer unpacks and packs them.
 */
#include "gstdeimblend.h"

#include <gst/video/video-blend.h>
#include <string.h>

/* How many columns of @format share their chroma: 1, 2 or 4; 0 where columns do not begin at bytes of their own. */
static gint
columns_in_step (const GstVideoFormatInfo *format)
{
  gint step = 1;

  if (GST_VIDEO_FORMAT_INFO_IS_COMPLEX (format) || GST_VIDEO_FORMAT_INFO_IS_TILED (format) ||
      GST_VIDEO_FORMAT_INFO_HAS_PALETTE (format))
    return 0;
  for (guint c = 0; c < GST_VIDEO_FORMAT_INFO_N_COMPONENTS (format); c++) {
    if (GST_VIDEO_FORMAT_INFO_PSTRIDE (format, c) <= 0)
      return 0;
    step = MAX (step, 1 << GST_VIDEO_FORMAT_INFO_W_SUB (format, c));
  }
  return step;
}

/* @frame without the columns before @x and from @x_end on, a little more where chroma asks for it; returns the column
 * with which *@ret_view begins. */
static gint
view_columns (const GstVideoFrame *frame, gint x, gint x_end, GstVideoFrame *ret_view)
{
  const GstVideoFormatInfo *format = frame->info.finfo;
  gint step = columns_in_step (format), width = GST_VIDEO_FRAME_WIDTH (frame);
  gboolean moved[GST_VIDEO_MAX_PLANES] = { FALSE };

  *ret_view = *frame;
  if (step == 0)
    return 0;
  gint begin = x / step * step;
  gint end = (x_end + step - 1) / step * step;
  GST_VIDEO_INFO_WIDTH (&ret_view->info) = MIN (end, width) - begin;
  for (guint c = 0; c < GST_VIDEO_FORMAT_INFO_N_COMPONENTS (format); c++) {
    guint plane = (guint) GST_VIDEO_FORMAT_INFO_PLANE (format, c);
    if (!moved[plane])
      ret_view->data[plane] = (guint8 *) frame->data[plane] + (begin >> GST_VIDEO_FORMAT_INFO_W_SUB (format, c)) *
                                                                  GST_VIDEO_FORMAT_INFO_PSTRIDE (format, c);
    moved[plane] = TRUE;
  }
  return begin;
}

/* What a pixel of the picture adds to one of the frame: alpha and three colours, which count @weight : 255. */
typedef struct {
  guint32 pixel;
  guint8 bytes[4];
  guint weight;
} Ink;

/* The colour of @pixel. For YUV as GStreamer converts it for blending: by BT.709, into limited range, divided by alpha.
 */
static void
mix_ink (Ink *ink, guint32 pixel, gboolean is_yuv)
{
  gint alpha = (gint) (pixel >> 24), rgb[3];

  for (guint c = 0; c < 3; c++)
    rgb[c] = (gint) (pixel >> (16 - 8 * c) & 255);
  ink->pixel = pixel;
  ink->bytes[0] = (guint8) alpha;
  ink->weight = is_yuv ? (guint) alpha : 255;
  if (!is_yuv) {
    for (guint c = 0; c < 3; c++)
      ink->bytes[1 + c] = (guint8) rgb[c];
    return;
  }
  for (guint c = 0; c < 3; c++)
    rgb[c] = (rgb[c] * 255 + alpha / 2) / alpha;
  ink->bytes[1] = (guint8) ((47 * rgb[0] + 157 * rgb[1] + 16 * rgb[2] + (16 << 8)) >> 8);
  ink->bytes[2] = (guint8) ((-26 * rgb[0] - 87 * rgb[1] + 112 * rgb[2] + (128 << 8)) >> 8);
  ink->bytes[3] = (guint8) ((112 * rgb[0] - 102 * rgb[1] - 10 * rgb[2] + (128 << 8)) >> 8);
}

/* Lays @n pixels over as many unpacked ones, AYUV or ARGB. Most are opaque and of the same colour as the one before. */
static void
lay_over (guint8 *to, const guint32 *pixels, gint n, gboolean is_yuv)
{
  Ink ink = { 0 };

  for (gint i = 0; i < n; i++, to += 4) {
    if (pixels[i] >> 24 == 0)
      continue;
    if (pixels[i] != ink.pixel)
      mix_ink (&ink, pixels[i], is_yuv);
    if (ink.bytes[0] == 255) {
      memcpy (to, ink.bytes, 4);
      continue;
    }
    guint rest = 255u - ink.bytes[0], under = to[0], alpha = ink.bytes[0] + under * rest / 255;
    for (guint c = 1; c < 4; c++)
      to[c] = (guint8) MIN (255, (ink.bytes[c] * ink.weight + to[c] * under * rest / 255) / alpha);
    to[0] = (guint8) alpha;
  }
}

/* lay_over() on the rows of a frame, with the picture's corner at (@x,@y); all of it lies inside. */
static void
blend_rows (GstVideoFrame *frame, gint x, gint y, const guint8 *pixels, gint width, gint height, gint stride)
{
  const GstVideoFormatInfo *format = frame->info.finfo;
  gint whole = GST_VIDEO_FRAME_WIDTH (frame);
  /* Some formats unpack a few pixels more than they are asked for. */
  g_autofree guint8 *line = g_malloc ((gsize) (whole + 8) * 4);

  for (gint row = 0; row < height; row++, pixels += stride) {
    format->unpack_func (format, GST_VIDEO_PACK_FLAG_NONE, line, frame->data, frame->info.stride, 0, y + row, whole);
    lay_over (line + (gsize) x * 4, (const guint32 *) (gconstpointer) pixels, width,
              !GST_VIDEO_INFO_IS_RGB (&frame->info));
    format->pack_func (format, GST_VIDEO_PACK_FLAG_NONE, line, whole * 4, frame->data, frame->info.stride,
                       frame->info.chroma_site, y + row, whole);
  }
}

/* Whether rows unpack to four bytes a pixel with straight alpha. */
static gboolean
is_plain (const GstVideoInfo *info)
{
  const GstVideoFormatInfo *unpacked = gst_video_format_get_info (info->finfo->unpack_format);
  return unpacked && GST_VIDEO_FORMAT_INFO_BITS (unpacked) == 8 &&
         (GST_VIDEO_INFO_FLAGS (info) & GST_VIDEO_FLAG_PREMULTIPLIED_ALPHA) == 0;
}

gboolean
gst_deim_blend (GstVideoFrame *frame, gint x, gint y, gpointer pixels, gint width, gint height, gint stride)
{
  GstVideoFrame picture = { .data = { NULL } }, view;
  gint left = MAX (0, -x), top = MAX (0, -y);

  width = MIN (width, GST_VIDEO_FRAME_WIDTH (frame) - x) - left;
  height = MIN (height, GST_VIDEO_FRAME_HEIGHT (frame) - y) - top;
  if (width <= 0 || height <= 0)
    return TRUE;
  x += left;
  y += top;
  guint8 *from = (guint8 *) pixels + (gsize) top * (gsize) stride + (gsize) left * 4;
  gint begin = view_columns (frame, x, x + width, &view);
  if (is_plain (&frame->info)) {
    blend_rows (&view, x - begin, y, from, width, height, stride);
    return TRUE;
  }
  if (!gst_video_info_set_format (&picture.info, GST_VIDEO_OVERLAY_COMPOSITION_FORMAT_RGB, (guint) width,
                                  (guint) height))
    return FALSE;
  picture.data[0] = from;
  picture.info.stride[0] = stride;
  GST_VIDEO_INFO_FLAG_SET (&picture.info, GST_VIDEO_FLAG_PREMULTIPLIED_ALPHA);
  return gst_video_blend (&view, &picture, x - begin, y, 1);
}
