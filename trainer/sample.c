/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* sample.c - flips, crops and the like, of pictures together with their boxes. */
#include "sample.h"

#include <math.h>
#include <string.h>

DeimSample *
deim_sample_new (DeimImage *image)
{
  DeimSample *sample = g_new (DeimSample, 1);
  *sample = (DeimSample){ image, g_array_new (FALSE, FALSE, sizeof (DeimObject)) };
  return sample;
}

DeimSample *
deim_sample_copy (const DeimSample *sample)
{
  DeimSample *copy = deim_sample_new (deim_image_copy (sample->image));
  g_array_append_vals (copy->objects, sample->objects->data, sample->objects->len);
  return copy;
}

void
deim_sample_free (DeimSample *sample)
{
  if (!sample)
    return;
  deim_image_free (sample->image);
  g_array_unref (sample->objects);
  g_free (sample);
}

static void
take_image (DeimSample *sample, DeimImage *image)
{
  deim_image_free (sample->image);
  sample->image = image;
}

/* Cuts boxes at the edge of the picture. */
static void
clip_objects (DeimSample *sample)
{
  for (guint i = 0; i < sample->objects->len; i++) {
    DeimObject *object = deim_sample_object (sample, i);
    object->x1 = CLAMP (object->x1, 0, sample->image->width);
    object->x2 = CLAMP (object->x2, 0, sample->image->width);
    object->y1 = CLAMP (object->y1, 0, sample->image->height);
    object->y2 = CLAMP (object->y2, 0, sample->image->height);
  }
}

static void
move_objects (DeimSample *sample, gdouble dx, gdouble dy)
{
  for (guint i = 0; i < sample->objects->len; i++) {
    DeimObject *object = deim_sample_object (sample, i);
    object->x1 += dx, object->x2 += dx;
    object->y1 += dy, object->y2 += dy;
  }
}

void
deim_sample_flip (DeimSample *sample)
{
  guint width = sample->image->width;

  for (guint y = 0; y < sample->image->height; y++)
    for (guint x = 0; x < width / 2; x++) {
      guint8 *a = deim_image_at (sample->image, x, y), *b = deim_image_at (sample->image, width - 1 - x, y), rgb[3];
      memcpy (rgb, a, 3);
      memcpy (a, b, 3);
      memcpy (b, rgb, 3);
    }
  for (guint i = 0; i < sample->objects->len; i++) {
    DeimObject *object = deim_sample_object (sample, i);
    gdouble x1 = width - object->x2;
    object->x2 = width - object->x1;
    object->x1 = x1;
  }
}

void
deim_sample_resize (DeimSample *sample, guint width, guint height)
{
  gdouble sx = (gdouble) width / sample->image->width, sy = (gdouble) height / sample->image->height;

  take_image (sample, deim_image_resize (sample->image, width, height));
  for (guint i = 0; i < sample->objects->len; i++) {
    DeimObject *object = deim_sample_object (sample, i);
    object->x1 *= sx, object->x2 *= sx;
    object->y1 *= sy, object->y2 *= sy;
  }
}

void
deim_sample_crop (DeimSample *sample, guint x, guint y, guint width, guint height)
{
  DeimImage *image = deim_image_new (width, height);

  deim_image_copy_part (sample->image, x, y, width, height, image, 0, 0);
  take_image (sample, image);
  move_objects (sample, -(gdouble) x, -(gdouble) y);
  clip_objects (sample);
}

void
deim_sample_place (DeimSample *sample, guint x, guint y, guint width, guint height)
{
  DeimImage *image = deim_image_new (width, height);

  deim_image_copy_part (sample->image, 0, 0, sample->image->width, sample->image->height, image, x, y);
  take_image (sample, image);
  move_objects (sample, x, y);
}

