/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* train.c - the loop over epochs and batches. */
#include "train.h"

#include "loader.h"
#include "recipe.h"
#include "schedule.h"
#include "trainee.h"
#include "update-rule.h"
#include "validation.h"

#include "engine/models/parts.h"
#include <math.h>

/* The state is written after each epoch, and when so many seconds have passed. */
#define SAVE_INTERVAL 300

/* A stream of its own for denoising queries, beside the loader's. */
#define STREAM_DENOISING 16

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
} Training;

static void
training_clear (Training *t)
{
  deim_loader_free (t->loader);
  deim_stepper_free (t->stepper);
  deim_trainee_free (t->trainee);
  deim_dataset_free (t->training);
  deim_dataset_free (t->validation);
  deim_history_free (t->history);
  g_free (t->settings);
  g_free (t->best_path);
  g_free (t->last_path);
  g_free (t->state_path);
  g_free (t->csv_path);
  g_free (t->report_path);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Training, training_clear)

static gdouble
seconds_since (gint64 time)
{
  return (gdouble) (g_get_monotonic_time () - time) * 1e-6;
}

/* ------------------------------------------------------------------- telling */

static void say (const Training *t, const gchar *format, ...) G_GNUC_PRINTF (2, 3);

static void
say (const Training *t, const gchar *format, ...)
{
  va_list args;
  va_start (args, format);
  g_autofree gchar *text = g_strdup_vprintf (format, args);
  va_end (args);
  if (t->watcher->message)
    t->watcher->message (text, t->watcher->data);
}

static gboolean
should_stop (const Training *t)
{
  return t->watcher->stop && t->watcher->stop (t->watcher->data);
}

static gdouble
seconds_left (const Training *t)
{
  guint64 left = t->schedule.total - t->place.iteration;
  guint epochs = (t->recipe.epochs - t->place.epoch + t->options->evaluate - 1) / t->options->evaluate;
  if (t->steps == 0)
    return -1;
  gdouble evaluation = t->evaluations ? t->evaluation_seconds / t->evaluations : 0;
  return t->step_seconds / (gdouble) t->steps * (gdouble) left + evaluation * epochs;
}

static void
tell_profile (const Training *t)
{
  if (!t->watcher->profile)
    return;
  g_autoptr (GArray) entries = deim_training_get_profile (deim_trainee_get_session (t->trainee));
  t->watcher->profile (entries, t->watcher->data);
}

static void
tell_progress (const Training *t, guint picture, guint pictures)
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

/* ------------------------------------------------------------------ beginning */

static gboolean
open_data (Training *t, GError **error)
{
  const gchar *folder = t->options->data;
  g_autoptr (GError) missing = NULL;

  t->training = deim_dataset_open (folder, DEIM_DATASET_TRAINING, error);
  if (!t->training)
    return FALSE;
  t->validation = deim_dataset_open (folder, DEIM_DATASET_VALIDATION, &missing);
  if (!t->validation) {
    if (!g_error_matches (missing, DEIM_ERROR, DEIM_ERROR_NOT_FOUND)) {
      g_propagate_error (error, g_steal_pointer (&missing));
      return FALSE;
    }
    say (t, "there are no pictures for validation, so no AP is measured, and the best weights are the last ones: %s",
         missing->message);
    return TRUE;
  }
  if (!deim_dataset_same_classes (t->training, t->validation)) {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_FORMAT,
                 "%s and %s do not list the same categories; their ids and names must agree", t->training->annotations,
                 t->validation->annotations);
    return FALSE;
  }
  if (g_str_equal (t->training->annotations, t->validation->annotations))
    say (t, "%s holds one set, so AP is measured on the pictures that are learned", folder);
  return TRUE;
}

