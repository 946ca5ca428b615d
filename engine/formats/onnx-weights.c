/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* onnx-weights.c - convolutions, norms, linear layers and attention out of an ONNX export; see onnx.c. */
#include "onnx.h"

#include <string.h>

/* float32 (1 - 1e-5): + 1e-5f is 1. */
#define IDENTITY_VARIANCE ((gfloat) (1.0 - 1e-5))

/* The transpose of the matrix @from, written to @to. */
static void
transpose (const DeimCheckpointTensor *from, guint8 *to)
{
  gsize rows = (gsize) from->shape[0], columns = (gsize) from->shape[1], size = deim_dtype_size (from->dtype);
  for (gsize r = 0; r < rows; r++)
    for (gsize c = 0; c < columns; c++)
      memcpy (to + (c * rows + r) * size, from->data + (r * columns + c) * size, size);
}

/* ------------------------------------------------------ convolutions, norms */

/* A BatchNorm of @n channels that adds @bias (NULL: 0) and does no more. */
static gboolean
emit_identity_norm (DeimOnnxReader *reader, const gchar *norm, gsize n, DeimOnnxConstant *bias, GError **error)
{
  return deim_onnx_emit_fill (reader, norm, ".weight", n, 1.0f, error) &&
         (bias ? deim_onnx_emit_vector (reader, norm, ".bias", bias, error)
               : deim_onnx_emit_fill (reader, norm, ".bias", n, 0.0f, error)) &&
         deim_onnx_emit_fill (reader, norm, ".running_mean", n, 0.0f, error) &&
         deim_onnx_emit_fill (reader, norm, ".running_var", n, IDENTITY_VARIANCE, error);
}

static gboolean
emit_repvgg (DeimOnnxReader *reader, const gchar *block, const DeimOnnxConstant *weight, DeimOnnxConstant *bias,
             GError **error)
{
  g_autofree gchar *large = g_strconcat (block, ".conv1", NULL), *small = g_strconcat (block, ".conv2", NULL);
  g_autofree gchar *large_norm = g_strconcat (large, ".norm", NULL), *small_norm = g_strconcat (small, ".norm", NULL);
  DeimCheckpointTensor zero = { .dtype = DEIM_DTYPE_F32, .n_dims = 4, .shape = { 0, 0, 1, 1 } };
  gsize n = (gsize) weight->tensor.shape[0], size;
  zero.shape[0] = weight->tensor.shape[0];
  zero.shape[1] = weight->tensor.shape[1];
  zero.n_elements = n * (gsize) zero.shape[1];
  guint8 *data = deim_onnx_make_room (reader, zero.dtype, zero.n_elements, &size, error);
  if (!data)
    return FALSE;
  g_autoptr (GBytes) zeros = g_bytes_new_take (data, size);
  return deim_onnx_emit (reader, large, ".conv.weight", &weight->tensor, weight->bytes, error) &&
         emit_identity_norm (reader, large_norm, n, bias, error) &&
         deim_onnx_emit (reader, small, ".conv.weight", &zero, zeros, error) &&
         emit_identity_norm (reader, small_norm, n, NULL, error);
}

gboolean
deim_onnx_read_conv (DeimOnnxReader *reader, const DeimOnnxNode *node, GError **error)
{
  DeimOnnxConstant *weight = node->n_inputs > 1 ? deim_onnx_graph_constant (reader->graph, node->inputs[1]) : NULL;
  DeimOnnxConstant *bias = node->n_inputs > 2 ? deim_onnx_graph_constant (reader->graph, node->inputs[2]) : NULL;
  if (!weight || !deim_onnx_is_float (&weight->tensor) || weight->tensor.n_dims != 4 || weight->tensor.n_elements == 0)
    return deim_onnx_refuse_node (reader, error, node, "has no kernel of its own in floating point");
  if (weight->taken)
    return TRUE; /* a later call of the same module */
  if (node->n_inputs > 2 && *node->inputs[2] &&
      (!bias || !deim_onnx_is_float (&bias->tensor) || bias->tensor.n_dims != 1 ||
       bias->tensor.shape[0] != weight->tensor.shape[0]))
    return deim_onnx_refuse_node (reader, error, node, "has a bias that does not fit its kernel");

  g_autofree gchar *conv = deim_onnx_owner (weight, ".weight");
  if (!conv)
    conv = deim_onnx_module_of_node (node->name);
  if (!conv)
    return deim_onnx_refuse_node (reader, error, node, "is in no module");
  if (g_str_has_suffix (conv, ".conv_bn_fused")) /* what D-FINE's code calls it after its own folding */
    conv[strlen (conv) - strlen ("_bn_fused")] = '\0';
  weight->taken = TRUE;
  if (!bias) /* the norm follows, in nodes of its own */
    return deim_onnx_emit (reader, conv, ".weight", &weight->tensor, weight->bytes, error);
  g_autofree gchar *block = deim_onnx_repvgg_of_conv (conv);
  if (block)
    return emit_repvgg (reader, block, weight, bias, error);
  g_autofree gchar *norm = deim_onnx_norm_of_conv (conv);
  if (!norm)
    return deim_onnx_refuse_node (reader, error, node, "is a convolution that no network known here has");
  return deim_onnx_emit (reader, conv, ".weight", &weight->tensor, weight->bytes, error) &&
         emit_identity_norm (reader, norm, (gsize) weight->tensor.shape[0], bias, error);
}

