/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* pickle.c - the memory of a pickle that is being read, and access to what came out of it. */
#include "pickle-private.h"

#include <string.h>

#include "engine/error.h"

gboolean
deim_pickle_fail (DeimPickle *pickle, const gchar *format, ...)
{
  if (pickle->error) /* the first one is the cause */
    return FALSE;
  va_list args;
  va_start (args, format);
  g_autofree gchar *text = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (&pickle->error, DEIM_ERROR, DEIM_ERROR_FORMAT, "%s: byte %zu of the pickle: %s", pickle->where,
               pickle->opcode_at, text);
  return FALSE;
}

/* ------------------------------------------------------------------- arena */

gpointer
deim_pickle_alloc (DeimPickle *pickle, gsize size)
{
  size = (size + 7) & ~(gsize) 7;
  gsize allowed = pickle->at * DEIM_PICKLE_EXPANSION + DEIM_PICKLE_CHUNK; /* what was read so far has to justify it */
  if (size > allowed - pickle->allocated) {
    deim_pickle_fail (pickle, "it builds more than %d times its own size: this is not a checkpoint",
                      DEIM_PICKLE_EXPANSION);
    return NULL;
  }
  pickle->allocated += size;
  if (size > DEIM_PICKLE_CHUNK / 4) {
    gpointer own = g_malloc0 (size);
    g_ptr_array_add (pickle->chunks, own);
    return own;
  }
  if (size > pickle->free_size) {
    pickle->free = g_malloc0 (DEIM_PICKLE_CHUNK);
    pickle->free_size = DEIM_PICKLE_CHUNK;
    g_ptr_array_add (pickle->chunks, pickle->free);
  }
  gpointer result = pickle->free;
  pickle->free += size;
  pickle->free_size -= size;
  return result;
}

DeimPickleValue *
deim_pickle_new_value (DeimPickle *pickle, DeimPickleKind kind)
{
  DeimPickleValue *value = deim_pickle_alloc (pickle, sizeof *value);
  if (value)
    value->kind = kind;
  return value;
}

gboolean
deim_pickle_list_append (DeimPickle *pickle, DeimPickleValue *list, gpointer *items, guint n)
{
  guint need = list->list.n + n;
  if (need > list->list.capacity) {
    guint capacity = MAX (need, list->list.capacity * 2);
    DeimPickleValue **grown = deim_pickle_alloc (pickle, capacity * sizeof *grown);
    if (!grown)
      return FALSE;
    if (list->list.n > 0)
      memcpy (grown, list->list.items, list->list.n * sizeof *grown);
    list->list.items = grown;
    list->list.capacity = capacity;
  }
  if (n > 0)
    memcpy (list->list.items + list->list.n, items, n * sizeof *items);
  list->list.n = need;
  return TRUE;
}

gboolean
deim_pickle_list_add (DeimPickle *pickle, DeimPickleValue *list, DeimPickleValue *item)
{
  gpointer items[] = { item };
  return deim_pickle_list_append (pickle, list, items, 1);
}

/* ----------------------------------------------------------------- the object */

static void
storage_free (gpointer data)
{
  DeimTorchStorage *storage = data;
  g_free (storage->key);
  g_clear_pointer (&storage->data, g_bytes_unref);
  g_free (storage);
}

DeimTorchStorage *
deim_pickle_add_storage (DeimPickle *pickle, const DeimPickleValue *key, DeimDtype dtype, gsize n_elements)
{
  g_autofree gchar *name = g_strndup ((const gchar *) key->bytes.data, key->bytes.size);
  DeimTorchStorage *storage = g_hash_table_lookup (pickle->storage_by_key, name);
  if (!storage) {
    storage = g_new0 (DeimTorchStorage, 1);
    storage->key = g_steal_pointer (&name);
    storage->dtype = dtype;
    storage->n_elements = n_elements;
    g_ptr_array_add (pickle->storages, storage);
    g_hash_table_insert (pickle->storage_by_key, storage->key, storage);
  } else if (storage->dtype != dtype || storage->n_elements != n_elements) {
    deim_pickle_fail (pickle, "storage %s is once %zu times %s and once %zu times %s", name, storage->n_elements,
                      deim_dtype_name (storage->dtype), n_elements, deim_dtype_name (dtype));
    return NULL;
  }
  return storage;
}

guint
deim_pickle_get_n_storages (DeimPickle *pickle)
{
  return pickle->storages->len;
}

DeimTorchStorage *
deim_pickle_get_storage (DeimPickle *pickle, guint index)
{
  return g_ptr_array_index (pickle->storages, index);
}

DeimTorchStorage *
deim_pickle_find_storage (DeimPickle *pickle, const guint8 *key, gsize length)
{
  g_autofree gchar *name = g_strndup ((const gchar *) key, length);
  return g_hash_table_lookup (pickle->storage_by_key, name);
}

const DeimPickleValue *
deim_pickle_root (DeimPickle *pickle)
{
  return pickle->root;
}

gboolean
deim_pickle_is_text (const DeimPickleValue *value, const gchar *text)
{
  return value->kind == DEIM_PICKLE_STRING && value->bytes.size == strlen (text) &&
         memcmp (value->bytes.data, text, value->bytes.size) == 0;
}

const DeimPickleValue *
deim_pickle_dict_get (const DeimPickleValue *dict, const gchar *key)
{
  const DeimPickleValue *found = NULL;
  if (dict && dict->kind == DEIM_PICKLE_DICT)
    for (guint i = 0; i < dict->list.n; i += 2)
      if (deim_pickle_is_text (dict->list.items[i], key))
        found = dict->list.items[i + 1]; /* the last one counts, as in Python */
  return found;
}

DeimPickle *
deim_pickle_read (const guint8 *data, gsize size, const gchar *where, gsize *ret_used, GError **error)
{
  g_autoptr (DeimPickle) pickle = g_new0 (DeimPickle, 1);
  pickle->data = data;
  pickle->size = MIN (size, DEIM_PICKLE_MAX_SIZE);
  pickle->where = g_strdup (where);
  pickle->stack = g_ptr_array_new ();
  pickle->marks = g_array_new (FALSE, FALSE, sizeof (guint));
  pickle->memo = g_ptr_array_new ();
  pickle->chunks = g_ptr_array_new_with_free_func (g_free);
  pickle->storages = g_ptr_array_new_with_free_func (storage_free);
  pickle->storage_by_key = g_hash_table_new (g_str_hash, g_str_equal);
  if (!deim_pickle_run (pickle)) {
    g_propagate_error (error, g_steal_pointer (&pickle->error));
    return NULL;
  }
  if (ret_used)
    *ret_used = pickle->at;
  return g_steal_pointer (&pickle);
}

void
deim_pickle_free (DeimPickle *pickle)
{
  if (!pickle)
    return;
  g_free (pickle->where);
  g_clear_error (&pickle->error);
  g_ptr_array_unref (pickle->stack);
  g_array_unref (pickle->marks);
  g_ptr_array_unref (pickle->memo);
  g_ptr_array_unref (pickle->chunks);
  g_hash_table_unref (pickle->storage_by_key);
  g_ptr_array_unref (pickle->storages);
  g_free (pickle);
}
