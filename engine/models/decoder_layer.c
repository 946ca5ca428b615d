/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * decoder_layer.c - one layer of a deformable decoder: self-attention,
 * cross-attention at sampled points, feed-forward. Post-norm everywhere.
 */
#include "engine/models/parts.h"

static DeimTensor *
norm (const DeimBuild *b, DeimTensor *x, const gchar *scope)
{
  return b->arch->decoder.kind == DEIM_DECODER_DEIM ? deim_block_rms_norm (b->graph, x, scope)
                                                    : deim_block_layer_norm (b->graph, x, scope);
}

/* Offsets shrink with the number of points of their level: 1/n, or what training made of the stored 1/n. Called in
 * scope "decoder", for layer @i. */
static void
point_scales (const DeimBuild *b, gint i, gint points, DeimDeformAttrs *attrs)
{
  const DeimDecoderArch *arch = &b->arch->decoder;
  for (gint l = 0; l < arch->levels; l++)
    attrs->point_scale[l] = 1.0f / (gfloat) arch->points[l];
  if (arch->v1_names)
    return;
  g_autofree gchar *name = g_strdup_printf ("decoder.decoder.layers.%d.cross_attn.num_points_scale", i);
  g_autofree gfloat *stored = deim_block_values (b, name, (gsize) points);
  if (!stored) {
    deim_graph_fail (b->graph, "parameter \"%s\" is missing or not of %d numbers", name, points);
    return;
  }
  deim_param_ignore (b->graph, "cross_attn.num_points_scale");
  for (gint l = 0, p = 0; l < arch->levels; p += arch->points[l], l++)
    attrs->point_scale[l] = stored[p];
}

/* Called in the layer's scope. */
static DeimTensor *
cross_attention (const DeimBuild *b, gint i, DeimTensor *query, DeimTensor *boxes, const DeimMemory *memory)
{
  DeimGraph *graph = b->graph;
  const DeimDecoderArch *arch = &b->arch->decoder;
  DeimDeformAttrs attrs = { .heads = DEIM_HEADS, .levels = arch->levels, .sampling = arch->sampling };
  gint points = 0;
  for (gint l = 0; l < arch->levels; l++) {
    attrs.h[l] = memory->h[l];
    attrs.w[l] = memory->w[l];
    attrs.points[l] = arch->points[l];
    points += arch->points[l];
  }
  point_scales (b, i, points, &attrs);

  gboolean projected = arch->kind == DEIM_DECODER_RTDETR;
  deim_graph_push_scope (graph, "cross_attn");
  DeimTensor *offsets =
      deim_block_keep_fp32 (deim_block_linear (graph, query, "sampling_offsets", DEIM_HEADS * points * 2));
  DeimTensor *weights =
      deim_block_keep_fp32 (deim_block_linear (graph, query, "attention_weights", DEIM_HEADS * points));
  DeimTensor *value = memory->tokens; /* not masked */
  if (projected)
    value = deim_block_linear (graph, value, "value_proj", arch->hidden);
  DeimTensor *y = deim_deform_attn (graph, value, offsets, weights, boxes, &attrs);
  if (projected)
    y = deim_block_linear (graph, y, "output_proj", arch->hidden);
  deim_graph_tap (graph, y, NULL);
  deim_graph_pop_scope (graph);
  return y;
}

/* norm (g1 * x + g2 * y), the gates made of both. Called in the layer's scope. */
static DeimTensor *
gateway (const DeimBuild *b, DeimTensor *x, DeimTensor *y)
{
  DeimGraph *graph = b->graph;
  gint d = b->arch->decoder.hidden;
  deim_graph_push_scope (graph, "gateway");
  DeimTensor *both = deim_concat (graph, (DeimTensor *[]){ x, y }, 2, TRUE);
  DeimTensor *gates = deim_act (graph, deim_block_linear (graph, both, "gate", 2 * d), DEIM_ACT_SIGMOID);
  DeimTensor *mine = deim_mul (graph, x, deim_slice (graph, gates, TRUE, 0, d));
  DeimTensor *other = deim_mul (graph, y, deim_slice (graph, gates, TRUE, d, d));
  DeimTensor *sum = norm (b, deim_add (graph, mine, other), "norm");
  deim_graph_tap (graph, sum, NULL);
  deim_graph_pop_scope (graph);
  return sum;
}

