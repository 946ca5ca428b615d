/* SPDX-License-Identifier: LGPL-2.1-or-later */
#version 450
/*
 * lqe_stats_grad: the gradient of what D-FINE's quality estimate looks at (lqe_stats.comp).
 *
 *   g (dy) [n][5 blocks = 4 edges * 5][q] vec4    c, y (dcorners) [n][33 blocks = 4 edges * 33 bins][q] vec4
 *
 *   p = softmax (c[edge])      u = dy of the rank of a bin + dy of the mean / 4, or 0 beyond the four largest
 *   dc = p * (u - sum p * u)
 */
#extension GL_GOOGLE_include_directive : require
#include "io.glsl"

#define BINS 33

READ (0, g)
READ (1, c)
WRITE (2, y)

layout (push_constant) uniform Push {
  Place pg, pc, py;
  int queries;
};

float e[4 * BINS];

void
main ()
{
  int n = int (gl_WorkGroupID.z);
  int query = int (gl_GlobalInvocationID.x);
  if (query >= queries)
    return;
  [[unroll]] for (int block = 0; block < BINS; block++) {
    vec4 v = c (at (pc, n, block, query));
    [[unroll]] for (int l = 0; l < 4; l++)
      e[4 * block + l] = v[l];
  }
  float dy[20];
  [[unroll]] for (int block = 0; block < 5; block++) {
    vec4 v = g (at (pg, n, block, query));
    [[unroll]] for (int l = 0; l < 4; l++)
      dy[4 * block + l] = v[l];
  }
  [[unroll]] for (int edge = 0; edge < 4; edge++) {
    vec4 best = vec4 (-3.402823466e38), where = vec4 (-1.0); /* bins, descending; the lower of equals first */
    [[unroll]] for (int bin = 0; bin < BINS; bin++) {
      float v = e[edge * BINS + bin], i = float (bin);
      [[unroll]] for (int k = 0; k < 4; k++) {
        bool higher = v > best[k];
        float down = higher ? best[k] : v, down_i = higher ? where[k] : i;
        best[k] = higher ? v : best[k];
        where[k] = higher ? i : where[k];
        v = down;
        i = down_i;
      }
    }
    float sum = 0.0;
    [[unroll]] for (int bin = 0; bin < BINS; bin++) {
      e[edge * BINS + bin] = exp (e[edge * BINS + bin] - best.x);
      sum += e[edge * BINS + bin];
    }
    vec4 worth = vec4 (dy[edge * 5], dy[edge * 5 + 1], dy[edge * 5 + 2], dy[edge * 5 + 3]) + 0.25 * dy[edge * 5 + 4];
    float mean = dot (worth, exp (best - best.x)) / sum;
    [[unroll]] for (int bin = 0; bin < BINS; bin++) {
      float u = dot (worth, vec4 (equal (where, vec4 (float (bin)))));
      e[edge * BINS + bin] *= (u - mean) / sum;
    }
  }
  [[unroll]] for (int block = 0; block < BINS; block++)
    y (at (py, n, block, query), vec4 (e[4 * block], e[4 * block + 1], e[4 * block + 2], e[4 * block + 3]));
}
