/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * deform_attn-grad.c - gradients of deformable attention's sampling: deform_attn_grad_value (operands dy, offsets,
 * weights, refs -> dvalue) and deform_attn_grad_points (dy, value, offsets, weights, refs -> doffsets, dweights). The
 * references have none: every network detaches them.
 *
 *   y = sum over points of p * sample (value, location)      p = softmax (weights)
 *   dvalue[pixel] = sum over the points that sample it of p * its share * dy
 *   dweights = p * (u - sum p * u), u = dy . sample      dlocation = p * dy . slope of the sample
 *
 * Several queries sample one pixel. Each invocation of the device owns some channels of one level of one picture and
 * adds up over all queries in their order, so that results do not depend on timing; nothing needs atomics.
 */
#include "engine/error.h"
#include "engine/graph/differentiate.h"
#include "engine/ops/util.h"

extern const DeimOp deim_op_deform_attn_grad_value, deim_op_deform_attn_grad_points;

/* One point of one query of one head: its four corners and their shares, and the slopes of those. */
typedef struct {
  gint level;
  gint pixel[4];                  /* in the level, row-major; -1: outside */
  gdouble share[4];               /* add up to 1 */
  gdouble along_x[4], along_y[4]; /* d share / d location, normalised */
  gdouble scale_x, scale_y;       /* d location / d offset */
} Point;

static void
corners_bilinear (Point *p, gint h, gint w, gdouble y, gdouble x)
{
  gdouble px = x * w - 0.5, py = y * h - 0.5;
  gboolean near = px > -1 && px < w && py > -1 && py < h; /* not for NaN */
  gint x0 = near ? (gint) floor (px) : 0, y0 = near ? (gint) floor (py) : 0;
  gdouble fx = px - x0, fy = py - y0;
  for (gint k = 0; k < 4; k++) {
    gint cx = x0 + (k & 1), cy = y0 + (k >> 1);
    gdouble sx = k & 1 ? fx : 1 - fx, sy = k >> 1 ? fy : 1 - fy;
    gboolean inside = near && cx >= 0 && cx < w && cy >= 0 && cy < h;
    p->pixel[k] = inside ? cy * w + cx : -1;
    p->share[k] = sx * sy;
    p->along_x[k] = (k & 1 ? 1 : -1) * sy * w;
    p->along_y[k] = (k >> 1 ? 1 : -1) * sx * h;
  }
}

static gint
clamp_index (gdouble v, gint last)
{
  return !(v > 0) ? 0 : v >= last ? last : (gint) v;
}

/* A whole pixel, which does not move with the location. */
static void
corners_discrete (Point *p, gint h, gint w, gdouble y, gdouble x)
{
  gint px = clamp_index (x * w + 0.5, MIN (h, w) - 1), py = clamp_index (y * h + 0.5, h - 1);
  for (gint k = 0; k < 4; k++) {
    p->pixel[k] = k ? -1 : py * w + px;
    p->share[k] = k == 0;
    p->along_x[k] = p->along_y[k] = 0;
  }
}

/* The points of query @q of head @nh (batch entries are further heads), and their softmax. */
static void
find_points (const DeimDeformAttrs *a, const gfloat *offsets, const gfloat *weights, const gfloat *refs, gint points,
             gsize nh, gsize q, gsize q_count, Point *ret_points, gdouble *ret_p)
{
  const gfloat *o = offsets + nh * (gsize) points * 2 * q_count + q, *w = weights + nh * (gsize) points * q_count + q;
  const gfloat *ref = refs + nh / (gsize) a->heads * 4 * q_count + q;
  gdouble most = -INFINITY, total = 0;
  for (gint i = 0; i < points; i++)
    most = MAX (most, w[(gsize) i * q_count]);
  for (gint i = 0; i < points; i++)
    total += ret_p[i] = exp (w[(gsize) i * q_count] - most);
  gint i = 0;
  for (gint l = 0; l < a->levels; l++)
    for (gint k = 0; k < a->points[l]; k++, i++) {
      Point *p = &ret_points[i];
      ret_p[i] /= total;
      p->level = l;
      p->scale_x = (gdouble) a->point_scale[l] * ref[2 * q_count] * 0.5;
      p->scale_y = (gdouble) a->point_scale[l] * ref[3 * q_count] * 0.5;
      gdouble x = ref[0] + o[(gsize) (2 * i) * q_count] * p->scale_x;
      gdouble y = ref[q_count] + o[(gsize) (2 * i + 1) * q_count] * p->scale_y;
      if (a->sampling == DEIM_SAMPLE_DISCRETE)
        corners_discrete (p, a->h[l], a->w[l], y, x);
      else
        corners_bilinear (p, a->h[l], a->w[l], y, x);
    }
}

