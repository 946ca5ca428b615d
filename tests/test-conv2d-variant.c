/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-conv2d-variant.c - which tile a convolution gets on a CPU device, made up: the rules of
 * engine/ops/conv2d-variant.c, by the columns of positions (docs/performance.md, "Columns"). What each tile computes is
 * test-ops' part. Needs no GPU.
 */
#include "engine/graph/layout.h"
#include "engine/ops/dispatch.h"
#include "engine/ops/op.h"

typedef struct {
  gint channels, side, kernel;
  gboolean park, winograd;
  const gchar *expected;
} Case;

/* Its numbers decide nothing. */
static DeimTensor *
weight (DeimGraph *graph, gint channels, gint kernel)
{
  DeimShape shape = { channels, channels, kernel, kernel };
  g_autofree gfloat *zeros = g_new0 (gfloat, deim_shape_size (shape));
  return deim_const (graph, NULL, shape, zeros);
}

static void
check (const Case *c)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (DeimGraph) graph = deim_graph_new (NULL);
  DeimTensor *x = deim_input (graph, "x", (DeimShape){ 1, c->channels, c->side, c->side });
  gint pad = c->kernel / 2;
  DeimTensor *y = deim_conv2d (graph, x, weight (graph, c->channels, c->kernel), NULL, 1, 1, pad, pad, pad, pad);
  deim_graph_mark_output (graph, y);
  deim_graph_finish (graph, &error);
  g_assert_no_error (error);
  g_autoptr (DeimLayouts) layouts = deim_layouts_new (graph, &error);
  g_assert_no_error (error);

  DeimOpDevice device = {
    .subgroup_size = 8, .cpu = TRUE, .shuffle = TRUE, .park = c->park, .winograd = c->winograd, .max_local = 1024
  };
  g_autoptr (DeimDispatchList) list = deim_dispatch_list_new (layouts, &device);
  DeimNode *node = deim_graph_get_node (graph, deim_graph_get_n_nodes (graph) - 1);
  list->node = node;
  g_assert_true (node->op->dispatch (node, list, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (list->choices->len, ==, 1);
  const DeimChoice *choice = &g_array_index (list->choices, DeimChoice, 0);
  g_test_message ("%s: %s", choice->layer, choice->variant);
  g_assert_cmpstr (choice->variant, ==, c->expected);
  g_assert_true (g_strv_contains (choice->candidates, choice->variant)); /* `deim tune` compares with it */
}

static void
test_columns (void)
{
  static const Case cases[] = {
    /* parked: 8 columns, or the 5 or 4 that lose less of the last tile */
    { 16, 5, 1, TRUE, FALSE, "rows-4x4" },  /* 25 of 32, not of 40 or 64 */
    { 16, 6, 1, TRUE, FALSE, "rows-4x5" },  /* 36 of 40 */
    { 16, 8, 1, TRUE, FALSE, "rows-4x8" },  /* 64 of 64 */
    { 16, 20, 1, TRUE, FALSE, "rows-4x5" }, /* 400 of 400, not of 448 */
    { 16, 40, 1, TRUE, FALSE, "rows-4x8" }, /* 1600 of 1600, either way */
    { 8, 40, 1, TRUE, FALSE, "rows-2x8" },
    { 4, 40, 1, TRUE, FALSE, "rows-1x8" },
    /* parked windows */
    { 16, 40, 3, TRUE, FALSE, "rows-4x5" },
    { 16, 4, 3, TRUE, FALSE, "rows-4x5" },
    { 16, 8, 3, TRUE, FALSE, "rows-4x5" }, /* 64 of 80: one tile of 64 takes as long as 83 of such */
    /* sums in registers */
    { 16, 5, 1, FALSE, FALSE, "rows-4x4" },
    { 16, 20, 1, FALSE, FALSE, "rows-4x5" },
    { 16, 80, 1, FALSE, FALSE, "rows-4x6" },
    { 16, 80, 3, FALSE, FALSE, "rows-4x6" },
    /* the self-test's, which must be those that large networks get */
    { 32, 24, 1, TRUE, FALSE, "rows-4x8" },
    { 32, 24, 3, TRUE, FALSE, "rows-4x5" },
    { 32, 24, 1, FALSE, FALSE, "rows-4x6" },
    { 32, 24, 3, FALSE, FALSE, "rows-4x6" },
    /* products of Winograd are pointwise, a position a tile */
    { 128, 20, 3, TRUE, TRUE, "winograd-4x4" },
    { 128, 80, 3, TRUE, TRUE, "winograd-4x5" },
    { 128, 160, 3, TRUE, TRUE, "winograd-4x8" },
    { 64, 20, 3, TRUE, TRUE, "rows-4x5" }, /* too few channels for so few tiles */
    { 128, 20, 3, TRUE, FALSE, "rows-4x5" },
  };
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    check (&cases[i]);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/conv2d-variant/columns", test_columns);
  return g_test_run ();
}
