/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * losses.h - single losses of one output, for criterion.c. Each returns its
 * value times @scale and adds the gradient of that to an array laid out as the
 * predictions ((nullable): not wanted). @scale holds weight and divisor.
 */
#pragma once

#include "criterion.h"

/* Class loss; @matching decides which logits should be high. */
gdouble deim_loss_class (const DeimCriterion *criterion, const DeimPredictions *own, const DeimTargets *targets,
                         const DeimMatching *matching, gdouble scale, gfloat *d_logits);

gdouble deim_loss_bbox (const DeimPredictions *own, const DeimTargets *targets, const DeimMatching *matching,
                        gdouble scale, gfloat *d_boxes);
gdouble deim_loss_giou (const DeimPredictions *own, const DeimTargets *targets, const DeimMatching *matching,
                        gdouble scale, gfloat *d_boxes);

gdouble deim_loss_fgl (const DeimPredictions *own, const DeimFdrAttrs *fdr, const DeimTargets *targets,
                       const DeimMatching *matching, gdouble scale, gfloat *d_corners);

/* Distillation from @teacher; distributions of matched queries are multiplied by @matched_scale, others by
 * @other_scale. */
gdouble deim_loss_ddf (const DeimPredictions *own, const DeimPredictions *teacher, gdouble temperature,
                       const DeimTargets *targets, const DeimMatching *matching, gdouble matched_scale,
                       gdouble other_scale, gfloat *d_corners);

/*
 * The target of FGL for one object: of each edge the lower of the two bins
 * around the true distance, and the weight of the bin above it (the other has
 * the rest). Beyond the outermost bins it is the outermost bin alone.
 */
void deim_loss_fgl_target (const DeimFdrAttrs *fdr, const gfloat reference[4], const gfloat target[4], guint ret_bin[4],
                           gdouble ret_weight[4]);

/* IoU of a query's box with an object's. */
gdouble deim_loss_iou (const DeimPredictions *own, gsize row, const DeimTargets *targets, guint target);

/* Of each query its object in the matching of @image, or -1. */
void deim_losses_invert (const DeimMatching *matching, guint image, guint n_queries, gint *ret_target_of);
