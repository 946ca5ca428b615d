/* SPDX-License-Identifier: LGPL-2.1-or-later */
#version 450
/*
 * topk_select: finds the k largest of many keys (topk.glsl), one workgroup per batch entry.
 *
 *   keys [n][count4] uvec4    candidates [n][k] uvec2 as two words: key, index
 *
 * With FLAT each score x [n][blocks][tokens] vec4 (classes in the lanes) has a key, made where it is read, and the index
 * token * classes + class; there are tokens * blocks = count4 vec4s, in the order of their indices.
 *
 * Eight passes over the keys fix the k-th largest key four bits at a time, a ninth writes all keys above it and as many
 * equal ones as still fit, lowest index first. On a software device the workgroup is one subgroup (SOLO) and nothing is
 * shared; four keys a load keep the loop count of all passes under 65536 (a limit of Mesa 22.3). Where subgroups cannot
 * be trusted to add up (SUMS), invocations do, through shared memory.
 */
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_arithmetic : require
#include "io.glsl"
#include "topk.glsl"

layout (constant_id = 4) const bool SOLO = true;
layout (constant_id = 5) const bool FLAT = false;
layout (constant_id = 6) const bool SUMS = true;

READ_RAW (0, keys)
WRITE_RAW (1, candidates)
READ (2, x)

layout (push_constant) uniform Push {
  int count4, k; /* uvec4s of a batch entry */
  Place px;
  int classes, blocks;
};

/* The @i-th four keys, 0 where there is none. */
uvec4
load (int n, int i)
{
  if (!FLAT)
    return keys4[n * count4 + i];
  int token = i / blocks, block = i - token * blocks;
  vec4 v = x (at (px, n, block, token));
  uvec4 key;
  [[unroll]] for (int l = 0; l < 4; l++)
    key[l] = 4 * block + l < classes ? key_of (v[l]) : 0u;
  return key;
}

/* The index of the first of them. */
uint
index_of (int i)
{
  return uint (FLAT ? i / blocks * classes + i % blocks * 4 : 4 * i);
}

shared uint partial[256]; /* of subgroups, or without SUMS of invocations */

uint
shared_add (uint v)
{
  uint me = gl_LocalInvocationIndex;
  barrier ();
  partial[me] = v;
  for (uint n = gl_WorkGroupSize.x, rest; n > 1u; n = rest) {
    rest = (n + 1u) / 2u;
    barrier ();
    if (me + rest < n)
      partial[me] += partial[me + rest];
  }
  barrier ();
  return partial[0];
}

uint
shared_before (uint v, out uint all)
{
  barrier ();
  partial[gl_LocalInvocationIndex] = v;
  barrier ();
  uint before = 0u;
  all = 0u;
  for (uint i = 0u; i < gl_WorkGroupSize.x; i++) {
    before += i < gl_LocalInvocationIndex ? partial[i] : 0u;
    all += partial[i];
  }
  return before;
}

/* The sum over the workgroup, in every invocation. */
uint
workgroup_add (uint v)
{
  if (!SUMS)
    return shared_add (v);
  uint sum = subgroupAdd (v);
  if (SOLO)
    return sum;
  barrier ();
  if (subgroupElect ())
    partial[gl_SubgroupID] = sum;
  barrier ();
  uint all = 0u;
  for (uint s = 0u; s < gl_NumSubgroups; s++)
    all += partial[s];
  return all;
}

/* The sum over lower invocations (subgroup by subgroup), and over all in @all. */
uint
workgroup_before (uint v, out uint all)
{
  if (!SUMS)
    return shared_before (v, all);
  uint before = subgroupExclusiveAdd (v);
  if (SOLO) {
    all = subgroupAdd (v);
    return before;
  }
  uint sum = subgroupAdd (v);
  barrier ();
  if (subgroupElect ())
    partial[gl_SubgroupID] = sum;
  barrier ();
  all = 0u;
  for (uint s = 0u; s < gl_NumSubgroups; s++) {
    if (s < gl_SubgroupID)
      before += partial[s];
    all += partial[s];
  }
  return before;
}

void
main ()
{
  int n = int (gl_WorkGroupID.z);
  int local = int (gl_WorkGroupSize.x);
  int me = !SUMS  ? int (gl_LocalInvocationIndex)
           : SOLO ? int (gl_SubgroupInvocationID)
                  : int (gl_SubgroupID * gl_SubgroupSize + gl_SubgroupInvocationID);

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
      uint here = workgroup_add (digits[d]);
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
    uint all_above, all_equal;
    uint a = above + workgroup_before (is_above.x + is_above.y + is_above.z + is_above.w, all_above);
    uint e = ties + workgroup_before (is_equal.x + is_equal.y + is_equal.z + is_equal.w, all_equal);
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
    above += all_above;
    ties += all_equal;
  }
}
