/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-optimiser.c - AdamW against PyTorch, groups of parameters, the learning rate and the average by hand. */
#include "trainer/optimiser.h"
#include "trainer/schedule.h"
#include "training-cases.h"

#include "engine/deim.h"
#include <math.h>
#include <string.h>

static void
assert_near (gdouble value, gdouble expected, gdouble tolerance)
{
  if (!(fabs (value - expected) <= tolerance))
    g_error ("got %.12g, expected %.12g", value, expected);
}

/* ---------------------------------------------------------------- optimiser */

#define N     6
#define STEPS 5

/* fill() of training-cases.py */
static void
fill (gfloat *values, guint salt, guint step, gdouble scale)
{
  for (guint i = 0; i < N; i++)
    values[i] = (gfloat) (scale * (((gint) ((7 * i + 13 * step + 29 * salt) % 17) - 8) / 8.0));
}

static void
test_adamw (void)
{
  gfloat weights[2][N], gradients[2][N], mean[2][N] = { { 0 } }, square[2][N] = { { 0 } };
  const DeimParameter parameters[] = {
    { "backbone.stem.stem1.conv.weight", 4, N, weights[0], gradients[0], mean[0], square[0] },
    { "decoder.dec_score_head.0.bias", 1, N, weights[1], gradients[1], mean[1], square[1] },
  };
  DeimOptimiser optimiser = deim_optimiser_default;
  g_autoptr (GError) error = NULL;
  gdouble norm;

  optimiser.lr = 4e-2; /* times 0.5 of the schedule, times 0.5 of the backbone */
  optimiser.weight_decay = 0.1;
  for (guint k = 0; k < 2; k++)
    fill (weights[k], k, 0, 1);
  for (guint step = 1; step <= STEPS; step++) {
    for (guint k = 0; k < 2; k++)
      fill (gradients[k], k, step, step == 1 ? 0.02 : 1);
    g_assert_true (deim_optimiser_step (&optimiser, parameters, 2, step, 0.5, &norm, &error));
    g_assert_no_error (error);
    assert_near (norm, adamw_norms[step - 1], 1e-6 * adamw_norms[step - 1]);
  }
  for (guint i = 0; i < N; i++) {
    assert_near (weights[0][i], adamw_backbone[i], 1e-6);
    assert_near (weights[1][i], adamw_bias[i], 1e-6);
  }
}

/* A tensor with a number that is none is named, and nothing has moved. */
static void
test_not_finite (void)
{
  gfloat weights[2][2] = { { 1, 2 }, { 3, 4 } }, gradients[2][2] = { { 1, 1 }, { 1, INFINITY } };
  gfloat mean[2] = { 0 }, square[2] = { 0 };
  const DeimParameter parameters[] = {
    { "encoder.a.weight", 2, 2, weights[0], gradients[0], mean, square },
    { "encoder.b.weight", 2, 2, weights[1], gradients[1], mean, square },
  };
  g_autoptr (GError) error = NULL;

  g_assert_false (deim_optimiser_step (&deim_optimiser_default, parameters, 2, 7, 1, NULL, &error));
  g_assert_error (error, DEIM_ERROR, DEIM_ERROR_DEVICE);
  g_assert_nonnull (strstr (error->message, "the gradient of encoder.b.weight is not finite at step 7"));
  g_assert_cmpfloat (weights[0][0], ==, 1);
  g_assert_cmpfloat (mean[0], ==, 0);
}

static void
test_clip (void)
{
  assert_near (deim_clip_factor (0.05, 0.1), 1, 0);
  assert_near (deim_clip_factor (0.4, 0.1), 0.25, 1e-6);
  assert_near (deim_clip_factor (1e9, 0), 1, 0);
}

static void
test_groups (void)
{
  static const struct {
    const gchar *name;
    guint n_dims;
    gdouble lr;
    gboolean decays;
  } cases[] = {
    { "backbone.stages.0.blocks.0.layers.0.conv.weight", 4, 0.5, TRUE },
    { "backbone.stages.0.blocks.0.layers.0.bn.weight", 1, 0.5, FALSE },
    { "backbone.stem.stem1.lab.scale", 1, 0.5, FALSE },
    { "encoder.input_proj.0.norm.weight", 1, 1, FALSE },
    { "encoder.down_sample1.2.weight", 1, 1, FALSE }, /* a BatchNorm that its name does not tell */
    { "encoder.fpn_block.cv1.conv.weight", 4, 1, TRUE },
    { "decoder.decoder.layers.0.self_attn.in_proj_weight", 2, 1, TRUE },
    { "decoder.decoder.layers.0.self_attn.in_proj_bias", 1, 1, FALSE },
    { "decoder.decoder.layers.0.norm1.scale", 1, 1, FALSE },
    { "decoder.denoising_class_embed.weight", 2, 1, TRUE },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    DeimParameterGroup group = deim_parameter_group (cases[i].name, cases[i].n_dims);
    g_assert_cmpfloat (group.lr_factor, ==, cases[i].lr);
    g_assert_cmpint (group.decays, ==, cases[i].decays);
  }
}

