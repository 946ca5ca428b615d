/* SPDX-License-Identifier: LGPL-2.1-or-later */
#version 450
/*
 * attention_grad_key: the gradients of attention's keys and values.
 *
 *   d (dy), q [n][heads*HD4][tq] vec4    k, v [n][heads*HD4][tk] vec4    g [tk] vec4: groups, as in attention.comp
 *   s [n][heads][tq] vec4: log of the sum of exp (scores), dy . y (attention_grad_query.comp)
 *   a (dk), b (dv) [n][heads*HD4][tk] vec4
 *
 *   p = exp (q . k * scale - log sum)      dv = sum over queries of p * dy
 *   ds = p * (dy . v - dy . y)             dk = scale * sum over queries of ds * q
 *
 * A lane owns one key of one head; CHUNK queries are taken at a time, one loaded by each lane with SHUFFLE.
 */
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#include "io.glsl"

layout (constant_id = 4) const int HD4 = 4;
layout (constant_id = 5) const int CHUNK = 8;
layout (constant_id = 6) const bool GROUPS = false;

READ (0, d)
READ (1, q)
READ (2, k)
READ (3, v)
READ (4, g)
READ (5, s)
WRITE (6, a)
WRITE (7, b)

layout (push_constant) uniform Push {
  Place pd, pq, pk, pv;
  int first_group;
  int tq, tk, heads;
  float scale;
  Place pa, pb;
};

void
main ()
{
  int head = int (gl_WorkGroupID.y), n = int (gl_WorkGroupID.z);
  int key = int (gl_GlobalInvocationID.x);
  int safe = min (key, tk - 1);
  int lane = int (gl_SubgroupInvocationID);

  vec4 kv[HD4], vv[HD4], dk[HD4], dv[HD4];
  [[unroll]] for (int i = 0; i < HD4; i++) {
    kv[i] = k (at (pk, n, head * HD4 + i, safe)) * scale;
    vv[i] = v (at (pv, n, head * HD4 + i, safe));
    dk[i] = dv[i] = vec4 (0.0);
  }
  float group = 0.0;
  if (GROUPS)
    group = g (first_group + safe).x;

  for (int first = 0; first < tq; first += CHUNK) {
    vec4 mine_q[HD4], mine_d[HD4], stats;
    float theirs = 0.0;
    int from = min (first + lane, tq - 1);
    if (SHUFFLE) {
      [[unroll]] for (int i = 0; i < HD4; i++) {
        mine_q[i] = q (at (pq, n, head * HD4 + i, from));
        mine_d[i] = d (at (pd, n, head * HD4 + i, from));
      }
      stats = s ((n * heads + head) * tq + from);
      if (GROUPS)
        theirs = g (first_group + from).x;
    }
    [[unroll]] for (int c = 0; c < CHUNK; c++) {
      vec4 qv[HD4], yv[HD4];
      int query = min (first + c, tq - 1);
      float score = 0.0, dp = 0.0;
      [[unroll]] for (int i = 0; i < HD4; i++) {
        qv[i] = SHUFFLE ? subgroupShuffle (mine_q[i], uint (c)) : q (at (pq, n, head * HD4 + i, query));
        yv[i] = SHUFFLE ? subgroupShuffle (mine_d[i], uint (c)) : d (at (pd, n, head * HD4 + i, query));
        score += dot (qv[i], kv[i]);
        dp += dot (yv[i], vv[i]);
      }
      vec2 known = SHUFFLE ? subgroupShuffle (stats.xy, uint (c)) : s ((n * heads + head) * tq + query).xy;
      bool seen = first + c < tq;
      if (GROUPS) {
        float other = SHUFFLE ? subgroupShuffle (theirs, uint (c)) : g (first_group + query).x;
        seen = seen && (group == 0.0 || other == group);
      }
      float p = seen ? exp (score - known.x) : 0.0;
      float ds = p * (dp - known.y);
      [[unroll]] for (int i = 0; i < HD4; i++) {
        dv[i] += p * yv[i];
        dk[i] += ds * qv[i];
      }
    }
  }
  if (key < tk)
    [[unroll]] for (int i = 0; i < HD4; i++) {
      a (at (pa, n, head * HD4 + i, key), dk[i] * scale);
      b (at (pb, n, head * HD4 + i, key), dv[i]);
    }
}
