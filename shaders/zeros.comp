/* SPDX-License-Identifier: LGPL-2.1-or-later */
#version 450
/*
 * zeros: a tensor of zeros, to which other kernels add.
 *
 *   y [n][blocks][positions] vec4
 */
#extension GL_GOOGLE_include_directive : require
#include "io.glsl"

layout (constant_id = 4) const int PER_LANE = 4; /* positions of an invocation */

WRITE (0, y)

layout (push_constant) uniform Push {
  Place py;
  int positions;
};

void
main ()
{
  int local = int (gl_WorkGroupSize.x);
  int first = int (gl_WorkGroupID.x) * local * PER_LANE + int (gl_LocalInvocationIndex);
  [[unroll]] for (int j = 0; j < PER_LANE; j++)
    if (first + j * local < positions)
      y (at (py, int (gl_WorkGroupID.z), int (gl_WorkGroupID.y), first + j * local), vec4 (0.0));
}
