/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* step.c - forward, loss, backward, update. */
#include "step.h"

#include <math.h>
#include <time.h>

#include "engine/deim.h"

struct _DeimStepper {
  DeimTrainingSession *session;
  const DeimTrainingOutputs *io;
  DeimCriterion criterion;
  DeimFdrAttrs fdr;
  gboolean has_fdr;
  DeimRanks *ranks;
  gfloat *gradients; /* of everything, on their way to the sum; NULL where there is nothing to sum */
  DeimOutputs *outputs;
};

DeimStepper *
deim_stepper_new (DeimTrainingSession *session, const DeimCriterion *criterion, const DeimFdrAttrs *fdr,
                  DeimRanks *ranks)
{
  DeimStepper *self = g_new0 (DeimStepper, 1);

  self->session = session;
  self->io = deim_training_get_io (session);
  self->criterion = *criterion;
  self->has_fdr = fdr != NULL;
  if (fdr)
    self->fdr = *fdr;
  self->outputs = deim_outputs_new (session);
  self->ranks = ranks;
  if (deim_ranks_get_count (ranks) > 1)
    self->gradients = g_new (gfloat, deim_training_get_gradient_size (session));
  return self;
}

void
deim_stepper_free (DeimStepper *self)
{
  if (!self)
    return;
  deim_outputs_free (self->outputs);
  g_free (self->gradients);
  g_free (self);
}

/* --------------------------------------------------------- denoising queries */

/* DEIM_ACT_INVERSE_SIGMOID on the host. */
static gfloat
inverse_sigmoid (gfloat x)
{
  gdouble v = CLAMP ((gdouble) x, 0.0, 1.0);
  return (gfloat) log (MAX (v, 1e-5) / MAX (1 - v, 1e-5));
}

static void
write_denoising (DeimStepper *self, const DeimDenoising *denoising)
{
  gsize d = denoising->n_queries, n = denoising->n_images, all = (gsize) self->io->groups->shape.w;
  g_autofree gint32 *classes = g_new (gint32, n * d);
  g_autofree gfloat *boxes = g_new (gfloat, n * d * 4), *groups = g_new0 (gfloat, all);

  for (gsize i = 0; i < n; i++)
    for (gsize q = 0; q < d; q++) {
      classes[i * d + q] = (gint32) denoising->classes[i * d + q];
      for (gsize k = 0; k < 4; k++)
        boxes[(i * 4 + k) * d + q] = inverse_sigmoid (denoising->boxes[(i * d + q) * 4 + k]);
    }
  /* Places behind the last group are in one of their own, which nobody else sees. */
  for (guint q = 0; q < d; q++)
    groups[q] = q < deim_denoising_used (denoising) ? (gfloat) (1 + q / denoising->per_group)
                                                    : (gfloat) (1 + denoising->groups);
  deim_training_write (self->session, self->io->dn_class, classes);
  deim_training_write (self->session, self->io->dn_boxes, boxes);
  deim_training_write (self->session, self->io->groups, groups);
}

/* NULL where the network has none. */
static DeimDenoising *
make_denoising (DeimStepper *self, const DeimBatch *batch, const DeimTargets *targets, const DeimRandom *random)
{
  DeimDenoisingRule rule = deim_denoising_default;
  guint classes = (guint) self->io->layers[0].logits->shape.c, most = 0;

  if (self->io->denoising == 0)
    return NULL;
  for (guint i = 0; i < batch->n; i++)
    most = MAX (most, targets[i].n);
  rule.capacity = (guint) self->io->denoising;
  rule.queries = rule.capacity / 2;
  DeimDenoising *denoising = deim_denoising_new (&rule, targets, batch->n, classes, deim_ranks_most (self->ranks, most),
                                                 random, deim_ranks_get_index (self->ranks) * batch->n);
  write_denoising (self, denoising);
  return denoising;
}

/* ---------------------------------------------------------------------- loss */

/* From those of this process to those of all. */
static void
add_counts (DeimStepper *self, DeimBatchCounts *counts)
{
  gdouble numbers[] = { counts->images, counts->objects, counts->united, counts->denoising };
  deim_ranks_sum_doubles (self->ranks, numbers, G_N_ELEMENTS (numbers));
  *counts = (DeimBatchCounts){ (guint) numbers[0], (guint) numbers[1], (guint) numbers[2], (guint) numbers[3] };
}

