/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * conv2d.c - convolution (torch.nn.functional.conv2d) and, as its 1x1 case
 * over tokens, the linear layer (torch.nn.functional.linear).
 *
 * Operands: in[0] x [n, ic, h, w], in[1] weight [oc, ic/groups, k, k],
 * in[2] bias [oc] or NULL, in[3] residual of the output's shape or NULL, in[4]
 * of x's shape, or with n = 1, or NULL: see addend_rows. Only 1x1 convolutions
 * without stride and padding have the last.
 */
#include "engine/ops/conv2d.h"
#include "engine/ops/util.h"
#include <string.h>

/* Positions summed at a time: their double accumulators, four channels of them, stay in the first-level cache. */
#define CHUNK 512

extern const DeimOp deim_op_conv2d;

DeimEpilogue
deim_epilogue_none (void)
{
  return (DeimEpilogue){ .act = DEIM_ACT_NONE, .scale = 1 };
}

/* acc[i] += w * x[i * step]. The fixed inner length is what -O2 makes vector code of. */
static void
add_scaled (gdouble *acc, const gfloat *x, gint step, gint n, gdouble w)
{
  gint i = 0;
  if (step == 1)
    for (; i + 8 <= n; i += 8)
      for (gint j = 0; j < 8; j++)
        acc[i + j] += w * (gdouble) x[i + j];
  for (; i < n; i++)
    acc[i] += w * (gdouble) x[(gsize) i * (gsize) step];
}

static gdouble
apply_epilogue (const DeimEpilogue *e, gdouble sum, gdouble residual)
{
  if (e->residual_before)
    sum += residual;
  sum = deim_act_apply (sum, e->act, e->lo, e->hi) * e->scale + e->shift;
  return e->residual_after ? sum + residual : sum;
}

/* A map, or part of one, as the loops below see it. */
typedef struct {
  gint ic, ih, iw, oc, oh, ow;
  gint k, stride, top, left;
} Geometry;

/* Sums of one output channel of one group, row @oy, columns x0 .. x0+n-1: w [ic][k][k], x [ic][ih][iw]. */
static void
sum_row (const Geometry *g, const gfloat *x, const gfloat *w, gint oy, gint x0, gint n, gdouble *acc)
{
  for (gint c = 0; c < g->ic; c++)
    for (gint ky = 0; ky < g->k; ky++) {
      gint iy = oy * g->stride - g->top + ky;
      if (iy < 0 || iy >= g->ih)
        continue; /* zero padding */
      const gfloat *row = x + ((gsize) c * (gsize) g->ih + (gsize) iy) * (gsize) g->iw;
      for (gint kx = 0; kx < g->k; kx++) {
        /* ix = ox * stride - left + kx; the ox for which it is in 0 .. iw-1 */
        gint first = x0, last = x0 + n - 1;
        while (first <= last && first * g->stride - g->left + kx < 0)
          first++;
        while (last >= first && last * g->stride - g->left + kx >= g->iw)
          last--;
        if (first > last)
          continue;
        add_scaled (acc + (first - x0), row + (first * g->stride - g->left + kx), g->stride, last - first + 1,
                    w[((gsize) c * (gsize) g->k + (gsize) ky) * (gsize) g->k + (gsize) kx]);
      }
    }
}

/* x + in[4], as large as x; NULL where nothing is added. */
static gfloat *
add_addend (const DeimNode *node, const DeimOperands *operands)
{
  if (node->attrs.conv.addend_rows == 0)
    return NULL;
  gsize size = deim_shape_size (node->in[0]->shape), repeat = deim_shape_size (node->in[4]->shape);
  gfloat *sum = g_new (gfloat, size);
  for (gsize i = 0; i < size; i++)
    sum[i] = operands->in[0][i] + operands->in[4][i % repeat];
  return sum;
}

