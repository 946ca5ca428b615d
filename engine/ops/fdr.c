/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fdr.c - D-FINE's distribution integral. Operands: corners [n, 4*33, 1, Q] as
 * [edge][bin], edges left, top, right, bottom; initial boxes [n, 4, 1, Q]
 * cxcywh -> boxes [n, 4, 1, Q] cxcywh. Nothing is clamped: widths may turn
 * negative, as in the official code. And fdr_grad: operands dy, corners, boxes
 * -> dcorners, dboxes.
 */
#include "engine/graph/differentiate.h"
#include "engine/ops/util.h"

extern const DeimOp deim_op_fdr, deim_op_fdr_grad;

/* sum over bins of softmax (corners) * bins; @corners has a stride of @stride numbers. */
static gdouble
integrate (const gfloat *corners, gsize stride, const gfloat *bins)
{
  gdouble most = -INFINITY, total = 0, sum = 0;
  for (gint i = 0; i < DEIM_FDR_BINS; i++)
    most = MAX (most, corners[(gsize) i * stride]);
  for (gint i = 0; i < DEIM_FDR_BINS; i++) {
    gdouble p = exp (corners[(gsize) i * stride] - most);
    total += p;
    sum += p * bins[i];
  }
  return sum / total;
}

static void
fdr_reference (const DeimNode *node, const DeimOperands *operands)
{
  const DeimFdrAttrs *a = &node->attrs.fdr;
  gint batch = node->out[0]->shape.n;
  gsize q_count = (gsize) node->out[0]->shape.w;
  gdouble r = fabs (a->reg_scale);
  for (gint n = 0; n < batch; n++)
    for (gsize q = 0; q < q_count; q++) {
      const gfloat *corners = operands->in[0] + (gsize) n * 4 * DEIM_FDR_BINS * q_count + q;
      const gfloat *box = operands->in[1] + (gsize) n * 4 * q_count + q;
      gfloat *out = operands->out[0] + (gsize) n * 4 * q_count + q;
      gdouble d[4];
      for (gint edge = 0; edge < 4; edge++)
        d[edge] = integrate (corners + (gsize) edge * DEIM_FDR_BINS * q_count, q_count, a->bins);
      gdouble cx = box[0], cy = box[q_count], w = box[2 * q_count], h = box[3 * q_count];
      gdouble x1 = cx - (0.5 * r + d[0]) * w / r, y1 = cy - (0.5 * r + d[1]) * h / r;
      gdouble x2 = cx + (0.5 * r + d[2]) * w / r, y2 = cy + (0.5 * r + d[3]) * h / r;
      out[0] = (gfloat) ((x1 + x2) / 2);
      out[q_count] = (gfloat) ((y1 + y2) / 2);
      out[2 * q_count] = (gfloat) (x2 - x1);
      out[3 * q_count] = (gfloat) (y2 - y1);
    }
}

/* p = softmax (corners); d distance / d corner = p * (bin - distance) */
static void
fdr_grad_reference (const DeimNode *node, const DeimOperands *operands)
{
  const DeimFdrAttrs *a = &node->attrs.fdr;
  gint batch = node->out[1]->shape.n;
  gsize q_count = (gsize) node->out[1]->shape.w;
  gdouble r = fabs (a->reg_scale);
  for (gint n = 0; n < batch; n++)
    for (gsize q = 0; q < q_count; q++) {
      const gfloat *corners = operands->in[1] + (gsize) n * 4 * DEIM_FDR_BINS * q_count + q;
      const gfloat *box = operands->in[2] + (gsize) n * 4 * q_count + q,
                   *dy = operands->in[0] + (box - operands->in[2]);
      gfloat *dcorners = operands->out[0] + (corners - operands->in[1]);
      gfloat *dbox = operands->out[1] + (box - operands->in[2]);
      gdouble w = box[2 * q_count], h = box[3 * q_count], d[4];
      gdouble dx = dy[0], dyy = dy[q_count], dw = dy[2 * q_count], dh = dy[3 * q_count];
      const gdouble slope[4] = { (dw - dx / 2) * w / r, (dh - dyy / 2) * h / r, (dw + dx / 2) * w / r,
                                 (dh + dyy / 2) * h / r }; /* d loss / d distance */
      for (gint edge = 0; edge < 4; edge++) {
        const gfloat *c = corners + (gsize) edge * DEIM_FDR_BINS * q_count;
        gdouble most = -INFINITY, total = 0;
        d[edge] = integrate (c, q_count, a->bins);
        for (gint i = 0; i < DEIM_FDR_BINS; i++)
          most = MAX (most, c[(gsize) i * q_count]);
        for (gint i = 0; i < DEIM_FDR_BINS; i++)
          total += exp (c[(gsize) i * q_count] - most);
        for (gint i = 0; i < DEIM_FDR_BINS; i++)
          dcorners[((gsize) edge * DEIM_FDR_BINS + (gsize) i) * q_count] =
              (gfloat) (slope[edge] * exp (c[(gsize) i * q_count] - most) / total * (a->bins[i] - d[edge]));
      }
      dbox[0] = (gfloat) dx;
      dbox[q_count] = (gfloat) dyy;
      dbox[2 * q_count] = (gfloat) (dx * (d[2] - d[0]) / (2 * r) + dw * (1 + (d[0] + d[2]) / r));
      dbox[3 * q_count] = (gfloat) (dyy * (d[3] - d[1]) / (2 * r) + dh * (1 + (d[1] + d[3]) / r));
    }
}

