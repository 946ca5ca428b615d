/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-passes.c - what happens to a graph between its description and the device: folding and fusing keep its values,
 * layouts place tensors as layout.h says, and a plan never lets two living blocks share a byte.
 */
#include <math.h>
#include <string.h>

#include "engine/graph/layout.h"
#include "engine/graph/passes.h"
#include "engine/graph/plan.h"
#include "engine/graph/reference.h"
#include "engine/half.h"
#include "engine/ops/op.h"

/* ------------------------------------------------------------------- graphs */

static DeimTensor *
weight (DeimGraph *graph, GRand *rng, gint n, gint c, gint k, gdouble low, gdouble high)
{
  DeimShape shape = { n, c, k, k };
  g_autofree gfloat *values = g_new (gfloat, deim_shape_size (shape));
  for (gsize i = 0; i < deim_shape_size (shape); i++)
    values[i] = (gfloat) g_rand_double_range (rng, low, high);
  return deim_const (graph, NULL, shape, values);
}

static DeimTensor *
conv_bn (DeimGraph *graph, GRand *rng, DeimTensor *x, gint out, gint k, gint groups)
{
  DeimTensor *y = deim_conv2d (graph, x, weight (graph, rng, out, x->shape.c / groups, k, -0.3, 0.3), NULL, 1, groups,
                               k / 2, k / 2, k / 2, k / 2);
  return deim_batch_norm (graph, y, weight (graph, rng, out, 1, 1, 0.5, 1.5), weight (graph, rng, out, 1, 1, -1, 1),
                          weight (graph, rng, out, 1, 1, -1, 1), weight (graph, rng, out, 1, 1, 0.2, 2), 1e-5f);
}

#define HEADS 4

/* Every pattern that the passes know, with a tap in the middle that must survive. */
static DeimGraph *
make_network (DeimTensor **ret_input, DeimTensor **ret_middle, DeimTensor *ret_heads[HEADS], DeimTensor **ret_end)
{
  g_autoptr (GRand) rng = g_rand_new_with_seed (7);
  DeimGraph *g = deim_graph_new (NULL);
  DeimTensor *x = *ret_input = deim_input (g, "x", (DeimShape){ 1, 6, 8, 10 });
  /* conv + BN + ReLU + learnable affine block */
  DeimTensor *a = deim_affine (g, deim_act (g, conv_bn (g, rng, x, 20, 3, 1), DEIM_ACT_RELU),
                               weight (g, rng, 1, 1, 1, 0.5, 1.5), weight (g, rng, 1, 1, 1, -1, 1));
  /* halves of ten channels; RepVGG on one; sum */
  DeimTensor *first = deim_slice (g, a, TRUE, 0, 10), *second = deim_slice (g, a, TRUE, 10, 10);
  DeimTensor *rep =
      deim_act (g, deim_add (g, conv_bn (g, rng, second, 10, 3, 1), conv_bn (g, rng, second, 10, 1, 1)), DEIM_ACT_SILU);
  DeimTensor *sum = *ret_middle = deim_add (g, first, rep);
  /* slices joined again, with something unaligned behind */
  DeimTensor *parts[] = { first, second, sum };
  DeimTensor *joined = deim_concat (g, parts, 3, TRUE);
  /* depthwise, then a residual before the activation */
  DeimTensor *d = conv_bn (g, rng, joined, 30, 5, 30);
  DeimTensor *r = deim_act (g, deim_add (g, conv_bn (g, rng, d, 30, 1, 1), joined), DEIM_ACT_RELU);
  /* up and down */
  DeimTensor *down = deim_avg_pool (g, r, 3, 2, 1);
  DeimTensor *up = deim_add (g, deim_upsample2x (g, down), r);
  /* tokens: linear + residual + clamp, then a norm of a sum, and one of a sum of products */
  DeimTensor *t = deim_linear (g, deim_flatten (g, up), weight (g, rng, 30, 30, 1, -0.2, 0.2), NULL);
  DeimTensor *l = deim_linear (g, t, weight (g, rng, 30, 30, 1, -0.2, 0.2), weight (g, rng, 30, 1, 1, -1, 1));
  DeimTensor *c = deim_clamp (g, deim_add (g, t, l), -3, 3);
  /* attention's: queries and keys of a sum, values of one operand */
  DeimTensor *moved = deim_add (g, t, weight (g, rng, 1, 30, 1, -1, 1));
  ret_heads[2] = deim_linear (g, deim_add (g, t, moved), weight (g, rng, 64, 30, 1, -0.2, 0.2), NULL);
  ret_heads[3] = deim_linear (g, t, weight (g, rng, 17, 30, 1, -0.2, 0.2), weight (g, rng, 17, 1, 1, -1, 1));
  DeimTensor *gate = deim_act (g, c, DEIM_ACT_SIGMOID);
  DeimTensor *normed = deim_layer_norm (g, deim_add (g, c, gate), weight (g, rng, 30, 1, 1, 0.5, 1.5),
                                        weight (g, rng, 30, 1, 1, -1, 1), 1e-5f);
  *ret_end = deim_rms_norm (g, deim_add (g, deim_mul (g, normed, gate), deim_mul (g, c, normed)),
                            weight (g, rng, 30, 1, 1, 0.5, 1.5), 1e-6f);
  /* two heads, of which one has no bias; a third one differs by its activation */
  ret_heads[0] = deim_linear (g, c, weight (g, rng, 14, 30, 1, -0.2, 0.2), NULL);
  ret_heads[1] = deim_linear (g, c, weight (g, rng, 9, 30, 1, -0.2, 0.2), weight (g, rng, 9, 1, 1, -1, 1));
  DeimTensor *third = deim_act (g, deim_linear (g, c, weight (g, rng, 5, 30, 1, -0.2, 0.2), NULL), DEIM_ACT_RELU);
  for (guint i = 0; i < HEADS; i++)
    deim_graph_mark_output (g, ret_heads[i]);
  deim_graph_mark_output (g, third);
  deim_graph_mark_output (g, *ret_middle);
  deim_graph_mark_output (g, *ret_end);
  g_autoptr (GError) error = NULL;
  deim_graph_finish (g, &error);
  g_assert_no_error (error);
  return g;
}

