/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-deimjson.c - lines of JSON: what stands in them, where they go, and what happens when that is impossible.
 */
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <json-glib/json-glib.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "element-helpers.h"
#include "fake-deim.h"
#include "gst-plugin/gstdeimwriter.h"

GST_PLUGIN_STATIC_DECLARE (deim);

static gchar *folder; /* a temporary one */

static gchar *
path_of (const gchar *name)
{
  return g_build_filename (folder, name, NULL);
}

static GstHarness *
setup (const gchar *location, const gchar *properties)
{
  g_autofree gchar *launch = g_strdup_printf ("deimjson location=%s %s", location, properties);
  return setup_harness (launch, RGB_CAPS);
}

/* A frame with @n regions that deimdetect would have attached. */
static GstBuffer *
make_found (guint number, guint n)
{
  GstBuffer *buffer = make_frame (RGB_CAPS, number);
  for (guint i = 0; i < n; i++) {
    GstVideoRegionOfInterestMeta *roi =
        gst_buffer_add_video_region_of_interest_meta (buffer, i ? "fire \"hydrant\"" : "dog", 1 + i, 2, 30, 40);
    gst_video_region_of_interest_meta_add_param (roi, gst_structure_new ("detection", "confidence", G_TYPE_DOUBLE,
                                                                         0.25 + 0.5 * i, "label_id", G_TYPE_INT,
                                                                         (gint) (16 + i), NULL));
  }
  return buffer;
}

static void
mark (GstBuffer *buffer, guint64 frame, gboolean inferred)
{
  GstStructure *fields = gst_custom_meta_get_structure (gst_buffer_add_custom_meta (buffer, "DeimFrameMeta"));
  gst_structure_set (fields, "frame", G_TYPE_UINT64, frame, "inferred", G_TYPE_BOOLEAN, inferred, NULL);
}

static void
push (GstHarness *harness, GstBuffer *buffer)
{
  GstBuffer *same = gst_buffer_ref (buffer);
  g_assert_cmpint (gst_harness_push (harness, buffer), ==, GST_FLOW_OK);
  /* It passes as it is, although somebody else holds it too. */
  GstBuffer *out = gst_harness_pull (harness);
  g_assert_true (out == same);
  gst_buffer_unref (out);
  gst_buffer_unref (same);
}

/* The lines of a file, each of which must be a JSON object. Free with g_ptr_array_unref(). */
static GPtrArray *
read_lines (const gchar *path)
{
  g_autofree gchar *text = NULL;
  g_autoptr (GError) error = NULL;
  g_file_get_contents (path, &text, NULL, &error);
  g_assert_no_error (error);
  GPtrArray *lines = g_ptr_array_new_with_free_func ((GDestroyNotify) json_node_unref);
  g_auto (GStrv) parts = g_strsplit (text, "\n", -1);
  guint n = g_strv_length (parts);
  g_assert_cmpstr (parts[n - 1], ==, ""); /* the last line is complete */
  for (guint i = 0; i + 1 < n; i++) {
    JsonNode *node = json_from_string (parts[i], &error);
    g_assert_no_error (error);
    g_assert_true (JSON_NODE_HOLDS_OBJECT (node));
    g_ptr_array_add (lines, node);
  }
  return lines;
}

static JsonObject *
line (GPtrArray *lines, guint index)
{
  return json_node_get_object (g_ptr_array_index (lines, index));
}

/* ------------------------------------------------------------------ contents */

