/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-ops.c - every operator of the table: shader against reference over random legal shapes, on whatever device is
 * there, in fp32 and fp16 storage. The arena is poisoned with NaN, so an element that a shader leaves unwritten shows.
 *
 * Adding an op: a function that appends it to a graph with random shapes, and a line in `cases`. The test fails for an
 * op of the table that no case names.
 *
 * DEIM_TEST_SEED=n repeats a run.
 */
#include <math.h>
#include <string.h>

#include "engine/executor.h"
#include "engine/graph/reference.h"
#include "engine/half.h"
#include "engine/ops/op.h"

#define ROUNDS 12

/* ------------------------------------------------------------------ random */

static GRand *rng;

static gint
pick (gint low, gint high) /* inclusive */
{
  return g_rand_int_range (rng, low, high + 1);
}

static gfloat *
random_values (gsize n, gfloat low, gfloat high)
{
  gfloat *values = g_new (gfloat, n);
  for (gsize i = 0; i < n; i++)
    values[i] = (gfloat) g_rand_double_range (rng, low, high);
  return values;
}

static DeimTensor *
input (DeimGraph *graph, const gchar *name, gint n, gint c, gint h, gint w)
{
  return deim_input (graph, name, (DeimShape){ n, c, h, w });
}

static DeimTensor *
weight (DeimGraph *graph, gint n, gint c, gint h, gint w, gfloat low, gfloat high)
{
  DeimShape shape = { n, c, h, w };
  g_autofree gfloat *values = random_values (deim_shape_size (shape), low, high);
  return deim_const (graph, NULL, shape, values);
}

static gint
pick_channels (void)
{
  static const gint channels[] = { 1, 2, 3, 4, 5, 8, 10, 16, 19, 21, 33, 64, 132 };
  return channels[pick (0, G_N_ELEMENTS (channels) - 1)];
}

/* ------------------------------------------------------------------- cases */
/* Each returns the output to compare. Shapes beyond these are in the parity tests. */

static DeimTensor *
case_conv2d (DeimGraph *graph)
{
  static const gint kernels[] = { 1, 1, 2, 3, 5 };
  gint k = kernels[pick (0, 4)], stride = pick (1, 2), pad = pick (0, k / 2), extra = pick (0, 1);
  gint ci = pick_channels (), co = pick_channels (), n = pick (1, 2), h = pick (k, 19), w = pick (k, 23);
  DeimTensor *x = input (graph, "x", n, ci, h, w);
  gfloat bound = 1.0f / sqrtf ((gfloat) (ci * k * k));
  return deim_conv2d (graph, x, weight (graph, co, ci, k, k, -bound, bound),
                      pick (0, 1) ? weight (graph, co, 1, 1, 1, -1, 1) : NULL, stride, 1, pad, pad, pad + extra,
                      pad + extra);
}

static DeimTensor *
case_depthwise (DeimGraph *graph)
{
  gint k = pick (0, 1) ? 3 : 5, stride = pick (1, 2), c = MAX (2, pick_channels ());
  DeimTensor *x = input (graph, "x", pick (1, 2), c, pick (k, 19), pick (k, 23));
  return deim_conv2d (graph, x, weight (graph, c, 1, k, k, -0.5, 0.5), weight (graph, c, 1, 1, 1, -1, 1), stride, c,
                      k / 2, k / 2, k / 2, k / 2);
}

/* A convolution with everything that fuse.c may put into it. */
static DeimTensor *
case_epilogue (DeimGraph *graph)
{
  static const DeimAct acts[] = { DEIM_ACT_NONE, DEIM_ACT_RELU, DEIM_ACT_SILU, DEIM_ACT_GELU, DEIM_ACT_SIGMOID };
  gint c = MAX (2, pick_channels ()), h = pick (3, 12), w = pick (3, 12), depthwise = pick (0, 1);
  DeimTensor *x = input (graph, "x", 1, c, h, w), *r = input (graph, "r", 1, c, h, w);
  DeimTensor *y = deim_conv2d (graph, x, weight (graph, c, depthwise ? 1 : c, 3, 3, -0.2f, 0.2f), NULL, 1,
                               depthwise ? c : 1, 1, 1, 1, 1);
  DeimNode *node = y->producer;
  node->in[3] = r;
  node->n_in = 4;
  node->attrs.conv.epilogue.residual_before = pick (0, 1);
  node->attrs.conv.epilogue.residual_after = !node->attrs.conv.epilogue.residual_before;
  node->attrs.conv.epilogue.act = acts[pick (0, 4)];
  node->attrs.conv.epilogue.scale = 1.5f;
  node->attrs.conv.epilogue.shift = -0.25f;
  return y;
}