static void
fdr_gradient (const DeimNode *node, DeimTensor *dy, DeimBackward *backward)
{
  DeimGraph *graph = deim_backward_graph (backward);
  DeimTensor *in[3] = { dy, node->in[0], node->in[1] };
  DeimNode *grad = deim_graph_append (graph, &deim_op_fdr_grad, in, 3, node->in[0]->shape, DEIM_TYPE_FLOAT);
  if (!deim_graph_append_output (graph, grad, node->in[1]->shape, DEIM_TYPE_FLOAT))
    return;
  grad->attrs.fdr = node->attrs.fdr;
  for (guint i = 0; i < 2; i++)
    deim_backward_give (backward, node->in[i], grad->out[i]);
}

/* ---------------------------------------------------------------- dispatch */

static gint
add_bins (DeimDispatchList *list, const DeimFdrAttrs *a)
{
  gfloat bins[(DEIM_FDR_BINS + 3) / 4 * 4] = { 0 };
  memcpy (bins, a->bins, sizeof a->bins);
  return deim_dispatch_add_blob (list, bins, G_N_ELEMENTS (bins), TRUE);
}

static gboolean
fdr_dispatch (const DeimNode *node, DeimDispatchList *list, GError **error)
{
  DeimTensor *corners = node->in[0], *boxes = node->in[1], *y = node->out[0];
  DeimDispatch *d = deim_dispatch_append (list, "fdr");
  deim_dispatch_bind (d, DEIM_BIND_READ, corners);
  deim_dispatch_bind (d, DEIM_BIND_READ, boxes);
  deim_dispatch_bind_blob (d, add_bins (list, &node->attrs.fdr));
  deim_dispatch_bind (d, DEIM_BIND_WRITE, y);
  deim_dispatch_push_place (d, list, corners);
  deim_dispatch_push_place (d, list, boxes);
  deim_dispatch_push_place (d, list, y);
  deim_dispatch_push_int (d, y->shape.w);
  deim_dispatch_push_float (d, node->attrs.fdr.reg_scale);
  deim_dispatch_cover (d, list, y->shape.w, 1, y->shape.n);
  return TRUE;
}

static gboolean
fdr_grad_dispatch (const DeimNode *node, DeimDispatchList *list, GError **error)
{
  DeimTensor *dboxes = node->out[1];
  DeimDispatch *d = deim_dispatch_append (list, "fdr_grad");
  for (guint i = 0; i < 3; i++)
    deim_dispatch_bind (d, DEIM_BIND_READ, node->in[i]);
  deim_dispatch_bind_blob (d, add_bins (list, &node->attrs.fdr));
  deim_dispatch_bind (d, DEIM_BIND_WRITE, node->out[0]);
  deim_dispatch_bind (d, DEIM_BIND_WRITE, dboxes);
  for (guint i = 0; i < 3; i++)
    deim_dispatch_push_place (d, list, node->in[i]);
  deim_dispatch_push_place (d, list, node->out[0]);
  deim_dispatch_push_place (d, list, dboxes);
  deim_dispatch_push_int (d, dboxes->shape.w);
  deim_dispatch_push_float (d, fabsf (node->attrs.fdr.reg_scale));
  deim_dispatch_cover (d, list, dboxes->shape.w, 1, dboxes->shape.n);
  return TRUE;
}

const DeimOp deim_op_fdr_grad = {
  .name = "fdr_grad",
  .reference = fdr_grad_reference,
  .dispatch = fdr_grad_dispatch,
};

const DeimOp deim_op_fdr = {
  .name = "fdr",
  .reference = fdr_reference,
  .gradient = fdr_gradient,
  .dispatch = fdr_dispatch,
};

DeimTensor *
deim_fdr (DeimGraph *graph, DeimTensor *corners, DeimTensor *boxes, const DeimFdrAttrs *attrs)
{
  const DeimOp *op = &deim_op_fdr;
  DeimTensor *in[2] = { corners, boxes };
  if (!deim_op_ready (graph, op, in, 2))
    return NULL;
  DeimShape s = corners->shape;
  if (!deim_shape_equal (s, (DeimShape){ s.n, 4 * DEIM_FDR_BINS, 1, s.w }) ||
      !deim_shape_equal (boxes->shape, (DeimShape){ s.n, 4, 1, s.w })) {
    deim_op_fail_shapes (graph, op, corners, boxes, "each query must have 4 x 33 bins and 4 coordinates");
    return NULL;
  }
  if (!(attrs->reg_scale < 0 || attrs->reg_scale > 0)) {
    deim_graph_fail (graph, "fdr: reg_scale %g cannot scale distances; the checkpoint's is damaged", attrs->reg_scale);
    return NULL;
  }
  DeimNode *node = deim_graph_append (graph, op, in, 2, boxes->shape, DEIM_TYPE_FLOAT);
  if (!node)
    return NULL;
  node->attrs.fdr = *attrs;
  node->out[0]->keep_fp32 = TRUE;
  return node->out[0];
}
