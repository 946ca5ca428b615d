/* SPDX-License-Identifier: LGPL-2.1-or-later */
#version 450
/*
 * act_grad: the gradient of an elementwise function: dx = dy * f' (x).
 *
 *   g (dy), x, y (dx) [n][blocks][positions] vec4
 */
#extension GL_GOOGLE_include_directive : require
#include "io.glsl"
#include "act.glsl"
#include "act_grad.glsl"

layout (constant_id = 4) const int PER_LANE = 4; /* positions of an invocation */
layout (constant_id = 5) const int ACT = ACT_NONE;

READ (0, g)
READ (1, x)
WRITE (2, y)

layout (push_constant) uniform Push {
  Place pg, px, py;
  int positions;
  float lo, hi;
};

void
main ()
{
  int block = int (gl_WorkGroupID.y), n = int (gl_WorkGroupID.z);
  int local = int (gl_WorkGroupSize.x);
  int first = int (gl_WorkGroupID.x) * local * PER_LANE + int (gl_LocalInvocationIndex);
  [[unroll]] for (int j = 0; j < PER_LANE; j++) {
    int p = first + j * local;
    if (p < positions)
      y (at (py, n, block, p), g (at (pg, n, block, p)) * derive (x (at (px, n, block, p)), ACT, lo, hi));
  }
}
