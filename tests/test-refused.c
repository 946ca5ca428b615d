/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-refused.c - state dicts, sizes and anchors that do not fit, and what is
 * done about them.
 */
#include "shell.h"

#include "engine/deim.h"
#include "engine/graph/op.h"
#include "engine/models/network.h"

#include <math.h>
#include <string.h>

/* --------------------------------------------------------------- refusals */

/* Recognises and builds @shell's state dict; the error, or NULL. */
static GError *
load_shell (Shell *shell, const gchar *model)
{
  DeimArch arch;
  DeimNetworkOutputs outputs;
  GError *error = NULL;
  DeimRecogniseHints hints = { .file_name = model };
  DeimStateDict dict = shell_dict (shell);
  if (deim_recognise (&dict, &hints, &arch, NULL, &error)) {
    g_autoptr (DeimGraph) graph = deim_network_build (&arch, &dict.values, 1, 320, 320, &outputs, &error);
    if (graph)
      deim_check_unused (graph, &arch, &dict, &error);
  }
  deim_name_missing (&dict, &error);
  return error;
}

static gboolean
is_one_of (const gchar *name, const gchar *const *names, guint n)
{
  for (guint i = 0; i < n; i++)
    if (g_str_equal (name, names[i]))
      return TRUE;
  return FALSE;
}

/* Whether a file may do without: counters, what follows from the rest, what only training reads. */
static gboolean
is_dispensable (const gchar *name, const DeimArch *arch)
{
  static const gchar *const heads[] = { "decoder.dec_score_head.", "decoder.dec_bbox_head.",
                                        "decoder.decoder.lqe_layers." };
  static const gchar *const others[] = { "decoder.anchors", "decoder.valid_mask",
                                         "decoder.denoising_class_embed.weight",
                                         /* of these each has two names */
                                         "decoder.up", "decoder.decoder.up", "decoder.reg_scale",
                                         "decoder.decoder.reg_scale" };
  for (guint i = 0; i < G_N_ELEMENTS (heads); i++) {
    if (!g_str_has_prefix (name, heads[i]))
      continue;
    gint layer = atoi (name + strlen (heads[i])), last = arch->decoder.eval_idx;
    /* D-FINE's boxes are refined by every layer's head; the first score head tells the classes. */
    if (g_str_equal (name, "decoder.dec_score_head.0.weight"))
      return FALSE;
    return i == 1 ? layer > last : layer != last;
  }
  return is_one_of (name, others, G_N_ELEMENTS (others)) || g_str_has_suffix (name, ".num_batches_tracked");
}

/* Every single tensor of a network: left out, it is missed by its name where it is needed; bent, always. */
static void
test_every_tensor (gconstpointer data)
{
  const gchar *model = data;
  g_autofree gchar *folder = golden_small_folder ();
  DeimArch preset;
  g_assert_true (deim_arch_find_preset (model, &preset));
  g_autoptr (GoldenParams) params = shell_read_params (folder, model, &preset);
  guint step = g_test_thorough () || g_str_equal (model, "deimv2_atto") ? 1 : 11;
  guint missed = 0, tolerated = 0;
  for (guint i = 0; i < params->list->len; i += step) {
    const GoldenParam *param = g_ptr_array_index (params->list, i);
    Shell without = { .params = params, .without = param->name };
    g_autoptr (GError) gone = load_shell (&without, model);
    if (is_dispensable (param->name, &preset)) {
      tolerated++;
      if (gone)
        g_error ("%s is not needed: %s", param->name, gone->message);
    } else {
      missed++;
      if (!gone || !strstr (gone->message, param->name))
        g_error ("%s was left out: %s", param->name, gone ? gone->message : "nobody noticed");
      g_assert_error (gone, DEIM_ERROR, DEIM_ERROR_ARCHITECTURE);
    }
    if (param->n_dims == 0)
      continue; /* a counter of batches */
    Shell bent = { .params = params, .bent = param->name };
    g_autoptr (GError) wrong = load_shell (&bent, model);
    if (!wrong)
      g_error ("nobody noticed the shape of %s", param->name);
    g_assert_error (wrong, DEIM_ERROR, DEIM_ERROR_ARCHITECTURE);
  }
  g_test_message ("%u missed, %u not needed for evaluation", missed, tolerated);
  g_assert_cmpuint (missed, >, tolerated);
}

