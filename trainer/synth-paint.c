/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* synth-paint.c - textures, and the camera: light, blur, noise. */
#include "synth-paint.h"

#include <math.h>
#include <string.h>

void
deim_canvas_init (DeimCanvas *canvas, guint width, guint height)
{
  *canvas = (DeimCanvas){ width, height, g_new0 (gfloat, (gsize) width * height * 3) };
}

void
deim_canvas_finish (DeimCanvas *canvas)
{
  g_clear_pointer (&canvas->rgb, g_free);
}

/* ----------------------------------------------------------------- textures */

enum { PLAIN, GRADIENT, STRIPES, CHECKS, DOTS, CLOUDS, N_KINDS };

DeimTexture
deim_texture_draw (DeimRandom *random, const gfloat colour[3], gdouble spread, gdouble size)
{
  gdouble angle = deim_random_range (random, 0, 2 * G_PI);
  DeimTexture texture = {
    .kind = deim_random_below (random, N_KINDS),
    .dx = cos (angle),
    .dy = sin (angle),
    .period = MAX (size * deim_random_range (random, 0.15, 0.6), 3),
    .x = deim_random_range (random, 0, 1000),
    .y = deim_random_range (random, 0, 1000),
    .noise = deim_random_bits (random),
  };
  gdouble lighter = deim_random_range (random, 0.3, 1) * spread * (deim_random_chance (random, 0.5) ? 1 : -1);
  for (guint c = 0; c < 3; c++) {
    gdouble own = deim_random_range (random, -0.3, 0.3) * spread;
    texture.a[c] = (gfloat) CLAMP (colour[c] - 0.5 * (lighter + own), 0, 255);
    texture.b[c] = (gfloat) CLAMP (colour[c] + 0.5 * (lighter + own), 0, 255);
  }
  return texture;
}

/* A number of -1 .. 1 for each point of a lattice. */
static gdouble
lattice (guint64 noise, gint64 x, gint64 y)
{
  DeimRandom random = { noise + (guint64) x * 0x632BE59BD9B4E019u + (guint64) y * 0x8CB92BA72F3D8DD7u };
  return 2 * deim_random_unit (&random) - 1;
}

static gdouble
smooth (gdouble t)
{
  return t * t * (3 - 2 * t);
}

/* Value noise: the lattice, smoothly between its points. */
static gdouble
value_noise (guint64 noise, gdouble x, gdouble y)
{
  gint64 i = (gint64) floor (x), j = (gint64) floor (y);
  gdouble u = smooth (x - floor (x)), v = smooth (y - floor (y));
  gdouble top = lattice (noise, i, j) * (1 - u) + lattice (noise, i + 1, j) * u;
  gdouble bottom = lattice (noise, i, j + 1) * (1 - u) + lattice (noise, i + 1, j + 1) * u;
  return top * (1 - v) + bottom * v;
}

/* How far from a to b, 0 .. 1. */
static gdouble
mix_at (const DeimTexture *t, gdouble x, gdouble y)
{
  gdouble along = ((x + t->x) * t->dx + (y + t->y) * t->dy) / t->period;
  gdouble across = ((y + t->y) * t->dx - (x + t->x) * t->dy) / t->period;
  gdouble u = along - floor (along) - 0.5, v = across - floor (across) - 0.5;

  switch (t->kind) {
  case GRADIENT:
    return 0.5 + 0.5 * sin (along);
  case STRIPES:
    return CLAMP (0.5 + 4 * (fabs (u) - 0.25), 0.0, 1.0);
  case CHECKS:
    return (u < 0) == (v < 0) ? 0 : 1;
  case DOTS:
    return CLAMP (0.5 + 6 * (0.28 - sqrt (u * u + v * v)), 0.0, 1.0);
  case CLOUDS:
    return CLAMP (0.5 + 0.45 * value_noise (t->noise, along, across) +
                      0.25 * value_noise (t->noise + 1, 2.3 * along, 2.3 * across),
                  0.0, 1.0);
  default:
    return 0;
  }
}

void
deim_texture_at (const DeimTexture *texture, gdouble x, gdouble y, gfloat ret_rgb[3])
{
  gfloat mix = (gfloat) mix_at (texture, x, y);
  for (guint c = 0; c < 3; c++)
    ret_rgb[c] = texture->a[c] + mix * (texture->b[c] - texture->a[c]);
}

/* ----------------------------------------------------------------- painting */

void
deim_canvas_fill (DeimCanvas *canvas, const DeimTexture *texture)
{
  for (guint y = 0; y < canvas->height; y++)
    for (guint x = 0; x < canvas->width; x++)
      deim_texture_at (texture, x, y, canvas->rgb + ((gsize) y * canvas->width + x) * 3);
}

