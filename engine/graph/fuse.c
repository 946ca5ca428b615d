/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fuse.c - fewer passes over memory: what follows a kernel is done before it stores. */
#include "passes.h"
#include "rewrite.h"
#include "shape.h"

/* A convolution takes the activation, affine block or sum that alone reads it. */
static gboolean
fuse_epilogue (DeimRewrite *rewrite, DeimNode *conv)
{
  DeimEpilogue *e = &conv->attrs.conv.epilogue;
  DeimNode *next = deim_rewrite_only_reader (rewrite, conv->out[0]);
  if (!next)
    return FALSE;
  gboolean scaled = e->scale != 1 || e->shift != 0;
  if (deim_node_is (next, "act") && e->act == DEIM_ACT_NONE && !scaled && !e->residual_after) {
    e->act = next->attrs.act.act;
    e->lo = next->attrs.act.lo;
    e->hi = next->attrs.act.hi;
  } else if (deim_node_is (next, "affine") && !e->residual_after) {
    gfloat scale = next->in[1]->data[0], shift = next->in[2]->data[0];
    e->scale *= scale;
    e->shift = e->shift * scale + shift;
  } else if (deim_node_is (next, "add") && !e->residual_before && !e->residual_after && next->in[0] != next->in[1] &&
             deim_shape_equal (next->in[0]->shape, next->in[1]->shape)) {
    gboolean first = e->act == DEIM_ACT_NONE && !scaled;
    e->residual_before = first;
    e->residual_after = !first;
    conv->in[3] = next->in[0] == conv->out[0] ? next->in[1] : next->in[0];
    conv->n_in = 4;
  } else {
    return FALSE;
  }
  deim_rewrite_absorb (rewrite, conv, next);
  return TRUE;
}

/* conv (a + b), 1x1: the convolution adds, where nobody else wants the sum. */
static gboolean
fuse_addend (DeimRewrite *rewrite, DeimNode *conv)
{
  DeimConvAttrs *attrs = &conv->attrs.conv;
  DeimNode *add = conv->in[0]->producer;
  if (!deim_conv_is_pointwise (conv) || attrs->groups > 1 || attrs->addend_rows > 0 || !deim_node_is (add, "add") ||
      deim_rewrite_only_reader (rewrite, add->out[0]) != conv)
    return FALSE;
  DeimShape a = add->in[0]->shape, b = add->in[1]->shape;
  b.n = b.n == 1 ? a.n : b.n;
  if (!deim_shape_equal (a, b))
    return FALSE;
  conv->in[0] = add->in[0];
  conv->in[4] = add->in[1];
  conv->n_in = 5;
  attrs->addend_rows = conv->out[0]->shape.c;
  deim_rewrite_begin (rewrite, rewrite->graph);
  return TRUE;
}

/* Whether @tensor is a product of two tensors of one shape that @reader alone reads. */
static gboolean
is_gated (const DeimRewrite *rewrite, const DeimTensor *tensor, const DeimNode *reader)
{
  const DeimNode *node = tensor->producer;
  return deim_node_is (node, "mul") && deim_rewrite_only_reader (rewrite, tensor) == reader &&
         deim_shape_equal (node->in[0]->shape, node->in[1]->shape);
}

/* norm (a + b): the norm adds. norm (a * g + b * h): it multiplies before. */
static gboolean
fuse_into_norm (DeimRewrite *rewrite, DeimNode *norm)
{
  DeimNode *add = norm->in[0]->producer;
  if (norm->in[3] || !deim_node_is (add, "add") || deim_rewrite_only_reader (rewrite, add->out[0]) != norm ||
      !deim_shape_equal (add->in[0]->shape, add->in[1]->shape))
    return FALSE;
  norm->in[0] = add->in[0];
  norm->in[3] = add->in[1];
  norm->n_in = 4;
  if (is_gated (rewrite, add->in[0], add) && is_gated (rewrite, add->in[1], add)) {
    const DeimNode *a = add->in[0]->producer, *b = add->in[1]->producer;
    norm->in[0] = a->in[0];
    norm->in[4] = a->in[1];
    norm->in[3] = b->in[0];
    norm->in[5] = b->in[1];
    norm->n_in = 6;
  }
  deim_rewrite_begin (rewrite, rewrite->graph);
  return TRUE;
}

