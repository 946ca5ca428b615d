/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-train.c - whole trainings, as short as can be: weights to begin with against the official state dicts, going on
 * to the bit, changed classes, training that diverges, and what is refused.
 */
#include <glib/gstdio.h>
#include <json-glib/json-glib.h>
#include <math.h>
#include <string.h>

#include "engine/formats/safetensors-write.h"
#include "engine/model.h"
#include "engine/training.h"
#include "golden-model.h"
#include "golden.h"
#include "process.h"
#include "trainer/initial.h"
#include "trainer/synth.h"
#include "trainer/train.h"
#include "trainer/trainee.h"
#include "trainer/update-rule.h"

#define SIDE     160 /* the least that has as many tokens as Atto selects */
#define PICTURES 4

static DeimDevice *device;
static gchar *folder; /* of everything */

/* ------------------------------------------------------------- the beginning */

/* One tensor of a list of official ones: [name, shape, dtype, ...]. */
static void
check_tensor (DeimCheckpoint *checkpoint, JsonArray *expected)
{
  const gchar *name = json_array_get_string_element (expected, 0);
  JsonArray *shape = json_array_get_array_element (expected, 1);
  const gchar *dtype = json_array_get_string_element (expected, 2);
  const DeimCheckpointTensor *tensor = deim_checkpoint_lookup (checkpoint, name);

  if (!tensor)
    g_error ("%s is not there", name);
  if (tensor->n_dims != json_array_get_length (shape))
    g_error ("%s has %u dimensions and should have %u", name, tensor->n_dims, json_array_get_length (shape));
  for (guint i = 0; i < tensor->n_dims; i++)
    if (tensor->shape[i] != json_array_get_int_element (shape, i))
      g_error ("dimension %u of %s is %d", i, name, (int) tensor->shape[i]);
  g_autofree gchar *own = g_ascii_strdown (deim_safetensors_dtype_name (tensor->dtype), -1);
  g_assert_cmpstr (own, ==, dtype);
}

/* State dicts that strict loading accepts: every tensor of the official ones, and no other. */
static void
test_initial (gconstpointer data)
{
  const gchar *name = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonParser) parser = json_parser_new ();
  g_autofree gchar *path = g_strdup_printf ("%s/tests/data/golden/arch/%s.params.json", DEIM_SOURCE_ROOT, name);
  DeimArch arch;

  g_assert_true (deim_arch_find_preset (name, &arch));
  json_parser_load_from_file (parser, path, &error);
  g_assert_no_error (error);
  JsonArray *list = json_object_get_array_member (json_node_get_object (json_parser_get_root (parser)), "params");
  const DeimInitialOptions options = { .height = (guint) arch.input_height, .width = (guint) arch.input_width };
  g_autoptr (DeimCheckpoint) checkpoint = deim_initial_checkpoint (&arch, &options, NULL, &error);
  g_assert_no_error (error);
  for (guint i = 0; i < json_array_get_length (list); i++)
    check_tensor (checkpoint, json_array_get_array_element (list, i));
  g_assert_cmpuint (deim_checkpoint_get_n_tensors (checkpoint), ==, json_array_get_length (list));
}

