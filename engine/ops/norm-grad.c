/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * norm-grad.c - gradients of LayerNorm and RMSNorm over the C channels of a position. Operands: dy, x [n, c, h, w],
 * weight [c] -> dx, dweight and (LayerNorm) dbias, plain [c].
 *
 *   z = (x - mean) / deviation; RMSNorm: mean = 0      u = dy * weight
 *   dx = (u - sum u / C - z * sum (u * z) / C) / deviation; RMSNorm: without the second term
 *   dbias = sum dy      dweight = sum dy * z      over n, h, w
 */
#include "engine/graph/differentiate.h"
#include "engine/ops/channel_sums.h"
#include "engine/ops/util.h"

extern const DeimOp deim_op_layer_norm, deim_op_layer_norm_grad, deim_op_rms_norm_grad;

static void
norm_grad_reference (const DeimNode *node, const DeimOperands *operands)
{
  gboolean centre = node->op == &deim_op_layer_norm_grad;
  DeimShape s = node->in[1]->shape;
  const gfloat *dy = operands->in[0], *x = operands->in[1], *weight = operands->in[2];
  gsize plane = (gsize) s.h * (gsize) s.w;
  g_autofree gdouble *slope = g_new0 (gdouble, s.c), *offset = g_new0 (gdouble, s.c), *z = g_new (gdouble, s.c);
  for (gint n = 0; n < s.n; n++)
    for (gsize p = 0; p < plane; p++) {
      gsize first = (gsize) n * (gsize) s.c * plane + p;
      gdouble mean = 0, square = 0, sum = 0, product = 0;
      for (gint c = 0; c < s.c && centre; c++)
        mean += (gdouble) x[first + (gsize) c * plane] / s.c;
      for (gint c = 0; c < s.c; c++)
        square += pow (x[first + (gsize) c * plane] - mean, 2);
      gdouble deviation = sqrt (square / s.c + (gdouble) node->attrs.norm.eps);
      for (gint c = 0; c < s.c; c++) {
        gdouble g = dy[first + (gsize) c * plane];
        z[c] = (x[first + (gsize) c * plane] - mean) / deviation;
        sum += g * weight[c];
        product += g * weight[c] * z[c];
        slope[c] += g * z[c];
        offset[c] += g;
      }
      for (gint c = 0; c < s.c; c++) {
        gdouble u = (gdouble) dy[first + (gsize) c * plane] * weight[c];
        operands->out[0][first + (gsize) c * plane] =
            (gfloat) ((u - (centre ? sum / s.c : 0) - z[c] * product / s.c) / deviation);
      }
    }
  for (gint c = 0; c < s.c; c++) {
    operands->out[1][c] = (gfloat) slope[c];
    if (centre)
      operands->out[2][c] = (gfloat) offset[c];
  }
}

/* ---------------------------------------------------------------- dispatch */

static gboolean
norm_grad_dispatch (const DeimNode *node, DeimDispatchList *list, GError **error)
{
  gboolean centre = node->op == &deim_op_layer_norm_grad;
  DeimTensor *dy = node->in[0], *x = node->in[1], *weight = node->in[2], *dx = node->out[0];
  DeimExtent extent = deim_dispatch_extent (list, x);
  guint lanes = deim_dispatch_reduction_lanes (list);
  gint table = deim_dispatch_channel_table (list, x, weight, NULL);
  gint stats = deim_dispatch_add_scratch (list, (gsize) extent.batch * (gsize) extent.positions * 16);
  DeimDispatch *d = deim_dispatch_append (list, "norm_grad");
  deim_dispatch_bind (d, DEIM_BIND_READ, dy);
  deim_dispatch_bind (d, DEIM_BIND_READ, x);
  deim_dispatch_bind_scratch (d, DEIM_BIND_READ, table);
  deim_dispatch_bind (d, DEIM_BIND_WRITE, dx);
  deim_dispatch_bind_scratch (d, DEIM_BIND_WRITE, stats);
  deim_dispatch_spec (d, lanes);
  deim_dispatch_spec (d, centre);
  deim_dispatch_push_place (d, list, dy);
  deim_dispatch_push_place (d, list, x);
  deim_dispatch_push_place (d, list, dx);
  deim_dispatch_push_int (d, x->shape.c);
  deim_dispatch_push_int (d, extent.blocks);
  deim_dispatch_push_int (d, extent.positions);
  deim_dispatch_push_float (d, node->attrs.norm.eps);
  deim_dispatch_cover (d, list, extent.positions * (gint) lanes, 1, extent.batch);

  DeimPartials partials =
      deim_dispatch_channel_sums (list, &(DeimSums){ .mode = DEIM_SUMS_NORMALISED, .g = dy, .x = x, .stats = stats });
  deim_dispatch_channel_totals (list, &partials, 0, x, centre ? node->out[2] : NULL, node->out[1]);
  return TRUE;
}

const DeimOp deim_op_layer_norm_grad = {
  .name = "layer_norm_grad",
  .reference = norm_grad_reference,
  .dispatch = norm_grad_dispatch,
};

const DeimOp deim_op_rms_norm_grad = {
  .name = "rms_norm_grad",
  .reference = norm_grad_reference,
  .dispatch = norm_grad_dispatch,
};

void
deim_norm_gradient (const DeimNode *node, DeimTensor *dy, DeimBackward *backward)
{
  DeimGraph *graph = deim_backward_graph (backward);
  gboolean centre = node->op == &deim_op_layer_norm;
  DeimTensor *in[3] = { dy, node->in[0], node->in[1] };
  if (node->in[3]) {
    deim_graph_fail (graph, "%s: its sum was fused into it; differentiate a graph before it is fused", node->op->name);
    return;
  }
  DeimNode *grad = deim_op_append (graph, centre ? &deim_op_layer_norm_grad : &deim_op_rms_norm_grad, in, 3, dy->shape);
  for (guint i = 0; grad && i < (centre ? 2 : 1); i++) {
    DeimTensor *vector = deim_graph_append_output (graph, grad, node->in[1]->shape, DEIM_TYPE_FLOAT);
    vector->plain = TRUE;
    deim_backward_give (backward, node->in[1 + i], vector);
  }
  if (!grad)
    return;
  grad->attrs.norm = node->attrs.norm;
  deim_backward_give (backward, node->in[0], grad->out[0]);
}
