/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-training.c - the session of engine/training.h: the optimiser against the formulas of torch.optim.AdamW and
 * clip_grad_norm_, parameters under their names, gradients that are no numbers, a batch that processes share, and a
 * network that learns two pictures by heart.
 */
#include <math.h>
#include <pthread.h>
#include <string.h>

#include "engine/graph/op.h"
#include "engine/half.h"
#include "engine/training.h"
#include "golden.h"

#define SIDE      160
#define DENOISING 6

static DeimDevice *device;
static GoldenSet *atto;
static DeimArch arch;

static const DeimUpdate usual_update = { .step = 1,
                                         .beta1 = 0.9,
                                         .beta2 = 0.999,
                                         .eps = 1e-8,
                                         .max_norm = 0.1,
                                         .momentum = 0.1,
                                         .ema_decay = 0.9,
                                         .groups = { { 2e-3, 1e-4 }, { 1e-3, 1e-4 } } };

static gint
group_of (const gchar *name, gpointer data)
{
  if (g_str_has_prefix (name, "backbone.stem."))
    return -1; /* not trained */
  return g_str_has_prefix (name, "backbone.") ? 1 : 0;
}

/* With pictures @first to @first + @batch - 1 of two. @share: (nullable) */
static DeimTrainingSession *
new_of (guint first, guint batch, const DeimShare *share, gboolean half)
{
  g_autoptr (GError) error = NULL;
  DeimStateDict dict = golden_params_dict (atto->params);
  DeimTrainingOptions options = {
    .batch = batch, .height = SIDE, .width = SIDE, .denoising = DENOISING, .group = group_of, .half = half
  };
  if (share)
    options.share = *share;
  DeimTrainingSession *session = deim_training_new (device, &arch, &dict.values, &options, &error);
  g_assert_no_error (error);
  const DeimTrainingOutputs *io = deim_training_get_io (session);
  g_autofree gfloat *noise = golden_image ("noise", 1, SIDE, SIDE), *smooth = golden_image ("smooth", 2, SIDE, SIDE);
  gsize size = 3 * SIDE * SIDE;
  g_autofree gfloat *pictures = g_new (gfloat, 2 * size);
  memcpy (pictures, noise, size * sizeof (gfloat));
  memcpy (pictures + size, smooth, size * sizeof (gfloat));
  deim_training_write (session, io->input, pictures + first * size);
  return session;
}

static DeimTrainingSession *
new_session (void)
{
  return new_of (0, 2, NULL, FALSE);
}

/* Random numbers as the gradient of every output, those of two pictures: @session has @first and what follows. */
static void
write_seeds (DeimTrainingSession *session, guint first, GRand *rng)
{
  const DeimTrainingOutputs *io = deim_training_get_io (session);
  for (gint i = 0; i < io->n_layers; i++) {
    const DeimTensor *outputs[] = { io->layers[i].logits, io->layers[i].boxes, io->layers[i].corners };
    for (guint k = 0; k < G_N_ELEMENTS (outputs); k++) {
      gsize picture = deim_shape_size (outputs[k]->shape) / (gsize) outputs[k]->shape.n;
      g_autofree gfloat *seed = g_new (gfloat, 2 * picture);
      for (gsize j = 0; j < 2 * picture; j++)
        seed[j] = (gfloat) g_rand_double_range (rng, -1, 1);
      deim_training_write_seed (session, outputs[k], seed + first * picture);
    }
  }
}

static gfloat *
get_state (DeimTrainingSession *session, guint index, DeimState state)
{
  g_autoptr (GError) error = NULL;
  gfloat *values = g_new (gfloat, deim_training_get_parameter (session, index)->size);
  deim_training_get_state (session, index, state, values, &error);
  g_assert_no_error (error);
  return values;
}

static void
forward_backward (DeimTrainingSession *session)
{
  g_autoptr (GError) error = NULL;
  deim_training_forward (session, &error);
  g_assert_no_error (error);
  deim_training_backward (session, &error);
  g_assert_no_error (error);
}

/* ---------------------------------------------------------------- optimiser */

