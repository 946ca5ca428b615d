/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-formats-hostile.c - wrong files: each has to give one error that says
 * what is wrong with it, in little memory. Files are made here; test-corpora.c reads
 * those that the fuzzers found worth keeping.
 */
#include <string.h>
#include <sys/resource.h>

#include "engine/error.h"
#include "engine/formats/checkpoint.h"
#include "formats-make.h"

static const gfloat numbers[] = { 0, 1, 2, 3, 4, 5 };

/* Takes @file. @words must be in the message, which is a single line and begins with the file's name. */
static void
assert_refused (GBytes *file, const gchar *words)
{
  g_autoptr (GBytes) bytes = file;
  g_autoptr (GError) error = NULL;
  g_autoptr (DeimCheckpoint) checkpoint = deim_checkpoint_parse (bytes, "evil", &error);
  g_assert_null (checkpoint);
  g_assert_error (error, DEIM_ERROR, DEIM_ERROR_FORMAT);
  g_test_message ("%s", error->message);
  g_assert_true (g_str_has_prefix (error->message, "evil: "));
  if (!strstr (error->message, words))
    g_error ("\"%s\" is not in \"%s\"", words, error->message);
  g_assert_true (!strchr (error->message, '\n') && g_utf8_validate (error->message, -1, NULL));
}

/* Every prefix, and every byte turned round, of a right file: an error, or for some bytes another right file. */
static void
cut_and_bend (GBytes *file)
{
  g_autoptr (GBytes) bytes = file;
  gsize size;
  const guint8 *data = g_bytes_get_data (bytes, &size);
  for (gsize n = 0; n < size; n++) {
    g_autofree guint8 *copy = g_memdup2 (data, n); /* of its own, so that a sanitizer sees a read beyond it */
    assert_refused (g_bytes_new (copy, n), "");
  }
  for (gsize i = 0; i < size; i++) {
    static const guint8 masks[] = { 0xff, 0x80, 0x01, 0x20 };
    for (gsize m = 0; m < G_N_ELEMENTS (masks); m++) {
      guint8 *copy = g_memdup2 (data, size);
      copy[i] ^= masks[m];
      g_autoptr (GBytes) bent = g_bytes_new_take (copy, size);
      g_autoptr (GError) error = NULL;
      g_autoptr (DeimCheckpoint) checkpoint = deim_checkpoint_parse (bent, "bent", &error);
      g_assert_true ((checkpoint != NULL) == (error == NULL));
      if (error)
        g_assert_error (error, DEIM_ERROR, DEIM_ERROR_FORMAT);
      for (guint t = 0; checkpoint && t < deim_checkpoint_get_n_tensors (checkpoint); t++) {
        const DeimCheckpointTensor *tensor = deim_checkpoint_get (checkpoint, t);
        g_autofree gfloat *values = g_new (gfloat, tensor->n_elements + 1);
        deim_checkpoint_tensor_to_float (tensor, values);
      }
    }
  }
}

static void
test_bent_safetensors (void)
{
  cut_and_bend (make_small_safetensors ());
}

static void
test_bent_zip (void)
{
  cut_and_bend (make_small_zip (FALSE));
}

static void
test_bent_deflated (void)
{
  cut_and_bend (make_small_zip (TRUE));
}

static void
test_bent_legacy (void)
{
  cut_and_bend (make_small_legacy ());
}

