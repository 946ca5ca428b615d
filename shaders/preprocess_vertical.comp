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
 * The picture lies at (inner_x, inner_y) of the output; around it, `pad` (letterbox). Invocations lie along x.
 */
#extension GL_GOOGLE_include_directive : require
#include "io.glsl"
#include "words.glsl"

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
  int ox = int (gl_GlobalInvocationID.x), oy = int (gl_WorkGroupID.y);
  if (ox >= width)
    return;
  int px = ox - inner_x, py = oy - inner_y;
  ivec3 rgb = ivec3 (pad);
  if (px >= 0 && px < inner_w && py >= 0 && py < inner_h) {
    int entry = table_first + py * (groups + 1);
    int at = table (entry).x * inner_w + px;
    ivec3 sum = ivec3 (1 << 21);
    int g = 0;
    do { /* never empty; asks at its end for the reason in conv.comp */
      ivec4 w = table (entry + 1 + g);
      /* Weights are a row's, the same for all lanes. Without a resize one of four is not 0, and reads cost most here. */
      [[unroll]] for (int k = 0; k < 4; k++)
        if (w[k] != 0)
          sum += w[k] * bytes (scratch (at + k * inner_w)).xyz;
      at += 4 * inner_w;
    } while (++g < groups);
    rgb = min (sum >> 22, ivec3 (255));
  }
  y (int (place (0)) + oy * width + ox, vec4 (vec3 (rgb) / 255.0, 0.0));
}