typedef struct {
  gdouble *value, *first, *second, *average;
} Expected;

/* The formulas, in double. */
static void
expect_step (const DeimUpdate *u, const DeimParameter *p, const gfloat *gradient, gdouble factor, Expected *e)
{
  for (gsize i = 0; i < p->size; i++) {
    if (p->kind == DEIM_PARAMETER_RUNNING)
      e->value[i] += u->momentum * (gradient[i] - e->value[i]);
    if (p->kind == DEIM_PARAMETER_TRAINED) {
      gdouble g = gradient[i] * factor, lr = u->groups[p->group].lr;
      e->first[i] = u->beta1 * e->first[i] + (1 - u->beta1) * g;
      e->second[i] = u->beta2 * e->second[i] + (1 - u->beta2) * g * g;
      e->value[i] *= 1 - lr * u->groups[p->group].weight_decay;
      e->value[i] -= lr * (e->first[i] / (1 - pow (u->beta1, (gdouble) u->step))) /
                     (sqrt (e->second[i] / (1 - pow (u->beta2, (gdouble) u->step))) + u->eps);
    }
    e->average[i] = u->ema_decay * e->average[i] + (1 - u->ema_decay) * e->value[i];
  }
}

static void
assert_close (const DeimParameter *p, const gchar *what, const gfloat *actual, const gdouble *expected, gdouble scale)
{
  for (gsize i = 0; i < p->size; i++)
    if (!(fabs (actual[i] - expected[i]) <= 2e-6 * fabs (expected[i]) + scale))
      g_error ("%s of %s at %" G_GSIZE_FORMAT " is %.9g and should be %.9g", what, p->name, i, actual[i], expected[i]);
}

static void
test_optimiser (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GRand) rng = g_rand_new_with_seed (5);
  g_autoptr (DeimTrainingSession) session = new_session ();
  guint n = deim_training_get_n_parameters (session);
  g_autofree Expected *expected = g_new0 (Expected, n);
  guint kinds[3] = { 0 };
  for (guint i = 0; i < n; i++) {
    const DeimParameter *p = deim_training_get_parameter (session, i);
    g_autofree gfloat *value = get_state (session, i, DEIM_STATE_VALUE);
    kinds[p->kind]++;
    gdouble **all[] = { &expected[i].value, &expected[i].first, &expected[i].second, &expected[i].average };
    for (guint k = 0; k < 4; k++) {
      *all[k] = g_new0 (gdouble, p->size);
      for (gsize j = 0; j < p->size && (k == 0 || k == 3); j++)
        (*all[k])[j] = value[j];
    }
  }
  g_assert_cmpuint (kinds[DEIM_PARAMETER_TRAINED], >, 200);
  g_assert_cmpuint (kinds[DEIM_PARAMETER_RUNNING], >, 60);
  g_assert_cmpuint (kinds[DEIM_PARAMETER_FIXED], ==, 25); /* five units of three and two parameters */

  for (guint step = 1; step <= 3; step++) {
    DeimUpdate update = { .step = step,
                          .beta1 = 0.9,
                          .beta2 = 0.99,
                          .eps = 1e-8,
                          .max_norm = step == 2 ? 0 : 0.5,
                          .momentum = 0.1,
                          .ema_decay = 0.75,
                          .groups = { { 1e-3, 1e-2 }, { 5e-4, 0 } } };
    gdouble square = 0, norm;
    write_seeds (session, 0, rng);
    forward_backward (session);
    for (guint i = 0; i < n; i++) {
      const DeimParameter *p = deim_training_get_parameter (session, i);
      g_autofree gfloat *gradient = get_state (session, i, DEIM_STATE_GRADIENT);
      for (gsize j = 0; j < p->size && p->kind == DEIM_PARAMETER_TRAINED; j++)
        square += (gdouble) gradient[j] * gradient[j];
    }
    gdouble factor = step == 2 ? 1 : MIN (1, 0.5 / (sqrt (square) + 1e-6));
    deim_training_update (session, &update, &norm, &error);
    g_assert_no_error (error);
    g_assert_cmpfloat (fabs (norm - sqrt (square)), <=, 1e-5 * sqrt (square));
    for (guint i = 0; i < n; i++) {
      const DeimParameter *p = deim_training_get_parameter (session, i);
      g_autofree gfloat *gradient = get_state (session, i, DEIM_STATE_GRADIENT);
      g_autofree gfloat *value = get_state (session, i, DEIM_STATE_VALUE);
      g_autofree gfloat *average = get_state (session, i, DEIM_STATE_AVERAGE);
      if (p->kind != DEIM_PARAMETER_FIXED)
        expect_step (&update, p, gradient, factor, &expected[i]);
      /* steps are some 1e-3; where a gradient is rounding alone, so is the direction of the step */
      assert_close (p, "the value", value, expected[i].value, 2e-6);
      assert_close (p, "the average", average, expected[i].average, 2e-6);
      if (p->kind != DEIM_PARAMETER_TRAINED)
        continue;
      g_autofree gfloat *first = get_state (session, i, DEIM_STATE_FIRST_MOMENT);
      g_autofree gfloat *second = get_state (session, i, DEIM_STATE_SECOND_MOMENT);
      assert_close (p, "the first moment", first, expected[i].first, 1e-9 * norm);
      assert_close (p, "the second moment", second, expected[i].second, 1e-9 * norm);
    }
  }
  for (guint i = 0; i < n; i++) {
    g_free (expected[i].value);
    g_free (expected[i].first);
    g_free (expected[i].second);
    g_free (expected[i].average);
  }
}

