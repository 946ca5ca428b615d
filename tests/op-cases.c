/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * op-cases.c - every operator with random legal shapes.
 *
 * Adding an op: a function that appends it to a graph, and a line in `op_cases`. Ops that only gradients are made of
 * need none: they come with the op whose gradient they are.
 */
#include "op-cases.h"

#include <math.h>

#include "engine/ops/op.h"

/* ------------------------------------------------------------------ random */

GRand *op_rng;
gboolean op_cases_train;

gint
op_pick (gint low, gint high) /* inclusive */
{
  return g_rand_int_range (op_rng, low, high + 1);
}

gfloat *
op_random_values (gsize n, gfloat low, gfloat high)
{
  gfloat *values = g_new (gfloat, n);
  for (gsize i = 0; i < n; i++)
    values[i] = (gfloat) g_rand_double_range (op_rng, low, high);
  return values;
}

gdouble
op_distance (const gfloat *a, const gfloat *b, gsize n)
{
  gdouble worst = 0, scale = 1;
  for (gsize i = 0; i < n; i++) {
    if (isfinite (b[i]))
      scale = MAX (scale, fabs (b[i]));
    gdouble d = a[i] == b[i] ? 0 : fabs ((gdouble) a[i] - b[i]);
    if (!(d <= worst))
      worst = isnan (d) ? INFINITY : d;
  }
  return worst / scale;
}

static DeimTensor *
input (DeimGraph *graph, const gchar *name, gint n, gint c, gint h, gint w)
{
  return deim_input (graph, name, (DeimShape){ n, c, h, w });
}

static DeimTensor *
constant (DeimGraph *graph, gint n, gint c, gint h, gint w, gfloat low, gfloat high)
{
  DeimShape shape = { n, c, h, w };
  g_autofree gfloat *values = op_random_values (deim_shape_size (shape), low, high);
  return deim_const (graph, NULL, shape, values);
}

/* A parameter: plain and trained where gradients are tested. */
static DeimTensor *
weight (DeimGraph *graph, gint n, gint c, gint h, gint w, gfloat low, gfloat high)
{
  DeimTensor *tensor = constant (graph, n, c, h, w, low, high);
  tensor->plain = tensor->trained = op_cases_train;
  return tensor;
}

static gint
pick_channels (void)
{
  static const gint channels[] = { 1, 2, 3, 4, 5, 8, 10, 16, 19, 21, 33, 64, 132 };
  return channels[op_pick (0, G_N_ELEMENTS (channels) - 1)];
}

static gint
pick_channels_from (gint least)
{
  gint c = pick_channels ();
  return MAX (c, least);
}

/* ------------------------------------------------------------------- cases */
/* Shapes beyond these are in the parity tests. */

static DeimTensor *
case_conv2d (DeimGraph *graph)
{
  static const gint kernels[] = { 1, 1, 2, 3, 5 };
  gint k = kernels[op_pick (0, 4)], stride = op_pick (1, 2), pad = op_pick (0, k / 2), extra = op_pick (0, 1);
  gint ci = pick_channels (), co = pick_channels (), n = op_pick (1, 2), h = op_pick (k, 19), w = op_pick (k, 23);
  DeimTensor *x = input (graph, "x", n, ci, h, w);
  gfloat bound = 1.0f / sqrtf ((gfloat) (ci * k * k));
  return deim_conv2d (graph, x, weight (graph, co, ci, k, k, -bound, bound),
                      op_pick (0, 1) ? weight (graph, co, 1, 1, 1, -1, 1) : NULL, stride, 1, pad, pad, pad + extra,
                      pad + extra);
}

/* As in decoders. */
static DeimTensor *
case_kept (DeimGraph *graph)
{
  gint k = op_pick (0, 1) ? 1 : 3, ci = op_pick (1, 150), co = op_pick (1, 70);
  DeimTensor *x = input (graph, "x", op_pick (1, 2), ci, op_pick (1, 19), op_pick (1, 23));
  gfloat bound = 1.0f / sqrtf ((gfloat) (ci * k * k));
  x->keep_fp32 = TRUE;
  DeimTensor *y =
      deim_conv2d (graph, x, weight (graph, co, ci, k, k, -bound, bound),
                   op_pick (0, 1) ? weight (graph, co, 1, 1, 1, -1, 1) : NULL, 1, 1, k / 2, k / 2, k / 2, k / 2);
  y->keep_fp32 = TRUE;
  if (!op_cases_train && op_pick (0, 1)) {
    DeimNode *node = y->producer;
    node->in[3] = input (graph, "r", y->shape.n, co, y->shape.h, y->shape.w);
    node->in[3]->keep_fp32 = TRUE;
    node->n_in = 4;
    node->attrs.conv.epilogue.residual_after = TRUE;
    node->attrs.conv.epilogue.act = DEIM_ACT_RELU;
  }
  return y;
}

