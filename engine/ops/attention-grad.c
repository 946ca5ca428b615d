/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * attention-grad.c - gradients of attention. Operands: dy, q, k, v, groups (or NULL), y -> dq, dk, dv.
 *
 *   p = softmax (s), s = q k^T / sqrt (hd)      dv = p^T dy      ds = p * (dy v^T - rowsum (dy * y))
 *   dq = ds k / sqrt (hd)      dk = ds^T q / sqrt (hd)
 *
 * On the device p is computed again from q and k: it is larger than all else, and cheap.
 */
#include "engine/graph/differentiate.h"
#include "engine/ops/util.h"

extern const DeimOp deim_op_attention_grad;

/* One head: rows [hd][T]. */
static void
attend_back (const DeimOperands *o, gsize at_q, gsize at_k, gint hd, gint tq, gint tk, gdouble *p, gdouble *dk,
             gdouble *dv)
{
  const gfloat *dy = o->in[0] + at_q, *q = o->in[1] + at_q, *k = o->in[2] + at_k, *v = o->in[3] + at_k;
  for (gsize i = 0; i < (gsize) hd * (gsize) tk; i++)
    dk[i] = dv[i] = 0;
  for (gint i = 0; i < tq; i++) {
    deim_attention_weights (q, k, o->in[4], hd, tq, tk, i, p);
    gdouble mean = 0;
    for (gint c = 0; c < hd; c++)
      for (gint j = 0; j < tk; j++)
        mean += p[j] * dy[c * tq + i] * v[c * tk + j];
    for (gint j = 0; j < tk; j++) {
      gdouble dp = 0;
      for (gint c = 0; c < hd; c++) {
        dv[c * tk + j] += p[j] * dy[c * tq + i];
        dp += (gdouble) dy[c * tq + i] * v[c * tk + j];
      }
      p[j] *= (dp - mean) / sqrt (hd); /* ds, scaled */
    }
    for (gint c = 0; c < hd; c++) {
      gdouble dq = 0;
      for (gint j = 0; j < tk; j++) {
        dq += p[j] * k[c * tk + j];
        dk[c * tk + j] += p[j] * q[c * tq + i];
      }
      o->out[0][at_q + (gsize) (c * tq + i)] = (gfloat) dq;
    }
  }
  for (gsize i = 0; i < (gsize) hd * (gsize) tk; i++) {
    o->out[1][at_k + i] = (gfloat) dk[i];
    o->out[2][at_k + i] = (gfloat) dv[i];
  }
}

static void
attention_grad_reference (const DeimNode *node, const DeimOperands *operands)
{
  DeimShape q = node->in[1]->shape;
  gint heads = node->attrs.attention.heads, tk = node->in[2]->shape.w, hd = q.c / heads;
  g_autofree gdouble *p = g_new (gdouble, tk);
  g_autofree gdouble *dk = g_new (gdouble, (gsize) hd * (gsize) tk), *dv = g_new (gdouble, (gsize) hd * (gsize) tk);
  for (gsize head = 0; head < (gsize) (q.n * heads); head++) /* batch entries are further heads: [n][heads][hd][T] */
    attend_back (operands, head * (gsize) hd * (gsize) q.w, head * (gsize) hd * (gsize) tk, hd, q.w, tk, p, dk, dv);
}

static gdouble
attention_grad_flop (const DeimNode *node)
{
  DeimShape q = node->in[1]->shape;
  return 10.0 * q.n * q.w * node->in[2]->shape.w * q.c;
}

/* ---------------------------------------------------------------- dispatch */

static void
attention_grad_channels (const DeimNode *node, DeimChannelSolver *solver)
{
  gint heads = node->attrs.attention.heads;
  for (guint i = 0; i < 4; i++)
    deim_attention_heads (solver, node->in[i], heads);
  deim_attention_heads (solver, node->in[5], heads);
  for (guint i = 0; i < 3; i++)
    deim_attention_heads (solver, node->out[i], heads);
}

static void
cover_tokens (DeimDispatch *d, const DeimDispatchList *list, gint tokens, gint heads, gint batch)
{
  deim_dispatch_cover (d, list, tokens, heads, batch);
  if (list->device.cpu) { /* few tokens: smaller workgroups keep all cores busy */
    d->local_size = list->device.subgroup_size;
    d->groups[0] = ((guint) tokens + d->local_size - 1) / d->local_size;
  }
}

