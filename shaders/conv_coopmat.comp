/* SPDX-License-Identifier: LGPL-2.1-or-later */
#version 450
/*
 * conv_coopmat: conv_tile.comp with cooperative matrices, for operands stored as fp16. Sums are fp32.
 *
 *   x [n][ci4][ih*iw] f16vec4      w panels [co / (4*CO4)][ CO4 f16vec4 of bias | steps x 4 (input lane) x CO4 f16vec4 ]
 *   r, y [n][co4][oh*ow] vec4 in either precision, or with SLICES > 1 y partial sums [n][SLICES][co4][oh*ow] vec4
 *
 * A workgroup is two by two subgroups and owns a panel, 4*CO4 output channels, at TILE positions. Per turn:
 *
 *                                x  STEPS*4 x TILE, columns of input channels [position][channel]
 *   w  4*CO4 x STEPS*4           y  4*CO4 x TILE: each subgroup a quarter, OWN_M x OWN_N matrices of M x N
 *   rows [channel][output]
 *
 * M x N x K is the shape that the device multiplies. The quarter leaves through shared memory, a column of matrices at a
 * time, since only there is it known which invocation holds which number.
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
layout (constant_id = 9) const int M = 16;
layout (constant_id = 10) const int N = 16;
layout (constant_id = 11) const int K = 16;

#define STEPS 8 /* blocks of input channels a turn */
#define DEPTH (4 * STEPS)
const int OWN_M = 2 * CO4 / M, OWN_N = TILE / 2 / N;

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

layout (push_constant) uniform Push {
  Place px, py, pr;
  int iw, ih, ow, positions; /* positions = oh * ow */
  int ci4, co4, kernel, stride, pad_top, pad_left;
  int residual;
  float lo, hi, scale, shift;
  int slice_steps;
};

/* Rows are longer than they are full, so that those of a matrix do not begin in the same bank. */
#define X_ROW (STEPS + 2)
#define W_ROW (CO4 + 2)
#define Y_ROW (CO4 + 1)
shared f16vec4 xs[TILE * X_ROW];
shared f16vec4 ws[DEPTH * W_ROW];
shared vec4 ys[2 * N * Y_ROW];

/* The operand of @step at output position @p; zero outside of the map and past the ends. */
f16vec4
fetch (int n, int step, int end, int p)
{
  if (step >= end || p >= positions)
    return f16vec4 (0.0);
  if (POINTWISE)
    return x[at (px, n, step, p)];
  int tap = step / ci4, ky = tap / kernel, oy = p / ow;
  int iy = oy * stride - pad_top + ky, ix = (p - oy * ow) * stride - pad_left + tap - ky * kernel;
  bool inside = iy >= 0 && iy < ih && ix >= 0 && ix < iw;
  return inside ? x[at (px, n, step - tap * ci4, iy * iw + ix)] : f16vec4 (0.0);
}

void
main ()
{
  int me = int (gl_LocalInvocationIndex), local = int (gl_WorkGroupSize.x);
  int row = int (gl_SubgroupID) / 2, column = int (gl_SubgroupID) % 2; /* this subgroup's quarter */
  int panel = int (gl_WorkGroupID.x), base = int (gl_WorkGroupID.y) * TILE;
  int n = int (gl_WorkGroupID.z) / SLICES, slice = int (gl_WorkGroupID.z) % SLICES;
  int steps = kernel * kernel * ci4;
  int first = slice * slice_steps, end = min (first + slice_steps, steps);
  int bias = panel * (CO4 + ((steps + 1) & ~1) * 4 * CO4), weights = bias + CO4;

  coopmat<float, gl_ScopeSubgroup, M, N, gl_MatrixUseAccumulator> acc[OWN_M * OWN_N];
  [[unroll]] for (int i = 0; i < OWN_M * OWN_N; i++)
    acc[i] = coopmat<float, gl_ScopeSubgroup, M, N, gl_MatrixUseAccumulator> (0.0);

  for (int step = first; step < end; step += STEPS) {
    /* Neighbours read neighbouring positions of one block. */
    for (int i = me; i < STEPS * TILE; i += local)
      xs[i % TILE * X_ROW + i / TILE] = fetch (n, step + i / TILE, end, base + i % TILE);
    for (int i = me; i < DEPTH * CO4; i += local)
      ws[i / CO4 * W_ROW + i % CO4] =
          step + i / (4 * CO4) < end ? w[weights + step * 4 * CO4 + i] : f16vec4 (0.0);
    barrier ();
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
    barrier (); /* before the next steps take their place */
  }

  [[unroll]] for (int j = 0; j < OWN_N; j++) {
    [[unroll]] for (int i = 0; i < OWN_M; i++)
      coopMatStore (acc[i * OWN_N + j], ys, column * N * Y_ROW + (row * OWN_M + i) * M / 4, Y_ROW,
                    gl_CooperativeMatrixLayoutColumnMajor);
    barrier ();
    for (int i = me; i < 2 * N * CO4; i += local) {
      int at_row = i % (2 * N), c = i / (2 * N), b = panel * CO4 + c;
      int p = base + (at_row / N * OWN_N + j) * N + at_row % N;
      if (b >= co4 || p >= positions)
        continue;
      vec4 v = ys[at_row * Y_ROW + c];
      if (slice == 0)
        v += vec4 (w[bias + c]);
      if (SLICES > 1)
        y (at (py, n * SLICES + slice, b, p), v);
      else
        y (at (py, n, b, p), EPILOGUE (v, n, b, p));
    }
    barrier (); /* before the next column of matrices takes its place */
  }
}
