/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* image.c - pictures in memory. */
#include "image.h"

#include <image/resize.h>
#include <string.h>

DeimImage *
deim_image_new (guint width, guint height)
{
  DeimImage *image = g_new (DeimImage, 1);
  *image = (DeimImage){ width, height, g_malloc0 ((gsize) width * height * 3) };
  return image;
}

DeimImage *
deim_image_copy (const DeimImage *image)
{
  DeimImage *copy = deim_image_new (image->width, image->height);
  memcpy (copy->pixels, image->pixels, (gsize) image->width * image->height * 3);
  return copy;
}

void
deim_image_free (DeimImage *image)
{
  if (!image)
    return;
  g_free (image->pixels);
  g_free (image);
}

DeimImage *
deim_image_resize (const DeimImage *image, guint width, guint height)
{
  DeimResample horizontal, vertical;
  DeimImage *resized = deim_image_new (width, height);

  deim_resample_init (&horizontal, image->width, width);
  deim_resample_init (&vertical, image->height, height);
  deim_resize_rgb (&horizontal, &vertical, image->pixels, resized->pixels);
  deim_resample_finish (&horizontal);
  deim_resample_finish (&vertical);
  return resized;
}

void
deim_image_copy_part (const DeimImage *source, guint x, guint y, guint width, guint height, DeimImage *target,
                      guint to_x, guint to_y)
{
  for (guint row = 0; row < height; row++)
    memcpy (deim_image_at (target, to_x, to_y + row), deim_image_at (source, x, y + row), (gsize) width * 3);
}

void
deim_image_to_planes (const DeimImage *image, gfloat *ret_planes)
{
  gsize n = (gsize) image->width * image->height;
  for (gsize i = 0; i < n; i++)
    for (guint c = 0; c < 3; c++)
      ret_planes[c * n + i] = (gfloat) image->pixels[i * 3 + c] / 255.0f;
}
