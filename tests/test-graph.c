/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-graph.c - the graph builder (scopes, taps, parameters, errors) and the reference executor's bookkeeping. */
#include "engine/deim.h"
#include "engine/graph/graph.h"
#include "engine/graph/reference.h"
#include "engine/ops/op.h"

#include <math.h>
#include <string.h>

/* A state dict of a few names: values are 0, 1, 2, ... */
static const struct {
  const gchar *name;
  DeimShape shape;
} params[] = {
  { "net.conv.weight", { 2, 3, 1, 1 } },
  { "net.conv.bias", { 2, 1, 1, 1 } },
  { "net.in_proj_weight", { 6, 2, 1, 1 } },
  { "other", { 1, 1, 1, 1 } },
  { "vast", { G_MAXINT, G_MAXINT, G_MAXINT, G_MAXINT } },
  { "empty", { 0, 1, 1, 1 } },
};

static guint lookups;

static gfloat *
lookup (gpointer data, const gchar *name, DeimShape *ret_shape)
{
  lookups++;
  for (guint i = 0; i < G_N_ELEMENTS (params); i++)
    if (!strcmp (params[i].name, name)) {
      *ret_shape = params[i].shape;
      gsize n = MIN (deim_shape_size (params[i].shape), 12); /* the last two are lies */
      gfloat *values = g_new (gfloat, n + 1);
      for (gsize j = 0; j < n; j++)
        values[j] = (gfloat) j;
      return values;
    }
  return NULL;
}

static DeimGraph *
new_graph (void)
{
  return deim_graph_new (&(DeimParamSource){ lookup, NULL });
}

/* @graph has failed with a message that contains all of the given words. Frees it. */
static void
expect_error (DeimGraph *graph, const gchar *first, const gchar *second, const gchar *third)
{
  const gchar *words[] = { first, second, third };
  g_autoptr (GError) error = NULL;
  g_assert_true (deim_graph_has_failed (graph));
  g_assert_false (deim_graph_finish (graph, &error));
  g_assert_error (error, DEIM_ERROR, DEIM_ERROR_ARCHITECTURE);
  for (guint i = 0; i < 3; i++)
    if (words[i] && !strstr (error->message, words[i]))
      g_error ("\"%s\" does not say \"%s\"", error->message, words[i]);
  deim_graph_free (graph);
}

static void
expect_success (DeimGraph *graph)
{
  g_autoptr (GError) error = NULL;
  g_assert_true (deim_graph_finish (graph, &error));
  g_assert_no_error (error);
}

/* ----------------------------------------------------------------- builder */

static void
test_params (void)
{
  g_autoptr (DeimGraph) graph = new_graph ();
  deim_graph_push_scope (graph, "net");
  deim_graph_push_scope (graph, "%s", "conv");
  lookups = 0;
  DeimTensor *w = deim_param (graph, "weight");
  g_assert_nonnull (w);
  g_assert_cmpstr (w->name, ==, "net.conv.weight");
  g_assert_cmpint (w->kind, ==, DEIM_TENSOR_PARAM);
  g_assert_cmpfloat (w->data[5], ==, 5);
  g_assert_true (deim_param_shaped (graph, "weight", (DeimShape){ 2, 3, 1, 1 }) == w); /* the same one again */
  g_assert_cmpuint (lookups, ==, 1);
  g_assert_true (deim_graph_find (graph, "net.conv.weight") == w);

  g_assert_true (deim_has_param (graph, "bias"));
  g_assert_false (deim_has_param (graph, "scale"));
  g_assert_false (deim_graph_has_failed (graph));
  g_assert_false (deim_graph_param_is_known (graph, "net.conv.bias")); /* asking is not using */
  deim_param_ignore (graph, "bias");
  deim_param_ignore (graph, "num_batches_tracked");
  deim_graph_pop_scope (graph);

  g_assert_true (deim_graph_param_is_known (graph, "net.conv.weight"));
  g_assert_true (deim_graph_param_is_known (graph, "net.conv.bias"));
  g_assert_true (deim_graph_param_is_known (graph, "net.conv.num_batches_tracked"));
  g_assert_false (deim_graph_param_is_known (graph, "other"));

  DeimTensor *k = deim_param_rows (graph, "in_proj_weight", 2, 3);
  g_assert_cmpint (k->shape.n, ==, 3);
  g_assert_cmpint (k->shape.c, ==, 2);
  g_assert_cmpfloat (k->data[0], ==, 4);
  g_assert_cmpfloat (k->data[5], ==, 9);
  g_assert_true (deim_param_rows (graph, "in_proj_weight", 2, 3) == k);
  g_assert_true (deim_param_rows (graph, "in_proj_weight", 0, 2) != k);
  g_assert_true (deim_graph_param_is_known (graph, "net.in_proj_weight"));
  deim_graph_push_scope (graph, NULL);
  expect_success (graph);
}

