/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* matcher.c - costs, the matching of a batch, and the union of matchings. */
#include "matcher.h"

#include "assignment.h"
#include "box.h"

#include <float.h>
#include <math.h>
#include <string.h>

const DeimMatcher deim_matcher_default = {
  .class_weight = 2,
  .bbox_weight = 5,
  .giou_weight = 2,
  .alpha = 0.25,
  .gamma = 2,
  .iou_order = 4,
};

/* -------------------------------------------------------------------- costs */

/* The cost of the class score @p: log (x + 1e-8) keeps certain scores finite. */
static gdouble
class_cost (const DeimMatcher *m, gdouble p)
{
  gdouble there = m->alpha * pow (1 - p, m->gamma) * -log (p + 1e-8);
  gdouble absent = (1 - m->alpha) * pow (p, m->gamma) * -log (1 - p + 1e-8);
  return there - absent;
}

static gdouble
pair_cost (const DeimMatcher *m, gdouble logit, const gfloat box[4], const gfloat target[4])
{
  gdouble p = 1 / (1 + exp (-logit)), distance = 0;

  if (m->by_iou) {
    gdouble a[4], b[4];
    deim_box_corners (box, a);
    deim_box_corners (target, b);
    return -(p * pow (deim_box_iou (a, b), m->iou_order));
  }
  for (guint i = 0; i < 4; i++)
    distance += fabs ((gdouble) box[i] - target[i]);
  return m->class_weight * class_cost (m, p) + m->bbox_weight * distance -
         m->giou_weight * deim_box_giou (box, target, NULL);
}

void
deim_matcher_cost (const DeimMatcher *matcher, const DeimPredictions *predictions, guint image,
                   const DeimTargets *targets, gdouble *ret_cost)
{
  for (guint q = 0; q < predictions->n_queries; q++) {
    gsize row = deim_predictions_row (predictions, image, q);
    const gfloat *logits = predictions->logits + row * predictions->n_classes, *box = predictions->boxes + row * 4;
    for (guint t = 0; t < targets->n; t++) {
      gdouble logit = logits[deim_predictions_label (predictions, targets->labels[t])];
      gdouble cost = pair_cost (matcher, logit, box, targets->boxes + t * 4);
      *ret_cost++ = isnan (cost) || isnan (logit) || isnan (box[0] + box[1] + box[2] + box[3])
                        ? 1
                        : CLAMP (cost, -(gdouble) FLT_MAX, (gdouble) FLT_MAX);
    }
  }
}

/* ----------------------------------------------------------------- matchings */

DeimMatching *
deim_matching_new (guint n_images, const guint *counts)
{
  DeimMatching *matching = g_new (DeimMatching, 1);

  matching->n_images = n_images;
  matching->first = g_new (guint, n_images + 1);
  matching->first[0] = 0;
  for (guint i = 0; i < n_images; i++)
    matching->first[i + 1] = matching->first[i] + counts[i];
  matching->pairs = g_new0 (DeimMatch, deim_matching_size (matching));
  return matching;
}

void
deim_matching_free (DeimMatching *matching)
{
  if (!matching)
    return;
  g_free (matching->first);
  g_free (matching->pairs);
  g_free (matching);
}

DeimMatching *
deim_matcher_match (const DeimMatcher *matcher, const DeimPredictions *predictions, const DeimTargets *targets)
{
  guint n_queries = predictions->n_queries;
  g_autofree guint *counts = g_new (guint, predictions->n_images);
  for (guint i = 0; i < predictions->n_images; i++)
    counts[i] = MIN (targets[i].n, n_queries);

  DeimMatching *matching = deim_matching_new (predictions->n_images, counts);
  g_autofree gint *target_of = g_new (gint, n_queries);
  for (guint i = 0; i < predictions->n_images; i++) {
    g_autofree gdouble *cost = g_new (gdouble, (gsize) n_queries * targets[i].n);
    DeimMatch *pair = matching->pairs + matching->first[i];
    deim_matcher_cost (matcher, predictions, i, targets + i, cost);
    deim_assignment_solve (cost, n_queries, targets[i].n, target_of);
    for (guint q = 0; q < n_queries; q++)
      if (target_of[q] >= 0)
        *pair++ = (DeimMatch){ q, (guint) target_of[q] };
  }
  return matching;
}

/* -------------------------------------------------------------------- union */

typedef struct {
  DeimMatch match;
  guint count;
} Vote;

static gint
compare_matches (gconstpointer a, gconstpointer b)
{
  const DeimMatch *x = a, *y = b;
  if (x->query != y->query)
    return x->query < y->query ? -1 : 1;
  return (x->target > y->target) - (x->target < y->target);
}

static gint
compare_votes (gconstpointer a, gconstpointer b)
{
  const Vote *x = a, *y = b;
  if (x->count != y->count)
    return x->count > y->count ? -1 : 1;
  return compare_matches (&x->match, &y->match);
}

/* The votes on one image, most first, each query once. */
static GArray *
count_votes (const DeimMatching *const *matchings, guint n, guint image)
{
  g_autoptr (GArray) all = g_array_new (FALSE, FALSE, sizeof (DeimMatch));
  GArray *votes = g_array_new (FALSE, FALSE, sizeof (Vote));

  for (guint m = 0; m < n; m++)
    g_array_append_vals (all, matchings[m]->pairs + matchings[m]->first[image],
                         matchings[m]->first[image + 1] - matchings[m]->first[image]);
  g_array_sort (all, compare_matches);
  for (guint i = 0; i < all->len; i++) {
    const DeimMatch *match = &g_array_index (all, DeimMatch, i);
    Vote *last = votes->len ? &g_array_index (votes, Vote, votes->len - 1) : NULL;
    if (last && compare_matches (&last->match, match) == 0)
      last->count++;
    else
      g_array_append_val (votes, ((Vote){ *match, 1 }));
  }
  g_array_sort (votes, compare_votes);

  g_autoptr (GHashTable) seen = g_hash_table_new (NULL, NULL);
  guint kept = 0;
  for (guint i = 0; i < votes->len; i++) {
    Vote vote = g_array_index (votes, Vote, i);
    if (g_hash_table_add (seen, GUINT_TO_POINTER (vote.match.query)))
      g_array_index (votes, Vote, kept++) = vote;
  }
  g_array_set_size (votes, kept);
  return votes;
}

DeimMatching *
deim_matching_unite (const DeimMatching *const *matchings, guint n)
{
  guint n_images = matchings[0]->n_images;
  g_autoptr (GPtrArray) votes = g_ptr_array_new_with_free_func ((GDestroyNotify) g_array_unref);
  g_autofree guint *counts = g_new (guint, n_images);

  for (guint i = 0; i < n_images; i++) {
    g_ptr_array_add (votes, count_votes (matchings, n, i));
    counts[i] = ((GArray *) votes->pdata[i])->len;
  }
  DeimMatching *matching = deim_matching_new (n_images, counts);
  for (guint i = 0; i < n_images; i++)
    for (guint k = 0; k < counts[i]; k++)
      matching->pairs[matching->first[i] + k] = g_array_index ((GArray *) votes->pdata[i], Vote, k).match;
  return matching;
}
