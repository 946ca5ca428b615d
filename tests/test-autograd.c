/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-autograd.c - whole networks in training: outputs, gradients of all parameters and BatchNorm's running averages
 * against what PyTorch made of the same numbers (tests/data/gradients, written by bench/pytorch/gradients.py, which
 * says what is differentiated).
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/formats/checkpoint.h"
#include "engine/graph/op.h"
#include "engine/training.h"
#include "golden.h"

#define SAMPLES 16
/* How much farther from float64 than PyTorch's own float32 a result may be: other orders of summation. */
#define SLACK 8
/*
 * Rounding also moves an activation to the other side of 0, or a place of sampling to another pixel, where gradients
 * jump. That happens to one element in a million, and changes few gradients by some thousandths of their length: so
 * most must keep to the limit above, and all to this part of their length. Few numbers decide where a decoder samples:
 * pictures changed at random by 1e-6 of themselves moved the gradient of D-FINE N's
 * decoder.decoder.layers.1.cross_attn.sampling_offsets.bias by up to 0.0152 of its length (ten draws, lavapipe), and an
 * NVIDIA H200's rounding by 0.0151.
 */
#define JUMP           0.01
#define JUMP_OF_PLACES 0.02
#define MOSTLY         0.85

static DeimDevice *device;

/* -------------------------------------------------------------- the tables */

typedef struct {
  DeimCheckpoint *file;
  const gchar *name; /* of the table */
  gchar **rows;
  gfloat *samples, *noise;
  gdouble *norm, *projection;
  guint checked, close; /* rows; those within rounding */
} Table;

/* A copy: in the file, numbers lie where they lie. Free with g_free(). */
static gpointer
copy_tensor (DeimCheckpoint *file, const gchar *name)
{
  const DeimCheckpointTensor *tensor = deim_checkpoint_lookup (file, name);
  g_assert_nonnull (tensor);
  return g_memdup2 (tensor->data, tensor->n_elements * deim_dtype_size (tensor->dtype));
}

static gpointer
column (const Table *table, const gchar *name)
{
  g_autofree gchar *key = g_strconcat (table->name, ".", name, NULL);
  return copy_tensor (table->file, key);
}

static void
table_init (Table *table, DeimCheckpoint *file, const gchar *name)
{
  *table = (Table){ .file = file, .name = name };
  table->rows = g_strsplit (deim_checkpoint_get_metadata (file, name), "\n", -1);
  table->samples = column (table, "samples");
  table->noise = column (table, "noise");
  table->norm = column (table, "norm");
  table->projection = column (table, "projection");
}

static gdouble
uniform (guint64 stream, guint64 i)
{
  return (gdouble) (golden_mix (stream + i) >> 40) / 8388608.0 - 1;
}

/* The length of row @row; of a single number, which may be what is left of large ones, the greatest in its module. */
static gdouble
typical_length (const Table *table, guint row, gsize n)
{
  const gchar *name = table->rows[row], *dot = strrchr (name, '.');
  gdouble length = table->norm[row];
  while (n == 1 && dot > name && *--dot != '.') /* "stem1." of "stem1.lab.scale" */
    ;
  for (guint i = 0; n == 1 && table->rows[i]; i++)
    if (strncmp (table->rows[i], name, (gsize) (dot - name)) == 0)
      length = MAX (length, table->norm[i]);
  return length;
}

/* Compares @n numbers with a row. */
static void
check_row (Table *table, const gchar *name, const gfloat *values, gsize n)
{
  guint row = 0;
  while (table->rows[row] && !g_str_equal (table->rows[row], name))
    row++;
  if (!table->rows[row])
    g_error ("%s has no row %s", table->name, name);
  g_autofree gchar *sample = g_strconcat ("sample:", name, NULL), *direction = g_strconcat ("projection:", name, NULL);
  guint64 places = golden_stream (sample, 0), line = golden_stream (direction, 0);
  gdouble square = 0, projection = 0, worst = 0;
  for (gsize i = 0; i < n; i++) {
    square += (gdouble) values[i] * values[i];
    projection += values[i] * uniform (line, i);
  }
  for (guint k = 0; k < SAMPLES; k++)
    worst = MAX (worst, fabs (values[golden_mix (places + k) % n] - table->samples[row * SAMPLES + k]));
  gdouble off = MAX (MAX (fabs (sqrt (square) - table->norm[row]), fabs (projection - table->projection[row])), worst);
  gdouble limit = SLACK * table->noise[row] + 1e-6 * table->norm[row];
  table->close += off <= limit;
  limit += (strstr (name, ".sampling_offsets.") ? JUMP_OF_PLACES : JUMP) * typical_length (table, row, n);
  if (!(off <= limit))
    g_test_fail_printf (
        "%s: %s is off by %.3g, allowed %.3g; its length is %.6g and should be %.6g, PyTorch's float32 is off by %.2g",
        table->name, name, off, limit, sqrt (square), table->norm[row], table->noise[row]);
  table->checked++;
}

