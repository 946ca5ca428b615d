/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-formats.c - the readers on right files: small ones made here, and where
 * the folder with the shared data exists, the ones that PyTorch wrote. Wrong
 * files are the matter of test-formats-hostile.c.
 */
#include <math.h>
#include <string.h>
#include <glib/gstdio.h>

#include "engine/error.h"
#include "engine/formats/checkpoint.h"
#include "formats-make.h"

static const gfloat numbers[] = { 0, 1, 2, 3, 4, 5 };

/* The file @name of the shared folder, or NULL (and the test is skipped) where there is none. */
static gchar *
shared_file (const gchar *name)
{
  const gchar *folder = g_getenv ("DEIM_SHARED");
  g_autofree gchar *path =
      folder ? g_build_filename (folder, name, NULL) : g_build_filename (DEIM_SOURCE_ROOT, "..", "shared", name, NULL);
  if (g_file_test (path, G_FILE_TEST_EXISTS))
    return g_steal_pointer (&path);
  g_test_skip ("the folder with the shared data is not there (DEIM_SHARED)");
  return NULL;
}

static DeimCheckpoint *
open_shared (const gchar *name)
{
  g_autofree gchar *path = shared_file (name);
  if (!path)
    return NULL;
  g_autoptr (GError) error = NULL;
  DeimCheckpoint *checkpoint = deim_checkpoint_open (path, &error);
  g_assert_no_error (error);
  return checkpoint;
}

static DeimCheckpoint *
parse (GBytes *file)
{
  g_autoptr (GBytes) bytes = file;
  g_autoptr (GError) error = NULL;
  DeimCheckpoint *checkpoint = deim_checkpoint_parse (bytes, "x", &error);
  g_assert_no_error (error);
  g_assert_nonnull (checkpoint);
  return checkpoint;
}

static void
assert_floats (DeimCheckpoint *checkpoint, const gchar *name, guint n, const gfloat *expected)
{
  const DeimCheckpointTensor *tensor = deim_checkpoint_lookup (checkpoint, name);
  g_assert_nonnull (tensor);
  g_assert_cmpstr (tensor->name, ==, name);
  g_assert_cmpuint (tensor->n_elements, ==, n);
  g_autofree gfloat *values = g_new (gfloat, n);
  deim_checkpoint_tensor_to_float (tensor, values);
  for (guint i = 0; i < n; i++)
    g_assert_cmpfloat (values[i], ==, expected[i]);
}

static void
assert_small (DeimCheckpoint *checkpoint, const gchar *source)
{
  g_assert_cmpuint (deim_checkpoint_get_n_tensors (checkpoint), ==, 2);
  g_assert_cmpstr (deim_checkpoint_get_source (checkpoint), ==, source);
  assert_floats (checkpoint, "a.weight", 6, numbers);
  assert_floats (checkpoint, "b.bias", 3, numbers);
  const DeimCheckpointTensor *tensor = deim_checkpoint_get (checkpoint, 0);
  g_assert_cmpstr (tensor->name, ==, "a.weight");
  g_assert_cmpuint (tensor->n_dims, ==, 2);
  g_assert_cmpint (tensor->shape[0], ==, 2);
  g_assert_cmpint (tensor->shape[1], ==, 3);
  g_assert_null (deim_checkpoint_get (checkpoint, 2));
  g_assert_null (deim_checkpoint_lookup (checkpoint, "c"));
}

static void
test_small (void)
{
  g_autoptr (DeimCheckpoint) safetensors = parse (make_small_safetensors ());
  assert_small (safetensors, "the tensors of a safetensors file");
  g_assert_cmpstr (deim_checkpoint_get_metadata (safetensors, "format"), ==, "pt");
  g_assert_cmpstr (deim_checkpoint_get_metadata (safetensors, "note"), ==, "a \"b\" {[");
  g_assert_null (deim_checkpoint_get_metadata (safetensors, "labels"));
  g_autoptr (DeimCheckpoint) stored = parse (make_small_zip (FALSE));
  assert_small (stored, "the top level of a PyTorch checkpoint (zip)");
  g_autoptr (DeimCheckpoint) deflated = parse (make_small_zip (TRUE));
  assert_small (deflated, "the top level of a PyTorch checkpoint (zip)");
  g_autoptr (DeimCheckpoint) legacy = parse (make_small_legacy ());
  assert_small (legacy, "the top level of a PyTorch checkpoint (before 1.6)");
}