/* What the official code begins with, where it is no plain default. */
static void
test_initial_values (void)
{
  DeimArch arch;
  g_assert_true (deim_arch_find_preset ("deimv2_atto", &arch));
  const DeimShape rays = { 96, 1, 1, 1 }, prior = { 80, 1, 1, 1 }, conv = { 64, 64, 3, 3 }, linear = { 64, 64, 1, 1 };
  g_autofree gfloat *offsets =
      deim_initial_values (&arch, "decoder.decoder.layers.0.cross_attn.sampling_offsets.bias", &rays, 1);
  g_autofree gfloat *scores = deim_initial_values (&arch, "decoder.dec_score_head.0.bias", &prior, 1);
  g_autofree gfloat *box = deim_initial_values (&arch, "decoder.dec_bbox_head.0.layers.2.weight", &linear, 1);
  g_autofree gfloat *weights = deim_initial_values (&arch, "backbone.stages.0.conv.weight", &conv, 1);
  g_autofree gfloat *again = deim_initial_values (&arch, "backbone.stages.0.conv.weight", &conv, 1);
  g_autofree gfloat *other = deim_initial_values (&arch, "backbone.stages.0.conv.weight", &conv, 2);
  gdouble square = 0;
  gsize n = 64 * 64 * 9;

  /* six points, of which four are of the first level; the second head looks along (1, 1) */
  g_assert_cmpfloat_with_epsilon (offsets[2 * 3], 4, 1e-6);
  g_assert_cmpfloat_with_epsilon (offsets[2 * 4], 1, 1e-6);
  g_assert_cmpfloat_with_epsilon (offsets[12 + 2 * 1], 2, 1e-6);
  g_assert_cmpfloat_with_epsilon (offsets[12 + 2 * 1 + 1], 2, 1e-6);
  g_assert_cmpfloat_with_epsilon (scores[7], -4.59512, 1e-5);
  g_assert_cmpfloat (box[5], ==, 0);
  for (gsize i = 0; i < n; i++)
    square += (gdouble) weights[i] * weights[i];
  g_assert_cmpfloat_with_epsilon (sqrt (square / (gdouble) n), sqrt (2 / (64 * 9.0)), 1e-3);
  g_assert_cmpmem (weights, n * sizeof (gfloat), again, n * sizeof (gfloat));
  g_assert_cmpfloat (weights[0], !=, other[0]);
}

/* ----------------------------------------------------------------- trainings */

/* What a watcher saw. */
typedef struct {
  guint steps, stop_after; /* 0: never */
  guint epochs;
  gdouble best; /* average precision before the last epoch */
  GString *said;
} Seen;

static void
see_message (const gchar *text, gpointer data)
{
  Seen *seen = data;
  g_string_append_printf (seen->said, "%s\n", text);
}

static void
see_progress (const DeimTrainProgress *progress, gpointer data)
{
  Seen *seen = data;
  if (progress->pictures == 0)
    seen->steps++;
}

static void
see_epoch (const DeimEpochResult *result, gboolean best, gpointer data)
{
  Seen *seen = data;
  if (++seen->epochs < 8)
    seen->best = MAX (seen->best, result->evaluation.numbers[DEIM_EVALUATION_AP]);
}

static gboolean
see_stop (gpointer data)
{
  const Seen *seen = data;
  return seen->stop_after && seen->steps >= seen->stop_after;
}

static DeimTrainOptions
options_for (const gchar *data, const gchar *output, Seen *seen)
{
  seen->said = g_string_new (NULL);
  g_mkdir (output, 0777);
  return (DeimTrainOptions){
    .data = data,
    .model = "deimv2_atto",
    .output = output,
    .epochs = 8, /* the recipe takes the best weights up again before the last */
    .batch = 2,
    .height = SIDE,
    .width = SIDE,
    .lr_end = -1,
    .mosaic = -1,
    .mixup = -1,
    .denoising = 8,
    .evaluate = 4,
    .seed = 3,
    .watcher = { see_message, see_progress, see_epoch, NULL, see_stop, seen },
  };
}

static void
assert_same_file (const gchar *a, const gchar *b, const gchar *name)
{
  g_autofree gchar *first = g_build_filename (a, name, NULL), *second = g_build_filename (b, name, NULL);
  g_autofree gchar *x = NULL, *y = NULL;
  gsize m, n;
  g_assert_true (g_file_get_contents (first, &x, &m, NULL));
  g_assert_true (g_file_get_contents (second, &y, &n, NULL));
  g_assert_cmpmem (x, m, y, n);
}

/* All but the third column, which is time. */
static gchar *
read_results (const gchar *output)
{
  g_autofree gchar *path = g_build_filename (output, "results.csv", NULL), *text = NULL;
  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  g_autoptr (GRegex) regex = g_regex_new ("^([^,]*,[^,]*),[^,]*", G_REGEX_MULTILINE, 0, NULL);
  return g_regex_replace (regex, text, -1, 0, "\\1", 0, NULL);
}

