/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * affine.c - scale * x + bias with two learnt numbers: operands x [n, c, h, w], scale [1], bias [1]. And affine_grad,
 * the gradients of the two: operands dy, x -> sum dy * x, sum dy, plain [1].
 */
#include "engine/graph/differentiate.h"
#include "engine/ops/channel_sums.h"
#include "engine/ops/pointwise.h"
#include "engine/ops/util.h"

extern const DeimOp deim_op_affine, deim_op_affine_grad;

static void
affine_reference (const DeimNode *node, const DeimOperands *operands)
{
  gdouble scale = operands->in[1][0], bias = operands->in[2][0];
  gsize size = deim_shape_size (node->out[0]->shape);
  for (gsize i = 0; i < size; i++)
    operands->out[0][i] = (gfloat) (scale * operands->in[0][i] + bias);
}

static void
affine_grad_reference (const DeimNode *node, const DeimOperands *operands)
{
  gdouble slope = 0, offset = 0;
  for (gsize i = 0; i < deim_shape_size (node->in[0]->shape); i++) {
    slope += (gdouble) operands->in[0][i] * operands->in[1][i];
    offset += operands->in[0][i];
  }
  operands->out[0][0] = (gfloat) slope;
  operands->out[1][0] = (gfloat) offset;
}

static void
affine_gradient (const DeimNode *node, DeimTensor *dy, DeimBackward *backward)
{
  DeimGraph *graph = deim_backward_graph (backward);
  if (deim_backward_wants (backward, node->in[0]))
    deim_backward_give (backward, node->in[0], deim_mul (graph, dy, node->in[1]));
  if (!deim_backward_wants (backward, node->in[1]) && !deim_backward_wants (backward, node->in[2]))
    return;
  DeimTensor *in[2] = { dy, node->in[0] };
  DeimShape one = { 1, 1, 1, 1 };
  DeimNode *grad = deim_op_append (graph, &deim_op_affine_grad, in, 2, one);
  if (!deim_graph_append_output (graph, grad, one, DEIM_TYPE_FLOAT))
    return;
  for (guint i = 0; i < 2; i++) {
    grad->out[i]->plain = TRUE;
    deim_backward_give (backward, node->in[1 + i], grad->out[i]);
  }
}

/* ---------------------------------------------------------------- dispatch */

static void
affine_channels (const DeimNode *node, DeimChannelSolver *solver)
{
  deim_channels_same (solver, node->in[0], node->out[0]);
}

static gboolean
affine_dispatch (const DeimNode *node, DeimDispatchList *list, GError **error)
{
  if (node->in[1]->plain) {
    DeimPointwise table = deim_pointwise (DEIM_POINTWISE_CHANNEL, node->in[0], NULL, node->out[0]);
    table.scratch = deim_dispatch_channel_table (list, node->in[0], node->in[1], node->in[2]);
    table.same_for_all = TRUE;
    deim_dispatch_pointwise (list, &table);
    return TRUE;
  }
  DeimPointwise p = deim_pointwise (DEIM_POINTWISE_UNARY, node->in[0], NULL, node->out[0]);
  p.scale = node->in[1]->data[0];
  p.shift = node->in[2]->data[0];
  deim_dispatch_pointwise (list, &p);
  return TRUE;
}

static void
affine_grad_channels (const DeimNode *node, DeimChannelSolver *solver)
{
  deim_channels_same (solver, node->in[0], node->in[1]);
}

static gboolean
affine_grad_dispatch (const DeimNode *node, DeimDispatchList *list, GError **error)
{
  DeimPartials partials =
      deim_dispatch_channel_sums (list, &(DeimSums){ .mode = DEIM_SUMS_PRODUCT, .g = node->in[0], .x = node->in[1] });
  deim_dispatch_channel_totals (list, &partials, 0, node->in[0], node->out[1], node->out[0]);
  return TRUE;
}

const DeimOp deim_op_affine = {
  .name = "affine",
  .reference = affine_reference,
  .gradient = affine_gradient,
  .channels = affine_channels,
  .dispatch = affine_dispatch,
};

const DeimOp deim_op_affine_grad = {
  .name = "affine_grad",
  .reference = affine_grad_reference,
  .channels = affine_grad_channels,
  .dispatch = affine_grad_dispatch,
};

DeimTensor *
deim_affine (DeimGraph *graph, DeimTensor *x, DeimTensor *scale, DeimTensor *bias)
{
  const DeimOp *op = &deim_op_affine;
  DeimTensor *in[3] = { x, scale, bias };
  if (!deim_op_ready (graph, op, in, 3))
    return NULL;
  if (!deim_tensor_is_vector (scale, 1) || !deim_tensor_is_vector (bias, 1)) {
    deim_op_fail_shapes (graph, op, scale, bias, "scale and bias must be one number each");
    return NULL;
  }
  DeimNode *node = deim_op_append (graph, op, in, 3, x->shape);
  return node ? node->out[0] : NULL;
}
