/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-results.c - which frames have a document, and what it says of those whose detections are not all there: an empty
 * document says that a deimdetect looked and found nothing, and is never written for another reason. With deimjson,
 * whose documents are those of deimmqtt too.
 */
#include <glib/gstdio.h>
#include <json-glib/json-glib.h>
#include <string.h>

#include "element-helpers.h"
#include "fake-deim.h"

GST_PLUGIN_STATIC_DECLARE (deim);

static gchar *path; /* of the documents */

static GstHarness *
setup (const gchar *properties)
{
  g_autofree gchar *launch = g_strdup_printf ("deimjson location=%s %s", path, properties);
  return setup_harness (launch, RGB_CAPS);
}

/* What deimdetect called @source says of a frame: NULL is one without a name. */
static void
mark (GstBuffer *buffer, const gchar *source, guint64 frame, gboolean inferred, guint detections)
{
  GstStructure *fields = gst_custom_meta_get_structure (gst_buffer_add_custom_meta (buffer, "DeimFrameMeta"));
  gst_structure_set (fields, "frame", G_TYPE_UINT64, frame, "inferred", G_TYPE_BOOLEAN, inferred, "detections",
                     G_TYPE_UINT, detections, NULL);
  if (source)
    gst_structure_set (fields, "source", G_TYPE_STRING, source, NULL);
}

/* A region that @source found, or somebody who does not say so. */
static void
add_region (GstBuffer *buffer, const gchar *source)
{
  GstVideoRegionOfInterestMeta *roi = gst_buffer_add_video_region_of_interest_meta (buffer, "dog", 1, 2, 30, 40);
  if (source)
    gst_video_region_of_interest_meta_add_param (
        roi, gst_structure_new ("detection", "source", G_TYPE_STRING, source, NULL));
}

static void
push (GstHarness *harness, GstBuffer *buffer)
{
  g_assert_cmpint (gst_harness_push (harness, buffer), ==, GST_FLOW_OK);
  gst_buffer_unref (gst_harness_pull (harness));
}

/* The documents so far, each a JsonNode. Free with g_ptr_array_unref(). */
static GPtrArray *
read_documents (void)
{
  g_autofree gchar *text = NULL;
  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  GPtrArray *documents = g_ptr_array_new_with_free_func ((GDestroyNotify) json_node_unref);
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
  for (guint i = 0; lines[i] && lines[i][0]; i++) {
    g_autoptr (GError) error = NULL;
    g_test_message ("%s", lines[i]);
    g_ptr_array_add (documents, json_from_string (lines[i], &error));
    g_assert_no_error (error);
  }
  return documents;
}

/* Document @index is that of @frame, with so many detections and so many missing. */
static void
assert_document (GPtrArray *documents, guint index, gint64 frame, guint detections, gint64 missing)
{
  g_assert_cmpuint (index, <, documents->len);
  JsonObject *object = json_node_get_object (g_ptr_array_index (documents, index));
  g_assert_cmpint (json_object_get_int_member (object, "frame"), ==, frame);
  g_assert_cmpuint (json_array_get_length (json_object_get_array_member (object, "detections")), ==, detections);
  g_assert_true (json_object_has_member (object, "missing") == (missing > 0));
  g_assert_cmpint (json_object_get_int_member_with_default (object, "missing", 0), ==, missing);
}

/* Frames without objects: inferred, or skipped. */
static void
test_empty (gconstpointer data)
{
  gboolean wanted = data != NULL;
  GstHarness *harness = setup (wanted ? "add-empty-results=true" : "");
  static const struct {
    guint found;
    gboolean inferred;
  } frames[] = { { 1, TRUE }, { 0, TRUE }, { 0, FALSE }, { 0, TRUE }, { 2, TRUE } };
  for (guint i = 0; i < G_N_ELEMENTS (frames); i++) {
    GstBuffer *buffer = make_frame (RGB_CAPS, i);
    for (guint n = 0; n < frames[i].found; n++)
      add_region (buffer, NULL);
    mark (buffer, NULL, i, frames[i].inferred, frames[i].found);
    push (harness, buffer);
  }
  g_autoptr (GPtrArray) documents = read_documents ();
  static const guint all[] = { 0, 1, 3, 4 }, found[] = { 0, 4 };
  g_assert_cmpuint (documents->len, ==, wanted ? 4 : 2);
  for (guint i = 0; i < documents->len; i++) {
    guint frame = wanted ? all[i] : found[i];
    assert_document (documents, i, frame, frames[frame].found, 0);
  }
  g_assert_null (pop_message (harness, GST_MESSAGE_WARNING));
  teardown_harness (harness);
}

