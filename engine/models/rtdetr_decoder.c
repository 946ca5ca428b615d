/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* rtdetr_decoder.c - boxes refined layer by layer as logits. */
#include "engine/models/parts.h"

/* sigmoid (dec_bbox_head.i (x) + inverse_sigmoid (boxes)) */
static DeimTensor *
refine (const DeimBuild *b, gint i, DeimTensor *x, DeimTensor *boxes)
{
  DeimGraph *graph = b->graph;
  const DeimDecoderArch *arch = &b->arch->decoder;
  g_autofree gchar *scope = g_strdup_printf ("dec_bbox_head.%d", i);
  DeimTensor *delta = deim_block_keep_fp32 (deim_block_mlp (graph, x, scope, 3, arch->hidden, 4, arch->act));
  deim_graph_tap (graph, delta, scope);
  DeimTensor *logits = deim_block_keep_fp32 (deim_act (graph, boxes, DEIM_ACT_INVERSE_SIGMOID));
  logits = deim_block_keep_fp32 (deim_add (graph, delta, logits));
  return deim_block_keep_fp32 (deim_act (graph, logits, DEIM_ACT_SIGMOID));
}

void
deim_rtdetr_decoder (const DeimBuild *b, const DeimMemory *memory, const DeimQueries *queries,
                     DeimNetworkOutputs *ret_outputs)
{
  DeimGraph *graph = b->graph;
  const DeimDecoderArch *arch = &b->arch->decoder;
  DeimTensor *x = queries->content;
  DeimTensor *boxes = queries->boxes;
  for (gint i = 0; i <= arch->eval_idx; i++) {
    DeimTensor *pos = deim_decoder_query_pos (b, boxes, i);
    g_autofree gchar *name = g_strdup_printf ("ref_points_in.%d", i);
    deim_graph_tap (graph, boxes, name);
    x = deim_decoder_layer (b, i, x, pos, boxes, memory);
    boxes = refine (b, i, x, boxes);
  }
  g_autofree gchar *scope = g_strdup_printf ("dec_score_head.%d", arch->eval_idx);
  ret_outputs->logits = deim_block_keep_fp32 (deim_block_linear (graph, x, scope, arch->classes));
  deim_graph_tap (graph, ret_outputs->logits, scope);
  ret_outputs->boxes = boxes;
}
