/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-element-accuracy.c - photos as a video: what deimdetect finds behind decodebin is what `deim detect` finds.
 *
 * The photos, all scaled to 640x480, are written as pictures and, without loss, as one video of RGB and one of I420.
 *   RGB:  the element against `deim detect` on the pictures: the same pixels, so the same detections.
 *   NV12: the element against `deim detect` on the I420 video: the same samples, so the same detections;
 *         and against RGB: chroma at half the resolution and 8-bit rounding are all that differs. What either finds
 *         with a score of SURE or more the other finds too, each object once, within SCORE_OFF of its score and with
 *         an overlap (intersection over union) of OVERLAP or more. The bounds are what was seen over these photos,
 *         0.035 and 0.944, and about half as much again: other versions of GStreamer round colours in other ways.
 * Needs real weights and photos: $DEIM_SHARED.
 */
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <json-glib/json-glib.h>
#include <string.h>

#include "element-helpers.h"

#define SURE      0.5
#define SCORE_OFF 0.05
#define OVERLAP   0.9

#define LEAST "0.25" /* threshold of everything */
#define SIZE  "width=640,height=480,pixel-aspect-ratio=1/1"

typedef struct {
  gint label;
  gdouble score, box[4]; /* x1, y1, x2, y2 in pixels */
} Found;

static gchar *shared, *model, *folder;

/* A path in the temporary folder. */
static gchar *
temporary (const gchar *name)
{
  return g_build_filename (folder, name, NULL);
}

/* Runs a pipeline to its end. Frames that reach a sink called "out" are passed to @each. */
static void
run (const gchar *text, void (*each) (GstBuffer *buffer, gpointer data), gpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GstElement) pipeline = gst_parse_launch (text, &error);
  g_assert_no_error (error);
  g_autoptr (GstElement) out = gst_bin_get_by_name (GST_BIN (pipeline), "out");
  g_autoptr (GstBus) bus = gst_element_get_bus (pipeline);
  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  for (gboolean more = out != NULL; more;) {
    g_autoptr (GstSample) sample = NULL;
    g_signal_emit_by_name (out, "pull-sample", &sample);
    more = sample != NULL;
    if (more)
      each (gst_sample_get_buffer (sample), data);
  }
  g_autoptr (GstMessage) end = gst_bus_timed_pop_filtered (bus, 120 * GST_SECOND, GST_MESSAGE_EOS | GST_MESSAGE_ERROR);
  g_assert_nonnull (end);
  if (GST_MESSAGE_TYPE (end) == GST_MESSAGE_ERROR)
    gst_message_parse_error (end, &error, NULL);
  g_assert_no_error (error);
  gst_element_set_state (pipeline, GST_STATE_NULL);
}

/* ---------------------------------------------------------------- the input */

/* Writes the photos as 00.png, 01.png, ..., rgb.mkv and i420.mkv, and returns how many there are. */
static guint
make_input (void)
{
  g_autofree gchar *photos = g_build_filename (shared, "real/open", NULL);
  g_autoptr (GDir) dir = g_dir_open (photos, 0, NULL);
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  for (const gchar *name; (name = g_dir_read_name (dir));)
    if (g_str_has_suffix (name, ".jpg"))
      g_ptr_array_add (names, g_strdup (name));
  g_ptr_array_sort (names, (GCompareFunc) (void (*) (void)) g_strcmp0);
  for (guint i = 0; i < names->len; i++) {
    g_autofree gchar *text = g_strdup_printf (
        "filesrc location=%s/%s ! jpegdec idct-method=islow ! videoconvert ! videoscale add-borders=false ! "
        "video/x-raw,format=RGB," SIZE " ! pngenc snapshot=true ! filesink location=%s/%02u.png",
        photos, (const gchar *) g_ptr_array_index (names, i), folder, i);
    run (text, NULL, NULL);
  }
  static const struct {
    const gchar *name, *convert;
  } videos[] = { { "rgb", "identity" }, { "i420", "videoconvert ! video/x-raw,format=I420" } };
  for (guint i = 0; i < G_N_ELEMENTS (videos); i++) {
    g_autofree gchar *text =
        g_strdup_printf ("multifilesrc location=%s/%%02d.png caps=image/png,framerate=5/1 ! pngdec ! "
                         "video/x-raw,format=RGB ! %s ! matroskamux ! filesink location=%s/%s.mkv",
                         folder, videos[i].convert, folder, videos[i].name);
    run (text, NULL, NULL);
  }
  return names->len;
}

/* --------------------------------------------------------------- detections */