static void
test_in_memory (void)
{
  g_autoptr (DeimCheckpoint) checkpoint = deim_checkpoint_new ();
  gint64 shape[] = { 2, 3 };
  {
    g_autoptr (GBytes) data = g_bytes_new (numbers, sizeof numbers);
    deim_checkpoint_add (checkpoint, "a", DEIM_DTYPE_F32, 2, shape, data);
  }
  assert_floats (checkpoint, "a", 6, numbers);
  for (DeimDtype dtype = DEIM_DTYPE_F32; dtype <= DEIM_DTYPE_BOOL; dtype++) {
    static const gsize sizes[] = { 4, 2, 2, 8, 8, 4, 2, 1, 1, 1 };
    g_assert_cmpuint (deim_dtype_size (dtype), ==, sizes[dtype]);
    g_assert_nonnull (deim_dtype_name (dtype));
  }
}

/* Which of several dicts the weights come from: tensors of 1 element out of storage "0" = 0, 1, 2, 3, 4, 5. */
static void
put_dict (GByteArray *pickle, const gchar *key, gint64 offset, const gchar *prefix)
{
  MakeTensor tensor = { "0", "FloatStorage", 6, offset, 0, { 0 }, { 0 }, FALSE };
  g_autofree gchar *name = g_strconcat (prefix, "w", NULL);
  if (key)
    pickle_text (pickle, key);
  pickle_op (pickle, '}');
  pickle_item (pickle, name, &tensor);
  if (key)
    pickle_op (pickle, 's');
}

static void
test_choice (void)
{
  static const struct {
    const gchar *keys; /* in the file, in this order; of their tensors the n-th has the value n */
    const gchar *source;
    gfloat value;
  } cases[] = {
    { "model;ema.module;state_dict", "ema.module", 1 },
    { "state_dict;model;ema", "ema", 2 },
    { "state_dict;model;other", "model", 1 },
    { "other;state_dict", "state_dict", 1 },
    { "other;;more", "the top level", 1 },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    GByteArray *pickle = g_byte_array_new ();
    pickle_begin (pickle);
    pickle_op (pickle, '}');
    g_auto (GStrv) keys = g_strsplit (cases[i].keys, ";", -1);
    for (gint k = 0; keys[k]; k++) {
      if (!*keys[k]) {
        MakeTensor tensor = { "0", "FloatStorage", 6, k, 0, { 0 }, { 0 }, FALSE };
        pickle_item (pickle, "w", &tensor);
      } else if (g_str_equal (keys[k], "ema.module")) {
        pickle_text (pickle, "ema");
        pickle_op (pickle, '}');
        put_dict (pickle, "module", k, "");
        pickle_op (pickle, 's');
      } else {
        put_dict (pickle, keys[k], k, "");
      }
    }
    pickle_end (pickle);
    g_autoptr (DeimCheckpoint) checkpoint = parse (make_pytorch (pickle, 1, numbers, sizeof numbers));
    g_autofree gchar *source = g_strdup_printf ("%s of a PyTorch checkpoint (zip)", cases[i].source);
    g_assert_cmpstr (deim_checkpoint_get_source (checkpoint), ==, source);
    g_assert_cmpuint (deim_checkpoint_get_n_tensors (checkpoint), ==, 1);
    assert_floats (checkpoint, "w", 1, &cases[i].value);
  }
}

/* "module." goes when all names begin with it, and stays when one does not. */
static void
test_prefix (void)
{
  for (guint all = 0; all < 2; all++) {
    MakeTensor tensor = { "0", "FloatStorage", 6, 4, 0, { 0 }, { 0 }, FALSE };
    GByteArray *pickle = g_byte_array_new ();
    pickle_begin (pickle);
    pickle_op (pickle, '}');
    pickle_item (pickle, "module.a", &tensor);
    pickle_item (pickle, all ? "module.module.b" : "b", &tensor);
    pickle_end (pickle);
    g_autoptr (DeimCheckpoint) checkpoint = parse (make_pytorch (pickle, 1, numbers, sizeof numbers));
    assert_floats (checkpoint, all ? "a" : "module.a", 1, &numbers[4]);
    assert_floats (checkpoint, all ? "module.b" : "b", 1, &numbers[4]);
  }
}

