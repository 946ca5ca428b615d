/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * criterion.h - how wrong a network's outputs for a batch are, and in which
 * direction they should move: the losses of RT-DETR, D-FINE, DEIM and DEIMv2
 * with their gradients, in plain C with double accumulation.
 *
 *  - class: MAL (DEIM, section 3.2) or VFL (VarifocalNet): cross entropy of
 *    every logit; a matched query's class should have the IoU of its box to
 *    the power gamma (MAL) or the IoU itself (VFL), everything else 0.
 *  - bbox: L1 of cx, cy, w, h; giou: 1 - generalised IoU.
 *  - fgl: D-FINE's fine-grained localisation, cross entropy of each edge's
 *    distribution with the two bins around the true distance, weighted by IoU.
 *  - ddf: D-FINE's distillation, KL divergence of each earlier layer's
 *    distributions from those of the last, at a temperature.
 *
 * Where a query is matched is decided before (matcher.h). Gradients are with
 * respect to logits, boxes and corners as these tensors stand; what lies
 * between them and the parameters is the graph's.
 *
 * Objects: one without area counts like any other, its IoU is 0; a batch
 * without any is legal. Thread-safety: safe; nothing is shared.
 */
#pragma once

#include "matcher.h"

typedef enum { DEIM_LOSS_CLASS, DEIM_LOSS_BBOX, DEIM_LOSS_GIOU, DEIM_LOSS_FGL, DEIM_LOSS_DDF, DEIM_LOSS_LAST } DeimLoss;

typedef struct {
  gboolean vfl; /* VFL instead of MAL */
  gdouble mal_gamma, mal_alpha;
  gdouble vfl_gamma, vfl_alpha;
  gboolean use_union; /* boxes learn from the union of matchings; classes always from their own */
  gboolean local;     /* FGL and DDF by the union, of outputs that have corners; only with use_union */
  gdouble temperature;
  gdouble weights[DEIM_LOSS_LAST];
} DeimCriterion;

/* MAL with gamma 1.5; FGL and DDF at temperature 5, the union; weights 1, 5, 2, 0.15, 1.5: what DEIM-D-FINE has. */
extern const DeimCriterion deim_criterion_default;

/* What an output is. The order in which they are computed. */
typedef enum {
  DEIM_PART_MAIN,          /* the last decoder layer: exactly one */
  DEIM_PART_AUX,           /* an earlier layer; its teacher is MAIN */
  DEIM_PART_PRE,           /* D-FINE's boxes after layer 0, with that layer's logits */
  DEIM_PART_ENCODER,       /* the encoder tokens that were selected */
  DEIM_PART_DENOISING,     /* a decoder layer's denoising queries; their teacher is the last of these */
  DEIM_PART_DENOISING_PRE, /* as PRE */
} DeimPartRole;

typedef struct {
  DeimPartRole role;
  DeimPredictions own;
  DeimMatching *matching; /* by deim_criterion_match(), NULL for denoising; owned */
  /* Gradients of the weighted sum of losses, laid out as own.logits, .boxes, .corners; (nullable): not wanted. Rows
   * between n_queries and pitch are not touched. */
  gfloat *d_logits, *d_boxes, *d_corners;
  gdouble losses[DEIM_LOSS_LAST]; /* weighted */
  gboolean has[DEIM_LOSS_LAST];   /* which of them this part has */
} DeimPart;

/*
 * What losses are divided by: counts over the batch. Where several processes
 * share a batch, the counts of all of them together; the losses and gradients
 * of the processes then add up to those of one process.
 */
typedef struct {
  guint images, objects;
  guint united, denoising; /* pairs */
} DeimBatchCounts;

/* All that decides about the losses beside the parts themselves. */
typedef struct {
  const DeimTargets *targets;    /* of each image */
  const DeimMatching *united;    /* from deim_criterion_unite() */
  const DeimMatching *denoising; /* (nullable) which denoising query stands for which object */
  const DeimFdrAttrs *fdr;       /* (nullable) the decoder's bins, for FGL */
  DeimBatchCounts counts;
} DeimCriterionBatch;

/* Matches every part that is not denoising's. Replaces matchings of an earlier call. */
void deim_criterion_match (const DeimMatcher *matcher, DeimPart *parts, guint n_parts, const DeimTargets *targets);

/* The union of all matchings of @parts. Free with deim_matching_free(). */
DeimMatching *deim_criterion_unite (const DeimPart *parts, guint n_parts);

/* Those of one process alone. @denoising: (nullable) */
DeimBatchCounts deim_criterion_count (const DeimTargets *targets, guint n_images, const DeimMatching *united,
                                      const DeimMatching *denoising);

/*
 * Computes parts[].losses and gradients, which are overwritten, and returns the
 * sum of all losses. @parts have their matchings.
 */
gdouble deim_criterion_run (const DeimCriterion *criterion, const DeimCriterionBatch *batch, DeimPart *parts,
                            guint n_parts);

/*
 * The first loss that is no finite number, as indices; FALSE when all are. A
 * network that diverges shows here first.
 */
gboolean deim_criterion_find_bad (const DeimPart *parts, guint n_parts, guint *ret_part, DeimLoss *ret_loss);

/* Frees the matchings. */
void deim_parts_clear (DeimPart *parts, guint n_parts);

/* "loss_mal_aux_0": the official name of a loss of parts[@index]. Free with g_free(). */
gchar *deim_criterion_key (const DeimCriterion *criterion, const DeimPart *parts, guint index, DeimLoss loss);
