/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* preprocess.c - the geometry of the way from frame to network input, its doing on the processor, and the way back. */
#include "preprocess-private.h"

#include <string.h>

/* Integer division to nearest. */
static guint
scaled (guint size, guint to, guint from)
{
  guint64 n = ((guint64) size * to * 2 + from) / (2 * (guint64) from);
  return (guint) MAX (n, 1);
}

static void
place_picture (DeimPreprocess *p)
{
  guint w = p->region.w, h = p->region.h;
  p->inner_w = p->width;
  p->inner_h = p->height;
  if (p->resize == DEIM_RESIZE_LETTERBOX) {
    if ((guint64) p->width * h <= (guint64) p->height * w)
      p->inner_h = MIN (scaled (h, p->width, w), p->height);
    else
      p->inner_w = MIN (scaled (w, p->height, h), p->width);
  }
  p->inner_x = (p->width - p->inner_w) / 2;
  p->inner_y = (p->height - p->inner_h) / 2;
}

gboolean
deim_preprocess_init (DeimPreprocess *p, const DeimFrame *frame, guint width, guint height, DeimResize resize,
                      GError **error)
{
  if (!deim_frame_check (frame, error))
    return FALSE;
  if (width < 1 || height < 1 || width > DEIM_FRAME_MAX_SIZE || height > DEIM_FRAME_MAX_SIZE) {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_SETTINGS,
                 "network input of %ux%u (height x width); sides must be 1 to %d", height, width, DEIM_FRAME_MAX_SIZE);
    return FALSE;
  }
  DeimPreprocess made = {
    .info = deim_format_get_info (frame->format),
    .frame_width = frame->width,
    .frame_height = frame->height,
    .matrix = frame->matrix,
    .range = frame->range,
    .region = deim_frame_get_region (frame),
    .width = width,
    .height = height,
    .resize = resize,
  };
  place_picture (&made);
  if (!deim_preprocess_plan_staging (&made, error))
    return FALSE;
  if (made.info->yuv)
    deim_colour_init (&made.colour, made.matrix, made.range, made.info->depth);
  deim_resample_init (&made.horizontal, made.region.w, made.inner_w);
  deim_resample_init (&made.vertical, made.region.h, made.inner_h);
  if (!deim_preprocess_plan_dispatches (&made, error)) {
    deim_preprocess_finish (&made);
    return FALSE;
  }
  *p = made;
  return TRUE;
}

void
deim_preprocess_finish (DeimPreprocess *p)
{
  deim_resample_finish (&p->horizontal);
  deim_resample_finish (&p->vertical);
  g_clear_pointer (&p->table, g_free);
}

gboolean
deim_preprocess_matches (const DeimPreprocess *p, const DeimFrame *frame)
{
  DeimRegion r = deim_frame_get_region (frame);
  return p->info && p->info->format == frame->format && p->frame_width == frame->width &&
         p->frame_height == frame->height &&
         (!p->info->yuv || (p->matrix == frame->matrix && p->range == frame->range)) &&
         memcmp (&r, &p->region, sizeof r) == 0;
}

static guint
sample (const DeimFormatInfo *info, const DeimFrame *frame, guint component, guint x, guint y)
{
  const DeimSampleInfo *s = &info->sample[component];
  const guint8 *at = frame->data[s->plane] + (gsize) (y >> s->v_shift) * frame->stride[s->plane] +
                     (gsize) (x >> s->h_shift) * s->step + s->offset;
  return info->depth > 8 ? (guint) (at[0] | at[1] << 8) >> info->shift & ((1u << info->depth) - 1) : at[0];
}

void
deim_preprocess_convert (const DeimPreprocess *p, const DeimFrame *frame, guint8 *ret_rgb)
{
  for (guint y = 0; y < p->region.h; y++)
    for (guint x = 0; x < p->region.w; x++, ret_rgb += 3) {
      guint s[3];
      for (guint c = 0; c < 3; c++)
        s[c] = sample (p->info, frame, c, p->region.x + x, p->region.y + y);
      if (p->info->yuv)
        deim_colour_convert (&p->colour, (gint) s[0], (gint) s[1], (gint) s[2], ret_rgb);
      else
        for (guint c = 0; c < 3; c++)
          ret_rgb[c] = (guint8) s[c];
    }
}

void
deim_preprocess_reference (const DeimPreprocess *p, const DeimFrame *frame, gfloat *ret_output)
{
  gsize area = (gsize) p->width * p->height;
  g_autofree guint8 *rgb = g_malloc ((gsize) p->region.w * p->region.h * 3);
  g_autofree guint8 *small = g_malloc ((gsize) p->inner_w * p->inner_h * 3);

  deim_preprocess_convert (p, frame, rgb);
  deim_resize_rgb (&p->horizontal, &p->vertical, rgb, small);
  for (gsize i = 0; i < 3 * area; i++)
    ret_output[i] = DEIM_LETTERBOX_GRAY / 255.0f;
  for (guint c = 0; c < 3; c++)
    for (guint y = 0; y < p->inner_h; y++)
      for (guint x = 0; x < p->inner_w; x++)
        ret_output[c * area + (gsize) (p->inner_y + y) * p->width + p->inner_x + x] =
            small[((gsize) y * p->inner_w + x) * 3 + c] / 255.0f;
}

/* One edge, given as a part of the output's side: to the picture's part of it, to the region, to the frame. */
static gfloat
map_edge (gfloat at, guint side, guint inner, guint inner_size, guint region, guint region_size)
{
  return (at * side - inner) * region_size / inner_size + region;
}

void
deim_preprocess_map_box (const DeimPreprocess *p, const gfloat cxcywh[4], gfloat ret_xyxy[4])
{
  gfloat cx = cxcywh[0], cy = cxcywh[1], w = cxcywh[2] / 2, h = cxcywh[3] / 2;
  const DeimRegion *r = &p->region;
  ret_xyxy[0] = map_edge (cx - w, p->width, p->inner_x, p->inner_w, r->x, r->w);
  ret_xyxy[1] = map_edge (cy - h, p->height, p->inner_y, p->inner_h, r->y, r->h);
  ret_xyxy[2] = map_edge (cx + w, p->width, p->inner_x, p->inner_w, r->x, r->w);
  ret_xyxy[3] = map_edge (cy + h, p->height, p->inner_y, p->inner_h, r->y, r->h);
}
