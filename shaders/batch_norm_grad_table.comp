/* SPDX-License-Identifier: LGPL-2.1-or-later */
#version 450
/*
 * batch_norm_grad_table: from the sums (batch_norm_sums.comp) the gradients of BatchNorm's parameters, and what
 * batch_norm_grad.comp does to each channel.
 *
 *   p [count][blocks][TERMS] vec4    t [blocks][5] vec4 (batch_norm_state.comp)    m [blocks] vec4: logical channels
 *   y [blocks][6] vec4: dx = da * y[0] + x * y[1] + y[2]; factor, summand, scale    dw, db plain [c]
 */
#extension GL_GOOGLE_include_directive : require
#include "io.glsl"
#include "plain.glsl"

layout (constant_id = 4) const int TERMS = 2;

READ (0, p)
READ (1, t)
READ (2, m)
WRITE (3, y)
WRITE_RAW (4, dw)
WRITE_RAW (5, db)

layout (push_constant) uniform Push {
  int blocks, channels, count;
  float total; /* batch * positions, of all processes */
  float share; /* of the gradients that this process gives out */
};

void
main ()
{
  int block = int (gl_GlobalInvocationID.x);
  if (block >= blocks)
    return;
  vec4 sum = vec4 (0.0), product = vec4 (0.0); /* dbias and dweight */
  for (int i = 0; i < count; i++) {
    sum += p (TERMS * (i * blocks + block));
    product += p (TERMS * (i * blocks + block) + 1);
  }
  vec4 factor = t (5 * block), inverse = t (5 * block + 3);
  vec4 slope = -factor * inverse * product / total;
  y (6 * block, factor);
  y (6 * block + 1, slope);
  y (6 * block + 2, -factor * sum / total - slope * t (5 * block + 2));
  y (6 * block + 3, factor);
  y (6 * block + 4, t (5 * block + 1));
  y (6 * block + 5, t (5 * block + 4));
  ivec4 c = ivec4 (m (block));
  [[unroll]] for (int l = 0; l < 4; l++)
    if (c[l] >= 0) {
      dw[c[l]] = floatBitsToUint (product[l] * share);
      db[c[l]] = floatBitsToUint (sum[l] * share);
    }
  if (block == 0) {
    FINISH (dw, channels);
    FINISH (db, channels);
  }
}
