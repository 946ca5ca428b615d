/* SPDX-License-Identifier: LGPL-2.1-or-later */
#version 450
/*
 * embedding_grad: the gradient of a table whose rows were tokens: y[row] = sum of g[n][j] over the j with index[n][j] = row.
 *
 *   g (dy) [n][blocks][k] vec4    index [n][k] int    m [blocks] vec4: logical channels    y plain [rows][channels]
 *
 * A lane owns four channels of a row and looks at all indices.
 */
#extension GL_GOOGLE_include_directive : require
#include "io.glsl"
#include "plain.glsl"

READ (0, g)
READ_RAW (1, index)
READ (2, m)
WRITE_RAW (3, y)

layout (push_constant) uniform Push {
  Place pg;
  int batch, k, rows, channels;
  int padding; /* the row whose gradient is zero, or -1 */
};

void
main ()
{
  int block = int (gl_WorkGroupID.y);
  int row = int (gl_GlobalInvocationID.x);
  if (row >= rows)
    return;
  vec4 sum = vec4 (0.0);
  if (row != padding)
    for (int n = 0; n < batch; n++)
      for (int j = 0; j < k; j++)
        sum += clamp (int (index[n * k + j]), 0, rows - 1) == row ? g (at (pg, n, block, j)) : vec4 (0.0);
  ivec4 c = ivec4 (m (block));
  [[unroll]] for (int l = 0; l < 4; l++)
    if (c[l] >= 0)
      y[row * channels + c[l]] = floatBitsToUint (sum[l]);
  if (row == 0 && block == 0)
    FINISH (y, rows * channels);
}