static void
test_strangers (void)
{
  static const struct {
    const gchar *start, *words;
  } cases[] = {
    { "", "empty" },
    { "x", "not a checkpoint" },
    { "version https://git-lfs.github.com/spec/v1\n", "git lfs pull" },
    { "<!DOCTYPE html><html>", "web page" },
    { "\x93NUMPY\x01", "NumPy array" },
    { "\x80\x04]\x94.", "not one of torch.save()" },
    { "PK\x03\x04", "cannot be read" },
    { "PK\x05\x06", "not a checkpoint" },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    assert_refused (g_bytes_new (cases[i].start, strlen (cases[i].start)), cases[i].words);
}

/* ------------------------------------------------------------------ safetensors */

#define ENTRY(name, shape, offsets) "\"" name "\":{\"dtype\":\"F32\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

static void
test_safetensors (void)
{
  static const struct {
    const gchar *header, *words;
  } cases[] = {
    { "{}", "no tensor" },
    { "{} x", "outside of names" },
    { "{", "breaks off" },
    { "{}}", "never opened" },
    { "{\"a", "breaks off" },
    { "{\"a\\", "breaks off" },
    { "{'a':[]}", "outside of names" },
    { "{/*\"*/\"a\":1}", "outside of names" },
    { "{\"a\" 1}", "not JSON" },
    { "{\"a\":1}", "not an object" },
    { "{\"a\":[]}", "not an object" },
    { "{\"a\":{}}", "dtype, shape and data_offsets" },
    { "{\"a\":{\"dtype\":\"F32\",\"shape\":[6],\"offsets\":[0,24]}}", "data_offsets" },
    { "{\"a\":{\"dtype\":\"C64\",\"shape\":[3],\"data_offsets\":[0,24]}}", "C64" },
    { "{\"a\":{\"dtype\":7,\"shape\":[3],\"data_offsets\":[0,24]}}", "dtype" },
    { "{\"__metadata__\":{\"a\":1}," ENTRY ("a", "[6]", "[0,24]") "}", "not a string" },
    { "{\"__metadata__\":7," ENTRY ("a", "[6]", "[0,24]") "}", "not an object" },
    { "{\"__metadata__\":{\"a\":\"\",\"a\":\"\"}," ENTRY ("a", "[6]", "[0,24]") "}", "twice" },
    { "{" ENTRY ("a", "[6]", "[0,24]") "," ENTRY ("a", "[6]", "[0,24]") "}", "twice" },
    { "{" ENTRY ("a", "[3]", "[0,12]") "," ENTRY ("b", "[3]", "[8,20]") "}", "overlap" },
    { "{" ENTRY ("a", "[6]", "[0,24]") "," ENTRY ("b", "[6]", "[0,24]") "}", "overlap" },
    { "{" ENTRY ("a", "[2]", "[0,8]") "," ENTRY ("b", "[2]", "[16,24]") "}", "8 bytes between a and b" },
    { "{" ENTRY ("a", "[2]", "[0,8]") "}", "16 bytes at the end" },
    { "{" ENTRY ("a", "[6]", "[4,28]") "}", "not inside" },
    { "{" ENTRY ("a", "[6]", "[24,0]") "}", "not inside" },
    { "{" ENTRY ("a", "[6]", "[-24,0]") "}", "data_offsets" },
    { "{" ENTRY ("a", "[6]", "[0,24,30]") "}", "data_offsets" },
    { "{" ENTRY ("a", "[6]", "[0]") "}", "data_offsets" },
    { "{" ENTRY ("a", "[6]", "[0,99999999999999999999999]") "}", "" },
    { "{" ENTRY ("a", "[7]", "[0,24]") "}", "needs 28 bytes" },
    { "{" ENTRY ("a", "[-6]", "[0,24]") "}", "shape" },
    { "{" ENTRY ("a", "[[6]]", "[0,24]") "}", "deeper" },
    { "{" ENTRY ("a", "[\"6\"]", "[0,24]") "}", "shape" },
    { "{" ENTRY ("a", "6", "[0,24]") "}", "shape" },
    { "{" ENTRY ("a", "[1,1,1,1,1,1,1,1,6]", "[0,24]") "}", "more than 8 dimensions" },
    { "{" ENTRY ("a", "[4294967296,4294967296]", "[0,24]") "}", "too large" },
    { "{" ENTRY ("a", "[4611686018427387904,4]", "[0,0]") "}", "too large" },
    { "{" ENTRY ("a", "[0,4611686018427387904,4]", "[0,0]") "}", "too large" },
    { "{" ENTRY ("", "[6]", "[0,24]") "}", "is empty" },
    { "{" ENTRY ("module.", "[6]", "[0,24]") "}", "nothing more" },
    { "{" ENTRY ("a\\u0007", "[6]", "[0,24]") "}", "control character" },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    assert_refused (make_safetensors (cases[i].header, numbers, sizeof numbers), cases[i].words);
}

/* Headers that are large: of brackets, of depth, of a claimed length. */
static void
test_safetensors_bombs (void)
{
  static const struct {
    const gchar *unit, *words;
  } cases[] = {
    { "[", "deeper" },     { "{\"\":", "deeper" },      { "[],", "brackets" },
    { "{},", "brackets" }, { "\"\":1,", "breaks off" }, { "1,", "breaks off" },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GString) header = g_string_new ("{\"a\":");
    while (header->len < 1000000)
      g_string_append (header, cases[i].unit);
    assert_refused (make_safetensors (header->str, NULL, 0), cases[i].words);
  }
  static const guint64 lengths[] = { 3, 100000001, G_MAXUINT32, G_MAXINT64, G_MAXUINT64, G_MAXUINT64 - 7 };
  for (gsize i = 0; i < G_N_ELEMENTS (lengths); i++) {
    GByteArray *out = g_byte_array_new ();
    make_u64 (out, lengths[i]);
    make_raw (out, "{}", 2);
    assert_refused (make_bytes (out), "header claims");
  }
}

/* -------------------------------------------------------------------- pickles */

static GByteArray *
begin (void)
{
  GByteArray *pickle = g_byte_array_new ();
  pickle_begin (pickle);
  return pickle;
}

/* A checkpoint whose pickle is PROTO 2 and then @size bytes of @code. */
static GBytes *
with_code (gconstpointer code, gsize size)
{
  GByteArray *pickle = begin ();
  make_raw (pickle, code, size);
  return make_pytorch (pickle, 1, numbers, sizeof numbers);
}

static void
test_pickle_opcodes (void)
{
  static const struct {
    const gchar *code;
    gsize size;
    const gchar *words;
  } cases[] = {
#define CODE(text) text, sizeof text - 1
    { CODE ("cos\nsystem\n(X\x02\x00\x00\x00"
            "lstR."),
      "os.system" },
    { CODE ("cbuiltins\neval\n."), "builtins.eval" },
    { CODE ("X\x02\x00\x00\x00osX\x06\x00\x00\x00system\x93."), "os.system" },
    { CODE ("ctorch\nComplexFloatStorage\n."), "torch.ComplexFloatStorage" },
    { CODE ("ctorch._utils\n_rebuild_tensor_v2."), "in the name of a global" },
    { CODE ("ca\x1b[31m\nb\n."), "a\\x1b[31m.b" },
    { CODE ("(ios\nsystem\n."), "INST" },
    { CODE ("(ctorch\nSize\no."), "OBJ" },
    { CODE ("ctorch\nSize\n)}\x92."), "NEWOBJ_EX" },
    { CODE ("\x82\x01."), "EXT1" },
    { CODE ("Pos.system\n."), "PERSID" },
    { CODE ("I1\n."), "INT" },
    { CODE ("\xff."), "0xff is no opcode" },
    { CODE ("\x80\x09."), "protocol 9" },
    { CODE ("N"), "without STOP" },
    { CODE (""), "without STOP" },
    { CODE ("."), "0 values" },
    { CODE ("NN."), "2 values" },
    { CODE ("(N."), "stops with" },
    { CODE ("0."), "takes more" },
    { CODE ("N(00N0."), "0 values" },
    { CODE ("N(R."), "takes more" },
    { CODE ("2."), "takes more" },
    { CODE ("a."), "takes more" },
    { CODE ("Na."), "takes more" },
    { CODE ("]N(a."), "takes more" },
    { CODE ("1."), "mark" },
    { CODE ("t."), "mark" },
    { CODE ("u."), "mark" },
    { CODE ("(u."), "takes more" },
    { CODE ("NNa."), "no list" },
    { CODE ("}(Nu."), "key without a value" },
    { CODE (")NNs."), "no dict" },
    { CODE ("\x85."), "takes more" },
    { CODE ("h\x00."), "never stored" },
    { CODE ("j\xff\xff\xff\xff."), "never stored" },
    { CODE ("Nq\x05h\x04."), "never stored" },
    { CODE ("Nr\xff\xff\xff\x7f."), "cannot have so many" },
    { CODE ("q\x00."), "takes more" },
    { CODE ("\x94."), "takes more" },
    { CODE ("X\xff\xff\xff\xff"
            "a."),
      "cut short" },
    { CODE ("\x8d\xff\xff\xff\xff\xff\xff\xff\xff"
            "a."),
      "cut short" },
    { CODE ("\x8e\xff\xff\xff\xff\xff\xff\xff\x7f"
            "a."),
      "cut short" },
    { CODE ("X\x01\x00\x00\x00\xff."), "not UTF-8" },
    { CODE ("\x95\xff\xff\xff\xff\xff\xff\xff\xff."), "frame" },
    { CODE ("\x8a\xff."), "cut short" },
    { CODE ("J\x00\x00."), "cut short" },
    { CODE ("G\x00."), "cut short" },
    { CODE ("N)R."), "no function" },
    { CODE ("ctorch\nSize\nNR."), "no tuple" },
    { CODE ("ctorch\nSize\n)R."), "do not suit" },
    { CODE ("ctorch\nFloatStorage\n)R."), "do not suit" },
    { CODE ("ctorch._utils\n_rebuild_parameter\nN\x85R."), "do not suit" },
    { CODE ("ctorch._utils\n_rebuild_tensor_v2\n)R."), "not made of a storage" },
    { CODE ("ccollections\nOrderedDict\nN\x85R."), "neither a dict nor a list" },
    { CODE ("ccollections\nOrderedDict\n]Na\x85R."), "something else than pairs" },
    { CODE ("NQ."), "does not name a storage" },
    { CODE (")Q."), "does not name a storage" },
    { CODE ("U\x06"
            "module\x85Q."),
      "whole module" },
    { CODE ("N}b."), "sets attributes" },
    { CODE ("N."), "no weights" },
    { CODE ("}."), "no weights" },
    { CODE ("}X\x03\x00\x00\x00"
            "emaNs."),
      "no weights" },
#undef CODE
  };
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    assert_refused (with_code (cases[i].code, cases[i].size), cases[i].words);
}

/* A list in itself, a dict in itself, everything through the memo: legal, and no reader may walk round in it. */
static void
test_pickle_cycles (void)
{
  static const gchar list[] = "]q\x00h\x00"
                              "a.",
                     dict[] = "}q\x00U\x03"
                              "emah\x00sh\x00U\x06moduleh\x00s0.";
  assert_refused (with_code (list, sizeof list - 1), "no weights");
  assert_refused (with_code (dict, sizeof dict - 1), "no weights");
  GByteArray *deep = begin ();
  for (guint i = 0; i < 1000000; i++)
    pickle_op (deep, ']');
  for (guint i = 0; i < 999999; i++)
    pickle_op (deep, 'a');
  pickle_end (deep);
  assert_refused (make_pytorch (deep, 0, NULL, 0), "no weights");
  GByteArray *tuples = begin ();
  pickle_op (tuples, 'N');
  for (guint i = 0; i < 1000000; i++)
    pickle_op (tuples, '\x85');
  pickle_end (tuples);
  assert_refused (make_pytorch (tuples, 0, NULL, 0), "no weights");
  GByteArray *marks = begin ();
  for (guint i = 0; i < 1000000; i++)
    pickle_op (marks, '(');
  pickle_end (marks);
  assert_refused (make_pytorch (marks, 0, NULL, 0), "stops with");
}

/* Copies of copies: a dict of 2^n items in a few bytes each. */
static void
test_pickle_bomb (void)
{
  GByteArray *pickle = begin ();
  make_raw (pickle, "ccollections\nCounter\nq\x00}q\x01", 26);
  for (guint i = 0; i < 10000; i++)
    make_raw (pickle, "NNs", 3);
  for (guint i = 0; i < 10000; i++)
    make_raw (pickle, "h\x00h\x01\x85R0", 7);
  pickle_end (pickle);
  assert_refused (make_pytorch (pickle, 0, NULL, 0), "times its own size");
}

/* -------------------------------------------------------------------- tensors */

/* A dict of one tensor "w", in a zip with one storage "0" of the six numbers. */
static GBytes *
with_tensor (const MakeTensor *tensor)
{
  GByteArray *pickle = begin ();
  pickle_op (pickle, '}');
  pickle_item (pickle, "w", tensor);
  pickle_end (pickle);
  return make_pytorch (pickle, 1, numbers, sizeof numbers);
}

static void
test_tensors (void)
{
  static const struct {
    MakeTensor tensor;
    const gchar *words;
  } cases[] = {
    { { "0", "FloatStorage", 6, 0, 1, { 7 }, { 1 }, FALSE }, "beyond its storage" },
    { { "0", "FloatStorage", 6, 1, 1, { 6 }, { 1 }, FALSE }, "beyond its storage" },
    { { "0", "FloatStorage", 6, 6, 0, { 0 }, { 0 }, FALSE }, "beyond its storage" },
    { { "0", "FloatStorage", 6, 0, 2, { 2, 3 }, { 4, 1 }, FALSE }, "beyond its storage" },
    { { "0", "FloatStorage", 6, 0, 1, { 2 }, { G_MAXINT64 }, FALSE }, "beyond its storage" },
    { { "0", "FloatStorage", 6, G_MAXINT64, 1, { 2 }, { G_MAXINT64 }, FALSE }, "beyond its storage" },
    { { "0", "FloatStorage", 6, 0, 2, { 3, 3 }, { G_MAXINT64, G_MAXINT64 }, FALSE }, "beyond its storage" },
    { { "0", "FloatStorage", 6, -1, 1, { 2 }, { 1 }, FALSE }, "not made of a storage" },
    { { "0", "FloatStorage", 6, 0, 1, { -2 }, { 1 }, FALSE }, "whole numbers" },
    { { "0", "FloatStorage", 6, 5, 1, { 2 }, { -1 }, FALSE }, "whole numbers" },
    { { "0", "FloatStorage", 6, 0, 9, { 1, 1, 1, 1, 1, 1, 1, 1, 1 }, { 0 }, FALSE }, "9 dimensions" },
    { { "0", "FloatStorage", 6, 0, 2, { G_MAXINT64, G_MAXINT64 }, { 0, 0 }, FALSE }, "too large" },
    { { "0", "FloatStorage", 6, 0, 2, { 0, G_MAXINT64 }, { 0, 0 }, FALSE }, "too large" },
    /* one number, a thousand million times */
    { { "0", "FloatStorage", 6, 0, 2, { 32768, 32768 }, { 0, 0 }, FALSE }, "more data than the file holds" },
    { { "0", "FloatStorage", 6, 0, 1, { 1ll << 50 }, { 0 }, FALSE }, "more data than the file holds" },
    { { "0", "FloatStorage", 5, 0, 1, { 5 }, { 1 }, FALSE }, "has 24 bytes, its tensors need 20" },
    { { "0", "FloatStorage", 1ll << 40, 0, 1, { 1 }, { 1 }, FALSE }, "its tensors need" },
    { { "0", "LongStorage", 6, 0, 1, { 6 }, { 1 }, FALSE }, "has 24 bytes, its tensors need 48" },
    { { "0", "FloatStorage", -6, 0, 1, { 6 }, { 1 }, FALSE }, "a storage of -6 elements" },
    { { "0", "FloatStorage", G_MAXINT64, 0, 1, { 6 }, { 1 }, FALSE }, "a storage of" },
    { { "1", "FloatStorage", 6, 0, 1, { 6 }, { 1 }, FALSE }, "no entry x/data/1" },
    { { "../byteorder", "FloatStorage", 6, 0, 1, { 6 }, { 1 }, FALSE }, "no entry" },
    { { "0", "Size", 6, 0, 1, { 6 }, { 1 }, FALSE }, "does not name a storage" },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    assert_refused (with_tensor (&cases[i].tensor), cases[i].words);

  static const MakeTensor good = { "0", "FloatStorage", 6, 0, 1, { 6 }, { 1 }, FALSE };
  static const MakeTensor other = { "0", "IntStorage", 6, 0, 1, { 6 }, { 1 }, FALSE };
  GByteArray *twice = begin ();
  pickle_op (twice, '}');
  pickle_item (twice, "w", &good);
  pickle_item (twice, "w", &good);
  pickle_end (twice);
  assert_refused (make_pytorch (twice, 1, numbers, sizeof numbers), "two tensors are called w");
  GByteArray *types = begin ();
  pickle_op (types, '}');
  pickle_item (types, "v", &good);
  pickle_item (types, "w", &other);
  pickle_end (types);
  assert_refused (make_pytorch (types, 1, numbers, sizeof numbers), "once 6 times float32 and once 6 times int32");
}

/* Views of a storage of 6 elements, as PyTorch wrote them until 0.3. */
static void
test_views (void)
{
  static const gint64 views[][2] = { { -1, 2 }, { 2, 5 }, { 7, 0 }, { 1, G_MAXINT64 }, { G_MAXINT64, 1 }, { 0, -1 } };
  for (gsize i = 0; i < G_N_ELEMENTS (views); i++) {
    GByteArray *pickle = begin ();
    pickle_op (pickle, '(');
    pickle_text (pickle, "storage");
    pickle_global (pickle, "torch", "FloatStorage");
    make_raw (pickle,
              "U\x01"
              "0U\x03"
              "cpuK\x06U\x01"
              "1",
              13);
    pickle_int (pickle, views[i][0]);
    pickle_int (pickle, views[i][1]);
    make_raw (pickle, "\x87tQ.", 4);
    assert_refused (make_legacy (pickle, "0", 6, numbers, sizeof numbers), "reaches beyond it");
  }
}

/* ------------------------------------------------------------------ containers */

static GBytes *
zip_with (const MakeEntry *storage, const gchar *byte_order)
{
  g_autoptr (GByteArray) pickle = make_small_pickle (FALSE);
  MakeEntry entries[3] = {
    { .name = "x/data.pkl", .data = pickle->data, .size = pickle->len },
    { .name = "x/byteorder", .data = byte_order, .size = strlen (byte_order) },
    *storage,
  };
  return make_zip (entries, 3);
}

static void
test_zip (void)
{
  static const struct {
    MakeEntry storage;
    const gchar *byte_order, *words;
  } cases[] = {
    { { .name = "x/data/0", .data = numbers, .size = 24 }, "big", "byte order is \"big\"" },
    { { .name = "x/data/0", .data = numbers, .size = 24 }, "", "byte order is \"\"" },
    { { .name = "x/data/0", .data = numbers, .size = 20 }, "little", "its tensors need 24" },
    { { .name = "x/data/0", .data = numbers, .size = 24, .crc = 7 }, "little", "damaged" },
    { { .name = "x/data/0", .data = numbers, .size = 24, .flags = 1 }, "little", "encrypted" },
    { { .name = "x/data/0", .data = numbers, .size = 24, .method = 14 }, "little", "method 14" },
    { { .name = "x/data/0", .data = numbers, .size = 24, .method = 8 }, "little", "x/data/0" },
    { { .name = "x/data/0", .data = numbers, .size = 24, .packed_claim = 0x7fffffff }, "little", "beyond the end" },
    { { .name = "x/data/0", .data = numbers, .size = 24, .packed_claim = 12 }, "little", "claims 24 bytes in 12" },
    { { .name = "x/data/0", .data = numbers, .size = 24, .size_claim = 0x7fffffff }, "little", "its tensors need" },
    { { .name = "x/data/0", .data = numbers, .size = 24, .deflate = TRUE, .size_claim = 20 }, "little", "need 24" },
    { { .name = "x/data/0", .data = numbers, .size = 20, .deflate = TRUE, .size_claim = 24 }, "little", "after 20" },
    { { .name = "x/data/0", .data = numbers, .size = 24, .offset_claim = 1 }, "little", "overlaps" },
    { { .name = "x/data/0", .data = numbers, .size = 24, .offset_claim = 60 }, "little", "not where" },
    { { .name = "x/byteorder", .data = "little", .size = 6 }, "little", "two entries" },
    { { .name = "y/data.pkl", .data = "N.", .size = 2 }, "little", "two checkpoints" },
    { { .name = "x/constants.pkl", .data = "N.", .size = 2 }, "little", "TorchScript" },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    assert_refused (zip_with (&cases[i].storage, cases[i].byte_order), cases[i].words);

  const MakeEntry alone = { .name = "readme.txt", .data = "hello", .size = 5 };
  assert_refused (make_zip (&alone, 1), "no ROOT/data.pkl");
}

/* Deflated entries a thousand times smaller than what they claim. */
static void
test_zip_bombs (void)
{
  gsize size = 8u << 20;
  g_autofree guint8 *zeros = g_malloc0 (size);
  MakeTensor tensor = { "0", "FloatStorage", (gint64) size / 4, 0, 1, { (gint64) size / 4 }, { 1 }, FALSE };
  g_autoptr (GByteArray) pickle = begin ();
  pickle_op (pickle, '}');
  pickle_item (pickle, "w", &tensor);
  pickle_end (pickle);
  MakeEntry storage[] = {
    { .name = "x/data.pkl", .data = pickle->data, .size = pickle->len },
    { .name = "x/data/0", .data = zeros, .size = size, .deflate = TRUE },
  };
  assert_refused (make_zip (storage, 2), "zip bomb");

  /* The claim is what the tensors need, the contents are larger. */
  g_autoptr (GByteArray) small = make_small_pickle (FALSE);
  storage[0] = (MakeEntry){ .name = "x/data.pkl", .data = small->data, .size = small->len };
  storage[1].size_claim = 24;
  assert_refused (make_zip (storage, 2), "longer than");

  /* data.pkl itself: 8 MiB of NONE; then a claim of more than is ever read */
  memset (zeros, 'N', size);
  storage[0] = (MakeEntry){ .name = "x/data.pkl", .data = zeros, .size = size, .deflate = TRUE };
  assert_refused (make_zip (storage, 1), "zip bomb");
  storage[0].size_claim = (64u << 20) + 1;
  assert_refused (make_zip (storage, 1), "at most 67108864");
}

static void
test_legacy (void)
{
  static const struct {
    const gchar *keys, *words;
    guint64 count;
    gsize size;
  } cases[] = {
    { "0;0", "listed twice", 6, 24 },
    { "0;1", "data and no tensor", 6, 24 },
    { "1", "data and no tensor", 6, 24 },
    { "0", "cut short or damaged; copy or download it again", 6, 20 },
    { "0", "belong to nothing", 6, 25 },
    { "0", "the pickle says 6", 7, 28 },
    { "0", "the pickle says 6", G_MAXUINT64, 24 },
  };
  guint8 data[32] = { 0 };
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    assert_refused (make_legacy (make_small_pickle (TRUE), cases[i].keys, cases[i].count, data, cases[i].size),
                    cases[i].words);

  MakeTensor huge = { "0", "FloatStorage", 1ll << 60, 0, 1, { 1 }, { 1 }, TRUE };
  GByteArray *pickle = begin ();
  pickle_op (pickle, '}');
  pickle_item (pickle, "w", &huge);
  pickle_end (pickle);
  assert_refused (make_legacy (pickle, "0", 1ll << 60, data, sizeof data), "cut short");

  /* tensors of a storage that is not in the list */
  MakeTensor lost = { "1", "FloatStorage", 6, 0, 1, { 6 }, { 1 }, TRUE };
  MakeTensor good = { "0", "FloatStorage", 6, 0, 1, { 6 }, { 1 }, TRUE };
  pickle = begin ();
  pickle_op (pickle, '}');
  pickle_item (pickle, "v", &good);
  pickle_item (pickle, "w", &lost);
  pickle_end (pickle);
  assert_refused (make_legacy (pickle, "0", 6, numbers, sizeof numbers), "tensors and no data");

  static const struct {
    const gchar *text;
    gsize size;
    const gchar *words;
  } starts[] = {
#define START(text) text, sizeof text - 1
    { START ("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe8\x03.\x80\x02}."), "1001" },
    { START ("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}."), "big-endian" },
    { START ("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x18."), "not one of torch.save()" },
#undef START
  };
  for (gsize i = 0; i < G_N_ELEMENTS (starts); i++)
    assert_refused (g_bytes_new (starts[i].text, starts[i].size), starts[i].words);
}

/* ----------------------------------------------------------------------- memory */

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1 /* as gcc calls it */
#endif
#endif

/* After all of the above, none of which may have needed much. */
static void
test_memory (void)
{
#ifndef __SANITIZE_ADDRESS__
  struct rusage usage;
  g_assert_cmpint (getrusage (RUSAGE_SELF, &usage), ==, 0);
  g_test_message ("at most %ld MiB", usage.ru_maxrss / 1024);
  g_assert_cmpint (usage.ru_maxrss, <, 96 * 1024);
#else
  g_test_skip ("a sanitizer keeps freed memory");
#endif
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/formats-hostile/strangers", test_strangers);
  g_test_add_func ("/formats-hostile/bent-safetensors", test_bent_safetensors);
  g_test_add_func ("/formats-hostile/bent-zip", test_bent_zip);
  g_test_add_func ("/formats-hostile/bent-deflated", test_bent_deflated);
  g_test_add_func ("/formats-hostile/bent-legacy", test_bent_legacy);
  g_test_add_func ("/formats-hostile/safetensors", test_safetensors);
  g_test_add_func ("/formats-hostile/safetensors-bombs", test_safetensors_bombs);
  g_test_add_func ("/formats-hostile/pickle-opcodes", test_pickle_opcodes);
  g_test_add_func ("/formats-hostile/pickle-cycles", test_pickle_cycles);
  g_test_add_func ("/formats-hostile/pickle-bomb", test_pickle_bomb);
  g_test_add_func ("/formats-hostile/tensors", test_tensors);
  g_test_add_func ("/formats-hostile/views", test_views);
  g_test_add_func ("/formats-hostile/zip", test_zip);
  g_test_add_func ("/formats-hostile/zip-bombs", test_zip_bombs);
  g_test_add_func ("/formats-hostile/legacy", test_legacy);
  g_test_add_func ("/formats-hostile/memory", test_memory);
  return g_test_run ();
}
