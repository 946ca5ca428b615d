/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-selftest.c - the self-test at load finds kernels that were broken on purpose ($DEIM_TEST_BREAK). */
#include <glib/gstdio.h>
#include <string.h>

#include "engine/device.h"
#include "engine/training.h"

static GString *warnings;
static gboolean remembered;

static void
note (GLogLevelFlags level, const gchar *message, gpointer user_data)
{
  if (strstr (message, "self-test: passed before"))
    remembered = TRUE;
  if (level == G_LOG_LEVEL_WARNING)
    g_string_append_printf (warnings, "%s\n", message);
}

static DeimDevice *
open_device (const gchar *broken)
{
  g_autoptr (GError) error = NULL;
  g_string_truncate (warnings, 0);
  if (broken)
    g_setenv ("DEIM_TEST_BREAK", broken, TRUE);
  else
    g_unsetenv ("DEIM_TEST_BREAK");
  DeimDevice *device = deim_device_open (NULL, &error);
  g_assert_no_error (error);
  return device;
}

/* Nothing on disk may say that the device was fine before. */
static void
forget (DeimDevice *device)
{
  static const gchar *const suffixes[] = { ".tested-fp32", ".tested-fp16" };
  for (guint i = 0; i < G_N_ELEMENTS (suffixes); i++) {
    g_autofree gchar *path = deim_gpu_cache_file (deim_device_get_gpu (device), suffixes[i]);
    if (path)
      g_remove (path);
  }
}

static void
test_good (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (DeimDevice) device = open_device (NULL);
  forget (device);
  DeimPrecision precision;
  g_assert_true (deim_device_check (device, DEIM_PRECISION_FP16, &precision, &error));
  g_assert_cmpint (precision, ==, DEIM_PRECISION_FP16);
  g_assert_true (deim_device_check (device, DEIM_PRECISION_FP32, &precision, &error));
  g_assert_cmpint (precision, ==, DEIM_PRECISION_FP32);
  g_assert_cmpstr (warnings->str, ==, "");

  g_autoptr (DeimDevice) again = open_device (NULL);
  remembered = FALSE;
  g_assert_true (deim_device_check (again, DEIM_PRECISION_FP32, &precision, &error));
  g_assert_true (remembered);
  forget (again);
}

/* What is broken, in the words of $DEIM_TEST_BREAK; what is turned off for it, and a precision that uses it. */
typedef struct {
  const gchar *broken;
  DeimDecision decision;
  DeimPrecision precision;
  gboolean cpu; /* this kernel is a CPU's alone */
} Fault;

static void
test_feature (gconstpointer data)
{
  const Fault *fault = data;
  g_autoptr (GError) error = NULL;
  if (fault->decision == DEIM_DECISION_ADDRESS)
    g_setenv ("DEIM_TEST_ADDRESS", "1", TRUE); /* where it does not pay, too */
  g_autoptr (DeimDevice) device = open_device (fault->broken);
  g_unsetenv ("DEIM_TEST_ADDRESS");
  const DeimGpuPolicy *policy = deim_gpu_get_policy (deim_device_get_gpu (device));
  if (!policy->on[fault->decision] || (fault->cpu && !policy->on[DEIM_DECISION_CPU])) {
    g_test_skip ("this device does not use it");
    return;
  }
  DeimGpuPolicy before = *policy;
  forget (device);
  DeimPrecision precision;
  deim_device_check (device, fault->precision, &precision, &error);
  g_assert_no_error (error);
  g_assert_cmpint (precision, ==, fault->precision);
  for (gint i = 0; i < DEIM_N_DECISIONS; i++)
    g_assert_cmpint (policy->on[i], ==, i == (gint) fault->decision ? FALSE : before.on[i]);
  g_assert_nonnull (strstr (warnings->str, deim_decision_name (fault->decision)));
  g_assert_nonnull (strstr (warnings->str, deim_device_get_name (device)));
  g_assert_true (strchr (warnings->str, '\n') == warnings->str + warnings->len - 1); /* one warning */
}

