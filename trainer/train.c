/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* train.c - the loop over epochs and batches. */
#include "train-private.h"

#include "update-rule.h"

/* The state is written after each epoch, and when so many seconds have passed. */
#define SAVE_INTERVAL 300

/* A stream of its own for denoising queries, beside the loader's. */
#define STREAM_DENOISING 16

static gdouble
seconds_since (gint64 time)
{
  return (gdouble) (g_get_monotonic_time () - time) * 1e-6;
}

/* ------------------------------------------------------------------- telling */

/* Whether this process has been asked to end. */
static gboolean
should_stop (const DeimTrainRun *t)
{
  return t->watcher->stop && t->watcher->stop (t->watcher->data);
}

static gdouble
seconds_left (const DeimTrainRun *t)
{
  guint64 left = t->schedule.total - t->place.iteration;
  guint epochs = (t->recipe.epochs - t->place.epoch + t->options->evaluate - 1) / t->options->evaluate;
  if (t->steps == 0)
    return -1;
  gdouble evaluation = t->evaluations ? t->evaluation_seconds / t->evaluations : 0;
  return t->step_seconds / (gdouble) t->steps * (gdouble) left + evaluation * epochs;
}

static void
tell_profile (const DeimTrainRun *t)
{
  if (!t->watcher->profile)
    return;
  g_autoptr (GArray) entries = deim_training_get_profile (deim_trainee_get_session (t->trainee));
  t->watcher->profile (entries, t->watcher->data);
}

static void
tell_progress (const DeimTrainRun *t, guint picture, guint pictures)
{
  guint done = t->place.batch;
  DeimTrainProgress progress = {
    .epoch = t->place.epoch,
    .epochs = t->recipe.epochs,
    .batch = done,
    .batches = t->batches,
    .picture = picture,
    .pictures = pictures,
    .loss = t->place.epoch_loss[0] / MAX (done, 1),
    .lr = t->lr * deim_schedule_factor (&t->schedule, t->place.iteration),
    .left = seconds_left (t),
    .step = t->steps ? &t->step : NULL,
  };

  for (guint i = 0; i < DEIM_LOSS_LAST; i++)
    progress.parts[i] = t->place.epoch_loss[1 + i] / MAX (done, 1);
  if (t->watcher->progress)
    t->watcher->progress (&progress, t->watcher->data);
}

/* ---------------------------------------------------------------------- state */

static gboolean
save_state (DeimTrainRun *t, GError **error)
{
  GError *cause = NULL;

  t->place.seconds = t->seconds_before + seconds_since (t->began);
  t->saved = g_get_monotonic_time ();
  if (deim_train_is_first (t))
    deim_trainee_save (t->trainee, t->state_path, &t->place, t->settings, &cause);
  return deim_ranks_agree (t->options->ranks, cause, error);
}

/* ------------------------------------------------------------------ an epoch */

static gboolean
run_step (DeimTrainRun *t, const DeimBatch *batch, GError **error)
{
  DeimMatcher matcher = deim_matcher_default;
  DeimUpdate update = deim_update_rule (t->lr * deim_schedule_factor (&t->schedule, t->place.iteration));
  DeimRandom root = deim_random_new (t->options->seed), epoch = deim_random_fork (&root, t->place.epoch);
  DeimRandom stream = deim_random_fork (&epoch, STREAM_DENOISING), own = deim_random_fork (&stream, t->place.batch);

  matcher.by_iou = t->place.epoch >= t->recipe.matcher_epoch;
  update.step = t->place.iteration + 1;
  update.ema_decay = deim_ema_decay (&t->ema, t->place.averages + 1);
  if (!deim_stepper_run (t->stepper, batch, &matcher, &update, &own, &t->step, error)) {
    g_prefix_error (error, "iteration %" G_GUINT64_FORMAT ": ", t->place.iteration + 1);
    return FALSE;
  }
  t->place.iteration++;
  t->place.averages++;
  t->place.batch++;
  G_STATIC_ASSERT (G_N_ELEMENTS (t->place.epoch_loss) == 1 + DEIM_LOSS_LAST);
  t->place.epoch_loss[0] += t->step.loss;
  for (guint i = 0; i < DEIM_LOSS_LAST; i++)
    t->place.epoch_loss[1 + i] += t->step.parts[i];
  return TRUE;
}

