/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * deform_attn.c - the sampling of multi-scale deformable attention: softmax
 * over all points of all levels, sampling locations, and the weighted sum of
 * samples (torch.nn.functional.grid_sample per level, zeros outside,
 * align_corners=False; or the nearest pixel).
 *
 * Operands: value [n, d, 1, S], S = sum of h*w; offsets [n, heads*P*2, 1, Q]
 * in the order [head][point][x, y]; weights before the softmax
 * [n, heads*P, 1, Q]; refs [n, 4, 1, Q] cxcywh -> [n, d, 1, Q]. Gradients:
 * deform_attn-grad.c.
 */
#include "engine/ops/util.h"

extern const DeimOp deim_op_deform_attn;

static gint
count_points (const DeimDeformAttrs *a)
{
  gint points = 0;
  for (gint l = 0; l < a->levels; l++)
    points += a->points[l];
  return points;
}

/* The pixel of @map [h][w], or 0 outside it. */
static gdouble
pixel (const gfloat *map, gint h, gint w, gint y, gint x)
{
  return x >= 0 && x < w && y >= 0 && y < h ? map[(gsize) y * (gsize) w + (gsize) x] : 0;
}

/* @x and @y are normalised: 0 and 1 are the outer edges of the border pixels. */
static gdouble
sample_bilinear (const gfloat *map, gint h, gint w, gdouble y, gdouble x)
{
  gdouble px = x * w - 0.5, py = y * h - 0.5;
  if (!(px > -1 && px < w && py > -1 && py < h)) /* no corner inside; NaN as well */
    return 0;
  gint x0 = (gint) floor (px), y0 = (gint) floor (py);
  gdouble fx = px - x0, fy = py - y0;
  return (1 - fy) * ((1 - fx) * pixel (map, h, w, y0, x0) + fx * pixel (map, h, w, y0, x0 + 1)) +
         fy * ((1 - fx) * pixel (map, h, w, y0 + 1, x0) + fx * pixel (map, h, w, y0 + 1, x0 + 1));
}

/* trunc (v) clamped to 0 .. last; NaN gives 0. */
static gint
clamp_index (gdouble v, gint last)
{
  return !(v > 0) ? 0 : v >= last ? last : (gint) v;
}

/* The official code clamps x by the height as well. That is kept (a wide map's right part is never read), but a map
 * higher than wide, where it would read outside, is clamped by its width. */
static gdouble
sample_discrete (const gfloat *map, gint h, gint w, gdouble y, gdouble x)
{
  gint px = clamp_index (x * w + 0.5, MIN (h, w) - 1), py = clamp_index (y * h + 0.5, h - 1);
  return map[(gsize) py * (gsize) w + (gsize) px];
}

static void
deform_attn_reference (const DeimNode *node, const DeimOperands *operands)
{
  const DeimDeformAttrs *a = &node->attrs.deform;
  DeimShape value = node->in[0]->shape, out = node->out[0]->shape;
  gint points = count_points (a), hd = value.c / a->heads;
  gsize q_count = (gsize) out.w, tokens = (gsize) value.w;
  g_autofree gdouble *p = g_new (gdouble, points);
  g_autofree gdouble *sum = g_new (gdouble, hd);

  for (gint n = 0; n < out.n; n++)
    for (gint head = 0; head < a->heads; head++)
      for (gsize q = 0; q < q_count; q++) {
        gsize nh = (gsize) n * (gsize) a->heads + (gsize) head;
        const gfloat *weights = operands->in[2] + nh * (gsize) points * q_count + q;     /* [point][Q] */
        const gfloat *offsets = operands->in[1] + nh * (gsize) points * 2 * q_count + q; /* [point][x, y][Q] */
        const gfloat *ref = operands->in[3] + (gsize) n * 4 * q_count + q;
        gdouble cx = ref[0], cy = ref[q_count], w = ref[2 * q_count], h = ref[3 * q_count];

        gdouble most = -INFINITY, total = 0;
        for (gint i = 0; i < points; i++)
          most = MAX (most, weights[(gsize) i * q_count]);
        for (gint i = 0; i < points; i++)
          total += p[i] = exp (weights[(gsize) i * q_count] - most);

        for (gint c = 0; c < hd; c++)
          sum[c] = 0;
        gint point = 0;
        gsize first = 0; /* token where the level begins */
        for (gint l = 0; l < a->levels; l++) {
          for (gint i = 0; i < a->points[l]; i++, point++) {
            gdouble x = cx + offsets[(gsize) (2 * point) * q_count] * (gdouble) a->point_scale[l] * w * 0.5;
            gdouble y = cy + offsets[(gsize) (2 * point + 1) * q_count] * (gdouble) a->point_scale[l] * h * 0.5;
            for (gint c = 0; c < hd; c++) {
              const gfloat *map = operands->in[0] + (nh * (gsize) hd + (gsize) c) * tokens + first;
              gdouble v = a->sampling == DEIM_SAMPLE_DISCRETE ? sample_discrete (map, a->h[l], a->w[l], y, x)
                                                              : sample_bilinear (map, a->h[l], a->w[l], y, x);
              sum[c] += p[point] / total * v;
            }
          }
          first += (gsize) a->h[l] * (gsize) a->w[l];
        }
        for (gint c = 0; c < hd; c++)
          operands->out[0][(nh * (gsize) hd + (gsize) c) * q_count + q] = (gfloat) sum[c];
      }
}

