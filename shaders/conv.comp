/* SPDX-License-Identifier: LGPL-2.1-or-later */
#version 450
/*
 * conv: dense convolution and linear layers as an implicit matrix product, with bias, residual, activation and affine,
 * for devices whose shaders run on a CPU.
 *
 *   x [n][ci4][ih*iw] vec4      w panels [co / (4*CO4)][ CO4 vec4 of bias | steps x 4 (input lane) x CO4 vec4 ]
 *   r [n][co4][oh*ow] vec4      y [n][co4][oh*ow] vec4
 *
 *   y[co][p] = epilogue (bias[co] + sum over tap, ci of w[tap][ci][co] * x[ci][p * stride + tap - pad])
 *
 * With ADDEND (and POINTWISE), the blocks of y before `adding`, whole panels, are made of x + s. Batch entry n has the
 * weights n % sets of as many sets: for one convolution 1, for one by Winograd 36 (winograd_in.comp).
 *
 * A step is one input block of one tap; there are taps * ci4 of them, and where that is odd a panel has one more of
 * zeros, which other kernels read. An invocation owns C = 4*CO4 output channels at PX positions, LOCAL apart:
 *
 *            positions  |- LOCAL -|- LOCAL -|  ..  |- LOCAL -|      PX columns an invocation
 *   C channels          |    .         .               .    |      C * PX accumulators
 *
 * What shapes it is how lavapipe compiles: each lane of a vector register is an invocation, there are sixteen registers
 * (AVX2), no fused multiply-add, and an operation of the subgroup is one instruction.
 *
 *  - A fetch costs as much as fifty multiply-adds: each is used for 4*PX or C of them. The weights of a step are the
 *    same for all lanes; with SHUFFLE each lane fetches some and the subgroup passes them round, a float at a time.
 *  - Channels are the outer loop of a step, so that the PX sums of one channel stay in registers.
 *  - With PARK (where the driver leaves arrays in memory) sums and weights are parked there: a channel's sums are
 *    loaded and stored by the step, nothing is alive across the loop, and a broadcast is one load. What keeps an array
 *    in memory is one store to it at a place known at run time only, positions >> 31, which is 0.
 *  - The place under a tap is found once a tap, not once a step.
 *  - A lane that has left a loop is a lane turned off, and nothing jumps: a loop that asks before a turn (for, while)
 *    computes one more with all lanes off. So loops ask after it; each has a turn to make.
 *  - What follows the sums is compiled for one block of channels: unrolled for all it took most of the compiling. The
 *    sums of the next block move to the first one's places, since indices must stay constants.
 *  - Push constants are read before loops and branches: each read is a check and a branch.
 */
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_ballot : require
#extension GL_KHR_shader_subgroup_shuffle : require
#include "io.glsl"
#include "inside.glsl"
#include "epilogue.glsl"

layout (constant_id = 4) const int CO4 = 4;
layout (constant_id = 5) const int PX = 6;
layout (constant_id = 6) const bool POINTWISE = false; /* 1x1, stride 1, no padding: positions map to themselves */
layout (constant_id = 7) const int ACT = ACT_NONE;
layout (constant_id = 8) const int RESIDUAL = 0; /* a constant: read at run time it costs 3 to 7 % of a frame */
layout (constant_id = 9) const bool PARK = false;
layout (constant_id = 10) const bool ADDEND = false;

READ (0, x)
READ (1, w)
READ (2, r)
WRITE (3, y)
READ (4, s)

layout (push_constant) uniform Push {
  Place px, py, pr;
  int iw, ih, ow, positions; /* positions = oh * ow */
  int ci4, co4, kernel, stride, pad_top, pad_left;
  int residual; /* RESIDUAL */
  float lo, hi, scale, shift;
  Place ps;
  int adding, sets;
};

#define SG int (SUBGROUP)
#define C (4 * CO4)
#define STEP_VEC4 (4 * CO4)                 /* weights of a step */
#define FETCHES ((STEP_VEC4 + SG - 1) / SG) /* that each lane makes for them */

int top[PX], left[PX]; /* of the positions: the corner of the window, */
int under[PX];         /* the element of the map under the tap, */
bool inside[PX];       /* and whether there is one */
vec4 xv[PX];
vec4 wv[FETCHES];
float parked[4 * FETCHES];
float acc[C * PX];

void
fetch_weights (int index)
{
  if (!SHUFFLE)
    return;
  [[unroll]] for (int q = 0; q < FETCHES; q++) {
    wv[q] = w (index + min (q * SG + int (gl_SubgroupInvocationID), STEP_VEC4 - 1));
    if (PARK)
      [[unroll]] for (int l = 0; l < 4; l++)
        parked[4 * q + l] = wv[q][l];
  }
}

