/* SPDX-License-Identifier: LGPL-2.1-or-later */
#version 450
/*
 * batch_norm_state: what BatchNorm did to each channel in the forward pass, for its gradient.
 *
 *   w, b, mean, var (unbiased) plain [c]    l plain [1]: scale of the learnable affine block, with `lab`
 *   m [blocks] vec4: logical channels, -1 for padding
 *   y [blocks][5] vec4: factor, summand, mean, 1 / deviation, scale
 */
#extension GL_GOOGLE_include_directive : require
#include "io.glsl"
#include "plain.glsl"

READ (0, w)
READ (1, b)
READ (2, mean)
READ (3, var)
READ (4, l)
READ (5, m)
WRITE (6, y)

layout (push_constant) uniform Push {
  int blocks, lab;
  float total; /* batch * positions, of all processes */
  float eps;
};

void
main ()
{
  int block = int (gl_GlobalInvocationID.x);
  if (block >= blocks)
    return;
  ivec4 c = ivec4 (m (block));
  vec4 factor = vec4 (0.0), summand = vec4 (0.0), centre = vec4 (0.0), inverse = vec4 (0.0);
  [[unroll]] for (int i = 0; i < 4; i++)
    if (c[i] >= 0) {
      centre[i] = NUMBER (mean, c[i]);
      inverse[i] = 1.0 / sqrt (NUMBER (var, c[i]) * ((total - 1.0) / total) + eps);
      factor[i] = NUMBER (w, c[i]) * inverse[i];
      summand[i] = NUMBER (b, c[i]) - centre[i] * factor[i];
    }
  y (5 * block, factor);
  y (5 * block + 1, summand);
  y (5 * block + 2, centre);
  y (5 * block + 3, inverse);
  y (5 * block + 4, lab != 0 ? vec4 (NUMBER (l, 0)) : vec4 (1.0));
}
