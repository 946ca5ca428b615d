/* SPDX-License-Identifier: LGPL-2.1-or-later */
#version 450
/*
 * place: a part added at its place to another tensor, or to zeros: the gradient of a slice.
 *
 *   a [n][blocks of the part][positions of the part] vec4    b, y [n][blocks][positions] vec4
 *
 *   y[block][p] = (sum ? b[block][p] : 0) + a[block - first_block][p - first], where that is inside of a
 */
#extension GL_GOOGLE_include_directive : require
#include "io.glsl"

READ (0, a)
READ (1, b)
WRITE (2, y)

layout (push_constant) uniform Push {
  Place pa, pb, py;
  int sum;
  int first_block, blocks; /* of the part */
  int first, part;         /* its first position, and how many */
  int positions;
};

void
main ()
{
  int block = int (gl_WorkGroupID.y), n = int (gl_WorkGroupID.z);
  int p = int (gl_GlobalInvocationID.x);
  if (p >= positions)
    return;
  vec4 v = sum != 0 ? b (at (pb, n, block, p)) : vec4 (0.0);
  int inner = block - first_block, q = p - first;
  if (inner >= 0 && inner < blocks && q >= 0 && q < part)
    v += a (at (pa, n, inner, q));
  y (at (py, n, block, p), v);
}