/* The part of a mask's window that lies in the picture; FALSE if none does. */
static gboolean
clip_window (const DeimCanvas *canvas, const DeimMask *mask, guint ret_window[4])
{
  gint x1 = MAX (mask->x, 0), y1 = MAX (mask->y, 0);
  gint x2 = MIN (mask->x + (gint) mask->width, (gint) canvas->width);
  gint y2 = MIN (mask->y + (gint) mask->height, (gint) canvas->height);
  if (x1 >= x2 || y1 >= y2)
    return FALSE;
  ret_window[0] = (guint) x1, ret_window[1] = (guint) y1, ret_window[2] = (guint) x2, ret_window[3] = (guint) y2;
  return TRUE;
}

static guint8
cover_at (const DeimMask *mask, guint x, guint y)
{
  return mask->cover[(gsize) ((gint) y - mask->y) * mask->width + (gsize) ((gint) x - mask->x)];
}

void
deim_canvas_paint (DeimCanvas *canvas, const DeimMask *mask, const DeimTexture *texture, gdouble opacity)
{
  guint window[4];
  if (!clip_window (canvas, mask, window))
    return;
  for (guint y = window[1]; y < window[3]; y++)
    for (guint x = window[0]; x < window[2]; x++) {
      gfloat share = (gfloat) (cover_at (mask, x, y) / 255.0 * opacity), colour[3];
      gfloat *rgb = canvas->rgb + ((gsize) y * canvas->width + x) * 3;
      if (share <= 0)
        continue;
      deim_texture_at (texture, x, y, colour);
      for (guint c = 0; c < 3; c++)
        rgb[c] += share * (colour[c] - rgb[c]);
    }
}

void
deim_canvas_mean (const DeimCanvas *canvas, const DeimMask *mask, gfloat ret_rgb[3])
{
  gdouble sum[3] = { 0 }, weight = 0;
  guint window[4];

  if (clip_window (canvas, mask, window))
    for (guint y = window[1]; y < window[3]; y++)
      for (guint x = window[0]; x < window[2]; x++) {
        gdouble share = cover_at (mask, x, y);
        const gfloat *rgb = canvas->rgb + ((gsize) y * canvas->width + x) * 3;
        weight += share;
        for (guint c = 0; c < 3; c++)
          sum[c] += share * rgb[c];
      }
  for (guint c = 0; c < 3; c++)
    ret_rgb[c] = weight > 0 ? (gfloat) (sum[c] / weight) : 127;
}

/* ------------------------------------------------------------------- camera */

void
deim_canvas_light (DeimCanvas *canvas, DeimRandom *random, gdouble amount)
{
  gdouble angle = deim_random_range (random, 0, 2 * G_PI);
  gdouble w = canvas->width, h = canvas->height, reach = 0.5 * sqrt (w * w + h * h);

  for (guint y = 0; y < canvas->height; y++)
    for (guint x = 0; x < canvas->width; x++) {
      gdouble along = ((x - 0.5 * w) * cos (angle) + (y - 0.5 * h) * sin (angle)) / reach;
      for (guint c = 0; c < 3; c++)
        canvas->rgb[((gsize) y * canvas->width + x) * 3 + c] *= (gfloat) (1 + amount * along);
    }
}

/* One direction of a blur: @n samples @step apart, edges repeated. */
static void
blur_line (const gfloat *from, gfloat *to, guint n, gsize step, const gdouble *kernel, gint radius)
{
  for (gint i = 0; i < (gint) n; i++) {
    gdouble sum = 0;
    for (gint k = -radius; k <= radius; k++)
      sum += kernel[ABS (k)] * from[(gsize) CLAMP (i + k, 0, (gint) n - 1) * step];
    to[(gsize) i * step] = (gfloat) sum;
  }
}

void
deim_canvas_blur (DeimCanvas *canvas, gdouble sigma)
{
  gint radius = (gint) ceil (3 * sigma);
  gsize row = (gsize) canvas->width * 3, size = row * canvas->height;
  if (radius < 1)
    return;

  g_autofree gdouble *kernel = g_new (gdouble, radius + 1);
  g_autofree gfloat *middle = g_new (gfloat, size);
  gdouble sum = 0;
  for (gint k = 0; k <= radius; k++) {
    kernel[k] = exp (-0.5 * k * k / (sigma * sigma));
    sum += k ? 2 * kernel[k] : kernel[k];
  }
  for (gint k = 0; k <= radius; k++)
    kernel[k] /= sum;
  for (guint y = 0; y < canvas->height; y++)
    for (guint c = 0; c < 3; c++)
      blur_line (canvas->rgb + y * row + c, middle + y * row + c, canvas->width, 3, kernel, radius);
  for (gsize x = 0; x < row; x++)
    blur_line (middle + x, canvas->rgb + x, canvas->height, row, kernel, radius);
}

DeimImage *
deim_canvas_expose (const DeimCanvas *canvas, DeimRandom *random, gdouble sigma)
{
  DeimImage *image = deim_image_new (canvas->width, canvas->height);
  gsize n = (gsize) canvas->width * canvas->height * 3;

  for (gsize i = 0; i < n; i++) {
    gdouble value = canvas->rgb[i] + (sigma > 0 ? sigma * deim_random_normal (random) : 0);
    image->pixels[i] = (guint8) CLAMP (value + 0.5, 0, 255);
  }
  return image;
}
