/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * topk.glsl - scores as unsigned keys that order as the scores do. Three kernels make a top-k:
 *
 *   topk_keys    scores -> keys [n][padded count], in index order, the padding 0; of all classes together the next
 *                kernel makes the keys itself (topk_load.glsl)
 *   topk_select  the k largest keys, lower index first among equals: candidates [n][k] of (key, index), in index order;
 *                on a GPU topk_histogram
 *   topk_sort    candidates -> indices [n][k], descending; detections.comp does that itself
 */
uint
key_of (float score)
{
  uint bits = floatBitsToUint (score);
  /* NaN counts as -infinity. Every key is above the padding's, 0. */
  if ((bits & 0x7fffffffu) > 0x7f800000u)
    bits = 0xff800000u;
  return (bits & 0x80000000u) != 0u ? ~bits : bits | 0x80000000u;
}
