/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* colour.c - the coefficients of a colour matrix and range, and the conversion itself. */
#include "colour.h"

#include <math.h>

/* Weights of red and blue in luma: ITU-R BT.601-7, BT.709-6, BT.2020-2 (non-constant luminance), SMPTE 240M,
 * FCC 73.682 (as GStreamer and ISO/IEC 23091-2 have them). */
static const struct {
  gdouble red, blue;
} luma[] = {
  [DEIM_MATRIX_BT601] = { 0.299, 0.114 },    [DEIM_MATRIX_BT709] = { 0.2126, 0.0722 },
  [DEIM_MATRIX_BT2020] = { 0.2627, 0.0593 }, [DEIM_MATRIX_SMPTE240M] = { 0.212, 0.087 },
  [DEIM_MATRIX_FCC] = { 0.30, 0.11 },
};

static gint32
fixed (gdouble x)
{
  return (gint32) lrint (ldexp (x, DEIM_COLOUR_BITS));
}

void
deim_colour_init (DeimColour *colour, DeimMatrix matrix, DeimRange range, guint depth)
{
  gdouble kr = luma[matrix].red, kb = luma[matrix].blue, kg = 1 - kr - kb;
  gboolean full = range == DEIM_RANGE_FULL;
  gdouble unit = (gdouble) (1u << (depth - 8));
  gdouble top = (gdouble) ((1u << depth) - 1);
  gdouble ys = 255 / (full ? top : 219 * unit); /* levels of R'G'B' per step of Y */
  gdouble cs = 255 / (full ? top : 224 * unit);

  colour->y0 = full ? 0 : 16 << (depth - 8);
  colour->c0 = 128 << (depth - 8);
  colour->y = fixed (ys);
  colour->rv = fixed (2 * (1 - kr) * cs);
  colour->gu = fixed (-2 * kb * (1 - kb) / kg * cs);
  colour->gv = fixed (-2 * kr * (1 - kr) / kg * cs);
  colour->bu = fixed (2 * (1 - kb) * cs);
}

static guint8
level (gint32 sum)
{
  /* Right shifts of negative numbers are arithmetic with gcc and clang, and in GLSL. */
  return (guint8) CLAMP ((sum + (1 << (DEIM_COLOUR_BITS - 1))) >> DEIM_COLOUR_BITS, 0, 255);
}

void
deim_colour_convert (const DeimColour *colour, gint y, gint u, gint v, guint8 *ret_rgb)
{
  gint32 l = colour->y * (y - colour->y0);
  u -= colour->c0;
  v -= colour->c0;
  ret_rgb[0] = level (l + colour->rv * v);
  ret_rgb[1] = level (l + colour->gu * u + colour->gv * v);
  ret_rgb[2] = level (l + colour->bu * u);
}
