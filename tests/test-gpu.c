/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-gpu.c - engine/gpu/ on whatever device is there: choosing and losing
 * devices, memory, pipelines and their cache. With the validation layer
 * (synchronization checks included) where it is installed; DEIM_VALIDATION=0
 * turns it off.
 */
#include "gpu-fixture.h"

#include "engine/gpu/shaders.h"

/* ----------------------------------------------------------------- device */

static void
test_device (void)
{
  OPEN_OR_SKIP (gpu);
  g_autoptr (GError) error = NULL;

  g_auto (GStrv) names = deim_gpu_list (&error);
  g_assert_no_error (error);
  g_assert_true (g_strv_contains ((const gchar *const *) names, deim_gpu_get_name (gpu)));

  const DeimGpuProperties *p = deim_gpu_get_properties (gpu);
  g_assert_true (deim_gpu_policy_usable (p, NULL));
  g_assert_cmpuint (p->subgroup_size, >=, 1);
  g_assert_cmpuint (p->min_subgroup_size, <=, p->max_subgroup_size);
  g_assert_cmpuint (p->binding_alignment, >=, 16);
  g_assert_cmpuint (p->binding_alignment & (p->binding_alignment - 1), ==, 0);
  g_assert_cmpuint (p->device_memory, >, 0);
  g_assert_cmpuint (p->max_storage_range, >=, 1 << 27);

  g_autofree gchar *text = deim_gpu_describe (gpu);
  g_test_message ("%s", text);
  g_assert_nonnull (strstr (text, deim_gpu_get_name (gpu)));
  for (guint d = 0; d < DEIM_N_DECISIONS; d++) { /* each on a line of its own, with its reason */
    g_autofree gchar *line =
        g_strdup_printf ("\n%-9s %-3s %s\n", deim_decision_name ((DeimDecision) d),
                         deim_gpu_get_policy (gpu)->on[d] ? "on" : "off", deim_gpu_get_policy (gpu)->reason[d]);
    g_assert_nonnull (strstr (text, line));
  }

  DeimGpu *again = deim_gpu_ref (gpu);
  deim_gpu_unref (again);
  deim_gpu_unref (NULL);
}

static void
test_selectors (void)
{
  OPEN_OR_SKIP (gpu);
  g_autoptr (GError) error = NULL;
  const DeimGpuProperties *p = deim_gpu_get_properties (gpu);
  GString *uuid = g_string_new (NULL);
  for (guint i = 0; i < 16; i++)
    g_string_append_printf (uuid, "%02X%s", p->device_uuid[i], i == 3 || i == 9 ? "-" : "");
  g_autofree gchar *by_uuid = g_string_free (uuid, FALSE);
  g_autofree gchar *by_name = g_ascii_strup (p->name, 6);

  const gchar *selectors[] = { by_uuid, by_name, "" };
  for (guint i = 0; i < G_N_ELEMENTS (selectors); i++) {
    g_autoptr (DeimGpu) chosen = deim_gpu_open (selectors[i], cache_dir, &error);
    g_assert_no_error (error);
    g_assert_cmpstr (deim_gpu_get_name (chosen), ==, p->name);
  }

  g_autoptr (DeimGpu) none = deim_gpu_open ("no such device", cache_dir, &error);
  g_assert_null (none);
  g_assert_error (error, DEIM_ERROR, DEIM_ERROR_NO_DEVICE);
  g_assert_nonnull (strstr (error->message, p->name)); /* lists what is there */
  g_clear_error (&error);

  none = deim_gpu_open ("999", cache_dir, &error);
  g_assert_error (error, DEIM_ERROR, DEIM_ERROR_NO_DEVICE);
  g_clear_error (&error);

  g_autofree gchar *before = g_strdup (g_getenv ("DEIM_DEVICE"));
  g_setenv ("DEIM_DEVICE", "neither this", TRUE);
  none = deim_gpu_open (NULL, cache_dir, &error);
  g_assert_error (error, DEIM_ERROR, DEIM_ERROR_NO_DEVICE);
  g_assert_nonnull (strstr (error->message, "DEIM_DEVICE"));
  g_clear_error (&error);
  none = deim_gpu_open (by_uuid, cache_dir, &error); /* the caller's word goes first */
  g_assert_no_error (error);
  if (before)
    g_setenv ("DEIM_DEVICE", before, TRUE);
  else
    g_unsetenv ("DEIM_DEVICE");
}

