/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-convert.c - deim_model_save(): what is read back is the same model, to the bit, and nothing about it is guessed.
 * The layout of the file is looked at by test-convert.py, which knows none of our code.
 */
#include <glib/gstdio.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "engine/formats/safetensors-write.h"
#include "engine/model.h"
#include "golden.h"
#include "parity.h"

static gchar *scratch; /* a folder */

/* ------------------------------------------------------------------ models */

/* The numbers of a parameter as a tensor of @dtype; of a half the upper bits of the float, which is a number too. */
static GBytes *
encode (const gfloat *values, gsize n, DeimDtype dtype)
{
  gsize width = deim_dtype_size (dtype);
  guint8 *out = g_malloc0 (MAX (n * width, 1));
  for (gsize i = 0; i < n; i++) {
    guint32 bits;
    memcpy (&bits, &values[i], sizeof bits);
    guint16 upper = (guint16) (bits >> 16);
    gint64 whole = (gint64) values[i];
    gconstpointer from = dtype == DEIM_DTYPE_F32    ? (gconstpointer) &bits
                         : dtype == DEIM_DTYPE_BF16 ? (gconstpointer) &upper
                                                    : (gconstpointer) &whole;
    memcpy (out + i * width, from, width); /* little endian */
  }
  return g_bytes_new_take (out, n * width);
}

/* The model of a small golden set, with every tensor of its state dict; @dtype: of its floats. */
static DeimModel *
make_model (const gchar *set_name, DeimDtype dtype)
{
  g_autoptr (GError) error = NULL;
  g_autofree gchar *folder = golden_small_folder ();
  g_autoptr (GoldenSet) set = golden_set_open (folder, set_name, &error);
  g_assert_no_error (error);
  DeimStateDict dict = golden_params_dict (set->params);
  DeimCheckpoint *checkpoint = deim_checkpoint_new ();
  for (guint i = 0; i < set->params->list->len; i++) {
    const GoldenParam *p = g_ptr_array_index (set->params->list, i);
    DeimShape shape;
    g_autofree gfloat *values = dict.values.lookup (dict.values.data, p->name, &shape);
    g_assert_nonnull (values);
    gint64 dims[4] = { 0 };
    gsize n = 1;
    for (guint d = 0; d < p->n_dims; d++) {
      dims[d] = p->n_dims == 3 && d == 1 ? shape.c : p->dims[d]; /* anchors are made for the set's size */
      n *= (gsize) dims[d];
    }
    gboolean mask = g_str_has_suffix (p->name, "valid_mask");
    DeimDtype type = mask ? DEIM_DTYPE_BOOL : p->integer ? DEIM_DTYPE_I64 : dtype;
    g_autoptr (GBytes) bytes = encode (values, n, type);
    deim_checkpoint_add (checkpoint, p->name, type, p->n_dims, dims, bytes);
  }
  DeimArch arch;
  g_assert_true (parity_recognise (set, &arch, NULL, &error));
  g_autofree gchar *spec = deim_arch_to_spec (&arch);
  DeimModel *model = deim_model_new (checkpoint, "golden", &(DeimModelOptions){ .arch = spec }, &error);
  g_assert_no_error (error);
  return model;
}

static void
assert_same_tensors (DeimCheckpoint *a, DeimCheckpoint *b)
{
  g_assert_cmpuint (deim_checkpoint_get_n_tensors (a), ==, deim_checkpoint_get_n_tensors (b));
  for (guint i = 0; i < deim_checkpoint_get_n_tensors (a); i++) {
    const DeimCheckpointTensor *x = deim_checkpoint_get (a, i), *y = deim_checkpoint_lookup (b, x->name);
    g_assert_nonnull (y);
    g_assert_cmpint (x->dtype, ==, y->dtype);
    g_assert_cmpuint (x->n_dims, ==, y->n_dims);
    g_assert_cmpmem (x->shape, x->n_dims * sizeof *x->shape, y->shape, y->n_dims * sizeof *y->shape);
    gsize size = x->n_elements * deim_dtype_size (x->dtype);
    g_assert_cmpmem (x->data, size, y->data, y->n_elements * deim_dtype_size (y->dtype));
    g_assert_cmpuint ((gsize) y->data % deim_dtype_size (y->dtype), ==, 0); /* the file is mapped at a page */
  }
}

