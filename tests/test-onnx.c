/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-onnx.c - ONNX exports as state dicts: two published ones against the weights that were got out of them by other
 * means, and the other networks in files that are made here as the exporter would.
 */
#include <math.h>
#include <string.h>

#include "engine/error.h"
#include "engine/formats/npy.h"
#include "engine/formats/onnx.h"
#include "engine/graph/op.h"
#include "engine/model.h"
#include "onnx-make.h"
#include "shell.h"

/* ------------------------------------------------------------------- names */

static void
test_names (void)
{
  static const struct {
    const gchar *node, *module, *norm;
  } cases[] = {
    { "/model/backbone/stem/stem1/conv/Conv", "backbone.stem.stem1.conv", "backbone.stem.stem1.bn" },
    { "/model/backbone/stages.0/blocks/blocks.0/layers.1/conv2/conv/Conv",
      "backbone.stages.0.blocks.0.layers.1.conv2.conv", "backbone.stages.0.blocks.0.layers.1.conv2.bn" },
    { "/model/backbone/stem/stem2a/conv/conv.1/Conv", "backbone.stem.stem2a.conv.1", "backbone.stem.stem2a.bn" },
    { "/model/backbone/conv1/conv1_1/conv/Conv", "backbone.conv1.conv1_1.conv", "backbone.conv1.conv1_1.norm" },
    { "/model/backbone/res_layers.1/blocks/blocks.0/short/conv/conv/Conv",
      "backbone.res_layers.1.blocks.0.short.conv.conv", "backbone.res_layers.1.blocks.0.short.conv.norm" },
    { "/model/backbone/model/level2/tree1/conv1/Conv", "backbone.model.level2.tree1.conv1",
      "backbone.model.level2.tree1.bn1" },
    { "/model/backbone/model/base_layer/base_layer.0/Conv", "backbone.model.base_layer.0",
      "backbone.model.base_layer.1" },
    { "/model/encoder/encoder.0/layers.0/self_attn/MatMul", "encoder.encoder.0.layers.0.self_attn", NULL },
    { "/model/encoder/downsample_convs.0/downsample_convs.0.0/cv1/conv/Conv", "encoder.downsample_convs.0.0.cv1.conv",
      "encoder.downsample_convs.0.0.cv1.norm" },
    { "/model/decoder/input_proj.0/conv/Conv", "decoder.input_proj.0.conv", "decoder.input_proj.0.norm" },
    { "/model/decoder/decoder/layers.0/cross_attn/Mul_4", "decoder.decoder.layers.0.cross_attn", NULL },
    { "/model/decoder/Add", "decoder", NULL },
    { "/model/Add", NULL, NULL },
    { "/postprocessor/Add", NULL, NULL },
    { "Identity_3", NULL, NULL },
    { "", NULL, NULL },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree gchar *module = deim_onnx_module_of_node (cases[i].node);
    g_assert_cmpstr (module, ==, cases[i].module);
    g_autofree gchar *norm = module ? deim_onnx_norm_of_conv (module) : NULL;
    g_assert_cmpstr (norm, ==, cases[i].norm);
  }
  g_autofree gchar *block = deim_onnx_repvgg_of_conv ("encoder.fpn_block.cv2.0.bottlenecks.1.conv");
  g_assert_cmpstr (block, ==, "encoder.fpn_block.cv2.0.bottlenecks.1");
  g_assert_null (deim_onnx_repvgg_of_conv ("encoder.fpn_block.cv2.0.bottlenecks.1.conv1.conv"));
  g_assert_null (deim_onnx_repvgg_of_conv ("encoder.fpn_block.cv2.0.conv"));
  g_assert_null (deim_onnx_repvgg_of_conv ("conv"));
}

