/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * topk_load.glsl - the keys that a top-k selects from (topk.glsl), for kernels with the constant FLAT, a READ_RAW
 * called keys, a READ called x and the push constants count4, px, classes and blocks.
 */

/* The @i-th four keys, 0 where there is none. */
uvec4
load (int n, int i)
{
  if (!FLAT)
    return keys4[n * count4 + i];
  int token = divide (i, blocks), block = i - token * blocks;
  vec4 v = x (at (px, n, block, token));
  uvec4 key;
  [[unroll]] for (int l = 0; l < 4; l++)
    key[l] = 4 * block + l < classes ? key_of (v[l]) : 0u;
  return key;
}

/* The index of the first of them. */
uint
index_of (int i)
{
  int token = FLAT ? divide (i, blocks) : 0;
  return uint (FLAT ? token * classes + (i - token * blocks) * 4 : 4 * i);
}
