/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * upsample.c - torch.nn.functional.interpolate (scale_factor=2, mode="nearest"): [n, c, h, w] -> [n, c, 2h, 2w].
 * in[1], of the result's shape or absent, is added to it (put there by fuse.c).
 */
#include "engine/graph/differentiate.h"
#include "engine/ops/util.h"

extern const DeimOp deim_op_upsample2x;

static void
upsample2x_reference (const DeimNode *node, const DeimOperands *operands)
{
  DeimShape in = node->in[0]->shape, out = node->out[0]->shape;
  gsize at = 0;
  for (gint plane = 0; plane < out.n * out.c; plane++)
    for (gint y = 0; y < out.h; y++)
      for (gint x = 0; x < out.w; x++, at++) {
        gfloat up = operands->in[0][((gsize) plane * (gsize) in.h + (gsize) (y / 2)) * (gsize) in.w + (gsize) (x / 2)];
        operands->out[0][at] = node->n_in > 1 ? up + operands->in[1][at] : up;
      }
}

static void
upsample2x_gradient (const DeimNode *node, DeimTensor *dy, DeimBackward *backward)
{
  if (deim_backward_wants (backward, node->in[0]))
    deim_backward_give (backward, node->in[0], deim_sum_pool (deim_backward_graph (backward), dy, 2));
  if (node->n_in > 1 && node->in[1])
    deim_backward_give (backward, node->in[1], dy);
}

/* ---------------------------------------------------------------- dispatch */

static void
upsample2x_channels (const DeimNode *node, DeimChannelSolver *solver)
{
  deim_channels_same (solver, node->in[0], node->out[0]);
  if (node->n_in > 1)
    deim_channels_same (solver, node->in[1], node->out[0]);
}

static gboolean
upsample2x_dispatch (const DeimNode *node, DeimDispatchList *list, GError **error)
{
  DeimTensor *x = node->in[0], *y = node->out[0], *r = node->n_in > 1 && node->in[1] ? node->in[1] : x;
  DeimDispatch *d = deim_dispatch_append (list, "upsample2x");
  deim_dispatch_bind (d, DEIM_BIND_READ, x);
  deim_dispatch_bind (d, DEIM_BIND_READ, r);
  deim_dispatch_bind (d, DEIM_BIND_WRITE, y);
  deim_dispatch_push_place (d, list, x);
  deim_dispatch_push_place (d, list, r);
  deim_dispatch_push_place (d, list, y);
  deim_dispatch_push_int (d, x->shape.w);
  deim_dispatch_push_int (d, y->shape.h * y->shape.w);
  deim_dispatch_push_int (d, r != x);
  deim_dispatch_cover (d, list, y->shape.h * y->shape.w, deim_dispatch_layout (list, y)->blocks, y->shape.n);
  return TRUE;
}

const DeimOp deim_op_upsample2x = {
  .name = "upsample2x",
  .reference = upsample2x_reference,
  .gradient = upsample2x_gradient,
  .channels = upsample2x_channels,
  .dispatch = upsample2x_dispatch,
};

DeimTensor *
deim_upsample2x (DeimGraph *graph, DeimTensor *x)
{
  const DeimOp *op = &deim_op_upsample2x;
  if (!deim_op_ready (graph, op, &x, 1))
    return NULL;
  DeimShape s = x->shape;
  if (s.h > G_MAXINT / 2 || s.w > G_MAXINT / 2) {
    deim_op_fail_shapes (graph, op, x, NULL, "the input is too large to be doubled");
    return NULL;
  }
  DeimNode *node = deim_op_append (graph, op, &x, 1, (DeimShape){ s.n, s.c, 2 * s.h, 2 * s.w });
  return node ? node->out[0] : NULL;
}
