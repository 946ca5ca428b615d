/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-deimjson-shared.c - several deimjson of a process that write to one place: their lines stay whole, each gets its
 * turn, and who waits for it can be waked.
 */
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <json-glib/json-glib.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "element-helpers.h"

GST_PLUGIN_STATIC_DECLARE (deim);

/* Boxes of a frame whose line is longer than PIPE_BUF, and frames of each writer. */
#define BOXES  100
#define FRAMES 60
/* Whatever takes longer has failed; milliseconds. */
#define PATIENCE 30000

static gchar *folder; /* a temporary one */

typedef struct {
  GstHarness *harness;
  gchar name[16];
  guint frames, pushed;
  GstFlowReturn flow;
  GThread *thread;
} Writer;

static GstBuffer *
make_crowd (guint number)
{
  GstBuffer *buffer = make_frame (RGB_CAPS, number);
  for (guint i = 0; i < BOXES; i++)
    gst_buffer_add_video_region_of_interest_meta (buffer, "somebody in a crowd", i, 2, 30, 40);
  return buffer;
}

static gpointer
push_frames_of (gpointer data)
{
  Writer *writer = data;
  for (; writer->pushed < writer->frames; writer->pushed++) {
    writer->flow = gst_harness_push (writer->harness, make_crowd (writer->pushed));
    if (writer->flow != GST_FLOW_OK)
      break;
    gst_buffer_unref (gst_harness_pull (writer->harness));
  }
  return NULL;
}

static void
init_writer (Writer *writer, guint index, const gchar *location, const gchar *properties)
{
  *writer = (Writer){ .frames = FRAMES };
  g_snprintf (writer->name, sizeof writer->name, "writer%u", index);
  g_autofree gchar *launch =
      g_strdup_printf ("deimjson stream-id=%s location=%s %s", writer->name, location, properties);
  writer->harness = setup_harness (launch, RGB_CAPS);
}

static void
start_writer (Writer *writer)
{
  writer->thread = g_thread_new (writer->name, push_frames_of, writer);
}

/* Appends what comes out of @fd until @n lines are there, or, with n = 0, what is there now. */
static void
read_lines (gint fd, GString *text, guint n)
{
  static gchar part[65536];
  guint lines = 0;
  for (gsize i = 0; i < text->len; i++)
    lines += text->str[i] == '\n';
  while (n == 0 || lines < n) {
    struct pollfd watched = { .fd = fd, .events = POLLIN };
    if (n > 0)
      g_assert_cmpint (poll (&watched, 1, PATIENCE), ==, 1);
    gssize size = read (fd, part, sizeof part);
    if (size <= 0 && n == 0)
      return;
    g_assert_cmpint (size, >, 0);
    g_string_append_len (text, part, size);
    for (gssize i = 0; i < size; i++)
      lines += part[i] == '\n';
  }
}

/* Each line is a document of one of @n writers, whose frames stand in their order: @frames of each, or, with 0, however
 * many there are. */
static void
assert_lines (const GString *text, guint n, guint frames)
{
  guint next[8] = { 0 };
  g_auto (GStrv) lines = g_strsplit (text->str, "\n", -1);
  guint count = g_strv_length (lines);
  g_assert_cmpstr (lines[count - 1], ==, "");
  for (guint i = 0; i + 1 < count; i++) {
    g_autoptr (GError) error = NULL;
    g_autoptr (JsonNode) node = json_from_string (lines[i], &error);
    g_assert_no_error (error);
    JsonObject *object = json_node_get_object (node);
    guint who = (guint) (json_object_get_string_member (object, "stream_id")[strlen ("writer")] - '0');
    g_assert_cmpuint (who, <, n);
    g_assert_cmpint (json_object_get_int_member (object, "frame"), ==, next[who]++);
  }
  for (guint i = 0; frames > 0 && i < n; i++)
    g_assert_cmpuint (next[i], ==, frames);
}

