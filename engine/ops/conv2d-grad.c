/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * conv2d-grad.c - gradients of a convolution, of any stride and number of groups: conv2d_grad_input (operands dy,
 * weight -> dx) and conv2d_grad_weight (dy, x -> dweight, plain). The bias's is channel_sum.
 *
 *   y[co][o] = sum over ci, k of weight[co][ci][k] * x[ci][o * stride + k - pad]
 *   dx[ci][i] = sum over co, k of weight[co][ci][k] * dy[co][o], where o * stride + k - pad = i
 *   dweight[co][ci][k] = sum over n, o of dy[co][o] * x[ci][o * stride + k - pad]
 */
#include "engine/error.h"
#include "engine/graph/differentiate.h"
#include "engine/ops/conv2d.h"
#include "engine/ops/util.h"

extern const DeimOp deim_op_conv2d_grad_input, deim_op_conv2d_grad_weight;

/* Calls for all pairs of rows that meet in a tap: columns first .. last of the output, and what they read. */
typedef struct {
  DeimShape in, out; /* of x and y */
  const DeimConvAttrs *attrs;
  gint k, ic, oc; /* kernel; channels of a group */
} Geometry;

static Geometry
geometry (const DeimConvAttrs *attrs, DeimShape in, DeimShape out, gint k)
{
  return (Geometry){ in, out, attrs, k, in.c / attrs->groups, out.c / attrs->groups };
}

/* The columns of the output for which tap @kx lies inside a row of the input: *first .. *last. */
static void
columns (const Geometry *g, gint kx, gint *first, gint *last)
{
  gint shift = kx - g->attrs->pad_left;
  *first = 0;
  *last = g->out.w - 1;
  while (*first <= *last && *first * g->attrs->stride + shift < 0)
    (*first)++;
  while (*last >= *first && *last * g->attrs->stride + shift >= g->in.w)
    (*last)--;
}

static void
grad_input_reference (const DeimNode *node, const DeimOperands *operands)
{
  const DeimConvAttrs *a = &node->attrs.conv;
  Geometry g = geometry (a, node->out[0]->shape, node->in[0]->shape, node->in[1]->shape.h);
  gsize plane = (gsize) g.in.h * (gsize) g.in.w, out_plane = (gsize) g.out.h * (gsize) g.out.w;
  g_autofree gdouble *sums = g_new (gdouble, plane);
  for (gint nc = 0; nc < g.in.n * g.in.c; nc++) {
    gint n = nc / g.in.c, ci = nc % g.in.c, group = ci / g.ic;
    for (gsize i = 0; i < plane; i++)
      sums[i] = 0;
    for (gint co = group * g.oc; co < (group + 1) * g.oc; co++)
      for (gint k = 0; k < g.k * g.k; k++) {
        gint ky = k / g.k, kx = k % g.k, first, last;
        gdouble w =
            operands->in[1][((gsize) co * (gsize) g.ic + (gsize) (ci % g.ic)) * (gsize) (g.k * g.k) + (gsize) k];
        columns (&g, kx, &first, &last);
        for (gint oy = 0; oy < g.out.h; oy++) {
          gint iy = oy * a->stride + ky - a->pad_top;
          if (iy < 0 || iy >= g.in.h)
            continue;
          const gfloat *from =
              operands->in[0] + ((gsize) n * (gsize) g.out.c + (gsize) co) * out_plane + (gsize) oy * (gsize) g.out.w;
          gdouble *to = sums + (gsize) iy * (gsize) g.in.w;
          for (gint ox = first; ox <= last; ox++)
            to[ox * a->stride + kx - a->pad_left] += w * from[ox];
        }
      }
    for (gsize i = 0; i < plane; i++)
      operands->out[0][(gsize) nc * plane + i] = (gfloat) sums[i];
  }
}

