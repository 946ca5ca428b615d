/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * hybrid_encoder.c - one width for all levels, self-attention within the
 * coarsest (AIFI), then a pass down to the finest level and one up again.
 */
#include "engine/models/parts.h"

#include <math.h>

/*
 * The sine table [1, C, 1, h*w]. The official code lays it out column by
 * column (token n stands for row n % h, column n / h) and adds it to tokens
 * that run row by row: for a square map a transposition, for others a
 * scramble. The networks were trained so; float32 as there.
 */
static DeimTensor *
position_table (const DeimBuild *b, gint channels, gint h, gint w)
{
  gint quarter = channels / 4;
  gint tokens = h * w;
  g_autofree gfloat *table = g_new (gfloat, (gsize) channels * (gsize) tokens);
  for (gint j = 0; j < quarter; j++) {
    gfloat omega = 1.0f / powf (10000.0f, (gfloat) j / (gfloat) quarter);
    for (gint n = 0; n < tokens; n++) {
      gfloat x = (gfloat) (n / h) * omega;
      gfloat y = (gfloat) (n % h) * omega;
      table[(0 * quarter + j) * tokens + n] = sinf (x);
      table[(1 * quarter + j) * tokens + n] = cosf (x);
      table[(2 * quarter + j) * tokens + n] = sinf (y);
      table[(3 * quarter + j) * tokens + n] = cosf (y);
    }
  }
  return deim_const (b->graph, "encoder.pos_embed", (DeimShape){ 1, channels, 1, tokens }, table);
}

/* AIFI: post-norm transformer layers over the tokens of one map. */
static DeimTensor *
aifi (const DeimBuild *b, DeimTensor *map)
{
  DeimGraph *graph = b->graph;
  const DeimEncoderArch *arch = &b->arch->encoder;
  if (!map || arch->layers == 0)
    return map;
  gint h = map->shape.h, w = map->shape.w;
  DeimTensor *pos = position_table (b, arch->hidden, h, w);
  DeimTensor *x = deim_flatten (graph, map);
  deim_graph_push_scope (graph, "encoder.0"); /* the only transformer in the list */
  for (gint i = 0; i < arch->layers; i++) {
    deim_graph_push_scope (graph, "layers.%d", i);
    x = deim_add (graph, x, deim_block_self_attention (graph, x, pos, NULL, "self_attn"));
    x = deim_block_layer_norm (graph, x, "norm1");
    DeimTensor *y = deim_act (graph, deim_block_linear (graph, x, "linear1", arch->ff), DEIM_ACT_GELU);
    x = deim_add (graph, x, deim_block_linear (graph, y, "linear2", arch->hidden));
    x = deim_block_layer_norm (graph, x, "norm2");
    deim_graph_pop_scope (graph);
  }
  deim_graph_tap (graph, x, NULL);
  deim_graph_pop_scope (graph);
  return deim_unflatten (graph, x, h, w);
}

static DeimTensor *
project (const DeimBuild *b, DeimTensor *map, gint level)
{
  gboolean v1 = b->arch->encoder.v1_names;
  if (b->arch->encoder.identity[level])
    return map;
  g_autofree gchar *scope = g_strdup_printf ("input_proj.%d", level);
  DeimTensor *y = deim_block_conv_norm (
      b->graph, map, scope,
      &(DeimConvNorm){ .conv = v1 ? "0" : NULL, .norm = v1 ? "1" : NULL, .out = b->arch->encoder.hidden, .kernel = 1 });
  return deim_graph_tap (b->graph, y, scope);
}

/* RT-DETR's is activated, D-FINE's is not. */
static DeimTensor *
lateral (const DeimBuild *b, DeimTensor *x, gint step)
{
  const DeimEncoderArch *arch = &b->arch->encoder;
  g_autofree gchar *scope = g_strdup_printf ("lateral_convs.%d", step);
  DeimAct act = arch->fusion == DEIM_FUSION_CSP ? DEIM_ACT_SILU : DEIM_ACT_NONE;
  x = deim_block_conv_norm (b->graph, x, scope, &(DeimConvNorm){ .out = arch->hidden, .kernel = 1, .act = act });
  return deim_graph_tap (b->graph, x, scope);
}

/* RT-DETR: one 3x3 with stride 2 and SiLU. D-FINE (SCDown): 1x1, then depthwise 3x3 with stride 2, no activation. */
static DeimTensor *
downsample (const DeimBuild *b, DeimTensor *x, gint step)
{
  const DeimEncoderArch *arch = &b->arch->encoder;
  gint c = arch->hidden;
  deim_graph_push_scope (b->graph, "downsample_convs.%d", step);
  if (arch->fusion == DEIM_FUSION_CSP) {
    x = deim_block_conv_norm (b->graph, x, NULL,
                              &(DeimConvNorm){ .out = c, .kernel = 3, .stride = 2, .act = DEIM_ACT_SILU });
  } else {
    x = deim_block_conv_norm (b->graph, x, "0.cv1", &(DeimConvNorm){ .out = c, .kernel = 1 });
    x = deim_block_conv_norm (b->graph, x, "0.cv2",
                              &(DeimConvNorm){ .out = c, .kernel = 3, .stride = 2, .depthwise = TRUE });
  }
  deim_graph_tap (b->graph, x, NULL);
  deim_graph_pop_scope (b->graph);
  return x;
}

static DeimTensor *
fuse (const DeimBuild *b, DeimTensor *a, DeimTensor *c, const gchar *list, gint step)
{
  g_autofree gchar *scope = g_strdup_printf ("%s.%d", list, step);
  DeimTensor *both =
      b->arch->encoder.sum ? deim_add (b->graph, a, c) : deim_concat (b->graph, (DeimTensor *[]){ a, c }, 2, TRUE);
  return deim_fusion_block (b, both, scope);
}

void
deim_hybrid_encoder (const DeimBuild *b, DeimTensor *const *maps, DeimTensor **ret_maps)
{
  gint levels = deim_arch_encoder_levels (b->arch);
  DeimTensor *level[DEIM_MAX_LEVELS] = { NULL };
  deim_graph_push_scope (b->graph, "encoder");
  for (gint i = 0; i < levels; i++)
    level[i] = project (b, maps[i], i);
  level[levels - 1] = aifi (b, level[levels - 1]);

  /* Down: step 0 is the coarsest. The lateral result takes the level's place, also for the way up. */
  for (gint i = levels - 1; i > 0; i--) {
    gint step = levels - 1 - i;
    level[i] = lateral (b, level[i], step);
    level[i - 1] = fuse (b, deim_upsample2x (b->graph, level[i]), level[i - 1], "fpn_blocks", step);
  }
  ret_maps[0] = level[0];
  for (gint i = 0; i + 1 < levels; i++)
    ret_maps[i + 1] = fuse (b, downsample (b, ret_maps[i], i), level[i + 1], "pan_blocks", i);
  deim_graph_pop_scope (b->graph);
}