static void
add_frame (GstBuffer *buffer, gpointer data)
{
  GArray *frame = g_array_new (FALSE, TRUE, sizeof (Found));
  gpointer state = NULL;
  GstMeta *meta;
  g_assert_true (was_inferred (buffer));
  while ((meta = gst_buffer_iterate_meta_filtered (buffer, &state, GST_VIDEO_REGION_OF_INTEREST_META_API_TYPE))) {
    Found found;
    g_assert_true (gst_structure_get (
        gst_video_region_of_interest_meta_get_param ((GstVideoRegionOfInterestMeta *) meta, "detection"), "label_id",
        G_TYPE_INT, &found.label, "confidence", G_TYPE_DOUBLE, &found.score, "x_min", G_TYPE_DOUBLE, &found.box[0],
        "y_min", G_TYPE_DOUBLE, &found.box[1], "x_max", G_TYPE_DOUBLE, &found.box[2], "y_max", G_TYPE_DOUBLE,
        &found.box[3], NULL));
    for (guint i = 0; i < 4; i++)
      found.box[i] *= i % 2 ? 480 : 640;
    g_array_append_val (frame, found);
  }
  g_ptr_array_add (data, frame);
}

/* What the element finds in the frames of @video, as @format. */
static GPtrArray *
detect_by_element (const gchar *video, const gchar *format)
{
  GPtrArray *frames = g_ptr_array_new_with_free_func ((GDestroyNotify) g_array_unref);
  g_autofree gchar *text =
      g_strdup_printf ("filesrc location=%s/%s ! decodebin ! videoconvert ! video/x-raw,format=%s ! "
                       "deimdetect model=%s threshold=" LEAST " ! appsink name=out sync=false",
                       folder, video, format, model);
  run (text, add_frame, frames);
  return frames;
}

static void
read_line (const gchar *line, GPtrArray *frames)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonNode) node = json_from_string (line, &error);
  g_assert_no_error (error);
  JsonArray *list = json_object_get_array_member (json_node_get_object (node), "detections");
  GArray *frame = g_array_new (FALSE, TRUE, sizeof (Found));
  for (guint i = 0; i < json_array_get_length (list); i++) {
    JsonObject *object = json_array_get_object_element (list, i);
    JsonArray *box = json_object_get_array_member (object, "box");
    Found found = { .label = (gint) json_object_get_int_member (object, "class"),
                    .score = json_object_get_double_member (object, "score") };
    for (guint k = 0; k < 4; k++)
      found.box[k] = CLAMP (json_array_get_double_element (box, k), 0, k % 2 ? 480 : 640);
    g_array_append_val (frame, found);
  }
  g_ptr_array_add (frames, frame);
}

/* What `deim detect` finds in the files of the temporary folder that @inputs names. */
static GPtrArray *
detect_by_tool (gchar **inputs)
{
  g_autoptr (GPtrArray) command = g_ptr_array_new ();
  g_ptr_array_add (command, (gpointer) DEIM_TOOL);
  g_ptr_array_add (command, (gpointer) "detect");
  g_ptr_array_add (command, model);
  for (guint i = 0; inputs[i]; i++)
    g_ptr_array_add (command, inputs[i]);
  for (guint i = 0; i < 4; i++)
    g_ptr_array_add (command, (gpointer) ((const gchar *const[]){ "--json", "-", "--threshold", LEAST })[i]);
  g_ptr_array_add (command, NULL);
  g_autofree gchar *out = NULL, *err = NULL;
  g_autoptr (GError) error = NULL;
  gint status = -1;
  g_spawn_sync (folder, (gchar **) command->pdata, NULL, G_SPAWN_DEFAULT, NULL, NULL, &out, &err, &status, &error);
  g_assert_no_error (error);
  if (!g_spawn_check_wait_status (status, &error))
    g_error ("%s: %s", error->message, err);
  GPtrArray *frames = g_ptr_array_new_with_free_func ((GDestroyNotify) g_array_unref);
  g_auto (GStrv) lines = g_strsplit (out, "\n", -1);
  for (guint i = 0; lines[i]; i++)
    if (lines[i][0] == '{')
      read_line (lines[i], frames);
  return frames;
}

/* --------------------------------------------------------------- comparing */

/* The tool prints six digits of a score and two of a coordinate. */
static void
assert_equal (const GPtrArray *a, const GPtrArray *b, const gchar *what)
{
  guint all = 0;
  g_assert_cmpuint (a->len, ==, b->len);
  for (guint i = 0; i < a->len; i++) {
    const GArray *p = g_ptr_array_index (a, i), *q = g_ptr_array_index (b, i);
    g_assert_cmpuint (p->len, ==, q->len);
    for (guint k = 0; k < p->len; k++, all++) {
      const Found *x = &g_array_index (p, Found, k), *y = &g_array_index (q, Found, k);
      g_assert_cmpint (x->label, ==, y->label);
      g_assert_cmpfloat_with_epsilon (x->score, y->score, 1e-6);
      for (guint c = 0; c < 4; c++)
        g_assert_cmpfloat_with_epsilon (x->box[c], y->box[c], 0.0051);
    }
  }
  g_print ("# %s: %u detections in %u frames, all the same\n", what, all, a->len);
  g_assert_cmpuint (all, >, 50);
}