/* Transposed, sliced, repeated and empty tensors. */
static void
test_strides (void)
{
  static const struct {
    MakeTensor tensor;
    guint n;
    gfloat expected[8];
  } cases[] = {
    { { "0", "FloatStorage", 6, 0, 2, { 3, 2 }, { 1, 3 }, FALSE }, 6, { 0, 3, 1, 4, 2, 5 } },
    { { "0", "FloatStorage", 6, 1, 2, { 2, 2 }, { 3, 1 }, FALSE }, 4, { 1, 2, 4, 5 } },
    { { "0", "FloatStorage", 6, 2, 2, { 2, 3 }, { 1, 0 }, FALSE }, 6, { 2, 2, 2, 3, 3, 3 } },
    { { "0", "FloatStorage", 6, 3, 3, { 1, 3, 1 }, { 99, 1, 77 }, FALSE }, 3, { 3, 4, 5 } },
    { { "0", "FloatStorage", 6, 0, 2, { 1, 2 }, { G_MAXINT64, 5 }, FALSE }, 2, { 0, 5 } },
    { { "0", "FloatStorage", 6, 6, 2, { 0, 3 }, { 3, 1 }, FALSE }, 0, { 0 } },
    { { "0", "FloatStorage", 6, 5, 0, { 0 }, { 0 }, FALSE }, 1, { 5 } },
    { { "0", "FloatStorage", 6, 0, 3, { 2, 1, 3 }, { 1, 5, 2 }, FALSE }, 6, { 0, 2, 4, 1, 3, 5 } },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    GByteArray *pickle = g_byte_array_new ();
    pickle_begin (pickle);
    pickle_op (pickle, '}');
    pickle_item (pickle, "w", &cases[i].tensor);
    pickle_end (pickle);
    g_autoptr (DeimCheckpoint) checkpoint = parse (make_pytorch (pickle, 1, numbers, sizeof numbers));
    assert_floats (checkpoint, "w", cases[i].n, cases[i].expected);
  }
}

/* What other versions of Python and PyTorch write: memo, frames, parameters, dicts from pairs, odd companions. */
static void
test_dialects (void)
{
  static const gchar frame[] = "\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x00"; /* protocol 4, an empty frame */
  static const gchar parameter[] = "\x8c\x0ctorch._utils\x8c\x12_rebuild_parameter\x93"; /* STACK_GLOBAL */
  static const gchar scalar[] = "(G\x00\x00\x00\x00\x00\x00\x00\x00"
                                "C\x02xytRs";
  MakeTensor tensor = { "0", "FloatStorage", 6, 0, 1, { 6 }, { 1 }, FALSE };
  GByteArray *pickle = g_byte_array_new ();
  make_raw (pickle, frame, sizeof frame - 1);
  make_raw (pickle, "}\x94", 2); /* MEMOIZE 0 */
  pickle_text (pickle, "state_dict");
  pickle_global (pickle, "collections", "OrderedDict");
  make_raw (pickle, "](", 2); /* a list of pairs, as Python 2 pickled an OrderedDict */
  make_raw (pickle,
            "(U\x01"
            "a",
            4); /* SHORT_BINSTRING */
  make_raw (pickle, parameter, sizeof parameter - 1);
  pickle_op (pickle, '(');
  pickle_tensor (pickle, &tensor);
  make_raw (pickle, "\x88NtR", 4);
  make_raw (pickle, "te\x85R", 4);  /* the pair, into the list, (list,), the call */
  make_raw (pickle, "q\x05}b0", 5); /* BINPUT, attributes that nobody reads, POP */
  make_raw (pickle, "h\x05s", 3);
  pickle_text (pickle, "args");
  pickle_global (pickle, "argparse", "Namespace");
  make_raw (pickle, ")\x81}bs", 5); /* NEWOBJ, BUILD */
  pickle_text (pickle, "best");
  pickle_global (pickle, "numpy.core.multiarray", "scalar");
  make_raw (pickle, scalar, sizeof scalar - 1);
  pickle_end (pickle);
  g_autoptr (DeimCheckpoint) checkpoint = parse (make_pytorch (pickle, 1, numbers, sizeof numbers));
  g_assert_cmpstr (deim_checkpoint_get_source (checkpoint), ==, "state_dict of a PyTorch checkpoint (zip)");
  assert_floats (checkpoint, "a", 6, numbers);
}

/* A storage that is a view of another one: ("1", 2, 3) are its elements 2 to 4. PyTorch wrote such until 0.3. */
static void
test_view (void)
{
  GByteArray *pickle = g_byte_array_new ();
  pickle_begin (pickle);
  pickle_op (pickle, '}');
  pickle_text (pickle, "w");
  pickle_global (pickle, "torch._utils", "_rebuild_tensor_v2");
  make_raw (pickle, "((", 2);
  pickle_text (pickle, "storage");
  pickle_global (pickle, "torch", "FloatStorage");
  pickle_text (pickle, "0");
  pickle_text (pickle, "cpu");
  make_raw (pickle, "K\x06(", 3);
  pickle_text (pickle, "1");
  make_raw (pickle, "K\x02K\x03ttQ", 7);
  make_raw (pickle, "K\x01K\x02\x85K\x01\x85\x89NtRs.", 14);
  g_autoptr (DeimCheckpoint) checkpoint = parse (make_legacy (pickle, "0", 6, numbers, sizeof numbers));
  assert_floats (checkpoint, "w", 2, &numbers[3]);
}

