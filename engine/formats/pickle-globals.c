/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * pickle-globals.c - the globals that a pickle may name, and what calling them
 * means. The list is the whole of what a checkpoint can ask for. Nothing on it
 * runs code of the file: containers become dicts and lists, the functions that
 * rebuild tensors become tensors, the rest becomes a value without content.
 */
#include "pickle-private.h"

#include <string.h>

#include "reader.h"

typedef enum {
  DICT, /* a dict, from nothing, a dict or a list of pairs; DEFAULT_DICT has a factory before that */
  DEFAULT_DICT,
  SET,       /* a list, from a list */
  TENSOR,    /* (storage, offset, size, stride, requires_grad, hooks[, metadata]) */
  PARAMETER, /* (tensor, requires_grad, hooks) */
  SIZE,      /* a tuple, from a tuple */
  STORAGE,   /* never called; in persistent ids */
  OBJECT,    /* opaque, whatever the arguments */
  VALUE,     /* never called */
} Meaning;

struct _DeimPickleGlobal {
  const gchar *module, *name;
  Meaning meaning;
  DeimDtype dtype; /* of a storage */
};

static const DeimPickleGlobal globals[] = {
  { "collections", "OrderedDict", DICT, 0 },
  { "collections", "Counter", DICT, 0 },
  { "collections", "defaultdict", DEFAULT_DICT, 0 },
  { "torch._utils", "_rebuild_tensor_v2", TENSOR, 0 },
  { "torch._utils", "_rebuild_parameter", PARAMETER, 0 },
  { "torch", "Size", SIZE, 0 },
  { "torch", "FloatStorage", STORAGE, DEIM_DTYPE_F32 },
  { "torch", "HalfStorage", STORAGE, DEIM_DTYPE_F16 },
  { "torch", "BFloat16Storage", STORAGE, DEIM_DTYPE_BF16 },
  { "torch", "DoubleStorage", STORAGE, DEIM_DTYPE_F64 },
  { "torch", "LongStorage", STORAGE, DEIM_DTYPE_I64 },
  { "torch", "IntStorage", STORAGE, DEIM_DTYPE_I32 },
  { "torch", "ShortStorage", STORAGE, DEIM_DTYPE_I16 },
  { "torch", "CharStorage", STORAGE, DEIM_DTYPE_I8 },
  { "torch", "ByteStorage", STORAGE, DEIM_DTYPE_U8 },
  { "torch", "BoolStorage", STORAGE, DEIM_DTYPE_BOOL },
  /* What training loops leave beside the weights: settings, devices, dtypes, NumPy's numbers. */
  { "argparse", "Namespace", OBJECT, 0 },
  { "torch", "device", OBJECT, 0 },
  { "torch", "float32", VALUE, 0 },
  { "torch", "float16", VALUE, 0 },
  { "torch", "bfloat16", VALUE, 0 },
  { "torch", "float64", VALUE, 0 },
  { "torch", "int64", VALUE, 0 },
  { "numpy.core.multiarray", "scalar", OBJECT, 0 },
  { "numpy._core.multiarray", "scalar", OBJECT, 0 },
  { "numpy", "dtype", OBJECT, 0 },
  { "_codecs", "encode", OBJECT, 0 },
  { "__builtin__", "set", SET, 0 },
  { "__builtin__", "dict", DICT, 0 },
  { "__builtin__", "list", SET, 0 },
  { "__builtin__", "int", VALUE, 0 },
  { "__builtin__", "float", VALUE, 0 },
  { "builtins", "set", SET, 0 },
  { "builtins", "dict", DICT, 0 },
  { "builtins", "list", SET, 0 },
  { "builtins", "int", VALUE, 0 },
  { "builtins", "float", VALUE, 0 },
};

static gboolean
same (const gchar *text, gsize length, const gchar *known)
{
  return strlen (known) == length && memcmp (text, known, length) == 0;
}

const DeimPickleGlobal *
deim_pickle_global (DeimPickle *pickle, const gchar *module, gsize module_length, const gchar *name, gsize name_length)
{
  for (gsize i = 0; i < G_N_ELEMENTS (globals); i++)
    if (same (name, name_length, globals[i].name) && same (module, module_length, globals[i].module))
      return &globals[i];
  g_autofree gchar *quoted_module = deim_quote (module, module_length);
  g_autofree gchar *quoted_name = deim_quote (name, name_length);
  deim_pickle_fail (pickle,
                    "the pickle asks for %s.%s; only tensors and plain values are read here, and nothing is run: "
                    "save the state_dict() alone",
                    quoted_module, quoted_name);
  return NULL;
}

