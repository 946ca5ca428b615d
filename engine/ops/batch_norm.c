/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * batch_norm.c - torch.nn.functional.batch_norm, in evaluation mode and, where its parameters are trained, with the
 * statistics of the batch. Its gradients are in batch_norm-grad.c.
 *
 * Operands: x [n, c, h, w], then weight, bias, mean, var, each [c]. With the batch's statistics mean and var are not
 * read, and out[1] and out[2] are the batch's, plain [c]; the variance is the unbiased one, which the running average
 * takes (torch: running += momentum * (batch - running)), while x is divided by the root of the biased one. Where
 * processes share a batch, these are of all of it. An activation may follow (attrs.norm.act), and a learnable affine
 * block: in[5] and in[6], scale and bias [1], or NULL.
 */
#include "engine/graph/differentiate.h"
#include "engine/ops/channel_sums.h"
#include "engine/ops/pointwise.h"
#include "engine/ops/util.h"

extern const DeimOp deim_op_batch_norm;

static void
batch_norm_reference (const DeimNode *node, const DeimOperands *operands)
{
  DeimShape s = node->out[0]->shape;
  gsize plane = (gsize) s.h * (gsize) s.w;
  for (gint c = 0; c < s.c; c++) {
    gdouble weight = operands->in[1][c], bias = operands->in[2][c];
    gdouble mean = operands->in[3][c], var = operands->in[4][c];
    if (node->attrs.norm.batch) {
      deim_channel_moments (operands->in[0], s, c, &mean, &var);
      gdouble count = (gdouble) s.n * (gdouble) plane;
      operands->out[1][c] = (gfloat) mean;
      operands->out[2][c] = (gfloat) (var * count / (count - 1));
    }
    gdouble deviation = sqrt (var + (gdouble) node->attrs.norm.eps);
    gdouble scale = operands->in[5] ? operands->in[5][0] : 1, shift = operands->in[6] ? operands->in[6][0] : 0;
    for (gint n = 0; n < s.n; n++) {
      gsize at = ((gsize) n * (gsize) s.c + (gsize) c) * plane;
      for (gsize i = at; i < at + plane; i++) {
        gdouble z = (operands->in[0][i] - mean) / deviation * weight + bias;
        operands->out[0][i] = (gfloat) (deim_act_apply (z, node->attrs.norm.act, 0, 0) * scale + shift);
      }
    }
  }
}

/* ---------------------------------------------------------------- dispatch */

static void
batch_norm_channels (const DeimNode *node, DeimChannelSolver *solver)
{
  deim_channels_same (solver, node->in[0], node->out[0]);
}

/* Evaluation, where folding found no convolution before it: a factor and a summand for every channel. */
static gint
add_fixed_table (const DeimNode *node, DeimDispatchList *list)
{
  const DeimLayout *layout = deim_dispatch_layout (list, node->out[0]);
  g_autofree gfloat *packed = g_new0 (gfloat, (gsize) layout->blocks * 8);
  for (gint c = 0; c < node->out[0]->shape.c; c++) {
    gint p = deim_layout_channel (layout, c);
    gdouble gain = node->in[1]->data[c] / sqrt ((gdouble) node->in[4]->data[c] + node->attrs.norm.eps);
    packed[p / 4 * 8 + p % 4] = (gfloat) gain;
    packed[p / 4 * 8 + 4 + p % 4] = (gfloat) (node->in[2]->data[c] - node->in[3]->data[c] * gain);
  }
  return deim_dispatch_add_blob (list, packed, (gsize) layout->blocks * 8, TRUE);
}

