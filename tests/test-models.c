/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-models.c - what a state dict is recognised as, and what its network
 * amounts to. What shapes leave open: test-evidence.c; refusals: test-refused.c; values: test-parity.c.
 */
#include "shell.h"

#include "engine/deim.h"
#include "engine/graph/op.h"
#include "engine/graph/passes.h"
#include "engine/model.h"

#include <math.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

/* ------------------------------------------------------------------ table */

static void
test_presets (void)
{
  const gchar *const *names = deim_arch_list ();
  g_assert_cmpuint (g_strv_length ((gchar **) names), ==, deim_arch_n_presets ());
  for (guint i = 0; names[i]; i++) {
    DeimArch arch, again;
    DeimSpecKeys given;
    g_autoptr (GError) error = NULL;
    deim_arch_preset (i, &arch);
    g_assert_cmpstr (arch.name, ==, names[i]);
    for (guint j = 0; j < i; j++)
      g_assert_cmpstr (names[i], !=, names[j]);
    g_autofree gchar *spec = deim_arch_to_spec (&arch);
    g_assert_true (deim_arch_parse_spec (spec, &again, &given, &error));
    g_assert_no_error (error);
    g_assert_cmpmem (&arch, sizeof arch, &again, sizeof again);
    g_assert_cmpuint (given, ==, 0xff);
    g_assert_true (deim_network_check_size (&arch, (guint) arch.input_height, (guint) arch.input_width, &error));
  }
}

static void
test_spec (void)
{
  static const gchar *const wrong[] = {
    "",
    "yolo",
    "dfine_n:",
    "dfine_n:act",
    "dfine_n:act=tanh",
    "dfine_n:queries=0",
    "dfine_n:queries=12x",
    "dfine_n:input=640",
    "dfine_n:input=640x640x3",
    "dfine_n:depth=3",
    "dfine_n:act=relu,,queries=3",
  };
  for (guint i = 0; i < G_N_ELEMENTS (wrong); i++) {
    DeimArch arch = { .name = "untouched" };
    g_autoptr (GError) error = NULL;
    if (g_str_has_suffix (wrong[i], ":")) /* no options after the colon is no mistake */
      continue;
    g_assert_false (deim_arch_parse_spec (wrong[i], &arch, NULL, &error));
    g_assert_error (error, DEIM_ERROR, DEIM_ERROR_SETTINGS);
    g_assert_cmpstr (arch.name, ==, "untouched");
  }
  DeimArch arch;
  DeimSpecKeys given;
  g_autoptr (GError) error = NULL;
  g_assert_true (deim_arch_parse_spec ("DEIM_DFINE_N: sampling=discrete, select=one2many,eval-idx=1,input=384x640",
                                       &arch, &given, &error));
  g_assert_cmpint (arch.decoder.sampling, ==, DEIM_SAMPLE_DISCRETE);
  g_assert_cmpint (arch.decoder.select, ==, DEIM_SELECT_ONE2MANY);
  g_assert_cmpint (arch.decoder.eval_idx, ==, 1);
  g_assert_cmpint (arch.input_height, ==, 384);
  g_assert_cmpint (arch.input_width, ==, 640);
  g_assert_cmpuint (given, ==, DEIM_SPEC_SAMPLING | DEIM_SPEC_SELECT | DEIM_SPEC_EVAL_IDX | DEIM_SPEC_INPUT);
}

/* ------------------------------------------------------------- recognition */

static void
assert_same_structure (const DeimArch *a, const DeimArch *b)
{
  const DeimDecoderArch *d = &a->decoder, *e = &b->decoder;
  g_assert_cmpstr (a->name, ==, b->name);
  g_assert_cmpmem (&a->backbone, sizeof a->backbone, &b->backbone, sizeof b->backbone);
  g_assert_cmpmem (&a->encoder, sizeof a->encoder, &b->encoder, sizeof b->encoder);
  g_assert_cmpint (d->kind, ==, e->kind);
  g_assert_cmpint (d->hidden, ==, e->hidden);
  g_assert_cmpint (d->levels, ==, e->levels);
  g_assert_cmpmem (d->points, sizeof d->points, e->points, sizeof e->points);
  g_assert_cmpint (d->projected, ==, e->projected);
  g_assert_cmpint (d->layers, ==, e->layers);
  g_assert_cmpint (d->eval_idx, ==, e->eval_idx);
  g_assert_cmpint (d->layer_scale, ==, e->layer_scale);
  g_assert_cmpint (d->ff, ==, e->ff);
  g_assert_cmpint (d->act, ==, e->act);
  g_assert_cmpint (d->queries, ==, e->queries);
  g_assert_cmpint (d->select, ==, e->select);
  g_assert_cmpint (d->sampling, ==, e->sampling);
  g_assert_cmpint (d->gate, ==, e->gate);
  g_assert_cmpint (d->query_pos_layers, ==, e->query_pos_layers);
  g_assert_cmpfloat (d->reg_scale, ==, e->reg_scale);
  g_assert_cmpint (d->v1_names, ==, e->v1_names);
  g_assert_cmpint (a->input_height, ==, b->input_height);
  g_assert_cmpint (a->input_width, ==, b->input_width);
}

