/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * gather.c - columns index / divide of tokens (torch.gather over positions).
 * Operands: x [n or 1, c, 1, T], index int32 [n, 1, 1, k] -> [n, c, 1, k].
 * And gather_grad: operands dy, index -> dx. An index may come several times;
 * its columns are added in their order.
 */
#include "engine/error.h"
#include "engine/graph/differentiate.h"
#include "engine/ops/util.h"

extern const DeimOp deim_op_gather, deim_op_gather_grad;

static gint
find_token (const gint32 *index, gint i, gint divide, gint tokens)
{
  return CLAMP (index[i] / divide, 0, tokens - 1); /* of a top-k over other tokens; never read outside */
}

static void
gather_reference (const DeimNode *node, const DeimOperands *operands)
{
  DeimShape x = node->in[0]->shape, out = node->out[0]->shape;
  const gint32 *index = (const gint32 *) operands->in[1];
  gsize at = 0;
  for (gint n = 0; n < out.n; n++)
    for (gint c = 0; c < out.c; c++)
      for (gint i = 0; i < out.w; i++) {
        gint token = find_token (index, n * out.w + i, node->attrs.gather.divide, x.w);
        gint from = x.n == 1 ? 0 : n;
        operands->out[0][at++] =
            operands->in[0][((gsize) from * (gsize) x.c + (gsize) c) * (gsize) x.w + (gsize) token];
      }
}

static void
gather_grad_reference (const DeimNode *node, const DeimOperands *operands)
{
  DeimShape dy = node->in[0]->shape, out = node->out[0]->shape;
  const gint32 *index = (const gint32 *) operands->in[1];
  gsize size = deim_shape_size (out), at = 0;
  g_autofree gdouble *sums = g_new0 (gdouble, size);
  for (gint n = 0; n < dy.n; n++)
    for (gint c = 0; c < dy.c; c++)
      for (gint i = 0; i < dy.w; i++) {
        gint token = find_token (index, n * dy.w + i, node->attrs.gather.divide, out.w), to = out.n == 1 ? 0 : n;
        sums[((gsize) to * (gsize) out.c + (gsize) c) * (gsize) out.w + (gsize) token] += operands->in[0][at++];
      }
  for (gsize i = 0; i < size; i++)
    operands->out[0][i] = (gfloat) sums[i];
}

static void
gather_gradient (const DeimNode *node, DeimTensor *dy, DeimBackward *backward)
{
  DeimTensor *in[2] = { dy, node->in[1] };
  DeimNode *grad = deim_graph_append (deim_backward_graph (backward), &deim_op_gather_grad, in, 2, node->in[0]->shape,
                                      DEIM_TYPE_FLOAT);
  if (!grad)
    return;
  grad->attrs.gather = node->attrs.gather;
  deim_backward_give (backward, node->in[0], grad->out[0]);
}

/* ---------------------------------------------------------------- dispatch */

static void
gather_channels (const DeimNode *node, DeimChannelSolver *solver)
{
  deim_channels_same (solver, node->in[0], node->out[0]);
}

static gboolean
gather_dispatch (const DeimNode *node, DeimDispatchList *list, GError **error)
{
  DeimTensor *x = node->in[0], *index = node->in[1], *y = node->out[0];
  const DeimLayout *layout = deim_dispatch_layout (list, x);
  DeimDispatch *d = deim_dispatch_append (list, "gather");
  deim_dispatch_bind (d, DEIM_BIND_READ, x);
  deim_dispatch_bind (d, DEIM_BIND_READ_RAW, index);
  deim_dispatch_bind (d, DEIM_BIND_WRITE, y);
  deim_dispatch_push_int (d, layout->first);
  deim_dispatch_push_int (d, layout->block_stride);
  deim_dispatch_push_int (d, x->shape.n == 1 ? 0 : layout->batch_stride);
  deim_dispatch_push_place (d, list, y);
  deim_dispatch_push_int (d, y->shape.w);
  deim_dispatch_push_int (d, node->attrs.gather.divide);
  deim_dispatch_cover (d, list, y->shape.w, layout->blocks, y->shape.n);
  return TRUE;
}

static gboolean
gather_grad_dispatch (const DeimNode *node, DeimDispatchList *list, GError **error)
{
  DeimTensor *dy = node->in[0], *index = node->in[1], *dx = node->out[0];
  DeimExtent extent = deim_dispatch_extent (list, dx);
  gint each = dx->shape.n == 1 ? dy->shape.n : 1; /* lists of indices that go to one set of tokens */
  if ((gint64) each * dy->shape.w > 60000) {      /* shaders/gather_grad.comp: iterations of an invocation */
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_UNSUPPORTED,
                 "%s: %d lists of %d indices are more than training provides for", node->name, each, dy->shape.w);
    return FALSE;
  }
  deim_dispatch_zeros (list, dx);
  DeimDispatch *d = deim_dispatch_append (list, "gather_grad");
  deim_dispatch_bind (d, DEIM_BIND_READ, dy);
  deim_dispatch_bind (d, DEIM_BIND_READ_RAW, index);
  deim_dispatch_bind (d, DEIM_BIND_WRITE, dx);
  deim_dispatch_push_place (d, list, dy);
  deim_dispatch_push_place (d, list, dx);
  deim_dispatch_push_int (d, dy->shape.w);
  deim_dispatch_push_int (d, node->attrs.gather.divide);
  deim_dispatch_push_int (d, dx->shape.w);
  deim_dispatch_push_int (d, each);
  deim_dispatch_push_int (d, extent.blocks);
  d->groups[0] = ((guint) extent.blocks + d->local_size - 1) / d->local_size;
  d->groups[2] = (guint) extent.batch;
  return TRUE;
}

const DeimOp deim_op_gather_grad = {
  .name = "gather_grad",
  .reference = gather_grad_reference,
  .channels = gather_channels,
  .dispatch = gather_grad_dispatch,
};

const DeimOp deim_op_gather = {
  .name = "gather",
  .reference = gather_reference,
  .gradient = gather_gradient,
  .channels = gather_channels,
  .dispatch = gather_dispatch,
};

DeimTensor *
deim_gather (DeimGraph *graph, DeimTensor *x, DeimTensor *index, gint divide)
{
  const DeimOp *op = &deim_op_gather;
  DeimTensor *in[2] = { x, index };
  if (!deim_op_ready (graph, op, in, 1))
    return NULL;
  if (!index || index->type != DEIM_TYPE_INT || divide < 1) {
    deim_graph_fail (graph,
                     "gather: the second operand must be indices, the divisor (%d) positive; the network "
                     "description is at fault",
                     divide);
    return NULL;
  }
  DeimShape s = x->shape, i = index->shape;
  if (s.h != 1 || (s.n != 1 && s.n != i.n)) {
    deim_op_fail_shapes (graph, op, x, index, "tokens of height 1 must be one set, or one per list of indices");
    return NULL;
  }
  DeimNode *node = deim_op_append (graph, op, in, 2, (DeimShape){ i.n, s.c, 1, i.w });
  if (!node)
    return NULL;
  node->attrs.gather.divide = divide;
  return node->out[0];
}
