/* SPDX-License-Identifier: LGPL-2.1-or-later */
#version 450
/*
 * attention: y = softmax (q k^T * scale) v per head, in one pass over the keys with a running maximum.
 *
 *   q, y [n][heads*HD4][tq] vec4    k, v [n][heads*HD4][tk] vec4    HD4 = blocks of a head, padded to whole vec4s
 *   g [tk] vec4, its first lane: with GROUPS a query sees the keys of group 0 and of its own
 *
 * A lane owns one query of one head. CHUNK keys are scored at a time; with SHUFFLE every lane loads one of them
 * (CHUNK = SUBGROUP) and the subgroup passes them round, else every lane reads all of them (the same address).
 */
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#include "io.glsl"

layout (constant_id = 4) const int HD4 = 4;
layout (constant_id = 5) const int CHUNK = 8;
layout (constant_id = 6) const bool GROUPS = false;

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

void
main ()
{
  int head = int (gl_WorkGroupID.y), n = int (gl_WorkGroupID.z);
  int query = int (gl_GlobalInvocationID.x);
  int safe = min (query, tq - 1);
  int lane = int (gl_SubgroupInvocationID);

  vec4 qv[HD4], acc[HD4];
  [[unroll]] for (int b = 0; b < HD4; b++) {
    qv[b] = q (at (pq, n, head * HD4 + b, safe)) * scale;
    acc[b] = vec4 (0.0);
  }
  float top = -3.402823466e38, sum = 0.0, group = 0.0;
  if (GROUPS)
    group = g (first_group + safe).x;
  int first = 0;
  do { /* never empty; asks at its end for the reason in conv.comp */
    float s[CHUNK];
    [[unroll]] for (int c = 0; c < CHUNK; c++)
      s[c] = 0.0;
    [[unroll]] for (int b = 0; b < HD4; b++) {
      if (SHUFFLE) {
        vec4 mine = k (at (pk, n, head * HD4 + b, min (first + lane, tk - 1)));
        [[unroll]] for (int c = 0; c < CHUNK; c++)
          s[c] += dot (qv[b], subgroupShuffle (mine, uint (c)));
      } else {
        [[unroll]] for (int c = 0; c < CHUNK; c++)
          s[c] += dot (qv[b], k (at (pk, n, head * HD4 + b, min (first + c, tk - 1))));
      }
    }
    float newtop = top;
    float theirs = 0.0;
    if (GROUPS && SHUFFLE)
      theirs = g (first_group + min (first + lane, tk - 1)).x;
    [[unroll]] for (int c = 0; c < CHUNK; c++) {
      if (GROUPS) {
        float other = SHUFFLE ? subgroupShuffle (theirs, uint (c)) : g (first_group + min (first + c, tk - 1)).x;
        s[c] = other == 0.0 || other == group ? s[c] : -3.402823466e38;
      }
      if (first + c < tk)
        newtop = max (newtop, s[c]);
    }
    float keep = exp (top - newtop);
    top = newtop;
    sum *= keep;
    [[unroll]] for (int c = 0; c < CHUNK; c++) {
      s[c] = first + c < tk && (!GROUPS || s[c] > -3e38) ? exp (s[c] - top) : 0.0;
      sum += s[c];
    }
    [[unroll]] for (int b = 0; b < HD4; b++) {
      vec4 a = acc[b] * keep;
      if (SHUFFLE) {
        vec4 mine = v (at (pv, n, head * HD4 + b, min (first + lane, tk - 1)));
        [[unroll]] for (int c = 0; c < CHUNK; c++)
          a += s[c] * subgroupShuffle (mine, uint (c));
      } else {
        [[unroll]] for (int c = 0; c < CHUNK; c++)
          a += s[c] * v (at (pv, n, head * HD4 + b, min (first + c, tk - 1)));
      }
      acc[b] = a;
    }
    first += CHUNK;
  } while (first < tk);
  if (query < tq)
    [[unroll]] for (int b = 0; b < HD4; b++)
      y (at (py, n, head * HD4 + b, query), acc[b] / sum);
}
