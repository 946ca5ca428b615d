/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fold.c - constant arithmetic on weights, done once and in double. */
#include "passes.h"
#include "rewrite.h"

#include <math.h>

static gboolean
plain_epilogue (const DeimNode *conv)
{
  const DeimEpilogue *e = &conv->attrs.conv.epilogue;
  return e->act == DEIM_ACT_NONE && e->scale == 1 && e->shift == 0 && !e->residual_before && !e->residual_after;
}

static gsize
row_size (const DeimTensor *weight)
{
  return (gsize) weight->shape.c * weight->shape.h * weight->shape.w;
}

static DeimTensor *
new_vector (DeimGraph *graph, const gchar *name, gint n, gfloat *data)
{
  return deim_graph_add_tensor (graph, DEIM_TENSOR_CONST, DEIM_TYPE_FLOAT, (DeimShape){ n, 1, 1, 1 }, name, data);
}

/* conv then BN: w' = w * g, b' = (b - mean) * g + beta with g = gamma / sqrt (var + eps), per output channel. */
static void
fold_batch_norm (DeimRewrite *rewrite, DeimNode *conv, DeimNode *bn)
{
  const DeimTensor *weight = conv->in[1], *bias = conv->in[2];
  gint out = weight->shape.n;
  gsize row = row_size (weight);
  gfloat *w = g_new (gfloat, out * row), *b = g_new (gfloat, out);
  for (gint o = 0; o < out; o++) {
    gdouble gain = bn->in[1]->data[o] / sqrt ((gdouble) bn->in[4]->data[o] + bn->attrs.norm.eps);
    for (gsize i = 0; i < row; i++)
      w[o * row + i] = (gfloat) (weight->data[o * row + i] * gain);
    b[o] = (gfloat) (((bias ? bias->data[o] : 0.0) - bn->in[3]->data[o]) * gain + bn->in[2]->data[o]);
  }
  conv->in[1] =
      deim_graph_add_tensor (rewrite->graph, DEIM_TENSOR_CONST, DEIM_TYPE_FLOAT, weight->shape, weight->name, w);
  conv->in[2] = new_vector (rewrite->graph, bn->in[2]->name, out, b);
  deim_rewrite_absorb (rewrite, conv, bn);
}

/* Whether a 1x1 convolution can be the centre of @large: same input, stride and size of result. */
static gboolean
is_centre_of (const DeimNode *small, const DeimNode *large)
{
  const DeimConvAttrs *s = &small->attrs.conv, *l = &large->attrs.conv;
  gint k = large->in[1]->shape.h;
  return small->in[0] == large->in[0] && small->in[1]->shape.h == 1 && k % 2 == 1 && s->groups == 1 && l->groups == 1 &&
         s->stride == l->stride && l->pad_top == k / 2 && l->pad_left == k / 2 && plain_epilogue (small) &&
         plain_epilogue (large);
}

static void
merge_into_centre (DeimRewrite *rewrite, DeimNode *large, const DeimNode *small, DeimNode *add)
{
  const DeimTensor *weight = large->in[1];
  gint out = weight->shape.n, in = weight->shape.c, k = weight->shape.h;
  gfloat *w = g_memdup2 (weight->data, deim_shape_size (weight->shape) * sizeof (gfloat));
  gfloat *b = g_new0 (gfloat, out);
  for (gint o = 0; o < out; o++) {
    for (gint i = 0; i < in; i++)
      w[(((gsize) o * in + i) * k + k / 2) * k + k / 2] += small->in[1]->data[(gsize) o * in + i];
    b[o] = (large->in[2] ? large->in[2]->data[o] : 0) + (small->in[2] ? small->in[2]->data[o] : 0);
  }
  large->in[1] =
      deim_graph_add_tensor (rewrite->graph, DEIM_TENSOR_CONST, DEIM_TYPE_FLOAT, weight->shape, weight->name, w);
  large->in[2] = new_vector (rewrite->graph, large->in[2] ? large->in[2]->name : NULL, out, b);
  deim_rewrite_absorb (rewrite, large, add);
}

static gboolean
fold_node (DeimRewrite *rewrite, DeimNode *node)
{
  if (deim_node_is (node, "conv2d") && plain_epilogue (node)) {
    DeimNode *bn = deim_rewrite_only_reader (rewrite, node->out[0]);
    if (deim_node_is (bn, "batch_norm")) {
      fold_batch_norm (rewrite, node, bn);
      return TRUE;
    }
  }
  if (deim_node_is (node, "add")) {
    DeimNode *a = node->in[0]->producer, *b = node->in[1]->producer;
    if (deim_node_is (a, "conv2d") && deim_node_is (b, "conv2d") &&
        deim_rewrite_only_reader (rewrite, a->out[0]) == node &&
        deim_rewrite_only_reader (rewrite, b->out[0]) == node) {
      if (is_centre_of (b, a)) {
        merge_into_centre (rewrite, a, b, node);
        return TRUE;
      }
      if (is_centre_of (a, b)) {
        merge_into_centre (rewrite, b, a, node);
        return TRUE;
      }
    }
  }
  return FALSE;
}

void
deim_graph_fold (DeimGraph *graph)
{
  DeimRewrite rewrite = { 0 };
  deim_rewrite_begin (&rewrite, graph);
  for (guint i = 0; i < graph->nodes->len;)
    if (fold_node (&rewrite, g_ptr_array_index (graph->nodes, i)))
      i = i > 0 ? i - 1 : 0; /* nodes moved: look at this place again */
    else
      i++;
  deim_rewrite_sweep (&rewrite);
  deim_rewrite_end (&rewrite);
}
