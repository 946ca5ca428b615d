/* SPDX-License-Identifier: LGPL-2.1-or-later */
#version 450
/*
 * fdr: D-FINE's distribution integral, and the box that it makes of the initial one. Always fp32.
 *
 *   c [n][33 blocks = 4 edges * 33 bins][q] vec4    b, y [n][1][q]: cx, cy, w, h    w [9] vec4: W(0..32)
 *
 *   d[edge] = sum over bins of softmax (c[edge])[bin] * W(bin)
 *   x1 = cx - (R/2 + d.left) * w / R, and so on for top, right, bottom
 */
#extension GL_GOOGLE_include_directive : require
#include "io.glsl"

#define BINS 33

READ (0, c)
READ (1, b)
READ (2, w)
WRITE (3, y)

layout (push_constant) uniform Push {
  Place pc, pb, py;
  int queries;
  float reg_scale;
};

float
logit (int n, int channel, int query)
{
  return c (at (pc, n, channel >> 2, query))[channel & 3];
}

void
main ()
{
  int n = int (gl_WorkGroupID.z);
  int query = int (gl_GlobalInvocationID.x);
  if (query >= queries)
    return;
  vec4 distance;
  [[unroll]] for (int edge = 0; edge < 4; edge++) {
    float top = -3.402823466e38, sum = 0.0, mean = 0.0;
    for (int bin = 0; bin < BINS; bin++)
      top = max (top, logit (n, edge * BINS + bin, query));
    for (int bin = 0; bin < BINS; bin++) {
      float p = exp (logit (n, edge * BINS + bin, query) - top);
      sum += p;
      mean += p * w (bin >> 2)[bin & 3];
    }
    distance[edge] = mean / sum;
  }
  vec4 box = b (at (pb, n, 0, query));
  vec4 unit = box.zwzw / reg_scale;
  vec4 reach = (0.5 * reg_scale + distance) * unit; /* left, top, right, bottom of the centre */
  vec2 low = box.xy - reach.xy, high = box.xy + reach.zw;
  y (at (py, n, 0, query), vec4 ((low + high) * 0.5, high - low));
}