/* Of enough channels for Winograd (engine/ops/conv2d-winograd.c), and tiles for those. */
static DeimTensor *
case_winograd (DeimGraph *graph)
{
  gboolean many = op_pick (0, 3) == 0;
  gint pad = op_pick (0, 2), ci = many ? 256 : op_pick (61, 70), co = many ? 253 : op_pick (61, 70);
  gint h = many ? op_pick (3, 9) : op_pick (31, 35), w = many ? op_pick (3, 9) : op_pick (31, 35);
  DeimTensor *x = input (graph, "x", op_pick (1, 2), ci, h, w);
  gfloat bound = 1.0f / sqrtf ((gfloat) (9 * ci));
  return deim_conv2d (graph, x, weight (graph, co, ci, 3, 3, -bound, bound),
                      op_pick (0, 1) ? weight (graph, co, 1, 1, 1, -1, 1) : NULL, 1, 1, pad, op_pick (0, 2), pad,
                      op_pick (0, 2));
}

static DeimTensor *
case_depthwise (DeimGraph *graph)
{
  gint k = op_pick (0, 1) ? 3 : 5, stride = op_pick (1, 2), c = pick_channels_from (2);
  DeimTensor *x = input (graph, "x", op_pick (1, 2), c, op_pick (k, 33), op_pick (k, 23));
  return deim_conv2d (graph, x, weight (graph, c, 1, k, k, -0.5, 0.5), weight (graph, c, 1, 1, 1, -1, 1), stride, c,
                      k / 2, k / 2, k / 2, k / 2);
}

/* A convolution with everything that fuse.c may put into it. */
static DeimTensor *
case_epilogue (DeimGraph *graph)
{
  static const DeimAct acts[] = { DEIM_ACT_NONE, DEIM_ACT_RELU, DEIM_ACT_SILU, DEIM_ACT_GELU, DEIM_ACT_SIGMOID };
  gint c = pick_channels_from (2), h = op_pick (3, 12), w = op_pick (3, 12), depthwise = op_pick (0, 1);
  DeimTensor *x = input (graph, "x", 1, c, h, w), *r = input (graph, "r", 1, c, h, w);
  DeimTensor *y = deim_conv2d (graph, x, weight (graph, c, depthwise ? 1 : c, 3, 3, -0.2f, 0.2f), NULL, 1,
                               depthwise ? c : 1, 1, 1, 1, 1);
  DeimNode *node = y->producer;
  node->in[3] = r;
  node->n_in = 4;
  node->attrs.conv.epilogue.residual_before = op_pick (0, 1);
  node->attrs.conv.epilogue.residual_after = !node->attrs.conv.epilogue.residual_before;
  node->attrs.conv.epilogue.act = acts[op_pick (0, 4)];
  node->attrs.conv.epilogue.scale = 1.5f;
  node->attrs.conv.epilogue.shift = -0.25f;
  return y;
}

/* A 1x1 convolution that adds to its input, for all of its channels or for the first panels alone. */
static DeimTensor *
case_addend (DeimGraph *graph)
{
  gint ci = pick_channels (), n = op_pick (1, 2), w = op_pick (1, 90), some = op_pick (0, 1);
  gint co = pick_channels () + (some ? 64 * op_pick (1, 2) : 0);
  DeimTensor *x = input (graph, "x", n, ci, 1, w);
  DeimTensor *y = deim_linear (graph, x, weight (graph, co, ci, 1, 1, -0.2f, 0.2f), weight (graph, co, 1, 1, 1, -1, 1));
  x->keep_fp32 = op_pick (0, 1);
  DeimNode *node = y->producer;
  node->in[3] = NULL;
  node->in[4] = op_pick (0, 1) ? input (graph, "s", n, ci, 1, w) : constant (graph, 1, ci, 1, w, -1, 1);
  node->in[4]->keep_fp32 = op_pick (0, 1);
  node->n_in = 5;
  node->attrs.conv.addend_rows = some ? 64 : co;
  return y;
}

