/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* resize.c - weights of the resize, and the resize on the processor: the specification of the shaders. */
#include "resize.h"

#include <math.h>

void
deim_resample_init (DeimResample *resample, guint in, guint out)
{
  gdouble scale = (gdouble) in / out;
  gdouble reach = MAX (scale, 1.0); /* half the triangle's base, in input pixels */

  resample->in = in;
  resample->out = out;
  resample->first = g_new (guint, out);
  resample->count = g_new (guint, out);
  /* What the filter can touch, for the temporary row; the table is packed to what it does touch. */
  gsize room = (gsize) ceil (reach) * 2 + 1;
  g_autofree gdouble *w = g_new (gdouble, room);

  resample->taps = 0;
  for (guint o = 0; o < out; o++) {
    gdouble centre = (o + 0.5) * scale;
    gint from = MAX ((gint) (centre - reach + 0.5), 0);
    gint to = MIN ((gint) (centre + reach + 0.5), (gint) in);
    resample->first[o] = (guint) from;
    resample->count[o] = (guint) (to - from);
    resample->taps = MAX (resample->taps, resample->count[o]);
  }

  resample->weight = g_new0 (gint32, (gsize) out * resample->taps);
  for (guint o = 0; o < out; o++) {
    gdouble centre = (o + 0.5) * scale, sum = 0;
    for (guint t = 0; t < resample->count[o]; t++) {
      /* Distance of the pixel's middle, in units of reach. The order of operations is Pillow's: it decides last bits.
       */
      gdouble d = fabs ((t + resample->first[o] - centre + 0.5) * (1.0 / reach));
      w[t] = d < 1 ? 1 - d : 0;
      sum += w[t];
    }
    for (guint t = 0; t < resample->count[o]; t++) {
      gdouble share = sum != 0 ? w[t] / sum : w[t];
      resample->weight[(gsize) o * resample->taps + t] = (gint32) (0.5 + share * (1 << DEIM_RESIZE_BITS));
    }
  }
}

void
deim_resample_finish (DeimResample *resample)
{
  g_clear_pointer (&resample->first, g_free);
  g_clear_pointer (&resample->count, g_free);
  g_clear_pointer (&resample->weight, g_free);
}

/* One output byte: taps at @source, @step bytes apart. Weights are not negative and add up to 1, give or take their
 * rounding, so the sum fits 31 bits and only the upper end needs a clamp. */
static guint8
filter (const DeimResample *r, guint o, const guint8 *source, gsize step)
{
  const gint32 *w = r->weight + (gsize) o * r->taps;
  gint32 sum = 1 << (DEIM_RESIZE_BITS - 1);
  for (guint t = 0; t < r->count[o]; t++)
    sum += w[t] * source[(r->first[o] + t) * step];
  return (guint8) MIN (sum >> DEIM_RESIZE_BITS, 255);
}

void
deim_resize_rgb (const DeimResample *horizontal, const DeimResample *vertical, const guint8 *source, guint8 *target)
{
  gsize in = (gsize) horizontal->in * 3, row = (gsize) horizontal->out * 3;
  g_autofree guint8 *middle = g_malloc (row * vertical->in);

  for (guint y = 0; y < vertical->in; y++)
    for (guint x = 0; x < horizontal->out; x++)
      for (guint c = 0; c < 3; c++)
        middle[y * row + x * 3 + c] = filter (horizontal, x, source + y * in + c, 3);
  for (guint y = 0; y < vertical->out; y++)
    for (gsize x = 0; x < row; x++)
      target[y * row + x] = filter (vertical, y, middle + x, row);
}
