/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-parity.c - every network against the official implementation.
 *
 *     test-parity                                the committed sets, on the reference executor
 *     test-parity --backend fused                the same after folding and fusing
 *     test-parity --set deim_dfine_n             all golden sets that begin so, if they are there
 *     test-parity --set '' --backend vulkan      all sets
 *     test-parity --first                        of each set the first picture only
 *
 * Other options are GLib's (-p PATH, --tap, ..). DEIM_TEST_VARIANT=rows-8x4 takes that variant of the convolutions'
 * kernels wherever it is legal (engine/ops/conv2d-variant.c).
 */
#include "parity.h"

#include "engine/error.h"
#include "engine/formats/npy.h"
#include "engine/graph/op.h"
#include "engine/model.h"
#include "png.h"

#include <math.h>
#include <string.h>

static const ParityBackend *backend;
static guint max_cases;
static gboolean sums_expected; /* the committed sets all have those of their weights; of the others some */

static void
test_set (GoldenSet *set)
{
  g_autofree gchar *message = NULL;
  guint checked;
  if (!parity_check_crc (set, &checked, &message)) {
    g_test_message ("%s", message);
    g_test_fail ();
    return;
  }
  if (checked == 0 && sums_expected) {
    g_test_message ("%s: there are no checksums of its weights", set->name);
    g_test_fail ();
    return;
  }
  gint64 start = g_get_monotonic_time ();
  gboolean good = parity_check_set (backend, set, max_cases, &message);
  g_test_message ("%s, %u checksums, %.1f s:%s", set->name, checked, (gdouble) (g_get_monotonic_time () - start) * 1e-6,
                  message);
  if (!good)
    g_test_fail ();
}

/* ---------------------------------------------------- real weights, photos */

static gfloat *
read_npy (const gchar *kind, const gchar *model, const gchar *photo, gsize n)
{
  g_autofree gchar *relative = g_strdup_printf ("real/open/%s_%s_%s.npy", kind, model, photo);
  g_autofree gchar *path = golden_shared_file (relative);
  gsize shape[DEIM_NPY_MAX_DIMS], size = 1;
  guint dims;
  if (!path)
    return NULL;
  g_autoptr (GError) error = NULL;
  gfloat *values = deim_npy_read_float (path, &dims, shape, &error);
  g_assert_no_error (error);
  for (guint i = 0; i < dims; i++)
    size *= shape[i];
  g_assert_cmpuint (size, ==, n);
  return values;
}

/* Rows come in the order of selection, in which near ties may swap, and the stored results say nothing of tokens: so
 * each golden row is compared with the one of ours that is most like it. */
static void
compare_real (const gfloat *golden_logits, const gfloat *golden_boxes, const gfloat *logits, const gfloat *boxes,
              guint q, guint classes, gdouble logits_limit, gdouble boxes_limit)
{
  gdouble worst_logits = 0, worst_boxes = 0;
  for (guint i = 0; i < q; i++) {
    gdouble best_logits = INFINITY, best_boxes = INFINITY;
    for (guint r = 0; r < q; r++) {
      gdouble d = 0, e = 0;
      for (guint k = 0; k < 4; k++)
        e = fmax (e, fabs ((gdouble) golden_boxes[4 * i + k] - (gdouble) boxes[k * q + r]));
      for (guint k = 0; k < classes; k++)
        d = fmax (d, fabs ((gdouble) golden_logits[classes * i + k] - (gdouble) logits[k * q + r]));
      if (d / logits_limit + e / boxes_limit < best_logits / logits_limit + best_boxes / boxes_limit) {
        best_logits = d;
        best_boxes = e;
      }
    }
    worst_logits = fmax (worst_logits, best_logits);
    worst_boxes = fmax (worst_boxes, best_boxes);
  }
  g_test_message ("logits within %.2g (%.2g), boxes within %.2g (%.2g)", worst_logits, logits_limit, worst_boxes,
                  boxes_limit);
  g_assert_cmpfloat (worst_logits, <=, logits_limit);
  g_assert_cmpfloat (worst_boxes, <=, boxes_limit);
}