/* A place for three writers, and where its reader reads: a named pipe, the standard output, a file. */
static gint
open_place (const gchar *kind, gchar **location, gint *saved)
{
  *location = g_build_filename (folder, kind, NULL);
  if (strcmp (kind, "pipe") == 0) {
    g_assert_cmpint (mkfifo (*location, 0600), ==, 0);
    return open (*location, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  }
  if (strcmp (kind, "file") == 0)
    return open (*location, O_RDONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  gint ends[2];
  g_assert_cmpint (pipe (ends), ==, 0);
  fflush (NULL);
  *saved = dup (STDOUT_FILENO);
  g_assert_cmpint (dup2 (ends[1], STDOUT_FILENO), ==, STDOUT_FILENO);
  close (ends[1]);
  g_free (*location);
  *location = g_strdup ("-");
  return ends[0];
}

static void
test_whole (gconstpointer data)
{
  const gchar *kind = data;
  gboolean is_file = strcmp (kind, "file") == 0;
  g_autofree gchar *location = NULL;
  g_autoptr (GString) text = g_string_new (NULL);
  gint saved = -1;
  gint reader = open_place (kind, &location, &saved);
  g_assert_cmpint (reader, >=, 0);
  Writer writers[3];
  for (guint i = 0; i < 3; i++)
    init_writer (&writers[i], i, location, "");
  for (guint i = 0; i < 3; i++)
    start_writer (&writers[i]);
  if (!is_file)
    read_lines (reader, text, 3 * FRAMES);
  for (guint i = 0; i < 3; i++)
    g_thread_join (writers[i].thread);
  if (is_file)
    read_lines (reader, text, 0);
  if (saved >= 0) {
    fflush (NULL);
    g_assert_cmpint (dup2 (saved, STDOUT_FILENO), ==, STDOUT_FILENO);
    close (saved);
  }
  for (guint i = 0; i < 3; i++) {
    g_assert_cmpint (writers[i].flow, ==, GST_FLOW_OK);
    teardown_harness (writers[i].harness);
  }
  close (reader);
  g_assert_cmpuint (text->len, >, 3 * FRAMES * 4096);
  assert_lines (text, 3, FRAMES);
}

/* One that starts later does not empty the file of the others; when all have gone, the next one does. */
static void
test_late (void)
{
  g_autofree gchar *location = g_build_filename (folder, "late", NULL);
  g_autoptr (GString) text = g_string_new (NULL);
  Writer writers[2];
  init_writer (&writers[0], 0, location, "");
  push_frames_of (&writers[0]);
  init_writer (&writers[1], 1, location, "");
  push_frames_of (&writers[1]);
  gint reader = open (location, O_RDONLY | O_CLOEXEC);
  read_lines (reader, text, 0);
  assert_lines (text, 2, FRAMES);
  for (guint i = 0; i < 2; i++)
    teardown_harness (writers[i].harness);
  struct stat info;
  g_assert_cmpint (fstat (reader, &info), ==, 0);
  g_assert_cmpint (info.st_size, ==, text->len);
  init_writer (&writers[0], 0, location, "");
  teardown_harness (writers[0].harness);
  g_assert_cmpint (fstat (reader, &info), ==, 0);
  g_assert_cmpint (info.st_size, ==, 0);
  close (reader);
}

/*
 * The reader sleeps: one writer waits in the full pipe and the others for their turn. Each of them is waked, by a flush
 * or by stopping, and a line that was broken off is finished by whoever comes next.
 */
static void
test_waked (gconstpointer data)
{
  gboolean stop = data != NULL;
  g_autofree gchar *location = g_build_filename (folder, stop ? "stopped" : "flushed", NULL);
  g_autoptr (GString) text = g_string_new (NULL);
  g_assert_cmpint (mkfifo (location, 0600), ==, 0);
  gint reader = open (location, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  Writer writers[3];
  for (guint i = 0; i < 3; i++) {
    init_writer (&writers[i], i, location, "");
    writers[i].frames = G_MAXUINT;
  }
  for (guint i = 0; i < 3; i++)
    start_writer (&writers[i]);
  g_usleep (200000);
  /* The last one first, while the others wait. */
  for (guint i = 3; i-- > 0;) {
    if (stop)
      g_assert_cmpint (gst_element_set_state (writers[i].harness->element, GST_STATE_NULL), ==,
                       GST_STATE_CHANGE_SUCCESS);
    else
      g_assert_true (gst_harness_push_event (writers[i].harness, gst_event_new_flush_start ()));
    g_thread_join (writers[i].thread);
    g_assert_cmpint (writers[i].flow, ==, GST_FLOW_FLUSHING);
  }
  if (!stop) {
    /* Whichever had begun a line, the first one ends it. */
    GstSegment segment;
    gst_segment_init (&segment, GST_FORMAT_TIME);
    g_assert_true (gst_harness_push_event (writers[0].harness, gst_event_new_flush_stop (TRUE)));
    g_assert_true (gst_harness_push_event (writers[0].harness, gst_event_new_segment (&segment)));
    read_lines (reader, text, 0);
    g_assert_cmpint (text->str[text->len - 1], !=, '\n');
    g_assert_cmpint (gst_harness_push (writers[0].harness, make_crowd (0)), ==, GST_FLOW_OK);
    read_lines (reader, text, 0);
    g_auto (GStrv) lines = g_strsplit (text->str, "\n", -1);
    guint n = g_strv_length (lines);
    g_assert_cmpuint (n, >, 2);
    g_assert_cmpstr (lines[n - 1], ==, "");
    for (guint i = 0; i + 1 < n; i++) {
      g_autoptr (JsonNode) node = json_from_string (lines[i], NULL);
      g_assert_nonnull (node);
    }
  }
  for (guint i = 0; i < 3; i++)
    teardown_harness (writers[i].harness);
  close (reader);
}

static void
remove_folder (void)
{
  GDir *dir = g_dir_open (folder, 0, NULL);
  const gchar *name;
  while ((name = g_dir_read_name (dir))) {
    g_autofree gchar *path = g_build_filename (folder, name, NULL);
    g_unlink (path);
  }
  g_dir_close (dir);
  g_rmdir (folder);
  g_free (folder);
}

int
main (int argc, char **argv)
{
  init_element_tests (&argc, &argv);
  GST_PLUGIN_STATIC_REGISTER (deim);
  folder = g_dir_make_tmp ("deimjson-shared-XXXXXX", NULL);

  g_test_add_data_func ("/deimjson-shared/whole/pipe", "pipe", test_whole);
  g_test_add_data_func ("/deimjson-shared/whole/stdout", "stdout", test_whole);
  g_test_add_data_func ("/deimjson-shared/whole/file", "file", test_whole);
  g_test_add_func ("/deimjson-shared/late", test_late);
  g_test_add_data_func ("/deimjson-shared/waked/flush", NULL, test_waked);
  g_test_add_data_func ("/deimjson-shared/waked/stop", "stop", test_waked);
  int result = run_element_tests ();
  remove_folder ();
  return result;
}