/* a + upsample (b): the upsampling adds. */
static gboolean
fuse_upsample (DeimRewrite *rewrite, DeimNode *up)
{
  DeimNode *add = deim_rewrite_only_reader (rewrite, up->out[0]);
  if (up->in[1] || !deim_node_is (add, "add") || add->in[0] == add->in[1] ||
      !deim_shape_equal (add->in[0]->shape, add->in[1]->shape))
    return FALSE;
  up->in[1] = add->in[0] == up->out[0] ? add->in[1] : add->in[0];
  up->n_in = 2;
  deim_rewrite_absorb (rewrite, up, add);
  return TRUE;
}

/* concat (x[:, :a], x[:, a:], ..): the halves of x one after the other are x. */
static gboolean
fuse_slices (DeimRewrite *rewrite, DeimNode *concat)
{
  if (!concat->attrs.concat.channels)
    return FALSE;
  for (guint i = 0; i + 1 < concat->n_in; i++) {
    const DeimNode *slice = concat->in[i]->producer;
    if (!deim_node_is (slice, "slice") || !slice->attrs.slice.channels || slice->attrs.slice.start != 0)
      continue;
    DeimTensor *whole = slice->in[0];
    gint covered = 0;
    guint end = i;
    for (; end < concat->n_in && covered < whole->shape.c; end++) {
      const DeimNode *part = concat->in[end]->producer;
      if (!deim_node_is (part, "slice") || part->in[0] != whole || !part->attrs.slice.channels ||
          part->attrs.slice.start != covered)
        break;
      covered += concat->in[end]->shape.c;
    }
    if (covered != whole->shape.c)
      continue;
    concat->in[i] = whole;
    for (guint k = end; k < concat->n_in; k++)
      concat->in[i + 1 + k - end] = concat->in[k];
    concat->n_in -= end - i - 1;
    deim_rewrite_begin (rewrite, rewrite->graph);
    return TRUE;
  }
  return FALSE;
}

static gboolean
fuse_node (DeimRewrite *rewrite, DeimNode *node)
{
  if (deim_node_is (node, "conv2d"))
    return fuse_epilogue (rewrite, node) || fuse_addend (rewrite, node);
  if (deim_node_is (node, "layer_norm") || deim_node_is (node, "rms_norm"))
    return fuse_into_norm (rewrite, node);
  if (deim_node_is (node, "upsample2x"))
    return fuse_upsample (rewrite, node);
  if (deim_node_is (node, "concat"))
    return fuse_slices (rewrite, node);
  return FALSE;
}

void
deim_graph_fuse (DeimGraph *graph)
{
  DeimRewrite rewrite = { 0 };
  deim_rewrite_begin (&rewrite, graph);
  gboolean changed = TRUE;
  while (changed) {
    changed = FALSE;
    for (guint i = 0; i < graph->nodes->len; i++)
      changed |= fuse_node (&rewrite, g_ptr_array_index (graph->nodes, i));
    deim_rewrite_sweep (&rewrite);
  }
  deim_rewrite_end (&rewrite);
}

/* A BatchNorm of training takes the activation and the affine block that alone read it. */
static gboolean
fuse_into_batch_norm (DeimRewrite *rewrite, DeimNode *norm)
{
  DeimNode *next = deim_rewrite_only_reader (rewrite, norm->out[0]);
  if (!norm->attrs.norm.batch || norm->n_in > 5)
    return FALSE;
  DeimAct act = deim_node_is (next, "act") ? next->attrs.act.act : DEIM_ACT_NONE;
  if (norm->attrs.norm.act == DEIM_ACT_NONE && (act == DEIM_ACT_RELU || act == DEIM_ACT_SILU)) {
    norm->attrs.norm.act = act;
  } else if (deim_node_is (next, "affine")) {
    norm->in[5] = next->in[1];
    norm->in[6] = next->in[2];
    norm->n_in = 7;
  } else {
    return FALSE;
  }
  deim_rewrite_absorb (rewrite, norm, next);
  return TRUE;
}

void
deim_graph_fuse_training (DeimGraph *graph)
{
  DeimRewrite rewrite = { 0 };
  deim_rewrite_begin (&rewrite, graph);
  for (guint i = 0; i < graph->nodes->len;) {
    DeimNode *node = g_ptr_array_index (graph->nodes, i);
    if (!deim_node_is (node, "batch_norm") || !fuse_into_batch_norm (&rewrite, node))
      i++; /* else another node stands here now, or this one takes more */
  }
  deim_rewrite_end (&rewrite);
}