/* Saves @model, loads it without any options, and compares all that can be told about the two. */
static DeimModel *
round_trip (DeimModel *model)
{
  g_autoptr (GError) error = NULL;
  g_autofree gchar *path = g_build_filename (scratch, "rtdetr_r18_dsp.safetensors", NULL); /* a name that misleads */
  g_assert_true (deim_model_save (model, path, FALSE, &error));
  g_assert_no_error (error);
  DeimModel *again = deim_model_load (path, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpmem (deim_model_get_arch (model), sizeof (DeimArch), deim_model_get_arch (again), sizeof (DeimArch));
  const DeimModelInfo *a = deim_model_get_info (model), *b = deim_model_get_info (again);
  g_assert_cmpuint (a->parameters, ==, b->parameters);
  for (guint i = 0; i < a->num_classes; i++)
    g_assert_cmpstr (deim_model_get_label (model, i), ==, deim_model_get_label (again, i));
  for (const gchar *const *note = deim_model_get_notes (again); *note; note++) {
    g_test_message ("%s", *note);
    g_assert_true (strstr (*note, "metadata") || strstr (*note, "its tensors differ") ||
                   strstr (*note, "decoder.anchors are"));
  }
  g_assert_null (*deim_model_get_guesses (again));
  assert_same_tensors (deim_model_get_checkpoint (model), deim_model_get_checkpoint (again));

  /* Nothing is left beside it. */
  g_autoptr (GDir) dir = g_dir_open (scratch, 0, NULL);
  const gchar *name;
  while ((name = g_dir_read_name (dir)))
    g_assert_cmpstr (name, ==, "rtdetr_r18_dsp.safetensors");
  g_unlink (path);
  return again;
}

typedef struct {
  gfloat *logits, *boxes;
  gint64 *tokens;
  gsize q, classes;
} Results;

static Results
run_model (DeimModel *model, DeimDevice *device, const gfloat *input)
{
  g_autoptr (GError) error = NULL;
  const DeimModelInfo *info = deim_model_get_info (model);
  Results r = { .q = info->num_queries, .classes = info->num_classes };
  r.logits = g_new0 (gfloat, r.q * r.classes);
  r.boxes = g_new0 (gfloat, r.q * 4);
  r.tokens = g_new0 (gint64, r.q);
  g_autoptr (DeimNetwork) network = deim_network_new (model, device, 1, 0, 0, DEIM_PRECISION_FP32, &error);
  g_assert_no_error (error);
  g_assert_true (deim_network_run (network, input, r.logits, r.boxes, r.tokens, &error));
  g_assert_no_error (error);
  return r;
}

static void
assert_same_results (DeimModel *model, DeimModel *again, const gfloat *input)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (DeimDevice) device = deim_device_open (NULL, &error);
  g_assert_no_error (error);
  Results a = run_model (model, device, input), b = run_model (again, device, input);
  g_assert_true (isfinite (a.logits[0]) && a.logits[0] != a.logits[1]);
  g_assert_cmpmem (a.logits, a.q * a.classes * sizeof (gfloat), b.logits, b.q * b.classes * sizeof (gfloat));
  g_assert_cmpmem (a.boxes, a.q * 4 * sizeof (gfloat), b.boxes, b.q * 4 * sizeof (gfloat));
  g_assert_cmpmem (a.tokens, a.q * sizeof (gint64), b.tokens, b.q * sizeof (gint64));
  Results both[] = { a, b };
  for (guint i = 0; i < 2; i++) {
    g_free (both[i].logits);
    g_free (both[i].boxes);
    g_free (both[i].tokens);
  }
}

/* ------------------------------------------------------------------- cases */

static void
test_golden (gconstpointer name)
{
  g_autoptr (DeimModel) model = make_model (name, DEIM_DTYPE_F32);
  g_autoptr (DeimModel) again = round_trip (model);
  const DeimModelInfo *info = deim_model_get_info (model);
  g_autofree gfloat *input = golden_image ("smooth", 1, (gint) info->input_height, (gint) info->input_width);
  if (strstr (name, "atto") || g_test_thorough ())
    assert_same_results (model, again, input);
}

/* Dtypes of several widths: bfloat16 weights, int64 counters, a mask of single bytes. */
static void
test_dtypes (void)
{
  g_autoptr (DeimModel) model = make_model ("deim_dfine_n_320x320_1", DEIM_DTYPE_BF16);
  g_autoptr (DeimModel) again = round_trip (model);
  guint seen = 0;
  for (guint i = 0; i < deim_checkpoint_get_n_tensors (deim_model_get_checkpoint (again)); i++)
    seen |= 1u << deim_checkpoint_get (deim_model_get_checkpoint (again), i)->dtype;
  g_assert_cmpuint (seen & ~(1u << DEIM_DTYPE_BF16), !=, 0);
  g_assert_true (seen & 1u << DEIM_DTYPE_BF16);
}

