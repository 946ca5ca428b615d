/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* pytorch-state.c - which dict of a training checkpoint holds the weights, and its tensors in C order. */
#include "pytorch.h"

#include <string.h>

#include "engine/error.h"

typedef struct {
  const gchar *where;
  DeimTorchFetch fetch;
  gpointer user_data;
  gsize copies_left; /* bytes */
} Taker;

static gboolean
has_tensors (const DeimPickleValue *dict)
{
  if (!dict || dict->kind != DEIM_PICKLE_DICT)
    return FALSE;
  for (guint i = 0; i < dict->list.n; i += 2)
    if (dict->list.items[i]->kind == DEIM_PICKLE_STRING && dict->list.items[i + 1]->kind == DEIM_PICKLE_TENSOR)
      return TRUE;
  return FALSE;
}

static const DeimPickleValue *
choose_weights (const DeimPickleValue *root, const gchar **ret_name)
{
  const DeimPickleValue *ema = deim_pickle_dict_get (root, "ema");
  const struct {
    const DeimPickleValue *dict;
    const gchar *name;
  } places[] = {
    { deim_pickle_dict_get (ema, "module"), "ema.module" },
    { ema, "ema" },
    { deim_pickle_dict_get (root, "model"), "model" },
    { deim_pickle_dict_get (root, "state_dict"), "state_dict" },
    { root, "the top level" },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (places); i++) {
    if (has_tensors (places[i].dict)) {
      *ret_name = places[i].name;
      return places[i].dict;
    }
  }
  return NULL;
}

static gboolean G_GNUC_PRINTF (4, 5)
    refuse (const Taker *taker, const DeimPickleValue *key, GError **error, const gchar *format, ...)
{
  va_list args;
  va_start (args, format);
  g_autofree gchar *text = g_strdup_vprintf (format, args);
  va_end (args);
  g_autofree gchar *quoted = deim_quote (key->bytes.data, key->bytes.size);
  g_set_error (error, DEIM_ERROR, DEIM_ERROR_FORMAT, "%s: tensor %s: %s", taker->where, quoted, text);
  return FALSE;
}

static gboolean
is_contiguous (const DeimTorchTensor *tensor)
{
  gint64 expected = 1;
  for (guint i = tensor->n_dims; i-- > 0;) {
    if (tensor->shape[i] != 1 && tensor->stride[i] != expected)
      return FALSE;
    expected *= tensor->shape[i]; /* fits: deim_shape_count() has seen the shape */
  }
  return TRUE;
}

/* Whether offset and strides stay inside the view, by the element of the largest index in every dimension. */
static gboolean
is_inside (const DeimTorchTensor *tensor)
{
  gint64 last = tensor->offset;
  for (guint i = 0; i < tensor->n_dims; i++) {
    gint64 reach;
    if (__builtin_mul_overflow (tensor->shape[i] - 1, tensor->stride[i], &reach) ||
        __builtin_add_overflow (last, reach, &last))
      return FALSE;
  }
  return (guint64) last < tensor->view.n_elements;
}

/* The elements in C order, out of any strides. */
static GBytes *
gather (const DeimTorchTensor *tensor, gsize n_elements, const guint8 *base, gsize item)
{
  guint8 *out = g_malloc (n_elements * item);
  gint64 index[DEIM_CHECKPOINT_MAX_DIMS] = { 0 };
  gint64 at = 0; /* elements from base */
  for (gsize i = 0; i < n_elements; i++) {
    memcpy (out + i * item, base + (gsize) at * item, item);
    /* The odometer; `at` never leaves the view, whatever the stride of a dimension of size 1. */
    for (guint d = tensor->n_dims; d-- > 0;) {
      if (++index[d] < tensor->shape[d]) {
        at += tensor->stride[d];
        break;
      }
      at -= tensor->stride[d] * (tensor->shape[d] - 1);
      index[d] = 0;
    }
  }
  return g_bytes_new_take (out, n_elements * item);
}

