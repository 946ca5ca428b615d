/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-losses.c - gradients of the criterion against finite differences, and
 * what the official implementation has nothing to say about: objects without
 * area, batches in slices and on several processes, numbers that are none.
 */
#include "golden-train.h"

#include <math.h>
#include <string.h>

#define CORNERS (4 * DEIM_FDR_BINS)

static void
assert_near (const gchar *what, gdouble value, gdouble expected, gdouble tolerance)
{
  if (!(fabs (value - expected) <= tolerance))
    g_error ("%s: got %.9g, expected %.9g, tolerance %.3g", what, value, expected, tolerance);
}

/* ------------------------------------------------------ finite differences */

/* A batch of two pictures with an output of every kind, from the first whole case, and gradients. */
typedef struct {
  GoldenTrain *train;
  GoldenWhole whole;
  DeimMatching *united, *denoising;
  DeimFdrAttrs fdr;
  DeimCriterionBatch batch;
  gfloat *gradient[GOLDEN_MAX_PARTS][3]; /* of logits, boxes, corners */
} Scene;

static const gsize scene_per_query[] = { 5, 4, CORNERS };

static void
scene_init (Scene *scene)
{
  scene->train = golden_train_open (NULL, "w_dfine_4_9");
  golden_whole_init (&scene->whole, scene->train);
  scene->fdr = golden_fdr ();
  deim_criterion_match (&deim_matcher_default, scene->whole.parts, scene->whole.n, scene->train->targets);
  scene->united = deim_criterion_unite (scene->whole.parts, scene->whole.n);
  scene->denoising = golden_denoising (scene->train);
  scene->batch = (DeimCriterionBatch){
    .targets = scene->train->targets,
    .united = scene->united,
    .denoising = scene->denoising,
    .fdr = &scene->fdr,
    .counts = deim_criterion_count (scene->train->targets, 2, scene->united, scene->denoising),
  };
  for (guint i = 0; i < scene->whole.n; i++) {
    DeimPart *part = &scene->whole.parts[i];
    for (guint k = 0; k < 3; k++)
      scene->gradient[i][k] = g_new0 (gfloat, 2 * part->own.pitch * scene_per_query[k]);
    part->d_logits = scene->gradient[i][0];
    part->d_boxes = scene->gradient[i][1];
    part->d_corners = part->own.corners ? scene->gradient[i][2] : NULL;
  }
}

static void
scene_finish (Scene *scene)
{
  for (guint i = 0; i < scene->whole.n; i++)
    for (guint k = 0; k < 3; k++)
      g_free (scene->gradient[i][k]);
  golden_whole_finish (&scene->whole);
  deim_matching_free (scene->united);
  deim_matching_free (scene->denoising);
  golden_train_free (scene->train);
}

/* The sum of all losses but what a moved teacher does to its students, which is no part of the gradient. */
static gdouble
own_losses (const DeimCriterion *criterion, Scene *scene, guint part)
{
  deim_criterion_run (criterion, &scene->batch, scene->whole.parts, scene->whole.n);
  gdouble sum = 0;
  for (guint k = 0; k < DEIM_LOSS_LAST; k++)
    sum += scene->whole.parts[part].losses[k];
  return sum;
}

/* Moves numbers of @values, one at a time, and compares what the losses do with @gradient. */
static void
check_differences (const DeimCriterion *criterion, Scene *scene, guint part, const gfloat *values, guint kind)
{
  gsize size = 2 * scene->whole.parts[part].own.pitch * scene_per_query[kind];
  gdouble sum = 0;

  deim_criterion_run (criterion, &scene->batch, scene->whole.parts, scene->whole.n);
  g_autofree gfloat *gradient = g_memdup2 (scene->gradient[part][kind], size * sizeof (gfloat));
  for (gsize i = 0; i < size; i++)
    sum += fabs (gradient[i]);
  g_assert_cmpfloat (sum, >, 0);
  for (gsize i = part; i < size; i += size / 40) {
    gfloat *value = (gfloat *) &values[i], old = *value;
    const gfloat step = kind == 1 ? 1e-4f : 1e-2f;
    *value = old + step;
    gfloat high = *value;
    gdouble above = own_losses (criterion, scene, part);
    *value = old - step;
    gdouble below = own_losses (criterion, scene, part), numeric = (above - below) / ((gdouble) high - *value);
    *value = old;
    g_autofree gchar *what = g_strdup_printf ("part %u, kind %u, number %" G_GSIZE_FORMAT, part, kind, i);
    assert_near (what, gradient[i], numeric, 2e-4 * MAX (fabs (numeric), 0.01));
  }
}

