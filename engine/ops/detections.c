/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * detections.c - the best (query, class) pairs of a picture, by logit:
 * sigmoid, torch.topk over the flattened [Q * C], and the boxes of those
 * queries. Operands: logits [n, C, 1, Q], boxes [n, 4, 1, Q] cxcywh ->
 * [n, 8, 1, k] with rows score, class, query, 0, cx, cy, w, h; descending,
 * among equals the lower query * C + class first. A logit that is not a number
 * scores 0.
 */
#include "engine/ops/util.h"

extern const DeimOp deim_op_detections;

static void
detections_reference (const DeimNode *node, const DeimOperands *operands)
{
  DeimShape s = node->in[0]->shape;
  gint k = node->out[0]->shape.w;
  gsize classes = (gsize) s.c, queries = (gsize) s.w, count = (gsize) k;
  g_autofree gfloat *keys = g_new (gfloat, classes * queries);
  g_autofree gint32 *best = g_new (gint32, count);
  for (gsize n = 0; n < (gsize) s.n; n++) {
    for (gsize q = 0; q < queries; q++)
      for (gsize c = 0; c < classes; c++) {
        gfloat logit = operands->in[0][(n * classes + c) * queries + q];
        keys[q * classes + c] = isnan (logit) ? -INFINITY : logit;
      }
    deim_top_k (keys, s.c * s.w, k, best);
    gfloat *out = operands->out[0] + n * 8 * count; /* [8][k] */
    for (gsize i = 0; i < count; i++) {
      gsize query = (gsize) (best[i] / s.c);
      out[i] = (gfloat) deim_act_apply (keys[best[i]], DEIM_ACT_SIGMOID, 0, 0);
      out[count + i] = (gfloat) (best[i] % s.c);
      out[2 * count + i] = (gfloat) query;
      out[3 * count + i] = 0;
      for (gsize j = 0; j < 4; j++)
        out[(4 + j) * count + i] = operands->in[1][(n * 4 + j) * queries + query];
    }
  }
}

/* ---------------------------------------------------------------- dispatch */

static gboolean
detections_dispatch (const DeimNode *node, DeimDispatchList *list, GError **error)
{
  DeimTensor *logits = node->in[0], *boxes = node->in[1], *y = node->out[0];
  gint k = y->shape.w, n = y->shape.n;
  gint candidates = deim_dispatch_candidates (list, logits, k, TRUE);
  DeimDispatch *d = deim_dispatch_append (list, "detections");
  deim_dispatch_bind (d, DEIM_BIND_READ, logits);
  deim_dispatch_bind (d, DEIM_BIND_READ, boxes);
  deim_dispatch_bind_scratch (d, DEIM_BIND_READ_RAW, candidates);
  deim_dispatch_bind (d, DEIM_BIND_WRITE, y);
  deim_dispatch_push_place (d, list, logits);
  deim_dispatch_push_place (d, list, boxes);
  deim_dispatch_push_place (d, list, y);
  deim_dispatch_push_int (d, k);
  deim_dispatch_push_int (d, logits->shape.c);
  deim_dispatch_cover (d, list, k, 1, n);
  return TRUE;
}

const DeimOp deim_op_detections = {
  .name = "detections",
  .reference = detections_reference,
  .dispatch = detections_dispatch,
};

DeimTensor *
deim_detections (DeimGraph *graph, DeimTensor *logits, DeimTensor *boxes, gint k)
{
  const DeimOp *op = &deim_op_detections;
  DeimTensor *in[2] = { logits, boxes };
  if (!deim_op_ready (graph, op, in, 2))
    return NULL;
  DeimShape s = logits->shape;
  if (s.h != 1 || !deim_shape_equal (boxes->shape, (DeimShape){ s.n, 4, 1, s.w })) {
    deim_op_fail_shapes (graph, op, logits, boxes, "each query must have its logits and 4 coordinates");
    return NULL;
  }
  if (k < 1 || k > (gint64) s.c * s.w) {
    g_autofree gchar *what = g_strdup_printf ("%d detections are wanted of the pairs of a class and a query", k);
    deim_op_fail_shapes (graph, op, logits, NULL, what);
    return NULL;
  }
  DeimNode *node = deim_graph_append (graph, op, in, 2, (DeimShape){ s.n, 8, 1, k }, DEIM_TYPE_FLOAT);
  if (!node)
    return NULL;
  node->out[0]->keep_fp32 = TRUE;
  return node->out[0];
}