static void
test_line (void)
{
  g_autofree gchar *path = path_of ("line.jsonl");
  GstHarness *harness = setup (path, "");
  GstSegment segment;
  gst_segment_init (&segment, GST_FORMAT_TIME);
  segment.start = 40 * GST_MSECOND;
  segment.base = GST_SECOND;
  gst_harness_push_event (harness, gst_event_new_stream_start ("camera/3"));
  gst_harness_push_event (harness, gst_event_new_segment (&segment));

  GstBuffer *buffer = make_found (7, 2);
  mark (buffer, 123, TRUE);
  g_autoptr (GstCaps) ntp = gst_caps_from_string ("timestamp/x-ntp, host=(string)clock");
  g_autoptr (GstCaps) other = gst_caps_from_string ("timestamp/x-drone");
  gst_buffer_add_reference_timestamp_meta (buffer, ntp, (2208988800 + 1700000000) * GST_SECOND + 5,
                                           GST_CLOCK_TIME_NONE);
  gst_buffer_add_reference_timestamp_meta (buffer, other, 99, GST_CLOCK_TIME_NONE);
  push (harness, buffer);

  /* The line is there now, not when the stream ends. */
  g_autoptr (GPtrArray) lines = read_lines (path);
  g_assert_cmpuint (lines->len, ==, 1);
  JsonObject *object = line (lines, 0);
  g_assert_cmpstr (json_object_get_string_member (object, "stream_id"), ==, "camera/3");
  g_assert_cmpint (json_object_get_int_member (object, "frame"), ==, 123);
  g_assert_cmpint (json_object_get_int_member (object, "pts"), ==, 280000000);
  g_assert_cmpint (json_object_get_int_member (object, "running_time"), ==, 1240000000);
  g_assert_cmpint (json_object_get_int_member (object, "width"), ==, 64);
  g_assert_cmpint (json_object_get_int_member (object, "height"), ==, 48);

  JsonArray *references = json_object_get_array_member (object, "reference_timestamps");
  g_assert_cmpuint (json_array_get_length (references), ==, 2);
  JsonObject *reference = json_array_get_object_element (references, 0);
  g_assert_true (g_str_has_prefix (json_object_get_string_member (reference, "caps"), "timestamp/x-ntp"));
  g_assert_cmpint (json_object_get_int_member (reference, "time"), ==, (2208988800 + 1700000000) * GST_SECOND + 5);
  g_assert_cmpstr (json_object_get_string_member (reference, "utc"), ==, "2023-11-14T22:13:20.000000005Z");
  reference = json_array_get_object_element (references, 1);
  g_assert_cmpint (json_object_get_int_member (reference, "time"), ==, 99);
  g_assert_false (json_object_has_member (reference, "utc"));

  JsonArray *detections = json_object_get_array_member (object, "detections");
  g_assert_cmpuint (json_array_get_length (detections), ==, 2);
  JsonObject *second = json_array_get_object_element (detections, 1);
  g_assert_cmpstr (json_object_get_string_member (second, "label"), ==, "fire \"hydrant\"");
  g_assert_cmpint (json_object_get_int_member (second, "label_id"), ==, 17);
  g_assert_cmpfloat (json_object_get_double_member (second, "score"), ==, 0.75);
  g_assert_false (json_object_has_member (second, "track_id"));
  static const gint box[4] = { 2, 2, 32, 42 };
  JsonArray *corners = json_object_get_array_member (second, "box");
  g_assert_cmpuint (json_array_get_length (corners), ==, 4);
  for (guint i = 0; i < 4; i++)
    g_assert_cmpint (json_array_get_int_element (corners, i), ==, box[i]);
  teardown_harness (harness);
}