/* What the caller asked for is what the file says: labels with any letters, and values that shapes do not tell. */
static void
test_options (void)
{
  g_autoptr (GError) error = NULL;
  g_autofree gchar *file = g_build_filename (scratch, "first.safetensors", NULL);
  g_autofree gchar *labels = g_build_filename (scratch, "labels.txt", NULL);
  g_autoptr (GString) lines = g_string_new ("");
  for (guint i = 0; i < 80; i++)
    g_string_append_printf (lines, i == 7 ? "\n" : "\"Gefäß\" \\ %u/%u 犬\n", i, i);
  g_autoptr (DeimModel) model = make_model ("deim_dfine_n_320x320_1", DEIM_DTYPE_F32);
  g_assert_true (deim_model_save (model, file, FALSE, &error));
  g_assert_true (g_file_set_contents (labels, lines->str, -1, &error));
  DeimModelOptions options = { .labels_file = labels,
                               .arch = "dfine_n:act=relu,sampling=discrete,select=one2many,"
                                       "eval-idx=1,queries=77,input=256x384" };
  g_autoptr (DeimModel) asked = deim_model_load (file, &options, &error);
  g_assert_no_error (error);
  g_unlink (file);
  g_unlink (labels);
  g_autoptr (DeimModel) again = round_trip (asked);
  g_assert_cmpstr (deim_model_get_info (again)->arch, ==, "dfine_n");
  g_assert_cmpuint (deim_model_get_info (again)->num_queries, ==, 77);
  g_assert_cmpuint (deim_model_get_info (again)->input_width, ==, 384);
  g_assert_cmpstr (deim_model_get_label (again, 7), ==, "");
  g_assert_cmpstr (deim_model_get_label (again, 79), ==, "\"Gefäß\" \\ 79/79 犬");
}

/* Whatever the length of the header: its first byte may be one that another kind of file begins with. */
static void
test_headers (void)
{
  g_autofree gchar *path = g_build_filename (scratch, "a.safetensors", NULL);
  gfloat one = 1;
  g_autoptr (GBytes) bytes = g_bytes_new (&one, sizeof one);
  g_autoptr (DeimCheckpoint) checkpoint = deim_checkpoint_new ();
  deim_checkpoint_add (checkpoint, "x", DEIM_DTYPE_F32, 0, NULL, bytes);
  for (guint i = 0; i < 256 / 8; i++) {
    g_autoptr (GError) error = NULL;
    g_autofree gchar *text = g_strnfill (8 * i, 'a');
    const DeimSafetensorsEntry entry = { "text", text };
    g_assert_true (deim_safetensors_write (checkpoint, &entry, 1, path, &error));
    g_autoptr (DeimCheckpoint) read = deim_checkpoint_open (path, &error);
    g_assert_no_error (error);
    g_assert_cmpstr (deim_checkpoint_get_metadata (read, "text"), ==, text);
  }
  g_unlink (path);
}