static guint
count (const DeimGraph *graph, const gchar *op)
{
  guint n = 0;
  for (guint i = 0; i < deim_graph_get_n_nodes (graph); i++)
    n += strcmp (deim_graph_get_node (graph, i)->op->name, op) == 0;
  return n;
}

static void
assert_close (const gfloat *a, const gfloat *b, DeimShape shape)
{
  for (gsize i = 0; i < deim_shape_size (shape); i++)
    g_assert_cmpfloat_with_epsilon (a[i], b[i], 2e-5);
}

static void
test_passes_keep_values (void)
{
  g_autoptr (GError) error = NULL;
  DeimTensor *x, *middle, *heads[HEADS], *end;
  g_autoptr (DeimGraph) graph = make_network (&x, &middle, heads, &end);
  g_autoptr (GRand) rng = g_rand_new_with_seed (8);
  gfloat picture[6 * 8 * 10];
  for (gsize i = 0; i < G_N_ELEMENTS (picture); i++)
    picture[i] = (gfloat) g_rand_double_range (rng, -2, 2);
  DeimFeed feed = { x, picture };

  g_autoptr (DeimReferenceRun) before = NULL, folded = NULL, fused = NULL, merged = NULL;
  deim_reference_run (graph, &feed, 1, NULL, &before, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (count (graph, "batch_norm"), ==, 5);

  deim_graph_fold (graph);
  g_assert_cmpuint (count (graph, "batch_norm"), ==, 0);
  g_assert_cmpuint (count (graph, "conv2d"), ==, 11); /* RepVGG's two are one; the linears count */
  deim_reference_run (graph, &feed, 1, NULL, &folded, &error);
  g_assert_no_error (error);
  assert_close (deim_reference_get (folded, middle), deim_reference_get (before, middle), middle->shape);
  assert_close (deim_reference_get (folded, end), deim_reference_get (before, end), end->shape);

  deim_graph_fuse (graph);
  g_assert_cmpuint (count (graph, "affine"), ==, 0);
  g_assert_cmpuint (count (graph, "act"), ==, 1); /* the sigmoid, which reads what others read, too */
  g_assert_cmpuint (count (graph, "add"), ==, 1); /* what is added to every position alike */
  g_assert_cmpuint (count (graph, "mul"), ==, 0);
  deim_reference_run (graph, &feed, 1, NULL, &fused, &error);
  g_assert_no_error (error);
  assert_close (deim_reference_get (fused, middle), deim_reference_get (before, middle), middle->shape);
  assert_close (deim_reference_get (fused, end), deim_reference_get (before, end), end->shape);

  guint slices = count (graph, "slice");
  deim_graph_merge (graph, deim_op_find ("slice"));
  g_assert_cmpuint (count (graph, "conv2d"), ==, 9);
  g_assert_cmpuint (count (graph, "slice"), ==, slices + 4);
  deim_reference_run (graph, &feed, 1, NULL, &merged, &error);
  g_assert_no_error (error);
  for (guint i = 0; i < HEADS; i++)
    assert_close (deim_reference_get (merged, heads[i]), deim_reference_get (before, heads[i]), heads[i]->shape);
  assert_close (deim_reference_get (merged, end), deim_reference_get (before, end), end->shape);
}

/* ------------------------------------------------------------------ layouts */

static void
test_segments (void)
{
  g_autoptr (GError) error = NULL;
  DeimTensor *x, *middle, *heads[HEADS], *end;
  g_autoptr (DeimGraph) graph = make_network (&x, &middle, heads, &end);
  deim_graph_fold (graph);
  deim_graph_fuse (graph);
  g_autoptr (DeimLayouts) layouts = deim_layouts_new (graph, &error);
  g_assert_no_error (error);

  for (guint i = 0; i < deim_graph_get_n_nodes (graph); i++) {
    const DeimNode *node = deim_graph_get_node (graph, i);
    const DeimLayout *out = deim_layouts_get (layouts, node->out[0]);
    gint physical = 0, previous = -1;
    for (gint c = 0; c < node->out[0]->shape.c; c++) {
      gint p = deim_layout_channel (out, c);
      g_assert_cmpint (p, >, previous);                      /* in order, */
      g_assert_cmpint (deim_layout_logical (out, p), ==, c); /* and invertible */
      previous = p;
      physical++;
    }
    g_assert_cmpint (physical, <=, 4 * out->blocks);
    if (strcmp (node->op->name, "concat") == 0) {
      /* 10 + 10 + 10 channels, each in three blocks of its own, all written in place */
      g_assert_cmpint (out->blocks, ==, 9);
      g_assert_cmpuint (out->n_segments, ==, 3);
      g_assert_true (deim_layouts_is_placed (layouts, node->in[0], node->out[0], 0, 0));
      g_assert_true (deim_layouts_is_placed (layouts, middle, node->out[0], 20, 0));
    }
  }
}

/* --------------------------------------------------------------------- plan */

static void
test_plan (void)
{
  g_autoptr (GRand) rng = g_rand_new_with_seed (3);
  for (guint round = 0; round < 50; round++) {
    DeimPlanBlock blocks[60];
    guint n = (guint) g_rand_int_range (rng, 1, 61);
    gsize total = 0, live = 0;
    for (guint i = 0; i < n; i++) {
      blocks[i] = (DeimPlanBlock){ .size = (gsize) g_rand_int_range (rng, 1, 5000),
                                   .first = (guint) g_rand_int_range (rng, 0, 40) };
      blocks[i].last = blocks[i].first + (guint) g_rand_int_range (rng, 0, 12);
      total += (blocks[i].size + 63) / 64 * 64;
    }
    gsize arena = deim_plan_solve (blocks, n, 64);
    for (guint i = 0; i < n; i++) {
      g_assert_cmpuint (blocks[i].offset % 64, ==, 0);
      g_assert_cmpuint (blocks[i].offset + blocks[i].size, <=, arena);
      for (guint k = 0; k < i; k++)
        if (blocks[i].first <= blocks[k].last && blocks[k].first <= blocks[i].last)
          g_assert_true (blocks[i].offset + blocks[i].size <= blocks[k].offset ||
                         blocks[k].offset + blocks[k].size <= blocks[i].offset);
    }
    for (guint step = 0; step < 60; step++) {
      gsize now = 0;
      for (guint i = 0; i < n; i++)
        now += step >= blocks[i].first && step <= blocks[i].last ? blocks[i].size : 0;
      live = MAX (live, now);
    }
    g_assert_cmpuint (arena, <=, total);
    g_assert_cmpuint (arena, >=, live);
    g_assert_cmpfloat ((gdouble) arena, <=, 1.6 * (gdouble) live + 64 * 60); /* and not wasteful */
  }
}

/* --------------------------------------------------------------------- half */

static void
test_half (void)
{
  for (guint i = 0; i < 65536; i++) {
    gfloat value = deim_half_to_float ((guint16) i);
    if (isnan (value))
      g_assert_true (isnan (deim_half_to_float (deim_half_from_float (value))));
    else
      g_assert_cmphex (deim_half_from_float (value), ==, i);
  }
  /* halfway cases go to even; what is too large goes to infinity */
  g_assert_cmphex (deim_half_from_float (1.0f + 0x1p-11f), ==, 0x3c00);
  g_assert_cmphex (deim_half_from_float (1.0f + 0x3p-11f), ==, 0x3c02);
  g_assert_cmphex (deim_half_from_float (65519.0f), ==, 0x7bff);
  g_assert_cmphex (deim_half_from_float (65520.0f), ==, 0x7c00);
  g_assert_cmphex (deim_half_from_float (0x1p-25f), ==, 0x0000);
  g_assert_cmphex (deim_half_from_float (0x1.8p-25f), ==, 0x0001);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/passes/keep-values", test_passes_keep_values);
  g_test_add_func ("/passes/segments", test_segments);
  g_test_add_func ("/passes/plan", test_plan);
  g_test_add_func ("/passes/half", test_half);
  return g_test_run ();
}
