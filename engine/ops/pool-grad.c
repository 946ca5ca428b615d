/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * pool-grad.c - gradients of max_pool (operands dy, x) and avg_pool (dy) -> dx [n, c, h, w]. A maximum's gradient goes
 * to the first of equal places, as in PyTorch; what the padding won is lost.
 */
#include "engine/graph/differentiate.h"
#include "engine/ops/util.h"

extern const DeimOp deim_op_max_pool_grad, deim_op_avg_pool_grad;

/* The place in @plane [h][w] of the largest of a window, or -1 if that is a padding. */
static gint
find_winner (const DeimPoolAttrs *a, const gfloat *plane, gint h, gint w, gint oy, gint ox)
{
  gdouble best = -INFINITY;
  gint winner = -1;
  for (gint ky = 0; ky < a->kernel; ky++)
    for (gint kx = 0; kx < a->kernel; kx++) {
      gint y = oy * a->stride - a->pad_top + ky, x = ox * a->stride - a->pad_left + kx;
      gboolean inside = y >= 0 && y < h && x >= 0 && x < w;
      gdouble v = inside ? plane[y * w + x] : a->pad_value;
      if (v > best) {
        best = v;
        winner = inside ? y * w + x : -1;
      }
    }
  return winner;
}

static void
pool_grad_reference (const DeimNode *node, const DeimOperands *operands)
{
  const DeimPoolAttrs *a = &node->attrs.pool;
  DeimShape out = node->in[0]->shape, in = node->out[0]->shape;
  gsize size = (gsize) in.h * (gsize) in.w, at = 0;
  g_autofree gdouble *sums = g_new (gdouble, size);
  for (gsize plane = 0; plane < (gsize) in.n * (gsize) in.c; plane++) {
    for (gsize i = 0; i < size; i++)
      sums[i] = 0;
    for (gint oy = 0; oy < out.h; oy++)
      for (gint ox = 0; ox < out.w; ox++, at++) {
        gdouble dy = operands->in[0][at];
        if (a->max) {
          gint winner = find_winner (a, operands->in[1] + plane * size, in.h, in.w, oy, ox);
          if (winner >= 0)
            sums[winner] += dy;
          continue;
        }
        for (gint ky = 0; ky < a->kernel; ky++)
          for (gint kx = 0; kx < a->kernel; kx++) {
            gint y = oy * a->stride - a->pad_top + ky, x = ox * a->stride - a->pad_left + kx;
            if (y >= 0 && y < in.h && x >= 0 && x < in.w)
              sums[y * in.w + x] += dy * a->scale;
          }
      }
    for (gsize i = 0; i < size; i++)
      operands->out[0][plane * size + i] = (gfloat) sums[i];
  }
}

/* ---------------------------------------------------------------- dispatch */

static void
pool_grad_channels (const DeimNode *node, DeimChannelSolver *solver)
{
  deim_channels_same (solver, node->in[0], node->out[0]);
  if (node->n_in > 1)
    deim_channels_same (solver, node->in[1], node->out[0]);
}

static gboolean
pool_grad_dispatch (const DeimNode *node, DeimDispatchList *list, GError **error)
{
  const DeimPoolAttrs *a = &node->attrs.pool;
  DeimTensor *dy = node->in[0], *x = a->max ? node->in[1] : dy, *dx = node->out[0];
  DeimExtent extent = deim_dispatch_extent (list, dx);
  DeimDispatch *d = deim_dispatch_append (list, "pool_grad");
  deim_dispatch_bind (d, DEIM_BIND_READ, dy);
  deim_dispatch_bind (d, DEIM_BIND_READ, x);
  deim_dispatch_bind (d, DEIM_BIND_WRITE, dx);
  deim_dispatch_spec (d, (guint32) a->kernel);
  deim_dispatch_spec (d, (guint32) a->stride);
  deim_dispatch_spec (d, (guint32) a->max);
  deim_dispatch_push_place (d, list, dy);
  deim_dispatch_push_place (d, list, x);
  deim_dispatch_push_place (d, list, dx);
  deim_dispatch_push_int (d, dx->shape.w);
  deim_dispatch_push_int (d, dx->shape.h);
  deim_dispatch_push_int (d, dy->shape.w);
  deim_dispatch_push_int (d, dy->shape.h);
  deim_dispatch_push_int (d, a->pad_top);
  deim_dispatch_push_int (d, a->pad_left);
  deim_dispatch_push_float (d, MAX (a->pad_value, -G_MAXFLOAT));
  deim_dispatch_push_float (d, a->scale);
  deim_dispatch_cover (d, list, extent.positions, extent.blocks, extent.batch);
  return TRUE;
}

const DeimOp deim_op_max_pool_grad = {
  .name = "max_pool_grad",
  .reference = pool_grad_reference,
  .channels = pool_grad_channels,
  .dispatch = pool_grad_dispatch,
};

const DeimOp deim_op_avg_pool_grad = {
  .name = "avg_pool_grad",
  .reference = pool_grad_reference,
  .channels = pool_grad_channels,
  .dispatch = pool_grad_dispatch,
};

void
deim_pool_gradient (const DeimNode *node, DeimTensor *dy, DeimBackward *backward)
{
  gboolean max = node->attrs.pool.max;
  DeimTensor *in[2] = { dy, node->in[0] };
  DeimNode *grad =
      deim_op_append (deim_backward_graph (backward), max ? &deim_op_max_pool_grad : &deim_op_avg_pool_grad, in,
                      max ? 2 : 1, node->in[0]->shape);
  if (!grad)
    return;
  grad->attrs.pool = node->attrs.pool;
  deim_backward_give (backward, node->in[0], grad->out[0]);
}
