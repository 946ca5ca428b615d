/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* format.c - the table of pixel formats, and whether a frame's description can be true. */
#include "format.h"

#include <string.h>

/*
 * A line per format: name, layout, planes, depth, shift, yuv, groups of each plane (bytes, h_shift, v_shift), and the
 * places of the three samples (plane, offset, step, h_shift, v_shift).
 */
/* clang-format off */
#define RGB(STEP, R, G, B) { { 0, R, STEP, 0, 0 }, { 0, G, STEP, 0, 0 }, { 0, B, STEP, 0, 0 } }
#define PLANES(BYTES, U, V, HS, VS) { { 0, 0, BYTES, 0, 0 }, { U, 0, BYTES, HS, VS }, { V, 0, BYTES, HS, VS } }
#define PAIRS(BYTES, U, V) \
  { { 0, 0, BYTES, 0, 0 }, { 1, (U) * (BYTES), 2 * (BYTES), 1, 1 }, { 1, (V) * (BYTES), 2 * (BYTES), 1, 1 } }
#define PACKED(Y, U, V) { { 0, Y, 2, 0, 0 }, { 0, U, 4, 1, 0 }, { 0, V, 4, 1, 0 } }

#define F(N, ...) [DEIM_FORMAT_##N] = { DEIM_FORMAT_##N, __VA_ARGS__ }

static const DeimFormatInfo formats[DEIM_FORMAT_LAST] = {
  F (RGB, "RGB", DEIM_LAYOUT_RGB24, 1, 8, 0, FALSE, { { 3, 0, 0 } }, RGB (3, 0, 1, 2)),
  F (BGR, "BGR", DEIM_LAYOUT_RGB24, 1, 8, 0, FALSE, { { 3, 0, 0 } }, RGB (3, 2, 1, 0)),
  F (RGBX, "RGBx", DEIM_LAYOUT_RGB32, 1, 8, 0, FALSE, { { 4, 0, 0 } }, RGB (4, 0, 1, 2)),
  F (BGRX, "BGRx", DEIM_LAYOUT_RGB32, 1, 8, 0, FALSE, { { 4, 0, 0 } }, RGB (4, 2, 1, 0)),
  F (XRGB, "xRGB", DEIM_LAYOUT_RGB32, 1, 8, 0, FALSE, { { 4, 0, 0 } }, RGB (4, 1, 2, 3)),
  F (XBGR, "xBGR", DEIM_LAYOUT_RGB32, 1, 8, 0, FALSE, { { 4, 0, 0 } }, RGB (4, 3, 2, 1)),
  F (RGBA, "RGBA", DEIM_LAYOUT_RGB32, 1, 8, 0, FALSE, { { 4, 0, 0 } }, RGB (4, 0, 1, 2)),
  F (BGRA, "BGRA", DEIM_LAYOUT_RGB32, 1, 8, 0, FALSE, { { 4, 0, 0 } }, RGB (4, 2, 1, 0)),
  F (ARGB, "ARGB", DEIM_LAYOUT_RGB32, 1, 8, 0, FALSE, { { 4, 0, 0 } }, RGB (4, 1, 2, 3)),
  F (ABGR, "ABGR", DEIM_LAYOUT_RGB32, 1, 8, 0, FALSE, { { 4, 0, 0 } }, RGB (4, 3, 2, 1)),
  F (GRAY8, "GRAY8", DEIM_LAYOUT_GRAY, 1, 8, 0, FALSE, { { 1, 0, 0 } }, RGB (1, 0, 0, 0)),
  F (I420, "I420", DEIM_LAYOUT_PLANAR, 3, 8, 0, TRUE,
    { { 1, 0, 0 }, { 1, 1, 1 }, { 1, 1, 1 } }, PLANES (1, 1, 2, 1, 1)),
  F (YV12, "YV12", DEIM_LAYOUT_PLANAR, 3, 8, 0, TRUE,
    { { 1, 0, 0 }, { 1, 1, 1 }, { 1, 1, 1 } }, PLANES (1, 2, 1, 1, 1)),
  F (NV12, "NV12", DEIM_LAYOUT_SEMIPLANAR, 2, 8, 0, TRUE,
    { { 1, 0, 0 }, { 2, 1, 1 } }, PAIRS (1, 0, 1)),
  F (NV21, "NV21", DEIM_LAYOUT_SEMIPLANAR, 2, 8, 0, TRUE,
    { { 1, 0, 0 }, { 2, 1, 1 } }, PAIRS (1, 1, 0)),
  F (YUY2, "YUY2", DEIM_LAYOUT_PACKED422, 1, 8, 0, TRUE, { { 4, 1, 0 } }, PACKED (0, 1, 3)),
  F (UYVY, "UYVY", DEIM_LAYOUT_PACKED422, 1, 8, 0, TRUE, { { 4, 1, 0 } }, PACKED (1, 0, 2)),
  F (Y42B, "Y42B", DEIM_LAYOUT_PLANAR, 3, 8, 0, TRUE,
    { { 1, 0, 0 }, { 1, 1, 0 }, { 1, 1, 0 } }, PLANES (1, 1, 2, 1, 0)),
  F (Y444, "Y444", DEIM_LAYOUT_PLANAR, 3, 8, 0, TRUE,
    { { 1, 0, 0 }, { 1, 0, 0 }, { 1, 0, 0 } }, PLANES (1, 1, 2, 0, 0)),
  F (P010_10LE, "P010_10LE", DEIM_LAYOUT_SEMIPLANAR16, 2, 10, 6, TRUE,
    { { 2, 0, 0 }, { 4, 1, 1 } }, PAIRS (2, 0, 1)),
  F (I420_10LE, "I420_10LE", DEIM_LAYOUT_PLANAR16, 3, 10, 0, TRUE,
    { { 2, 0, 0 }, { 2, 1, 1 }, { 2, 1, 1 } }, PLANES (2, 1, 2, 1, 1)),
};
/* clang-format on */

