/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * dfine_decoder.c - boxes as distributions over the distance of each edge
 * from an initial box, refined layer by layer (D-FINE, and DEIMv2).
 */
#include "engine/models/parts.h"

#include <math.h>

void
deim_decoder_fdr_attrs (const DeimDecoderArch *arch, DeimFdrAttrs *ret_attrs)
{
  gdouble reg_scale = fabs ((gdouble) arch->reg_scale);
  gdouble a = fabs ((gdouble) arch->up) * reg_scale;
  gdouble step = pow (a + 1.0, 2.0 / 30.0);
  ret_attrs->reg_scale = (gfloat) reg_scale;
  for (gint n = 0; n < DEIM_FDR_BINS; n++) {
    gdouble magnitude = n == 0 || n == 32 ? 2.0 * a : pow (step, abs (n - 16)) - 1.0;
    ret_attrs->bins[n] = (gfloat) (n < 16 ? -magnitude : magnitude);
  }
}

/* The box that distances count from: sigmoid (pre_bbox_head (x) + inverse_sigmoid (boxes)). */
static DeimTensor *
initial_boxes (const DeimBuild *b, DeimTensor *x, DeimTensor *boxes)
{
  DeimGraph *graph = b->graph;
  const DeimDecoderArch *arch = &b->arch->decoder;
  DeimTensor *delta = deim_block_keep_fp32 (deim_block_mlp (graph, x, "pre_bbox_head", 3, arch->hidden, 4, arch->act));
  deim_graph_tap (graph, delta, "pre_bbox_head");
  DeimTensor *logits = deim_block_keep_fp32 (deim_act (graph, boxes, DEIM_ACT_INVERSE_SIGMOID));
  logits = deim_block_keep_fp32 (deim_add (graph, delta, logits));
  return deim_block_keep_fp32 (deim_act (graph, logits, DEIM_ACT_SIGMOID));
}

/* Class logits, moved by how sure the distributions are (LQE). */
static DeimTensor *
class_logits (const DeimBuild *b, DeimTensor *x, DeimTensor *corners)
{
  DeimGraph *graph = b->graph;
  const DeimDecoderArch *arch = &b->arch->decoder;
  g_autofree gchar *head = g_strdup_printf ("dec_score_head.%d", arch->eval_idx);
  DeimTensor *scores = deim_block_keep_fp32 (deim_block_linear (graph, x, head, arch->classes));
  /* A shared head is called in layer 0, for training, and here. */
  deim_graph_tap (graph, scores, arch->share_score ? "dec_score_head.call1" : head);

  deim_graph_push_scope (graph, "decoder.lqe_layers.%d", arch->eval_idx);
  DeimTensor *stats = deim_block_keep_fp32 (deim_lqe_stats (graph, corners));
  DeimTensor *quality = deim_block_keep_fp32 (deim_block_mlp (graph, stats, "reg_conf", 2, 64, 1, arch->act));
  DeimTensor *logits = deim_block_keep_fp32 (deim_add (graph, scores, quality));
  deim_graph_tap (graph, logits, NULL);
  deim_graph_pop_scope (graph);
  return logits;
}

void
deim_dfine_decoder (const DeimBuild *b, const DeimMemory *memory, const DeimQueries *queries,
                    DeimNetworkOutputs *ret_outputs)
{
  DeimGraph *graph = b->graph;
  const DeimDecoderArch *arch = &b->arch->decoder;
  gboolean once = arch->kind == DEIM_DECODER_DEIM; /* its position stays that of the first boxes */
  DeimFdrAttrs attrs;
  deim_decoder_fdr_attrs (arch, &attrs);

  DeimTensor *x = queries->content;
  DeimTensor *boxes = queries->boxes;
  DeimTensor *before = NULL, *pos = NULL, *start = NULL, *corners = NULL;
  for (gint i = 0; i <= arch->eval_idx; i++) {
    if (i == 0 || !once)
      pos = deim_decoder_query_pos (b, boxes, i);
    g_autofree gchar *name = g_strdup_printf ("ref_points_in.%d", i);
    deim_graph_tap (graph, boxes, name);
    x = deim_decoder_layer (b, i, x, pos, boxes, memory);
    if (i == 0)
      start = initial_boxes (b, x, boxes);

    g_autofree gchar *scope = g_strdup_printf ("dec_bbox_head.%d", i);
    DeimTensor *seen = i == 0 ? x : deim_add (graph, x, before);
    DeimTensor *delta =
        deim_block_keep_fp32 (deim_block_mlp (graph, seen, scope, 3, arch->hidden, 4 * DEIM_FDR_BINS, arch->act));
    deim_graph_tap (graph, delta, scope);
    corners = i == 0 ? delta : deim_block_keep_fp32 (deim_add (graph, delta, corners));
    boxes = deim_block_keep_fp32 (deim_fdr (graph, corners, start, &attrs));
    before = x;
  }
  ret_outputs->logits = class_logits (b, x, corners);
  ret_outputs->boxes = boxes;
}