/* Matches, computes losses of the whole batch and gradients of @parts. */
static void
compute_loss (DeimStepper *self, const DeimTargets *targets, const DeimMatcher *matcher, const DeimDenoising *denoising,
              DeimPart *parts, guint n_parts, DeimStepResult *result)
{
  guint n_images = parts[0].own.n_images;
  const DeimMatching *pairs = denoising ? denoising->matching : NULL;

  deim_criterion_match (matcher, parts, n_parts, targets);
  g_autoptr (DeimMatching) united = deim_criterion_unite (parts, n_parts);
  DeimCriterionBatch batch = {
    .targets = targets,
    .united = united,
    .denoising = pairs,
    .fdr = self->has_fdr ? &self->fdr : NULL,
    .counts = deim_criterion_count (targets, n_images, united, pairs),
  };
  add_counts (self, &batch.counts);
  gdouble losses[1 + DEIM_LOSS_LAST] = { deim_criterion_run (&self->criterion, &batch, parts, n_parts) };
  for (guint i = 0; i < n_parts; i++)
    for (guint k = 0; k < DEIM_LOSS_LAST; k++)
      losses[1 + k] += parts[i].losses[k];
  deim_ranks_sum_doubles (self->ranks, losses, G_N_ELEMENTS (losses));
  result->loss = losses[0];
  memcpy (result->parts, losses + 1, sizeof result->parts);
}

/* What is no finite number, and what may mend it. @loss: NULL where this process's losses are all finite. */
static gboolean
fail_not_finite (DeimStepper *self, const gchar *loss, GError **error)
{
  GError *cause = NULL;
  g_autofree gchar *tensor = loss ? deim_training_find_bad (self->session, &cause) : NULL;

  if ((loss || deim_ranks_get_count (self->ranks) == 1) && !cause)
    g_set_error (&cause, DEIM_ERROR, DEIM_ERROR_DEVICE,
                 "%s holds something that is no finite number: the training has diverged; a lower learning rate may "
                 "mend it%s",
                 tensor ? tensor
                 : loss ? loss
                        : "the sum of the losses",
                 deim_training_is_half (self->session) ? ", or training without --half" : "");
  return deim_ranks_agree (self->ranks, cause, error);
}

static gdouble
processor_ms (void)
{
  struct timespec time;
  clock_gettime (CLOCK_PROCESS_CPUTIME_ID, &time);
  return (gdouble) time.tv_sec * 1e3 + (gdouble) time.tv_nsec * 1e-6;
}

static gdouble
lap (gint64 *time)
{
  gint64 now = g_get_monotonic_time ();
  gdouble ms = (gdouble) (now - *time) * 1e-3;
  *time = now;
  return ms;
}

/* Gradients of the whole batch, from those of each process's part. */
static gboolean
add_gradients (DeimStepper *self, GError **error)
{
  if (!self->gradients)
    return TRUE;
  if (!deim_training_get_gradients (self->session, self->gradients, error))
    return FALSE;
  deim_ranks_sum (self->ranks, self->gradients, deim_training_get_gradient_size (self->session));
  return deim_training_set_gradients (self->session, self->gradients, error);
}

static gboolean
learn (DeimStepper *self, const DeimUpdate *update, gint64 *time, DeimStepResult *result, GError **error)
{
  if (!deim_training_backward (self->session, error) || !add_gradients (self, error))
    return FALSE;
  result->ms[DEIM_STEP_BACKWARD] = lap (time);
  if (!deim_training_update (self->session, update, &result->norm, error))
    return FALSE;
  result->ms[DEIM_STEP_UPDATE] = lap (time);
  return TRUE;
}

gboolean
deim_stepper_run (DeimStepper *self, const DeimBatch *batch, const DeimMatcher *matcher, const DeimUpdate *update,
                  const DeimRandom *random, DeimStepResult *ret_result, GError **error)
{
  DeimStepResult result = { 0 };
  DeimPart parts[DEIM_MAX_PARTS];
  GError *cause = NULL;
  gint64 time = g_get_monotonic_time ();
  gdouble begin = processor_ms ();
  g_autofree DeimTargets *targets = deim_batch_get_targets (batch);
  g_autoptr (DeimDenoising) denoising = make_denoising (self, batch, targets, random);

  deim_training_write (self->session, self->io->input, batch->pixels);
  result.ms[DEIM_STEP_WRITE] = lap (&time);
  if (!deim_training_forward (self->session, &cause))
    return deim_ranks_abandon (self->ranks, cause, error);
  result.ms[DEIM_STEP_FORWARD] = lap (&time);
  deim_outputs_read (self->outputs);
  result.ms[DEIM_STEP_READ] = lap (&time);

  guint n_parts = deim_outputs_get_parts (self->outputs, denoising ? deim_denoising_used (denoising) : 0, parts), bad;
  DeimLoss loss;
  compute_loss (self, targets, matcher, denoising, parts, n_parts, &result);
  g_autofree gchar *key = deim_criterion_find_bad (parts, n_parts, &bad, &loss)
                              ? deim_criterion_key (&self->criterion, parts, bad, loss)
                              : NULL;
  deim_parts_clear (parts, n_parts);
  if (!isfinite (result.loss))
    return fail_not_finite (self, key, error);
  deim_outputs_write_seeds (self->outputs);
  result.ms[DEIM_STEP_LOSS] = lap (&time);
  if (!learn (self, update, &time, &result, &cause))
    return deim_ranks_abandon (self->ranks, cause, error);
  if (!isfinite (result.norm))
    return fail_not_finite (self, "the gradient", error);
  result.processor_ms = processor_ms () - begin;
  *ret_result = result;
  return TRUE;
}
