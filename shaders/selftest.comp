/* SPDX-License-Identifier: LGPL-2.1-or-later */
#version 450
/*
 * selftest: y[i] = a[i] * scale + b[i], with b added REPEATS times.
 *
 *   a, b, y  [count] vec4
 *
 * The smallest kernel with everything that the Vulkan layer carries: both kinds of bindings, specialization constants,
 * push constants. Used by tests of engine/gpu/.
 */
layout (local_size_x_id = 0) in;
layout (constant_id = 1) const int REPEATS = 1; /* below 65536: Mesa 22.3's lavapipe stops loops there */

#ifdef DEIM_TEXEL
layout (set = 0, binding = 0, rgba32f) readonly uniform imageBuffer a;
layout (set = 0, binding = 1, rgba32f) readonly uniform imageBuffer b;
#define LOAD(X, I) imageLoad (X, I)
#else
layout (std430, set = 0, binding = 0) readonly buffer A { vec4 a[]; };
layout (std430, set = 0, binding = 1) readonly buffer B { vec4 b[]; };
#define LOAD(X, I) X[I]
#endif
layout (std430, set = 0, binding = 2) writeonly buffer Y { vec4 y[]; };

layout (push_constant) uniform Push {
  int count;
  float scale;
};

void
main ()
{
  int i = int (gl_GlobalInvocationID.x);
  if (i >= count)
    return;
  vec4 sum = LOAD (a, i) * scale;
  for (int n = 0; n < REPEATS; n++)
    sum += LOAD (b, i);
  y[i] = sum;
}