static void
test_taps (void)
{
  g_autoptr (DeimGraph) graph = new_graph ();
  DeimTensor *x = deim_input (graph, "images", (DeimShape){ 1, 3, 2, 2 });
  deim_graph_set_stage (graph, "backbone");
  deim_graph_push_scope (graph, "net");
  deim_graph_push_scope (graph, "layers.%d", 4);
  DeimTensor *y = deim_graph_tap (graph, deim_act (graph, x, DEIM_ACT_RELU), NULL);
  g_assert_cmpstr (y->name, ==, "net.layers.4");
  g_assert_cmpstr (y->producer->name, ==, "net.layers.4");
  g_assert_cmpstr (y->producer->stage, ==, "backbone");
  g_assert_true (deim_graph_tap (graph, y, "again") == y); /* an identity module: two names, one tensor */
  g_assert_true (deim_graph_find (graph, "net.layers.4") == y);
  g_assert_true (deim_graph_find (graph, "net.layers.4.again") == y);
  deim_graph_pop_scope (graph);
  g_assert_true (deim_graph_tap (graph, x, "in") == x);
  g_assert_cmpstr (x->name, ==, "images"); /* inputs keep theirs */
  g_assert_true (deim_graph_find (graph, "net.in") == x);
  g_assert_null (deim_graph_find (graph, "net"));
  deim_graph_pop_scope (graph);
  g_assert_null (deim_graph_tap (graph, NULL, "nothing"));

  for (guint i = 0; i < deim_graph_get_n_tensors (graph); i++)
    g_assert_cmpuint (deim_graph_get_tensor (graph, i)->id, ==, i);
  g_assert_cmpuint (deim_graph_get_n_nodes (graph), ==, 1);
  g_assert_null (deim_graph_get_node (graph, 1));
  expect_success (graph);
}

static void
test_param_errors (void)
{
  DeimGraph *graph = new_graph ();
  deim_graph_push_scope (graph, "net");
  g_assert_null (deim_param (graph, "absent.weight"));
  g_assert_null (deim_param (graph, "conv.weight")); /* the first error sticks */
  expect_error (graph, "\"net.absent.weight\"", NULL, NULL);

  graph = new_graph ();
  g_assert_null (deim_param_shaped (graph, "net.conv.weight", (DeimShape){ 2, 4, 1, 1 }));
  expect_error (graph, "\"net.conv.weight\"", "[2, 3, 1, 1]", "[2, 4, 1, 1]");

  graph = new_graph ();
  g_assert_null (deim_param_rows (graph, "net.in_proj_weight", 4, 3));
  expect_error (graph, "\"net.in_proj_weight\" has 6 rows", "4 to 6", NULL);

  graph = new_graph ();
  g_assert_null (deim_param (graph, "vast"));
  expect_error (graph, "\"vast\"", "shape", NULL);

  graph = new_graph ();
  g_assert_null (deim_param (graph, "empty"));
  expect_error (graph, "\"empty\"", "[0, 1, 1, 1]", NULL);
}

