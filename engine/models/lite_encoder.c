/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * lite_encoder.c - DEIMv2's encoder for one backbone map of stride 16: no
 * transformer, a second level by pooling, one pass down and one up.
 */
#include "engine/models/parts.h"

/* 3x3 average (its zeros count) with stride 2, 1x1, BatchNorm, SiLU. */
static DeimTensor *
down_sample (const DeimBuild *b, DeimTensor *x, const gchar *scope)
{
  x = deim_avg_pool (b->graph, x, 3, 2, 1);
  x = deim_block_conv_norm (
      b->graph, x, scope,
      &(DeimConvNorm){ .conv = "1", .norm = "2", .out = b->arch->encoder.hidden, .kernel = 1, .act = DEIM_ACT_SILU });
  return deim_graph_tap (b->graph, x, scope);
}

/* To every pixel its channel's mean over the whole map, then 1x1, BatchNorm, SiLU. */
static DeimTensor *
add_mean (const DeimBuild *b, DeimTensor *x)
{
  deim_graph_push_scope (b->graph, "bi_fusion");
  x = deim_add (b->graph, x, deim_global_mean (b->graph, x));
  x = deim_block_conv_norm (b->graph, x, "cv",
                            &(DeimConvNorm){ .out = b->arch->encoder.hidden, .kernel = 1, .act = DEIM_ACT_SILU });
  deim_graph_tap (b->graph, x, NULL);
  deim_graph_pop_scope (b->graph);
  return x;
}

void
deim_lite_encoder (const DeimBuild *b, DeimTensor *map, DeimTensor **ret_maps)
{
  DeimGraph *graph = b->graph;
  deim_graph_push_scope (graph, "encoder");
  DeimTensor *p16 =
      deim_block_conv_norm (graph, map, "input_proj.0", &(DeimConvNorm){ .out = b->arch->encoder.hidden, .kernel = 1 });
  deim_graph_tap (graph, p16, "input_proj.0");
  DeimTensor *p32 = add_mean (b, down_sample (b, p16, "down_sample1"));
  ret_maps[0] = deim_fusion_block (b, deim_add (graph, p16, deim_upsample2x (graph, p32)), "fpn_block");
  DeimTensor *down = down_sample (b, ret_maps[0], "down_sample2");
  ret_maps[1] = deim_fusion_block (b, deim_add (graph, p32, down), "pan_block");
  deim_graph_pop_scope (graph);
}
