/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-elements.c - the built plugin with the real engine and real weights, in pipelines.
 * Needs GST_PLUGIN_PATH to point to the built plugin; what needs weights or photos looks for them in $DEIM_SHARED.
 * Runs under GStreamer's leaks tracer and fails when an object is left over.
 */
#include <glib/gstdio.h>
#include <gst/gst.h>
#include <gst/video/video.h>
#include <string.h>

#include "element-helpers.h"

#define MODEL "real/deimv2_hgnetv2_atto_coco.safetensors"
#define PHOTO "real/open/000000000139.jpg"

/* The path of a file under the shared folder, or NULL after g_test_skip(). */
static gchar *
shared_file (const gchar *name)
{
  const gchar *folder = g_getenv ("DEIM_SHARED");
  g_autofree gchar *path =
      folder ? g_build_filename (folder, name, NULL) : g_build_filename (DEIM_SOURCE_ROOT, "..", "shared", name, NULL);
  if (g_file_test (path, G_FILE_TEST_EXISTS))
    return g_steal_pointer (&path);
  g_test_skip ("the shared folder is not here (DEIM_SHARED)");
  return NULL;
}

static GstElement *launch (const gchar *format, ...) G_GNUC_PRINTF (1, 2);

static GstElement *
launch (const gchar *format, ...)
{
  va_list args;
  va_start (args, format);
  g_autofree gchar *text = g_strdup_vprintf (format, args);
  va_end (args);
  g_autoptr (GError) error = NULL;
  GstElement *pipeline = gst_parse_launch (text, &error);
  g_assert_no_error (error);
  return pipeline;
}

/* Waits for EOS; an error message fails the test. */
static void
wait_for_end (GstElement *pipeline)
{
  g_autoptr (GstBus) bus = gst_element_get_bus (pipeline);
  g_autoptr (GstMessage) message =
      gst_bus_timed_pop_filtered (bus, 120 * GST_SECOND, GST_MESSAGE_EOS | GST_MESSAGE_ERROR);
  g_assert_nonnull (message);
  if (GST_MESSAGE_TYPE (message) == GST_MESSAGE_ERROR) {
    g_autoptr (GError) error = NULL;
    g_autofree gchar *debug = NULL;
    gst_message_parse_error (message, &error, &debug);
    g_error ("%s (%s)", error->message, debug);
  }
}

static gboolean
is_mapped (const gchar *library)
{
  g_autofree gchar *maps = NULL;
  return g_file_get_contents ("/proc/self/maps", &maps, NULL, NULL) && strstr (maps, library);
}

/* Loading the plugin and making elements touches no Vulkan. Runs first. */
static void
test_registration (void)
{
  static const gchar *const names[] = { "deimdetect", "deimjson", "deimoverlay" };
  for (guint i = 0; i < G_N_ELEMENTS (names); i++) {
    g_autoptr (GstElementFactory) factory = gst_element_factory_find (names[i]);
    if (!factory)
      g_error ("no element %s; set GST_PLUGIN_PATH to the folder of the built plugin", names[i]);
    g_autoptr (GstElement) element = gst_object_ref_sink (gst_element_factory_create (factory, NULL));
    g_assert_nonnull (element);
    g_assert_cmpint (gst_element_set_state (element, GST_STATE_READY), ==, GST_STATE_CHANGE_SUCCESS);
    gst_element_set_state (element, GST_STATE_NULL);
  }
  g_assert_true (is_mapped ("libdeim.so"));
  g_assert_false (is_mapped ("libvulkan.so"));
}

static void
assert_start_error (const gchar *model, GQuark domain, gint code)
{
  g_autoptr (GstElement) pipeline =
      launch ("videotestsrc num-buffers=1 ! deimdetect model=\"%s\" ! fakesink", model ? model : "");
  g_autoptr (GstBus) bus = gst_element_get_bus (pipeline);
  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  g_autoptr (GstMessage) message = gst_bus_timed_pop_filtered (bus, 60 * GST_SECOND, GST_MESSAGE_ERROR);
  g_assert_nonnull (message);
  g_autoptr (GError) error = NULL;
  g_autofree gchar *debug = NULL;
  gst_message_parse_error (message, &error, &debug);
  g_test_message ("%s", error->message);
  g_assert_error (error, domain, code);
  gst_element_set_state (pipeline, GST_STATE_NULL);
}

static void
test_wrong_models (void)
{
  assert_start_error (NULL, GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_SETTINGS);
  assert_start_error ("/does/not/exist.pth", GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_NOT_FOUND);

  g_autofree gchar *photo = shared_file (PHOTO), *model = shared_file (MODEL), *data = NULL, *cut = NULL;
  if (!photo || !model)
    return;
  assert_start_error (photo, GST_STREAM_ERROR, GST_STREAM_ERROR_WRONG_TYPE);

  /* The first half of a checkpoint. */
  gsize size;
  g_assert_true (g_file_get_contents (model, &data, &size, NULL));
  gint file = g_file_open_tmp ("deim-cut-XXXXXX.safetensors", &cut, NULL);
  g_assert_cmpint (file, >=, 0);
  g_assert_true (g_file_set_contents (cut, data, (gssize) size / 2, NULL));
  assert_start_error (cut, GST_STREAM_ERROR, GST_STREAM_ERROR_WRONG_TYPE);
  g_close (file, NULL);
  g_unlink (cut);
}