/* DEIMv2: SwiGLU; the others: two linears. Called in the layer's scope. */
static DeimTensor *
feed_forward (const DeimBuild *b, DeimTensor *x)
{
  DeimGraph *graph = b->graph;
  const DeimDecoderArch *arch = &b->arch->decoder;
  if (arch->kind != DEIM_DECODER_DEIM) {
    DeimTensor *y = deim_act (graph, deim_block_linear (graph, x, "linear1", arch->ff), arch->act);
    return deim_block_linear (graph, y, "linear2", arch->hidden);
  }
  deim_graph_push_scope (graph, "swish_ffn");
  DeimTensor *both = deim_block_linear (graph, x, "w12", 2 * arch->ff);
  DeimTensor *gate = deim_act (graph, deim_slice (graph, both, TRUE, 0, arch->ff), DEIM_ACT_SILU);
  DeimTensor *y = deim_mul (graph, gate, deim_slice (graph, both, TRUE, arch->ff, arch->ff));
  y = deim_block_linear (graph, y, "w3", arch->hidden);
  deim_graph_tap (graph, y, NULL);
  deim_graph_pop_scope (graph);
  return y;
}

DeimTensor *
deim_decoder_layer (const DeimBuild *b, gint i, DeimTensor *x, DeimTensor *pos, DeimTensor *groups, DeimTensor *boxes,
                    const DeimMemory *memory)
{
  DeimGraph *graph = b->graph;
  const DeimDecoderArch *arch = &b->arch->decoder;
  deim_graph_push_scope (graph, "decoder.layers.%d", i);
  x = norm (b, deim_add (graph, x, deim_block_self_attention (graph, x, pos, groups, "self_attn")), "norm1");
  deim_graph_tap (graph, x, "norm1");
  DeimTensor *y = cross_attention (b, i, deim_add (graph, x, pos), boxes, memory);
  if (arch->gate)
    x = gateway (b, x, y);
  else
    x = deim_graph_tap (graph, norm (b, deim_add (graph, x, y), "norm2"), "norm2");
  y = deim_add (graph, x, feed_forward (b, x));
  if (arch->kind != DEIM_DECODER_RTDETR)
    y = deim_clamp (graph, y, -65504.0f, 65504.0f);
  x = norm (b, y, "norm3");
  deim_graph_tap (graph, x, NULL);
  deim_graph_pop_scope (graph);
  return x;
}

gint
deim_decoder_last_layer (const DeimBuild *b)
{
  return b->training ? b->arch->decoder.layers - 1 : b->arch->decoder.eval_idx;
}

/* One module under several names is one parameter only if it is trained; else any of the copies serves. */
gint
deim_decoder_score_head (const DeimBuild *b, gint i)
{
  return b->training && b->arch->decoder.share_score ? 0 : i;
}

gint
deim_decoder_box_head (const DeimBuild *b, gint i)
{
  return b->training && b->arch->decoder.share_bbox ? 0 : i;
}

DeimTensor *
deim_decoder_query_pos (const DeimBuild *b, DeimTensor *boxes, gint call)
{
  const DeimDecoderArch *arch = &b->arch->decoder;
  gint d = arch->hidden;
  DeimTensor *y = deim_block_mlp (b->graph, boxes, "query_pos_head", arch->query_pos_layers,
                                  arch->query_pos_layers == 2 ? 2 * d : d, d, arch->act);
  g_autofree gchar *name = g_strdup_printf ("query_pos_head.call%d", call);
  deim_graph_tap (b->graph, y, name);
  return arch->kind == DEIM_DECODER_RTDETR ? y : deim_clamp (b->graph, y, -10.0f, 10.0f);
}
