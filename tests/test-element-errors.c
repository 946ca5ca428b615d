/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-element-errors.c - the built plugin with the real engine, where something is missing or wrong: it registers all
 * the same, quickly and without a look at Vulkan, and says at start what is the matter and what to do.
 *
 * Each case runs in a process of its own, since a process loads Vulkan once. Needs GST_PLUGIN_PATH to point to the
 * built plugin; needs no files of others.
 */
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "element-helpers.h"
#include "process.h"

static gchar *folder; /* temporary */
static gchar *model;  /* a good one in it */

static gchar *
file_of (const gchar *name, gconstpointer content, gsize size)
{
  gchar *path = g_build_filename (folder, name, NULL);
  g_assert_true (g_file_set_contents (path, content, (gssize) size, NULL));
  return path;
}

static gboolean
is_mapped (const gchar *library)
{
  g_autofree gchar *maps = NULL;
  return g_file_get_contents ("/proc/self/maps", &maps, NULL, NULL) && strstr (maps, library);
}

/* Runs @frames of test picture through deimdetect with @properties, and returns the only error, or NULL. */
static GError *
run (const gchar *properties, guint frames)
{
  g_autofree gchar *text = g_strdup_printf ("videotestsrc num-buffers=%u ! video/x-raw,format=RGB,width=64,height=48 ! "
                                            "deimdetect %s ! fakesink",
                                            frames, properties);
  GError *error = NULL;
  g_autoptr (GstElement) pipeline = gst_parse_launch (text, &error);
  g_assert_no_error (error);
  g_autoptr (GstBus) bus = gst_element_get_bus (pipeline);
  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  g_autoptr (GstMessage) end = gst_bus_timed_pop_filtered (bus, 60 * GST_SECOND, GST_MESSAGE_EOS | GST_MESSAGE_ERROR);
  g_assert_nonnull (end);
  if (GST_MESSAGE_TYPE (end) == GST_MESSAGE_ERROR) {
    g_autofree gchar *debug = NULL;
    g_assert_true (GST_IS_OBJECT (GST_MESSAGE_SRC (end)));
    g_assert_true (g_str_has_prefix (GST_OBJECT_NAME (GST_MESSAGE_SRC (end)), "deimdetect"));
    gst_message_parse_error (end, &error, &debug);
    g_printerr ("# %s\n", error->message);
    g_assert_nonnull (debug);
  }
  gst_element_set_state (pipeline, GST_STATE_NULL);
  return error;
}

static void
expect (const gchar *properties, GQuark domain, gint code, const gchar *words)
{
  g_autoptr (GError) error = run (properties, 3);
  g_assert_error (error, domain, code);
  if (!strstr (error->message, words))
    g_error ("\"%s\" does not say \"%s\"", error->message, words);
}

static void
expect_resource (const gchar *properties, gint code, const gchar *words)
{
  expect (properties, GST_RESOURCE_ERROR, code, words);
}

/* ------------------------------------------------------------ registration */

