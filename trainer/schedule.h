/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * schedule.h - how large a step is at each iteration, and how quickly the
 * averaged weights follow: pure functions of the iteration.
 *
 * The official numbers are iterations of COCO's 118 thousand pictures. Of a
 * small data set a warm-up of 2000 iterations is most of the training, and an
 * average over 10000 holds the random weights of the beginning until the end.
 * So both are at most a share of the whole here.
 *
 * Thread-safety: safe.
 */
#pragma once

#include "recipe.h"

/* Iterations count from 0. */
typedef struct {
  guint64 total;
  guint64 warmup; /* quadratic rise over so many */
  guint64 flat;   /* 1 until here, then half a cosine .. */
  guint64 low;    /* .. down to gamma here, which stays */
  gdouble gamma;
} DeimSchedule;

/* The recipe's warm-up, but at most a twentieth of all iterations. */
DeimSchedule deim_schedule_new (const DeimRecipe *recipe, guint iterations_per_epoch);

/* What the learning rate is multiplied with, 0 < x <= 1. FlatCosineLRScheduler of DEIM, one iteration earlier: its
 * iteration 0 would learn nothing. */
gdouble deim_schedule_factor (const DeimSchedule *schedule, guint64 iteration);

/* An exponential moving average of weights. */
typedef struct {
  gdouble decay; /* in the long run */
  gdouble ramp;  /* updates after which it is at 63 % of that */
} DeimEma;

/* The official 0.9999 and 1000, but an average over at most a tenth of all iterations, and a ramp as long at most. */
DeimEma deim_ema_new (guint64 total);

/* Decay of the @update-th update (1, 2, ...): decay x (1 - exp (-update / ramp)). */
gdouble deim_ema_decay (const DeimEma *ema, guint64 update);
