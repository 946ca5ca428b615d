/* SPDX-License-Identifier: LGPL-2.1-or-later */
#version 450
/*
 * deform_attn_grad_points: the gradients of deformable attention's offsets and weights.
 *
 *   g (dy) [n][d/4][q]    v, o, w, b: values, offsets, weights and references, as in deform_attn.comp
 *   a (doffsets) [n][heads*POINTS*2/4][q] vec4, c (dweights) [n][heads*POINTS/4][q] vec4, written number by number
 *
 *   u = dy . sample      dweights = p * (u - sum p * u)      doffsets = p * dy . slope * point_scale * b.zw / 2
 *
 * A lane owns one query of one head.
 */
#extension GL_GOOGLE_include_directive : require
#include "io.glsl"
#include "inside.glsl"
#include "deform.glsl"

layout (constant_id = 4) const int POINTS = 12; /* of a head, all levels */
layout (constant_id = 5) const bool DISCRETE = false;

READ (0, g)
READ (1, v)
READ (2, o)
READ (3, w)
READ (4, b)
WRITE_RAW (5, a)
WRITE_RAW (6, c)

layout (push_constant) uniform Push {
  Place pg, pv, po, pw, pb;
  int queries, width; /* width: channels of a head */
  int size[4];        /* w | h << 16 of each level */
  int points;         /* points of each level, 8 bits each */
  float point_scale[4];
  Place pa, pc;
};

/* The number of channel @channel in the buffer. */
int
number (Place place, int n, int channel, int query)
{
  return at (place, n, channel >> 2, query) * 4 + (channel & 3);
}

void
main ()
{
  int head = int (gl_WorkGroupID.y), n = int (gl_WorkGroupID.z);
  int query = int (gl_GlobalInvocationID.x), heads = int (gl_NumWorkGroups.y);
  if (query >= queries)
    return;
  float p[POINTS], u[POINTS];
  float top = -3.402823466e38, sum = 0.0;
  [[unroll]] for (int i = 0; i < POINTS; i++) {
    int channel = head * POINTS + i;
    p[i] = w (at (pw, n, channel >> 2, query))[channel & 3];
    top = max (top, p[i]);
  }
  [[unroll]] for (int i = 0; i < POINTS; i++) {
    p[i] = exp (p[i] - top);
    sum += p[i];
  }
  vec4 box = b (at (pb, n, 0, query));
  float mean = 0.0;
  int level = 0, last = points & 255, token = 0;
  int begin = head * width, end = begin + width; /* channels of the head; the outer blocks may hold others, too */
  [[unroll]] for (int i = 0; i < POINTS; i++) {
    if (i == last) { /* the same for all lanes */
      token += (size[level] & 0xffff) * (size[level] >> 16);
      level++;
      last += points >> (8 * level) & 255;
    }
    ivec2 wh = ivec2 (size[level] & 0xffff, size[level] >> 16);
    int channel = 2 * (head * POINTS + i); /* x and y stand in one vec4 */
    vec4 pair = o (at (po, n, channel >> 2, query));
    vec2 offset = (channel & 2) != 0 ? pair.zw : pair.xy;
    vec2 reach = point_scale[level] * box.zw * 0.5;
    Corners corners = find_corners (box.xy + offset * reach, wh, DISCRETE);
    vec4 dots = vec4 (0.0); /* of the corners */
    for (int block = begin >> 2; block < (end + 3) >> 2; block++) {
      ivec4 k = ivec4 (4 * block) + ivec4 (0, 1, 2, 3);
      vec4 mine = vec4 (greaterThanEqual (k, ivec4 (begin))) * vec4 (lessThan (k, ivec4 (end)));
      vec4 dy = g (at (pg, n, block, query)) * mine;
      [[unroll]] for (int q = 0; q < (DISCRETE ? 1 : 4); q++)
        dots[q] += corners.pixel[q] >= 0 ? dot (dy, v (at (pv, n, block, token + max (corners.pixel[q], 0)))) : 0.0;
    }
    p[i] /= sum;
    u[i] = 0.0;
    vec2 slope = vec2 (0.0);
    [[unroll]] for (int q = 0; q < 4; q++) {
      u[i] += dots[q] * corners.share[q];
      slope += dots[q] * corners.slope[q];
    }
    mean += p[i] * u[i];
    slope *= p[i] * reach;
    a[number (pa, n, channel, query)] = floatBitsToUint (slope.x);
    a[number (pa, n, channel + 1, query)] = floatBitsToUint (slope.y);
  }
  [[unroll]] for (int i = 0; i < POINTS; i++)
    c[number (pc, n, head * POINTS + i, query)] = floatBitsToUint (p[i] * (u[i] - mean));
  if (head == heads - 1) { /* padding lanes hold finite values */
    for (int k = heads * POINTS * 2; (k & 3) != 0; k++)
      a[number (pa, n, k, query)] = 0;
    for (int k = heads * POINTS; (k & 3) != 0; k++)
      c[number (pc, n, k, query)] = 0;
  }
}