static DeimTensor *
case_batch_norm (DeimGraph *graph)
{
  gint c = pick_channels ();
  DeimTensor *x = input (graph, "x", pick (1, 2), c, pick (1, 9), pick (1, 9));
  return deim_batch_norm (graph, x, weight (graph, c, 1, 1, 1, 0.5, 2), weight (graph, c, 1, 1, 1, -1, 1),
                          weight (graph, c, 1, 1, 1, -1, 1), weight (graph, c, 1, 1, 1, 0.1f, 2), 1e-5f);
}

static DeimTensor *
case_act (DeimGraph *graph)
{
  DeimTensor *x = input (graph, "x", pick (1, 2), pick_channels (), pick (1, 9), pick (1, 9));
  DeimAct act = (DeimAct) pick (DEIM_ACT_RELU, DEIM_ACT_CLAMP);
  return act == DEIM_ACT_CLAMP ? deim_clamp (graph, x, -0.5f, 0.75f) : deim_act (graph, x, act);
}

static DeimTensor *
case_affine (DeimGraph *graph)
{
  DeimTensor *x = input (graph, "x", 1, pick_channels (), pick (1, 9), pick (1, 9));
  return deim_affine (graph, x, weight (graph, 1, 1, 1, 1, -2, 2), weight (graph, 1, 1, 1, 1, -2, 2));
}

