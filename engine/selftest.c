/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "selftest.h"

#include <math.h>

#include "engine/error.h"
#include "engine/executor.h"
#include "engine/graph/op.h"
#include "engine/graph/reference.h"
#include "engine/ops/ops.h"

/* Of the largest magnitude. fp16 keeps 11 bits, and errors add up over the few layers here. */
#define LIMIT_FP32 1e-4
#define LIMIT_FP16 2e-2

#define MAX_OUTPUTS 9

typedef struct {
  DeimGraph *graph;
  DeimTensor *input;
  DeimTensor *outputs[MAX_OUTPUTS];
  guint n_outputs;
  guint32 random;
} Network;

/* ------------------------------------------------------------- the network */

/* The same numbers everywhere: -1 .. 1 from a linear congruential generator (Numerical Recipes, section 7.1). */
static gfloat
next_number (guint32 *state)
{
  *state = *state * 1664525u + 1013904223u;
  return (gfloat) (gint32) *state / 2147483648.0f;
}

static DeimTensor *
weight (Network *n, gint rows, gint columns, gint kernel)
{
  DeimShape shape = { rows, columns, kernel, kernel };
  gfloat scale = sqrtf (3.0f / (gfloat) (columns * kernel * kernel));
  g_autofree gfloat *values = g_new (gfloat, deim_shape_size (shape));
  for (gsize i = 0; i < deim_shape_size (shape); i++)
    values[i] = next_number (&n->random) * scale;
  return deim_const (n->graph, NULL, shape, values);
}

static DeimTensor *
linear (Network *n, DeimTensor *x, gint rows)
{
  return x ? deim_linear (n->graph, x, weight (n, rows, x->shape.c, 1), weight (n, rows, 1, 1)) : NULL;
}

static void
output (Network *n, DeimTensor *tensor)
{
  deim_graph_mark_output (n->graph, tensor);
  n->outputs[n->n_outputs++] = tensor;
}

/* A backbone block, what joins maps of different sizes, a convolution of many channels, norms, attention, and a
 * decoder's sampling, selection and integral, each with an output. */