/* ----------------------------------------------------------------- schedule */

static void
test_schedule (void)
{
  DeimRecipe recipe = { .epochs = 10, .warmup = 2000, .flat_epoch = 5, .restart_epoch = 9, .lr_gamma = 0.5 };
  DeimSchedule schedule = deim_schedule_new (&recipe, 100);

  g_assert_cmpuint (schedule.total, ==, 1000);
  g_assert_cmpuint (schedule.warmup, ==, 50); /* a twentieth, not 2000 */
  g_assert_cmpuint (schedule.flat, ==, 500);
  g_assert_cmpuint (schedule.low, ==, 900);
  assert_near (deim_schedule_factor (&schedule, 0), 1.0 / 2500, 1e-15);
  assert_near (deim_schedule_factor (&schedule, 24), 0.25, 1e-15);
  assert_near (deim_schedule_factor (&schedule, 49), 1, 0);
  assert_near (deim_schedule_factor (&schedule, 50), 1, 0);
  assert_near (deim_schedule_factor (&schedule, 500), 1, 0);
  assert_near (deim_schedule_factor (&schedule, 600), 0.5 + 0.25 * (1 + sqrt (0.5)), 1e-12);
  assert_near (deim_schedule_factor (&schedule, 700), 0.75, 1e-12);
  assert_near (deim_schedule_factor (&schedule, 900), 0.5, 0);
  assert_near (deim_schedule_factor (&schedule, 5000), 0.5, 0);
  for (guint64 i = 1; i < 1000; i++) {
    gdouble change = deim_schedule_factor (&schedule, i) - deim_schedule_factor (&schedule, i - 1);
    g_assert_true (i < 50 ? change > 0 : change <= 0 && change > -0.01);
  }

  /* On COCO's size the official numbers. */
  recipe = deim_recipe_find ("deimv2_l");
  schedule = deim_schedule_new (&recipe, 3696);
  g_assert_cmpuint (schedule.warmup, ==, 2000);
  g_assert_cmpuint (schedule.low, ==, 3696 * 50);
  /* N stays flat; and the shortest training there is. */
  recipe = deim_recipe_find ("deimv2_n");
  schedule = deim_schedule_new (&recipe, 900);
  assert_near (deim_schedule_factor (&schedule, 900 * 159), 1, 0);
  recipe = deim_recipe_scale (&recipe, 1);
  schedule = deim_schedule_new (&recipe, 1);
  assert_near (deim_schedule_factor (&schedule, 0), 1, 0);
}

static void
test_ema (void)
{
  DeimEma official = deim_ema_new (1000000), small = deim_ema_new (800), least = deim_ema_new (3);
  gfloat averages[2] = { 1, -2 };
  const gfloat weights[2] = { 3, 2 };

  assert_near (official.decay, 0.9999, 1e-15);
  assert_near (official.ramp, 1000, 0);
  assert_near (small.decay, 1 - 1.0 / 80, 1e-15);
  assert_near (small.ramp, 80, 0);
  assert_near (least.decay, 0, 0); /* the weights themselves */
  assert_near (deim_ema_decay (&official, 1000), 0.9999 * (1 - exp (-1)), 1e-15);
  assert_near (deim_ema_decay (&official, 1), 0.9999 * (1 - exp (-0.001)), 1e-15);
  deim_ema_update (0.75, 2, weights, averages);
  assert_near (averages[0], 1.5, 0);
  assert_near (averages[1], -1, 0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/optimiser/adamw", test_adamw);
  g_test_add_func ("/optimiser/not-finite", test_not_finite);
  g_test_add_func ("/optimiser/clip", test_clip);
  g_test_add_func ("/optimiser/groups", test_groups);
  g_test_add_func ("/schedule/learning-rate", test_schedule);
  g_test_add_func ("/schedule/average", test_ema);
  return g_test_run ();
}
