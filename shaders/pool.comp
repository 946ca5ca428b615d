/* SPDX-License-Identifier: LGPL-2.1-or-later */
#version 450
/*
 * pool: maximum, or scaled sum (places outside count), of a square window.
 *
 *   x [n][blocks][ih*iw] vec4    y [n][blocks][oh*ow] vec4
 */
#extension GL_GOOGLE_include_directive : require
#include "io.glsl"
#include "inside.glsl"

layout (constant_id = 4) const int KERNEL = 2;
layout (constant_id = 5) const bool MAXIMUM = true;

READ (0, x)
WRITE (1, y)

layout (push_constant) uniform Push {
  Place px, py;
  int iw, ih, ow, positions;
  int stride, pad_top, pad_left;
  float pad_value; /* what a place outside counts as */
  float scale;     /* of a mean: 1 / kernel^2 */
};

void
main ()
{
  int block = int (gl_WorkGroupID.y), n = int (gl_WorkGroupID.z);
  int p = int (gl_GlobalInvocationID.x);
  if (p >= positions)
    return;
  int oy = divide (p, ow), ox = p - oy * ow;
  /* a scalar choice: Mesa 22.3 folds a choice of vectors by a specialization constant to its first component */
  vec4 v = vec4 (MAXIMUM ? -3.402823466e38 : 0.0);
  [[unroll]] for (int ky = 0; ky < KERNEL; ky++)
    [[unroll]] for (int kx = 0; kx < KERNEL; kx++) {
      int iy = oy * stride + ky - pad_top, ix = ox * stride + kx - pad_left;
      bool inside = is_inside (ix, iy, iw, ih);
      vec4 u = x (at (px, n, block, inside ? iy * iw + ix : 0)); /* never under a condition, see depthwise.comp */
      u = inside ? u : vec4 (pad_value);
      v = MAXIMUM ? max (v, u) : v + u;
    }
  y (at (py, n, block, p), MAXIMUM ? v : v * scale);
}