/* What is to be done after a step, where one process is enough to decide it. */
enum { STOP = 1, SAVE = 2 };

static guint
choose_next (const DeimTrainRun *t)
{
  gboolean save = deim_train_is_first (t) && seconds_since (t->saved) > SAVE_INTERVAL;
  return deim_ranks_any (t->options->ranks, (should_stop (t) ? STOP : 0) | (save ? SAVE : 0));
}

/* All batches of an epoch that are left. */
static gboolean
run_batches (DeimTrainRun *t, gboolean *ret_stopped, GError **error)
{
  *ret_stopped = FALSE;
  deim_loader_start (t->loader, t->place.epoch, t->place.batch);
  for (;;) {
    gint64 begin = g_get_monotonic_time ();
    GError *cause = NULL;
    g_autoptr (DeimBatch) batch = deim_loader_next (t->loader, &cause);
    if (!deim_ranks_agree (t->options->ranks, cause, error))
      return FALSE;
    if (!batch)
      return TRUE;
    if (!run_step (t, batch, error))
      return FALSE;
    t->steps++;
    t->step_seconds += seconds_since (begin);
    tell_progress (t, 0, 0);
    tell_profile (t);
    guint next = choose_next (t);
    if (next && !save_state (t, error))
      return FALSE;
    *ret_stopped = (next & STOP) != 0;
    if (*ret_stopped)
      return TRUE;
  }
}

static gboolean
tell_evaluation (guint done, guint count, gpointer data)
{
  const DeimTrainRun *t = data;
  tell_progress (t, done, count);
  return !should_stop (t);
}

/* Measures @model, unless this is not the epoch for it. FALSE without an error where it was stopped. */
static gboolean
evaluate (DeimTrainRun *t, DeimModel *model, DeimEvaluation *evaluation, GError **error)
{
  guint epoch = t->place.epoch + 1;
  gint64 begin = g_get_monotonic_time ();
  GError *cause = NULL;

  for (guint i = 0; i < DEIM_EVALUATION_LAST; i++)
    evaluation->numbers[i] = -1;
  if (!t->validation || (epoch % t->options->evaluate != 0 && epoch < t->recipe.epochs))
    return TRUE;
  /* Which weights are the best should not hang on rounding. */
  const DeimDetectorOptions options = { .precision = DEIM_PRECISION_FP32 };
  g_autoptr (DeimDetector) detector = deim_detector_new (model, t->device, &options, &cause);
  if (!deim_ranks_agree (t->options->ranks, cause, error) ||
      !deim_validation_run (t->validation, detector, t->options->ranks, tell_evaluation, t, evaluation, error))
    return FALSE;
  t->evaluations++;
  t->evaluation_seconds += seconds_since (begin);
  return TRUE;
}

static DeimEpochResult
sum_up (const DeimTrainRun *t, const DeimEvaluation *evaluation)
{
  DeimEpochResult result = {
    .epoch = t->place.epoch,
    .iterations = t->place.iteration,
    .seconds = t->seconds_before + seconds_since (t->began),
    .lr = t->lr * deim_schedule_factor (&t->schedule, t->place.iteration - 1),
    .loss = t->place.epoch_loss[0] / t->batches,
    .evaluation = *evaluation,
  };
  for (guint i = 0; i < DEIM_LOSS_LAST; i++)
    result.parts[i] = t->place.epoch_loss[1 + i] / t->batches;
  return result;
}

