/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-evidence.c - what shapes leave open, and who decides it: the caller, the metadata, the file's name, a default.
 */
#include "shell.h"

#include "engine/error.h"

#include <string.h>

typedef struct {
  const gchar *model, *file, *metadata, *arch; /* what is there */
  const gchar *name;                           /* what it is taken for */
  DeimAct act;
  DeimSampling sampling;
  const gchar *note; /* part of one of the notes */
  gboolean guess;    /* and of a guess */
} Evidence;

static const Evidence evidence[] = {
  { "deim_dfine_s", "dfine_s_coco.pth", NULL, NULL, "dfine_s", DEIM_ACT_RELU, 0, "ReLU in the decoder: \"dfine\"",
    TRUE },
  { "deim_dfine_s", "/x/D-FINE-S/D-FINE_S.safetensors", NULL, NULL, "dfine_s", DEIM_ACT_RELU, 0, "\"dfine\"", TRUE },
  { "deim_dfine_s", "deim_dfine_hgnetv2_s_coco_120e.pth", NULL, NULL, "deim_dfine_s", DEIM_ACT_SILU, 0, "\"deim\"",
    TRUE },
  { "deim_dfine_s", "best_stg2.pth", NULL, NULL, "deim_dfine_s", DEIM_ACT_SILU, 0, "SiLU in the decoder: a default",
    TRUE },
  { "deim_dfine_s", NULL, NULL, NULL, "deim_dfine_s", DEIM_ACT_SILU, 0, "a default", TRUE },
  { "deim_dfine_s", "dfine_s.pth", "deim_dfine_s", NULL, "deim_dfine_s", DEIM_ACT_SILU, 0, "metadata" },
  { "deim_dfine_s", "x.pth", "deim_dfine_s", "dfine_s", "dfine_s", DEIM_ACT_RELU, 0, "asked for" },
  { "deim_dfine_s", "x.pth", NULL, "deim_dfine_s:act=relu,sampling=discrete", "deim_dfine_s", DEIM_ACT_RELU, 1,
    "discrete sampling: the architecture that was asked for" },
  { "dfine_l", "model.pth", NULL, NULL, "dfine_l", DEIM_ACT_RELU, 0, "BatchNorm is frozen, as in dfine_l" },
  { "deim_dfine_l", "model.pth", NULL, NULL, "deim_dfine_l", DEIM_ACT_SILU, 0, "BatchNorm is trained" },
  { "deim_dfine_l", "dfine_l_finetuned.pth", NULL, NULL, "dfine_l", DEIM_ACT_RELU, 0, "\"dfine\" in the file name",
    TRUE },
  { "deim_dfine_x_obj2coco", "deim_dfine_hgnetv2_x_obj2coco_24e.pth", NULL, NULL, "deim_dfine_x_obj2coco",
    DEIM_ACT_RELU, 0, "\"deim\"", TRUE },
  { "deim_dfine_x_obj2coco", "deim_dfine_hgnetv2_x.pth", NULL, NULL, "deim_dfine_x", DEIM_ACT_SILU, 0, "\"deim\"",
    TRUE },
  { "rtdetrv2_r18", "rtdetrv2_r18vd_120e_coco_rerun_48.1.pth", NULL, NULL, "rtdetrv2_r18", DEIM_ACT_RELU, 0,
    "bilinear sampling: a default", TRUE },
  { "rtdetrv2_r18", "rtdetrv2_r18vd_dsp_3x_coco.pth", NULL, NULL, "rtdetrv2_r18_dsp", DEIM_ACT_RELU, 1,
    "discrete sampling: \"dsp\"", TRUE },
  { "rtdetrv2_r50m", "rtdetrv2_r50vd_m_7x_coco_ema.pth", NULL, NULL, "rtdetrv2_r50m", DEIM_ACT_RELU, 0,
    "stops after layer 3 of 6" },
  { "rtdetr_r18", "rtdetr_r18vd_dec3_6x_coco_from_paddle.pth", NULL, NULL, "rtdetr_r18", DEIM_ACT_RELU, 0,
    "input size 640x640 (height x width): the usual one" },
  /* A word in the file name sets the sampling of any network that has it. */
  { "deim_dfine_s", "deim_dfine_s_discrete.pth", NULL, NULL, "deim_dfine_s", DEIM_ACT_SILU, 1,
    "discrete sampling: \"discrete\" in the file name", TRUE },
  { "rtdetr_r18", "rtdetr_r18_dsp.pth", NULL, NULL, "rtdetr_r18", DEIM_ACT_RELU, 0, "bilinear sampling: as in every" },
  /* Words, not letters: "road_speed", "wide_images". */
  { "rtdetrv2_r18", "road_speed.pth", NULL, NULL, "rtdetrv2_r18", DEIM_ACT_RELU, 0, "bilinear sampling: a default",
    TRUE },
  { "deim_dfine_s", "dfine_s_wide_images.pth", NULL, NULL, "dfine_s", DEIM_ACT_RELU, 0, "\"dfine\"", TRUE },
  { "deim_dfine_s", "my_dsp_s.pth", NULL, NULL, "deim_dfine_s", DEIM_ACT_SILU, 0, "bilinear sampling: a default" },
  { "deim_dfine_s", "DEIM-D-FINE_S.pth", NULL, NULL, "deim_dfine_s", DEIM_ACT_SILU, 0, "\"deim\"", TRUE },
  { "deim_dfine_s", "deimos_crater.pth", NULL, NULL, "deim_dfine_s", DEIM_ACT_SILU, 0, "SiLU in the decoder: a default",
    TRUE },
  /* Key by key: the caller's, then the metadata's. */
  { "deim_dfine_s", "x.pth", "deim_dfine_s:act=relu,queries=123,sampling=discrete", "deim_dfine_s:sampling=bilinear",
    "deim_dfine_s", DEIM_ACT_RELU, 0, "123 queries: the file's metadata" },
  { "deim_dfine_s", "x.pth", "deim_dfine_s:act=silu,queries=123", "dfine_s", "dfine_s", DEIM_ACT_RELU, 0,
    "123 queries: the file's metadata" },
  { "deim_dfine_s", "x.pth", "yolo", "dfine_s", "dfine_s", DEIM_ACT_RELU, 0, "(deim.arch) is not heard: \"yolo\"" },
  /* Every decision is told. */
  { "deim_dfine_s", "x.pth", NULL, NULL, "deim_dfine_s", DEIM_ACT_SILU, 0, "decoder runs all of its 3 layers: as in" },
  { "deim_dfine_s", "x.pth", NULL, NULL, "deim_dfine_s", DEIM_ACT_SILU, 0, "default query selection: as in every" },
};

