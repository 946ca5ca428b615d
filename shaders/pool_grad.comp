/* SPDX-License-Identifier: LGPL-2.1-or-later */
#version 450
/*
 * pool_grad: the gradient of a maximum or mean of square windows, gathered: each place of x looks at the windows that
 * hold it.
 *
 *   g (dy) [n][blocks][oh*ow] vec4    x, y (dx) [n][blocks][ih*iw] vec4
 *
 *   mean     dx = scale * sum of dy over the windows
 *   maximum  dx = sum of dy over the windows of which x is the largest, and the first of those as large (row by row)
 */
#extension GL_GOOGLE_include_directive : require
#include "io.glsl"
#include "inside.glsl"

layout (constant_id = 4) const int KERNEL = 2;
layout (constant_id = 5) const int STRIDE = 2;
layout (constant_id = 6) const bool MAXIMUM = true;

READ (0, g)
READ (1, x)
WRITE (2, y)

layout (push_constant) uniform Push {
  Place pg, px, py;
  int iw, ih, ow, oh;
  int pad_top, pad_left;
  float pad_value; /* what a place outside counts as */
  float scale;
};

#define WINDOWS ((KERNEL + STRIDE - 1) / STRIDE) /* that hold a place, in one direction */

/* 1 for the channels in which @v, at place @own of the window at (oy, ox), wins it. */
vec4
wins (int n, int block, int oy, int ox, int own, vec4 v)
{
  vec4 won = vec4 (1.0);
  [[unroll]] for (int k = 0; k < KERNEL * KERNEL; k++) {
    int iy = oy * STRIDE - pad_top + k / KERNEL, ix = ox * STRIDE - pad_left + k % KERNEL;
    bool inside = is_inside (ix, iy, iw, ih);
    vec4 u = inside ? x (at (px, n, block, iy * iw + ix)) : vec4 (pad_value);
    if (k < own)
      won *= vec4 (greaterThan (v, u));
    else if (k > own)
      won *= vec4 (greaterThanEqual (v, u));
  }
  return won;
}

void
main ()
{
  int block = int (gl_WorkGroupID.y), n = int (gl_WorkGroupID.z);
  int p = int (gl_GlobalInvocationID.x);
  if (p >= iw * ih)
    return;
  int iy = divide (p, iw), ix = p - iy * iw;
  int last_y = (iy + pad_top) / STRIDE, last_x = (ix + pad_left) / STRIDE;
  vec4 v = vec4 (0.0), sum = vec4 (0.0);
  if (MAXIMUM)
    v = x (at (px, n, block, p));
  [[unroll]] for (int j = 0; j < WINDOWS; j++)
    [[unroll]] for (int i = 0; i < WINDOWS; i++) {
      int oy = last_y - j, ox = last_x - i;
      int ky = iy + pad_top - oy * STRIDE, kx = ix + pad_left - ox * STRIDE;
      if (oy >= 0 && oy < oh && ox >= 0 && ox < ow && ky < KERNEL && kx < KERNEL) {
        vec4 dy = g (at (pg, n, block, oy * ow + ox));
        if (MAXIMUM)
          sum += dy * wins (n, block, oy, ox, ky * KERNEL + kx, v);
        else
          sum += dy * scale;
      }
    }
  y (at (py, n, block, p), sum);
}
