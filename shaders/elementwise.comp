/* SPDX-License-Identifier: LGPL-2.1-or-later */
#version 450
/*
 * elementwise: y = act (a + b), act (a * b), act (a) or a * w.x + w.y per channel, then * scale + shift.
 *
 *   a, y [n][blocks][positions] vec4
 *   b    the same, or broadcast: a stride of 0 repeats it over batch, blocks (one channel) or positions
 *
 * Also the copy of a tensor to another place (MODE_UNARY without activation).
 */
#extension GL_GOOGLE_include_directive : require
#include "io.glsl"
#include "act.glsl"

#define MODE_UNARY 0
#define MODE_ADD 1
#define MODE_MUL 2
#define MODE_CHANNEL 3 /* b [blocks or 1][2] vec4: factor and summand of every channel; pb.block is 2 or 0 */
layout (constant_id = 4) const int MODE = MODE_UNARY;
layout (constant_id = 5) const int PER_LANE = 4; /* positions of an invocation */
layout (constant_id = 6) const int ACT = ACT_NONE;

READ (0, a)
READ (1, b)
WRITE (2, y)

layout (push_constant) uniform Push {
  Place pa, pb, py;
  int b_step;   /* 1, or 0 where b has one position */
  int b_splat;  /* 1 where b has one channel */
  int positions;
  float lo, hi, scale, shift;
};

void
main ()
{
  int block = int (gl_WorkGroupID.y), n = int (gl_WorkGroupID.z);
  int local = int (gl_WorkGroupSize.x);
  int first = int (gl_WorkGroupID.x) * local * PER_LANE + int (gl_LocalInvocationIndex);
  [[unroll]] for (int j = 0; j < PER_LANE; j++) {
    int p = first + j * local;
    if (p < positions) {
      vec4 v = a (at (pa, n, block, p));
      if (MODE == MODE_CHANNEL) {
        v = v * b (block * pb.block) + b (block * pb.block + 1);
      } else if (MODE != MODE_UNARY) {
        vec4 u = b (at (pb, n, block, p * b_step));
        if (b_splat != 0)
          u = u.xxxx;
        v = MODE == MODE_ADD ? v + u : v * u;
      }
      y (at (py, n, block, p), activate (v, ACT, lo, hi) * scale + shift);
    }
  }
}
