/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-gradients.c - every operator's gradient: the reference against finite differences of the forward reference, and
 * the shaders against the reference, over random legal shapes, with a poisoned arena. Also the parts of differentiation
 * that no single operator shows: sums over several readers, detached tensors, parts.
 *
 * DEIM_TEST_SEED=n repeats a run.
 */
#include <math.h>
#include <string.h>

#include "engine/executor.h"
#include "engine/graph/reference.h"
#include "engine/half.h"
#include "engine/ops/op.h"
#include "op-cases.h"

#define ROUNDS     8
#define PROBES     6 /* numbers of a tensor that are varied */
#define STEP       (1.0f / 64)
#define HALF_LIMIT 2e-2 /* 0.0026 was seen; a tensor read in the wrong precision is off by far more */

static DeimGpu *gpu;
static gdouble worst[2];     /* distances seen, with fp32 and with fp16 activations */
static GHashTable *compared; /* names of the ops whose shaders were compared here */

/* A differentiated graph with values for its inputs. */
typedef struct {
  DeimGraph *graph;
  DeimTensor *out, *seed;
  GArray *feeds; /* of DeimFeed; its arrays are owned */
  guint last;    /* the last node that is not of the gradient */
  gboolean half; /* activations are stored as fp16, as DeimTrainingOptions has it */
} Case;

static void
case_clear (Case *c)
{
  for (guint i = 0; i < c->feeds->len; i++)
    g_free ((gpointer) g_array_index (c->feeds, DeimFeed, i).data);
  g_array_unref (c->feeds);
  deim_graph_free (c->graph);
}

/* FALSE where nothing flows back from the output. */
static gboolean
case_init (Case *c, DeimTensor *(*append) (DeimGraph *graph), gboolean half)
{
  g_autoptr (GError) error = NULL;
  *c = (Case){ .graph = deim_graph_new (NULL), .feeds = g_array_new (FALSE, FALSE, sizeof (DeimFeed)), .half = half };
  c->out = append (c->graph);
  c->last = deim_graph_get_n_nodes (c->graph) - 1;
  for (guint i = 0; i < deim_graph_get_n_tensors (c->graph); i++) {
    DeimTensor *tensor = deim_graph_get_tensor (c->graph, i);
    if (tensor->kind == DEIM_TENSOR_INPUT && tensor->type == DEIM_TYPE_FLOAT)
      tensor->trained = TRUE;
  }
  deim_graph_mark_output (c->graph, c->out);
  deim_graph_differentiate (c->graph, &deim_accumulation, &c->out, 1, &c->seed, &error);
  g_assert_no_error (error);
  if (!c->seed) {
    case_clear (c);
    return FALSE;
  }
  for (guint i = 0; i < deim_graph_get_n_tensors (c->graph); i++) {
    DeimTensor *tensor = deim_graph_get_tensor (c->graph, i);
    g_assert_true (!tensor->gradient || tensor->gradient->keep_fp32);
    if (tensor->kind != DEIM_TENSOR_INPUT)
      continue;
    gsize n = deim_shape_size (tensor->shape);
    gfloat *values = op_random_values (n, -2, 2);
    for (gsize k = 0; k < n && half && !tensor->keep_fp32; k++)
      values[k] = deim_half_to_float (deim_half_from_float (values[k]));
    DeimFeed feed = { tensor, values };
    g_array_append_val (c->feeds, feed);
  }
  return TRUE;
}

static gfloat *
case_values (Case *c, const DeimTensor *tensor)
{
  if (tensor->data)
    return tensor->data;
  for (guint i = 0; i < c->feeds->len; i++)
    if (g_array_index (c->feeds, DeimFeed, i).tensor == tensor)
      return (gfloat *) g_array_index (c->feeds, DeimFeed, i).data;
  return NULL;
}

/* ------------------------------------------------------ finite differences */

static gboolean
stop_after (const DeimNode *node, const gfloat *const *out, gpointer data)
{
  return node->id != *(guint *) data;
}

/* The output with @step added to *@value. */
static gfloat *
output (Case *c, gfloat *value, gfloat step)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (DeimReferenceRun) run = NULL;
  DeimReferenceOptions options = { .inspect = stop_after, .inspect_data = &c->last };
  gfloat before = *value;
  *value += step;
  deim_reference_run (c->graph, (DeimFeed *) c->feeds->data, c->feeds->len, &options, &run, &error);
  g_assert_no_error (error);
  *value = before;
  return g_memdup2 (deim_reference_get (run, c->out), deim_shape_size (c->out->shape) * sizeof (gfloat));
}

/* The slope of the loss, whose gradient with respect to the output is the seed, in *@value: of each of its addends, one
 * an element of the output, from below to above. */
typedef struct {
  gdouble *slope, *noise; /* the latter of rounding the outputs to float */
  gdouble *bend;          /* how much the slopes to both sides differ */
} Difference;