/* The constant among the two inputs of a product or sum; NULL if there is none. */
static DeimOnnxConstant *
operand (const DeimOnnxReader *reader, const DeimOnnxNode *node)
{
  for (guint i = 0; i < 2 && node->n_inputs == 2; i++) {
    DeimOnnxConstant *constant = deim_onnx_graph_constant (reader->graph, node->inputs[i]);
    if (constant && deim_onnx_is_float (&constant->tensor))
      return constant;
  }
  return NULL;
}

/* A frozen BatchNorm: x * [1, c, 1, 1] + [1, c, 1, 1]. */
gboolean
deim_onnx_read_frozen_norm (DeimOnnxReader *reader, const DeimOnnxNode *node, DeimOnnxConstant *constant,
                            GError **error)
{
  g_autofree gchar *norm = deim_onnx_module_of_node (node->name);
  gsize n = constant->tensor.n_elements;
  if (!norm)
    return deim_onnx_refuse_node (reader, error, node, "is in no module");
  if (g_str_equal (node->op, "Add"))
    return deim_onnx_emit_vector (reader, norm, ".bias", constant, error);
  return deim_onnx_emit_vector (reader, norm, ".weight", constant, error) &&
         deim_onnx_emit_fill (reader, norm, ".running_mean", n, 0.0f, error) &&
         deim_onnx_emit_fill (reader, norm, ".running_var", n, IDENTITY_VARIANCE, error);
}

/* ----------------------------------------------------------------- linears */

/* What is added to the result of @node, if it is a constant. */
DeimOnnxConstant *
deim_onnx_bias_of (const DeimOnnxReader *reader, const DeimOnnxNode *node)
{
  const DeimOnnxNode *add = g_hash_table_lookup (reader->graph->consumers, node->output);
  return add ? operand (reader, add) : NULL;
}

/* The matrix of a MatMul or of a Gemm, if it is a constant that nobody has taken. */
DeimOnnxConstant *
deim_onnx_matrix_of (const DeimOnnxReader *reader, const DeimOnnxNode *node)
{
  if (!g_str_equal (node->op, "MatMul") && !g_str_equal (node->op, "Gemm"))
    return NULL;
  DeimOnnxConstant *matrix = node->n_inputs > 1 ? deim_onnx_graph_constant (reader->graph, node->inputs[1]) : NULL;
  if (!matrix || !deim_onnx_is_float (&matrix->tensor) || matrix->tensor.n_dims != 2 || matrix->taken)
    return NULL;
  return deim_onnx_own_name (matrix) ? NULL : matrix;
}

/* Modules that the decoder was handed by the one around it, and in whose scope they are called. */
static gchar *
linear_of_node (const DeimOnnxNode *node)
{
  static const gchar *const handed[] = { "query_pos_head.", "pre_bbox_head.", "dec_bbox_head.", "dec_score_head." };
  static const gchar inner[] = "decoder.decoder.";
  gchar *module = deim_onnx_module_of_node (node->name);
  for (gsize i = 0; module && i < G_N_ELEMENTS (handed); i++) {
    if (!g_str_has_prefix (module, inner) || !g_str_has_prefix (module + strlen (inner), handed[i]))
      continue;
    gchar *outer = g_strconcat ("decoder.", module + strlen (inner), NULL);
    g_free (module);
    module = outer;
  }
  return module;
}

