/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * words.glsl - buffers of integers, read the way that the device likes (see io.glsl), and bytes of words.
 *
 *   READ_WORDS (binding, name)    uint name (int index)
 *   READ_WORDS4 (binding, name)   ivec4 name (int index)
 */
#ifdef DEIM_TEXEL
#define READ_WORDS(B, NAME)                                                                                            \
  layout (set = 0, binding = B, r32ui) readonly uniform uimageBuffer NAME##_texels;                                    \
  uint NAME (int i)                                                                                                    \
  {                                                                                                                    \
    return imageLoad (NAME##_texels, i).x;                                                                             \
  }
#define READ_WORDS4(B, NAME)                                                                                           \
  layout (set = 0, binding = B, rgba32ui) readonly uniform uimageBuffer NAME##_texels;                                 \
  ivec4 NAME (int i)                                                                                                   \
  {                                                                                                                    \
    return ivec4 (imageLoad (NAME##_texels, i));                                                                       \
  }
#else
#define READ_WORDS(B, NAME)                                                                                            \
  layout (std430, set = 0, binding = B) readonly buffer NAME##_block                                                   \
  {                                                                                                                    \
    uint NAME##_words[];                                                                                               \
  };                                                                                                                   \
  uint NAME (int i)                                                                                                    \
  {                                                                                                                    \
    return NAME##_words[i];                                                                                            \
  }
#define READ_WORDS4(B, NAME)                                                                                           \
  layout (std430, set = 0, binding = B) readonly buffer NAME##_block                                                   \
  {                                                                                                                    \
    ivec4 NAME##_words4[];                                                                                             \
  };                                                                                                                   \
  ivec4 NAME (int i)                                                                                                   \
  {                                                                                                                    \
    return NAME##_words4[i];                                                                                           \
  }
#endif

/* Bytes of a word; lane by lane, byte @at of four words. */
ivec4
bytes (uint w)
{
  return ivec4 (w & 255u, w >> 8 & 255u, w >> 16 & 255u, w >> 24);
}

ivec4
byte_of (uvec4 w, int at)
{
  return ivec4 (w >> (8 * at) & 255u);
}
