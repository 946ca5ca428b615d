/* SPDX-License-Identifier: LGPL-2.1-or-later */
#version 450
/*
 * optimiser: AdamW (torch.optim.AdamW) of one range of the flat vectors, or the step of running averages, and then the
 * moving average of the result. Nothing happens where the gradient has no finite length.
 *
 *   g gradient, p values, m and v moments, e moving average: [count] vec4
 *   s [2 + groups] vec4: beta1, beta2, eps, ema_decay | 1 - beta1^step, sqrt (1 - beta2^step), max_norm, momentum |
 *     lr, weight decay, 0, 0 of each group
 *   c one vec4: length and factor of the gradient (gradient_norm.comp)
 *
 *   AdamW    p -= lr * decay * p;  m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2
 *            p -= lr / s[1].x * m / (sqrt (v) / s[1].y + eps)
 *   AVERAGE  p += momentum * (g - p)
 */
#extension GL_GOOGLE_include_directive : require
#include "io.glsl"

layout (constant_id = 4) const bool AVERAGE = false;

READ (0, g)
READ (1, s)
READ (2, c)
UPDATE (3, p)
UPDATE (4, m)
UPDATE (5, v)
UPDATE (6, e)

layout (push_constant) uniform Push {
  int count;
  int group;
};

void
main ()
{
  int i = int (gl_GlobalInvocationID.x);
  vec4 verdict = c (0), rule = s (0), correction = s (1), rates = s (2 + group);
  bool finite = verdict.x <= 3.402823466e38; /* not for NaN */
  if (i >= count || !finite)
    return;
  vec4 value = p[i], gradient = g (i);
  if (AVERAGE) {
    value += correction.w * (gradient - value);
  } else {
    gradient *= verdict.y;
    vec4 first = rule.x * m[i] + (1.0 - rule.x) * gradient;
    vec4 second = rule.y * v[i] + (1.0 - rule.y) * gradient * gradient;
    m[i] = first;
    v[i] = second;
    value -= rates.x * rates.y * value;
    value -= rates.x / correction.x * first / (sqrt (second) / correction.y + rule.z);
  }
  p[i] = value;
  e[i] = rule.w * e[i] + (1.0 - rule.w) * value;
}
