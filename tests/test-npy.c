/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-npy.c - .npy files, right ones and wrong ones, and class names. */
#include <string.h>
#include <glib/gstdio.h>

#include "engine/error.h"
#include "engine/formats/labels.h"
#include "engine/formats/npy.h"
#include "formats-make.h"

static const gfloat numbers[] = { 0, 1, 2, 3, 4, 5 };

static gchar *
scratch_file (const gchar *name)
{
  g_autoptr (GError) error = NULL;
  g_autofree gchar *folder = g_dir_make_tmp ("deim-formats-XXXXXX", &error);
  g_assert_no_error (error);
  return g_build_filename (folder, name, NULL);
}

static void
remove_scratch (const gchar *path)
{
  g_autofree gchar *folder = g_path_get_dirname (path);
  g_assert_cmpint (g_remove (path), ==, 0);
  g_assert_cmpint (g_rmdir (folder), ==, 0);
}

static void
test_round_trip (void)
{
  static const struct {
    guint n_dims;
    gsize shape[4];
  } cases[] = { { 0, { 0 } }, { 1, { 6 } }, { 2, { 2, 3 } }, { 4, { 1, 3, 2, 1 } }, { 2, { 0, 7 } } };
  g_autoptr (GError) error = NULL;
  g_autofree gchar *path = scratch_file ("x.npy");
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_assert_true (deim_npy_write (path, "<f4", cases[i].n_dims, cases[i].shape, numbers, &error));
    g_assert_no_error (error);
    guint n_dims;
    gsize shape[DEIM_NPY_MAX_DIMS], n = 1;
    g_autofree gfloat *values = deim_npy_read_float (path, &n_dims, shape, &error);
    g_assert_no_error (error);
    g_assert_cmpuint (n_dims, ==, cases[i].n_dims);
    for (guint d = 0; d < n_dims; d++) {
      g_assert_cmpuint (shape[d], ==, cases[i].shape[d]);
      n *= shape[d];
    }
    for (gsize k = 0; k < n; k++)
      g_assert_cmpfloat (values[k], ==, numbers[k]);
  }

  /* int64, byte by byte */
  gint64 tokens[] = { 7, -1 };
  gsize shape[] = { 2 };
  g_assert_true (deim_npy_write (path, "<i8", 1, shape, tokens, &error));
  g_autofree gchar *text = NULL;
  gsize size;
  g_assert_true (g_file_get_contents (path, &text, &size, &error));
  g_assert_cmpuint (size, ==, 128 + 16);
  static const gchar head[] = "\x93NUMPY\x01\x00\x76\x00{'descr': '<i8', 'fortran_order': False, 'shape': (2,), } ";
  g_assert_cmpmem (text, sizeof head - 1, head, sizeof head - 1);
  g_assert_cmpint (text[127], ==, '\n');
  g_assert_cmpmem (text + 128, 16, tokens, 16);
  remove_scratch (path);
}

static void
test_numpy (void)
{
  const gchar *folder = g_getenv ("DEIM_SHARED");
  static const gchar name[] = "real/open/logits_atto_139.npy";
  g_autofree gchar *path =
      folder ? g_build_filename (folder, name, NULL) : g_build_filename (DEIM_SOURCE_ROOT, "..", "shared", name, NULL);
  if (!g_file_test (path, G_FILE_TEST_EXISTS)) {
    g_test_skip ("the folder with the shared data is not there (DEIM_SHARED)");
    return;
  }
  g_autoptr (GError) error = NULL;
  guint n_dims;
  gsize shape[DEIM_NPY_MAX_DIMS];
  g_autofree gfloat *values = deim_npy_read_float (path, &n_dims, shape, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (n_dims, ==, 2);
  g_assert_cmpuint (shape[0], ==, 100);
  g_assert_cmpuint (shape[1], ==, 80);
  for (guint i = 0; i < 8000; i++)
    g_assert_true (values[i] > -30 && values[i] < 30);
}

static void
test_labels (void)
{
  static const guint counts[] = { 2, 20, 80, 365, 366 };
  for (gsize i = 0; i < G_N_ELEMENTS (counts); i++) {
    const gchar *const *labels = deim_labels_builtin (counts[i]);
    g_assert_cmpuint (g_strv_length ((gchar **) labels), ==, counts[i]);
    g_assert_nonnull (deim_labels_builtin_name (counts[i]));
  }
  g_assert_cmpstr (deim_labels_builtin (80)[0], ==, "person");
  g_assert_cmpstr (deim_labels_builtin (80)[79], ==, "toothbrush");
  g_assert_cmpstr (deim_labels_builtin (365)[0], ==, "Person");
  g_assert_cmpstr (deim_labels_builtin (366)[1], ==, "Person");
  g_assert_cmpstr (deim_labels_builtin (365)[364], ==, "Table Tennis");
  g_assert_cmpstr (deim_labels_builtin (2)[1], ==, "person");
  g_assert_null (deim_labels_builtin (81));
  g_assert_null (deim_labels_builtin_name (81));

  g_autofree gchar *path = scratch_file ("labels.txt");
  static const struct {
    const gchar *text;
    gssize length;
    guint n;
    gint code; /* of the error; -1: none */
  } cases[] = {
    { "cat\ndog\n", -1, 2, -1 },
    { "\xef\xbb\xbf"
      "cat\r\n  dog  \r\n\r\n\n",
      -1, 2, -1 },
    { "cat\n\ndog", -1, 3, -1 }, /* a class without a name keeps its place */
    { "cat\ndog\n", -1, 3, DEIM_ERROR_SETTINGS },
    { "", 0, 1, DEIM_ERROR_SETTINGS },
    { "cat\xff\n", -1, 1, DEIM_ERROR_FORMAT },
    { "cat\0dog\n", 8, 1, DEIM_ERROR_FORMAT },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GError) error = NULL;
    g_assert_true (g_file_set_contents (path, cases[i].text, cases[i].length, NULL));
    g_auto (GStrv) labels = deim_labels_read (path, cases[i].n, &error);
    if (cases[i].code >= 0) {
      g_assert_error (error, DEIM_ERROR, cases[i].code);
      g_assert_null (labels);
      continue;
    }
    g_assert_no_error (error);
    g_assert_cmpuint (g_strv_length (labels), ==, cases[i].n);
    g_assert_cmpstr (labels[0], ==, "cat");
    g_assert_cmpstr (labels[cases[i].n - 1], ==, "dog");
  }
  remove_scratch (path);
  g_autoptr (GError) error = NULL;
  g_assert_null (deim_labels_read (path, 2, &error));
  g_assert_error (error, DEIM_ERROR, DEIM_ERROR_NOT_FOUND);
}