static gboolean
make_trainee (Training *t, GError **error)
{
  const DeimTrainOptions *options = t->options;
  guint n = deim_dataset_n_classes (t->training);
  g_autofree const gchar **labels = g_new0 (const gchar *, n + 1);

  for (guint i = 0; i < n; i++)
    labels[i] = g_array_index (t->training->coco->categories, DeimCocoCategory, i).name;
  const DeimTraineeOptions made = {
    .model = options->model,
    .labels = labels,
    .batch = options->batch,
    .height = options->height,
    .width = options->width,
    .denoising = 2 * options->denoising, /* each positive has a negative */
    .seed = options->seed,
    .timestamps = t->watcher->profile != NULL,
  };
  t->trainee = deim_trainee_new (t->device, &made, error);
  if (t->trainee && deim_trainee_get_note (t->trainee))
    say (t, "%s", deim_trainee_get_note (t->trainee));
  return t->trainee != NULL;
}

/* The recipe for this network and these epochs, with what the options change. */
static void
choose_recipe (Training *t)
{
  const DeimTrainOptions *options = t->options;
  const DeimArch *arch = deim_trainee_get_arch (t->trainee);
  DeimRecipe recipe = deim_recipe_find (arch->name);
  DeimArch usual = *arch;

  if (options->epochs)
    recipe = deim_recipe_scale (&recipe, options->epochs);
  if (options->mosaic >= 0)
    recipe.augment.mosaic = options->mosaic;
  if (options->mixup >= 0)
    recipe.augment.mixup = options->mixup;
  if (options->light)
    recipe.augment.start = recipe.epochs;
  if (options->lr_end >= 0)
    recipe.lr_gamma = options->lr_end;
  /* What is too small to be learned is so in tokens, not in pixels: it shrinks with the input. */
  deim_arch_find_preset (arch->name, &usual);
  recipe.augment.min_size *= (gdouble) MIN (arch->input_height, arch->input_width) / usual.input_height;
  if (recipe.augment.multi_scale)
    say (t, "the recipe of %s changes the input size from batch to batch; here it stays %d x %d", arch->name,
         arch->input_height, arch->input_width);
  recipe.augment.multi_scale = 0;
  t->recipe = recipe;
  t->lr = options->lr > 0 ? options->lr : recipe.lr;
}

static gboolean
make_loader (Training *t, GError **error)
{
  const DeimArch *arch = deim_trainee_get_arch (t->trainee);
  DeimSampleSource source = deim_dataset_source (t->training);
  const DeimLoaderOptions loading = {
    .policy = &t->recipe.augment,
    .batch = t->options->batch,
    .width = (guint) arch->input_width,
    .height = (guint) arch->input_height,
    .threads = t->options->threads,
    .seed = t->options->seed,
  };
  t->loader = deim_loader_new (&source, &loading, error);
  if (!t->loader)
    return FALSE;
  t->batches = deim_loader_get_n_batches (t->loader);
  t->schedule = deim_schedule_new (&t->recipe, t->batches);
  t->ema = deim_ema_new (t->schedule.total);
  return TRUE;
}

static void
make_stepper (Training *t)
{
  const DeimArch *arch = deim_trainee_get_arch (t->trainee);
  DeimCriterion criterion = deim_criterion_default;
  DeimFdrAttrs fdr;

  criterion.vfl = t->options->vfl;
  criterion.use_union = criterion.local = t->recipe.local;
  if (arch->decoder.kind == DEIM_DECODER_RTDETR) {
    t->stepper = deim_stepper_new (deim_trainee_get_session (t->trainee), &criterion, NULL);
    return;
  }
  deim_decoder_fdr_attrs (&arch->decoder, &fdr);
  t->stepper = deim_stepper_new (deim_trainee_get_session (t->trainee), &criterion, &fdr);
}

