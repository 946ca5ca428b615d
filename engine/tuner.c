/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * tuner.c - which variants of a network's layers are the fastest. The network runs with one variant in all layers that
 * allow it, for each variant in turn; a layer's time is the least of its frames. At last the best of all run against
 * the usual ones, frame by frame in turn, since the least of many measurements is partly luck.
 */
#include "tuner.h"

#include <string.h>

#include "device.h"
#include "error.h"
#include "executor-private.h"
#include "model.h"
#include "selftest.h"

/* A gain that is less may be chance. */
#define WORTH_IT 0.95

/* A GPU that waited while pipelines were made runs its first frames at a third of its speed. */
#define WARM_US 100000

typedef struct {
  DeimModel *model;
  DeimGpu *gpu;
  DeimDetectorOptions options; /* with defaults filled in */
  guint frames;
  DeimTuneFunc progress;
  gpointer user_data;
  guint step, steps;
  gboolean stopped;
  GArray *layers; /* of DeimTunedLayer */
} Tuner;

/* --------------------------------------------------------------- measuring */

/* A network with the variants of a tuning. */
typedef struct {
  DeimExecutor *executor;
  DeimRun *run;
  gdouble *ms, *least; /* by dispatch: of the last frame, and of all */
} Trial;

static void
trial_finish (Trial *trial)
{
  deim_run_free (trial->run);
  deim_executor_free (trial->executor);
  g_free (trial->ms);
  g_free (trial->least);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Trial, trial_finish)

static void
trial_reset (Trial *trial)
{
  for (guint i = 0; i < deim_executor_get_n_dispatches (trial->executor); i++)
    trial->least[i] = G_MAXDOUBLE;
}

static gboolean
trial_init (Trial *trial, const Tuner *tuner, const DeimTuning *tuning, GError **error)
{
  const DeimDetectorOptions *o = &tuner->options;
  DeimNetworkOutputs outputs;
  DeimGraph *graph = deim_model_build (tuner->model, o->batch, o->height, o->width, &outputs, error);
  if (!graph)
    return FALSE;
  trial->executor = deim_executor_new (tuner->gpu, graph, o->precision, TRUE, tuning, error);
  if (!trial->executor)
    return FALSE;
  trial->run = deim_run_new (trial->executor, DEIM_RUN_HOST_INPUTS | DEIM_RUN_TIMESTAMPS, error);
  if (!trial->run)
    return FALSE;
  guint n = deim_executor_get_n_dispatches (trial->executor);
  trial->ms = g_new0 (gdouble, n);
  trial->least = g_new0 (gdouble, n);
  trial_reset (trial);

  gsize size = deim_shape_size (outputs.input->shape);
  g_autofree gfloat *noise = g_new (gfloat, size);
  g_autoptr (GRand) random = g_rand_new_with_seed (1);
  for (gsize i = 0; i < size; i++)
    noise[i] = (gfloat) g_rand_double (random);
  deim_run_write (trial->run, outputs.input, noise);
  return TRUE;
}

/* One frame; @counts: its times are looked at. */
static gboolean
trial_run (Trial *trial, const Tuner *tuner, gboolean counts, GError **error)
{
  if (!deim_run_execute (trial->run, error))
    return FALSE;
  if (!deim_run_get_times (trial->run, trial->ms)) {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_UNSUPPORTED, "%s cannot be tuned: it measures no time of a dispatch",
                 deim_gpu_get_name (tuner->gpu));
    return FALSE;
  }
  for (guint i = 0; counts && i < deim_executor_get_n_dispatches (trial->executor); i++)
    trial->least[i] = MIN (trial->least[i], trial->ms[i]);
  return TRUE;
}

/* Of all layers like @layer, or G_MAXDOUBLE where one of them has not @variant. */
static gdouble
trial_time (const Trial *trial, const DeimTunedLayer *layer, const gchar *variant)
{
  const DeimDispatchList *list = trial->executor->list;
  gdouble sum = 0;
  for (guint c = 0; c < list->choices->len; c++) {
    const DeimChoice *choice = &g_array_index (list->choices, DeimChoice, c);
    if (!g_str_equal (choice->layer, layer->layer))
      continue;
    if (!g_str_equal (choice->variant, variant))
      return G_MAXDOUBLE;
    for (guint i = 0; i < list->dispatches->len; i++)
      if (g_array_index (list->dispatches, DeimDispatch, i).node == choice->node)
        sum += trial->least[i];
  }
  return sum;
}

