/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* half.h - IEEE 754 binary16 from and to float, rounding to nearest even; overflow gives infinity, NaN stays NaN. */
#pragma once

#include <glib.h>
#include <string.h>

static inline gfloat
deim_half_to_float (guint16 half)
{
  guint32 sign = (guint32) (half & 0x8000) << 16, exponent = half >> 10 & 31, mantissa = half & 1023;
  guint32 word;
  gfloat value;
  if (exponent == 31) {
    word = sign | 0x7f800000 | mantissa << 13;
  } else if (exponent == 0) {
    value = (gfloat) mantissa * 0x1p-24f; /* zero and subnormals, exactly */
    memcpy (&word, &value, sizeof word);
    word |= sign;
  } else {
    word = sign | (exponent + 112) << 23 | mantissa << 13;
  }
  memcpy (&value, &word, sizeof value);
  return value;
}

static inline guint16
deim_half_from_float (gfloat value)
{
  guint32 word;
  memcpy (&word, &value, sizeof word);
  guint16 sign = (guint16) (word >> 16 & 0x8000);
  word &= 0x7fffffff;
  if (word > 0x7f800000)
    return sign | 0x7e00;
  if (word >= 0x477ff000) /* 65520 and above round to infinity */
    return sign | 0x7c00;
  if (word < 0x38800000) { /* below 2^-14: a multiple of 2^-24; adding 0.5 lets the FPU round there */
    gfloat magnitude;
    memcpy (&magnitude, &word, sizeof magnitude);
    magnitude += 0.5f;
    memcpy (&word, &magnitude, sizeof word);
    return sign | (guint16) (word - 0x3f000000);
  }
  word += 0xfff + (word >> 13 & 1);
  return sign | (guint16) ((word - 0x38000000) >> 13);
}
