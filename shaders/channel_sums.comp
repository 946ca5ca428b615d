/* SPDX-License-Identifier: LGPL-2.1-or-later */
#version 450
/*
 * channel_sums: partial sums over strips of positions, for every channel (engine/ops/channel_sums.h).
 *
 *   g, x [n][blocks][positions] vec4    t NORMALISED: [n][positions] vec4 of mean and 1 / deviation
 *   y [n * strips * lanes][blocks][1 or 2] vec4
 *
 *   terms, summed over a strip:  g;  g * x or g * (x - mean[p]) / deviation[p]
 *   MOMENTS                      the mean of g in the strip, and the sum of (g - mean)^2
 *
 * The lanes of a subgroup share a strip, and add up at its end; without FOLD each stores its own part.
 */
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_arithmetic : require
#include "io.glsl"

#define MODE_PLAIN 0
#define MODE_PRODUCT 1
#define MODE_NORMALISED 2
#define MODE_MOMENTS 3
layout (constant_id = 4) const int MODE = MODE_PLAIN;
layout (constant_id = 5) const bool FOLD = true;

READ (0, g)
READ (1, x)
READ (2, t)
WRITE (3, y)

layout (push_constant) uniform Push {
  Place pg, px;
  int blocks, positions;
  int strip_length, strips;
};

#define PER_TURN 4

void
main ()
{
  int strip = int (gl_WorkGroupID.x), block = int (gl_WorkGroupID.y), n = int (gl_WorkGroupID.z);
  int lane = int (gl_LocalInvocationIndex), lanes = int (gl_WorkGroupSize.x);
  int first = strip * strip_length, end = min (first + strip_length, positions);

  vec4 centre = vec4 (0.0); /* what is subtracted before squaring */
  if (MODE == MODE_MOMENTS)
    centre = g (at (pg, n, block, first));
  vec4 sum = vec4 (0.0), product = vec4 (0.0);
  for (int i = first + lane; i < end; i += PER_TURN * lanes) {
    [[unroll]] for (int j = 0; j < PER_TURN; j++) {
      int p = i + j * lanes;
      bool inside = p < end;
      int q = inside ? p : first;
      vec4 v = g (at (pg, n, block, q));
      if (MODE == MODE_MOMENTS) {
        vec4 d = inside ? v - centre : vec4 (0.0);
        sum += d;
        product += d * d;
      } else {
        v = inside ? v : vec4 (0.0);
        sum += v;
        if (MODE == MODE_PRODUCT)
          product += v * x (at (px, n, block, q));
        if (MODE == MODE_NORMALISED) {
          vec4 s = t (n * positions + q);
          product += v * ((x (at (px, n, block, q)) - s.x) * s.y);
        }
      }
    }
  }
  if (FOLD) {
    sum = subgroupAdd (sum);
    if (MODE != MODE_PLAIN)
      product = subgroupAdd (product);
  }
  if (MODE == MODE_MOMENTS) {
    int length = end - first;
    float count = float (max (FOLD ? length : (length - lane + lanes - 1) / lanes, 1));
    product = max (product - sum * sum / count, vec4 (0.0));
    sum = centre + sum / count;
  }
  if (!FOLD || lane == 0) {
    int part = n * strips + strip;
    if (!FOLD)
      part = part * lanes + lane;
    if (MODE == MODE_PLAIN) {
      y (part * blocks + block, sum);
    } else {
      y (2 * (part * blocks + block), sum);
      y (2 * (part * blocks + block) + 1, product);
    }
  }
}