/* The network's input [3][side][side], from the picture after the resize. */
static gfloat *
real_input (const gchar *model, const gchar *photo, guint side)
{
  g_autofree gchar *relative = g_strdup_printf ("real/open/resized_%s_%s.png", model, photo);
  g_autofree gchar *path = golden_shared_file (relative);
  g_autoptr (GError) error = NULL;
  guint width = 0, height = 0;
  g_assert_nonnull (path);
  g_autofree guint8 *pixels = png_read_rgb (path, &width, &height, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (width, ==, side);
  g_assert_cmpuint (height, ==, side);
  gsize plane = (gsize) side * side;
  gfloat *input = g_new (gfloat, 3 * plane);
  for (gsize i = 0; i < 3 * plane; i++)
    input[i] = (gfloat) pixels[3 * (i % plane) + i / plane] / 255.0f;
  g_autofree gfloat *stored = read_npy ("input", model, photo, 3 * plane); /* of Atto only */
  if (stored)
    g_assert_cmpmem (input, 3 * plane * sizeof (gfloat), stored, 3 * plane * sizeof (gfloat));
  return input;
}

static void
test_real (gconstpointer data)
{
  const gchar *model_name = data;
  static const gchar *const photos[] = { "139", "183709", "404484" };
  g_autofree gchar *file = g_strdup_printf ("real/deimv2_hgnetv2_%s_coco.safetensors", model_name);
  g_autofree gchar *path = golden_shared_file (file);
  if (!path) {
    g_test_skip ("no real weights: ../shared is not here");
    return;
  }
  g_autoptr (GError) error = NULL;
  g_autoptr (DeimModel) model = deim_model_load (path, NULL, &error);
  g_assert_no_error (error);
  const DeimModelInfo *info = deim_model_get_info (model);
  gboolean femto = g_str_equal (model_name, "femto");
  guint q = info->num_queries, classes = info->num_classes;

  DeimNetworkOutputs outputs;
  DeimGraph *graph = deim_model_build (model, 1, 0, 0, &outputs, &error);
  g_assert_no_error (error);
  DeimTensor *wanted[] = { outputs.logits, outputs.boxes };
  gpointer session = backend->open (graph, wanted, 2, &error);
  g_assert_no_error (error);
  for (guint i = 0; i < G_N_ELEMENTS (photos); i++) {
    g_autofree gfloat *input = real_input (model_name, photos[i], info->input_width);
    g_autofree gfloat *golden_logits = read_npy ("logits", model_name, photos[i], (gsize) q * classes);
    g_autofree gfloat *golden_boxes = read_npy ("boxes", model_name, photos[i], (gsize) q * 4);
    g_assert_true (input && golden_logits && golden_boxes);
    gfloat *values[2];
    DeimFeed feed = { outputs.input, input };
    g_assert_true (backend->run (session, &feed, 1, values, &error));
    compare_real (golden_logits, golden_boxes, values[0], values[1], q, classes,
                  backend->tolerance * (femto ? 3e-3 : 1e-3), backend->tolerance * (femto ? 3e-4 : 1e-4));
    g_free (values[0]);
    g_free (values[1]);
  }
  backend->close (session);
}

/* -------------------------------------------------------------------- main */

gint
main (gint argc, gchar **argv)
{
  const gchar *backend_name = parity_take_option (&argc, argv, "--backend", TRUE);
  const gchar *prefix = parity_take_option (&argc, argv, "--set", TRUE);
  max_cases = parity_take_option (&argc, argv, "--first", FALSE) ? 1 : 0;
  g_test_init (&argc, &argv, NULL);
  if (!backend_name)
    backend_name = "reference";
  backend = parity_backend_find (backend_name);
  if (!backend) {
    g_autofree gchar *names = parity_backend_names ();
    g_printerr ("no backend is called %s; there are: %s\n", backend_name, names);
    return 2;
  }

  sums_expected = !prefix;
  g_autofree gchar *sets = g_strdup_printf ("parity/%s", backend_name);
  parity_add_sets (sets, prefix, test_set);
  if (!prefix || g_str_has_prefix ("real", prefix)) {
    static const gchar *const real[] = { "atto", "femto" };
    for (guint i = 0; i < G_N_ELEMENTS (real); i++) {
      g_autofree gchar *path = g_strdup_printf ("/parity/%s/real_%s", backend_name, real[i]);
      g_test_add_data_func (path, real[i], test_real);
    }
  }
  return g_test_run ();
}
