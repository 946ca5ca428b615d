/* SPDX-License-Identifier: LGPL-2.1-or-later */
#version 450
/*
 * depthwise_up: the input gradient of a depthwise convolution with a stride.
 *
 *   g (dy) [n][blocks][ow*oh] vec4    w [blocks][1 vec4 | KERNEL*KERNEL vec4] (pack_conv.comp)    y (dx) [n][blocks][..]
 *
 *   dx[i] = sum over the taps k for which (i + pad - k) / STRIDE is a whole number inside dy, of w[k] * dy[that]
 */
#extension GL_GOOGLE_include_directive : require
#include "io.glsl"

layout (constant_id = 4) const int KERNEL = 3;
layout (constant_id = 5) const int STRIDE = 2;

READ (0, g)
READ (1, w)
WRITE (2, y)

layout (push_constant) uniform Push {
  Place pg, py;
  int ow, oh, iw, positions; /* of dy; width and positions of dx */
  int pad_top, pad_left;
};

void
main ()
{
  int b = int (gl_WorkGroupID.y), n = int (gl_WorkGroupID.z);
  int p = int (gl_GlobalInvocationID.x);
  if (p >= positions)
    return;
  int iy = divide (p, iw), ix = p - iy * iw;
  vec4 sum = vec4 (0.0);
  [[unroll]] for (int ky = 0; ky < KERNEL; ky++)
    [[unroll]] for (int kx = 0; kx < KERNEL; kx++) {
      int ty = iy + pad_top - ky, tx = ix + pad_left - kx;
      int oy = ty / STRIDE, ox = tx / STRIDE;
      bool meets = ty >= 0 && tx >= 0 && oy * STRIDE == ty && ox * STRIDE == tx && oy < oh && ox < ow;
      vec4 v = meets ? g (at (pg, n, b, oy * ow + ox)) : vec4 (0.0);
      sum += w (b * (1 + KERNEL * KERNEL) + 1 + ky * KERNEL + kx) * v;
    }
  y (at (py, n, b, p), sum);
}
