/* SPDX-License-Identifier: LGPL-2.1-or-later */
#version 450
/*
 * attention_split: attention.comp for GPUs, where there are more invocations than queries.
 *
 *   q, y [n][heads*HD4][tq] vec4    k, v [n][heads*HD4][tk] vec4    HD4 = blocks of a head, padded to whole vec4s
 *   g [tk] vec4, its first lane: with GROUPS a query sees the keys of group 0 and of its own
 *
 * LANES invocations share a query of one head, each with every LANES-th key, CHUNK at a time, and with a running
 * maximum and sums of its own. These meet by subgroup arithmetic where LANES are a subgroup, else in shared memory, in
 * the order of the invocations.
 */
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_arithmetic : require
#include "io.glsl"

layout (constant_id = 4) const int HD4 = 4;
layout (constant_id = 5) const int LANES = 32;
layout (constant_id = 6) const int CHUNK = 4;
layout (constant_id = 7) const bool GROUPS = false;
layout (constant_id = 8) const bool SUBGROUPS = false; /* LANES are a subgroup */

#define LOWEST -3.402823466e38

READ (0, q)
READ (1, k)
READ (2, v)
READ (3, g)
WRITE (4, y)

layout (push_constant) uniform Push {
  Place pq, pk, pv, py;
  int first_group;
  int tq, tk;
  float scale;
};

const int LOCAL = int (gl_WorkGroupSize.x);
shared vec2 found[SUBGROUPS ? 1 : LOCAL]; /* maximum and sum of an invocation */
shared vec4 parts[SUBGROUPS ? 1 : LOCAL];

void
main ()
{
  int head = int (gl_WorkGroupID.y), n = int (gl_WorkGroupID.z), me = int (gl_LocalInvocationIndex);
  int lane = me % LANES, mine = me - lane; /* the first invocation of this query */
  int query = int (gl_WorkGroupID.x) * (LOCAL / LANES) + me / LANES, safe = min (query, tq - 1);

  vec4 qv[HD4], acc[HD4];
  [[unroll]] for (int b = 0; b < HD4; b++) {
    qv[b] = q (at (pq, n, head * HD4 + b, safe)) * scale;
    acc[b] = vec4 (0.0);
  }
  float group = GROUPS ? g (first_group + safe).x : 0.0;
  float top = LOWEST, sum = 0.0;
  for (int first = lane; first < tk; first += CHUNK * LANES) {
    float s[CHUNK], newtop = top;
    bool seen[CHUNK];
    [[unroll]] for (int c = 0; c < CHUNK; c++) {
      int key = min (first + c * LANES, tk - 1);
      float other = GROUPS ? g (first_group + key).x : 0.0;
      seen[c] = first + c * LANES < tk && (other == 0.0 || other == group);
      s[c] = 0.0;
      [[unroll]] for (int b = 0; b < HD4; b++)
        s[c] += dot (qv[b], k (at (pk, n, head * HD4 + b, key)));
      if (seen[c])
        newtop = max (newtop, s[c]);
    }
    float keep = exp (top - newtop);
    top = newtop;
    sum *= keep;
    [[unroll]] for (int b = 0; b < HD4; b++)
      acc[b] *= keep;
    [[unroll]] for (int c = 0; c < CHUNK; c++) {
      int key = min (first + c * LANES, tk - 1);
      float weight = seen[c] ? exp (s[c] - top) : 0.0;
      sum += weight;
      [[unroll]] for (int b = 0; b < HD4; b++)
        acc[b] += weight * v (at (pv, n, head * HD4 + b, key));
    }
  }

  if (SUBGROUPS) {
    float share = exp (top - subgroupMax (top)), all = subgroupAdd (sum * share);
    [[unroll]] for (int b = 0; b < HD4; b++) {
      vec4 total = subgroupAdd (acc[b] * share);
      if (lane == b % LANES && query < tq)
        y (at (py, n, head * HD4 + b, query), total / all);
    }
    return;
  }

  found[me] = vec2 (top, sum);
  barrier ();
  float all_top = LOWEST, all = 0.0;
  for (int l = 0; l < LANES; l++)
    all_top = max (all_top, found[mine + l].x);
  for (int l = 0; l < LANES; l++)
    all += found[mine + l].y * exp (found[mine + l].x - all_top);
  float share = exp (top - all_top) / all;
  [[unroll]] for (int b = 0; b < HD4; b++) {
    barrier (); /* before others take the place of what was read */
    parts[me] = acc[b] * share;
    barrier ();
    if (lane == b % LANES && query < tq) {
      vec4 total = vec4 (0.0);
      for (int l = 0; l < LANES; l++)
        total += parts[mine + l];
      y (at (py, n, head * HD4 + b, query), total);
    }
  }
}