static void
table_finish (Table *table, guint besides)
{
  g_assert_cmpuint (table->checked + besides, ==, g_strv_length (table->rows));
  g_test_message ("%s: %u of %u within rounding", table->name, table->close, table->checked);
  g_assert_cmpfloat (table->close, >=, MOSTLY * table->checked);
  g_strfreev (table->rows);
  g_free (table->samples);
  g_free (table->noise);
  g_free (table->norm);
  g_free (table->projection);
}

/* ------------------------------------------------------------------ inputs */

/* Golden weights, but matrices of the decoder halved. */
static gfloat *
lookup (gpointer data, const gchar *name, DeimShape *ret_shape)
{
  GoldenParams *params = data;
  DeimStateDict dict = golden_params_dict (params);
  gfloat *values = dict.values.lookup (dict.values.data, name, ret_shape);
  const GoldenParam *p = g_hash_table_lookup (params->by_name, name);
  if (values && p && p->n_dims == 2 && g_str_has_prefix (name, "decoder."))
    for (gsize i = 0; i < deim_shape_size (*ret_shape); i++)
      values[i] *= 0.5f;
  return values;
}

typedef struct {
  DeimCheckpoint *file;
  GoldenSet *set; /* of the same network, for its parameters */
  DeimArch arch;
  DeimTrainingSession *session;
  const DeimTrainingOutputs *io;
  gint queries, n_tokens; /* selected; to select from, with classes where those are selected */
  gint32 *tokens;         /* [n][Q], by rank */
  gint *rank;             /* [n][Q]: of the selected token of each place in ascending order */
} Fixture;

static gint
compare_tokens (gconstpointer a, gconstpointer b, gpointer data)
{
  const gint32 *tokens = data;
  return tokens[*(const gint *) a] < tokens[*(const gint *) b] ? -1 : 1;
}

static void
write_inputs (Fixture *f, gint h, gint w)
{
  const DeimTrainingOutputs *io = f->io;
  gint batch = io->input->shape.n, count = io->denoising,
       groups = atoi (deim_checkpoint_get_metadata (f->file, "groups"));
  g_autofree gfloat *pictures = g_new (gfloat, deim_shape_size (io->input->shape));
  g_autofree gfloat *first = golden_image ("noise", 1, h, w), *second = golden_image ("smooth", 2, h, w);
  memcpy (pictures, first, (gsize) (3 * h * w) * sizeof (gfloat));
  memcpy (pictures + 3 * h * w, second, (gsize) (3 * h * w) * sizeof (gfloat));
  deim_training_write (f->session, io->input, pictures);

  g_autofree gint64 *labels = copy_tensor (f->file, "denoising.labels");
  g_autofree gfloat *boxes = copy_tensor (f->file, "denoising.boxes"); /* [n][D][4] */
  g_autofree gint32 *classes = g_new (gint32, batch * count);
  g_autofree gfloat *logits = g_new (gfloat, batch * 4 * count), *group = g_new0 (gfloat, count + f->queries);
  for (gint n = 0; n < batch; n++)
    for (gint i = 0; i < count; i++) {
      classes[n * count + i] = (gint32) labels[n * count + i];
      for (gint k = 0; k < 4; k++) {
        gdouble v = CLAMP ((gdouble) boxes[(n * count + i) * 4 + k], 0, 1);
        logits[(n * 4 + k) * count + i] = (gfloat) log (MAX (v, 1e-5) / MAX (1 - v, 1e-5));
      }
    }
  for (gint i = 0; i < count; i++)
    group[i] = (gfloat) (1 + i / (count / groups));
  deim_training_write (f->session, io->dn_class, classes);
  deim_training_write (f->session, io->dn_boxes, logits);
  deim_training_write (f->session, io->groups, group);
}

