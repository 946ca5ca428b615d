/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * onnx-export.c - a network's tensors as the official exporter writes them,
 * after what files and PyTorch's exporter show: nodes named by their modules,
 * BatchNorm folded, matrices transposed, heads of training left out. Which norm
 * belongs to a convolution is read off the order of the state dict, where it is the
 * next one, and not off names as the reader does.
 */
#include "onnx-make.h"

#include <string.h>

typedef struct {
  GByteArray *graph;
  GoldenParams *params;
  DeimStateDict *dict;
  ExportStyle style;
  guint counter;
  gint last; /* decoder layer that is run */
} Export;

static const GoldenParam *
param_at (const Export *export, guint index)
{
  return index < export->params->list->len ? g_ptr_array_index (export->params->list, index) : NULL;
}

static void
add_tensor (Export *export, const gchar *name, const GoldenParam *like, guint n_dims, const gint64 *dims)
{
  DeimShape shape;
  g_autofree gfloat *values = NULL;
  if (like)
    values = export->dict->values.lookup (export->dict->values.data, like->name, &shape);
  gsize n = 1;
  for (guint i = 0; i < n_dims; i++)
    n *= (gsize) dims[i];
  if (!values)
    values = g_new0 (gfloat, n);
  make_onnx_tensor (export->graph, name, n_dims, dims, values);
}

/* "onnx::Conv_17" */
static gchar *
new_name (Export *export, const gchar *op)
{
  return g_strdup_printf ("onnx::%s_%u", op, export->counter++);
}

/* "backbone.stages.0.conv" -> "/model/backbone/stages.0/conv/OP" */
static gchar *
node_name (const Export *export, const gchar *module, const gchar *op)
{
  g_auto (GStrv) parts = g_strsplit (module, ".", -1);
  GString *name = g_string_new ("/model");
  g_autofree gchar *list = g_strdup ("");
  for (guint i = 0; parts[i]; i++) {
    if (g_ascii_isdigit (*parts[i])) {
      g_autofree gchar *item = g_strdup_printf ("%s.%s", list, parts[i]);
      g_string_append_printf (name, export->style & EXPORT_SEQUENTIAL ? "/%s" : ".%s",
                              export->style & EXPORT_SEQUENTIAL ? item : parts[i]);
      g_free (list);
      list = g_steal_pointer (&item);
    } else {
      g_string_append_printf (name, "/%s", parts[i]);
      g_free (list);
      list = g_strdup (parts[i]);
    }
  }
  g_string_append_printf (name, "/%s", op);
  return g_string_free (name, FALSE);
}

static gchar *
module_of (const gchar *name)
{
  return g_strndup (name, (gsize) (strrchr (name, '.') - name));
}

static void
add_conv (Export *export, const gchar *conv, const GoldenParam *weight, const gchar *norm)
{
  g_autofree gchar *kernel = new_name (export, "Conv"), *bias = new_name (export, "Conv");
  g_autofree gchar *name = node_name (export, conv, "Conv"), *own = g_strdup_printf ("model.%s.weight", conv);
  gint64 n = weight->dims[0];
  if (!(export->style & EXPORT_FROZEN) || !g_str_has_prefix (conv, "backbone.")) {
    make_onnx_node (export->graph, "Conv", name, name, "x", kernel, bias, NULL);
    add_tensor (export, kernel, weight, 4, weight->dims);
    add_tensor (export, bias, NULL, 1, &n);
    return;
  }
  g_autofree gchar *mul = node_name (export, norm, "Mul"), *add = node_name (export, norm, "Add");
  make_onnx_node (export->graph, "Conv", name, name, "x", own, NULL);
  make_onnx_node (export->graph, "Mul", mul, mul, name, kernel, NULL);
  make_onnx_node (export->graph, "Add", add, add, mul, bias, NULL);
  add_tensor (export, own, weight, 4, weight->dims);
  add_tensor (export, kernel, NULL, 4, (gint64[]){ 1, n, 1, 1 });
  add_tensor (export, bias, NULL, 4, (gint64[]){ 1, n, 1, 1 });
}