static void
test_disable (void)
{
  OPEN_OR_SKIP (gpu);
  g_autoptr (GError) error = NULL;
  g_autofree gchar *before = g_strdup (g_getenv ("DEIM_DISABLE"));
  g_setenv ("DEIM_DISABLE", "subgroup,nonsense", TRUE);
  gint warned = g_atomic_int_get (&warnings);
  g_autoptr (DeimGpu) less = deim_gpu_open (NULL, cache_dir, &error);
  g_assert_no_error (error);
  g_assert_false (deim_gpu_get_policy (less)->on[DEIM_DECISION_SUBGROUP]);
  g_assert_cmpint (g_atomic_int_get (&warnings), ==, warned + 1); /* about "nonsense" */
  if (before)
    g_setenv ("DEIM_DISABLE", before, TRUE);
  else
    g_unsetenv ("DEIM_DISABLE");
}

/* In a process of its own, since a loader is opened once: a machine without loader or driver gets an error. */
static void
test_no_vulkan (void)
{
  static const struct {
    const gchar *variable, *value, *expected;
  } rows[] = {
    { "DEIM_VULKAN_LOADER", "libno-such-vulkan.so.1", "libvulkan1" },
    { "VK_DRIVER_FILES", "/nonexistent/icd.json", "driver" },
  };
  if (g_test_subprocess ()) {
    g_autoptr (GError) error = NULL;
    g_autoptr (DeimGpu) gpu = deim_gpu_open (NULL, cache_dir, &error);
    g_assert_null (gpu);
    g_assert_error (error, DEIM_ERROR, DEIM_ERROR_NO_DEVICE);
    g_assert_nonnull (strstr (error->message, g_getenv ("TEST_EXPECTED")));
    g_clear_error (&error);
    g_auto (GStrv) names = deim_gpu_list (&error);
    g_assert_true (names ? names[0] == NULL : g_error_matches (error, DEIM_ERROR, DEIM_ERROR_NO_DEVICE));
    return;
  }
  g_autofree gchar *mode = g_strdup (g_getenv ("DEIM_VALIDATION"));
  g_setenv ("DEIM_VALIDATION", "0", TRUE);
  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autofree gchar *before = g_strdup (g_getenv (rows[i].variable));
    g_autofree gchar *before_old = g_strdup (g_getenv ("VK_ICD_FILENAMES"));
    g_setenv (rows[i].variable, rows[i].value, TRUE);
    g_setenv ("VK_ICD_FILENAMES", "/nonexistent/icd.json", TRUE); /* older loaders' name of VK_DRIVER_FILES */
    g_setenv ("TEST_EXPECTED", rows[i].expected, TRUE);
    g_test_trap_subprocess (NULL, 0, G_TEST_SUBPROCESS_DEFAULT);
    g_test_trap_assert_passed ();
    if (before)
      g_setenv (rows[i].variable, before, TRUE);
    else
      g_unsetenv (rows[i].variable);
    if (before_old)
      g_setenv ("VK_ICD_FILENAMES", before_old, TRUE);
    else
      g_unsetenv ("VK_ICD_FILENAMES");
  }
  if (mode)
    g_setenv ("DEIM_VALIDATION", mode, TRUE);
}

/* ----------------------------------------------------------------- memory */

