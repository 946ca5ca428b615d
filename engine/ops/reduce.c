/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * reduce.c - sum_to: torch.Tensor.sum_to_size, the gradient of a broadcast; and its reverse, repeat_to:
 * torch.Tensor.expand times a number, the gradient of a sum or mean. Operand x [n, c, h, w] and a shape in which n, c
 * and h = w may be 1 where x has more (sum_to), or x has 1 where the shape has more (repeat_to).
 */
#include "engine/error.h"
#include "engine/ops/util.h"

extern const DeimOp deim_op_sum_to, deim_op_repeat_to;

/* Index into @small of element [n][c][h][w] of a larger shape. */
static gsize
index_in (DeimShape small, gint n, gint c, gint h, gint w)
{
  gsize i = small.n == 1 ? 0 : (gsize) n;
  i = i * (gsize) small.c + (small.c == 1 ? 0 : (gsize) c);
  i = i * (gsize) small.h + (small.h == 1 ? 0 : (gsize) h);
  return i * (gsize) small.w + (small.w == 1 ? 0 : (gsize) w);
}

static void
sum_to_reference (const DeimNode *node, const DeimOperands *operands)
{
  DeimShape s = node->in[0]->shape, t = node->out[0]->shape;
  gsize size = deim_shape_size (t), at = 0;
  g_autofree gdouble *sums = g_new0 (gdouble, size);
  for (gint n = 0; n < s.n; n++)
    for (gint c = 0; c < s.c; c++)
      for (gint h = 0; h < s.h; h++)
        for (gint w = 0; w < s.w; w++)
          sums[index_in (t, n, c, h, w)] += operands->in[0][at++];
  for (gsize i = 0; i < size; i++)
    operands->out[0][i] = (gfloat) sums[i];
}

static void
repeat_to_reference (const DeimNode *node, const DeimOperands *operands)
{
  DeimShape s = node->in[0]->shape, t = node->out[0]->shape;
  gdouble scale = node->attrs.repeat.scale;
  gsize at = 0;
  for (gint n = 0; n < t.n; n++)
    for (gint c = 0; c < t.c; c++)
      for (gint h = 0; h < t.h; h++)
        for (gint w = 0; w < t.w; w++)
          operands->out[0][at++] = (gfloat) (scale * operands->in[0][index_in (s, n, c, h, w)]);
}

/* ---------------------------------------------------------------- dispatch */

static void
reduce_channels (const DeimNode *node, DeimChannelSolver *solver)
{
  deim_channels_same (solver, node->in[0], node->out[0]);
}

static gboolean
sum_to_dispatch (const DeimNode *node, DeimDispatchList *list, GError **error)
{
  DeimTensor *x = node->in[0], *y = node->out[0];
  DeimExtent from = deim_dispatch_extent (list, x), to = deim_dispatch_extent (list, y);
  gboolean over_channels = y->shape.c == 1 && x->shape.c > 1;
  gint n = from.batch / to.batch, blocks = over_channels ? from.blocks : 1, positions = from.positions / to.positions;
  guint lanes = positions > 1 ? deim_dispatch_reduction_lanes (list) : 1;
  if ((gint64) n * blocks * positions / lanes > 65000) { /* shaders/sum_to.comp: iterations of an invocation */
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_UNSUPPORTED, "%s: a sum over %d x %d x %d vectors is not provided for",
                 node->name, n, blocks, positions);
    return FALSE;
  }
  gint map = deim_dispatch_add_channel_map (list, x);
  DeimDispatch *d = deim_dispatch_append (list, "sum_to");
  deim_dispatch_bind (d, DEIM_BIND_READ, x);
  deim_dispatch_bind_blob (d, map);
  deim_dispatch_bind (d, DEIM_BIND_WRITE, y);
  deim_dispatch_spec (d, lanes);
  deim_dispatch_spec (d, over_channels);
  deim_dispatch_push_place (d, list, x);
  deim_dispatch_push_place (d, list, y);
  deim_dispatch_push_int (d, n);
  deim_dispatch_push_int (d, blocks);
  deim_dispatch_push_int (d, positions);
  deim_dispatch_push_int (d, to.positions);
  deim_dispatch_cover (d, list, to.positions * (gint) lanes, to.blocks, to.batch);
  return TRUE;
}

