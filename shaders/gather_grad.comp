/* SPDX-License-Identifier: LGPL-2.1-or-later */
#version 450
/*
 * gather_grad: columns of tokens added to where they were gathered from: y[n][block][index[n][j] / divide] += g[n][block][j].
 *
 *   g (dy) [n][blocks][k] vec4    index [n][k] int    y (dx) [n or 1][blocks][tokens] vec4, zeros before
 *
 * A lane owns four channels of one set of tokens, and adds to them in the order of the indices.
 */
#extension GL_GOOGLE_include_directive : require
#include "io.glsl"

READ (0, g)
READ_RAW (1, index)
UPDATE (2, y)

layout (push_constant) uniform Push {
  Place pg, py;
  int k, divide, tokens;
  int each; /* lists of indices for a set of tokens */
  int blocks;
};

void
main ()
{
  int block = int (gl_GlobalInvocationID.x), n = int (gl_WorkGroupID.z);
  if (block >= blocks)
    return;
  for (int i = n * each; i < (n + 1) * each; i++)
    for (int j = 0; j < k; j++) {
      int token = min (int (index[i * k + j]) / divide, tokens - 1);
      y[at (py, n, block, token)] += g (at (pg, i, block, j));
    }
}