static void
test_memory (void)
{
  OPEN_OR_SKIP (gpu);
  g_autoptr (GError) error = NULL;
  const DeimMemoryKind kinds[] = { DEIM_MEMORY_DEVICE, DEIM_MEMORY_UPLOAD, DEIM_MEMORY_READBACK };
  const gsize sizes[] = { 1, 1001, ((gsize) 33 << 20) + 7 }; /* the last is more than a staging buffer holds */

  for (guint k = 0; k < G_N_ELEMENTS (kinds); k++)
    for (guint s = 0; s < G_N_ELEMENTS (sizes); s++) {
      DeimGpuBuffer buffer = { 0 };
      deim_gpu_buffer_init (&buffer, gpu, kinds[k], sizes[s], &error);
      g_assert_no_error (error);
      g_assert_cmpuint (buffer.size, ==, sizes[s]);
      if (kinds[k] != DEIM_MEMORY_DEVICE || deim_gpu_get_properties (gpu)->unified_memory)
        g_assert_nonnull (buffer.map);
      g_autofree guint8 *in = g_malloc (sizes[s]);
      g_autofree guint8 *out = g_malloc0 (sizes[s]);
      for (gsize i = 0; i < sizes[s]; i++)
        in[i] = (guint8) (i * 7 + k);

      /* As it is, then as it would be on a device whose memory the host cannot see. */
      for (guint staged = 0; staged < 2; staged++) {
        guint8 *map = buffer.map;
        if (staged)
          buffer.map = NULL;
        gsize at = sizes[s] / 3;
        deim_gpu_buffer_upload (&buffer, gpu, 0, in, sizes[s], &error);
        g_assert_no_error (error);
        deim_gpu_buffer_upload (&buffer, gpu, at, in, sizes[s] - at, &error);
        g_assert_no_error (error);
        deim_gpu_buffer_download (&buffer, gpu, 0, out, sizes[s], &error);
        g_assert_no_error (error);
        g_assert_cmpmem (out, at, in, at);
        g_assert_cmpmem (out + at, sizes[s] - at, in, sizes[s] - at);
        memset (out, 0, sizes[s]);
        deim_gpu_buffer_download (&buffer, gpu, at, out, sizes[s] - at, &error);
        g_assert_no_error (error);
        g_assert_cmpmem (out, sizes[s] - at, in, sizes[s] - at);
        for (gsize i = 0; i < sizes[s]; i++)
          in[i] ^= 0x5a;
        buffer.map = map;
      }

      g_assert_false (deim_gpu_buffer_upload (&buffer, gpu, 1, in, sizes[s], &error));
      g_assert_error (error, DEIM_ERROR, DEIM_ERROR_SETTINGS);
      g_clear_error (&error);
      g_assert_false (deim_gpu_buffer_download (&buffer, gpu, G_MAXSIZE, out, 2, &error));
      g_assert_error (error, DEIM_ERROR, DEIM_ERROR_SETTINGS);
      g_clear_error (&error);
      deim_gpu_buffer_finish (&buffer, gpu);
      g_assert_true (buffer.buffer == VK_NULL_HANDLE);
      deim_gpu_buffer_finish (&buffer, gpu);
    }

  DeimGpuBuffer untouched = { .size = 77 };
  g_assert_false (deim_gpu_buffer_init (&untouched, gpu, DEIM_MEMORY_DEVICE, (gsize) 1 << 50, &error));
  g_assert_error (error, DEIM_ERROR, DEIM_ERROR_MEMORY);
  g_assert_nonnull (strstr (error->message, "1073741824 MiB")); /* says how much */
  g_assert_cmpuint (untouched.size, ==, 77);
}

/* -------------------------------------------------------------- pipelines */

static void
test_shaders (void)
{
  for (guint i = 1; deim_shaders[i - 1].name && deim_shaders[i].name; i++)
    g_assert_cmpint (strcmp (deim_shaders[i - 1].name, deim_shaders[i].name), <, 0);
  g_assert_nonnull (deim_shaders[0].name);
}

static void
test_compute (void)
{
  OPEN_OR_SKIP (gpu);
  check_works (gpu, FALSE);
  check_works (gpu, TRUE);
}

static void
test_pipeline_keys (void)
{
  OPEN_OR_SKIP (gpu);
  g_autoptr (GError) error = NULL;
  const DeimGpuProperties *p = deim_gpu_get_properties (gpu);

  DeimPipelineKey key = selftest_key (FALSE, 1);
  const DeimPipeline *first = deim_gpu_get_pipeline (gpu, &key, &error);
  g_assert_no_error (error);
  g_autofree gchar *copy = g_strdup (key.shader); /* names are compared, not addresses */
  DeimPipelineKey same = selftest_key (FALSE, 1);
  same.shader = copy;
  same.spec[7] = 42; /* beyond n_spec */
  g_assert_true (deim_gpu_get_pipeline (gpu, &same, &error) == first);

  DeimPipelineKey other = selftest_key (FALSE, 2);
  g_assert_true (deim_gpu_get_pipeline (gpu, &other, &error) != first);
  g_assert_no_error (error);

  /* The policy's subgroup size can be had; one that no device has cannot. */
  other.required_subgroup_size = deim_gpu_get_policy (gpu)->subgroup_size;
  if (p->subgroup_size_control || p->min_subgroup_size == p->max_subgroup_size) {
    g_assert_nonnull (deim_gpu_get_pipeline (gpu, &other, &error));
    g_assert_no_error (error);
  }
  other.required_subgroup_size = 3;
  g_assert_null (deim_gpu_get_pipeline (gpu, &other, &error));
  g_assert_error (error, DEIM_ERROR, DEIM_ERROR_UNSUPPORTED);
  g_clear_error (&error);

  other = key;
  other.shader = "no-such-shader.ssbo";
  g_assert_null (deim_gpu_get_pipeline (gpu, &other, &error));
  g_assert_error (error, DEIM_ERROR, DEIM_ERROR_UNSUPPORTED);
  g_assert_nonnull (strstr (error->message, "no-such-shader.ssbo"));
  g_clear_error (&error);

  other = key;
  other.push_bytes = p->max_push_bytes + 4;
  g_assert_null (deim_gpu_get_pipeline (gpu, &other, &error));
  g_assert_error (error, DEIM_ERROR, DEIM_ERROR_UNSUPPORTED);
  g_clear_error (&error);
}

