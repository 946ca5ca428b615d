/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* layout.c - segments by a fixpoint over the ops' wishes, then places by following views and joins to their roots. */
#include "layout.h"

#include <string.h>

#include "engine/error.h"
#include "op.h"

typedef struct {
  guint8 *cuts; /* [c + 1]: a block begins at this channel */
  gboolean dense;
  const DeimTensor *parent; /* whose storage this lies in; NULL: a root */
  gint channel, position;   /* where in the parent */
  gboolean resolved;
  DeimLayout layout;
} Entry;

struct _DeimLayouts {
  Entry *entries;
  guint n;
};

struct _DeimChannelSolver {
  Entry *entries;
  gboolean changed;
};

/* ---------------------------------------------------------------- segments */

static void
set_cut (DeimChannelSolver *solver, const DeimTensor *tensor, gint c)
{
  guint8 *cuts = solver->entries[tensor->id].cuts;
  if (cuts && !tensor->plain && !cuts[c]) {
    cuts[c] = 1;
    solver->changed = TRUE;
  }
}

void
deim_channels_part (DeimChannelSolver *solver, const DeimTensor *whole, const DeimTensor *part, gint start)
{
  if (!whole || !part)
    return;
  const guint8 *outer = solver->entries[whole->id].cuts, *inner = solver->entries[part->id].cuts;
  for (gint c = 0; c <= part->shape.c; c++) {
    if (inner && inner[c])
      set_cut (solver, whole, start + c);
    if (outer && outer[start + c])
      set_cut (solver, part, c);
  }
}

void
deim_channels_same (DeimChannelSolver *solver, const DeimTensor *a, const DeimTensor *b)
{
  if (a && b && a->shape.c == b->shape.c)
    deim_channels_part (solver, a, b, 0);
}

void
deim_channels_cut (DeimChannelSolver *solver, const DeimTensor *tensor, gint c)
{
  set_cut (solver, tensor, c);
}

void
deim_channels_dense (DeimChannelSolver *solver, const DeimTensor *tensor)
{
  if (tensor && tensor->type == DEIM_TYPE_FLOAT)
    solver->entries[tensor->id].dense = TRUE;
}

static void
all_dense (const DeimNode *node, DeimChannelSolver *solver)
{
  for (guint i = 0; i < node->n_in; i++)
    deim_channels_dense (solver, node->in[i]);
  for (guint i = 0; i < node->n_out; i++)
    deim_channels_dense (solver, node->out[i]);
}

/* Cuts become segments; a cut that falls on a whole block anyway needs no segment of its own. */
static gboolean
make_segments (const DeimTensor *tensor, Entry *entry, GError **error)
{
  DeimLayout *layout = &entry->layout;
  gint start = 0;
  for (gint c = 1; c <= tensor->shape.c; c++) {
    if (c < tensor->shape.c && (!entry->cuts[c] || (c - start) % 4 == 0))
      continue;
    if (layout->n_segments == DEIM_MAX_SEGMENTS) {
      g_set_error (error, DEIM_ERROR, DEIM_ERROR_UNSUPPORTED, "%s: %d channels in more than %d unaligned parts",
                   tensor->name ? tensor->name : "a tensor", tensor->shape.c, DEIM_MAX_SEGMENTS);
      return FALSE;
    }
    layout->count[layout->n_segments++] = c - start;
    layout->blocks += (c - start + 3) / 4;
    start = c;
  }
  if (entry->dense && layout->n_segments > 1) {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_UNSUPPORTED,
                 "%s: its %d channels are needed in one piece by one operator and in parts by another",
                 tensor->name ? tensor->name : "a tensor", tensor->shape.c);
    return FALSE;
  }
  return TRUE;
}

static gboolean
solve_segments (const DeimGraph *graph, DeimLayouts *layouts, GError **error)
{
  DeimChannelSolver solver = { layouts->entries, TRUE };
  while (solver.changed) {
    solver.changed = FALSE;
    for (guint i = 0; i < deim_graph_get_n_nodes (graph); i++) {
      const DeimNode *node = deim_graph_get_node (graph, i);
      if (node->op->channels)
        node->op->channels (node, &solver);
      else
        all_dense (node, &solver);
    }
  }
  for (guint i = 0; i < layouts->n; i++)
    if (!make_segments (deim_graph_get_tensor (graph, i), &layouts->entries[i], error))
      return FALSE;
  return TRUE;
}

gint
deim_layout_channel (const DeimLayout *layout, gint c)
{
  gint block = 0;
  for (guint s = 0; s < layout->n_segments; s++) {
    if (c < layout->count[s])
      return block * 4 + c;
    c -= layout->count[s];
    block += (layout->count[s] + 3) / 4;
  }
  return block * 4 + c;
}

gint
deim_layout_logical (const DeimLayout *layout, gint p)
{
  gint c = 0;
  for (guint s = 0; s < layout->n_segments; s++) {
    gint padded = (layout->count[s] + 3) / 4 * 4;
    if (p < padded)
      return p < layout->count[s] ? c + p : -1;
    p -= padded;
    c += layout->count[s];
  }
  return -1;
}

/* ------------------------------------------------------------------ places */

