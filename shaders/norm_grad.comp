/* SPDX-License-Identifier: LGPL-2.1-or-later */
#version 450
/*
 * norm_grad: the gradient of LayerNorm's or RMSNorm's input, and the statistics of each position for the sums that are
 * the gradients of its parameters (channel_sums.comp).
 *
 *   g (dy), x, y (dx) [n][blocks][positions] vec4    w [blocks][2] vec4: weight (0 in padding lanes) and nothing
 *   s [n][positions] vec4: mean, 1 / deviation
 *
 *   z = (x - mean) / deviation      u = dy * weight
 *   dx = (u - sum u / C - z * sum (u * z) / C) / deviation; RMSNorm has no mean and no second term
 *
 * LANES invocations share a position (subgroup arithmetic); 1 gives every lane a position of its own.
 */
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_arithmetic : require
#include "io.glsl"

layout (constant_id = 4) const int LANES = 1;
layout (constant_id = 5) const bool CENTRED = true; /* LayerNorm */

READ (0, g)
READ (1, x)
READ (2, w)
WRITE (3, y)
WRITE (4, s)

layout (push_constant) uniform Push {
  Place pg, px, py;
  int channels, blocks, positions;
  float eps;
};

/* 1 for the lanes of a block that hold channels, 0 for padding */
vec4
mask (int block)
{
  return vec4 (lessThan (ivec4 (4 * block) + ivec4 (0, 1, 2, 3), ivec4 (channels)));
}

float
total (vec4 v)
{
  float sum = v.x + v.y + v.z + v.w;
  return LANES > 1 ? subgroupAdd (sum) : sum;
}

void
main ()
{
  int id = int (gl_GlobalInvocationID.x), n = int (gl_WorkGroupID.z);
  int lane = id % LANES;
  int p = min (id / LANES, positions - 1); /* past the end: the same values again, written twice */

  float mean = 0.0;
  if (CENTRED) {
    vec4 sum = vec4 (0.0);
    for (int b = lane; b < blocks; b += LANES)
      sum += x (at (px, n, b, p)) * mask (b);
    mean = total (sum) / float (channels);
  }
  vec4 squares = vec4 (0.0);
  for (int b = lane; b < blocks; b += LANES) {
    vec4 d = (x (at (px, n, b, p)) - mean) * mask (b);
    squares += d * d;
  }
  float inverse = 1.0 / sqrt (total (squares) / float (channels) + eps);
  vec4 sums = vec4 (0.0), products = vec4 (0.0);
  for (int b = lane; b < blocks; b += LANES) {
    vec4 u = g (at (pg, n, b, p)) * w (2 * b);
    sums += u;
    products += u * ((x (at (px, n, b, p)) - mean) * inverse);
  }
  float sum = CENTRED ? total (sums) / float (channels) : 0.0;
  float product = total (products) / float (channels);
  if (id / LANES >= positions)
    return;
  for (int b = lane; b < blocks; b += LANES) {
    vec4 z = (x (at (px, n, b, p)) - mean) * inverse;
    y (at (py, n, b, p), (g (at (pg, n, b, p)) * w (2 * b) - sum - z * product) * inverse);
  }
  if (lane == 0)
    s (n * positions + p, vec4 (mean, inverse, 0.0, 0.0));
}
