/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rewrite.h"

void
deim_rewrite_begin (DeimRewrite *self, DeimGraph *graph)
{
  deim_rewrite_end (self);
  self->graph = graph;
  self->n_tensors = graph->tensors->len;
  self->readers = g_new0 (guint, self->n_tensors);
  self->reader = g_new0 (DeimNode *, self->n_tensors);
  for (guint i = 0; i < graph->nodes->len; i++) {
    DeimNode *node = g_ptr_array_index (graph->nodes, i);
    for (guint k = 0; k < node->n_in; k++) {
      if (!node->in[k])
        continue;
      self->readers[node->in[k]->id]++;
      self->reader[node->in[k]->id] = node;
    }
  }
  for (guint i = 0; i < self->n_tensors; i++)
    if (deim_graph_is_output (graph, g_ptr_array_index (graph->tensors, i)))
      self->readers[i]++;
}

void
deim_rewrite_end (DeimRewrite *self)
{
  g_clear_pointer (&self->readers, g_free);
  g_clear_pointer (&self->reader, g_free);
}

DeimNode *
deim_rewrite_only_reader (const DeimRewrite *self, const DeimTensor *tensor)
{
  if (self->readers[tensor->id] != 1 || deim_graph_is_output (self->graph, tensor))
    return NULL;
  return self->reader[tensor->id];
}

void
deim_rewrite_absorb (DeimRewrite *self, DeimNode *node, DeimNode *next)
{
  GPtrArray *nodes = self->graph->nodes;
  node->out[0] = next->out[0];
  node->out[0]->producer = node;
  /* to the place of @next: its other operands are ready there, and nobody reads the result earlier */
  guint from = node->id, to = next->id;
  for (guint i = from; i < to; i++)
    nodes->pdata[i] = nodes->pdata[i + 1];
  nodes->pdata[to] = node;
  g_ptr_array_remove_index (nodes, to - 1); /* where the shift left @next */
  deim_graph_renumber (self->graph);
  deim_rewrite_begin (self, self->graph);
}

void
deim_rewrite_redirect (DeimRewrite *self, const DeimTensor *from, DeimTensor *to)
{
  for (guint i = 0; i < self->graph->nodes->len; i++) {
    DeimNode *node = g_ptr_array_index (self->graph->nodes, i);
    for (guint k = 0; k < node->n_in; k++)
      if (node->in[k] == from)
        node->in[k] = to;
  }
  deim_rewrite_begin (self, self->graph);
}

void
deim_rewrite_sweep (DeimRewrite *self)
{
  GPtrArray *nodes = self->graph->nodes;
  for (guint i = nodes->len; i-- > 0;) { /* backwards: a removed reader may free its producers */
    DeimNode *node = g_ptr_array_index (nodes, i);
    gboolean needed = FALSE;
    for (guint k = 0; k < node->n_out; k++)
      needed |= self->readers[node->out[k]->id] > 0;
    if (needed)
      continue;
    for (guint k = 0; k < node->n_in; k++)
      if (node->in[k])
        self->readers[node->in[k]->id]--;
    for (guint k = 0; k < node->n_out; k++)
      if (node->out[k]->producer == node)
        node->out[k]->producer = NULL;
    g_ptr_array_remove_index (nodes, i);
  }
  deim_graph_renumber (self->graph);
  deim_rewrite_begin (self, self->graph);
}
