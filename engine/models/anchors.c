/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/models/network.h"

#include <math.h>

gint
deim_anchors_compute (gint levels, const gint *h, const gint *w, gfloat **ret_anchors, gboolean **ret_valid)
{
  gint total = 0;
  for (gint l = 0; l < levels; l++)
    total += h[l] * w[l];
  gfloat *anchors = g_new (gfloat, 4 * (gsize) total);
  gboolean *valid = g_new (gboolean, total);
  gint token = 0;
  for (gint l = 0; l < levels; l++)
    for (gint y = 0; y < h[l]; y++)
      for (gint x = 0; x < w[l]; x++, token++) {
        gfloat size = 0.05f * (gfloat) (1 << l);
        gfloat box[4] = { ((gfloat) x + 0.5f) / (gfloat) w[l], ((gfloat) y + 0.5f) / (gfloat) h[l], size, size };
        valid[token] = TRUE;
        for (gint i = 0; i < 4; i++)
          valid[token] = valid[token] && box[i] > 0.01f && box[i] < 0.99f;
        for (gint i = 0; i < 4; i++)
          anchors[4 * token + i] = valid[token] ? logf (box[i] / (1.0f - box[i])) : INFINITY;
      }
  *ret_anchors = anchors;
  *ret_valid = valid;
  return total;
}

gboolean
deim_anchors_agree (const gfloat *stored, const gfloat *computed, gint total)
{
  /* Another grid of as many tokens is off by far more somewhere. Drift is 2.4e-4 at most (deimv2 networks); bfloat16
   * moves logits of up to 4.6 by up to 2^-9 of them, 9e-3. */
  const gfloat tolerance = 1.2e-2f;
  for (gsize i = 0; i < 4 * (gsize) total; i++) {
    if (isinf (computed[i]) != isinf (stored[i]) || isnan (stored[i]))
      return FALSE;
    if (!isinf (computed[i]) && fabsf (computed[i] - stored[i]) > tolerance)
      return FALSE;
  }
  return TRUE;
}