static void
conv2d_reference (const DeimNode *node, const DeimOperands *operands)
{
  const DeimConvAttrs *a = &node->attrs.conv;
  DeimShape in = node->in[0]->shape, out = node->out[0]->shape;
  Geometry g = { .ic = in.c / a->groups,
                 .ih = in.h,
                 .iw = in.w,
                 .oc = out.c / a->groups,
                 .oh = out.h,
                 .ow = out.w,
                 .k = node->in[1]->shape.w,
                 .stride = a->stride,
                 .top = a->pad_top,
                 .left = a->pad_left };
  if (g.k == 1 && g.stride == 1 && g.oh == g.ih && g.ow == g.iw) { /* each position for itself: one long row */
    g.iw = g.ow = g.ih * g.iw;
    g.ih = g.oh = 1;
  }
  gsize in_plane = (gsize) g.ih * (gsize) g.iw, out_plane = (gsize) g.oh * (gsize) g.ow;
  gsize kernel = (gsize) g.ic * (gsize) g.k * (gsize) g.k; /* numbers of one output channel */
  gdouble acc[CHUNK];
  g_autofree gfloat *sum = add_addend (node, operands);

  for (gint n = 0; n < out.n; n++)
    for (gint oc = 0; oc < out.c; oc++) {
      gint group = oc / g.oc;
      const gfloat *x = oc < a->addend_rows ? sum : operands->in[0];
      x += ((gsize) n * (gsize) in.c + (gsize) group * (gsize) g.ic) * in_plane;
      const gfloat *w = operands->in[1] + (gsize) oc * kernel;
      gdouble bias = operands->in[2] ? operands->in[2][oc] : 0;
      gsize plane = ((gsize) n * (gsize) out.c + (gsize) oc) * out_plane;
      for (gint oy = 0; oy < g.oh; oy++)
        for (gint x0 = 0; x0 < g.ow; x0 += CHUNK) {
          gint count = MIN (CHUNK, g.ow - x0);
          for (gint i = 0; i < count; i++)
            acc[i] = bias;
          sum_row (&g, x, w, oy, x0, count, acc);
          gsize at = plane + (gsize) oy * (gsize) g.ow + (gsize) x0;
          for (gint i = 0; i < count; i++) {
            gdouble residual = operands->in[3] ? operands->in[3][at + (gsize) i] : 0;
            operands->out[0][at + (gsize) i] = (gfloat) apply_epilogue (&a->epilogue, acc[i], residual);
          }
        }
    }
}

static gdouble
conv2d_flop (const DeimNode *node)
{
  DeimShape w = node->in[1]->shape, out = node->out[0]->shape;
  return 2.0 * out.n * out.c * out.h * out.w * w.c * w.h * w.w;
}

/* ---------------------------------------------------------------- dispatch */

static void
conv2d_channels (const DeimNode *node, DeimChannelSolver *solver)
{
  /* A dense convolution takes channels apart anyway; a depthwise one keeps them where they are. */
  if (node->attrs.conv.groups > 1)
    deim_channels_same (solver, node->in[0], node->out[0]);
  if (node->n_in > 3 && node->in[3])
    deim_channels_same (solver, node->in[3], node->out[0]);
  if (node->attrs.conv.addend_rows > 0)
    deim_channels_same (solver, node->in[4], node->in[0]);
}

guint32
deim_conv2d_residual (const DeimEpilogue *e)
{
  return e->residual_before ? 1 : e->residual_after ? 2 : 0;
}

void
deim_conv2d_push_epilogue (DeimDispatch *d, const DeimEpilogue *e)
{
  deim_dispatch_push_int (d, (gint) deim_conv2d_residual (e));
  deim_dispatch_push_float (d, e->lo);
  deim_dispatch_push_float (d, e->hi);
  deim_dispatch_push_float (d, e->scale);
  deim_dispatch_push_float (d, e->shift);
}

void
deim_conv2d_push_addend (DeimDispatch *d, const DeimDispatchList *list, const DeimConvWork *work)
{
  gboolean all = work->addend_rows == work->y->shape.c;
  deim_dispatch_push_place (d, list, work->addend);
  deim_dispatch_push_int (d, all ? deim_dispatch_layout (list, work->y)->blocks : work->addend_rows / 4);
}

static gsize
panel_floats (const DeimLayout *in, gint taps, gint co4)
{
  gsize steps = (gsize) (taps * in->blocks + 1) / 2 * 2;
  return (gsize) (4 * co4) * (1 + steps * 4);
}

gsize
deim_conv2d_count_panel_floats (const DeimConvWork *work, const DeimDispatchList *list, gint taps, gint co4)
{
  const DeimLayout *in = deim_dispatch_layout (list, work->x), *out = deim_dispatch_layout (list, work->y);
  return panel_floats (in, taps, co4) * (gsize) ((out->blocks + co4 - 1) / co4);
}

