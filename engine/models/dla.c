/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * dla.c - DLA-34: residual blocks strung into trees whose roots see all that
 * the tree made.
 */
#include "engine/models/parts.h"

static const gint widths[] = { 16, 32, 64, 128, 256, 512 }; /* of level0 .. level5 */

static DeimTensor *
unit (const DeimBuild *b, DeimTensor *x, const gchar *scope, const gchar *conv, const gchar *norm, gint out,
      gint kernel, gint stride, DeimAct act)
{
  return deim_block_conv_norm (
      b->graph, x, scope,
      &(DeimConvNorm){ .conv = conv, .norm = norm, .out = out, .kernel = kernel, .stride = stride, .act = act });
}

/* relu (bn (3x3 (relu (bn (3x3 x)))) + residual) */
static DeimTensor *
block (const DeimBuild *b, DeimTensor *x, DeimTensor *residual, const gchar *scope, gint out, gint stride)
{
  deim_graph_push_scope (b->graph, "%s", scope);
  DeimTensor *y = unit (b, x, NULL, "conv1", "bn1", out, 3, stride, DEIM_ACT_RELU);
  y = unit (b, y, NULL, "conv2", "bn2", out, 3, 1, DEIM_ACT_NONE);
  y = deim_act (b->graph, deim_add (b->graph, y, residual ? residual : x), DEIM_ACT_RELU);
  deim_graph_pop_scope (b->graph);
  return y;
}

/* Two blocks and a root over [second, first, extra ..]. Called in the tree's scope. */
static DeimTensor *
tree (const DeimBuild *b, DeimTensor *x, gint out, gint stride, DeimTensor *const *extra, guint n_extra)
{
  if (!x)
    return NULL;
  DeimTensor *bottom = stride == 2 ? deim_max_pool (b->graph, x, 2, 2, 0, 0, 0, 0, 0.0f) : x;
  DeimTensor *residual = x->shape.c == out ? bottom : unit (b, bottom, "project", "0", "1", out, 1, 1, DEIM_ACT_NONE);
  DeimTensor *first = block (b, x, residual, "tree1", out, stride);
  DeimTensor *second = block (b, first, NULL, "tree2", out, 1);
  DeimTensor *all[4] = { second, first };
  for (guint i = 0; i < n_extra; i++)
    all[2 + i] = extra[i];
  DeimTensor *joined = deim_concat (b->graph, all, 2 + n_extra, TRUE);
  return unit (b, joined, "root", "conv", "bn", out, 1, 1, DEIM_ACT_RELU);
}

/* A tree of two trees; the second root also sees the pooled input and the first tree. */
static DeimTensor *
tree_of_trees (const DeimBuild *b, DeimTensor *x, gint out)
{
  DeimTensor *bottom = deim_max_pool (b->graph, x, 2, 2, 0, 0, 0, 0, 0.0f);
  deim_graph_push_scope (b->graph, "tree1");
  DeimTensor *first = tree (b, x, out, 2, NULL, 0);
  deim_graph_pop_scope (b->graph);
  deim_graph_push_scope (b->graph, "tree2");
  DeimTensor *second = tree (b, first, out, 1, (DeimTensor *[]){ bottom, first }, 2);
  deim_graph_pop_scope (b->graph);
  return second;
}

void
deim_dla (const DeimBuild *b, DeimTensor *picture, DeimTensor **ret_maps)
{
  DeimGraph *graph = b->graph;
  deim_graph_push_scope (graph, "backbone.model");
  DeimTensor *x = unit (b, picture, "base_layer", "0", "1", widths[0], 7, 1, DEIM_ACT_RELU);
  deim_graph_tap (graph, x, "base_layer");
  for (gint level = 0; level < 6; level++) {
    gint out = widths[level];
    deim_graph_push_scope (graph, "level%d", level);
    if (level < 2) {
      x = unit (b, x, NULL, "0", "1", out, 3, level + 1, DEIM_ACT_RELU);
    } else if (level == 2) {
      x = tree (b, x, out, 2, NULL, 0);
    } else if (level < 5) {
      x = tree_of_trees (b, x, out);
    } else {
      DeimTensor *bottom = deim_max_pool (graph, x, 2, 2, 0, 0, 0, 0, 0.0f);
      x = tree (b, x, out, 2, &bottom, 1);
    }
    deim_graph_tap (graph, x, NULL);
    deim_graph_pop_scope (graph);
    if (level >= 3)
      ret_maps[level - 3] = x;
  }
  deim_graph_pop_scope (graph);
}
