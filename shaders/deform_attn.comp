/* SPDX-License-Identifier: LGPL-2.1-or-later */
#version 450
/*
 * deform_attn: multi-scale deformable attention's sampling, from raw offsets and weights to the summed values.
 *
 *   v [n][d/4][tokens] vec4, levels one after the other    o [n][heads*POINTS*2/4][q]: [head][point][x, y]
 *   w [n][heads*POINTS/4][q]: before the softmax           b [n][1][q]: cx, cy, w, h
 *   y [n][d/4][q]
 *
 *   location = b.xy + offset * point_scale[level] * b.zw * 0.5
 *   bilinear: at pixel location * (W, H) - 0.5, each corner outside the map counts 0
 *   discrete: pixel trunc (location * (W, H) + 0.5), clamped as the original does (x by the height, too)
 *
 * A lane owns one query and one block of four channels, which lie in one head, or in two where the head's width is no
 * multiple of four. Locations and softmax are always fp32.
 */
#extension GL_GOOGLE_include_directive : require
#include "io.glsl"
#include "inside.glsl"

layout (constant_id = 4) const int POINTS = 12; /* of a head, all levels */
layout (constant_id = 5) const int LEVELS = 3;
layout (constant_id = 6) const bool DISCRETE = false;
layout (constant_id = 7) const bool STRADDLE = false; /* head width is no multiple of 4 */

READ (0, v)
READ (1, o)
READ (2, w)
READ (3, b)
WRITE (4, y)

layout (push_constant) uniform Push {
  Place pv, po, pw, pb, py;
  int queries, width, channels; /* width: channels of a head */
  int size[4];                  /* w | h << 16 of each level */
  int points;                   /* points of each level, 8 bits each */
  float point_scale[4];
};

vec4
sample_bilinear (int n, int block, int token, ivec2 wh, vec2 location)
{
  vec2 p = location * vec2 (wh) - 0.5;
  /* far outside, the conversion to int would be undefined */
  p = clamp (p, vec2 (-2.0), vec2 (wh) + 1.0);
  vec2 corner = floor (p);
  vec2 f = p - corner;
  ivec2 c = ivec2 (corner);
  vec4 sum = vec4 (0.0);
  [[unroll]] for (int k = 0; k < 4; k++) {
    ivec2 at_pixel = c + ivec2 (k & 1, k >> 1);
    vec2 weight = mix (1.0 - f, f, vec2 (k & 1, k >> 1));
    bool inside = is_inside (at_pixel.x, at_pixel.y, wh.x, wh.y);
    ivec2 safe = clamp (at_pixel, ivec2 (0), wh - 1);
    vec4 value = v (at (pv, n, block, token + safe.y * wh.x + safe.x));
    sum += inside ? value * (weight.x * weight.y) : vec4 (0.0);
  }
  return sum;
}

vec4
sample_discrete (int n, int block, int token, ivec2 wh, vec2 location)
{
  ivec2 p = ivec2 (clamp (location * vec2 (wh) + 0.5, vec2 (-1.0), vec2 (wh) + 1.0));
  p = clamp (p, ivec2 (0), ivec2 (min (wh.x, wh.y) - 1, wh.y - 1));
  return v (at (pv, n, block, token + p.y * wh.x + p.x));
}

vec4
attend (int n, int block, int query, int head)
{
  float a[POINTS];
  float top = -3.402823466e38, sum = 0.0;
  [[unroll]] for (int p = 0; p < POINTS; p++) {
    int c = head * POINTS + p;
    a[p] = w (at (pw, n, c >> 2, query))[c & 3];
    top = max (top, a[p]);
  }
  [[unroll]] for (int p = 0; p < POINTS; p++) {
    a[p] = exp (a[p] - top);
    sum += a[p];
  }
  vec4 box = b (at (pb, n, 0, query));
  vec4 acc = vec4 (0.0);
  int level = 0, last = points & 255, token = 0;
  [[unroll]] for (int p = 0; p < POINTS; p++) {
    if (p == last) { /* the same for all lanes */
      token += (size[level] & 0xffff) * (size[level] >> 16);
      level++;
      last += points >> (8 * level) & 255;
    }
    ivec2 wh = ivec2 (size[level] & 0xffff, size[level] >> 16);
    int c = 2 * (head * POINTS + p); /* x and y stand in one vec4 */
    vec4 pair = o (at (po, n, c >> 2, query));
    vec2 offset = (c & 2) != 0 ? pair.zw : pair.xy;
    vec2 location = box.xy + offset * point_scale[level] * box.zw * 0.5;
    vec4 value = DISCRETE ? sample_discrete (n, block, token, wh, location)
                          : sample_bilinear (n, block, token, wh, location);
    acc += value * (a[p] / sum);
  }
  return acc;
}

void
main ()
{
  int block = int (gl_WorkGroupID.y), n = int (gl_WorkGroupID.z);
  int query = int (gl_GlobalInvocationID.x);
  if (query >= queries)
    return;
  int head = 4 * block / width;
  vec4 result = attend (n, block, query, head);
  if (STRADDLE) {
    int other = min (4 * block + 3, channels - 1) / width;
    if (other != head) {
      vec4 second = attend (n, block, query, other);
      bvec4 in_second = greaterThanEqual (ivec4 (4 * block) + ivec4 (0, 1, 2, 3), ivec4 (other * width));
      result = mix (result, second, in_second);
    }
  }
  y (at (py, n, block, query), result);
}
