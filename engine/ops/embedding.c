/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * embedding.c - torch.nn.functional.embedding: rows of a table as tokens. Operands: weight [rows, d], plain, index
 * int32 [n, 1, 1, k] -> [n, d, 1, k]. And embedding_grad: operands dy, index -> dweight, plain; the padding row gets
 * none.
 */
#include "engine/error.h"
#include "engine/graph/differentiate.h"
#include "engine/ops/util.h"

extern const DeimOp deim_op_embedding, deim_op_embedding_grad;

static void
embedding_reference (const DeimNode *node, const DeimOperands *operands)
{
  DeimShape out = node->out[0]->shape;
  const gint32 *index = (const gint32 *) operands->in[1];
  gsize at = 0;
  for (gint n = 0; n < out.n; n++)
    for (gint c = 0; c < out.c; c++)
      for (gint i = 0; i < out.w; i++) {
        gint row = CLAMP (index[n * out.w + i], 0, node->in[0]->shape.n - 1);
        operands->out[0][at++] = operands->in[0][(gsize) row * (gsize) out.c + (gsize) c];
      }
}

static void
embedding_grad_reference (const DeimNode *node, const DeimOperands *operands)
{
  DeimShape dy = node->in[0]->shape, table = node->out[0]->shape;
  const gint32 *index = (const gint32 *) operands->in[1];
  gsize size = deim_shape_size (table), at = 0;
  g_autofree gdouble *sums = g_new0 (gdouble, size);
  for (gint n = 0; n < dy.n; n++)
    for (gint c = 0; c < dy.c; c++)
      for (gint i = 0; i < dy.w; i++, at++) {
        gint row = CLAMP (index[n * dy.w + i], 0, table.n - 1);
        if (row != node->attrs.embedding.padding)
          sums[(gsize) row * (gsize) dy.c + (gsize) c] += operands->in[0][at];
      }
  for (gsize i = 0; i < size; i++)
    operands->out[0][i] = (gfloat) sums[i];
}

static void
embedding_gradient (const DeimNode *node, DeimTensor *dy, DeimBackward *backward)
{
  DeimTensor *in[2] = { dy, node->in[1] };
  DeimNode *grad = deim_graph_append (deim_backward_graph (backward), &deim_op_embedding_grad, in, 2,
                                      node->in[0]->shape, DEIM_TYPE_FLOAT);
  if (!grad)
    return;
  grad->attrs.embedding = node->attrs.embedding;
  grad->out[0]->plain = TRUE;
  deim_backward_give (backward, node->in[0], grad->out[0]);
}

/* ---------------------------------------------------------------- dispatch */

static void
embedding_channels (const DeimNode *node, DeimChannelSolver *solver)
{
}

static gboolean
embedding_dispatch (const DeimNode *node, DeimDispatchList *list, GError **error)
{
  DeimTensor *table = node->in[0], *index = node->in[1], *y = node->out[0];
  gint map = deim_dispatch_add_channel_map (list, y);
  DeimDispatch *d = deim_dispatch_append (list, "embedding");
  deim_dispatch_bind (d, DEIM_BIND_READ, table);
  deim_dispatch_bind (d, DEIM_BIND_READ_RAW, index);
  deim_dispatch_bind_blob (d, map);
  deim_dispatch_bind (d, DEIM_BIND_WRITE, y);
  deim_dispatch_push_place (d, list, y);
  deim_dispatch_push_int (d, y->shape.w);
  deim_dispatch_push_int (d, table->shape.n);
  deim_dispatch_push_int (d, table->shape.c);
  deim_dispatch_cover (d, list, y->shape.w, deim_dispatch_layout (list, y)->blocks, y->shape.n);
  return TRUE;
}

static gboolean
embedding_grad_dispatch (const DeimNode *node, DeimDispatchList *list, GError **error)
{
  DeimTensor *dy = node->in[0], *index = node->in[1], *dtable = node->out[0];
  gint blocks = deim_dispatch_layout (list, dy)->blocks, rows = dtable->shape.n;
  if ((gint64) dy->shape.n * dy->shape.w > 60000) { /* shaders/embedding_grad.comp: iterations of an invocation */
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_UNSUPPORTED,
                 "%s: %d lists of %d indices are more than training provides for", node->name, dy->shape.n,
                 dy->shape.w);
    return FALSE;
  }
  gint map = deim_dispatch_add_channel_map (list, dy);
  DeimDispatch *d = deim_dispatch_append (list, "embedding_grad");
  deim_dispatch_bind (d, DEIM_BIND_READ, dy);
  deim_dispatch_bind (d, DEIM_BIND_READ_RAW, index);
  deim_dispatch_bind_blob (d, map);
  deim_dispatch_bind (d, DEIM_BIND_WRITE, dtable);
  deim_dispatch_push_place (d, list, dy);
  deim_dispatch_push_int (d, dy->shape.n);
  deim_dispatch_push_int (d, dy->shape.w);
  deim_dispatch_push_int (d, rows);
  deim_dispatch_push_int (d, dtable->shape.c);
  deim_dispatch_push_int (d, node->attrs.embedding.padding);
  deim_dispatch_cover (d, list, rows, blocks, 1);
  return TRUE;
}

const DeimOp deim_op_embedding = {
  .name = "embedding",
  .reference = embedding_reference,
  .gradient = embedding_gradient,
  .channels = embedding_channels,
  .dispatch = embedding_dispatch,
};

const DeimOp deim_op_embedding_grad = {
  .name = "embedding_grad",
  .reference = embedding_grad_reference,
  .channels = embedding_channels,
  .dispatch = embedding_grad_dispatch,
};

DeimTensor *
deim_embedding (DeimGraph *graph, DeimTensor *weight, DeimTensor *index, gint padding)
{
  const DeimOp *op = &deim_op_embedding;
  DeimTensor *in[2] = { weight, index };
  if (!deim_op_ready (graph, op, in, 1))
    return NULL;
  if (!index || index->type != DEIM_TYPE_INT || !weight->plain) {
    deim_graph_fail (graph, "embedding: the table must be plain and the second operand indices; the network "
                            "description is at fault");
    return NULL;
  }
  DeimShape s = weight->shape, i = index->shape;
  if (s.h != 1 || s.w != 1 || i.c != 1 || i.h != 1) {
    deim_op_fail_shapes (graph, op, weight, index, "a table of rows and lists of indices are needed");
    return NULL;
  }
  DeimNode *node = deim_graph_append (graph, op, in, 2, (DeimShape){ i.n, s.c, 1, i.w }, DEIM_TYPE_FLOAT);
  if (!node)
    return NULL;
  node->attrs.embedding.padding = padding;
  return node->out[0];
}