static DeimTensor *
case_binary (DeimGraph *graph, DeimTensor *(*function) (DeimGraph *, DeimTensor *, DeimTensor *) )
{
  gint n = pick (1, 2), c = pick_channels (), h = pick (1, 9), w = pick (1, 9);
  DeimTensor *a = input (graph, "a", n, c, h, w), *b = NULL;
  switch (pick (0, 4)) {
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
    b = weight (graph, 1, c, h, w, -1, 1); /* a constant: lies with the weights */
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
  gint n = pick (1, 2), h = pick (1, 7), w = pick (1, 7);
  DeimTensor *a = input (graph, "a", n, pick_channels (), h, w), *b = input (graph, "b", n, pick_channels (), h, w);
  DeimTensor *s = deim_act (graph, a, DEIM_ACT_SILU), *t = deim_act (graph, b, DEIM_ACT_RELU);
  DeimTensor *parts[] = { s, t, s, a };
  return deim_concat (graph, parts, 4, TRUE);
}

static DeimTensor *
case_concat_tokens (DeimGraph *graph)
{
  gint n = pick (1, 2), c = pick_channels ();
  DeimTensor *a = input (graph, "a", n, c, pick (1, 7), pick (1, 7)), *b = input (graph, "b", n, c, pick (1, 7), 3);
  DeimTensor *parts[] = { deim_flatten (graph, deim_act (graph, a, DEIM_ACT_SILU)),
                          deim_flatten (graph, deim_act (graph, b, DEIM_ACT_RELU)) };
  return deim_act (graph, deim_concat (graph, parts, 2, FALSE), DEIM_ACT_SIGMOID);
}

/* Halves of an unaligned convolution's channels, through different ops, and together again in another order. */
static DeimTensor *
case_slice (DeimGraph *graph)
{
  gint c = pick (1, 11), h = pick (1, 7), w = pick (1, 7), n = pick (1, 2);
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
  gint t = pick (3, 40), start = pick (0, t - 2);
  DeimTensor *x = input (graph, "x", pick (1, 2), pick_channels (), 1, t);
  return deim_act (graph, deim_slice (graph, deim_act (graph, x, DEIM_ACT_SILU), FALSE, start, pick (1, t - start)),
                   DEIM_ACT_RELU);
}

static DeimTensor *
case_reshape (DeimGraph *graph)
{
  gint h = pick (1, 9), w = pick (1, 9);
  DeimTensor *x = input (graph, "x", pick (1, 2), pick_channels (), h, w);
  DeimTensor *tokens = deim_act (graph, deim_flatten (graph, deim_act (graph, x, DEIM_ACT_SILU)), DEIM_ACT_SIGMOID);
  return deim_act (graph, deim_unflatten (graph, tokens, w, h), DEIM_ACT_RELU);
}

static DeimTensor *
case_max_pool (DeimGraph *graph)
{
  gint k = pick (2, 3), pad = pick (0, 1);
  DeimTensor *x = input (graph, "x", pick (1, 2), pick_channels (), pick (3, 13), pick (3, 13));
  return deim_max_pool (graph, x, k, pick (1, 2), pad, pad, pad, pad, pick (0, 1) ? 0 : -INFINITY);
}

static DeimTensor *
case_avg_pool (DeimGraph *graph)
{
  DeimTensor *x = input (graph, "x", pick (1, 2), pick_channels (), pick (3, 13), pick (3, 13));
  return deim_avg_pool (graph, x, pick (2, 3), 2, pick (0, 1));
}

static DeimTensor *
case_upsample (DeimGraph *graph)
{
  gint n = pick (1, 2), c = pick_channels (), h = pick (1, 7), w = pick (1, 7);
  DeimTensor *y = deim_upsample2x (graph, input (graph, "x", n, c, h, w));
  if (pick (0, 1)) {
    y->producer->in[1] = input (graph, "r", n, c, 2 * h, 2 * w);
    y->producer->n_in = 2;
  }
  return y;
}

static DeimTensor *
case_global_mean (DeimGraph *graph)
{
  return deim_global_mean (graph, input (graph, "x", pick (1, 2), pick_channels (), pick (1, 20), pick (1, 20)));
}

static void
maybe_residual (DeimGraph *graph, DeimTensor *y)
{
  if (!pick (0, 1))
    return;
  y->producer->in[3] = input (graph, "r", y->shape.n, y->shape.c, y->shape.h, y->shape.w);
  y->producer->n_in = 4;
}

static DeimTensor *
case_layer_norm (DeimGraph *graph)
{
  gint c = MAX (2, pick_channels ());
  DeimTensor *x = input (graph, "x", pick (1, 2), c, 1, pick (1, 40));
  DeimTensor *y =
      deim_layer_norm (graph, x, weight (graph, c, 1, 1, 1, 0.5, 2), weight (graph, c, 1, 1, 1, -1, 1), 1e-5f);
  maybe_residual (graph, y);
  return y;
}

static DeimTensor *
case_rms_norm (DeimGraph *graph)
{
  gint c = pick_channels ();
  DeimTensor *x = input (graph, "x", pick (1, 2), c, 1, pick (1, 40));
  DeimTensor *y = deim_rms_norm (graph, x, weight (graph, c, 1, 1, 1, 0.5, 2), 1e-6f);
  maybe_residual (graph, y);
  return y;
}

static DeimTensor *
case_attention (DeimGraph *graph)
{
  static const gint widths[] = { 4, 6, 8, 12, 14, 16, 32 };
  gint heads = pick (1, 8), d = heads * widths[pick (0, 6)], n = pick (1, 2), tq = pick (1, 50), tk = pick (1, 70);
  DeimTensor *q = input (graph, "q", n, 5, 1, tq), *k = input (graph, "k", n, 5, 1, tk);
  DeimTensor *wide[3];
  for (gint i = 0; i < 3; i++)
    wide[i] = deim_linear (graph, i ? k : q, weight (graph, d, 5, 1, 1, -1, 1), weight (graph, d, 1, 1, 1, -1, 1));
  DeimTensor *y = deim_attention (graph, wide[0], wide[1], wide[2], heads);
  return deim_linear (graph, y, weight (graph, 9, d, 1, 1, -0.2f, 0.2f), NULL);
}

static DeimTensor *
case_topk (DeimGraph *graph)
{
  gint c = pick_channels (), t = pick (4, 300), flat = pick (0, 1);
  return deim_topk (graph, input (graph, "scores", pick (1, 2), c, 1, t), pick (1, flat ? c * t : t), flat);
}

static DeimTensor *
case_gather (DeimGraph *graph)
{
  gint n = pick (1, 2), t = pick (4, 60), k = pick (1, t), c = pick_channels ();
  DeimTensor *index = deim_topk (graph, input (graph, "scores", n, 3, 1, t), k, TRUE);
  return deim_gather (graph, input (graph, "x", pick (0, 1) ? n : 1, c, 1, t), index, 3);
}

static DeimTensor *
case_deform_attn (DeimGraph *graph)
{
  static const gint widths[] = { 4, 8, 12, 14, 16, 6 };
  DeimDeformAttrs a = { .heads = pick (1, 8), .levels = pick (1, 3) };
  gint total = 0, tokens = 0, q = pick (1, 30), n = pick (1, 2), d;
  for (gint l = 0; l < a.levels; l++) {
    a.points[l] = pick (1, 4);
    a.h[l] = pick (1, 9);
    a.w[l] = pick (1, 9);
    a.point_scale[l] = 1.0f / (gfloat) a.points[l];
    total += a.points[l];
    tokens += a.h[l] * a.w[l];
  }
  a.sampling = pick (0, 3) ? DEIM_SAMPLE_BILINEAR : DEIM_SAMPLE_DISCRETE;
  if (a.heads % 2)
    a.heads++; /* heads * width must be whole blocks for the shader's value */
  d = a.heads * widths[pick (0, 5)];
  DeimTensor *offsets = input (graph, "offsets", n, a.heads * total * 2, 1, q);
  DeimTensor *refs = deim_act (graph, input (graph, "refs", n, 4, 1, q), DEIM_ACT_SIGMOID);
  refs->keep_fp32 = offsets->keep_fp32 = TRUE; /* as in the networks */
  return deim_deform_attn (graph, input (graph, "value", n, d, 1, tokens), offsets,
                           input (graph, "weights", n, a.heads * total, 1, q), refs, &a);
}

static DeimTensor *
case_fdr (DeimGraph *graph)
{
  DeimFdrAttrs a = { .reg_scale = 4 };
  for (gint i = 0; i < DEIM_FDR_BINS; i++)
    a.bins[i] = (gfloat) (i - 16) / 8;
  gint n = pick (1, 2), q = pick (1, 40);
  DeimTensor *corners = input (graph, "corners", n, 4 * DEIM_FDR_BINS, 1, q);
  DeimTensor *boxes = input (graph, "boxes", n, 4, 1, q);
  corners->keep_fp32 = boxes->keep_fp32 = TRUE;
  return deim_fdr (graph, corners, boxes, &a);
}

static DeimTensor *
case_lqe_stats (DeimGraph *graph)
{
  return deim_lqe_stats (graph, input (graph, "corners", pick (1, 2), 4 * DEIM_FDR_BINS, 1, pick (1, 40)));
}

static DeimTensor *
case_detections (DeimGraph *graph)
{
  gint n = pick (1, 2), c = pick_channels (), q = pick (1, 60);
  DeimTensor *logits = input (graph, "logits", n, c, 1, q), *boxes = input (graph, "boxes", n, 4, 1, q);
  logits->keep_fp32 = boxes->keep_fp32 = TRUE;
  return deim_detections (graph, logits, boxes, pick (1, MIN (300, q * c)));
}

typedef struct {
  const gchar *name; /* of the op, with a suffix after '/' for a second case */
  DeimTensor *(*append) (DeimGraph *graph);
  gboolean odd_scores; /* its "scores" or "logits" hold NaN and infinities, too */
} Case;

static const Case cases[] = {
  { "conv2d", case_conv2d },
  { "conv2d/depthwise", case_depthwise },
  { "conv2d/epilogue", case_epilogue },
  { "batch_norm", case_batch_norm },
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
  { "topk", case_topk },
  { "topk/odd", case_topk, TRUE },
  { "gather", case_gather },
  { "deform_attn", case_deform_attn },
  { "fdr", case_fdr },
  { "lqe_stats", case_lqe_stats },
  { "detections", case_detections },
  { "detections/odd", case_detections, TRUE },
};

/* --------------------------------------------------------------- comparing */

static DeimGpu *gpu;

/* Largest difference over largest magnitude; infinite where one is no number and the other is. */
static gdouble
distance (const gfloat *a, const gfloat *b, gsize n)
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

/* What a broken network may hand to a selection: no number, infinities, and equal scores. */
static void
spoil (gfloat *values, gsize n)
{
  static const gfloat odd[] = { NAN, INFINITY, -INFINITY, 0.5f, 0.5f, -0.0f };
  for (gsize i = 0; i < n; i++)
    if (pick (0, 3) == 0)
      values[i] = odd[pick (0, G_N_ELEMENTS (odd) - 1)];
}

/* Inputs as the device stores them, so that rounding the inputs is not counted against a shader. */
static void
round_to_half (DeimTensor *tensor, gfloat *values, gsize n, gboolean half)
{
  if (half && !tensor->keep_fp32)
    for (gsize i = 0; i < n; i++)
      values[i] = deim_half_to_float (deim_half_from_float (values[i]));
}

/* Computing the first entries of a batch alone gives for them, to the bit, what computing all of them gave. */
static void
check_parts (DeimRun *run, const DeimTensor *out, const gfloat *whole)
{
  g_autoptr (GError) error = NULL;
  gsize n = deim_shape_size (out->shape) / (gsize) out->shape.n;
  g_autofree gfloat *entry = g_new (gfloat, n);
  for (gint entries = 1; entries < out->shape.n; entries++) {
    DeimCommands *commands = deim_run_get_commands (run, (guint) entries);
    guint64 value = 0;
    deim_gpu_submit (gpu, &commands, 1, &value, &error);
    g_assert_no_error (error);
    deim_gpu_wait (gpu, value, &error);
    g_assert_no_error (error);
    for (gint i = 0; i < entries; i++) {
      deim_run_read_entry (run, out, (guint) i, entry);
      g_assert_cmpmem (entry, n * 4, whole + (gsize) i * n, n * 4);
    }
  }
}

static void
run_case (const Case *test, gboolean half)
{
  g_autoptr (GError) error = NULL;
  DeimGraph *graph = deim_graph_new (NULL);
  DeimTensor *out = test->append (graph);
  deim_graph_mark_output (graph, out);
  deim_graph_finish (graph, &error);
  g_assert_no_error (error);

  g_autoptr (GPtrArray) values = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GArray) feeds = g_array_new (FALSE, FALSE, sizeof (DeimFeed));
  for (guint i = 0; i < deim_graph_get_n_tensors (graph); i++) {
    DeimTensor *tensor = deim_graph_get_tensor (graph, i);
    gsize n = deim_shape_size (tensor->shape);
    if (tensor->data)
      round_to_half (tensor, tensor->data, n, half);
    if (tensor->kind != DEIM_TENSOR_INPUT)
      continue;
    gfloat *data = random_values (n, -2, 2);
    if (test->odd_scores && (g_str_equal (tensor->name, "scores") || g_str_equal (tensor->name, "logits")))
      spoil (data, n);
    round_to_half (tensor, data, n, half);
    g_ptr_array_add (values, data);
    DeimFeed feed = { tensor, data };
    g_array_append_val (feeds, feed);
  }

  g_autoptr (DeimReferenceRun) expected = NULL;
  deim_reference_run (graph, (DeimFeed *) feeds->data, feeds->len, NULL, &expected, &error);
  g_assert_no_error (error);

  g_autoptr (DeimExecutor) executor =
      deim_executor_new (gpu, graph, half ? DEIM_PRECISION_FP16 : DEIM_PRECISION_FP32, FALSE, &error);
  g_assert_no_error (error);
  g_autoptr (DeimRun) run = deim_run_new (executor, DEIM_RUN_HOST_INPUTS | DEIM_RUN_POISON | DEIM_RUN_PARTIAL, &error);
  g_assert_no_error (error);
  for (guint i = 0; i < feeds->len; i++) {
    const DeimFeed *feed = &g_array_index (feeds, DeimFeed, i);
    deim_run_write (run, feed->tensor, feed->data);
  }
  deim_run_execute (run, &error);
  g_assert_no_error (error);

  gsize n = deim_shape_size (out->shape);
  g_autofree gfloat *actual = g_new (gfloat, n);
  deim_run_read (run, out, actual);
  check_parts (run, out, actual);
  if (out->type == DEIM_TYPE_INT) {
    g_assert_cmpmem (actual, n * 4, deim_reference_get_int (expected, out), n * 4);
    return;
  }
  const gfloat *reference = deim_reference_get (expected, out);
  gdouble d = distance (actual, reference, n), limit = half ? 4e-3 : 2e-5;
  if (d > limit)
    g_test_message ("%s: [%d, %d, %d, %d] differs by %g", test->name, out->shape.n, out->shape.c, out->shape.h,
                    out->shape.w, d);
  g_assert_cmpfloat (d, <=, limit);
}

