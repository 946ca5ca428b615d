/* SPDX-License-Identifier: LGPL-2.1-or-later */
#version 450
/*
 * repeat_to: x times a number, repeated over the batch, the channels or all positions.
 *
 *   x [n or 1][blocks or 1][positions or 1] vec4 (strides of 0 repeat)    y [n][blocks][positions] vec4
 */
#extension GL_GOOGLE_include_directive : require
#include "io.glsl"

READ (0, x)
WRITE (1, y)

layout (push_constant) uniform Push {
  Place px, py;
  int step;  /* 1, or 0 where x has one position */
  int splat; /* 1 where x has one channel */
  int positions;
  float scale;
};

void
main ()
{
  int block = int (gl_WorkGroupID.y), n = int (gl_WorkGroupID.z);
  int p = int (gl_GlobalInvocationID.x);
  if (p >= positions)
    return;
  vec4 v = x (at (px, n, block, p * step)) * scale;
  y (at (py, n, block, p), splat != 0 ? v.xxxx : v);
}
