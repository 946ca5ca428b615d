/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * act.c - elementwise functions of one tensor: torch.relu, torch.nn.functional
 * silu and gelu, torch.sigmoid, torch.clamp, and the detectors' inverse
 * sigmoid. NaN stays NaN in all of them, as in PyTorch. And act_grad, their gradient: operands dy, x.
 */
#include "engine/graph/differentiate.h"
#include "engine/ops/pointwise.h"
#include "engine/ops/util.h"

extern const DeimOp deim_op_act, deim_op_act_grad;

#define INVERSE_SIGMOID_EPS 1e-5

static gdouble
clamp (gdouble x, gdouble lo, gdouble hi)
{
  return x < lo ? lo : x > hi ? hi : x;
}

gdouble
deim_act_apply (gdouble x, DeimAct act, gdouble lo, gdouble hi)
{
  switch (act) {
  case DEIM_ACT_NONE:
    return x;
  case DEIM_ACT_RELU:
    return x < 0 ? 0 : x;
  case DEIM_ACT_SILU:
    return x / (1 + exp (-x));
  case DEIM_ACT_GELU:
    return 0.5 * x * (1 + erf (x * G_SQRT2 / 2));
  case DEIM_ACT_SIGMOID:
    return 1 / (1 + exp (-x));
  case DEIM_ACT_INVERSE_SIGMOID:
    x = clamp (x, 0, 1);
    return log (clamp (x, INVERSE_SIGMOID_EPS, 1) / clamp (1 - x, INVERSE_SIGMOID_EPS, 1));
  case DEIM_ACT_CLAMP:
    return clamp (x, lo, hi);
  }
  return x;
}

gdouble
deim_act_derive (gdouble x, DeimAct act, gdouble lo, gdouble hi)
{
  switch (act) {
  case DEIM_ACT_NONE:
    return 1;
  case DEIM_ACT_RELU:
    return x > 0;
  case DEIM_ACT_SILU: {
    gdouble s = 1 / (1 + exp (-x));
    return s * (1 + x * (1 - s));
  }
  case DEIM_ACT_GELU:
    return 0.5 * (1 + erf (x * G_SQRT2 / 2)) + x * exp (-0.5 * x * x) / sqrt (2 * G_PI);
  case DEIM_ACT_SIGMOID: {
    gdouble s = 1 / (1 + exp (-x));
    return s * (1 - s);
  }
  case DEIM_ACT_INVERSE_SIGMOID:
    if (x < 0 || x > 1)
      return 0;
    return (x >= INVERSE_SIGMOID_EPS ? 1 / x : 0) + (1 - x >= INVERSE_SIGMOID_EPS ? 1 / (1 - x) : 0);
  case DEIM_ACT_CLAMP:
    return x >= lo && x <= hi;
  }
  return 1;
}

static void
act_grad_reference (const DeimNode *node, const DeimOperands *operands)
{
  const DeimActAttrs *a = &node->attrs.act;
  gsize size = deim_shape_size (node->out[0]->shape);
  for (gsize i = 0; i < size; i++)
    operands->out[0][i] = (gfloat) (operands->in[0][i] * deim_act_derive (operands->in[1][i], a->act, a->lo, a->hi));
}

static void
act_gradient (const DeimNode *node, DeimTensor *dy, DeimBackward *backward)
{
  DeimTensor *in[2] = { dy, node->in[0] };
  DeimNode *grad = deim_op_append (deim_backward_graph (backward), &deim_op_act_grad, in, 2, dy->shape);
  if (!grad)
    return;
  grad->attrs.act = node->attrs.act;
  deim_backward_give (backward, node->in[0], grad->out[0]);
}

static void
act_reference (const DeimNode *node, const DeimOperands *operands)
{
  const DeimActAttrs *a = &node->attrs.act;
  gsize size = deim_shape_size (node->out[0]->shape);
  for (gsize i = 0; i < size; i++)
    operands->out[0][i] = (gfloat) deim_act_apply (operands->in[0][i], a->act, a->lo, a->hi);
}

/* ---------------------------------------------------------------- dispatch */

static void
act_channels (const DeimNode *node, DeimChannelSolver *solver)
{
  deim_channels_same (solver, node->in[0], node->out[0]);
}

static gboolean
act_dispatch (const DeimNode *node, DeimDispatchList *list, GError **error)
{
  DeimPointwise p = deim_pointwise (DEIM_POINTWISE_UNARY, node->in[0], NULL, node->out[0]);
  p.act = node->attrs.act.act;
  p.lo = node->attrs.act.lo;
  p.hi = node->attrs.act.hi;
  deim_dispatch_pointwise (list, &p);
  return TRUE;
}

static void
act_grad_channels (const DeimNode *node, DeimChannelSolver *solver)
{
  deim_channels_same (solver, node->in[0], node->out[0]);
  deim_channels_same (solver, node->in[1], node->out[0]);
}

static gboolean
act_grad_dispatch (const DeimNode *node, DeimDispatchList *list, GError **error)
{
  const gint per_lane = 4;
  DeimExtent extent = deim_dispatch_extent (list, node->out[0]);
  DeimDispatch *d = deim_dispatch_append (list, "act_grad");
  deim_dispatch_bind (d, DEIM_BIND_READ, node->in[0]);
  deim_dispatch_bind (d, DEIM_BIND_READ, node->in[1]);
  deim_dispatch_bind (d, DEIM_BIND_WRITE, node->out[0]);
  deim_dispatch_spec (d, (guint32) per_lane);
  deim_dispatch_spec (d, node->attrs.act.act);
  deim_dispatch_push_place (d, list, node->in[0]);
  deim_dispatch_push_place (d, list, node->in[1]);
  deim_dispatch_push_place (d, list, node->out[0]);
  deim_dispatch_push_int (d, extent.positions);
  deim_dispatch_push_float (d, node->attrs.act.lo);
  deim_dispatch_push_float (d, node->attrs.act.hi);
  deim_dispatch_cover (d, list, (extent.positions + per_lane - 1) / per_lane, extent.blocks, extent.batch);
  return TRUE;
}

const DeimOp deim_op_act_grad = {
  .name = "act_grad",
  .reference = act_grad_reference,
  .channels = act_grad_channels,
  .dispatch = act_grad_dispatch,
};

const DeimOp deim_op_act = {
  .name = "act",
  .reference = act_reference,
  .gradient = act_gradient,
  .channels = act_channels,
  .dispatch = act_dispatch,
};

static DeimTensor *
append (DeimGraph *graph, DeimTensor *x, const DeimActAttrs *attrs)
{
  if (!deim_op_ready (graph, &deim_op_act, &x, 1))
    return NULL;
  DeimNode *node = deim_op_append (graph, &deim_op_act, &x, 1, x->shape);
  if (!node)
    return NULL;
  node->attrs.act = *attrs;
  return node->out[0];
}

DeimTensor *
deim_act (DeimGraph *graph, DeimTensor *x, DeimAct act)
{
  if (act == DEIM_ACT_NONE)
    return x;
  if (act == DEIM_ACT_CLAMP) {
    deim_graph_fail (graph, "act: a clamp needs its bounds; the network description must call deim_clamp()");
    return NULL;
  }
  return append (graph, x, &(DeimActAttrs){ .act = act });
}

DeimTensor *
deim_clamp (DeimGraph *graph, DeimTensor *x, gfloat lo, gfloat hi)
{
  return append (graph, x, &(DeimActAttrs){ .act = DEIM_ACT_CLAMP, .lo = lo, .hi = hi });
}