static void
test_half (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (DeimDevice) device = open_device ("fp16");
  forget (device);
  DeimPrecision precision;
  deim_device_check (device, DEIM_PRECISION_FP16, &precision, &error);
  g_assert_no_error (error);
  g_assert_cmpint (precision, ==, DEIM_PRECISION_FP32);
  g_assert_nonnull (strstr (warnings->str, "fp16"));

  /* Inference goes on in fp32, and said so. A training is refused: its settings and its report say what it stores. */
  const DeimTrainingOptions options = { .batch = 1, .half = TRUE };
  g_assert_null (deim_training_new (device, NULL, NULL, &options, &error));
  g_assert_error (error, DEIM_ERROR, DEIM_ERROR_DEVICE);
  g_assert_nonnull (strstr (error->message, "without --half"));
}

/* A kernel that is wrong whatever is turned off; @kernel is its shader. */
static void
test_hopeless (gconstpointer kernel)
{
  g_autoptr (GError) error = NULL;
  static const gchar *const others[][2] = {
    /* of a CPU and of a GPU */
    { "conv", "conv_tile" },
    { "attention", "attention_split" },
  };
  g_autoptr (DeimDevice) device = open_device (kernel);
  gboolean cpu = deim_gpu_get_policy (deim_device_get_gpu (device))->on[DEIM_DECISION_CPU];
  for (guint i = 0; i < G_N_ELEMENTS (others) && !cpu; i++)
    if (g_str_equal (kernel, others[i][0])) {
      deim_device_unref (device);
      device = open_device (others[i][1]);
    }
  forget (device);
  DeimPrecision precision = DEIM_PRECISION_AUTO;
  g_assert_false (deim_device_check (device, DEIM_PRECISION_FP32, &precision, &error));
  g_assert_error (error, DEIM_ERROR, DEIM_ERROR_DEVICE);
  g_assert_cmpint (precision, ==, DEIM_PRECISION_AUTO); /* untouched */
}

int
main (int argc, char **argv)
{
  /* A cache folder of its own, but for what the driver compiles, which takes most of the time. */
  g_autofree gchar *cache = g_dir_make_tmp ("deim-selftest-XXXXXX", NULL);
  const gchar *shared = g_getenv ("XDG_CACHE_HOME"); /* GLib's answer would outlive the change below */
  g_autofree gchar *usual = shared ? g_strdup (shared) : g_build_filename (g_get_home_dir (), ".cache", NULL);
  g_setenv ("MESA_SHADER_CACHE_DIR", usual, FALSE);
  g_setenv ("XDG_CACHE_HOME", cache, TRUE);
  g_test_init (&argc, &argv, NULL);
  warnings = g_string_new (NULL);
  deim_set_log_func (note, NULL);
  g_test_add_func ("/selftest/good", test_good);
  /* Matrices: on a GPU, or DEIM_DISABLE=cpu on a lavapipe that
   * emulates them. fp16 storage stays with them off. */
  static const Fault faults[] = {
    { "shuffle", DEIM_DECISION_SHUFFLE, DEIM_PRECISION_FP32 },
    { "winograd_in", DEIM_DECISION_WINOGRAD, DEIM_PRECISION_AUTO },
    { "address", DEIM_DECISION_ADDRESS, DEIM_PRECISION_FP32 },
    { "coopmat", DEIM_DECISION_COOPMAT, DEIM_PRECISION_FP16 },
    { "topk_select", DEIM_DECISION_SUBGROUP, DEIM_PRECISION_FP32, TRUE }, /* topk_histogram then */
  };
  for (guint i = 0; i < G_N_ELEMENTS (faults); i++) {
    g_autofree gchar *path = g_strdup_printf ("/selftest/feature/%s", deim_decision_name (faults[i].decision));
    g_test_add_data_func (path, &faults[i], test_feature);
  }
  g_test_add_func ("/selftest/half", test_half);
  static const gchar *const kernels[] = { "conv",        "depthwise", "pool",      "upsample2x", "elementwise",
                                          "global_mean", "norm",      "attention", "gather",     "deform_attn",
                                          "fdr",         "lqe_stats", "topk_keys", "topk_sort" };
  for (guint i = 0; i < G_N_ELEMENTS (kernels); i++) {
    g_autofree gchar *path = g_strdup_printf ("/selftest/hopeless/%s", kernels[i]);
    g_test_add_data_func (path, kernels[i], test_hopeless);
  }
  int status = g_test_run ();
  g_string_free (warnings, TRUE);
  return status;
}
