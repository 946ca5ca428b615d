/* SPDX-License-Identifier: LGPL-2.1-or-later */
#version 450
/*
 * conv_grad_weight_sum: adds up the parts of a weight gradient in their order, and puts the numbers where the checkpoint
 * has them.
 *
 *   p [parts][taps][columns][rows] vec4; a column is a channel of x (one in depthwise convolutions), a row a block of dy's
 *   rm [rows], cm [columns / 4] vec4: logical channels, -1 for padding    y plain [co][ci][taps]
 */
#extension GL_GOOGLE_include_directive : require
#include "io.glsl"
#include "plain.glsl"

layout (constant_id = 4) const bool DENSE = true;

READ (0, p)
READ (1, rm)
READ (2, cm)
WRITE_RAW (3, y)

layout (push_constant) uniform Push {
  int parts, taps, columns, rows;
  int inputs; /* channels of x to a channel of dy */
  int total;  /* numbers of y */
};

void
main ()
{
  int i = int (gl_GlobalInvocationID.x), size = taps * columns * rows;
  if (i == 0)
    FINISH (y, total);
  if (i >= size)
    return;
  vec4 sum = vec4 (0.0);
  for (int part = 0; part < parts; part++)
    sum += p (part * size + i);
  int row = i % rows, column = i / rows % columns, tap = i / (rows * columns);
  ivec4 co = ivec4 (rm (row));
  int ci = DENSE ? int (cm (column >> 2)[column & 3]) : 0;
  [[unroll]] for (int l = 0; l < 4; l++)
    if (co[l] >= 0 && ci >= 0)
      y[(co[l] * inputs + ci) * taps + tap] = floatBitsToUint (sum[l]);
}