static gboolean
is_number (const DeimPickleValue *value)
{
  return value->kind == DEIM_PICKLE_INT || value->kind == DEIM_PICKLE_BOOL;
}

/* ------------------------------------------------------------------ containers */

static DeimPickleValue *
call_dict (DeimPickle *pickle, const DeimPickleGlobal *global, DeimPickleValue *const *args, guint n)
{
  if (global->meaning == DEFAULT_DICT && n > 0) { /* the factory: only the globals above can stand there */
    args++;
    n--;
  }
  DeimPickleValue *dict = deim_pickle_new_value (pickle, DEIM_PICKLE_DICT);
  if (!dict || n == 0)
    return dict;
  const DeimPickleValue *from = args[0];
  if (n > 1 || (from->kind != DEIM_PICKLE_DICT && from->kind != DEIM_PICKLE_LIST)) {
    deim_pickle_fail (pickle, "%s made of something that is neither a dict nor a list of pairs", global->name);
    return NULL;
  }
  for (guint i = 0; i < from->list.n; i++) {
    DeimPickleValue *item = from->list.items[i];
    if (from->kind == DEIM_PICKLE_DICT) {
      if (!deim_pickle_list_add (pickle, dict, item))
        return NULL;
      continue;
    }
    if ((item->kind != DEIM_PICKLE_TUPLE && item->kind != DEIM_PICKLE_LIST) || item->list.n != 2) {
      deim_pickle_fail (pickle, "%s made of a list that holds something else than pairs", global->name);
      return NULL;
    }
    if (!deim_pickle_list_add (pickle, dict, item->list.items[0]) ||
        !deim_pickle_list_add (pickle, dict, item->list.items[1]))
      return NULL;
  }
  return dict;
}

/* --------------------------------------------------------------------- tensors */

/* The integers of a size or stride; their number, or -1 with the error set. */
static gint
read_integers (DeimPickle *pickle, const DeimPickleValue *tuple, const gchar *what, gint64 *numbers)
{
  if (tuple->kind != DEIM_PICKLE_TUPLE && tuple->kind != DEIM_PICKLE_LIST) {
    deim_pickle_fail (pickle, "the %s of a tensor is not a tuple", what);
    return -1;
  }
  if (tuple->list.n > DEIM_CHECKPOINT_MAX_DIMS) {
    deim_pickle_fail (pickle, "a tensor of %u dimensions; at most %d are read here", tuple->list.n,
                      DEIM_CHECKPOINT_MAX_DIMS);
    return -1;
  }
  for (guint i = 0; i < tuple->list.n; i++) {
    const DeimPickleValue *item = tuple->list.items[i];
    if (!is_number (item) || item->integer < 0) {
      deim_pickle_fail (pickle, "the %s of a tensor holds something else than whole numbers from 0 up", what);
      return -1;
    }
    numbers[i] = item->integer;
  }
  return (gint) tuple->list.n;
}

static DeimPickleValue *
call_tensor (DeimPickle *pickle, DeimPickleValue *const *args, guint n)
{
  if (n < 4 || args[0]->kind != DEIM_PICKLE_STORAGE || !is_number (args[1]) || args[1]->integer < 0) {
    deim_pickle_fail (pickle, "a tensor that is not made of a storage, an offset, a size and a stride");
    return NULL;
  }
  DeimTorchTensor tensor = { .view = *args[0]->view, .offset = args[1]->integer };
  gint n_dims = read_integers (pickle, args[2], "size", tensor.shape);
  gint n_strides = n_dims < 0 ? -1 : read_integers (pickle, args[3], "stride", tensor.stride);
  if (n_strides < 0)
    return NULL;
  if (n_dims != n_strides) {
    deim_pickle_fail (pickle, "a tensor of %d dimensions with %d strides", n_dims, n_strides);
    return NULL;
  }
  tensor.n_dims = (guint) n_dims;
  DeimPickleValue *value = deim_pickle_new_value (pickle, DEIM_PICKLE_TENSOR);
  if (value && !(value->tensor = deim_pickle_alloc (pickle, sizeof tensor)))
    return NULL;
  if (value)
    *value->tensor = tensor;
  return value;
}