static gboolean
take_tensor (Taker *taker, DeimCheckpoint *checkpoint, const DeimPickleValue *key, const DeimTorchTensor *from,
             GError **error)
{
  DeimTorchStorage *storage = from->view.storage;
  gsize item = deim_dtype_size (storage->dtype);
  DeimCheckpointTensor tensor = { .dtype = storage->dtype, .n_dims = from->n_dims };
  memcpy (tensor.shape, from->shape, sizeof tensor.shape);
  if (!deim_shape_count (tensor.dtype, tensor.n_dims, tensor.shape, &tensor.n_elements))
    return refuse (taker, key, error, "its shape is too large for any memory");
  if (tensor.n_elements > 0 && !is_inside (from))
    return refuse (taker, key, error, "its offset, shape and strides reach beyond its storage %s of %zu elements",
                   storage->key, from->view.n_elements);
  if (!storage->data && !taker->fetch (taker->user_data, storage, error))
    return FALSE;

  g_autoptr (GBytes) data = g_bytes_ref (storage->data);
  if (tensor.n_elements > 0) {
    gsize offset = (from->view.offset + (gsize) from->offset) * item;
    tensor.data = (const guint8 *) g_bytes_get_data (storage->data, NULL) + offset;
  } else {
    tensor.data = (const guint8 *) ""; /* not NULL, for callers that pass it on */
  }
  if (tensor.n_elements > 0 && !is_contiguous (from)) {
    /* A few bytes of pickle can ask for one more copy of a whole storage, or repeat one number without end. */
    gsize size = tensor.n_elements * item;
    if (size > taker->copies_left)
      return refuse (taker, key, error, "it repeats or transposes more data than the file holds");
    taker->copies_left -= size;
    g_bytes_unref (data);
    data = gather (from, tensor.n_elements, tensor.data, item);
    tensor.data = g_bytes_get_data (data, NULL);
  }
  return deim_checkpoint_append (checkpoint, (const gchar *) key->bytes.data, key->bytes.size, &tensor, data,
                                 taker->where, error);
}

DeimCheckpoint *
deim_torch_take_weights (DeimPickle *pickle, const gchar *form, gsize copies, DeimTorchFetch fetch, gpointer user_data,
                         const gchar *where, GError **error)
{
  const gchar *place;
  const DeimPickleValue *dict = choose_weights (deim_pickle_root (pickle), &place);
  if (!dict) {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_FORMAT,
                 "%s: no weights found: none of ema.module, ema, model, state_dict and the top level is a dict of "
                 "tensors; save the state_dict() with torch.save()",
                 where);
    return NULL;
  }
  Taker taker = { where, fetch, user_data, copies };
  g_autoptr (DeimCheckpoint) checkpoint = deim_checkpoint_new ();
  guint others = 0;
  for (guint i = 0; i < dict->list.n; i += 2) {
    const DeimPickleValue *key = dict->list.items[i], *value = dict->list.items[i + 1];
    if (value->kind != DEIM_PICKLE_TENSOR) {
      others++;
      continue;
    }
    if (key->kind != DEIM_PICKLE_STRING) {
      g_set_error (error, DEIM_ERROR, DEIM_ERROR_FORMAT, "%s: a tensor of %s has a name that is not text", where,
                   place);
      return NULL;
    }
    if (!take_tensor (&taker, checkpoint, key, value->tensor, error))
      return NULL;
  }
  if (!deim_checkpoint_strip_prefix (checkpoint, where, error))
    return NULL;
  if (others > 0)
    deim_info ("%s: %u entries of %s are not tensors and are left aside", where, others, place);
  g_autofree gchar *source = g_strdup_printf ("%s of a %s", place, form);
  deim_checkpoint_set_source (checkpoint, source);
  return g_steal_pointer (&checkpoint);
}