/* A labels file with fewer names than the model has classes. */
static void
test_wrong_labels (void)
{
  g_autofree gchar *model = shared_file (MODEL), *labels = NULL;
  if (!model)
    return;
  gint file = g_file_open_tmp ("deim-labels-XXXXXX.txt", &labels, NULL);
  g_assert_cmpint (file, >=, 0);
  g_close (file, NULL);
  g_assert_true (g_file_set_contents (labels, "cat\ndog\n", -1, NULL));
  g_autoptr (GstElement) pipeline =
      launch ("videotestsrc num-buffers=1 ! deimdetect model=%s labels-file=%s ! fakesink", model, labels);
  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  g_autoptr (GstBus) bus = gst_element_get_bus (pipeline);
  g_autoptr (GstMessage) message =
      gst_bus_timed_pop_filtered (bus, 60 * GST_SECOND, GST_MESSAGE_EOS | GST_MESSAGE_ERROR);
  g_assert_nonnull (message);
  g_assert_cmpint (GST_MESSAGE_TYPE (message), ==, GST_MESSAGE_ERROR);
  g_autoptr (GError) error = NULL;
  gst_message_parse_error (message, &error, NULL);
  g_test_message ("%s", error->message);
  g_assert_error (error, GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_SETTINGS);
  g_assert_nonnull (strstr (error->message, "2 classes"));
  gst_element_set_state (pipeline, GST_STATE_NULL);
  g_unlink (labels);
}

/* What PyTorch finds in this photo above 0.5 (detections_atto_open24.json); another JPEG decoder moves it a little. */
static const struct {
  const gchar *label;
  gdouble x, y, w, h, score;
} expected[] = {
  { "tv", 7.2, 165.5, 146.1, 100.9, 0.852 },
  { "chair", 293.0, 217.0, 70.5, 105.0, 0.649 },
  { "chair", 375.5, 217.4, 62.7, 99.1, 0.635 },
};

static gboolean
has_expected (GstBuffer *buffer, guint index)
{
  gpointer state = NULL;
  GstMeta *meta;
  while ((meta = gst_buffer_iterate_meta_filtered (buffer, &state, GST_VIDEO_REGION_OF_INTEREST_META_API_TYPE))) {
    GstVideoRegionOfInterestMeta *roi = (GstVideoRegionOfInterestMeta *) meta;
    gdouble score = 0;
    gst_structure_get_double (gst_video_region_of_interest_meta_get_param (roi, "detection"), "confidence", &score);
    if (g_strcmp0 (g_quark_to_string (roi->roi_type), expected[index].label) == 0 &&
        ABS (roi->x - expected[index].x) < 5 && ABS (roi->y - expected[index].y) < 5 &&
        ABS (roi->w - expected[index].w) < 6 && ABS (roi->h - expected[index].h) < 6 &&
        ABS (score - expected[index].score) < 0.05)
      return TRUE;
  }
  return FALSE;
}

static void
test_photo (gconstpointer format)
{
  g_autofree gchar *photo = shared_file (PHOTO), *model = shared_file (MODEL);
  if (!photo || !model)
    return;
  g_autoptr (GstElement) pipeline =
      launch ("filesrc location=%s ! jpegdec ! videoconvert ! video/x-raw,format=%s ! deimdetect model=%s ! "
              "appsink name=out sync=false",
              photo, (const gchar *) format, model);
  g_autoptr (GstElement) out = gst_bin_get_by_name (GST_BIN (pipeline), "out");
  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  g_autoptr (GstSample) sample = NULL;
  g_signal_emit_by_name (out, "pull-sample", &sample);
  wait_for_end (pipeline);
  g_assert_nonnull (sample);
  GstBuffer *buffer = gst_sample_get_buffer (sample);
  g_assert_true (was_inferred (buffer));
  for (guint i = 0; i < G_N_ELEMENTS (expected); i++)
    if (!has_expected (buffer, i))
      g_error ("%s is not where it should be", expected[i].label);
  g_assert_cmpuint (count_regions (buffer), <=, 5);
  gst_element_set_state (pipeline, GST_STATE_NULL);
}

static GstPadProbeReturn
count_frame (GstPad *pad, GstPadProbeInfo *info, gpointer data)
{
  ++*(guint *) data;
  return GST_PAD_PROBE_OK;
}

