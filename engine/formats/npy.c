/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * npy.c - a .npy file is "\x93NUMPY", two bytes of version, the length of the
 * header (2 bytes in version 1, 4 in 2 and 3), the header, and the numbers.
 * The header is a Python dict of three entries, in any order:
 *
 *     {'descr': '<f4', 'fortran_order': False, 'shape': (1, 3, 320, 320), }
 */
#include "npy.h"

#include <string.h>

#include "engine/error.h"
#include "file.h"

/* NumPy itself refuses to read more than 10000 without being told to. */
#define MAX_HEADER 65536

typedef struct {
  const gchar *at, *end;
} Scanner;

typedef struct {
  gchar descr[16];
  gint fortran_order; /* -1: not seen */
  gint n_dims;        /* -1: not seen */
  gsize shape[DEIM_NPY_MAX_DIMS];
} Header;

static gboolean G_GNUC_PRINTF (2, 3) refuse (GError **error, const gchar *format, ...)
{
  va_list args;
  va_start (args, format);
  g_autofree gchar *text = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (error, DEIM_ERROR, DEIM_ERROR_FORMAT, "%s", text);
  return FALSE;
}

static void
skip_space (Scanner *scanner)
{
  while (scanner->at < scanner->end && g_ascii_isspace (*scanner->at))
    scanner->at++;
}

/* Steps over @c and the space before it, if it is there. */
static gboolean
accept (Scanner *scanner, gchar c)
{
  skip_space (scanner);
  if (scanner->at == scanner->end || *scanner->at != c)
    return FALSE;
  scanner->at++;
  return TRUE;
}

static gboolean
accept_word (Scanner *scanner, const gchar *word)
{
  gsize length = strlen (word);
  skip_space (scanner);
  if ((gsize) (scanner->end - scanner->at) < length || memcmp (scanner->at, word, length) != 0)
    return FALSE;
  scanner->at += length;
  return TRUE;
}

/* A string in quotes of either kind, without escapes, shorter than @size. */
static gboolean
scan_string (Scanner *scanner, gchar *out, gsize size)
{
  skip_space (scanner);
  if (scanner->at == scanner->end || (*scanner->at != '\'' && *scanner->at != '"'))
    return FALSE;
  gchar quote = *scanner->at++;
  gsize length = 0;
  for (; scanner->at < scanner->end && *scanner->at != quote; scanner->at++) {
    gchar c = *scanner->at;
    if (c < 0x20 || c == 0x7f || c == '\\' || length + 1 >= size)
      return FALSE;
    out[length++] = c;
  }
  out[length] = '\0';
  return accept (scanner, quote);
}

/* (1, 3, 320, 320), (5,) or (). */
static gboolean
scan_shape (Scanner *scanner, Header *header)
{
  if (!accept (scanner, '('))
    return FALSE;
  gint n = 0;
  while (!accept (scanner, ')')) {
    gsize number = 0;
    if (n == DEIM_NPY_MAX_DIMS || scanner->at == scanner->end || !g_ascii_isdigit (*scanner->at))
      return FALSE;
    for (; scanner->at < scanner->end && g_ascii_isdigit (*scanner->at); scanner->at++)
      if (__builtin_mul_overflow (number, 10, &number) ||
          __builtin_add_overflow (number, (gsize) (*scanner->at - '0'), &number))
        return FALSE;
    header->shape[n++] = number;
    if (!accept (scanner, ',')) {
      if (!accept (scanner, ')'))
        return FALSE;
      break;
    }
  }
  header->n_dims = n;
  return TRUE;
}

static gboolean
scan_header (const gchar *text, gsize size, Header *header, GError **error)
{
  Scanner scanner = { text, text + size };
  gboolean fine = accept (&scanner, '{');
  while (fine && !accept (&scanner, '}')) {
    gchar key[16];
    fine = scan_string (&scanner, key, sizeof key) && accept (&scanner, ':');
    if (!fine)
      break;
    if (g_str_equal (key, "descr") && !header->descr[0]) {
      skip_space (&scanner);
      if (scanner.at < scanner.end && *scanner.at == '[')
        return refuse (error, "the .npy file holds records; an array of float32 is read here");
      fine = scan_string (&scanner, header->descr, sizeof header->descr) && header->descr[0];
    } else if (g_str_equal (key, "fortran_order") && header->fortran_order < 0) {
      header->fortran_order = accept_word (&scanner, "True") ? 1 : 0;
      fine = header->fortran_order == 1 || accept_word (&scanner, "False");
    } else if (g_str_equal (key, "shape") && header->n_dims < 0) {
      fine = scan_shape (&scanner, header);
    } else {
      return refuse (error, "the .npy header holds \"%s\" twice, or should not hold it", key);
    }
    if (fine && !accept (&scanner, ',')) {
      fine = accept (&scanner, '}');
      break;
    }
  }
  skip_space (&scanner);
  if (!fine || scanner.at != scanner.end)
    return refuse (error, "the .npy header is damaged at its byte %zu, or has more than %d dimensions",
                   (gsize) (scanner.at - text), DEIM_NPY_MAX_DIMS);
  if (!header->descr[0] || header->fortran_order < 0 || header->n_dims < 0)
    return refuse (error, "the .npy header lacks descr, fortran_order or shape");
  return TRUE;
}

