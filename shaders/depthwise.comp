/* SPDX-License-Identifier: LGPL-2.1-or-later */
#version 450
/*
 * depthwise: convolution with one filter a channel (groups = channels), with the epilogue of conv.comp.
 *
 *   x [n][blocks][ih*iw] vec4    w [blocks][1 vec4 of bias | KERNEL*KERNEL vec4]
 *   r, y [n][blocks][oh*ow] vec4
 *
 * An invocation owns one column of ROWS outputs of one block: a column of inputs serves all of them.
 */
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#include "io.glsl"
#include "inside.glsl"
#include "epilogue.glsl"

layout (constant_id = 4) const int KERNEL = 3;
layout (constant_id = 5) const int STRIDE = 1;
layout (constant_id = 6) const int ROWS = 4;
layout (constant_id = 7) const int ACT = ACT_NONE;
layout (constant_id = 8) const int RESIDUAL = 0; /* a constant: else a fetch for every row is compiled */

READ (0, x)
READ (1, w)
READ (2, r)
WRITE (3, y)

layout (push_constant) uniform Push {
  Place px, py, pr;
  int iw, ih, ow, oh;
  int pad_top, pad_left;
  int residual; /* RESIDUAL */
  float lo, hi, scale, shift;
};

#define WEIGHTS (1 + KERNEL * KERNEL)
vec4 wv[WEIGHTS];

void
main ()
{
  int b = int (gl_WorkGroupID.x), n = int (gl_WorkGroupID.z);
  int i = int (gl_WorkGroupID.y * gl_WorkGroupSize.x + gl_LocalInvocationIndex);
  int strip = divide (i, ow), ox = i - strip * ow, oy = strip * ROWS;

  if (SHUFFLE) {
    [[unroll]] for (int q = 0; q < WEIGHTS; q += int (SUBGROUP)) {
      vec4 mine = w (b * WEIGHTS + min (q + int (gl_SubgroupInvocationID), WEIGHTS - 1));
      [[unroll]] for (int l = 0; l < int (SUBGROUP); l++)
        if (q + l < WEIGHTS)
          wv[q + l] = subgroupShuffle (mine, uint (l));
    }
  } else {
    [[unroll]] for (int q = 0; q < WEIGHTS; q++)
      wv[q] = w (b * WEIGHTS + q);
  }
  if (oy >= oh)
    return;

  vec4 acc[ROWS];
  [[unroll]] for (int k = 0; k < ROWS; k++)
    acc[k] = wv[0];
  [[unroll]] for (int kx = 0; kx < KERNEL; kx++) {
    int ix = ox * STRIDE + kx - pad_left;
    [[unroll]] for (int row = 0; row < (ROWS - 1) * STRIDE + KERNEL; row++) {
      int iy = oy * STRIDE + row - pad_top;
      bool inside = is_inside (ix, iy, iw, ih);
      vec4 v = x (at (px, n, b, inside ? iy * iw + ix : 0)); /* never under a condition: all loads go out together */
      v = inside ? v : vec4 (0.0);
      [[unroll]] for (int k = 0; k < ROWS; k++) {
        int ky = row - k * STRIDE;
        if (ky >= 0 && ky < KERNEL)
          acc[k] += wv[1 + ky * KERNEL + kx] * v;
      }
    }
  }

  [[unroll]] for (int k = 0; k < ROWS; k++)
    if (oy + k < oh) {
      int p = (oy + k) * ow + ox;
      y (at (py, n, b, p), EPILOGUE (acc[k], RESIDUAL, n, b, p));
    }
}
