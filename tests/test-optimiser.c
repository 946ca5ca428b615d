/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-optimiser.c - the device's AdamW against PyTorch, groups of parameters, the learning rate and the average by
 * hand. */
#include "engine/device.h"
#include "engine/optimiser.h"
#include "trainer/schedule.h"
#include "trainer/update-rule.h"
#include "training-cases.h"

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

/* The two tensors behind each other, each padded to four; 0 and its decay are the backbone's. */
static void
test_adamw (void)
{
  enum { PLACE = 8, COUNT = 2 * PLACE };
  const DeimUpdateRange ranges[] = { { 0, PLACE, 0 }, { PLACE, PLACE, 1 } };
  DeimUpdate update = deim_update_rule (0);
  gfloat values[COUNT] = { 0 }, gradients[COUNT] = { 0 };
  g_autoptr (GError) error = NULL;
  g_autoptr (DeimDevice) device = deim_device_open (NULL, &error);
  g_assert_no_error (error);
  DeimGpu *gpu = deim_device_get_gpu (device);
  DeimGpuBuffer state;

  g_assert_true (deim_gpu_buffer_init (&state, gpu, DEIM_MEMORY_DEVICE, 2 * sizeof values, &error));
  for (guint k = 0; k < 2; k++)
    fill (values + k * PLACE, k, 0, 1);
  g_assert_true (deim_gpu_buffer_upload (&state, gpu, 0, values, sizeof values, &error));
  DeimOptimiser *optimiser = deim_optimiser_new (gpu, &state, 0, sizeof values, COUNT, ranges, 2, &error);
  g_assert_no_error (error);
  update.groups[0] = (DeimUpdateGroup){ 1e-2, 0.1 };
  update.groups[1] = (DeimUpdateGroup){ 2e-2, 0 };
  for (update.step = 1; update.step <= STEPS; update.step++) {
    gdouble norm;
    for (guint k = 0; k < 2; k++)
      fill (gradients + k * PLACE, k, (guint) update.step, update.step == 1 ? 0.02 : 1);
    g_assert_true (deim_gpu_buffer_upload (&state, gpu, sizeof values, gradients, sizeof gradients, &error));
    g_assert_true (deim_optimiser_run (optimiser, &update, &norm, &error));
    g_assert_no_error (error);
    assert_near (norm, adamw_norms[update.step - 1], 1e-6 * adamw_norms[update.step - 1]);
  }
  g_assert_true (deim_gpu_buffer_download (&state, gpu, 0, values, sizeof values, &error));
  for (guint i = 0; i < N; i++) {
    assert_near (values[i], adamw_backbone[i], 1e-6);
    assert_near (values[PLACE + i], adamw_bias[i], 1e-6);
  }
  deim_optimiser_free (optimiser);
  deim_gpu_buffer_finish (&state, gpu);
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
    const DeimUpdate rule = deim_update_rule (1e-3);
    const DeimUpdateGroup *own = &rule.groups[deim_parameter_group_number (cases[i].name, cases[i].n_dims)];
    assert_near (own->lr, 1e-3 * cases[i].lr, 0);
    assert_near (own->weight_decay, cases[i].decays ? 1e-4 : 0, 0);
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

  assert_near (official.decay, 0.9999, 1e-15);
  assert_near (official.ramp, 1000, 0);
  assert_near (small.decay, 1 - 1.0 / 80, 1e-15);
  assert_near (small.ramp, 80, 0);
  assert_near (least.decay, 0, 0); /* the weights themselves */
  assert_near (deim_ema_decay (&official, 1000), 0.9999 * (1 - exp (-1)), 1e-15);
  assert_near (deim_ema_decay (&official, 1), 0.9999 * (1 - exp (-0.001)), 1e-15);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/optimiser/adamw", test_adamw);
  g_test_add_func ("/optimiser/groups", test_groups);
  g_test_add_func ("/schedule/learning-rate", test_schedule);
  g_test_add_func ("/schedule/average", test_ema);
  return g_test_run ();
}