/* What must not change in the middle: for the state, and for the report. */
static gchar *
describe_settings (const Training *t)
{
  const DeimTrainOptions *options = t->options;
  const DeimAugmentPolicy *augment = &t->recipe.augment;
  g_autofree gchar *spec = deim_arch_to_spec (deim_trainee_get_arch (t->trainee));
  g_autoptr (GString) classes = g_string_new (NULL);

  for (guint i = 0; i < deim_dataset_n_classes (t->training); i++)
    g_string_append_printf (classes, "%s%s", i ? ", " : "",
                            g_array_index (t->training->coco->categories, DeimCocoCategory, i).name);
  return g_strdup_printf ("model %s\nclasses %s\npictures %u with %u objects\nvalidation %u pictures\nepochs %u\n"
                          "batch %u\nlearning-rate %.9g to %.9g\ndenoising %u\nloss %s\n"
                          "augmentation %s, mosaic %g, mixup %g\n"
                          "evaluation every %u epochs\nseed %" G_GUINT64_FORMAT,
                          spec, classes->str, deim_dataset_n_pictures (t->training), t->training->coco->objects->len,
                          t->validation ? deim_dataset_n_pictures (t->validation) : 0, t->recipe.epochs, options->batch,
                          t->lr, t->lr * t->recipe.lr_gamma, options->denoising, options->vfl ? "VFL" : "MAL",
                          options->light ? "light" : "recipe", augment->mosaic, augment->mixup, options->evaluate,
                          options->seed);
}

/* Goes on where another process was, if there was one. */
static gboolean
take_up_state (Training *t, GError **error)
{
  gboolean there = g_file_test (t->state_path, G_FILE_TEST_EXISTS);

  t->place = (DeimTrainPlace){ .seed = t->options->seed, .best = -1 };
  if (there && !t->options->resume) {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_SETTINGS,
                 "%s holds a training already; go on with it (--resume), or give another folder", t->options->output);
    return FALSE;
  }
  if (!there) {
    if (t->options->resume)
      say (t, "%s holds no training to go on with; one begins", t->options->output);
    return TRUE;
  }
  if (!deim_trainee_load (t->trainee, t->state_path, t->settings, &t->place, error))
    return FALSE;
  t->seconds_before = t->place.seconds;
  say (t, "going on in epoch %u after batch %u of %u", t->place.epoch + 1, t->place.batch, t->batches);
  return t->place.epoch == 0 || deim_history_read_csv (t->history, t->csv_path, t->place.epoch, error);
}

static gboolean
training_init (Training *t, GError **error)
{
  const gchar *output = t->options->output;

  t->best_path = g_build_filename (output, "best.safetensors", NULL);
  t->last_path = g_build_filename (output, "last.safetensors", NULL);
  t->state_path = g_build_filename (output, "state.safetensors", NULL);
  t->csv_path = g_build_filename (output, "results.csv", NULL);
  t->report_path = g_build_filename (output, "report.html", NULL);
  if (!open_data (t, error) || !make_trainee (t, error))
    return FALSE;
  choose_recipe (t);
  if (!make_loader (t, error))
    return FALSE;
  make_stepper (t);
  g_autofree gchar *title = g_strdup_printf ("%s on %s", deim_trainee_get_arch (t->trainee)->name, t->options->data);
  t->history = deim_history_new (title);
  t->settings = describe_settings (t);
  return take_up_state (t, error);
}

/* ---------------------------------------------------------------------- state */

static gboolean
save_state (Training *t, GError **error)
{
  t->place.seconds = t->seconds_before + seconds_since (t->began);
  t->saved = g_get_monotonic_time ();
  return deim_trainee_save (t->trainee, t->state_path, &t->place, t->settings, error);
}

/* ------------------------------------------------------------------ an epoch */

static gboolean
run_step (Training *t, const DeimBatch *batch, GError **error)
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

