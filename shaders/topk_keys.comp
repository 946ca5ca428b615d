/* SPDX-License-Identifier: LGPL-2.1-or-later */
#version 450
/*
 * topk_keys: scores x [n][blocks][tokens] vec4 (classes in the lanes) -> key[token], of the best class (topk.glsl).
 *
 * The keys beyond the last, up to the multiple of four `stride`, are written as 0.
 */
#extension GL_GOOGLE_include_directive : require
#include "io.glsl"
#include "topk.glsl"

READ (0, x)
WRITE_RAW (1, keys)

layout (push_constant) uniform Push {
  Place px;
  int classes, blocks, tokens;
  int stride; /* tokens, padded */
};

void
main ()
{
  int n = int (gl_WorkGroupID.z);
  int token = int (gl_GlobalInvocationID.x);
  if (token == 0)
    for (int i = tokens; i < stride; i++)
      keys[n * stride + i] = 0u;
  if (token >= tokens)
    return;
  uint best = 0u;
  for (int b = 0; b < blocks; b++) {
    vec4 v = x (at (px, n, b, token));
    [[unroll]] for (int l = 0; l < 4; l++) {
      if (4 * b + l < classes)
        best = max (best, key_of (v[l]));
    }
  }
  keys[n * stride + token] = best;
}
