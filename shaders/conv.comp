/* SPDX-License-Identifier: LGPL-2.1-or-later */
#version 450
/*
 * conv: dense convolution and linear layers as an implicit matrix product, with bias, residual, activation and affine.
 *
 *   x [n][ci4][ih*iw] vec4      w panels [co / (4*CO4)][ CO4 vec4 of bias | taps x ci4 x 4 (input lane) x CO4 vec4 ]
 *   r [n][co4][oh*ow] vec4      y [n][co4][oh*ow] vec4
 *
 *   y[co][p] = epilogue (bias[co] + sum over tap, ci of w[tap][ci][co] * x[ci][p * stride + tap - pad])
 *
 * An invocation owns CO4 blocks of output channels at PX positions, LOCAL apart:
 *
 *            positions  |- LOCAL -|- LOCAL -|- LOCAL -|- LOCAL -|      PX = 4 columns an invocation
 *   4*CO4 channels      |    .         .         .         .    |      CO4 * PX vec4 accumulators
 *
 * The weights of a step are the same for all lanes. With SHUFFLE each lane loads some of them and the subgroup passes
 * them round (constant lane numbers), which on lavapipe is far cheaper than loading them in every lane.
 */
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#include "io.glsl"
#include "act.glsl"

layout (constant_id = 4) const int CO4 = 4;
layout (constant_id = 5) const int PX = 4;

READ (0, x)
READ (1, w)
READ (2, r)
WRITE (3, y)

layout (push_constant) uniform Push {
  Place px, py, pr;
  int iw, ih, ow, positions; /* positions = oh * ow */
  int ci4, co4, kernel, stride, pad_top, pad_left;
  int act, residual; /* residual: 0 none, 1 before the activation, 2 after the affine */
  float lo, hi, scale, shift;
};

#define STEP_VEC4 (4 * CO4) /* weights of one input block */

int base[PX]; /* x index of the position's current tap in block 0 */
bool inside[PX];
vec4 acc[PX * CO4];

vec4 wv[2 * STEP_VEC4]; /* SHUFFLE: the weights of two steps, the same in every lane */

/* Loads the weights of @n vec4 from @index on, each lane another one, and passes them round. */
#define LOAD_WEIGHTS(N)                                                                                                \
  if (SHUFFLE) {                                                                                                       \
    [[unroll]] for (int q = 0; q < N; q += int (SUBGROUP)) {                                                           \
      vec4 mine = w (index + min (q + int (gl_SubgroupInvocationID), N - 1));                                          \
      [[unroll]] for (int l = 0; l < int (SUBGROUP); l++)                                                              \
        if (q + l < N)                                                                                                 \
          wv[q + l] = subgroupShuffle (mine, uint (l));                                                                \
    }                                                                                                                  \
  }

/* acc += w[4 lanes of input block ci][CO4 blocks] * x, the weights beginning at the step's vec4 number @first */
void
multiply (int ci, int index, int first)
{
  vec4 xv[PX];
  [[unroll]] for (int j = 0; j < PX; j++)
    xv[j] = inside[j] ? x (base[j] + ci * px.block) : vec4 (0.0);
  [[unroll]] for (int l = 0; l < 4; l++)
    [[unroll]] for (int c = 0; c < CO4; c++) {
      vec4 weight;
      if (SHUFFLE)
        weight = wv[first + l * CO4 + c];
      else
        weight = w (index + first + l * CO4 + c);
      [[unroll]] for (int j = 0; j < PX; j++)
        acc[j * CO4 + c] += weight * xv[j][l];
    }
}

void
main ()
{
  int panel = int (gl_WorkGroupID.x), n = int (gl_WorkGroupID.z);
  int local = int (gl_WorkGroupSize.x);
  int first = int (gl_WorkGroupID.y) * local * PX + int (gl_LocalInvocationIndex);
  int taps = kernel * kernel;
  int index = panel * (CO4 + taps * ci4 * STEP_VEC4);

  int oy[PX], ox[PX];
  [[unroll]] for (int j = 0; j < PX; j++) {
    int p = min (first + j * local, positions - 1); /* past the end: computed, not stored */
    oy[j] = p / ow;
    ox[j] = p - oy[j] * ow;
  }
  [[unroll]] for (int c = 0; c < CO4; c++) {
    vec4 bias = w (index + c);
    [[unroll]] for (int j = 0; j < PX; j++)
      acc[j * CO4 + c] = bias;
  }
  index += CO4;

  for (int ky = 0; ky < kernel; ky++)
    for (int kx = 0; kx < kernel; kx++) {
      [[unroll]] for (int j = 0; j < PX; j++) {
        int iy = oy[j] * stride + ky - pad_top, ix = ox[j] * stride + kx - pad_left;
        inside[j] = iy >= 0 && iy < ih && ix >= 0 && ix < iw;
        base[j] = at (px, n, 0, iy * iw + ix);
      }
      int ci = 0;
      for (; ci + 1 < ci4; ci += 2) {
        LOAD_WEIGHTS (2 * STEP_VEC4)
        multiply (ci, index, 0);
        multiply (ci + 1, index, STEP_VEC4);
        index += 2 * STEP_VEC4;
      }
      if (ci < ci4) {
        LOAD_WEIGHTS (STEP_VEC4)
        multiply (ci, index, 0);
        index += STEP_VEC4;
      }
    }

  [[unroll]] for (int c = 0; c < CO4; c++)
    [[unroll]] for (int j = 0; j < PX; j++) {
      int p = first + j * local, b = panel * CO4 + c;
      if (p < positions && b < co4) {
        vec4 v = acc[j * CO4 + c];
        if (residual == 1)
          v += r (at (pr, n, b, p));
        v = activate (v, act, lo, hi) * scale + shift;
        if (residual == 2)
          v += r (at (pr, n, b, p));
        y (at (py, n, b, p), v);
      }
    }
}
