/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * zip-layout.c - an archive whose entries lie upon each other unpacks to many
 * times its size, and shows other contents than its author's tools did. libzip
 * reads such archives, so the central directory is walked here once more, for
 * the offsets alone.
 */
#include "zip-layout.h"

#include <string.h>

#include "engine/error.h"
#include "file.h"
#include "reader.h"

enum { END_SIZE = 22, LOCATOR_SIZE = 20, END64_SIZE = 56, ENTRY_SIZE = 46, LOCAL_SIZE = 30 };

typedef struct {
  const guint8 *data;
  gsize size;
} File;

typedef struct {
  guint64 begin, end; /* of the local header and the compressed bytes */
  const guint8 *name;
  guint name_length;
} Span;

/* A little-endian number of @n bytes at @at; 0 outside of the file. */
static guint64
number (const File *file, guint64 at, guint n)
{
  guint64 value = 0;
  if (at > file->size || n > file->size - at)
    return 0;
  for (guint i = 0; i < n; i++)
    value |= (guint64) file->data[at + i] << (8 * i);
  return value;
}

static gboolean
has_signature (const File *file, guint64 at, gsize length, const gchar *signature)
{
  return at <= file->size && length <= file->size - at && memcmp (file->data + at, signature, 4) == 0;
}

/* The directory's place and length, from the last record whose comment ends with the file. */
static gboolean
find_directory (const File *file, guint64 *ret_at, guint64 *ret_entries)
{
  for (guint64 comment = 0; comment <= 0xffff && comment + END_SIZE <= file->size; comment++) {
    guint64 end = file->size - END_SIZE - comment;
    if (!has_signature (file, end, END_SIZE, "PK\x05\x06") || number (file, end + 20, 2) != comment)
      continue;
    *ret_entries = number (file, end + 10, 2);
    *ret_at = number (file, end + 16, 4);
    if (end >= LOCATOR_SIZE && has_signature (file, end - LOCATOR_SIZE, LOCATOR_SIZE, "PK\x06\x07")) {
      guint64 end64 = number (file, end - LOCATOR_SIZE + 8, 8);
      if (has_signature (file, end64, END64_SIZE, "PK\x06\x06")) {
        *ret_entries = number (file, end64 + 32, 8);
        *ret_at = number (file, end64 + 48, 8);
      }
    }
    return TRUE;
  }
  return FALSE;
}

/* The numbers of 64 bits that stand in the extra field for those of 32 that are all ones. */
static void
read_zip64 (const File *file, guint64 at, guint64 length, guint64 plain_size, guint64 *packed_size, guint64 *offset)
{
  while (length >= 4) {
    guint64 id = number (file, at, 2), n = number (file, at + 2, 2);
    if (n > length - 4)
      return;
    if (id == 1) {
      guint64 next = at + 4;
      if (plain_size == G_MAXUINT32)
        next += 8;
      if (*packed_size == G_MAXUINT32) {
        *packed_size = number (file, next, 8);
        next += 8;
      }
      if (*offset == G_MAXUINT32)
        *offset = number (file, next, 8);
      return;
    }
    at += 4 + n;
    length -= 4 + n;
  }
}

static gint
compare_spans (gconstpointer a, gconstpointer b)
{
  const Span *x = a, *y = b;
  return x->begin < y->begin ? -1 : x->begin > y->begin;
}

static gboolean
refuse (GError **error, const gchar *where, const gchar *what, const Span *span)
{
  g_autofree gchar *quoted = deim_quote (span->name, span->name_length);
  g_set_error (error, DEIM_ERROR, DEIM_ERROR_FORMAT, "%s: entry %s of the zip archive %s", where, quoted, what);
  return FALSE;
}

gboolean
deim_zip_check_layout (const guint8 *data, gsize size, const gchar *where, GError **error)
{
  const File file = { data, size };
  guint64 at, entries;
  if (!find_directory (&file, &at, &entries))
    return TRUE;

  g_autoptr (GArray) spans = g_array_new (FALSE, FALSE, sizeof (Span));
  for (guint64 i = 0; i < entries && has_signature (&file, at, ENTRY_SIZE, "PK\x01\x02"); i++) {
    guint64 packed_size = number (&file, at + 20, 4), plain_size = number (&file, at + 24, 4);
    guint64 offset = number (&file, at + 42, 4);
    guint name_length = (guint) number (&file, at + 28, 2);
    guint64 extra_length = number (&file, at + 30, 2);
    if (ENTRY_SIZE + name_length > size - at)
      break; /* libzip says so */
    read_zip64 (&file, at + ENTRY_SIZE + name_length, extra_length, plain_size, &packed_size, &offset);
    Span span = { .begin = offset, .name = data + at + ENTRY_SIZE, .name_length = name_length };
    if (!has_signature (&file, offset, LOCAL_SIZE, "PK\x03\x04"))
      return refuse (error, where, "is not where the directory says it is: " DEIM_FILE_DAMAGED, &span);
    guint64 header = LOCAL_SIZE + number (&file, offset + 26, 2) + number (&file, offset + 28, 2);
    if (header > size - offset || packed_size > size - offset - header)
      return refuse (error, where, "reaches beyond the end of the file: " DEIM_FILE_DAMAGED, &span);
    span.end = offset + header + packed_size;
    g_array_append_val (spans, span);
    at += ENTRY_SIZE + name_length + extra_length + number (&file, at + 32, 2);
  }

  g_array_sort (spans, compare_spans);
  for (guint i = 1; i < spans->len; i++)
    if (g_array_index (spans, Span, i).begin < g_array_index (spans, Span, i - 1).end)
      return refuse (error, where, "overlaps another one: this is no archive that torch.save() wrote",
                     &g_array_index (spans, Span, i));
  return TRUE;
}
