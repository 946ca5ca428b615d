/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* onnx-operators.c - what an export's operators show that no tensor tells; see onnx.h. */
#include "onnx.h"

#include <string.h>

/* Which of a module's alternatives have been seen. */
typedef struct {
  gboolean relu, sigmoid;           /* in an MLP of the decoder: ReLU, or SiLU as x * sigmoid (x) */
  gboolean grid_sample, gather;     /* in cross-attention: bilinear, or discrete */
  gboolean folded_norm, apart_norm; /* of the backbone: trained and swallowed by the convolution, or frozen */
  gint64 queries;                   /* of the decoder's TopK; 0: unknown */
} Seen;

static void
see_decoder (const DeimOnnxReader *reader, const DeimOnnxNode *node, Seen *seen)
{
  if (strstr (node->name, "/enc_bbox_head/")) {
    seen->relu = seen->relu || g_str_equal (node->op, "Relu");
    seen->sigmoid = seen->sigmoid || g_str_equal (node->op, "Sigmoid");
  }
  if (strstr (node->name, "/cross_attn/")) {
    seen->grid_sample = seen->grid_sample || g_str_equal (node->op, "GridSample");
    seen->gather = seen->gather || g_str_equal (node->op, "GatherND") || g_str_equal (node->op, "Gather");
  }
  if (!g_str_equal (node->op, "TopK") || !deim_onnx_node_is_in (node->name, "/model/decoder") || node->n_inputs < 2)
    return;
  const DeimOnnxConstant *k = deim_onnx_graph_constant (reader->graph, node->inputs[1]);
  if (k && k->tensor.dtype == DEIM_DTYPE_I64 && k->tensor.n_elements == 1)
    memcpy (&seen->queries, k->tensor.data, sizeof seen->queries);
}

gchar *
deim_onnx_read_operators (const DeimOnnxReader *reader)
{
  Seen seen = { 0 };
  for (guint i = 0; i < reader->graph->nodes->len; i++) {
    const DeimOnnxNode *node = &g_array_index (reader->graph->nodes, DeimOnnxNode, i);
    if (g_str_has_prefix (node->name, "/model/decoder/"))
      see_decoder (reader, node, &seen);
    if (g_str_has_prefix (node->name, "/model/backbone/") && g_str_equal (node->op, "Conv")) {
      seen.folded_norm = seen.folded_norm || node->n_inputs > 2;
      seen.apart_norm = seen.apart_norm || node->n_inputs <= 2;
    }
  }
  g_autoptr (GString) options = g_string_new (NULL);
  if (seen.relu != seen.sigmoid)
    g_string_append_printf (options, ",act=%s", seen.relu ? "relu" : "silu");
  if (seen.grid_sample || seen.gather) /* sizes are gathered beside GridSample, too */
    g_string_append_printf (options, ",sampling=%s", seen.grid_sample ? "bilinear" : "discrete");
  if (seen.queries > 0 && seen.queries <= 65536)
    g_string_append_printf (options, ",queries=%d", (gint) seen.queries);
  if (seen.folded_norm != seen.apart_norm)
    g_string_append_printf (options, ",frozen=%d", seen.apart_norm);
  return options->len ? g_strdup (options->str + 1) : NULL;
}
