/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-onnx-hostile.c - ONNX files that are wrong, or of other networks: each gives one error that says so, in little
 * memory and time; and what a build without the reader says. test-corpora.c reads what the fuzzer kept.
 */
#include <string.h>
#include <sys/resource.h>

#include "engine/error.h"
#include "engine/formats/checkpoint.h"
#include "onnx-make.h"

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

#ifndef DEIM_HAVE_ONNX

static void
test_lacking (void)
{
  assert_refused (make_onnx (make_small_onnx ()), "-Donnx=enabled");
}

#else

/* ------------------------------------------------------------ other people's */

static void
test_foreign (void)
{
  static const gint64 four[] = { 8, 3, 1, 1 };
  static const gfloat zeros[24];
  GByteArray *yolo = g_byte_array_new ();
  make_onnx_node (yolo, "Conv", "/model.0/conv/Conv", "c", "images", "model.0.conv.weight", NULL);
  make_onnx_tensor (yolo, "model.0.conv.weight", 4, four, zeros);
  assert_refused (make_onnx (yolo), "export_onnx.py");
  GByteArray *dynamo = g_byte_array_new ();
  make_onnx_node (dynamo, "Conv", "node_conv2d", "c", "images", "model.backbone.stem.stem1.conv.weight", NULL);
  make_onnx_tensor (dynamo, "model.backbone.stem.stem1.conv.weight", 4, four, zeros);
  assert_refused (make_onnx (dynamo), "export_onnx.py");
  assert_refused (make_onnx (g_byte_array_new ()), "export_onnx.py");

  GByteArray *no_graph = g_byte_array_new ();
  make_number (no_graph, 1, 8);
  make_field (no_graph, 2, "x", 1);
  assert_refused (g_byte_array_free_to_bytes (no_graph), "export_onnx.py");
  /* Messages of other programs that begin alike. */
  assert_refused (g_bytes_new_static ("\x08\x01\x12", 3), "cannot be decoded");
  assert_refused (g_bytes_new_static ("\x08\x01", 2), "not a checkpoint");
  assert_refused (g_bytes_new_static ("\x08\x01\x4a\x01x", 5), "not a checkpoint");
}

/* ------------------------------------------------------------------- tensors */

/* A right file with one tensor more, of the fields in @tensor (transfer full). */
static GBytes *
with_tensor (GByteArray *tensor)
{
  GByteArray *graph = make_small_onnx ();
  make_field (tensor, 8, "odd", 3);
  make_field (graph, 5, tensor->data, tensor->len);
  g_byte_array_unref (tensor);
  return make_onnx (graph);
}

static GByteArray *
tensor_of (guint type, guint n_dims, const gint64 *dims)
{
  GByteArray *tensor = g_byte_array_new ();
  for (guint i = 0; i < n_dims; i++)
    make_number (tensor, 1, (guint64) dims[i]);
  make_number (tensor, 2, type);
  return tensor;
}

static void
test_tensors (void)
{
  static const struct {
    guint type, n_dims;
    gint64 dims[9];
    guint bytes;
    const gchar *words;
  } cases[] = {
    { 1, 1, { 3 }, 8, "needs 12 bytes and it has 8" },
    { 1, 1, { 1 }, 8, "needs 4 bytes and it has 8" },
    { 1, 0, { 0 }, 0, "needs 4 bytes and it has 0" },
    { 1, 2, { G_GINT64_CONSTANT (1) << 40, 1 }, 4, "needs 4398046511104 bytes" },
    { 1, 4, { 1 << 30, 1 << 30, 1 << 30, 1 << 30 }, 4, "too large" },
    { 1, 3, { 1 << 30, 0, G_MAXINT64 }, 0, "too large" },
    { 1, 1, { -1 }, 4, "negative" },
    { 1, 9, { 1, 1, 1, 1, 1, 1, 1, 1, 1 }, 4, "9 dimensions" },
    { 8, 1, { 1 }, 4, "of a type (8)" },
    { 0, 1, { 1 }, 4, "of a type (0)" },
    { 99, 1, { 1 }, 4, "of a type (99)" },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    static const gfloat zeros[4];
    GByteArray *tensor = tensor_of (cases[i].type, cases[i].n_dims, cases[i].dims);
    make_field (tensor, 9, zeros, cases[i].bytes);
    assert_refused (with_tensor (tensor), cases[i].words);
  }
  static const gint64 one = 1;
  assert_refused (with_tensor (tensor_of (1, 1, &one)), "needs 4 bytes and it has 0");
  assert_refused (with_tensor (tensor_of (10, 1, &one)), "raw data");

  GByteArray *external = tensor_of (1, 1, &one);
  make_number (external, 14, 1);
  assert_refused (with_tensor (external), "external data");
  external = tensor_of (1, 1, &one);
  make_field (external, 13, "\x0a\x08location\x12\x01x", 13);
  assert_refused (with_tensor (external), "external data");

  GByteArray *twice = make_small_onnx ();
  make_onnx_tensor (twice, "onnx::Conv_1", 1, &one, (gfloat[]){ 0 });
  assert_refused (make_onnx (twice), "two tensors are called \"onnx::Conv_1\"");
}

