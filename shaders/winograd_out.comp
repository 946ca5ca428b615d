/* SPDX-License-Identifier: LGPL-2.1-or-later */
#version 450
/*
 * winograd_out: the last of three dispatches of a 3x3 convolution with stride 1 (winograd_in.comp): the tiles' products
 * back to outputs, with the bias and the epilogue.
 *
 *   m [n][36][co4][tiles] vec4    w [co4] vec4 of bias    r, y [n][co4][oh*ow] vec4
 *
 * An invocation owns one tile of one block.
 */
#extension GL_GOOGLE_include_directive : require
#include "io.glsl"
#include "epilogue.glsl"
#include "winograd.glsl"

layout (constant_id = 4) const int ACT = ACT_NONE;
layout (constant_id = 5) const int RESIDUAL = 0;

READ (0, m)
READ (1, w)
READ (2, r)
WRITE (3, y)

layout (push_constant) uniform Push {
  Place py, pr;
  int ow, oh;
  int across, tiles, co4;
  int residual; /* RESIDUAL */
  float lo, hi, scale, shift;
};

void
main ()
{
  int block = int (gl_WorkGroupID.y), n = int (gl_WorkGroupID.z);
  int tile = int (gl_GlobalInvocationID.x);
  if (tile >= tiles)
    return;
  int row = divide (tile, across);
  int oy = 4 * row, ox = 4 * (tile - row * across);
  int from = (n * 36 * co4 + block) * tiles + tile;
  vec4 d[6][6]; /* [column][row] */
  [[unroll]] for (int j = 0; j < 6; j++) {
    [[unroll]] for (int i = 0; i < 6; i++)
      d[j][i] = m (from + (6 * i + j) * co4 * tiles);
    winograd_from (d[j]);
  }
  vec4 bias = w (block);
  [[unroll]] for (int i = 0; i < 4; i++) {
    vec4 t[6];
    [[unroll]] for (int j = 0; j < 6; j++)
      t[j] = d[j][i];
    winograd_from (t);
    [[unroll]] for (int j = 0; j < 4; j++)
      if (oy + i < oh && ox + j < ow) {
        int p = (oy + i) * ow + ox + j;
        vec4 other = vec4 (0.0);
        if (RESIDUAL != 0)
          other = r (at (pr, n, block, p));
        y (at (py, n, block, p), finish (t[j] + bias, other, ACT, RESIDUAL, lo, hi, scale, shift));
      }
  }
}