/* Of input lane @k and output channel @c, the weights of the step from @index on. */
float
weight (int index, int k, int c)
{
  int i = k * CO4 + c / 4;
  if (!SHUFFLE)
    return w (index + i)[c % 4];
  if (PARK)
    return subgroupBroadcast (parked[4 * (i / SG) + c % 4], uint (i % SG));
  return subgroupShuffle (wv[i / SG][c % 4], uint (i % SG));
}

/* The window's element under tap (@ky, @kx). */
void
place_tap (int ky, int kx)
{
  [[unroll]] for (int j = 0; j < PX; j++) {
    int iy = top[j] + ky, ix = left[j] + kx;
    inside[j] = is_inside (ix, iy, iw, ih);
    under[j] = inside[j] ? iy * iw + ix : 0;
  }
}

/* acc += w[4 lanes of an input block][C] * x, the block from @base, or with @adds x + s, that from @added, and the
 * weights from @index on */
void
multiply (int base, bool adds, int added, int index)
{
  fetch_weights (index);
  [[unroll]] for (int j = 0; j < PX; j++) {
    xv[j] = x (base + under[j]);
    if (ADDEND && adds)
      xv[j] += s (added + under[j]);
    if (!POINTWISE)
      xv[j] = inside[j] ? xv[j] : vec4 (0.0);
  }
  [[unroll]] for (int c = 0; c < C; c++) {
    float sum[PX];
    [[unroll]] for (int j = 0; j < PX; j++)
      sum[j] = acc[c * PX + j];
    [[unroll]] for (int k = 0; k < 4; k++) {
      float f = weight (index, k, c);
      [[unroll]] for (int j = 0; j < PX; j++)
        sum[j] += f * xv[j][k];
    }
    [[unroll]] for (int j = 0; j < PX; j++)
      acc[c * PX + j] = sum[j];
  }
}

void
main ()
{
  int panel = int (gl_WorkGroupID.x), n = int (gl_WorkGroupID.z);
  int local = int (gl_WorkGroupSize.x);
  int first = int (gl_WorkGroupID.y) * local * PX + int (gl_LocalInvocationIndex);
  int taps = POINTWISE ? 1 : kernel * kernel;
  int index = ((n - divide (n, sets) * sets) * int (gl_NumWorkGroups.x) + panel) * (CO4 + ((taps * ci4 + 1) & ~1) * STEP_VEC4);

  [[unroll]] for (int j = 0; j < PX; j++) {
    int p = min (first + j * local, positions - 1); /* past the end: computed, not stored */
    under[j] = p;
    if (!POINTWISE) {
      int oy = divide (p, ow);
      top[j] = oy * stride - pad_top;
      left[j] = (p - oy * ow) * stride - pad_left;
    }
  }
  if (PARK)
    acc[positions >> 31] = parked[positions >> 31] = 0.0;
  [[unroll]] for (int b = 0; b < CO4; b++) {
    vec4 bias = w (index + b);
    [[unroll]] for (int l = 0; l < 4; l++)
      [[unroll]] for (int j = 0; j < PX; j++)
        acc[(4 * b + l) * PX + j] = bias[l];
  }
  index += CO4;

  int from = at (px, n, 0, 0), x_block = px.block, added = at (ps, n, 0, 0), s_block = ps.block;
  bool adds = panel * CO4 < adding;
  int tap = 0, ky = 0, kx = 0;
  do {
    if (!POINTWISE)
      place_tap (ky, kx);
    int ci = 0;
    do {
      multiply (from + ci * x_block, adds, added + ci * s_block, index);
      index += STEP_VEC4;
    } while (++ci < ci4);
    if (++kx == kernel) {
      kx = 0;
      ky++;
    }
  } while (++tap < taps);

  int to = at (py, n, panel * CO4, first), y_block = py.block;
  int beside = at (pr, n, panel * CO4, first), r_block = pr.block;
  int there = positions - first, blocks = min (co4 - panel * CO4, CO4); /* that the map and y have */
  float least = lo, most = hi, factor = scale, summand = shift;
  int b = 0;
  [[dont_unroll]] do {
    [[unroll]] for (int j = 0; j < PX; j++)
      if (j * local < there) {
        vec4 v = vec4 (acc[j], acc[j + PX], acc[j + 2 * PX], acc[j + 3 * PX]), other = vec4 (0.0);
        if (RESIDUAL != 0)
          other = r (beside + b * r_block + j * local);
        y (to + b * y_block + j * local, finish (v, other, ACT, RESIDUAL, least, most, factor, summand));
      }
    [[unroll]] for (int i = 0; i < (C - 4) * PX; i++)
      acc[i] = acc[i + 4 * PX];
  } while (++b < blocks);
}
