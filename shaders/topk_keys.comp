/* SPDX-License-Identifier: LGPL-2.1-or-later */
#version 450
/*
 * topk_keys: scores x [n][blocks][tokens] vec4 (classes in the lanes) -> keys (topk.glsl).
 *
 *   FLAT      key[token * classes + cls]
 *   otherwise key[token], of the best class
 *
 * The keys beyond the last, up to the multiple of four `stride`, are written as 0.
 */
#extension GL_GOOGLE_include_directive : require
#include "io.glsl"
#include "topk.glsl"

layout (constant_id = 4) const bool FLAT = false;

READ (0, x)
WRITE_RAW (1, keys)

layout (push_constant) uniform Push {
  Place px;
  int classes, blocks, tokens;
  int count, stride; /* keys of a batch entry; the same, padded */
};

void
main ()
{
  int n = int (gl_WorkGroupID.z);
  int token = int (gl_GlobalInvocationID.x);
  if (token == 0)
    for (int i = count; i < stride; i++)
      keys[n * stride + i] = 0u;
  if (token >= tokens)
    return;
  uint best = 0u;
  for (int b = 0; b < blocks; b++) {
    vec4 v = x (at (px, n, b, token));
    [[unroll]] for (int l = 0; l < 4; l++) {
      int cls = 4 * b + l;
      if (cls < classes) {
        uint key = key_of (v[l]);
        if (FLAT)
          keys[n * stride + token * classes + cls] = key;
        best = max (best, key);
      }
    }
  }
  if (!FLAT)
    keys[n * stride + token] = best;
}
