/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * colour.h - Y'CbCr to 8-bit R'G'B' in integers, so that the processor and
 * every shader agree to the bit.
 *
 *     R = (y (Y - y0) + rv (V - c0)               + half) >> DEIM_COLOUR_BITS
 *     G = (y (Y - y0) + gu (U - c0) + gv (V - c0) + half) >> DEIM_COLOUR_BITS
 *     B = (y (Y - y0) + bu (U - c0)               + half) >> DEIM_COLOUR_BITS
 *
 * each clamped to 0..255. Samples enter with their own depth (8 or 10 bits),
 * the result has 8. With 18 fraction bits the largest sum stays below 2^29 and
 * the coefficients' rounding below 0.01 levels.
 *
 * Transfer functions and primaries are left alone: the networks were trained
 * on R'G'B' as it came out of a decoder.
 */
#pragma once

#include "../deim.h"

#define DEIM_COLOUR_BITS 18

typedef struct {
  gint32 y0, c0; /* luma of black, chroma of gray */
  gint32 y, rv, gu, gv, bu;
} DeimColour;

/* @depth: bits of a sample, 8..10. */
void deim_colour_init (DeimColour *colour, DeimMatrix matrix, DeimRange range, guint depth);

/* @ret_rgb: three bytes. */
void deim_colour_convert (const DeimColour *colour, gint y, gint u, gint v, guint8 *ret_rgb);
