/* SPDX-License-Identifier: LGPL-2.1-or-later */
#version 450
/*
 * detections: the chosen (query, class) pairs as records, in descending order.
 *
 *   l [n][classes/4][q] vec4    b [n][1][q]: cx, cy, w, h
 *   candidates [n][k] (key, index), index = query * classes + class (topk.glsl)
 *   y [n][2 blocks][k] vec4: score (sigmoid), class, query, 0 | cx, cy, w, h
 */
#extension GL_GOOGLE_include_directive : require
#include "io.glsl"
#include "act.glsl"

READ (0, l)
READ (1, b)
READ_RAW (2, candidates)
WRITE (3, y)

#include "rank.glsl"

layout (push_constant) uniform Push {
  Place pl, pb, py;
  int k, classes;
};

void
main ()
{
  int n = int (gl_WorkGroupID.z);
  int mine = int (gl_GlobalInvocationID.x);
  if (mine >= k)
    return;
  int i = int (candidates[2 * (n * k + mine) + 1]), j = rank_of (n, k, mine);
  int query = i / classes, cls = i - query * classes;
  /* A NaN that came this far fills up the list; its score says that nothing is there. */
  float logit = l (at (pl, n, cls >> 2, query))[cls & 3];
  bool number = (floatBitsToUint (logit) & 0x7fffffffu) <= 0x7f800000u;
  float score = number ? sigmoid4 (vec4 (logit)).x : 0.0;
  y (at (py, n, 0, j), vec4 (score, float (cls), float (query), 0.0));
  y (at (py, n, 1, j), b (at (pb, n, 0, query)));
}