static void
difference_clear (Difference *d)
{
  g_free (d->slope);
  g_free (d->noise);
  g_free (d->bend);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Difference, difference_clear)

static Difference
differ (Case *c, gfloat *value, const gfloat *middle, gfloat step)
{
  g_autofree gfloat *high = output (c, value, step), *low = output (c, value, -step);
  gdouble above = (gdouble) (*value + step) - *value, below = (gdouble) *value - (*value - step);
  const gfloat *seed = case_values (c, c->seed);
  gsize n = deim_shape_size (c->out->shape);
  Difference d = { g_new (gdouble, n), g_new0 (gdouble, n), g_new (gdouble, n) };
  for (gsize i = 0; i < n; i++) {
    gdouble up = ((gdouble) high[i] - middle[i]) * seed[i], down = ((gdouble) middle[i] - low[i]) * seed[i];
    d.slope[i] = (up + down) / (above + below);
    d.bend[i] = fabs (up / above - down / below);
    if (high[i] != low[i])
      d.noise[i] = (fabs (high[i]) + fabs (low[i])) * fabs (seed[i]) * 6e-8 / (above + below);
  }
  return d;
}

typedef struct {
  gdouble slope, noise;
  gdouble doubt; /* what corners of the function between both ends may have added */
} Estimate;

/* From two differences, of a step and of half of it. Of a smooth addend the bend halves with the step, and both slopes
 * agree but for an error of second order, which is taken out. One with a corner close to the middle keeps its bend and
 * may be off by half of it; one with a corner further out has slopes that disagree by at least a third of its error.
 * Such errors may cancel in the sum of either step, so that they are looked for in each addend. */
static Estimate
estimate (const Difference *coarse, const Difference *fine, gsize n)
{
  Estimate e = { 0 };
  for (gsize i = 0; i < n; i++) {
    gdouble change = fabs (coarse->slope[i] - fine->slope[i]), noise = 4 * fine->noise[i];
    e.slope += (4 * fine->slope[i] - coarse->slope[i]) / 3;
    e.noise += fine->noise[i] * fine->noise[i];
    if (change > noise)
      e.doubt += 3 * change;
    if (fine->bend[i] > 4 * noise && fine->bend[i] > 0.75 * coarse->bend[i])
      e.doubt += fine->bend[i] / 2;
  }
  e.noise = sqrt (e.noise);
  return e;
}

/* Varies some numbers of @tensor. Those near a corner of the function say nothing. */
static void
check_differences (Case *c, const gchar *name, DeimTensor *tensor, const gfloat *gradient, guint *conclusive,
                   guint *probes)
{
  gsize n = deim_shape_size (tensor->shape);
  gfloat *values = case_values (c, tensor);
  g_autofree gfloat *middle = output (c, values, 0);
  gdouble largest = 0;
  for (gsize i = 0; i < n; i++)
    largest = MAX (largest, fabs (gradient[i]));
  for (guint k = 0; k < PROBES; k++) {
    gsize i = (gsize) op_pick (0, (gint) n - 1);
    g_auto (Difference) coarse = differ (c, values + i, middle, STEP), fine = differ (c, values + i, middle, STEP / 2);
    Estimate e = estimate (&coarse, &fine, deim_shape_size (c->out->shape));
    gdouble tolerance = 1e-3 * largest + 10 * e.noise + 1e-5;
    (*probes)++;
    if (e.doubt > MAX (tolerance, 0.05 * fabs (e.slope)))
      continue;
    (*conclusive)++;
    tolerance += e.doubt;
    if (fabs (gradient[i] - e.slope) > tolerance)
      g_error ("%s: the gradient of %s [%d, %d, %d, %d] at %" G_GSIZE_FORMAT " is %g; differences say %g +- %g", name,
               tensor->name ? tensor->name : "a parameter", tensor->shape.n, tensor->shape.c, tensor->shape.h,
               tensor->shape.w, i, gradient[i], e.slope, tolerance);
  }
}

/* ------------------------------------------------------------- on the device */