/* The training in @output goes on where results.csv is gone, which it says, but not with other annotations, of as many
 * objects. Leaves @output as it was. */
static void
assert_goes_on (const gchar *data, const gchar *output)
{
  g_autoptr (GError) error = NULL;
  g_autofree gchar *csv = g_build_filename (output, "results.csv", NULL), *results = NULL, *text = NULL;
  g_autofree gchar *annotations = g_build_filename (data, "train", "annotations.json", NULL);
  Seen seen = { 0 };
  DeimTrainOptions options = options_for (data, output, &seen);
  gboolean finished;

  options.resume = TRUE;
  g_assert_true (g_file_get_contents (csv, &results, NULL, NULL));
  g_assert_cmpint (g_unlink (csv), ==, 0);
  g_assert_true (deim_train (device, &options, &finished, &error));
  g_assert_no_error (error);
  g_assert_nonnull (strstr (seen.said->str, "results.csv is gone, so results and report begin with epoch 9"));
  g_assert_true (g_file_set_contents (csv, results, -1, NULL));

  g_assert_true (g_file_get_contents (annotations, &text, NULL, NULL));
  gchar *box = strstr (text, "\"bbox\":[");
  g_assert_nonnull (box);
  gchar *digit = strchr (box, ',') - 1;
  gchar was = *digit;
  *digit = was == '1' ? '2' : '1'; /* less than ten pixels away */
  g_assert_true (g_file_set_contents (annotations, text, -1, NULL));
  g_assert_false (deim_train (device, &options, &finished, &error));
  g_assert_error (error, DEIM_ERROR, DEIM_ERROR_SETTINGS);
  g_assert_nonnull (strstr (error->message, "objects, digest "));
  *digit = was;
  g_assert_true (g_file_set_contents (annotations, text, -1, NULL));
  g_string_free (seen.said, TRUE);
}

static void
test_resume (void)
{
  g_autoptr (GError) error = NULL;
  g_autofree gchar *data = g_build_filename (folder, "shapes", NULL);
  g_autofree gchar *whole = g_build_filename (folder, "whole", NULL), *parts = g_build_filename (folder, "parts", NULL);
  g_autofree gchar *state = g_build_filename (parts, "state.safetensors", NULL);
  Seen seen = { 0 };
  gboolean finished;

  DeimTrainOptions options = options_for (data, whole, &seen);
  g_assert_true (deim_train (device, &options, &finished, &error));
  g_assert_no_error (error);
  g_assert_true (finished);
  g_assert_cmpuint (seen.epochs, ==, 8);
  g_assert_cmpuint (seen.steps, ==, 16);
  /* so few steps find something or not, as the device rounds */
  g_assert_cmpint (strstr (seen.said->str, "going on with the weights of epoch ") != NULL, ==, seen.best > 0);
  g_test_message ("average precision %g", seen.best);
  g_string_free (seen.said, TRUE);

  /* stopped in the middle of epochs 1 and 6, at the end of epoch 7 */
  static const guint stops[] = { 1, 10, 3, 0 };
  for (guint i = 0; i < G_N_ELEMENTS (stops); i++) {
    seen = (Seen){ .stop_after = stops[i] };
    options = options_for (data, parts, &seen);
    options.resume = i > 0;
    options.threads = i; /* changes nothing */
    g_assert_true (deim_train (device, &options, &finished, &error));
    g_assert_no_error (error);
    g_assert_cmpint (finished, ==, stops[i] == 0);
    g_assert_true (g_file_test (state, G_FILE_TEST_EXISTS));
    if (i > 0)
      g_assert_nonnull (strstr (seen.said->str, "going on in epoch "));
    g_string_free (seen.said, TRUE);
  }
  assert_same_file (whole, parts, "best.safetensors");
  assert_same_file (whole, parts, "last.safetensors");
  assert_goes_on (data, parts);
  g_autofree gchar *a = read_results (whole), *b = read_results (parts);
  g_assert_cmpstr (a, ==, b);

  /* over already, and with other settings */
  seen = (Seen){ 0 };
  options = options_for (data, parts, &seen);
  g_assert_false (deim_train (device, &options, &finished, &error));
  g_assert_error (error, DEIM_ERROR, DEIM_ERROR_SETTINGS);
  g_assert_nonnull (strstr (error->message, "holds a training already"));
  g_clear_error (&error);
  options.resume = TRUE;
  options.seed++;
  g_assert_false (deim_train (device, &options, &finished, &error));
  g_assert_error (error, DEIM_ERROR, DEIM_ERROR_SETTINGS);
  g_assert_nonnull (strstr (error->message, "\"seed 3\", this one has \"seed 4\""));
  g_string_free (seen.said, TRUE);
}