/* Layers that only training reads and that are wider than those of evaluation: good as they are, not needed, and of no
 * other shape than follows from the rest. */
static void
test_wide_layers (void)
{
  g_autofree gchar *folder = shell_find_folder ("var_s_wide");
  if (!folder)
    return;
  DeimArch like;
  g_assert_true (deim_arch_find_preset ("deim_dfine_s", &like));
  g_autoptr (GoldenParams) params = shell_read_params (folder, "var_s_wide", &like);
  Shell good = { .params = params };
  g_autoptr (GError) none = load_shell (&good, "var_s_wide");
  g_assert_no_error (none);
  guint tried = 0;
  for (guint i = 0; i < params->list->len; i++) {
    const GoldenParam *param = g_ptr_array_index (params->list, i);
    if (!g_str_has_prefix (param->name, "decoder.decoder.layers.2.") &&
        !g_str_has_prefix (param->name, "decoder.decoder.lqe_layers.2.") &&
        !g_str_has_prefix (param->name, "decoder.dec_score_head.2.") &&
        !g_str_has_prefix (param->name, "decoder.dec_bbox_head.2."))
      continue;
    tried++;
    Shell without = { .params = params, .without = param->name };
    g_autoptr (GError) gone = load_shell (&without, "var_s_wide");
    /* Layers are counted by their packed projections: without it the others of the layer belong to none. */
    gboolean counts = g_str_has_suffix (param->name, ".self_attn.in_proj_weight");
    if (counts ? !gone || !strstr (gone->message, param->name) : gone != NULL)
      g_error ("%s was left out: %s", param->name, gone ? gone->message : "nobody noticed");
    Shell bent = { .params = params, .bent = param->name };
    g_autoptr (GError) wrong = load_shell (&bent, "var_s_wide");
    g_assert_error (wrong, DEIM_ERROR, DEIM_ERROR_ARCHITECTURE);
    if (!strstr (wrong->message, param->name))
      g_error ("%s was bent: %s", param->name, wrong->message);
  }
  g_test_message ("%u tensors", tried);
  g_assert_cmpuint (tried, >, 30);
}

static void
test_named_refusals (void)
{
  static const struct {
    const gchar *without, *extra, *bent;
  } cases[] = {
    { .without = "encoder.pan_block.cv1.conv.weight" },
    { .without = "decoder.decoder.layers.1.swish_ffn.w3.bias" },
    { .without = "decoder.decoder.layers.2.cross_attn.num_points_scale" },
    { .extra = "backbone.stages.7.mystery" },
    { .extra = "decoder.decoder.layers.3.norm1.scale" },
    { .extra = "decoder.decoder.layers.0.norm9.scale" },
    { .bent = "encoder.pan_block.cv1.conv.weight" },
    { .bent = "decoder.dec_score_head.0.weight" }, /* training's */
    { .bent = "decoder.decoder.layers.1.self_attn.in_proj_weight" },
    { .bent = "decoder.denoising_class_embed.weight" },
  };
  g_autofree gchar *folder = shell_find_folder ("deimv2_atto");
  if (!folder)
    return;
  DeimArch preset;
  g_assert_true (deim_arch_find_preset ("deimv2_atto", &preset));
  g_autoptr (GoldenParams) params = shell_read_params (folder, "deimv2_atto", &preset);
  Shell good = { .params = params };
  g_autoptr (GError) none = load_shell (&good, "deimv2_atto");
  g_assert_no_error (none);
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    Shell shell = { params, .without = cases[i].without, .extra = cases[i].extra, .bent = cases[i].bent };
    const gchar *name = cases[i].without ? cases[i].without : cases[i].extra ? cases[i].extra : cases[i].bent;
    g_autoptr (GError) error = load_shell (&shell, "deimv2_atto");
    g_assert_error (error, DEIM_ERROR, DEIM_ERROR_ARCHITECTURE);
    g_test_message ("%s", error->message);
    if (!g_str_equal (name, "decoder.dec_score_head.0.weight")) /* says that there are 81 classes: others do not fit */
      g_assert_nonnull (strstr (error->message, name));
  }
}

