/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* criterion.c - which losses each output has, by what matching, and what they are divided by. */
#include "criterion.h"

#include "losses.h"

#include <math.h>
#include <string.h>

const DeimCriterion deim_criterion_default = {
  .mal_gamma = 1.5,
  .mal_alpha = 1,
  .vfl_gamma = 2,
  .vfl_alpha = 0.75,
  .local = TRUE,
  .use_union = TRUE,
  .temperature = 5,
  .weights = { 1, 5, 2, 0.15, 1.5 },
};

static gboolean
is_denoising (const DeimPart *part)
{
  return part->role == DEIM_PART_DENOISING || part->role == DEIM_PART_DENOISING_PRE;
}

void
deim_criterion_match (const DeimMatcher *matcher, DeimPart *parts, guint n_parts, const DeimTargets *targets)
{
  deim_parts_clear (parts, n_parts);
  for (guint i = 0; i < n_parts; i++)
    if (!is_denoising (&parts[i]))
      parts[i].matching = deim_matcher_match (matcher, &parts[i].own, targets);
}

DeimMatching *
deim_criterion_unite (const DeimPart *parts, guint n_parts)
{
  g_autoptr (GPtrArray) matchings = g_ptr_array_new ();

  for (guint i = 0; i < n_parts; i++)
    if (parts[i].matching)
      g_ptr_array_add (matchings, parts[i].matching);
  return deim_matching_unite ((const DeimMatching *const *) matchings->pdata, matchings->len);
}

DeimBatchCounts
deim_criterion_count (const DeimTargets *targets, guint n_images, const DeimMatching *united,
                      const DeimMatching *denoising)
{
  DeimBatchCounts counts = { .images = n_images, .united = deim_matching_size (united) };
  counts.denoising = denoising ? deim_matching_size (denoising) : 0;
  for (guint i = 0; i < n_images; i++)
    counts.objects += targets[i].n;
  return counts;
}

void
deim_parts_clear (DeimPart *parts, guint n_parts)
{
  for (guint i = 0; i < n_parts; i++)
    g_clear_pointer (&parts[i].matching, deim_matching_free);
}

static void
clear_gradient (gfloat *gradient, const DeimPredictions *own, gsize per_query)
{
  for (guint b = 0; gradient && b < own->n_images; b++)
    memset (gradient + deim_predictions_row (own, b, 0) * per_query, 0, own->n_queries * per_query * sizeof *gradient);
}

/* Whose distributions the part learns from; NULL for the teachers themselves and for parts that have none. */
static const DeimPredictions *
find_teacher (const DeimPart *parts, guint n_parts, const DeimPart *part)
{
  const DeimPart *teacher = NULL;

  for (guint i = 0; i < n_parts; i++)
    if ((part->role == DEIM_PART_AUX && parts[i].role == DEIM_PART_MAIN) ||
        (part->role == DEIM_PART_DENOISING && parts[i].role == DEIM_PART_DENOISING))
      teacher = &parts[i];
  return teacher && teacher != part && teacher->own.corners ? &teacher->own : NULL;
}

static void
take (DeimPart *part, DeimLoss loss, gdouble value)
{
  part->losses[loss] = value;
  part->has[loss] = TRUE;
}

/*
 * DDF is the mean over the matched distributions and the mean over the others,
 * weighted by the square roots of how many of each there are in the decoder's
 * outputs. (These are taken relative to a batch of eight, which cancels out.)
 * Denoising outputs have the same two weights; only the means are over their own.
 */
static void
run_ddf (const DeimCriterion *criterion, const DeimCriterionBatch *batch, DeimPart *part,
         const DeimPredictions *teacher, const DeimMatching *matching, guint decoder_queries)
{
  const DeimBatchCounts *counts = &batch->counts;
  gdouble united = counts->united, all = (gdouble) counts->images * decoder_queries;
  gdouble share = sqrt (united) / (sqrt (united) + sqrt (MAX (all - united, 0.0)));
  gdouble matched = is_denoising (part) ? counts->denoising : united;
  gdouble others = (gdouble) counts->images * part->own.n_queries - matched;
  gdouble weight = criterion->weights[DEIM_LOSS_DDF];

  take (part, DEIM_LOSS_DDF,
        deim_loss_ddf (&part->own, teacher, criterion->temperature, batch->targets, matching,
                       matched > 0 ? weight * share / (4 * matched) : 0,
                       others > 0 ? weight * (1 - share) / (4 * others) : 0, part->d_corners));
}