/* A published model by names, shapes and file name: the very values of its preset, and no tensor unknown or missing. */
static void
test_published (gconstpointer data)
{
  const gchar *model = data;
  DeimArch preset, arch;
  g_autofree gchar *folder = shell_find_folder (model);
  g_autofree gchar *file = g_strdup_printf ("some/where/%s.pth", model);
  g_autoptr (GError) error = NULL;
  gboolean voc = g_str_equal (model, "rtdetrv2_r18_voc"); /* r18 with another number of classes */
  g_assert_true (deim_arch_find_preset (voc ? "rtdetrv2_r18" : model, &preset));
  g_autoptr (GoldenParams) params = shell_read_params (folder, model, &preset);
  Shell shell = { .params = params };
  DeimStateDict dict = shell_dict (&shell);
  DeimRecogniseHints hints = { .file_name = file };
  g_autoptr (DeimNotes) notes = deim_notes_new ();
  deim_recognise (&dict, &hints, &arch, notes, &error);
  g_assert_no_error (error);
  assert_same_structure (&arch, &preset);
  g_assert_cmpint (arch.decoder.classes, ==, voc ? 20 : 80);
  g_assert_cmpuint (notes->all->len, >=, 2);

  DeimNetworkOutputs outputs;
  g_autoptr (DeimGraph) graph = deim_network_build (&arch, &dict.values, 1, (guint) arch.input_height,
                                                    (guint) arch.input_width, &outputs, &error);
  g_assert_no_error (error);
  g_assert_true (deim_check_unused (graph, &arch, &dict, &error));
  g_assert_no_error (error);
}

/* A variation: the values in its golden set. */
static void
test_variation (gconstpointer data)
{
  const gchar *name = data;
  g_autofree gchar *folder = golden_folder (), *spec = NULL, *what = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (GoldenSet) set = golden_set_open (folder, name, &error);
  g_assert_no_error (error);
  DeimStateDict dict = golden_params_dict (set->params);
  DeimRecogniseHints hints = { 0 };
  DeimArch arch;
  deim_recognise (&dict, &hints, &arch, NULL, &error);
  g_assert_no_error (error);
  spec = golden_set_spec (set, arch.name);
  hints.arch = spec;
  g_autoptr (DeimNotes) notes = deim_notes_new ();
  deim_recognise (&dict, &hints, &arch, notes, &error);
  g_assert_no_error (error);
  gboolean told = FALSE;
  for (guint i = 0; i < notes->all->len; i++) {
    g_test_message ("%s", (const gchar *) g_ptr_array_index (notes->all, i));
    told = told || strstr (g_ptr_array_index (notes->all, i), "followed: backbone (of no published network)");
  }
  g_assert_true (told || !g_str_has_prefix (name, "var_s_b")); /* HGNetv2 B1, B3 and B6 before S's encoder */
  if (!golden_check_arch (set->arch, &arch, &what))
    g_error ("%s: %s", name, what);
  g_assert_cmpuint (deim_count_parameters (&arch, &dict), ==,
                    (guint64) json_object_get_int_member (set->arch, "params_total"));
}

/* ------------------------------------------------------------------- sizes */

/*
 * Parameters as trained, and GFLOP at 640x640 in deploy form: published tables, and for GFLOP the count of the
 * reference documents, to the decimal for backbone and encoder. Decoders are a little off: that count has D-FINE's
 * feed-forward at 512 for all sizes, and RT-DETR's box head over all tokens, of which we run it on the selected ones.
 */
typedef struct {
  const gchar *model;
  guint64 parameters;
  gdouble gflops, backbone, encoder; /* 0: not counted there */
} Published;

