/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * act.glsl - activations; the numbers are DeimAct of engine/graph/graph.h. Kernels take theirs as a specialization
 * constant: a choice at run time, unrolled over sixteen accumulators, costs lavapipe a second of compiling.
 */
#define ACT_NONE 0
#define ACT_RELU 1
#define ACT_SILU 2
#define ACT_GELU 3
#define ACT_SIGMOID 4
#define ACT_INVERSE_SIGMOID 5
#define ACT_CLAMP 6

/* exp overflows to +inf for very negative x, and 1 / inf is the right 0. */
vec4
sigmoid4 (vec4 x)
{
  return 1.0 / (1.0 + exp (-x));
}

/* erf by the Chebyshev fit of Numerical Recipes' erfcc (section 6.2): relative error of erfc below 1.2e-7. */
vec4
erf4 (vec4 x)
{
  vec4 z = abs (x);
  vec4 t = 1.0 / (1.0 + 0.5 * z);
  vec4 p = vec4 (0.17087277);
  p = p * t - 0.82215223;
  p = p * t + 1.48851587;
  p = p * t - 1.13520398;
  p = p * t + 0.27886807;
  p = p * t - 0.18628806;
  p = p * t + 0.09678418;
  p = p * t + 0.37409196;
  p = p * t + 1.00002368;
  p = p * t - 1.26551223;
  vec4 y = 1.0 - t * exp (-z * z + p);
  return mix (y, -y, lessThan (x, vec4 (0.0)));
}

vec4
activate (vec4 x, int act, float lo, float hi)
{
  switch (act) {
  case ACT_RELU:
    return max (x, vec4 (0.0));
  case ACT_SILU:
    return x * sigmoid4 (x);
  case ACT_GELU:
    return 0.5 * x * (1.0 + erf4 (x * 0.70710678118654752));
  case ACT_SIGMOID:
    return sigmoid4 (x);
  case ACT_INVERSE_SIGMOID: {
    vec4 p = clamp (x, 0.0, 1.0);
    return log (max (p, vec4 (1e-5)) / max (1.0 - p, vec4 (1e-5)));
  }
  case ACT_CLAMP:
    return clamp (x, lo, hi);
  }
  return x;
}
