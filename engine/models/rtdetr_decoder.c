/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* rtdetr_decoder.c - boxes refined layer by layer as logits. */
#include "engine/models/parts.h"

/* dec_bbox_head.i (x) */
static DeimTensor *
box_delta (const DeimBuild *b, gint i, DeimTensor *x)
{
  const DeimDecoderArch *arch = &b->arch->decoder;
  g_autofree gchar *scope = g_strdup_printf ("dec_bbox_head.%d", deim_decoder_box_head (b, i));
  DeimTensor *delta = deim_block_keep_fp32 (deim_block_mlp (b->graph, x, scope, 3, arch->hidden, 4, arch->act));
  return deim_graph_tap (b->graph, delta, scope);
}

/* sigmoid (delta + inverse_sigmoid (boxes)) */
static DeimTensor *
refine (const DeimBuild *b, DeimTensor *delta, DeimTensor *boxes)
{
  DeimGraph *graph = b->graph;
  DeimTensor *logits = deim_block_keep_fp32 (deim_act (graph, boxes, DEIM_ACT_INVERSE_SIGMOID));
  logits = deim_block_keep_fp32 (deim_add (graph, delta, logits));
  return deim_block_keep_fp32 (deim_act (graph, logits, DEIM_ACT_SIGMOID));
}

static DeimTensor *
class_logits (const DeimBuild *b, gint i, DeimTensor *x)
{
  g_autofree gchar *scope = g_strdup_printf ("dec_score_head.%d", deim_decoder_score_head (b, i));
  DeimTensor *logits = deim_block_keep_fp32 (deim_block_linear (b->graph, x, scope, b->arch->decoder.classes));
  return deim_graph_tap (b->graph, logits, scope);
}

void
deim_rtdetr_decoder (const DeimBuild *b, const DeimMemory *memory, const DeimQueries *queries,
                     DeimDecoderOutputs *outputs)
{
  DeimGraph *graph = b->graph;
  gint last = deim_decoder_last_layer (b);
  DeimTensor *x = queries->content;
  DeimTensor *boxes = queries->boxes; /* detached */
  DeimTensor *before = NULL;          /* the same, and not detached */
  for (gint i = 0; i <= last; i++) {
    DeimTensor *pos = deim_decoder_query_pos (b, boxes, i);
    g_autofree gchar *name = g_strdup_printf ("ref_points_in.%d", i);
    deim_graph_tap (graph, boxes, name);
    x = deim_decoder_layer (b, i, x, pos, queries->groups, boxes, memory);
    DeimTensor *delta = box_delta (b, i, x), *refined = refine (b, delta, boxes);
    if (b->training) {
      /* A loss of this layer's boxes also moves the layer before (DINO's "look forward twice"), but none further. */
      outputs->training->layers[i].boxes = before ? refine (b, delta, before) : refined;
      outputs->training->layers[i].logits = class_logits (b, i, x);
    }
    before = refined;
    boxes = deim_block_detach (b, refined);
  }
  if (b->training) {
    outputs->training->n_layers = last + 1;
    return;
  }
  outputs->network->logits = class_logits (b, last, x);
  outputs->network->boxes = boxes;
}
