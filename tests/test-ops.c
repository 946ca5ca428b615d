/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-ops.c - every operator of the table: shader against reference over random legal shapes, on whatever device is
 * there, in fp32 and fp16 storage. The arena is poisoned with NaN, so an element that a shader leaves unwritten shows.
 *
 * Convolutions are computed by each variant of their kernels as well, and sums of means are compared to the bit. The
 * operators and their shapes stand in op-cases.c; test-gradients.c checks that none is missing.
 *
 * DEIM_TEST_SEED=n repeats a run.
 */
#include <math.h>
#include <string.h>

#include "engine/executor-private.h"
#include "engine/graph/op.h"
#include "engine/graph/reference.h"
#include "engine/half.h"
#include "engine/ops/conv2d.h"
#include "engine/ops/op.h"
#include "op-cases.h"

#define ROUNDS         12
#define VARIANT_ROUNDS 2

/* --------------------------------------------------------------- comparing */

static DeimGpu *gpu;

/* What a broken network may hand to a selection: no number, infinities, and equal scores. */
static void
spoil (gfloat *values, gsize n)
{
  static const gfloat odd[] = { NAN, INFINITY, -INFINITY, 0.5f, 0.5f, -0.0f };
  for (gsize i = 0; i < n; i++)
    if (op_pick (0, 3) == 0)
      values[i] = odd[op_pick (0, G_N_ELEMENTS (odd) - 1)];
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

static gboolean
is_on (DeimDecision decision)
{
  return deim_gpu_get_policy (gpu)->on[decision];
}

/* Whether a convolution is computed by a variant whose name begins so. */
static gboolean
got_variant (const DeimExecutor *executor, const gchar *variant)
{
  for (guint i = 0; i < executor->list->choices->len; i++)
    if (g_str_has_prefix (g_array_index (executor->list->choices, DeimChoice, i).variant, variant))
      return TRUE;
  return FALSE;
}

/* With @variant (nullable) of the kernel wherever it is legal; FALSE where it is not, and nothing is compared. */
static gboolean
run_case (const OpCase *test, DeimPrecision precision, const gchar *variant)
{
  gboolean half = precision == DEIM_PRECISION_FP16;
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
    gfloat *data = op_random_values (n, -2, 2);
    if (test->odd_scores && (g_str_equal (tensor->name, "scores") || g_str_equal (tensor->name, "logits")))
      spoil (data, n);
    round_to_half (tensor, data, n, half);
    g_ptr_array_add (values, data);
    DeimFeed feed = { tensor, data };
    g_array_append_val (feeds, feed);
  }

  g_autoptr (DeimTuning) tuning = variant ? deim_tuning_new_forced (variant) : NULL;
  g_autoptr (DeimExecutor) executor = deim_executor_new (gpu, graph, precision, FALSE, tuning, &error);
  g_assert_no_error (error);
  if (variant && !got_variant (executor, variant))
    return FALSE;
  if (g_str_equal (test->name, "conv2d/winograd") && precision == DEIM_PRECISION_AUTO && !variant)
    g_assert_cmpint (got_variant (executor, "winograd-"), ==, is_on (DEIM_DECISION_WINOGRAD));

  g_autoptr (DeimReferenceRun) expected = NULL;
  deim_reference_run (graph, (DeimFeed *) feeds->data, feeds->len, NULL, &expected, &error);
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
    return TRUE;
  }
  const gfloat *reference = deim_reference_get (expected, out);
  /* What is kept in fp32 is rounded for products of matrices, and nowhere else. */
  gboolean rounded = half && (!test->kept || got_variant (executor, "matrix-"));
  gdouble d = op_distance (actual, reference, n), limit = rounded ? 4e-3 : 2e-5;
  if (d > limit)
    g_test_message ("%s: [%d, %d, %d, %d] differs by %g", test->name, out->shape.n, out->shape.c, out->shape.h,
                    out->shape.w, d);
  g_assert_cmpfloat (d, <=, limit);
  return TRUE;
}

static void
test_case (gconstpointer data)
{
  const OpCase *test = data;
  for (gint round = 0; round < ROUNDS; round++) {
    run_case (data, DEIM_PRECISION_FP32, NULL);
    run_case (data, DEIM_PRECISION_FP16, NULL);
    if (g_str_has_prefix (test->name, "conv2d"))
      run_case (data, DEIM_PRECISION_AUTO, NULL); /* by Winograd */
  }
}

/* Windows of means, and whether a CPU computes several rows of them at a time. */
static const struct {
  gint kernel, stride, pad;
  gboolean several;
} means[] = { { 2, 1, 0, TRUE }, { 2, 2, 0, FALSE }, { 3, 2, 1, TRUE } };

/* Sums of a mean go in the order of PyTorch's CPU kernel (avg_pool2d), to the bit: another one moves single queries
 * beyond the goldens' limits. Devices are taken to round to the nearest, as all do and Vulkan does not ask. */