static const Published published[] = {
  { "deim_dfine_n", 3782693, 7.3, 5.2, 1.2 },
  { "deim_dfine_s", 10321877, 25.1, 5.2, 15.9 },
  { "deim_dfine_m", 19590064, 56.4, 18.5, 33.2 },
  { "deim_dfine_l", 31289848, 90.7, 44.5, 39.8 },
  { "deim_dfine_x", 62715480, 202.2, 106.7, 87.5 },
  { "deim_r18", 20183440, 60.5, 33.7, 16.3 },
  { "deim_r34", 31440644, 92.7, 63.9, 16.3 },
  { "deim_r50m", 33198864, 99.6, 70.6, 18.5 },
  { "deim_r50", 42943596, 133.9, 70.6, 47.0 },
  { "deim_r101", 76660716, 251.8, 131.3, 103.7 },
  { "deimv2_atto", 508985, 0, 0, 0 },
  { "deimv2_femto", 983945, 0, 0, 0 },
  { "deimv2_pico", 1539539, 0, 0, 0 },
  { "deimv2_n", 3600421, 0, 0, 0 },
  { "deimv2_s", 10451413, 0, 0, 0 },
  { "deimv2_m", 18866352, 0, 0, 0 },
  { "deimv2_l", 31090936, 0, 0, 0 },
  { "deimv2_x", 60291704, 0, 0, 0 },
  { "rtdetr_r18", 20184464, 0, 0, 0 },
  { "rtdetr_r34", 31441668, 0, 0, 0 },
  { "rtdetr_r50m", 36593772, 0, 0, 0 },
  { "rtdetr_r50", 42891372, 0, 0, 0 },
  { "rtdetr_r101", 76556268, 0, 0, 0 },
  { "rtdetr_dla34", 33958332, 0, 0, 0 },
  { "rtdetrv2_hgl", 32925036, 0, 0, 0 },
  { "rtdetrv2_hgx", 67374188, 0, 0, 0 },
  { "rtdetrv2_hgh", 125584348, 0, 0, 0 },
};