static gdouble
overlap (const gdouble *a, const gdouble *b)
{
  gdouble w = MIN (a[2], b[2]) - MAX (a[0], b[0]), h = MIN (a[3], b[3]) - MAX (a[1], b[1]);
  gdouble both = MAX (w, 0) * MAX (h, 0);
  return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both);
}

/* How far what is found in one way is from what is found in the other. */
typedef struct {
  guint all;
  gdouble score, overlap, sum; /* the worst, and the sum of the scores' differences */
} Distance;

/* Finds the partners in @other of those of @frame that are sure. The best score chooses first, and nobody is chosen
 * twice: both lists are sorted by score. */
static void
add_distance (Distance *to, const GArray *frame, const GArray *other)
{
  g_autofree gboolean *taken = g_new0 (gboolean, other->len + 1);
  for (guint k = 0; k < frame->len; k++) {
    const Found *x = &g_array_index (frame, Found, k);
    gint best = -1;
    gdouble most = 0;
    if (x->score < SURE)
      continue;
    for (guint m = 0; m < other->len; m++) {
      const Found *y = &g_array_index (other, Found, m);
      gdouble both = y->label == x->label && !taken[m] ? overlap (x->box, y->box) : 0;
      if (both > most) {
        best = (gint) m;
        most = both;
      }
    }
    if (best < 0)
      g_error ("class %d with a score of %.3f at %.0f,%.0f is found in one way and not in the other", x->label,
               x->score, x->box[0], x->box[1]);
    taken[best] = TRUE;
    gdouble off = ABS (x->score - g_array_index (other, Found, best).score);
    to->all++;
    to->sum += off;
    to->score = MAX (to->score, off);
    to->overlap = MIN (to->overlap, most);
  }
}

static void
assert_found_by_both (const GPtrArray *sure, const GPtrArray *other, const gchar *what)
{
  Distance distance = { .overlap = 1 };
  g_assert_cmpuint (sure->len, ==, other->len);
  for (guint i = 0; i < sure->len; i++)
    add_distance (&distance, g_ptr_array_index (sure, i), g_ptr_array_index (other, i));
  g_print (
      "# of %u detections of %.1f or more in %s moves the score by %.3f in the mean and %.3f at most, and overlaps "
      "by %.3f at least\n",
      distance.all, SURE, what, distance.sum / distance.all, distance.score, distance.overlap);
  g_assert_cmpuint (distance.all, >, 20);
  g_assert_cmpfloat (distance.score, <=, SCORE_OFF);
  g_assert_cmpfloat (distance.overlap, >=, OVERLAP);
}

static void
test_photos (void)
{
  guint n = make_input ();
  g_auto (GStrv) pictures = g_new0 (gchar *, n + 1);
  for (guint i = 0; i < n; i++)
    pictures[i] = g_strdup_printf ("%s/%02u.png", folder, i);
  gchar *video[] = { temporary ("i420.mkv"), NULL };
  g_autoptr (GPtrArray) of_pictures = detect_by_tool (pictures);
  g_autoptr (GPtrArray) of_video = detect_by_tool (video);
  g_autoptr (GPtrArray) rgb = detect_by_element ("rgb.mkv", "RGB");
  g_autoptr (GPtrArray) nv12 = detect_by_element ("i420.mkv", "NV12");
  g_assert_cmpuint (rgb->len, ==, n);
  g_assert_cmpuint (nv12->len, ==, n);
  assert_equal (rgb, of_pictures, "RGB video, and pictures");
  assert_equal (nv12, of_video, "NV12 video in the element, and I420 in the tool");
  assert_found_by_both (rgb, nv12, "RGB, NV12");
  assert_found_by_both (nv12, rgb, "NV12, RGB");
  g_free (video[0]);
}

static void
remove_folder (void)
{
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  for (const gchar *name = dir ? g_dir_read_name (dir) : NULL; name; name = g_dir_read_name (dir)) {
    g_autofree gchar *path = temporary (name);
    g_unlink (path);
  }
  g_rmdir (folder);
}

int
main (int argc, char **argv)
{
  init_element_tests (&argc, &argv);
  const gchar *given = g_getenv ("DEIM_SHARED");
  shared = given ? g_strdup (given) : g_build_filename (DEIM_SOURCE_ROOT, "..", "shared", NULL);
  model = g_build_filename (shared, "real/deimv2_hgnetv2_atto_coco.safetensors", NULL);
  if (!g_file_test (model, G_FILE_TEST_EXISTS)) {
    g_print ("1..0 # SKIP the shared folder is not here (DEIM_SHARED)\n");
    return 0;
  }
  folder = g_dir_make_tmp ("deim-accuracy-XXXXXX", NULL);
  g_test_add_func ("/element-accuracy/photos", test_photos);
  int result = run_element_tests ();
  remove_folder ();
  g_free (folder);
  g_free (model);
  g_free (shared);
  return result;
}
