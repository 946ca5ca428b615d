/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * onnx.c - the state dict of a network of the family out of its official ONNX
 * export.
 *
 * Parameters that the exporter left as they were have kept their names. What it
 * computed beforehand is named by a number, and is told apart by the node that
 * takes it (deim_onnx_module_of_node()):
 *
 * - A convolution has swallowed the BatchNorm behind it. It keeps the kernel,
 *   and the norm becomes one that adds the bias and nothing else: weight 1,
 *   mean 0, and the variance to which eps = 1e-5 adds up to exactly 1.
 * - A frozen BatchNorm is left as a product and a sum.
 * - A RepVGG block is one 3x3 convolution; the 1x1 beside it becomes zero.
 * - Matrices of linear layers are transposed; q, k and v are apart.
 * - Heads that all layers share are there once.
 *
 * Heads that only training reads are not in the file, nor in what is returned,
 * but for the first score head, which tells the number of classes: it is a copy
 * of the last one.
 */
#include "onnx.h"

#include <string.h>

#include "engine/error.h"

/* Constants of fewer elements are arithmetic (sizes, clamps), not parameters. */
#define PARAMETER_MIN 9

/* ----------------------------------------------------- the decoder's tables */

/* Tables in the decoder's own scope have the shape [1, n, k]. */
static gboolean
read_decoder_table (DeimOnnxReader *reader, const DeimOnnxNode *node, DeimOnnxConstant *constant, GError **error)
{
  DeimCheckpointTensor tensor = constant->tensor;
  if (tensor.n_dims != 3 || tensor.shape[0] != 1 || tensor.shape[1] < 1)
    return TRUE;
  if (tensor.shape[2] == 4 && !deim_checkpoint_lookup (reader->checkpoint, "decoder.anchors")) {
    constant->taken = TRUE;
    /* RT-DETR of the first version does not have them in its state dict. */
    if (deim_onnx_graph_constant (reader->graph, "model.decoder.enc_output.0.bias"))
      return TRUE;
    return deim_onnx_emit (reader, "decoder", ".anchors", &tensor, constant->bytes, error);
  }
  if (tensor.shape[2] == 1) { /* the mask of valid anchors, which follows from them */
    constant->taken = TRUE;
    return TRUE;
  }
  if (!g_str_equal (node->op, "Tile") && !g_str_equal (node->op, "Expand"))
    return TRUE;
  tensor.n_dims = 2; /* learned queries, once for each picture of a batch */
  tensor.shape[0] = tensor.shape[1];
  tensor.shape[1] = tensor.shape[2];
  constant->taken = TRUE;
  return deim_onnx_emit (reader, "decoder", ".tgt_embed.weight", &tensor, constant->bytes, error);
}

/* 1/points of every sampling point, [p, 1]; layers may share the constant. */
static gboolean
read_points_scale (DeimOnnxReader *reader, const DeimOnnxNode *node, DeimOnnxConstant *constant, GError **error)
{
  const DeimCheckpointTensor *tensor = &constant->tensor;
  if (tensor->n_dims > 2 || (tensor->n_dims == 2 && tensor->shape[1] != 1) || tensor->n_elements < 2)
    return TRUE;
  constant->taken = TRUE;
  g_autofree gchar *module = deim_onnx_module_of_node (node->name);
  g_autofree gchar *name = g_strconcat (module, ".num_points_scale", NULL);
  if (deim_checkpoint_lookup (reader->checkpoint, name))
    return TRUE;
  return deim_onnx_emit_vector (reader, module, ".num_points_scale", constant, error);
}

/*
 * W(n), the values whose mean under the distributions is the offset, 1-D and symmetric: from
 * -2 up reg_scale on. decoder.up is what makes it so; it has no other trace.
 */
static gboolean
read_integral (DeimOnnxReader *reader, DeimOnnxConstant *constant, GError **error)
{
  const DeimCheckpointTensor *tensor = &constant->tensor;
  const DeimOnnxConstant *scale = deim_onnx_graph_constant (reader->graph, "model.decoder.reg_scale");
  constant->taken = TRUE;
  if (!scale || scale->tensor.n_elements != 1 || tensor->n_elements < 3 || tensor->n_elements > 1024 ||
      deim_onnx_graph_constant (reader->graph, "model.decoder.up") ||
      deim_checkpoint_lookup (reader->checkpoint, "decoder.up"))
    return TRUE;
  gfloat reg_scale, values[1024];
  deim_checkpoint_tensor_to_float (&scale->tensor, &reg_scale);
  deim_checkpoint_tensor_to_float (tensor, values);
  return deim_onnx_emit_fill (reader, "decoder", ".up", 1, -values[0] / (2 * reg_scale), error);
}