static void
compare_device (Case *c, const gchar *name, const DeimReferenceRun *expected)
{
  g_autoptr (GError) error = NULL;
  DeimGraph *graph = g_steal_pointer (&c->graph);
  for (guint i = 0; i < deim_graph_get_n_nodes (graph); i++)
    g_hash_table_add (compared, (gpointer) deim_graph_get_node (graph, i)->op->name);
  DeimPrecision precision = c->half ? DEIM_PRECISION_FP16 : DEIM_PRECISION_FP32;
  g_autoptr (DeimExecutor) executor = deim_executor_new (gpu, graph, precision, FALSE, NULL, &error);
  g_assert_no_error (error);
  g_autoptr (DeimRun) run = deim_run_new (executor, DEIM_RUN_HOST_INPUTS | DEIM_RUN_POISON, &error);
  g_assert_no_error (error);
  for (guint i = 0; i < c->feeds->len; i++)
    deim_run_write (run, g_array_index (c->feeds, DeimFeed, i).tensor, g_array_index (c->feeds, DeimFeed, i).data);
  deim_run_execute (run, &error);
  g_assert_no_error (error);
  for (guint i = 0; i < deim_graph_get_n_tensors (graph); i++) {
    DeimTensor *tensor = deim_graph_get_tensor (graph, i);
    if (!deim_graph_is_output (graph, tensor))
      continue;
    gsize n = deim_shape_size (tensor->shape);
    g_autofree gfloat *actual = g_new (gfloat, n);
    const gfloat *reference = deim_reference_get (expected, tensor);
    if (!reference) /* an input's gradient may be the seed itself */
      reference = case_values (c, tensor);
    deim_run_read (run, tensor, actual);
    gdouble d = op_distance (actual, reference, n);
    worst[c->half] = MAX (worst[c->half], d);
    if (d > (c->half ? HALF_LIMIT : 3e-5))
      g_error ("%s: %s [%d, %d, %d, %d] of %s differs by %g", name, tensor == c->out ? "the output" : "a gradient",
               tensor->shape.n, tensor->shape.c, tensor->shape.h, tensor->shape.w,
               tensor->producer ? tensor->producer->op->name : "the inputs", d);
  }
}

/* -------------------------------------------------------------------- tests */

/* The batch's statistics are results, too. */
static void
mark_statistics (DeimGraph *graph)
{
  for (guint i = 0; i < deim_graph_get_n_nodes (graph); i++) {
    const DeimNode *node = deim_graph_get_node (graph, i);
    for (guint k = 1; k < node->n_out && !node->backward; k++)
      deim_graph_mark_output (graph, node->out[k]);
  }
}

static void
run_case (const gchar *name, DeimTensor *(*append) (DeimGraph *graph), gboolean half, guint *conclusive, guint *probes)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (DeimReferenceRun) run = NULL;
  Case c;
  if (!case_init (&c, append, half))
    return;
  mark_statistics (c.graph);
  deim_reference_run (c.graph, (DeimFeed *) c.feeds->data, c.feeds->len, NULL, &run, &error);
  g_assert_no_error (error);
  for (guint i = 0; i < deim_graph_get_n_tensors (c.graph); i++) {
    DeimTensor *tensor = deim_graph_get_tensor (c.graph, i);
    if (!tensor->trained || !tensor->gradient)
      continue;
    const gfloat *gradient = deim_reference_get (run, tensor->gradient);
    check_differences (&c, name, tensor, gradient ? gradient : case_values (&c, tensor->gradient), conclusive, probes);
  }
  compare_device (&c, name, run);
  case_clear (&c);
}

static void
test_case (gconstpointer data)
{
  const OpCase *test = data;
  guint conclusive = 0, probes = 0;
  for (gint round = 0; round < ROUNDS; round++)
    run_case (test->name, test->append, round % 4 == 3, &conclusive, &probes);
  if (!probes)
    g_test_skip ("it has no gradient");
  else
    g_test_message ("%u of %u probes away from corners; worst so far %g, %g with fp16", conclusive, probes, worst[0],
                    worst[1]);
  g_assert_cmpuint (2 * conclusive, >=, probes);
}

/* ------------------------------------------------------------ several readers */

/* Read whole, twice, and in parts that overlap and leave gaps. */
static DeimTensor *
append_readers (DeimGraph *graph)
{
  gint c = op_pick (6, 20), h = op_pick (1, 5), w = op_pick (1, 5), n = op_pick (1, 2), cut = op_pick (1, c - 2);
  DeimTensor *x = deim_input (graph, "x", (DeimShape){ n, c, h, w });
  DeimTensor *y = deim_act (graph, x, DEIM_ACT_SILU);
  DeimTensor *first = deim_act (graph, deim_slice (graph, y, TRUE, 0, cut), DEIM_ACT_SIGMOID);
  DeimTensor *second = deim_slice (graph, y, TRUE, cut, c - cut);
  DeimTensor *middle = deim_act (graph, deim_slice (graph, y, TRUE, 1, c - 2), DEIM_ACT_GELU);
  DeimTensor *parts[] = { deim_mul (graph, y, y), second, first, middle, y };
  return deim_concat (graph, parts, 5, TRUE);
}

/* One part alone, of channels and of positions: what is around it is zero. */
static DeimTensor *
append_part (DeimGraph *graph)
{
  gint c = op_pick (3, 20), t = op_pick (3, 30), n = op_pick (1, 2);
  DeimTensor *y = deim_act (graph, deim_input (graph, "x", (DeimShape){ n, c, 1, t }), DEIM_ACT_SILU);
  if (op_pick (0, 1))
    return deim_act (graph, deim_slice (graph, y, TRUE, 1, c - 2), DEIM_ACT_SIGMOID);
  return deim_act (graph, deim_slice (graph, y, FALSE, 1, t - 2), DEIM_ACT_SIGMOID);
}