/* --------------------------------------------------------------- the steps */

static gboolean
goes_on (Tuner *tuner, const gchar *variant, guint frame)
{
  if (!tuner->stopped && tuner->progress)
    tuner->stopped = !tuner->progress (variant, tuner->step, tuner->steps, frame, tuner->user_data);
  return !tuner->stopped;
}

static gboolean
run_frame (const Tuner *tuner, Trial *const *trials, guint n, gboolean counts, GError **error)
{
  for (guint i = 0; i < n; i++)
    if (!trial_run (trials[i], tuner, counts, error))
      return FALSE;
  return TRUE;
}

/* All frames of @n trials, in turn, after some that do not count: the first of each makes its pipelines. */
static gboolean
run_step (Tuner *tuner, const gchar *variant, Trial *const *trials, guint n, GError **error)
{
  gboolean warms = !deim_gpu_get_policy (tuner->gpu)->on[DEIM_DECISION_CPU];
  gint64 warm = 0; /* from when on frames count */
  do {
    if (goes_on (tuner, variant, 0) && !run_frame (tuner, trials, n, FALSE, error))
      return FALSE;
    if (warm == 0)
      warm = g_get_monotonic_time () + WARM_US;
  } while (warms && !tuner->stopped && g_get_monotonic_time () < warm);
  for (guint frame = 1; frame <= tuner->frames && goes_on (tuner, variant, frame); frame++)
    if (!run_frame (tuner, trials, n, TRUE, error))
      return FALSE;
  tuner->step++;
  return TRUE;
}

static DeimTunedLayer *
get_layer (const Tuner *tuner, guint index)
{
  return &g_array_index (tuner->layers, DeimTunedLayer, index);
}

static void
count_layer (Tuner *tuner, const DeimChoice *choice)
{
  for (guint i = 0; i < tuner->layers->len; i++)
    if (g_str_equal (get_layer (tuner, i)->layer, choice->layer)) {
      get_layer (tuner, i)->count++;
      return;
    }
  DeimTunedLayer layer = { .count = 1 };
  g_strlcpy (layer.layer, choice->layer, sizeof layer.layer);
  g_strlcpy (layer.usual, choice->variant, sizeof layer.usual);
  g_strlcpy (layer.best, choice->variant, sizeof layer.best);
  g_array_append_val (tuner->layers, layer);
}

/* The layers of @usual, and the names of all variants that one of them may have and has not. */
static GPtrArray *
list_layers (Tuner *tuner, const Trial *usual)
{
  const GArray *choices = usual->executor->list->choices;
  GPtrArray *variants = g_ptr_array_new ();
  for (guint i = 0; i < choices->len; i++) {
    const DeimChoice *choice = &g_array_index (choices, DeimChoice, i);
    count_layer (tuner, choice);
    for (guint k = 0; choice->candidates[k]; k++)
      if (choice->candidates[k] != choice->variant && !g_ptr_array_find (variants, choice->candidates[k], NULL))
        g_ptr_array_add (variants, (gpointer) choice->candidates[k]);
  }
  return variants;
}

static gboolean
try_variant (Tuner *tuner, const gchar *variant, GError **error)
{
  g_autoptr (DeimTuning) forced = deim_tuning_new_forced (variant);
  g_auto (Trial) trial = { 0 };
  Trial *trials[] = { &trial };
  GError *problem = NULL;
  if (!goes_on (tuner, variant, 0))
    return TRUE;
  if (!deim_selftest_computes_rightly (tuner->gpu, tuner->options.precision == DEIM_PRECISION_FP16, forced, &problem)) {
    if (problem) {
      g_propagate_error (error, problem);
      return FALSE;
    }
    deim_warning ("%s computes wrongly with the variant %s, which is left out; a newer driver may be right",
                  deim_gpu_get_name (tuner->gpu), variant);
    tuner->step++;
    return TRUE;
  }
  if (!trial_init (&trial, tuner, forced, error) || !run_step (tuner, variant, trials, 1, error))
    return FALSE;
  for (guint i = 0; i < tuner->layers->len && !tuner->stopped; i++) {
    DeimTunedLayer *layer = get_layer (tuner, i);
    gdouble ms = trial_time (&trial, layer, variant);
    if (ms < layer->best_ms && ms < WORTH_IT * layer->usual_ms) {
      layer->best_ms = ms;
      g_strlcpy (layer->best, variant, sizeof layer->best);
    }
  }
  return TRUE;
}

