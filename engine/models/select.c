/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * select.c - from encoder maps to the queries that the decoder starts with:
 * memory, the best tokens, their content, and their boxes.
 */
#include "engine/models/parts.h"

#include <string.h>

/* Level @level of the decoder from @map; @extra: one that the encoder lacks, made of the next finer one. */
static DeimTensor *
input_level (const DeimBuild *b, DeimTensor *map, gint level, gboolean extra)
{
  const DeimDecoderArch *arch = &b->arch->decoder;
  if (!arch->projected)
    return map;
  g_autofree gchar *scope = g_strdup_printf ("decoder.input_proj.%d", level);
  DeimConvNorm spec = { .out = arch->hidden, .kernel = extra ? 3 : 1, .stride = extra ? 2 : 1 };
  return deim_block_conv_norm (b->graph, map, scope, &spec);
}

void
deim_decoder_memory (const DeimBuild *b, DeimTensor *const *maps, DeimMemory *ret_memory)
{
  gint have = deim_arch_encoder_levels (b->arch);
  gint levels = b->arch->decoder.levels;
  DeimMemory memory = { .levels = levels };
  DeimTensor *tokens[DEIM_MAX_LEVELS];
  DeimTensor *coarsest = maps[have - 1];
  for (gint l = 0; l < levels; l++) {
    /* The first level beyond the encoder's comes from its last output, each further one from the one before. */
    DeimTensor *map = input_level (b, l < have ? maps[l] : coarsest, l, l >= have);
    if (l >= have)
      coarsest = map;
    if (map) {
      memory.h[l] = map->shape.h;
      memory.w[l] = map->shape.w;
      memory.total += map->shape.h * map->shape.w;
    }
    tokens[l] = deim_flatten (b->graph, map);
  }
  memory.tokens = levels == 1 ? tokens[0] : deim_concat (b->graph, tokens, (guint) levels, FALSE);
  *ret_memory = memory;
}

/* Anchors as [1, 4, 1, T] and, if any token is invalid, the mask [1, 1, 1, T]. */
static void
anchors (const DeimBuild *b, const DeimMemory *memory, DeimTensor **ret_anchors, DeimTensor **ret_mask)
{
  g_autofree gfloat *computed = NULL;
  g_autofree gboolean *valid = NULL;
  gint total = deim_anchors_compute (memory->levels, memory->h, memory->w, &computed, &valid);

  /* Training's moving average drifts the stored anchors, and the weights have learned to live with that: where they
   * are of this grid, they are the ones to use. Training itself computes them anew, as the official code does. */
  g_autofree gfloat *stored =
      b->arch->decoder.v1_names || b->training ? NULL : deim_block_values (b, "decoder.anchors", 4 * (gsize) total);
  const gfloat *rows = stored && deim_anchors_agree (stored, computed, total) ? stored : computed;

  /* An invalid anchor is infinite and makes a box of ones. So does a large number, and it cannot become NaN. */
  const gfloat far = 1e4f;
  g_autofree gfloat *columns = g_new (gfloat, 4 * (gsize) total);
  g_autofree gfloat *mask = g_new (gfloat, total);
  gboolean all_valid = TRUE;
  for (gint t = 0; t < total; t++) {
    for (gint i = 0; i < 4; i++)
      columns[i * total + t] = valid[t] ? rows[4 * t + i] : far;
    mask[t] = valid[t] ? 1.0f : 0.0f;
    all_valid = all_valid && valid[t];
  }
  *ret_anchors = deim_const (b->graph, "decoder.anchors", (DeimShape){ 1, 4, 1, total }, columns);
  *ret_mask = all_valid ? NULL : deim_const (b->graph, "decoder.valid_mask", (DeimShape){ 1, 1, 1, total }, mask);
}

/* What tokens are scored by: DEIMv2 the masked memory itself, the others a projection of it. */
static DeimTensor *
features (const DeimBuild *b, DeimTensor *tokens, DeimTensor *mask)
{
  const DeimDecoderArch *arch = &b->arch->decoder;
  if (mask)
    tokens = deim_mul (b->graph, tokens, mask);
  if (arch->kind == DEIM_DECODER_DEIM)
    return tokens;
  deim_graph_push_scope (b->graph, "enc_output");
  DeimTensor *y = deim_block_linear (b->graph, tokens, arch->v1_names ? "0" : "proj", arch->hidden);
  y = deim_block_layer_norm (b->graph, y, arch->v1_names ? "1" : "norm");
  deim_graph_tap (b->graph, y, NULL);
  deim_graph_pop_scope (b->graph);
  return y;
}

/* Indices 0 .. count-1, for each picture. */
static DeimTensor *
ranks (const DeimBuild *b, gint count)
{
  g_autofree gint32 *index = g_new (gint32, (gsize) b->batch * (gsize) count);
  for (gint i = 0; i < b->batch * count; i++)
    index[i] = i % count;
  return deim_const_int (b->graph, NULL, (DeimShape){ b->batch, 1, 1, count }, index);
}