/* What the boxes are scaled by is never guessed: one of its two names is enough, none or two values are refused. */
static void
test_scalars (gconstpointer model)
{
  static const gchar *const leaves[] = { "reg_scale", "up" };
  g_autofree gchar *folder = shell_find_folder (model);
  if (!folder)
    return;
  DeimArch preset, arch;
  g_assert_true (deim_arch_find_preset (model, &preset));
  g_autoptr (GoldenParams) params = shell_read_params (folder, model, &preset);
  for (guint i = 0; i < G_N_ELEMENTS (leaves); i++) {
    g_autofree gchar *name = g_strconcat ("decoder.", leaves[i], NULL), *suffix = g_strconcat (".", leaves[i], NULL);
    g_autofree gchar *inner = g_strconcat ("decoder.", name, NULL);
    g_autoptr (GError) error = NULL;
    Shell one = { .params = params, .without = name };
    DeimStateDict dict = shell_dict (&one);
    g_assert_true (deim_recognise_structure (&dict, &arch, &error));
    g_assert_no_error (error);
    g_assert_cmpfloat (arch.decoder.reg_scale, ==, preset.decoder.reg_scale);
    g_assert_cmpfloat (arch.decoder.up, ==, preset.decoder.up);

    Shell wrong[] = { { .params = params, .lacking = suffix }, { .params = params, .moved = inner } };
    for (guint k = 0; k < G_N_ELEMENTS (wrong); k++) {
      g_autoptr (GError) refusal = NULL;
      dict = shell_dict (&wrong[k]);
      g_assert_false (deim_recognise_structure (&dict, &arch, &refusal));
      g_assert_error (refusal, DEIM_ERROR, DEIM_ERROR_ARCHITECTURE);
      g_test_message ("%s", refusal->message);
      g_assert_nonnull (strstr (refusal->message, name));
    }
  }
}

static void
test_sizes (void)
{
  static const struct {
    const gchar *spec;
    guint height, width;
    gboolean good;
  } cases[] = {
    { "deimv2_atto", 320, 320, TRUE },
    { "deimv2_atto", 224, 416, TRUE },
    { "deimv2_atto", 0, 320, FALSE },
    { "deimv2_atto", 336, 320, FALSE }, /* H/16 is odd */
    { "deimv2_atto", 320, 100, FALSE },
    { "deimv2_atto", 96, 96, FALSE },    /* 45 tokens for 100 queries */
    { "deim_dfine_n", 256, 256, TRUE },  /* 320 tokens for 300 queries */
    { "deim_dfine_n", 224, 224, FALSE }, /* 245 */
    { "deim_dfine_n:select=one2many", 224, 224, TRUE },
    { "deim_dfine_n:queries=245", 224, 224, TRUE },
    { "deim_r18", 96, 128, FALSE },
    { "deim_r18", 384, 640, TRUE },
    { "deim_r18", 16384, 32, FALSE },
    { "deim_r18", 4294967264u, 32, FALSE },
  };
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    DeimArch arch;
    g_autoptr (GError) error = NULL;
    g_assert_true (deim_arch_parse_spec (cases[i].spec, &arch, NULL, NULL));
    gboolean good = deim_network_check_size (&arch, cases[i].height, cases[i].width, &error);
    if (good != cases[i].good)
      g_error ("%s at %ux%u: %s", cases[i].spec, cases[i].height, cases[i].width, good ? "accepted" : error->message);
    if (!good)
      g_assert_error (error, DEIM_ERROR, DEIM_ERROR_SETTINGS);
  }
  DeimArch four; /* a fourth level has stride 64 */
  deim_arch_find_preset ("rtdetrv2_r18", &four);
  four.decoder.levels = 4;
  g_assert_true (deim_network_check_size (&four, 320, 640, NULL));
  g_assert_false (deim_network_check_size (&four, 352, 640, NULL));
}

/* ----------------------------------------------------------------- anchors */

