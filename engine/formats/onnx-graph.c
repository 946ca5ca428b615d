/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * onnx-graph.c - an ONNX file as nodes and constants; see onnx.h.
 *
 * libprotobuf-c does the decoding. It makes a structure of every field that it
 * meets, even of one that takes two bytes, so its memory is rationed by the
 * size of the file.
 */
#include "onnx.h"

#include <string.h>

/* Made of onnx.proto by the build. */
#include <engine/formats/onnx.pb-c.h>

#include "engine/error.h"
#include "file.h"

/* Bytes of memory for a byte of the file. Weights need one and the nodes of a network about eight; the constant is
 * for files that are almost empty. */
#define RATION       16
#define RATION_SMALL (1 << 16)

#define EXTERNAL 1 /* data_location */

static gboolean G_GNUC_PRINTF (3, 4) refuse (GError **error, const gchar *where, const gchar *format, ...)
{
  va_list args;
  va_start (args, format);
  g_autofree gchar *text = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (error, DEIM_ERROR, DEIM_ERROR_FORMAT, "%s: %s", where, text);
  return FALSE;
}

/* ------------------------------------------------------- rationed memory */

static void *
ration_alloc (void *data, size_t size)
{
  gsize *left = data;
  if (size > *left)
    return NULL;
  *left -= size;
  return g_try_malloc (size);
}

/* Nothing is given back to the ration: it bounds the sum, and what was decoded stays until the end anyway. */
static void
ration_free (void *data, void *pointer)
{
  g_free (pointer);
}

static Deim__Onnx__Model *
decode (GBytes *bytes)
{
  gsize size;
  const guint8 *data = g_bytes_get_data (bytes, &size);
  gsize left = size < G_MAXSIZE / RATION - RATION_SMALL ? RATION * size + RATION_SMALL : G_MAXSIZE;
  ProtobufCAllocator allocator = { ration_alloc, ration_free, &left };
  return deim__onnx__model__unpack (&allocator, size, data);
}

/* --------------------------------------------------------------- tensors */

static gboolean
parse_dtype (gint32 number, DeimDtype *ret_dtype)
{
  static const struct {
    gint32 number;
    DeimDtype dtype;
  } known[] = {
    { 1, DEIM_DTYPE_F32 },  { 2, DEIM_DTYPE_U8 },    { 3, DEIM_DTYPE_I8 },   { 5, DEIM_DTYPE_I16 },
    { 6, DEIM_DTYPE_I32 },  { 7, DEIM_DTYPE_I64 },   { 9, DEIM_DTYPE_BOOL }, { 10, DEIM_DTYPE_F16 },
    { 11, DEIM_DTYPE_F64 }, { 16, DEIM_DTYPE_BF16 },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (known); i++) {
    if (known[i].number == number) {
      *ret_dtype = known[i].dtype;
      return TRUE;
    }
  }
  return FALSE;
}

/* The elements of @message, as they stand in memory. */
static gboolean
find_data (const Deim__Onnx__Tensor *message, DeimDtype dtype, const void **ret_data, gsize *ret_size)
{
  if (message->has_raw_data) {
    *ret_data = message->raw_data.data;
    *ret_size = message->raw_data.len;
  } else if (dtype == DEIM_DTYPE_F32) {
    *ret_data = message->float_data;
    *ret_size = message->n_float_data * sizeof (float);
  } else if (dtype == DEIM_DTYPE_I64) {
    *ret_data = message->int64_data;
    *ret_size = message->n_int64_data * sizeof (gint64);
  } else {
    return FALSE;
  }
  return TRUE;
}

static gboolean
add_constant (DeimOnnxGraph *graph, const gchar *name, const DeimCheckpointTensor *tensor, GBytes *bytes,
              const gchar *where, GError **error)
{
  if (g_hash_table_contains (graph->by_name, name)) {
    g_autofree gchar *quoted = deim_quote (name, strlen (name));
    return refuse (error, where, "two tensors are called \"%s\"", quoted);
  }
  DeimOnnxConstant *constant = g_new0 (DeimOnnxConstant, 1);
  constant->tensor = *tensor;
  constant->tensor.name = name;
  constant->tensor.data = g_bytes_get_data (bytes, NULL);
  constant->bytes = g_bytes_ref (bytes);
  g_ptr_array_add (graph->constants, constant);
  g_hash_table_insert (graph->by_name, (gpointer) name, constant);
  return TRUE;
}

static gboolean
read_tensor (DeimOnnxGraph *graph, const Deim__Onnx__Tensor *message, const gchar *name, const gchar *where,
             GError **error)
{
  g_autofree gchar *quoted = deim_quote (name, strlen (name));
  DeimCheckpointTensor tensor = { .n_dims = (guint) message->n_dims };
  if (message->data_location == EXTERNAL || message->n_external_data > 0)
    return refuse (error, where,
                   "tensor \"%s\" lies in another file; export again without external data, so that there is one file",
                   quoted);
  if (!parse_dtype (message->data_type, &tensor.dtype))
    return refuse (error, where, "tensor \"%s\" has elements of a type (%d) that weights do not have", quoted,
                   message->data_type);
  if (message->n_dims > DEIM_CHECKPOINT_MAX_DIMS)
    return refuse (error, where, "tensor \"%s\" has %zu dimensions, more than the %d that are accepted", quoted,
                   message->n_dims, DEIM_CHECKPOINT_MAX_DIMS);
  for (gsize i = 0; i < message->n_dims; i++)
    tensor.shape[i] = message->dims[i];
  if (!deim_shape_count (tensor.dtype, tensor.n_dims, tensor.shape, &tensor.n_elements))
    return refuse (error, where, "tensor \"%s\": its shape is negative, or too large for any memory", quoted);

  const void *data;
  gsize size, need = tensor.n_elements * deim_dtype_size (tensor.dtype);
  if (!find_data (message, tensor.dtype, &data, &size))
    return refuse (error, where, "tensor \"%s\" of %s does not have its elements as raw data", quoted,
                   deim_dtype_name (tensor.dtype));
  if (size != need)
    return refuse (error, where, "tensor \"%s\": its shape needs %zu bytes and it has %zu: " DEIM_FILE_DAMAGED, quoted,
                   need, size);
  g_autoptr (GBytes) bytes = g_bytes_new (data, size);
  return add_constant (graph, name, &tensor, bytes, where, error);
}