/* A linear layer without its bias, which keeps its name: @rows of them of the matrix @like. */
static void
add_linear (Export *export, const gchar *module, gint64 rows, gint64 columns, const gchar *bias)
{
  g_autofree gchar *matrix = new_name (export, "MatMul");
  g_autofree gchar *mul = node_name (export, module, "MatMul"), *add = node_name (export, module, "Add");
  g_autofree gchar *out = g_strdup_printf ("%s_%u", mul, export->counter++);
  make_onnx_node (export->graph, "MatMul", mul, out, "x", matrix, NULL);
  make_onnx_node (export->graph, "Add", add, add, bias, out, NULL);
  add_tensor (export, matrix, NULL, 2, (gint64[]){ columns, rows });
}

static void
add_attention (Export *export, const gchar *module, gint64 width)
{
  for (guint i = 0; i < 3; i++) {
    g_autofree gchar *bias = new_name (export, "Add");
    add_linear (export, module, width, width, bias);
    add_tensor (export, bias, NULL, 1, &width);
  }
}

/* Left out of exports: what does not run, what only training reads, and what follows from the rest. */
static gboolean
is_left_out (const Export *export, const gchar *name)
{
  static const gchar *const heads[] = { "decoder.dec_score_head.", "decoder.decoder.lqe_layers." };
  static const gchar *const layers[] = { "decoder.decoder.layers.", "decoder.dec_bbox_head." };
  static const gchar *const others[] = { "decoder.denoising_class_embed.weight", "decoder.up", "decoder.valid_mask",
                                         "decoder.decoder.up", "decoder.decoder.reg_scale" };
  for (gsize i = 0; i < G_N_ELEMENTS (heads); i++)
    if (g_str_has_prefix (name, heads[i]) && atoi (name + strlen (heads[i])) != export->last)
      return TRUE;
  for (gsize i = 0; i < G_N_ELEMENTS (layers); i++)
    if (g_str_has_prefix (name, layers[i]) && atoi (name + strlen (layers[i])) > export->last)
      return TRUE;
  for (gsize i = 0; i < G_N_ELEMENTS (others); i++)
    if (g_str_equal (name, others[i]))
      return TRUE;
  return strstr (name, ".running_") || g_str_has_suffix (name, ".num_batches_tracked");
}

/* A tensor that has no part in what is folded, under its own name. */
static void
add_named (Export *export, const GoldenParam *param)
{
  g_autofree gchar *own = g_strconcat ("model.", param->name, NULL), *module = module_of (param->name);
  g_autofree gchar *node = node_name (export, module, "Mul");
  make_onnx_node (export->graph, "Mul", node, node, "x", own, NULL);
  add_tensor (export, own, param, param->n_dims, param->dims);
}

static gboolean
is_norm (const Export *export, const gchar *module)
{
  g_autofree gchar *mean = g_strconcat (module, ".running_mean", NULL);
  return g_hash_table_contains (export->params->by_name, mean);
}

/* The norm that comes after the tensor @index. */
static gchar *
next_norm (const Export *export, guint index)
{
  for (const GoldenParam *p; (p = param_at (export, ++index));) {
    g_autofree gchar *module = module_of (p->name);
    if (is_norm (export, module))
      return g_steal_pointer (&module);
  }
  g_error ("a convolution without a norm");
}

