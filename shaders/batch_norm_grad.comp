/* SPDX-License-Identifier: LGPL-2.1-or-later */
#version 450
/*
 * batch_norm_grad: the gradient of the input of BatchNorm with the activation and affine block behind it.
 *
 *   g (dy), x, y (dx) [n][blocks][positions] vec4    w [blocks][6] vec4 (batch_norm_grad_table.comp)
 *
 *   da = dy * scale * act' (x * factor + summand)      dx = da * w[0] + x * w[1] + w[2]
 */
#extension GL_GOOGLE_include_directive : require
#include "io.glsl"
#include "act.glsl"
#include "act_grad.glsl"

layout (constant_id = 4) const int PER_LANE = 4; /* positions of an invocation */
layout (constant_id = 5) const int ACT = ACT_NONE;

READ (0, g)
READ (1, x)
READ (2, w)
WRITE (3, y)

layout (push_constant) uniform Push {
  Place pg, px, py;
  int positions;
};

void
main ()
{
  int block = int (gl_WorkGroupID.y), n = int (gl_WorkGroupID.z);
  int local = int (gl_WorkGroupSize.x);
  int first = int (gl_WorkGroupID.x) * local * PER_LANE + int (gl_LocalInvocationIndex);
  vec4 a = w (6 * block), b = w (6 * block + 1), c = w (6 * block + 2);
  vec4 factor = w (6 * block + 3), summand = w (6 * block + 4), scale = w (6 * block + 5);
  [[unroll]] for (int j = 0; j < PER_LANE; j++) {
    int p = first + j * local;
    if (p < positions) {
      vec4 v = x (at (px, n, block, p));
      vec4 da = g (at (pg, n, block, p)) * scale * derive (v * factor + summand, ACT, 0.0, 0.0);
      y (at (py, n, block, p), da * a + v * b + c);
    }
  }
}