static void
test_first_error_sticks (void)
{
  DeimGraph *graph = new_graph ();
  DeimTensor *x = deim_input (graph, "x", (DeimShape){ 1, 3, 4, 4 });
  deim_graph_push_scope (graph, "net.stage");
  deim_graph_fail (graph, "the %s one", "first");
  g_assert_null (deim_act (graph, x, DEIM_ACT_RELU));
  g_assert_null (deim_add (graph, NULL, NULL));
  g_assert_null (deim_input (graph, "y", x->shape));
  g_assert_null (deim_const (graph, "z", (DeimShape){ 1, 1, 1, 1 }, (const gfloat[]){ 1 }));
  deim_graph_fail (graph, "the second one");
  deim_graph_mark_output (graph, NULL);
  g_assert_cmpuint (deim_graph_get_n_nodes (graph), ==, 0);
  expect_error (graph, "net.stage: the first one", NULL, NULL);

  graph = new_graph (); /* a NULL that no error explains is one itself */
  g_assert_null (deim_act (graph, NULL, DEIM_ACT_RELU));
  expect_error (graph, "act", "operand 0", NULL);

  graph = new_graph ();
  deim_graph_push_scope (graph, "left.open");
  g_autoptr (GError) error = NULL;
  g_assert_false (deim_graph_finish (graph, &error));
  g_assert_nonnull (strstr (error->message, "left.open"));
  deim_graph_free (graph);

  graph = new_graph ();
  deim_graph_pop_scope (graph);
  expect_error (graph, "never pushed", NULL, NULL);
}

/* One wrong call of every builder; what its message must say. */
typedef struct {
  DeimGraph *graph;
  DeimTensor *map;        /* [2, 4, 6, 6] */
  DeimTensor *tokens;     /* [2, 4, 1, 10] */
  DeimTensor *four, *two; /* [4, 1, 1, 1], [2, 1, 1, 1] */
  DeimTensor *square;     /* [4, 4, 3, 3] */
  DeimTensor *index;      /* int [2, 1, 1, 3] */
} Wrong;

static DeimTensor *
conv_channels (Wrong *w)
{
  return deim_conv2d (w->graph, w->map, w->square, NULL, 1, 2, 1, 1, 1, 1);
}

static DeimTensor *
conv_bias (Wrong *w)
{
  return deim_conv2d (w->graph, w->map, w->square, w->two, 1, 1, 1, 1, 1, 1);
}

static DeimTensor *
conv_stride (Wrong *w)
{
  return deim_conv2d (w->graph, w->map, w->square, NULL, 0, 1, 1, 1, 1, 1);
}

static DeimTensor *
conv_kernel (Wrong *w)
{
  return deim_conv2d (w->graph, w->tokens, w->square, NULL, 1, 1, 0, 0, 0, 0);
}

static DeimTensor *
linear_map (Wrong *w)
{
  return deim_linear (w->graph, w->map, w->square, NULL);
}

static DeimTensor *
batch_norm_channels (Wrong *w)
{
  return deim_batch_norm (w->graph, w->map, w->four, w->four, w->two, w->four, 1e-5f);
}

static DeimTensor *
affine_size (Wrong *w)
{
  return deim_affine (w->graph, w->map, w->two, w->two);
}

static DeimTensor *
clamp_bounds (Wrong *w)
{
  return deim_act (w->graph, w->map, DEIM_ACT_CLAMP);
}

static DeimTensor *
add_shapes (Wrong *w)
{
  return deim_add (w->graph, w->tokens, w->map);
}

static DeimTensor *
mul_indices (Wrong *w)
{
  return deim_mul (w->graph, w->tokens, w->index);
}

static DeimTensor *
concat_shapes (Wrong *w)
{
  return deim_concat (w->graph, (DeimTensor *[]){ w->map, w->tokens }, 2, TRUE);
}

