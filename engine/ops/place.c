/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * place.c - the gradient of a slice: zeros, or another tensor, with a part added at its place. Operands: part, then
 * sum [n, c, h, w] or NULL -> [n, c, h, w]. The part has fewer channels, or fewer positions of tokens.
 */
#include "engine/ops/util.h"

extern const DeimOp deim_op_place;

static void
place_reference (const DeimNode *node, const DeimOperands *operands)
{
  const DeimSliceAttrs *a = &node->attrs.slice;
  DeimShape part = node->in[0]->shape, out = node->out[0]->shape;
  gsize at = 0;
  for (gint n = 0; n < out.n; n++)
    for (gint c = 0; c < out.c; c++)
      for (gint h = 0; h < out.h; h++)
        for (gint w = 0; w < out.w; w++, at++) {
          gint pc = a->channels ? c - a->start : c, pw = a->channels ? w : w - a->start;
          gfloat value = operands->in[1] ? operands->in[1][at] : 0;
          if (pc >= 0 && pc < part.c && pw >= 0 && pw < part.w)
            value +=
                operands
                    ->in[0][(((gsize) n * (gsize) part.c + (gsize) pc) * (gsize) part.h + (gsize) h) * (gsize) part.w +
                            (gsize) pw];
          operands->out[0][at] = value;
        }
}

/* ---------------------------------------------------------------- dispatch */

static void
place_channels (const DeimNode *node, DeimChannelSolver *solver)
{
  gint start = node->attrs.slice.channels ? node->attrs.slice.start : 0;
  deim_channels_part (solver, node->out[0], node->in[0], start);
  deim_channels_cut (solver, node->out[0], start);
  deim_channels_cut (solver, node->out[0], start + node->in[0]->shape.c);
  deim_channels_same (solver, node->in[1], node->out[0]);
}

static gboolean
place_dispatch (const DeimNode *node, DeimDispatchList *list, GError **error)
{
  DeimTensor *part = node->in[0], *sum = node->in[1], *y = node->out[0];
  const DeimSliceAttrs *a = &node->attrs.slice;
  const DeimLayout *out = deim_dispatch_layout (list, y);
  gint first = a->channels ? deim_layout_channel (out, a->start) / 4 : 0;
  DeimExtent extent = deim_dispatch_extent (list, y), inner = deim_dispatch_extent (list, part);
  DeimDispatch *d = deim_dispatch_append (list, "place");
  deim_dispatch_bind (d, DEIM_BIND_READ, part);
  deim_dispatch_bind (d, DEIM_BIND_READ, sum ? sum : part);
  deim_dispatch_bind (d, DEIM_BIND_WRITE, y);
  deim_dispatch_push_place (d, list, part);
  deim_dispatch_push_place (d, list, sum ? sum : part);
  deim_dispatch_push_place (d, list, y);
  deim_dispatch_push_int (d, sum != NULL);
  deim_dispatch_push_int (d, first);
  deim_dispatch_push_int (d, inner.blocks);
  deim_dispatch_push_int (d, a->channels ? 0 : a->start);
  deim_dispatch_push_int (d, inner.positions);
  deim_dispatch_push_int (d, extent.positions);
  deim_dispatch_cover (d, list, extent.positions, extent.blocks, extent.batch);
  return TRUE;
}

const DeimOp deim_op_place = {
  .name = "place",
  .reference = place_reference,
  .channels = place_channels,
  .dispatch = place_dispatch,
};

DeimTensor *
deim_place (DeimGraph *graph, DeimTensor *sum, DeimTensor *part, DeimShape shape, gboolean channels, gint start)
{
  const DeimOp *op = &deim_op_place;
  DeimTensor *in[2] = { part, sum };
  if (!deim_op_ready (graph, op, in, sum ? 2 : 1))
    return NULL;
  DeimShape rest = part->shape;
  gint count = channels ? rest.c : rest.w, whole = channels ? shape.c : shape.w;
  if (channels)
    rest.c = shape.c;
  else
    rest.w = shape.w;
  if (!deim_shape_equal (rest, shape) || start < 0 || start > whole - count || (!channels && shape.h != 1) ||
      (sum && !deim_shape_equal (sum->shape, shape))) {
    deim_op_fail_shapes (graph, op, part, sum, "the part must fit into the whole, and a sum be as large as that");
    return NULL;
  }
  DeimNode *node = deim_op_append (graph, op, in, 2, shape);
  if (!node)
    return NULL;
  node->attrs.slice = (DeimSliceAttrs){ channels, start };
  return node->out[0];
}

const DeimAccumulation deim_accumulation = { deim_add, deim_concat, deim_place };