/*
 * Weights of the losses are constants to the gradient. So that finite
 * differences see the same, they are made constant here: gamma 0 leaves the
 * class weights nothing to depend on; corners have no part in any weight; and
 * of what boxes do only L1 and GIoU are asked.
 */
static void
test_differences (void)
{
  Scene scene;
  scene_init (&scene);

  for (guint i = 0; i < scene.whole.n; i++) {
    DeimPart *part = &scene.whole.parts[i];
    DeimCriterion criterion = deim_criterion_default;
    criterion.mal_gamma = criterion.vfl_gamma = 0;
    check_differences (&criterion, &scene, i, part->own.logits, 0);
    criterion.vfl = TRUE;
    check_differences (&criterion, &scene, i, part->own.logits, 0);
    if (part->own.corners)
      check_differences (&criterion, &scene, i, part->own.corners, 2);
    criterion.weights[DEIM_LOSS_CLASS] = criterion.weights[DEIM_LOSS_FGL] = criterion.weights[DEIM_LOSS_DDF] = 0;
    check_differences (&criterion, &scene, i, part->own.boxes, 1);
  }
  scene_finish (&scene);
}

/* ------------------------------------------------------------ special cases */

/* Two processes with a picture each and the counts of both add up to one process with two pictures. */
static void
test_processes (void)
{
  Scene scene;
  scene_init (&scene);
  DeimPart halves[GOLDEN_MAX_PARTS];
  gdouble total = deim_criterion_run (&deim_criterion_default, &scene.batch, scene.whole.parts, scene.whole.n);
  gdouble sum = 0;

  for (guint b = 0; b < 2; b++) {
    guint from = scene.united->first[b], dn_from = scene.denoising->first[b];
    guint first[] = { 0, scene.united->first[b + 1] - from };
    guint dn_first[] = { 0, scene.denoising->first[b + 1] - dn_from };
    DeimMatching united = { 1, first, scene.united->pairs + from };
    DeimMatching denoising = { 1, dn_first, scene.denoising->pairs + dn_from };
    DeimCriterionBatch batch = scene.batch; /* with the counts of the whole */
    batch.targets = &scene.train->targets[b];
    batch.united = &united;
    batch.denoising = &denoising;
    for (guint i = 0; i < scene.whole.n; i++) {
      DeimPredictions own = scene.whole.parts[i].own;
      gsize row = deim_predictions_row (&own, b, 0);
      own.n_images = 1;
      own.logits += row * own.n_classes;
      own.boxes += row * 4;
      own.corners = own.corners ? own.corners + row * CORNERS : NULL;
      own.references += row * 4;
      halves[i] = (DeimPart){ .role = scene.whole.parts[i].role, .own = own };
    }
    deim_criterion_match (&deim_matcher_default, halves, scene.whole.n, batch.targets);
    sum += deim_criterion_run (&deim_criterion_default, &batch, halves, scene.whole.n);
    deim_parts_clear (halves, scene.whole.n);
  }
  assert_near ("sum of two processes", sum, total, 1e-12 * total);
  scene_finish (&scene);
}

