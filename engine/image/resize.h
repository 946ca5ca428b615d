/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * resize.h - Pillow's `resize (..., BILINEAR)` of 8-bit pictures, to the bit.
 *
 * A triangle filter, widened by the ratio when shrinking (antialiased): output
 * pixel o looks at the input around (o + 0.5) * in / out. Weights are
 * normalised to 1, then rounded to 22 fraction bits. Columns first; the sums
 * are rounded to 8 bits, and rows are made of those bytes.
 */
#pragma once

#include <glib.h>

#ifndef DEIM_API
#define DEIM_API __attribute__ ((visibility ("default")))
#endif

#define DEIM_RESIZE_BITS 22 /* 32 bits less 8 of the sample and 2 to spare */

/* Weights of one direction. */
typedef struct {
  guint in, out;
  guint taps;     /* the largest count */
  guint *first;   /* [out] first input pixel */
  guint *count;   /* [out] input pixels */
  gint32 *weight; /* [out][taps]; zero after count */
} DeimResample;

DEIM_API void deim_resample_init (DeimResample *resample, guint in, guint out);
DEIM_API void deim_resample_finish (DeimResample *resample);

/* RGB, three bytes a pixel, rows without padding: @source [vertical->in][horizontal->in] to @target [out][out]. */
DEIM_API void deim_resize_rgb (const DeimResample *horizontal, const DeimResample *vertical, const guint8 *source,
                               guint8 *target);