DeimPickleValue *
deim_pickle_call (DeimPickle *pickle, const DeimPickleValue *callable, const DeimPickleValue *args)
{
  if (callable->kind != DEIM_PICKLE_GLOBAL) {
    deim_pickle_fail (pickle, "it calls something that is no function");
    return NULL;
  }
  if (args->kind != DEIM_PICKLE_TUPLE) {
    deim_pickle_fail (pickle, "it calls %s with something that is no tuple", callable->global->name);
    return NULL;
  }
  DeimPickleValue *const *items = args->list.items;
  guint n = args->list.n;
  switch (callable->global->meaning) {
  case DICT:
  case DEFAULT_DICT:
    return call_dict (pickle, callable->global, items, n);
  case SET:
    if (n == 0)
      return deim_pickle_new_value (pickle, DEIM_PICKLE_LIST);
    if (n == 1 && items[0]->kind == DEIM_PICKLE_LIST)
      return items[0];
    break;
  case TENSOR:
    return call_tensor (pickle, items, n);
  case PARAMETER:
    if (n >= 1 && items[0]->kind == DEIM_PICKLE_TENSOR)
      return items[0];
    break;
  case SIZE:
    if (n == 1 && items[0]->kind == DEIM_PICKLE_TUPLE)
      return items[0];
    break;
  case OBJECT:
    return deim_pickle_new_value (pickle, DEIM_PICKLE_OPAQUE);
  case STORAGE:
  case VALUE:
    break;
  }
  deim_pickle_fail (pickle, "it calls %s.%s with arguments that do not suit it", callable->global->module,
                    callable->global->name);
  return NULL;
}

/* -------------------------------------------------------------- persistent ids */

/*
 * ("storage", class, key, location, count), and in files of before 1.6 a sixth
 * member: None, or (view key, offset, count) where the tensor's storage was a
 * view of another one. The location, "cuda:0" say, is where it was: no matter.
 */
DeimPickleValue *
deim_pickle_persistent (DeimPickle *pickle, const DeimPickleValue *id)
{
  DeimPickleValue *const *items = id->list.items;
  if (id->kind == DEIM_PICKLE_TUPLE && id->list.n > 0 && deim_pickle_is_text (items[0], "module")) {
    deim_pickle_fail (pickle, "a whole module was pickled, with its source: save its state_dict() instead");
    return NULL;
  }
  if (id->kind != DEIM_PICKLE_TUPLE || id->list.n < 5 || id->list.n > 6 || !deim_pickle_is_text (items[0], "storage") ||
      items[1]->kind != DEIM_PICKLE_GLOBAL || items[1]->global->meaning != STORAGE ||
      items[2]->kind != DEIM_PICKLE_STRING || items[4]->kind != DEIM_PICKLE_INT) {
    deim_pickle_fail (pickle, "a persistent id that does not name a storage");
    return NULL;
  }
  DeimDtype dtype = items[1]->global->dtype;
  gint64 count = items[4]->integer;
  if (count < 0 || count > G_MAXSSIZE / (gint64) deim_dtype_size (dtype)) {
    deim_pickle_fail (pickle, "a storage of %" G_GINT64_FORMAT " elements", count);
    return NULL;
  }
  if (items[2]->bytes.size > 255 || memchr (items[2]->bytes.data, 0, items[2]->bytes.size)) {
    deim_pickle_fail (pickle, "a storage whose key is no name");
    return NULL;
  }
  DeimTorchView view = { .n_elements = (gsize) count };
  view.storage = deim_pickle_add_storage (pickle, items[2], dtype, (gsize) count);
  if (!view.storage)
    return NULL;

  if (id->list.n == 6 && items[5]->kind != DEIM_PICKLE_NONE) {
    const DeimPickleValue *part = items[5];
    if (part->kind != DEIM_PICKLE_TUPLE || part->list.n != 3 || part->list.items[1]->kind != DEIM_PICKLE_INT ||
        part->list.items[2]->kind != DEIM_PICKLE_INT) {
      deim_pickle_fail (pickle, "a view of storage %s that is not a key, an offset and a size", view.storage->key);
      return NULL;
    }
    gint64 offset = part->list.items[1]->integer, size = part->list.items[2]->integer;
    if (offset < 0 || size < 0 || offset > count || size > count - offset) {
      deim_pickle_fail (pickle, "a view of storage %s that reaches beyond it", view.storage->key);
      return NULL;
    }
    view.offset = (gsize) offset;
    view.n_elements = (gsize) size;
  }

  DeimPickleValue *value = deim_pickle_new_value (pickle, DEIM_PICKLE_STORAGE);
  if (value && !(value->view = deim_pickle_alloc (pickle, sizeof view)))
    return NULL;
  if (value)
    *value->view = view;
  return value;
}