static gint
count_points (const DeimDeformAttrs *a)
{
  gint points = 0;
  for (gint l = 0; l < a->levels; l++)
    points += a->points[l];
  return points;
}

static gsize
first_token (const DeimDeformAttrs *a, gint level)
{
  gsize token = 0;
  for (gint l = 0; l < level; l++)
    token += (gsize) a->h[l] * (gsize) a->w[l];
  return token;
}

static void
grad_value_reference (const DeimNode *node, const DeimOperands *operands)
{
  const DeimDeformAttrs *a = &node->attrs.deform;
  DeimShape value = node->out[0]->shape;
  gint points = count_points (a), hd = value.c / a->heads;
  gsize q_count = (gsize) node->in[0]->shape.w, tokens = (gsize) value.w, size = deim_shape_size (value);
  g_autofree Point *point = g_new (Point, points);
  g_autofree gdouble *p = g_new (gdouble, points), *sums = g_new0 (gdouble, size);
  for (gsize nh = 0; nh < (gsize) (value.n * a->heads); nh++)
    for (gsize q = 0; q < q_count; q++) {
      find_points (a, operands->in[1], operands->in[2], operands->in[3], points, nh, q, q_count, point, p);
      for (gint i = 0; i < points; i++)
        for (gint k = 0; k < 4; k++)
          for (gint c = 0; c < hd && point[i].pixel[k] >= 0; c++) {
            gsize channel = nh * (gsize) hd + (gsize) c;
            sums[channel * tokens + first_token (a, point[i].level) + (gsize) point[i].pixel[k]] +=
                p[i] * point[i].share[k] * operands->in[0][channel * q_count + q];
          }
    }
  for (gsize i = 0; i < size; i++)
    operands->out[0][i] = (gfloat) sums[i];
}

static void
grad_points_reference (const DeimNode *node, const DeimOperands *operands)
{
  const DeimDeformAttrs *a = &node->attrs.deform;
  DeimShape value = node->in[1]->shape;
  gint points = count_points (a), hd = value.c / a->heads;
  gsize q_count = (gsize) node->in[0]->shape.w, tokens = (gsize) value.w;
  g_autofree Point *point = g_new (Point, points);
  g_autofree gdouble *p = g_new (gdouble, points), *u = g_new (gdouble, points);
  for (gsize nh = 0; nh < (gsize) (value.n * a->heads); nh++)
    for (gsize q = 0; q < q_count; q++) {
      gdouble mean = 0;
      find_points (a, operands->in[2], operands->in[3], operands->in[4], points, nh, q, q_count, point, p);
      for (gint i = 0; i < points; i++) {
        gdouble dx = 0, dy = 0;
        u[i] = 0;
        for (gint k = 0; k < 4; k++) {
          gdouble dot = 0;
          for (gint c = 0; c < hd && point[i].pixel[k] >= 0; c++) {
            gsize channel = nh * (gsize) hd + (gsize) c;
            dot += (gdouble) operands->in[0][channel * q_count + q] *
                   operands->in[1][channel * tokens + first_token (a, point[i].level) + (gsize) point[i].pixel[k]];
          }
          u[i] += dot * point[i].share[k];
          dx += dot * point[i].along_x[k];
          dy += dot * point[i].along_y[k];
        }
        mean += p[i] * u[i];
        gfloat *out = operands->out[0] + (nh * (gsize) points + (gsize) i) * 2 * q_count + q;
        out[0] = (gfloat) (p[i] * dx * point[i].scale_x);
        out[q_count] = (gfloat) (p[i] * dy * point[i].scale_y);
      }
      for (gint i = 0; i < points; i++)
        operands->out[1][(nh * (gsize) points + (gsize) i) * q_count + q] = (gfloat) (p[i] * (u[i] - mean));
    }
}

/* ---------------------------------------------------------------- dispatch */

static void
push_levels (DeimDispatch *d, const DeimDeformAttrs *a)
{
  gint points = 0;
  for (gint l = 0; l < DEIM_MAX_LEVELS; l++)
    deim_dispatch_push_int (d, l < a->levels ? a->w[l] | a->h[l] << 16 : 0);
  for (gint l = 0; l < a->levels; l++)
    points |= a->points[l] << (8 * l);
  deim_dispatch_push_int (d, points);
  for (gint l = 0; l < DEIM_MAX_LEVELS; l++)
    deim_dispatch_push_float (d, l < a->levels ? a->point_scale[l] : 0);
}