DeimSample *
deim_sample_mosaic (DeimSample *const samples[4])
{
  guint width = 0, height = 0;
  for (guint i = 0; i < 4; i++) {
    width = MAX (width, samples[i]->image->width);
    height = MAX (height, samples[i]->image->height);
  }

  DeimSample *mosaic = deim_sample_new (deim_image_new (2 * width, 2 * height));
  for (guint i = 0; i < 4; i++) {
    const DeimImage *image = samples[i]->image;
    guint x = i % 2 * width, y = i / 2 * height;
    deim_image_copy_part (image, 0, 0, image->width, image->height, mosaic->image, x, y);
    for (guint k = 0; k < samples[i]->objects->len; k++) {
      DeimObject object = *deim_sample_object (samples[i], k);
      object.x1 += x, object.x2 += x;
      object.y1 += y, object.y2 += y;
      g_array_append_val (mosaic->objects, object);
    }
  }
  return mosaic;
}

/* x' = m[0] x + m[1] y + m[2], y' = m[3] x + m[4] y + m[5] */
static void
map_point (const gdouble m[6], gdouble x, gdouble y, gdouble *ret_x, gdouble *ret_y)
{
  *ret_x = m[0] * x + m[1] * y + m[2];
  *ret_y = m[3] * x + m[4] * y + m[5];
}

static DeimImage *
warp (const DeimImage *image, const gdouble backwards[6])
{
  DeimImage *warped = deim_image_new (image->width, image->height);

  for (guint y = 0; y < image->height; y++)
    for (guint x = 0; x < image->width; x++) {
      gdouble from_x, from_y;
      map_point (backwards, x + 0.5, y + 0.5, &from_x, &from_y);
      if (from_x >= 0 && from_y >= 0 && from_x < image->width && from_y < image->height)
        memcpy (deim_image_at (warped, x, y), deim_image_at (image, (guint) from_x, (guint) from_y), 3);
    }
  return warped;
}

static void
map_object (DeimObject *object, const gdouble forwards[6])
{
  const gdouble xs[] = { object->x1, object->x2, object->x2, object->x1 };
  const gdouble ys[] = { object->y1, object->y1, object->y2, object->y2 };

  object->x1 = object->y1 = INFINITY;
  object->x2 = object->y2 = -INFINITY;
  for (guint k = 0; k < 4; k++) {
    gdouble x, y;
    map_point (forwards, xs[k], ys[k], &x, &y);
    object->x1 = MIN (object->x1, x);
    object->y1 = MIN (object->y1, y);
    object->x2 = MAX (object->x2, x);
    object->y2 = MAX (object->y2, y);
  }
}

void
deim_sample_affine (DeimSample *sample, gdouble degrees, gdouble scale, gdouble dx, gdouble dy)
{
  gdouble cx = 0.5 * sample->image->width, cy = 0.5 * sample->image->height, angle = degrees * G_PI / 180;
  gdouble c = cos (angle), s = sin (angle);
  /* Out of the middle, turned and scaled, back and moved; and the reverse of it. */
  const gdouble forwards[6] = {
    scale * c, -scale * s, cx + dx - scale * (c * cx - s * cy),
    scale * s, scale * c,  cy + dy - scale * (s * cx + c * cy),
  };
  const gdouble backwards[6] = {
    c / scale,  s / scale, cx - (c * (cx + dx) + s * (cy + dy)) / scale,
    -s / scale, c / scale, cy - (-s * (cx + dx) + c * (cy + dy)) / scale,
  };

  take_image (sample, warp (sample->image, backwards));
  for (guint i = 0; i < sample->objects->len; i++)
    map_object (deim_sample_object (sample, i), forwards);
  clip_objects (sample);
}

void
deim_sample_sanitize (DeimSample *sample, gdouble min_size)
{
  guint kept = 0;

  for (guint i = 0; i < sample->objects->len; i++) {
    DeimObject object = *deim_sample_object (sample, i);
    if (object.x2 - object.x1 >= min_size && object.y2 - object.y1 >= min_size)
      *deim_sample_object (sample, kept++) = object;
  }
  g_array_set_size (sample->objects, kept);
}
