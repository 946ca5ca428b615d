/* SPDX-License-Identifier: LGPL-2.1-or-later */
#version 450
/*
 * conv_coopmat: conv_tile.comp with cooperative matrices of fp16. Sums are fp32.
 *
 *   x, s [n][ci4][ih*iw] vec4 in either precision: what is stored as fp32 is rounded for the products, after x + s, and
 *        beyond the largest number of fp16 becomes that
 *   w panels [co / (4*CO4)][ CO4 f16vec4 of bias | steps x 4 (input lane) x CO4 f16vec4 ]
 *   r, y [n][co4][oh*ow] vec4 in either precision
 *
 * A workgroup owns a panel, 4*CO4 output channels, at TILE positions. Per turn:
 *
 *                                x  STEPS*4 x TILE, columns of input channels [position][channel]
 *   w  4*CO4 x STEPS*4           y  4*CO4 x TILE
 *   rows [channel][output]
 *
 * Its subgroups are PARTS times ROWS by COLUMNS. Each has an equal share of y, OWN_M x OWN_N matrices of M x N, and of
 * the turn's steps: those of one part add up what theirs give, and the parts' sums are added at the end, in order. So
 * a small map keeps many invocations busy, which bring more of a long sum at a time. M x N x K is the shape that the
 * device multiplies.
 *
 * Operands come as in conv_tile.comp. y leaves through shared memory, a column of matrices at a time, since only there
 * is it known which invocation holds which number.
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
layout (constant_id = 8) const bool ADDEND = false; /* the blocks of y before `adding` are made of x + s */
layout (constant_id = 9) const int M = 16;
layout (constant_id = 10) const int N = 16;
layout (constant_id = 11) const int K = 16;
layout (constant_id = 12) const int ROWS = 2;
layout (constant_id = 13) const int STEPS = 16; /* blocks of input channels a turn */
layout (constant_id = 14) const int PARTS = 1;

