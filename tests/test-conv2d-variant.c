/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-conv2d-variant.c - which tile a convolution gets on a device, made up: the rules of engine/ops/conv2d-variant.c,
 * on a CPU by the columns of positions (docs/performance.md, "Columns"), on a GPU with matrices by the size of the map
 * and the length of the sum ("On a GPU"). What each tile computes is test-ops' part. Needs no GPU.
 */
#include "engine/graph/layout.h"
#include "engine/ops/dispatch.h"
#include "engine/ops/op.h"

typedef struct {
  gint channels, side, kernel;
  gboolean park, winograd;
  const gchar *expected;
} Case;

typedef struct {
  gint in, out, side, kernel;
  gboolean fp32; /* a decoder's activations */
  const gchar *expected;
} MatrixCase;

/* Of a convolution of @in to @out channels that keeps the map's size. */
static void
check (const DeimOpDevice *device, gint in, gint out, gint side, gint kernel, gboolean keep_fp32, const gchar *expected)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (DeimGraph) graph = deim_graph_new (NULL);
  DeimTensor *x = deim_input (graph, "x", (DeimShape){ 1, in, side, side });
  x->keep_fp32 = keep_fp32;
  gint pad = kernel / 2;
  DeimShape shape = { out, in, kernel, kernel };
  g_autofree gfloat *zeros = g_new0 (gfloat, deim_shape_size (shape)); /* weights decide nothing */
  DeimTensor *w = deim_const (graph, NULL, shape, zeros);
  deim_graph_mark_output (graph, deim_conv2d (graph, x, w, NULL, 1, 1, pad, pad, pad, pad));
  deim_graph_finish (graph, &error);
  g_assert_no_error (error);
  g_autoptr (DeimLayouts) layouts = deim_layouts_new (graph, &error);
  g_assert_no_error (error);

  g_autoptr (DeimDispatchList) list = deim_dispatch_list_new (layouts, device);
  DeimNode *node = deim_graph_get_node (graph, deim_graph_get_n_nodes (graph) - 1);
  list->node = node;
  g_assert_true (node->op->dispatch (node, list, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (list->choices->len, ==, 1);
  const DeimChoice *choice = &g_array_index (list->choices, DeimChoice, 0);
  g_test_message ("%s: %s", choice->layer, choice->variant);
  g_assert_cmpstr (choice->variant, ==, expected);
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
    { 64, 20, 3, TRUE, TRUE, "rows-4x5" },     /* too few channels for so few tiles */
    { 32, 40, 3, TRUE, TRUE, "winograd-4x8" }, /* 100 tiles: of Atto; */
    { 32, 52, 3, TRUE, TRUE, "winograd-4x8" }, /* 169: of Femto; */
    { 32, 56, 3, TRUE, TRUE, "rows-4x5" },     /* 196 are too many for so few channels */
    { 64, 56, 3, TRUE, TRUE, "winograd-4x5" },
    { 128, 20, 3, TRUE, FALSE, "rows-4x5" },
  };
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    const Case *c = &cases[i];
    DeimOpDevice device = {
      .subgroup_size = 8, .cpu = TRUE, .shuffle = TRUE, .park = c->park, .winograd = c->winograd, .max_local = 1024
    };
    check (&device, c->channels, c->channels, c->side, c->kernel, FALSE, c->expected);
  }
}

/* As on an NVIDIA card. */
static void
test_matrices (void)
{
  static const MatrixCase cases[] = {
    /* the largest that leaves 128 workgroups */
    { 256, 256, 80, 1, FALSE, "matrix-16x128" },
    { 128, 128, 80, 3, FALSE, "matrix-16x64" },
    { 256, 256, 40, 1, FALSE, "matrix-16x32" },
    { 128, 128, 40, 3, FALSE, "matrix-8x32" },
    { 512, 512, 20, 3, FALSE, "matrix-8x32" },
    /* none leaves as many: the smallest, whose turns are as long as the sum allows */
    { 128, 128, 20, 1, FALSE, "matrix-8x16" },
    { 512, 128, 20, 1, FALSE, "matrix-8x16-long" },
    { 24, 24, 20, 3, FALSE, "matrix-8x16" },
    { 64, 64, 20, 3, FALSE, "matrix-8x16-long" },
    /* few channels */
    { 64, 32, 160, 1, FALSE, "matrix-8x64" },
    { 16, 16, 160, 3, FALSE, "matrix-4x64" },
    { 256, 4, 17, 1, FALSE, "matrix-4x32" },
    /* what is stored as fp32 is rounded for them, but for reference points and boxes */
    { 256, 256, 17, 1, TRUE, "matrix-8x16-long" },
    { 4, 256, 17, 1, TRUE, "tile-4x64" },
    { 256, 4, 17, 1, TRUE, "tile-1x64" },
  };
  DeimOpDevice device = {
    .subgroup_size = 32,
    .half = TRUE,
    .matrices = TRUE,
    .matrix_m = 16,
    .matrix_n = 16,
    .matrix_k = 16,
    .max_local = 1024,
    .max_shared = 49152,
  };
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    const MatrixCase *c = &cases[i];
    check (&device, c->in, c->out, c->side, c->kernel, c->fp32, c->expected);
  }
  device.max_shared = 32768; /* three tiles do not fit */
  check (&device, 128, 128, 80, 3, FALSE, "matrix-8x64");
  check (&device, 512, 128, 20, 1, FALSE, "matrix-8x16");
  device.subgroup_size = 4; /* an invocation would bring more than 32 vec4s of weights */
  check (&device, 512, 128, 20, 1, FALSE, "matrix-8x32");
  device.half = FALSE;
  check (&device, 256, 256, 80, 1, FALSE, "tile-16x64");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/conv2d-variant/columns", test_columns);
  g_test_add_func ("/conv2d-variant/matrices", test_matrices);
  return g_test_run ();
}