/* Queries that are a slice of those in memory give the same, and what lies between is not touched. */
static void
test_pitch (void)
{
  g_autoptr (GoldenTrain) train = golden_train_open (NULL, "a_4_9");
  g_auto (GoldenPredictions) p = { 0 };
  enum { BEFORE = 7, PITCH = BEFORE + 30 };
  golden_predictions_init (&p, train, "", 0);

  const gsize per_query[] = { train->n_classes, 4, CORNERS, 4 };
  const gfloat *tight[] = { p.logits, p.boxes, p.corners, p.references };
  gfloat *wide[4], *d_tight[3], *d_wide[3];
  for (guint k = 0; k < 4; k++) {
    wide[k] = g_new (gfloat, 2 * PITCH * per_query[k]);
    for (gsize i = 0; i < 2 * PITCH * per_query[k]; i++)
      wide[k][i] = NAN;
    for (guint b = 0; b < 2; b++)
      memcpy (wide[k] + (b * PITCH + BEFORE) * per_query[k], tight[k] + b * 30 * per_query[k],
              30 * per_query[k] * sizeof (gfloat));
  }
  for (guint k = 0; k < 3; k++) {
    d_tight[k] = g_new0 (gfloat, 2 * 30 * per_query[k]);
    d_wide[k] = g_memdup2 (wide[k], 2 * PITCH * per_query[k] * sizeof (gfloat));
  }
  DeimPredictions slice = { 2,
                            30,
                            train->n_classes,
                            PITCH,
                            wide[0] + BEFORE * per_query[0],
                            wide[1] + BEFORE * per_query[1],
                            wide[2] + BEFORE * per_query[2],
                            wide[3] + BEFORE * per_query[3] };
  DeimPart a = { .own = p.own, .d_logits = d_tight[0], .d_boxes = d_tight[1], .d_corners = d_tight[2] };
  DeimPart b = { .own = slice,
                 .d_logits = d_wide[0] + BEFORE * per_query[0],
                 .d_boxes = d_wide[1] + BEFORE * per_query[1],
                 .d_corners = d_wide[2] + BEFORE * per_query[2] };
  DeimFdrAttrs fdr = golden_fdr ();
  deim_criterion_match (&deim_matcher_default, &a, 1, train->targets);
  deim_criterion_match (&deim_matcher_default, &b, 1, train->targets);
  g_autoptr (DeimMatching) united = deim_criterion_unite (&a, 1);
  DeimCriterionBatch batch = { .targets = train->targets,
                               .united = united,
                               .fdr = &fdr,
                               .counts = deim_criterion_count (train->targets, 2, united, NULL) };
  gdouble loss = deim_criterion_run (&deim_criterion_default, &batch, &a, 1);
  g_assert_cmpfloat (deim_criterion_run (&deim_criterion_default, &batch, &b, 1), ==, loss);
  for (guint k = 0; k < 3; k++)
    for (guint image = 0; image < 2; image++)
      for (gsize i = 0; i < PITCH * per_query[k]; i++) {
        gfloat value = d_wide[k][image * PITCH * per_query[k] + i];
        if (i < BEFORE * per_query[k])
          g_assert_true (isnan (value));
        else
          g_assert_cmpfloat (value, ==, d_tight[k][image * 30 * per_query[k] + i - BEFORE * per_query[k]]);
      }
  for (guint k = 0; k < 4; k++)
    g_free (wide[k]);
  for (guint k = 0; k < 3; k++) {
    g_free (d_tight[k]);
    g_free (d_wide[k]);
  }
  deim_parts_clear (&a, 1);
  deim_parts_clear (&b, 1);
}

