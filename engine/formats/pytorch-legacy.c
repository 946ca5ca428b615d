/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * pytorch-legacy.c - what torch.save() wrote before PyTorch 1.6, and still
 * writes on request: five pickles in a row,
 *
 *     the magic number, the protocol version 1001, a dict about the machine,
 *     the object itself, and the list of the storages' keys,
 *
 * then for each of those keys the number of elements (int64) and the elements.
 */
#include "pytorch.h"

#include <string.h>

#include "engine/error.h"
#include "file.h"

#define SLACK (1u << 20)

typedef struct {
  const guint8 *data;
  gsize size, at;
  const gchar *name;
} Reader;

static gboolean G_GNUC_PRINTF (3, 4) refuse (const Reader *reader, GError **error, const gchar *format, ...)
{
  va_list args;
  va_start (args, format);
  g_autofree gchar *text = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (error, DEIM_ERROR, DEIM_ERROR_FORMAT, "%s: %s", reader->name, text);
  return FALSE;
}

static DeimPickle *
next_pickle (Reader *reader, const gchar *what, GError **error)
{
  g_autofree gchar *where = g_strdup_printf ("%s: %s at byte %zu", reader->name, what, reader->at);
  gsize used;
  DeimPickle *pickle = deim_pickle_read (reader->data + reader->at, reader->size - reader->at, where, &used, error);
  if (pickle)
    reader->at += used;
  return pickle;
}

static gboolean
read_preamble (Reader *reader, GError **error)
{
  /* 0x1950a86a20f9469cfc6c, little endian */
  static const guint8 magic[] = { 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19 };
  g_autoptr (DeimPickle) first = next_pickle (reader, "the magic number", error);
  if (!first)
    return FALSE;
  const DeimPickleValue *value = deim_pickle_root (first);
  if (value->kind != DEIM_PICKLE_LONG || value->bytes.size != sizeof magic ||
      memcmp (value->bytes.data, magic, sizeof magic) != 0)
    return refuse (reader, error,
                   "this is a Python pickle, but not one of torch.save(): save the state_dict() with it");

  g_autoptr (DeimPickle) second = next_pickle (reader, "the protocol version", error);
  if (!second)
    return FALSE;
  value = deim_pickle_root (second);
  if (value->kind != DEIM_PICKLE_INT || value->integer != 1001)
    return refuse (reader, error, "the protocol version is not 1001, the only one that PyTorch ever wrote");

  g_autoptr (DeimPickle) third = next_pickle (reader, "the description of the machine", error);
  if (!third)
    return FALSE;
  value = deim_pickle_dict_get (deim_pickle_root (third), "little_endian");
  if (!value || value->kind != DEIM_PICKLE_BOOL || !value->integer)
    return refuse (reader, error, "it was written on a big-endian machine: save it anew on a little-endian one");
  return TRUE;
}

/* The raw storages in the order of @keys, each of which the pickle must have mentioned, once. */
static gboolean
read_storages (Reader *reader, DeimPickle *pickle, const DeimPickleValue *keys, GBytes *bytes, GError **error)
{
  if (keys->kind != DEIM_PICKLE_LIST)
    return refuse (reader, error, "the list of storages is no list");
  for (guint i = 0; i < keys->list.n; i++) {
    const DeimPickleValue *key = keys->list.items[i];
    if (key->kind != DEIM_PICKLE_STRING)
      return refuse (reader, error, "entry %u of the list of storages is not text", i);
    g_autofree gchar *quoted = deim_quote (key->bytes.data, key->bytes.size);
    DeimTorchStorage *storage = deim_pickle_find_storage (pickle, key->bytes.data, key->bytes.size);
    if (!storage)
      return refuse (reader, error, "storage %s has data and no tensor: " DEIM_FILE_DAMAGED, quoted);
    if (storage->data)
      return refuse (reader, error, "storage %s is listed twice", quoted);

    guint64 count;
    if (reader->size - reader->at < sizeof count)
      return refuse (reader, error, "it ends at storage %s: " DEIM_FILE_DAMAGED, quoted);
    memcpy (&count, reader->data + reader->at, sizeof count);
    reader->at += sizeof count;
    count = GUINT64_FROM_LE (count);
    if (count != storage->n_elements)
      return refuse (reader, error, "storage %s has %" G_GUINT64_FORMAT " elements, the pickle says %zu", quoted, count,
                     storage->n_elements);
    gsize size = storage->n_elements * deim_dtype_size (storage->dtype);
    if (size > reader->size - reader->at)
      return refuse (reader, error, "storage %s needs %zu bytes, %zu are left: " DEIM_FILE_DAMAGED, quoted, size,
                     reader->size - reader->at);
    storage->data = g_bytes_new_from_bytes (bytes, reader->at, size);
    reader->at += size;
  }
  if (reader->at != reader->size)
    return refuse (reader, error, "%zu bytes behind the last storage belong to nothing", reader->size - reader->at);
  return TRUE;
}

/* Asked for a storage that read_storages() did not come across. */
static gboolean
fetch (gpointer user_data, DeimTorchStorage *storage, GError **error)
{
  return refuse (user_data, error, "storage %s has tensors and no data: " DEIM_FILE_DAMAGED, storage->key);
}

DeimCheckpoint *
deim_pytorch_legacy_read (GBytes *bytes, const gchar *name, GError **error)
{
  Reader reader = { .name = name };
  reader.data = g_bytes_get_data (bytes, &reader.size);
  if (!read_preamble (&reader, error))
    return NULL;
  g_autoptr (DeimPickle) pickle = next_pickle (&reader, "the object", error);
  if (!pickle)
    return NULL;
  g_autoptr (DeimPickle) keys = next_pickle (&reader, "the list of storages", error);
  if (!keys || !read_storages (&reader, pickle, deim_pickle_root (keys), bytes, error))
    return NULL;
  return deim_torch_take_weights (pickle, "PyTorch checkpoint (before 1.6)", reader.size * 2 + SLACK, fetch, &reader,
                                  name, error);
}