#define N_THREADS 4
#define N_KEYS    6

typedef struct {
  DeimGpu *gpu;
  guint first;
  const DeimPipeline *found[N_KEYS];
} Builder;

static gpointer
build_all (gpointer data)
{
  Builder *builder = data;
  g_autoptr (GError) error = NULL;
  for (guint i = 0; i < N_KEYS; i++) {
    guint k = (builder->first + i) % N_KEYS;
    DeimPipelineKey key = selftest_key (k & 1, 10 + k);
    builder->found[k] = deim_gpu_get_pipeline (builder->gpu, &key, &error);
    g_assert_no_error (error);
  }
  return NULL;
}

static void
test_threads (void)
{
  OPEN_OR_SKIP (gpu);
  Builder builders[N_THREADS];
  GThread *threads[N_THREADS];
  for (guint t = 0; t < N_THREADS; t++) {
    builders[t] = (Builder){ .gpu = gpu, .first = t / 2 * 2 };
    threads[t] = g_thread_new ("build", build_all, &builders[t]);
  }
  for (guint t = 0; t < N_THREADS; t++)
    g_thread_join (threads[t]);
  for (guint k = 0; k < N_KEYS; k++)
    for (guint t = 1; t < N_THREADS; t++)
      g_assert_true (builders[t].found[k] == builders[0].found[k]);
}

/* ---------------------------------------------------------------- devices */

static gpointer
work (gpointer gpu)
{
  for (guint i = 0; i < 5; i++)
    check_works (gpu, i & 1);
  return NULL;
}

static void
test_two_devices (void)
{
  OPEN_OR_SKIP (one);
  g_autoptr (DeimGpu) two = open_device ();
  /* Two threads on each: the queue and the tables have locks. */
  DeimGpu *gpus[] = { one, two, one, two };
  GThread *threads[4];
  for (guint i = 0; i < 4; i++)
    threads[i] = g_thread_new ("work", work, gpus[i]);
  for (guint i = 0; i < 4; i++)
    g_thread_join (threads[i]);
  g_clear_pointer (&one, deim_gpu_unref);
  check_works (two, FALSE); /* closing one leaves the other alone */
}

