/* SPDX-License-Identifier: LGPL-2.1-or-later */
#version 450
/*
 * topk_select: finds the k largest of many keys (topk.glsl), one subgroup per batch entry: for CPUs. GPUs have
 * topk_histogram.comp.
 *
 *   keys [n][count4] uvec4    candidates [n][k] uvec2 as two words: key, index
 *
 * With FLAT each score x [n][blocks][tokens] vec4 (classes in the lanes) has a key, made where it is read, and the
 * index token * classes + class; there are tokens * blocks = count4 vec4s, in the order of their indices.
 *
 * Eight passes over the keys fix the k-th largest key four bits at a time, a ninth writes all keys above it and as many
 * equal ones as still fit, lowest index first. Nothing is shared; four keys a load keep the loop count of all passes
 * under 65536 (a limit of Mesa 22.3).
 */
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_arithmetic : require
#include "io.glsl"
#include "topk.glsl"

layout (constant_id = 4) const bool FLAT = false;

READ_RAW (0, keys)
WRITE_RAW (1, candidates)
READ (2, x)

layout (push_constant) uniform Push {
  int count4, k; /* uvec4s of a batch entry */
  Place px;
  int classes, blocks;
};

#include "topk_load.glsl"

void
main ()
{
  int n = int (gl_WorkGroupID.z);
  int local = int (gl_WorkGroupSize.x), me = int (gl_SubgroupInvocationID);

  /* `left` keys are still wanted among those that begin with `prefix` in the bits above `shift`. */
  uint prefix = 0u, left = uint (k);
  for (int shift = 28; shift >= 0; shift -= 4) {
    uint digits[16];
    [[unroll]] for (int d = 0; d < 16; d++)
      digits[d] = 0u;
    for (int i = me; i < count4; i += local) {
      uvec4 key = load (n, i);
      [[unroll]] for (int l = 0; l < 4; l++) {
        /* keys of another prefix count as digit 16, which nobody reads */
        uint digit = shift == 28 || key[l] >> (shift + 4) == prefix >> (shift + 4) ? key[l] >> shift & 15u : 16u;
        [[unroll]] for (uint d = 1u; d < 16u; d++)
          digits[d] += digit == d ? 1u : 0u;
      }
    }
    uint chosen = 0u;
    bool found = false;
    [[unroll]] for (int d = 15; d > 0; d--) {
      uint here = subgroupAdd (digits[d]);
      if (!found) {
        if (here >= left) {
          chosen = uint (d);
          found = true;
        } else {
          left -= here;
        }
      }
    }
    prefix |= chosen << shift; /* digit 0 if no other reached */
  }

  uint above = 0u, ties = 0u; /* written so far */
  uint room = uint (k) - left; /* how many are above the k-th key */
  for (int start = 0; start < count4; start += local) {
    int i = start + me;
    uvec4 key = i < count4 ? load (n, i) : uvec4 (0u);
    uvec4 is_above = uvec4 (greaterThan (key, uvec4 (prefix))), is_equal = uvec4 (equal (key, uvec4 (prefix)));
    uint n_above = is_above.x + is_above.y + is_above.z + is_above.w;
    uint n_equal = is_equal.x + is_equal.y + is_equal.z + is_equal.w;
    uint a = above + subgroupExclusiveAdd (n_above), e = ties + subgroupExclusiveAdd (n_equal);
    [[unroll]] for (int l = 0; l < 4; l++) {
      uint slot = 0xffffffffu;
      if (is_above[l] != 0u)
        slot = a++;
      else if (is_equal[l] != 0u) {
        if (e < left)
          slot = room + e;
        e++;
      }
      if (slot != 0xffffffffu) {
        candidates[2 * (n * k + int (slot))] = key[l];
        candidates[2 * (n * k + int (slot)) + 1] = index_of (i) + uint (l);
      }
    }
    above += subgroupAdd (n_above);
    ties += subgroupAdd (n_equal);
  }
}