const DeimFormatInfo *
deim_format_get_info (DeimFormat format)
{
  /* The cast: an enum may be signed, and callers may pass anything. */
  guint i = (guint) format;
  return i < G_N_ELEMENTS (formats) && formats[i].name ? &formats[i] : NULL;
}

DeimFormat
deim_format_from_name (const gchar *name)
{
  for (guint i = 0; name && i < G_N_ELEMENTS (formats); i++)
    if (formats[i].name && strcmp (formats[i].name, name) == 0)
      return formats[i].format;
  return DEIM_FORMAT_INVALID;
}

const gchar *
deim_format_to_name (DeimFormat format)
{
  const DeimFormatInfo *info = deim_format_get_info (format);
  return info ? info->name : NULL;
}

static guint
shift_up (guint size, guint shift)
{
  return (size + (1u << shift) - 1) >> shift;
}

guint
deim_format_row_bytes (const DeimFormatInfo *info, guint plane, guint width)
{
  return shift_up (width, info->plane[plane].h_shift) * info->plane[plane].bytes;
}

guint
deim_format_rows (const DeimFormatInfo *info, guint plane, guint height)
{
  return shift_up (height, info->plane[plane].v_shift);
}

static gboolean
check_region (const DeimFrame *f, GError **error)
{
  if (f->region_w == 0 && f->region_h == 0)
    return TRUE;
  if (f->region_w == 0 || f->region_h == 0) {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_SETTINGS,
                 "region of %ux%u pixels (width x height) is empty; give both sides, or 0x0 for the whole frame",
                 f->region_w, f->region_h);
    return FALSE;
  }
  /* Written so that sums cannot wrap. */
  if (f->region_x >= f->width || f->region_w > f->width - f->region_x || f->region_y >= f->height ||
      f->region_h > f->height - f->region_y) {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_SETTINGS,
                 "region %ux%u at %u,%u reaches outside the frame of %ux%u (width x height); make it fit", f->region_w,
                 f->region_h, f->region_x, f->region_y, f->width, f->height);
    return FALSE;
  }
  return TRUE;
}

gboolean
deim_frame_check (const DeimFrame *frame, GError **error)
{
  const DeimFormatInfo *info = deim_format_get_info (frame->format);
  if (!info) {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_SETTINGS,
                 "pixel format number %d is not a known one; convert the frame to one of DeimFormat",
                 (gint) frame->format);
    return FALSE;
  }
  if (frame->width < 1 || frame->height < 1 || frame->width > DEIM_FRAME_MAX_SIZE ||
      frame->height > DEIM_FRAME_MAX_SIZE) {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_SETTINGS,
                 "frame of %ux%u pixels (width x height); sides must be 1 to %d", frame->width, frame->height,
                 DEIM_FRAME_MAX_SIZE);
    return FALSE;
  }
  if (info->yuv && ((guint) frame->matrix > DEIM_MATRIX_FCC || (guint) frame->range > DEIM_RANGE_FULL)) {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_SETTINGS,
                 "colour matrix number %d or range number %d is not a known one; see DeimMatrix and DeimRange",
                 (gint) frame->matrix, (gint) frame->range);
    return FALSE;
  }
  for (guint p = 0; p < info->n_planes; p++) {
    guint needed = deim_format_row_bytes (info, p, frame->width);
    if (frame->dmabuf ? frame->dmabuf->fd[p] < 0 : !frame->data[p]) {
      g_set_error (error, DEIM_ERROR, DEIM_ERROR_SETTINGS, "plane %u of the %s frame is missing; it has %u planes", p,
                   info->name, info->n_planes);
      return FALSE;
    }
    if (frame->stride[p] < needed) {
      g_set_error (error, DEIM_ERROR, DEIM_ERROR_SETTINGS,
                   "stride of plane %u is %u bytes, but %u pixels of %s need %u; pass the stride in bytes", p,
                   frame->stride[p], frame->width, info->name, needed);
      return FALSE;
    }
  }
  return check_region (frame, error);
}

DeimRegion
deim_frame_get_region (const DeimFrame *frame)
{
  if (frame->region_w == 0)
    return (DeimRegion){ 0, 0, frame->width, frame->height };
  return (DeimRegion){ frame->region_x, frame->region_y, frame->region_w, frame->region_h };
}
