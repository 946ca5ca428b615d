/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* synth-paint.h - colours, textures, shapes and the camera of made-up pictures; for synth-scene.c. */
#pragma once

#include "random.h"
#include "sample.h"

/* A picture under work: values of 0 .. 255, unrounded. */
typedef struct {
  guint width, height;
  gfloat *rgb; /* [height][width][3] */
} DeimCanvas;

void deim_canvas_init (DeimCanvas *canvas, guint width, guint height);
void deim_canvas_finish (DeimCanvas *canvas);

/* Colour as a function of place. */
typedef struct {
  guint kind; /* plain, gradient, stripes, checks, dots, clouds */
  gfloat a[3], b[3];
  gdouble dx, dy; /* direction, a unit vector */
  gdouble period; /* pixels */
  gdouble x, y;   /* where it begins */
  guint64 noise;  /* stream of the clouds */
} DeimTexture;

/* Of any kind, with colours around @colour, up to @spread away. @size: of what it covers, pixels. */
DeimTexture deim_texture_draw (DeimRandom *random, const gfloat colour[3], gdouble spread, gdouble size);
void deim_texture_at (const DeimTexture *texture, gdouble x, gdouble y, gfloat ret_rgb[3]);

/* How much of each pixel a shape covers, 0 .. 255, in a window that may reach beyond the picture. */
typedef struct {
  gint x, y; /* of the window in the picture */
  guint width, height;
  guint8 *cover; /* [height][width] */
} DeimMask;

/*
 * A shape of class @label about @x, @y: half as wide as @radius x @stretch and
 * half as high as @radius / @stretch at most, turned by @angle.
 */
void deim_mask_shape (DeimMask *mask, guint label, gdouble x, gdouble y, gdouble radius, gdouble stretch,
                      gdouble angle);
/* A curved line of @thickness pixels somewhere in a picture. */
void deim_mask_scribble (DeimMask *mask, DeimRandom *random, guint width, guint height, gdouble thickness);
void deim_mask_finish (DeimMask *mask);

/* Paints through a mask; @opacity 0..1. */
void deim_canvas_paint (DeimCanvas *canvas, const DeimMask *mask, const DeimTexture *texture, gdouble opacity);
/* Paints everywhere. */
void deim_canvas_fill (DeimCanvas *canvas, const DeimTexture *texture);
/* Mean colour under a mask; the middle gray where it is outside. */
void deim_canvas_mean (const DeimCanvas *canvas, const DeimMask *mask, gfloat ret_rgb[3]);

/* Light that falls off to one side: values times 1 - @amount .. 1 + @amount. */
void deim_canvas_light (DeimCanvas *canvas, DeimRandom *random, gdouble amount);
/* A Gaussian of deviation @sigma pixels; 0: none. */
void deim_canvas_blur (DeimCanvas *canvas, gdouble sigma);
/* Normal noise of deviation @sigma on every value, then 8 bits. */
DeimImage *deim_canvas_expose (const DeimCanvas *canvas, DeimRandom *random, gdouble sigma);