static void
test_small (void)
{
  static const gfloat rows[18] = { [0] = 0, 2, 1, 3, 1, 3, 2, 4, 2, 4, 3, 5 };
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = make_onnx (make_small_onnx ());
  g_autoptr (DeimCheckpoint) checkpoint = deim_checkpoint_parse (bytes, "small", &error);
  g_assert_no_error (error);
  g_assert_cmpuint (deim_checkpoint_get_n_tensors (checkpoint), ==, 9);
  const DeimCheckpointTensor *packed =
      deim_checkpoint_lookup (checkpoint, "decoder.decoder.layers.0.self_attn.in_proj_weight");
  g_assert_cmpint (packed->shape[0], ==, 6);
  g_assert_cmpmem (packed->data, 48, rows, 48);
  const DeimCheckpointTensor *variance = deim_checkpoint_lookup (checkpoint, "backbone.stem.stem1.bn.running_var");
  gfloat values[2];
  deim_checkpoint_tensor_to_float (variance, values);
  g_assert_true (values[1] + 1e-5f == 1.0f && values[1] < 1.0f);
  g_assert_cmpstr (deim_checkpoint_get_source (checkpoint), ==, "the initializers of an ONNX export");
}

/* -------------------------------------------------------- published exports */

static gchar *
real_file (const gchar *format, const gchar *size)
{
  g_auto (GStrv) parts = g_strsplit (format, "#", 2);
  g_autofree gchar *name = g_strconcat (parts[0], size, parts[1], NULL);
  gchar *path = golden_shared_file (name);
  if (!path)
    g_test_skip ("the published weights are not here");
  return path;
}

/* What the map says of @name: "transposed", "NOT IN ONNX, ..", .. */
static const gchar *
how (JsonObject *map, const gchar *name)
{
  return json_array_get_string_element (json_object_get_array_member (map, name), 1);
}

/* Every tensor is in the file that was made from the same export, to the bit; and of those that the map says come from
 * it, every one is there. */
static void
test_real_tensors (gconstpointer size)
{
  g_autoptr (GError) error = NULL;
  g_autofree gchar *path = real_file ("real/onnx/deimv2_hgnetv2_#_coco.onnx", size);
  g_autofree gchar *twin_path = path ? real_file ("real/deimv2_hgnetv2_#_coco.safetensors", size) : NULL;
  g_autofree gchar *map_path = twin_path ? real_file ("real/deimv2_hgnetv2_#_coco.map.json", size) : NULL;
  if (!map_path)
    return;
  g_autoptr (DeimCheckpoint) checkpoint = deim_checkpoint_open (path, &error);
  g_assert_no_error (error);
  g_autoptr (DeimCheckpoint) twin = deim_checkpoint_open (twin_path, &error);
  g_assert_no_error (error);
  g_autoptr (JsonParser) parser = json_parser_new ();
  g_assert_true (json_parser_load_from_file (parser, map_path, NULL));
  JsonObject *map = json_object_get_object_member (json_node_get_object (json_parser_get_root (parser)), "map");

  guint absent = 0;
  for (guint i = 0; i < deim_checkpoint_get_n_tensors (twin); i++) {
    const DeimCheckpointTensor *expected = deim_checkpoint_get (twin, i);
    const DeimCheckpointTensor *tensor = deim_checkpoint_lookup (checkpoint, expected->name);
    const gchar *origin = how (map, expected->name);
    if (!tensor) {
      if (!g_str_has_prefix (origin, "NOT IN ONNX") && !g_str_has_suffix (expected->name, ".num_batches_tracked") &&
          !g_str_equal (expected->name, "decoder.valid_mask") &&
          !g_str_has_prefix (expected->name, "decoder.decoder.up") &&
          !g_str_equal (expected->name, "decoder.decoder.reg_scale"))
        g_error ("%s (%s) was not found", expected->name, origin);
      absent++;
      continue;
    }
    g_assert_cmpint (tensor->dtype, ==, expected->dtype);
    g_assert_cmpmem (tensor->shape, tensor->n_dims * sizeof *tensor->shape, expected->shape,
                     expected->n_dims * sizeof *expected->shape);
    gsize bytes = tensor->n_elements * deim_dtype_size (tensor->dtype);
    if (memcmp (tensor->data, expected->data, bytes) != 0)
      g_error ("%s (%s) has other values", expected->name, origin);
  }
  guint n = deim_checkpoint_get_n_tensors (checkpoint);
  g_assert_cmpuint (n + absent, ==, deim_checkpoint_get_n_tensors (twin));
  g_test_message ("%u tensors equal, %u of training or computed absent", n, absent);
}

