/* SPDX-License-Identifier: LGPL-2.1-or-later */
#version 450
/*
 * upsample2x: nearest neighbour, optionally added to another map.
 *
 *   a [n][blocks][h*w] vec4    b, y [n][blocks][2h*2w] vec4    y[Y][X] = a[Y/2][X/2] + (add ? b[Y][X] : 0)
 */
#extension GL_GOOGLE_include_directive : require
#include "io.glsl"

READ (0, a)
READ (1, b)
WRITE (2, y)

layout (push_constant) uniform Push {
  Place pa, pb, py;
  int w, positions; /* of a; of y */
  int add;
};

void
main ()
{
  int block = int (gl_WorkGroupID.y), n = int (gl_WorkGroupID.z);
  int p = int (gl_GlobalInvocationID.x);
  if (p >= positions)
    return;
  int Y = p / (2 * w), X = p - Y * 2 * w;
  vec4 v = a (at (pa, n, block, Y / 2 * w + X / 2));
  if (add != 0)
    v += b (at (pb, n, block, p));
  y (at (py, n, block, p), v);
}
