/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * batch_norm-grad.c - gradients of BatchNorm with the batch's statistics. Operands: dy, x [n, c, h, w], weight, the
 * batch's mean and unbiased variance [c] -> dx [n, c, h, w], dweight and dbias, plain [c].
 *
 *   z = (x - mean) / deviation      dbias = sum dy      dweight = sum dy * z      over n, h, w; N of them
 *   dx = weight / deviation * (dy - dbias / N - z * dweight / N)
 */
#include "engine/graph/differentiate.h"
#include "engine/ops/channel_sums.h"
#include "engine/ops/util.h"

extern const DeimOp deim_op_batch_norm, deim_op_batch_norm_grad;

void
deim_channel_moments (const gfloat *x, DeimShape s, gint c, gdouble *ret_mean, gdouble *ret_var)
{
  gsize plane = (gsize) s.h * (gsize) s.w;
  gdouble count = (gdouble) s.n * (gdouble) plane, mean = 0, square = 0;
  for (gint n = 0; n < s.n; n++)
    for (gsize i = 0; i < plane; i++)
      mean += x[((gsize) n * (gsize) s.c + (gsize) c) * plane + i];
  mean /= count;
  for (gint n = 0; n < s.n; n++)
    for (gsize i = 0; i < plane; i++) {
      gdouble d = x[((gsize) n * (gsize) s.c + (gsize) c) * plane + i] - mean;
      square += d * d;
    }
  *ret_mean = mean;
  *ret_var = square / count;
}

static void
batch_norm_grad_reference (const DeimNode *node, const DeimOperands *operands)
{
  DeimShape s = node->in[1]->shape;
  const gfloat *dy = operands->in[0], *x = operands->in[1];
  gsize plane = (gsize) s.h * (gsize) s.w;
  gdouble count = (gdouble) s.n * (gdouble) plane;
  for (gint c = 0; c < s.c; c++) {
    gdouble mean, var, sum = 0, product = 0;
    deim_channel_moments (x, s, c, &mean, &var);
    gdouble deviation = sqrt (var + (gdouble) node->attrs.norm.eps), weight = operands->in[2][c];
    for (gint n = 0; n < s.n; n++) {
      gsize at = ((gsize) n * (gsize) s.c + (gsize) c) * plane;
      for (gsize i = at; i < at + plane; i++) {
        sum += dy[i];
        product += dy[i] * (x[i] - mean) / deviation;
      }
    }
    for (gint n = 0; n < s.n; n++) {
      gsize at = ((gsize) n * (gsize) s.c + (gsize) c) * plane;
      for (gsize i = at; i < at + plane; i++)
        operands->out[0][i] =
            (gfloat) (weight / deviation * (dy[i] - sum / count - (x[i] - mean) / deviation * product / count));
    }
    operands->out[1][c] = (gfloat) product;
    operands->out[2][c] = (gfloat) sum;
  }
}

/* ---------------------------------------------------------------- dispatch */

static void
batch_norm_grad_channels (const DeimNode *node, DeimChannelSolver *solver)
{
  deim_channels_same (solver, node->in[0], node->out[0]);
  deim_channels_same (solver, node->in[1], node->out[0]);
}

