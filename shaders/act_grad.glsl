/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * act_grad.glsl - derivatives of the activations of act.glsl, which is included first. At a corner they are what
 * PyTorch takes: 0 for relu, 1 at the bounds of a clamp.
 */
vec4
derive (vec4 x, int act, float lo, float hi)
{
  switch (act) {
  case ACT_RELU:
    return vec4 (greaterThan (x, vec4 (0.0)));
  case ACT_SILU: {
    vec4 s = sigmoid4 (x);
    return s * (1.0 + x * (1.0 - s));
  }
  case ACT_GELU:
    return 0.5 * (1.0 + erf4 (x * 0.70710678118654752)) + x * exp (-0.5 * x * x) * 0.39894228040143268;
  case ACT_SIGMOID: {
    vec4 s = sigmoid4 (x);
    return s * (1.0 - s);
  }
  case ACT_INVERSE_SIGMOID: {
    vec4 inside = vec4 (greaterThanEqual (x, vec4 (0.0))) * vec4 (lessThanEqual (x, vec4 (1.0)));
    vec4 low = max (x, vec4 (1e-5)), high = max (1.0 - x, vec4 (1e-5));
    return inside * (vec4 (equal (low, x)) / low + vec4 (equal (high, 1.0 - x)) / high);
  }
  case ACT_CLAMP:
    return vec4 (greaterThanEqual (x, vec4 (lo))) * vec4 (lessThanEqual (x, vec4 (hi)));
  }
  return vec4 (1.0);
}