static void
test_size_of_model (gconstpointer data)
{
  const Published *p = data;
  g_autofree gchar *folder = shell_find_folder (p->model);
  g_autoptr (GError) error = NULL;
  DeimArch preset, arch;
  DeimNetworkOutputs outputs;
  if (!folder)
    return;
  g_assert_true (deim_arch_find_preset (p->model, &preset));
  g_autoptr (GoldenParams) params = shell_read_params (folder, p->model, &preset);
  DeimStateDict values = golden_params_dict (params);
  DeimRecogniseHints hints = { .file_name = p->model };
  deim_recognise (&values, &hints, &arch, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (deim_count_parameters (&arch, &values), ==, p->parameters);
  if (p->gflops == 0)
    return;
  Shell shell = { .params = params };
  DeimStateDict dict = shell_dict (&shell);
  g_autoptr (DeimGraph) graph = deim_network_build (&arch, &dict.values, 1, 640, 640, &outputs, &error);
  g_assert_no_error (error);
  deim_graph_fold (graph);
  gdouble all = 0, backbone = 0, encoder = 0;
  for (guint i = 0; i < deim_graph_get_n_nodes (graph); i++) {
    const DeimNode *node = deim_graph_get_node (graph, i);
    gdouble gflop = node->op->flop ? node->op->flop (node) * 1e-9 : 0;
    all += gflop;
    backbone += g_str_equal (node->stage, "backbone") ? gflop : 0;
    encoder += g_str_equal (node->stage, "encoder") ? gflop : 0;
  }
  g_test_message ("%s: %.2f GFLOP, %.1f in the table; backbone %.2f, encoder %.2f", p->model, all, p->gflops, backbone,
                  encoder);
  g_assert_cmpfloat (fabs (backbone - p->backbone), <, 0.06);
  g_assert_cmpfloat (fabs (encoder - p->encoder), <, 0.06);
  g_assert_cmpfloat (fabs (all / p->gflops - 1), <, 0.04);
}

/* ------------------------------------------------------------- real files */

static DeimModel *
load_shared (const gchar *relative, const DeimModelOptions *options, GError **error)
{
  g_autofree gchar *path = golden_shared_file (relative);
  if (!path) {
    g_test_skip ("../shared is not here");
    return NULL;
  }
  return deim_model_load (path, options, error);
}

static void
test_real_file (gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (DeimModel) model = load_shared (data, NULL, &error);
  g_assert_no_error (error);
  if (!model)
    return;
  const DeimModelInfo *info = deim_model_get_info (model);
  gboolean femto = strstr (data, "femto") != NULL;
  g_assert_cmpstr (info->arch, ==, femto ? "deimv2_femto" : "deimv2_atto");
  g_assert_cmpstr (info->family, ==, "DEIMv2");
  g_assert_cmpstr (info->size, ==, femto ? "Femto" : "Atto");
  g_assert_cmpuint (info->num_classes, ==, 80);
  g_assert_cmpuint (info->num_queries, ==, femto ? 150 : 100);
  g_assert_cmpuint (info->input_width, ==, femto ? 416 : 320);
  g_assert_cmpuint (info->parameters, ==, femto ? 983945 : 508985);
  g_assert_cmpfloat (info->gflops, >, 0.5);
  g_assert_cmpfloat (info->gflops, <, 2.0);
  g_assert_cmpstr (deim_model_get_label (model, 0), ==, "person");
  g_assert_cmpstr (deim_model_get_label (model, 79), ==, "toothbrush");
  g_assert_null (deim_model_get_label (model, 80));
  for (const gchar *const *note = deim_model_get_notes (model); *note; note++)
    g_test_message ("%s", *note);
  g_test_message ("%.2f GFLOP", info->gflops);
}

/* A model made of golden Atto's tensors, as if read from "@path". */
static DeimModel *
make_model (const gchar *folder, const gchar *path, const DeimModelOptions *options, GError **error)
{
  DeimArch preset;
  g_assert_true (deim_arch_find_preset ("deimv2_atto", &preset));
  g_autoptr (GoldenParams) params = shell_read_params (folder, "deimv2_atto", &preset);
  DeimStateDict dict = golden_params_dict (params);
  DeimCheckpoint *checkpoint = deim_checkpoint_new ();
  for (guint i = 0; i < params->list->len; i++) {
    const GoldenParam *param = g_ptr_array_index (params->list, i);
    DeimShape s;
    gfloat *values = dict.values.lookup (dict.values.data, param->name, &s);
    const gint64 shape[] = { s.n, s.c, s.h, s.w };
    g_autoptr (GBytes) bytes = g_bytes_new_take (values, deim_shape_size (s) * sizeof (gfloat));
    deim_checkpoint_add (checkpoint, param->name, DEIM_DTYPE_F32, param->n_dims, shape, bytes);
  }
  return deim_model_new (checkpoint, path, options, error);
}

static void
test_labels (void)
{
  g_autofree gchar *folder = shell_find_folder ("deimv2_atto");
  if (!folder)
    return;
  g_autoptr (GError) error = NULL;
  g_autofree gchar *path = NULL;
  g_autoptr (GString) lines = g_string_new (NULL);
  for (guint i = 0; i < 80; i++)
    g_string_append_printf (lines, "thing %u\n", i);
  gint fd = g_file_open_tmp ("deim-labels-XXXXXX", &path, &error);
  g_assert_cmpint (fd, >=, 0);
  close (fd);
  DeimModelOptions options = { .labels_file = path };

  g_assert_true (g_file_set_contents (path, lines->str, -1, &error));
  g_autoptr (DeimModel) model = make_model (folder, "weights.pth", &options, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (deim_model_get_info (model)->arch, ==, "deimv2_atto");
  g_assert_cmpstr (deim_model_get_label (model, 79), ==, "thing 79");
  g_assert_null (deim_model_get_label (model, 80));

  g_assert_true (g_file_set_contents (path, "cat\ndog\n", -1, &error));
  g_assert_null (make_model (folder, "weights.pth", &options, &error));
  g_assert_error (error, DEIM_ERROR, DEIM_ERROR_SETTINGS);
  g_test_message ("%s", error->message);
  g_remove (path);
  g_autoptr (GError) gone = NULL;
  g_assert_null (make_model (folder, "weights.pth", &options, &gone));
  g_assert_error (gone, DEIM_ERROR, DEIM_ERROR_NOT_FOUND);
  g_assert_nonnull (strstr (gone->message, "give the path of a labels file, one class name a line"));
}

/* What --arch says is heard, and what it cannot be is refused with the file's name. */
static void
test_options (void)
{
  g_autofree gchar *folder = shell_find_folder ("deimv2_atto");
  if (!folder)
    return;
  g_autoptr (GError) error = NULL, other = NULL, unknown = NULL;
  DeimModelOptions options = { .arch = "deimv2_atto:queries=60,input=256x512" };
  g_autoptr (DeimModel) model = make_model (folder, "weights.pth", &options, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (deim_model_get_info (model)->num_queries, ==, 60);
  g_assert_cmpuint (deim_model_get_info (model)->input_height, ==, 256);
  g_assert_cmpuint (deim_model_get_info (model)->input_width, ==, 512);
  DeimNetworkOutputs outputs;
  g_autoptr (DeimGraph) graph = deim_model_build (model, 3, 0, 0, &outputs, &error);
  g_assert_no_error (error);
  g_assert_nonnull (graph);
  g_assert_cmpint (outputs.input->shape.n, ==, 3);
  g_assert_cmpint (outputs.input->shape.h, ==, 256);
  g_assert_cmpint (outputs.boxes->shape.w, ==, 60);
  g_assert_null (deim_model_build (model, 1, 100, 0, &outputs, &error));
  g_assert_error (error, DEIM_ERROR, DEIM_ERROR_SETTINGS);

  options.arch = "rtdetr_r18";
  g_assert_null (make_model (folder, "weights.pth", &options, &other));
  g_assert_error (other, DEIM_ERROR, DEIM_ERROR_ARCHITECTURE);
  g_assert_true (g_str_has_prefix (other->message, "weights.pth: "));
  options.arch = "yolo";
  g_assert_null (make_model (folder, "weights.pth", &options, &unknown));
  g_assert_error (unknown, DEIM_ERROR, DEIM_ERROR_SETTINGS);
}

/* -------------------------------------------------------------------- main */

/* All published models whose names and shapes @folder has. */
static void
add_published (const gchar *folder)
{
  g_autofree gchar *arch = g_build_filename (folder, "arch", NULL);
  g_autoptr (GDir) dir = g_dir_open (arch, 0, NULL);
  const gchar *file;
  while (dir && (file = g_dir_read_name (dir)))
    if (g_str_has_suffix (file, ".params.json") && !g_str_has_prefix (file, "var")) {
      gchar *model = g_strndup (file, strlen (file) - strlen (".params.json"));
      g_autofree gchar *path = g_strdup_printf ("/models/published/%s", model);
      g_test_add_data_func_full (path, model, test_published, g_free);
    }
}

static void
skip_variations (void)
{
  g_test_skip ("the golden sets of variations are not here (../shared)");
}

static void
add_models (void)
{
  g_autofree gchar *folder = golden_folder ();
  g_autofree gchar *small = golden_small_folder ();
  add_published (folder ? folder : small);
  g_auto (GStrv) names = folder ? golden_list (folder, "var") : NULL;
  if (!names)
    g_test_add_func ("/models/variation", skip_variations);
  for (gchar **name = names; name && *name; name++) {
    g_autofree gchar *path = g_strdup_printf ("/models/variation/%s", *name);
    g_test_add_data_func_full (path, g_strdup (*name), test_variation, g_free);
  }
  for (guint i = 0; i < G_N_ELEMENTS (published); i++) {
    g_autofree gchar *path = g_strdup_printf ("/models/size/%s", published[i].model);
    g_test_add_data_func (path, &published[i], test_size_of_model);
  }
}

gint
main (gint argc, gchar **argv)
{
  static const gchar *const files[] = {
    "real/deimv2_hgnetv2_atto_coco.safetensors",
    "real/deimv2_hgnetv2_atto_coco.pth",
    "real/deimv2_hgnetv2_femto_coco.pth",
    "golden/ckpt/atto_full.pth",
    "golden/ckpt/atto_legacy.pth",
    "golden/ckpt/atto_ddp_half.pth",
    "golden/ckpt/atto_model_bf16.pth",
  };
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/models/presets", test_presets);
  g_test_add_func ("/models/spec", test_spec);
  g_test_add_func ("/models/labels", test_labels);
  g_test_add_func ("/models/options", test_options);
  add_models ();
  for (guint i = 0; i < G_N_ELEMENTS (files); i++) {
    g_autofree gchar *base = g_path_get_basename (files[i]);
    g_autofree gchar *path = g_strdup_printf ("/models/file/%s", base);
    g_test_add_data_func (path, files[i], test_real_file);
  }
  return g_test_run ();
}