/* -------------------------------------------------------------- parameters */

static void
test_parameters (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (DeimTrainingSession) session = new_session ();
  DeimStateDict dict = golden_params_dict (atto->params);

  /* a packed projection, which the network reads in two parts, is one again */
  gint index = deim_training_find_parameter (session, "decoder.decoder.layers.1.self_attn.in_proj_weight");
  g_assert_cmpint (index, >=, 0);
  const DeimParameter *p = deim_training_get_parameter (session, (guint) index);
  DeimShape shape;
  g_autofree gfloat *expected = dict.values.lookup (dict.values.data, p->name, &shape);
  g_autofree gfloat *values = get_state (session, (guint) index, DEIM_STATE_VALUE);
  g_assert_cmpint (p->shape.n, ==, shape.n);
  g_assert_cmpmem (values, p->size * sizeof (gfloat), expected, deim_shape_size (shape) * sizeof (gfloat));
  for (gsize i = 0; i < p->size; i++)
    values[i] += 1;
  deim_training_set_state (session, (guint) index, DEIM_STATE_SECOND_MOMENT, values, &error);
  g_assert_no_error (error);
  g_autofree gfloat *read = get_state (session, (guint) index, DEIM_STATE_SECOND_MOMENT);
  g_assert_cmpmem (values, p->size * sizeof (gfloat), read, p->size * sizeof (gfloat));

  /* a shared head is one parameter */
  g_assert_true (arch.decoder.share_bbox);
  g_assert_cmpint (deim_training_find_parameter (session, "decoder.dec_bbox_head.0.layers.0.weight"), >=, 0);
  g_assert_cmpint (deim_training_find_parameter (session, "decoder.dec_bbox_head.2.layers.0.weight"), ==, -1);
  g_autofree gchar *name = deim_network_trained_name (&arch, "decoder.dec_bbox_head.2.layers.0.weight");
  g_assert_cmpstr (name, ==, "decoder.dec_bbox_head.0.layers.0.weight");
  g_autofree gchar *own = deim_network_trained_name (&arch, "decoder.dec_score_head.2.weight");
  g_assert_cmpstr (own, ==, "decoder.dec_score_head.2.weight");

  /* every parameter of the state dict that is trained is there; the rest is what training does not touch */
  guint found = 0, besides = 0;
  for (guint i = 0; i < dict.n_tensors; i++) {
    g_autofree gchar *trained = deim_network_trained_name (&arch, dict.name (dict.data, i));
    if (deim_training_find_parameter (session, trained) >= 0) {
      found++;
      continue;
    }
    besides++;
    g_assert_true (g_str_has_suffix (trained, ".num_batches_tracked") ||
                   g_str_has_suffix (trained, ".num_points_scale") || g_str_has_suffix (trained, ".anchors") ||
                   g_str_has_suffix (trained, ".valid_mask") || g_str_has_suffix (trained, ".up") ||
                   g_str_has_suffix (trained, ".reg_scale"));
  }
  g_test_message ("%u tensors trained, %u not", found, besides);
}