static void
grad_weight_reference (const DeimNode *node, const DeimOperands *operands)
{
  const DeimConvAttrs *a = &node->attrs.conv;
  Geometry g = geometry (a, node->in[1]->shape, node->in[0]->shape, node->out[0]->shape.h);
  gsize plane = (gsize) g.in.h * (gsize) g.in.w, out_plane = (gsize) g.out.h * (gsize) g.out.w, at = 0;
  for (gint co = 0; co < g.out.c; co++)
    for (gint ci = co / g.oc * g.ic; ci < (co / g.oc + 1) * g.ic; ci++)
      for (gint k = 0; k < g.k * g.k; k++, at++) {
        gint ky = k / g.k, kx = k % g.k, first, last;
        gdouble sum = 0;
        columns (&g, kx, &first, &last);
        for (gint n = 0; n < g.in.n; n++)
          for (gint oy = 0; oy < g.out.h; oy++) {
            gint iy = oy * a->stride + ky - a->pad_top;
            if (iy < 0 || iy >= g.in.h)
              continue;
            const gfloat *dy =
                operands->in[0] + ((gsize) n * (gsize) g.out.c + (gsize) co) * out_plane + (gsize) oy * (gsize) g.out.w;
            const gfloat *x =
                operands->in[1] + ((gsize) n * (gsize) g.in.c + (gsize) ci) * plane + (gsize) iy * (gsize) g.in.w;
            for (gint ox = first; ox <= last; ox++)
              sum += (gdouble) dy[ox] * x[ox * a->stride + kx - a->pad_left];
          }
        operands->out[0][at] = (gfloat) sum;
      }
}

/* As much as the convolution itself. */
static gdouble
conv2d_grad_flop (const DeimNode *node)
{
  DeimShape dy = node->in[0]->shape;
  gboolean of_input = node->op == &deim_op_conv2d_grad_input;
  DeimShape w = of_input ? node->in[1]->shape : node->out[0]->shape;
  return 2.0 * dy.n * dy.c * dy.h * dy.w * w.c * w.h * w.w;
}

static gboolean
check_groups (const DeimNode *node, gint channels, GError **error)
{
  if (node->attrs.conv.groups == 1 || node->attrs.conv.groups == channels)
    return TRUE;
  g_set_error (error, DEIM_ERROR, DEIM_ERROR_UNSUPPORTED,
               "%s: a convolution of %d groups over %d channels; devices have kernels for one group and for one per "
               "channel",
               node->name, node->attrs.conv.groups, channels);
  return FALSE;
}

/* ------------------------------------------------------ of the input: dispatch */

static void
grad_input_channels (const DeimNode *node, DeimChannelSolver *solver)
{
  if (node->attrs.conv.groups > 1)
    deim_channels_same (solver, node->in[0], node->out[0]);
}

/* A stride spreads the outputs over the input: places whose coordinates leave the same rest see the same taps, and are
 * one convolution of stride 1 with those. */
static void
dispatch_phase (const DeimNode *node, DeimDispatchList *list, gint py, gint px)
{
  const DeimConvAttrs *a = &node->attrs.conv;
  DeimTensor *dy = node->in[0], *weight = node->in[1], *dx = node->out[0];
  gint s = a->stride, k = weight->shape.h;
  gint first_y = (py + a->pad_top) % s, first_x = (px + a->pad_left) % s;
  gint taps_y = first_y < k ? (k - first_y + s - 1) / s : 0, taps_x = first_x < k ? (k - first_x + s - 1) / s : 0;
  gint h = (dx->shape.h - py + s - 1) / s, w = (dx->shape.w - px + s - 1) / s;
  if (h <= 0 || w <= 0)
    return;
  DeimConvPacking packing = { .weight = weight, .x = dy, .y = dx, .transposed = TRUE, first_y, first_x, s };
  gint co4 = deim_conv2d_panel_blocks (list, dx), panels = deim_conv2d_pack_dense (list, &packing, co4);
  gint blocks = deim_dispatch_layout (list, dx)->blocks, wide = 4;
  DeimDispatch *d = deim_dispatch_append (list, "conv_up");
  d->shuffle = list->device.shuffle;
  deim_dispatch_bind (d, DEIM_BIND_READ, dy);
  deim_dispatch_bind_scratch (d, DEIM_BIND_READ, panels);
  deim_dispatch_bind (d, DEIM_BIND_WRITE, dx);
  deim_dispatch_spec (d, (guint32) co4);
  deim_dispatch_spec (d, (guint32) wide);
  deim_dispatch_push_place (d, list, dy);
  deim_dispatch_push_place (d, list, dx);
  deim_dispatch_push_int (d, dy->shape.w);
  deim_dispatch_push_int (d, dy->shape.h);
  deim_dispatch_push_int (d, w);
  deim_dispatch_push_int (d, h * w);
  deim_dispatch_push_int (d, deim_dispatch_layout (list, dy)->blocks);
  deim_dispatch_push_int (d, blocks);
  deim_dispatch_push_int (d, taps_y);
  deim_dispatch_push_int (d, taps_x);
  deim_dispatch_push_int (d, (py + a->pad_top - first_y) / s - (taps_y - 1));
  deim_dispatch_push_int (d, (px + a->pad_left - first_x) / s - (taps_x - 1));
  deim_dispatch_push_int (d, py * dx->shape.w + px);
  deim_dispatch_push_int (d, s * dx->shape.w);
  deim_dispatch_push_int (d, s);
  if (!list->device.cpu)
    d->local_size = deim_dispatch_local_size (list);
  d->groups[0] = (guint) ((blocks + co4 - 1) / co4);
  d->groups[1] = ((guint) (h * w) + d->local_size * (guint) wide - 1) / (d->local_size * (guint) wide);
  d->groups[2] = (guint) dx->shape.n;
  d->flop = 2.0 * dx->shape.n * h * w * taps_y * taps_x * weight->shape.n * weight->shape.c;
}