static void
fixture_init (Fixture *f, const gchar *path)
{
  g_autoptr (GError) error = NULL;
  gint h = 0, w = 0;
  f->file = deim_checkpoint_open (path, &error);
  g_assert_no_error (error);
  const gchar *name = deim_checkpoint_get_metadata (f->file, "arch");
  sscanf (deim_checkpoint_get_metadata (f->file, "size"), "%dx%d", &h, &w);
  g_autofree gchar *folder = golden_small_folder (), *set = g_strconcat (name, "_320x320_1", NULL);
  f->set = golden_set_open (folder, set, &error);
  g_assert_no_error (error);
  DeimStateDict dict = golden_params_dict (f->set->params);
  g_autoptr (DeimNotes) notes = deim_notes_new ();
  deim_recognise (&dict, &(DeimRecogniseHints){ .arch = name }, &f->arch, notes, &error);
  g_assert_no_error (error);

  const DeimCheckpointTensor *boxes = deim_checkpoint_lookup (f->file, "denoising.boxes");
  DeimParamSource source = { lookup, f->set->params };
  DeimTrainingOptions options = {
    .batch = (guint) boxes->shape[0], .height = (guint) h, .width = (guint) w, .denoising = (guint) boxes->shape[1]
  };
  f->session = deim_training_new (device, &f->arch, &source, &options, &error);
  g_assert_no_error (error);
  f->io = deim_training_get_io (f->session);
  f->queries = f->arch.decoder.queries;
  for (gint l = 0; l < f->arch.decoder.levels; l++)
    f->n_tokens += h / deim_arch_stride (&f->arch, l) * (w / deim_arch_stride (&f->arch, l));
  f->n_tokens *= f->io->token_divide;
  write_inputs (f, h, w);
}

static void
fixture_clear (Fixture *f)
{
  deim_training_free (f->session);
  golden_set_free (f->set);
  deim_checkpoint_free (f->file);
  g_free (f->tokens);
  g_free (f->rank);
}

/* Which tokens were selected; the file has them in ascending order. */
static void
read_tokens (Fixture *f)
{
  gint batch = f->io->tokens->shape.n, q = f->queries;
  g_autofree gint32 *expected = copy_tensor (f->file, "tokens");
  f->tokens = g_new (gint32, batch * q);
  f->rank = g_new (gint, batch * q);
  deim_training_read (f->session, f->io->tokens, f->tokens);
  for (gint n = 0; n < batch; n++) {
    for (gint i = 0; i < q; i++)
      f->rank[n * q + i] = i;
    g_qsort_with_data (f->rank + n * q, q, sizeof (gint), compare_tokens, f->tokens + n * q);
    for (gint i = 0; i < q; i++)
      g_assert_cmpint (f->tokens[n * q + f->rank[n * q + i]], ==, expected[n * q + i]);
  }
}

/* ----------------------------------------------------------------- outputs */

/* Compares the columns of @tensor [n, c, 1, T] from @first on with row @name, which has [n][count][c], by token or (of
 * denoising queries) in order; and sets @seed there to the weights of the functional. */
static void
check_columns (Fixture *f, Table *table, const gchar *name, const DeimTensor *tensor, gint first, gint count,
               gboolean denoising, gfloat *seed)
{
  DeimShape s = tensor->shape;
  g_autofree gfloat *all = g_new (gfloat, deim_shape_size (s)), *rows = g_new (gfloat, s.n * count * s.c);
  g_autofree gchar *key = g_strconcat ("functional:", name, NULL);
  guint64 stream = golden_stream (key, 1);
  deim_training_read (f->session, tensor, all);
  for (gint n = 0; n < s.n; n++)
    for (gint i = 0; i < count; i++) {
      gint at = denoising ? i : f->rank[n * count + i];
      guint64 query = (guint64) (denoising ? n * count + i : n * f->n_tokens + f->tokens[n * count + at]);
      for (gint c = 0; c < s.c; c++) {
        rows[(n * count + i) * s.c + c] = all[(n * s.c + c) * s.w + first + at];
        if (seed)
          seed[(n * s.c + c) * s.w + first + at] = (gfloat) uniform (stream, query * (guint64) s.c + (guint64) c);
      }
    }
  check_row (table, name, rows, (gsize) (s.n * count * s.c));
}

