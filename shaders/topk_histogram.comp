/* SPDX-License-Identifier: LGPL-2.1-or-later */
#version 450
/*
 * topk_histogram: topk_select.comp for GPUs: the k largest of many keys (topk.glsl), one workgroup per batch entry.
 *
 *   keys [n][count4] uvec4    candidates [n][k] uvec2 as two words: key, index
 *
 * With FLAT each score x [n][blocks][tokens] vec4 (classes in the lanes) has a key, made where it is read, and the
 * index token * classes + class; there are tokens * blocks = count4 vec4s, in the order of their indices.
 *
 * Four passes over the keys fix the k-th largest key eight bits at a time: a histogram of the next eight of those keys
 * that begin with what is known. Then every invocation takes a run of keys of its own, counts those above that key and
 * those equal to it, and writes all of the former and as many of the latter as still fit, lowest index first. Counts do
 * not depend on the order in which they are added up, and no subgroup operation is used.
 */
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_memory_scope_semantics : require
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

#define AHEAD 4 /* loads that are under way together */

const int LOCAL = int (gl_WorkGroupSize.x);
shared uint bins[256]; /* keys of each digit */
shared uint digit, taken; /* the digit of the k-th largest key, and how many keys have a larger one */
shared uvec2 counts[LOCAL]; /* keys above and equal, of an invocation and all before it */

/* Those of four keys that begin with @prefix, by their next eight bits. */
void
count (uvec4 key, int shift, uint prefix)
{
  [[unroll]] for (int l = 0; l < 4; l++)
    if (shift == 24 || key[l] >> (shift + 8) == prefix >> (shift + 8))
      atomicAdd (bins[key[l] >> shift & 255u], 1u, gl_ScopeWorkgroup, gl_StorageSemanticsNone, gl_SemanticsRelaxed);
}

void
write (int n, uint slot, uint key, uint index)
{
  candidates[2 * (n * k + int (slot))] = key;
  candidates[2 * (n * k + int (slot)) + 1] = index;
}

void
main ()
{
  int n = int (gl_WorkGroupID.z), me = int (gl_LocalInvocationIndex);

  /* `left` keys are still wanted among those that begin with `prefix` in the bits above `shift`. */
  uint prefix = 0u, left = uint (k);
  for (int shift = 24; shift >= 0; shift -= 8) {
    for (int d = me; d < 256; d += LOCAL)
      bins[d] = 0u;
    barrier ();
    for (int i = me; i < count4; i += AHEAD * LOCAL) {
      uvec4 key[AHEAD];
      [[unroll]] for (int j = 0; j < AHEAD; j++)
        key[j] = load (n, min (i + j * LOCAL, count4 - 1));
      [[unroll]] for (int j = 0; j < AHEAD; j++)
        if (i + j * LOCAL < count4)
          count (key[j], shift, prefix);
    }
    barrier ();
    for (int d = me; d < 256; d += LOCAL) {
      uint above = 0u;
      for (int other = 1; other < 256; other++) /* in step, so that all read the same one */
        above += other > d ? bins[other] : 0u;
      if (above < left && above + bins[d] >= left) { /* of one d alone */
        digit = uint (d);
        taken = above;
      }
    }
    barrier ();
    prefix |= digit << shift;
    left -= taken;
  }

  int per = (count4 + LOCAL - 1) / LOCAL, first = min (me * per, count4), end = min (first + per, count4);
  uvec2 mine = uvec2 (0u);
  for (int i = first; i < end; i += AHEAD) {
    uvec4 key[AHEAD];
    [[unroll]] for (int j = 0; j < AHEAD; j++)
      key[j] = load (n, min (i + j, count4 - 1));
    [[unroll]] for (int j = 0; j < AHEAD; j++)
      [[unroll]] for (int l = 0; l < 4; l++)
        if (i + j < end)
          mine += uvec2 (key[j][l] > prefix ? 1u : 0u, key[j][l] == prefix ? 1u : 0u);
  }
  counts[me] = mine;
  for (int step = 1; step < LOCAL; step *= 2) {
    barrier ();
    uvec2 before = me >= step ? counts[me - step] : uvec2 (0u);
    barrier ();
    counts[me] += before;
  }
  uvec2 next = counts[me] - mine; /* its own, so no barrier is needed */
  uint room = uint (k) - left;    /* how many are above the k-th key */
  for (int i = first; i < end; i++) {
    uvec4 key = load (n, i);
    [[unroll]] for (int l = 0; l < 4; l++) {
      if (key[l] > prefix)
        write (n, next.x++, key[l], index_of (i) + uint (l));
      else if (key[l] == prefix && next.y < left)
        write (n, room + next.y++, key[l], index_of (i) + uint (l));
    }
  }
}