gboolean
deim_onnx_read_linear (DeimOnnxReader *reader, const DeimOnnxNode *node, DeimOnnxConstant *matrix, GError **error)
{
  /* The bias has kept its name, and that says whose it is better than the scope does. */
  DeimOnnxConstant *bias = g_str_equal (node->op, "Gemm") && node->n_inputs > 2
                               ? deim_onnx_graph_constant (reader->graph, node->inputs[2])
                               : deim_onnx_bias_of (reader, node);
  g_autofree gchar *module = bias ? deim_onnx_owner (bias, ".bias") : NULL;
  g_autofree gchar *packed = bias ? deim_onnx_owner (bias, ".in_proj_bias") : NULL;
  if (!module && !packed)
    module = linear_of_node (node);
  if (!module && !packed)
    return deim_onnx_refuse_node (reader, error, node, "is in no module");
  const gchar *leaf = packed ? ".in_proj_weight" : ".weight";
  DeimCheckpointTensor tensor = matrix->tensor;
  matrix->taken = TRUE;
  if (node->trans_b)
    return deim_onnx_emit (reader, packed ? packed : module, leaf, &tensor, matrix->bytes, error);
  gsize size;
  guint8 *data = deim_onnx_make_room (reader, tensor.dtype, tensor.n_elements, &size, error);
  if (!data)
    return FALSE;
  transpose (&matrix->tensor, data);
  tensor.shape[0] = matrix->tensor.shape[1];
  tensor.shape[1] = matrix->tensor.shape[0];
  g_autoptr (GBytes) bytes = g_bytes_new_take (data, size);
  return deim_onnx_emit (reader, packed ? packed : module, leaf, &tensor, bytes, error);
}

/*
 * The projections of an attention, in the order q, k, v: from node @first on,
 * those in its scope whose bias has no name. The file may have split the packed
 * matrix [3d, d] in one, two or three; put behind each other they are it again.
 */
gboolean
deim_onnx_read_attention (DeimOnnxReader *reader, guint first, GError **error)
{
  const DeimOnnxNode *nodes = (const DeimOnnxNode *) reader->graph->nodes->data;
  const DeimOnnxNode *node = &nodes[first];
  g_autofree gchar *scope = g_path_get_dirname (node->name);
  g_autofree gchar *module = deim_onnx_module_of_node (node->name);
  const DeimCheckpointTensor *like = &deim_onnx_graph_constant (reader->graph, node->inputs[1])->tensor;
  gsize d = (gsize) like->shape[0], element = deim_dtype_size (like->dtype), size, bias_size;
  if (d == 0 || d > 1 << 16)
    return deim_onnx_refuse_node (reader, error, node, "has an odd width");
  guint8 *data = deim_onnx_make_room (reader, like->dtype, 3 * d * d, &size, error);
  if (!data)
    return FALSE;
  g_autoptr (GBytes) weight = g_bytes_new_take (data, size);
  guint8 *bias_data = deim_onnx_make_room (reader, like->dtype, 3 * d, &bias_size, error);
  if (!bias_data)
    return FALSE;
  g_autoptr (GBytes) bias = g_bytes_new_take (bias_data, bias_size);

  /* They follow each other closely; looking further would take long in a file made for that. */
  guint end = MIN (first + 256, reader->graph->nodes->len);
  gsize rows = 0;
  DeimDtype dtype = like->dtype;
  for (guint i = first; i < end && rows < 3 * d; i++) {
    if (!deim_onnx_node_is_in (nodes[i].name, scope))
      continue;
    DeimOnnxConstant *matrix = deim_onnx_matrix_of (reader, &nodes[i]);
    DeimOnnxConstant *add = matrix ? deim_onnx_bias_of (reader, &nodes[i]) : NULL;
    if (!add || deim_onnx_own_name (add))
      continue;
    gsize more = (gsize) matrix->tensor.shape[1];
    if (matrix->tensor.dtype != dtype || add->tensor.dtype != dtype || (gsize) matrix->tensor.shape[0] != d ||
        more > 3 * d - rows || add->tensor.n_elements != more)
      return deim_onnx_refuse_node (reader, error, &nodes[i],
                                    "is a projection of an attention that does not fit the others");
    transpose (&matrix->tensor, data + rows * d * element);
    memcpy (bias_data + rows * element, add->tensor.data, more * element);
    matrix->taken = add->taken = TRUE;
    rows += more;
  }
  if (rows != 3 * d)
    return deim_onnx_refuse_node (reader, error, node, "is not followed by all projections of its attention");
  gint64 n = (gint64) (3 * d);
  DeimCheckpointTensor matrix = { .dtype = dtype, .n_dims = 2, .shape = { n, (gint64) d }, .n_elements = 3 * d * d };
  DeimCheckpointTensor vector = { .dtype = dtype, .n_dims = 1, .shape = { n }, .n_elements = 3 * d };
  return deim_onnx_emit (reader, module, ".in_proj_weight", &matrix, weight, error) &&
         deim_onnx_emit (reader, module, ".in_proj_bias", &vector, bias, error);
}
