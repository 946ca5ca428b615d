/* SPDX-License-Identifier: LGPL-2.1-or-later */
#version 450
/*
 * conv_coopmat: conv_tile.comp with cooperative matrices, for operands stored as fp16. Sums are fp32, but for x + s.
 *
 *   x, s [n][ci4][ih*iw] f16vec4
 *   w panels [co / (4*CO4)][ CO4 f16vec4 of bias | steps x 4 (input lane) x CO4 f16vec4 ]
 *   r, y [n][co4][oh*ow] vec4 in either precision, or with SLICES > 1 y partial sums [n][SLICES][co4][oh*ow] vec4
 *
 * A workgroup is ROWS by COLUMNS subgroups and owns a panel, 4*CO4 output channels, at TILE positions. Per turn:
 *
 *                                x  STEPS*4 x TILE, columns of input channels [position][channel]
 *   w  4*CO4 x STEPS*4           y  4*CO4 x TILE: each subgroup an equal part, OWN_M x OWN_N matrices of M x N
 *   rows [channel][output]
 *
 * M x N x K is the shape that the device multiplies. What the next turn needs is fetched before this one is multiplied.
 * An invocation fetches one position of every STRIDE-th step, and goes from one to the next by counting.
 *
 * y leaves through shared memory, a column of matrices at a time, since only there is it known which invocation holds
 * which number.
 *
 * Debian 12's glslang cannot compile this; shaders/spirv/ has what a newer one made of it, and
 * shaders/spirv/compile.sh makes it anew.
 */
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_shader_16bit_storage : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_shader_subgroup_basic : require
#include "io.glsl"
#include "epilogue.glsl"

layout (constant_id = 4) const int CO4 = 16;
layout (constant_id = 5) const int TILE = 64;
layout (constant_id = 6) const bool POINTWISE = false; /* 1x1, stride 1, no padding: positions map to themselves */
layout (constant_id = 7) const int ACT = ACT_NONE;
layout (constant_id = 8) const int SLICES = 1;
layout (constant_id = 9) const bool ADDEND = false; /* the blocks of y before `adding` are made of x + s */
layout (constant_id = 10) const int M = 16;
layout (constant_id = 11) const int N = 16;
layout (constant_id = 12) const int K = 16;
layout (constant_id = 13) const int ROWS = 2;
layout (constant_id = 14) const int STEPS = 16; /* blocks of input channels a turn */

layout (std430, set = 0, binding = 0) readonly buffer Input
{
  f16vec4 x[];
};
layout (std430, set = 0, binding = 1) readonly buffer Weights
{
  f16vec4 w[];
};
READ (2, r)
WRITE (3, y)
layout (std430, set = 0, binding = 4) readonly buffer Addend
{
  f16vec4 s[];
};

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

const int LOCAL = int (gl_WorkGroupSize.x); /* a multiple of TILE */
const int STRIDE = LOCAL / TILE;            /* divides STEPS */

/* The next step: its number, the block of the tap at ky, kx; and the corner of the position's window. */
int step_at, block_at, ky, kx, iy0, ix0;

void
begin (int step, int p)
{
  int oy = POINTWISE ? 0 : p / ow, tap = POINTWISE ? 0 : step / ci4;
  iy0 = oy * stride - pad_top;
  ix0 = POINTWISE ? p : (p - oy * ow) * stride - pad_left;
  step_at = step;
  block_at = step - tap * ci4;
  ky = POINTWISE ? 0 : tap / kernel;
  kx = tap - ky * kernel;
}

void
advance ()
{
  step_at += STRIDE;
  block_at += STRIDE;
  if (POINTWISE)
    return;
  while (block_at >= ci4) {
    block_at -= ci4;
    if (++kx == kernel) {
      kx = 0;
      ky++;
    }
  }
}

/* The position of the input that the step reads; -1 where that is outside of the map. */
int
walk_position ()
{
  int iy = iy0 + ky, ix = ix0 + kx;
  if (POINTWISE)
    return ix0;
  return iy >= 0 && iy < ih && ix >= 0 && ix < iw ? iy * iw + ix : -1;
}

const int COLUMNS = LOCAL / int (SUBGROUP) / ROWS;
const int OWN_M = 4 * CO4 / ROWS / M, OWN_N = TILE / COLUMNS / N;
const int DEPTH = 4 * STEPS;
const int X_LOADS = STEPS / STRIDE, W_LOADS = (DEPTH * CO4 + LOCAL - 1) / LOCAL;

/* Rows are longer than they are full, so that those of a matrix do not begin in the same bank. */
const int X_ROW = STEPS + 2, W_ROW = CO4 + 2, Y_ROW = CO4 + 1;
shared f16vec4 xs[TILE * X_ROW];
shared f16vec4 ws[DEPTH * W_ROW];
shared vec4 ys[COLUMNS * N * Y_ROW];

/* What an invocation brings for a turn. */
f16vec4 xv[X_LOADS], wv[W_LOADS];