/* Regions of others: no class, no score, no label; a buffer without time; a name of the user's. */
static void
test_foreign (void)
{
  g_autofree gchar *path = path_of ("foreign.jsonl");
  GstHarness *harness = setup (path, "stream-id=\"gate \\\"4\\\"\"");
  GstBuffer *buffer = make_frame (RGB_CAPS, 0);
  gst_buffer_add_video_region_of_interest_meta_id (buffer, 0, 1, 2, 3, 4);
  GST_BUFFER_PTS (buffer) = GST_CLOCK_TIME_NONE;
  push (harness, buffer);
  buffer = make_frame (RGB_CAPS, 1);
  GstVideoRegionOfInterestMeta *roi = gst_buffer_add_video_region_of_interest_meta (buffer, "\xff bytes", 1, 2, 3, 4);
  gst_video_region_of_interest_meta_add_param (roi, gst_structure_new ("object_id", "id", G_TYPE_INT, 5, NULL));
  push (harness, buffer);

  g_autoptr (GPtrArray) lines = read_lines (path);
  g_assert_cmpuint (lines->len, ==, 2);
  JsonObject *object = line (lines, 0);
  g_assert_cmpstr (json_object_get_string_member (object, "stream_id"), ==, "gate \"4\"");
  g_assert_true (json_object_get_null_member (object, "pts"));
  g_assert_true (json_object_get_null_member (object, "running_time"));
  g_assert_false (json_object_has_member (object, "reference_timestamps"));
  JsonObject *found = json_array_get_object_element (json_object_get_array_member (object, "detections"), 0);
  g_assert_true (json_object_get_null_member (found, "label"));
  g_assert_true (json_object_get_null_member (found, "label_id"));
  g_assert_true (json_object_get_null_member (found, "score"));
  /* Frames that nobody numbered are counted here. */
  g_assert_cmpint (json_object_get_int_member (line (lines, 1), "frame"), ==, 1);
  found = json_array_get_object_element (json_object_get_array_member (line (lines, 1), "detections"), 0);
  g_assert_cmpint (json_object_get_int_member (found, "track_id"), ==, 5);
  teardown_harness (harness);
}

/* Memory that nothing here could map, and the caps that go with it. */
static void
test_any_memory (void)
{
  static const gchar caps[] = "video/x-raw(memory:Somewhere),format=NV12,width=640,height=360,framerate=25/1";
  g_autofree gchar *path = path_of ("memory.jsonl");
  GstHarness *harness = setup (path, "");
  gst_harness_set_src_caps_str (harness, caps);
  GstBuffer *buffer = gst_buffer_new ();
  gst_buffer_add_video_region_of_interest_meta (buffer, "dog", 1, 2, 3, 4);
  push (harness, buffer);
  g_autoptr (GPtrArray) lines = read_lines (path);
  g_assert_cmpint (json_object_get_int_member (line (lines, 0), "width"), ==, 640);
  teardown_harness (harness);
}

/* -------------------------------------------------------------------- places */

static void
test_append (void)
{
  g_autofree gchar *path = path_of ("append.jsonl");
  static const struct {
    const gchar *properties;
    guint lines;
  } starts[] = { { "", 2 }, { "append=true", 4 }, { "append=false", 2 } };
  for (guint i = 0; i < G_N_ELEMENTS (starts); i++) {
    GstHarness *harness = setup (path, starts[i].properties);
    push (harness, make_found (0, 1));
    push (harness, make_found (1, 1));
    teardown_harness (harness);
    g_autoptr (GPtrArray) lines = read_lines (path);
    g_assert_cmpuint (lines->len, ==, starts[i].lines);
  }
}

/* What a full disk or a crash left of a line stays as it is, and costs no other line. */
static void
test_torn (void)
{
  g_autofree gchar *path = path_of ("torn.jsonl");
  g_autoptr (GError) error = NULL;
  g_file_set_contents (path, "{\"whole\": 1}\n{\"torn", -1, &error);
  g_assert_no_error (error);
  GstHarness *harness = setup (path, "append=true");
  push (harness, make_found (0, 1));
  push (harness, make_found (1, 1));
  teardown_harness (harness);
  g_autofree gchar *text = NULL;
  g_file_get_contents (path, &text, NULL, &error);
  g_assert_no_error (error);
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
  g_assert_cmpuint (g_strv_length (lines), ==, 5);
  g_assert_cmpstr (lines[1], ==, "{\"torn");
  g_assert_nonnull (strstr (lines[2], "\"frame\": 0"));
  g_assert_nonnull (strstr (lines[3], "\"frame\": 1"));
  g_assert_cmpstr (lines[4], ==, "");
}