/* A group that is no group. */
static gint
wrong_group (const gchar *name, gpointer data)
{
  return 16;
}

static void
test_errors (void)
{
  g_autoptr (GError) error = NULL;
  DeimStateDict dict = golden_params_dict (atto->params);
  DeimTrainingOptions options = { .batch = 1, .height = SIDE, .width = SIDE, .group = wrong_group };
  g_assert_null (deim_training_new (device, &arch, &dict.values, &options, &error));
  g_assert_error (error, DEIM_ERROR, DEIM_ERROR_SETTINGS);
  g_clear_error (&error);
  options.denoising = 5000;
  g_assert_null (deim_training_new (device, &arch, &dict.values, &options, &error));
  g_assert_error (error, DEIM_ERROR, DEIM_ERROR_SETTINGS);
  g_clear_error (&error);
  options = (DeimTrainingOptions){ .batch = 1, .height = 100, .width = SIDE };
  g_assert_null (deim_training_new (device, &arch, &dict.values, &options, &error));
  g_assert_error (error, DEIM_ERROR, DEIM_ERROR_SETTINGS);
  g_clear_error (&error);
  DeimArch wide = arch;
  wide.decoder.layer_scale = 2;
  wide.decoder.eval_idx = 1;
  options.height = SIDE;
  g_assert_null (deim_training_new (device, &wide, &dict.values, &options, &error));
  g_assert_error (error, DEIM_ERROR, DEIM_ERROR_UNSUPPORTED);
}

/* --------------------------------------------------------- what is no number */

static void
test_not_finite (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GRand) rng = g_rand_new_with_seed (6);
  g_autoptr (DeimTrainingSession) session = new_session ();
  const DeimTrainingOutputs *io = deim_training_get_io (session);
  gdouble norm;
  write_seeds (session, 0, rng);
  forward_backward (session);
  g_assert_null (deim_training_find_bad (session, &error));

  /* A bad gradient of one output reaches parameters, and nothing is updated. */
  gsize n = deim_shape_size (io->layers[2].logits->shape);
  g_autofree gfloat *seed = g_new0 (gfloat, n);
  seed[n / 2] = NAN;
  deim_training_write_seed (session, io->layers[2].logits, seed);
  forward_backward (session);
  g_autofree gchar *bad = deim_training_find_bad (session, &error);
  g_assert_no_error (error);
  g_assert_nonnull (bad);
  g_test_message ("%s", bad);
  g_assert_true (g_str_has_prefix (bad, "gradient of decoder.dec"));
  gint index = deim_training_find_parameter (session, "decoder.dec_score_head.2.bias");
  gint running = deim_training_find_parameter (session, "encoder.bi_fusion.cv.norm.running_mean");
  g_autofree gfloat *before = get_state (session, (guint) index, DEIM_STATE_VALUE);
  g_autofree gfloat *mean = get_state (session, (guint) running, DEIM_STATE_VALUE);
  deim_training_update (session, &usual_update, &norm, &error);
  g_assert_no_error (error);
  g_assert_false (isfinite (norm));
  g_autofree gfloat *after = get_state (session, (guint) index, DEIM_STATE_VALUE);
  g_autofree gfloat *still = get_state (session, (guint) running, DEIM_STATE_VALUE);
  gsize size = deim_training_get_parameter (session, (guint) index)->size;
  g_assert_cmpmem (before, size * sizeof (gfloat), after, size * sizeof (gfloat));
  g_assert_cmpfloat (mean[0], ==, still[0]);

  /* A bad parameter shows in what the network makes of it. */
  gfloat *values = get_state (session, (guint) index, DEIM_STATE_VALUE);
  values[3] = INFINITY;
  deim_training_set_state (session, (guint) index, DEIM_STATE_VALUE, values, &error);
  g_free (values);
  deim_training_forward (session, &error);
  g_assert_no_error (error);
  g_autofree gchar *output = deim_training_find_bad (session, &error);
  g_test_message ("%s", output);
  g_assert_cmpstr (output, ==, "decoder.decoder.lqe_layers.2");
}

