/* SPDX-License-Identifier: LGPL-2.1-or-later */
#version 450
/*
 * winograd_in: the first of three dispatches of a 3x3 convolution with stride 1 (winograd.glsl): the 6x6 inputs of every
 * tile, transformed. The second is conv.comp, with 36 sets of weights, each for one of them.
 *
 *   x [n][ci4][ih*iw] vec4    v [n][36][ci4][tiles] vec4    v[6*i + j] = (B^T d B)[i][j]
 *
 * An invocation owns one tile of one block, `across` tiles in a row.
 */
#extension GL_GOOGLE_include_directive : require
#include "io.glsl"
#include "inside.glsl"
#include "winograd.glsl"

READ (0, x)
WRITE (1, v)

layout (push_constant) uniform Push {
  Place px;
  int iw, ih, pad_top, pad_left;
  int across, tiles, ci4;
};

void
main ()
{
  int block = int (gl_WorkGroupID.y), n = int (gl_WorkGroupID.z);
  int tile = int (gl_GlobalInvocationID.x);
  if (tile >= tiles)
    return;
  int row = divide (tile, across);
  int top = 4 * row - pad_top, left = 4 * (tile - row * across) - pad_left;
  vec4 d[6][6]; /* [column][row] */
  [[unroll]] for (int j = 0; j < 6; j++) {
    [[unroll]] for (int i = 0; i < 6; i++) {
      int iy = top + i, ix = left + j;
      bool inside = is_inside (ix, iy, iw, ih);
      vec4 value = x (at (px, n, block, inside ? iy * iw + ix : 0));
      d[j][i] = inside ? value : vec4 (0.0);
    }
    winograd_to (d[j]);
  }
  int to = (n * 36 * ci4 + block) * tiles + tile;
  [[unroll]] for (int i = 0; i < 6; i++) {
    vec4 t[6];
    [[unroll]] for (int j = 0; j < 6; j++)
      t[j] = d[j][i];
    winograd_to (t);
    [[unroll]] for (int j = 0; j < 6; j++)
      v (to + (6 * i + j) * ci4 * tiles, t[j]);
  }
}
