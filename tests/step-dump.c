/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * step-dump.c - a training step with all that went in and came out, for test-step.py: step-dump FOLDER
 *
 *   model.safetensors   the weights
 *   pictures.bin        [n][3][h][w]
 *   targets.txt         a line per object: picture, class, box
 *   denoising.txt       groups, places in a group, queries; a line per query: class, box;
 *                       then "m" and, of each positive, picture, query, object
 *   result.txt          the loss and its kinds
 *   gradients.txt       of each parameter: name, length, scalar product with cos (0.37 i + 0.1)
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/graph/op.h"
#include "engine/models/parts.h"
#include "trainer/synth.h"
#include "trainer/trainee.h"
#include "trainer/update-rule.h"

#define SIDE      160
#define BATCH     3
#define DENOISING 40
#define SEED      5

static FILE *
open_file (const gchar *folder, const gchar *name)
{
  g_autofree gchar *path = g_build_filename (folder, name, NULL);
  FILE *file = fopen (path, "wb");
  if (!file)
    g_error ("%s cannot be written", path);
  return file;
}

static void
write_batch (const gchar *folder, const DeimBatch *batch)
{
  FILE *pictures = open_file (folder, "pictures.bin"), *targets = open_file (folder, "targets.txt");
  fwrite (batch->pixels, sizeof (gfloat), (gsize) BATCH * 3 * SIDE * SIDE, pictures);
  for (guint i = 0; i < batch->n; i++)
    for (guint k = 0; k < batch->objects[i]->len; k++) {
      const DeimBatchObject *o = &g_array_index (batch->objects[i], DeimBatchObject, k);
      fprintf (targets, "%u %u %.9g %.9g %.9g %.9g\n", i, o->label, o->box[0], o->box[1], o->box[2], o->box[3]);
    }
  fclose (pictures);
  fclose (targets);
}

/* Those that the step makes from the same stream. */
static void
write_denoising (const gchar *folder, const DeimBatch *batch, const DeimRandom *random)
{
  FILE *file = open_file (folder, "denoising.txt");
  g_autofree DeimTargets *targets = deim_batch_get_targets (batch);
  DeimDenoisingRule rule = deim_denoising_default;
  rule.capacity = DENOISING;
  rule.queries = DENOISING / 2;
  g_autoptr (DeimDenoising) d = deim_denoising_new (&rule, targets, batch->n, DEIM_SYNTH_CLASSES, 0, random, 0);
  fprintf (file, "%u %u %u\n", d->groups, d->per_group, d->n_queries);
  for (guint i = 0; i < batch->n * d->n_queries; i++)
    fprintf (file, "%u %.9g %.9g %.9g %.9g\n", d->classes[i], d->boxes[i * 4], d->boxes[i * 4 + 1], d->boxes[i * 4 + 2],
             d->boxes[i * 4 + 3]);
  for (guint i = 0; i < batch->n; i++)
    for (guint k = d->matching->first[i]; k < d->matching->first[i + 1]; k++)
      fprintf (file, "m %u %u %u\n", i, d->matching->pairs[k].query, d->matching->pairs[k].target);
  fclose (file);
}

static void
write_gradients (const gchar *folder, DeimTrainingSession *session)
{
  g_autoptr (GError) error = NULL;
  FILE *file = open_file (folder, "gradients.txt");
  for (guint i = 0; i < deim_training_get_n_parameters (session); i++) {
    const DeimParameter *p = deim_training_get_parameter (session, i);
    g_autofree gfloat *values = g_new (gfloat, p->size);
    gdouble square = 0, along = 0;
    if (p->kind != DEIM_PARAMETER_TRAINED)
      continue;
    deim_training_get_state (session, i, DEIM_STATE_GRADIENT, values, &error);
    g_assert_no_error (error);
    for (gsize k = 0; k < p->size; k++) {
      square += (gdouble) values[k] * values[k];
      along += values[k] * cos (0.37 * (gdouble) k + 0.1);
    }
    fprintf (file, "%s %.9g %.9g\n", p->name, sqrt (square), along);
  }
  fclose (file);
}

int
main (int argc, char **argv)
{
  if (argc != 2) {
    fprintf (stderr, "usage: step-dump FOLDER\n");
    return 2;
  }
  g_autoptr (GError) error = NULL;
  const gchar *folder = argv[1], *labels[DEIM_SYNTH_CLASSES + 1] = { NULL };
  for (guint i = 0; i < DEIM_SYNTH_CLASSES; i++)
    labels[i] = deim_synth_class_name (i);
  const DeimTraineeOptions options = { .model = "deimv2_atto",
                                       .labels = labels,
                                       .batch = BATCH,
                                       .height = SIDE,
                                       .width = SIDE,
                                       .denoising = DENOISING,
                                       .seed = SEED };
  g_autoptr (DeimDevice) device = deim_device_open (NULL, &error);
  g_assert_no_error (error);
  g_autoptr (DeimTrainee) trainee = deim_trainee_new (device, &options, &error);
  g_assert_no_error (error);

  g_autoptr (DeimBatch) batch = deim_batch_new (BATCH, SIDE, SIDE);
  for (guint i = 0; i < BATCH; i++) {
    g_autoptr (DeimSample) sample = deim_synth_scene (DEIM_SYNTH_DEFAULT, SIDE, SIDE, SEED, i);
    deim_batch_set (batch, i, sample, i);
  }
  DeimCriterion criterion = deim_criterion_default;
  DeimFdrAttrs fdr;
  criterion.local = criterion.use_union = FALSE; /* as Atto's recipe */
  deim_decoder_fdr_attrs (&deim_trainee_get_arch (trainee)->decoder, &fdr);
  g_autoptr (DeimStepper) stepper = deim_stepper_new (deim_trainee_get_session (trainee), &criterion, &fdr, NULL);
  const DeimRandom random = deim_random_new (SEED);
  DeimStepResult result;
  /* A few steps, so that boxes no longer are the anchors, whose edges coincide with those of objects. */
  DeimUpdate update = deim_update_rule (2e-3);
  for (update.step = 1; update.step <= 4; update.step++) {
    deim_stepper_run (stepper, batch, &deim_matcher_default, &update, &random, &result, &error);
    g_assert_no_error (error);
  }

  g_autofree gchar *path = g_build_filename (folder, "model.safetensors", NULL);
  g_autoptr (DeimModel) model = deim_trainee_make_model (trainee, &error); /* averages of decay 0: the weights */
  g_assert_no_error (error);
  deim_model_save (model, path, FALSE, &error);
  g_assert_no_error (error);
  update.groups[0].lr = update.groups[1].lr = update.groups[2].lr = update.groups[3].lr = 0;
  deim_stepper_run (stepper, batch, &deim_matcher_default, &update, &random, &result, &error);
  g_assert_no_error (error);
  write_batch (folder, batch);
  write_denoising (folder, batch, &random);
  write_gradients (folder, deim_trainee_get_session (trainee));
  FILE *file = open_file (folder, "result.txt");
  fprintf (file, "%.9g %.9g %.9g %.9g\n", result.loss, result.parts[DEIM_LOSS_CLASS], result.parts[DEIM_LOSS_BBOX],
           result.parts[DEIM_LOSS_GIOU]);
  fclose (file);
  return 0;
}