static gboolean
covers (const DeimTensor *a, const DeimTensor *b)
{
  return a->shape.n == b->shape.n && a->shape.c == b->shape.c && a->shape.h * a->shape.w == b->shape.h * b->shape.w;
}

/* The tensor that owns @tensor's storage when @tensor is all of it, else NULL. */
static const DeimTensor *
whole_root (const DeimLayouts *layouts, const DeimTensor *tensor)
{
  const DeimTensor *parent = layouts->entries[tensor->id].parent;
  while (parent && covers (parent, tensor) && tensor->producer && tensor->producer->op->kind == DEIM_OP_VIEW) {
    tensor = parent;
    parent = layouts->entries[tensor->id].parent;
  }
  return parent ? NULL : tensor;
}

static void
choose_parents (const DeimGraph *graph, DeimLayouts *layouts)
{
  for (guint i = 0; i < deim_graph_get_n_nodes (graph); i++) {
    const DeimNode *node = deim_graph_get_node (graph, i);
    const DeimTensor *out = node->out[0];
    if (node->op->kind == DEIM_OP_VIEW) {
      Entry *entry = &layouts->entries[out->id];
      entry->parent = node->in[0];
      node->op->place (node, 0, &entry->channel, &entry->position);
    } else if (node->op->kind == DEIM_OP_JOIN) {
      for (guint k = 0; k < node->n_in; k++) {
        const DeimTensor *root = whole_root (layouts, node->in[k]);
        if (!root || root->kind != DEIM_TENSOR_ACTIVATION)
          continue;
        Entry *entry = &layouts->entries[root->id];
        entry->parent = out;
        node->op->place (node, k, &entry->channel, &entry->position);
      }
    }
  }
}

static void
resolve (const DeimGraph *graph, DeimLayouts *layouts, const DeimTensor *tensor)
{
  Entry *entry = &layouts->entries[tensor->id];
  DeimLayout *layout = &entry->layout;
  if (entry->resolved)
    return;
  entry->resolved = TRUE;
  if (tensor->plain) {
    layout->root = deim_graph_get_tensor (graph, tensor->id);
    layout->blocks = 1;
    layout->block_stride = layout->batch_stride = (gint) ((deim_shape_size (tensor->shape) + 3) / 4);
    return;
  }
  if (!entry->parent) {
    layout->root = deim_graph_get_tensor (graph, tensor->id);
    layout->block_stride = tensor->shape.h * tensor->shape.w;
    layout->batch_stride = layout->block_stride * layout->blocks;
    return;
  }
  resolve (graph, layouts, entry->parent);
  const DeimLayout *parent = &layouts->entries[entry->parent->id].layout;
  layout->root = parent->root;
  layout->block_stride = parent->block_stride;
  layout->batch_stride = parent->batch_stride;
  layout->first =
      parent->first + deim_layout_channel (parent, entry->channel) / 4 * parent->block_stride + entry->position;
}

gboolean
deim_layouts_is_placed (const DeimLayouts *layouts, const DeimTensor *part, const DeimTensor *whole, gint channel,
                        gint position)
{
  const DeimLayout *p = deim_layouts_get (layouts, part), *w = deim_layouts_get (layouts, whole);
  return p->root == w->root && p->block_stride == w->block_stride &&
         p->first == w->first + deim_layout_channel (w, channel) / 4 * w->block_stride + position;
}

gsize
deim_layout_storage (const DeimLayout *layout, const DeimTensor *root)
{
  if (root->type == DEIM_TYPE_INT)
    return (gsize) root->shape.n * root->shape.c * root->shape.h * root->shape.w;
  return root->plain ? (gsize) layout->batch_stride : (gsize) root->shape.n * layout->batch_stride;
}

/* ------------------------------------------------------------------ object */

DeimLayouts *
deim_layouts_new (const DeimGraph *graph, GError **error)
{
  g_autoptr (DeimLayouts) layouts = g_new0 (DeimLayouts, 1);
  layouts->n = deim_graph_get_n_tensors (graph);
  layouts->entries = g_new0 (Entry, layouts->n);
  for (guint i = 0; i < layouts->n; i++)
    layouts->entries[i].cuts = g_malloc0 (deim_graph_get_tensor (graph, i)->shape.c + 1);
  if (!solve_segments (graph, layouts, error))
    return NULL;
  choose_parents (graph, layouts);
  for (guint i = 0; i < layouts->n; i++)
    resolve (graph, layouts, deim_graph_get_tensor (graph, i));
  for (guint i = 0; i < layouts->n; i++)
    if (deim_graph_get_tensor (graph, i)->keep_fp32 || deim_graph_get_tensor (graph, i)->plain)
      layouts->entries[layouts->entries[i].layout.root->id].layout.fp32 = TRUE;
  return g_steal_pointer (&layouts);
}

void
deim_layouts_free (DeimLayouts *layouts)
{
  if (!layouts)
    return;
  for (guint i = 0; i < layouts->n; i++)
    g_free (layouts->entries[i].cuts);
  g_free (layouts->entries);
  g_free (layouts);
}

const DeimLayout *
deim_layouts_get (const DeimLayouts *layouts, const DeimTensor *tensor)
{
  return &layouts->entries[tensor->id].layout;
}
