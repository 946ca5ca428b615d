/* SPDX-License-Identifier: LGPL-2.1-or-later */
#version 450
/*
 * preprocess_vertical: the columns of the resize, and bytes to 0..1.
 *
 *   scratch [rows][inner_w] words: bytes r, g, b, 0
 *   table  [inner_h] (first row, 0, 0, 0), [groups] weights of four rows
 *   place: the vec4 of y at which this picture begins, a batch entry
 *   y [place + height * width] vec4 (r, g, b, 0) / 255
 *
 * The picture lies at (inner_x, inner_y) of the output; around it, `pad` (letterbox). Invocations lie along x; each
 * makes COLUMNS pixels, a workgroup's width apart, which share the weights.
 */
#extension GL_GOOGLE_include_directive : require
#include "io.glsl"
#include "words.glsl"
#include "inside.glsl"

layout (constant_id = 4) const int COLUMNS = 4;

READ_WORDS (0, scratch)
READ_WORDS4 (1, table)
WRITE (2, y)
READ_WORDS (3, place)

layout (push_constant) uniform Push {
  int width;
  int inner_x, inner_y, inner_w, inner_h;
  int groups, table_first; /* ivec4s */
  int pad;
};

void
main ()
{
  int local = int (gl_WorkGroupSize.x), oy = int (gl_WorkGroupID.y), py = oy - inner_y;
  int first = int (gl_WorkGroupID.x) * local * COLUMNS + int (gl_LocalInvocationIndex), left = inner_x;
  int columns = inner_w, to = int (place (0)) + oy * width + first, beside = width - first;
  ivec3 rgb[COLUMNS];
  [[unroll]] for (int j = 0; j < COLUMNS; j++)
    rgb[j] = ivec3 (pad);
  if (is_inside (0, py, 1, inner_h)) {
    int entry = table_first + py * (groups + 1), from[COLUMNS];
    int row = table (entry).x * columns;
    ivec3 sum[COLUMNS];
    [[unroll]] for (int j = 0; j < COLUMNS; j++) {
      from[j] = row + clamp (first + j * local - left, 0, columns - 1); /* beside it: computed, not taken */
      sum[j] = ivec3 (1 << 21);
    }
    int g = 0, n = groups;
    do { /* never empty; asks at its end for the reason in conv.comp */
      ivec4 w = table (entry + 1 + g);
      /* Weights are a row's, the same for all lanes. Without a resize one of four is not 0, and reads cost most. */
      [[unroll]] for (int k = 0; k < 4; k++)
        if (w[k] != 0)
          [[unroll]] for (int j = 0; j < COLUMNS; j++)
            sum[j] += w[k] * bytes (scratch (from[j] + (4 * g + k) * columns)).xyz;
    } while (++g < n);
    [[unroll]] for (int j = 0; j < COLUMNS; j++)
      if (is_inside (first + j * local - left, 0, columns, 1))
        rgb[j] = min (sum[j] >> 22, ivec3 (255));
  }
  [[unroll]] for (int j = 0; j < COLUMNS; j++)
    if (j * local < beside)
      y (to + j * local, vec4 (vec3 (rgb[j]) / 255.0, 0.0));
}