/* Exactly one error when the element starts. */
static void
assert_start_error (const gchar *location, gint code, const gchar *words)
{
  g_autoptr (GstElement) element = gst_object_ref_sink (gst_element_factory_make ("deimjson", NULL));
  g_autoptr (GstBus) bus = gst_bus_new ();
  gst_element_set_bus (element, bus);
  g_object_set (element, "location", location, NULL);
  g_assert_cmpint (gst_element_set_state (element, GST_STATE_PAUSED), ==, GST_STATE_CHANGE_FAILURE);
  g_autoptr (GstMessage) message = gst_bus_pop_filtered (bus, GST_MESSAGE_ERROR);
  g_assert_nonnull (message);
  g_autoptr (GError) error = NULL;
  gst_message_parse_error (message, &error, NULL);
  g_test_message ("%s", error->message);
  g_assert_error (error, GST_RESOURCE_ERROR, code);
  g_assert_nonnull (strstr (error->message, words));
  g_autoptr (GstMessage) second = gst_bus_pop_filtered (bus, GST_MESSAGE_ERROR);
  g_assert_null (second);
  gst_element_set_state (element, GST_STATE_NULL);
  gst_element_set_bus (element, NULL);
}

static void
test_wrong_places (void)
{
  g_autofree gchar *nowhere = path_of ("no-such-folder/out.jsonl"), *pipe = path_of ("unread");
  assert_start_error ("", GST_RESOURCE_ERROR_SETTINGS, "No location");
  assert_start_error (nowhere, GST_RESOURCE_ERROR_OPEN_WRITE, "no-such-folder");
  assert_start_error (folder, GST_RESOURCE_ERROR_OPEN_WRITE, folder);
  g_assert_cmpint (mkfifo (pipe, 0600), ==, 0);
  assert_start_error (pipe, GST_RESOURCE_ERROR_OPEN_WRITE, "start its reader first");
}

static void
test_full (void)
{
  if (!g_file_test ("/dev/full", G_FILE_TEST_EXISTS)) {
    g_test_skip ("no /dev/full here");
    return;
  }
  GstHarness *harness = setup ("/dev/full", "");
  g_assert_cmpint (gst_harness_push (harness, make_found (0, 1)), ==, GST_FLOW_ERROR);
  assert_one_error (harness, GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_NO_SPACE_LEFT, "/dev/full");
  teardown_harness (harness);
}