/* Of two numbers that are normalised hardly a gradient is left: it is the difference of what is almost equal, times a
 * large number, and says nothing about a shader. */
#define LEAST_NORMALISED (op_cases_train ? 4 : 1)

static DeimTensor *
case_batch_norm (DeimGraph *graph)
{
  gint c = pick_channels ();
  DeimTensor *x = input (graph, "x", op_pick (1, 2), c, op_pick (LEAST_NORMALISED, 9), op_pick (1, 9));
  return deim_batch_norm (graph, x, weight (graph, c, 1, 1, 1, 0.5, 2), weight (graph, c, 1, 1, 1, -1, 1),
                          weight (graph, c, 1, 1, 1, -1, 1), weight (graph, c, 1, 1, 1, 0.1f, 2), 1e-5f);
}

/* As deim_graph_fuse_training() makes it. */
static DeimTensor *
case_batch_norm_act (DeimGraph *graph)
{
  DeimTensor *y = case_batch_norm (graph);
  DeimNode *node = y->producer;
  if (!op_cases_train)
    return y;
  node->attrs.norm.act = op_pick (0, 1) ? DEIM_ACT_RELU : DEIM_ACT_SILU;
  if (op_pick (0, 1)) {
    node->in[5] = weight (graph, 1, 1, 1, 1, 0.5, 2);
    node->in[6] = weight (graph, 1, 1, 1, 1, -1, 1);
    node->n_in = 7;
  }
  return y;
}

static DeimTensor *
case_act (DeimGraph *graph)
{
  DeimTensor *x = input (graph, "x", op_pick (1, 2), pick_channels (), op_pick (1, 9), op_pick (1, 9));
  DeimAct act = (DeimAct) op_pick (DEIM_ACT_RELU, DEIM_ACT_CLAMP);
  return act == DEIM_ACT_CLAMP ? deim_clamp (graph, x, -0.5f, 0.75f) : deim_act (graph, x, act);
}

static DeimTensor *
case_affine (DeimGraph *graph)
{
  DeimTensor *x = input (graph, "x", 1, pick_channels (), op_pick (1, 9), op_pick (1, 9));
  return deim_affine (graph, x, weight (graph, 1, 1, 1, 1, -2, 2), weight (graph, 1, 1, 1, 1, -2, 2));
}

static DeimTensor *
case_binary (DeimGraph *graph, DeimTensor *(*function) (DeimGraph *, DeimTensor *, DeimTensor *) )
{
  gint n = op_pick (1, 2), c = pick_channels (), h = op_pick (1, 9), w = op_pick (1, 9);
  DeimTensor *a = input (graph, "a", n, c, h, w), *b = NULL;
  switch (op_pick (0, 4)) {
  case 0:
    b = input (graph, "b", n, c, h, w);
    break;
  case 1:
    b = input (graph, "b", n, c, 1, 1);
    break;
  case 2:
    b = input (graph, "b", n, 1, h, w);
    break;
  case 3:
    b = input (graph, "b", 1, c, h, w);
    break;
  default:
    b = constant (graph, 1, c, h, w, -1, 1); /* lies with the weights */
  }
  return function (graph, a, b);
}

static DeimTensor *
case_add (DeimGraph *graph)
{
  return case_binary (graph, deim_add);
}

static DeimTensor *
case_mul (DeimGraph *graph)
{
  return case_binary (graph, deim_mul);
}

/* Parts that are written in place, one that is read twice, and one that is an input of the graph. */
static DeimTensor *
case_concat (DeimGraph *graph)
{
  gint n = op_pick (1, 2), h = op_pick (1, 7), w = op_pick (1, 7);
  DeimTensor *a = input (graph, "a", n, pick_channels (), h, w), *b = input (graph, "b", n, pick_channels (), h, w);
  DeimTensor *s = deim_act (graph, a, DEIM_ACT_SILU), *t = deim_act (graph, b, DEIM_ACT_RELU);
  DeimTensor *parts[] = { s, t, s, a };
  return deim_concat (graph, parts, 4, TRUE);
}

static DeimTensor *
case_concat_tokens (DeimGraph *graph)
{
  gint n = op_pick (1, 2), c = pick_channels ();
  DeimTensor *a = input (graph, "a", n, c, op_pick (1, 7), op_pick (1, 7)),
             *b = input (graph, "b", n, c, op_pick (1, 7), 3);
  DeimTensor *parts[] = { deim_flatten (graph, deim_act (graph, a, DEIM_ACT_SILU)),
                          deim_flatten (graph, deim_act (graph, b, DEIM_ACT_RELU)) };
  return deim_act (graph, deim_concat (graph, parts, 2, FALSE), DEIM_ACT_SIGMOID);
}

