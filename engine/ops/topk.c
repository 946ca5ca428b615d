/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * topk.c - indices of the largest scores (torch.topk, sorted). Operand: scores
 * [n, C, 1, T] -> int32 [n, 1, 1, k].
 */
#include "engine/ops/util.h"
#include <stdlib.h>

extern const DeimOp deim_op_topk;

typedef struct {
  gfloat key;
  gint32 index;
} Entry;

static int
compare_entries (const void *a, const void *b)
{
  const Entry *x = a, *y = b;
  if (x->key != y->key)
    return x->key > y->key ? -1 : 1;
  return x->index < y->index ? -1 : x->index > y->index;
}

void
deim_top_k (const gfloat *keys, gint n, gint k, gint32 *ret_indices)
{
  g_autofree Entry *entries = g_new (Entry, n);
  for (gint i = 0; i < n; i++)
    entries[i] = (Entry){ isnan (keys[i]) ? -INFINITY : keys[i], i };
  qsort (entries, (gsize) n, sizeof (Entry), compare_entries);
  for (gint i = 0; i < k; i++)
    ret_indices[i] = entries[i].index;
}

static void
topk_reference (const DeimNode *node, const DeimOperands *operands)
{
  const DeimTopkAttrs *a = &node->attrs.topk;
  DeimShape s = node->in[0]->shape;
  gint32 *out = (gint32 *) operands->out[0];
  gint count = a->flat ? s.c * s.w : s.w;
  g_autofree gfloat *keys = g_new (gfloat, count);
  for (gint n = 0; n < s.n; n++) {
    for (gint t = 0; t < s.w; t++) {
      gfloat best = -INFINITY;
      for (gint c = 0; c < s.c; c++) {
        gfloat score = operands->in[0][((gsize) n * (gsize) s.c + (gsize) c) * (gsize) s.w + (gsize) t];
        if (a->flat)
          keys[t * s.c + c] = score;
        else if (score > best) /* never NaN */
          best = score;
      }
      if (!a->flat)
        keys[t] = best;
    }
    deim_top_k (keys, count, a->k, out + (gsize) n * (gsize) a->k);
  }
}

/* ---------------------------------------------------------------- dispatch */

/* -> scratch: a key for each token, of its best class. */
static gint
append_keys (DeimDispatchList *list, DeimTensor *scores, gint stride)
{
  gint n = scores->shape.n, tokens = scores->shape.w;
  gint keys = deim_dispatch_add_scratch (list, (gsize) n * stride * 4);
  DeimDispatch *d = deim_dispatch_append (list, "topk_keys");
  deim_dispatch_bind (d, DEIM_BIND_READ, scores);
  deim_dispatch_bind_scratch (d, DEIM_BIND_WRITE, keys);
  deim_dispatch_push_place (d, list, scores);
  deim_dispatch_push_int (d, scores->shape.c);
  deim_dispatch_push_int (d, deim_dispatch_layout (list, scores)->blocks);
  deim_dispatch_push_int (d, tokens);
  deim_dispatch_push_int (d, stride);
  deim_dispatch_cover (d, list, tokens, 1, n);
  return keys;
}

gint
deim_dispatch_candidates (DeimDispatchList *list, DeimTensor *scores, gint k, gboolean flat)
{
  gint n = scores->shape.n, tokens = scores->shape.w, blocks = deim_dispatch_layout (list, scores)->blocks;
  gint keys4 = flat ? tokens * blocks : (tokens + 3) / 4;
  gint keys = flat ? -1 : append_keys (list, scores, 4 * keys4);
  gint candidates = deim_dispatch_add_scratch (list, (gsize) n * k * 8);

  gboolean solo = list->device.cpu && list->device.subgroup;
  DeimDispatch *d = deim_dispatch_append (list, solo ? "topk_select" : "topk_histogram");
  if (flat)
    deim_dispatch_bind (d, DEIM_BIND_READ_RAW, scores); /* it is not looked at */
  else
    deim_dispatch_bind_scratch (d, DEIM_BIND_READ_RAW, keys);
  deim_dispatch_bind_scratch (d, DEIM_BIND_WRITE, candidates);
  deim_dispatch_bind (d, DEIM_BIND_READ, scores);
  deim_dispatch_spec (d, (guint32) flat);
  deim_dispatch_push_int (d, keys4);
  deim_dispatch_push_int (d, k);
  deim_dispatch_push_place (d, list, scores);
  deim_dispatch_push_int (d, scores->shape.c);
  deim_dispatch_push_int (d, blocks);
  if (!solo)
    d->local_size = MAX (MIN (1024, list->device.max_local), list->device.subgroup_size);
  d->groups[2] = (guint) n;
  return candidates;
}

static gboolean
topk_dispatch (const DeimNode *node, DeimDispatchList *list, GError **error)
{
  gint k = node->attrs.topk.k, candidates = deim_dispatch_candidates (list, node->in[0], k, node->attrs.topk.flat);
  DeimDispatch *d = deim_dispatch_append (list, "topk_sort");
  deim_dispatch_bind_scratch (d, DEIM_BIND_READ_RAW, candidates);
  deim_dispatch_bind (d, DEIM_BIND_WRITE, node->out[0]);
  deim_dispatch_push_int (d, k);
  deim_dispatch_cover (d, list, k, 1, node->in[0]->shape.n);
  return TRUE;
}

const DeimOp deim_op_topk = {
  .name = "topk",
  .reference = topk_reference,
  .dispatch = topk_dispatch,
};

DeimTensor *
deim_topk (DeimGraph *graph, DeimTensor *scores, gint k, gboolean flat)
{
  const DeimOp *op = &deim_op_topk;
  if (!deim_op_ready (graph, op, &scores, 1))
    return NULL;
  DeimShape s = scores->shape;
  gint64 count = flat ? (gint64) s.c * s.w : s.w;
  if (s.h != 1 || k < 1 || k > count) {
    g_autofree gchar *what = g_strdup_printf ("the best %d are wanted of the %" G_GINT64_FORMAT
                                              " that a picture of this size gives; take a larger one",
                                              k, count);
    deim_op_fail_shapes (graph, op, scores, NULL, what);
    return NULL;
  }
  DeimNode *node = deim_graph_append (graph, op, &scores, 1, (DeimShape){ s.n, 1, 1, k }, DEIM_TYPE_INT);
  if (!node)
    return NULL;
  node->attrs.topk = (DeimTopkAttrs){ k, flat };
  return node->out[0];
}
