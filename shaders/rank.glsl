/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* rank.glsl - the order of a top-k's candidates (topk.glsl), for kernels with a READ_RAW called candidates. */

/* How many of the @k candidates of batch entry @n come before the @mine-th of them. */
int
rank_of (int n, int k, int mine)
{
  uint key = candidates[2 * (n * k + mine)], index = candidates[2 * (n * k + mine) + 1];
  int rank = 0;
  for (int first = 0; first < k; first += 8) /* eight at a time, so that their loads are under way together */
    [[unroll]] for (int l = 0; l < 8; l++) {
      int i = min (first + l, k - 1);
      uint other = candidates[2 * (n * k + i)], other_index = candidates[2 * (n * k + i) + 1];
      if (first + l < k && (other > key || (other == key && other_index < index)))
        rank++;
    }
  return rank;
}
