/* SPDX-License-Identifier: LGPL-2.1-or-later */
#version 450
/*
 * fdr_grad: the gradient of D-FINE's distribution integral (fdr.comp). Always fp32.
 *
 *   g (dy), b (boxes), z (dboxes) [n][1][q]    c (corners), y (dcorners) [n][33][q] vec4    w [9] vec4: W(0..32)
 *
 *   p = softmax (c[edge])      dc = d loss / d distance * p * (W - distance)
 */
#extension GL_GOOGLE_include_directive : require
#include "io.glsl"

#define BINS 33

READ (0, g)
READ (1, c)
READ (2, b)
READ (3, w)
WRITE (4, y)
WRITE (5, z)

layout (push_constant) uniform Push {
  Place pg, pc, pb, py, pz;
  int queries;
  float reg_scale;
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
  vec4 box = b (at (pb, n, 0, query)), dy = g (at (pg, n, 0, query));
  vec4 slope = vec4 (dy.zw - 0.5 * dy.xy, dy.zw + 0.5 * dy.xy) * box.zwzw / reg_scale;
  vec4 distance;
  [[unroll]] for (int edge = 0; edge < 4; edge++) {
    float top = -3.402823466e38, sum = 0.0, mean = 0.0;
    [[unroll]] for (int bin = 0; bin < BINS; bin++)
      top = max (top, e[edge * BINS + bin]);
    [[unroll]] for (int bin = 0; bin < BINS; bin++) {
      float p = exp (e[edge * BINS + bin] - top);
      e[edge * BINS + bin] = p;
      sum += p;
      mean += p * w (bin >> 2)[bin & 3];
    }
    mean /= sum;
    distance[edge] = mean;
    [[unroll]] for (int bin = 0; bin < BINS; bin++)
      e[edge * BINS + bin] *= slope[edge] / sum * (w (bin >> 2)[bin & 3] - mean);
  }
  [[unroll]] for (int block = 0; block < BINS; block++)
    y (at (py, n, block, query), vec4 (e[4 * block], e[4 * block + 1], e[4 * block + 2], e[4 * block + 3]));
  vec2 low = distance.xy, high = distance.zw;
  z (at (pz, n, 0, query),
     vec4 (dy.xy, dy.xy * (high - low) * (0.5 / reg_scale) + dy.zw * (1.0 + (low + high) / reg_scale)));
}