static void
test_case (gconstpointer data)
{
  for (gint round = 0; round < ROUNDS; round++) {
    run_case (data, FALSE);
    run_case (data, TRUE);
  }
}

/* An op without a case would pass unseen. */
static void
test_all_named (void)
{
  for (guint i = 0; deim_op_table[i]; i++) {
    gboolean found = FALSE;
    for (guint k = 0; k < G_N_ELEMENTS (cases); k++)
      found |= strcmp (cases[k].name, deim_op_table[i]->name) == 0;
    if (!found)
      g_test_message ("no case for op %s", deim_op_table[i]->name);
    g_assert_true (found);
  }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  const gchar *seed = g_getenv ("DEIM_TEST_SEED");
  guint32 number = seed ? (guint32) g_ascii_strtoull (seed, NULL, 10) : g_random_int ();
  g_test_message ("DEIM_TEST_SEED=%u", number);
  rng = g_rand_new_with_seed (number);
  g_autoptr (GError) error = NULL;
  gpu = deim_gpu_open (NULL, NULL, &error);
  g_assert_no_error (error);

  g_test_add_func ("/ops/all-named", test_all_named);
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree gchar *path = g_strconcat ("/ops/", cases[i].name, NULL);
    g_test_add_data_func (path, &cases[i], test_case);
  }
  int status = g_test_run ();
  deim_gpu_unref (gpu);
  g_rand_free (rng);
  return status;
}