/* A checkpoint of 80 classes learns six; what does not depend on classes stays. */
static void
test_classes (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (DeimModel) golden = golden_model_new ();
  g_autofree gchar *from = g_build_filename (folder, "golden.safetensors", NULL);
  g_autofree gchar *data = g_build_filename (folder, "shapes", NULL), *output = g_build_filename (folder, "six", NULL);
  g_autofree gchar *best = g_build_filename (output, "best.safetensors", NULL);
  Seen seen = { 0 };
  gboolean finished;

  deim_model_save (golden, from, FALSE, &error);
  g_assert_no_error (error);
  DeimTrainOptions options = options_for (data, output, &seen);
  options.model = from;
  options.epochs = 1;
  options.lr = 1e-12;
  options.freeze_norms = TRUE;
  g_assert_true (deim_train (device, &options, &finished, &error));
  g_assert_no_error (error);
  g_assert_nonnull (strstr (seen.said->str, "the checkpoint has 80 classes and the data set 6: 9 tensors"));
  g_string_free (seen.said, TRUE);

  g_autoptr (DeimModel) model = deim_model_load (best, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (deim_model_get_info (model)->num_classes, ==, DEIM_SYNTH_CLASSES);
  g_assert_cmpuint (deim_model_get_info (model)->input_width, ==, SIDE);
  g_assert_cmpstr (deim_model_get_label (model, 0), ==, deim_synth_class_name (0));
  g_autoptr (DeimCheckpoint) old = deim_checkpoint_open (from, &error);
  g_autoptr (DeimCheckpoint) new = deim_checkpoint_open (best, &error);
  g_assert_no_error (error);
  static const gchar *const norms[] = { "backbone.stem.stem1.bn.running_var", "encoder.bi_fusion.cv.norm.running_mean",
                                        "encoder.bi_fusion.cv.norm.weight" };
  for (guint i = 0; i < G_N_ELEMENTS (norms); i++) {
    const DeimCheckpointTensor *was = deim_checkpoint_lookup (old, norms[i]),
                               *is = deim_checkpoint_lookup (new, norms[i]);
    g_assert_cmpmem (was->data, was->n_elements * 4, is->data, is->n_elements * 4);
  }
  const gchar *name = "decoder.dec_bbox_head.1.layers.0.weight";
  const DeimCheckpointTensor *a = deim_checkpoint_lookup (old, name), *b = deim_checkpoint_lookup (new, name);
  for (gsize i = 0; i < a->n_elements; i++) {
    gfloat x, y;
    memcpy (&x, a->data + i * sizeof x, sizeof x);
    memcpy (&y, b->data + i * sizeof y, sizeof y);
    g_assert_cmpfloat_with_epsilon (x, y, 1e-6);
  }
}

/* ------------------------------------------------------------------- divergence */

static void
test_diverged (void)
{
  g_autoptr (GError) error = NULL;
  const gchar *const labels[] = { "thing", NULL };
  const DeimTraineeOptions made = {
    .model = "deimv2_atto", .labels = labels, .batch = 1, .height = SIDE, .width = SIDE
  };
  g_autoptr (DeimTrainee) trainee = deim_trainee_new (device, &made, &error);
  g_assert_no_error (error);
  DeimTrainingSession *session = deim_trainee_get_session (trainee);
  g_autoptr (DeimStepper) stepper = deim_stepper_new (session, &deim_criterion_default, NULL, NULL);
  g_autoptr (DeimBatch) batch = deim_batch_new (1, SIDE, SIDE);
  DeimRandom random = deim_random_new (1);
  DeimUpdate update = deim_update_rule (1e-3);
  DeimStepResult result;
  gint bias = deim_training_find_parameter (session, "decoder.dec_score_head.1.bias");
  gfloat value = INFINITY;

  for (gsize i = 0; i < 3 * SIDE * SIDE; i++)
    batch->pixels[i] = (gfloat) deim_random_unit (&random);
  /* a picture without any object is one to learn from */
  update.step = 1;
  deim_stepper_run (stepper, batch, &deim_matcher_default, &update, &random, &result, &error);
  g_assert_no_error (error);
  g_assert_cmpfloat (result.loss, >, 0);
  g_assert_cmpfloat (result.norm, >, 0);

  deim_training_set_state (session, (guint) bias, DEIM_STATE_VALUE, &value, &error);
  g_assert_no_error (error);
  g_assert_false (deim_stepper_run (stepper, batch, &deim_matcher_default, &update, &random, &result, &error));
  g_assert_error (error, DEIM_ERROR, DEIM_ERROR_DEVICE);
  g_test_message ("%s", error->message);
  g_assert_true (g_str_has_prefix (error->message, "decoder.decoder.lqe_layers.1 holds something that is no finite"));
}

/* The backbone of @whole alone, under names that say nothing of one. */
static gchar *
save_backbone (DeimCheckpoint *whole)
{
  g_autoptr (GError) error = NULL;
  gchar *path = g_build_filename (folder, "backbone.safetensors", NULL);
  g_autoptr (DeimCheckpoint) alone = deim_checkpoint_new ();
  for (guint i = 0; i < deim_checkpoint_get_n_tensors (whole); i++) {
    const DeimCheckpointTensor *t = deim_checkpoint_get (whole, i);
    g_autoptr (GBytes) bytes = g_bytes_new (t->data, t->n_elements * deim_dtype_size (t->dtype));
    if (g_str_has_prefix (t->name, "backbone."))
      deim_checkpoint_add (alone, t->name + strlen ("backbone."), t->dtype, t->n_dims, t->shape, bytes);
  }
  g_assert_true (deim_safetensors_write (alone, NULL, 0, path, &error));
  g_assert_no_error (error);
  return path;
}

/* A preset begins with the backbone of a checkpoint, whole or alone, and with nothing else of it. */
static void
test_backbone (gconstpointer names)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (DeimModel) golden = golden_model_new ();
  DeimCheckpoint *whole = deim_model_get_checkpoint (golden);
  g_autofree gchar *from = NULL, *data = g_build_filename (folder, "shapes", NULL),
                   *output = g_strdup_printf ("%s/backbone-%s", folder, (const gchar *) names);
  g_autofree gchar *last = g_build_filename (output, "last.safetensors", NULL);
  Seen seen = { 0 };
  gboolean finished;

  if (g_str_equal (names, "alone")) {
    from = save_backbone (whole);
  } else {
    from = g_build_filename (folder, "whole.safetensors", NULL);
    deim_model_save (golden, from, FALSE, &error);
    g_assert_no_error (error);
  }
  DeimTrainOptions options = options_for (data, output, &seen);
  options.model = "deimv2_atto";
  options.backbone = from;
  options.epochs = 1;
  options.lr = 1e-12;
  gboolean good = deim_train (device, &options, &finished, &error);
  g_assert_no_error (error);
  g_assert_true (good);
  g_string_free (seen.said, TRUE);

  g_autoptr (DeimCheckpoint) new = deim_checkpoint_open (last, &error);
  g_assert_no_error (error);
  static const gchar *const weights[] = { "backbone.stem.stem1.conv.weight", "encoder.bi_fusion.cv.conv.weight" };
  for (guint i = 0; i < G_N_ELEMENTS (weights); i++) {
    const DeimCheckpointTensor *was = deim_checkpoint_lookup (whole, weights[i]),
                               *is = deim_checkpoint_lookup (new, weights[i]);
    const gfloat *a = (const gfloat *) was->data, *b = (const gfloat *) is->data;
    gdouble apart = 0;
    g_assert_cmpuint (was->n_elements, ==, is->n_elements);
    for (gsize k = 0; k < was->n_elements; k++)
      apart = MAX (apart, fabs ((gdouble) a[k] - b[k]));
    g_assert_true (i == 0 ? apart < 1e-6 : apart > 1e-3);
  }

  /* A training that goes on needs the file no more. */
  g_assert_cmpint (g_unlink (from), ==, 0);
  options = options_for (data, output, &seen);
  options.model = "deimv2_atto";
  options.backbone = from;
  options.epochs = 1;
  options.lr = 1e-12;
  options.resume = TRUE;
  good = deim_train (device, &options, &finished, &error);
  g_assert_no_error (error);
  g_assert_true (good);
  g_string_free (seen.said, TRUE);
}