static void
run_model (const gchar *path, const gchar *arch, const gfloat *input, gfloat **ret_logits, gfloat **ret_boxes,
           guint *ret_queries)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (DeimModel) model = deim_model_load (path, NULL, &error);
  g_assert_no_error (error);
  const DeimModelInfo *info = deim_model_get_info (model);
  g_assert_cmpstr (info->arch, ==, arch);
  g_autoptr (DeimDevice) device = deim_device_open (NULL, &error);
  g_assert_no_error (error);
  g_autoptr (DeimNetwork) network = deim_network_new (model, device, 1, 0, 0, DEIM_PRECISION_FP32, &error);
  g_assert_no_error (error);
  *ret_queries = info->num_queries;
  *ret_logits = g_new (gfloat, info->num_queries * info->num_classes);
  *ret_boxes = g_new (gfloat, info->num_queries * 4);
  g_assert_true (deim_network_run (network, input, *ret_logits, *ret_boxes, NULL, &error));
}

static void
test_real_network (void)
{
  g_autofree gchar *path = real_file ("real/onnx/deimv2_hgnetv2_#_coco.onnx", "atto");
  g_autofree gchar *twin_path = path ? real_file ("real/deimv2_hgnetv2_#_coco.safetensors", "atto") : NULL;
  g_autofree gchar *input_path = twin_path ? real_file ("real/open/input_#_139.npy", "atto") : NULL;
  if (!input_path)
    return;
  g_autoptr (GError) error = NULL;
  guint n_dims, queries, twin_queries;
  gsize shape[DEIM_NPY_MAX_DIMS];
  g_autofree gfloat *input = deim_npy_read_float (input_path, &n_dims, shape, &error);
  g_assert_no_error (error);
  g_autofree gfloat *logits = NULL, *boxes = NULL, *twin_logits = NULL, *twin_boxes = NULL;
  run_model (path, "deimv2_atto", input, &logits, &boxes, &queries);
  run_model (twin_path, "deimv2_atto", input, &twin_logits, &twin_boxes, &twin_queries);
  g_assert_cmpuint (queries, ==, twin_queries);
  gfloat logits_off = 0, boxes_off = 0;
  for (guint i = 0; i < queries * 80; i++)
    logits_off = fmaxf (logits_off, fabsf (logits[i] - twin_logits[i]));
  for (guint i = 0; i < queries * 4; i++)
    boxes_off = fmaxf (boxes_off, fabsf (boxes[i] - twin_boxes[i]));
  g_test_message ("logits differ by at most %g, boxes by %g", logits_off, boxes_off);
  g_assert_cmpfloat (logits_off, <=, 1e-5f);
  g_assert_cmpfloat (boxes_off, <=, 1e-6f);
}

static void
test_real_femto (void)
{
  g_autofree gchar *path = real_file ("real/onnx/deimv2_hgnetv2_#_coco.onnx", "femto");
  if (!path)
    return;
  g_autoptr (GError) error = NULL;
  g_autoptr (DeimModel) model = deim_model_load (path, NULL, &error);
  g_assert_no_error (error);
  const DeimModelInfo *info = deim_model_get_info (model);
  g_assert_cmpstr (info->arch, ==, "deimv2_femto");
  g_assert_cmpuint (info->num_classes, ==, 80);
  g_assert_cmpuint (info->num_queries, ==, 150);
  g_assert_cmpuint (info->input_width, ==, 416);
}

/* Another network with the same tensors must not pass for the published one: words of the file exchanged for others of
 * the same length. */
