/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * winograd.glsl - the transforms of F(4x4, 3x3) (Lavin, Gray: Fast Algorithms for Convolutional Neural Networks, 2015,
 * section 4.2) along one dimension:
 *
 *            4  0 -5  0  1  0                   1  1  1  1  1  0
 *            0 -4 -4  1  1  0                   0  1 -1  2 -2  0
 *   to B^T = 0  4 -4 -1  1  0      from A^T =   0  1  1  4  4  0
 *            0 -2 -1  2  1  0                   0  1 -1  8 -8  1
 *            0  2 -1 -2  1  0
 *            0  4  0 -5  0  1
 *
 * A tile is 4x4 outputs; its inputs are 6x6. The filters' side (G g G^T) is engine/ops/winograd.c's.
 */
void
winograd_to (inout vec4 d[6])
{
  vec4 a = d[4] - 4.0 * d[2], b = d[3] - 4.0 * d[1];
  vec4 c = d[4] - d[2], e = 2.0 * (d[3] - d[1]);
  d[0] = 4.0 * d[0] - 5.0 * d[2] + d[4];
  d[5] = 4.0 * d[1] - 5.0 * d[3] + d[5];
  d[1] = a + b;
  d[2] = a - b;
  d[3] = c + e;
  d[4] = c - e;
}

/* The four results are m[0 .. 3]. */
void
winograd_from (inout vec4 m[6])
{
  vec4 s = m[1] + m[2], d = m[1] - m[2], t = m[3] + m[4], e = m[3] - m[4];
  m[0] = m[0] + s + t;
  m[1] = d + 2.0 * e;
  m[2] = s + 4.0 * t;
  m[3] = d + 8.0 * e + m[5];
}