static gboolean
grad_value_dispatch (const DeimNode *node, DeimDispatchList *list, GError **error)
{
  const DeimDeformAttrs *a = &node->attrs.deform;
  DeimTensor *dvalue = node->out[0];
  DeimExtent extent = deim_dispatch_extent (list, dvalue);
  gint width = dvalue->shape.c / a->heads, queries = node->in[0]->shape.w, most = 1;
  for (gint l = 0; l < a->levels; l++)
    most = MAX (most, a->points[l]);
  if ((gint64) queries * most > 60000) { /* shaders/deform_attn_grad_value.comp: iterations of an invocation */
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_UNSUPPORTED,
                 "%s: %d queries of %d points in a level are more than training provides for", node->name, queries,
                 most);
    return FALSE;
  }
  deim_dispatch_zeros (list, dvalue);
  DeimDispatch *d = deim_dispatch_append (list, "deform_attn_grad_value");
  for (guint i = 0; i < 4; i++)
    deim_dispatch_bind (d, DEIM_BIND_READ, node->in[i]);
  deim_dispatch_bind (d, DEIM_BIND_WRITE, dvalue);
  deim_dispatch_spec (d, (guint32) count_points (a));
  deim_dispatch_spec (d, a->sampling == DEIM_SAMPLE_DISCRETE);
  deim_dispatch_spec (d, width % 4 != 0);
  for (guint i = 0; i < 4; i++)
    deim_dispatch_push_place (d, list, node->in[i]);
  deim_dispatch_push_place (d, list, dvalue);
  deim_dispatch_push_int (d, queries);
  deim_dispatch_push_int (d, width);
  deim_dispatch_push_int (d, dvalue->shape.c);
  push_levels (d, a);
  deim_dispatch_push_int (d, extent.blocks);
  d->groups[0] = ((guint) extent.blocks + d->local_size - 1) / d->local_size;
  d->groups[1] = (guint) a->levels;
  d->groups[2] = (guint) extent.batch;
  return TRUE;
}

static gboolean
grad_points_dispatch (const DeimNode *node, DeimDispatchList *list, GError **error)
{
  const DeimDeformAttrs *a = &node->attrs.deform;
  DeimTensor *dy = node->in[0];
  gint width = dy->shape.c / a->heads;
  DeimDispatch *d = deim_dispatch_append (list, "deform_attn_grad_points");
  for (guint i = 0; i < 5; i++)
    deim_dispatch_bind (d, DEIM_BIND_READ, node->in[i]);
  deim_dispatch_bind (d, DEIM_BIND_WRITE, node->out[0]);
  deim_dispatch_bind (d, DEIM_BIND_WRITE, node->out[1]);
  deim_dispatch_spec (d, (guint32) count_points (a));
  deim_dispatch_spec (d, a->sampling == DEIM_SAMPLE_DISCRETE);
  for (guint i = 0; i < 5; i++)
    deim_dispatch_push_place (d, list, node->in[i]);
  deim_dispatch_push_int (d, dy->shape.w);
  deim_dispatch_push_int (d, width);
  push_levels (d, a);
  deim_dispatch_push_place (d, list, node->out[0]);
  deim_dispatch_push_place (d, list, node->out[1]);
  deim_dispatch_cover (d, list, dy->shape.w, a->heads, dy->shape.n);
  return TRUE;
}

const DeimOp deim_op_deform_attn_grad_value = {
  .name = "deform_attn_grad_value",
  .reference = grad_value_reference,
  .dispatch = grad_value_dispatch,
};

const DeimOp deim_op_deform_attn_grad_points = {
  .name = "deform_attn_grad_points",
  .reference = grad_points_reference,
  .dispatch = grad_points_dispatch,
};

void
deim_deform_attn_gradient (const DeimNode *node, DeimTensor *dy, DeimBackward *backward)
{
  DeimGraph *graph = deim_backward_graph (backward);
  DeimTensor *value = node->in[0], *offsets = node->in[1], *weights = node->in[2], *refs = node->in[3];
  if (deim_backward_wants (backward, refs)) {
    deim_graph_fail (graph, "deform_attn: references have no gradient; the network description must detach them");
    return;
  }
  if (deim_backward_wants (backward, value)) {
    DeimTensor *in[4] = { dy, offsets, weights, refs };
    DeimNode *grad = deim_graph_append (graph, &deim_op_deform_attn_grad_value, in, 4, value->shape, DEIM_TYPE_FLOAT);
    if (!grad)
      return;
    grad->attrs.deform = node->attrs.deform;
    deim_backward_give (backward, value, grad->out[0]);
  }
  if (deim_backward_wants (backward, offsets) || deim_backward_wants (backward, weights)) {
    DeimTensor *in[5] = { dy, value, offsets, weights, refs };
    DeimNode *grad =
        deim_graph_append (graph, &deim_op_deform_attn_grad_points, in, 5, offsets->shape, DEIM_TYPE_FLOAT);
    if (!deim_graph_append_output (graph, grad, weights->shape, DEIM_TYPE_FLOAT))
      return;
    grad->attrs.deform = node->attrs.deform;
    deim_backward_give (backward, offsets, grad->out[0]);
    deim_backward_give (backward, weights, grad->out[1]);
  }
}
