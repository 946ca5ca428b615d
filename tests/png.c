/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "png.h"

#include <string.h>

static guint
be32 (const guint8 *p)
{
  return (guint) p[0] << 24 | (guint) p[1] << 16 | (guint) p[2] << 8 | (guint) p[3];
}

static gint
paeth (gint a, gint b, gint c)
{
  gint p = a + b - c, pa = ABS (p - a), pb = ABS (p - b), pc = ABS (p - c);
  return pa <= pb && pa <= pc ? a : pb <= pc ? b : c;
}

/* Undoes the row filters of @raw (1 + 3 * width bytes a row). */
static gboolean
unfilter (const guint8 *raw, guint width, guint height, guint8 *out)
{
  gsize stride = 3 * (gsize) width;
  for (guint y = 0; y < height; y++) {
    const guint8 *in = raw + y * (stride + 1) + 1;
    guint8 *row = out + y * stride;
    for (gsize i = 0; i < stride; i++) {
      gint left = i >= 3 ? row[i - 3] : 0;
      gint up = y ? row[i - stride] : 0;
      gint corner = y && i >= 3 ? row[i - stride - 3] : 0;
      gint guess;
      switch (in[-1]) {
      case 0:
        guess = 0;
        break;
      case 1:
        guess = left;
        break;
      case 2:
        guess = up;
        break;
      case 3:
        guess = (left + up) / 2;
        break;
      case 4:
        guess = paeth (left, up, corner);
        break;
      default:
        return FALSE;
      }
      row[i] = (guint8) (in[i] + guess);
    }
  }
  return TRUE;
}

static void
fail (GError **error, const gchar *path)
{
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "%s is no 8-bit RGB PNG without interlacing", path);
}

guint8 *
png_read_rgb (const gchar *path, guint *ret_width, guint *ret_height, GError **error)
{
  static const guint8 magic[] = { 0x89, 'P', 'N', 'G', 13, 10, 26, 10 };
  g_autofree gchar *file = NULL;
  gsize size;
  if (!g_file_get_contents (path, &file, &size, error))
    return NULL;
  const guint8 *p = (const guint8 *) file, *end = p + size;
  if (size < 33 || memcmp (p, magic, sizeof magic) || memcmp (p + 12, "IHDR", 4) || p[24] != 8 || p[25] != 2 || p[28]) {
    fail (error, path);
    return NULL;
  }
  guint width = be32 (p + 16), height = be32 (p + 20);
  g_autoptr (GByteArray) packed = g_byte_array_new ();
  for (p += 8; end - p >= 12 && be32 (p) <= (gsize) (end - p) - 12; p += 12 + be32 (p))
    if (memcmp (p + 4, "IDAT", 4) == 0)
      g_byte_array_append (packed, p + 8, be32 (p));

  gsize want = (3 * (gsize) width + 1) * height, got;
  g_autofree guint8 *raw = g_malloc (want);
  g_autoptr (GInputStream) memory = g_memory_input_stream_new_from_data (packed->data, (gssize) packed->len, NULL);
  g_autoptr (GConverter) inflate = G_CONVERTER (g_zlib_decompressor_new (G_ZLIB_COMPRESSOR_FORMAT_ZLIB));
  g_autoptr (GInputStream) stream = g_converter_input_stream_new (memory, inflate);
  g_autofree guint8 *out = g_malloc (3 * (gsize) width * height);
  if (!g_input_stream_read_all (stream, raw, want, &got, NULL, error))
    return NULL;
  if (got != want || !unfilter (raw, width, height, out)) {
    fail (error, path);
    return NULL;
  }
  *ret_width = width;
  *ret_height = height;
  return g_steal_pointer (&out);
}
