/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* parity-backends.c - the places where test-parity runs a network. */
#include "engine/error.h"
#include "engine/executor.h"
#include "engine/graph/op.h"
#include "engine/graph/passes.h"
#include "engine/ops/op.h"
#include "parity.h"

#include <string.h>

/* ------------------------------------------------- the reference executor */

typedef struct {
  DeimGraph *graph;
  DeimTensor **wanted;
  guint n_wanted;
  gfloat **values; /* of the run in progress */
} Reference;

static void
reference_close (gpointer session)
{
  Reference *reference = session;
  deim_graph_free (reference->graph);
  g_free (reference->wanted);
  g_free (reference);
}

static gpointer
reference_open (DeimGraph *graph, DeimTensor *const *wanted, guint n_wanted, GError **error)
{
  Reference *reference = g_new0 (Reference, 1);
  reference->graph = graph;
  reference->wanted = g_memdup2 (wanted, n_wanted * sizeof *wanted);
  reference->n_wanted = n_wanted;
  return reference;
}

/* The same graph as a device runs it: folded and fused. */
static gpointer
fused_open (DeimGraph *graph, DeimTensor *const *wanted, guint n_wanted, GError **error)
{
  deim_graph_optimise (graph, deim_op_find ("slice"));
  return reference_open (graph, wanted, n_wanted, error);
}

/* Copies what is wanted as it passes by, so that nothing else has to be kept. */
static gboolean
collect (const DeimNode *node, const gfloat *const *out, gpointer data)
{
  Reference *reference = data;
  for (guint o = 0; o < node->n_out; o++)
    for (guint i = 0; i < reference->n_wanted; i++)
      if (reference->wanted[i] == node->out[o]) {
        g_free (reference->values[i]);
        reference->values[i] = g_memdup2 (out[o], deim_shape_size (node->out[o]->shape) * sizeof (gfloat));
      }
  return TRUE;
}

static gboolean
reference_run (gpointer session, const DeimFeed *feeds, guint n_feeds, gfloat **ret_values, GError **error)
{
  Reference *reference = session;
  DeimReferenceOptions options = { .inspect = collect, .inspect_data = reference };
  g_autoptr (DeimReferenceRun) run = NULL;
  memset (ret_values, 0, reference->n_wanted * sizeof *ret_values);
  reference->values = ret_values;
  return deim_reference_run (reference->graph, feeds, n_feeds, &options, &run, error);
}

/* ------------------------------------------------------ the Vulkan executor */

typedef struct {
  DeimGpu *gpu;
  DeimExecutor *executor;
  DeimRun *run;
  DeimTensor **wanted;
  guint n_wanted;
} Vulkan;

static void
vulkan_close (gpointer session)
{
  Vulkan *vulkan = session;
  deim_run_free (vulkan->run);
  deim_executor_free (vulkan->executor);
  deim_gpu_unref (vulkan->gpu);
  g_free (vulkan->wanted);
  g_free (vulkan);
}

static gpointer
executor_open (DeimGraph *graph, DeimTensor *const *wanted, guint n_wanted, DeimPrecision precision,
               gboolean keep_wanted, GError **error)
{
  Vulkan *vulkan = g_new0 (Vulkan, 1);
  vulkan->wanted = g_memdup2 (wanted, n_wanted * sizeof *wanted);
  vulkan->n_wanted = n_wanted;
  for (guint i = 0; keep_wanted && i < n_wanted; i++)
    if (wanted[i] && wanted[i]->kind == DEIM_TENSOR_ACTIVATION)
      deim_graph_mark_output (graph, wanted[i]);
  vulkan->gpu = deim_gpu_open (NULL, NULL, error);
  const gchar *variant = g_getenv ("DEIM_TEST_VARIANT");
  g_autoptr (DeimTuning) tuning = variant ? deim_tuning_new_forced (variant) : NULL;
  if (vulkan->gpu)
    vulkan->executor = deim_executor_new (vulkan->gpu, graph, precision, TRUE, tuning, error);
  else
    deim_graph_free (graph);
  if (vulkan->executor)
    vulkan->run = deim_run_new (vulkan->executor, DEIM_RUN_HOST_INPUTS | DEIM_RUN_POISON, error);
  if (!vulkan->run)
    g_clear_pointer (&vulkan, vulkan_close);
  return vulkan;
}

