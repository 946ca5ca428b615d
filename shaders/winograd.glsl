/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * winograd.glsl - the transforms of F(4x4, 3x3) along one dimension (Lavin, Gray: Fast Algorithms for Convolutional
 * Neural Networks, 2015, section 4.2), by the points 0, a, -a, b, -b and infinity:
 *
 *            a2b2  0     -a2-b2  0       1  0                     1  1  1   1  1   0
 *            0    -ab2   -b2     a       1  0                     0  a -a   b -b   0
 *   to B^T = 0     ab2   -b2    -a       1  0        from A^T =   0  a2 a2  b2 b2  0
 *            0    -ba2   -a2     b       1  0                     0  a3 -a3 b3 -b3 1
 *            0     ba2   -a2    -b       1  0
 *            0     a2b2   0     -a2-b2   0  1
 *
 * With a = 1, b = 2 they are the paper's. Here a2 = 1/2 and b2 = 2, whose powers are nearer to each other: half the error
 * (docs/precision.md), and a2b2 = 1. The filters' side (G g G^T) is engine/ops/conv2d-winograd.c's.
 *
 * A tile is 4x4 outputs; its inputs are 6x6, each tile's two to the right and below also the next one's.
 */
#define WINOGRAD_A 0.70710678118654752
#define WINOGRAD_B 1.41421356237309505

void
winograd_to (inout vec4 d[6])
{
  vec4 a = d[4] - 2.0 * d[2], b = WINOGRAD_A * (d[3] - 2.0 * d[1]);
  vec4 c = d[4] - 0.5 * d[2], e = WINOGRAD_B * (d[3] - 0.5 * d[1]);
  d[0] = d[0] - 2.5 * d[2] + d[4];
  d[5] = d[1] - 2.5 * d[3] + d[5];
  d[1] = a + b;
  d[2] = a - b;
  d[3] = c + e;
  d[4] = c - e;
}

/* The four results are m[0 .. 3]. */
void
winograd_from (inout vec4 m[6])
{
  vec4 s = m[1] + m[2], d = WINOGRAD_A * (m[1] - m[2]), t = m[3] + m[4], e = WINOGRAD_B * (m[3] - m[4]);
  m[0] = m[0] + s + t;
  m[1] = d + e;
  m[2] = 0.5 * s + 2.0 * t;
  m[3] = 0.5 * d + 2.0 * e + m[5];
}
