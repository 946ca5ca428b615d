/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* util.c - checks that all builder functions share. */
#include "engine/ops/util.h"

gboolean
deim_op_ready (DeimGraph *graph, const DeimOp *op, DeimTensor *const *required, guint n)
{
  if (deim_graph_has_failed (graph))
    return FALSE;
  for (guint i = 0; i < n; i++) {
    if (!required[i]) {
      deim_graph_fail (graph, "%s: operand %u is missing; the network description is at fault", op->name, i);
      return FALSE;
    }
    if (required[i]->type != DEIM_TYPE_FLOAT) {
      deim_graph_fail (graph, "%s: operand %u holds indices, not numbers; the network description is at fault",
                       op->name, i);
      return FALSE;
    }
  }
  return TRUE;
}

void
deim_op_fail_shapes (DeimGraph *graph, const DeimOp *op, const DeimTensor *a, const DeimTensor *b, const gchar *what)
{
  g_autofree gchar *second = NULL;
  if (b)
    second = g_strdup_printf (" and %s%s" DEIM_SHAPE_FORMAT, b->name ? b->name : "", b->name ? " " : "",
                              DEIM_SHAPE_ARGS (b->shape));
  deim_graph_fail (graph, "%s: %s; here are %s%s" DEIM_SHAPE_FORMAT "%s", op->name, what, a->name ? a->name : "",
                   a->name ? " " : "", DEIM_SHAPE_ARGS (a->shape), second ? second : "");
}

DeimNode *
deim_op_append (DeimGraph *graph, const DeimOp *op, DeimTensor *const *in, guint n_in, DeimShape shape)
{
  DeimNode *node = deim_graph_append (graph, op, in, n_in, shape, DEIM_TYPE_FLOAT);
  if (!node)
    return NULL;
  for (guint i = 0; i < n_in; i++)
    if (in[i] && in[i]->kind != DEIM_TENSOR_PARAM && in[i]->keep_fp32)
      node->out[0]->keep_fp32 = TRUE;
  return node;
}
