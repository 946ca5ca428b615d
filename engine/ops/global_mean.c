/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* global_mean.c - x.mean ((2, 3), keepdim=True): [n, c, h, w] -> [n, c, 1, 1]. */
#include "engine/graph/differentiate.h"
#include "engine/ops/util.h"

extern const DeimOp deim_op_global_mean;

static void
global_mean_reference (const DeimNode *node, const DeimOperands *operands)
{
  DeimShape s = node->in[0]->shape;
  gsize plane = (gsize) s.h * (gsize) s.w;
  for (gint p = 0; p < s.n * s.c; p++) {
    gdouble sum = 0;
    for (gsize i = 0; i < plane; i++)
      sum += operands->in[0][(gsize) p * plane + i];
    operands->out[0][p] = (gfloat) (sum / (gdouble) plane);
  }
}

static void
global_mean_gradient (const DeimNode *node, DeimTensor *dy, DeimBackward *backward)
{
  DeimShape s = node->in[0]->shape;
  deim_backward_give (backward, node->in[0],
                      deim_repeat_to (deim_backward_graph (backward), dy, s, 1.0f / (gfloat) (s.h * s.w)));
}

/* ---------------------------------------------------------------- dispatch */

static void
global_mean_channels (const DeimNode *node, DeimChannelSolver *solver)
{
  deim_channels_same (solver, node->in[0], node->out[0]);
}

static gboolean
global_mean_dispatch (const DeimNode *node, DeimDispatchList *list, GError **error)
{
  DeimTensor *x = node->in[0], *y = node->out[0];
  guint lanes = deim_dispatch_reduction_lanes (list);
  gint blocks = deim_dispatch_layout (list, y)->blocks;
  DeimDispatch *d = deim_dispatch_append (list, "global_mean");
  deim_dispatch_bind (d, DEIM_BIND_READ, x);
  deim_dispatch_bind (d, DEIM_BIND_WRITE, y);
  deim_dispatch_spec (d, lanes);
  deim_dispatch_push_place (d, list, x);
  deim_dispatch_push_place (d, list, y);
  deim_dispatch_push_int (d, blocks);
  deim_dispatch_push_int (d, x->shape.h * x->shape.w);
  deim_dispatch_cover (d, list, blocks * (gint) lanes, 1, y->shape.n);
  return TRUE;
}

const DeimOp deim_op_global_mean = {
  .name = "global_mean",
  .reference = global_mean_reference,
  .gradient = global_mean_gradient,
  .channels = global_mean_channels,
  .dispatch = global_mean_dispatch,
};

DeimTensor *
deim_global_mean (DeimGraph *graph, DeimTensor *x)
{
  const DeimOp *op = &deim_op_global_mean;
  if (!deim_op_ready (graph, op, &x, 1))
    return NULL;
  DeimNode *node = deim_op_append (graph, op, &x, 1, (DeimShape){ x->shape.n, x->shape.c, 1, 1 });
  return node ? node->out[0] : NULL;
}
