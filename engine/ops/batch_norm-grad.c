/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * batch_norm-grad.c - gradients of BatchNorm with the batch's statistics, of the activation behind it, and of the
 * learnable affine block behind that. Operands: dy, x [n, c, h, w], weight, bias, the batch's mean and unbiased
 * variance [c], the block's scale [1] or NULL -> dx [n, c, h, w], plain: dweight and dbias [c], dscale and dshift [1]
 * (where there is one).
 *
 *   z = (x - mean) / deviation      a = act (z * weight + bias)      y = a * scale + shift
 *   da = dy * scale * act'          dbias = sum da      dweight = sum da * z      over n, h, w; N of them
 *   dx = weight / deviation * (da - dbias / N - z * dweight / N)
 *   dscale = sum dy * a             dshift = sum dy     over everything
 *
 * Of processes that share a batch, each has sums over all of it for dx, and gives an equal share of them out as dweight
 * and dbias, so that these add up like all other gradients.
 */
#include "engine/graph/differentiate.h"
#include "engine/ops/channel_sums.h"
#include "engine/ops/util.h"

extern const DeimOp deim_op_batch_norm, deim_op_batch_norm_grad;

void
deim_channel_moments (const gfloat *x, DeimShape s, gint c, gdouble *ret_mean, gdouble *ret_var)
{
  gsize plane = (gsize) s.h * (gsize) s.w;
  gdouble count = (gdouble) s.n * (gdouble) plane, mean = 0, square = 0;
  for (gint n = 0; n < s.n; n++)
    for (gsize i = 0; i < plane; i++)
      mean += x[((gsize) n * (gsize) s.c + (gsize) c) * plane + i];
  mean /= count;
  for (gint n = 0; n < s.n; n++)
    for (gsize i = 0; i < plane; i++) {
      gdouble d = x[((gsize) n * (gsize) s.c + (gsize) c) * plane + i] - mean;
      square += d * d;
    }
  *ret_mean = mean;
  *ret_var = square / count;
}

static void
batch_norm_grad_reference (const DeimNode *node, const DeimOperands *operands)
{
  DeimShape s = node->in[1]->shape;
  DeimAct act = node->attrs.norm.act;
  const gfloat *dy = operands->in[0], *x = operands->in[1];
  gsize plane = (gsize) s.h * (gsize) s.w;
  gdouble count = (gdouble) s.n * (gdouble) plane, scale = operands->in[6] ? operands->in[6][0] : 1;
  gdouble dscale = 0, dshift = 0;
  for (gint c = 0; c < s.c; c++) {
    gdouble mean, var, sum = 0, product = 0;
    deim_channel_moments (x, s, c, &mean, &var);
    gdouble deviation = sqrt (var + (gdouble) node->attrs.norm.eps);
    gdouble weight = operands->in[2][c], bias = operands->in[3][c];
    for (gint n = 0; n < s.n; n++) {
      gsize at = ((gsize) n * (gsize) s.c + (gsize) c) * plane;
      for (gsize i = at; i < at + plane; i++) {
        gdouble z = (x[i] - mean) / deviation, da = dy[i] * scale * deim_act_derive (z * weight + bias, act, 0, 0);
        sum += da;
        product += da * z;
        dscale += dy[i] * deim_act_apply (z * weight + bias, act, 0, 0);
        dshift += dy[i];
      }
    }
    for (gint n = 0; n < s.n; n++) {
      gsize at = ((gsize) n * (gsize) s.c + (gsize) c) * plane;
      for (gsize i = at; i < at + plane; i++) {
        gdouble z = (x[i] - mean) / deviation, da = dy[i] * scale * deim_act_derive (z * weight + bias, act, 0, 0);
        operands->out[0][i] = (gfloat) (weight / deviation * (da - sum / count - z * product / count));
      }
    }
    operands->out[1][c] = (gfloat) product;
    operands->out[2][c] = (gfloat) sum;
  }
  if (operands->out[3]) {
    operands->out[3][0] = (gfloat) dscale;
    operands->out[4][0] = (gfloat) dshift;
  }
}

/* ---------------------------------------------------------------- dispatch */