/* All 65536 numbers of 16 bits, against their definition. */
static void
test_half (void)
{
  g_autofree guint16 *all = g_new (guint16, 65536);
  g_autofree gfloat *values = g_new (gfloat, 65536);
  for (guint i = 0; i < 65536; i++)
    all[i] = (guint16) i;
  DeimCheckpointTensor tensor = { .dtype = DEIM_DTYPE_F16, .n_elements = 65536, .data = (const guint8 *) all };
  deim_checkpoint_tensor_to_float (&tensor, values);
  for (guint i = 0; i < 65536; i++) {
    gint exponent = (gint) (i >> 10 & 31), mantissa = (gint) (i & 1023);
    if (exponent == 31 && mantissa != 0) {
      g_assert_true (isnan (values[i]));
      continue;
    }
    gdouble expected = exponent == 31  ? INFINITY
                       : exponent == 0 ? ldexp (mantissa, -24)
                                       : ldexp (1024 + mantissa, exponent - 25);
    g_assert_cmpfloat (values[i], ==, i & 0x8000 ? -expected : expected);
    g_assert_cmpint (signbit (values[i]) != 0, ==, i >> 15);
  }
  tensor.dtype = DEIM_DTYPE_BF16;
  deim_checkpoint_tensor_to_float (&tensor, values);
  for (guint i = 0; i < 65536; i++) {
    guint32 bits;
    memcpy (&bits, &values[i], 4);
    g_assert_cmphex (bits, ==, i << 16);
  }
}

static void
test_integers (void)
{
  static const guint8 bytes[] = { 0, 0xff, 0x7f, 0x80, 1, 0, 0, 0x80, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
  static const struct {
    DeimDtype dtype;
    guint offset, n;
    gfloat expected[4];
  } cases[] = {
    { DEIM_DTYPE_I8, 0, 4, { 0, -1, 127, -128 } }, { DEIM_DTYPE_U8, 0, 4, { 0, 255, 127, 128 } },
    { DEIM_DTYPE_BOOL, 0, 4, { 0, 1, 1, 1 } },     { DEIM_DTYPE_I16, 6, 2, { -32768, -2 } },
    { DEIM_DTYPE_I32, 8, 2, { -2, -1 } },          { DEIM_DTYPE_I64, 8, 1, { -2 } },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    gfloat values[4];
    DeimCheckpointTensor tensor = { .dtype = cases[i].dtype,
                                    .n_elements = cases[i].n,
                                    .data = bytes + cases[i].offset };
    deim_checkpoint_tensor_to_float (&tensor, values);
    for (guint k = 0; k < cases[i].n; k++)
      g_assert_cmpfloat (values[k], ==, cases[i].expected[k]);
  }
  gdouble wide[] = { 0.1, -3 };
  gfloat narrow[2];
  DeimCheckpointTensor tensor = { .dtype = DEIM_DTYPE_F64, .n_elements = 2, .data = (const guint8 *) wide };
  deim_checkpoint_tensor_to_float (&tensor, narrow);
  g_assert_cmpfloat (narrow[0], ==, 0.1f);
  g_assert_cmpfloat (narrow[1], ==, -3);
}

/* -------------------------------------------------------------- PyTorch's files */

static void
assert_same (DeimCheckpoint *a, DeimCheckpoint *b, gdouble relative, gdouble absolute)
{
  guint n = deim_checkpoint_get_n_tensors (a);
  g_assert_cmpuint (n, ==, 493);
  g_assert_cmpuint (deim_checkpoint_get_n_tensors (b), ==, n);
  for (guint i = 0; i < n; i++) {
    const DeimCheckpointTensor *x = deim_checkpoint_get (a, i);
    const DeimCheckpointTensor *y = deim_checkpoint_lookup (b, x->name);
    g_assert_nonnull (y);
    g_assert_cmpuint (x->n_dims, ==, y->n_dims);
    for (guint d = 0; d < x->n_dims; d++)
      g_assert_cmpint (x->shape[d], ==, y->shape[d]);
    if (relative == 0) {
      g_assert_cmpint (x->dtype, ==, y->dtype);
      g_assert_cmpmem (x->data, x->n_elements * deim_dtype_size (x->dtype), y->data,
                       y->n_elements * deim_dtype_size (y->dtype));
      continue;
    }
    g_autofree gfloat *p = g_new (gfloat, x->n_elements), *q = g_new (gfloat, x->n_elements);
    deim_checkpoint_tensor_to_float (x, p);
    deim_checkpoint_tensor_to_float (y, q);
    for (gsize k = 0; k < x->n_elements; k++)
      g_assert_true (p[k] == q[k] || fabs (p[k] - q[k]) <= relative * fabs (p[k]) + absolute);
  }
}

static void
test_pytorch (void)
{
  static const struct {
    const gchar *file, *source;
    gdouble relative, absolute;
  } cases[] = {
    { "golden/ckpt/atto_full.pth", "ema.module of a PyTorch checkpoint (zip)", 0, 0 },
    { "golden/ckpt/atto_legacy.pth", "ema.module of a PyTorch checkpoint (before 1.6)", 0, 0 },
    { "real/deimv2_hgnetv2_atto_coco.pth", "ema.module of a PyTorch checkpoint (zip)", 0, 0 },
    /* half a unit in the last place, and half of the smallest subnormal */
    { "golden/ckpt/atto_ddp_half.pth", "the top level of a PyTorch checkpoint (zip)", 0x1p-11, 0x1p-25 },
    { "golden/ckpt/atto_model_bf16.pth", "model of a PyTorch checkpoint (zip)", 0x1p-8, 0x1p-134 },
  };
  g_autoptr (DeimCheckpoint) truth = open_shared ("real/deimv2_hgnetv2_atto_coco.safetensors");
  if (!truth)
    return;
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (DeimCheckpoint) checkpoint = open_shared (cases[i].file);
    g_test_message ("%s", cases[i].file);
    g_assert_cmpstr (deim_checkpoint_get_source (checkpoint), ==, cases[i].source);
    assert_same (truth, checkpoint, cases[i].relative, cases[i].absolute);
  }
  /* Shared storages are entries of their own. */
  const DeimCheckpointTensor *up = deim_checkpoint_lookup (truth, "decoder.up");
  g_assert_nonnull (up);
  assert_floats (truth, "decoder.decoder.up", 1, (const gfloat[]){ 0.5f });
}