static void
test_order_of_sums (void)
{
  const gint side = 41, channels = 8;
  for (guint m = 0; m < G_N_ELEMENTS (means); m++) {
    g_autoptr (GError) error = NULL;
    gint kernel = means[m].kernel, stride = means[m].stride, pad = means[m].pad;
    DeimGraph *graph = deim_graph_new (NULL);
    DeimTensor *x = deim_input (graph, "x", (DeimShape){ 1, channels, side, side });
    DeimTensor *y = deim_avg_pool (graph, x, kernel, stride, pad);
    deim_graph_mark_output (graph, y);
    deim_graph_finish (graph, &error);
    g_assert_no_error (error);
    g_autoptr (DeimExecutor) executor = deim_executor_new (gpu, graph, DEIM_PRECISION_FP32, FALSE, NULL, &error);
    g_assert_no_error (error);
    guint32 rows = g_array_index (executor->list->dispatches, DeimDispatch, 0).spec[2]; /* ROWS of pool.comp */
    g_assert_cmpint (rows > 1, ==, means[m].several && is_on (DEIM_DECISION_CPU));
    g_autoptr (DeimRun) run = deim_run_new (executor, DEIM_RUN_HOST_INPUTS | DEIM_RUN_POISON, &error);
    g_assert_no_error (error);
    g_autofree gfloat *in = op_random_values (deim_shape_size (x->shape), -2, 2);
    g_autofree gfloat *out = g_new (gfloat, deim_shape_size (y->shape));
    deim_run_write (run, x, in);
    deim_run_execute (run, &error);
    g_assert_no_error (error);
    deim_run_read (run, y, out);

    const gfloat *actual = out;
    for (gint plane = 0; plane < channels; plane++)
      for (gint oy = 0; oy < y->shape.h; oy++)
        for (gint ox = 0; ox < y->shape.w; ox++) {
          gfloat sum = 0;
          for (gint iy = oy * stride - pad; iy < oy * stride - pad + kernel; iy++)
            for (gint ix = ox * stride - pad; ix < ox * stride - pad + kernel; ix++)
              if (ix >= 0 && ix < side && iy >= 0 && iy < side)
                sum += in[(plane * side + iy) * side + ix];
          g_assert_cmpfloat (*actual++, ==, sum * (1.0f / (gfloat) (kernel * kernel)));
        }
  }
}

/* A variant that `deim tune` may choose, on the convolutions that allow it. */
static void
test_variant (gconstpointer variant)
{
  guint n = 0;
  for (gint round = 0; round < VARIANT_ROUNDS; round++)
    for (guint i = 0; op_cases[i].name; i++)
      if (g_str_has_prefix (op_cases[i].name, "conv2d")) {
        n += run_case (&op_cases[i], DEIM_PRECISION_FP16, variant);
        n += run_case (&op_cases[i], DEIM_PRECISION_AUTO, variant);
      }
  gboolean cpu = is_on (DEIM_DECISION_CPU);
  /* Two tiles need more shared memory than lavapipe has. */
  gboolean large = g_str_equal (variant, "matrix-16x32") || g_str_equal (variant, "matrix-8x16-long");
  gboolean has_room =
      is_on (DEIM_DECISION_COOPMAT) && (!large || deim_gpu_get_properties (gpu)->max_shared_bytes >= 49152);
  if (cpu && g_str_has_prefix (variant, "winograd-"))
    g_assert_cmpint (n > 0, ==, is_on (DEIM_DECISION_WINOGRAD));
  else if (cpu ? g_str_has_prefix (variant, "rows-")
               : g_str_has_prefix (variant, "tile-") || (has_room && g_str_has_prefix (variant, "matrix-")))
    g_assert_cmpuint (n, >, 0);
  else if (n == 0)
    g_test_skip ("the device has no use for it");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  const gchar *seed = g_getenv ("DEIM_TEST_SEED");
  guint32 number = seed ? (guint32) g_ascii_strtoull (seed, NULL, 10) : g_random_int ();
  g_test_message ("DEIM_TEST_SEED=%u", number);
  op_rng = g_rand_new_with_seed (number);
  g_autoptr (GError) error = NULL;
  gpu = deim_gpu_open (NULL, NULL, &error);
  g_assert_no_error (error);

  for (guint i = 0; op_cases[i].name; i++) {
    g_autofree gchar *path = g_strconcat ("/ops/", op_cases[i].name, NULL);
    g_test_add_data_func (path, &op_cases[i], test_case);
  }
  g_test_add_func ("/ops/order-of-sums", test_order_of_sums);
  for (const gchar *const *variant = deim_conv2d_get_variants (); *variant; variant++) {
    g_autofree gchar *path = g_strconcat ("/ops/variant/", *variant, NULL);
    g_test_add_data_func (path, *variant, test_variant);
  }
  int status = g_test_run ();
  deim_gpu_unref (gpu);
  g_rand_free (op_rng);
  return status;
}