/* Metadata of the input stays, except for what is written anew. */
static void
test_metadata (void)
{
  g_autoptr (GError) error = NULL;
  g_autofree gchar *a = g_build_filename (scratch, "a.safetensors", NULL);
  g_autofree gchar *b = g_build_filename (scratch, "b.safetensors", NULL);
  gfloat one = 1;
  g_autoptr (GBytes) bytes = g_bytes_new (&one, sizeof one);
  g_autoptr (DeimCheckpoint) checkpoint = deim_checkpoint_new ();
  deim_checkpoint_add (checkpoint, "x", DEIM_DTYPE_F32, 0, NULL, bytes);
  deim_checkpoint_add (checkpoint, "none", DEIM_DTYPE_F32, 2, (const gint64[]){ 3, 0 }, g_bytes_new_static ("", 0));
  const DeimSafetensorsEntry first[] = { { "license", "Apache-2.0" }, { "format", "np" } }, second = { "format", "pt" };
  g_assert_true (deim_safetensors_write (checkpoint, first, 2, a, &error));
  g_autoptr (DeimCheckpoint) read = deim_checkpoint_open (a, &error);
  g_assert_no_error (error);
  assert_same_tensors (checkpoint, read);
  g_assert_true (deim_safetensors_write (read, &second, 1, b, &error));
  g_autoptr (DeimCheckpoint) twice = deim_checkpoint_open (b, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (deim_checkpoint_get_metadata (twice, "license"), ==, "Apache-2.0");
  g_assert_cmpstr (deim_checkpoint_get_metadata (twice, "format"), ==, "pt");
  g_unlink (a);
  g_unlink (b);
}

/* Half the bytes; what is beyond binary16 and what is no float stay as they are. */
static void
test_narrow (void)
{
  const gfloat weights[] = { 1, -0.5f, 0.1f, 65504 }, anchors[] = { 0.25f, HUGE_VALF }, large[] = { 65536 };
  const gint64 count[] = { 1000000 };
  const struct {
    const gchar *name;
    DeimDtype dtype, expected;
    gint64 n;
    gconstpointer values;
  } tensors[] = {
    { "weights", DEIM_DTYPE_F32, DEIM_DTYPE_F16, 4, weights },
    { "anchors", DEIM_DTYPE_F32, DEIM_DTYPE_F32, 2, anchors },
    { "large", DEIM_DTYPE_F32, DEIM_DTYPE_F32, 1, large },
    { "count", DEIM_DTYPE_I64, DEIM_DTYPE_I64, 1, count },
    { "empty", DEIM_DTYPE_F32, DEIM_DTYPE_F16, 0, "" },
  };
  g_autoptr (DeimCheckpoint) checkpoint = deim_checkpoint_new ();
  for (guint i = 0; i < G_N_ELEMENTS (tensors); i++) {
    g_autoptr (GBytes) bytes =
        g_bytes_new_static (tensors[i].values, (gsize) tensors[i].n * deim_dtype_size (tensors[i].dtype));
    deim_checkpoint_add (checkpoint, tensors[i].name, tensors[i].dtype, 1, &tensors[i].n, bytes);
  }
  deim_checkpoint_set_metadata (checkpoint, "license", "Apache-2.0");
  g_autoptr (DeimCheckpoint) narrow = deim_checkpoint_narrow (checkpoint);
  g_assert_cmpuint (deim_checkpoint_get_n_tensors (narrow), ==, G_N_ELEMENTS (tensors));
  g_assert_cmpstr (deim_checkpoint_get_metadata (narrow, "license"), ==, "Apache-2.0");
  for (guint i = 0; i < G_N_ELEMENTS (tensors); i++) {
    const DeimCheckpointTensor *tensor = deim_checkpoint_get (narrow, i);
    g_assert_cmpstr (tensor->name, ==, tensors[i].name);
    g_assert_cmpint (tensor->dtype, ==, tensors[i].expected);
    g_assert_cmpint (tensor->shape[0], ==, tensors[i].n);
    if (tensor->dtype != DEIM_DTYPE_F16) {
      g_assert_cmpmem (tensor->data, tensor->n_elements * deim_dtype_size (tensor->dtype), tensors[i].values,
                       (gsize) tensors[i].n * deim_dtype_size (tensors[i].dtype));
      continue;
    }
    gfloat back[4] = { 0 };
    deim_checkpoint_tensor_to_float (tensor, back);
    for (gsize k = 0; k < tensor->n_elements; k++)
      g_assert_cmpfloat_with_epsilon (back[k], weights[k], 0x1p-11 * fabsf (weights[k]));
  }
}

static void
test_refusals (void)
{
  g_autoptr (GError) error = NULL;
  g_autofree gchar *path = g_build_filename (scratch, "in.safetensors", NULL);
  g_autofree gchar *other_name = g_build_filename (scratch, "link.safetensors", NULL);
  g_autofree gchar *missing = g_build_filename (scratch, "missing", "out.safetensors", NULL);
  g_autoptr (DeimModel) made = make_model ("deimv2_atto_320x320_1", DEIM_DTYPE_F32);
  g_assert_true (deim_model_save (made, path, FALSE, &error));
  g_autoptr (DeimModel) model = deim_model_load (path, NULL, &error);
  g_assert_no_error (error);
  g_autofree gchar *before = NULL, *after = NULL;
  gsize size, size_after;
  g_assert_true (g_file_get_contents (path, &before, &size, NULL));

  g_assert_false (deim_model_save (model, path, FALSE, &error));
  g_assert_error (error, DEIM_ERROR, DEIM_ERROR_SETTINGS);
  g_clear_error (&error);
  g_assert_cmpint (symlink (path, other_name), ==, 0); /* the same file by another name */
  g_assert_false (deim_model_save (model, other_name, FALSE, &error));
  g_assert_error (error, DEIM_ERROR, DEIM_ERROR_SETTINGS);
  g_clear_error (&error);
  g_assert_true (g_file_get_contents (path, &after, &size_after, NULL));
  g_assert_cmpmem (before, size, after, size_after);
  g_unlink (other_name);

  const gchar *const wrong[] = { missing, scratch }; /* the second is a folder */
  for (guint i = 0; i < G_N_ELEMENTS (wrong); i++) {
    g_assert_false (deim_model_save (model, wrong[i], FALSE, &error));
    g_assert_error (error, DEIM_ERROR, DEIM_ERROR_WRITE);
    g_assert_nonnull (strstr (error->message, wrong[i]));
    g_clear_error (&error);
  }
  g_unlink (path);
  g_assert_cmpint (g_rmdir (scratch), ==, 0); /* nothing is left in it */
  g_assert_cmpint (g_mkdir (scratch, 0700), ==, 0);
}

/* Any form in which PyTorch writes: training checkpoints, half, bfloat16, names with "module.", the old container. */
static void
test_files (gconstpointer name)
{
  g_autofree gchar *path = golden_shared_file (name);
  if (!path) {
    g_test_skip ("no real weights: ../shared is not here");
    return;
  }
  g_autoptr (GError) error = NULL;
  g_autoptr (DeimModel) model = deim_model_load (path, NULL, &error);
  g_assert_no_error (error);
  g_autoptr (DeimModel) again = round_trip (model);
  const DeimModelInfo *info = deim_model_get_info (model);
  g_autofree gfloat *input = golden_image ("smooth", 1, (gint) info->input_height, (gint) info->input_width);
  assert_same_results (model, again, input);

  g_autofree gchar *folder = golden_folder ();
  g_autoptr (GoldenParams) params = golden_params_read (folder, info->arch, &error);
  g_assert_no_error (error);
  DeimCheckpoint *written = deim_model_get_checkpoint (again);
  g_assert_cmpuint (params->list->len, ==, deim_checkpoint_get_n_tensors (written));
  for (guint i = 0; i < params->list->len; i++) {
    const GoldenParam *param = g_ptr_array_index (params->list, i);
    const DeimCheckpointTensor *tensor = deim_checkpoint_lookup (written, param->name);
    g_assert_nonnull (tensor);
    g_assert_cmpmem (param->dims, param->n_dims * sizeof (gint64), tensor->shape, tensor->n_dims * sizeof (gint64));
  }
}

gint
main (gint argc, gchar **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_autoptr (GError) error = NULL;
  scratch = g_dir_make_tmp ("deim-convert-XXXXXX", &error);
  g_assert_no_error (error);

  g_autofree gchar *folder = golden_small_folder ();
  g_auto (GStrv) names = golden_list (folder, "");
  for (gchar **name = names; *name; name++) {
    g_autofree gchar *path = g_strdup_printf ("/convert/golden/%s", *name);
    g_test_add_data_func_full (path, g_strdup (*name), test_golden, g_free);
  }
  g_test_add_func ("/convert/dtypes", test_dtypes);
  g_test_add_func ("/convert/options", test_options);
  g_test_add_func ("/convert/headers", test_headers);
  g_test_add_func ("/convert/metadata", test_metadata);
  g_test_add_func ("/convert/narrow", test_narrow);
  g_test_add_func ("/convert/refusals", test_refusals);
  static const gchar *const files[] = { "real/deimv2_hgnetv2_atto_coco.pth", "real/deimv2_hgnetv2_femto_coco.pth",
                                        "golden/ckpt/atto_full.pth",         "golden/ckpt/atto_legacy.pth",
                                        "golden/ckpt/atto_ddp_half.pth",     "golden/ckpt/atto_model_bf16.pth" };
  for (guint i = 0; i < G_N_ELEMENTS (files); i++) {
    g_autofree gchar *base = g_path_get_basename (files[i]);
    g_autofree gchar *path = g_strdup_printf ("/convert/files/%s", base);
    g_test_add_data_func (path, files[i], test_files);
  }
  gint status = g_test_run ();
  g_rmdir (scratch);
  g_free (scratch);
  return status;
}
