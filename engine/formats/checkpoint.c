/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* checkpoint.c - the state dict in memory, and the choice of the reader for a file. */
#include "reader.h"

#include <string.h>

#include "engine/error.h"
#include "engine/half.h"
#include "file.h"

#define MAX_NAME 1024

struct _DeimCheckpoint {
  GPtrArray *tensors;   /* of DeimCheckpointTensor, owned */
  GHashTable *by_name;  /* name of the tensor -> tensor */
  GHashTable *metadata; /* gchar * -> gchar * */
  GHashTable *data;     /* set of GBytes that tensors point into */
  gchar *source;
  gchar *operators; /* NULL unless out of an ONNX export */
};

static const struct {
  const gchar *name;
  gsize size;
} dtypes[] = {
  [DEIM_DTYPE_F32] = { "float32", 4 }, [DEIM_DTYPE_F16] = { "float16", 2 }, [DEIM_DTYPE_BF16] = { "bfloat16", 2 },
  [DEIM_DTYPE_F64] = { "float64", 8 }, [DEIM_DTYPE_I64] = { "int64", 8 },   [DEIM_DTYPE_I32] = { "int32", 4 },
  [DEIM_DTYPE_I16] = { "int16", 2 },   [DEIM_DTYPE_I8] = { "int8", 1 },     [DEIM_DTYPE_U8] = { "uint8", 1 },
  [DEIM_DTYPE_BOOL] = { "bool", 1 },
};

gsize
deim_dtype_size (DeimDtype dtype)
{
  return dtypes[dtype].size;
}

const gchar *
deim_dtype_name (DeimDtype dtype)
{
  return dtypes[dtype].name;
}

gboolean
deim_shape_count (DeimDtype dtype, guint n_dims, const gint64 *shape, gsize *ret_n_elements)
{
  gsize count = 1;
  gsize bound = deim_dtype_size (dtype);
  for (guint i = 0; i < n_dims; i++) {
    /* The bound is kept for zero-sized tensors too, so that a caller may multiply any part of a shape. */
    if (shape[i] < 0 || __builtin_mul_overflow (bound, (gsize) MAX (shape[i], 1), &bound) || bound > G_MAXSSIZE)
      return FALSE;
    count *= (gsize) shape[i];
  }
  *ret_n_elements = count;
  return TRUE;
}

gchar *
deim_quote (gconstpointer text, gsize length)
{
  static const gsize longest = 80;
  const guint8 *bytes = text;
  GString *out = g_string_new (NULL);
  for (gsize i = 0; i < MIN (length, longest); i++) {
    if (bytes[i] >= 0x20 && bytes[i] < 0x7f)
      g_string_append_c (out, (gchar) bytes[i]);
    else
      g_string_append_printf (out, "\\x%02x", bytes[i]);
  }
  if (length > longest)
    g_string_append (out, "...");
  return g_string_free (out, FALSE);
}

static void
tensor_free (gpointer data)
{
  DeimCheckpointTensor *tensor = data;
  g_free ((gchar *) tensor->name);
  g_free (tensor);
}

DeimCheckpoint *
deim_checkpoint_new (void)
{
  DeimCheckpoint *checkpoint = g_new0 (DeimCheckpoint, 1);
  checkpoint->tensors = g_ptr_array_new_with_free_func (tensor_free);
  checkpoint->by_name = g_hash_table_new (g_str_hash, g_str_equal);
  checkpoint->metadata = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  checkpoint->data = g_hash_table_new_full (NULL, NULL, (GDestroyNotify) g_bytes_unref, NULL);
  checkpoint->source = g_strdup ("tensors made in memory");
  return checkpoint;
}

void
deim_checkpoint_free (DeimCheckpoint *checkpoint)
{
  if (!checkpoint)
    return;
  g_hash_table_unref (checkpoint->by_name);
  g_ptr_array_unref (checkpoint->tensors);
  g_hash_table_unref (checkpoint->metadata);
  g_hash_table_unref (checkpoint->data);
  g_free (checkpoint->source);
  g_free (checkpoint->operators);
  g_free (checkpoint);
}