/* ---------------------------------------------------------------------- refused */

static void
assert_refused (const DeimTrainOptions *options, DeimError code, const gchar *words)
{
  g_autoptr (GError) error = NULL;
  gboolean finished;
  g_assert_false (deim_train (device, options, &finished, &error));
  g_assert_error (error, DEIM_ERROR, (gint) code);
  if (!strstr (error->message, words))
    g_error ("\"%s\" is not in: %s", words, error->message);
}

static void
test_refused (void)
{
  g_autofree gchar *data = g_build_filename (folder, "shapes", NULL), *output = g_build_filename (folder, "no", NULL);
  g_autofree gchar *broken = g_build_filename (folder, "broken", NULL);
  g_autofree gchar *file = g_build_filename (broken, "annotations.json", NULL);
  Seen seen = { 0 };
  DeimTrainOptions options = options_for (data, output, &seen);

  options.model = "deimv3_atto";
  assert_refused (&options, DEIM_ERROR_SETTINGS,
                  "there is no checkpoint \"deimv3_atto\", and \"deimv3_atto\" is no known");
  /* A folder of a preset's name is not taken for a checkpoint. */
  g_assert_cmpint (g_mkdir ("deimv2_atto", 0777), ==, 0);
  options.model = "deimv2_atto";
  options.freeze_norms = TRUE;
  assert_refused (&options, DEIM_ERROR_SETTINGS, "no statistics to keep");
  g_assert_cmpint (g_rmdir ("deimv2_atto"), ==, 0);
  options.freeze_norms = FALSE;
  options.backbone = "/nowhere.pth";
  assert_refused (&options, DEIM_ERROR_NOT_FOUND, "/nowhere.pth");
  g_autoptr (DeimModel) golden = golden_model_new ();
  g_autofree gchar *backbone = save_backbone (deim_model_get_checkpoint (golden));
  options.backbone = backbone;
  options.model = "deimv2_n:queries=50";
  assert_refused (&options, DEIM_ERROR_ARCHITECTURE, "the checkpoint for the backbone ");
  options.model = DEIM_MODEL_DEFAULT;
  assert_refused (&options, DEIM_ERROR_SETTINGS, "is a checkpoint, which has a backbone");
  options.model = "deimv2_atto";
  options.backbone = NULL;
  options.data = folder;
  assert_refused (&options, DEIM_ERROR_NOT_FOUND, "holds no annotations in COCO format");
  options.data = data;
  options.height = 100;
  assert_refused (&options, DEIM_ERROR_SETTINGS, "multiples of 32");
  options.height = SIDE;

  g_mkdir (broken, 0777);
  g_assert_true (
      g_file_set_contents (file,
                           "{\"images\": [{\"id\": 5, \"file_name\": \"a.png\", \"width\": 9, \"height\": 9}],"
                           " \"categories\": [{\"id\": 1, \"name\": \"x\"}], \"annotations\": ["
                           "{\"id\": 8, \"image_id\": 5, \"category_id\": 1, \"bbox\": [20, 1, 2, 2]}]}",
                           -1, NULL));
  options.data = broken;
  assert_refused (&options, DEIM_ERROR_FORMAT, "broken/annotations.json: annotations[0] (id 8, of a.png): \"bbox\" 20");
  g_assert_true (g_file_set_contents (file,
                                      "{\"images\": [{\"id\": 5, \"file_name\": \"a.png\"}, "
                                      "{\"id\": 6, \"file_name\": \"b.png\"}],"
                                      " \"categories\": [{\"id\": 1, \"name\": \"x\"}], \"annotations\": []}",
                                      -1, NULL));
  assert_refused (&options, DEIM_ERROR_NOT_FOUND, "names 2 pictures, of which 2 are not there, the first one is ");
  g_string_free (seen.said, TRUE);
}