static void
push_common (DeimDispatch *d, const DeimNode *node, const DeimDispatchList *list)
{
  DeimTensor *groups = node->in[4];
  gint width = node->in[1]->shape.c / node->attrs.attention.heads;
  for (guint i = 0; i < 4; i++)
    deim_dispatch_push_place (d, list, node->in[i]);
  deim_dispatch_push_int (d, groups ? deim_dispatch_layout (list, groups)->first : 0);
  deim_dispatch_push_int (d, node->in[1]->shape.w);
  deim_dispatch_push_int (d, node->in[2]->shape.w);
  deim_dispatch_push_int (d, node->attrs.attention.heads);
  deim_dispatch_push_float (d, (gfloat) (1.0 / sqrt (width)));
}

static void
spec_common (DeimDispatch *d, const DeimNode *node, const DeimDispatchList *list)
{
  gint width = node->in[1]->shape.c / node->attrs.attention.heads;
  d->shuffle = list->device.shuffle;
  deim_dispatch_spec (d, (guint32) (width + 3) / 4);
  deim_dispatch_spec (d, d->shuffle ? list->device.subgroup_size : 8);
  deim_dispatch_spec (d, node->in[4] != NULL);
}

static gboolean
attention_grad_dispatch (const DeimNode *node, DeimDispatchList *list, GError **error)
{
  DeimTensor *q = node->in[1], *k = node->in[2], *groups = node->in[4] ? node->in[4] : q, *y = node->in[5];
  gint heads = node->attrs.attention.heads;
  gint stats = deim_dispatch_add_scratch (list, (gsize) q->shape.n * (gsize) heads * (gsize) q->shape.w * 16);
  DeimDispatch *d = deim_dispatch_append (list, "attention_grad_query");
  for (guint i = 0; i < 4; i++)
    deim_dispatch_bind (d, DEIM_BIND_READ, node->in[i]);
  deim_dispatch_bind (d, DEIM_BIND_READ, groups);
  deim_dispatch_bind (d, DEIM_BIND_READ, y);
  deim_dispatch_bind (d, DEIM_BIND_WRITE, node->out[0]);
  deim_dispatch_bind_scratch (d, DEIM_BIND_WRITE, stats);
  spec_common (d, node, list);
  push_common (d, node, list);
  deim_dispatch_push_place (d, list, y);
  deim_dispatch_push_place (d, list, node->out[0]);
  cover_tokens (d, list, q->shape.w, heads, q->shape.n);
  d->flop = attention_grad_flop (node) * 0.5;

  d = deim_dispatch_append (list, "attention_grad_key");
  for (guint i = 0; i < 4; i++)
    deim_dispatch_bind (d, DEIM_BIND_READ, node->in[i]);
  deim_dispatch_bind (d, DEIM_BIND_READ, groups);
  deim_dispatch_bind_scratch (d, DEIM_BIND_READ, stats);
  deim_dispatch_bind (d, DEIM_BIND_WRITE, node->out[1]);
  deim_dispatch_bind (d, DEIM_BIND_WRITE, node->out[2]);
  spec_common (d, node, list);
  push_common (d, node, list);
  deim_dispatch_push_place (d, list, node->out[1]);
  deim_dispatch_push_place (d, list, node->out[2]);
  cover_tokens (d, list, k->shape.w, heads, q->shape.n);
  d->flop = attention_grad_flop (node) * 0.5;
  return TRUE;
}

const DeimOp deim_op_attention_grad = {
  .name = "attention_grad",
  .reference = attention_grad_reference,
  .flop = attention_grad_flop,
  .channels = attention_grad_channels,
  .dispatch = attention_grad_dispatch,
};

void
deim_attention_gradient (const DeimNode *node, DeimTensor *dy, DeimBackward *backward)
{
  DeimGraph *graph = deim_backward_graph (backward);
  DeimTensor *in[6] = { dy, node->in[0], node->in[1], node->in[2], node->in[3], node->out[0] };
  DeimNode *grad = deim_op_append (graph, &deim_op_attention_grad, in, 6, node->in[0]->shape);
  if (!grad)
    return;
  grad->attrs.attention = node->attrs.attention;
  for (guint i = 1; i < 3; i++)
    deim_graph_append_output (graph, grad, node->in[i]->shape, DEIM_TYPE_FLOAT);
  for (guint i = 0; i < 3; i++)
    deim_backward_give (backward, node->in[i], grad->out[i]);
}
