/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* train-begin.c - data, network, recipe and state of a training, before its first step. */
#include "train-private.h"

#include "engine/models/parts.h"
#include <string.h>

void
deim_train_say (const DeimTrainRun *t, const gchar *format, ...)
{
  va_list args;
  va_start (args, format);
  g_autofree gchar *text = g_strdup_vprintf (format, args);
  va_end (args);
  if (t->watcher->message)
    t->watcher->message (text, t->watcher->data);
}

void
deim_train_clear (DeimTrainRun *t)
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

static gboolean
open_data (DeimTrainRun *t, GError **error)
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
    deim_train_say (
        t, "there are no pictures for validation, so no AP is measured, and the best weights are the last ones: %s",
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
    deim_train_say (t, "%s holds one set, so AP is measured on the pictures that are learned", folder);
  if (deim_dataset_n_objects (t->validation) == 0) {
    deim_train_say (t, "%s has no object, so no AP is measured, and the best weights are the last ones",
                    t->validation->annotations);
    g_clear_pointer (&t->validation, deim_dataset_free);
  }
  return deim_dataset_check_files (t->training, error) &&
         (!t->validation || deim_dataset_check_files (t->validation, error));
}

/* Whether there is a training to go on with, as far as this process can see. */
static gboolean
goes_on (const DeimTrainRun *t)
{
  return t->options->resume && g_file_test (t->state_path, G_FILE_TEST_EXISTS);
}

static gboolean
make_trainee (DeimTrainRun *t, GError **error)
{
  const DeimTrainOptions *options = t->options;
  guint n = deim_dataset_n_classes (t->training);
  g_auto (GStrv) labels = g_new0 (gchar *, n + 1);

  for (guint i = 0; i < n; i++) {
    const DeimCocoCategory *category = &g_array_index (t->training->coco->categories, DeimCocoCategory, i);
    labels[i] = *category->name ? g_strdup (category->name) : g_strdup_printf ("class %" G_GINT64_FORMAT, category->id);
  }
  const DeimTraineeOptions made = {
    .model = options->model,
    /* The state of a training has all weights, and the file may lie elsewhere by now. */
    .backbone = goes_on (t) ? NULL : options->backbone,
    .labels = (const gchar *const *) labels,
    .batch = options->batch / deim_ranks_get_count (options->ranks),
    .height = options->height,
    .width = options->width,
    .denoising = 2 * options->denoising, /* each positive has a negative */
    .seed = options->seed,
    .freeze_norms = options->freeze_norms,
    .half = options->half,
    .ranks = options->ranks,
    .timestamps = t->watcher->profile != NULL,
  };
  t->trainee = deim_trainee_new (t->device, &made, error);
  /* What is begun anew is so once. */
  if (t->trainee && deim_trainee_get_note (t->trainee) && !goes_on (t))
    deim_train_say (t, "%s", deim_trainee_get_note (t->trainee));
  return t->trainee != NULL;
}

/* Objects that the recipe takes for too small to be learned, and evaluation does not. */
static void
tell_small (const DeimTrainRun *t)
{
  const DeimArch *arch = deim_trainee_get_arch (t->trainee);
  gdouble least = t->recipe.augment.min_size;
  guint n = deim_dataset_count_small (t->training, (guint) arch->input_width, (guint) arch->input_height, least);
  if (n > 0)
    deim_train_say (
        t,
        "%u of %u objects are narrower or lower than %.3g pixels at an input of %d x %d, and are not learned, "
        "as the recipe of %s has it; take a larger --input, or --light, which learns them",
        n, deim_dataset_n_objects (t->training), least, arch->input_height, arch->input_width, arch->name);
}