static void
batch_norm_grad_channels (const DeimNode *node, DeimChannelSolver *solver)
{
  deim_channels_same (solver, node->in[0], node->out[0]);
  deim_channels_same (solver, node->in[1], node->out[0]);
}

/* Numbers that a channel has in the whole batch. */
static gfloat
count_all (const DeimTensor *x, const DeimDispatchList *list)
{
  return (gfloat) x->shape.n * (gfloat) (x->shape.h * x->shape.w) * (gfloat) list->parts;
}

/* What the forward pass did to each channel: [blocks][5] vec4 (shaders/batch_norm_state.comp). */
static gint
dispatch_state (const DeimNode *node, DeimDispatchList *list)
{
  DeimTensor *x = node->in[1], *scale = node->in[6];
  gint blocks = deim_dispatch_layout (list, x)->blocks, map = deim_dispatch_add_channel_map (list, x);
  gint state = deim_dispatch_add_scratch (list, (gsize) blocks * 80);
  DeimDispatch *d = deim_dispatch_append (list, "batch_norm_state");
  for (guint i = 2; i < 6; i++)
    deim_dispatch_bind (d, DEIM_BIND_READ, node->in[i]);
  deim_dispatch_bind (d, DEIM_BIND_READ, scale ? scale : node->in[2]);
  deim_dispatch_bind_blob (d, map);
  deim_dispatch_bind_scratch (d, DEIM_BIND_WRITE, state);
  deim_dispatch_push_int (d, blocks);
  deim_dispatch_push_int (d, scale != NULL);
  deim_dispatch_push_float (d, count_all (x, list));
  deim_dispatch_push_float (d, node->attrs.norm.eps);
  d->groups[0] = ((guint) blocks + d->local_size - 1) / d->local_size;
  return state;
}

static DeimPartials
dispatch_sums (const DeimNode *node, DeimDispatchList *list, gint state)
{
  DeimTensor *dy = node->in[0], *x = node->in[1];
  DeimPartials partials = deim_dispatch_partials (list, x, node->in[6] ? 4 : 2);
  DeimDispatch *d = deim_dispatch_append (list, "batch_norm_sums");
  deim_dispatch_bind (d, DEIM_BIND_READ, dy);
  deim_dispatch_bind (d, DEIM_BIND_READ, x);
  deim_dispatch_bind_scratch (d, DEIM_BIND_READ, state);
  deim_dispatch_bind_scratch (d, DEIM_BIND_WRITE, partials.scratch);
  deim_dispatch_spec (d, partials.lanes == 1);
  deim_dispatch_spec (d, node->attrs.norm.act);
  deim_dispatch_spec (d, node->in[6] != NULL);
  deim_dispatch_push_place (d, list, dy);
  deim_dispatch_push_place (d, list, x);
  deim_dispatch_over_strips (d, list, &partials, x);
  return partials;
}

/* The gradients of weight and bias, and [blocks][6] vec4 for the last dispatch. */
static gint
dispatch_table (const DeimNode *node, DeimDispatchList *list, gint state, const DeimPartials *partials)
{
  DeimTensor *x = node->in[1];
  gint blocks = deim_dispatch_layout (list, x)->blocks, map = deim_dispatch_add_channel_map (list, x);
  gint table = deim_dispatch_add_scratch (list, (gsize) blocks * 96);
  DeimDispatch *d = deim_dispatch_append (list, "batch_norm_grad_table");
  deim_dispatch_bind_scratch (d, DEIM_BIND_READ, partials->scratch);
  deim_dispatch_bind_scratch (d, DEIM_BIND_READ, state);
  deim_dispatch_bind_blob (d, map);
  deim_dispatch_bind_scratch (d, DEIM_BIND_WRITE, table);
  deim_dispatch_bind (d, DEIM_BIND_WRITE, node->out[1]);
  deim_dispatch_bind (d, DEIM_BIND_WRITE, node->out[2]);
  deim_dispatch_spec (d, (guint32) partials->terms);
  deim_dispatch_push_int (d, blocks);
  deim_dispatch_push_int (d, x->shape.c);
  deim_dispatch_push_int (d, partials->count);
  deim_dispatch_push_float (d, count_all (x, list));
  deim_dispatch_push_float (d, 1 / (gfloat) list->parts);
  d->groups[0] = ((guint) blocks + d->local_size - 1) / d->local_size;
  return table;
}