/* Opens a named pipe for reading, with @location for the element. */
static gint
make_pipe (const gchar *name, gchar **location)
{
  *location = path_of (name);
  g_assert_cmpint (mkfifo (*location, 0600), ==, 0);
  gint fd = open (*location, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  g_assert_cmpint (fd, >=, 0);
  return fd;
}

/* A reader that ends is an error message; the signal that comes with it ends nobody and stays with nobody. */
static void
test_reader_ends (void)
{
  g_autofree gchar *location = NULL;
  gint reader = make_pipe ("ends", &location);
  GstHarness *harness = setup (location, "");
  push (harness, make_found (0, 1));
  gchar text[4096];
  gssize size = read (reader, text, sizeof text);
  g_assert_cmpint (size, >, 0);
  g_assert_cmpint (text[size - 1], ==, '\n');
  close (reader);

  g_assert_true (signal (SIGPIPE, SIG_DFL) != SIG_ERR);
  g_assert_cmpint (gst_harness_push (harness, make_found (1, 1)), ==, GST_FLOW_ERROR);
  assert_one_error (harness, GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_WRITE, "reader");
  sigset_t pending;
  sigpending (&pending);
  g_assert_false (sigismember (&pending, SIGPIPE));
  teardown_harness (harness);
}

typedef struct {
  GstHarness *harness;
  guint pushed;
  GstFlowReturn flow;
} Pusher;

static gpointer
push_until_stopped (gpointer data)
{
  Pusher *pusher = data;
  do
    pusher->flow = gst_harness_push (pusher->harness, make_found (pusher->pushed++, 100));
  while (pusher->flow == GST_FLOW_OK);
  return NULL;
}

/* A reader that takes nothing holds frames up, and neither a flush nor the end. */
static void
test_reader_sleeps (void)
{
  g_autofree gchar *location = NULL;
  gint reader = make_pipe ("sleeps", &location);
  GstHarness *harness = setup (location, "");
  Pusher pusher = { .harness = harness };
  GThread *thread = g_thread_new ("push", push_until_stopped, &pusher);
  g_usleep (200 * 1000);
  g_assert_true (gst_harness_push_event (harness, gst_event_new_flush_start ()));
  g_thread_join (thread);
  g_assert_cmpint (pusher.flow, ==, GST_FLOW_FLUSHING);
  g_assert_cmpuint (pusher.pushed, >, 1);
  g_assert_true (gst_harness_push_event (harness, gst_event_new_flush_stop (TRUE)));
  GstSegment segment;
  gst_segment_init (&segment, GST_FORMAT_TIME);
  g_assert_true (gst_harness_push_event (harness, gst_event_new_segment (&segment)));

  /* All that was read is whole lines, though one was cut off by the flush. */
  g_autoptr (GString) all = g_string_new (NULL);
  gchar text[65536];
  gssize size;
  while ((size = read (reader, text, sizeof text)) > 0)
    g_string_append_len (all, text, size);
  g_assert_cmpint (errno, ==, EAGAIN);
  g_assert_cmpint (gst_harness_push (harness, make_found (1000, 1)), ==, GST_FLOW_OK);
  while ((size = read (reader, text, sizeof text)) > 0)
    g_string_append_len (all, text, size);
  g_auto (GStrv) lines = g_strsplit (all->str, "\n", -1);
  guint n = g_strv_length (lines);
  g_test_message ("%u lines, %" G_GSIZE_FORMAT " bytes", n - 1, all->len);
  g_assert_cmpstr (lines[n - 1], ==, "");
  for (guint i = 0; i + 1 < n; i++) {
    g_autoptr (GError) error = NULL;
    g_autoptr (JsonNode) node = json_from_string (lines[i], &error);
    g_assert_no_error (error);
    g_assert_nonnull (node);
  }

  /* Stopping while a frame waits. */
  pusher.pushed = 0;
  thread = g_thread_new ("push", push_until_stopped, &pusher);
  g_usleep (200 * 1000);
  g_assert_cmpint (gst_element_set_state (harness->element, GST_STATE_NULL), ==, GST_STATE_CHANGE_SUCCESS);
  g_thread_join (thread);
  close (reader);
  teardown_harness (harness);
}

/* The standard output, seen from another process: whole lines, and nothing else. */
static void
test_stdout (void)
{
  gint ends[2];
  g_assert_cmpint (pipe (ends), ==, 0);
  gint saved = dup (STDOUT_FILENO);
  fflush (NULL);
  g_assert_cmpint (dup2 (ends[1], STDOUT_FILENO), ==, STDOUT_FILENO);
  close (ends[1]);
  GstHarness *harness = setup_harness ("deimjson", RGB_CAPS);
  GstBuffer *buffer = make_found (3, 1);
  GstFlowReturn flow = gst_harness_push (harness, buffer);
  teardown_harness (harness);
  fflush (NULL);
  g_assert_cmpint (dup2 (saved, STDOUT_FILENO), ==, STDOUT_FILENO);
  close (saved);
  g_assert_cmpint (flow, ==, GST_FLOW_OK);
  gchar text[4096] = "";
  gssize size = read (ends[0], text, sizeof text - 1);
  close (ends[0]);
  g_assert_cmpint (size, >, 1);
  g_assert_cmpint (text[size - 1], ==, '\n');
  text[size - 1] = '\0';
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonNode) node = json_from_string (text, &error);
  g_assert_no_error (error);
  g_assert_nonnull (node);
}

/* A process without a standard output: "-" is an error, whatever has got its number meanwhile, and a file does not
 * become its standard output. */
