/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* augment.c - what happens to a picture on its way into a batch. */
#include "augment.h"

#include "box.h"
#include "photometric.h"

#include <math.h>

/* The widest black picture that zoom-out makes: what becomes larger is shrunk first. It ends smaller than that anyway.
 */
#define ZOOM_OUT_MAX_SIDE 4096

void
deim_augment_zoom_out (DeimSample *sample, DeimRandom *random)
{
  gdouble ratio = deim_random_range (random, 1, 4);
  gdouble side = ratio * MAX (sample->image->width, sample->image->height);

  if (side > ZOOM_OUT_MAX_SIDE) {
    gdouble fit = ZOOM_OUT_MAX_SIDE / side;
    deim_sample_resize (sample, MAX ((guint) (sample->image->width * fit), 1),
                        MAX ((guint) (sample->image->height * fit), 1));
  }
  guint w = sample->image->width, h = sample->image->height;
  guint width = (guint) (w * ratio), height = (guint) (h * ratio);
  deim_sample_place (sample, (guint) ((width - w) * deim_random_unit (random)),
                     (guint) ((height - h) * deim_random_unit (random)), width, height);
}

/* Whether the middle of an object is in @part, and the best IoU of such an object with it. */
static gboolean
look_at_part (const DeimSample *sample, const gdouble part[4], gdouble *ret_iou)
{
  gboolean any = FALSE;
  *ret_iou = 0;

  for (guint i = 0; i < sample->objects->len; i++) {
    const DeimObject *o = deim_sample_object (sample, i);
    gdouble x = 0.5 * (o->x1 + o->x2), y = 0.5 * (o->y1 + o->y2);
    const gdouble box[] = { o->x1, o->y1, o->x2, o->y2 };
    if (x <= part[0] || x >= part[2] || y <= part[1] || y >= part[3])
      continue;
    any = TRUE;
    *ret_iou = MAX (*ret_iou, deim_box_iou (box, part));
  }
  return any;
}

/* One try: a part that meets the conditions, or FALSE. */
static gboolean
draw_part (const DeimSample *sample, gdouble least_iou, DeimRandom *random, guint ret_part[4])
{
  guint w = sample->image->width, h = sample->image->height;
  guint width = (guint) (w * deim_random_range (random, 0.3, 1));
  guint height = (guint) (h * deim_random_range (random, 0.3, 1));
  guint x = (guint) ((w - width) * deim_random_unit (random));
  guint y = (guint) ((h - height) * deim_random_unit (random));
  const gdouble part[] = { x, y, x + width, y + height };
  gdouble iou;

  if (width == 0 || height == 0 || width > 2 * height || height > 2 * width || !look_at_part (sample, part, &iou) ||
      iou < least_iou)
    return FALSE;
  ret_part[0] = x, ret_part[1] = y, ret_part[2] = width, ret_part[3] = height;
  return TRUE;
}

static void
crop_to (DeimSample *sample, const guint part[4])
{
  guint kept = 0;

  /* Only objects whose middle is inside stay. */
  for (guint i = 0; i < sample->objects->len; i++) {
    DeimObject o = *deim_sample_object (sample, i);
    gdouble x = 0.5 * (o.x1 + o.x2) - part[0], y = 0.5 * (o.y1 + o.y2) - part[1];
    if (x > 0 && y > 0 && x < part[2] && y < part[3])
      *deim_sample_object (sample, kept++) = o;
  }
  g_array_set_size (sample->objects, kept);
  deim_sample_crop (sample, part[0], part[1], part[2], part[3]);
}

void
deim_augment_iou_crop (DeimSample *sample, DeimRandom *random)
{
  static const gdouble overlaps[] = { 0, 0.1, 0.3, 0.5, 0.7, 0.9, 1 };
  guint part[4];

  /* A picture without objects ends at the draw of 1, which leaves it whole. */
  for (;;) {
    gdouble least = overlaps[deim_random_below (random, G_N_ELEMENTS (overlaps))];
    if (least >= 1)
      return;
    for (guint tries = 0; tries < 40; tries++)
      if (draw_part (sample, least, random, part)) {
        crop_to (sample, part);
        return;
      }
  }
}

DeimSample *
deim_augment_mosaic (DeimSample *const samples[4], guint side, DeimRandom *random)
{
  for (guint i = 0; i < 4; i++) {
    guint w = samples[i]->image->width, h = samples[i]->image->height;
    guint width = w <= h ? side : MAX ((guint) ((guint64) side * w / h), 1);
    guint height = h <= w ? side : MAX ((guint) ((guint64) side * h / w), 1);
    deim_sample_resize (samples[i], MIN (width, DEIM_IMAGE_MAX_SIDE), MIN (height, DEIM_IMAGE_MAX_SIDE));
  }
  DeimSample *mosaic = deim_sample_mosaic (samples);
  gdouble degrees = deim_random_range (random, -10, 10);
  gdouble dx = round (deim_random_range (random, -0.1, 0.1) * mosaic->image->width);
  gdouble dy = round (deim_random_range (random, -0.1, 0.1) * mosaic->image->height);
  deim_sample_affine (mosaic, degrees, deim_random_range (random, 0.5, 1.5), dx, dy);
  return mosaic;
}

static DeimSample *
load_mosaic (const DeimSampleSource *source, guint index, guint side, DeimRandom *random, GError **error)
{
  DeimSample *samples[4] = { NULL }, *mosaic = NULL;
  guint n = 0;

  for (; n < 4; n++) {
    samples[n] = source->load (source->data, n == 0 ? index : deim_random_below (random, source->n), error);
    if (!samples[n])
      break;
  }
  if (n == 4)
    mosaic = deim_augment_mosaic (samples, side, random);
  for (guint i = 0; i < n; i++)
    deim_sample_free (samples[i]);
  return mosaic;
}

DeimSample *
deim_augment_load (const DeimAugmentPolicy *policy, guint epoch, guint width, guint height,
                   const DeimSampleSource *source, guint index, DeimRandom *random, GError **error)
{
  gboolean heavy = policy && epoch >= policy->start && epoch < policy->stop;
  gboolean mosaic =
      policy && epoch >= policy->start && epoch < policy->half && deim_random_chance (random, policy->mosaic);
  g_autoptr (DeimSample) sample = mosaic ? load_mosaic (source, index, MIN (width, height) / 2, random, error)
                                         : source->load (source->data, index, error);
  if (!sample)
    return NULL;

  if (heavy) {
    DeimPhotometric how = deim_photometric_draw (random, 0.5);
    deim_photometric_apply (sample->image, &how);
  }
  if (heavy && !mosaic && deim_random_chance (random, 0.5))
    deim_augment_zoom_out (sample, random);
  if (heavy && !mosaic && deim_random_chance (random, 0.8))
    deim_augment_iou_crop (sample, random);
  if (policy) {
    deim_sample_sanitize (sample, 1);
    if (deim_random_chance (random, 0.5))
      deim_sample_flip (sample);
  }
  deim_sample_resize (sample, width, height);
  if (policy)
    deim_sample_sanitize (sample, policy->min_size);
  return g_steal_pointer (&sample);
}
