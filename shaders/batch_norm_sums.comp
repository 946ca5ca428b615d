/* SPDX-License-Identifier: LGPL-2.1-or-later */
#version 450
/*
 * batch_norm_sums: partial sums of what the gradients of BatchNorm, and of the affine block behind it, are made of.
 *
 *   g (dy), x [n][blocks][positions] vec4    t [blocks][5] vec4 (batch_norm_state.comp)
 *   y [n * strips * lanes][blocks][2, with LAB 4] vec4, cut as channel_sums.comp does
 *
 *   z = x * factor + summand      da = g * scale * act' (z)
 *   terms: da, da * (x - mean) / deviation; with LAB g * act (z), g
 */
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_arithmetic : require
#include "io.glsl"
#include "act.glsl"
#include "act_grad.glsl"

layout (constant_id = 4) const bool FOLD = true; /* lanes add up by subgroup arithmetic */
layout (constant_id = 5) const int ACT = ACT_NONE;
layout (constant_id = 6) const bool LAB = false;

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
#define TERMS (LAB ? 4 : 2)

void
main ()
{
  int strip = int (gl_WorkGroupID.x), block = int (gl_WorkGroupID.y), n = int (gl_WorkGroupID.z);
  int lane = int (gl_LocalInvocationIndex), lanes = int (gl_WorkGroupSize.x);
  int first = strip * strip_length, end = min (first + strip_length, positions);
  vec4 factor = t (5 * block), summand = t (5 * block + 1), mean = t (5 * block + 2), inverse = t (5 * block + 3);
  vec4 scale = t (5 * block + 4);

  vec4 sum[4] = vec4[4] (vec4 (0.0), vec4 (0.0), vec4 (0.0), vec4 (0.0));
  for (int i = first + lane; i < end; i += PER_TURN * lanes) {
    [[unroll]] for (int j = 0; j < PER_TURN; j++) {
      int p = i + j * lanes;
      bool inside = p < end;
      int q = inside ? p : first;
      vec4 dy = inside ? g (at (pg, n, block, q)) : vec4 (0.0);
      vec4 v = x (at (px, n, block, q)), z = v * factor + summand;
      vec4 da = dy * scale * derive (z, ACT, 0.0, 0.0);
      sum[0] += da;
      sum[1] += da * (v - mean);
      if (LAB) {
        sum[2] += dy * activate (z, ACT, 0.0, 0.0);
        sum[3] += dy;
      }
    }
  }
  sum[1] *= inverse;
  int part = n * strips + strip;
  if (!FOLD)
    part = part * lanes + lane;
  [[unroll]] for (int k = 0; k < TERMS; k++) {
    vec4 total = FOLD ? subgroupAdd (sum[k]) : sum[k];
    if (!FOLD || lane == 0)
      y ((part * blocks + block) * TERMS + k, total);
  }
}