/* With a registry of its own, so that it is really done here; what else is installed need not be looked at. */
static void
test_registration (void)
{
  gint64 start = g_get_monotonic_time ();
  g_autoptr (GError) error = NULL;
  g_autofree gchar *path = g_build_filename (g_getenv ("GST_PLUGIN_PATH"), "libgstdeim.so", NULL);
  GstPlugin *plugin = gst_plugin_load_file (path, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (gst_plugin_get_package (plugin), ==, "gst-deim");
  g_assert_cmpstr (gst_plugin_get_origin (plugin), ==, "gst-deim");
  gst_object_unref (plugin);
  gdouble taken = (gdouble) (g_get_monotonic_time () - start) / 1000;
  static const gchar *const names[] = { "deimdetect", "deimjson" };
  for (guint i = 0; i < G_N_ELEMENTS (names); i++) {
    g_autoptr (GstElement) element = gst_element_factory_make (names[i], NULL);
    g_assert_nonnull (element);
    gst_object_ref_sink (element);
    g_assert_cmpint (gst_element_set_state (element, GST_STATE_READY), ==, GST_STATE_CHANGE_SUCCESS);
    gst_element_set_state (element, GST_STATE_NULL);
  }
  g_print ("# loading and registering the plugin took %.1f ms\n", taken);
  g_assert_true (is_mapped ("libdeim.so"));
  g_assert_false (is_mapped ("libvulkan.so")); /* and so there is no VkInstance */
  /* A system without them has deimdetect all the same. */
  static const gchar *const foreign[] = { "libmosquitto", "libcairo", "libpango" };
  for (guint i = 0; i < G_N_ELEMENTS (foreign); i++)
    if (is_mapped (foreign[i]))
      g_error ("the plugin of deimdetect has loaded %s", foreign[i]);
}

/* Every plugin loads without the others, and none needs the engine but deimdetect's. Then the others join it: no type
 * is registered twice. */
static void
test_plugins (void)
{
  static const gchar *const names[] = { "deimoverlay", "deimmqtt", "deim" };
  for (guint i = 0; i < G_N_ELEMENTS (names); i++) {
    g_autofree gchar *file = g_strdup_printf ("libgst%s.so", names[i]);
    g_autofree gchar *path = g_build_filename (g_getenv ("GST_PLUGIN_PATH"), file, NULL);
    g_autoptr (GError) error = NULL;
    if (!g_file_test (path, G_FILE_TEST_EXISTS))
      continue; /* built without the MQTT library */
    g_assert_false (is_mapped ("libdeim.so"));
    GstPlugin *plugin = gst_plugin_load_file (path, &error);
    g_assert_no_error (error);
    g_assert_cmpstr (gst_plugin_get_name (plugin), ==, names[i]);
    gst_object_unref (plugin);
  }
  g_assert_true (is_mapped ("libdeim.so"));
  static const gchar *const elements[] = { "deimdetect", "deimjson", "deimoverlay", "deimmqtt" };
  for (guint i = 0; i < G_N_ELEMENTS (elements); i++) {
    GstElement *element = gst_element_factory_make (elements[i], NULL);
    g_assert_true (element || i == 3);
    gst_clear_object (&element);
  }
}

/* Registers without a loader, and says at start what to install. */
static void
test_no_loader (void)
{
  g_setenv ("DEIM_VULKAN_LOADER", "/nowhere/libvulkan.so.1", TRUE);
  test_registration ();
  g_autofree gchar *properties = g_strdup_printf ("model=%s", model);
  expect_resource (properties, GST_RESOURCE_ERROR_NOT_FOUND, "libvulkan1");
}

/* A loader that finds no driver. */
static void
test_no_driver (void)
{
  g_setenv ("VK_DRIVER_FILES", "/nowhere/icd.json", TRUE);
  g_setenv ("VK_ICD_FILENAMES", "/nowhere/icd.json", TRUE);
  test_registration ();
  g_autofree gchar *properties = g_strdup_printf ("model=%s", model);
  expect_resource (properties, GST_RESOURCE_ERROR_NOT_FOUND, "mesa-vulkan-drivers");
}

static void
test_no_such_device (void)
{
  g_autofree gchar *properties = g_strdup_printf ("model=%s device=GeForce-9000", model);
  expect_resource (properties, GST_RESOURCE_ERROR_NOT_FOUND, "\"GeForce-9000\"");
  /* It lists those that are there, and one of them does. */
  g_autoptr (GError) error = run (properties, 1);
  const gchar *first = strstr (error->message, "0: ");
  g_assert_nonnull (first);
  g_autofree gchar *good = g_strdup_printf ("model=%s device=0", model);
  g_clear_error (&error);
  error = run (good, 1);
  g_assert_no_error (error);
}

/* ----------------------------------------------------------------- models */

static void
test_models (void)
{
  g_autofree gchar *contents = NULL, *nothing = file_of ("nothing.pth", "", 0);
  g_autofree gchar *text = file_of ("text.pth", "not a checkpoint", 16);
  g_autofree gchar *no_model = g_strdup ("model=\"\"");
  gsize size;
  g_assert_true (g_file_get_contents (model, &contents, &size, NULL));
  g_autofree gchar *half = file_of ("half.safetensors", contents, size / 2);
  /* A good file of some other network. */
  static const gchar header[] = "{\"foo.bar\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}";
  gchar other_bytes[8 + sizeof header - 1 + 8] = { (gchar) (sizeof header - 1) };
  memcpy (other_bytes + 8, header, sizeof header - 1);
  g_autofree gchar *other = file_of ("other.safetensors", other_bytes, sizeof other_bytes);

  expect_resource (no_model, GST_RESOURCE_ERROR_SETTINGS, "\"model\" is empty");
  expect_resource ("model=/does/not/exist.pth", GST_RESOURCE_ERROR_NOT_FOUND, "/does/not/exist.pth");
  g_autofree gchar *a_folder = g_strdup_printf ("model=%s", folder);
  expect_resource (a_folder, GST_RESOURCE_ERROR_OPEN_READ, folder);
  const gchar *const wrong[] = { nothing, text, half, other };
  for (guint i = 0; i < G_N_ELEMENTS (wrong); i++) {
    g_autofree gchar *properties = g_strdup_printf ("model=%s", wrong[i]);
    expect (properties, GST_STREAM_ERROR, GST_STREAM_ERROR_WRONG_TYPE, wrong[i]);
  }
  if (getuid () != 0) {
    g_autofree gchar *locked = file_of ("locked.pth", "x", 1);
    g_assert_cmpint (g_chmod (locked, 0), ==, 0);
    g_autofree gchar *properties = g_strdup_printf ("model=%s", locked);
    expect_resource (properties, GST_RESOURCE_ERROR_OPEN_READ, locked);
  }
}

static void
test_labels (void)
{
  g_autofree gchar *two = file_of ("two.txt", "cat\ndog\n", 8);
  const gchar *const files[] = { two, "/does/not/exist.txt", folder };
  static const gint codes[] = { GST_RESOURCE_ERROR_SETTINGS, GST_RESOURCE_ERROR_NOT_FOUND,
                                GST_RESOURCE_ERROR_OPEN_READ };
  for (guint i = 0; i < G_N_ELEMENTS (files); i++) {
    g_autofree gchar *properties = g_strdup_printf ("model=%s labels-file=%s", model, files[i]);
    expect_resource (properties, codes[i], files[i]);
  }
  g_autofree gchar *properties = g_strdup_printf ("model=%s labels-file=%s", model, two);
  expect_resource (properties, GST_RESOURCE_ERROR_SETTINGS, "80");
}

static void
test_settings (void)
{
  static const struct {
    const gchar *properties, *words;
  } cases[] = {
    { "classes=person,unicorn", "\"unicorn\"" },
    { "class-thresholds=person", "class:score" },
    { "class-thresholds=person:2", "0 to 1" },
    { "region=1,2", "x,y,w,h" },
#ifndef HAVE_ANALYTICS
    { "meta=analytics", "meta=roi" },
#endif
  };
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree gchar *properties = g_strdup_printf ("model=%s %s", model, cases[i].properties);
    expect_resource (properties, GST_RESOURCE_ERROR_SETTINGS, cases[i].words);
  }
}

