/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-window-rows.c - how many rows of its map an invocation of a depthwise layer or a pool computes on a device, made
 * up: deim_dispatch_choose_rows() of engine/ops/dispatch.h, by the dispatches of such nodes. What the rows compute is
 * test-ops' part. Needs no GPU.
 */
#include "engine/graph/layout.h"
#include "engine/ops/dispatch.h"
#include "engine/ops/op.h"

#define ROWS 2 /* which of the specialization constants that an operator gives, in depthwise.comp and pool.comp */

typedef struct {
  gboolean pool;
  gint kernel, stride, side; /* of the result */
  guint32 rows;
} Case;

/* The one dispatch of a node that makes a map as @c says, of 8 channels. */
static DeimDispatch
dispatch (const DeimOpDevice *device, const Case *c)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (DeimGraph) graph = deim_graph_new (NULL);
  gint side = (c->side - 1) * c->stride + c->kernel;
  DeimTensor *x = deim_input (graph, "x", (DeimShape){ 1, 8, side, side });
  g_autofree gfloat *zeros = g_new0 (gfloat, 8 * c->kernel * c->kernel);
  DeimTensor *w = deim_const (graph, NULL, (DeimShape){ 8, 1, c->kernel, c->kernel }, zeros);
  DeimTensor *y = c->pool ? deim_max_pool (graph, x, c->kernel, c->stride, 0, 0, 0, 0, 0)
                          : deim_conv2d (graph, x, w, NULL, c->stride, 8, 0, 0, 0, 0);
  deim_graph_mark_output (graph, y);
  deim_graph_finish (graph, &error);
  g_assert_no_error (error);
  g_autoptr (DeimLayouts) layouts = deim_layouts_new (graph, &error);
  g_assert_no_error (error);
  g_autoptr (DeimDispatchList) list = deim_dispatch_list_new (layouts, device);
  list->node = y->producer;
  g_assert_true (y->producer->op->dispatch (y->producer, list, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (list->dispatches->len, ==, 1);
  return g_array_index (list->dispatches, DeimDispatch, 0);
}

/* That invocations cover the map is what the counts of workgroups are compared with. */
static void
check (const DeimOpDevice *device, const Case *c, guint32 rows)
{
  DeimDispatch d = dispatch (device, c);
  g_test_message ("%s %d/%d at %d: %u rows", d.shader, c->kernel, c->stride, c->side, d.spec[ROWS]);
  g_assert_cmpuint (d.spec[ROWS], ==, rows);
  guint side = (guint) c->side, invocations = side * ((side + rows - 1) / rows);
  g_assert_cmpuint (d.groups[c->pool ? 0 : 1], ==, (invocations + d.local_size - 1) / d.local_size);
}

static const Case cases[] = {
  { TRUE, 2, 1, 320, 10 }, /* N's stem */
  { TRUE, 2, 1, 160, 10 }, /* Atto's */
  { TRUE, 3, 2, 10, 1 },   /* with 10 rows 10 invocations of 64 would have places */
  { TRUE, 2, 2, 20, 1 },   /* windows share nothing */
  { FALSE, 5, 1, 40, 10 }, /* N's third stage */
  { FALSE, 5, 1, 13, 5 },  /* 39 invocations of 40; with 8 rows 26 of 32, and more inputs each */
  { FALSE, 3, 2, 104, 8 }, /* Femto's first */
  { FALSE, 3, 2, 26, 4 },  /* 28 rows, not 30 */
  { FALSE, 3, 1, 1, 1 },   /* no more to compute */
  { FALSE, 7, 2, 20, 4 },  /* as long as code may be */
  { FALSE, 9, 1, 20, 1 },  /* longer */
};

static void
test_cpu (void)
{
  const DeimOpDevice device = { .subgroup_size = 8, .cpu = TRUE, .shuffle = TRUE, .max_local = 1024 };
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    check (&device, &cases[i], cases[i].rows);
}

static void
test_gpu (void)
{
  const DeimOpDevice device = { .subgroup_size = 32, .max_local = 1024, .max_shared = 49152 };
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    check (&device, &cases[i], cases[i].pool ? 1 : 4);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/window-rows/cpu", test_cpu);
  g_test_add_func ("/window-rows/gpu", test_gpu);
  return g_test_run ();
}
