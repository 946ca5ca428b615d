/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * denoising.h - contrastive denoising queries (DINO, Zhang et al. 2022, as
 * RT-DETR and D-FINE have them): objects with noise on box and class, given to
 * the decoder beside its own queries. From the mildly moved ones it should find
 * the object, from the strongly moved ones nothing.
 *
 * They stand before the decoder's own queries, in groups. A group holds every
 * object twice: per_group / 2 places for positives, as many for negatives;
 * images with fewer objects than the fullest have empty places (class
 * n_classes, box 0). All is random by a stream of its own per picture, so a
 * batch may be spread over processes.
 */
#pragma once

#include "matcher.h"
#include "random.h"

typedef struct {
  guint queries;       /* about how many positives there should be: groups = queries / objects, at least one */
  gdouble label_noise; /* half of this is the probability of a random class */
  gdouble box_noise;   /* how far corners move, in halves of the box: positives 0..1 times this, negatives 1..2 */
  /*
   * 0: as many queries as that makes. Else exactly so many, for networks whose
   * shapes are fixed: fewer groups if need be, empty places at the end, and of
   * pictures with more than capacity / 2 objects the first ones only. At least 2.
   */
  guint capacity;
} DeimDenoisingRule;

/* 100, 0.5, 1; no capacity. */
extern const DeimDenoisingRule deim_denoising_default;

typedef struct {
  guint n_images, n_classes;
  guint groups, per_group; /* per_group is even; both 0 when there is no object */
  guint n_queries;         /* in memory: groups x per_group, or the capacity */
  guint *classes;          /* [n_images][n_queries] row of denoising_class_embed; n_classes where empty */
  gfloat *boxes;           /* [n_images][n_queries][4] cx, cy, w, h in 0..1 */
  DeimMatching *matching;  /* the positives: query and object */
} DeimDenoising;

/*
 * @most_objects: of any picture of the whole batch, where this is a part of it;
 *   0: of these pictures
 * @random: picture i takes the stream deim_random_fork (random, first_image + i)
 */
DeimDenoising *deim_denoising_new (const DeimDenoisingRule *rule, const DeimTargets *targets, guint n_images,
                                   guint n_classes, guint most_objects, const DeimRandom *random, guint first_image);
void deim_denoising_free (DeimDenoising *denoising);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (DeimDenoising, deim_denoising_free)

/* How many queries are in use: groups x per_group. Losses look at these. */
static inline guint
deim_denoising_used (const DeimDenoising *denoising)
{
  return denoising->groups * denoising->per_group;
}

/*
 * Self attention's mask over n_queries denoising and @n_own own queries:
 * ret_blocked [query][key] is 1 where the query must not see the key. Own
 * queries see no denoising query; denoising queries see their own group and all
 * own queries; empty places of the capacity see themselves alone.
 */
void deim_denoising_mask (const DeimDenoising *denoising, guint n_own, guint8 *ret_blocked);
