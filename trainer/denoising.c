/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* denoising.c - making denoising queries and the attention mask that goes with them. */
#include "denoising.h"

#include "box.h"

#include <math.h>
#include <string.h>

const DeimDenoisingRule deim_denoising_default = { .queries = 100, .label_noise = 0.5, .box_noise = 1 };

/* @box with each corner moved, cut at the picture's edge; corners that passed each other change places. */
static void
move_box (const gfloat box[4], gdouble noise, gboolean negative, DeimRandom *random, gfloat ret_box[4])
{
  gdouble corner[4];
  deim_box_corners (box, corner);
  for (guint k = 0; k < 4; k++) {
    gdouble sign = deim_random_chance (random, 0.5) ? 1 : -1;
    gdouble part = deim_random_unit (random) + (negative ? 1 : 0);
    corner[k] = CLAMP (corner[k] + sign * part * noise * 0.5 * box[2 + k % 2], 0.0, 1.0);
  }
  for (guint k = 0; k < 2; k++) {
    ret_box[k] = (gfloat) (0.5 * (corner[k] + corner[2 + k]));
    ret_box[2 + k] = (gfloat) fabs (corner[2 + k] - corner[k]);
  }
}

static void
fill_image (DeimDenoising *denoising, const DeimDenoisingRule *rule, guint image, const DeimTargets *targets,
            DeimRandom random)
{
  guint places = denoising->per_group / 2, used = deim_denoising_used (denoising);
  DeimMatch *pair = denoising->matching->pairs + denoising->matching->first[image];

  for (guint q = 0; q < used; q++) {
    guint object = q % places;
    gboolean negative = q / places % 2;
    gsize row = (gsize) image * denoising->n_queries + q;
    if (object >= targets->n)
      continue;
    denoising->classes[row] = deim_random_chance (&random, 0.5 * rule->label_noise)
                                  ? deim_random_below (&random, denoising->n_classes)
                                  : targets->labels[object];
    move_box (targets->boxes + object * 4, rule->box_noise, negative, &random, denoising->boxes + row * 4);
    if (!negative)
      *pair++ = (DeimMatch){ q, object };
  }
}

/* Places for objects in a group, and the number of groups. */
static void
plan_groups (DeimDenoising *denoising, const DeimDenoisingRule *rule, guint most_objects)
{
  guint places = rule->capacity ? MIN (most_objects, rule->capacity / 2) : most_objects;

  if (places > 0) {
    guint groups = MAX (rule->queries / places, 1);
    denoising->groups = rule->capacity ? MIN (groups, rule->capacity / (2 * places)) : groups;
    denoising->per_group = 2 * places;
  }
  denoising->n_queries = rule->capacity ? rule->capacity : deim_denoising_used (denoising);
}

DeimDenoising *
deim_denoising_new (const DeimDenoisingRule *rule, const DeimTargets *targets, guint n_images, guint n_classes,
                    guint most_objects, const DeimRandom *random, guint first_image)
{
  DeimDenoising *denoising = g_new0 (DeimDenoising, 1);
  g_autofree guint *counts = g_new0 (guint, n_images);

  for (guint i = 0; i < n_images; i++)
    most_objects = MAX (most_objects, targets[i].n);
  denoising->n_images = n_images;
  denoising->n_classes = n_classes;
  plan_groups (denoising, rule, most_objects);

  gsize n = (gsize) n_images * denoising->n_queries;
  denoising->classes = g_new (guint, n);
  denoising->boxes = g_new0 (gfloat, n * 4);
  for (gsize i = 0; i < n; i++)
    denoising->classes[i] = n_classes;
  for (guint i = 0; i < n_images; i++)
    counts[i] = MIN (targets[i].n, denoising->per_group / 2) * denoising->groups;
  denoising->matching = deim_matching_new (n_images, counts);
  for (guint i = 0; i < n_images; i++)
    fill_image (denoising, rule, i, &targets[i], deim_random_fork (random, first_image + i));
  return denoising;
}

void
deim_denoising_free (DeimDenoising *denoising)
{
  if (!denoising)
    return;
  g_free (denoising->classes);
  g_free (denoising->boxes);
  deim_matching_free (denoising->matching);
  g_free (denoising);
}

void
deim_denoising_mask (const DeimDenoising *denoising, guint n_own, guint8 *ret_blocked)
{
  guint all = denoising->n_queries + n_own, used = deim_denoising_used (denoising);

  for (guint q = 0; q < all; q++) {
    guint8 *row = ret_blocked + (gsize) q * all;
    gboolean own = q >= denoising->n_queries, empty = !own && q >= used;
    guint group = own || empty ? 0 : q / denoising->per_group;
    memset (row, 1, denoising->n_queries);
    memset (row + denoising->n_queries, empty ? 1 : 0, n_own);
    if (empty)
      row[q] = 0;
    else if (!own)
      memset (row + group * denoising->per_group, 0, denoising->per_group);
  }
}