/* Nobody has looked at these: no deimdetect, or one that lets frames pass untouched. */
static void
test_nobody_looked (void)
{
  GstHarness *harness = setup ("add-empty-results=true");
  push (harness, make_frame (RGB_CAPS, 0));
  GstBuffer *tracked = make_frame (RGB_CAPS, 1);
  add_region (tracked, NULL);
  push (harness, tracked);
  push (harness, make_frame (RGB_CAPS, 2));
  {
    g_autoptr (GPtrArray) documents = read_documents ();
    g_assert_cmpuint (documents->len, ==, 1);
    assert_document (documents, 0, 1, 1, 0); /* frames are counted, whether told of or not */
  }
  teardown_harness (harness);

  fake_deim_reset ();
  g_autofree gchar *model = fake_deim_write_model (5);
  g_autofree gchar *launch = g_strdup_printf ("videotestsrc num-buffers=3 ! " RGB_CAPS " ! deimdetect model=%s "
                                              "pass-through=true ! deimjson location=%s add-empty-results=true ! "
                                              "fakesink",
                                              model, path);
  g_autoptr (GstElement) pipeline = gst_parse_launch (launch, NULL);
  g_autoptr (GstBus) bus = gst_element_get_bus (pipeline);
  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  g_autoptr (GstMessage) message =
      gst_bus_timed_pop_filtered (bus, 30 * GST_SECOND, GST_MESSAGE_EOS | GST_MESSAGE_ERROR);
  g_assert_cmpint (GST_MESSAGE_TYPE (message), ==, GST_MESSAGE_EOS);
  gst_element_set_state (pipeline, GST_STATE_NULL);
  g_unlink (model);
  g_autoptr (GPtrArray) documents = read_documents ();
  g_assert_cmpuint (documents->len, ==, 0);
}

/* An element in between has removed detections: all of a frame is no document and one warning, some are counted. */
static void
test_removed (void)
{
  GstHarness *harness = setup ("add-empty-results=true");
  GstBuffer *buffer;
  for (guint i = 0; i < 3; i++) {
    buffer = make_frame (RGB_CAPS, i);
    mark (buffer, "gate", i, TRUE, 2);
    for (guint n = 0; n < i; n++)
      add_region (buffer, "gate");
    push (harness, buffer);
  }
  /* One of two detectors: what the other has found does not stand in for it. */
  buffer = make_frame (RGB_CAPS, 3);
  mark (buffer, "gate", 3, TRUE, 2);
  mark (buffer, "yard", 3, TRUE, 1);
  add_region (buffer, "yard");
  push (harness, buffer);
  /* Analytics do not say who found what. */
  buffer = make_frame (RGB_CAPS, 4);
  mark (buffer, "gate", 4, TRUE, 2);
  add_region (buffer, NULL);
  add_region (buffer, NULL);
  push (harness, buffer);
  buffer = make_frame (RGB_CAPS, 5);
  mark (buffer, "gate", 5, TRUE, 1);
  push (harness, buffer);

  g_autoptr (GPtrArray) documents = read_documents ();
  g_assert_cmpuint (documents->len, ==, 4);
  assert_document (documents, 0, 1, 1, 1);
  assert_document (documents, 1, 2, 2, 0);
  assert_document (documents, 2, 3, 1, 2);
  assert_document (documents, 3, 4, 2, 0);

  g_autoptr (GstMessage) warning = pop_message (harness, GST_MESSAGE_WARNING);
  g_assert_nonnull (warning);
  g_autoptr (GError) error = NULL;
  gst_message_parse_warning (warning, &error, NULL);
  g_test_message ("%s", error->message);
  g_assert_error (error, GST_STREAM_ERROR, GST_STREAM_ERROR_FAILED);
  g_assert_nonnull (strstr (error->message, "videocrop"));
  g_assert_null (pop_message (harness, GST_MESSAGE_WARNING));
  teardown_harness (harness);
}

int
main (int argc, char **argv)
{
  init_element_tests (&argc, &argv);
  GST_PLUGIN_STATIC_REGISTER (deim);
  gint fd = g_file_open_tmp ("results-XXXXXX.jsonl", &path, NULL);
  g_assert_cmpint (fd, >=, 0);
  g_close (fd, NULL);

  g_test_add_data_func ("/results/empty/left-out", NULL, test_empty);
  g_test_add_data_func ("/results/empty/added", "", test_empty);
  g_test_add_func ("/results/nobody-looked", test_nobody_looked);
  g_test_add_func ("/results/removed", test_removed);
  int result = run_element_tests ();
  g_unlink (path);
  g_free (path);
  return result;
}
