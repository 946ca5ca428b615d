/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* optimiser.c - AdamW on the processor. */
#include "optimiser.h"

#include <deim.h>
#include <math.h>
#include <string.h>

const DeimOptimiser deim_optimiser_default = {
  .beta1 = 0.9,
  .beta2 = 0.999,
  .epsilon = 1e-8,
  .weight_decay = 1e-4,
  .max_norm = 0.1,
};

DeimParameterGroup
deim_parameter_group (const gchar *name, guint n_dims)
{
  return (DeimParameterGroup){
    .lr_factor = g_str_has_prefix (name, "backbone.") ? 0.5 : 1,
    .decays = n_dims > 1 && !strstr (name, "norm") && !strstr (name, "bn") && !strstr (name, "bias"),
  };
}

gdouble
deim_gradient_norm (const DeimParameter *parameters, guint n)
{
  gdouble sum = 0;

  for (guint i = 0; i < n; i++)
    for (gsize k = 0; k < parameters[i].n; k++)
      sum += (gdouble) parameters[i].gradient[k] * parameters[i].gradient[k];
  return sqrt (sum);
}

gdouble
deim_clip_factor (gdouble norm, gdouble max_norm)
{
  return max_norm > 0 ? MIN (max_norm / (norm + 1e-6), 1.0) : 1.0;
}

void
deim_optimiser_update (const DeimOptimiser *optimiser, const DeimParameter *parameter, guint64 step, gdouble lr_factor,
                       gdouble clip)
{
  DeimParameterGroup group = deim_parameter_group (parameter->name, parameter->n_dims);
  gdouble lr = optimiser->lr * lr_factor * group.lr_factor, b1 = optimiser->beta1, b2 = optimiser->beta2;
  gdouble kept = group.decays ? 1 - lr * optimiser->weight_decay : 1;
  gdouble rate = lr / (1 - pow (b1, (gdouble) step)), root = sqrt (1 - pow (b2, (gdouble) step));

  for (gsize i = 0; i < parameter->n; i++) {
    gdouble g = clip * parameter->gradient[i];
    gdouble mean = b1 * parameter->mean[i] + (1 - b1) * g;
    gdouble square = b2 * parameter->square[i] + (1 - b2) * g * g;
    parameter->mean[i] = (gfloat) mean;
    parameter->square[i] = (gfloat) square;
    parameter->weights[i] =
        (gfloat) (kept * parameter->weights[i] - rate * mean / (sqrt (square) / root + optimiser->epsilon));
  }
}

/* The first tensor with a gradient that is not finite, or NULL. */
static const DeimParameter *
find_bad (const DeimParameter *parameters, guint n)
{
  for (guint i = 0; i < n; i++)
    for (gsize k = 0; k < parameters[i].n; k++)
      if (!isfinite (parameters[i].gradient[k]))
        return &parameters[i];
  return NULL;
}

gboolean
deim_optimiser_step (const DeimOptimiser *optimiser, const DeimParameter *parameters, guint n, guint64 step,
                     gdouble factor, gdouble *ret_norm, GError **error)
{
  gdouble norm = deim_gradient_norm (parameters, n);
  const DeimParameter *bad = isfinite (norm) ? NULL : find_bad (parameters, n);

  if (bad) {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_DEVICE,
                 "the gradient of %s is not finite at step %" G_GUINT64_FORMAT
                 "; a lower learning rate, or fp32, may mend it",
                 bad->name, step);
    return FALSE;
  }
  gdouble clip = deim_clip_factor (norm, optimiser->max_norm);
  for (guint i = 0; i < n; i++)
    deim_optimiser_update (optimiser, &parameters[i], step, factor, clip);
  if (ret_norm)
    *ret_norm = norm;
  return TRUE;
}