static void
test_real_changed (void)
{
  static const struct {
    const gchar *from, *to, *words;
  } cases[] = {
    { "Relu", "Selu", "/Selu\" has the operator \"Selu\", which is not accepted in the backbone" },
    { "bilinear", "bicubicx", "GridSample with mode \"bicubicx\", of which only \"bilinear\"" },
    { "zeros", "edges", "GridSample with padding_mode \"edges\"" },
    { "Sigmoid", "HardSig", "/HardSig\" has the operator \"HardSig\", which is not accepted in the encoder" },
    { "TopK", "TopX", "/model/decoder/TopX\" has the operator \"TopX\"" },
    { "MaxPool", "LpPoolx", "has the operator \"LpPoolx\"" },
    { "nearest", "cubicxx", "Resize with mode \"cubicxx\"" },
  };
  g_autofree gchar *path = real_file ("real/onnx/deimv2_hgnetv2_#_coco.onnx", "atto");
  gsize size;
  g_autofree gchar *file = NULL;
  if (!path)
    return;
  g_assert_true (g_file_get_contents (path, &file, &size, NULL));
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    gchar *changed = g_memdup2 (file, size);
    gsize length = strlen (cases[i].from);
    guint n = 0;
    for (gchar *at; (at = memmem (changed, size, cases[i].from, length)); n++)
      memcpy (at, cases[i].to, length);
    g_assert_cmpuint (n, >, 0);
    g_autoptr (GBytes) bytes = g_bytes_new_take (changed, size);
    g_autoptr (GError) error = NULL;
    g_autoptr (DeimCheckpoint) checkpoint = deim_checkpoint_parse (bytes, "changed", &error);
    g_assert_null (checkpoint);
    g_assert_error (error, DEIM_ERROR, DEIM_ERROR_FORMAT);
    g_test_message ("%s", error->message);
    if (!strstr (error->message, cases[i].words))
      g_error ("\"%s\" is not in \"%s\"", cases[i].words, error->message);
  }
}

/* ------------------------------------------------------- the other networks */

static const struct {
  const gchar *model;
  ExportStyle style;
} exports[] = {
  { "deimv2_atto", EXPORT_MERGED },
  { "deimv2_n", EXPORT_MERGED | EXPORT_SEQUENTIAL },
  { "deim_dfine_n", EXPORT_MERGED },
  { "deim_dfine_n", EXPORT_FROZEN | EXPORT_SEQUENTIAL },
  { "deim_r18", EXPORT_MERGED | EXPORT_FROZEN },
  { "rtdetr_r18", EXPORT_MERGED | EXPORT_SEQUENTIAL },
  { "rtdetr_dla34", EXPORT_MERGED },
  { "rtdetrv2_r18", 0 },
  { "rtdetrv2_hgl", EXPORT_MERGED | EXPORT_SEQUENTIAL },
  { "rtdetrv2_r50m", EXPORT_MERGED | EXPORT_FROZEN }, /* its last three layers are not run */
};

/* The network is recognised from its export as from its state dict, and all its tensors are there. */
static void
test_export (gconstpointer user_data)
{
  const gchar *name = exports[GPOINTER_TO_SIZE (user_data)].model;
  ExportStyle style = exports[GPOINTER_TO_SIZE (user_data)].style;
  DeimArch preset, expected;
  g_autoptr (GError) error = NULL;
  g_autofree gchar *folder = shell_find_folder (name);
  if (!folder)
    return;
  g_assert_true (deim_arch_find_preset (name, &preset));
  g_autoptr (GoldenParams) params = shell_read_params (folder, name, &preset);
  Shell shell = { .params = params };
  DeimStateDict dict = shell_dict (&shell);
  g_assert_true (deim_recognise (&dict, &(DeimRecogniseHints){ .arch = name }, &expected, NULL, &error));

  gint eval_idx = expected.decoder.eval_idx;
  g_autoptr (GBytes) bytes = make_onnx_export (params, &dict, eval_idx, style);
  DeimCheckpoint *checkpoint = deim_checkpoint_parse (bytes, name, &error);
  g_assert_no_error (error);
  g_test_message ("%u tensors of %u", deim_checkpoint_get_n_tensors (checkpoint), params->list->len);
  g_autoptr (DeimModel) model = deim_model_new (checkpoint, name, &(DeimModelOptions){ .arch = name }, &error);
  g_assert_no_error (error);
  const DeimArch *arch = deim_model_get_arch (model);
  /* Heads of zeros are all equal, and look shared; the export has but one. */
  expected.decoder.share_score = arch->decoder.share_score;
  expected.decoder.queries = 77; /* of TopK */
  expected.backbone.frozen = style & EXPORT_FROZEN ? DEIM_NORMS_FROZEN : DEIM_NORMS_TRAINED;
  g_autofree gchar *spec = deim_arch_to_spec (arch), *expected_spec = deim_arch_to_spec (&expected);
  g_assert_cmpstr (spec, ==, expected_spec);
  g_assert_cmpint (arch->decoder.layers, ==, eval_idx + 1); /* the others did not run */
  g_assert_cmpint (arch->decoder.classes, ==, expected.decoder.classes);
  g_assert_cmpmem (arch->decoder.points, sizeof arch->decoder.points, expected.decoder.points,
                   sizeof expected.decoder.points);
  g_assert_cmpint (arch->encoder.layers, ==, expected.encoder.layers);
  g_assert_cmpint (arch->encoder.depth, ==, expected.encoder.depth);
}

