/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* affine.c - scale * x + bias with two learnt numbers: operands x [n, c, h, w], scale [1], bias [1]. */
#include "engine/ops/pointwise.h"
#include "engine/ops/util.h"

extern const DeimOp deim_op_affine;

static void
affine_reference (const DeimNode *node, const DeimOperands *operands)
{
  gdouble scale = operands->in[1][0], bias = operands->in[2][0];
  gsize size = deim_shape_size (node->out[0]->shape);
  for (gsize i = 0; i < size; i++)
    operands->out[0][i] = (gfloat) (scale * operands->in[0][i] + bias);
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
  DeimPointwise p = deim_pointwise (DEIM_POINTWISE_UNARY, node->in[0], NULL, node->out[0]);
  p.scale = node->in[1]->data[0];
  p.shift = node->in[2]->data[0];
  deim_dispatch_pointwise (list, &p);
  return TRUE;
}

const DeimOp deim_op_affine = {
  .name = "affine",
  .reference = affine_reference,
  .channels = affine_channels,
  .dispatch = affine_dispatch,
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