/* The same from the batch's statistics, which are taken first. */
static gint
dispatch_batch_table (const DeimNode *node, DeimDispatchList *list)
{
  DeimTensor *x = node->in[0];
  DeimExtent extent = deim_dispatch_extent (list, x);
  DeimPartials own = deim_dispatch_channel_sums (list, &(DeimSums){ .mode = DEIM_SUMS_MOMENTS, .g = x });
  DeimPartials partials = deim_dispatch_gather_partials (list, &own);
  gint map = deim_dispatch_add_channel_map (list, x);
  gint table = deim_dispatch_add_scratch (list, (gsize) extent.blocks * 32);
  DeimDispatch *d = deim_dispatch_append (list, "batch_norm_table");
  deim_dispatch_bind_scratch (d, DEIM_BIND_READ, partials.scratch);
  deim_dispatch_bind_blob (d, map);
  deim_dispatch_bind (d, DEIM_BIND_READ, node->in[1]);
  deim_dispatch_bind (d, DEIM_BIND_READ, node->in[2]);
  deim_dispatch_bind_scratch (d, DEIM_BIND_WRITE, table);
  deim_dispatch_bind (d, DEIM_BIND_WRITE, node->out[1]);
  deim_dispatch_bind (d, DEIM_BIND_WRITE, node->out[2]);
  deim_dispatch_push_int (d, extent.blocks);
  deim_dispatch_push_int (d, x->shape.c);
  deim_dispatch_push_int (d, partials.count);
  deim_dispatch_push_int (d, partials.strips);
  deim_dispatch_push_int (d, partials.lanes);
  deim_dispatch_push_int (d, partials.strip_length);
  deim_dispatch_push_int (d, partials.positions);
  deim_dispatch_push_float (d, node->attrs.norm.eps);
  d->groups[0] = ((guint) extent.blocks + d->local_size - 1) / d->local_size;
  return table;
}

static gboolean
batch_norm_dispatch (const DeimNode *node, DeimDispatchList *list, GError **error)
{
  DeimTensor *x = node->in[0], *y = node->out[0], *scale = node->n_in > 5 ? node->in[5] : NULL;
  const gint per_lane = 4;
  if (!node->attrs.norm.batch) {
    DeimPointwise p = deim_pointwise (DEIM_POINTWISE_CHANNEL, x, NULL, y);
    p.blob = add_fixed_table (node, list);
    deim_dispatch_pointwise (list, &p);
    return TRUE;
  }
  DeimExtent extent = deim_dispatch_extent (list, x);
  gint table = dispatch_batch_table (node, list);
  gint block = scale ? deim_dispatch_channel_table (list, x, scale, node->in[6]) : table;
  DeimDispatch *d = deim_dispatch_append (list, "batch_norm");
  deim_dispatch_bind (d, DEIM_BIND_READ, x);
  deim_dispatch_bind_scratch (d, DEIM_BIND_READ, table);
  deim_dispatch_bind_scratch (d, DEIM_BIND_READ, block);
  deim_dispatch_bind (d, DEIM_BIND_WRITE, y);
  deim_dispatch_spec (d, (guint32) per_lane);
  deim_dispatch_spec (d, node->attrs.norm.act);
  deim_dispatch_spec (d, scale != NULL);
  deim_dispatch_push_place (d, list, x);
  deim_dispatch_push_place (d, list, y);
  deim_dispatch_push_int (d, extent.positions);
  deim_dispatch_cover (d, list, (extent.positions + per_lane - 1) / per_lane, extent.blocks, extent.batch);
  return TRUE;
}

const DeimOp deim_op_batch_norm = {
  .name = "batch_norm",
  .reference = batch_norm_reference,
  .gradient = deim_batch_norm_gradient,
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
  DeimShape s = x->shape, vector = { s.c, 1, 1, 1 };
  for (guint i = 1; i < 5; i++)
    if (!deim_tensor_is_vector (in[i], s.c)) {
      deim_op_fail_shapes (graph, op, x, in[i], "weight, bias, mean and variance must have one number per channel");
      return NULL;
    }
  if (weight->trained && s.n * s.h * s.w == 1) {
    deim_op_fail_shapes (graph, op, x, NULL,
                         "one number per channel has no variance: train with a larger batch or input");
    return NULL;
  }
  DeimNode *node = deim_graph_append (graph, op, in, 5, s, DEIM_TYPE_FLOAT);
  if (!node)
    return NULL;
  node->attrs.norm.eps = eps;
  node->attrs.norm.batch = weight->trained;
  if (weight->trained) {
    mean->trained = var->trained = FALSE; /* running averages have no gradient */
    for (guint i = 0; i < 2; i++)
      deim_graph_append_output (graph, node, vector, DEIM_TYPE_FLOAT)->plain = TRUE;
  }
  return node->out[0];
}