/* Of what is not there the first number is loaded, so that loads are not done under a condition, but for those of s. */
void
fetch (int n, int turn, int end, bool there, bool adds, int weights)
{
  [[unroll]] for (int j = 0; j < X_LOADS; j++) {
    int i = walk_position ();
    bool inside = there && step_at < end && i >= 0;
    f16vec4 v = x[inside ? at (px, n, block_at, i) : 0];
    if (ADDEND)
      v += adds ? s[inside ? at (ps, n, block_at, i) : 0] : f16vec4 (0.0);
    xv[j] = inside ? v : f16vec4 (0.0);
    advance ();
  }
  int me = int (gl_LocalInvocationIndex);
  [[unroll]] for (int j = 0; j < W_LOADS; j++) {
    int i = me + j * LOCAL;
    bool inside = turn + i / (4 * CO4) < end;
    f16vec4 v = w[inside ? weights + turn * 4 * CO4 + i : 0];
    wv[j] = inside ? v : f16vec4 (0.0);
  }
}

void
main ()
{
  int me = int (gl_LocalInvocationIndex);
  int row = int (gl_SubgroupID) / COLUMNS, column = int (gl_SubgroupID) % COLUMNS; /* this subgroup's part */
  int panel = int (gl_WorkGroupID.x), base = int (gl_WorkGroupID.y) * TILE;
  int n = int (gl_WorkGroupID.z) / SLICES, slice = int (gl_WorkGroupID.z) % SLICES;
  int steps = kernel * kernel * ci4;
  int first = slice * slice_steps, end = min (first + slice_steps, steps);
  int bias = panel * (CO4 + ((steps + 1) & ~1) * 4 * CO4), weights = bias + CO4;
  int position = me % TILE, own_step = me / TILE;
  bool there = base + position < positions, adds = panel * CO4 < adding;

  coopmat<float, gl_ScopeSubgroup, M, N, gl_MatrixUseAccumulator> acc[OWN_M * OWN_N];
  [[unroll]] for (int i = 0; i < OWN_M * OWN_N; i++)
    acc[i] = coopmat<float, gl_ScopeSubgroup, M, N, gl_MatrixUseAccumulator> (0.0);

  begin (first + own_step, base + position);
  fetch (n, first, end, there, adds, weights);
  for (int turn = first; turn < end; turn += STEPS) {
    [[unroll]] for (int j = 0; j < X_LOADS; j++)
      xs[position * X_ROW + own_step + j * STRIDE] = xv[j];
    [[unroll]] for (int j = 0; j < W_LOADS; j++) {
      int i = me + j * LOCAL;
      if (i < DEPTH * CO4)
        ws[i / CO4 * W_ROW + i % CO4] = wv[j];
    }
    barrier ();
    if (turn + STEPS < end)
      fetch (n, turn + STEPS, end, there, adds, weights);
    [[unroll]] for (int k = 0; k < DEPTH; k += K) {
      coopmat<float16_t, gl_ScopeSubgroup, K, N, gl_MatrixUseB> xm[OWN_N];
      [[unroll]] for (int j = 0; j < OWN_N; j++)
        coopMatLoad (xm[j], xs, (column * OWN_N + j) * N * X_ROW + k / 4, X_ROW, gl_CooperativeMatrixLayoutColumnMajor);
      [[unroll]] for (int i = 0; i < OWN_M; i++) {
        coopmat<float16_t, gl_ScopeSubgroup, M, K, gl_MatrixUseA> wm;
        coopMatLoad (wm, ws, k * W_ROW + (row * OWN_M + i) * M / 4, W_ROW, gl_CooperativeMatrixLayoutColumnMajor);
        [[unroll]] for (int j = 0; j < OWN_N; j++)
          acc[i * OWN_N + j] = coopMatMulAdd (wm, xm[j], acc[i * OWN_N + j]);
      }
    }
    barrier (); /* before the next turn takes its place */
  }

  [[unroll]] for (int j = 0; j < OWN_N; j++) {
    [[unroll]] for (int i = 0; i < OWN_M; i++)
      coopMatStore (acc[i * OWN_N + j], ys, column * N * Y_ROW + (row * OWN_M + i) * M / 4, Y_ROW,
                    gl_CooperativeMatrixLayoutColumnMajor);
    barrier ();
    for (int i = me; i < COLUMNS * N * CO4; i += LOCAL) {
      int at_row = i % (COLUMNS * N), q = i / (COLUMNS * N), b = panel * CO4 + q;
      int p = base + (at_row / N * OWN_N + j) * N + at_row % N;
      if (b >= co4 || p >= positions)
        continue;
      vec4 v = ys[at_row * Y_ROW + q];
      if (slice == 0)
        v += vec4 (w[bias + q]);
      if (SLICES > 1)
        y (at (py, n * SLICES + slice, b, p), v);
      else
        y (at (py, n, b, p), EPILOGUE (v, n, b, p));
    }
    barrier (); /* before the next column of matrices takes its place */
  }
}
