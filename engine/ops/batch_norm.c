/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * batch_norm.c - torch.nn.functional.batch_norm in evaluation mode.
 * Operands: x [n, c, h, w], then weight, bias, mean, var, each [c].
 */
#include "engine/ops/pointwise.h"
#include "engine/ops/util.h"

extern const DeimOp deim_op_batch_norm;

static void
batch_norm_reference (const DeimNode *node, const DeimOperands *operands)
{
  DeimShape s = node->out[0]->shape;
  gsize plane = (gsize) s.h * (gsize) s.w;
  for (gint n = 0; n < s.n; n++)
    for (gint c = 0; c < s.c; c++) {
      gdouble weight = operands->in[1][c], bias = operands->in[2][c];
      gdouble mean = operands->in[3][c], var = operands->in[4][c];
      gdouble deviation = sqrt (var + (gdouble) node->attrs.norm.eps);
      gsize at = ((gsize) n * (gsize) s.c + (gsize) c) * plane;
      for (gsize i = at; i < at + plane; i++)
        operands->out[0][i] = (gfloat) ((operands->in[0][i] - mean) / deviation * weight + bias);
    }
}

/* ---------------------------------------------------------------- dispatch */

static void
batch_norm_channels (const DeimNode *node, DeimChannelSolver *solver)
{
  deim_channels_same (solver, node->in[0], node->out[0]);
}

/* Only where folding found no convolution before it: a factor and a summand for every channel. */
static gboolean
batch_norm_dispatch (const DeimNode *node, DeimDispatchList *list, GError **error)
{
  const DeimLayout *layout = deim_dispatch_layout (list, node->out[0]);
  g_autofree gfloat *packed = g_new0 (gfloat, (gsize) layout->blocks * 8);
  for (gint c = 0; c < node->out[0]->shape.c; c++) {
    gint p = deim_layout_channel (layout, c);
    gdouble gain = node->in[1]->data[c] / sqrt ((gdouble) node->in[4]->data[c] + node->attrs.norm.eps);
    packed[p / 4 * 8 + p % 4] = (gfloat) gain;
    packed[p / 4 * 8 + 4 + p % 4] = (gfloat) (node->in[2]->data[c] - node->in[3]->data[c] * gain);
  }
  DeimPointwise p = deim_pointwise (DEIM_POINTWISE_CHANNEL, node->in[0], NULL, node->out[0]);
  p.blob = deim_dispatch_add_blob (list, packed, (gsize) layout->blocks * 8, TRUE);
  deim_dispatch_pointwise (list, &p);
  return TRUE;
}

const DeimOp deim_op_batch_norm = {
  .name = "batch_norm",
  .reference = batch_norm_reference,
  .channels = batch_norm_channels,
  .dispatch = batch_norm_dispatch,
};

DeimTensor *
deim_batch_norm (DeimGraph *graph, DeimTensor *x, DeimTensor *weight, DeimTensor *bias, DeimTensor *mean,
                 DeimTensor *var, gfloat eps)
{
  const DeimOp *op = &deim_op_batch_norm;
  DeimTensor *in[5] = { x, weight, bias, mean, var };
  if (!deim_op_ready (graph, op, in, 5))
    return NULL;
  for (guint i = 1; i < 5; i++)
    if (!deim_tensor_is_vector (in[i], x->shape.c)) {
      deim_op_fail_shapes (graph, op, x, in[i], "weight, bias, mean and variance must have one number per channel");
      return NULL;
    }
  DeimNode *node = deim_graph_append (graph, op, in, 5, x->shape, DEIM_TYPE_FLOAT);
  if (!node)
    return NULL;
  node->attrs.norm.eps = eps;
  return node->out[0];
}
