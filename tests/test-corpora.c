/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-corpora.c - what the fuzzers of tests/fuzz/ kept, once more through the
 * readers. No answer is expected, only one: values or an error. Signals and
 * sanitizers tell the rest.
 */
#include <glib.h>

#include "engine/formats/npy.h"
#include "engine/formats/reader.h"
#include "formats-make.h"

static const guint8 zeros[64];

static void
use (DeimCheckpoint *checkpoint, GError *error)
{
  g_assert_true ((checkpoint != NULL) == (error == NULL));
  for (guint i = 0; checkpoint && i < deim_checkpoint_get_n_tensors (checkpoint); i++) {
    const DeimCheckpointTensor *tensor = deim_checkpoint_get (checkpoint, i);
    g_assert_true (deim_checkpoint_lookup (checkpoint, tensor->name) == tensor);
    g_autofree gfloat *values = g_new (gfloat, tensor->n_elements + 1);
    deim_checkpoint_tensor_to_float (tensor, values);
  }
  deim_checkpoint_free (checkpoint);
  g_clear_error (&error);
}

static void
read_safetensors (GBytes *bytes)
{
  GError *error = NULL;
  DeimCheckpoint *checkpoint = deim_safetensors_read (bytes, "corpus", &error);
  use (checkpoint, error);
}

static void
read_zip (GBytes *bytes)
{
  GError *error = NULL;
  DeimCheckpoint *checkpoint = deim_pytorch_zip_read (bytes, "corpus", &error);
  use (checkpoint, error);
}

static void
read_legacy (GBytes *bytes)
{
  GError *error = NULL;
  DeimCheckpoint *checkpoint = deim_pytorch_legacy_read (bytes, "corpus", &error);
  use (checkpoint, error);
}

static void
read_onnx (GBytes *bytes)
{
  GError *error = NULL;
  DeimCheckpoint *checkpoint = deim_onnx_read (bytes, "corpus", &error);
  use (checkpoint, error);
}

/* A data.pkl, in an archive with the storages "0" to "3" of six floats, which the seeds name. */
static void
read_pickle (GBytes *bytes)
{
  GByteArray *pickle = g_byte_array_new ();
  make_raw (pickle, g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes));
  g_autoptr (GBytes) archive = make_pytorch (pickle, 4, zeros, 24);
  read_zip (archive);
}

static void
read_npy (GBytes *bytes)
{
  g_autoptr (GError) error = NULL;
  gsize size, shape[DEIM_NPY_MAX_DIMS];
  guint n_dims;
  const guint8 *data = g_bytes_get_data (bytes, &size);
  g_autofree gfloat *values = deim_npy_parse_float (data, size, &n_dims, shape, &error);
  g_assert_true ((values != NULL) == (error == NULL));
}

static const struct {
  const gchar *name;
  void (*read) (GBytes *bytes);
} targets[] = {
  { "safetensors", read_safetensors }, { "pytorch-zip", read_zip }, { "pytorch-legacy", read_legacy },
  { "pickle", read_pickle },           { "npy", read_npy },         { "onnx", read_onnx },
};

static void
test_corpus (gconstpointer user_data)
{
  gsize target = GPOINTER_TO_SIZE (user_data);
  g_autoptr (GError) error = NULL;
  g_autofree gchar *folder = g_build_filename (DEIM_SOURCE_ROOT, "tests", "fuzz", "corpus", targets[target].name, NULL);
  g_autoptr (GDir) dir = g_dir_open (folder, 0, &error);
  g_assert_no_error (error);
  guint files = 0;
  for (const gchar *name; (name = g_dir_read_name (dir)); files++) {
    g_autofree gchar *path = g_build_filename (folder, name, NULL);
    gchar *text;
    gsize size;
    g_assert_true (g_file_get_contents (path, &text, &size, &error));
    g_autoptr (GBytes) bytes = g_bytes_new_take (text, size);
    targets[target].read (bytes);
  }
  g_test_message ("%u files", files);
  g_assert_cmpuint (files, >, 0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  for (gsize i = 0; i < G_N_ELEMENTS (targets); i++) {
    g_autofree gchar *path = g_strconcat ("/corpora/", targets[i].name, NULL);
    g_test_add_data_func (path, GSIZE_TO_POINTER (i), test_corpus);
  }
  return g_test_run ();
}