/* An AP of 0 is no best one to go back to: of many the last is, which has learned most. */
static void
test_never_found (void)
{
  g_autoptr (GError) error = NULL;
  g_autofree gchar *data = g_build_filename (folder, "shapes", NULL), *output = g_build_filename (folder, "zero", NULL);
  Seen seen = { 0 };
  DeimTrainOptions options = options_for (data, output, &seen);
  gboolean finished;

  options.lr = 1e-12;
  options.evaluate = 1;
  g_assert_true (deim_train (device, &options, &finished, &error));
  g_assert_no_error (error);
  g_assert_null (strstr (seen.said->str, "going on with the weights"));
  g_autofree gchar *results = read_results (output), *best = g_build_filename (output, "best.safetensors", NULL),
                   *last = g_build_filename (output, "last.safetensors", NULL), *x = NULL, *y = NULL;
  gsize m, n;
  g_test_message ("%s", results);
  g_assert_true (g_file_get_contents (best, &x, &m, NULL));
  g_assert_true (g_file_get_contents (last, &y, &n, NULL));
  g_assert_cmpmem (x, m, y, n);
  g_string_free (seen.said, TRUE);
}

static void
make_shapes (void)
{
  g_autoptr (GError) error = NULL;
  g_autofree gchar *train = g_build_filename (folder, "shapes", "train", NULL);
  g_autofree gchar *val = g_build_filename (folder, "shapes", "val", NULL);
  const DeimSynthOptions options = { .count = PICTURES, .width = 128, .height = 96, .seed = 7 };
  g_assert_true (deim_synth_write (train, &options, &error));
  g_assert_no_error (error);
  g_assert_true (deim_synth_write (val, &options, &error)); /* the same ones, so that AP is soon above 0 */
  g_assert_no_error (error);
}

