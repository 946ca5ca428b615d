/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * attention.c - softmax (q k^T / sqrt (d / heads)) v per head: the middle of
 * torch.nn.MultiheadAttention, between its input and output projections.
 * Operands: q [n, d, 1, Tq], k and v [n, d, 1, Tk], groups [1, 1, 1, T] or
 * NULL. Head i has channels i * d / heads and following. With groups (Tq = Tk
 * = T) a query sees the keys of group 0 and those of its own group: the
 * denoising queries of training, which see the others but not each other.
 * Gradients: attention-grad.c.
 */
#include "engine/ops/util.h"

extern const DeimOp deim_op_attention;

void
deim_attention_weights (const gfloat *q, const gfloat *k, const gfloat *groups, gint hd, gint tq, gint tk, gint i,
                        gdouble *ret_p)
{
  for (gint j = 0; j < tk; j++)
    ret_p[j] = groups && groups[j] != 0 && groups[j] != groups[i] ? -INFINITY : 0;
  for (gint c = 0; c < hd; c++) {
    gdouble qc = q[(gsize) c * (gsize) tq + (gsize) i] / sqrt (hd);
    for (gint j = 0; j < tk; j++)
      ret_p[j] += qc * k[(gsize) c * (gsize) tk + (gsize) j];
  }
  gdouble most = ret_p[0], sum = 0;
  for (gint j = 1; j < tk; j++)
    most = MAX (most, ret_p[j]);
  for (gint j = 0; j < tk; j++)
    sum += ret_p[j] = exp (ret_p[j] - most);
  for (gint j = 0; j < tk; j++)
    ret_p[j] /= sum;
}

/* One head: q [hd][Tq], k and v [hd][Tk] -> out [hd][Tq]. */
static void
attend (const gfloat *q, const gfloat *k, const gfloat *v, const gfloat *groups, gfloat *out, gint hd, gint tq, gint tk,
        gdouble *p)
{
  for (gint i = 0; i < tq; i++) {
    deim_attention_weights (q, k, groups, hd, tq, tk, i, p);
    for (gint c = 0; c < hd; c++) {
      gdouble value = 0;
      for (gint j = 0; j < tk; j++)
        value += p[j] * v[(gsize) c * (gsize) tk + (gsize) j];
      out[(gsize) c * (gsize) tq + (gsize) i] = (gfloat) value;
    }
  }
}

static void
attention_reference (const DeimNode *node, const DeimOperands *operands)
{
  DeimShape q = node->in[0]->shape;
  gint heads = node->attrs.attention.heads, tk = node->in[1]->shape.w, hd = q.c / heads;
  g_autofree gdouble *p = g_new (gdouble, tk);
  for (gint head = 0; head < q.n * heads; head++) { /* batch entries are further heads: [n][heads][hd][T] */
    gsize at_q = (gsize) head * (gsize) hd * (gsize) q.w, at_k = (gsize) head * (gsize) hd * (gsize) tk;
    attend (operands->in[0] + at_q, operands->in[1] + at_k, operands->in[2] + at_k, operands->in[3],
            operands->out[0] + at_q, hd, q.w, tk, p);
  }
}

static gdouble
attention_flop (const DeimNode *node)
{
  DeimShape q = node->in[0]->shape;
  return 4.0 * q.n * q.w * node->in[1]->shape.w * q.c;
}

/* ---------------------------------------------------------------- dispatch */

/* On a GPU: invocations that share a query, where they are not a subgroup, and keys that each scores at a time. 300
 * queries of eight heads are then, by 32, 304 workgroups of 256, and 300 keys three turns. */
#define SPLIT_LANES 32
#define LEAST_LANES 8 /* with smaller subgroups a query's invocations meet in shared memory */
#define SPLIT_CHUNK 4

void
deim_attention_heads (DeimChannelSolver *solver, const DeimTensor *tensor, gint heads)
{
  gint width = tensor->shape.c / heads;
  if (width % 4 == 0)
    deim_channels_dense (solver, tensor);
  else
    for (gint h = 0; h < heads; h++)
      deim_channels_cut (solver, tensor, h * width);
}

static void
attention_channels (const DeimNode *node, DeimChannelSolver *solver)
{
  for (guint i = 0; i < 3; i++)
    deim_attention_heads (solver, node->in[i], node->attrs.attention.heads);
  deim_attention_heads (solver, node->out[0], node->attrs.attention.heads);
}