/* Learned content [Q, d] as tokens [batch, d, 1, Q]: it belongs to the rank, whatever was selected. */
static DeimTensor *
learned_content (const DeimBuild *b)
{
  gint q = b->arch->decoder.queries, d = b->arch->decoder.hidden;
  if (b->training)
    return deim_embedding (b->graph, deim_param_shaped (b->graph, "tgt_embed.weight", (DeimShape){ q, d, 1, 1 }),
                           ranks (b, q), -1);
  g_autofree gfloat *rows = deim_block_values (b, "decoder.tgt_embed.weight", (gsize) q * (gsize) d);
  if (!rows) {
    deim_graph_fail (b->graph, "parameter \"decoder.tgt_embed.weight\" is missing or not of %d x %d numbers", q, d);
    return NULL;
  }
  deim_param_ignore (b->graph, "tgt_embed.weight");
  gsize size = (gsize) q * (gsize) d;
  g_autofree gfloat *columns = g_new (gfloat, size * (gsize) b->batch);
  for (gint i = 0; i < q; i++)
    for (gint j = 0; j < d; j++)
      columns[j * q + i] = rows[i * d + j];
  for (gint n = 1; n < b->batch; n++)
    memcpy (columns + (gsize) n * size, columns, size * sizeof (gfloat));
  return deim_const (b->graph, "decoder.tgt_embed", (DeimShape){ b->batch, d, 1, q }, columns);
}

/* Puts the denoising queries before the others: an embedding of the class that each claims, and a box of its own. */
static void
add_denoising (const DeimBuild *b, DeimQueries *queries, DeimTrainingOutputs *outputs)
{
  DeimGraph *graph = b->graph;
  const DeimDecoderArch *arch = &b->arch->decoder;
  gint count = b->denoising, total = count + arch->queries;
  DeimTensor *table =
      deim_param_shaped (graph, "denoising_class_embed.weight", (DeimShape){ arch->classes + 1, arch->hidden, 1, 1 });
  outputs->dn_class = deim_input_int (graph, "dn_class", (DeimShape){ b->batch, 1, 1, count });
  outputs->dn_boxes = deim_input (graph, "dn_boxes", (DeimShape){ b->batch, 4, 1, count });
  outputs->groups = deim_input (graph, "groups", (DeimShape){ 1, 1, 1, total });
  deim_block_keep_fp32 (outputs->dn_boxes);
  deim_block_keep_fp32 (outputs->groups);
  DeimTensor *content = deim_embedding (graph, table, outputs->dn_class, arch->classes);
  DeimTensor *boxes = deim_block_keep_fp32 (deim_act (graph, outputs->dn_boxes, DEIM_ACT_SIGMOID));
  queries->content = deim_concat (graph, (DeimTensor *[]){ content, queries->content }, 2, FALSE);
  queries->boxes = deim_block_keep_fp32 (deim_concat (graph, (DeimTensor *[]){ boxes, queries->boxes }, 2, FALSE));
  queries->groups = outputs->groups;
}

void
deim_decoder_select (const DeimBuild *b, const DeimMemory *memory, DeimDecoderOutputs *outputs,
                     DeimQueries *ret_queries)
{
  DeimGraph *graph = b->graph;
  const DeimDecoderArch *arch = &b->arch->decoder;
  gboolean flat = arch->select == DEIM_SELECT_ONE2MANY;
  DeimTensor *anchor, *mask;
  anchors (b, memory, &anchor, &mask);
  deim_block_keep_fp32 (anchor);

  DeimTensor *x = features (b, memory->tokens, mask);
  gint rows = arch->select == DEIM_SELECT_AGNOSTIC ? 1 : arch->classes;
  DeimTensor *scores = deim_block_keep_fp32 (deim_block_linear (graph, x, "enc_score_head", rows));
  deim_graph_tap (graph, scores, "enc_score_head");

  DeimQueries queries = { .divide = flat ? arch->classes : 1 };
  queries.index = deim_topk (graph, scores, arch->queries, flat);
  DeimTensor *content = deim_gather (graph, x, queries.index, queries.divide);
  DeimTensor *box =
      deim_block_keep_fp32 (deim_block_mlp (graph, content, "enc_bbox_head", 3, arch->hidden, 4, arch->act));
  deim_graph_tap (graph, box, "enc_bbox_head");
  DeimTensor *near = deim_block_keep_fp32 (deim_gather (graph, anchor, queries.index, queries.divide));
  DeimTensor *logits = deim_block_keep_fp32 (deim_add (graph, box, near));
  DeimTensor *boxes = deim_block_keep_fp32 (deim_act (graph, logits, DEIM_ACT_SIGMOID));
  queries.boxes = deim_block_detach (b, boxes);
  queries.content = arch->learned_content ? learned_content (b) : deim_block_detach (b, content);
  if (b->training) {
    outputs->training->encoder.logits =
        deim_block_keep_fp32 (deim_gather (graph, scores, queries.index, queries.divide));
    outputs->training->encoder.boxes = boxes;
    if (b->denoising)
      add_denoising (b, &queries, outputs->training);
  }
  *ret_queries = queries;
}
