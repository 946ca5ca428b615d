/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * frame.glsl - four neighbouring pixels of a video frame at a time, as 8-bit RGB. The frame is binding 0.
 *
 * A "quad" is pixels 4q .. 4q+3 of a row. Planes start at, and rows are apart by, whole 32-bit words, so that a quad is
 * one to four words of a plane, whatever the format. What a quad holds beyond the row's end is arbitrary; callers give
 * it the weight zero. All arithmetic is in integers and equals engine/image/colour.c to the bit.
 */
#include "words.glsl"

READ_WORDS (0, frame)

/* DeimPixelLayout of engine/image/format.h */
const int GRAY = 0, RGB24 = 1, RGB32 = 2, PLANAR = 3, SEMIPLANAR = 4, PACKED422 = 5, PLANAR16 = 6, SEMIPLANAR16 = 7;

layout (constant_id = 4) const int LAYOUT = 0;
layout (constant_id = 5) const int AT0 = 0; /* place of R, or Y, among the samples of a group of its plane; */
layout (constant_id = 6) const int AT1 = 1; /* of G, or U; */
layout (constant_id = 7) const int AT2 = 2; /* of B, or V */
layout (constant_id = 8) const int CHROMA_X = 0; /* 1: two columns share U and V; */
layout (constant_id = 9) const int CHROMA_Y = 0; /* 1: two rows do */

/* Y'CbCr as engine/image/colour.h has it. */
struct Colour {
  int y0, c0, y, rv, gu, gv, bu;
};
const int COLOUR_BITS = 18;
const bool YUV = LAYOUT >= PLANAR;

struct Quad {
  ivec4 r, g, b;
};

/* Two 10-bit samples of a word; @high: in the upper ten of sixteen bits. */
ivec2
tens (uint w, bool high)
{
  return high ? ivec2 (w >> 6 & 1023u, w >> 22) : ivec2 (w & 1023u, w >> 16 & 1023u);
}

ivec4
level (ivec4 sum)
{
  return clamp (sum >> COLOUR_BITS, 0, 255);
}

/* What chroma adds to red, green and blue of a quad's pixels, before the shift. */
Quad
load_chroma (ivec3 offset, ivec3 stride, Colour k, int q, int row)
{
  int crow = row >> CHROMA_Y;
  int ubase = offset.y + crow * stride.y, vbase = offset.z + crow * stride.z;
  if (CHROMA_X == 0) {
    ivec4 u = bytes (frame (ubase + q)) - k.c0, v = bytes (frame (vbase + q)) - k.c0;
    return Quad (k.rv * v, k.gu * u + k.gv * v, k.bu * u);
  }
  ivec4 c; /* u0, u1, v0, v1 */
  if (LAYOUT == PACKED422) {
    uvec4 w = uvec4 (frame (ubase + 2 * q), frame (ubase + 2 * q + 1), 0, 0);
    c = ivec4 (byte_of (w, AT1).xy, byte_of (w, AT2).xy);
  } else if (LAYOUT == SEMIPLANAR) {
    c = bytes (frame (ubase + q));
    c = AT1 == 0 ? c.xzyw : c.ywxz;
  } else if (LAYOUT == SEMIPLANAR16) {
    c = ivec4 (tens (frame (ubase + 2 * q), true), tens (frame (ubase + 2 * q + 1), true));
    c = AT1 == 0 ? c.xzyw : c.ywxz;
  } else if (LAYOUT == PLANAR16) {
    c = ivec4 (tens (frame (ubase + q), false), tens (frame (vbase + q), false));
  } else {
    uint half_word = 16u * uint (q & 1);
    uint u = frame (ubase + (q >> 1)) >> half_word, v = frame (vbase + (q >> 1)) >> half_word;
    c = ivec4 (u & 255u, u >> 8 & 255u, v & 255u, v >> 8 & 255u);
  }
  c -= k.c0;
  ivec2 r = k.rv * c.zw, g = k.gu * c.xy + k.gv * c.zw, b = k.bu * c.xy;
  return Quad (r.xxyy, g.xxyy, b.xxyy);
}

/* @offset, @stride: words of each plane, in the order R G B or Y U V. @chroma: load_chroma() of the same quad and row,
 * or of another row that shares it; not looked at for RGB and gray. */
Quad
load_quad (ivec3 offset, ivec3 stride, Colour k, int q, int row, Quad chroma)
{
  Quad p;
  int base = offset.x + row * stride.x;
  if (LAYOUT == GRAY) {
    p.r = p.g = p.b = bytes (frame (base + q));
    return p;
  }
  if (LAYOUT == RGB32) {
    int i = base + 4 * q;
    uvec4 w = uvec4 (frame (i), frame (i + 1), frame (i + 2), frame (i + 3));
    return Quad (byte_of (w, AT0), byte_of (w, AT1), byte_of (w, AT2));
  }
  if (LAYOUT == RGB24) {
    int i = base + 3 * q;
    ivec4 a = bytes (frame (i)), b = bytes (frame (i + 1)), c = bytes (frame (i + 2));
    ivec4 first = ivec4 (a.x, a.w, b.z, c.y), last = ivec4 (a.z, b.y, c.x, c.w);
    p.r = AT0 == 0 ? first : last;
    p.g = ivec4 (a.y, b.x, b.w, c.z);
    p.b = AT0 == 0 ? last : first;
    return p;
  }

  ivec4 y;
  if (LAYOUT == PLANAR16 || LAYOUT == SEMIPLANAR16) {
    bool high = LAYOUT == SEMIPLANAR16;
    y = ivec4 (tens (frame (base + 2 * q), high), tens (frame (base + 2 * q + 1), high));
  } else if (LAYOUT == PACKED422) {
    ivec4 a = bytes (frame (base + 2 * q)), b = bytes (frame (base + 2 * q + 1));
    y = AT0 == 0 ? ivec4 (a.xz, b.xz) : ivec4 (a.yw, b.yw);
  } else {
    y = bytes (frame (base + q));
  }
  y = (y - k.y0) * k.y + (1 << (COLOUR_BITS - 1));
  return Quad (level (y + chroma.r), level (y + chroma.g), level (y + chroma.b));
}