/* Both kinds of queries of a tensor, and its seed. @with_seed: FALSE for references. */
static void
check_output (Fixture *f, Table *table, const gchar *plain, const gchar *denoising, const gchar *what,
              const DeimTensor *tensor, gboolean with_seed)
{
  if (!tensor)
    return;
  gint count = denoising ? f->io->denoising : 0;
  g_autofree gchar *name = g_strconcat (plain, ".", what, NULL);
  g_autofree gfloat *seed = with_seed ? g_new (gfloat, deim_shape_size (tensor->shape)) : NULL;
  check_columns (f, table, name, tensor, count, f->queries, FALSE, seed);
  if (count) {
    g_autofree gchar *other = g_strconcat (denoising, ".", what, NULL);
    check_columns (f, table, other, tensor, 0, count, TRUE, seed);
  }
  if (with_seed)
    deim_training_write_seed (f->session, tensor, seed);
}

static void
check_predictions (Fixture *f, Table *table, const gchar *plain, const gchar *denoising, const DeimPredictionTensors *p)
{
  check_output (f, table, plain, denoising, "logits", p->logits, TRUE);
  check_output (f, table, plain, denoising, "boxes", p->boxes, TRUE);
  check_output (f, table, plain, denoising, "corners", p->corners, TRUE);
}

static void
check_outputs (Fixture *f)
{
  Table table;
  table_init (&table, f->file, "outputs");
  check_predictions (f, &table, "enc", NULL, &f->io->encoder);
  check_predictions (f, &table, "pre", "dnpre", &f->io->pre);
  for (gint i = 0; i < f->io->n_layers; i++) {
    g_autofree gchar *plain = i + 1 < f->io->n_layers ? g_strdup_printf ("aux%d", i) : g_strdup ("main");
    g_autofree gchar *denoising = g_strdup_printf ("dn%d", i);
    check_predictions (f, &table, plain, denoising, &f->io->layers[i]);
  }
  check_output (f, &table, "main", "dn", "refs", f->io->refs, FALSE);
  table_finish (&table, 0);
}

/* --------------------------------------------------------------- gradients */

static void
check_parameters (Fixture *f, const gchar *name, DeimParameterKind kind, DeimState state, guint besides)
{
  g_autoptr (GError) error = NULL;
  Table table;
  table_init (&table, f->file, name);
  for (guint i = 0; i < deim_training_get_n_parameters (f->session); i++) {
    const DeimParameter *p = deim_training_get_parameter (f->session, i);
    if (p->kind != kind)
      continue;
    g_autofree gfloat *values = g_new (gfloat, p->size);
    deim_training_get_state (f->session, i, state, values, &error);
    g_assert_no_error (error);
    check_row (&table, p->name, values, p->size);
  }
  table_finish (&table, besides);
}

static void
test_file (gconstpointer path)
{
  g_autoptr (GError) error = NULL;
  Fixture f = { 0 };
  fixture_init (&f, path);
  deim_training_forward (f.session, &error);
  g_assert_no_error (error);
  read_tokens (&f);
  check_outputs (&f);
  deim_training_backward (f.session, &error);
  g_assert_no_error (error);
  /* the file has the pictures' gradient as well, which training has no use for */
  check_parameters (&f, "gradients", DEIM_PARAMETER_TRAINED, DEIM_STATE_GRADIENT, 1);

  /* a step that moves nothing but the running averages */
  DeimUpdate update = { .step = 1, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .momentum = 0.1, .ema_decay = 0.5 };
  gdouble norm;
  deim_training_update (f.session, &update, &norm, &error);
  g_assert_no_error (error);
  check_parameters (&f, "buffers", DEIM_PARAMETER_RUNNING, DEIM_STATE_VALUE, 0);
  fixture_clear (&f);
}

static void
test_nothing (void)
{
  g_test_skip ("there is nothing in tests/data/gradients");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_autoptr (GError) error = NULL;
  device = deim_device_open (NULL, &error);
  g_assert_no_error (error);
  g_autofree gchar *folder = g_build_filename (DEIM_SOURCE_ROOT, "tests", "data", "gradients", NULL);
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  g_autoptr (GPtrArray) paths = g_ptr_array_new_with_free_func (g_free);
  const gchar *file;
  while (dir && (file = g_dir_read_name (dir))) {
    g_autofree gchar *name = g_strndup (file, strcspn (file, "."));
    g_autofree gchar *test = g_strconcat ("/autograd/", name, NULL);
    g_ptr_array_add (paths, g_build_filename (folder, file, NULL));
    g_test_add_data_func (test, g_ptr_array_index (paths, paths->len - 1), test_file);
  }
  if (!paths->len)
    g_test_add_func ("/autograd/nothing", test_nothing);
  int status = g_test_run ();
  deim_device_unref (device);
  return status;
}
