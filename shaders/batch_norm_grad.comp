/* SPDX-License-Identifier: LGPL-2.1-or-later */
#version 450
/*
 * batch_norm_grad: the gradient of BatchNorm's input: dx = dy * w[0] + x * w[1] + w[2] for every channel
 * (batch_norm_grad_table.comp).
 *
 *   g (dy), x, y (dx) [n][blocks][positions] vec4    w [blocks][3] vec4
 */
#extension GL_GOOGLE_include_directive : require
#include "io.glsl"

layout (constant_id = 4) const int PER_LANE = 4; /* positions of an invocation */

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
  vec4 a = w (3 * block), b = w (3 * block + 1), c = w (3 * block + 2);
  [[unroll]] for (int j = 0; j < PER_LANE; j++) {
    int p = first + j * local;
    if (p < positions)
      y (at (py, n, block, p), g (at (pg, n, block, p)) * a + x (at (px, n, block, p)) * b + c);
  }
}