static void
test_lost (void)
{
  g_setenv ("DEIM_TEST_LOSE_DEVICE", "2", TRUE);
  g_autoptr (DeimGpu) gpu = open_device ();
  g_unsetenv ("DEIM_TEST_LOSE_DEVICE");
  if (!gpu)
    return;
  g_autoptr (GError) error = NULL;

  DeimGpuBuffer buffer;
  make_buffer (gpu, &buffer, DEIM_MEMORY_DEVICE, 1024);
  DeimCommands *commands[2];
  for (guint i = 0; i < 2; i++) {
    commands[i] = new_commands (gpu, 0, 1);
    begin (commands[i]);
    deim_commands_fill (commands[i], buffer.buffer, 0, buffer.size, i);
    deim_commands_timestamp (commands[i], 0);
    end (commands[i]);
  }
  guint64 value = submit (gpu, commands[0]);
  guint64 untouched = 12345;
  g_assert_false (deim_gpu_is_lost (gpu));
  g_assert_false (deim_gpu_submit (gpu, &commands[1], 1, &untouched, &error));
  g_assert_error (error, DEIM_ERROR, DEIM_ERROR_DEVICE_LOST);
  g_assert_nonnull (strstr (error->message, "open the device again"));
  g_assert_cmpuint (untouched, ==, 12345);
  g_clear_error (&error);

  g_assert_true (deim_gpu_is_lost (gpu));
  g_assert_true (deim_gpu_is_reached (gpu, value + 100));
  g_assert_false (deim_gpu_wait (gpu, value, &error));
  g_assert_error (error, DEIM_ERROR, DEIM_ERROR_DEVICE_LOST);
  g_clear_error (&error);
  g_assert_false (deim_gpu_submit (gpu, &commands[1], 1, &untouched, &error));
  g_assert_error (error, DEIM_ERROR, DEIM_ERROR_DEVICE_LOST);
  g_clear_error (&error);
  guint8 byte = 0;
  g_assert_false (deim_gpu_buffer_upload (&buffer, gpu, 0, &byte, 1, &error));
  g_assert_error (error, DEIM_ERROR, DEIM_ERROR_DEVICE_LOST);
  gdouble ms;
  g_assert_false (deim_commands_get_timestamps (commands[0], &ms, 1));

  /* Everything can be dropped, and the device opened again in the same process. */
  for (guint i = 0; i < 2; i++)
    deim_commands_free (commands[i]);
  deim_gpu_buffer_finish (&buffer, gpu);
  g_clear_pointer (&gpu, deim_gpu_unref);
  g_setenv ("DEIM_TEST_LOSE_DEVICE", "2", TRUE); /* still set, as it would be for a whole program */
  gpu = open_device ();
  g_unsetenv ("DEIM_TEST_LOSE_DEVICE");
  g_assert_nonnull (gpu);
  check_works (gpu, FALSE);
  check_works (gpu, TRUE);
}

/* ------------------------------------------------------------- validation */

/* Proof that silence means something: calls that are wrong on purpose, in a process of their own, are reported. */
static void
test_validation (void)
{
  const gchar *mode = g_getenv ("DEIM_VALIDATION");
  if (!mode || strcmp (mode, "0") == 0) {
    g_test_skip ("the validation layer is off or not installed");
    return;
  }
  if (!g_test_subprocess ()) {
    OPEN_OR_SKIP (probe);
    g_test_trap_subprocess (NULL, 0, G_TEST_SUBPROCESS_DEFAULT);
    g_test_trap_assert_failed ();
    g_test_trap_assert_stderr ("*the validation layer had*");
    return;
  }
  OPEN_OR_SKIP (gpu);
  DeimGpuBuffer buffer;
  make_buffer (gpu, &buffer, DEIM_MEMORY_DEVICE, 1024);
  DeimCommands *commands = new_commands (gpu, 0, 0);
  begin (commands);
  if (strcmp (mode, "sync") == 0) { /* two writes without a barrier */
    deim_commands_fill (commands, buffer.buffer, 0, 64, 1);
    deim_commands_fill (commands, buffer.buffer, 32, 64, 2);
  } else {
    deim_commands_copy (commands, buffer.buffer, 0, buffer.buffer, 16, 64); /* overlaps itself */
  }
  end (commands);
  deim_commands_free (commands);
  deim_gpu_buffer_finish (&buffer, gpu);
}

/* ------------------------------------------------------------------ cache */

static void
run_once (const gchar *folder)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (DeimGpu) gpu = deim_gpu_open (NULL, folder, &error);
  g_assert_no_error (error);
  check_works (gpu, FALSE);
}

static gboolean
is_read (const gchar *path, const DeimGpuProperties *properties)
{
  guint64 checksum = 0;
  g_autoptr (GBytes) payload = deim_pipeline_cache_read (path, properties, &checksum);
  if (payload)
    g_assert_cmpuint (checksum, ==,
                      deim_pipeline_cache_checksum (g_bytes_get_data (payload, NULL), g_bytes_get_size (payload)));
  return payload != NULL;
}

