/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * concat.c - torch.cat of up to DEIM_MAX_INPUTS tensors, along channels of
 * maps [n, c, h, w] or along positions of tokens [n, c, 1, T].
 */
#include "engine/graph/differentiate.h"
#include "engine/ops/pointwise.h"
#include "engine/ops/util.h"
#include <string.h>

extern const DeimOp deim_op_concat;

static void
concat_reference (const DeimNode *node, const DeimOperands *operands)
{
  DeimShape out = node->out[0]->shape;
  gfloat *to = operands->out[0];
  /* Row-major: everything before the joined dimension is an outer loop, everything after it is contiguous. */
  gint outer = node->attrs.concat.channels ? out.n : out.n * out.c;
  for (gint o = 0; o < outer; o++)
    for (guint i = 0; i < node->n_in; i++) {
      gsize part = deim_shape_size (node->in[i]->shape) / (gsize) outer;
      memcpy (to, operands->in[i] + (gsize) o * part, part * sizeof (gfloat));
      to += part;
    }
}

static void
concat_place (const DeimNode *node, guint operand, gint *channel, gint *position)
{
  *channel = *position = 0;
  for (guint i = 0; i < operand; i++)
    if (node->attrs.concat.channels)
      *channel += node->in[i]->shape.c;
    else
      *position += node->in[i]->shape.w;
}

static void
concat_gradient (const DeimNode *node, DeimTensor *dy, DeimBackward *backward)
{
  gboolean channels = node->attrs.concat.channels;
  for (guint i = 0; i < node->n_in; i++) {
    DeimShape part = node->in[i]->shape;
    gint channel, position;
    concat_place (node, i, &channel, &position);
    if (deim_backward_wants (backward, node->in[i]))
      deim_backward_give (backward, node->in[i],
                          deim_slice (deim_backward_graph (backward), dy, channels, channels ? channel : position,
                                      channels ? part.c : part.w));
  }
}

/* ---------------------------------------------------------------- dispatch */

static void
concat_channels (const DeimNode *node, DeimChannelSolver *solver)
{
  for (guint i = 0; i < node->n_in; i++) {
    gint channel, position;
    concat_place (node, i, &channel, &position);
    deim_channels_part (solver, node->out[0], node->in[i], channel);
    if (node->attrs.concat.channels)
      deim_channels_cut (solver, node->out[0], channel);
  }
}

/* Copies the operands that their producers could not write to their place at once. */
static gboolean
concat_dispatch (const DeimNode *node, DeimDispatchList *list, GError **error)
{
  for (guint i = 0; i < node->n_in; i++) {
    gint channel, position;
    concat_place (node, i, &channel, &position);
    if (deim_layouts_is_placed (list->layouts, node->in[i], node->out[0], channel, position))
      continue;
    DeimPointwise p = deim_pointwise (DEIM_POINTWISE_UNARY, node->in[i], NULL, node->out[0]);
    p.first_block = deim_layout_channel (deim_dispatch_layout (list, node->out[0]), channel) / 4;
    p.first_position = position;
    deim_dispatch_pointwise (list, &p);
  }
  return TRUE;
}

const DeimOp deim_op_concat = {
  .name = "concat",
  .kind = DEIM_OP_JOIN,
  .place = concat_place,
  .reference = concat_reference,
  .gradient = concat_gradient,
  .channels = concat_channels,
  .dispatch = concat_dispatch,
};

DeimTensor *
deim_concat (DeimGraph *graph, DeimTensor *const *x, guint n, gboolean channels)
{
  const DeimOp *op = &deim_op_concat;
  if (n < 1 || n > DEIM_MAX_INPUTS) {
    deim_graph_fail (graph, "concat: %u tensors, but 1 to %d can be joined; join them in steps", n, DEIM_MAX_INPUTS);
    return NULL;
  }
  if (!deim_op_ready (graph, op, x, n))
    return NULL;
  DeimShape s = x[0]->shape;
  gint64 sum = 0;
  for (guint i = 0; i < n; i++) {
    DeimShape t = x[i]->shape;
    sum += channels ? t.c : t.w;
    if (channels)
      t.c = s.c;
    else
      t.w = s.w;
    if (!deim_shape_equal (s, t) || (!channels && s.h != 1)) {
      deim_op_fail_shapes (graph, op, x[0], x[i],
                           channels ? "all dimensions but the channels must agree"
                                    : "tokens of height 1 must agree in all but their count");
      return NULL;
    }
  }
  if (sum > G_MAXINT)
    sum = 0; /* refused below as an impossible shape */
  if (channels)
    s.c = (gint) sum;
  else
    s.w = (gint) sum;
  DeimNode *node = deim_op_append (graph, op, x, n, s);
  if (!node)
    return NULL;
  node->attrs.concat.channels = channels;
  return node->out[0];
}
