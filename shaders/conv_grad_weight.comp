/* SPDX-License-Identifier: LGPL-2.1-or-later */
#version 450
/*
 * conv_grad_weight: partial sums of the weight gradient of a dense convolution, a matrix product over positions.
 *
 *   g (dy) [n][rows][oh*ow] vec4    x [n][columns][ih*iw] vec4
 *   y [part][tap][4 * columns][rows] vec4; conv_grad_weight_sum.comp adds the parts up
 *
 *   y[tap][ci][co] = sum over a strip of positions o of dy[co][o] * x[ci][o * stride + tap - pad]
 *
 * An invocation owns TO blocks of dy's channels and TI of x's for one tap, and each turn reads TO + TI vec4s and does
 * 16 * TO * TI multiply-adds with them. On a GPU the lanes of a subgroup share a strip of positions, so that they read
 * side by side, and add up in the end. With ALONE, for CPUs, each lane has other channels or another tap: where it reads
 * costs nothing there, however small the map is no lane idles for it, and there is nothing to add up.
 */
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_arithmetic : require
#include "io.glsl"
#include "inside.glsl"

layout (constant_id = 4) const bool FOLD = true;    /* lanes add up by subgroup arithmetic */
layout (constant_id = 5) const bool NARROW = false; /* a row of dy is shorter than a subgroup */
layout (constant_id = 6) const int TO = 4;
layout (constant_id = 7) const int TI = 2;
layout (constant_id = 8) const bool POINTWISE = false; /* 1x1, stride 1, no padding */
layout (constant_id = 9) const bool ALONE = false;
layout (constant_id = 10) const bool PARK = false;

READ (0, g)
READ (1, x)
WRITE (2, y)

layout (push_constant) uniform Push {
  Place pg, px;
  int iw, ih, ow, positions, entries; /* entries: batch */
  int stride, pad_top, pad_left;
  int strips, strip_length, batch; /* batch: entries that a part sums over */
  int rows, columns;               /* blocks of dy and x */
  int across, tiles;               /* tiles of dy's channels, and all */
  int kernel;
};

#define PER_TURN 4 /* positions */

float acc[16 * TO * TI]; /* [ti][lane of x][to][lane of dy] */
vec4 gv[PER_TURN * TO], xv[PER_TURN * TI];

void
fetch (int j, int n, int row, int column, int p, int oy, int ox, int ky, int kx, bool live)
{
  int iy = oy * stride + ky - pad_top, ix = ox * stride + kx - pad_left;
  bool inside = live && (POINTWISE || is_inside (ix, iy, iw, ih));
  int q = !inside ? 0 : POINTWISE ? p : iy * iw + ix;
  [[unroll]] for (int i = 0; i < TI; i++) {
    vec4 v = x (at (px, n, min (column + i, columns - 1), q));
    xv[j * TI + i] = inside ? v : vec4 (0.0);
  }
  [[unroll]] for (int o = 0; o < TO; o++)
    gv[j * TO + o] = g (at (pg, n, min (row + o, rows - 1), live ? p : 0));
}

/* A sum after the other, so that each is loaded and stored once a turn. */
void
accumulate ()
{
  [[unroll]] for (int i = 0; i < TI; i++)
    [[unroll]] for (int l = 0; l < 4; l++)
      [[unroll]] for (int o = 0; o < TO; o++)
        [[unroll]] for (int m = 0; m < 4; m++) {
          int at_sum = ((i * 4 + l) * TO + o) * 4 + m;
          float sum = acc[at_sum];
          [[unroll]] for (int j = 0; j < PER_TURN; j++)
            sum += gv[j * TO + o][m] * xv[j * TI + i][l];
          acc[at_sum] = sum;
        }
}

void
main ()
{
  int unit = ALONE ? int (gl_GlobalInvocationID.x) : int (gl_WorkGroupID.x), part = int (gl_WorkGroupID.z);
  int lane = ALONE ? 0 : int (gl_LocalInvocationIndex), lanes = ALONE ? 1 : int (gl_WorkGroupSize.x);
  if (unit >= tiles * kernel * kernel)
    return;
  int tap = unit / tiles, tile = unit - tap * tiles;
  int row = tile % across * TO, column = tile / across * TI;
  int ky = tap / kernel, kx = tap - ky * kernel;
  int run = part / strips, first = (part - run * strips) * strip_length;
  int end = min (first + strip_length, positions);

  if (PARK)
    acc[positions >> 31] = 0.0; /* see conv.comp */
  [[unroll]] for (int i = 0; i < 16 * TO * TI; i++)
    acc[i] = 0.0;
  for (int n = run * batch; n < min ((run + 1) * batch, entries); n++) {
    int oy = divide (first + lane, ow), ox = first + lane - oy * ow;
    for (int i = first + lane; i < end; i += PER_TURN * lanes) {
      [[unroll]] for (int j = 0; j < PER_TURN; j++) {
        int p = i + j * lanes;
        fetch (j, n, row, column, p, oy, ox, ky, kx, p < end);
        if (NARROW) {
          oy = divide (p + lanes, ow);
          ox = p + lanes - oy * ow;
        } else if (!POINTWISE) {
          ox += lanes;
          if (ox >= ow) {
            ox -= ow;
            oy++;
          }
        }
      }
      accumulate ();
    }
  }

  [[unroll]] for (int i = 0; i < TI; i++)
    [[unroll]] for (int l = 0; l < 4; l++)
      [[unroll]] for (int o = 0; o < TO; o++) {
        int first_sum = ((i * 4 + l) * TO + o) * 4;
        vec4 sum = vec4 (acc[first_sum], acc[first_sum + 1], acc[first_sum + 2], acc[first_sum + 3]);
        if (FOLD && !ALONE)
          sum = subgroupAdd (sum);
        int where = FOLD ? part : part * lanes + lane;
        if ((!FOLD || lane == 0) && row + o < rows && column + i < columns)
          y (((where * kernel * kernel + tap) * 4 * columns + (column + i) * 4 + l) * rows + row + o, sum);
      }
}
