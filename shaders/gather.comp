/* SPDX-License-Identifier: LGPL-2.1-or-later */
#version 450
/*
 * gather: columns of tokens by index: y[n][block][j] = x[n][block][index[n][j] / divide].
 *
 *   x [n or 1][blocks][tokens] vec4    index [n][k] int    y [n][blocks][k] vec4
 */
#extension GL_GOOGLE_include_directive : require
#include "io.glsl"

READ (0, x)
READ_RAW (1, index)
WRITE (2, y)

layout (push_constant) uniform Push {
  Place px, py;
  int k, divide;
};

void
main ()
{
  int block = int (gl_WorkGroupID.y), n = int (gl_WorkGroupID.z);
  int j = int (gl_GlobalInvocationID.x);
  if (j < k)
    y (at (py, n, block, j), x (at (px, n, block, int (index[n * k + j]) / divide)));
}
