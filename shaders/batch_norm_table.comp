/* SPDX-License-Identifier: LGPL-2.1-or-later */
#version 450
/*
 * batch_norm_table: from the moments of strips (channel_sums.comp) those of the batch, and from them what BatchNorm does
 * to each channel. Strips are joined in their order by the formula of Chan, Golub and LeVeque (1979), which loses no
 * digits to a large mean.
 *
 *   p [count][blocks][2] vec4: mean and sum of squared deviations of a strip    m [blocks] vec4: logical channels
 *   w, b plain [c]    y [blocks][2] vec4: factor and summand    mean, var plain [c]: the batch's, var unbiased
 */
#extension GL_GOOGLE_include_directive : require
#include "io.glsl"
#include "plain.glsl"

READ (0, p)
READ (1, m)
READ (2, w)
READ (3, b)
WRITE (4, y)
WRITE_RAW (5, mean)
WRITE_RAW (6, var)

layout (push_constant) uniform Push {
  int blocks, channels, count;
  int strips, lanes, strip_length, positions; /* how many numbers a partial sum stands for: see below */
  float eps;
};

void
main ()
{
  int block = int (gl_GlobalInvocationID.x);
  if (block >= blocks)
    return;
  vec4 centre = vec4 (0.0), square = vec4 (0.0);
  float total = 0.0;
  for (int i = 0; i < count; i++) {
    int strip = i / lanes % strips, lane = i % lanes;
    int length = min (strip_length, positions - strip * strip_length);
    float n = float ((length - lane + lanes - 1) / lanes);
    if (n > 0.0) {
      vec4 delta = p (2 * (i * blocks + block)) - centre;
      total += n;
      centre += delta * (n / total);
      square += p (2 * (i * blocks + block) + 1) + delta * delta * (n * (total - n) / total);
    }
  }
  vec4 deviation = sqrt (square / total + eps);
  ivec4 c = ivec4 (m (block));
  vec4 factor = vec4 (0.0), summand = vec4 (0.0);
  [[unroll]] for (int l = 0; l < 4; l++)
    if (c[l] >= 0) {
      factor[l] = NUMBER (w, c[l]) / deviation[l];
      summand[l] = NUMBER (b, c[l]) - centre[l] * factor[l];
      mean[c[l]] = floatBitsToUint (centre[l]);
      var[c[l]] = floatBitsToUint (square[l] / (total - 1.0));
    }
  y (2 * block, factor);
  y (2 * block + 1, summand);
  if (block == 0) {
    FINISH (mean, channels);
    FINISH (var, channels);
  }
}
