/* SPDX-License-Identifier: LGPL-2.1-or-later */
#version 450
/*
 * global_mean: the mean over all positions, for every channel.
 *
 *   x [n][blocks][positions] vec4    y [n][blocks][1] vec4
 *
 * LANES invocations share a block and add up by subgroup arithmetic; 1 where a device is not trusted with that.
 */
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_arithmetic : require
#include "io.glsl"

layout (constant_id = 4) const int LANES = 1;

READ (0, x)
WRITE (1, y)

layout (push_constant) uniform Push {
  Place px, py;
  int blocks, positions;
};

void
main ()
{
  int id = int (gl_GlobalInvocationID.x), n = int (gl_WorkGroupID.z);
  int block = id / LANES, lane = id % LANES;
  vec4 sum = vec4 (0.0);
  if (block < blocks)
    for (int p = lane; p < positions; p += LANES)
      sum += x (at (px, n, block, p));
  if (LANES > 1)
    sum = subgroupAdd (sum);
  if (block < blocks && lane == 0)
    y (at (py, n, block, 0), sum / float (positions));
}
