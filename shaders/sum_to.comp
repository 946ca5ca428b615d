/* SPDX-License-Identifier: LGPL-2.1-or-later */
#version 450
/*
 * sum_to: sums over the batch, the channels or all positions, whichever of them y has one of, in a fixed order.
 *
 *   x [n][blocks][positions] vec4    m [blocks] vec4: -1 for padding lanes    y [n or 1][blocks or 1][positions or 1]
 *
 * Sums over positions are shared by LANES invocations (subgroup arithmetic); 1 where that does not pay.
 */
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_arithmetic : require
#include "io.glsl"

layout (constant_id = 4) const int LANES = 1;
layout (constant_id = 5) const bool CHANNELS = false;

READ (0, x)
READ (1, m)
WRITE (2, y)

layout (push_constant) uniform Push {
  Place px, py;
  int batch, blocks, positions; /* how many of each make one sum */
  int results;                  /* positions of y */
};

void
main ()
{
  int block = int (gl_WorkGroupID.y), n = int (gl_WorkGroupID.z);
  int id = int (gl_GlobalInvocationID.x);
  int lane = id % LANES, q = min (id / LANES, results - 1);
  vec4 sum = vec4 (0.0);
  for (int i = 0; i < batch; i++)
    for (int b = 0; b < blocks; b++)
      for (int p = lane; p < positions; p += LANES) {
        vec4 v = x (at (px, n + i, block + b, q + p));
        if (CHANNELS)
          v = mix (v, vec4 (0.0), lessThan (m (b), vec4 (0.0)));
        sum += v;
      }
  if (LANES > 1)
    sum = subgroupAdd (sum);
  if (CHANNELS)
    sum = vec4 (sum.x + sum.y + sum.z + sum.w);
  if (lane == 0 && id / LANES < results)
    y (at (py, n, block, q), sum);
}