/* ----------------------------------------------------------------- nodes */

static const Deim__Onnx__Attribute *
find_attribute (const Deim__Onnx__Node *message, const gchar *name)
{
  for (gsize i = 0; i < message->n_attribute; i++)
    if (g_strcmp0 (message->attribute[i]->name, name) == 0)
      return message->attribute[i];
  return NULL;
}

static gboolean
read_node (DeimOnnxGraph *graph, const Deim__Onnx__Node *message, const gchar *where, GError **error)
{
  DeimOnnxNode node = {
    .name = message->name ? message->name : "",
    .op = message->op_type ? message->op_type : "",
    .n_inputs = (guint) MIN (message->n_input, G_MAXUINT),
    .inputs = message->input,
    .output = message->n_output > 0 ? message->output[0] : "",
  };
  if (g_str_equal (node.op, "Constant")) {
    const Deim__Onnx__Attribute *value = find_attribute (message, "value");
    return !value || !value->t || read_tensor (graph, value->t, node.output, where, error);
  }
  if (g_str_equal (node.op, "Identity")) {
    /* So the exporter writes parameters that have the same values. */
    const DeimOnnxConstant *of = node.n_inputs == 1 ? deim_onnx_graph_constant (graph, node.inputs[0]) : NULL;
    return !of || add_constant (graph, node.output, &of->tensor, of->bytes, where, error);
  }
  if (g_str_equal (node.op, "Gemm")) {
    const Deim__Onnx__Attribute *trans_b = find_attribute (message, "transB");
    node.trans_b = trans_b && trans_b->i != 0;
  }
  g_array_append_val (graph->nodes, node);
  return TRUE;
}

static void
constant_free (gpointer data)
{
  DeimOnnxConstant *constant = data;
  g_bytes_unref (constant->bytes);
  g_free (constant);
}

/* Whether nodes are named after the two modules that every network of the family has. */
static gboolean
is_export (const Deim__Onnx__Graph *body)
{
  gboolean backbone = FALSE, decoder = FALSE;
  for (gsize i = 0; body && i < body->n_node; i++) {
    const gchar *name = body->node[i]->name;
    backbone = backbone || (name && g_str_has_prefix (name, "/model/backbone/"));
    decoder = decoder || (name && g_str_has_prefix (name, "/model/decoder/"));
  }
  return backbone && decoder;
}

DeimOnnxGraph *
deim_onnx_graph_parse (GBytes *bytes, const gchar *where, GError **error)
{
  Deim__Onnx__Model *message = decode (bytes);
  if (!message) {
    refuse (error, where, "it cannot be decoded: not an ONNX model, or " DEIM_FILE_DAMAGED);
    return NULL;
  }
  const Deim__Onnx__Graph *body = message->graph;
  g_autoptr (DeimOnnxGraph) graph = g_new0 (DeimOnnxGraph, 1);
  graph->message = message;
  graph->nodes = g_array_new (FALSE, FALSE, sizeof (DeimOnnxNode));
  graph->constants = g_ptr_array_new_with_free_func (constant_free);
  graph->by_name = g_hash_table_new (g_str_hash, g_str_equal);
  graph->consumers = g_hash_table_new (g_str_hash, g_str_equal);
  if (!is_export (body)) {
    refuse (
        error, where,
        "this ONNX model is not one that can be read back: accepted is what tools/deployment/export_onnx.py of DEIM, "
        "DEIMv2, D-FINE or RT-DETR writes, whose nodes are named /model/backbone/.., /model/encoder/.. and "
        "/model/decoder/..; else give the .pth or .safetensors file");
    return NULL;
  }
  for (gsize i = 0; i < body->n_initializer; i++) {
    const Deim__Onnx__Tensor *tensor = body->initializer[i];
    if (!read_tensor (graph, tensor, tensor->name ? tensor->name : "", where, error))
      return NULL;
  }
  for (gsize i = 0; i < body->n_node; i++)
    if (!read_node (graph, body->node[i], where, error))
      return NULL;
  for (guint i = 0; i < graph->nodes->len; i++) {
    DeimOnnxNode *node = &g_array_index (graph->nodes, DeimOnnxNode, i);
    for (guint k = 0; k < node->n_inputs && g_str_equal (node->op, "Add"); k++)
      if (!g_hash_table_contains (graph->consumers, node->inputs[k]))
        g_hash_table_insert (graph->consumers, node->inputs[k], node);
  }
  return g_steal_pointer (&graph);
}

void
deim_onnx_graph_free (DeimOnnxGraph *graph)
{
  if (!graph)
    return;
  ProtobufCAllocator allocator = { ration_alloc, ration_free, NULL };
  g_hash_table_unref (graph->consumers);
  g_hash_table_unref (graph->by_name);
  g_ptr_array_unref (graph->constants);
  g_array_unref (graph->nodes);
  deim__onnx__model__free_unpacked (graph->message, &allocator);
  g_free (graph);
}

DeimOnnxConstant *
deim_onnx_graph_constant (const DeimOnnxGraph *graph, const gchar *name)
{
  return name ? g_hash_table_lookup (graph->by_name, name) : NULL;
}