/* The same step twice gives the same bits, whatever ran at the same time. */
static void
test_deterministic (void)
{
  g_autoptr (GError) error = NULL;
  gsize size = 0;
  gfloat *gradients[2];
  for (guint i = 0; i < 2; i++) {
    g_autoptr (GRand) rng = g_rand_new_with_seed (7);
    g_autoptr (DeimTrainingSession) session = new_session ();
    write_seeds (session, 0, rng);
    for (guint k = 0; k <= i; k++)
      forward_backward (session);
    size = deim_training_get_gradient_size (session);
    gradients[i] = g_new (gfloat, size);
    deim_training_get_gradients (session, gradients[i], &error);
    g_assert_no_error (error);
    deim_training_set_gradients (session, gradients[i], &error);
    g_assert_no_error (error);
  }
  g_assert_cmpmem (gradients[0], size * sizeof (gfloat), gradients[1], size * sizeof (gfloat));
  g_free (gradients[0]);
  g_free (gradients[1]);
}

/* ---------------------------------------------------------- a batch in parts */

/* Two threads that stand for processes with one picture each. */
typedef struct {
  pthread_barrier_t barrier;
  gconstpointer own[2];
  guint gathers;
} Meeting;

typedef struct {
  Meeting *meeting;
  guint index;
  DeimTrainingSession *session;
} Participant;

static void
gather (gconstpointer own, gsize bytes, gpointer ret_all, gpointer data)
{
  Participant *me = data;
  me->meeting->own[me->index] = own;
  pthread_barrier_wait (&me->meeting->barrier);
  for (guint i = 0; i < 2; i++)
    memcpy ((guint8 *) ret_all + i * bytes, me->meeting->own[i], bytes);
  if (me->index == 0)
    me->meeting->gathers++;
  pthread_barrier_wait (&me->meeting->barrier);
}

static gpointer
participate (gpointer data)
{
  Participant *me = data;
  g_autoptr (GRand) rng = g_rand_new_with_seed (7);
  const DeimShare share = { 2, gather, me };
  me->session = new_of (me->index, 1, &share, FALSE);
  write_seeds (me->session, me->index, rng);
  forward_backward (me->session);
  return NULL;
}

/* How far the parts' gradients are from adding up to those of @whole, and the squares of both, added to sums. */
static void
compare_gradients (DeimTrainingSession *whole, const Participant *parts, guint index, gdouble *error, gdouble *square)
{
  const DeimParameter *p = deim_training_get_parameter (whole, index);
  g_autofree gfloat *all = get_state (whole, index, DEIM_STATE_GRADIENT);
  g_autofree gfloat *first = get_state (parts[0].session, index, DEIM_STATE_GRADIENT);
  g_autofree gfloat *second = get_state (parts[1].session, index, DEIM_STATE_GRADIENT);
  gdouble largest = 0, worst = 0;

  if (p->kind == DEIM_PARAMETER_RUNNING) { /* statistics */
    g_assert_cmpmem (first, p->size * sizeof (gfloat), second, p->size * sizeof (gfloat));
    g_assert_cmpmem (first, p->size * sizeof (gfloat), all, p->size * sizeof (gfloat));
    return;
  }
  for (gsize k = 0; k < p->size; k++) {
    gdouble d = (gdouble) first[k] + second[k] - all[k];
    *error += d * d;
    *square += (gdouble) all[k] * all[k];
    largest = MAX (largest, fabs ((gdouble) all[k]));
    worst = MAX (worst, fabs (d));
  }
  /* What shifts the input of a norm has no gradient but for rounding. */
  if (worst > 1e-4 * largest + 1e-3)
    g_error ("gradient of %s: off by %g of %g", p->name, worst, largest);
}