static gboolean
batch_norm_grad_dispatch (const DeimNode *node, DeimDispatchList *list, GError **error)
{
  DeimTensor *dy = node->in[0], *x = node->in[1], *dx = node->out[0];
  DeimExtent extent = deim_dispatch_extent (list, x);
  const gint per_lane = 4;
  gint state = dispatch_state (node, list);
  DeimPartials own = dispatch_sums (node, list, state), all = deim_dispatch_gather_partials (list, &own);
  gint table = dispatch_table (node, list, state, &all);
  if (node->in[6])
    deim_dispatch_channel_totals (list, &own, 2, x, node->out[3], node->out[4]);

  DeimDispatch *d = deim_dispatch_append (list, "batch_norm_grad");
  deim_dispatch_bind (d, DEIM_BIND_READ, dy);
  deim_dispatch_bind (d, DEIM_BIND_READ, x);
  deim_dispatch_bind_scratch (d, DEIM_BIND_READ, table);
  deim_dispatch_bind (d, DEIM_BIND_WRITE, dx);
  deim_dispatch_spec (d, (guint32) per_lane);
  deim_dispatch_spec (d, node->attrs.norm.act);
  deim_dispatch_push_place (d, list, dy);
  deim_dispatch_push_place (d, list, x);
  deim_dispatch_push_place (d, list, dx);
  deim_dispatch_push_int (d, extent.positions);
  deim_dispatch_cover (d, list, (extent.positions + per_lane - 1) / per_lane, extent.blocks, extent.batch);
  return TRUE;
}

const DeimOp deim_op_batch_norm_grad = {
  .name = "batch_norm_grad",
  .reference = batch_norm_grad_reference,
  .channels = batch_norm_grad_channels,
  .dispatch = batch_norm_grad_dispatch,
};

/* Of evaluation's BatchNorm: dy times the gain, which a BatchNorm without mean and bias is. */
static void
give_fixed (const DeimNode *node, DeimTensor *dy, DeimBackward *backward)
{
  DeimGraph *graph = deim_backward_graph (backward);
  for (guint i = 1; i < 5; i++)
    if (deim_backward_wants (backward, node->in[i])) {
      deim_graph_fail (graph, "batch_norm: a frozen norm has no gradients of its parameters");
      return;
    }
  DeimShape vector = { dy->shape.c, 1, 1, 1 };
  g_autofree gfloat *zeros = g_new0 (gfloat, vector.n);
  DeimTensor *zero = deim_const (graph, NULL, vector, zeros);
  deim_backward_give (backward, node->in[0],
                      deim_batch_norm (graph, dy, node->in[1], zero, zero, node->in[4], node->attrs.norm.eps));
}

void
deim_batch_norm_gradient (const DeimNode *node, DeimTensor *dy, DeimBackward *backward)
{
  if (!node->attrs.norm.batch) {
    give_fixed (node, dy, backward);
    return;
  }
  DeimGraph *graph = deim_backward_graph (backward);
  DeimTensor *scale = node->n_in > 5 ? node->in[5] : NULL;
  DeimTensor *in[7] = { dy, node->in[0], node->in[1], node->in[2], node->out[1], node->out[2], scale };
  DeimNode *grad = deim_op_append (graph, &deim_op_batch_norm_grad, in, 7, dy->shape);
  if (!grad)
    return;
  grad->attrs.norm = node->attrs.norm;
  static const guint sources[] = { 1, 2, 5, 6 }; /* weight, bias, and of the affine block scale and shift */
  for (guint i = 0; i < (scale ? 4 : 2); i++) {
    DeimTensor *source = node->in[sources[i]];
    DeimTensor *vector = deim_graph_append_output (graph, grad, source->shape, DEIM_TYPE_FLOAT);
    vector->plain = TRUE;
    deim_backward_give (backward, source, vector);
  }
  deim_backward_give (backward, node->in[0], grad->out[0]);
}
