/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* schedule.c - learning rate and averaging by iteration. */
#include "schedule.h"

#include <math.h>

#define WARMUP_SHARE 20 /* of all iterations, one part */
#define EMA_SHARE    10

#define EMA_HORIZON 10000 /* official: decay 0.9999 */
#define EMA_RAMP    1000

DeimSchedule
deim_schedule_new (const DeimRecipe *recipe, guint iterations_per_epoch)
{
  guint64 n = iterations_per_epoch, total = n * recipe->epochs;

  return (DeimSchedule){
    .total = total,
    .warmup = MIN (recipe->warmup, (total + WARMUP_SHARE - 1) / WARMUP_SHARE),
    .flat = n * recipe->flat_epoch,
    .low = n * MIN (recipe->restart_epoch, recipe->epochs),
    .gamma = recipe->lr_gamma,
  };
}

gdouble
deim_schedule_factor (const DeimSchedule *schedule, guint64 iteration)
{
  gdouble i = (gdouble) iteration, flat = (gdouble) schedule->flat, low = (gdouble) schedule->low;

  if (iteration < schedule->warmup)
    return pow ((i + 1) / (gdouble) schedule->warmup, 2);
  if (iteration <= schedule->flat)
    return 1;
  if (iteration >= schedule->low)
    return schedule->gamma;
  return schedule->gamma + (1 - schedule->gamma) * 0.5 * (1 + cos (G_PI * (i - flat) / (low - flat)));
}

DeimEma
deim_ema_new (guint64 total)
{
  gdouble horizon = CLAMP ((gdouble) total / EMA_SHARE, 1, EMA_HORIZON);
  return (DeimEma){ .decay = 1 - 1 / horizon, .ramp = MIN (horizon, EMA_RAMP) };
}

gdouble
deim_ema_decay (const DeimEma *ema, guint64 update)
{
  return ema->decay * (1 - exp (-(gdouble) update / ema->ramp));
}