static void
test_no_stdout (void)
{
  g_autofree gchar *location = path_of ("no-stdout.jsonl"), *text = NULL;
  g_autoptr (GString) line = g_string_new ("{}\n");
  GError *errors[5] = { NULL };
  gint saved = dup (STDOUT_FILENO);
  fflush (NULL);
  close (STDOUT_FILENO); /* nothing is told from here on */
  GstDeimWriter *writer = gst_deim_writer_new (location, FALSE, &errors[0]);
  g_autofree gchar *taken = g_file_read_link ("/proc/self/fd/1", NULL);
  GstFlowReturn flow = writer ? gst_deim_writer_write (writer, line, &errors[0]) : GST_FLOW_ERROR;
  gst_deim_writer_free (writer);
  gboolean is_left_open = fcntl (STDOUT_FILENO, F_GETFD) >= 0;
  GstDeimWriter *closed = gst_deim_writer_new ("-", FALSE, &errors[1]);
  gint input = open ("/dev/null", O_RDONLY | O_CLOEXEC);
  GstDeimWriter *read_only = gst_deim_writer_new ("-", FALSE, &errors[2]);
  close (input);
  gint event = eventfd (0, EFD_CLOEXEC);
  GstDeimWriter *no_output = gst_deim_writer_new ("-", FALSE, &errors[3]);
  close (event);
  gint pair[2] = { -1, -1 };
  gint paired = socketpair (AF_UNIX, SOCK_STREAM, 0, pair);
  GstDeimWriter *own_socket = gst_deim_writer_new ("-", FALSE, &errors[4]);
  close (pair[1]);
  gboolean had_its_number = input == STDOUT_FILENO && event == STDOUT_FILENO && pair[0] == STDOUT_FILENO;
  g_assert_cmpint (dup2 (saved, STDOUT_FILENO), ==, STDOUT_FILENO);
  close (saved);

  g_assert_no_error (errors[0]);
  g_assert_cmpint (flow, ==, GST_FLOW_OK);
  g_assert_cmpstr (taken, !=, location);
  g_assert_false (is_left_open);
  g_assert_true (g_file_get_contents (location, &text, NULL, NULL));
  g_assert_cmpstr (text, ==, "{}\n");
  g_assert_true (had_its_number);
  g_assert_cmpint (paired, ==, 0);
  g_assert_true (!closed && !read_only && !no_output && !own_socket);
  for (guint i = 1; i < G_N_ELEMENTS (errors); i++) {
    g_assert_error (errors[i], GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_OPEN_WRITE);
    g_assert_nonnull (strstr (errors[i]->message, "standard output"));
    g_clear_error (&errors[i]);
  }
}

/* With the detector in front, and again after a stop. */
static void
test_with_detector (void)
{
  fake_deim_reset ();
  g_autofree gchar *path = path_of ("detector.jsonl"), *model = fake_deim_write_model (5);
  g_autofree gchar *launch = g_strdup_printf ("videotestsrc num-buffers=5 ! video/x-raw,format=NV12,width=64,height=48 "
                                              "! deimdetect model=%s inference-interval=2 ! deimjson location=%s "
                                              "add-empty-results=true ! fakesink",
                                              model, path);
  g_autoptr (GError) error = NULL;
  g_autoptr (GstElement) pipeline = gst_parse_launch (launch, &error);
  g_assert_no_error (error);
  g_autoptr (GstBus) bus = gst_element_get_bus (pipeline);
  for (guint round = 0; round < 2; round++) {
    gst_element_set_state (pipeline, GST_STATE_PLAYING);
    g_autoptr (GstMessage) message =
        gst_bus_timed_pop_filtered (bus, 30 * GST_SECOND, GST_MESSAGE_EOS | GST_MESSAGE_ERROR);
    g_assert_cmpint (GST_MESSAGE_TYPE (message), ==, GST_MESSAGE_EOS);
    gst_element_set_state (pipeline, GST_STATE_NULL);
    g_autoptr (GPtrArray) lines = read_lines (path);
    g_assert_cmpuint (lines->len, ==, 3);
    for (guint i = 0; i < 3; i++) {
      g_assert_cmpint (json_object_get_int_member (line (lines, i), "frame"), ==, 2 * i);
      g_assert_cmpuint (json_array_get_length (json_object_get_array_member (line (lines, i), "detections")), ==, 2);
    }
  }
  g_unlink (model);
}

static void
remove_folder (void)
{
  GDir *dir = g_dir_open (folder, 0, NULL);
  const gchar *name;
  while ((name = g_dir_read_name (dir))) {
    g_autofree gchar *path = path_of (name);
    g_unlink (path);
  }
  g_dir_close (dir);
  g_rmdir (folder);
  g_free (folder);
}

