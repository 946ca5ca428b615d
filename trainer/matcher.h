/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * matcher.h - which query answers for which object: the Hungarian matching of
 * DETR (Carion et al. 2020) with the costs of RT-DETR and D-FINE, its change
 * in DEIMv2, and D-FINE's union of the matchings of several outputs.
 *
 * Thread-safety: safe; nothing is shared.
 */
#pragma once

#include "targets.h"

/* The cost of a query for an object, and its weights. */
typedef struct {
  /*
   * FALSE: class x C + bbox x L1 + giou x (-GIoU), where C is the focal loss of
   * the object's class as if it were there, less that as if it were not
   * (alpha, gamma). TRUE, DEIMv2 from its matcher_change_epoch on:
   * -(p x IoU^iou_order), p the score of the object's class.
   */
  gboolean by_iou;
  gdouble class_weight, bbox_weight, giou_weight;
  gdouble alpha, gamma;
  gdouble iou_order;
} DeimMatcher;

/* The official values: 2, 5, 2; 0.25, 2; 4. */
extern const DeimMatcher deim_matcher_default;

typedef struct {
  guint query, target;
} DeimMatch;

/* The matches of a batch, image by image. */
typedef struct {
  guint n_images;
  guint *first;     /* [n_images + 1] where an image's matches begin */
  DeimMatch *pairs; /* [first[n_images]] */
} DeimMatching;

/*
 * @ret_cost: [n_queries][targets->n] of image @image. Of inputs that are no
 * numbers the cost is 1, as in the official code; infinite costs are replaced
 * by the largest float, so that the assignment stays defined.
 */
void deim_matcher_cost (const DeimMatcher *matcher, const DeimPredictions *predictions, guint image,
                        const DeimTargets *targets, gdouble *ret_cost);

/*
 * The cheapest one-to-one matching of each image (deim_assignment_solve()):
 * every object has a query, or, where there are more objects than queries,
 * every query an object. Pairs are in ascending order of query. @targets: of
 * each image. Free with deim_matching_free().
 */
DeimMatching *deim_matcher_match (const DeimMatcher *matcher, const DeimPredictions *predictions,
                                  const DeimTargets *targets);

/*
 * D-FINE's union of @n matchings of one batch: a query that several of them
 * use keeps the object that most of them give it; of equally many the lowest.
 * (The official code sorts by count with a sort that is not stable, so there
 * it is any of these.) An object may have several queries. Pairs are in
 * descending order of count, then ascending query, then ascending object.
 */
DeimMatching *deim_matching_unite (const DeimMatching *const *matchings, guint n);

/* For those who assign by construction: a matching with room for counts[image] pairs, to be filled in. */
DeimMatching *deim_matching_new (guint n_images, const guint *counts);
void deim_matching_free (DeimMatching *matching);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (DeimMatching, deim_matching_free)

/* The number of pairs in the batch. */
static inline guint
deim_matching_size (const DeimMatching *matching)
{
  return matching->first[matching->n_images];
}
