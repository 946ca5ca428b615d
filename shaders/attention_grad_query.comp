/* SPDX-License-Identifier: LGPL-2.1-or-later */
#version 450
/*
 * attention_grad_query: the gradient of attention's queries, and what attention_grad_key.comp needs of each query.
 *
 *   d (dy), q, y [n][heads*HD4][tq] vec4    k, v [n][heads*HD4][tk] vec4    g [tk] vec4: groups, as in attention.comp
 *   r (dq) [n][heads*HD4][tq] vec4    s [n][heads][tq] vec4: log of the sum of exp (scores), dy . y
 *
 *   p = exp (q . k * scale - log sum)      ds = p * (dy . v - dy . y)      dq = scale * sum over keys of ds * k
 *
 * A lane owns one query of one head and goes over the keys twice: for the sum, and for the gradient. CHUNK and SHUFFLE are
 * those of attention.comp.
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
READ (5, y)
WRITE (6, r)
WRITE (7, s)

layout (push_constant) uniform Push {
  Place pd, pq, pk, pv;
  int first_group;
  int tq, tk, heads;
  float scale;
  Place py, pr;
};

#define HIDDEN -3.402823466e38

/* Of the keys first .. first + CHUNK - 1; HIDDEN where a key is not seen. */
float score[CHUNK];

void
find_scores (int n, int head, int first, int lane, vec4 qv[HD4], float group)
{
  [[unroll]] for (int c = 0; c < CHUNK; c++)
    score[c] = 0.0;
  [[unroll]] for (int b = 0; b < HD4; b++) {
    if (SHUFFLE) {
      vec4 mine = k (at (pk, n, head * HD4 + b, min (first + lane, tk - 1)));
      [[unroll]] for (int c = 0; c < CHUNK; c++)
        score[c] += dot (qv[b], subgroupShuffle (mine, uint (c)));
    } else {
      [[unroll]] for (int c = 0; c < CHUNK; c++)
        score[c] += dot (qv[b], k (at (pk, n, head * HD4 + b, min (first + c, tk - 1))));
    }
  }
  float theirs = 0.0;
  if (GROUPS && SHUFFLE)
    theirs = g (first_group + min (first + lane, tk - 1)).x;
  [[unroll]] for (int c = 0; c < CHUNK; c++) {
    bool seen = first + c < tk;
    if (GROUPS) {
      float other = SHUFFLE ? subgroupShuffle (theirs, uint (c)) : g (first_group + min (first + c, tk - 1)).x;
      seen = seen && (other == 0.0 || other == group);
    }
    score[c] = seen ? score[c] : HIDDEN;
  }
}

void
main ()
{
  int head = int (gl_WorkGroupID.y), n = int (gl_WorkGroupID.z);
  int query = int (gl_GlobalInvocationID.x);
  int safe = min (query, tq - 1);
  int lane = int (gl_SubgroupInvocationID);

  vec4 qv[HD4], dv[HD4], acc[HD4];
  float mean = 0.0, group = 0.0;
  [[unroll]] for (int b = 0; b < HD4; b++) {
    qv[b] = q (at (pq, n, head * HD4 + b, safe)) * scale;
    dv[b] = d (at (pd, n, head * HD4 + b, safe));
    mean += dot (dv[b], y (at (py, n, head * HD4 + b, safe)));
    acc[b] = vec4 (0.0);
  }
  if (GROUPS)
    group = g (first_group + safe).x;

  float top = HIDDEN, sum = 0.0;
  for (int first = 0; first < tk; first += CHUNK) {
    find_scores (n, head, first, lane, qv, group);
    float newtop = top;
    [[unroll]] for (int c = 0; c < CHUNK; c++)
      newtop = max (newtop, score[c]);
    sum *= exp (top - newtop);
    top = newtop;
    [[unroll]] for (int c = 0; c < CHUNK; c++)
      sum += score[c] > -3e38 ? exp (score[c] - top) : 0.0;
  }
  float log_sum = top + log (sum);

  for (int first = 0; first < tk; first += CHUNK) {
    find_scores (n, head, first, lane, qv, group);
    float dp[CHUNK];
    [[unroll]] for (int c = 0; c < CHUNK; c++)
      dp[c] = -mean;
    [[unroll]] for (int b = 0; b < HD4; b++) {
      if (SHUFFLE) {
        vec4 mine = v (at (pv, n, head * HD4 + b, min (first + lane, tk - 1)));
        [[unroll]] for (int c = 0; c < CHUNK; c++)
          dp[c] += dot (dv[b], subgroupShuffle (mine, uint (c)));
      } else {
        [[unroll]] for (int c = 0; c < CHUNK; c++)
          dp[c] += dot (dv[b], v (at (pv, n, head * HD4 + b, min (first + c, tk - 1))));
      }
    }
    [[unroll]] for (int c = 0; c < CHUNK; c++)
      dp[c] *= score[c] > -3e38 ? exp (score[c] - log_sum) : 0.0;
    [[unroll]] for (int b = 0; b < HD4; b++) {
      vec4 a = acc[b];
      if (SHUFFLE) {
        vec4 mine = k (at (pk, n, head * HD4 + b, min (first + lane, tk - 1)));
        [[unroll]] for (int c = 0; c < CHUNK; c++)
          a += dp[c] * subgroupShuffle (mine, uint (c));
      } else {
        [[unroll]] for (int c = 0; c < CHUNK; c++)
          a += dp[c] * k (at (pk, n, head * HD4 + b, min (first + c, tk - 1)));
      }
      acc[b] = a;
    }
  }
  if (query < tq) {
    [[unroll]] for (int b = 0; b < HD4; b++)
      r (at (pr, n, head * HD4 + b, query), acc[b] * scale);
    s ((n * heads + head) * tq + query, vec4 (log_sum, mean, 0.0, 0.0));
  }
}