static gboolean
repeat_to_dispatch (const DeimNode *node, DeimDispatchList *list, GError **error)
{
  DeimTensor *x = node->in[0], *y = node->out[0];
  const DeimLayout *in = deim_dispatch_layout (list, x);
  DeimExtent from = deim_dispatch_extent (list, x), to = deim_dispatch_extent (list, y);
  DeimDispatch *d = deim_dispatch_append (list, "repeat_to");
  deim_dispatch_bind (d, DEIM_BIND_READ, x);
  deim_dispatch_bind (d, DEIM_BIND_WRITE, y);
  deim_dispatch_push_int (d, in->first);
  deim_dispatch_push_int (d, x->shape.c == 1 ? 0 : in->block_stride);
  deim_dispatch_push_int (d, x->shape.n == 1 ? 0 : in->batch_stride);
  deim_dispatch_push_place (d, list, y);
  deim_dispatch_push_int (d, from.positions == 1 ? 0 : 1);
  deim_dispatch_push_int (d, x->shape.c == 1);
  deim_dispatch_push_int (d, to.positions);
  deim_dispatch_push_float (d, node->attrs.repeat.scale);
  deim_dispatch_cover (d, list, to.positions, to.blocks, to.batch);
  return TRUE;
}

const DeimOp deim_op_sum_to = {
  .name = "sum_to",
  .reference = sum_to_reference,
  .channels = reduce_channels,
  .dispatch = sum_to_dispatch,
};

const DeimOp deim_op_repeat_to = {
  .name = "repeat_to",
  .reference = repeat_to_reference,
  .channels = reduce_channels,
  .dispatch = repeat_to_dispatch,
};

/* Whether @small is @large with 1 in place of some of n, c and h x w. */
static gboolean
broadcasts_to (DeimShape small, DeimShape large)
{
  return (small.n == 1 || small.n == large.n) && (small.c == 1 || small.c == large.c) &&
         ((small.h == 1 && small.w == 1) || (small.h == large.h && small.w == large.w));
}

static DeimNode *
append (DeimGraph *graph, const DeimOp *op, DeimTensor *x, DeimShape shape, gboolean legal)
{
  if (legal)
    return deim_op_append (graph, op, &x, 1, shape);
  g_autofree gchar *what = g_strdup_printf (DEIM_SHAPE_FORMAT " must differ from the input by ones in place of the "
                                                              "batch, the channels or both sides",
                                            DEIM_SHAPE_ARGS (shape));
  deim_op_fail_shapes (graph, op, x, NULL, what);
  return NULL;
}

DeimTensor *
deim_sum_to (DeimGraph *graph, DeimTensor *x, DeimShape shape)
{
  if (!deim_op_ready (graph, &deim_op_sum_to, &x, 1))
    return NULL;
  if (deim_shape_equal (x->shape, shape))
    return x;
  DeimNode *node = append (graph, &deim_op_sum_to, x, shape, broadcasts_to (shape, x->shape));
  return node ? node->out[0] : NULL;
}

DeimTensor *
deim_repeat_to (DeimGraph *graph, DeimTensor *x, DeimShape shape, gfloat scale)
{
  if (!deim_op_ready (graph, &deim_op_repeat_to, &x, 1))
    return NULL;
  DeimNode *node = append (graph, &deim_op_repeat_to, x, shape, broadcasts_to (x->shape, shape));
  if (!node)
    return NULL;
  node->attrs.repeat.scale = scale;
  return node->out[0];
}