static void
assert_npy_refused (const guint8 *data, gsize size, const gchar *words)
{
  g_autoptr (GError) error = NULL;
  guint n_dims = 77;
  gsize shape[DEIM_NPY_MAX_DIMS] = { 78 };
  g_assert_null (deim_npy_parse_float (data, size, &n_dims, shape, &error));
  g_assert_error (error, DEIM_ERROR, DEIM_ERROR_FORMAT);
  if (!strstr (error->message, words))
    g_error ("\"%s\" is not in \"%s\"", words, error->message);
  g_assert_cmpuint (n_dims, ==, 77);
  g_assert_cmpuint (shape[0], ==, 78);
}

static GByteArray *
make_npy (guint8 version, const gchar *header, gsize data_size)
{
  GByteArray *out = g_byte_array_new ();
  make_raw (out, "\x93NUMPY", 6);
  make_raw (out, &version, 1);
  make_raw (out, "", 1);
  if (version == 1)
    make_u16 (out, (guint) strlen (header));
  else
    make_u32 (out, (guint32) strlen (header));
  make_raw (out, header, strlen (header));
  guint8 zeros[64] = { 0 };
  make_raw (out, zeros, data_size);
  return out;
}

static void
test_hostile (void)
{
#define REST "'fortran_order': False, 'shape': "
  static const struct {
    const gchar *header, *words;
  } cases[] = {
    { "", "damaged" },
    { "{", "damaged" },
    { "{}", "lacks" },
    { "{'descr': '<f4', 'fortran_order': False}", "lacks" },
    { "{'descr': '<f4', " REST "(2,3)} x", "damaged" },
    { "{'descr': '<f4', " REST "(2,3", "damaged" },
    { "{'descr': '<f4', " REST "(2 3)}", "damaged" },
    { "{'descr': '<f4', " REST "(-2,3)}", "damaged" },
    { "{'descr': '<f4', " REST "[2,3]}", "damaged" },
    { "{'descr': '<f4', " REST "(,)}", "damaged" },
    { "{'descr': '<f4', " REST "(1,1,1,1,1,1,1,1,6)}", "more than 8" },
    { "{'descr': '<f4', " REST "(99999999999999999999,)}", "damaged" },
    { "{'descr': '<f4', " REST "(4611686018427387904,4)}", "too large" },
    { "{'descr': '<f4', " REST "(0,4611686018427387904,4)}", "too large" },
    { "{'descr': '<f4', " REST "(2,4)}", "needs 32 bytes" },
    { "{'descr': '<f4', " REST "(5,)}", "needs 20 bytes" },
    { "{'descr': '<f8', " REST "(3,)}", "<f8" },
    { "{'descr': '>f4', " REST "(6,)}", ">f4" },
    { "{'descr': '|O', " REST "(6,)}", "|O" },
    { "{'descr': [('a', '<f4')], " REST "(6,)}", "records" },
    { "{'descr': '', " REST "(6,)}", "damaged" },
    { "{'descr': 'aaaaaaaaaaaaaaaaaaaaaaaaaaa', " REST "(6,)}", "damaged" },
    { "{'descr': '<f4', 'descr': '<f4', " REST "(6,)}", "twice" },
    { "{'descr': '<f4', 'more': 1, " REST "(6,)}", "more" },
    { "{'descr': '<f4', 'fortran_order': True, 'shape': (2,3)}", "Fortran" },
    { "{'descr': '<f4', 'fortran_order': 0, 'shape': (2,3)}", "damaged" },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GByteArray) file = make_npy (1, cases[i].header, 24);
    assert_npy_refused (file->data, file->len, cases[i].words);
  }
  for (guint8 version = 0; version < 5; version++) {
    g_autoptr (GByteArray) file = make_npy (version, "{\"shape\":(2,3),'descr':'<f4','fortran_order':False,}\n", 24);
    if (version < 1 || version > 3) {
      assert_npy_refused (file->data, file->len, "versions 1 to 3");
      continue;
    }
    guint n_dims;
    gsize shape[DEIM_NPY_MAX_DIMS];
    g_autofree gfloat *values = deim_npy_parse_float (file->data, file->len, &n_dims, shape, NULL);
    g_assert_nonnull (values);
    g_assert_cmpuint (n_dims, ==, 2);
    for (guint n = 0; n < file->len; n++) {
      g_autofree guint8 *copy = g_memdup2 (file->data, n);
      assert_npy_refused (copy, n, "");
    }
  }
  assert_npy_refused ((const guint8 *) "PK\x03\x04 more than that", 20, "not a .npy file");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/npy/round-trip", test_round_trip);
  g_test_add_func ("/npy/numpy", test_numpy);
  g_test_add_func ("/npy/hostile", test_hostile);
  g_test_add_func ("/npy/labels", test_labels);
  return g_test_run ();
}