static DeimTensor *
concat_maps (Wrong *w)
{
  return deim_concat (w->graph, (DeimTensor *[]){ w->map, w->map }, 2, FALSE);
}

static DeimTensor *
slice_end (Wrong *w)
{
  return deim_slice (w->graph, w->map, TRUE, 3, 2);
}

static DeimTensor *
unflatten_size (Wrong *w)
{
  return deim_unflatten (w->graph, w->tokens, 3, 3);
}

static DeimTensor *
pool_window (Wrong *w)
{
  return deim_avg_pool (w->graph, w->map, 9, 1, 1);
}

static DeimTensor *
norm_weight (Wrong *w)
{
  return deim_layer_norm (w->graph, w->map, w->two, w->four, 1e-5f);
}

static DeimTensor *
attention_heads (Wrong *w)
{
  return deim_attention (w->graph, w->tokens, w->tokens, w->tokens, NULL, 3);
}

static DeimTensor *
attention_keys (Wrong *w)
{
  return deim_attention (w->graph, w->tokens, w->map, w->map, NULL, 2);
}

static DeimTensor *
topk_many (Wrong *w)
{
  return deim_topk (w->graph, w->tokens, 11, FALSE);
}

static DeimTensor *
gather_floats (Wrong *w)
{
  return deim_gather (w->graph, w->tokens, w->tokens, 1);
}

static DeimTensor *
deform_levels (Wrong *w)
{
  DeimDeformAttrs a = { .heads = 2, .levels = 1, .h = { 3 }, .w = { 3 }, .points = { 1 }, .point_scale = { 1 } };
  return deim_deform_attn (w->graph, w->tokens, w->tokens, w->tokens, w->tokens, &a);
}

static DeimTensor *
deform_offsets (Wrong *w)
{
  DeimDeformAttrs a = { .heads = 2, .levels = 1, .h = { 2 }, .w = { 5 }, .points = { 1 }, .point_scale = { 1 } };
  return deim_deform_attn (w->graph, w->tokens, w->tokens, w->tokens, w->tokens, &a);
}

static DeimTensor *
fdr_bins (Wrong *w)
{
  return deim_fdr (w->graph, w->tokens, w->tokens, &(DeimFdrAttrs){ .reg_scale = 4 });
}

static DeimTensor *
lqe_bins (Wrong *w)
{
  return deim_lqe_stats (w->graph, w->tokens);
}

static DeimTensor *
detections_many (Wrong *w)
{
  return deim_detections (w->graph, w->tokens, w->tokens, 41);
}