/* The recipe for this network and these epochs, with what the options change. */
static void
choose_recipe (DeimTrainRun *t)
{
  const DeimTrainOptions *options = t->options;
  const DeimArch *arch = deim_trainee_get_arch (t->trainee);
  DeimRecipe recipe = deim_recipe_find (arch->name);
  DeimRecipeChanges changes = { options->epochs, options->light, options->mosaic, options->mixup, options->lr_end, 1 };

  deim_recipe_find_scale (arch->name, (guint) arch->input_height, (guint) arch->input_width, &changes.scale);
  if (recipe.augment.multi_scale)
    deim_train_say (t, "the recipe of %s changes the input size from batch to batch; here it stays %d x %d", arch->name,
                    arch->input_height, arch->input_width);
  t->recipe = deim_recipe_adapt (&recipe, &changes);
  t->lr = options->lr > 0 ? options->lr : recipe.lr;
  if (deim_trainee_is_fine_tuned (t->trainee) && !options->epochs && !(options->lr > 0))
    deim_train_say (t,
                    "the recipe of %s is for training from the beginning: %u epochs, at a learning rate of %g, which "
                    "overwrites much of what a checkpoint knows; to fine-tune it, give fewer --epochs and a lower --lr",
                    arch->name, recipe.epochs, recipe.lr);
  tell_small (t);
}

static gboolean
make_loader (DeimTrainRun *t, GError **error)
{
  const DeimArch *arch = deim_trainee_get_arch (t->trainee);
  DeimSampleSource source = deim_dataset_source (t->training);
  guint part = t->options->batch / deim_ranks_get_count (t->options->ranks);
  const DeimLoaderOptions loading = {
    .policy = &t->recipe.augment,
    .batch = t->options->batch,
    .first = deim_ranks_get_index (t->options->ranks) * part,
    .count = part,
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
make_stepper (DeimTrainRun *t)
{
  const DeimArch *arch = deim_trainee_get_arch (t->trainee);
  DeimCriterion criterion = deim_criterion_default;
  DeimFdrAttrs fdr;

  criterion.vfl = t->options->vfl;
  criterion.use_union = criterion.local = t->recipe.local;
  if (arch->decoder.kind == DEIM_DECODER_RTDETR) {
    t->stepper = deim_stepper_new (deim_trainee_get_session (t->trainee), &criterion, NULL, t->options->ranks);
    return;
  }
  deim_decoder_fdr_attrs (&arch->decoder, &fdr);
  t->stepper = deim_stepper_new (deim_trainee_get_session (t->trainee), &criterion, &fdr, t->options->ranks);
}

/* How much there is, and a digest of all annotations, so that others with as many are told apart. */
static gchar *
describe_data (const DeimDataset *dataset)
{
  if (!dataset)
    return g_strdup ("none");
  g_autofree gchar *digest = deim_dataset_digest (dataset);
  return g_strdup_printf ("%u with %u objects, digest %.16s", deim_dataset_n_pictures (dataset),
                          dataset->coco->objects->len, digest);
}

/* What must not change in the middle: for the state, and for the report. */
static gchar *
describe_settings (const DeimTrainRun *t)
{
  const DeimTrainOptions *options = t->options;
  const DeimAugmentPolicy *augment = &t->recipe.augment;
  g_autofree gchar *spec = deim_arch_to_spec (deim_trainee_get_arch (t->trainee));
  g_autoptr (GString) classes = g_string_new (NULL);
  g_autofree gchar *training = describe_data (t->training), *validation = describe_data (t->validation);

  for (guint i = 0; i < deim_dataset_n_classes (t->training); i++)
    g_string_append_printf (classes, "%s%s", i ? ", " : "",
                            g_array_index (t->training->coco->categories, DeimCocoCategory, i).name);
  /* Wherever it lies: processes and later runs may have it elsewhere. */
  g_autofree gchar *backbone = options->backbone ? g_path_get_basename (options->backbone) : NULL;
  return g_strdup_printf (
      "model %s\nclasses %s\npictures %s\nvalidation %s\nepochs %u\n"
      "batch %u\nlearning-rate %.9g to %.9g\ndenoising %u\nloss %s\n"
      "augmentation %s, mosaic %g, mixup %g\nnorms %s\n"
      "evaluation every %u epochs\nseed %" G_GUINT64_FORMAT "%s%s%s",
      spec, classes->str, training, validation, t->recipe.epochs, options->batch, t->lr, t->lr * t->recipe.lr_gamma,
      options->denoising, options->vfl ? "VFL" : "MAL", options->light ? "light" : "recipe", augment->mosaic,
      augment->mixup, options->freeze_norms ? "frozen" : "trained", options->evaluate, options->seed,
      options->backbone ? "\nbackbone " : "", backbone ? backbone : "", options->half ? "\nactivations fp16" : "");
}

/* The results of the epochs before; they are for people, so that a training goes on without them, too. */
static gboolean
take_up_history (DeimTrainRun *t, GError **error)
{
  g_autoptr (GError) cause = NULL;

  if (deim_history_read_csv (t->history, t->csv_path, t->place.epoch, &cause))
    return TRUE;
  if (g_error_matches (cause, DEIM_ERROR, DEIM_ERROR_NOT_FOUND)) {
    deim_train_say (t, "%s is gone, so results and report begin with epoch %u", t->csv_path, t->place.epoch + 1);
    return TRUE;
  }
  g_propagate_error (error, g_steal_pointer (&cause));
  return FALSE;
}

/* Goes on where a training before this one was, if there was one. */
static gboolean
take_up_state (DeimTrainRun *t, GError **error)
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
      deim_train_say (t, "%s holds no training to go on with; one begins", t->options->output);
    return TRUE;
  }
  if (!deim_trainee_load (t->trainee, t->state_path, t->settings, &t->place, error))
    return FALSE;
  t->seconds_before = t->place.seconds;
  deim_train_say (t, "going on in epoch %u after batch %u of %u", t->place.epoch + 1, t->place.batch, t->batches);
  return t->place.epoch == 0 || take_up_history (t, error);
}

