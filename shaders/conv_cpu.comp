/* SPDX-License-Identifier: LGPL-2.1-or-later */
#version 450
/*
 * conv_cpu: conv.comp (operands, layouts, arithmetic: see there) for devices whose shaders run on a CPU.
 *
 *   w panels [co / (4*CO4)][ CO4 vec4 of bias | turns x CO4 x 4*STEPS (step, input lane) vec4 ], zeros after the last step
 *
 * An invocation owns C = 4*CO4 output channels at PX positions, a subgroup apart. A turn of the loop takes STEPS steps:
 *
 *   fetch   STEPS * PX vec4 of x            each lane its own positions
 *           STEPS * 4 * CO4 vec4 of weights each lane a few, passed round one float at a time
 *   for every channel c, every input lane k, every position:   acc[c][j] += w[k][c] * x[j][k]
 *
 * What shapes it is how lavapipe compiles (LLVM for AVX2: sixteen vector registers, no fused multiply-add, an operation
 * of the subgroup is one instruction):
 *
 *  - A fetch costs as much as fifty multiply-adds, so a turn reuses each one 32 times and more.
 *  - Channels are the outer loop: the PX sums of one channel stay in registers over a whole turn.
 *  - Code of more than some 600 multiply-adds a turn no longer fits the CPU's cache of decoded instructions.
 *  - Loops keep a mask of live lanes, and every accumulator is blended with it once a turn.
 *  - The sums live in an array that is also written at a place known only at run time: it stays in memory, and a block of
 *    channels loads, adds and stores its own. Nothing else is then alive across the loop.
 *  - With BROADCAST the weights are parked in such an array too: a broadcast from it is one load instead of two shuffles.
 *    A block's next weights are fetched as soon as it has used the last.
 *
 * Unfinished: measured on a pointwise layer (docs/performance.md), its results never compared; the residual is left out.
 */
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_ballot : require
#extension GL_KHR_shader_subgroup_shuffle : require
#include "io.glsl"
#include "act.glsl"

layout (constant_id = 4) const int CO4 = 8;
layout (constant_id = 5) const int PX = 4;
layout (constant_id = 6) const int STEPS = 1;
layout (constant_id = 7) const bool POINTWISE = false; /* 1x1, stride 1, no padding: positions map to themselves */
layout (constant_id = 8) const int ACT = ACT_NONE;
layout (constant_id = 9) const bool BROADCAST = false;

READ (0, x)
READ (1, w)
READ (2, r)
WRITE (3, y)

layout (push_constant) uniform Push {
  Place px, py, pr;
  int iw, ih, ow, positions; /* positions = oh * ow */
  int ci4, co4, kernel, stride, pad_top, pad_left;
  int residual; /* residual: 0 none, 1 before the activation, 2 after the affine */
  float lo, hi, scale, shift;
};

#define C (4 * CO4)
#define SG int (SUBGROUP)
#define WEIGHTS (STEPS * 4 * CO4)       /* vec4s of a turn: [co4][step][input lane] */
#define FETCHES ((WEIGHTS + SG - 1) / SG) /* that each lane makes for them */
#define PER (4 * STEPS) /* vec4s of a block of channels */

int oy[PX], ox[PX]; /* of the positions */
float acc[C * PX];
vec4 xv[STEPS * PX];
vec4 wv[FETCHES];
float parked[4 * FETCHES];

/* The float @lane of vec4 @i of the turn's weights. */
float
weight (int i, int lane)
{
  if (BROADCAST)
    return subgroupBroadcast (parked[4 * (i / SG) + lane], uint (i % SG));
  return subgroupShuffle (wv[i / SG][lane], uint (i % SG));
}

void
main ()
{
  int panel = int (gl_WorkGroupID.x), n = int (gl_WorkGroupID.z);
  int local = int (gl_WorkGroupSize.x), lane = int (gl_SubgroupInvocationID);
  int first = int (gl_WorkGroupID.y) * local * PX + int (gl_LocalInvocationIndex);
  int steps = (kernel * kernel * ci4 + STEPS - 1) / STEPS * STEPS;
  int index = panel * (CO4 + steps * 4 * CO4);

  [[unroll]] for (int j = 0; j < PX; j++) {
    int p = min (first + j * local, positions - 1); /* past the end: computed, not stored */
    oy[j] = POINTWISE ? 0 : p / ow;
    ox[j] = POINTWISE ? p : (p - oy[j] * ow) * stride - pad_left;
    oy[j] = oy[j] * stride - pad_top;
  }
  acc[positions >> 31] = 0.0;
  [[unroll]] for (int b = 0; b < CO4; b++) {
    vec4 bias = w (index + b);
    [[unroll]] for (int l = 0; l < 4; l++)
      [[unroll]] for (int j = 0; j < PX; j++)
        acc[(4 * b + l) * PX + j] = bias[l];
  }
  index += CO4;
  if (BROADCAST) {
    parked[positions >> 31] = 0.0;
    [[unroll]] for (int q = 0; q < FETCHES; q++) {
      vec4 v = w (index + min (q * SG + lane, WEIGHTS - 1));
      [[unroll]] for (int l = 0; l < 4; l++)
        parked[4 * q + l] = v[l];
    }
    index += WEIGHTS;
  }

  int ky = 0, kx = 0, ci = 0;
  for (int step = 0; step < steps; step += STEPS) {
    [[unroll]] for (int s = 0; s < STEPS; s++) {
      int base = at (px, n, ci, 0);
      [[unroll]] for (int j = 0; j < PX; j++) {
        if (POINTWISE) {
          xv[s * PX + j] = x (base + ox[j]);
        } else {
          int iy = oy[j] + ky, ix = ox[j] + kx;
          bool inside = iy >= 0 && iy < ih && ix >= 0 && ix < iw;
          vec4 v = x (base + (inside ? iy * iw + ix : 0));
          xv[s * PX + j] = inside ? v : vec4 (0.0);
        }
      }
      /* steps of zeros read the last block again */
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
    [[unroll]] for (int q = 0; q < FETCHES; q++) {
      if (!BROADCAST)
        wv[q] = w (index + min (q * SG + lane, WEIGHTS - 1));
      [[unroll]] for (int c = 0; c < C; c++) {
        if (c / 4 * PER / SG != q)
          continue;
        float sum[PX];
        [[unroll]] for (int j = 0; j < PX; j++)
          sum[j] = acc[c * PX + j];
        [[unroll]] for (int k = 0; k < 4 * STEPS; k++) {
          float f = weight (c / 4 * PER + k, c % 4);
          [[unroll]] for (int j = 0; j < PX; j++)
            sum[j] += f * xv[k / 4 * PX + j][k % 4];
        }
        [[unroll]] for (int j = 0; j < PX; j++)
          acc[c * PX + j] = sum[j];
      }
      if (BROADCAST) {
        vec4 v = w (index + min (q * SG + lane, WEIGHTS - 1));
        [[unroll]] for (int l = 0; l < 4; l++)
          parked[4 * q + l] = v[l];
      }
    }
    index += WEIGHTS;
  }

  [[unroll]] for (int c = 0; c < CO4; c++)
    [[unroll]] for (int j = 0; j < PX; j++) {
      int p = first + j * local, b = panel * CO4 + c;
      if (p < positions && b < co4) {
        vec4 v = vec4 (acc[4 * c * PX + j], acc[(4 * c + 1) * PX + j], acc[(4 * c + 2) * PX + j],
                       acc[(4 * c + 3) * PX + j]);
        v = activate (v, ACT, lo, hi) * scale + shift;
        y (at (py, n, b, p), v);
      }
    }
}