static void
run_part (const DeimCriterion *criterion, const DeimCriterionBatch *batch, DeimPart *part,
          const DeimPredictions *teacher, guint decoder_queries)
{
  gboolean denoising = is_denoising (part), united = criterion->use_union && !denoising;
  const DeimMatching *own = denoising ? batch->denoising : part->matching, *boxes = united ? batch->united : own;
  gdouble n_own = MAX (denoising ? batch->counts.denoising : batch->counts.objects, 1);
  gdouble n_boxes = united ? MAX (batch->counts.united, 1) : n_own;
  const gdouble *weights = criterion->weights;

  clear_gradient (part->d_logits, &part->own, part->own.n_classes);
  clear_gradient (part->d_boxes, &part->own, 4);
  clear_gradient (part->d_corners, &part->own, 4 * DEIM_FDR_BINS);
  for (guint i = 0; i < DEIM_LOSS_LAST; i++) {
    part->losses[i] = 0;
    part->has[i] = FALSE;
  }
  take (part, DEIM_LOSS_CLASS,
        deim_loss_class (criterion, &part->own, batch->targets, own, weights[DEIM_LOSS_CLASS] / n_own, part->d_logits));
  take (part, DEIM_LOSS_BBOX,
        deim_loss_bbox (&part->own, batch->targets, boxes, weights[DEIM_LOSS_BBOX] / n_boxes, part->d_boxes));
  take (part, DEIM_LOSS_GIOU,
        deim_loss_giou (&part->own, batch->targets, boxes, weights[DEIM_LOSS_GIOU] / n_boxes, part->d_boxes));
  if (!criterion->local || !part->own.corners)
    return;
  take (
      part, DEIM_LOSS_FGL,
      deim_loss_fgl (&part->own, batch->fdr, batch->targets, boxes, weights[DEIM_LOSS_FGL] / n_boxes, part->d_corners));
  if (teacher)
    run_ddf (criterion, batch, part, teacher, boxes, decoder_queries);
}

gdouble
deim_criterion_run (const DeimCriterion *criterion, const DeimCriterionBatch *batch, DeimPart *parts, guint n_parts)
{
  guint decoder_queries = 0;
  gdouble total = 0;

  for (guint i = 0; i < n_parts; i++)
    if (parts[i].role == DEIM_PART_MAIN)
      decoder_queries = parts[i].own.n_queries;
  for (guint i = 0; i < n_parts; i++) {
    run_part (criterion, batch, &parts[i], find_teacher (parts, n_parts, &parts[i]), decoder_queries);
    for (guint k = 0; k < DEIM_LOSS_LAST; k++)
      total += parts[i].losses[k];
  }
  return total;
}

gboolean
deim_criterion_find_bad (const DeimPart *parts, guint n_parts, guint *ret_part, DeimLoss *ret_loss)
{
  for (guint i = 0; i < n_parts; i++)
    for (guint k = 0; k < DEIM_LOSS_LAST; k++)
      if (!isfinite (parts[i].losses[k])) {
        *ret_part = i;
        *ret_loss = (DeimLoss) k;
        return TRUE;
      }
  return FALSE;
}

gchar *
deim_criterion_key (const DeimCriterion *criterion, const DeimPart *parts, guint index, DeimLoss loss)
{
  static const gchar *const roles[] = { "", "_aux", "_pre", "_enc", "_dn", "_dn_pre" };
  static const gchar *const losses[] = { "mal", "bbox", "giou", "fgl", "ddf" };
  G_STATIC_ASSERT (G_N_ELEMENTS (losses) == DEIM_LOSS_LAST);
  DeimPartRole role = parts[index].role;
  guint number = 0;

  for (guint i = 0; i < index; i++)
    number += parts[i].role == role;
  const gchar *name = loss == DEIM_LOSS_CLASS && criterion->vfl ? "vfl" : losses[loss];
  if (role == DEIM_PART_AUX || role == DEIM_PART_ENCODER || role == DEIM_PART_DENOISING)
    return g_strdup_printf ("loss_%s%s_%u", name, roles[role], number);
  return g_strdup_printf ("loss_%s%s", name, roles[role]);
}