/* Halves of an unaligned convolution's channels, through different ops, and together again in another order. */
static DeimTensor *
case_slice (DeimGraph *graph)
{
  gint c = op_pick (1, 11), h = op_pick (1, 7), w = op_pick (1, 7), n = op_pick (1, 2);
  DeimTensor *x = input (graph, "x", n, 6, h, w);
  DeimTensor *y = deim_conv2d (graph, x, weight (graph, 2 * c, 6, 1, 1, -1, 1), weight (graph, 2 * c, 1, 1, 1, -1, 1),
                               1, 1, 0, 0, 0, 0);
  DeimTensor *first = deim_slice (graph, y, TRUE, 0, c), *second = deim_slice (graph, y, TRUE, c, c);
  DeimTensor *parts[] = { deim_act (graph, second, DEIM_ACT_SILU), first };
  DeimTensor *joined = deim_concat (graph, parts, 2, TRUE);
  return deim_conv2d (graph, joined, weight (graph, 5, 2 * c, 1, 1, -1, 1), NULL, 1, 1, 0, 0, 0, 0);
}

static DeimTensor *
case_slice_tokens (DeimGraph *graph)
{
  gint t = op_pick (3, 40), start = op_pick (0, t - 2);
  DeimTensor *x = input (graph, "x", op_pick (1, 2), pick_channels (), 1, t);
  return deim_act (graph, deim_slice (graph, deim_act (graph, x, DEIM_ACT_SILU), FALSE, start, op_pick (1, t - start)),
                   DEIM_ACT_RELU);
}

static DeimTensor *
case_reshape (DeimGraph *graph)
{
  gint h = op_pick (1, 9), w = op_pick (1, 9);
  DeimTensor *x = input (graph, "x", op_pick (1, 2), pick_channels (), h, w);
  DeimTensor *tokens = deim_act (graph, deim_flatten (graph, deim_act (graph, x, DEIM_ACT_SILU)), DEIM_ACT_SIGMOID);
  return deim_act (graph, deim_unflatten (graph, tokens, w, h), DEIM_ACT_RELU);
}

static DeimTensor *
case_max_pool (DeimGraph *graph)
{
  gint k = op_pick (2, 3), pad = op_pick (0, 1);
  DeimTensor *x = input (graph, "x", op_pick (1, 2), pick_channels (), op_pick (3, 41), op_pick (3, 70));
  return deim_max_pool (graph, x, k, op_pick (1, 2), pad, pad, pad, pad, op_pick (0, 1) ? 0 : -INFINITY);
}

static DeimTensor *
case_avg_pool (DeimGraph *graph)
{
  DeimTensor *x = input (graph, "x", op_pick (1, 2), pick_channels (), op_pick (3, 41), op_pick (3, 70));
  return deim_avg_pool (graph, x, op_pick (2, 3), 2, op_pick (0, 1));
}

static DeimTensor *
case_upsample (DeimGraph *graph)
{
  gint n = op_pick (1, 2), c = pick_channels (), h = op_pick (1, 7), w = op_pick (1, 7);
  DeimTensor *y = deim_upsample2x (graph, input (graph, "x", n, c, h, w));
  if (op_pick (0, 1)) {
    y->producer->in[1] = input (graph, "r", n, c, 2 * h, 2 * w);
    y->producer->n_in = 2;
  }
  return y;
}

static DeimTensor *
case_global_mean (DeimGraph *graph)
{
  return deim_global_mean (graph,
                           input (graph, "x", op_pick (1, 2), pick_channels (), op_pick (1, 20), op_pick (1, 20)));
}

static void
maybe_residual (DeimGraph *graph, DeimTensor *y)
{
  gint n = op_cases_train ? 0 : op_pick (0, 2); /* x; x + r; x * g + r * h */
  static const gchar *const names[] = { "r", "g", "h" };
  for (guint i = 0; i < (n == 0 ? 0u : n == 1 ? 1u : 3u); i++) {
    y->producer->in[3 + i] = input (graph, names[i], y->shape.n, y->shape.c, y->shape.h, y->shape.w);
    y->producer->n_in = 4 + i;
  }
}