/* A tensor whose numbers stand in a list, packed or not, as other programs write them. */
static void
test_lists (void)
{
  static const gint64 two = 2;
  static const gfloat values[2] = { 1, 2 };
  GByteArray *tensor = tensor_of (1, 1, &two);
  make_field (tensor, 4, values, sizeof values);
  make_field (tensor, 8, "model.decoder.x", 15);
  GByteArray *graph = make_small_onnx ();
  make_field (graph, 5, tensor->data, tensor->len);
  g_byte_array_unref (tensor);
  g_autoptr (GBytes) bytes = make_onnx (graph);
  g_autoptr (GError) error = NULL;
  g_autoptr (DeimCheckpoint) checkpoint = deim_checkpoint_parse (bytes, "list", &error);
  g_assert_no_error (error);
  const DeimCheckpointTensor *read = deim_checkpoint_lookup (checkpoint, "decoder.x");
  g_assert_cmpmem (read->data, 8, values, 8);
}

/* --------------------------------------------------------------------- nodes */

static void
test_nodes (void)
{
  static const gfloat zeros[64];
  static const struct {
    const gchar *op, *name, *inputs[3];
    const gchar *words;
  } cases[] = {
    { "Conv", "/model/backbone/stem/stem2/conv/Conv", { "x", "computed" }, "no kernel of its own" },
    { "Conv", "/model/backbone/stem/stem2/conv/Conv", { "x", "onnx::MatMul_3" }, "no kernel of its own" },
    { "Conv", "/model/backbone/stem/stem2/conv/Conv", { "x" }, "no kernel of its own" },
    { "Conv", "/model/backbone/stem/stem2/conv/Conv", { "x", "four", "computed" }, "does not fit its kernel" },
    { "Conv", "/model/backbone/stem/stem2/conv/Conv", { "x", "four", "onnx::Add_10" }, "does not fit its kernel" },
    { "Conv", "/model/backbone/stem/mystery/Conv", { "x", "four", "three" }, "no network known here has" },
    { "Conv", "/model/Conv", { "x", "four", "three" }, "between the modules" },
    { "MatMul", "/model/MatMul", { "x", "matrix" }, "between the modules" },
    { "Mul", "/model/decoder/mystery/Mul", { "x", "matrix" }, "belong to no module" },
    { "Mul", "/model/Mul", { "x", "channels" }, "is in no module" },
    { "MatMul", "/model/decoder/enc_score_head/MatMul", { "x", "matrix" }, "two tensors are called" },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    GByteArray *graph = make_small_onnx ();
    make_onnx_node (graph, cases[i].op, cases[i].name, "y", cases[i].inputs[0], cases[i].inputs[1], cases[i].inputs[2],
                    NULL);
    make_onnx_tensor (graph, "matrix", 2, (gint64[]){ 4, 4 }, zeros);
    make_onnx_tensor (graph, "four", 4, (gint64[]){ 3, 2, 1, 1 }, zeros);
    make_onnx_tensor (graph, "three", 1, (gint64[]){ 3 }, zeros);
    make_onnx_tensor (graph, "channels", 4, (gint64[]){ 1, 9, 1, 1 }, zeros);
    assert_refused (make_onnx (graph), cases[i].words);
  }

  /* An attention of which a projection is missing, and one that is too wide. */
  for (guint wide = 0; wide < 2; wide++) {
    GByteArray *graph = make_small_onnx ();
    make_onnx_node (graph, "MatMul", "/model/encoder/a/self_attn/MatMul", "y", "x", "matrix", NULL);
    make_onnx_node (graph, "Add", "/model/encoder/a/self_attn/Add", "z", "y", "vector", NULL);
    make_onnx_tensor (graph, "matrix", 2, (gint64[]){ 2, wide ? 7 : 5 }, zeros);
    make_onnx_tensor (graph, "vector", 1, (gint64[]){ wide ? 7 : 5 }, zeros);
    assert_refused (make_onnx (graph), wide ? "does not fit the others" : "not followed by all projections");
  }

  /* Boxes as distributions whose scale was lost would be decoded with another one. */
  GByteArray *graph = make_small_onnx ();
  make_onnx_tensor (graph, "model.decoder.pre_bbox_head.layers.0.weight", 2, (gint64[]){ 4, 4 }, zeros);
  assert_refused (make_onnx (graph), "decoder.reg_scale");
}