/* ------------------------------------------------------------------ nodes */

static gboolean
read_operand (DeimOnnxReader *reader, const DeimOnnxNode *node, DeimOnnxConstant *constant, GError **error)
{
  const DeimCheckpointTensor *tensor = &constant->tensor;
  g_autofree gchar *scope = g_path_get_dirname (node->name);
  if (g_str_equal (scope, "/model/decoder"))
    return constant->taken || read_decoder_table (reader, node, constant, error);
  gboolean product = g_str_equal (node->op, "Mul");
  if (product && g_str_has_suffix (scope, "/cross_attn"))
    return read_points_scale (reader, node, constant, error);
  if (g_str_equal (node->op, "MatMul") && g_str_has_suffix (scope, "/integral"))
    return constant->taken || read_integral (reader, constant, error);
  gboolean channels = tensor->n_dims == 4 && tensor->shape[1] > 0 && (gsize) tensor->shape[1] == tensor->n_elements;
  if (channels && (product || g_str_equal (node->op, "Add")) && !constant->taken)
    return deim_onnx_read_frozen_norm (reader, node, constant, error);
  return TRUE;
}

static gboolean
read_node (DeimOnnxReader *reader, guint index, GError **error)
{
  const DeimOnnxNode *node = &g_array_index (reader->graph->nodes, DeimOnnxNode, index);
  if (!g_str_has_prefix (node->name, "/model/"))
    return TRUE; /* the postprocessor, which is ours */
  if (g_str_equal (node->op, "Conv"))
    return deim_onnx_read_conv (reader, node, error);
  DeimOnnxConstant *matrix = deim_onnx_matrix_of (reader, node);
  g_autofree gchar *scope = g_path_get_dirname (node->name);
  if (matrix && !g_str_has_suffix (scope, "/integral")) {
    const DeimOnnxConstant *bias = deim_onnx_bias_of (reader, node);
    gboolean attention = g_str_equal (node->op, "MatMul") && g_str_has_suffix (scope, "/self_attn");
    return attention && bias && !deim_onnx_own_name (bias) ? deim_onnx_read_attention (reader, index, error)
                                                           : deim_onnx_read_linear (reader, node, matrix, error);
  }
  for (guint i = 0; i < node->n_inputs; i++) {
    DeimOnnxConstant *constant = deim_onnx_graph_constant (reader->graph, node->inputs[i]);
    if (constant && !deim_onnx_own_name (constant) && deim_onnx_is_float (&constant->tensor) &&
        !read_operand (reader, node, constant, error))
      return FALSE;
  }
  return TRUE;
}

/* --------------------------------------------------------------- the rest */

/* Parameters that kept their names and were not part of anything above. */
static gboolean
read_named (DeimOnnxReader *reader, GError **error)
{
  for (guint i = 0; i < reader->graph->constants->len; i++) {
    DeimOnnxConstant *constant = g_ptr_array_index (reader->graph->constants, i);
    const gchar *name = deim_onnx_own_name (constant);
    if (!name || constant->taken)
      continue;
    constant->taken = TRUE;
    if (!deim_onnx_emit (reader, name, "", &constant->tensor, constant->bytes, error))
      return FALSE;
  }
  return TRUE;
}

/* A parameter that nobody took would be missing without a word. */
static gboolean
check_leftovers (const DeimOnnxReader *reader, GError **error)
{
  for (guint i = 0; i < reader->graph->nodes->len; i++) {
    const DeimOnnxNode *node = &g_array_index (reader->graph->nodes, DeimOnnxNode, i);
    for (guint k = 0; g_str_has_prefix (node->name, "/model/") && k < node->n_inputs; k++) {
      const DeimOnnxConstant *constant = deim_onnx_graph_constant (reader->graph, node->inputs[k]);
      if (!constant || constant->taken || !deim_onnx_is_float (&constant->tensor) ||
          constant->tensor.n_elements < PARAMETER_MIN)
        continue;
      /* The encoder's table of positions, [1, n, c], is computed. */
      if (g_str_has_prefix (node->name, "/model/encoder/") && g_str_equal (node->op, "Add") &&
          constant->tensor.n_dims == 3)
        continue;
      return deim_onnx_refuse_node (reader, error, node, "takes weights that belong to no module known here");
    }
  }
  return TRUE;
}