/*
 * Gradients of the parts add up to those of the batch, and each part has the statistics of the whole, to the bit. What
 * is left is rounding: the sums behind a parameter's gradient are cut elsewhere.
 */
static void
test_shared_batch (void)
{
  g_autoptr (GRand) rng = g_rand_new_with_seed (7);
  g_autoptr (DeimTrainingSession) whole = new_session ();
  Meeting meeting = { .gathers = 0 };
  Participant parts[2] = { { &meeting, 0 }, { &meeting, 1 } };
  GThread *threads[2];
  gdouble error = 0, square = 0;

  pthread_barrier_init (&meeting.barrier, NULL, 2);
  for (guint i = 0; i < 2; i++)
    threads[i] = g_thread_new ("part", participate, &parts[i]);
  for (guint i = 0; i < 2; i++)
    g_thread_join (threads[i]);
  pthread_barrier_destroy (&meeting.barrier);
  write_seeds (whole, 0, rng);
  forward_backward (whole);
  g_assert_cmpuint (meeting.gathers, >, 60); /* forward and backward of each norm */
  for (guint i = 0; i < deim_training_get_n_parameters (whole); i++)
    if (deim_training_get_parameter (whole, i)->kind != DEIM_PARAMETER_FIXED)
      compare_gradients (whole, parts, i, &error, &square);
  g_test_message ("norm of the gradient %g, of the error %g; %u gathers", sqrt (square), sqrt (error), meeting.gathers);
  g_assert_cmpfloat (sqrt (error), <, 1e-6 * sqrt (square));
  for (guint i = 0; i < 2; i++)
    deim_training_free (parts[i].session);
}

/* ------------------------------------------------------------------ learning */

/*
 * A loss as simple as can be: in each picture the query that was selected first shall be of class n at a certain place,
 * all others nothing. Cross entropy of the last layer's logits, L1 of its boxes.
 */
static gdouble
simple_loss (DeimTrainingSession *session)
{
  static const gfloat target[2][4] = { { 0.3f, 0.4f, 0.2f, 0.3f }, { 0.6f, 0.5f, 0.5f, 0.4f } };
  const DeimTrainingOutputs *io = deim_training_get_io (session);
  const DeimPredictionTensors *last = &io->layers[io->n_layers - 1];
  DeimShape l = last->logits->shape, b = last->boxes->shape;
  g_autofree gfloat *logits = g_new (gfloat, deim_shape_size (l)), *d_logits = g_new0 (gfloat, deim_shape_size (l));
  g_autofree gfloat *boxes = g_new (gfloat, deim_shape_size (b)), *d_boxes = g_new0 (gfloat, deim_shape_size (b));
  deim_training_read (session, last->logits, logits);
  deim_training_read (session, last->boxes, boxes);
  gdouble loss = 0;
  for (gint n = 0; n < l.n; n++) {
    for (gint c = 0; c < l.c; c++)
      for (gint q = DENOISING; q < l.w; q++) {
        gsize i = ((gsize) n * (gsize) l.c + (gsize) c) * (gsize) l.w + (gsize) q;
        gdouble wanted = q == DENOISING && c == n, p = 1 / (1 + exp (-logits[i]));
        loss += wanted ? -log (p) : -log1p (-p);
        d_logits[i] = (gfloat) (p - wanted);
      }
    for (gint k = 0; k < 4; k++) {
      gsize i = ((gsize) n * 4 + (gsize) k) * (gsize) b.w + DENOISING;
      loss += 5 * fabs ((gdouble) boxes[i] - target[n][k]);
      d_boxes[i] = boxes[i] > target[n][k] ? 5 : -5;
    }
  }
  deim_training_write_seed (session, last->logits, d_logits);
  deim_training_write_seed (session, last->boxes, d_boxes);
  return loss;
}

/* Returns the loss before the step. */
static gdouble
learn (DeimTrainingSession *session, guint step)
{
  g_autoptr (GError) error = NULL;
  DeimUpdate update = usual_update;
  update.step = step;
  deim_training_forward (session, &error);
  g_assert_no_error (error);
  gdouble loss = simple_loss (session), norm;
  deim_training_backward (session, &error);
  g_assert_no_error (error);
  deim_training_update (session, &update, &norm, &error);
  g_assert_no_error (error);
  g_assert_true (isfinite (norm));
  return loss;
}