/* One query of one class exactly on an object that is a point: finite everywhere, the score is still told to fall. */
static void
test_no_area (void)
{
  const gfloat logits[] = { 0, -1 }, boxes[] = { 0.5f, 0.5f, 0, 0, 0.1f, 0.1f, 0.1f, 0.1f };
  const gfloat corners[2 * CORNERS] = { 0 };
  const guint label = 0;
  const DeimTargets targets = { 1, &label, boxes };
  gfloat d_logits[2], d_boxes[8], d_corners[2 * CORNERS];
  DeimPart part = {
    .own = { 1, 2, 1, 2, logits, boxes, corners, boxes },
    .d_logits = d_logits,
    .d_boxes = d_boxes,
    .d_corners = d_corners,
  };
  DeimFdrAttrs fdr = golden_fdr ();

  deim_criterion_match (&deim_matcher_default, &part, 1, &targets);
  g_autoptr (DeimMatching) united = deim_criterion_unite (&part, 1);
  DeimCriterionBatch batch = {
    .targets = &targets, .united = united, .fdr = &fdr, .counts = deim_criterion_count (&targets, 1, united, NULL)
  };
  deim_criterion_run (&deim_criterion_default, &batch, &part, 1);
  g_assert_cmpuint (united->pairs[0].query, ==, 0);
  assert_near ("bbox", part.losses[DEIM_LOSS_BBOX], 0, 0);
  assert_near ("giou", part.losses[DEIM_LOSS_GIOU], 2, 0); /* weight 2 x (1 - 0) */
  assert_near ("fgl", part.losses[DEIM_LOSS_FGL], 0, 0);   /* weighted by an IoU of 0 */
  assert_near ("d_logits", d_logits[0], 0.5, 0);
  for (guint i = 0; i < 8; i++)
    assert_near ("d_boxes", d_boxes[i], 0, 0);
  for (guint i = 0; i < 2 * CORNERS; i++)
    assert_near ("d_corners", d_corners[i], 0, 0);
  deim_parts_clear (&part, 1);
}

/* An output of one class among outputs of five: each object counts as class 0 there. */
static void
test_agnostic (void)
{
  const gfloat logits[] = { 0 }, boxes[] = { 0.5f, 0.5f, 0.25f, 0.25f };
  const guint label = 4;
  const DeimTargets targets = { 1, &label, boxes };
  gfloat d_logits[1];
  DeimPart part = { .role = DEIM_PART_ENCODER, .own = { 1, 1, 1, 1, logits, boxes }, .d_logits = d_logits };

  deim_criterion_match (&deim_matcher_default, &part, 1, &targets);
  g_autoptr (DeimMatching) united = deim_criterion_unite (&part, 1);
  DeimCriterionBatch batch = { .targets = &targets,
                               .united = united,
                               .counts = deim_criterion_count (&targets, 1, united, NULL) };
  deim_criterion_run (&deim_criterion_default, &batch, &part, 1);
  assert_near ("mal", part.losses[DEIM_LOSS_CLASS], log (2), 1e-15);
  assert_near ("d_logits", d_logits[0], -0.5, 0);
  deim_parts_clear (&part, 1);
}

static void
test_find_bad (void)
{
  Scene scene;
  guint part = 99;
  DeimLoss loss = DEIM_LOSS_LAST;
  scene_init (&scene);

  deim_criterion_run (&deim_criterion_default, &scene.batch, scene.whole.parts, scene.whole.n);
  g_assert_false (deim_criterion_find_bad (scene.whole.parts, scene.whole.n, &part, &loss));
  scene.whole.predictions[2].boxes[4 * scene.united->pairs[0].query] = NAN;
  deim_criterion_run (&deim_criterion_default, &scene.batch, scene.whole.parts, scene.whole.n);
  g_assert_true (deim_criterion_find_bad (scene.whole.parts, scene.whole.n, &part, &loss));
  g_autofree gchar *key = deim_criterion_key (&deim_criterion_default, scene.whole.parts, part, loss);
  g_assert_cmpstr (key, ==, "loss_bbox_aux_1");
  scene_finish (&scene);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/losses/differences", test_differences);
  g_test_add_func ("/losses/processes", test_processes);
  g_test_add_func ("/losses/pitch", test_pitch);
  g_test_add_func ("/losses/no-area", test_no_area);
  g_test_add_func ("/losses/agnostic", test_agnostic);
  g_test_add_func ("/losses/find-bad", test_find_bad);
  return g_test_run ();
}