static DeimTensor *
case_layer_norm (DeimGraph *graph)
{
  /* Of two channels that are all but equal the mean leaves what float32 has rounded: 6e-5 of the result. */
  gint c = pick_channels_from (MAX (LEAST_NORMALISED + 1, 3));
  DeimTensor *x = input (graph, "x", op_pick (1, 2), c, 1, op_pick (1, 40));
  DeimTensor *y =
      deim_layer_norm (graph, x, weight (graph, c, 1, 1, 1, 0.5, 2), weight (graph, c, 1, 1, 1, -1, 1), 1e-5f);
  maybe_residual (graph, y);
  return y;
}

static DeimTensor *
case_rms_norm (DeimGraph *graph)
{
  gint c = pick_channels_from (LEAST_NORMALISED);
  DeimTensor *x = input (graph, "x", op_pick (1, 2), c, 1, op_pick (1, 40));
  DeimTensor *y = deim_rms_norm (graph, x, weight (graph, c, 1, 1, 1, 0.5, 2), 1e-6f);
  maybe_residual (graph, y);
  return y;
}

static DeimTensor *
case_attention (DeimGraph *graph)
{
  static const gint widths[] = { 4, 6, 8, 12, 14, 16, 32 };
  gint heads = op_pick (1, 8), d = heads * widths[op_pick (0, 6)], n = op_pick (1, 2), tq = op_pick (1, 50),
       tk = op_pick (1, op_pick (0, 1) ? 70 : 300);
  DeimTensor *q = input (graph, "q", n, 5, 1, tq), *k = input (graph, "k", n, 5, 1, tk);
  DeimTensor *wide[3];
  for (gint i = 0; i < 3; i++)
    wide[i] = deim_linear (graph, i ? k : q, weight (graph, d, 5, 1, 1, -1, 1), weight (graph, d, 1, 1, 1, -1, 1));
  DeimTensor *y = deim_attention (graph, wide[0], wide[1], wide[2], NULL, heads);
  return deim_linear (graph, y, weight (graph, 9, d, 1, 1, -0.2f, 0.2f), NULL);
}

/* Denoising queries: some groups beside group 0. */
static DeimTensor *
case_attention_groups (DeimGraph *graph)
{
  gint heads = op_pick (1, 8), d = heads * 4 * op_pick (1, 4), n = op_pick (1, 2);
  gint t = op_pick (1, op_pick (0, 1) ? 70 : 200);
  DeimTensor *x = input (graph, "x", n, d, 1, t), *groups = constant (graph, 1, 1, 1, t, 0, 3);
  for (gint i = 0; i < t; i++)
    groups->data[i] = floorf (groups->data[i]);
  groups->keep_fp32 = TRUE;
  DeimTensor *k = deim_act (graph, x, DEIM_ACT_SILU), *v = deim_act (graph, x, DEIM_ACT_SIGMOID);
  return deim_attention (graph, x, k, v, groups, heads);
}

static DeimTensor *
case_topk (DeimGraph *graph)
{
  gint c = pick_channels (), t = op_pick (4, 300), flat = op_pick (0, 1);
  return deim_topk (graph, input (graph, "scores", op_pick (1, 2), c, 1, t), op_pick (1, flat ? c * t : t), flat);
}

static DeimTensor *
case_gather (DeimGraph *graph)
{
  gint n = op_pick (1, 2), t = op_pick (4, 60), k = op_pick (1, t), c = pick_channels ();
  DeimTensor *index = deim_topk (graph, input (graph, "scores", n, 3, 1, t), k, TRUE);
  return deim_gather (graph, input (graph, "x", op_pick (0, 1) ? n : 1, c, 1, t), index, 3);
}

static DeimTensor *
case_embedding (DeimGraph *graph)
{
  gint n = op_pick (1, 2), k = op_pick (1, 60), rows = op_pick (1, 12);
  g_autofree gint32 *index = g_new (gint32, n * k);
  for (gint i = 0; i < n * k; i++)
    index[i] = op_pick (0, rows - 1);
  DeimTensor *table = weight (graph, rows, pick_channels (), 1, 1, -1, 1);
  table->plain = TRUE;
  return deim_embedding (graph, table, deim_const_int (graph, NULL, (DeimShape){ n, 1, 1, k }, index), -1);
}