static void
test_shape_errors (void)
{
  static const struct {
    DeimTensor *(*build) (Wrong *w);
    const gchar *op, *first, *second;
  } rows[] = {
    { conv_channels, "conv2d", "[2, 4, 6, 6]", "[4, 4, 3, 3]" },
    { conv_bias, "conv2d", "[2, 1, 1, 1]", "[4, 4, 3, 3]" },
    { conv_stride, "conv2d", "stride 0", NULL },
    { conv_kernel, "conv2d", "[2, 4, 1, 10]", "[4, 4, 3, 3]" },
    { linear_map, "conv2d", "[2, 4, 6, 6]", "[4, 4, 3, 3]" },
    { batch_norm_channels, "batch_norm", "[2, 4, 6, 6]", "[2, 1, 1, 1]" },
    { affine_size, "affine", "[2, 1, 1, 1]", NULL },
    { clamp_bounds, "act", "bounds", NULL },
    { add_shapes, "add", "[2, 4, 1, 10]", "[2, 4, 6, 6]" },
    { mul_indices, "mul", "operand 1", "indices" },
    { concat_shapes, "concat", "[2, 4, 6, 6]", "[2, 4, 1, 10]" },
    { concat_maps, "concat", "[2, 4, 6, 6]", NULL },
    { slice_end, "slice", "3 to 4", "[2, 4, 6, 6]" },
    { unflatten_size, "unflatten", "3x3", "[2, 4, 1, 10]" },
    { pool_window, "avg_pool", "9x9", "[2, 4, 6, 6]" },
    { norm_weight, "layer_norm", "[2, 4, 6, 6]", "[2, 1, 1, 1]" },
    { attention_heads, "attention", "3 heads", "[2, 4, 1, 10]" },
    { attention_keys, "attention", "[2, 4, 1, 10]", "[2, 4, 6, 6]" },
    { topk_many, "topk", "11", "[2, 4, 1, 10]" },
    { gather_floats, "gather", "indices", NULL },
    { deform_levels, "deform_attn", "levels", "[2, 4, 1, 10]" },
    { deform_offsets, "deform_attn", "offsets", "[2, 4, 1, 10]" },
    { fdr_bins, "fdr", "33", "[2, 4, 1, 10]" },
    { lqe_bins, "lqe_stats", "33", "[2, 4, 1, 10]" },
    { detections_many, "detections", "41", "[2, 4, 1, 10]" },
  };
  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    Wrong w = { .graph = new_graph () };
    w.map = deim_input (w.graph, "map", (DeimShape){ 2, 4, 6, 6 });
    w.tokens = deim_input (w.graph, "tokens", (DeimShape){ 2, 4, 1, 10 });
    w.four = deim_input (w.graph, NULL, (DeimShape){ 4, 1, 1, 1 });
    w.two = deim_input (w.graph, NULL, (DeimShape){ 2, 1, 1, 1 });
    w.square = deim_input (w.graph, NULL, (DeimShape){ 4, 4, 3, 3 });
    w.index = deim_topk (w.graph, w.tokens, 3, FALSE);
    deim_graph_push_scope (w.graph, "some.module");
    g_assert_false (deim_graph_has_failed (w.graph));
    g_assert_null (rows[i].build (&w));
    g_autofree gchar *start = g_strdup_printf ("some.module: %s: ", rows[i].op);
    expect_error (w.graph, start, rows[i].first, rows[i].second);
  }
}

/* What the builders promise of kinds: boxes stay fp32 through views and sums, and convolutions end that. */
static void
test_keep_fp32 (void)
{
  g_autoptr (DeimGraph) graph = new_graph ();
  DeimTensor *x = deim_input (graph, "x", (DeimShape){ 1, 3, 1, 5 });
  g_assert_false (deim_act (graph, x, DEIM_ACT_SIGMOID)->keep_fp32);
  x->keep_fp32 = TRUE;
  g_assert_true (deim_act (graph, x, DEIM_ACT_SIGMOID)->keep_fp32);
  g_assert_true (deim_slice (graph, x, TRUE, 0, 1)->keep_fp32);
  g_assert_false (deim_linear (graph, x, deim_param (graph, "net.conv.weight"), NULL)->keep_fp32);
  expect_success (graph);
}

static void
test_table (void)
{
  guint n = 0;
  for (; deim_op_table[n]; n++) {
    g_assert_nonnull (deim_op_table[n]->reference);
    g_assert_true (deim_op_find (deim_op_table[n]->name) == deim_op_table[n]);
  }
  g_assert_cmpuint (n, >=, 23);
  g_assert_null (deim_op_find ("no such op"));
}

/* ---------------------------------------------------------------- executor */

typedef struct {
  guint calls, stop_after;
  gfloat last;
} Inspection;

static gboolean
inspect (const DeimNode *node, const gfloat *const *out, gpointer data)
{
  Inspection *i = data;
  g_assert_cmpuint (node->id, ==, i->calls);
  i->last = out[0][0];
  return ++i->calls != i->stop_after;
}

/* x -> +1 (tap a) -> +1 (tap b) -> +1 (output), and x * a at the end, which needs a for longer */
typedef struct {
  DeimGraph *graph;
  DeimTensor *x, *a, *b, *y, *z;
} Chain;

