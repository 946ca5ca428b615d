/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* train-private.h - what the two halves of deim_train() share: how it begins (train-begin.c), and its loop (train.c).
 */
#pragma once

#include "loader.h"
#include "recipe.h"
#include "schedule.h"
#include "train.h"
#include "trainee.h"
#include "validation.h"

/* A training under way. */
typedef struct {
  DeimDevice *device;
  const DeimTrainOptions *options;
  const DeimTrainWatcher *watcher;
  DeimDataset *training, *validation; /* validation: NULL: none */
  DeimTrainee *trainee;
  DeimStepper *stepper;
  DeimLoader *loader;
  DeimHistory *history;
  DeimRecipe recipe;
  DeimSchedule schedule;
  DeimEma ema;
  gdouble lr;
  guint batches; /* of an epoch */
  gchar *settings, *best_path, *last_path, *state_path, *csv_path, *report_path;
  DeimTrainPlace place;
  gdouble seconds_before; /* of training, before this process */
  gint64 began, saved;    /* monotonic */
  guint64 steps;          /* of this process, */
  gdouble step_seconds;   /* and the time in them */
  guint evaluations;
  gdouble evaluation_seconds;
  DeimStepResult step; /* the last */
} DeimTrainRun;

/* Fills in all of @run, of which @device and @options are set: data, network, recipe, and the state of an earlier
 * process, if there is one. */
gboolean deim_train_begin (DeimTrainRun *run, GError **error);
void deim_train_clear (DeimTrainRun *run);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (DeimTrainRun, deim_train_clear)

/* Of the processes that train together; it alone reads and writes files of the output. */
static inline gboolean
deim_train_is_first (const DeimTrainRun *run)
{
  return deim_ranks_get_index (run->options->ranks) == 0;
}

/* To the watcher. */
void deim_train_say (const DeimTrainRun *run, const gchar *format, ...) G_GNUC_PRINTF (2, 3);