/* Two detectors in a row: one line for each frame that any of them looked at, naming those, and who found what. */
static void
test_two_detectors (void)
{
  g_autofree gchar *path = path_of ("two.jsonl"), *model = fake_deim_write_model (5), *text = NULL;
  g_autofree gchar *launch = g_strdup_printf (
      "videotestsrc num-buffers=6 pattern=black ! " RGB_CAPS " ! deimdetect name=seldom model=%s inference-interval=3 "
      "classes=0 ! deimdetect name=often model=%s inference-interval=2 classes=1 ! videoscale ! "
      "video/x-raw,width=128,height=96 ! deimjson location=%s add-empty-results=true ! fakesink",
      model, model, path);
  fake_deim_reset ();
  g_autoptr (GError) error = NULL;
  g_autoptr (GstElement) pipeline = gst_parse_launch (launch, &error);
  g_assert_no_error (error);
  g_autoptr (GstBus) bus = gst_element_get_bus (pipeline);
  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  gst_message_unref (gst_bus_timed_pop_filtered (bus, GST_CLOCK_TIME_NONE, GST_MESSAGE_EOS | GST_MESSAGE_ERROR));
  gst_element_set_state (pipeline, GST_STATE_NULL);
  g_unlink (model);

  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  g_auto (GStrv) lines = g_strsplit (g_strchomp (text), "\n", -1);
  static const struct {
    const gchar *frame, *inferred_by;
    gboolean seldom, often;
  } expected[] = {
    { "\"frame\": 0,", "\"inferred_by\": [\"seldom\", \"often\"]", TRUE, TRUE },
    { "\"frame\": 2,", "\"inferred_by\": [\"often\"]", FALSE, TRUE },
    { "\"frame\": 3,", "\"inferred_by\": [\"seldom\"]", TRUE, FALSE },
    { "\"frame\": 4,", "\"inferred_by\": [\"often\"]", FALSE, TRUE },
  };
  g_assert_cmpuint (g_strv_length (lines), ==, G_N_ELEMENTS (expected));
  for (guint i = 0; i < G_N_ELEMENTS (expected); i++) {
    g_test_message ("%s", lines[i]);
    g_autoptr (JsonNode) node = json_from_string (lines[i], &error);
    g_assert_no_error (error);
    g_assert_nonnull (node);
    g_assert_nonnull (strstr (lines[i], expected[i].frame));
    g_assert_nonnull (strstr (lines[i], expected[i].inferred_by));
    g_assert_true ((strstr (lines[i], "\"source\": \"seldom\"") != NULL) == expected[i].seldom);
    g_assert_true ((strstr (lines[i], "\"source\": \"often\"") != NULL) == expected[i].often);
  }
}

int
main (int argc, char **argv)
{
  init_element_tests (&argc, &argv);
  GST_PLUGIN_STATIC_REGISTER (deim);
  folder = g_dir_make_tmp ("deimjson-XXXXXX", NULL);

  g_test_add_func ("/deimjson/line", test_line);
  g_test_add_func ("/deimjson/foreign", test_foreign);
  g_test_add_func ("/deimjson/any-memory", test_any_memory);
  g_test_add_func ("/deimjson/append", test_append);
  g_test_add_func ("/deimjson/torn", test_torn);
  g_test_add_func ("/deimjson/wrong-places", test_wrong_places);
  g_test_add_func ("/deimjson/full", test_full);
  g_test_add_func ("/deimjson/reader-ends", test_reader_ends);
  g_test_add_func ("/deimjson/reader-sleeps", test_reader_sleeps);
  g_test_add_func ("/deimjson/stdout", test_stdout);
  g_test_add_func ("/deimjson/no-stdout", test_no_stdout);
  g_test_add_func ("/deimjson/with-detector", test_with_detector);
  g_test_add_func ("/deimjson/two-detectors", test_two_detectors);
  int result = run_element_tests ();
  remove_folder ();
  return result;
}
