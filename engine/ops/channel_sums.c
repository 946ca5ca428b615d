/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * channel_sums.c - the dispatches of channel_sums.h, and the op that is nothing else: channel_sum, the gradient of a
 * convolution's bias. Operand x [n, c, h, w] -> plain [c].
 */
#include "engine/ops/channel_sums.h"
#include "engine/ops/util.h"

extern const DeimOp deim_op_channel_sum;

DeimPartials
deim_dispatch_partials (DeimDispatchList *list, const DeimTensor *like, gint terms)
{
  guint lanes = list->device.subgroup_size;
  DeimExtent extent = deim_dispatch_extent (list, like);
  DeimPartials partials = { .terms = terms, .positions = extent.positions };
  partials.strip_length = (gint) MAX (1024, 32 * lanes);
  partials.strips = (extent.positions + partials.strip_length - 1) / partials.strip_length;
  partials.lanes = list->device.subgroup ? 1 : (gint) lanes; /* each lane stands for itself if they cannot add up */
  partials.count = extent.batch * partials.strips * partials.lanes;
  partials.scratch = deim_dispatch_add_scratch (list, (gsize) partials.count * (gsize) (extent.blocks * terms) * 16);
  return partials;
}

DeimPartials
deim_dispatch_gather_partials (DeimDispatchList *list, const DeimPartials *own)
{
  DeimPartials all = *own;
  all.scratch = deim_dispatch_gather (list, own->scratch);
  all.count *= (gint) list->parts;
  return all;
}

void
deim_dispatch_over_strips (DeimDispatch *d, DeimDispatchList *list, const DeimPartials *partials,
                           const DeimTensor *like)
{
  DeimExtent extent = deim_dispatch_extent (list, like);
  deim_dispatch_push_int (d, extent.blocks);
  deim_dispatch_push_int (d, extent.positions);
  deim_dispatch_push_int (d, partials->strip_length);
  deim_dispatch_push_int (d, partials->strips);
  d->groups[0] = (guint) partials->strips;
  d->groups[1] = (guint) extent.blocks;
  d->groups[2] = (guint) extent.batch;
}

DeimPartials
deim_dispatch_channel_sums (DeimDispatchList *list, const DeimSums *sums)
{
  DeimTensor *g = sums->g, *x = sums->x ? sums->x : g;
  DeimPartials partials = deim_dispatch_partials (list, g, sums->mode == DEIM_SUMS_PLAIN ? 1 : 2);
  DeimDispatch *d = deim_dispatch_append (list, "channel_sums");
  deim_dispatch_bind (d, DEIM_BIND_READ, g);
  deim_dispatch_bind (d, DEIM_BIND_READ, x);
  if (sums->mode == DEIM_SUMS_NORMALISED)
    deim_dispatch_bind_scratch (d, DEIM_BIND_READ, sums->stats);
  else
    deim_dispatch_bind (d, DEIM_BIND_READ, g);
  deim_dispatch_bind_scratch (d, DEIM_BIND_WRITE, partials.scratch);
  deim_dispatch_spec (d, sums->mode);
  deim_dispatch_spec (d, partials.lanes == 1);
  deim_dispatch_push_place (d, list, g);
  deim_dispatch_push_place (d, list, x);
  deim_dispatch_over_strips (d, list, &partials, g);
  return partials;
}

void
deim_dispatch_channel_totals (DeimDispatchList *list, const DeimPartials *partials, gint term, const DeimTensor *like,
                              DeimTensor *first, DeimTensor *second)
{
  DeimTensor *some = first ? first : second;
  gint blocks = deim_dispatch_layout (list, like)->blocks;
  gboolean total = deim_shape_size (some->shape) == 1 && like->shape.c > 1;
  gint map = deim_dispatch_add_channel_map (list, like);
  DeimDispatch *d = deim_dispatch_append (list, "channel_totals");
  deim_dispatch_bind_scratch (d, DEIM_BIND_READ, partials->scratch);
  deim_dispatch_bind_blob (d, map);
  deim_dispatch_bind (d, DEIM_BIND_WRITE, some);
  deim_dispatch_bind (d, DEIM_BIND_WRITE, second ? second : some);
  deim_dispatch_spec (d, (guint32) partials->terms);
  deim_dispatch_spec (d, total);
  deim_dispatch_push_int (d, blocks);
  deim_dispatch_push_int (d, partials->count);
  deim_dispatch_push_int (d, term);
  deim_dispatch_push_int (d, like->shape.c);
  deim_dispatch_push_int (d, (first ? 1 : 0) | (second ? 2 : 0));
  d->groups[0] = total ? 1 : ((guint) blocks + d->local_size - 1) / d->local_size;
}

gint
deim_dispatch_channel_table (DeimDispatchList *list, const DeimTensor *like, DeimTensor *a, DeimTensor *b)
{
  gboolean single = deim_shape_size (a->shape) == 1 && like->shape.c > 1;
  gint blocks = single ? 1 : deim_dispatch_layout (list, like)->blocks;
  static const gfloat zeros[4];
  gint map = single ? deim_dispatch_add_blob (list, zeros, 4, TRUE) : deim_dispatch_add_channel_map (list, like);
  gint table = deim_dispatch_add_scratch (list, (gsize) blocks * 32);
  DeimDispatch *d = deim_dispatch_append (list, "channel_table");
  deim_dispatch_bind (d, DEIM_BIND_READ, a);
  deim_dispatch_bind (d, DEIM_BIND_READ, b ? b : a);
  deim_dispatch_bind_blob (d, map);
  deim_dispatch_bind_scratch (d, DEIM_BIND_WRITE, table);
  deim_dispatch_push_int (d, blocks);
  deim_dispatch_push_int (d, b != NULL);
  d->groups[0] = ((guint) blocks + d->local_size - 1) / d->local_size;
  return table;
}

/* -------------------------------------------------------------- channel_sum */

static void
channel_sum_reference (const DeimNode *node, const DeimOperands *operands)
{
  DeimShape s = node->in[0]->shape;
  gsize plane = (gsize) s.h * (gsize) s.w;
  for (gint c = 0; c < s.c; c++) {
    gdouble sum = 0;
    for (gint n = 0; n < s.n; n++)
      for (gsize i = 0; i < plane; i++)
        sum += operands->in[0][((gsize) n * (gsize) s.c + (gsize) c) * plane + i];
    operands->out[0][c] = (gfloat) sum;
  }
}

static void
channel_sum_channels (const DeimNode *node, DeimChannelSolver *solver)
{
}

static gboolean
channel_sum_dispatch (const DeimNode *node, DeimDispatchList *list, GError **error)
{
  DeimPartials partials = deim_dispatch_channel_sums (list, &(DeimSums){ .mode = DEIM_SUMS_PLAIN, .g = node->in[0] });
  deim_dispatch_channel_totals (list, &partials, 0, node->in[0], node->out[0], NULL);
  return TRUE;
}

const DeimOp deim_op_channel_sum = {
  .name = "channel_sum",
  .reference = channel_sum_reference,
  .channels = channel_sum_channels,
  .dispatch = channel_sum_dispatch,
};

DeimTensor *
deim_channel_sum (DeimGraph *graph, DeimTensor *x)
{
  const DeimOp *op = &deim_op_channel_sum;
  if (!deim_op_ready (graph, op, &x, 1))
    return NULL;
  DeimNode *node = deim_graph_append (graph, op, &x, 1, (DeimShape){ x->shape.c, 1, 1, 1 }, DEIM_TYPE_FLOAT);
  if (!node)
    return NULL;
  node->out[0]->plain = TRUE;
  return node->out[0];
}