/* What each process makes on its own. */
static gboolean
make_all (DeimTrainRun *t, GError **error)
{
  guint count = deim_ranks_get_count (t->options->ranks);

  if (t->options->batch % count) {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_SETTINGS,
                 "%u processes cannot share batches of %u pictures evenly; choose a batch that is a multiple of %u",
                 count, t->options->batch, count);
    return FALSE;
  }
  if (!open_data (t, error) || !make_trainee (t, error))
    return FALSE;
  choose_recipe (t);
  if (!make_loader (t, error))
    return FALSE;
  make_stepper (t);
  t->settings = describe_settings (t);
  return TRUE;
}

/* Other settings than the first process's are no basis for one training. */
static gboolean
compare_settings (DeimTrainRun *t, GError **error)
{
  DeimRanks *ranks = t->options->ranks;
  gsize length = strlen (t->settings) + 1;
  g_autofree gchar *theirs = NULL, *own = NULL;
  GError *cause = NULL;

  deim_ranks_send (ranks, &length, sizeof length);
  g_autofree gchar *first = g_malloc0 (length);
  g_strlcpy (first, t->settings, length);
  deim_ranks_send (ranks, first, length);
  if (deim_settings_differ (first, t->settings, &theirs, &own))
    g_set_error (&cause, DEIM_ERROR, DEIM_ERROR_SETTINGS,
                 "the first process has \"%s\", this one \"%s\"; give all the same options and data", theirs, own);
  return deim_ranks_agree (ranks, cause, error);
}

gboolean
deim_train_begin (DeimTrainRun *t, GError **error)
{
  const gchar *output = t->options->output;
  GError *cause = NULL;

  t->watcher = &t->options->watcher;
  t->best_path = g_build_filename (output, "best.safetensors", NULL);
  t->last_path = g_build_filename (output, "last.safetensors", NULL);
  t->state_path = g_build_filename (output, "state.safetensors", NULL);
  t->csv_path = g_build_filename (output, "results.csv", NULL);
  t->report_path = g_build_filename (output, "report.html", NULL);
  make_all (t, &cause);
  if (!deim_ranks_agree (t->options->ranks, cause, error) || !compare_settings (t, error))
    return FALSE;
  g_autofree gchar *title = g_strdup_printf ("%s on %s", deim_trainee_get_arch (t->trainee)->name, t->options->data);
  t->history = deim_history_new (title);
  if (deim_train_is_first (t))
    take_up_state (t, &cause);
  if (!deim_ranks_agree (t->options->ranks, cause, error))
    return FALSE;
  deim_ranks_send (t->options->ranks, &t->place, sizeof t->place); /* parameters follow with each epoch */
  return TRUE;
}