static void
test_cache (void)
{
  OPEN_OR_SKIP (gpu);
  g_autoptr (GError) error = NULL;
  DeimGpuProperties properties = *deim_gpu_get_properties (gpu);
  g_autofree gchar *folder = g_build_filename (cache_dir, "cache", "of", "pipelines", NULL); /* is made */
  g_autofree gchar *path = deim_pipeline_cache_path (&properties, folder);
  g_assert_true (g_str_has_prefix (path, folder));
  g_assert_true (g_str_has_suffix (path, ".bin"));

  g_assert_false (is_read (path, &properties));
  g_assert_true (deim_pipeline_cache_check (path, &error));
  g_assert_no_error (error);
  run_once (folder);
  g_assert_true (is_read (path, &properties));
  run_once (folder);
  g_assert_true (is_read (path, &properties));

  /* Nothing but the file is left: no temporary one. */
  g_autoptr (GDir) dir = g_dir_open (folder, 0, &error);
  g_assert_no_error (error);
  g_autofree gchar *only = g_strdup (g_dir_read_name (dir));
  g_assert_null (g_dir_read_name (dir));
  g_autofree gchar *name = g_path_get_basename (path);
  g_assert_cmpstr (only, ==, name);

  /* A folder that cannot be made, and one that cannot be written; root is stopped by both, too. */
  static const gchar *const nowhere[] = { "/proc/nope/pipelines.bin", "/proc/pipelines.bin" };
  for (guint i = 0; i < G_N_ELEMENTS (nowhere); i++) {
    g_assert_false (deim_pipeline_cache_check (nowhere[i], &error));
    g_assert_error (error, DEIM_ERROR, DEIM_ERROR_WRITE);
    g_assert_nonnull (strstr (error->message, "/proc"));
    g_clear_error (&error);
  }

  /* Another driver, device or layout of the file is as good as no file. */
  DeimGpuProperties other = properties;
  other.driver_version++;
  g_assert_false (is_read (path, &other));
  other = properties;
  other.driver_uuid[15] ^= 1;
  g_assert_false (is_read (path, &other));
  other = properties;
  other.cache_uuid[0] ^= 1;
  g_assert_false (is_read (path, &other));
  other = properties;
  other.device_id++;
  g_assert_false (is_read (path, &other));

  /* Any damaged byte (or, in large files, each of the first 512 and every 97th after them), any length. */
  g_autofree gchar *good = NULL;
  gsize size = 0;
  g_file_get_contents (path, &good, &size, &error);
  g_assert_no_error (error);
  for (gsize i = 0; i < size; i += i < 512 ? 1 : 97) {
    good[i] ^= 0x20;
    g_file_set_contents_full (path, good, (gssize) size, G_FILE_SET_CONTENTS_NONE, 0600, &error);
    g_assert_no_error (error);
    g_assert_false (is_read (path, &properties));
    good[i] ^= 0x20;
  }
  const gsize lengths[] = { 0, 1, 87, 88, size - 1 };
  for (guint i = 0; i < G_N_ELEMENTS (lengths); i++) {
    g_file_set_contents (path, good, (gssize) lengths[i], &error);
    g_assert_no_error (error);
    g_assert_false (is_read (path, &properties));
  }
  run_once (folder); /* with a damaged file: works, and replaces it */
  g_assert_true (is_read (path, &properties));

  /* Where nothing can be written, a warning is all that happens. */
  g_autofree gchar *file = g_build_filename (cache_dir, "a file", NULL);
  g_file_set_contents (file, "x", 1, &error);
  g_assert_no_error (error);
  g_autofree gchar *below = g_build_filename (file, "folder", NULL);
  gint warned = g_atomic_int_get (&warnings);
  run_once (below);
  g_assert_cmpint (g_atomic_int_get (&warnings), ==, warned + 1);
}

/* ------------------------------------------------------------------- main */

static void
add_tests (void)
{
  g_test_add_func ("/gpu/device", test_device);
  g_test_add_func ("/gpu/selectors", test_selectors);
  g_test_add_func ("/gpu/disable", test_disable);
  g_test_add_func ("/gpu/no-vulkan", test_no_vulkan);
  g_test_add_func ("/gpu/memory", test_memory);
  g_test_add_func ("/gpu/shaders", test_shaders);
  g_test_add_func ("/gpu/compute", test_compute);
  g_test_add_func ("/gpu/pipeline-keys", test_pipeline_keys);
  g_test_add_func ("/gpu/threads", test_threads);
  g_test_add_func ("/gpu/two-devices", test_two_devices);
  g_test_add_func ("/gpu/lost", test_lost);
  g_test_add_func ("/gpu/cache", test_cache);
  g_test_add_func ("/gpu/validation", test_validation);
}

int
main (int argc, char **argv)
{
  return gpu_test_main (argc, argv, add_tests);
}