static gboolean
attention_dispatch (const DeimNode *node, DeimDispatchList *list, GError **error)
{
  DeimTensor *q = node->in[0], *k = node->in[1], *v = node->in[2], *groups = node->in[3], *y = node->out[0];
  gint heads = node->attrs.attention.heads, width = q->shape.c / heads;
  gboolean split = !list->device.cpu;
  guint subgroup = deim_dispatch_reduction_lanes (list);
  gboolean by_subgroup = subgroup >= LEAST_LANES;
  guint lanes = by_subgroup ? subgroup : SPLIT_LANES;
  DeimDispatch *d = deim_dispatch_append (list, split ? "attention_split" : "attention");
  d->shuffle = list->device.shuffle;
  deim_dispatch_bind (d, DEIM_BIND_READ, q);
  deim_dispatch_bind (d, DEIM_BIND_READ, k);
  deim_dispatch_bind (d, DEIM_BIND_READ, v);
  deim_dispatch_bind (d, DEIM_BIND_READ, groups ? groups : v);
  deim_dispatch_bind (d, DEIM_BIND_WRITE, y);
  deim_dispatch_spec (d, (guint32) (width + 3) / 4);
  if (split)
    deim_dispatch_spec (d, lanes);
  deim_dispatch_spec (d, split ? SPLIT_CHUNK : d->shuffle ? list->device.subgroup_size : 8);
  deim_dispatch_spec (d, groups != NULL);
  if (split)
    deim_dispatch_spec (d, by_subgroup);
  deim_dispatch_push_place (d, list, q);
  deim_dispatch_push_place (d, list, k);
  deim_dispatch_push_place (d, list, v);
  deim_dispatch_push_place (d, list, y);
  deim_dispatch_push_int (d, groups ? deim_dispatch_layout (list, groups)->first : 0);
  deim_dispatch_push_int (d, q->shape.w);
  deim_dispatch_push_int (d, k->shape.w);
  deim_dispatch_push_float (d, (gfloat) (1.0 / sqrt (width)));
  if (split) {
    d->local_size = MAX (MIN (256, list->device.max_local), list->device.subgroup_size) / lanes * lanes;
    d->groups[0] = ((guint) q->shape.w * lanes + d->local_size - 1) / d->local_size;
    d->groups[1] = (guint) heads;
    d->groups[2] = (guint) y->shape.n;
  } else { /* few queries: small workgroups keep all cores busy */
    deim_dispatch_cover (d, list, q->shape.w, heads, y->shape.n);
    d->local_size = list->device.subgroup_size;
    d->groups[0] = ((guint) q->shape.w + d->local_size - 1) / d->local_size;
  }
  d->flop = attention_flop (node);
  return TRUE;
}

const DeimOp deim_op_attention = {
  .name = "attention",
  .reference = attention_reference,
  .gradient = deim_attention_gradient,
  .flop = attention_flop,
  .channels = attention_channels,
  .dispatch = attention_dispatch,
};

DeimTensor *
deim_attention (DeimGraph *graph, DeimTensor *q, DeimTensor *k, DeimTensor *v, DeimTensor *groups, gint heads)
{
  const DeimOp *op = &deim_op_attention;
  DeimTensor *in[4] = { q, k, v, groups };
  if (!deim_op_ready (graph, op, in, 3))
    return NULL;
  DeimShape s = q->shape, t = k->shape;
  if (s.h != 1 || t.h != 1 || s.n != t.n || s.c != t.c) {
    deim_op_fail_shapes (graph, op, q, k, "queries and keys must be tokens of as many channels");
    return NULL;
  }
  if (!deim_shape_equal (t, v->shape)) {
    deim_op_fail_shapes (graph, op, k, v, "keys and values must have one shape");
    return NULL;
  }
  if (heads < 1 || s.c % heads) {
    g_autofree gchar *what = g_strdup_printf ("channels must divide into %d heads", heads);
    deim_op_fail_shapes (graph, op, q, NULL, what);
    return NULL;
  }
  if (groups && (s.w != t.w || !deim_shape_equal (groups->shape, (DeimShape){ 1, 1, 1, s.w }))) {
    deim_op_fail_shapes (graph, op, q, groups, "groups are one number for each of as many queries as keys");
    return NULL;
  }
  DeimNode *node = deim_graph_append (graph, op, in, 4, s, DEIM_TYPE_FLOAT);
  if (!node)
    return NULL;
  node->attrs.attention.heads = heads;
  return node->out[0];
}
