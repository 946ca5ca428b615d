/* SPDX-License-Identifier: LGPL-2.1-or-later */
#version 450
/*
 * deform_attn_grad_value: the gradient of the values that deformable attention samples.
 *
 *   g (dy) [n][d/4][q]    o, w, b: offsets, weights and references, as in deform_attn.comp
 *   y (dvalue) [n][d/4][tokens] vec4, zeros before
 *
 *   y[pixel] += p * share of the pixel * dy, for all queries and points, one after the other
 *
 * A lane owns four channels of one level of one picture: it alone adds to them, always in the same order.
 */
#extension GL_GOOGLE_include_directive : require
#include "io.glsl"
#include "inside.glsl"
#include "deform.glsl"

layout (constant_id = 4) const int POINTS = 12; /* of a head, all levels */
layout (constant_id = 5) const bool DISCRETE = false;
layout (constant_id = 6) const bool STRADDLE = false; /* head width is no multiple of 4: a block may lie in two heads */

READ (0, g)
READ (1, o)
READ (2, w)
READ (3, b)
UPDATE (4, y)

layout (push_constant) uniform Push {
  Place pg, po, pw, pb, py;
  int queries, width, channels; /* width: channels of a head */
  int size[4];                  /* w | h << 16 of each level */
  int points;                   /* points of each level, 8 bits each */
  float point_scale[4];
  int blocks;
};

int level, first_point, first_token;

/* Adds what query @query of @head gave to the lanes of @block where @mask is 1. */
void
add_query (int n, int block, int query, int head, vec4 mask)
{
  float top = -3.402823466e38, sum = 0.0;
  [[unroll]] for (int p = 0; p < POINTS; p++) {
    int c = head * POINTS + p;
    top = max (top, w (at (pw, n, c >> 2, query))[c & 3]);
  }
  [[unroll]] for (int p = 0; p < POINTS; p++) {
    int c = head * POINTS + p;
    sum += exp (w (at (pw, n, c >> 2, query))[c & 3] - top);
  }
  vec4 dy = g (at (pg, n, block, query)) * mask / sum;
  vec4 box = b (at (pb, n, 0, query));
  ivec2 wh = ivec2 (size[level] & 0xffff, size[level] >> 16);
  int count = points >> (8 * level) & 255;
  for (int i = 0; i < count; i++) {
    int p = head * POINTS + first_point + i;
    vec4 pair = o (at (po, n, p >> 1, query)); /* x and y stand in one vec4 */
    vec2 offset = (p & 1) != 0 ? pair.zw : pair.xy;
    vec2 location = box.xy + offset * point_scale[level] * box.zw * 0.5;
    vec4 part = dy * exp (w (at (pw, n, p >> 2, query))[p & 3] - top);
    Corners corners = find_corners (location, wh, DISCRETE);
    [[unroll]] for (int k = 0; k < (DISCRETE ? 1 : 4); k++)
      if (corners.pixel[k] >= 0)
        y[at (py, n, block, first_token + corners.pixel[k])] += part * corners.share[k];
  }
}

void
main ()
{
  int block = int (gl_GlobalInvocationID.x), n = int (gl_WorkGroupID.z);
  if (block >= blocks)
    return;
  level = int (gl_WorkGroupID.y);
  first_point = first_token = 0;
  for (int l = 0; l < level; l++) {
    first_point += points >> (8 * l) & 255;
    first_token += (size[l] & 0xffff) * (size[l] >> 16);
  }
  int head = 4 * block / width, other = min (4 * block + 3, channels - 1) / width;
  ivec4 channel = ivec4 (4 * block) + ivec4 (0, 1, 2, 3);
  vec4 mine = vec4 (lessThan (channel, ivec4 ((head + 1) * width)));
  for (int query = 0; query < queries; query++) {
    add_query (n, block, query, head, STRADDLE ? mine : vec4 (1.0));
    if (STRADDLE)
      if (other != head)
        add_query (n, block, query, other, vec4 (1.0) - mine);
  }
}