gfloat *
deim_npy_parse_float (const guint8 *data, gsize size, guint *ret_n_dims, gsize *ret_shape, GError **error)
{
  if (size < 10 || memcmp (data, "\x93NUMPY", 6) != 0) {
    refuse (error, "this is not a .npy file; write one with numpy.save()");
    return NULL;
  }
  guint version = data[6];
  if (version < 1 || version > 3) {
    refuse (error, ".npy version %u.%u; versions 1 to 3 are read", version, data[7]);
    return NULL;
  }
  gsize begin = version == 1 ? 10 : 12;
  gsize length = data[8] | (gsize) data[9] << 8;
  if (version > 1 && size >= begin)
    length |= (gsize) data[10] << 16 | (gsize) data[11] << 24;
  if (size < begin || length > size - begin || length > MAX_HEADER) {
    refuse (error, "the .npy header claims %zu bytes: " DEIM_FILE_DAMAGED, length);
    return NULL;
  }
  Header header = { .fortran_order = -1, .n_dims = -1 };
  if (!scan_header ((const gchar *) data + begin, length, &header, error))
    return NULL;
  if (!g_str_equal (header.descr, "<f4")) {
    refuse (error, "the .npy file holds %s; little-endian float32 (<f4) is read: convert it with .astype('<f4')",
            header.descr);
    return NULL;
  }
  if (header.fortran_order) {
    refuse (error, "the .npy file is in Fortran order; convert it with numpy.ascontiguousarray()");
    return NULL;
  }

  gsize need = sizeof (gfloat);
  gboolean empty = FALSE;
  for (gint i = 0; i < header.n_dims; i++) {
    empty |= header.shape[i] == 0;
    if (__builtin_mul_overflow (need, MAX (header.shape[i], 1), &need) || need > G_MAXSSIZE) {
      refuse (error, "the .npy file's shape is too large for any memory");
      return NULL;
    }
  }
  if (empty)
    need = 0;
  gsize have = size - begin - length;
  if (need != have) {
    refuse (error, "the .npy file's shape needs %zu bytes, the file has %zu: " DEIM_FILE_DAMAGED, need, have);
    return NULL;
  }
  gfloat *out = g_malloc (MAX (need, sizeof (gfloat)));
  if (need > 0)
    memcpy (out, data + begin + length, need);
  *ret_n_dims = (guint) header.n_dims;
  memcpy (ret_shape, header.shape, sizeof header.shape);
  return out;
}

gfloat *
deim_npy_read_float (const gchar *path, guint *ret_n_dims, gsize *ret_shape, GError **error)
{
  g_autofree gchar *display = g_filename_display_name (path);
  g_autoptr (GMappedFile) map = deim_file_map (path, "a .npy file", error);
  if (!map)
    return NULL;
  gfloat *out = deim_npy_parse_float ((const guint8 *) g_mapped_file_get_contents (map), g_mapped_file_get_length (map),
                                      ret_n_dims, ret_shape, error);
  if (!out)
    g_prefix_error (error, "%s: ", display);
  return out;
}

gboolean
deim_npy_write (const gchar *path, const gchar *descr, guint n_dims, const gsize *shape, gconstpointer data,
                GError **error)
{
  /* <f4 and <i8 end with their size in bytes. */
  gsize size = (gsize) (descr[2] - '0');
  g_autoptr (GString) file = g_string_new (NULL);
  g_string_append_len (file, "\x93NUMPY\x01\x00\x00\x00", 10);
  g_string_append_printf (file, "{'descr': '%s', 'fortran_order': False, 'shape': (", descr);
  for (guint i = 0; i < n_dims; i++) {
    g_string_append_printf (file, "%s%zu%s", i > 0 ? " " : "", shape[i], i + 1 < n_dims || n_dims == 1 ? "," : "");
    size *= shape[i];
  }
  g_string_append (file, "), }");
  while (file->len % 64 != 63) /* the numbers begin at a multiple of 64 */
    g_string_append_c (file, ' ');
  g_string_append_c (file, '\n');
  file->str[8] = (gchar) ((file->len - 10) & 0xff);
  file->str[9] = (gchar) ((file->len - 10) >> 8);
  g_string_append_len (file, data, (gssize) size);

  g_autoptr (GError) problem = NULL;
  if (!g_file_set_contents_full (path, file->str, (gssize) file->len, G_FILE_SET_CONTENTS_CONSISTENT, 0666, &problem)) {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_WRITE, "%s", problem->message);
    return FALSE;
  }
  return TRUE;
}
