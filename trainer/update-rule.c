/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* update-rule.c - groups of parameters and their learning rates. */
#include "update-rule.h"

#include <string.h>

#define BACKBONE_FACTOR 0.5
#define WEIGHT_DECAY    1e-4

/* Bits of a group's number. */
enum { IN_BACKBONE = 1, DOES_NOT_DECAY = 2, N_GROUPS = 4 };

DeimParameterGroup
deim_parameter_group (const gchar *name, guint n_dims)
{
  return (DeimParameterGroup){
    .lr_factor = g_str_has_prefix (name, "backbone.") ? BACKBONE_FACTOR : 1,
    .decays = n_dims > 1 && !strstr (name, "norm") && !strstr (name, "bn") && !strstr (name, "bias"),
  };
}

gint
deim_parameter_group_number (const gchar *name, guint n_dims)
{
  DeimParameterGroup group = deim_parameter_group (name, n_dims);
  return (group.lr_factor < 1 ? IN_BACKBONE : 0) | (group.decays ? 0 : DOES_NOT_DECAY);
}

DeimUpdate
deim_update_rule (gdouble lr)
{
  DeimUpdate update = { .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .max_norm = 0.1, .momentum = 0.1 };

  for (guint i = 0; i < N_GROUPS; i++)
    update.groups[i] = (DeimUpdateGroup){
      .lr = lr * (i & IN_BACKBONE ? BACKBONE_FACTOR : 1),
      .weight_decay = i & DOES_NOT_DECAY ? 0 : WEIGHT_DECAY,
    };
  return update;
}