/* A live source, from PLAYING to EOS, several times in one process; no frame is lost on the way. */
static void
test_live_again_and_again (void)
{
  g_autofree gchar *model = shared_file (MODEL);
  if (!model)
    return;
  g_autoptr (GstElement) pipeline = launch (
      "videotestsrc is-live=true num-buffers=20 ! video/x-raw,format=NV12,width=641,height=363,framerate=20/1 ! "
      "deimdetect name=d model=%s ! deimoverlay ! videoconvert ! fakesink name=out",
      model);
  g_autoptr (GstElement) out = gst_bin_get_by_name (GST_BIN (pipeline), "out");
  g_autoptr (GstElement) detect = gst_bin_get_by_name (GST_BIN (pipeline), "d");
  g_autoptr (GstPad) pad = gst_element_get_static_pad (out, "sink");
  guint frames = 0;
  gst_pad_add_probe (pad, GST_PAD_PROBE_TYPE_BUFFER, count_frame, &frames, NULL);
  for (guint round = 1; round <= 3; round++) {
    gst_element_set_state (pipeline, GST_STATE_PLAYING);
    wait_for_end (pipeline);
    g_assert_cmpuint (frames, ==, 20 * round);
    g_assert_cmpuint (get_stat (detect, "frames"), ==, 20);
    g_assert_cmpuint (get_stat (detect, "inferred"), >=, 1);
    gst_element_set_state (pipeline, GST_STATE_NULL);
  }
}

/* Whether a file of @folder is called @prefix..., and all of them removed. */
static gboolean
clear_folder (const gchar *folder, const gchar *prefix)
{
  gboolean found = FALSE;
  const gchar *name;
  GDir *dir = g_dir_open (folder, 0, NULL);
  while (dir && (name = g_dir_read_name (dir))) {
    g_autofree gchar *path = g_build_filename (folder, name, NULL);
    found = found || g_str_has_prefix (name, prefix);
    g_unlink (path);
  }
  g_clear_pointer (&dir, g_dir_close);
  g_rmdir (folder);
  return found;
}

/* Pipelines go to cache-dir, which is made, and what was found to deimjson's file. */
static void
test_files (void)
{
  g_autofree gchar *photo = shared_file (PHOTO), *model = shared_file (MODEL);
  if (!photo || !model)
    return;
  g_autofree gchar *folder = g_dir_make_tmp ("deim-elements-XXXXXX", NULL), *text = NULL;
  g_autofree gchar *cache = g_build_filename (folder, "cache", NULL), *out = g_build_filename (folder, "out", NULL);
  g_autoptr (GstElement) pipeline = launch ("filesrc location=%s ! jpegdec ! videoconvert ! deimdetect model=%s "
                                            "cache-dir=%s ! deimjson location=%s ! deimoverlay ! fakesink",
                                            photo, model, cache, out);
  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  wait_for_end (pipeline);
  gst_element_set_state (pipeline, GST_STATE_NULL);
  g_assert_true (g_file_get_contents (out, &text, NULL, NULL));
  g_test_message ("%s", text);
  g_assert_nonnull (strstr (text, "\"label\": \"tv\""));
  g_assert_true (clear_folder (cache, "pipelines-"));
  g_assert_true (clear_folder (folder, "out"));
}

/* Two elements of one pipeline share model and device; seeking flushes both in full flight. */
static void
test_seek_and_share (void)
{
  g_autofree gchar *photo = shared_file (PHOTO), *model = shared_file (MODEL);
  if (!photo || !model)
    return;
  g_autoptr (GstElement) pipeline = launch (
      "filesrc location=%s ! jpegdec ! videoconvert ! imagefreeze num-buffers=12 ! video/x-raw,framerate=25/1 ! "
      "tee name=t ! queue ! deimdetect name=a model=%s ! fakesink t. ! queue ! "
      "deimdetect name=b model=%s threshold=0.9 ! fakesink",
      photo, model, model);
  gst_element_set_state (pipeline, GST_STATE_PAUSED);
  g_assert_cmpint (gst_element_get_state (pipeline, NULL, NULL, 120 * GST_SECOND), ==, GST_STATE_CHANGE_SUCCESS);
  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  for (guint i = 0; i < 3; i++)
    g_assert_true (gst_element_seek_simple (pipeline, GST_FORMAT_TIME, GST_SEEK_FLAG_FLUSH, 0));
  wait_for_end (pipeline);
  g_autoptr (GstElement) a = gst_bin_get_by_name (GST_BIN (pipeline), "a");
  g_autoptr (GstElement) b = gst_bin_get_by_name (GST_BIN (pipeline), "b");
  g_assert_cmpuint (get_stat (a, "detections"), >, 0);
  g_assert_cmpuint (get_stat (b, "inferred"), >, 0);
  g_assert_cmpuint (get_stat (b, "detections"), ==, 0);
  gst_element_set_state (pipeline, GST_STATE_NULL);
}

int
main (int argc, char **argv)
{
  init_element_tests (&argc, &argv);

  g_test_add_func ("/elements/registration", test_registration);
  g_test_add_func ("/elements/wrong-models", test_wrong_models);
  g_test_add_func ("/elements/wrong-labels", test_wrong_labels);
  g_test_add_data_func ("/elements/photo/RGB", "RGB", test_photo);
  g_test_add_data_func ("/elements/photo/NV12", "NV12", test_photo);
  g_test_add_func ("/elements/files", test_files);
  g_test_add_func ("/elements/live-again-and-again", test_live_again_and_again);
  g_test_add_func ("/elements/seek-and-share", test_seek_and_share);
  return run_element_tests ();
}
