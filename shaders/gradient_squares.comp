/* SPDX-License-Identifier: LGPL-2.1-or-later */
#version 450
/*
 * gradient_squares: sums of squares of a flat vector, one for each chunk of it.
 *
 *   g [count] vec4    y [first + chunks] vec4, the sum in the first lane; without FOLD one for each lane
 */
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_arithmetic : require
#include "io.glsl"

layout (constant_id = 4) const bool FOLD = true; /* lanes add up by subgroup arithmetic */

READ (0, g)
WRITE (1, y)

layout (push_constant) uniform Push {
  int count; /* vec4s */
  int chunk; /* vec4s of one */
  int first; /* where in y */
};

void
main ()
{
  int lane = int (gl_LocalInvocationIndex), lanes = int (gl_WorkGroupSize.x), id = int (gl_WorkGroupID.x);
  int end = min ((id + 1) * chunk, count);
  vec4 sum = vec4 (0.0);
  for (int i = id * chunk + lane; i < end; i += lanes) {
    vec4 v = g (i);
    sum += v * v;
  }
  float total = sum.x + sum.y + sum.z + sum.w;
  if (FOLD)
    total = subgroupAdd (total);
  if (!FOLD)
    y (first + id * lanes + lane, vec4 (total, 0.0, 0.0, 0.0));
  else if (lane == 0)
    y (first + id, vec4 (total, 0.0, 0.0, 0.0));
}