/* The tensor @prefix@from@rest for all @n names but its own, as the modules of a list that are one and the same. */
static gboolean
emit_aliases (DeimOnnxReader *reader, const gchar *prefix, guint from, guint n, GError **error)
{
  g_autofree gchar *start = g_strdup_printf ("%s%u.", prefix, from);
  guint n_tensors = deim_checkpoint_get_n_tensors (reader->checkpoint);
  for (guint i = 0; i < n_tensors; i++) {
    const DeimCheckpointTensor *tensor = deim_checkpoint_get (reader->checkpoint, i);
    if (!g_str_has_prefix (tensor->name, start))
      continue;
    g_autofree gchar *rest = g_strdup (tensor->name + strlen (start) - 1);
    for (guint k = 0; k < n; k++) {
      if (k == from)
        continue;
      g_autofree gchar *name = g_strdup_printf ("%s%u%s", prefix, k, rest);
      gsize size;
      guint8 *data = deim_onnx_make_room (reader, tensor->dtype, tensor->n_elements, &size, error);
      if (!data)
        return FALSE;
      memcpy (data, tensor->data, size);
      g_autoptr (GBytes) bytes = g_bytes_new_take (data, size);
      if (!deim_onnx_emit (reader, name, "", tensor, bytes, error))
        return FALSE;
    }
  }
  return TRUE;
}

static gboolean
has (const DeimOnnxReader *reader, const gchar *format, guint index)
{
  g_auto (GStrv) parts = g_strsplit (format, "#", 2);
  g_autofree gchar *name = g_strdup_printf ("%s%u%s", parts[0], index, parts[1]);
  return deim_checkpoint_lookup (reader->checkpoint, name) != NULL;
}

static gboolean
finish_heads (DeimOnnxReader *reader, GError **error)
{
  guint layers = 0, last = 0;
  while (layers < 64 && has (reader, "decoder.decoder.layers.#.self_attn.in_proj_weight", layers))
    layers++;
  if (layers > 1 && has (reader, "decoder.dec_bbox_head.#.layers.0.weight", 0) &&
      !has (reader, "decoder.dec_bbox_head.#.layers.0.weight", 1) &&
      !emit_aliases (reader, "decoder.dec_bbox_head.", 0, layers, error))
    return FALSE;
  while (last < layers && !has (reader, "decoder.dec_score_head.#.weight", last))
    last++;
  if (last > 0 && last < layers)
    return emit_aliases (reader, "decoder.dec_score_head.", last, 1, error);
  /* Shared by all layers: the module has its first name, and the last is the one that is read. */
  if (last == 0 && layers > 1 && !has (reader, "decoder.dec_score_head.#.weight", layers - 1))
    return emit_aliases (reader, "decoder.dec_score_head.", 0, layers, error);
  return TRUE;
}

DeimCheckpoint *
deim_onnx_read (GBytes *bytes, const gchar *name, GError **error)
{
  g_autoptr (DeimOnnxGraph) graph = deim_onnx_graph_parse (bytes, name, error);
  if (!graph)
    return NULL;
  g_autoptr (DeimCheckpoint) checkpoint = deim_checkpoint_new ();
  DeimOnnxReader reader = { graph, checkpoint, name, 4 * g_bytes_get_size (bytes) + (1 << 16) };
  if (!deim_onnx_check_operators (&reader, error))
    return NULL;
  for (guint i = 0; i < graph->nodes->len; i++)
    if (!read_node (&reader, i, error))
      return NULL;
  if (!read_named (&reader, error) || !check_leftovers (&reader, error) || !finish_heads (&reader, error) ||
      !deim_onnx_check_selection (&reader, error))
    return NULL;
  if (has (&reader, "decoder.pre_bbox_head.layers.#.weight", 0) &&
      !deim_checkpoint_lookup (checkpoint, "decoder.reg_scale")) {
    deim_onnx_refuse (&reader, error, "decoder.reg_scale is not in it any more: export it without simplifying it");
    return NULL;
  }
  g_autofree gchar *operators = deim_onnx_read_operators (&reader);
  deim_checkpoint_set_operators (checkpoint, operators);
  deim_checkpoint_set_source (checkpoint, "the initializers of an ONNX export");
  return g_steal_pointer (&checkpoint);
}
