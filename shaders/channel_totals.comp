/* SPDX-License-Identifier: LGPL-2.1-or-later */
#version 450
/*
 * channel_totals: partial sums added up in their order (engine/ops/channel_sums.h).
 *
 *   p [count][blocks][TERMS] vec4    m [blocks] vec4: logical channels, -1 for padding
 *   a, b plain [c]: the totals of the first and second term; with TOTAL one number each, over all channels
 */
#extension GL_GOOGLE_include_directive : require
#include "io.glsl"
#include "plain.glsl"

layout (constant_id = 4) const int TERMS = 1;
layout (constant_id = 5) const bool TOTAL = false;

READ (0, p)
READ (1, m)
WRITE_RAW (2, a)
WRITE_RAW (3, b)

layout (push_constant) uniform Push {
  int blocks, count;
  int term; /* the first that is added up */
  int channels;
  int wanted; /* bit 0: the first term, bit 1: the second */
};

void
add_up (int block, out vec4 first, out vec4 second)
{
  first = second = vec4 (0.0);
  for (int i = 0; i < count; i++) {
    first += p ((i * blocks + block) * TERMS + term);
    if (TERMS > 1)
      second += p ((i * blocks + block) * TERMS + term + 1);
  }
}

void
main ()
{
  int block = int (gl_GlobalInvocationID.x);
  vec4 first, second;
  if (TOTAL) {
    if (block > 0)
      return;
    float sum_a = 0.0, sum_b = 0.0;
    for (int i = 0; i < blocks; i++) {
      add_up (i, first, second);
      vec4 real = vec4 (greaterThanEqual (m (i), vec4 (0.0)));
      sum_a += dot (first, real);
      sum_b += dot (second, real);
    }
    if ((wanted & 1) != 0) {
      a[0] = floatBitsToUint (sum_a);
      FINISH (a, 1);
    }
    if ((wanted & 2) != 0) {
      b[0] = floatBitsToUint (sum_b);
      FINISH (b, 1);
    }
    return;
  }
  if (block >= blocks)
    return;
  add_up (block, first, second);
  ivec4 c = ivec4 (m (block));
  [[unroll]] for (int l = 0; l < 4; l++)
    if (c[l] >= 0) {
      if ((wanted & 1) != 0)
        a[c[l]] = floatBitsToUint (first[l]);
      if ((wanted & 2) != 0)
        b[c[l]] = floatBitsToUint (second[l]);
    }
  if (block == 0) {
    if ((wanted & 1) != 0)
      FINISH (a, channels);
    if ((wanted & 2) != 0)
      FINISH (b, channels);
  }
}