static void
add_param (Export *export, guint index)
{
  const GoldenParam *param = param_at (export, index);
  g_autofree gchar *module = module_of (param->name);
  const gchar *leaf = strrchr (param->name, '.');
  if (is_left_out (export, param->name) || is_norm (export, module))
    return;
  if (g_str_equal (param->name, "decoder.anchors")) {
    make_onnx_node (export->graph, "GatherElements", "/model/decoder/GatherElements", "a", "onnx::Anchors", "i", NULL);
    add_tensor (export, "onnx::Anchors", param, param->n_dims, param->dims);
  } else if (g_str_equal (leaf, ".num_points_scale")) {
    g_autofree gchar *name = new_name (export, "Mul"), *node = node_name (export, module, "Mul");
    make_onnx_node (export->graph, "Mul", node, node, "x", name, NULL);
    add_tensor (export, name, param, 2, (gint64[]){ param->dims[0], 1 });
  } else if (g_str_equal (leaf, ".in_proj_weight")) {
    add_attention (export, module, param->dims[1]);
  } else if (param->n_dims == 4) {
    g_autofree gchar *norm = next_norm (export, index);
    gboolean repvgg = (export->style & EXPORT_MERGED) && strstr (module, ".bottlenecks.");
    if (repvgg && g_str_has_suffix (module, ".conv2.conv"))
      return;
    if (repvgg)
      module[strlen (module) - strlen ("1.conv")] = '\0';
    add_conv (export, module, param, norm);
  } else if (param->n_dims == 2 && g_str_equal (leaf, ".weight") && !strstr (module, "out_proj") &&
             !strstr (module, "tgt_embed")) {
    g_autofree gchar *bias = g_strdup_printf ("model.%s.bias", module);
    add_linear (export, module, param->dims[0], param->dims[1], bias);
  } else if (!g_str_equal (leaf, ".in_proj_bias")) {
    add_named (export, param);
  }
}

/* W(n) that the distributions are multiplied by; of decoder.up nothing else is left. */
static void
add_integral (Export *export)
{
  DeimShape shape;
  g_autofree gfloat *up = export->dict->values.lookup (export->dict->values.data, "decoder.up", &shape);
  g_autofree gfloat *reg_scale = export->dict->values.lookup (export->dict->values.data, "decoder.reg_scale", &shape);
  gfloat values[33] = { [0] = -2 * *up * *reg_scale, [32] = 2 * *up * *reg_scale };
  make_onnx_node (export->graph, "MatMul", "/model/decoder/decoder/integral/MatMul", "m", "x", "onnx::MatMul_1", NULL);
  make_onnx_tensor (export->graph, "onnx::MatMul_1", 1, (gint64[]){ 33 }, values);
}

/* Operators without tensors, of which some tell what tensors do not. */
static void
add_operators (Export *export)
{
  static const gchar act[] = "/model/decoder/enc_bbox_head/act/",
                     cross[] = "/model/decoder/decoder/layers.0/cross_attn/";
  const gchar *op = export->style & EXPORT_RELU ? "Relu" : "Sigmoid";
  g_autofree gchar *act_name = g_strconcat (act, op, NULL), *gather = g_strconcat (cross, "Gather", NULL);
  g_autofree gchar *grid = g_strconcat (cross, "GridSample", NULL);
  make_onnx_node (export->graph, op, act_name, act_name, "x", NULL);
  make_onnx_node (export->graph, "Gather", gather, gather, "x", "i", NULL);
  if (!(export->style & EXPORT_DISCRETE))
    make_onnx_node (export->graph, "GridSample", grid, grid, "x", "g", NULL);
  /* The postprocessor's is none of the network's. */
  make_onnx_int (export->graph, "k", 77);
  make_onnx_int (export->graph, "k_post", 300);
  make_onnx_node (export->graph, "TopK", "/model/decoder/TopK", "top", "x", "k", NULL);
  make_onnx_node (export->graph, "TopK", "/postprocessor/TopK", "top_post", "x", "k_post", NULL);
}

GBytes *
make_onnx_export (GoldenParams *params, DeimStateDict *dict, gint eval_idx, ExportStyle style)
{
  Export export = { g_byte_array_new (), params, dict, style, 1000, eval_idx };
  for (guint i = 0; i < params->list->len; i++)
    add_param (&export, i);
  if (g_hash_table_contains (params->by_name, "decoder.up"))
    add_integral (&export);
  add_operators (&export);
  return make_onnx (export.graph);
}