static void
dispatch_depthwise_up (const DeimNode *node, DeimDispatchList *list)
{
  const DeimConvAttrs *a = &node->attrs.conv;
  DeimTensor *dy = node->in[0], *weight = node->in[1], *dx = node->out[0];
  DeimExtent extent = deim_dispatch_extent (list, dx);
  DeimConvPacking packing = { .weight = weight, .x = dy, .y = dx, .step = 1 };
  gint panels = deim_conv2d_pack_depthwise (list, &packing);
  DeimDispatch *d = deim_dispatch_append (list, "depthwise_up");
  deim_dispatch_bind (d, DEIM_BIND_READ, dy);
  deim_dispatch_bind_scratch (d, DEIM_BIND_READ, panels);
  deim_dispatch_bind (d, DEIM_BIND_WRITE, dx);
  deim_dispatch_spec (d, (guint32) weight->shape.h);
  deim_dispatch_spec (d, (guint32) a->stride);
  deim_dispatch_push_place (d, list, dy);
  deim_dispatch_push_place (d, list, dx);
  deim_dispatch_push_int (d, dy->shape.w);
  deim_dispatch_push_int (d, dy->shape.h);
  deim_dispatch_push_int (d, dx->shape.w);
  deim_dispatch_push_int (d, extent.positions);
  deim_dispatch_push_int (d, a->pad_top);
  deim_dispatch_push_int (d, a->pad_left);
  deim_dispatch_cover (d, list, extent.positions, extent.blocks, extent.batch);
  d->flop = conv2d_grad_flop (node);
}

static gboolean
grad_input_dispatch (const DeimNode *node, DeimDispatchList *list, GError **error)
{
  const DeimConvAttrs *a = &node->attrs.conv;
  DeimTensor *dy = node->in[0], *weight = node->in[1], *dx = node->out[0];
  gboolean dense = a->groups == 1;
  if (!check_groups (node, dx->shape.c, error))
    return FALSE;
  if (a->stride > 1 && dense) {
    for (gint phase = 0; phase < a->stride * a->stride; phase++)
      dispatch_phase (node, list, phase / a->stride, phase % a->stride);
    return TRUE;
  }
  if (a->stride > 1) {
    dispatch_depthwise_up (node, list);
    return TRUE;
  }
  /* a convolution of dy with the taps in reverse order */
  gint k = weight->shape.h;
  DeimConvWork work = { .x = dy,
                        .y = dx,
                        .residual = dy,
                        .addend = dy,
                        .weight = weight,
                        .transposed = TRUE,
                        .kernel = k,
                        .stride = 1,
                        .pad_top = k - 1 - a->pad_top,
                        .pad_left = k - 1 - a->pad_left,
                        .pointwise = k == 1 && a->pad_top + a->pad_left + a->pad_bottom + a->pad_right == 0,
                        .epilogue = deim_epilogue_none (),
                        .flop = conv2d_grad_flop (node) };
  if (dense)
    deim_conv2d_dispatch_dense (&work, list);
  else
    deim_conv2d_dispatch_depthwise (&work, list);
  return TRUE;
}

/* ----------------------------------------------------- of the weight: dispatch */

static void
grad_weight_channels (const DeimNode *node, DeimChannelSolver *solver)
{
  if (node->attrs.conv.groups > 1)
    deim_channels_same (solver, node->in[0], node->in[1]);
}

