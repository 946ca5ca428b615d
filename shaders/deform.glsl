/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * deform.glsl - where a point of deformable attention samples, for its gradients (deform_attn.comp says how).
 *
 *   pixel[k]  of the four corners, row by row: the token in its level, or -1 outside of it
 *   share[k]  of the sum; slope[k]: d share / d location
 */
struct Corners {
  int pixel[4];
  float share[4];
  vec2 slope[4];
};

Corners
find_corners (vec2 location, ivec2 wh, bool discrete)
{
  Corners r;
  if (discrete) { /* a whole pixel; x is clamped by the height, too, as in the original */
    ivec2 p = ivec2 (clamp (location * vec2 (wh) + 0.5, vec2 (-1.0), vec2 (wh) + 1.0));
    p = clamp (p, ivec2 (0), ivec2 (min (wh.x, wh.y) - 1, wh.y - 1));
    [[unroll]] for (int k = 0; k < 4; k++) {
      r.pixel[k] = k == 0 ? p.y * wh.x + p.x : -1;
      r.share[k] = k == 0 ? 1.0 : 0.0;
      r.slope[k] = vec2 (0.0);
    }
    return r;
  }
  vec2 p = location * vec2 (wh) - 0.5;
  p = clamp (p, vec2 (-2.0), vec2 (wh) + 1.0); /* far outside, the conversion to int would be undefined */
  vec2 corner = floor (p);
  vec2 f = p - corner;
  ivec2 c = ivec2 (corner);
  [[unroll]] for (int k = 0; k < 4; k++) {
    ivec2 q = c + ivec2 (k & 1, k >> 1);
    vec2 weight = mix (1.0 - f, f, vec2 (k & 1, k >> 1));
    bool inside = is_inside (q.x, q.y, wh.x, wh.y);
    r.pixel[k] = inside ? q.y * wh.x + q.x : -1;
    r.share[k] = weight.x * weight.y;
    r.slope[k] = vec2 ((k & 1) != 0 ? weight.y : -weight.y, (k >> 1) != 0 ? weight.x : -weight.x) * vec2 (wh);
  }
  return r;
}