/* Checkpoints, and results with a line for @result. */
static gboolean
write_epoch (const DeimTrainRun *t, DeimModel *model, const DeimEpochResult *result, gboolean best, GError **error)
{
  g_auto (GStrv) notes = g_strsplit (t->settings, "\n", -1);

  if (!deim_model_save (model, t->last_path, FALSE, error) ||
      (best && !deim_model_save (model, t->best_path, FALSE, error)))
    return FALSE;
  g_array_append_vals (t->history->epochs, result, 1);
  return deim_history_write_csv (t->history, t->csv_path, error) &&
         deim_history_write_report (t->history, (const gchar *const *) notes, t->report_path, error);
}

/* Evaluation, checkpoints, results; then the next epoch's place. */
static gboolean
finish_epoch (DeimTrainRun *t, GError **error)
{
  DeimEvaluation evaluation;
  GError *cause = NULL;
  g_autoptr (DeimModel) model = deim_trainee_make_model (t->trainee, &cause);

  if (!deim_ranks_agree (t->options->ranks, cause, error) || !evaluate (t, model, &evaluation, error))
    return FALSE;
  gdouble ap = evaluation.numbers[DEIM_EVALUATION_AP];
  /* Of equals the last, which has learned most: many a training begins with an AP of 0. */
  gboolean best = !t->validation || (ap >= 0 && ap >= t->place.best);
  DeimEpochResult result = sum_up (t, &evaluation);
  if (deim_train_is_first (t))
    write_epoch (t, model, &result, best, &cause);
  if (!deim_ranks_agree (t->options->ranks, cause, error))
    return FALSE;
  if (best) {
    t->place.best = ap;
    t->place.best_epoch = t->place.epoch;
  }
  t->place.epoch++;
  t->place.batch = 0;
  for (guint i = 0; i < G_N_ELEMENTS (t->place.epoch_loss); i++)
    t->place.epoch_loss[i] = 0;
  if (t->watcher->epoch)
    t->watcher->epoch (&result, best, t->watcher->data);
  return save_state (t, error);
}

/*
 * At the recipe's place, after the heavy augmentation, the best weights so far are gone on with; these are the first
 * process's to read. All processes begin an epoch with its weights, should their devices round differently.
 */
static gboolean
begin_epoch (DeimTrainRun *t, GError **error)
{
  GError *cause = NULL;

  if (!t->options->light && t->place.epoch == t->recipe.restart_epoch && t->place.batch == 0 && t->place.best > 0) {
    deim_train_say (t, "going on with the weights of epoch %u, the best so far", t->place.best_epoch + 1);
    if (deim_train_is_first (t))
      deim_trainee_take_up (t->trainee, t->best_path, &cause);
    if (!deim_ranks_agree (t->options->ranks, cause, error))
      return FALSE;
  }
  deim_trainee_share (t->trainee, &cause);
  return deim_ranks_agree (t->options->ranks, cause, error);
}

gboolean
deim_train (DeimDevice *device, const DeimTrainOptions *options, gboolean *ret_finished, GError **error)
{
  g_auto (DeimTrainRun) t = { .device = device, .options = options };
  g_autoptr (GError) cause = NULL;

  if (!deim_train_begin (&t, error))
    return FALSE;
  t.began = t.saved = g_get_monotonic_time ();
  while (t.place.epoch < t.recipe.epochs) {
    gboolean stopped;
    if (!begin_epoch (&t, error) || !run_batches (&t, &stopped, error))
      return FALSE;
    /* Before the evaluation, which takes its time. */
    if (!stopped && !save_state (&t, error))
      return FALSE;
    if (!stopped && !finish_epoch (&t, &cause)) {
      stopped = cause == NULL;
      if (!stopped) {
        g_propagate_error (error, g_steal_pointer (&cause));
        return FALSE;
      }
    }
    if (stopped) {
      *ret_finished = FALSE;
      return TRUE;
    }
  }
  *ret_finished = TRUE;
  return TRUE;
}
