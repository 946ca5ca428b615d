/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * reshape.c - maps [n, c, h, w] to tokens [n, c, 1, h*w] and back: the same
 * numbers in the same order. An op of each name, so that a listing tells which. And detach (torch.Tensor.detach): the
 * same tensor again, through which no gradient flows back.
 */
#include "engine/graph/differentiate.h"
#include "engine/ops/util.h"
#include <string.h>

extern const DeimOp deim_op_flatten, deim_op_unflatten, deim_op_detach;

static void
reshape_reference (const DeimNode *node, const DeimOperands *operands)
{
  memcpy (operands->out[0], operands->in[0], deim_shape_size (node->out[0]->shape) * sizeof (gfloat));
}

static void
flatten_gradient (const DeimNode *node, DeimTensor *dy, DeimBackward *backward)
{
  DeimShape map = node->in[0]->shape;
  deim_backward_give (backward, node->in[0], deim_unflatten (deim_backward_graph (backward), dy, map.h, map.w));
}

static void
unflatten_gradient (const DeimNode *node, DeimTensor *dy, DeimBackward *backward)
{
  deim_backward_give (backward, node->in[0], deim_flatten (deim_backward_graph (backward), dy));
}

static void
reshape_place (const DeimNode *node, guint operand, gint *channel, gint *position)
{
  *channel = *position = 0;
}

/* -------------------------------------------------------------- its place */

static void
reshape_channels (const DeimNode *node, DeimChannelSolver *solver)
{
  deim_channels_same (solver, node->in[0], node->out[0]);
}

const DeimOp deim_op_flatten = {
  .name = "flatten",
  .kind = DEIM_OP_VIEW,
  .place = reshape_place,
  .reference = reshape_reference,
  .gradient = flatten_gradient,
  .channels = reshape_channels,
};

const DeimOp deim_op_unflatten = {
  .name = "unflatten",
  .kind = DEIM_OP_VIEW,
  .place = reshape_place,
  .reference = reshape_reference,
  .gradient = unflatten_gradient,
  .channels = reshape_channels,
};

const DeimOp deim_op_detach = {
  .name = "detach",
  .kind = DEIM_OP_VIEW,
  .place = reshape_place,
  .reference = reshape_reference,
  .channels = reshape_channels,
};

DeimTensor *
deim_detach (DeimGraph *graph, DeimTensor *x)
{
  if (!deim_op_ready (graph, &deim_op_detach, &x, 1))
    return NULL;
  DeimNode *node = deim_op_append (graph, &deim_op_detach, &x, 1, x->shape);
  return node ? node->out[0] : NULL;
}

DeimTensor *
deim_flatten (DeimGraph *graph, DeimTensor *x)
{
  if (!deim_op_ready (graph, &deim_op_flatten, &x, 1))
    return NULL;
  DeimShape s = x->shape;
  DeimNode *node = deim_op_append (graph, &deim_op_flatten, &x, 1, (DeimShape){ s.n, s.c, 1, s.h * s.w });
  return node ? node->out[0] : NULL;
}

DeimTensor *
deim_unflatten (DeimGraph *graph, DeimTensor *x, gint h, gint w)
{
  const DeimOp *op = &deim_op_unflatten;
  if (!deim_op_ready (graph, op, &x, 1))
    return NULL;
  DeimShape s = x->shape;
  if (s.h != 1 || h < 1 || w < 1 || (gint64) h * w != s.w) {
    g_autofree gchar *what = g_strdup_printf ("a map of %dx%d must have as many positions as there are tokens", h, w);
    deim_op_fail_shapes (graph, op, x, NULL, what);
    return NULL;
  }
  DeimNode *node = deim_op_append (graph, op, &x, 1, (DeimShape){ s.n, s.c, h, w });
  return node ? node->out[0] : NULL;
}