static void
test_learns (gconstpointer half)
{
  g_autoptr (DeimTrainingSession) session = new_of (0, 2, NULL, half != NULL);
  gdouble first = learn (session, 1), loss = first;
  for (guint step = 2; step <= 60; step++)
    loss = learn (session, step);
  g_test_message ("loss from %g to %g", first, loss);
  g_assert_cmpfloat (loss, <, 0.02 * first);
}

/* fp16 activations move results by what eleven bits leave; parameters, gradients and moments are no fp16 numbers, but
 * for a few by chance. Small ones tell nothing: the gradient of a shift before a norm is zero but for rounding, whose
 * steps are such numbers. That an operator's gradient reads activations rightly is test-gradients' to see. */
static void
test_half (void)
{
  g_autoptr (DeimTrainingSession) full = new_session (), half = new_of (0, 2, NULL, TRUE);
  for (guint i = 0; i < deim_training_get_n_parameters (full); i++) {
    g_autofree gfloat *value = get_state (half, i, DEIM_STATE_VALUE), *same = get_state (full, i, DEIM_STATE_VALUE);
    gsize size = deim_training_get_parameter (full, i)->size;
    g_assert_cmpmem (value, size * sizeof (gfloat), same, size * sizeof (gfloat));
  }
  gdouble theirs = learn (full, 1), ours = learn (half, 1);
  g_test_message ("loss of %g, %g with fp16", theirs, ours);
  g_assert_cmpfloat (fabs (ours - theirs), >, 0);
  g_assert_cmpfloat (fabs (ours - theirs), <, 0.01 * theirs);

  guint large = 0;
  for (guint i = 0; i < deim_training_get_n_parameters (half); i++) {
    const DeimParameter *p = deim_training_get_parameter (half, i);
    if (p->kind != DEIM_PARAMETER_TRAINED || p->size < 1024)
      continue;
    large++;
    for (guint state = 0; state < DEIM_STATE_LAST; state++) {
      g_autofree gfloat *values = get_state (half, i, state);
      gsize rounded = 0;
      for (gsize k = 0; k < p->size; k++) {
        g_assert_true (isfinite (values[k]));
        rounded += values[k] != 0 && deim_half_to_float (deim_half_from_float (values[k])) == values[k];
      }
      if (rounded >= p->size / 100)
        g_test_message ("%s: %zu of %zu in state %u", p->name, rounded, p->size, state);
      g_assert_cmpuint (rounded, <, p->size / 100);
    }
  }
  g_assert_cmpuint (large, >, 50);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_autoptr (GError) error = NULL;
  g_autofree gchar *folder = golden_small_folder ();
  atto = golden_set_open (folder, "deimv2_atto_320x320_1", &error);
  g_assert_no_error (error);
  DeimStateDict dict = golden_params_dict (atto->params);
  g_autoptr (DeimNotes) notes = deim_notes_new ();
  deim_recognise (&dict, &(DeimRecogniseHints){ .arch = "deimv2_atto" }, &arch, notes, &error);
  g_assert_no_error (error);
  device = deim_device_open (NULL, &error);
  g_assert_no_error (error);
  g_test_add_func ("/training/optimiser", test_optimiser);
  g_test_add_func ("/training/parameters", test_parameters);
  g_test_add_func ("/training/errors", test_errors);
  g_test_add_func ("/training/not-finite", test_not_finite);
  g_test_add_func ("/training/deterministic", test_deterministic);
  g_test_add_func ("/training/shared-batch", test_shared_batch);
  g_test_add_func ("/training/half", test_half);
  g_test_add_data_func ("/training/learns/fp32", NULL, test_learns);
  g_test_add_data_func ("/training/learns/fp16", "half", test_learns);
  int status = g_test_run ();
  golden_set_free (atto);
  deim_device_unref (device);
  return status;
}