static void
test_femto (void)
{
  g_autoptr (DeimCheckpoint) a = open_shared ("real/deimv2_hgnetv2_femto_coco.safetensors");
  if (!a)
    return;
  g_autoptr (DeimCheckpoint) b = open_shared ("real/deimv2_hgnetv2_femto_coco.pth");
  assert_same (a, b, 0, 0);
}

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
test_paths (void)
{
  g_autofree gchar *path = scratch_file ("x.pth");
  g_autofree gchar *folder = g_path_get_dirname (path);
  g_autoptr (GError) missing = NULL, directory = NULL;
  g_assert_null (deim_checkpoint_open (path, &missing));
  g_assert_error (missing, DEIM_ERROR, DEIM_ERROR_NOT_FOUND);
  g_assert_null (deim_checkpoint_open (folder, &directory));
  g_assert_error (directory, DEIM_ERROR, DEIM_ERROR_READ);
  g_autoptr (GBytes) bytes = make_small_zip (FALSE);
  g_assert_true (g_file_set_contents (path, g_bytes_get_data (bytes, NULL), (gssize) g_bytes_get_size (bytes), NULL));
  g_autoptr (GError) error = NULL;
  g_autoptr (DeimCheckpoint) checkpoint = deim_checkpoint_open (path, &error);
  g_assert_no_error (error);
  assert_small (checkpoint, "the top level of a PyTorch checkpoint (zip)");
  remove_scratch (path);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/formats/small", test_small);
  g_test_add_func ("/formats/in-memory", test_in_memory);
  g_test_add_func ("/formats/choice", test_choice);
  g_test_add_func ("/formats/prefix", test_prefix);
  g_test_add_func ("/formats/strides", test_strides);
  g_test_add_func ("/formats/dialects", test_dialects);
  g_test_add_func ("/formats/view", test_view);
  g_test_add_func ("/formats/half", test_half);
  g_test_add_func ("/formats/integers", test_integers);
  g_test_add_func ("/formats/pytorch", test_pytorch);
  g_test_add_func ("/formats/femto", test_femto);
  g_test_add_func ("/formats/paths", test_paths);
  return g_test_run ();
}
