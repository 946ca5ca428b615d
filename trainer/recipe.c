/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * recipe.c - the table of recipes. They are DEIMv2's configurations for COCO,
 * and those of DEIM for D-FINE, which have the same epochs. Our own choice, where
 * these are not known here: "half" of Atto, Femto and Pico, how often the usual
 * input size stands among the others, and the row for everything else.
 */
#include "recipe.h"

#include "engine/models/arch.h"
#include <math.h>

/* clang-format off */
static const DeimRecipe recipes[] = {
  /*                  { start half stop, mosaic mixup copyblend until, min size, multi-scale until }
                                                               matcher restart local  lr    warm-up flat gamma */
  { "deimv2_atto",  500, { 4, 250, 400, 0.3, 0,   0,   0,   12, 0, 0 },   450, 468, FALSE, 2e-3,   4000, 250, 0.5 },
  { "deimv2_femto", 500, { 4, 250, 400, 0.5, 0,   0,   0,   10, 0, 0 },   450, 468, FALSE, 1.6e-3, 4000, 250, 0.5 },
  { "deimv2_pico",  500, { 4, 250, 400, 0.5, 0,   0,   0,   8,  0, 0 },   450, 468, FALSE, 1.6e-3, 4000, 250, 0.5 },
  { "deimv2_n",     160, { 4, 78,  148, 0.5, 0.5, 0.4, 78,  1,  0, 0 },   136, 148, TRUE,  8e-4,   2000, 160, 1 },
  { "deimv2_s",     132, { 4, 64,  120, 0.5, 0.5, 0.5, 120, 1,  3, 120 }, 100, 120, TRUE,  4e-4,   2000, 64,  0.5 },
  { "deimv2_m",     102, { 4, 49,  90,  0.5, 0.5, 0.5, 90,  1,  3, 90 },  80,  90,  TRUE,  4e-4,   2000, 49,  0.5 },
  { "deimv2_l",     58,  { 4, 29,  50,  0.5, 0.5, 0.5, 50,  1,  3, 50 },  45,  50,  TRUE,  5e-4,   2000, 29,  0.5 },
  { "deimv2_x",     58,  { 4, 29,  50,  0.5, 0.5, 0.5, 50,  1,  3, 50 },  45,  50,  TRUE,  5e-4,   2000, 29,  0.5 },
  { "deim_dfine_n", 160, { 4, 78,  148, 0.5, 0.5, 0,   0,   1,  0, 0 },   160, 148, TRUE,  8e-4,   2000, 160, 1 },
  { "deim_dfine_s", 132, { 4, 64,  120, 0.5, 0.5, 0,   0,   1,  3, 120 }, 132, 120, TRUE,  4e-4,   2000, 64,  0.5 },
  { "deim_dfine_m", 102, { 4, 49,  90,  0.5, 0.5, 0,   0,   1,  3, 90 },  102, 90,  TRUE,  4e-4,   2000, 49,  0.5 },
  { "deim_dfine_",  58,  { 4, 29,  50,  0.5, 0.5, 0,   0,   1,  3, 50 },  58,  50,  TRUE,  5e-4,   2000, 29,  0.5 },
  { "dfine_n",      160, { 4, 78,  148, 0.5, 0.5, 0,   0,   1,  0, 0 },   160, 148, TRUE,  8e-4,   2000, 160, 1 },
  { "dfine_",       58,  { 4, 29,  50,  0.5, 0.5, 0,   0,   1,  3, 50 },  58,  50,  TRUE,  5e-4,   2000, 29,  0.5 },
  { "",             120, { 4, 62,  117, 0.5, 0.5, 0,   0,   1,  3, 117 }, 120, 117, FALSE, 2e-4,   2000, 62,  0.5 },
};
/* clang-format on */

DeimRecipe
deim_recipe_find (const gchar *arch)
{
  guint i = 0;
  while (!g_str_has_prefix (arch, recipes[i].arch))
    i++;
  return recipes[i]; /* at the latest the last one, of no name */
}

DeimRecipe
deim_recipe_scale (const DeimRecipe *recipe, guint epochs)
{
  DeimRecipe scaled = *recipe;
  guint *const ranges[] = {
    &scaled.augment.start,
    &scaled.augment.half,
    &scaled.augment.stop,
    &scaled.augment.copyblend_stop,
    &scaled.augment.multi_scale_stop,
    &scaled.matcher_epoch,
    &scaled.restart_epoch,
    &scaled.flat_epoch,
  };

  for (guint i = 0; i < G_N_ELEMENTS (ranges); i++)
    *ranges[i] = (guint) round ((gdouble) *ranges[i] * epochs / recipe->epochs);
  scaled.epochs = epochs;
  return scaled;
}

gboolean
deim_recipe_find_scale (const gchar *arch, guint height, guint width, gdouble *ret_scale)
{
  DeimArch usual;
  if (!deim_arch_find_preset (arch, &usual))
    return FALSE;
  *ret_scale = (gdouble) MIN (height, width) / MIN (usual.input_height, usual.input_width);
  return TRUE;
}

DeimRecipe
deim_recipe_adapt (const DeimRecipe *recipe, const DeimRecipeChanges *changes)
{
  DeimRecipe adapted = changes->epochs ? deim_recipe_scale (recipe, changes->epochs) : *recipe;
  DeimAugmentPolicy *augment = &adapted.augment;

  if (changes->light) {
    augment->stop = augment->start;
    augment->mosaic = augment->mixup = augment->copyblend = 0;
  }
  if (changes->mosaic >= 0)
    augment->mosaic = changes->mosaic;
  if (changes->mixup >= 0)
    augment->mixup = changes->mixup;
  augment->multi_scale = 0;
  augment->min_size *= changes->scale;
  if (changes->light && augment->mosaic == 0 && augment->mixup == 0)
    augment->min_size = MIN (augment->min_size, 1);
  if (changes->lr_end >= 0) {
    adapted.lr_gamma = changes->lr_end;
    if (adapted.flat_epoch >= adapted.epochs)
      adapted.flat_epoch = adapted.epochs / 2;
  }
  return adapted;
}
