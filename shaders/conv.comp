/* SPDX-License-Identifier: LGPL-2.1-or-later */
#version 450
/*
 * conv: dense convolution and linear layers as an implicit matrix product, with bias, residual, activation and affine.
 *
 *   x [n][ci4][ih*iw] vec4      w panels [co / (4*CO4)][ CO4 vec4 of bias | steps x 4 (input lane) x CO4 vec4 ]
 *   r [n][co4][oh*ow] vec4      y [n][co4][oh*ow] vec4
 *
 *   y[co][p] = epilogue (bias[co] + sum over tap, ci of w[tap][ci][co] * x[ci][p * stride + tap - pad])
 *
 * A step is one input block of one tap; there are taps * ci4 of them, and where that is odd one more of zero weights,
 * because the loop takes two at a time: every turn of it costs lavapipe a pass over all accumulators.
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
#include "epilogue.glsl"

layout (constant_id = 4) const int CO4 = 4;
layout (constant_id = 5) const int PX = 4;
layout (constant_id = 6) const bool POINTWISE = false; /* 1x1, stride 1, no padding: positions map to themselves */
layout (constant_id = 7) const int ACT = ACT_NONE;

READ (0, x)
READ (1, w)
READ (2, r)
WRITE (3, y)

layout (push_constant) uniform Push {
  Place px, py, pr;
  int iw, ih, ow, positions; /* positions = oh * ow */
  int ci4, co4, kernel, stride, pad_top, pad_left;
  int residual;
  float lo, hi, scale, shift;
};

#define STEP_VEC4 (4 * CO4) /* weights of a step */

int oy[PX], ox[PX]; /* of the positions */
vec4 acc[PX * CO4];
vec4 wv[2 * STEP_VEC4]; /* SHUFFLE: the weights of two steps, the same in every lane */

/* acc += w[4 lanes of input block ci of tap (ky, kx)][CO4 blocks] * x, the weights from @index + @first on */
void
multiply (int n, int ky, int kx, int ci, int index, int first)
{
  vec4 xv[PX];
  [[unroll]] for (int j = 0; j < PX; j++) {
    if (POINTWISE) {
      xv[j] = x (at (px, n, ci, ox[j]));
    } else {
      int iy = oy[j] + ky, ix = ox[j] + kx;
      bool inside = iy >= 0 && iy < ih && ix >= 0 && ix < iw;
      xv[j] = inside ? x (at (px, n, ci, iy * iw + ix)) : vec4 (0.0);
    }
  }
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
  int steps = (kernel * kernel * ci4 + 1) & ~1;
  int index = panel * (CO4 + steps * STEP_VEC4);

  [[unroll]] for (int j = 0; j < PX; j++) {
    int p = min (first + j * local, positions - 1); /* past the end: computed, not stored */
    oy[j] = POINTWISE ? 0 : p / ow;
    ox[j] = POINTWISE ? p : (p - oy[j] * ow) * stride - pad_left;
    oy[j] = oy[j] * stride - pad_top;
  }
  [[unroll]] for (int c = 0; c < CO4; c++) {
    vec4 bias = w (index + c);
    [[unroll]] for (int j = 0; j < PX; j++)
      acc[j * CO4 + c] = bias;
  }
  index += CO4;

  int ky = 0, kx = 0, ci = 0;
  for (int step = 0; step < steps; step += 2) {
    if (SHUFFLE) {
      [[unroll]] for (int q = 0; q < 2 * STEP_VEC4; q += int (SUBGROUP)) {
        vec4 mine = w (index + min (q + int (gl_SubgroupInvocationID), 2 * STEP_VEC4 - 1));
        [[unroll]] for (int l = 0; l < int (SUBGROUP); l++)
          if (q + l < 2 * STEP_VEC4)
            wv[q + l] = subgroupShuffle (mine, uint (l));
      }
    }
    [[unroll]] for (int part = 0; part < 2; part++) {
      /* the step of zeros reads the last block again */
      multiply (n, ky, kx, ci, index, part * STEP_VEC4);
      if (POINTWISE) {
        ci = min (ci + 1, ci4 - 1);
      } else if (++ci == ci4) {
        ci = 0;
        if (++kx == kernel) {
          kx = 0;
          ky = min (ky + 1, kernel - 1);
        }
      }
    }
    index += 2 * STEP_VEC4;
  }

  [[unroll]] for (int c = 0; c < CO4; c++)
    [[unroll]] for (int j = 0; j < PX; j++) {
      int p = first + j * local, b = panel * CO4 + c;
      if (p < positions && b < co4) {
        vec4 v = acc[j * CO4 + c];
        y (at (py, n, b, p), EPILOGUE (v, n, b, p));
      }
    }
}
