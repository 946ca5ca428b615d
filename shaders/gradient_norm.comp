/* SPDX-License-Identifier: LGPL-2.1-or-later */
#version 450
/*
 * gradient_norm: the length of the gradient from the parts of gradient_squares.comp, and what clipping multiplies it by.
 *
 *   p [count] vec4    s: the settings of optimiser.comp    y one vec4: length, factor, 0, 0
 *
 * One invocation adds up, in stretches, so that what comes late is not added to a large number.
 */
#extension GL_GOOGLE_include_directive : require
#include "io.glsl"

READ (0, p)
READ (1, s)
WRITE (2, y)

layout (push_constant) uniform Push {
  int count;
};

#define STRETCH 128

void
main ()
{
  if (gl_LocalInvocationIndex > 0)
    return;
  float total = 0.0;
  for (int first = 0; first < count; first += STRETCH) {
    float sum = 0.0;
    for (int i = first; i < min (first + STRETCH, count); i++)
      sum += p (i).x;
    total += sum;
  }
  float norm = sqrt (total), most = s (1).z;
  y (0, vec4 (norm, most > 0.0 ? min (most / (norm + 1e-6), 1.0) : 1.0, 0.0, 0.0));
}