layout (std430, set = 0, binding = 0) readonly buffer Input
{
  f16vec4 x[];
};
layout (std430, set = 0, binding = 0) readonly buffer FullInput
{
  vec4 x_full[];
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
layout (std430, set = 0, binding = 4) readonly buffer FullAddend
{
  vec4 s_full[];
};

layout (push_constant) uniform Push {
  Place px, py, pr;
  int iw, ih, ow, positions; /* positions = oh * ow */
  int ci4, co4, kernel, stride, pad_top, pad_left;
  int residual;
  float lo, hi, scale, shift;
  int slice_steps; /* conv_tile's */
  Place ps;
  int adding;
};

#include "conv_walk.glsl"

const int COLUMNS = LOCAL / int (SUBGROUP) / (ROWS * PARTS);
const int OWN_M = 4 * CO4 / ROWS / M, OWN_N = TILE / COLUMNS / N;
const int DEPTH = 4 * STEPS, OWN_DEPTH = DEPTH / PARTS;
const int X_LOADS = STEPS / STEP_STRIDE, W_LOADS = (DEPTH * CO4 + LOCAL - 1) / LOCAL;
const bool X_HALF = IS_HALF (0), S_HALF = IS_HALF (4);

/* Rows are longer than they are full, so that those of a matrix do not begin in the same bank. */
const int X_ROW = STEPS + 2, W_ROW = CO4 + 2, Y_ROW = CO4 + 1;
const int Y_PART = COLUMNS * N * Y_ROW;
shared f16vec4 xs[TILE * X_ROW];
shared f16vec4 ws[DEPTH * W_ROW];
shared vec4 ys[PARTS * Y_PART];

/* What an invocation brings for a turn, and which of it is there, as in conv_tile.comp. */
f16vec4 xv[X_HALF ? X_LOADS : 1], sv[ADDEND && S_HALF ? X_LOADS : 1], wv[W_LOADS];
vec4 xv_full[X_HALF ? 1 : X_LOADS], sv_full[ADDEND && !S_HALF ? X_LOADS : 1];
uint x_there, w_there;

void
fetch (int n, int turn, int steps, bool there, int weights)
{
  int me = int (gl_LocalInvocationIndex);
  x_there = w_there = 0u;
  [[unroll]] for (int j = 0; j < X_LOADS; j++) {
    int step = turn + me / TILE + j * STEP_STRIDE, block, i = find_operand (step, block);
    bool inside = there && step < steps && i >= 0;
    int from = inside ? at (px, n, block, i) : px.first, from_s = inside ? at (ps, n, block, i) : ps.first;
    if (X_HALF)
      xv[j] = x[from];
    else
      xv_full[j] = x_full[from];
    if (ADDEND && S_HALF)
      sv[j] = s[from_s];
    else if (ADDEND)
      sv_full[j] = s_full[from_s];
    x_there |= uint (inside) << j;
  }
  [[unroll]] for (int j = 0; j < W_LOADS; j++) {
    int i = me + j * LOCAL;
    bool inside = turn + i / (4 * CO4) < steps;
    wv[j] = w[inside ? weights + turn * 4 * CO4 + i : 0];
    w_there |= uint (inside) << j;
  }
}

/* Number @j of what was fetched of x, with s where it @adds. */
f16vec4
operand (int j, bool adds)
{
  if ((x_there >> j & 1u) == 0u)
    return f16vec4 (0.0);
  if (X_HALF && !(ADDEND && adds))
    return xv[X_HALF ? j : 0];
  vec4 v = X_HALF ? vec4 (xv[X_HALF ? j : 0]) : xv_full[X_HALF ? 0 : j];
  if (ADDEND && adds)
    v += S_HALF ? vec4 (sv[S_HALF ? j : 0]) : sv_full[S_HALF ? 0 : j];
  return f16vec4 (clamp (v, -65504.0, 65504.0));
}

void
main ()
{
  int me = int (gl_LocalInvocationIndex);
  int share = int (gl_SubgroupID) % (ROWS * COLUMNS), row = share / COLUMNS, column = share % COLUMNS;
  int part = int (gl_SubgroupID) / (ROWS * COLUMNS);
  int panel = int (gl_WorkGroupID.x), base = int (gl_WorkGroupID.y) * TILE;
  int n = int (gl_WorkGroupID.z), steps = kernel * kernel * ci4;
  int bias = panel * (CO4 + ((steps + 1) & ~1) * 4 * CO4), weights = bias + CO4;
  int position = me % TILE, own_step = me / TILE, own_depth = part * OWN_DEPTH;
  bool there = base + position < positions, adds = panel * CO4 < adding;

  coopmat<float, gl_ScopeSubgroup, M, N, gl_MatrixUseAccumulator> acc[OWN_M * OWN_N];
  [[unroll]] for (int i = 0; i < OWN_M * OWN_N; i++)
    acc[i] = coopmat<float, gl_ScopeSubgroup, M, N, gl_MatrixUseAccumulator> (0.0);

  begin (base + position);
  fetch (n, 0, steps, there, weights);
  for (int turn = 0; turn < steps; turn += STEPS) {
    [[unroll]] for (int j = 0; j < X_LOADS; j++)
      xs[position * X_ROW + own_step + j * STEP_STRIDE] = operand (j, adds);
    [[unroll]] for (int j = 0; j < W_LOADS; j++) {
      int i = me + j * LOCAL;
      if (i < DEPTH * CO4)
        ws[i / CO4 * W_ROW + i % CO4] = (w_there >> j & 1u) != 0u ? wv[j] : f16vec4 (0.0);
    }
    barrier ();
    if (turn + STEPS < steps)
      fetch (n, turn + STEPS, steps, there, weights);
    [[unroll]] for (int i = 0; i < OWN_DEPTH; i += K) {
      int k = own_depth + i;
      coopmat<float16_t, gl_ScopeSubgroup, K, N, gl_MatrixUseB> xm[OWN_N];
      [[unroll]] for (int j = 0; j < OWN_N; j++)
        coopMatLoad (xm[j], xs, (column * OWN_N + j) * N * X_ROW + k / 4, X_ROW, gl_CooperativeMatrixLayoutColumnMajor);
      [[unroll]] for (int m = 0; m < OWN_M; m++) {
        coopmat<float16_t, gl_ScopeSubgroup, M, K, gl_MatrixUseA> wm;
        coopMatLoad (wm, ws, k * W_ROW + (row * OWN_M + m) * M / 4, W_ROW, gl_CooperativeMatrixLayoutColumnMajor);
        [[unroll]] for (int j = 0; j < OWN_N; j++)
          acc[m * OWN_N + j] = coopMatMulAdd (wm, xm[j], acc[m * OWN_N + j]);
      }
    }
    barrier (); /* before the next turn takes its place */
  }

  [[unroll]] for (int j = 0; j < OWN_N; j++) {
    [[unroll]] for (int i = 0; i < OWN_M; i++)
      coopMatStore (acc[i * OWN_N + j], ys, part * Y_PART + column * N * Y_ROW + (row * OWN_M + i) * M / 4, Y_ROW,
                    gl_CooperativeMatrixLayoutColumnMajor);
    barrier ();
    for (int i = me; i < COLUMNS * N * CO4; i += LOCAL) {
      int at_row = i % (COLUMNS * N), q = i / (COLUMNS * N), b = panel * CO4 + q;
      int p = base + (at_row / N * OWN_N + j) * N + at_row % N;
      if (b >= co4 || p >= positions)
        continue;
      vec4 v = ys[at_row * Y_ROW + q];
      [[unroll]] for (int k = 1; k < PARTS; k++)
        v += ys[k * Y_PART + at_row * Y_ROW + q];
      v += vec4 (w[bias + q]);
      y (at (py, n, b, p), EPILOGUE (v, residual, n, b, p));
    }
    barrier (); /* before the next column of matrices takes its place */
  }
}
