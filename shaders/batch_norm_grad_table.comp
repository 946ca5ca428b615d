/* SPDX-License-Identifier: LGPL-2.1-or-later */
#version 450
/*
 * batch_norm_grad_table: from the sums of dy and dy * (x - mean) (channel_sums.comp) the gradients of BatchNorm's
 * parameters, and what batch_norm_grad.comp does to each channel.
 *
 *   p [count][blocks][2] vec4    m [blocks] vec4: logical channels    w, mean, var (unbiased) plain [c]
 *   y [blocks][3] vec4: dx = dy * y[0] + x * y[1] + y[2]              dw, db plain [c]
 */
#extension GL_GOOGLE_include_directive : require
#include "io.glsl"
#include "plain.glsl"

READ (0, p)
READ (1, m)
READ (2, w)
READ (3, mean)
READ (4, var)
WRITE (5, y)
WRITE_RAW (6, dw)
WRITE_RAW (7, db)

layout (push_constant) uniform Push {
  int blocks, channels, count;
  float total; /* batch * positions */
  float eps;
};

void
main ()
{
  int block = int (gl_GlobalInvocationID.x);
  if (block >= blocks)
    return;
  vec4 sum = vec4 (0.0), product = vec4 (0.0);
  for (int i = 0; i < count; i++) {
    sum += p (2 * (i * blocks + block));
    product += p (2 * (i * blocks + block) + 1);
  }
  ivec4 c = ivec4 (m (block));
  vec4 a = vec4 (0.0), b = vec4 (0.0), d = vec4 (0.0);
  [[unroll]] for (int l = 0; l < 4; l++)
    if (c[l] >= 0) {
      float centre = NUMBER (mean, c[l]);
      float inverse = 1.0 / sqrt (NUMBER (var, c[l]) * ((total - 1.0) / total) + eps);
      float slope = product[l] * inverse; /* dweight */
      a[l] = NUMBER (w, c[l]) * inverse;
      b[l] = -a[l] * inverse * slope / total;
      d[l] = -a[l] * sum[l] / total - b[l] * centre;
      dw[c[l]] = floatBitsToUint (slope);
      db[c[l]] = floatBitsToUint (sum[l]);
    }
  y (3 * block, a);
  y (3 * block + 1, b);
  y (3 * block + 2, d);
  if (block == 0) {
    FINISH (dw, channels);
    FINISH (db, channels);
  }
}