static DeimTensor *
case_deform_attn (DeimGraph *graph)
{
  static const gint widths[] = { 4, 8, 12, 14, 16, 6 };
  DeimDeformAttrs a = { .heads = op_pick (1, 8), .levels = op_pick (1, 3) };
  gint total = 0, tokens = 0, q = op_pick (1, 30), n = op_pick (1, 2), d;
  for (gint l = 0; l < a.levels; l++) {
    a.points[l] = op_pick (1, 4);
    a.h[l] = op_pick (1, 9);
    a.w[l] = op_pick (1, 9);
    a.point_scale[l] = 1.0f / (gfloat) a.points[l];
    total += a.points[l];
    tokens += a.h[l] * a.w[l];
  }
  a.sampling = op_pick (0, 3) ? DEIM_SAMPLE_BILINEAR : DEIM_SAMPLE_DISCRETE;
  if (a.heads % 2)
    a.heads++; /* heads * width must be whole blocks for the shader's value */
  d = a.heads * widths[op_pick (0, 5)];
  DeimTensor *offsets = input (graph, "offsets", n, a.heads * total * 2, 1, q);
  DeimTensor *refs = deim_act (graph, input (graph, "refs", n, 4, 1, q), DEIM_ACT_SIGMOID);
  refs->keep_fp32 = offsets->keep_fp32 = TRUE; /* as in the networks */
  if (op_cases_train)
    refs = deim_detach (graph, refs);
  return deim_deform_attn (graph, input (graph, "value", n, d, 1, tokens), offsets,
                           input (graph, "weights", n, a.heads * total, 1, q), refs, &a);
}

static DeimTensor *
case_fdr (DeimGraph *graph)
{
  DeimFdrAttrs a = { .reg_scale = 4 };
  for (gint i = 0; i < DEIM_FDR_BINS; i++)
    a.bins[i] = (gfloat) (i - 16) / 8;
  gint n = op_pick (1, 2), q = op_pick (1, 40);
  DeimTensor *corners = input (graph, "corners", n, 4 * DEIM_FDR_BINS, 1, q);
  DeimTensor *boxes = input (graph, "boxes", n, 4, 1, q);
  corners->keep_fp32 = boxes->keep_fp32 = TRUE;
  return deim_fdr (graph, corners, boxes, &a);
}

static DeimTensor *
case_lqe_stats (DeimGraph *graph)
{
  DeimTensor *corners = input (graph, "corners", op_pick (1, 2), 4 * DEIM_FDR_BINS, 1, op_pick (1, 40));
  corners->keep_fp32 =
      TRUE; /* as in the networks: of equal numbers, which fp16 has many of, either may be in the top */
  return deim_lqe_stats (graph, corners);
}

static DeimTensor *
case_detections (DeimGraph *graph)
{
  gint n = op_pick (1, 2), c = pick_channels (), q = op_pick (1, 60);
  DeimTensor *logits = input (graph, "logits", n, c, 1, q), *boxes = input (graph, "boxes", n, 4, 1, q);
  logits->keep_fp32 = boxes->keep_fp32 = TRUE;
  return deim_detections (graph, logits, boxes, op_pick (1, MIN (300, q * c)));
}

const OpCase op_cases[] = {
  { "conv2d", case_conv2d },
  { "conv2d/depthwise", case_depthwise },
  { "conv2d/kept", case_kept, .kept = TRUE },
  { "conv2d/winograd", case_winograd },
  { "conv2d/epilogue", case_epilogue, .fused = TRUE },
  { "conv2d/addend", case_addend, .fused = TRUE },
  { "batch_norm", case_batch_norm },
  { "batch_norm/act", case_batch_norm_act },
  { "act", case_act },
  { "affine", case_affine },
  { "add", case_add },
  { "mul", case_mul },
  { "concat", case_concat },
  { "concat/tokens", case_concat_tokens },
  { "slice", case_slice },
  { "slice/tokens", case_slice_tokens },
  { "flatten", case_reshape },
  { "unflatten", case_reshape },
  { "max_pool", case_max_pool },
  { "avg_pool", case_avg_pool },
  { "upsample2x", case_upsample },
  { "global_mean", case_global_mean },
  { "layer_norm", case_layer_norm },
  { "rms_norm", case_rms_norm },
  { "attention", case_attention },
  { "attention/groups", case_attention_groups },
  { "topk", case_topk },
  { "topk/odd", case_topk, TRUE },
  { "gather", case_gather },
  { "embedding", case_embedding },
  { "deform_attn", case_deform_attn },
  { "fdr", case_fdr },
  { "lqe_stats", case_lqe_stats },
  { "detections", case_detections },
  { "detections/odd", case_detections, TRUE },
  { NULL },
};
