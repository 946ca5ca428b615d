/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * lqe.c - input of D-FINE's location quality estimator: how sharp the four
 * distributions are. Operand: corners [n, 4*33, 1, Q] -> [n, 4*5, 1, Q]: for
 * each edge the 4 largest of softmax (corners), descending, and their mean. And
 * lqe_stats_grad: operands dy, corners -> dcorners.
 */
#include "engine/graph/differentiate.h"
#include "engine/ops/util.h"

#define TOP 4

extern const DeimOp deim_op_lqe_stats, deim_op_lqe_stats_grad;

/* Of one edge of one query; numbers are @stride apart in both arrays. */
static void
edge_stats (const gfloat *corners, gfloat *out, gsize stride)
{
  gfloat logits[DEIM_FDR_BINS];
  gint32 best[TOP];
  gdouble total = 0, mean = 0;
  for (gint i = 0; i < DEIM_FDR_BINS; i++)
    logits[i] = corners[(gsize) i * stride];
  deim_top_k (logits, DEIM_FDR_BINS, TOP, best); /* the softmax keeps their order */
  gdouble most = logits[best[0]];
  for (gint i = 0; i < DEIM_FDR_BINS; i++)
    total += exp (logits[i] - most);
  for (gint i = 0; i < TOP; i++) {
    gdouble p = exp (logits[best[i]] - most) / total;
    out[(gsize) i * stride] = (gfloat) p;
    mean += p / TOP;
  }
  out[TOP * stride] = (gfloat) mean;
}

static void
lqe_stats_reference (const DeimNode *node, const DeimOperands *operands)
{
  gint batch = node->out[0]->shape.n;
  gsize q_count = (gsize) node->out[0]->shape.w;
  for (gsize edge = 0; edge < (gsize) batch * 4; edge++) /* batch entries are further edges */
    for (gsize q = 0; q < q_count; q++)
      edge_stats (operands->in[0] + edge * DEIM_FDR_BINS * q_count + q,
                  operands->out[0] + edge * (TOP + 1) * q_count + q, q_count);
}

/* g = what the largest four are worth; dcorners = p * (g - sum p * g) */
static void
edge_stats_back (const gfloat *dy, const gfloat *corners, gfloat *dcorners, gsize stride)
{
  gfloat logits[DEIM_FDR_BINS];
  gint32 best[TOP];
  gdouble total = 0, mean = 0, worth[DEIM_FDR_BINS] = { 0 };
  for (gint i = 0; i < DEIM_FDR_BINS; i++)
    logits[i] = corners[(gsize) i * stride];
  deim_top_k (logits, DEIM_FDR_BINS, TOP, best);
  gdouble most = logits[best[0]];
  for (gint i = 0; i < DEIM_FDR_BINS; i++)
    total += exp (logits[i] - most);
  for (gint i = 0; i < TOP; i++) {
    worth[best[i]] = dy[(gsize) i * stride] + (gdouble) dy[TOP * stride] / TOP;
    mean += worth[best[i]] * exp (logits[best[i]] - most) / total;
  }
  for (gint i = 0; i < DEIM_FDR_BINS; i++)
    dcorners[(gsize) i * stride] = (gfloat) (exp (logits[i] - most) / total * (worth[i] - mean));
}

static void
lqe_stats_grad_reference (const DeimNode *node, const DeimOperands *operands)
{
  gsize q_count = (gsize) node->out[0]->shape.w;
  for (gsize edge = 0; edge < (gsize) node->out[0]->shape.n * 4; edge++)
    for (gsize q = 0; q < q_count; q++)
      edge_stats_back (operands->in[0] + edge * (TOP + 1) * q_count + q,
                       operands->in[1] + edge * DEIM_FDR_BINS * q_count + q,
                       operands->out[0] + edge * DEIM_FDR_BINS * q_count + q, q_count);
}

static void
lqe_stats_gradient (const DeimNode *node, DeimTensor *dy, DeimBackward *backward)
{
  DeimTensor *in[2] = { dy, node->in[0] };
  DeimNode *grad = deim_op_append (deim_backward_graph (backward), &deim_op_lqe_stats_grad, in, 2, node->in[0]->shape);
  if (grad)
    deim_backward_give (backward, node->in[0], grad->out[0]);
}

/* ---------------------------------------------------------------- dispatch */

static gboolean
lqe_stats_dispatch (const DeimNode *node, DeimDispatchList *list, GError **error)
{
  DeimTensor *corners = node->in[0], *y = node->out[0];
  DeimDispatch *d = deim_dispatch_append (list, "lqe_stats");
  deim_dispatch_bind (d, DEIM_BIND_READ, corners);
  deim_dispatch_bind (d, DEIM_BIND_WRITE, y);
  deim_dispatch_push_place (d, list, corners);
  deim_dispatch_push_place (d, list, y);
  deim_dispatch_push_int (d, y->shape.w);
  deim_dispatch_cover (d, list, y->shape.w, 1, y->shape.n);
  return TRUE;
}

static gboolean
lqe_stats_grad_dispatch (const DeimNode *node, DeimDispatchList *list, GError **error)
{
  DeimTensor *dcorners = node->out[0];
  DeimDispatch *d = deim_dispatch_append (list, "lqe_stats_grad");
  deim_dispatch_bind (d, DEIM_BIND_READ, node->in[0]);
  deim_dispatch_bind (d, DEIM_BIND_READ, node->in[1]);
  deim_dispatch_bind (d, DEIM_BIND_WRITE, dcorners);
  deim_dispatch_push_place (d, list, node->in[0]);
  deim_dispatch_push_place (d, list, node->in[1]);
  deim_dispatch_push_place (d, list, dcorners);
  deim_dispatch_push_int (d, dcorners->shape.w);
  deim_dispatch_cover (d, list, dcorners->shape.w, 1, dcorners->shape.n);
  return TRUE;
}

const DeimOp deim_op_lqe_stats_grad = {
  .name = "lqe_stats_grad",
  .reference = lqe_stats_grad_reference,
  .dispatch = lqe_stats_grad_dispatch,
};

const DeimOp deim_op_lqe_stats = {
  .name = "lqe_stats",
  .reference = lqe_stats_reference,
  .gradient = lqe_stats_gradient,
  .dispatch = lqe_stats_dispatch,
};

DeimTensor *
deim_lqe_stats (DeimGraph *graph, DeimTensor *corners)
{
  const DeimOp *op = &deim_op_lqe_stats;
  if (!deim_op_ready (graph, op, &corners, 1))
    return NULL;
  DeimShape s = corners->shape;
  if (s.c != 4 * DEIM_FDR_BINS || s.h != 1) {
    deim_op_fail_shapes (graph, op, corners, NULL, "each query must have 4 x 33 bins");
    return NULL;
  }
  DeimNode *node =
      deim_graph_append (graph, op, &corners, 1, (DeimShape){ s.n, 4 * (TOP + 1), 1, s.w }, DEIM_TYPE_FLOAT);
  return node ? node->out[0] : NULL;
}
