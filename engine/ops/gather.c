/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * gather.c - columns index / divide of tokens (torch.gather over positions).
 * Operands: x [n or 1, c, 1, T], index int32 [n, 1, 1, k] -> [n, c, 1, k].
 */
#include "engine/ops/util.h"

extern const DeimOp deim_op_gather;

static void
gather_reference (const DeimNode *node, const DeimOperands *operands)
{
  DeimShape x = node->in[0]->shape, out = node->out[0]->shape;
  const gint32 *index = (const gint32 *) operands->in[1];
  gsize at = 0;
  for (gint n = 0; n < out.n; n++)
    for (gint c = 0; c < out.c; c++)
      for (gint i = 0; i < out.w; i++) {
        gint token = index[n * out.w + i] / node->attrs.gather.divide;
        token = CLAMP (token, 0, x.w - 1); /* of a top-k over other tokens; never read outside */
        gint from = x.n == 1 ? 0 : n;
        operands->out[0][at++] =
            operands->in[0][((gsize) from * (gsize) x.c + (gsize) c) * (gsize) x.w + (gsize) token];
      }
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

const DeimOp deim_op_gather = {
  .name = "gather",
  .reference = gather_reference,
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
