/* SPDX-License-Identifier: LGPL-2.1-or-later */
#version 450
/*
 * pack_conv: trained weights into the panels that conv.comp, conv_up.comp (dense) and depthwise.comp read.
 *
 *   w plain [rows][columns][k][k]    b plain [rows]    rm [co4], cm [ci4] vec4: logical channels, -1 for padding
 *
 *   dense      y panels [ CO4 vec4 of bias | steps = tap, ci x 4 (input lane) x CO4 vec4 ]
 *   depthwise  y [blocks][1 vec4 of bias | a vec4 for each tap]
 *
 * Taps are those of rows first_y, first_y + step, .. and of columns likewise, in reverse order with `reverse`.
 */
#extension GL_GOOGLE_include_directive : require
#include "io.glsl"
#include "plain.glsl"

layout (constant_id = 4) const bool DEPTHWISE = false;
layout (constant_id = 5) const int CO4 = 4;

READ (0, w)
READ (1, b)
READ (2, rm)
READ (3, cm)
WRITE (4, y)

layout (push_constant) uniform Push {
  int row, column; /* numbers between the output, the input channels of the convolution that is packed for */
  int kernel;
  int first_y, first_x, step, taps_y, taps_x;
  int reverse, biased;
  int co4, ci4, steps;
  int total; /* vec4s of y */
};

/* Number of the weight's first channel pair in tap @t of the chosen ones. */
int
tap_offset (int t)
{
  int ty = t / taps_x, tx = t - ty * taps_x;
  if (reverse != 0) {
    ty = taps_y - 1 - ty;
    tx = taps_x - 1 - tx;
  }
  return (first_y + ty * step) * kernel + first_x + tx * step;
}

void
main ()
{
  int i = int (gl_GlobalInvocationID.x);
  if (i >= total)
    return;
  int panel = CO4 * (1 + steps * (DEPTHWISE ? 1 : 4));
  int at = i % panel, block = i / panel * CO4 + at % CO4;
  vec4 v = vec4 (0.0);
  ivec4 o = block < co4 ? ivec4 (rm (block)) : ivec4 (-1);
  if (at < CO4) {
    if (biased != 0)
      [[unroll]] for (int l = 0; l < 4; l++)
        if (o[l] >= 0)
          v[l] = NUMBER (b, o[l]);
  } else {
    int q = at / CO4 - 1; /* step and input lane */
    int s = DEPTHWISE ? q : q / 4;
    int t = DEPTHWISE ? s : s / ci4, c = DEPTHWISE ? 0 : int (cm (s - t * ci4)[q & 3]);
    if (c >= 0 && t < taps_y * taps_x) {
      int first = (DEPTHWISE ? 0 : c * column) + tap_offset (t);
      [[unroll]] for (int l = 0; l < 4; l++)
        if (o[l] >= 0)
          v[l] = NUMBER (w, o[l] * (DEPTHWISE ? kernel * kernel : row) + first);
    }
  }
  y (i, v);
}