static void
test_anchors (void)
{
  const gint square[] = { 40, 20 }, wide_h[] = { 20, 10 }, wide_w[] = { 80, 40 };
  g_autofree gfloat *a = NULL, *b = NULL;
  g_autofree gboolean *valid = NULL, *other = NULL;
  gint total = deim_anchors_compute (2, square, square, &a, &valid);
  g_assert_cmpint (total, ==, 2000);
  g_assert_cmpint (deim_anchors_compute (2, wide_h, wide_w, &b, &other), ==, total);
  g_assert_false (deim_anchors_agree (a, b, total));
  g_assert_true (deim_anchors_agree (a, a, total));
  /* First token: centre 0.5/40, size 0.05. */
  g_assert_cmpfloat_with_epsilon (a[0], logf (0.0125f / 0.9875f), 1e-6f);
  g_assert_cmpfloat_with_epsilon (a[2], logf (0.05f / 0.95f), 1e-6f);
  g_assert_true (valid[0]);
  /* A level of 80 cells has its ring outside: 0.5/80 < 0.01. */
  g_assert_false (other[0]);
  g_assert_true (isinf (b[0]));
  for (gint i = 0; i < 4 * total; i++)
    b[i] = a[i] + 2.4e-4f; /* what training does to them */
  g_assert_true (deim_anchors_agree (b, a, total));
  b[77] = NAN;
  g_assert_false (deim_anchors_agree (b, a, total));
}

/* The graph's anchors: stored ones where they fit, computed ones where not; nothing infinite either way. */
static void
test_stored_anchors (void)
{
  g_autofree gchar *folder = shell_find_folder ("deimv2_atto");
  if (!folder)
    return;
  DeimArch arch;
  g_assert_true (deim_arch_find_preset ("deimv2_atto", &arch));
  g_autoptr (GoldenParams) params = shell_read_params (folder, "deimv2_atto", &arch);
  for (guint i = 0; i < 3; i++) {
    const guint sizes[3][2] = { { 320, 320 }, { 224, 416 }, { 800, 800 } };
    DeimNetworkOutputs outputs;
    g_autoptr (GError) error = NULL;
    Shell shell = { .params = params };
    DeimStateDict dict = shell_dict (&shell);
    g_autoptr (DeimGraph) graph =
        deim_network_build (&arch, &dict.values, 2, sizes[i][0], sizes[i][1], &outputs, &error);
    g_assert_no_error (error);
    const DeimTensor *anchors = deim_graph_find (graph, "decoder.anchors");
    g_assert_nonnull (anchors);
    for (gsize k = 0; k < deim_shape_size (anchors->shape); k++)
      g_assert_true (isfinite (anchors->data[k]));
    /* At stride 16 tokens are masked from 800 pixels on. */
    g_assert_cmpint (deim_graph_find (graph, "decoder.valid_mask") != NULL, ==, i == 2);
    g_assert_cmpint (outputs.logits->shape.n, ==, 2);
    g_assert_cmpint (outputs.logits->shape.w, ==, 100);
    g_assert_true (outputs.boxes->keep_fp32);
  }
}

gint
main (gint argc, gchar **argv)
{
  g_test_init (&argc, &argv, NULL);
  static const gchar *const models[] = { "deim_dfine_n", "deim_r18",   "deimv2_atto",  "deimv2_n",
                                         "rtdetr_dla34", "rtdetr_r18", "rtdetrv2_hgl", "rtdetrv2_r18" };
  for (guint i = 0; i < G_N_ELEMENTS (models); i++) {
    g_autofree gchar *path = g_strdup_printf ("/models/refused/every-tensor/%s", models[i]);
    g_test_add_data_func (path, models[i], test_every_tensor);
  }
  g_test_add_func ("/models/refused/wide-layers", test_wide_layers);
  g_test_add_func ("/models/refused/named", test_named_refusals);
  g_test_add_data_func ("/models/refused/scalars/deimv2_atto", "deimv2_atto", test_scalars);
  g_test_add_data_func ("/models/refused/scalars/deim_dfine_n", "deim_dfine_n", test_scalars);
  g_test_add_data_func ("/models/refused/scalars/dfine_x", "dfine_x", test_scalars); /* its reg_scale is 8 */
  g_test_add_func ("/models/input-sizes", test_sizes);
  g_test_add_func ("/models/anchors/computed", test_anchors);
  g_test_add_func ("/models/anchors/stored", test_stored_anchors);
  return g_test_run ();
}