/* The same as shaders/pack_conv.comp, here and once. */
void
deim_conv2d_fill_panels (const DeimConvWork *work, const DeimDispatchList *list, gint taps, gint co4,
                         const gfloat *weight, const gfloat *bias, gfloat *panels)
{
  const DeimLayout *in = deim_dispatch_layout (list, work->x), *out = deim_dispatch_layout (list, work->y);
  gint channels = work->weight->shape.c, wide = 4 * co4;
  for (gint o = 0; o < out->blocks * 4; o++) {
    gint co = deim_layout_logical (out, o);
    if (co < 0)
      continue;
    gfloat *to = panels + panel_floats (in, taps, co4) * (gsize) (o / wide) + o % wide;
    if (bias)
      to[0] = bias[co];
    for (gint i = 0; i < in->blocks * 4; i++) {
      gint ci = deim_layout_logical (in, i);
      if (ci < 0)
        continue;
      for (gint t = 0; t < taps; t++)
        to[(gsize) wide * (1 + (gsize) t * in->blocks * 4 + i)] = weight[((gsize) co * channels + ci) * taps + t];
    }
  }
}

static gint
add_panels (const DeimConvWork *work, DeimDispatchList *list, gint co4)
{
  gint taps = work->weight->shape.h * work->weight->shape.w;
  gsize floats = deim_conv2d_count_panel_floats (work, list, taps, co4);
  g_autofree gfloat *panels = g_new0 (gfloat, floats);
  deim_conv2d_fill_panels (work, list, taps, co4, work->weight->data, work->bias ? work->bias->data : NULL, panels);
  return deim_dispatch_add_blob (list, panels, floats, FALSE);
}

static DeimConvPacking
packing_of (const DeimConvWork *work)
{
  return (DeimConvPacking){ work->weight, work->bias, work->x, work->y, work->transposed, 0, 0, 1 };
}

DeimPanels
deim_conv2d_make_panels (const DeimConvWork *work, DeimDispatchList *list, gint co4)
{
  DeimConvPacking packing = packing_of (work);
  if (work->weight->plain)
    return (DeimPanels){ -1, deim_conv2d_pack_dense (list, &packing, co4) };
  return (DeimPanels){ add_panels (work, list, co4), -1 };
}

void
deim_conv2d_bind_panels (DeimDispatch *d, DeimPanels panels)
{
  if (panels.blob >= 0)
    deim_dispatch_bind_blob (d, panels.blob);
  else
    deim_dispatch_bind_scratch (d, DEIM_BIND_READ, panels.scratch);
}

DeimConvWork
deim_conv2d_work (const DeimNode *node)
{
  const DeimConvAttrs *a = &node->attrs.conv;
  return (DeimConvWork){
    .x = node->in[0],
    .y = node->out[0],
    .residual = node->n_in > 3 && node->in[3] ? node->in[3] : node->in[0],
    .addend = a->addend_rows > 0 ? node->in[4] : node->in[0],
    .addend_rows = a->addend_rows,
    .weight = node->in[1],
    .bias = node->in[2],
    .kernel = node->in[1]->shape.h,
    .stride = a->stride,
    .pad_top = a->pad_top,
    .pad_left = a->pad_left,
    .pointwise = deim_conv_is_pointwise (node),
    .epilogue = a->epilogue,
    .flop = conv2d_flop (node),
  };
}

void
deim_conv2d_push_geometry (DeimDispatch *d, const DeimDispatchList *list, const DeimConvWork *work)
{
  DeimShape x = work->x->shape, y = work->y->shape;
  deim_dispatch_push_int (d, x.w);
  deim_dispatch_push_int (d, x.h);
  deim_dispatch_push_int (d, y.w);
  deim_dispatch_push_int (d, y.h * y.w);
  deim_dispatch_push_int (d, deim_dispatch_layout (list, work->x)->blocks);
  deim_dispatch_push_int (d, deim_dispatch_layout (list, work->y)->blocks);
  deim_dispatch_push_int (d, work->kernel);
  deim_dispatch_push_int (d, work->stride);
  deim_dispatch_push_int (d, work->pad_top);
  deim_dispatch_push_int (d, work->pad_left);
}

gint
deim_conv2d_panel_blocks (const DeimDispatchList *list, const DeimTensor *y)
{
  gint blocks = deim_dispatch_layout (list, y)->blocks;
  return blocks == 1 ? 1 : blocks == 2 ? 2 : 4;
}

