/* SPDX-License-Identifier: LGPL-2.1-or-later */
#version 450
/*
 * batch_norm: BatchNorm of training, with the activation and the learnable affine block behind it.
 *
 *   x, y [n][blocks][positions] vec4    t [blocks][2] vec4: factor and summand of every channel
 *   l with LAB [2] vec4: scale and shift in all lanes
 *
 *   y = act (x * factor + summand) * scale + shift
 */
#extension GL_GOOGLE_include_directive : require
#include "io.glsl"
#include "act.glsl"

layout (constant_id = 4) const int PER_LANE = 4; /* positions of an invocation */
layout (constant_id = 5) const int ACT = ACT_NONE;
layout (constant_id = 6) const bool LAB = false;

READ (0, x)
READ (1, t)
READ (2, l)
WRITE (3, y)

layout (push_constant) uniform Push {
  Place px, py;
  int positions;
};

void
main ()
{
  int block = int (gl_WorkGroupID.y), n = int (gl_WorkGroupID.z);
  int local = int (gl_WorkGroupSize.x);
  int first = int (gl_WorkGroupID.x) * local * PER_LANE + int (gl_LocalInvocationIndex);
  vec4 factor = t (2 * block), summand = t (2 * block + 1), scale = vec4 (1.0), shift = vec4 (0.0);
  if (LAB) {
    scale = l (0);
    shift = l (1);
  }
  [[unroll]] for (int j = 0; j < PER_LANE; j++) {
    int p = first + j * local;
    if (p < positions)
      y (at (py, n, block, p), activate (x (at (px, n, block, p)) * factor + summand, ACT, 0.0, 0.0) * scale + shift);
  }
}
