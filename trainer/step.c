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
  DeimOutputs *outputs;
};

DeimStepper *
deim_stepper_new (DeimTrainingSession *session, const DeimCriterion *criterion, const DeimFdrAttrs *fdr)
{
  DeimStepper *self = g_new0 (DeimStepper, 1);

  self->session = session;
  self->io = deim_training_get_io (session);
  self->criterion = *criterion;
  self->has_fdr = fdr != NULL;
  if (fdr)
    self->fdr = *fdr;
  self->outputs = deim_outputs_new (session);
  return self;
}

void
deim_stepper_free (DeimStepper *self)
{
  if (!self)
    return;
  deim_outputs_free (self->outputs);
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
  guint classes = (guint) self->io->layers[0].logits->shape.c;

  if (self->io->denoising == 0)
    return NULL;
  rule.capacity = (guint) self->io->denoising;
  rule.queries = rule.capacity / 2;
  DeimDenoising *denoising = deim_denoising_new (&rule, targets, batch->n, classes, 0, random, 0);
  write_denoising (self, denoising);
  return denoising;
}

/* ---------------------------------------------------------------------- loss */

/* Matches, computes losses and gradients of @parts. */
static void
compute_loss (DeimStepper *self, const DeimTargets *targets, const DeimMatcher *matcher, const DeimDenoising *denoising,
              DeimPart *parts, guint n_parts, DeimStepResult *result)
{
  guint n_images = parts[0].own.n_images;
  const DeimMatching *pairs = denoising ? denoising->matching : NULL;

  deim_criterion_match (matcher, parts, n_parts, targets);
  g_autoptr (DeimMatching) united = deim_criterion_unite (parts, n_parts);
  const DeimCriterionBatch batch = {
    .targets = targets,
    .united = united,
    .denoising = pairs,
    .fdr = self->has_fdr ? &self->fdr : NULL,
    .counts = deim_criterion_count (targets, n_images, united, pairs),
  };
  result->loss = deim_criterion_run (&self->criterion, &batch, parts, n_parts);
  for (guint i = 0; i < n_parts; i++)
    for (guint k = 0; k < DEIM_LOSS_LAST; k++)
      result->parts[k] += parts[i].losses[k];
}

/* What is no finite number, and what may mend it. */
static gboolean
fail_not_finite (DeimStepper *self, const gchar *loss, GError **error)
{
  g_autoptr (GError) cause = NULL;
  g_autofree gchar *tensor = deim_training_find_bad (self->session, &cause);

  if (cause) {
    g_propagate_error (error, g_steal_pointer (&cause));
    return FALSE;
  }
  g_set_error (error, DEIM_ERROR, DEIM_ERROR_DEVICE,
               "%s holds something that is no finite number: the training has diverged; a lower learning rate may mend "
               "it",
               tensor ? tensor : loss);
  return FALSE;
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

static gboolean
learn (DeimStepper *self, const DeimUpdate *update, gint64 *time, DeimStepResult *result, GError **error)
{
  if (!deim_training_backward (self->session, error))
    return FALSE;
  result->ms[DEIM_STEP_BACKWARD] = lap (time);
  if (!deim_training_update (self->session, update, &result->norm, error))
    return FALSE;
  result->ms[DEIM_STEP_UPDATE] = lap (time);
  return isfinite (result->norm) ? TRUE : fail_not_finite (self, "the gradient", error);
}

gboolean
deim_stepper_run (DeimStepper *self, const DeimBatch *batch, const DeimMatcher *matcher, const DeimUpdate *update,
                  const DeimRandom *random, DeimStepResult *ret_result, GError **error)
{
  DeimStepResult result = { 0 };
  DeimPart parts[DEIM_MAX_PARTS];
  gint64 time = g_get_monotonic_time ();
  gdouble begin = processor_ms ();
  g_autofree DeimTargets *targets = deim_batch_get_targets (batch);
  g_autoptr (DeimDenoising) denoising = make_denoising (self, batch, targets, random);

  deim_training_write (self->session, self->io->input, batch->pixels);
  result.ms[DEIM_STEP_WRITE] = lap (&time);
  if (!deim_training_forward (self->session, error))
    return FALSE;
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
  if (key)
    return fail_not_finite (self, key, error);
  deim_outputs_write_seeds (self->outputs);
  result.ms[DEIM_STEP_LOSS] = lap (&time);
  if (!learn (self, update, &time, &result, error))
    return FALSE;
  result.processor_ms = processor_ms () - begin;
  *ret_result = result;
  return TRUE;
}
