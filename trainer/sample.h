/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * sample.h - a picture with its objects, and what moves both together. Nothing
 * here is random (augment.h is). Coordinates are continuous: pixel (x, y)
 * covers [x, x+1] x [y, y+1].
 *
 * Thread-safety: one thread at a time per object.
 */
#pragma once

#include "image.h"

typedef struct {
  gdouble x1, y1, x2, y2; /* pixels of the picture */
  guint label;
  gdouble area; /* of the annotation, in pixels of the original picture; no operation changes it */
} DeimObject;

typedef struct {
  DeimImage *image;
  GArray *objects; /* of DeimObject */
} DeimSample;

/* Takes @image. */
DeimSample *deim_sample_new (DeimImage *image);
DeimSample *deim_sample_copy (const DeimSample *sample);
void deim_sample_free (DeimSample *sample);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (DeimSample, deim_sample_free)

static inline DeimObject *
deim_sample_object (const DeimSample *sample, guint index)
{
  return &g_array_index (sample->objects, DeimObject, index);
}

/* Left becomes right. */
void deim_sample_flip (DeimSample *sample);

void deim_sample_resize (DeimSample *sample, guint width, guint height);

/* Cuts out a rectangle; objects are cut at its edge, those outside become empty. */
void deim_sample_crop (DeimSample *sample, guint x, guint y, guint width, guint height);

/* Puts the picture into a black one of @width x @height, its corner at @x, @y; it must fit in. */
void deim_sample_place (DeimSample *sample, guint x, guint y, guint width, guint height);

/*
 * Turns by @degrees (from the x axis towards the y axis) and scales about the
 * middle, then moves by @dx, @dy pixels. The size stays; what comes in from
 * outside is black; pixels are taken from the nearest. A box becomes the
 * smallest upright one around the turned box, cut at the edge. This is
 * torchvision's RandomAffine without shear.
 */
void deim_sample_affine (DeimSample *sample, gdouble degrees, gdouble scale, gdouble dx, gdouble dy);

/*
 * Four pictures in two rows of two cells. A cell is as wide as the widest and
 * as high as the highest picture; each stands in its cell's upper left corner,
 * the rest is black. @samples are read only.
 */
DeimSample *deim_sample_mosaic (DeimSample *const samples[4]);

/* Drops objects that are narrower or lower than @min_size pixels. */
void deim_sample_sanitize (DeimSample *sample, gdouble min_size);
