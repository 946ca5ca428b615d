/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* reference.c - the CPU reference executor: dense arrays, one node after another. */
#include "engine/graph/reference.h"
#include "engine/error.h"
#include "engine/graph/graph-private.h"
#include "engine/graph/op.h"
#include <string.h>

struct _DeimReferenceRun {
  guint n_tensors;
  gfloat **owned; /* by tensor id: what nodes have written and is still held */
};

void
deim_reference_run_free (DeimReferenceRun *run)
{
  if (!run)
    return;
  for (guint i = 0; i < run->n_tensors; i++)
    g_free (run->owned[i]);
  g_free (run->owned);
  g_free (run);
}

static const gfloat *
get (const DeimReferenceRun *run, const DeimTensor *tensor, DeimType type)
{
  if (!tensor || tensor->type != type || tensor->id >= run->n_tensors)
    return NULL;
  return run->owned[tensor->id];
}

const gfloat *
deim_reference_get (const DeimReferenceRun *run, const DeimTensor *tensor)
{
  return get (run, tensor, DEIM_TYPE_FLOAT);
}

const gint32 *
deim_reference_get_int (const DeimReferenceRun *run, const DeimTensor *tensor)
{
  return (const gint32 *) get (run, tensor, DEIM_TYPE_INT);
}

/* Index of the last node that reads each tensor, by tensor id; G_MAXUINT for those that stay. A tensor that nobody
 * reads goes with its producer. */
static guint *
find_last_readers (const DeimGraph *graph, gboolean keep_taps)
{
  guint *last = g_new0 (guint, graph->tensors->len);
  for (guint i = 0; i < graph->nodes->len; i++) {
    const DeimNode *node = g_ptr_array_index (graph->nodes, i);
    for (guint j = 0; j < node->n_in; j++)
      if (node->in[j])
        last[node->in[j]->id] = i;
    for (guint j = 0; j < node->n_out; j++)
      last[node->out[j]->id] = i;
  }
  for (guint i = 0; i < graph->tensors->len; i++) {
    const DeimTensor *tensor = g_ptr_array_index (graph->tensors, i);
    if (deim_graph_is_output (graph, tensor) || (keep_taps && deim_graph_is_tap (graph, tensor)))
      last[i] = G_MAXUINT;
  }
  return last;
}

/* What node @index reads of @tensor, or NULL with an error that says why it is not there. */
static const gfloat *
find_input (const DeimReferenceRun *run, const gfloat *const *fed, const DeimNode *node, const DeimTensor *tensor,
            GError **error)
{
  if (tensor->data)
    return tensor->data;
  if (fed[tensor->id])
    return fed[tensor->id];
  if (run->owned[tensor->id])
    return run->owned[tensor->id];
  if (tensor->kind == DEIM_TENSOR_INPUT)
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_SETTINGS, "the network's input \"%s\" was given no values; feed it",
                 tensor->name);
  else
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_ARCHITECTURE,
                 "%s: %s reads a tensor that no earlier node has written; the last pass over the graph is at fault",
                 node->name, node->op->name);
  return NULL;
}

static gboolean
run_node (DeimReferenceRun *run, const gfloat *const *fed, const DeimNode *node, GError **error)
{
  DeimOperands operands = { { NULL } };
  for (guint j = 0; j < node->n_in; j++) {
    if (!node->in[j])
      continue; /* an optional operand that is absent */
    operands.in[j] = find_input (run, fed, node, node->in[j], error);
    if (!operands.in[j])
      return FALSE;
  }
  for (guint j = 0; j < node->n_out; j++) {
    gsize bytes = deim_shape_size (node->out[j]->shape) * sizeof (gfloat);
    operands.out[j] = g_malloc (bytes);
    memset (operands.out[j], 0xff, bytes); /* NaN: what an op forgets to write shows */
    g_free (run->owned[node->out[j]->id]);
    run->owned[node->out[j]->id] = operands.out[j];
  }
  node->op->reference (node, &operands);
  return TRUE;
}

static void
release (DeimReferenceRun *run, const DeimTensor *tensor, const guint *last, guint now)
{
  if (tensor && last[tensor->id] == now)
    g_clear_pointer (&run->owned[tensor->id], g_free);
}

gboolean
deim_reference_run (DeimGraph *graph, const DeimFeed *feeds, guint n_feeds, const DeimReferenceOptions *options,
                    DeimReferenceRun **ret_run, GError **error)
{
  static const DeimReferenceOptions defaults = { 0 };
  if (!options)
    options = &defaults;
  g_autoptr (DeimReferenceRun) run = g_new0 (DeimReferenceRun, 1);
  run->n_tensors = graph->tensors->len;
  run->owned = g_new0 (gfloat *, run->n_tensors);
  g_autofree const gfloat **fed = g_new0 (const gfloat *, run->n_tensors);
  for (guint i = 0; i < n_feeds; i++)
    fed[feeds[i].tensor->id] = feeds[i].data;
  g_autofree guint *last = find_last_readers (graph, options->keep_taps);

  for (guint i = 0; i < graph->nodes->len; i++) {
    const DeimNode *node = g_ptr_array_index (graph->nodes, i);
    if (!run_node (run, fed, node, error))
      return FALSE;
    const gfloat *out[DEIM_MAX_OUTPUTS] = { NULL };
    for (guint j = 0; j < node->n_out; j++)
      out[j] = run->owned[node->out[j]->id];
    if (options->inspect && !options->inspect (node, out, options->inspect_data))
      break;
    for (guint j = 0; j < node->n_in; j++)
      release (run, node->in[j], last, i);
    for (guint j = 0; j < node->n_out; j++)
      release (run, node->out[j], last, i);
  }
  *ret_run = g_steal_pointer (&run);
  return TRUE;
}