/* ----------------------------------------------------------------- device */

/* Lost while playing: one error, and the next start works. */
static void
test_lost (void)
{
  g_autofree gchar *properties = g_strdup_printf ("model=%s", model);
  /* Uploads and the self-test count too: try until one of the frames is hit. */
  g_setenv ("DEIM_TEST_LOSE_DEVICE", "8", TRUE);
  g_autoptr (GError) error = run (properties, 20);
  g_assert_error (error, GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_FAILED);
  g_assert_nonnull (strstr (error->message, "start it again"));
  g_clear_error (&error);
  error = run (properties, 3);
  g_assert_no_error (error);
}

/* ------------------------------------------------------------------- main */

static void
test_in_child (gconstpointer function)
{
  if (g_test_subprocess ()) {
    ((void (*) (void)) function) ();
    return;
  }
  g_test_trap_subprocess (NULL, 0, G_TEST_SUBPROCESS_INHERIT_STDOUT | G_TEST_SUBPROCESS_INHERIT_STDERR);
  g_test_trap_assert_passed ();
}

static void
add (const gchar *path, void (*function) (void))
{
  g_test_add_data_func (path, (gconstpointer) function, test_in_child);
}

static void
make_folder (void)
{
  g_autoptr (GError) error = NULL;
  const gchar *given = g_getenv ("DEIM_TEST_FOLDER"); /* of the parent */
  folder = given ? g_strdup (given) : g_dir_make_tmp ("deim-errors-XXXXXX", &error);
  g_assert_no_error (error);
  model = g_build_filename (folder, "good.safetensors", NULL);
  if (given)
    return;
  g_setenv ("DEIM_TEST_FOLDER", folder, TRUE);
  g_autofree gchar *registry = g_build_filename (folder, "registry.bin", NULL);
  g_setenv ("GST_REGISTRY", registry, TRUE);
  make_golden_file (model);
}

static void
remove_folder (void)
{
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  for (const gchar *name = dir ? g_dir_read_name (dir) : NULL; name; name = g_dir_read_name (dir)) {
    g_autofree gchar *path = g_build_filename (folder, name, NULL);
    g_unlink (path);
  }
  g_rmdir (folder);
}

int
main (int argc, char **argv)
{
  gboolean parent = g_getenv ("DEIM_TEST_FOLDER") == NULL;
  make_folder ();
  init_element_tests (&argc, &argv);

  add ("/element-errors/registration", test_registration);
  add ("/element-errors/plugins", test_plugins);
  add ("/element-errors/no-loader", test_no_loader);
  add ("/element-errors/no-driver", test_no_driver);
  add ("/element-errors/no-such-device", test_no_such_device);
  add ("/element-errors/models", test_models);
  add ("/element-errors/labels", test_labels);
  add ("/element-errors/settings", test_settings);
  add ("/element-errors/lost", test_lost);
  int result = run_element_tests ();
  if (parent)
    remove_folder ();
  g_free (folder);
  g_free (model);
  return result;
}