/* What operators show is not guessed, whatever the file is called; and is overruled like all else. */
static void
test_operators (void)
{
  g_autofree gchar *folder = shell_find_folder ("deim_dfine_n");
  if (!folder)
    return;
  for (guint i = 0; i < 4; i++) {
    gboolean relu = i & 1, discrete = i & 2;
    DeimArch preset;
    g_autoptr (GError) error = NULL;
    g_assert_true (deim_arch_find_preset ("deim_dfine_n", &preset));
    g_autoptr (GoldenParams) params = shell_read_params (folder, "deim_dfine_n", &preset);
    Shell shell = { .params = params };
    DeimStateDict dict = shell_dict (&shell);
    guint style = EXPORT_MERGED | (relu ? EXPORT_RELU : 0) | (discrete ? EXPORT_DISCRETE : 0);
    g_autoptr (GBytes) bytes = make_onnx_export (params, &dict, 2, (ExportStyle) style);
    const gchar *misleading = relu ? "deim_dfine_n.onnx" : "dfine_n_dsp.onnx";
    g_autoptr (DeimModel) model =
        deim_model_new (deim_checkpoint_parse (bytes, "made", &error), misleading, NULL, &error);
    g_assert_no_error (error);
    const DeimArch *arch = deim_model_get_arch (model);
    g_assert_cmpstr (arch->name, ==, relu ? "dfine_n" : "deim_dfine_n");
    g_assert_cmpint (arch->decoder.act, ==, relu ? DEIM_ACT_RELU : DEIM_ACT_SILU);
    g_assert_cmpint (arch->decoder.sampling, ==, discrete ? DEIM_SAMPLE_DISCRETE : DEIM_SAMPLE_BILINEAR);
    g_assert_cmpint (arch->decoder.queries, ==, 77);
    guint told = 0;
    for (const gchar *const *note = deim_model_get_notes (model); *note; note++)
      told += strstr (*note, ": the operators of the ONNX export") ? 1 : 0;
    g_assert_cmpuint (told, ==, 3);
    DeimModelOptions options = { .arch = "deim_dfine_n:act=relu,queries=50" };
    g_autoptr (DeimModel) other =
        deim_model_new (deim_checkpoint_parse (bytes, "made", &error), misleading, &options, &error);
    g_assert_no_error (error);
    g_assert_cmpint (deim_model_get_arch (other)->decoder.act, ==, DEIM_ACT_RELU);
    g_assert_cmpint (deim_model_get_arch (other)->decoder.queries, ==, 50);
  }
}

gint
main (gint argc, gchar **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/onnx/names", test_names);
  g_test_add_func ("/onnx/small", test_small);
  g_test_add_func ("/onnx/operators", test_operators);
  g_test_add_data_func ("/onnx/real/atto-tensors", "atto", test_real_tensors);
  g_test_add_data_func ("/onnx/real/femto-tensors", "femto", test_real_tensors);
  g_test_add_func ("/onnx/real/atto-network", test_real_network);
  g_test_add_func ("/onnx/real/femto", test_real_femto);
  g_test_add_func ("/onnx/real/changed", test_real_changed);
  for (gsize i = 0; i < G_N_ELEMENTS (exports); i++) {
    g_autofree gchar *path = g_strdup_printf ("/onnx/exports/%s-%u", exports[i].model, exports[i].style);
    g_test_add_data_func (path, GSIZE_TO_POINTER (i), test_export);
  }
  return g_test_run ();
}
