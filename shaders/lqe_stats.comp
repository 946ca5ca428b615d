/* SPDX-License-Identifier: LGPL-2.1-or-later */
#version 450
/*
 * lqe_stats: what D-FINE's quality estimate looks at: of every edge's distribution the four largest probabilities, in
 * descending order, and their mean.
 *
 *   c [n][33 blocks = 4 edges * 33 bins][q] vec4    y [n][5 blocks = 4 edges * 5][q] vec4
 */
#extension GL_GOOGLE_include_directive : require
#include "io.glsl"

#define BINS 33

READ (0, c)
WRITE (1, y)

layout (push_constant) uniform Push {
  Place pc, py;
  int queries;
};

float
logit (int n, int channel, int query)
{
  return c (at (pc, n, channel >> 2, query))[channel & 3];
}

/* Loops over bins stay loops: unrolled they take LLVM eight times as long to compile (docs/performance.md). */
void
main ()
{
  int n = int (gl_WorkGroupID.z);
  int query = int (gl_GlobalInvocationID.x);
  if (query >= queries)
    return;
  float stats[20];
  [[unroll]] for (int edge = 0; edge < 4; edge++) {
    /* the four largest logits so far, descending; softmax keeps their order */
    vec4 best = vec4 (-3.402823466e38);
    for (int bin = 0; bin < BINS; bin++) {
      float v = logit (n, edge * BINS + bin, query);
      [[unroll]] for (int k = 0; k < 4; k++) {
        float higher = max (best[k], v);
        v = min (best[k], v);
        best[k] = higher;
      }
    }
    float sum = 0.0;
    for (int bin = 0; bin < BINS; bin++)
      sum += exp (logit (n, edge * BINS + bin, query) - best.x);
    vec4 p = exp (best - best.x) / sum;
    [[unroll]] for (int k = 0; k < 4; k++)
      stats[edge * 5 + k] = p[k];
    stats[edge * 5 + 4] = (p.x + p.y + p.z + p.w) * 0.25;
  }
  [[unroll]] for (int block = 0; block < 5; block++)
    y (at (py, n, block, query),
       vec4 (stats[4 * block], stats[4 * block + 1], stats[4 * block + 2], stats[4 * block + 3]));
}
