/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* slice.c - x[:, start : start + count] of maps [n, c, h, w], or the same along positions of tokens [n, c, 1, T]. */
#include "engine/graph/differentiate.h"
#include "engine/ops/util.h"
#include <string.h>

extern const DeimOp deim_op_slice;

static void
slice_reference (const DeimNode *node, const DeimOperands *operands)
{
  const DeimSliceAttrs *a = &node->attrs.slice;
  DeimShape in = node->in[0]->shape, out = node->out[0]->shape;
  gint outer = a->channels ? out.n : out.n * out.c;
  gsize plane = a->channels ? (gsize) in.h * (gsize) in.w : 1; /* numbers per step of the sliced dimension */
  gsize from = deim_shape_size (in) / (gsize) outer, to = deim_shape_size (out) / (gsize) outer;
  for (gint o = 0; o < outer; o++)
    memcpy (operands->out[0] + (gsize) o * to, operands->in[0] + (gsize) o * from + (gsize) a->start * plane,
            to * sizeof (gfloat));
}

static void
slice_place (const DeimNode *node, guint operand, gint *channel, gint *position)
{
  const DeimSliceAttrs *a = &node->attrs.slice;
  *channel = a->channels ? a->start : 0;
  *position = a->channels ? 0 : a->start;
}

static void
slice_gradient (const DeimNode *node, DeimTensor *dy, DeimBackward *backward)
{
  deim_backward_give_part (backward, node->in[0], dy, node->attrs.slice.channels, node->attrs.slice.start);
}

/* -------------------------------------------------------------- its place */

static void
slice_channels (const DeimNode *node, DeimChannelSolver *solver)
{
  gint start = node->attrs.slice.channels ? node->attrs.slice.start : 0;
  deim_channels_part (solver, node->in[0], node->out[0], start);
  deim_channels_cut (solver, node->in[0], start);
  deim_channels_cut (solver, node->in[0], start + node->out[0]->shape.c);
}

const DeimOp deim_op_slice = {
  .name = "slice",
  .kind = DEIM_OP_VIEW,
  .place = slice_place,
  .reference = slice_reference,
  .gradient = slice_gradient,
  .channels = slice_channels,
};

DeimTensor *
deim_slice (DeimGraph *graph, DeimTensor *x, gboolean channels, gint start, gint count)
{
  const DeimOp *op = &deim_op_slice;
  if (!deim_op_ready (graph, op, &x, 1))
    return NULL;
  DeimShape s = x->shape;
  gint whole = channels ? s.c : s.w;
  if (start < 0 || count < 1 || start > whole - count || (!channels && s.h != 1)) {
    g_autofree gchar *what =
        g_strdup_printf ("%s %d to %d must be inside the input%s", channels ? "channels" : "positions", start,
                         start + count - 1, channels ? "" : ", whose height must be 1");
    deim_op_fail_shapes (graph, op, x, NULL, what);
    return NULL;
  }
  if (channels)
    s.c = count;
  else
    s.w = count;
  DeimNode *node = deim_op_append (graph, op, &x, 1, s);
  if (!node)
    return NULL;
  node->attrs.slice = (DeimSliceAttrs){ channels, start };
  return node->out[0];
}
