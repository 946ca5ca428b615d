/* SPDX-License-Identifier: LGPL-2.1-or-later */
#version 450
/*
 * topk_sort: puts candidates (topk.glsl) in order by counting, for each, how many come before it.
 *
 *   candidates [n][k] (key, index)    indices [n][k]
 */
#extension GL_GOOGLE_include_directive : require
#include "io.glsl"

READ_RAW (0, candidates)
WRITE_RAW (1, indices)

#include "rank.glsl"

layout (push_constant) uniform Push {
  int k;
};

void
main ()
{
  int n = int (gl_WorkGroupID.z);
  int mine = int (gl_GlobalInvocationID.x);
  if (mine >= k)
    return;
  indices[n * k + rank_of (n, k, mine)] = candidates[2 * (n * k + mine) + 1];
}
