/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-ahead.c - kernels are compiled before the first run, where the driver would compile them in it. The driver's
 * own cache, in a folder of this test, shows what was compiled: it grows.
 */
#include <ftw.h>
#include <glib/gstdio.h>

#include "engine/device.h"
#include "engine/error.h"
#include "engine/executor.h"
#include "engine/graph/op.h"
#include "engine/ops/ops.h"
#include "process.h"

#define LAYERS 3

/* Bytes: 1848 are the least of 6258 kernels of Mesa 22.3. Mesa 25 adds a function of 591 for a view of another size. */
#define LEAST_KERNEL 1500

static gchar *folder;
static gint compilations; /* that the library has told of */

static void
note (GLogLevelFlags level, const gchar *message, gpointer user_data)
{
  if (g_str_has_prefix (message, "compiling "))
    g_atomic_int_inc (&compilations);
}

static gsize folder_bytes;

static int
add_size (const char *path, const struct stat *status, int type, struct FTW *at)
{
  if (type == FTW_F)
    folder_bytes += (gsize) status->st_size;
  return 0;
}

/* Bytes of the driver's cache, when its writer, a thread of the driver's, has been idle for half a second. */
static gsize
measure_cache (void)
{
  g_autofree gchar *path = g_build_filename (folder, "driver", NULL);
  gsize before = 0;
  for (guint idle = 0; idle < 10; idle = folder_bytes == before ? idle + 1 : 0) {
    before = folder_bytes;
    g_usleep (50000);
    folder_bytes = 0;
    nftw (path, add_size, 8, FTW_PHYS);
  }
  return folder_bytes;
}

/* Convolutions with activation @act and a pool, or a resize: at least two kernels that another @act has not. */
static DeimExecutor *
make_network (DeimGpu *gpu, gint act, DeimTensor **ret_input)
{
  g_autoptr (GError) error = NULL;
  DeimGraph *g = deim_graph_new (NULL);
  DeimTensor *x = *ret_input = deim_input (g, "input", (DeimShape){ 1, 8, 21, 19 });
  for (gint i = 0; i < LAYERS; i++) {
    gfloat weights[8 * 8 * 9];
    for (guint k = 0; k < G_N_ELEMENTS (weights); k++)
      weights[k] = (gfloat) (k % 7) / 7 - 0.5f;
    DeimTensor *w = deim_const (g, NULL, (DeimShape){ 8, 8, 3, 3 }, weights);
    x = deim_act (g, deim_conv2d (g, x, w, NULL, 1, 1, 1, 1, 1, 1), act);
  }
  x = act == DEIM_ACT_RELU ? deim_max_pool (g, x, 2, 2, 0, 0, 0, 0, 0) : deim_upsample2x (g, x);
  deim_graph_mark_output (g, x);
  g_assert_true (deim_graph_finish (g, &error));
  DeimExecutor *executor = deim_executor_new (gpu, g, DEIM_PRECISION_FP32, TRUE, NULL, &error);
  g_assert_no_error (error);
  return executor;
}

static void
run_once (DeimExecutor *executor, DeimTensor *input)
{
  g_autoptr (GError) error = NULL;
  g_autofree gfloat *picture = g_new0 (gfloat, deim_shape_size (input->shape));
  g_autoptr (DeimRun) run = deim_run_new (executor, DEIM_RUN_HOST_INPUTS, &error);
  g_assert_no_error (error);
  deim_run_write (run, input, picture);
  g_assert_true (deim_run_execute (run, &error));
  g_assert_no_error (error);
}

/* How often compiling ahead begins where a network with @act is made, which then runs. */
static gint
count_compilations (DeimDevice *device, gint act)
{
  DeimTensor *input;
  gint before = g_atomic_int_get (&compilations);
  g_autoptr (DeimExecutor) executor = make_network (deim_device_get_gpu (device), act, &input);
  run_once (executor, input);
  return g_atomic_int_get (&compilations) - before;
}

/* The device, if its driver compiles late and there are cores to help it. */
static DeimDevice *
open_device (void)
{
  g_autoptr (GError) error = NULL;
  DeimDevice *device = deim_device_open (NULL, &error);
  if (g_error_matches (error, DEIM_ERROR, DEIM_ERROR_NO_DEVICE)) {
    g_test_skip (error->message);
    return NULL;
  }
  g_assert_no_error (error);
  if (g_get_num_processors () > 1 && deim_gpu_get_policy (deim_device_get_gpu (device))->on[DEIM_DECISION_AHEAD])
    return device;
  g_test_skip ("this driver compiles where a pipeline is created, or there is one core");
  deim_device_unref (device);
  return NULL;
}

