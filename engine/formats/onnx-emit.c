/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* onnx-emit.c - what the parts of the ONNX reader share: refusing, asking constants, adding tensors; see onnx.h. */
#include "onnx.h"

#include <string.h>

#include "engine/error.h"

gboolean
deim_onnx_refuse (const DeimOnnxReader *reader, GError **error, const gchar *format, ...)
{
  va_list args;
  va_start (args, format);
  g_autofree gchar *text = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (error, DEIM_ERROR, DEIM_ERROR_FORMAT, "%s: %s", reader->where, text);
  return FALSE;
}

/* A node refused; its name comes out of the file. */
gboolean
deim_onnx_refuse_node (const DeimOnnxReader *reader, GError **error, const DeimOnnxNode *node, const gchar *what)
{
  g_autofree gchar *quoted = deim_quote (node->name, strlen (node->name));
  return deim_onnx_refuse (
      reader, error, "node \"%s\" %s: this is no official export, or one that was changed afterwards", quoted, what);
}

gboolean
deim_onnx_is_float (const DeimCheckpointTensor *tensor)
{
  return tensor->dtype == DEIM_DTYPE_F32 || tensor->dtype == DEIM_DTYPE_F16 || tensor->dtype == DEIM_DTYPE_BF16 ||
         tensor->dtype == DEIM_DTYPE_F64;
}

/* A parameter that kept its name: the name, without "model."; else NULL. */
const gchar *
deim_onnx_own_name (const DeimOnnxConstant *constant)
{
  static const gchar prefix[] = "model.";
  return g_str_has_prefix (constant->tensor.name, prefix) ? constant->tensor.name + sizeof prefix - 1 : NULL;
}

/* "X" of a parameter "X.bias" if @suffix is ".bias". Free with g_free(). */
gchar *
deim_onnx_owner (const DeimOnnxConstant *constant, const gchar *suffix)
{
  const gchar *name = deim_onnx_own_name (constant);
  if (!name || !g_str_has_suffix (name, suffix))
    return NULL;
  return g_strndup (name, strlen (name) - strlen (suffix));
}

/* --------------------------------------------------------------- emitting */

/* Adds @module.@leaf with @bytes in place of @tensor's own. */
gboolean
deim_onnx_emit (DeimOnnxReader *reader, const gchar *module, const gchar *leaf, const DeimCheckpointTensor *tensor,
                GBytes *bytes, GError **error)
{
  g_autofree gchar *name = g_strconcat (module, leaf, NULL);
  DeimCheckpointTensor copy = *tensor;
  copy.data = g_bytes_get_data (bytes, NULL);
  return deim_checkpoint_append (reader->checkpoint, name, strlen (name), &copy, bytes, reader->where, error);
}

/* Memory for a tensor of @n_elements, zeroed; NULL when the file has asked for too much. */
guint8 *
deim_onnx_make_room (DeimOnnxReader *reader, DeimDtype dtype, gsize n_elements, gsize *ret_size, GError **error)
{
  gsize size;
  if (__builtin_mul_overflow (n_elements, deim_dtype_size (dtype), &size) || size > reader->left) {
    deim_onnx_refuse (reader, error, "its nodes take the same weights over and over: this is no official export");
    return NULL;
  }
  reader->left -= size;
  *ret_size = size;
  return g_malloc0 (MAX (size, 1));
}

/* A constant as a vector, whatever its shape. */
gboolean
deim_onnx_emit_vector (DeimOnnxReader *reader, const gchar *module, const gchar *leaf, DeimOnnxConstant *constant,
                       GError **error)
{
  DeimCheckpointTensor tensor = constant->tensor;
  tensor.n_dims = 1;
  tensor.shape[0] = (gint64) tensor.n_elements;
  constant->taken = TRUE;
  return deim_onnx_emit (reader, module, leaf, &tensor, constant->bytes, error);
}

/* @n times @value, as float32. */
gboolean
deim_onnx_emit_fill (DeimOnnxReader *reader, const gchar *module, const gchar *leaf, gsize n, gfloat value,
                     GError **error)
{
  gsize size;
  guint8 *data = deim_onnx_make_room (reader, DEIM_DTYPE_F32, n, &size, error);
  if (!data)
    return FALSE;
  for (gsize i = 0; i < n; i++)
    memcpy (data + i * sizeof value, &value, sizeof value);
  g_autoptr (GBytes) bytes = g_bytes_new_take (data, size);
  DeimCheckpointTensor tensor = { .dtype = DEIM_DTYPE_F32, .n_dims = 1, .shape = { (gint64) n }, .n_elements = n };
  return deim_onnx_emit (reader, module, leaf, &tensor, bytes, error);
}
