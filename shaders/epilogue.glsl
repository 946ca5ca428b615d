/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * epilogue.glsl - what happens to a convolution's sum before it is stored (DeimEpilogue of engine/graph/graph.h). For
 * kernels with a READ called r, the constant ACT, and the push constants pr, lo, hi, scale and shift. Where the residual
 * goes (0 nowhere, 1 before the activation, 2 after the affine) is a push constant or, where a choice at run time is
 * slow, a constant.
 */
#include "act.glsl"

/* Of the sum @v of batch entry @n, block @b, position @p, the residual going to @where. */
#define EPILOGUE(v, where, n, b, p)                                                                                    \
  finish (v, where != 0 ? r (at (pr, n, b, p)) : vec4 (0.0), ACT, where, lo, hi, scale, shift)

vec4
finish (vec4 v, vec4 other, int act, int residual, float lo, float hi, float scale, float shift)
{
  if (residual == 1)
    v += other;
  v = activate (v, act, lo, hi) * scale + shift;
  if (residual == 2)
    v += other;
  return v;
}