static void
add_tensor (DeimCheckpoint *checkpoint, gchar *name, const DeimCheckpointTensor *tensor, GBytes *data)
{
  DeimCheckpointTensor *copy = g_new (DeimCheckpointTensor, 1);
  *copy = *tensor;
  copy->name = name;
  g_ptr_array_add (checkpoint->tensors, copy);
  g_hash_table_insert (checkpoint->by_name, name, copy);
  if (!g_hash_table_contains (checkpoint->data, data))
    g_hash_table_add (checkpoint->data, g_bytes_ref (data));
}

gboolean
deim_checkpoint_append (DeimCheckpoint *checkpoint, const gchar *name, gsize name_length,
                        const DeimCheckpointTensor *tensor, GBytes *data, const gchar *where, GError **error)
{
  const gchar *problem = NULL;
  if (name_length == 0)
    problem = "is empty";
  else if (name_length > MAX_NAME)
    problem = "is longer than 1024 bytes";
  else if (!g_utf8_validate (name, (gssize) name_length, NULL))
    problem = "is not UTF-8";
  for (gsize i = 0; !problem && i < name_length; i++)
    if ((guchar) name[i] < 0x20 || name[i] == 0x7f)
      problem = "holds a control character";
  if (problem) {
    g_autofree gchar *quoted = deim_quote (name, name_length);
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_FORMAT, "%s: the name of a tensor, \"%s\", %s", where, quoted, problem);
    return FALSE;
  }

  g_autofree gchar *copy = g_strndup (name, name_length);
  if (g_hash_table_contains (checkpoint->by_name, copy)) {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_FORMAT, "%s: two tensors are called %s", where, copy);
    return FALSE;
  }
  add_tensor (checkpoint, g_steal_pointer (&copy), tensor, data);
  return TRUE;
}

void
deim_checkpoint_add (DeimCheckpoint *checkpoint, const gchar *name, DeimDtype dtype, guint n_dims, const gint64 *shape,
                     GBytes *data)
{
  DeimCheckpointTensor tensor = { .dtype = dtype, .n_dims = n_dims };
  g_return_if_fail (n_dims <= DEIM_CHECKPOINT_MAX_DIMS);
  g_return_if_fail (deim_shape_count (dtype, n_dims, shape, &tensor.n_elements));
  g_return_if_fail (g_bytes_get_size (data) == tensor.n_elements * deim_dtype_size (dtype));
  g_return_if_fail (!g_hash_table_contains (checkpoint->by_name, name));

  for (guint i = 0; i < n_dims; i++)
    tensor.shape[i] = shape[i];
  tensor.data = g_bytes_get_data (data, NULL);
  add_tensor (checkpoint, g_strdup (name), &tensor, data);
}

gboolean
deim_checkpoint_strip_prefix (DeimCheckpoint *checkpoint, const gchar *where, GError **error)
{
  static const gchar prefix[] = "module.";
  static const gsize length = sizeof prefix - 1;
  for (guint i = 0; i < checkpoint->tensors->len; i++) {
    const DeimCheckpointTensor *tensor = g_ptr_array_index (checkpoint->tensors, i);
    if (!g_str_has_prefix (tensor->name, prefix))
      return TRUE;
    if (!tensor->name[length]) {
      g_set_error (error, DEIM_ERROR, DEIM_ERROR_FORMAT, "%s: a tensor is called \"module.\" and nothing more", where);
      return FALSE;
    }
  }
  g_hash_table_remove_all (checkpoint->by_name);
  for (guint i = 0; i < checkpoint->tensors->len; i++) {
    DeimCheckpointTensor *tensor = g_ptr_array_index (checkpoint->tensors, i);
    gchar *name = g_strdup (tensor->name + length);
    g_free ((gchar *) tensor->name);
    tensor->name = name;
    g_hash_table_insert (checkpoint->by_name, name, tensor);
  }
  return TRUE;
}

