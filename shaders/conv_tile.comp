/* SPDX-License-Identifier: LGPL-2.1-or-later */
#version 450
/*
 * conv_tile: dense convolution and linear layers on GPUs, as an implicit matrix product of tiles in shared memory.
 *
 *   x [n][ci4][ih*iw] vec4      w panels [co / (4*CO4)][ CO4 vec4 of bias | steps x 4 (input lane) x CO4 vec4 ]
 *   r [n][co4][oh*ow] vec4      y [n][co4][oh*ow] vec4, or with SLICES > 1 partial sums [n][SLICES][co4][oh*ow] vec4
 *
 *   y[co][p] = epilogue (bias[co] + sum over tap, ci of w[tap][ci][co] * x[ci][p * stride + tap - pad])
 *
 * With ADDEND (and POINTWISE), the blocks of y before `adding`, whole panels, are made of x + s.
 *
 * A step is one input block of one tap. A workgroup owns a panel, 4*CO4 output channels, at TILE positions, and brings
 * STEPS steps at a time to shared memory:
 *
 *            STEPS x TILE vec4 of x  |                       an invocation's share of the tile: OWN_CO blocks of
 *   STEPS x 4 x CO4 vec4 of w  ------+- CO4 x TILE vec4      channels, side by side, at OWN_PX positions, TILE / OWN_PX
 *                                                            apart, so that neighbours read and write neighbours
 *
 * What the next turn needs is on its way from memory while this one is multiplied: most layers of a detector are so
 * small that a core has one workgroup or two, and nothing else to do meanwhile. An invocation fetches one position of
 * every (invocations / TILE)-th step, which must be a whole number that divides STEPS.
 *
 * Where maps are small and sums are long, SLICES workgroups share a sum, each a run of `slice_steps` steps;
 * conv_sum.comp adds their parts in order, so that results do not depend on timing.
 */
#extension GL_GOOGLE_include_directive : require
#include "io.glsl"
#include "epilogue.glsl"

layout (constant_id = 4) const int CO4 = 16;
layout (constant_id = 5) const int TILE = 64;
layout (constant_id = 6) const bool POINTWISE = false; /* 1x1, stride 1, no padding: positions map to themselves */
layout (constant_id = 7) const int ACT = ACT_NONE;
layout (constant_id = 8) const bool ADDEND = false;
layout (constant_id = 9) const int SLICES = 1;
layout (constant_id = 10) const int OWN_CO = 2;
layout (constant_id = 11) const int OWN_PX = 4;

#define STEPS 4
#define STEP_VEC4 (4 * CO4) /* weights of a step */

READ (0, x)
READ (1, w)
READ (2, r)
WRITE (3, y)
READ (4, s)

layout (push_constant) uniform Push {
  Place px, py, pr;
  int iw, ih, ow, positions; /* positions = oh * ow */
  int ci4, co4, kernel, stride, pad_top, pad_left;
  int residual;
  float lo, hi, scale, shift;
  int slice_steps;
  Place ps;
  int adding;
};

#include "conv_walk.glsl"

const int X_LOADS = STEPS / STEP_STRIDE, W_LOADS = (STEPS * STEP_VEC4 + LOCAL - 1) / LOCAL;

shared vec4 xs[STEPS * TILE];
shared vec4 ws[STEPS * STEP_VEC4];

/* What an invocation brings for a turn, and which of it is there: bit j of `x_there` for xv[j]. What is not there
 * becomes zero where it is used, after the turn's products, and not here, where that would wait for the loads. */
vec4 xv[X_LOADS], sv[ADDEND ? X_LOADS : 1], wv[W_LOADS];
uint x_there, w_there;

void
fetch (int n, int turn, int end, bool there, int weights)
{
  int me = int (gl_LocalInvocationIndex);
  x_there = w_there = 0u;
  [[unroll]] for (int j = 0; j < X_LOADS; j++) {
    int step = turn + me / TILE + j * STEP_STRIDE, block, i = find_operand (step, block);
    bool inside = there && step < end && i >= 0;
    xv[j] = x (inside ? at (px, n, block, i) : px.first);
    if (ADDEND)
      sv[j] = s (inside ? at (ps, n, block, i) : ps.first);
    x_there |= uint (inside) << j;
  }
  [[unroll]] for (int j = 0; j < W_LOADS; j++) {
    int i = me + j * LOCAL;
    bool inside = turn + i / STEP_VEC4 < end;
    wv[j] = w (inside ? weights + turn * STEP_VEC4 + i : 0);
    w_there |= uint (inside) << j;
  }
}

void
main ()
{
  const int lanes = TILE / OWN_PX; /* invocations side by side along positions */
  int me = int (gl_LocalInvocationIndex);
  int co = me / lanes * OWN_CO, px0 = me % lanes;
  int panel = int (gl_WorkGroupID.x), base = int (gl_WorkGroupID.y) * TILE;
  int n = int (gl_WorkGroupID.z) / SLICES, slice = int (gl_WorkGroupID.z) % SLICES;
  int steps = kernel * kernel * ci4;
  int first = slice * slice_steps, end = min (first + slice_steps, steps);
  int weights = panel * (CO4 + ((steps + 1) & ~1) * STEP_VEC4);

  vec4 acc[OWN_CO * OWN_PX];
  [[unroll]] for (int c = 0; c < OWN_CO; c++) {
    vec4 bias = slice == 0 ? w (weights + co + c) : vec4 (0.0);
    [[unroll]] for (int j = 0; j < OWN_PX; j++)
      acc[c * OWN_PX + j] = bias;
  }
  weights += CO4;

  bool there = base + me % TILE < positions, adds = panel * CO4 < adding;
  begin (base + me % TILE);
  fetch (n, first, end, there, weights);
  for (int turn = first; turn < end; turn += STEPS) {
    [[unroll]] for (int j = 0; j < X_LOADS; j++) {
      vec4 v = ADDEND && adds ? xv[j] + sv[j] : xv[j];
      xs[me + j * LOCAL] = (x_there >> j & 1u) != 0u ? v : vec4 (0.0);
    }
    [[unroll]] for (int j = 0; j < W_LOADS; j++)
      if (me + j * LOCAL < STEPS * STEP_VEC4)
        ws[me + j * LOCAL] = (w_there >> j & 1u) != 0u ? wv[j] : vec4 (0.0);
    barrier ();
    if (turn + STEPS < end)
      fetch (n, turn + STEPS, end, there, weights);
    [[unroll]] for (int i = 0; i < STEPS; i++) {
      vec4 own[OWN_PX];
      [[unroll]] for (int j = 0; j < OWN_PX; j++)
        own[j] = xs[i * TILE + px0 + j * lanes];
      [[unroll]] for (int l = 0; l < 4; l++)
        [[unroll]] for (int c = 0; c < OWN_CO; c++) {
          vec4 weight = ws[i * STEP_VEC4 + l * CO4 + co + c];
          [[unroll]] for (int j = 0; j < OWN_PX; j++)
            acc[c * OWN_PX + j] += weight * own[j][l];
        }
    }
    barrier (); /* before the next turn takes its place */
  }

  [[unroll]] for (int c = 0; c < OWN_CO; c++)
    [[unroll]] for (int j = 0; j < OWN_PX; j++) {
      int b = panel * CO4 + co + c, p = base + px0 + j * lanes;
      if (b >= co4 || p >= positions)
        continue;
      vec4 v = acc[c * OWN_PX + j];
      if (SLICES > 1)
        y (at (py, n * SLICES + slice, b, p), v);
      else
        y (at (py, n, b, p), EPILOGUE (v, residual, n, b, p));
    }
}
