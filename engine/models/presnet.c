/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * presnet.c - ResNet in its variant d: a stem of three 3x3, and shortcuts that
 * average before they project.
 */
#include "engine/models/parts.h"

#include <math.h>

static DeimTensor *
unit (const DeimBuild *b, DeimTensor *x, const gchar *scope, gint out, gint kernel, gint stride, DeimAct act)
{
  return deim_block_conv_norm (b->graph, x, scope,
                               &(DeimConvNorm){ .out = out, .kernel = kernel, .stride = stride, .act = act });
}

/* Every stage's first block projects, whether or not the width changes. */
static DeimTensor *
shortcut (const DeimBuild *b, DeimTensor *x, gint out, gint stride)
{
  if (stride == 1)
    return unit (b, x, "short", out, 1, 1, DEIM_ACT_NONE);
  return unit (b, deim_avg_pool (b->graph, x, 2, 2, 0), "short.conv", out, 1, 1, DEIM_ACT_NONE);
}

static DeimTensor *
block (const DeimBuild *b, DeimTensor *x, gint width, gint stride, gboolean first)
{
  DeimTensor *y;
  gint out = width;
  if (b->arch->backbone.bottleneck) {
    out = 4 * width;
    y = unit (b, x, "branch2a", width, 1, 1, DEIM_ACT_RELU);
    y = unit (b, y, "branch2b", width, 3, stride, DEIM_ACT_RELU);
    y = unit (b, y, "branch2c", out, 1, 1, DEIM_ACT_NONE);
  } else {
    y = unit (b, x, "branch2a", width, 3, stride, DEIM_ACT_RELU);
    y = unit (b, y, "branch2b", width, 3, 1, DEIM_ACT_NONE);
  }
  DeimTensor *skip = first ? shortcut (b, x, out, stride) : x;
  return deim_act (b->graph, deim_add (b->graph, y, skip), DEIM_ACT_RELU);
}

void
deim_presnet (const DeimBuild *b, DeimTensor *picture, DeimTensor **ret_maps)
{
  DeimGraph *graph = b->graph;
  const DeimBackboneArch *arch = &b->arch->backbone;
  DeimTrainMode training = deim_graph_get_training (graph);
  deim_graph_push_scope (graph, "backbone");
  deim_graph_push_scope (graph, "conv1");
  if (arch->frozen) /* its stem is not trained */
    deim_graph_set_training (graph, DEIM_TRAIN_NOTHING);
  DeimTensor *x = unit (b, picture, "conv1_1", 32, 3, 2, DEIM_ACT_RELU);
  x = unit (b, x, "conv1_2", 32, 3, 1, DEIM_ACT_RELU);
  x = unit (b, x, "conv1_3", 64, 3, 1, DEIM_ACT_RELU);
  deim_graph_tap (graph, x, NULL);
  deim_graph_pop_scope (graph);
  deim_graph_set_training (graph, training);
  x = deim_max_pool (graph, x, 3, 2, 1, 1, 1, 1, -INFINITY);
  for (gint s = 0; s < arch->n_stages; s++) {
    deim_graph_push_scope (graph, "res_layers.%d", s);
    for (gint i = 0; i < arch->stages[s].blocks; i++) {
      deim_graph_push_scope (graph, "blocks.%d", i);
      x = block (b, x, 64 << s, s > 0 && i == 0 ? 2 : 1, i == 0);
      deim_graph_pop_scope (graph);
    }
    deim_graph_tap (graph, x, NULL);
    deim_graph_pop_scope (graph);
    if (s >= arch->first_stage)
      ret_maps[s - arch->first_stage] = x;
  }
  deim_graph_pop_scope (graph);
}
