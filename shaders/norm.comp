/* SPDX-License-Identifier: LGPL-2.1-or-later */
#version 450
/*
 * norm: LayerNorm or RMSNorm over the channels of every position, of x, of x + r or of x * g + r * h.
 *
 *   x, r, g, h, y [n][blocks][positions] vec4
 *   w             [blocks][2] vec4: weight and bias of every channel (0 in padding lanes)
 *
 *   LayerNorm  y = (x - mean) / sqrt (mean ((x - mean)^2) + eps) * weight + bias
 *   RMSNorm    y = x / sqrt (mean (x^2) + eps) * weight + bias
 *
 * LANES invocations share a position (subgroup arithmetic); 1 gives every lane a position of its own.
 */
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_arithmetic : require
#include "io.glsl"

layout (constant_id = 4) const int LANES = 1;
layout (constant_id = 5) const bool CENTRED = true; /* LayerNorm */
layout (constant_id = 6) const bool RESIDUAL = false;
layout (constant_id = 7) const bool GATED = false; /* implies RESIDUAL */

READ (0, x)
READ (1, w)
READ (2, r)
WRITE (3, y)
READ (4, g)
READ (5, h)

layout (push_constant) uniform Push {
  Place px, py, pr, pg, ph;
  int channels, blocks, positions;
  float eps;
};

vec4
load (int n, int block, int p)
{
  vec4 v = x (at (px, n, block, p));
  if (GATED)
    v = v * g (at (pg, n, block, p)) + r (at (pr, n, block, p)) * h (at (ph, n, block, p));
  else if (RESIDUAL)
    v += r (at (pr, n, block, p));
  return v;
}

/* 1 for the lanes of a block that hold channels, 0 for padding */
vec4
mask (int block)
{
  return vec4 (lessThan (ivec4 (4 * block) + ivec4 (0, 1, 2, 3), ivec4 (channels)));
}

float
total (vec4 v)
{
  float s = v.x + v.y + v.z + v.w;
  return LANES > 1 ? subgroupAdd (s) : s;
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
      sum += load (n, b, p) * mask (b);
    mean = total (sum) / float (channels);
  }
  vec4 squares = vec4 (0.0);
  for (int b = lane; b < blocks; b += LANES) {
    vec4 d = (load (n, b, p) - mean) * mask (b);
    squares += d * d;
  }
  float scale = 1.0 / sqrt (total (squares) / float (channels) + eps);
  if (id / LANES >= positions)
    return;
  for (int b = lane; b < blocks; b += LANES)
    y (at (py, n, b, p), (load (n, b, p) - mean) * scale * w (2 * b) + w (2 * b + 1));
}
