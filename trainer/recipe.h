/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* recipe.h - how each network is trained, for any number of epochs. */
#pragma once

#include "augment.h"

typedef struct {
  const gchar *arch; /* what the name of the architecture begins with */
  guint epochs;
  DeimAugmentPolicy augment;
  guint matcher_epoch; /* the matcher goes by IoU from here on (DEIMv2); epochs: never */
  guint restart_epoch; /* the best weights so far are taken up again, the learning rate stays at its least */
  gboolean local;      /* FGL, DDF and the union of matchings */

  gdouble lr;       /* of AdamW */
  guint warmup;     /* iterations of quadratic warm-up */
  guint flat_epoch; /* the learning rate falls from here on, */
  gdouble lr_gamma; /* to so much of itself */
} DeimRecipe;

/* The recipe of an architecture ("deimv2_atto"); one of no recipe of its own gets RT-DETRv2's. */
DeimRecipe deim_recipe_find (const gchar *arch);

/* Its epochs stretched or shrunk to @epochs (>= 1), each range in proportion. */
DeimRecipe deim_recipe_scale (const DeimRecipe *recipe, guint epochs);

/* What is asked of a recipe. */
typedef struct {
  guint epochs;                  /* 0: the recipe's */
  gboolean light;                /* flips, and what of mosaic and mixup is asked for here */
  gdouble mosaic, mixup, lr_end; /* below 0: the recipe's */
  gdouble scale;                 /* of the input, see deim_recipe_find_scale() */
} DeimRecipeChanges;

/* How much larger or smaller an input is than the usual one of the architecture; FALSE if none is called @arch. */
gboolean deim_recipe_find_scale (const gchar *arch, guint height, guint width, gdouble *ret_scale);

/*
 * The recipe that a training follows. The input keeps one size, since the graph is made for it; the smallest size of
 * objects that are learned shrinks with it, because it is one in tokens; with light augmentation, which makes no object
 * smaller, all are learned. A rate that never falls in the recipe falls from half on where @lr_end is given.
 */
DeimRecipe deim_recipe_adapt (const DeimRecipe *recipe, const DeimRecipeChanges *changes);