static gboolean
batch_norm_grad_dispatch (const DeimNode *node, DeimDispatchList *list, GError **error)
{
  DeimTensor *dy = node->in[0], *x = node->in[1], *dx = node->out[0];
  DeimExtent extent = deim_dispatch_extent (list, x);
  const gint per_lane = 4;
  DeimPartials partials =
      deim_dispatch_channel_sums (list, &(DeimSums){ .mode = DEIM_SUMS_CENTRED, .g = dy, .x = x, .mean = node->in[3] });
  gint map = deim_dispatch_add_channel_map (list, x);
  gint table = deim_dispatch_add_scratch (list, (gsize) extent.blocks * 48);
  DeimDispatch *d = deim_dispatch_append (list, "batch_norm_grad_table");
  deim_dispatch_bind_scratch (d, DEIM_BIND_READ, partials.scratch);
  deim_dispatch_bind_blob (d, map);
  for (guint i = 2; i < 5; i++)
    deim_dispatch_bind (d, DEIM_BIND_READ, node->in[i]);
  deim_dispatch_bind_scratch (d, DEIM_BIND_WRITE, table);
  deim_dispatch_bind (d, DEIM_BIND_WRITE, node->out[1]);
  deim_dispatch_bind (d, DEIM_BIND_WRITE, node->out[2]);
  deim_dispatch_push_int (d, extent.blocks);
  deim_dispatch_push_int (d, x->shape.c);
  deim_dispatch_push_int (d, partials.count);
  deim_dispatch_push_float (d, (gfloat) extent.batch * (gfloat) extent.positions);
  deim_dispatch_push_float (d, node->attrs.norm.eps);
  d->groups[0] = ((guint) extent.blocks + d->local_size - 1) / d->local_size;

  d = deim_dispatch_append (list, "batch_norm_grad");
  deim_dispatch_bind (d, DEIM_BIND_READ, dy);
  deim_dispatch_bind (d, DEIM_BIND_READ, x);
  deim_dispatch_bind_scratch (d, DEIM_BIND_READ, table);
  deim_dispatch_bind (d, DEIM_BIND_WRITE, dx);
  deim_dispatch_spec (d, (guint32) per_lane);
  deim_dispatch_push_place (d, list, dy);
  deim_dispatch_push_place (d, list, x);
  deim_dispatch_push_place (d, list, dx);
  deim_dispatch_push_int (d, extent.positions);
  deim_dispatch_cover (d, list, (extent.positions + per_lane - 1) / per_lane, extent.blocks, extent.batch);
  return TRUE;
}

const DeimOp deim_op_batch_norm_grad = {
  .name = "batch_norm_grad",
  .reference = batch_norm_grad_reference,
  .channels = batch_norm_grad_channels,
  .dispatch = batch_norm_grad_dispatch,
};

/* Of evaluation's BatchNorm: dy times the gain, which a BatchNorm without mean and bias is. */
static void
give_fixed (const DeimNode *node, DeimTensor *dy, DeimBackward *backward)
{
  DeimGraph *graph = deim_backward_graph (backward);
  for (guint i = 1; i < 5; i++)
    if (deim_backward_wants (backward, node->in[i])) {
      deim_graph_fail (graph, "batch_norm: a frozen norm has no gradients of its parameters");
      return;
    }
  DeimShape vector = { dy->shape.c, 1, 1, 1 };
  g_autofree gfloat *zeros = g_new0 (gfloat, vector.n);
  DeimTensor *zero = deim_const (graph, NULL, vector, zeros);
  deim_backward_give (backward, node->in[0],
                      deim_batch_norm (graph, dy, node->in[1], zero, zero, node->in[4], node->attrs.norm.eps));
}

void
deim_batch_norm_gradient (const DeimNode *node, DeimTensor *dy, DeimBackward *backward)
{
  if (!node->attrs.norm.batch) {
    give_fixed (node, dy, backward);
    return;
  }
  DeimGraph *graph = deim_backward_graph (backward);
  DeimTensor *in[5] = { dy, node->in[0], node->in[1], node->out[1], node->out[2] };
  DeimNode *grad = deim_op_append (graph, &deim_op_batch_norm_grad, in, 5, dy->shape);
  if (!grad)
    return;
  grad->attrs.norm = node->attrs.norm;
  for (guint i = 0; i < 2; i++) {
    DeimTensor *vector = deim_graph_append_output (graph, grad, node->in[1]->shape, DEIM_TYPE_FLOAT);
    vector->plain = TRUE;
    deim_backward_give (backward, node->in[1 + i], vector);
  }
  deim_backward_give (backward, node->in[0], grad->out[0]);
}