/* ----------------------------------------------------------------- operators */

/* Operators that an official export does not have there, or that compute something else than they do in one. */
static void
test_operators (void)
{
  static const gchar cross[] = "/model/decoder/decoder/layers.0/cross_attn/GridSample";
  static const struct {
    const gchar *op, *name, *domain, *attribute, *text;
    gint64 number;
    const gchar *words; /* NULL: accepted */
  } cases[] = {
    { "Relu", "/model/backbone/act/Relu", "", "x", "", 0, NULL },
    { "Relu", "/model/backbone/act/Relu", "ai.onnx", "x", "", 0, NULL },
    { "Relu", "/model/backbone/act/Relu", "com.mine", "x", "", 0, "\"com.mine.Relu\"" },
    { "Selu", "/model/backbone/act/Selu", "", "x", "", 0, "\"/model/backbone/act/Selu\" has the operator \"Selu\"" },
    { "Selu", "/model/backbone/act/Selu", "", "x", "", 0,
      "in the backbone (accepted: arithmetic, shapes, AveragePool, Conv, MaxPool, Pad, Relu)" },
    { "Sigmoid", "/model/backbone/act/Sigmoid", "", "x", "", 0, "in the backbone" },
    { "Relu", "/model/encoder/act/Relu", "", "x", "", 0, "in the encoder" },
    { "Erf", "/model/decoder/act/Erf", "", "x", "", 0, "in the decoder" },
    { "If", "/model/decoder/If", "", "x", "", 0, "in the decoder" },
    { "NonMaxSuppression", "/postprocessor/NonMaxSuppression", "", "x", "", 0, "behind the network" },
    { "Relu", "Relu_17", "", "x", "", 0, "behind the network" },
    { "Relu", "/model/Relu", "", "x", "", 0, "between the modules (accepted: arithmetic, shapes):" },
    { "Sigmoid", "/Sigmoid", "", "x", "", 0, NULL }, /* the postprocessor of others */
    { "Cast", "Cast_17", "", "to", NULL, 1, NULL },
    { "", "/model/decoder/x", "", "x", "", 0, "the operator \"\"" },
    { "GridSample", cross, "", "mode", "bilinear", 0, NULL },
    { "GridSample", cross, "", "mode", "linear", 0, NULL },
    { "GridSample", cross, "", "mode", "bicubic", 0, "mode \"bicubic\", of which only \"bilinear\"" },
    { "GridSample", cross, "", "mode", "nearest", 0, "mode \"nearest\"" },
    { "GridSample", cross, "", "mode", "", 0, "mode \"\"" },
    { "GridSample", cross, "", "mode", "bilinear\n", 0, "mode" },
    { "GridSample", cross, "", "mode", NULL, 0, "mode \"0\"" },
    { "GridSample", cross, "", "padding_mode", "zeros", 0, NULL },
    { "GridSample", cross, "", "padding_mode", "border", 0, "padding_mode \"border\"" },
    { "GridSample", cross, "", "align_corners", NULL, 0, NULL },
    { "GridSample", cross, "", "align_corners", NULL, 1, "align_corners \"1\", of which only \"0\"" },
    { "GridSample", "/model/encoder/GridSample", "", "mode", "bilinear", 0, "in the encoder" },
    { "Gelu", "/model/encoder/Gelu", "", "approximate", "none", 0, NULL },
    { "Gelu", "/model/encoder/Gelu", "", "approximate", "tanh", 0, "approximate \"tanh\"" },
    { "Resize", "/model/encoder/Resize", "", "mode", "nearest", 0, NULL },
    { "Resize", "/model/encoder/Resize", "", "mode", "linear", 0, "mode \"linear\"" },
    { "Pad", "/model/backbone/Pad", "", "mode", "reflect", 0, "mode \"reflect\"" },
    { "TopK", "/model/decoder/TopK_1", "", "largest", NULL, 1, NULL },
    { "TopK", "/model/decoder/TopK_1", "", "largest", NULL, 0, "largest \"0\"" },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    GByteArray *graph = make_small_onnx ();
    make_onnx_odd_node (graph, cases[i].op, cases[i].name, cases[i].domain, cases[i].attribute, cases[i].text,
                        cases[i].number);
    if (cases[i].words) {
      assert_refused (make_onnx (graph), cases[i].words);
      continue;
    }
    g_autoptr (GBytes) bytes = make_onnx (graph);
    g_autoptr (GError) error = NULL;
    g_autoptr (DeimCheckpoint) checkpoint = deim_checkpoint_parse (bytes, "right", &error);
    g_assert_no_error (error);
    g_assert_nonnull (checkpoint);
  }
}