static gboolean
build (Network *n, GError **error)
{
  /* SIDE: maps for which conv.comp takes the tiles of large networks (test-conv2d-variant.c has it, too). Depthwise
   * layers and pools get other rows than in those: test-ops has them. */
  enum { SIDE = 24, CHANNELS = 32, HEADS = 4, QUERIES = 20, MANY = 256 };
  DeimGraph *g = n->graph = deim_graph_new (NULL);
  n->random = 1;
  n->input = deim_input (g, "input", (DeimShape){ 1, 3, 2 * SIDE, 2 * SIDE });
  DeimTensor *x = deim_conv2d (g, n->input, weight (n, CHANNELS, 3, 3), NULL, 2, 1, 1, 1, 1, 1);
  x = deim_act (g, x, DEIM_ACT_SILU);
  DeimTensor *y =
      deim_act (g, deim_conv2d (g, x, weight (n, CHANNELS, CHANNELS, 3), NULL, 1, 1, 1, 1, 1, 1), DEIM_ACT_RELU);
  y = deim_conv2d (g, y, weight (n, CHANNELS, 1, 3), NULL, 1, CHANNELS, 1, 1, 1, 1);
  x = deim_add (g, deim_conv2d (g, y, weight (n, CHANNELS, CHANNELS, 1), NULL, 1, 1, 0, 0, 0, 0), x);
  output (n, x);
  DeimTensor *half = deim_max_pool (g, x, 2, 2, 0, 0, 0, 0, 0);
  output (n, deim_mul (g, deim_upsample2x (g, half), deim_global_mean (g, x)));
  DeimTensor *quarter = deim_max_pool (g, half, 2, 2, 0, 0, 0, 0, 0);
  DeimTensor *wide = deim_conv2d (g, quarter, weight (n, MANY, CHANNELS, 1), NULL, 1, 1, 0, 0, 0, 0);
  output (n, deim_conv2d (g, wide, weight (n, MANY, MANY, 3), NULL, 1, 1, 1, 1, 1, 1));

  DeimTensor *tokens = deim_flatten (g, x);
  tokens = deim_layer_norm (g, tokens, weight (n, CHANNELS, 1, 1), weight (n, CHANNELS, 1, 1), 1e-5f);
  tokens->keep_fp32 = TRUE;
  output (n, tokens);
  output (n, deim_rms_norm (g, tokens, weight (n, CHANNELS, 1, 1), 1e-6f));
  DeimTensor *attended = deim_attention (g, linear (n, tokens, CHANNELS), linear (n, tokens, CHANNELS),
                                         linear (n, tokens, CHANNELS), NULL, HEADS);
  output (n, attended);

  /* Selected by well separated scores, so that rounding changes no index. */
  gfloat scores[SIDE * SIDE];
  for (gint i = 0; i < SIDE * SIDE; i++)
    scores[i] = (gfloat) (i * 37 % (SIDE * SIDE));
  DeimTensor *fixed = deim_const (g, NULL, (DeimShape){ 1, 1, 1, SIDE * SIDE }, scores);
  fixed->keep_fp32 = TRUE;
  DeimTensor *index = deim_topk (g, fixed, QUERIES, FALSE);
  DeimTensor *queries = deim_gather (g, attended, index, 1);
  DeimTensor *boxes = deim_act (g, linear (n, queries, 4), DEIM_ACT_SIGMOID);
  boxes->keep_fp32 = TRUE;
  DeimDeformAttrs deform = {
    .heads = HEADS, .levels = 1, .h = { SIDE }, .w = { SIDE }, .points = { 4 }, .point_scale = { 0.25f }
  };
  DeimTensor *offsets = linear (n, queries, HEADS * 4 * 2), *weights = linear (n, queries, HEADS * 4);
  offsets->keep_fp32 = weights->keep_fp32 = TRUE;
  output (n, deim_deform_attn (g, tokens, offsets, weights, boxes, &deform));

  DeimFdrAttrs fdr = { .reg_scale = 4 };
  for (gint i = 0; i < DEIM_FDR_BINS; i++)
    fdr.bins[i] = (gfloat) (i - DEIM_FDR_BINS / 2) / 8;
  DeimTensor *corners = linear (n, queries, 4 * DEIM_FDR_BINS);
  corners->keep_fp32 = TRUE;
  output (n, deim_fdr (g, corners, boxes, &fdr));
  output (n, deim_lqe_stats (g, corners));
  return deim_graph_finish (g, error);
}

/* --------------------------------------------------------------- comparing */

/* Largest difference, of the largest magnitude; infinite where a result is no number. */
static gdouble
deviation (const gfloat *actual, const gfloat *expected, gsize n)
{
  gdouble worst = 0, scale = 1e-6;
  for (gsize i = 0; i < n; i++) {
    gdouble d = fabs ((gdouble) actual[i] - expected[i]);
    if (!(d <= worst))
      worst = isnan (d) ? INFINITY : d;
    scale = MAX (scale, fabs (expected[i]));
  }
  return worst / scale;
}

gboolean
deim_selftest_computes_rightly (DeimGpu *gpu, gboolean half, const DeimTuning *tuning, GError **error)
{
  Network n = { 0 };
  g_autoptr (DeimReferenceRun) expected = NULL;
  g_autoptr (DeimExecutor) executor = NULL;
  g_autoptr (DeimRun) run = NULL;
  if (!build (&n, error)) {
    deim_graph_free (n.graph);
    return FALSE;
  }
  gsize size = deim_shape_size (n.input->shape);
  g_autofree gfloat *picture = g_new (gfloat, size);
  for (gsize i = 0; i < size; i++)
    picture[i] = next_number (&n.random);
  DeimFeed feed = { n.input, picture };
  if (!deim_reference_run (n.graph, &feed, 1, NULL, &expected, error)) {
    deim_graph_free (n.graph);
    return FALSE;
  }
  executor = deim_executor_new (gpu, n.graph, half ? DEIM_PRECISION_FP16 : DEIM_PRECISION_AUTO, TRUE, tuning, error);
  if (!executor || !(run = deim_run_new (executor, DEIM_RUN_HOST_INPUTS | DEIM_RUN_POISON, error)))
    return FALSE;
  deim_run_write (run, n.input, picture);
  if (!deim_run_execute (run, error))
    return FALSE;

  gboolean right = TRUE;
  for (guint i = 0; i < n.n_outputs; i++) {
    gsize count = deim_shape_size (n.outputs[i]->shape);
    g_autofree gfloat *actual = g_new (gfloat, count);
    deim_run_read (run, n.outputs[i], actual);
    gdouble d = deviation (actual, deim_reference_get (expected, n.outputs[i]), count);
    if (!(d <= (half ? LIMIT_FP16 : LIMIT_FP32))) {
      deim_debug ("self-test: output %u of %u deviates by %g", i, n.n_outputs, d);
      right = FALSE;
    }
  }
  return right;
}

