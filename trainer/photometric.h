/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * photometric.h - random light and colour: torchvision's
 * RandomPhotometricDistort, with Pillow's meaning of each step. Each step is
 * rounded to 8 bits. Boxes do not change.
 */
#pragma once

#include "image.h"
#include "random.h"

typedef struct {
  gdouble brightness;     /* factor of every value */
  gdouble contrast;       /* factor of the distance from the picture's mean gray */
  gdouble saturation;     /* factor of the distance from the pixel's own gray */
  gdouble hue;            /* turned by so much of the circle */
  gboolean contrast_last; /* after saturation and hue, else before */
  guint order[3];         /* which channel becomes red, green, blue */
} DeimPhotometric;

/* Changes nothing. */
extern const DeimPhotometric deim_photometric_none;

/* Each of the five with @probability: 0.875 .. 1.125, 0.5 .. 1.5, 0.5 .. 1.5, -0.05 .. 0.05, any order. */
DeimPhotometric deim_photometric_draw (DeimRandom *random, gdouble probability);

void deim_photometric_apply (DeimImage *image, const DeimPhotometric *how);