/* How the sum over batch and positions is cut into parts, each of which is one invocation's or subgroup's. */
typedef struct {
  gint strips, length; /* of positions; */
  gint runs, batch;    /* of batch entries */
} Cut;

/* Parts are worth starting from some hundred positions a lane on; more of them keep more cores busy. @tiles: of
 * results, each of which needs all parts. @lanes: that share a part. */
static Cut
cut_sum (const DeimDispatchList *list, DeimShape dy, gint tiles, gint lanes)
{
  gint positions = dy.h * dy.w;
  gint least = 64 * lanes, busy = list->device.cpu ? 32 : 2048;
  gint wanted = MAX ((busy + tiles - 1) / tiles, 1);
  gint strips = CLAMP (positions / least, 1, MAX ((wanted + dy.n - 1) / dy.n, 1));
  strips = MAX (strips, positions / (16384 * lanes) + 1); /* iterations of an invocation have a limit */
  Cut cut = { .strips = strips, .batch = 1 };
  cut.length = (positions + strips - 1) / strips;
  if (strips == 1)
    cut.batch = CLAMP (dy.n / wanted, 1, MAX (16384 * lanes / positions, 1)); /* the same limit */
  cut.runs = (dy.n + cut.batch - 1) / cut.batch;
  return cut;
}

static void
dispatch_weight_sum (const DeimNode *node, DeimDispatchList *list, gint partials, gint parts, gint columns)
{
  DeimTensor *dy = node->in[0], *x = node->in[1], *dw = node->out[0];
  gboolean dense = node->attrs.conv.groups == 1;
  gint taps = dw->shape.h * dw->shape.w, rows = deim_dispatch_layout (list, dy)->blocks;
  gint row_map = deim_dispatch_add_channel_map (list, dy), column_map = row_map;
  if (dense)
    column_map = deim_dispatch_add_channel_map (list, x);
  DeimDispatch *d = deim_dispatch_append (list, "conv_grad_weight_sum");
  deim_dispatch_bind_scratch (d, DEIM_BIND_READ, partials);
  deim_dispatch_bind_blob (d, row_map);
  deim_dispatch_bind_blob (d, column_map);
  deim_dispatch_bind (d, DEIM_BIND_WRITE, dw);
  deim_dispatch_spec (d, (guint32) dense);
  deim_dispatch_push_int (d, parts);
  deim_dispatch_push_int (d, taps);
  deim_dispatch_push_int (d, columns);
  deim_dispatch_push_int (d, rows);
  deim_dispatch_push_int (d, dw->shape.c);
  deim_dispatch_push_int (d, (gint) deim_shape_size (dw->shape));
  deim_dispatch_cover (d, list, taps * columns * rows, 1, 1);
}