static void
test_first_run (void)
{
  g_autoptr (DeimDevice) device = open_device ();
  if (!device)
    return;
  DeimTensor *input;
  gsize empty = measure_cache ();
  g_autoptr (DeimExecutor) executor = make_network (deim_device_get_gpu (device), DEIM_ACT_RELU, &input);
  g_assert_cmpint (g_atomic_int_get (&compilations), ==, 1);
  gsize compiled = measure_cache ();
  g_assert_cmpuint (compiled, >, empty + 2 * LEAST_KERNEL);
  run_once (executor, input);
  g_assert_cmpuint (measure_cache (), <, compiled + LEAST_KERNEL);
}

/* What was noted is not compiled again, whatever the policy decides since; what is new is. */
static void
test_again (void)
{
  g_autoptr (DeimDevice) device = open_device ();
  if (!device)
    return;
  count_compilations (device, DEIM_ACT_RELU);
  g_assert_cmpint (count_compilations (device, DEIM_ACT_RELU), ==, 0);
  deim_gpu_overrule (deim_device_get_gpu (device), DEIM_DECISION_BATCH, TRUE, "a test");
  g_assert_cmpint (count_compilations (device, DEIM_ACT_RELU), ==, 0);
  g_assert_cmpint (count_compilations (device, DEIM_ACT_SILU), ==, 1);
}

/* A note that nobody can read or write is no reason to fail. */
static void
test_note (void)
{
  g_autoptr (DeimDevice) device = open_device ();
  if (!device)
    return;
  g_autofree gchar *path = deim_gpu_cache_file (deim_device_get_gpu (device), ".compiled");
  g_assert_true (g_file_set_contents (path, "nonsense\n\n\xff", -1, NULL));
  g_assert_cmpint (count_compilations (device, DEIM_ACT_RELU), ==, 1);

  g_assert_cmpint (g_remove (path), ==, 0);
  g_assert_cmpint (g_mkdir (path, 0700), ==, 0);
  g_assert_cmpint (count_compilations (device, DEIM_ACT_RELU), ==, 1);
  g_assert_cmpint (g_rmdir (path), ==, 0);
}

/* Without it, the first run compiles: else this test would see nothing. */
static void
test_disabled (void)
{
  g_setenv ("DEIM_DISABLE", "ahead", TRUE);
  g_autoptr (GError) error = NULL;
  g_autoptr (DeimDevice) device = deim_device_open (NULL, &error);
  g_unsetenv ("DEIM_DISABLE");
  if (!device || deim_gpu_get_properties (deim_device_get_gpu (device))->driver_id != VK_DRIVER_ID_MESA_LLVMPIPE) {
    g_test_skip ("no lavapipe here");
    return;
  }
  DeimTensor *input;
  gint before = g_atomic_int_get (&compilations);
  gsize empty = measure_cache ();
  g_autoptr (DeimExecutor) executor = make_network (deim_device_get_gpu (device), DEIM_ACT_GELU, &input);
  g_assert_cmpint (g_atomic_int_get (&compilations), ==, before);
  g_assert_cmpuint (measure_cache (), ==, empty);
  run_once (executor, input);
  g_assert_cmpuint (measure_cache (), >, empty + 2 * LEAST_KERNEL);
}

int
main (int argc, char **argv)
{
  folder = g_dir_make_tmp ("deim-ahead-XXXXXX", NULL);
  g_autofree gchar *driver = g_build_filename (folder, "driver", NULL);
  g_setenv ("XDG_CACHE_HOME", folder, TRUE);
  g_setenv ("MESA_SHADER_CACHE_DIR", driver, TRUE);
  g_test_init (&argc, &argv, NULL);
  deim_set_log_func (note, NULL);
  g_test_add_func ("/ahead/first-run", test_first_run);
  g_test_add_func ("/ahead/again", test_again);
  g_test_add_func ("/ahead/note", test_note);
  g_test_add_func ("/ahead/disabled", test_disabled);
  int status = g_test_run ();
  remove_tree (folder);
  g_free (folder);
  return status;
}