/* ---------------------------------------------------------------- dispatch */

static gboolean
deform_attn_dispatch (const DeimNode *node, DeimDispatchList *list, GError **error)
{
  const DeimDeformAttrs *a = &node->attrs.deform;
  DeimTensor *y = node->out[0];
  gint width = y->shape.c / a->heads, total = 0, points = 0;
  for (gint l = 0; l < a->levels; l++) {
    total += a->points[l];
    points |= a->points[l] << (8 * l);
  }
  DeimDispatch *d = deim_dispatch_append (list, "deform_attn");
  for (guint i = 0; i < 4; i++)
    deim_dispatch_bind (d, DEIM_BIND_READ, node->in[i]);
  deim_dispatch_bind (d, DEIM_BIND_WRITE, y);
  deim_dispatch_spec (d, (guint32) total);
  deim_dispatch_spec (d, (guint32) a->levels);
  deim_dispatch_spec (d, a->sampling == DEIM_SAMPLE_DISCRETE);
  deim_dispatch_spec (d, width % 4 != 0);
  for (guint i = 0; i < 4; i++)
    deim_dispatch_push_place (d, list, node->in[i]);
  deim_dispatch_push_place (d, list, y);
  deim_dispatch_push_int (d, y->shape.w);
  deim_dispatch_push_int (d, width);
  deim_dispatch_push_int (d, y->shape.c);
  for (gint l = 0; l < DEIM_MAX_LEVELS; l++)
    deim_dispatch_push_int (d, l < a->levels ? a->w[l] | a->h[l] << 16 : 0);
  deim_dispatch_push_int (d, points);
  for (gint l = 0; l < DEIM_MAX_LEVELS; l++)
    deim_dispatch_push_float (d, l < a->levels ? a->point_scale[l] : 0);
  deim_dispatch_cover (d, list, y->shape.w, deim_dispatch_layout (list, y)->blocks, y->shape.n);
  return TRUE;
}

const DeimOp deim_op_deform_attn = {
  .name = "deform_attn",
  .reference = deform_attn_reference,
  .gradient = deim_deform_attn_gradient,
  .dispatch = deform_attn_dispatch,
};

static gboolean
attrs_are_legal (const DeimDeformAttrs *a, const DeimTensor *value)
{
  gint64 tokens = 0;
  if (a->levels < 1 || a->levels > DEIM_MAX_LEVELS || a->heads < 1 || value->shape.c % a->heads)
    return FALSE;
  for (gint l = 0; l < a->levels; l++) {
    /* the shader has 8 bits for points and 16 for sides */
    if (a->h[l] < 1 || a->h[l] > G_MAXINT16 || a->w[l] < 1 || a->w[l] > G_MAXINT16 || a->points[l] < 1 ||
        a->points[l] > G_MAXUINT8)
      return FALSE;
    tokens += (gint64) a->h[l] * a->w[l];
  }
  return value->shape.h == 1 && tokens == value->shape.w;
}

DeimTensor *
deim_deform_attn (DeimGraph *graph, DeimTensor *value, DeimTensor *offsets, DeimTensor *weights, DeimTensor *refs,
                  const DeimDeformAttrs *attrs)
{
  const DeimOp *op = &deim_op_deform_attn;
  DeimTensor *in[4] = { value, offsets, weights, refs };
  if (!deim_op_ready (graph, op, in, 4))
    return NULL;
  if (!attrs_are_legal (attrs, value)) {
    deim_op_fail_shapes (graph, op, value, NULL,
                         "the levels must add up to the value's tokens, with at most 255 points and sides of 32767, "
                         "and the heads divide its channels");
    return NULL;
  }
  gint n = value->shape.n, q = refs->shape.w;
  gint64 samples = (gint64) attrs->heads * count_points (attrs);
  if (samples > G_MAXINT / 2 || !deim_shape_equal (weights->shape, (DeimShape){ n, (gint) samples, 1, q }) ||
      !deim_shape_equal (offsets->shape, (DeimShape){ n, (gint) samples * 2, 1, q })) {
    g_autofree gchar *what = g_strdup_printf ("offsets and weights must have two and one channels for each of %d heads "
                                              "and %d points",
                                              attrs->heads, count_points (attrs));
    deim_op_fail_shapes (graph, op, offsets, weights, what);
    return NULL;
  }
  if (!deim_shape_equal (refs->shape, (DeimShape){ n, 4, 1, q })) {
    deim_op_fail_shapes (graph, op, refs, value, "references must be four numbers for each query");
    return NULL;
  }
  DeimNode *node = deim_graph_append (graph, op, in, 4, (DeimShape){ n, value->shape.c, 1, q }, DEIM_TYPE_FLOAT);
  if (!node)
    return NULL;
  node->attrs.deform = *attrs;
  return node->out[0];
}
