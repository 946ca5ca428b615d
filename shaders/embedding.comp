/* SPDX-License-Identifier: LGPL-2.1-or-later */
#version 450
/*
 * embedding: rows of a table as tokens: y[n][channel][j] = t[index[n][j]][channel].
 *
 *   t plain [rows][channels]    index [n][k] int    m [blocks] vec4: logical channels    y [n][blocks][k] vec4
 */
#extension GL_GOOGLE_include_directive : require
#include "io.glsl"
#include "plain.glsl"

READ (0, t)
READ_RAW (1, index)
READ (2, m)
WRITE (3, y)

layout (push_constant) uniform Push {
  Place py;
  int k, rows, channels;
};

void
main ()
{
  int block = int (gl_WorkGroupID.y), n = int (gl_WorkGroupID.z);
  int j = int (gl_GlobalInvocationID.x);
  if (j >= k)
    return;
  int first = clamp (int (index[n * k + j]), 0, rows - 1) * channels;
  ivec4 c = ivec4 (m (block));
  vec4 v = vec4 (0.0);
  [[unroll]] for (int l = 0; l < 4; l++)
    if (c[l] >= 0)
      v[l] = NUMBER (t, first + c[l]);
  y (at (py, n, block, j), v);
}