static void
chain_init (Chain *c)
{
  c->graph = new_graph ();
  c->x = deim_input (c->graph, "x", (DeimShape){ 1, 1, 1, 2 });
  DeimTensor *one = deim_const (c->graph, "one", (DeimShape){ 1, 1, 1, 1 }, (const gfloat[]){ 1 });
  c->a = deim_graph_tap (c->graph, deim_add (c->graph, c->x, one), "a");
  c->b = deim_graph_tap (c->graph, deim_add (c->graph, c->a, one), "b");
  c->y = deim_add (c->graph, c->b, one);
  c->z = deim_mul (c->graph, c->x, c->a);
  deim_graph_mark_output (c->graph, c->y);
  deim_graph_mark_output (c->graph, c->z);
  expect_success (c->graph);
}

static void
test_run (void)
{
  Chain c;
  chain_init (&c);
  const gfloat x[2] = { 5, 7 };
  DeimFeed feed = { c.x, x };
  g_autoptr (GError) error = NULL;
  DeimReferenceRun *run = NULL;

  g_assert_true (deim_reference_run (c.graph, &feed, 1, NULL, &run, &error));
  g_assert_cmpfloat (deim_reference_get (run, c.y)[0], ==, 8);
  g_assert_cmpfloat (deim_reference_get (run, c.y)[1], ==, 10);
  g_assert_cmpfloat (deim_reference_get (run, c.z)[0], ==, 30);
  g_assert_null (deim_reference_get (run, c.a)); /* freed on the way */
  g_assert_null (deim_reference_get (run, c.b));
  g_assert_null (deim_reference_get_int (run, c.y)); /* of the other type */
  deim_reference_run_free (run);

  DeimReferenceOptions options = { .keep_taps = TRUE };
  g_assert_true (deim_reference_run (c.graph, &feed, 1, &options, &run, &error));
  g_assert_cmpfloat (deim_reference_get (run, c.a)[0], ==, 6);
  g_assert_cmpfloat (deim_reference_get (run, c.b)[1], ==, 9);
  deim_reference_run_free (run);

  Inspection seen = { 0 };
  options = (DeimReferenceOptions){ .inspect = inspect, .inspect_data = &seen };
  g_assert_true (deim_reference_run (c.graph, &feed, 1, &options, &run, &error));
  g_assert_cmpuint (seen.calls, ==, 4);
  g_assert_cmpfloat (seen.last, ==, 30);
  deim_reference_run_free (run);

  seen = (Inspection){ .stop_after = 3 };
  g_assert_true (deim_reference_run (c.graph, &feed, 1, &options, &run, &error));
  g_assert_cmpuint (seen.calls, ==, 3);
  g_assert_nonnull (deim_reference_get (run, c.y));
  g_assert_null (deim_reference_get (run, c.z)); /* not reached */
  deim_reference_run_free (run);
  deim_graph_free (c.graph);
}

static void
test_run_unfed (void)
{
  Chain c;
  chain_init (&c);
  g_autoptr (GError) error = NULL;
  DeimReferenceRun *run = (DeimReferenceRun *) &c;
  g_assert_false (deim_reference_run (c.graph, NULL, 0, NULL, &run, &error));
  g_assert_error (error, DEIM_ERROR, DEIM_ERROR_SETTINGS);
  g_assert_nonnull (strstr (error->message, "\"x\""));
  g_assert_true (run == (DeimReferenceRun *) &c); /* untouched on failure */
  deim_graph_free (c.graph);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/graph/params", test_params);
  g_test_add_func ("/graph/taps", test_taps);
  g_test_add_func ("/graph/param-errors", test_param_errors);
  g_test_add_func ("/graph/first-error-sticks", test_first_error_sticks);
  g_test_add_func ("/graph/shape-errors", test_shape_errors);
  g_test_add_func ("/graph/keep-fp32", test_keep_fp32);
  g_test_add_func ("/graph/table", test_table);
  g_test_add_func ("/graph/run", test_run);
  g_test_add_func ("/graph/run/unfed", test_run_unfed);
  return g_test_run ();
}
