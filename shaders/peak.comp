/* SPDX-License-Identifier: LGPL-2.1-or-later */
#version 450
/*
 * peak: as many multiply-adds as the device can do, on values that stay in registers.
 *
 *   y [invocations] vec4    every invocation: CHAINS chains of a = a * m + b, 4 numbers wide, rounds * UNROLL times
 *
 * 8 * CHAINS * UNROLL * rounds operations an invocation. For the roof of `deim bench --roofline`.
 */
#extension GL_GOOGLE_include_directive : require
#include "io.glsl"

layout (constant_id = 4) const int CHAINS = 3;
layout (constant_id = 5) const int UNROLL = 16;

WRITE (0, y)

layout (push_constant) uniform Push {
  int rounds; /* below 65536 */
  float m, b; /* unknown when this is compiled */
};

void
main ()
{
  int id = int (gl_GlobalInvocationID.x);
  vec4 a[CHAINS];
  [[unroll]] for (int c = 0; c < CHAINS; c++)
    a[c] = vec4 (float (id + c));
  for (int i = 0; i < rounds; i++)
    [[unroll]] for (int u = 0; u < UNROLL; u++)
      [[unroll]] for (int c = 0; c < CHAINS; c++)
        a[c] = a[c] * m + b;
  vec4 sum = a[0];
  [[unroll]] for (int c = 1; c < CHAINS; c++)
    sum += a[c];
  y (id, sum);
}