/* Without TopK, or with that of the postprocessor only. */
static void
test_selection (void)
{
  for (guint post = 0; post < 2; post++) {
    GByteArray *graph = g_byte_array_new ();
    static const gfloat zeros[4];
    make_onnx_node (graph, "Relu", "/model/backbone/Relu", "r", "images", NULL);
    make_onnx_node (graph, "MatMul", "/model/decoder/enc_output/proj/MatMul", "m", "r", "matrix", NULL);
    make_onnx_tensor (graph, "matrix", 2, (gint64[]){ 2, 2 }, zeros);
    if (post)
      make_onnx_node (graph, "TopK", "/postprocessor/TopK", "t", "m", "k", NULL);
    assert_refused (make_onnx (graph), "no TopK in /model/decoder");
  }
}

/* ------------------------------------------------------------- bent, and bombs */

static void
test_bent (void)
{
  g_autoptr (GBytes) bytes = make_onnx (make_small_onnx ());
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
    }
  }
}

/* Two bytes of file for a structure of a hundred. */
static void
test_empty_messages (void)
{
  static const guint8 fields[] = { 1, 5 };
  for (guint f = 0; f < G_N_ELEMENTS (fields); f++) {
    GByteArray *graph = make_small_onnx ();
    for (guint i = 0; i < 500000; i++)
      make_field (graph, fields[f], "", 0);
    assert_refused (make_onnx (graph), "cannot be decoded");
  }
}

/* Messages in messages: what is not described is skipped, however deep. */
static void
test_deep (void)
{
  GByteArray *inner = g_byte_array_new ();
  for (guint i = 0; i < 2000; i++) {
    GByteArray *outer = g_byte_array_new ();
    make_field (outer, i % 3 == 0 ? 6 : i % 3 == 1 ? 5 : 1, inner->data, inner->len); /* g, attribute, node */
    g_byte_array_unref (inner);
    inner = outer;
  }
  GByteArray *node = g_byte_array_new (), *graph = make_small_onnx ();
  make_field (node, 5, inner->data, inner->len);
  make_field (graph, 1, node->data, node->len);
  g_byte_array_unref (inner);
  g_byte_array_unref (node);
  g_autoptr (GBytes) bytes = make_onnx (graph);
  g_autoptr (GError) error = NULL;
  g_autoptr (DeimCheckpoint) checkpoint = deim_checkpoint_parse (bytes, "deep", &error);
  g_assert_true (checkpoint || g_error_matches (error, DEIM_ERROR, DEIM_ERROR_FORMAT));
}

/* One matrix that stands for a thousand: a copy of each would be transposed. */
static void
test_copies (void)
{
  enum { SIDE = 512 };
  g_autofree gfloat *zeros = g_new0 (gfloat, SIDE * SIDE);
  GByteArray *graph = make_small_onnx ();
  make_onnx_tensor (graph, "matrix", 2, (gint64[]){ SIDE, SIDE }, zeros);
  for (guint i = 0; i < 1000; i++) {
    g_autofree gchar *alias = g_strdup_printf ("alias%u", i), *name = g_strdup_printf ("/model/decoder/m%u/MatMul", i);
    make_onnx_node (graph, "Identity", "", alias, "matrix", NULL);
    make_onnx_node (graph, "MatMul", name, "y", "x", alias, NULL);
  }
  assert_refused (make_onnx (graph), "over and over");
}

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

#endif

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#ifdef DEIM_HAVE_ONNX
  g_test_add_func ("/onnx-hostile/foreign", test_foreign);
  g_test_add_func ("/onnx-hostile/tensors", test_tensors);
  g_test_add_func ("/onnx-hostile/lists", test_lists);
  g_test_add_func ("/onnx-hostile/nodes", test_nodes);
  g_test_add_func ("/onnx-hostile/operators", test_operators);
  g_test_add_func ("/onnx-hostile/selection", test_selection);
  g_test_add_func ("/onnx-hostile/bent", test_bent);
  g_test_add_func ("/onnx-hostile/empty-messages", test_empty_messages);
  g_test_add_func ("/onnx-hostile/deep", test_deep);
  g_test_add_func ("/onnx-hostile/copies", test_copies);
  g_test_add_func ("/onnx-hostile/memory", test_memory);
#else
  g_test_add_func ("/onnx-hostile/lacking", test_lacking);
#endif
  return g_test_run ();
}
