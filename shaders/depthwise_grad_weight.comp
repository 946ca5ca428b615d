/* SPDX-License-Identifier: LGPL-2.1-or-later */
#version 450
/*
 * depthwise_grad_weight: partial sums of the weight gradient of a depthwise convolution.
 *
 *   g (dy) [n][rows][oh*ow] vec4    x [n][rows][ih*iw] vec4    y [part][tap][rows] vec4 (conv_grad_weight_sum.comp)
 *
 *   y[tap][c] = sum over a strip of positions o of dy[c][o] * x[c][o * stride + tap - pad]
 *
 * An invocation owns all taps of a block of channels; the lanes of a subgroup share a strip and add up in the end.
 */
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_arithmetic : require
#include "io.glsl"
#include "inside.glsl"

layout (constant_id = 4) const bool FOLD = true;    /* lanes add up by subgroup arithmetic */
layout (constant_id = 5) const bool NARROW = false; /* a row of dy is shorter than a subgroup */
layout (constant_id = 6) const int KERNEL = 3;

READ (0, g)
READ (1, x)
WRITE (2, y)

layout (push_constant) uniform Push {
  Place pg, px;
  int iw, ih, ow, positions, entries; /* entries: batch */
  int stride, pad_top, pad_left;
  int strips, strip_length, batch; /* batch: entries that a part sums over */
  int rows;                        /* blocks */
};

vec4 acc[KERNEL * KERNEL];

void
main ()
{
  int block = int (gl_WorkGroupID.x), part = int (gl_WorkGroupID.z);
  int lane = int (gl_LocalInvocationIndex), lanes = int (gl_WorkGroupSize.x);
  int run = part / strips, first = (part - run * strips) * strip_length;
  int end = min (first + strip_length, positions);

  [[unroll]] for (int t = 0; t < KERNEL * KERNEL; t++)
    acc[t] = vec4 (0.0);
  for (int n = run * batch; n < min ((run + 1) * batch, entries); n++) {
    int oy = divide (first + lane, ow), ox = first + lane - oy * ow;
    for (int p = first + lane; p < end; p += lanes) {
      vec4 dy = g (at (pg, n, block, p));
      [[unroll]] for (int t = 0; t < KERNEL * KERNEL; t++) {
        int iy = oy * stride + t / KERNEL - pad_top, ix = ox * stride + t % KERNEL - pad_left;
        bool inside = is_inside (ix, iy, iw, ih);
        acc[t] += inside ? dy * x (at (px, n, block, iy * iw + ix)) : vec4 (0.0);
      }
      if (NARROW) {
        oy = divide (p + lanes, ow);
        ox = p + lanes - oy * ow;
      } else {
        ox += lanes;
        if (ox >= ow) {
          ox -= ow;
          oy++;
        }
      }
    }
  }

  [[unroll]] for (int t = 0; t < KERNEL * KERNEL; t++) {
    vec4 sum = FOLD ? subgroupAdd (acc[t]) : acc[t];
    int where = FOLD ? part : part * lanes + lane;
    if (!FOLD || lane == 0)
      y ((where * KERNEL * KERNEL + t) * rows + block, sum);
  }
}
