/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * io.glsl - how kernels see tensors.
 *
 * A tensor is NC4HW4: vec4s at [batch][block of 4 channels][position]. Its place in a buffer is a Place; at (p, n, b, i)
 * gives the index of the vec4 of batch entry n, block b, position i.
 *
 * One source serves devices where storage texel buffers are the fast way to read (Mesa's lavapipe: branch-free, where a
 * storage buffer load loops over the lanes) and devices where storage buffers are (GPUs). DEIM_TEXEL or DEIM_SSBO is
 * defined by the build. With DEIM_ADDRESS, which goes with DEIM_TEXEL, whole vec4s are written through their address:
 * nothing checks bounds there. Kernels use only these macros:
 *
 *   READ (binding, name)       vec4 name (int index)
 *   READ_RAW (binding, name)   uint name[index], uvec4 name4[index]
 *   WRITE (binding, name)      void name (int index, vec4 value)
 *   WRITE_RAW (binding, name)  name[index] = value, uints, name4[index] = value, uvec4s
 *   UPDATE (binding, name)     name[index] += value, vec4s, never fp16: for invocations that own what they add to
 *
 * Specialization constants 0..3 are the executor's (engine/executor.c); kernels begin at 4.
 */
#extension GL_EXT_control_flow_attributes : require
#ifdef DEIM_ADDRESS
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_shader_explicit_arithmetic_types_int64 : require
#endif

layout (constant_id = 0) const uint SUBGROUP = 8; /* invocations of a subgroup */
layout (local_size_x_id = 1) in;
layout (constant_id = 2) const uint HALF = 0;     /* bit b: binding b is stored as fp16, four to a uvec2 */
layout (constant_id = 3) const bool SHUFFLE = false; /* exchange operands inside a subgroup (engine/gpu/policy.h) */

#define IS_HALF(B) ((HALF & (1u << B)) != 0)

/* a / b of numbers that are not negative, a below 2^28. Processors have no division of integers for a whole vector, and
 * divide lane by lane; one of floats is off by one at most. */
int
divide (int a, int b)
{
  int q = int ((float (a) + 0.5) / float (b)), r = a - q * b;
  return q + int (r >= b) - int (r < 0);
}

struct Place {
  int first, block, batch;
};

int
at (Place p, int n, int b, int i)
{
  return p.first + n * p.batch + b * p.block + i;
}

#ifdef DEIM_TEXEL
#define READ(B, NAME)                                                                                                  \
  layout (set = 0, binding = B, rgba32f) readonly uniform imageBuffer NAME##_full;                                     \
  layout (set = 0, binding = B, rgba16f) readonly uniform imageBuffer NAME##_half;                                     \
  vec4 NAME (int i)                                                                                                    \
  {                                                                                                                    \
    if (IS_HALF (B))                                                                                                   \
      return imageLoad (NAME##_half, i);                                                                               \
    return imageLoad (NAME##_full, i);                                                                                 \
  }
#else
#define READ(B, NAME)                                                                                                  \
  layout (std430, set = 0, binding = B) readonly buffer NAME##_block                                                   \
  {                                                                                                                    \
    vec4 NAME##_full[];                                                                                                \
  };                                                                                                                   \
  layout (std430, set = 0, binding = B) readonly buffer NAME##_half_block                                              \
  {                                                                                                                    \
    uvec2 NAME##_half[];                                                                                               \
  };                                                                                                                   \
  vec4 NAME (int i)                                                                                                    \
  {                                                                                                                    \
    if (IS_HALF (B))                                                                                                   \
      return vec4 (unpackHalf2x16 (NAME##_half[i].x), unpackHalf2x16 (NAME##_half[i].y));                              \
    return NAME##_full[i];                                                                                             \
  }
#endif

#define READ_RAW(B, NAME)                                                                                              \
  layout (std430, set = 0, binding = B) readonly buffer NAME##_block                                                   \
  {                                                                                                                    \
    uint NAME[];                                                                                                       \
  };                                                                                                                   \
  layout (std430, set = 0, binding = B) readonly buffer NAME##_block4                                                  \
  {                                                                                                                    \
    uvec4 NAME##4 [];                                                                                                  \
  };

#ifdef DEIM_ADDRESS
layout (set = 0, binding = 8) uniform Addresses
{
  uvec4 addresses[4]; /* of what is bound, two in each */
};
layout (buffer_reference, std430, buffer_reference_align = 16) writeonly buffer Vec4At
{
  u64vec2 words;
};
layout (buffer_reference, std430, buffer_reference_align = 8) writeonly buffer Half4At
{
  uint64_t word;
};

#define WRITE(B, NAME)                                                                                                 \
  void NAME (int i, vec4 v)                                                                                            \
  {                                                                                                                    \
    uint64_t at = packUint2x32 ((B & 1) == 0 ? addresses[B / 2].xy : addresses[B / 2].zw);                             \
    if (IS_HALF (B))                                                                                                   \
      Half4At (at + uint64_t (i) * 8).word = packUint2x32 (uvec2 (packHalf2x16 (v.xy), packHalf2x16 (v.zw)));          \
    else                                                                                                               \
      Vec4At (at + uint64_t (i) * 16).words =                                                                          \
          u64vec2 (packUint2x32 (floatBitsToUint (v.xy)), packUint2x32 (floatBitsToUint (v.zw)));                      \
  }
#else
#define WRITE(B, NAME)                                                                                                 \
  layout (std430, set = 0, binding = B) writeonly buffer NAME##_block                                                  \
  {                                                                                                                    \
    vec4 NAME##_full[];                                                                                                \
  };                                                                                                                   \
  layout (std430, set = 0, binding = B) writeonly buffer NAME##_half_block                                             \
  {                                                                                                                    \
    uvec2 NAME##_half[];                                                                                               \
  };                                                                                                                   \
  void NAME (int i, vec4 v)                                                                                            \
  {                                                                                                                    \
    if (IS_HALF (B))                                                                                                   \
      NAME##_half[i] = uvec2 (packHalf2x16 (v.xy), packHalf2x16 (v.zw));                                               \
    else                                                                                                               \
      NAME##_full[i] = v;                                                                                              \
  }
#endif

#define WRITE_RAW(B, NAME)                                                                                             \
  layout (std430, set = 0, binding = B) writeonly buffer NAME##_block                                                  \
  {                                                                                                                    \
    uint NAME[];                                                                                                       \
  };                                                                                                                   \
  layout (std430, set = 0, binding = B) writeonly buffer NAME##_block4                                                 \
  {                                                                                                                    \
    uvec4 NAME##4 [];                                                                                                  \
  };

#define UPDATE(B, NAME)                                                                                                \
  layout (std430, set = 0, binding = B) buffer NAME##_block                                                            \
  {                                                                                                                    \
    vec4 NAME[];                                                                                                       \
  };
