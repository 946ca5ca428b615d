/* SPDX-License-Identifier: LGPL-2.1-or-later */
#version 450
/*
 * conv_up: one phase of the input gradient of a dense convolution with a stride: of every stride-th row and column of dx
 * those that see the same taps. A convolution of dy with stride 1 whose results lie apart.
 *
 *   x (dy) [n][ci4][ih*iw] vec4    w panels of pack_conv.comp    y (dx) [n][co4][..] vec4
 *
 *   y[co][first + v * row + u * step] = sum over taps, ci of w[tap][ci][co] * x[ci][(v + shift_y + ty) * iw + u + shift_x + tx]
 *
 * Tiles and SHUFFLE are those of conv.comp.
 */
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#include "io.glsl"
#include "inside.glsl"

layout (constant_id = 4) const int CO4 = 4;
layout (constant_id = 5) const int PX = 4;

READ (0, x)
READ (1, w)
WRITE (2, y)

layout (push_constant) uniform Push {
  Place px, py;
  int iw, ih, width, positions; /* width: of the phase; positions: of it */
  int ci4, co4, taps_y, taps_x, shift_y, shift_x;
  int first, row, step; /* where the results lie */
};

#define STEP_VEC4 (4 * CO4) /* weights of a step */

int oy[PX], ox[PX]; /* of the positions, shifted */
vec4 acc[PX * CO4];
vec4 wv[2 * STEP_VEC4]; /* SHUFFLE: the weights of two steps, the same in every lane */

void
multiply (int n, int ty, int tx, int ci, int index, int from)
{
  vec4 xv[PX];
  [[unroll]] for (int j = 0; j < PX; j++) {
    int iy = oy[j] + ty, ix = ox[j] + tx;
    bool inside = is_inside (ix, iy, iw, ih);
    xv[j] = inside ? x (at (px, n, ci, iy * iw + ix)) : vec4 (0.0);
  }
  [[unroll]] for (int l = 0; l < 4; l++)
    [[unroll]] for (int c = 0; c < CO4; c++) {
      vec4 weight;
      if (SHUFFLE)
        weight = wv[from + l * CO4 + c];
      else
        weight = w (index + from + l * CO4 + c);
      [[unroll]] for (int j = 0; j < PX; j++)
        acc[j * CO4 + c] += weight * xv[j][l];
    }
}

void
main ()
{
  int panel = int (gl_WorkGroupID.x), n = int (gl_WorkGroupID.z);
  int local = int (gl_WorkGroupSize.x);
  int begin = int (gl_WorkGroupID.y) * local * PX + int (gl_LocalInvocationIndex);
  int steps = (taps_y * taps_x * ci4 + 1) & ~1;
  int index = panel * (CO4 + steps * STEP_VEC4) + CO4; /* no bias */

  [[unroll]] for (int j = 0; j < PX; j++) {
    int p = min (begin + j * local, positions - 1); /* past the end: computed, not stored */
    oy[j] = divide (p, width);
    ox[j] = p - oy[j] * width + shift_x;
    oy[j] += shift_y;
  }
  [[unroll]] for (int c = 0; c < CO4 * PX; c++)
    acc[c] = vec4 (0.0);

  int ty = 0, tx = 0, ci = 0;
  for (int s = 0; s < steps; s += 2) {
    if (SHUFFLE) {
      [[unroll]] for (int q = 0; q < 2 * STEP_VEC4; q += int (SUBGROUP)) {
        vec4 mine = w (index + min (q + int (gl_SubgroupInvocationID), 2 * STEP_VEC4 - 1));
        [[unroll]] for (int l = 0; l < int (SUBGROUP); l++)
          if (q + l < 2 * STEP_VEC4)
            wv[q + l] = subgroupShuffle (mine, uint (l));
      }
    }
    [[unroll]] for (int part = 0; part < 2; part++) {
      multiply (n, ty, tx, ci, index, part * STEP_VEC4); /* the step of zeros reads the last block again */
      if (++ci == ci4) {
        ci = 0;
        if (++tx == taps_x) {
          tx = 0;
          ty = min (ty + 1, taps_y - 1);
        }
      }
    }
    index += 2 * STEP_VEC4;
  }

  [[unroll]] for (int c = 0; c < CO4; c++)
    [[unroll]] for (int j = 0; j < PX; j++) {
      int p = begin + j * local, b = panel * CO4 + c;
      int v = oy[j] - shift_y, u = ox[j] - shift_x;
      if (p < positions && b < co4)
        y (at (py, n, b, first + v * row + u * step), acc[j * CO4 + c]);
    }
}
