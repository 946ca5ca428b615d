/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* image-frames.c - packers of every pixel format, written from the formats' descriptions and not from our table. */
#include "image-frames.h"

#include <math.h>
#include <string.h>

static guint8
noise (guint32 *state)
{
  *state = *state * 1664525u + 1013904223u;
  return (guint8) (*state >> 24);
}

guint8 *
test_picture_new (guint w, guint h, guint block, gboolean gray, guint32 seed)
{
  guint8 *rgb = g_malloc ((gsize) w * h * 3);
  for (guint y = 0; y < h; y++)
    for (guint x = 0; x < w; x++) {
      guint8 *p = rgb + ((gsize) y * w + x) * 3;
      if (x % block == 0 && y % block == 0) {
        for (guint c = 0; c < 3; c++)
          p[c] = c > 0 && gray ? p[0] : noise (&seed);
      } else {
        memcpy (p, rgb + ((gsize) (y - y % block) * w + (x - x % block)) * 3, 3);
      }
    }
  return rgb;
}

/* Planes of a format: count, bytes of a row and rows. */
static guint
measure (const gchar *name, guint w, guint h, guint bytes[3], guint rows[3])
{
  guint half_w = (w + 1) / 2, half_h = (h + 1) / 2;
  rows[0] = rows[1] = rows[2] = h;
  if (g_str_equal (name, "GRAY8") || g_str_equal (name, "Y444")) {
    bytes[0] = bytes[1] = bytes[2] = w;
    return g_str_equal (name, "GRAY8") ? 1 : 3;
  }
  if (g_str_equal (name, "YUY2") || g_str_equal (name, "UYVY")) {
    bytes[0] = 4 * half_w;
    return 1;
  }
  if (g_str_equal (name, "Y42B") || g_str_equal (name, "I420") || g_str_equal (name, "YV12")) {
    bytes[0] = w;
    bytes[1] = bytes[2] = half_w;
    rows[1] = rows[2] = name[1] == '4' && name[2] == '2' && name[3] == 'B' ? h : half_h;
    return 3;
  }
  if (g_str_equal (name, "NV12") || g_str_equal (name, "NV21")) {
    bytes[0] = w;
    bytes[1] = 2 * half_w;
    rows[1] = half_h;
    return 2;
  }
  if (g_str_equal (name, "P010_10LE")) {
    bytes[0] = 2 * w;
    bytes[1] = 4 * half_w;
    rows[1] = half_h;
    return 2;
  }
  if (g_str_equal (name, "I420_10LE")) {
    bytes[0] = 2 * w;
    bytes[1] = bytes[2] = 2 * half_w;
    rows[1] = rows[2] = half_h;
    return 3;
  }
  bytes[0] = (guint) strlen (name) * w; /* a letter is a byte of the pixel */
  return 1;
}

static void
allocate (TestFrame *f, DeimFormat format, guint w, guint h, guint padding)
{
  guint bytes[3], rows[3];
  memset (f, 0, sizeof *f);
  f->frame.format = format;
  f->frame.width = w;
  f->frame.height = h;
  guint n = measure (deim_format_to_name (format), w, h, bytes, rows);
  for (guint i = 0; i < n; i++) {
    f->frame.stride[i] = bytes[i] + padding;
    gsize size = (gsize) f->frame.stride[i] * (rows[i] - 1) + bytes[i];
    f->frame.data[i] = f->memory[i] = g_malloc (size);
    memset (f->memory[i], TEST_POISON, size);
  }
}

void
test_frame_init_random (TestFrame *f, DeimFormat format, guint w, guint h, guint padding, guint32 seed)
{
  guint bytes[3], rows[3];
  allocate (f, format, w, h, padding);
  guint n = measure (deim_format_to_name (format), w, h, bytes, rows);
  for (guint i = 0; i < n; i++)
    for (guint y = 0; y < rows[i]; y++)
      for (guint x = 0; x < bytes[i]; x++)
        f->memory[i][(gsize) y * f->frame.stride[i] + x] = noise (&seed);
}

void
test_frame_clear (TestFrame *f)
{
  for (guint i = 0; i < G_N_ELEMENTS (f->memory); i++)
    g_clear_pointer (&f->memory[i], g_free);
}

/* ------------------------------------------------------------------ colour */

typedef struct {
  gdouble y, u, v; /* 0..1, -0.5..0.5 */
} Yuv;

static Yuv
to_yuv (const gdouble rgb[3], DeimMatrix matrix)
{
  gdouble kr = 0.299, kb = 0.114;
  switch (matrix) {
  case DEIM_MATRIX_BT601:
    break;
  case DEIM_MATRIX_BT709:
    kr = 0.2126, kb = 0.0722;
    break;
  case DEIM_MATRIX_BT2020:
    kr = 0.2627, kb = 0.0593;
    break;
  case DEIM_MATRIX_SMPTE240M:
    kr = 0.212, kb = 0.087;
    break;
  case DEIM_MATRIX_FCC:
    kr = 0.30, kb = 0.11;
    break;
  }
  gdouble y = kr * rgb[0] + (1 - kr - kb) * rgb[1] + kb * rgb[2];
  return (Yuv){ y, (rgb[2] - y) / (1 - kb) / 2, (rgb[0] - y) / (1 - kr) / 2 };
}