void
deim_checkpoint_set_metadata (DeimCheckpoint *checkpoint, const gchar *key, const gchar *value)
{
  g_hash_table_insert (checkpoint->metadata, g_strdup (key), g_strdup (value));
}

void
deim_checkpoint_set_source (DeimCheckpoint *checkpoint, const gchar *source)
{
  g_free (checkpoint->source);
  checkpoint->source = g_strdup (source);
}

static gint
compare_texts (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const gchar *const *) a, *(const gchar *const *) b);
}

guint
deim_checkpoint_get_n_tensors (DeimCheckpoint *checkpoint)
{
  return checkpoint->tensors->len;
}

const DeimCheckpointTensor *
deim_checkpoint_get (DeimCheckpoint *checkpoint, guint index)
{
  return index < checkpoint->tensors->len ? g_ptr_array_index (checkpoint->tensors, index) : NULL;
}

const DeimCheckpointTensor *
deim_checkpoint_lookup (DeimCheckpoint *checkpoint, const gchar *name)
{
  return g_hash_table_lookup (checkpoint->by_name, name);
}

const gchar *
deim_checkpoint_get_metadata (DeimCheckpoint *checkpoint, const gchar *key)
{
  return g_hash_table_lookup (checkpoint->metadata, key);
}

gchar **
deim_checkpoint_list_metadata (DeimCheckpoint *checkpoint)
{
  GPtrArray *keys = g_ptr_array_new ();
  GHashTableIter iter;
  gpointer key;
  g_hash_table_iter_init (&iter, checkpoint->metadata);
  while (g_hash_table_iter_next (&iter, &key, NULL))
    g_ptr_array_add (keys, g_strdup (key));
  g_ptr_array_sort (keys, compare_texts);
  g_ptr_array_add (keys, NULL);
  return (gchar **) g_ptr_array_free (keys, FALSE);
}

void
deim_checkpoint_set_operators (DeimCheckpoint *checkpoint, const gchar *options)
{
  g_free (checkpoint->operators);
  checkpoint->operators = g_strdup (options);
}

const gchar *
deim_checkpoint_get_operators (DeimCheckpoint *checkpoint)
{
  return checkpoint->operators;
}

const gchar *
deim_checkpoint_get_source (DeimCheckpoint *checkpoint)
{
  return checkpoint->source;
}

/* What a file is that somebody took for a checkpoint, where its first bytes tell; NULL if they do not. */
static const gchar *
describe_stranger (const guint8 *data, gsize size)
{
  static const struct {
    const gchar *start;
    gsize offset;
    const gchar *what;
  } known[] = {
    { "version https://git-lfs", 0, "a Git LFS pointer and not the file itself: fetch it with \"git lfs pull\"" },
    { "<!DOCTYPE", 0, "a web page: download the file itself" },
    { "<html", 0, "a web page: download the file itself" },
    { "\x89HDF", 0, "an HDF5 file" },
    { "GGUF", 0, "a GGUF file" },
    { "TFL3", 4, "a TensorFlow Lite model" },
    { "\x1f\x8b", 0, "gzip-compressed: unpack it first" },
    { "ustar", 257, "a tar archive: unpack it first" },
    { "\x93NUMPY", 0, "a NumPy array" },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (known); i++) {
    gsize length = strlen (known[i].start);
    if (size >= known[i].offset + length && memcmp (data + known[i].offset, known[i].start, length) == 0)
      return known[i].what;
  }
  return NULL;
}

/*
 * ONNX has no magic number. Its first field is the version of the format, one
 * byte, and every writer puts next the name of the program or what else comes
 * before the graph: fields 2 to 8, as text, numbers or messages.
 */
static gboolean
looks_like_onnx (const guint8 *data, gsize size)
{
  if (size < 3 || data[0] != 0x08 || data[1] == 0 || data[1] > 0x7f)
    return FALSE;
  guint field = data[2] >> 3, type = data[2] & 7;
  return field >= 2 && field <= 8 && type == (field == 5 ? 0 : 2);
}