void
deim_conv2d_dispatch_rows (const DeimConvWork *work, DeimDispatchList *list, const DeimConvVariant *variant)
{
  DeimTensor *x = work->x, *y = work->y, *r = work->residual;
  const DeimLayout *out = deim_dispatch_layout (list, y);
  gint positions = y->shape.h * y->shape.w;
  gint co4 = variant->co4, px = variant->positions;
  DeimPanels panels = deim_conv2d_make_panels (work, list, co4);

  DeimDispatch *d = deim_dispatch_append (list, "conv");
  d->shuffle = list->device.shuffle;
  deim_dispatch_bind (d, DEIM_BIND_READ, x);
  deim_conv2d_bind_panels (d, panels);
  deim_dispatch_bind (d, DEIM_BIND_READ, r);
  deim_dispatch_bind (d, DEIM_BIND_WRITE, y);
  deim_dispatch_bind (d, DEIM_BIND_READ, work->addend);
  deim_dispatch_spec (d, (guint32) co4);
  deim_dispatch_spec (d, (guint32) px);
  deim_dispatch_spec (d, work->pointwise);
  deim_dispatch_spec (d, work->epilogue.act);
  deim_dispatch_spec (d, deim_conv2d_residual (&work->epilogue));
  deim_dispatch_spec (d, list->device.park);
  deim_dispatch_spec (d, work->addend_rows > 0);
  deim_dispatch_push_place (d, list, x);
  deim_dispatch_push_place (d, list, y);
  deim_dispatch_push_place (d, list, r);
  deim_conv2d_push_geometry (d, list, work);
  deim_conv2d_push_epilogue (d, &work->epilogue);
  deim_conv2d_push_addend (d, list, work);
  deim_dispatch_push_int (d, 1);
  /* Panels in x: workgroups that run at the same time then read the same positions (perf/FINDINGS.md, section 4). */
  d->groups[0] = (guint) ((out->blocks + co4 - 1) / co4);
  d->groups[1] = ((guint) positions + d->local_size * (guint) px - 1) / (d->local_size * (guint) px);
  d->groups[2] = (guint) y->shape.n;
  d->flop = work->flop;
}

static gint
add_depthwise_panels (const DeimConvWork *work, DeimDispatchList *list)
{
  const DeimTensor *weight = work->weight, *bias = work->bias;
  const DeimLayout *layout = deim_dispatch_layout (list, work->y);
  gint k = weight->shape.h, vec4s = 1 + k * k;
  g_autofree gfloat *packed = g_new0 (gfloat, (gsize) layout->blocks * vec4s * 4);
  for (gint p = 0; p < layout->blocks * 4; p++) {
    gint c = deim_layout_logical (layout, p);
    gfloat *to = packed + (gsize) (p / 4) * vec4s * 4 + p % 4;
    if (c < 0)
      continue;
    to[0] = bias ? bias->data[c] : 0;
    for (gint t = 0; t < k * k; t++)
      to[4 * (1 + t)] = weight->data[(gsize) c * k * k + t];
  }
  return deim_dispatch_add_blob (list, packed, (gsize) layout->blocks * vec4s * 4, FALSE);
}

void
deim_conv2d_dispatch_depthwise (const DeimConvWork *work, DeimDispatchList *list)
{
  DeimTensor *x = work->x, *y = work->y, *r = work->residual;
  DeimConvPacking packing = packing_of (work);
  DeimPanels panels = { -1, -1 };
  if (work->weight->plain)
    panels.scratch = deim_conv2d_pack_depthwise (list, &packing);
  else
    panels.blob = add_depthwise_panels (work, list);

  DeimDispatch *d = deim_dispatch_append (list, "depthwise");
  if (!list->device.cpu)
    d->local_size = deim_dispatch_local_size (list);
  gint rows = deim_dispatch_choose_rows (list, work->kernel, work->stride, y->shape, d->local_size, 4);
  d->shuffle = list->device.shuffle;
  deim_dispatch_bind (d, DEIM_BIND_READ, x);
  deim_conv2d_bind_panels (d, panels);
  deim_dispatch_bind (d, DEIM_BIND_READ, r);
  deim_dispatch_bind (d, DEIM_BIND_WRITE, y);
  deim_dispatch_spec (d, (guint32) work->kernel);
  deim_dispatch_spec (d, (guint32) work->stride);
  deim_dispatch_spec (d, (guint32) rows);
  deim_dispatch_spec (d, work->epilogue.act);
  deim_dispatch_spec (d, deim_conv2d_residual (&work->epilogue));
  deim_dispatch_push_place (d, list, x);
  deim_dispatch_push_place (d, list, y);
  deim_dispatch_push_place (d, list, r);
  deim_dispatch_push_int (d, x->shape.w);
  deim_dispatch_push_int (d, x->shape.h);
  deim_dispatch_push_int (d, y->shape.w);
  deim_dispatch_push_int (d, y->shape.h);
  deim_dispatch_push_int (d, work->pad_top);
  deim_dispatch_push_int (d, work->pad_left);
  deim_conv2d_push_epilogue (d, &work->epilogue);
  guint columns = (guint) deim_dispatch_count_columns (y->shape, rows);
  d->groups[0] = (guint) deim_dispatch_layout (list, y)->blocks;
  d->groups[1] = (columns + d->local_size - 1) / d->local_size;
  d->groups[2] = (guint) y->shape.n;
  d->flop = work->flop;
}

