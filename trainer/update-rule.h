/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * update-rule.h - the recipes' choices for AdamW: which parameters learn how
 * quickly, which decay, and the constants. What is done with them is the
 * engine's (engine/update.h).
 *
 * Thread-safety: safe.
 */
#pragma once

#include "engine/update.h"

/* What the group of a parameter says. */
typedef struct {
  gdouble lr_factor; /* 0.5 in the backbone, else 1 */
  gboolean decays;   /* not: norms and biases, by their names ("norm", "bn", "bias") or for being of one dimension */
} DeimParameterGroup;

DeimParameterGroup deim_parameter_group (const gchar *name, guint n_dims);

/* The number of that group in DeimUpdate.groups. */
gint deim_parameter_group_number (const gchar *name, guint n_dims);

/* 0.9, 0.999, 1e-8; decay 1e-4; norm 0.1; momentum 0.1; groups of @lr. Step and average are the caller's. */
DeimUpdate deim_update_rule (gdouble lr);
