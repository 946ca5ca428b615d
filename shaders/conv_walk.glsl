/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * conv_walk.glsl - which operands an invocation of a tiled convolution fetches (conv_tile.comp, conv_coopmat.comp): one
 * position of every STEP_STRIDE-th step. Without a branch and without a division of integers, so that the loads of a
 * turn leave one after the other and nothing waits for the first before the last is under way. For kernels with the
 * constants TILE and POINTWISE and the push constants iw .. pad_left.
 */
const int LOCAL = int (gl_WorkGroupSize.x); /* a multiple of TILE */
const int STEP_STRIDE = LOCAL / TILE;

int window_y, window_x; /* of the input, where the position's first tap is */
float per_block, per_tap;

void
begin (int p)
{
  int oy = POINTWISE ? 0 : p / ow;
  window_y = oy * stride - pad_top;
  window_x = POINTWISE ? p : (p - oy * ow) * stride - pad_left;
  per_block = 1.0 / float (ci4);
  per_tap = 1.0 / float (kernel);
}

/* What step @step reads: block @block of the input at the position that is returned; -1 where that is outside of the
 * map. The products are off by some 4e-7 of themselves, and half of 1 / ci4 or 1 / kernel from any whole number: right
 * for sums of up to a million steps. */
int
find_operand (int step, out int block)
{
  if (POINTWISE) {
    block = step;
    return window_x;
  }
  int tap = int ((float (step) + 0.5) * per_block), ky = int ((float (tap) + 0.5) * per_tap);
  int iy = window_y + ky, ix = window_x + tap - ky * kernel;
  block = step - tap * ci4;
  return iy >= 0 && iy < ih && ix >= 0 && ix < iw ? iy * iw + ix : -1;
}