static gboolean
conv2d_dispatch (const DeimNode *node, DeimDispatchList *list, GError **error)
{
  DeimConvWork work = deim_conv2d_work (node);
  if (node->attrs.conv.groups > 1)
    deim_conv2d_dispatch_depthwise (&work, list);
  else
    deim_conv2d_dispatch_dense (&work, list);
  return TRUE;
}

const DeimOp deim_op_conv2d = {
  .name = "conv2d",
  .reference = conv2d_reference,
  .gradient = deim_conv2d_gradient,
  .flop = conv2d_flop,
  .channels = conv2d_channels,
  .dispatch = conv2d_dispatch,
};

DeimTensor *
deim_conv2d (DeimGraph *graph, DeimTensor *x, DeimTensor *weight, DeimTensor *bias, gint stride, gint groups,
             gint pad_top, gint pad_left, gint pad_bottom, gint pad_right)
{
  const DeimOp *op = &deim_op_conv2d;
  DeimTensor *in[4] = { x, weight, bias, NULL };
  if (!deim_op_ready (graph, op, in, bias ? 3 : 2))
    return NULL;
  DeimShape s = x->shape, w = weight->shape;
  if (stride < 1 || groups < 1 || pad_top < 0 || pad_left < 0 || pad_bottom < 0 || pad_right < 0) {
    deim_graph_fail (graph, "conv2d: stride %d, %d groups and pads %d, %d, %d, %d are not all legal", stride, groups,
                     pad_top, pad_left, pad_bottom, pad_right);
    return NULL;
  }
  if (s.c % groups || w.n % groups || w.c != s.c / groups || w.h != w.w) {
    g_autofree gchar *what =
        g_strdup_printf ("input channels must be %d times the weight's, and the kernel square", groups);
    deim_op_fail_shapes (graph, op, x, weight, what);
    return NULL;
  }
  if (bias && !deim_tensor_is_vector (bias, w.n)) {
    deim_op_fail_shapes (graph, op, bias, weight, "the bias must have one number per row of the weight");
    return NULL;
  }
  gint h = s.h + pad_top + pad_bottom - w.h, width = s.w + pad_left + pad_right - w.w;
  if (h < 0 || width < 0) {
    deim_op_fail_shapes (graph, op, x, weight, "the padded input must not be smaller than the kernel");
    return NULL;
  }
  DeimNode *node = deim_graph_append (graph, op, in, 4, (DeimShape){ s.n, w.n, h / stride + 1, width / stride + 1 },
                                      DEIM_TYPE_FLOAT);
  if (!node)
    return NULL;
  node->attrs.conv = (DeimConvAttrs){ stride, groups, pad_top, pad_left, pad_bottom, pad_right, deim_epilogue_none () };
  return node->out[0];
}

DeimTensor *
deim_linear (DeimGraph *graph, DeimTensor *x, DeimTensor *weight, DeimTensor *bias)
{
  const DeimOp *op = &deim_op_conv2d;
  DeimTensor *in[2] = { x, weight };
  if (!deim_op_ready (graph, op, in, 2))
    return NULL;
  if (x->shape.h != 1 || weight->shape.h != 1 || weight->shape.w != 1) {
    deim_op_fail_shapes (graph, op, x, weight, "a linear layer takes tokens of height 1 and a matrix");
    return NULL;
  }
  return deim_conv2d (graph, x, weight, bias, 1, 1, 0, 0, 0, 0);
}
