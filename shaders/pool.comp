/* SPDX-License-Identifier: LGPL-2.1-or-later */
#version 450
/*
 * pool: maximum, or scaled sum (places outside count), of a square window.
 *
 *   x [n][blocks][ih*iw] vec4    y [n][blocks][oh*ow] vec4
 *
 * An invocation owns one column of ROWS outputs of one block: a column of inputs serves all of them.
 */
#extension GL_GOOGLE_include_directive : require
#include "io.glsl"
#include "inside.glsl"

layout (constant_id = 4) const int KERNEL = 2;
layout (constant_id = 5) const int STRIDE = 1;
layout (constant_id = 6) const int ROWS = 1;
layout (constant_id = 7) const bool MAXIMUM = true;

READ (0, x)
WRITE (1, y)

layout (push_constant) uniform Push {
  Place px, py;
  int iw, ih, ow, oh;
  int pad_top, pad_left;
  float pad_value; /* what a place outside counts as */
  float scale;     /* of a mean: 1 / kernel^2 */
};

void
main ()
{
  int block = int (gl_WorkGroupID.y), n = int (gl_WorkGroupID.z);
  int strip = divide (int (gl_GlobalInvocationID.x), ow), ox = int (gl_GlobalInvocationID.x) - strip * ow;
  int oy = strip * ROWS;
  if (oy >= oh)
    return;
  precise vec4 v[ROWS]; /* no driver may change the order of sums */
  /* a scalar choice: Mesa 22.3 folds a choice of vectors by a specialization constant to its first component */
  [[unroll]] for (int k = 0; k < ROWS; k++)
    v[k] = vec4 (MAXIMUM ? -3.402823466e38 : 0.0);
  /* Sums row by row, as PyTorch's CPU kernel adds up: another order rounds otherwise, which moves single queries beyond
   * the goldens' limits (docs/performance.md, "Steps"). Maxima, which have no order, column by column: that takes 0.8 to
   * 0.9 of the time (lavapipe). */
  const int column = (ROWS - 1) * STRIDE + KERNEL;
  [[unroll]] for (int i = 0; i < column * KERNEL; i++) {
    int row = MAXIMUM ? i % column : i / KERNEL, kx = MAXIMUM ? i / column : i % KERNEL;
    int iy = oy * STRIDE + row - pad_top, ix = ox * STRIDE + kx - pad_left;
    bool inside = is_inside (ix, iy, iw, ih);
    vec4 u = x (at (px, n, block, inside ? iy * iw + ix : 0)); /* never under a condition, see depthwise.comp */
    u = inside ? u : vec4 (pad_value);
    [[unroll]] for (int k = 0; k < ROWS; k++) {
      int ky = row - k * STRIDE;
      if (ky >= 0 && ky < KERNEL)
        v[k] = MAXIMUM ? max (v[k], u) : v[k] + u;
    }
  }
  [[unroll]] for (int k = 0; k < ROWS; k++)
    if (oy + k < oh)
      y (at (py, n, block, (oy + k) * ow + ox), MAXIMUM ? v[k] : v[k] * scale);
}
