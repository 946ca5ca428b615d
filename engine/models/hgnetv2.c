/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * hgnetv2.c - the backbone of D-FINE, DEIM and DEIMv2, and under other names
 * of RT-DETR L, X, H. Every unit is convolution, BatchNorm, ReLU, and with
 * `lab` a learnable affine block; units without activation have no such block.
 */
#include "engine/models/parts.h"

static DeimTensor *
unit (const DeimBuild *b, DeimTensor *x, const gchar *scope, gint out, gint kernel, gint stride)
{
  return deim_block_conv_norm (b->graph, x, scope,
                               &(DeimConvNorm){ .norm = "bn",
                                                .out = out,
                                                .kernel = kernel,
                                                .stride = stride,
                                                .act = DEIM_ACT_RELU,
                                                .lab = b->arch->backbone.lab });
}

/* A 2x2 unit that keeps the size: one zero column right, one zero row below. */
static DeimTensor *
unit_2x2 (const DeimBuild *b, DeimTensor *x, const gchar *scope, gint out)
{
  const DeimBackboneArch *arch = &b->arch->backbone;
  return deim_block_conv_norm (b->graph, x, scope,
                               &(DeimConvNorm){ .conv = arch->rt_names ? "conv.1" : "conv", /* .0 is the padding */
                                                .norm = "bn",
                                                .out = out,
                                                .kernel = 2,
                                                .pad_end = TRUE,
                                                .act = DEIM_ACT_RELU,
                                                .lab = arch->lab });
}

/* [n, 3, h, w] -> [n, stem_out, h/4, w/4]. A frozen backbone's stem is not trained. */
static DeimTensor *
stem (const DeimBuild *b, DeimTensor *x)
{
  DeimGraph *graph = b->graph;
  gint mid = b->arch->backbone.stem_mid;
  DeimTrainMode training = deim_graph_get_training (graph);
  if (b->arch->backbone.frozen)
    deim_graph_set_training (graph, DEIM_TRAIN_NOTHING);
  deim_graph_push_scope (graph, "stem");
  x = deim_graph_tap (graph, unit (b, x, "stem1", mid, 3, 2), "stem1");
  DeimTensor *conv = unit_2x2 (b, unit_2x2 (b, x, "stem2a", mid / 2), "stem2b", mid);
  DeimTensor *pool = deim_max_pool (graph, x, 2, 1, 0, 0, 1, 1, 0.0f); /* sees the zeros, not -inf */
  x = deim_concat (graph, (DeimTensor *[]){ pool, conv }, 2, TRUE);
  x = unit (b, unit (b, x, "stem3", mid, 3, 2), "stem4", b->arch->backbone.stem_out, 1, 1);
  deim_graph_tap (graph, x, NULL);
  deim_graph_pop_scope (graph);
  deim_graph_set_training (graph, training);
  return x;
}

static DeimTensor *
light_layer (const DeimBuild *b, DeimTensor *x, const gchar *scope, const DeimStage *stage)
{
  deim_graph_push_scope (b->graph, "%s", scope);
  x = deim_block_conv_norm (b->graph, x, "conv1", &(DeimConvNorm){ .norm = "bn", .out = stage->mid, .kernel = 1 });
  x = deim_block_conv_norm (b->graph, x, "conv2",
                            &(DeimConvNorm){ .norm = "bn",
                                             .out = stage->mid,
                                             .kernel = stage->kernel,
                                             .depthwise = TRUE,
                                             .act = DEIM_ACT_RELU,
                                             .lab = b->arch->backbone.lab });
  deim_graph_pop_scope (b->graph);
  return x;
}

/* All layers' outputs side by side, squeezed to out/2 and widened to out. */
static DeimTensor *
block (const DeimBuild *b, DeimTensor *x, const DeimStage *stage, gboolean residual)
{
  gboolean rt_names = b->arch->backbone.rt_names;
  DeimTensor *all[DEIM_MAX_INPUTS] = { x };
  for (gint i = 0; i < stage->layers; i++) {
    g_autofree gchar *scope = g_strdup_printf ("layers.%d", i);
    all[i + 1] =
        stage->light ? light_layer (b, all[i], scope, stage) : unit (b, all[i], scope, stage->mid, stage->kernel, 1);
  }
  DeimTensor *y = deim_concat (b->graph, all, (guint) stage->layers + 1, TRUE);
  y = unit (b, y, rt_names ? "aggregation_squeeze_conv" : "aggregation.0", stage->out / 2, 1, 1);
  y = unit (b, y, rt_names ? "aggregation_excitation_conv" : "aggregation.1", stage->out, 1, 1);
  return residual ? deim_add (b->graph, y, x) : y;
}

void
deim_hgnetv2 (const DeimBuild *b, DeimTensor *picture, DeimTensor **ret_maps)
{
  DeimGraph *graph = b->graph;
  const DeimBackboneArch *arch = &b->arch->backbone;
  deim_graph_push_scope (graph, "backbone");
  DeimTensor *x = stem (b, picture);
  for (gint s = 0; s < arch->n_stages; s++) {
    const DeimStage *stage = &arch->stages[s];
    deim_graph_push_scope (graph, "stages.%d", s);
    if (s > 0)
      x = deim_block_conv_norm (
          graph, x, "downsample",
          &(DeimConvNorm){ .norm = "bn", .out = stage->in, .kernel = 3, .stride = 2, .depthwise = TRUE });
    for (gint i = 0; i < stage->blocks; i++) {
      deim_graph_push_scope (graph, "blocks.%d", i);
      x = block (b, x, stage, i > 0);
      deim_graph_pop_scope (graph);
    }
    deim_graph_tap (graph, x, NULL);
    deim_graph_pop_scope (graph);
    if (s >= arch->first_stage)
      ret_maps[s - arch->first_stage] = x;
  }
  deim_graph_pop_scope (graph);
}