/* What is known so far, into the table. What an earlier tuning found stays until all is measured, and @confirmed. */
static void
note_layers (const Tuner *tuner, DeimTuning *tuning, gboolean confirmed)
{
  for (guint i = 0; i < tuner->layers->len; i++) {
    const DeimTunedLayer *layer = get_layer (tuner, i);
    gboolean usual = g_str_equal (layer->best, layer->usual);
    if (confirmed || !usual)
      deim_tuning_set (tuning, layer->layer, usual ? NULL : layer->best);
  }
}

/* Measures the usual and the best variants anew, and gives up those that were lucky. */
static gboolean
confirm (Tuner *tuner, Trial *usual, const DeimTuning *tuning, GError **error)
{
  g_auto (Trial) tuned = { 0 };
  Trial *trials[] = { usual, &tuned };
  if (!trial_init (&tuned, tuner, tuning, error))
    return FALSE;
  trial_reset (usual);
  if (!run_step (tuner, "the best", trials, 2, error))
    return FALSE;
  for (guint i = 0; i < tuner->layers->len && !tuner->stopped; i++) {
    DeimTunedLayer *layer = get_layer (tuner, i);
    layer->usual_ms = trial_time (usual, layer, layer->usual);
    layer->best_ms = trial_time (&tuned, layer, layer->best);
    if (g_str_equal (layer->best, layer->usual)) /* measured twice */
      layer->usual_ms = MIN (layer->usual_ms, layer->best_ms);
    if (layer->best_ms > WORTH_IT * layer->usual_ms) {
      layer->best_ms = layer->usual_ms;
      g_strlcpy (layer->best, layer->usual, sizeof layer->best);
    }
  }
  return TRUE;
}

static gboolean
tune (Tuner *tuner, GError **error)
{
  g_autoptr (DeimTuning) tuning = deim_tuner_load (tuner->gpu);
  g_auto (Trial) usual = { 0 };
  Trial *trials[] = { &usual };
  if (!tuning)
    tuning = deim_tuning_new ();
  if (!trial_init (&usual, tuner, NULL, error))
    return FALSE;
  g_autoptr (GPtrArray) variants = list_layers (tuner, &usual);
  tuner->steps = variants->len + 2;
  if (!run_step (tuner, "the usual", trials, 1, error))
    return FALSE;
  for (guint i = 0; i < tuner->layers->len && !tuner->stopped; i++) {
    DeimTunedLayer *layer = get_layer (tuner, i);
    layer->usual_ms = layer->best_ms = trial_time (&usual, layer, layer->usual);
  }
  for (guint i = 0; i < variants->len && !tuner->stopped; i++) {
    if (!try_variant (tuner, variants->pdata[i], error))
      return FALSE;
    note_layers (tuner, tuning, FALSE);
    if (!deim_tuner_save (tuner->gpu, tuning, error))
      return FALSE;
  }
  if (tuner->stopped)
    return TRUE;
  if (!confirm (tuner, &usual, tuning, error))
    return FALSE;
  note_layers (tuner, tuning, !tuner->stopped);
  return deim_tuner_save (tuner->gpu, tuning, error);
}

GArray *
deim_device_tune (DeimDevice *device, DeimModel *model, const DeimDetectorOptions *options, guint frames,
                  DeimTuneFunc progress, gpointer user_data, GError **error)
{
  const DeimModelInfo *info = deim_model_get_info (model);
  Tuner tuner = { .model = model,
                  .gpu = deim_device_get_gpu (device),
                  .frames = MAX (frames, 1),
                  .progress = progress,
                  .user_data = user_data };
  if (options)
    tuner.options = *options;
  DeimDetectorOptions *o = &tuner.options;
  o->height = o->height ? o->height : info->input_height;
  o->width = o->width ? o->width : info->input_width;
  o->batch = MAX (o->batch, 1);
  if (!deim_device_check_cache (device, error) || !deim_device_check (device, o->precision, &o->precision, error))
    return NULL;
  tuner.layers = g_array_new (FALSE, TRUE, sizeof (DeimTunedLayer));
  if (!tune (&tuner, error))
    g_clear_pointer (&tuner.layers, g_array_unref);
  return tuner.layers;
}
