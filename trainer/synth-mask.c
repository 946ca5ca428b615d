/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* synth-mask.c - the shapes, as Cairo covers pixels with them. */
#include "synth-paint.h"

#include <cairo.h>
#include <math.h>
#include <string.h>

/* ------------------------------------------------------------------- shapes */

/* Paths in the unit circle. */

static void
polygon (cairo_t *cr, guint n, const gdouble *points)
{
  for (guint i = 0; i < n; i++)
    cairo_line_to (cr, points[2 * i], points[2 * i + 1]);
  cairo_close_path (cr);
}

static void
disc (cairo_t *cr)
{
  cairo_arc (cr, 0, 0, 1, 0, 2 * G_PI);
}

static void
square (cairo_t *cr)
{
  cairo_rectangle (cr, -0.72, -0.72, 1.44, 1.44);
}

static void
triangle (cairo_t *cr)
{
  static const gdouble points[] = { 0, -1, 0.866, 0.5, -0.866, 0.5 };
  polygon (cr, 3, points);
}

static void
star (cairo_t *cr)
{
  for (guint i = 0; i < 10; i++) {
    gdouble angle = (i / 10.0 - 0.25) * 2 * G_PI, r = i % 2 ? 0.42 : 1;
    cairo_line_to (cr, r * cos (angle), r * sin (angle));
  }
  cairo_close_path (cr);
}

static void
cross (cairo_t *cr)
{
  static const gdouble a = 0.28, b = 0.95;
  const gdouble points[] = { -a, -b, a, -b, a, -a, b, -a, b, a, a, a, a, b, -a, b, -a, a, -b, a, -b, -a, -a, -a };
  polygon (cr, 12, points);
}

static void
ring (cairo_t *cr)
{
  cairo_arc (cr, 0, 0, 1, 0, 2 * G_PI);
  cairo_new_sub_path (cr);
  cairo_arc_negative (cr, 0, 0, 0.55, 2 * G_PI, 0);
}

static void (*const shapes[]) (cairo_t *cr) = { disc, square, triangle, star, cross, ring };

/* -------------------------------------------------------------------- masks */

/* A window of that size, and a context in which the picture's coordinates hold. */
static cairo_t *
begin (DeimMask *mask, gint x, gint y, guint width, guint height)
{
  cairo_surface_t *surface = cairo_image_surface_create (CAIRO_FORMAT_A8, (int) width, (int) height);
  cairo_t *cr = cairo_create (surface);

  cairo_surface_destroy (surface); /* the context keeps it */
  *mask = (DeimMask){ x, y, width, height, NULL };
  cairo_translate (cr, -x, -y);
  return cr;
}

/* Takes the pixels out; nothing is covered should Cairo have failed. */
static void
end (DeimMask *mask, cairo_t *cr)
{
  cairo_surface_t *surface = cairo_get_target (cr);
  mask->cover = g_malloc0 ((gsize) mask->width * mask->height);

  cairo_surface_flush (surface);
  if (cairo_status (cr) == CAIRO_STATUS_SUCCESS)
    for (guint y = 0; y < mask->height; y++)
      memcpy (mask->cover + (gsize) y * mask->width,
              cairo_image_surface_get_data (surface) + (gsize) y * (gsize) cairo_image_surface_get_stride (surface),
              mask->width);
  cairo_destroy (cr);
}

void
deim_mask_shape (DeimMask *mask, guint label, gdouble x, gdouble y, gdouble radius, gdouble stretch, gdouble angle)
{
  gdouble reach = radius * MAX (stretch, 1 / stretch) + 1;
  gint left = (gint) floor (x - reach), top = (gint) floor (y - reach);
  guint side = (guint) ceil (2 * reach) + 1;
  cairo_t *cr = begin (mask, left, top, side, side);

  cairo_translate (cr, x, y);
  cairo_rotate (cr, angle);
  cairo_scale (cr, radius * stretch, radius / stretch);
  shapes[label](cr);
  cairo_fill (cr);
  end (mask, cr);
}

void
deim_mask_scribble (DeimMask *mask, DeimRandom *random, guint width, guint height, gdouble thickness)
{
  cairo_t *cr = begin (mask, 0, 0, width, height);
  gdouble at[8];

  for (guint i = 0; i < 8; i++)
    at[i] = deim_random_range (random, -0.2, 1.2) * (i % 2 ? height : width);
  cairo_move_to (cr, at[0], at[1]);
  cairo_curve_to (cr, at[2], at[3], at[4], at[5], at[6], at[7]);
  cairo_set_line_width (cr, thickness);
  cairo_stroke (cr);
  end (mask, cr);
}

void
deim_mask_finish (DeimMask *mask)
{
  g_clear_pointer (&mask->cover, g_free);
}