/* Mean over the pixels of the picture in the cell of @cw x @ch at (x, y). */
static Yuv
mean (const guint8 *rgb, guint w, guint h, guint x, guint y, guint cw, guint ch, DeimMatrix matrix)
{
  gdouble sum[3] = { 0, 0, 0 }, n = 0;
  for (guint j = y; j < y + ch && j < h; j++)
    for (guint i = x; i < x + cw && i < w; i++, n++)
      for (guint c = 0; c < 3; c++)
        sum[c] += rgb[((gsize) j * w + i) * 3 + c] / 255.0;
  for (guint c = 0; c < 3; c++)
    sum[c] /= n;
  return to_yuv (sum, matrix);
}

/* BT.601/709/2020's quantisation: luma 16..235, chroma 16..240 of 8 bits, times four for ten; or all of them. */
static guint
quantise (gdouble value, gboolean chroma, DeimRange range, guint bits)
{
  gdouble unit = 1 << (bits - 8), top = (1 << bits) - 1;
  gdouble code = range == DEIM_RANGE_FULL ? value * top + (chroma ? 128 * unit : 0)
                                          : unit * (chroma ? 224 * value + 128 : 219 * value + 16);
  return (guint) CLAMP (floor (code + 0.5), 0, top);
}

static void
put16 (guint8 *at, guint value)
{
  at[0] = value & 255;
  at[1] = (guint8) (value >> 8);
}

/* ---------------------------------------------------------------- packers */

static void
pack_rgb (TestFrame *f, const gchar *name, const guint8 *rgb)
{
  guint w = f->frame.width, step = (guint) strlen (name);
  for (guint y = 0; y < f->frame.height; y++)
    for (guint x = 0; x < w; x++)
      for (guint b = 0; b < step; b++) {
        const gchar *component = strchr ("RGB", name[b]);
        if (component)
          f->memory[0][(gsize) y * f->frame.stride[0] + x * step + b] =
              rgb[((gsize) y * w + x) * 3 + (gsize) (component - "RGB")];
      }
}

static void
pack_yuv (TestFrame *f, const gchar *name, const guint8 *rgb)
{
  guint w = f->frame.width, h = f->frame.height;
  DeimMatrix m = f->frame.matrix;
  DeimRange r = f->frame.range;
  const guint *s = f->frame.stride;
  guint8 *const *d = f->memory;
  gboolean ten = g_str_has_suffix (name, "_10LE"), packed = g_str_equal (name, "YUY2") || g_str_equal (name, "UYVY");
  guint bits = ten ? 10 : 8, up = g_str_equal (name, "P010_10LE") ? 6 : 0;
  guint cw = g_str_equal (name, "Y444") ? 1 : 2, ch = cw == 1 || packed || g_str_equal (name, "Y42B") ? 1 : 2;

  for (guint y = 0; y < h; y++)
    for (guint x = 0; x < w; x++) {
      guint luma = quantise (mean (rgb, w, h, x, y, 1, 1, m).y, FALSE, r, bits);
      if (ten)
        put16 (d[0] + (gsize) y * s[0] + 2 * x, luma << up);
      else if (packed)
        d[0][(gsize) y * s[0] + 2 * x + (name[0] == 'U')] = (guint8) luma;
      else
        d[0][(gsize) y * s[0] + x] = (guint8) luma;
    }
  for (guint y = 0; y < (h + ch - 1) / ch; y++)
    for (guint x = 0; x < (w + cw - 1) / cw; x++) {
      Yuv yuv = mean (rgb, w, h, x * cw, y * ch, cw, ch, m);
      guint u = quantise (yuv.u, TRUE, r, bits), v = quantise (yuv.v, TRUE, r, bits);
      if (packed) {
        guint8 *at = d[0] + (gsize) y * s[0] + 4 * x + (name[0] == 'Y');
        at[0] = (guint8) u;
        at[2] = (guint8) v;
      } else if (g_str_equal (name, "P010_10LE")) {
        put16 (d[1] + (gsize) y * s[1] + 4 * x, u << up);
        put16 (d[1] + (gsize) y * s[1] + 4 * x + 2, v << up);
      } else if (ten) {
        put16 (d[1] + (gsize) y * s[1] + 2 * x, u);
        put16 (d[2] + (gsize) y * s[2] + 2 * x, v);
      } else if (g_str_has_prefix (name, "NV")) {
        guint8 *at = d[1] + (gsize) y * s[1] + 2 * x;
        at[name[2] == '1' ? 0 : 1] = (guint8) u; /* NV12, NV21 */
        at[name[2] == '1' ? 1 : 0] = (guint8) v;
      } else {
        guint first = g_str_equal (name, "YV12") ? 2 : 1;
        d[first][(gsize) y * s[first] + x] = (guint8) u;
        d[3 - first][(gsize) y * s[3 - first] + x] = (guint8) v;
      }
    }
}

void
test_frame_init (TestFrame *f, DeimFormat format, const guint8 *rgb, guint w, guint h, DeimMatrix matrix,
                 DeimRange range, guint padding)
{
  const gchar *name = deim_format_to_name (format);
  allocate (f, format, w, h, padding);
  f->frame.matrix = matrix;
  f->frame.range = range;
  if (g_str_equal (name, "GRAY8")) {
    for (guint y = 0; y < h; y++)
      for (guint x = 0; x < w; x++)
        f->memory[0][(gsize) y * f->frame.stride[0] + x] = rgb[((gsize) y * w + x) * 3];
  } else if (strchr (name, 'R')) {
    pack_rgb (f, name, rgb);
  } else {
    pack_yuv (f, name, rgb);
  }
}

guint32
test_crc32 (const guint8 *data, gsize size)
{
  guint32 crc = 0xffffffffu;
  for (gsize i = 0; i < size; i++) {
    crc ^= data[i];
    for (guint bit = 0; bit < 8; bit++)
      crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
  }
  return ~crc;
}