static void
test_evidence (gconstpointer data)
{
  const Evidence *e = data;
  DeimArch preset, arch;
  g_autofree gchar *folder = shell_find_folder (e->model);
  g_autoptr (GError) error = NULL;
  if (!folder)
    return;
  g_assert_true (deim_arch_find_preset (e->model, &preset));
  g_autoptr (GoldenParams) params = shell_read_params (folder, e->model, &preset);
  Shell shell = { .params = params };
  DeimStateDict dict = shell_dict (&shell);
  DeimRecogniseHints hints = { e->file, e->arch, e->metadata };
  g_autoptr (DeimNotes) notes = deim_notes_new ();
  deim_recognise (&dict, &hints, &arch, notes, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (arch.name, ==, e->name);
  g_assert_cmpint (arch.decoder.act, ==, e->act);
  g_assert_cmpint (arch.decoder.sampling, ==, e->sampling);
  gboolean found = FALSE;
  for (guint i = 0; i < notes->all->len; i++) {
    g_test_message ("%s", (const gchar *) g_ptr_array_index (notes->all, i));
    found = found || strstr (g_ptr_array_index (notes->all, i), e->note);
  }
  g_assert_true (found);
  gboolean guessed = FALSE;
  for (guint i = 0; i < notes->guesses->len; i++)
    guessed = guessed || strstr (g_ptr_array_index (notes->guesses, i), e->note);
  g_assert_cmpint (guessed, ==, e->guess);
}

/* Without any counter of batches nothing says whether norms are frozen, and that is not taken for "trained". */
static void
test_no_counters (void)
{
  g_autofree gchar *folder = shell_find_folder ("dfine_l");
  if (!folder)
    return;
  DeimArch preset, arch;
  g_autoptr (GError) error = NULL;
  g_assert_true (deim_arch_find_preset ("dfine_l", &preset));
  g_autoptr (GoldenParams) params = shell_read_params (folder, "dfine_l", &preset);
  Shell shell = { .params = params, .lacking = ".num_batches_tracked" };
  DeimStateDict dict = shell_dict (&shell);
  g_assert_true (deim_recognise_structure (&dict, &arch, &error));
  g_assert_cmpint (arch.backbone.frozen, ==, DEIM_NORMS_UNKNOWN);
  g_autoptr (DeimNotes) notes = deim_notes_new ();
  g_assert_true (deim_recognise (&dict, &(DeimRecogniseHints){ .file_name = "model.pth" }, &arch, notes, &error));
  g_assert_cmpint (arch.backbone.frozen, !=, DEIM_NORMS_UNKNOWN);
  gboolean told = FALSE;
  for (guint i = 0; i < notes->all->len; i++) {
    g_assert_null (strstr (g_ptr_array_index (notes->all, i), "BatchNorm"));
    told = told || strstr (g_ptr_array_index (notes->all, i), "in the decoder: a default");
  }
  g_assert_true (told);
}

/* The published Atto, whose parameters @params owns. FALSE, with the test skipped, where its shapes are not here. */
static gboolean
open_atto (Shell *shell, GoldenParams **params)
{
  g_autofree gchar *folder = shell_find_folder ("deimv2_atto");
  if (!folder)
    return FALSE;
  DeimArch preset;
  g_assert_true (deim_arch_find_preset ("deimv2_atto", &preset));
  *params = shell_read_params (folder, "deimv2_atto", &preset);
  *shell = (Shell){ .params = *params };
  return TRUE;
}

/* Metadata of another network, or that cannot be read, say that they are metadata and what to do. */
static void
test_wrong_metadata (void)
{
  static const gchar *const wrong[] = { "deim_dfine_n",           "yolo",
                                        "deimv2_atto:depth=3",    "deimv2_pico",
                                        "deimv2_atto:eval-idx=7", "deimv2_atto:select=agnostic" };
  Shell shell;
  DeimArch arch;
  g_autoptr (GoldenParams) params = NULL;
  if (!open_atto (&shell, &params))
    return;
  DeimStateDict dict = shell_dict (&shell);
  for (guint i = 0; i < G_N_ELEMENTS (wrong); i++) {
    g_autoptr (GError) error = NULL;
    DeimRecogniseHints hints = { .metadata_arch = wrong[i] };
    g_assert_false (deim_recognise (&dict, &hints, &arch, NULL, &error));
    g_test_message ("%s", error->message);
    g_assert_nonnull (strstr (error->message, "the file's metadata (deim.arch)"));
    g_assert_nonnull (strstr (error->message, "--arch"));
    hints.arch = "deimv2_atto:eval-idx=2,select=default";
    g_assert_true (deim_recognise (&dict, &hints, &arch, NULL, NULL));
  }
}

static void
test_wrong_arch (void)
{
  static const gchar *const wrong[] = { "deim_dfine_n", "rtdetr_r18", "deimv2_n", "deimv2_pico", "deimv2_femto" };
  Shell shell;
  DeimArch arch;
  g_autoptr (GoldenParams) params = NULL;
  if (!open_atto (&shell, &params))
    return;
  DeimStateDict dict = shell_dict (&shell);
  for (guint i = 0; i < G_N_ELEMENTS (wrong); i++) {
    g_autoptr (GError) error = NULL;
    DeimRecogniseHints hints = { .arch = wrong[i] };
    g_assert_false (deim_recognise (&dict, &hints, &arch, NULL, &error));
    g_assert_error (error, DEIM_ERROR, DEIM_ERROR_ARCHITECTURE);
    g_assert_nonnull (strstr (error->message, "deimv2_atto"));
    g_assert_nonnull (strstr (error->message, wrong[i]));
  }
}

gint
main (gint argc, gchar **argv)
{
  g_test_init (&argc, &argv, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (evidence); i++) {
    g_autofree gchar *path = g_strdup_printf ("/evidence/%u", i);
    g_test_add_data_func (path, &evidence[i], test_evidence);
  }
  g_test_add_func ("/evidence/no-counters", test_no_counters);
  g_test_add_func ("/evidence/wrong-metadata", test_wrong_metadata);
  g_test_add_func ("/evidence/wrong-arch", test_wrong_arch);
  return g_test_run ();
}
