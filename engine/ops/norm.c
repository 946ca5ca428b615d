/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * norm.c - normalisation over the channels of every position:
 * torch.nn.functional.layer_norm, and the RMS norm of DEIMv2.
 *
 * Operands of both: in[0] x [n, c, h, w], in[1] weight [c], in[2] bias [c]
 * (NULL for RMS); and, put there by fuse.c, in[3] residual of x's shape or
 * NULL, added to x first, and in[4] and in[5], of x's shape or both NULL, what
 * x and the residual are multiplied by before that. Gradients: norm-grad.c.
 */
#include "engine/ops/channel_sums.h"
#include "engine/ops/util.h"

extern const DeimOp deim_op_layer_norm, deim_op_rms_norm;

/* What is normalised, at index @i. */
static gdouble
operand (const DeimOperands *operands, gsize i)
{
  gdouble x = operands->in[0][i], r = operands->in[3] ? operands->in[3][i] : 0;
  return operands->in[4] ? x * operands->in[4][i] + r * operands->in[5][i] : x + r;
}

static void
normalise (const DeimNode *node, const DeimOperands *operands, gboolean centre)
{
  DeimShape s = node->out[0]->shape;
  gsize plane = (gsize) s.h * (gsize) s.w;
  g_autofree gdouble *x = g_new (gdouble, s.c); /* the channels of one position */
  for (gint n = 0; n < s.n; n++)
    for (gsize p = 0; p < plane; p++) {
      gsize first = (gsize) n * (gsize) s.c * plane + p;
      gdouble mean = 0, square = 0;
      for (gint c = 0; c < s.c; c++) {
        x[c] = operand (operands, first + (gsize) c * plane);
        mean += x[c];
      }
      mean = centre ? mean / s.c : 0;
      for (gint c = 0; c < s.c; c++)
        square += (x[c] - mean) * (x[c] - mean);
      gdouble deviation = sqrt (square / s.c + (gdouble) node->attrs.norm.eps);
      for (gint c = 0; c < s.c; c++) {
        gdouble y = (x[c] - mean) / deviation * operands->in[1][c];
        if (operands->in[2])
          y += operands->in[2][c];
        operands->out[0][first + (gsize) c * plane] = (gfloat) y;
      }
    }
}

static void
layer_norm_reference (const DeimNode *node, const DeimOperands *operands)
{
  normalise (node, operands, TRUE);
}

static void
rms_norm_reference (const DeimNode *node, const DeimOperands *operands)
{
  normalise (node, operands, FALSE);
}

/* ---------------------------------------------------------------- dispatch */

static gint
add_fixed_table (DeimDispatchList *list, gint blocks, const DeimTensor *weight, const DeimTensor *bias)
{
  g_autofree gfloat *packed = g_new0 (gfloat, (gsize) blocks * 8);
  for (gint c = 0; c < weight->shape.n; c++) {
    packed[c / 4 * 8 + c % 4] = weight->data[c];
    packed[c / 4 * 8 + 4 + c % 4] = bias ? bias->data[c] : 0;
  }
  return deim_dispatch_add_blob (list, packed, (gsize) blocks * 8, TRUE);
}

static gboolean
norm_dispatch (const DeimNode *node, DeimDispatchList *list, GError **error)
{
  DeimTensor *x = node->in[0], *y = node->out[0], *r = node->n_in > 3 ? node->in[3] : NULL;
  DeimTensor *weight = node->in[1], *bias = node->n_in > 2 ? node->in[2] : NULL;
  gboolean gated = node->n_in > 5 && node->in[4];
  gint blocks = deim_dispatch_layout (list, y)->blocks, positions = y->shape.h * y->shape.w;
  guint lanes = deim_dispatch_reduction_lanes (list);
  gint table = weight->plain ? deim_dispatch_channel_table (list, y, weight, bias)
                             : add_fixed_table (list, blocks, weight, bias);
  DeimDispatch *d = deim_dispatch_append (list, "norm");
  deim_dispatch_bind (d, DEIM_BIND_READ, x);
  if (weight->plain)
    deim_dispatch_bind_scratch (d, DEIM_BIND_READ, table);
  else
    deim_dispatch_bind_blob (d, table);
  deim_dispatch_bind (d, DEIM_BIND_READ, r ? r : x);
  deim_dispatch_bind (d, DEIM_BIND_WRITE, y);
  deim_dispatch_bind (d, DEIM_BIND_READ, gated ? node->in[4] : x);
  deim_dispatch_bind (d, DEIM_BIND_READ, gated ? node->in[5] : x);
  deim_dispatch_spec (d, lanes);
  deim_dispatch_spec (d, node->op == &deim_op_layer_norm);
  deim_dispatch_spec (d, r != NULL);
  deim_dispatch_spec (d, (guint32) gated);
  deim_dispatch_push_place (d, list, x);
  deim_dispatch_push_place (d, list, y);
  deim_dispatch_push_place (d, list, r ? r : x);
  deim_dispatch_push_place (d, list, gated ? node->in[4] : x);
  deim_dispatch_push_place (d, list, gated ? node->in[5] : x);
  deim_dispatch_push_int (d, y->shape.c);
  deim_dispatch_push_int (d, blocks);
  deim_dispatch_push_int (d, positions);
  deim_dispatch_push_float (d, node->attrs.norm.eps);
  deim_dispatch_cover (d, list, positions * (gint) lanes, 1, y->shape.n);
  return TRUE;
}

const DeimOp deim_op_layer_norm = {
  .name = "layer_norm",
  .reference = layer_norm_reference,
  .gradient = deim_norm_gradient,
  .dispatch = norm_dispatch,
};

const DeimOp deim_op_rms_norm = {
  .name = "rms_norm",
  .reference = rms_norm_reference,
  .gradient = deim_norm_gradient,
  .dispatch = norm_dispatch,
};

static DeimTensor *
append (DeimGraph *graph, const DeimOp *op, DeimTensor *x, DeimTensor *weight, DeimTensor *bias, guint n_required,
        gfloat eps)
{
  DeimTensor *in[4] = { x, weight, bias, NULL };
  if (!deim_op_ready (graph, op, in, n_required))
    return NULL;
  for (guint i = 1; i < n_required; i++)
    if (!deim_tensor_is_vector (in[i], x->shape.c)) {
      deim_op_fail_shapes (graph, op, x, in[i], "weight and bias must have one number per channel");
      return NULL;
    }
  DeimNode *node = deim_graph_append (graph, op, in, 4, x->shape, DEIM_TYPE_FLOAT);
  if (!node)
    return NULL;
  node->attrs.norm.eps = eps;
  return node->out[0];
}

DeimTensor *
deim_layer_norm (DeimGraph *graph, DeimTensor *x, DeimTensor *weight, DeimTensor *bias, gfloat eps)
{
  return append (graph, &deim_op_layer_norm, x, weight, bias, 3, eps);
}

DeimTensor *
deim_rms_norm (DeimGraph *graph, DeimTensor *x, DeimTensor *scale, gfloat eps)
{
  return append (graph, &deim_op_rms_norm, x, scale, NULL, 2, eps);
}
