/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* photometric.c - brightness, contrast, saturation, hue and the order of channels. */
#include "photometric.h"

#include <math.h>

const DeimPhotometric deim_photometric_none = { .brightness = 1, .contrast = 1, .saturation = 1, .order = { 0, 1, 2 } };

DeimPhotometric
deim_photometric_draw (DeimRandom *random, gdouble probability)
{
  DeimPhotometric how = deim_photometric_none;

  if (deim_random_chance (random, probability))
    how.brightness = deim_random_range (random, 0.875, 1.125);
  if (deim_random_chance (random, probability))
    how.contrast = deim_random_range (random, 0.5, 1.5);
  if (deim_random_chance (random, probability))
    how.saturation = deim_random_range (random, 0.5, 1.5);
  if (deim_random_chance (random, probability))
    how.hue = deim_random_range (random, -0.05, 0.05);
  how.contrast_last = deim_random_chance (random, 0.5);
  if (deim_random_chance (random, probability))
    deim_random_shuffle (random, 3, how.order);
  return how;
}

static guint8
to_byte (gdouble value)
{
  return (guint8) CLAMP (value + 0.5, 0.0, 255.0);
}

/* ITU-R 601 luma, as Pillow's mode L. */
static gdouble
gray_of (const guint8 rgb[3])
{
  return 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2];
}

/* Moves every value away from, or towards, a gray: the pixel's own, or @gray where that is not negative. */
static void
blend (DeimImage *image, gdouble gray, gdouble factor)
{
  gsize n = (gsize) image->width * image->height;

  for (gsize i = 0; i < n; i++) {
    guint8 *rgb = image->pixels + i * 3;
    gdouble to = gray >= 0 ? gray : gray_of (rgb);
    for (guint c = 0; c < 3; c++)
      rgb[c] = to_byte (to + (rgb[c] - to) * factor);
  }
}

static gdouble
mean_gray (const DeimImage *image)
{
  gsize n = (gsize) image->width * image->height;
  gdouble sum = 0;
  for (gsize i = 0; i < n; i++)
    sum += gray_of (image->pixels + i * 3);
  return sum / (gdouble) n;
}

/* Turns a pixel's hue by @turn (sixths of the circle); lightness of the strongest and weakest channel stay. */
static void
turn_hue (guint8 rgb[3], gdouble turn)
{
  gdouble r = rgb[0], g = rgb[1], b = rgb[2], high = MAX (r, MAX (g, b)), chroma = high - MIN (r, MIN (g, b));
  if (chroma <= 0)
    return;
  gdouble hue = high == r ? (g - b) / chroma : high == g ? 2 + (b - r) / chroma : 4 + (r - g) / chroma;
  static const gdouble offset[3] = { 5, 3, 1 };

  for (guint c = 0; c < 3; c++) {
    gdouble k = fmod (offset[c] + hue + turn + 12, 6);
    rgb[c] = to_byte (high - chroma * CLAMP (MIN (k, 4 - k), 0.0, 1.0));
  }
}

static void
apply_hue (DeimImage *image, gdouble hue)
{
  gsize n = (gsize) image->width * image->height;
  for (gsize i = 0; i < n; i++)
    turn_hue (image->pixels + i * 3, 6 * hue);
}

static void
apply_order (DeimImage *image, const guint order[3])
{
  gsize n = (gsize) image->width * image->height;
  for (gsize i = 0; i < n; i++) {
    guint8 *rgb = image->pixels + i * 3;
    const guint8 old[3] = { rgb[0], rgb[1], rgb[2] };
    for (guint c = 0; c < 3; c++)
      rgb[c] = old[order[c]];
  }
}

void
deim_photometric_apply (DeimImage *image, const DeimPhotometric *how)
{
  if (how->brightness != 1)
    blend (image, 0, how->brightness);
  if (how->contrast != 1 && !how->contrast_last)
    blend (image, mean_gray (image), how->contrast);
  if (how->saturation != 1)
    blend (image, -1, how->saturation);
  if (how->hue != 0)
    apply_hue (image, how->hue);
  if (how->contrast != 1 && how->contrast_last)
    blend (image, mean_gray (image), how->contrast);
  if (how->order[0] != 0 || how->order[1] != 1)
    apply_order (image, how->order);
}
