/* SPDX-License-Identifier: LGPL-2.1-or-later */
#version 450
/*
 * conv_sum: the second half of a convolution whose sums conv_tile.comp took in slices.
 *
 *   part [n][slices][co4][positions] vec4      r, y [n][co4][positions] vec4
 *
 *   y[n][b][p] = epilogue (sum over slices, in order, of part[n][slice][b][p])
 *
 * An invocation owns one vec4 of y.
 */
#extension GL_GOOGLE_include_directive : require
#include "io.glsl"
#include "epilogue.glsl"

layout (constant_id = 4) const int ACT = ACT_NONE;

READ (0, part)
READ (1, r)
WRITE (2, y)

layout (push_constant) uniform Push {
  Place py, pr;
  int positions, co4, slices;
  int residual;
  float lo, hi, scale, shift;
};

void
main ()
{
  int p = int (gl_GlobalInvocationID.x), b = int (gl_WorkGroupID.y), n = int (gl_WorkGroupID.z);
  if (p >= positions)
    return;
  vec4 sum = vec4 (0.0);
  for (int s = 0; s < slices; s++)
    sum += part (((n * slices + s) * co4 + b) * positions + p);
  y (at (py, n, b, p), EPILOGUE (sum, residual, n, b, p));
}