/* As users run it: everything fused, only the results come back. */
static gpointer
vulkan_open (DeimGraph *graph, DeimTensor *const *wanted, guint n_wanted, GError **error)
{
  return executor_open (graph, wanted, n_wanted, DEIM_PRECISION_FP32, FALSE, error);
}

/* With every tap kept, to see which block differs first. */
static gpointer
vulkan_taps_open (DeimGraph *graph, DeimTensor *const *wanted, guint n_wanted, GError **error)
{
  return executor_open (graph, wanted, n_wanted, DEIM_PRECISION_FP32, TRUE, error);
}

/* With precision=auto, as a CPU device chooses it. */
static gpointer
vulkan_winograd_open (DeimGraph *graph, DeimTensor *const *wanted, guint n_wanted, GError **error)
{
  return executor_open (graph, wanted, n_wanted, DEIM_PRECISION_AUTO, FALSE, error);
}

/* fp16 storage: for test-precision, whose tolerances are other ones. */
static gpointer
vulkan_fp16_open (DeimGraph *graph, DeimTensor *const *wanted, guint n_wanted, GError **error)
{
  return executor_open (graph, wanted, n_wanted, DEIM_PRECISION_FP16, FALSE, error);
}

static gboolean
vulkan_run (gpointer session, const DeimFeed *feeds, guint n_feeds, gfloat **ret_values, GError **error)
{
  Vulkan *vulkan = session;
  const DeimGraph *graph = deim_executor_get_graph (vulkan->executor);
  memset (ret_values, 0, vulkan->n_wanted * sizeof *ret_values);
  for (guint i = 0; i < n_feeds; i++)
    deim_run_write (vulkan->run, feeds[i].tensor, feeds[i].data);
  if (!deim_run_execute (vulkan->run, error))
    return FALSE;
  for (guint i = 0; i < vulkan->n_wanted; i++) {
    if (!vulkan->wanted[i] || !deim_graph_is_output (graph, vulkan->wanted[i]))
      continue;
    ret_values[i] = g_new (gfloat, deim_shape_size (vulkan->wanted[i]->shape));
    deim_run_read (vulkan->run, vulkan->wanted[i], ret_values[i]);
  }
  return TRUE;
}

/* ------------------------------------------------------------------- table */

/* Winograd's transforms add numbers of other sizes than the convolution does. */
#define WINOGRAD 5

static const ParityBackend backends[] = {
  { "reference", TRUE, 1, reference_open, reference_run, reference_close },
  { "fused", FALSE, 1, fused_open, reference_run, reference_close },
  { "vulkan", FALSE, 1, vulkan_open, vulkan_run, vulkan_close },
  { "vulkan-taps", TRUE, 1, vulkan_taps_open, vulkan_run, vulkan_close },
  { "vulkan-winograd", FALSE, WINOGRAD, vulkan_winograd_open, vulkan_run, vulkan_close },
  { "vulkan-fp16", FALSE, 1, vulkan_fp16_open, vulkan_run, vulkan_close },
};

const ParityBackend *
parity_backend_find (const gchar *name)
{
  for (guint i = 0; i < G_N_ELEMENTS (backends); i++)
    if (g_str_equal (backends[i].name, name))
      return &backends[i];
  return NULL;
}

gchar *
parity_backend_names (void)
{
  GString *names = g_string_new (NULL);
  for (guint i = 0; i < G_N_ELEMENTS (backends); i++)
    g_string_append_printf (names, "%s%s", i ? " " : "", backends[i].name);
  return g_string_free (names, FALSE);
}