/* All batches of an epoch that are left. */
static gboolean
run_batches (Training *t, gboolean *ret_stopped, GError **error)
{
  g_autoptr (GError) cause = NULL;

  *ret_stopped = FALSE;
  deim_loader_start (t->loader, t->place.epoch, t->place.batch);
  for (;;) {
    gint64 begin = g_get_monotonic_time ();
    g_autoptr (DeimBatch) batch = deim_loader_next (t->loader, &cause);
    if (!batch)
      break;
    if (!run_step (t, batch, error))
      return FALSE;
    t->steps++;
    t->step_seconds += seconds_since (begin);
    tell_progress (t, 0, 0);
    tell_profile (t);
    *ret_stopped = should_stop (t);
    if ((*ret_stopped || seconds_since (t->saved) > SAVE_INTERVAL) && !save_state (t, error))
      return FALSE;
    if (*ret_stopped)
      return TRUE;
  }
  if (cause)
    g_propagate_error (error, g_steal_pointer (&cause));
  return cause == NULL;
}

static gboolean
tell_evaluation (guint done, guint count, gpointer data)
{
  const Training *t = data;
  tell_progress (t, done, count);
  return !should_stop (t);
}

/* Measures @model, unless this is not the epoch for it. FALSE without an error where it was stopped. */
static gboolean
evaluate (Training *t, DeimModel *model, DeimEvaluation *evaluation, GError **error)
{
  guint epoch = t->place.epoch + 1;
  gint64 begin = g_get_monotonic_time ();

  for (guint i = 0; i < DEIM_EVALUATION_LAST; i++)
    evaluation->numbers[i] = -1;
  if (!t->validation || (epoch % t->options->evaluate != 0 && epoch < t->recipe.epochs))
    return TRUE;
  g_autoptr (DeimDetector) detector = deim_detector_new (model, t->device, NULL, error);
  if (!detector || !deim_validation_run (t->validation, detector, tell_evaluation, t, evaluation, error))
    return FALSE;
  t->evaluations++;
  t->evaluation_seconds += seconds_since (begin);
  return TRUE;
}

static DeimEpochResult
sum_up (const Training *t, const DeimEvaluation *evaluation)
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

static gboolean
write_results (const Training *t, GError **error)
{
  g_auto (GStrv) notes = g_strsplit (t->settings, "\n", -1);
  return deim_history_write_csv (t->history, t->csv_path, error) &&
         deim_history_write_report (t->history, (const gchar *const *) notes, t->report_path, error);
}

/* Evaluation, checkpoints, results; then the next epoch's place. */
static gboolean
finish_epoch (Training *t, GError **error)
{
  DeimEvaluation evaluation;
  g_autoptr (DeimModel) model = deim_trainee_make_model (t->trainee, error);

  if (!model || !evaluate (t, model, &evaluation, error))
    return FALSE;
  gdouble ap = evaluation.numbers[DEIM_EVALUATION_AP];
  gboolean best = ap > t->place.best || !t->validation;
  if (!deim_model_save (model, t->last_path, error) || (best && !deim_model_save (model, t->best_path, error)))
    return FALSE;
  DeimEpochResult result = sum_up (t, &evaluation);
  g_array_append_val (t->history->epochs, result);
  if (!write_results (t, error))
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

/* Where the heavy augmentation ends, the best weights so far are gone on with. */
static gboolean
restart_if_due (Training *t, GError **error)
{
  if (t->place.epoch != t->recipe.restart_epoch || t->place.batch != 0 || t->place.best < 0)
    return TRUE;
  say (t, "going on with the weights of epoch %u, the best so far", t->place.best_epoch + 1);
  return deim_trainee_take_up (t->trainee, t->best_path, error);
}

gboolean
deim_train (DeimDevice *device, const DeimTrainOptions *options, gboolean *ret_finished, GError **error)
{
  g_auto (Training) t = { .device = device, .options = options, .watcher = &options->watcher };
  g_autoptr (GError) cause = NULL;

  if (!training_init (&t, error))
    return FALSE;
  t.began = t.saved = g_get_monotonic_time ();
  while (t.place.epoch < t.recipe.epochs) {
    gboolean stopped;
    if (!restart_if_due (&t, error) || !run_batches (&t, &stopped, error))
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
