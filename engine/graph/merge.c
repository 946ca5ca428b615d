/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * merge.c - fewer, wider products: convolutions that read the same tensor in the same way become one, and what each of
 * them made becomes a part of the result.
 */
#include "passes.h"
#include "rewrite.h"
#include "shape.h"

#include <string.h>

#define WIDEST_PANEL 64 /* channels that a workgroup computes at most */

static gboolean
same_epilogue (const DeimEpilogue *a, const DeimEpilogue *b)
{
  return a->act == b->act && a->lo == b->lo && a->hi == b->hi && a->scale == b->scale && a->shift == b->shift;
}

static gboolean
is_candidate (const DeimNode *node)
{
  const DeimEpilogue *e = &node->attrs.conv.epilogue;
  return deim_node_is (node, "conv2d") && node->attrs.conv.groups == 1 && !e->residual_before && !e->residual_after;
}

/* Whether what @a and then @b add to their input can be said of both: the same, or the first alone adds something, to
 * channels that fill whole panels of any kernel (conv2d-tile.c). */
static gboolean
addends_suit (const DeimNode *a, const DeimNode *b)
{
  gint rows_a = a->attrs.conv.addend_rows, rows_b = b->attrs.conv.addend_rows;
  if (rows_b == 0)
    return rows_a % WIDEST_PANEL == 0;
  return rows_a == a->out[0]->shape.c && rows_b == b->out[0]->shape.c && a->in[4] == b->in[4];
}

/* Two candidates that differ in nothing but their weights. */
static gboolean
are_parallel (const DeimNode *a, const DeimNode *b)
{
  const DeimConvAttrs *x = &a->attrs.conv, *y = &b->attrs.conv;
  return a->in[0] == b->in[0] && x->stride == y->stride && x->pad_top == y->pad_top && x->pad_left == y->pad_left &&
         x->pad_bottom == y->pad_bottom && x->pad_right == y->pad_right && a->in[1]->shape.h == b->in[1]->shape.h &&
         a->in[1]->shape.w == b->in[1]->shape.w && same_epilogue (&x->epilogue, &y->epilogue) && addends_suit (a, b);
}

/* Whether @tensor, or a view of it, is a part of a concatenation. Its producer writes it there at once; a part of a
 * wider result would have to be copied. */
static gboolean
is_joined (const DeimGraph *graph, const DeimTensor *tensor)
{
  for (guint i = 0; i < graph->nodes->len; i++) {
    const DeimNode *node = g_ptr_array_index (graph->nodes, i);
    for (guint k = 0; k < node->n_in; k++)
      if (node->in[k] == tensor &&
          (node->op->kind == DEIM_OP_JOIN || (node->op->kind == DEIM_OP_VIEW && is_joined (graph, node->out[0]))))
        return TRUE;
  }
  return FALSE;
}

/* The rows of @a, then those of @b; a missing bias is zeros. NULL if both are. */
static DeimTensor *
stack (DeimGraph *graph, const DeimTensor *a, gint rows_a, const DeimTensor *b, gint rows_b)
{
  if (!a && !b)
    return NULL;
  DeimShape shape = a ? a->shape : b->shape;
  shape.n = rows_a + rows_b;
  gsize row = (gsize) shape.c * (gsize) shape.h * (gsize) shape.w;
  gfloat *data = g_new0 (gfloat, row * (gsize) shape.n);
  if (a)
    memcpy (data, a->data, row * (gsize) rows_a * sizeof (gfloat));
  if (b)
    memcpy (data + row * (gsize) rows_a, b->data, row * (gsize) rows_b * sizeof (gfloat));
  return deim_graph_add_tensor (graph, DEIM_TENSOR_CONST, DEIM_TYPE_FLOAT, shape, NULL, data);
}

/* A node that makes @part of channels @start and following of @whole. */
static DeimNode *
new_slice (const DeimOp *slice, const DeimNode *from, DeimTensor *whole, DeimTensor *part, gint start)
{
  DeimNode *node = g_new0 (DeimNode, 1);
  node->op = slice;
  node->name = g_strdup (from->name);
  node->stage = from->stage;
  node->in[0] = whole;
  node->n_in = 1;
  node->out[0] = part;
  node->n_out = 1;
  node->attrs.slice = (DeimSliceAttrs){ TRUE, start };
  part->producer = node;
  return node;
}

/* @b goes; @a makes both results as one tensor, of which they are parts. */
static void
merge_pair (DeimGraph *graph, const DeimOp *slice, DeimNode *a, DeimNode *b)
{
  DeimTensor *first = a->out[0], *second = b->out[0];
  gint rows = first->shape.c, more = second->shape.c;
  DeimShape shape = first->shape;
  shape.c = rows + more;
  a->in[1] = stack (graph, a->in[1], rows, b->in[1], more);
  a->in[2] = stack (graph, a->in[2], rows, b->in[2], more);
  a->n_in = MAX (a->n_in, 3);
  a->attrs.conv.addend_rows += b->attrs.conv.addend_rows;
  DeimTensor *whole = deim_graph_add_tensor (graph, DEIM_TENSOR_ACTIVATION, DEIM_TYPE_FLOAT, shape, NULL, NULL);
  whole->keep_fp32 = first->keep_fp32 || second->keep_fp32;
  whole->producer = a;
  a->out[0] = whole;
  g_ptr_array_insert (graph->nodes, (gint) a->id + 1, new_slice (slice, a, whole, first, 0));
  g_ptr_array_insert (graph->nodes, (gint) a->id + 2, new_slice (slice, b, whole, second, rows));
  g_ptr_array_remove (graph->nodes, b);
  deim_graph_renumber (graph);
}

/* The first convolution behind @a that can be merged into it. */
static DeimNode *
find_partner (const DeimGraph *graph, const DeimNode *a)
{
  for (guint i = a->id + 1; i < graph->nodes->len; i++) {
    DeimNode *b = g_ptr_array_index (graph->nodes, i);
    if (is_candidate (b) && are_parallel (a, b) && !is_joined (graph, b->out[0]))
      return b;
  }
  return NULL;
}

void
deim_graph_merge (DeimGraph *graph, const DeimOp *slice)
{
  for (guint i = 0; i < graph->nodes->len; i++) {
    DeimNode *a = g_ptr_array_index (graph->nodes, i), *b;
    if (!is_candidate (a) || is_joined (graph, a->out[0]))
      continue;
    while ((b = find_partner (graph, a)))
      merge_pair (graph, slice, a, b);
  }
}