/* x + detach (x)^2, of which only the first term has a slope: seen by hand, as differences see both. */
static void
test_detach (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (DeimGraph) graph = deim_graph_new (NULL);
  DeimTensor *x = deim_input (graph, "x", (DeimShape){ 1, 2, 1, 3 }), *seed;
  x->trained = TRUE;
  DeimTensor *still = deim_detach (graph, deim_act (graph, x, DEIM_ACT_RELU));
  DeimTensor *y = deim_add (graph, x, deim_mul (graph, still, still));
  deim_graph_differentiate (graph, &deim_accumulation, &y, 1, &seed, &error);
  g_assert_no_error (error);
  g_assert_nonnull (seed);
  g_assert_true (x->gradient == seed);

  g_autoptr (DeimGraph) other = deim_graph_new (NULL);
  x = deim_input (other, "x", (DeimShape){ 1, 2, 1, 3 });
  x->trained = TRUE;
  y = deim_act (other, deim_detach (other, x), DEIM_ACT_RELU);
  deim_graph_differentiate (other, &deim_accumulation, &y, 1, &seed, &error);
  g_assert_no_error (error);
  g_assert_null (seed);
  g_assert_null (x->gradient);
  g_assert_cmpuint (deim_graph_get_n_nodes (other), ==, 2);
}

/* A parameter under two layers: its gradient is the sum of both, and plain like itself. */
static DeimTensor *
append_shared (DeimGraph *graph)
{
  gint c = op_pick (1, 9), n = op_pick (1, 2);
  g_autofree gfloat *values = op_random_values ((gsize) (c * c), -1, 1);
  DeimTensor *weight = deim_const (graph, NULL, (DeimShape){ c, c, 1, 1 }, values);
  weight->plain = weight->trained = TRUE;
  DeimTensor *x = deim_input (graph, "x", (DeimShape){ n, c, 1, op_pick (1, 30) });
  return deim_linear (graph, deim_act (graph, deim_linear (graph, x, weight, NULL), DEIM_ACT_SIGMOID), weight, NULL);
}

/* What is detached counts as a constant. */
static DeimTensor *
append_detached (DeimGraph *graph)
{
  DeimShape shape = { op_pick (1, 2), op_pick (1, 9), 1, op_pick (1, 9) };
  DeimTensor *a = deim_input (graph, "a", shape), *b = deim_input (graph, "b", shape);
  return deim_mul (graph, a, deim_detach (graph, deim_act (graph, b, DEIM_ACT_SILU)));
}

static const OpCase structures[] = {
  { "readers", append_readers },
  { "part", append_part },
  { "shared", append_shared },
  { "detached", append_detached },
};

/* An op that nothing compares would pass unseen. */
static void
test_all_ops (void)
{
  for (guint i = 0; deim_op_table[i]; i++) {
    gboolean found = g_hash_table_contains (compared, deim_op_table[i]->name);
    for (guint k = 0; op_cases[k].name; k++)
      found |= strcmp (op_cases[k].name, deim_op_table[i]->name) == 0;
    if (!found)
      g_error ("no case for op %s", deim_op_table[i]->name);
  }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  const gchar *seed = g_getenv ("DEIM_TEST_SEED");
  guint32 number = seed ? (guint32) g_ascii_strtoull (seed, NULL, 10) : g_random_int ();
  g_test_message ("DEIM_TEST_SEED=%u", number);
  op_rng = g_rand_new_with_seed (number);
  op_cases_train = TRUE;
  compared = g_hash_table_new (g_str_hash, g_str_equal);
  g_autoptr (GError) error = NULL;
  gpu = deim_gpu_open (NULL, NULL, &error);
  g_assert_no_error (error);

  for (guint i = 0; op_cases[i].name; i++) {
    g_autofree gchar *path = g_strconcat ("/gradients/", op_cases[i].name, NULL);
    if (!op_cases[i].odd_scores && !op_cases[i].fused)
      g_test_add_data_func (path, &op_cases[i], test_case);
  }
  for (guint i = 0; i < G_N_ELEMENTS (structures); i++) {
    g_autofree gchar *path = g_strconcat ("/gradients/structure/", structures[i].name, NULL);
    g_test_add_data_func (path, &structures[i], test_case);
  }
  g_test_add_func ("/gradients/detach", test_detach);
  g_test_add_func ("/coverage/all-ops", test_all_ops);
  int status = g_test_run ();
  g_hash_table_unref (compared);
  deim_gpu_unref (gpu);
  g_rand_free (op_rng);
  return status;
}