#ifndef DEIM_HAVE_ONNX
DeimCheckpoint *
deim_onnx_read (GBytes *bytes, const gchar *name, GError **error)
{
  g_set_error (error, DEIM_ERROR, DEIM_ERROR_FORMAT,
               "%s: this is an ONNX model, which this build of gst-deim cannot read; give a .safetensors file or a "
               "PyTorch checkpoint, or build gst-deim with -Donnx=enabled (libprotobuf-c)",
               name);
  return NULL;
}
#endif

DeimCheckpoint *
deim_checkpoint_parse (GBytes *bytes, const gchar *name, GError **error)
{
  gsize size;
  const guint8 *data = g_bytes_get_data (bytes, &size);
  if (size == 0) {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_FORMAT, "%s: the file is empty", name);
    return NULL;
  }
  if (size >= 4 && memcmp (data, "PK\x03\x04", 4) == 0)
    return deim_pytorch_zip_read (bytes, name, error);
  const gchar *stranger = describe_stranger (data, size);
  /* Safetensors first: its length may well begin with the byte that begins a pickle, which has no brace there. */
  if (!stranger && size > 8 && data[8] == '{')
    return deim_safetensors_read (bytes, name, error);
  if (!stranger && data[0] == 0x80)
    return deim_pytorch_legacy_read (bytes, name, error);
  if (!stranger && looks_like_onnx (data, size))
    return deim_onnx_read (bytes, name, error);
  g_set_error (error, DEIM_ERROR, DEIM_ERROR_FORMAT,
               "%s: this is %s; give a .safetensors file, a PyTorch checkpoint or an ONNX export", name,
               stranger ? stranger : "not a checkpoint of a kind known here");
  return NULL;
}

DeimCheckpoint *
deim_checkpoint_open (const gchar *path, GError **error)
{
  g_autofree gchar *display = g_filename_display_name (path);
  g_autoptr (GMappedFile) map = deim_file_map (path, "a checkpoint", error);
  if (!map)
    return NULL;
  g_autoptr (GBytes) bytes = g_mapped_file_get_bytes (map);
  return deim_checkpoint_parse (bytes, display, error);
}

static gfloat
bfloat_to_float (guint16 bfloat)
{
  guint32 bits = (guint32) bfloat << 16;
  gfloat value;
  memcpy (&value, &bits, sizeof value);
  return value;
}

/* data has any alignment, hence memcpy(), which compilers turn into a plain load. */
#define CONVERT(type, expression)                                                                                      \
  for (gsize i = 0; i < n; i++) {                                                                                      \
    type x;                                                                                                            \
    memcpy (&x, data + i * sizeof x, sizeof x);                                                                        \
    out[i] = (expression);                                                                                             \
  }                                                                                                                    \
  break

void
deim_checkpoint_tensor_to_float (const DeimCheckpointTensor *tensor, gfloat *out)
{
  const guint8 *data = tensor->data;
  gsize n = tensor->n_elements;
  if (n == 0)
    return;
  switch (tensor->dtype) {
  case DEIM_DTYPE_F32:
    memcpy (out, data, n * sizeof (gfloat));
    break;
  case DEIM_DTYPE_F16:
    CONVERT (guint16, deim_half_to_float (x));
  case DEIM_DTYPE_BF16:
    CONVERT (guint16, bfloat_to_float (x));
  case DEIM_DTYPE_F64:
    CONVERT (gdouble, (gfloat) x);
  case DEIM_DTYPE_I64:
    CONVERT (gint64, (gfloat) x);
  case DEIM_DTYPE_I32:
    CONVERT (gint32, (gfloat) x);
  case DEIM_DTYPE_I16:
    CONVERT (gint16, x);
  case DEIM_DTYPE_I8:
    CONVERT (gint8, x);
  case DEIM_DTYPE_U8:
    CONVERT (guint8, x);
  case DEIM_DTYPE_BOOL:
    CONVERT (guint8, x ? 1.0f : 0.0f);
  }
}
