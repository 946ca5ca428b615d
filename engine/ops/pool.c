/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * pool.c - torch.nn.functional.max_pool2d, and avg_pool2d with
 * count_include_pad. Operand x [n, c, h, w]. Two ops over one set of attributes, and their gradients (pool-grad.c).
 */
#include "engine/ops/util.h"

extern const DeimOp deim_op_max_pool, deim_op_avg_pool;

static void
pool_reference (const DeimNode *node, const DeimOperands *operands)
{
  const DeimPoolAttrs *a = &node->attrs.pool;
  DeimShape in = node->in[0]->shape, out = node->out[0]->shape;
  gsize at = 0;
  for (gint plane = 0; plane < out.n * out.c; plane++)
    for (gint oy = 0; oy < out.h; oy++)
      for (gint ox = 0; ox < out.w; ox++, at++) {
        gdouble best = -INFINITY, sum = 0;
        for (gint ky = 0; ky < a->kernel; ky++)
          for (gint kx = 0; kx < a->kernel; kx++) {
            gint y = oy * a->stride - a->pad_top + ky, x = ox * a->stride - a->pad_left + kx;
            gdouble v = a->pad_value;
            if (y >= 0 && y < in.h && x >= 0 && x < in.w)
              v = operands->in[0][((gsize) plane * (gsize) in.h + (gsize) y) * (gsize) in.w + (gsize) x];
            if (v > best || isnan (v)) /* NaN wins, and stays: nothing is greater */
              best = v;
            sum += v;
          }
        operands->out[0][at] = (gfloat) (a->max ? best : sum * a->scale);
      }
}

/* ---------------------------------------------------------------- dispatch */

static void
pool_channels (const DeimNode *node, DeimChannelSolver *solver)
{
  deim_channels_same (solver, node->in[0], node->out[0]);
}

static gboolean
pool_dispatch (const DeimNode *node, DeimDispatchList *list, GError **error)
{
  DeimTensor *x = node->in[0], *y = node->out[0];
  const DeimPoolAttrs *a = &node->attrs.pool;
  gint rows = deim_dispatch_choose_rows (list, a->kernel, a->stride, y->shape, deim_dispatch_local_size (list), 1);
  DeimDispatch *d = deim_dispatch_append (list, "pool");
  deim_dispatch_bind (d, DEIM_BIND_READ, x);
  deim_dispatch_bind (d, DEIM_BIND_WRITE, y);
  deim_dispatch_spec (d, (guint32) a->kernel);
  deim_dispatch_spec (d, (guint32) a->stride);
  deim_dispatch_spec (d, (guint32) rows);
  deim_dispatch_spec (d, (guint32) a->max);
  deim_dispatch_push_place (d, list, x);
  deim_dispatch_push_place (d, list, y);
  deim_dispatch_push_int (d, x->shape.w);
  deim_dispatch_push_int (d, x->shape.h);
  deim_dispatch_push_int (d, y->shape.w);
  deim_dispatch_push_int (d, y->shape.h);
  deim_dispatch_push_int (d, a->pad_top);
  deim_dispatch_push_int (d, a->pad_left);
  deim_dispatch_push_float (d, MAX (a->pad_value, -G_MAXFLOAT)); /* -inf: the lowest number serves, see pool.comp */
  deim_dispatch_push_float (d, a->scale);
  deim_dispatch_cover (d, list, deim_dispatch_count_columns (y->shape, rows), deim_dispatch_layout (list, y)->blocks,
                       y->shape.n);
  return TRUE;
}

const DeimOp deim_op_max_pool = {
  .name = "max_pool",
  .reference = pool_reference,
  .gradient = deim_pool_gradient,
  .channels = pool_channels,
  .dispatch = pool_dispatch,
};

const DeimOp deim_op_avg_pool = {
  .name = "avg_pool",
  .reference = pool_reference,
  .gradient = deim_pool_gradient,
  .channels = pool_channels,
  .dispatch = pool_dispatch,
};

static DeimTensor *
append (DeimGraph *graph, const DeimOp *op, DeimTensor *x, const DeimPoolAttrs *a)
{
  if (!deim_op_ready (graph, op, &x, 1))
    return NULL;
  DeimShape s = x->shape;
  gint h = s.h + a->pad_top + a->pad_bottom - a->kernel, w = s.w + a->pad_left + a->pad_right - a->kernel;
  if (a->kernel < 1 || a->stride < 1 || a->pad_top < 0 || a->pad_left < 0 || a->pad_bottom < 0 || a->pad_right < 0 ||
      h < 0 || w < 0) {
    g_autofree gchar *what =
        g_strdup_printf ("a window of %dx%d with stride %d and pads %d, %d, %d, %d must fit", a->kernel, a->kernel,
                         a->stride, a->pad_top, a->pad_left, a->pad_bottom, a->pad_right);
    deim_op_fail_shapes (graph, op, x, NULL, what);
    return NULL;
  }
  DeimNode *node = deim_op_append (graph, op, &x, 1, (DeimShape){ s.n, s.c, h / a->stride + 1, w / a->stride + 1 });
  if (!node)
    return NULL;
  node->attrs.pool = *a;
  return node->out[0];
}

DeimTensor *
deim_max_pool (DeimGraph *graph, DeimTensor *x, gint kernel, gint stride, gint pad_top, gint pad_left, gint pad_bottom,
               gint pad_right, gfloat pad_value)
{
  return append (graph, &deim_op_max_pool, x,
                 &(DeimPoolAttrs){ TRUE, kernel, stride, pad_top, pad_left, pad_bottom, pad_right, pad_value, 1 });
}

DeimTensor *
deim_avg_pool (DeimGraph *graph, DeimTensor *x, gint kernel, gint stride, gint pad)
{
  gfloat scale = kernel > 0 ? 1.0f / (gfloat) (kernel * kernel) : 0;
  return append (graph, &deim_op_avg_pool, x, &(DeimPoolAttrs){ FALSE, kernel, stride, pad, pad, pad, pad, 0, scale });
}

DeimTensor *
deim_sum_pool (DeimGraph *graph, DeimTensor *x, gint kernel)
{
  return append (graph, &deim_op_avg_pool, x, &(DeimPoolAttrs){ FALSE, kernel, kernel, 0, 0, 0, 0, 0, 1 });
}