/* ------------------------------------------------------------- remembering */

/* What makes a test valid: what was tested, and that nothing is broken on purpose. */
static gchar *
fingerprint (DeimGpu *gpu)
{
  const gchar *broken = g_getenv ("DEIM_TEST_BREAK");
  g_autofree gchar *tested = deim_gpu_fingerprint (gpu);
  return g_strdup_printf ("%s %s\n", tested, broken ? broken : "");
}

static gboolean
is_remembered (const gchar *path, const gchar *print)
{
  g_autofree gchar *text = NULL;
  return path && g_file_get_contents (path, &text, NULL, NULL) && g_str_equal (text, print);
}

/* -------------------------------------------------------------- the search */

static void
warn (DeimGpu *gpu, const gchar *feature)
{
  deim_warning ("%s (%s) computes wrongly with %s, which is turned off; a newer driver may be right, "
                "and DEIM_DISABLE=%s silences this",
                deim_gpu_get_name (gpu), deim_gpu_get_properties (gpu)->driver, feature, feature);
}

/* Turns off one feature after the other until the results are right: first those that cost the least. */
static gboolean
search (DeimGpu *gpu, gboolean *half, GError **error)
{
  static const DeimDecision suspects[] = { DEIM_DECISION_COOPMAT, DEIM_DECISION_FP16,    DEIM_DECISION_WINOGRAD,
                                           DEIM_DECISION_PARK,    DEIM_DECISION_SHUFFLE, DEIM_DECISION_SUBGROUP,
                                           DEIM_DECISION_ADDRESS, DEIM_DECISION_TEXEL };
  const DeimGpuPolicy *policy = deim_gpu_get_policy (gpu);
  GError *problem = NULL;
  for (guint i = 0; i < G_N_ELEMENTS (suspects) && !problem; i++) {
    DeimDecision d = suspects[i];
    const gchar *reason = policy->reason[d];
    gboolean storage = d == DEIM_DECISION_FP16; /* asked for, or decided: what counts is whether it is in use */
    gboolean was_on = policy->on[d];
    if (storage ? !*half : !was_on)
      continue;
    deim_gpu_overrule (gpu, d, FALSE, "the self-test found wrong results");
    if (deim_selftest_computes_rightly (gpu, *half && !storage, NULL, &problem)) {
      *half = *half && !storage;
      warn (gpu, deim_decision_name (d));
      return TRUE;
    }
    deim_gpu_overrule (gpu, d, was_on, reason);
  }
  if (problem)
    g_propagate_error (error, problem);
  else
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_DEVICE,
                 "%s (%s) computes wrongly, whatever is turned off; update its driver or take another device",
                 deim_gpu_get_name (gpu), deim_gpu_get_properties (gpu)->driver);
  return FALSE;
}

gboolean
deim_selftest_run (DeimGpu *gpu, gboolean *half, GError **error)
{
  g_autofree gchar *path = deim_gpu_cache_file (gpu, *half ? ".tested-fp16" : ".tested-fp32");
  g_autofree gchar *print = fingerprint (gpu);
  if (is_remembered (path, print)) {
    deim_debug ("self-test: passed before, with the same build, driver and choices");
    return TRUE;
  }
  GError *problem = NULL;
  if (deim_selftest_computes_rightly (gpu, *half, NULL, &problem)) {
    if (path && !g_file_set_contents (path, print, -1, NULL))
      deim_info ("%s cannot be written: the self-test will run again at the next start", path);
    return TRUE;
  }
  if (problem) {
    g_propagate_error (error, problem);
    return FALSE;
  }
  return search (gpu, half, error);
}
