/* SPDX-License-Identifier: LGPL-2.1-or-later */
#version 450
/*
 * preprocess_horizontal: any pixel format to 8-bit RGB, and the rows of the resize.
 *
 *   frame  planes of the frame's region, as words
 *   table  [width] (first quad, 0, 0, 0), [groups] weights of a quad
 *   scratch [rows][width] words: bytes r, g, b, 0
 *
 *   scratch[row][x] = (sum over pixels of RGB (pixel) * weight + half) >> 22, as Pillow rounds it
 *
 * Invocations lie along x; each makes two rows, which share the weights and, where the format shares them, U and V: a
 * pixel of each, or with AS_IS, where no row is resized and all are whole quads, a quad.
 */
#extension GL_GOOGLE_include_directive : require
#include "io.glsl"
#include "frame.glsl"

layout (constant_id = 10) const bool AS_IS = false;

READ_WORDS4 (1, table)
WRITE_RAW (2, scratch)

layout (push_constant) uniform Push {
  int width, rows, groups;
  int first_row; /* of the region, in the staged planes: 0, or 1 where it begins inside a chroma row */
  int offset0, offset1, offset2;
  int stride0, stride1, stride2;
  Colour colour;
};

int
weigh (ivec4 w, ivec4 p)
{
  w *= p;
  return w.x + w.y + w.z + w.w;
}

void
store (int x, int row, ivec3 sum)
{
  uvec3 rgb = uvec3 (min (sum >> 22, ivec3 (255)));
  if (row >= 0 && row < rows)
    scratch[row * width + x] = rgb.r | rgb.g << 8 | rgb.b << 16;
}

void
store_quad (int q, int row, Quad p)
{
  if (row >= 0 && row < rows)
    scratch4[row * (width >> 2) + q] = uvec4 (p.r) | uvec4 (p.g) << 8 | uvec4 (p.b) << 16;
}

/* Quad @q of @row and of the row beneath, @next where there is one. */
void
load_rows (ivec3 offset, ivec3 stride, int q, int row, int next, out Quad even, out Quad odd)
{
  Quad chroma;
  if (YUV)
    chroma = load_chroma (offset, stride, colour, q, row);
  even = load_quad (offset, stride, colour, q, row, chroma);
  if (YUV && CHROMA_Y == 0)
    chroma = load_chroma (offset, stride, colour, q, next);
  odd = load_quad (offset, stride, colour, q, next, chroma);
}

void
main ()
{
  int x = int (gl_GlobalInvocationID.x), row = 2 * int (gl_WorkGroupID.y);
  if (x >= (AS_IS ? width >> 2 : width))
    return;
  ivec3 offset = ivec3 (offset0, offset1, offset2), stride = ivec3 (stride0, stride1, stride2);
  int next = min (row + 1, first_row + rows - 1); /* no row beyond the last is read */
  Quad p, beneath;
  if (AS_IS) {
    load_rows (offset, stride, x, row, next, p, beneath);
    store_quad (x, row - first_row, p);
    store_quad (x, row - first_row + 1, beneath);
    return;
  }
  int entry = x * (groups + 1);
  int q = table (entry).x;
  ivec3 even = ivec3 (1 << 21), odd = even;
  int g = 0;
  do { /* never empty; asks at its end for the reason in conv.comp */
    ivec4 w = table (entry + 1 + g);
    load_rows (offset, stride, q, row, next, p, beneath);
    even += ivec3 (weigh (w, p.r), weigh (w, p.g), weigh (w, p.b));
    odd += ivec3 (weigh (w, beneath.r), weigh (w, beneath.g), weigh (w, beneath.b));
    q++;
  } while (++g < groups);
  store (x, row - first_row, even);
  store (x, row - first_row + 1, odd);
}
