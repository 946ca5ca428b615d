/* SPDX-License-Identifier: LGPL-2.1-or-later */
#version 450
/*
 * channel_table: plain vectors spread over the lanes of a tensor's channels.
 *
 *   a, b plain [c]    m [blocks] vec4: logical channels, -1 for padding    y [blocks][2] vec4: a (0 in padding), b or 0
 */
#extension GL_GOOGLE_include_directive : require
#include "io.glsl"
#include "plain.glsl"

READ (0, a)
READ (1, b)
READ (2, m)
WRITE (3, y)

layout (push_constant) uniform Push {
  int blocks;
  int both;
};

void
main ()
{
  int block = int (gl_GlobalInvocationID.x);
  if (block >= blocks)
    return;
  ivec4 c = ivec4 (m (block));
  vec4 first = vec4 (0.0), second = vec4 (0.0);
  [[unroll]] for (int l = 0; l < 4; l++)
    if (c[l] >= 0) {
      first[l] = NUMBER (a, c[l]);
      if (both != 0)
        second[l] = NUMBER (b, c[l]);
    }
  y (2 * block, first);
  y (2 * block + 1, second);
}