int
main (int argc, char **argv)
{
  static const gchar *const archs[] = { "deimv2_atto", "deimv2_n",     "deim_dfine_n", "deim_r18",
                                        "rtdetr_r18",  "rtdetrv2_r18", "rtdetrv2_hgl", "rtdetr_dla34" };
  g_autoptr (GError) error = NULL;

  g_test_init (&argc, &argv, NULL);
  device = deim_device_open (NULL, &error);
  g_assert_no_error (error);
  folder = g_dir_make_tmp ("deim-train-XXXXXX", NULL);
  for (guint i = 0; i < G_N_ELEMENTS (archs); i++) {
    g_autofree gchar *path = g_strconcat ("/train/initial/", archs[i], NULL);
    g_test_add_data_func (path, archs[i], test_initial);
  }
  g_test_add_func ("/train/initial-values", test_initial_values);
  g_test_add_func ("/train/diverged", test_diverged);
  if (deim_image_can_read ()) {
    make_shapes ();
    g_test_add_func ("/train/refused", test_refused);
    g_test_add_func ("/train/never-found", test_never_found);
    g_test_add_func ("/train/classes", test_classes);
    g_test_add_data_func ("/train/backbone/whole", "whole", test_backbone);
    g_test_add_data_func ("/train/backbone/alone", "alone", test_backbone);
    g_test_add_func ("/train/resume", test_resume);
  }
  int status = g_test_run ();
  remove_tree (folder);
  g_free (folder);
  deim_device_unref (device);
  return status;
}
