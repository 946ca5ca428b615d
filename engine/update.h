/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* update.h - what one update of all parameters does: torch.nn.utils.clip_grad_norm_, torch.optim.AdamW, the running
 * averages of BatchNorm, and the moving average of everything. */
#pragma once

#include <glib.h>

typedef struct {
  gdouble lr, weight_decay;
} DeimUpdateGroup;

typedef struct {
  guint64 step; /* 1 for the first: AdamW's moments begin at zero and are corrected for that */
  gdouble beta1, beta2, eps;
  gdouble max_norm;           /* the gradient is scaled down to it; 0: never */
  gdouble momentum;           /* of running averages: torch's 0.1 */
  gdouble ema_decay;          /* average = decay * average + (1 - decay) * value */
  DeimUpdateGroup groups[16]; /* those that parameters belong to */
} DeimUpdate;

#define DEIM_MAX_GROUPS G_N_ELEMENTS (((DeimUpdate *) 0)->groups)