static gboolean
grad_weight_dispatch (const DeimNode *node, DeimDispatchList *list, GError **error)
{
  const DeimConvAttrs *a = &node->attrs.conv;
  DeimTensor *dy = node->in[0], *x = node->in[1], *dw = node->out[0];
  if (!check_groups (node, x->shape.c, error))
    return FALSE;
  gboolean dense = a->groups == 1;
  gint rows = deim_dispatch_layout (list, dy)->blocks, columns = deim_dispatch_layout (list, x)->blocks;
  gint k = dw->shape.h, taps = k * k, lanes = (gint) list->device.subgroup_size;
  gboolean alone = dense && list->device.cpu; /* a lane has a unit of its own; else all of a subgroup share one */
  gint wide = MIN (rows, 4) == 3 ? 4 : MIN (rows, 4), deep = MIN (columns, 2);
  gint across = dense ? (rows + wide - 1) / wide : rows, down = dense ? (columns + deep - 1) / deep : 1;
  gint units = across * down * (dense ? taps : 1), groups = alone ? (units + lanes - 1) / lanes : units;
  Cut cut = cut_sum (list, dy->shape, groups, alone ? 1 : lanes);
  gint parts = cut.runs * cut.strips * (list->device.subgroup || alone ? 1 : lanes);
  gsize vec4s = (gsize) taps * (gsize) (dense ? 4 * columns : 1) * (gsize) rows;
  gint partials = deim_dispatch_add_scratch (list, (gsize) parts * vec4s * 16);

  DeimDispatch *d = deim_dispatch_append (list, dense ? "conv_grad_weight" : "depthwise_grad_weight");
  deim_dispatch_bind (d, DEIM_BIND_READ, dy);
  deim_dispatch_bind (d, DEIM_BIND_READ, x);
  deim_dispatch_bind_scratch (d, DEIM_BIND_WRITE, partials);
  deim_dispatch_spec (d, list->device.subgroup);
  deim_dispatch_spec (d, !alone && dy->shape.w < lanes);
  if (dense) {
    deim_dispatch_spec (d, (guint32) wide);
    deim_dispatch_spec (d, (guint32) deep);
    deim_dispatch_spec (d, k == 1 && a->stride == 1 && a->pad_top + a->pad_left + a->pad_bottom + a->pad_right == 0);
    deim_dispatch_spec (d, alone);
    deim_dispatch_spec (d, list->device.park);
  } else {
    deim_dispatch_spec (d, (guint32) k);
  }
  deim_dispatch_push_place (d, list, dy);
  deim_dispatch_push_place (d, list, x);
  deim_dispatch_push_int (d, x->shape.w);
  deim_dispatch_push_int (d, x->shape.h);
  deim_dispatch_push_int (d, dy->shape.w);
  deim_dispatch_push_int (d, dy->shape.h * dy->shape.w);
  deim_dispatch_push_int (d, dy->shape.n);
  deim_dispatch_push_int (d, a->stride);
  deim_dispatch_push_int (d, a->pad_top);
  deim_dispatch_push_int (d, a->pad_left);
  deim_dispatch_push_int (d, cut.strips);
  deim_dispatch_push_int (d, cut.length);
  deim_dispatch_push_int (d, cut.batch);
  deim_dispatch_push_int (d, rows);
  if (dense) {
    deim_dispatch_push_int (d, columns);
    deim_dispatch_push_int (d, across);
    deim_dispatch_push_int (d, across * down);
    deim_dispatch_push_int (d, k);
  }
  d->groups[0] = (guint) groups;
  d->groups[2] = (guint) (cut.runs * cut.strips);
  d->flop = conv2d_grad_flop (node);
  dispatch_weight_sum (node, list, partials, parts, dense ? 4 * columns : 1);
  return TRUE;
}

const DeimOp deim_op_conv2d_grad_input = {
  .name = "conv2d_grad_input",
  .reference = grad_input_reference,
  .flop = conv2d_grad_flop,
  .channels = grad_input_channels,
  .dispatch = grad_input_dispatch,
};

const DeimOp deim_op_conv2d_grad_weight = {
  .name = "conv2d_grad_weight",
  .reference = grad_weight_reference,
  .flop = conv2d_grad_flop,
  .channels = grad_weight_channels,
  .dispatch = grad_weight_dispatch,
};

/* ------------------------------------------------------------------ the op's */

static gboolean
is_fused (const DeimNode *node)
{
  const DeimEpilogue *e = &node->attrs.conv.epilogue;
  return e->act != DEIM_ACT_NONE || e->scale != 1 || e->shift != 0 || e->residual_before || e->residual_after;
}

void
deim_conv2d_gradient (const DeimNode *node, DeimTensor *dy, DeimBackward *backward)
{
  DeimGraph *graph = deim_backward_graph (backward);
  DeimTensor *x = node->in[0], *weight = node->in[1], *bias = node->in[2];
  if (is_fused (node)) {
    deim_graph_fail (graph, "conv2d: something was fused into it; differentiate a graph before it is fused");
    return;
  }
  if (deim_backward_wants (backward, bias))
    deim_backward_give (backward, bias, deim_channel_sum (graph, dy));
  if (deim_backward_wants (backward, weight)) {
    DeimTensor *in[2] = { dy, x };
    DeimNode *grad = deim_op_append (graph, &deim_op_conv2d_grad_weight, in, 2, weight->shape);
    if (!grad)
      return;
    grad->attrs.conv = node->attrs.conv;
    grad->out[0]->plain = TRUE;
    deim_backward_give (backward, weight, grad->out[0]);
  }
  if (deim_backward_wants (backward, x)) {
    DeimTensor *in[2] = { dy, weight };
    DeimNode *grad = deim_op_append (graph, &deim_op_conv2d_grad_input, in, 2, x->shape);
    if (!grad)
      return;
    grad->attrs.conv = node->attrs.conv;
    deim_backward_give (backward, x, grad->out[0]);
  }
}
