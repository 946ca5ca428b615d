/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* detect.c - `deim detect`: pictures and videos in, detections out as text, JSON lines and drawings. */
#include "trainer/feed.h"
#include "media.h"
#include "progress.h"
#include "results.h"
#include "tool.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>

typedef struct {
  DeimModel *model;
  gdouble threshold;
  FILE *json;          /* NULL: none */
  FILE *text;          /* NULL: none */
  const gchar *folder; /* of the drawings, or NULL */
  GHashTable *stems;   /* names of drawings given away so far */
  guint64 frames, found;
  gint64 start; /* g_get_monotonic_time() */
} Job;

/* The detector's results, in order. */
static gboolean
take_result (gpointer item, GArray *detections, gpointer user_data, GError **error)
{
  DeimResult *result = item;
  Job *job = user_data;
  guint kept = 0;

  while (kept < detections->len && g_array_index (detections, DeimDetection, kept).score >= job->threshold)
    kept++;
  g_array_set_size (detections, kept); /* they come best first */
  job->frames++;
  job->found += kept;
  if (job->text || job->json == stdout)
    deim_progress_clear ();
  if (job->json)
    deim_result_write_json (result, detections, job->model, job->json);
  if (job->text)
    deim_result_write_text (result, detections, job->model, job->text);
  if (result->drawing && !deim_result_draw (result, detections, job->model, error))
    return FALSE;
  gdouble seconds = (gdouble) (g_get_monotonic_time () - job->start) / 1e6;
  deim_progress_update ("frame %" G_GUINT64_FORMAT ", %.1f frames a second, %s", job->frames,
                        (gdouble) job->frames / MAX (seconds, 1e-3), result->source);
  return TRUE;
}

/* The drawing's name without ending: that of the input, made unique among the inputs of this run. */
static gchar *
choose_stem (Job *job, const gchar *input)
{
  g_autofree gchar *base = g_path_get_basename (input);
  gchar *dot = strrchr (base, '.');

  if (dot && dot != base)
    *dot = 0;
  gchar *stem = g_strdup (base);
  for (guint n = 2; !g_hash_table_add (job->stems, g_strdup (stem)); n++) {
    g_free (stem);
    stem = g_strdup_printf ("%s-%u", base, n);
  }
  return stem;
}

static DeimResult *
make_result (Job *job, const gchar *input, const gchar *stem, guint64 frame, gboolean alone, GstSample *sample,
             const DeimPicture *picture)
{
  DeimResult *result = g_new0 (DeimResult, 1);
  GstClockTime pts = GST_BUFFER_PTS (gst_sample_get_buffer (sample));

  result->source = g_strdup (input);
  result->frame = frame;
  result->pts = GST_CLOCK_TIME_IS_VALID (pts) ? (gint64) pts : -1;
  result->width = picture->frame.width;
  result->height = picture->frame.height;
  if (stem) {
    g_autofree gchar *name =
        alone ? g_strdup_printf ("%s.png", stem) : g_strdup_printf ("%s-%06" G_GUINT64_FORMAT ".png", stem, frame);
    result->drawing = g_build_filename (job->folder, name, NULL);
    result->sample = gst_sample_ref (sample);
  }
  return result;
}

/*
 * Feeds one input. FALSE on an error that ends the run (@error set), or on one
 * of this input alone, which has been reported then (@error not set).
 */
static gboolean
feed_input (Job *job, DeimFeed *feed, const gchar *input, GError **error)
{
  g_autoptr (GError) cause = NULL;
  g_autoptr (DeimMedia) media = deim_media_open (input, &cause);
  g_autofree gchar *stem = media && job->folder ? choose_stem (job, input) : NULL;
  g_autoptr (GstSample) sample = NULL;
  gboolean more = media && deim_media_read (media, &sample, &cause);

  for (guint64 frame = 0; more && sample; frame++) {
    /* One frame is read ahead, to tell a picture from a video. */
    g_autoptr (GstSample) next = NULL;
    DeimPicture picture;
    more = deim_media_read (media, &next, &cause);
    if (!deim_picture_map (&picture, sample, error))
      return FALSE;
    DeimResult *result = make_result (job, input, stem, frame, frame == 0 && !next, sample, &picture);
    gboolean pushed = deim_feed_push (feed, &picture.frame, result, error);
    deim_picture_unmap (&picture);
    if (!pushed && (g_error_matches (*error, DEIM_ERROR, DEIM_ERROR_UNSUPPORTED) ||
                    g_error_matches (*error, DEIM_ERROR, DEIM_ERROR_SETTINGS))) {
      /* This input's size or format, not the device, is the trouble. */
      deim_tool_fail ("%s: %s", input, (*error)->message);
      g_clear_error (error);
      return FALSE;
    }
    if (!pushed)
      return FALSE;
    gst_sample_unref (sample);
    sample = g_steal_pointer (&next);
  }
  if (!more)
    deim_tool_fail ("%s", cause->message);
  return more;
}

static int
detect (Job *job, DeimDetector *detector, gchar **inputs)
{
  g_autoptr (DeimFeed) feed = deim_feed_new (detector, take_result, job, (GDestroyNotify) deim_result_free);
  g_autoptr (GError) error = NULL;
  int status = DEIM_EXIT_OK;

  job->start = g_get_monotonic_time ();
  for (guint i = 0; inputs[i]; i++) {
    if (feed_input (job, feed, inputs[i], &error))
      continue;
    if (error)
      return deim_tool_fail ("%s", error->message);
    status = DEIM_EXIT_FAILED;
  }
  if (!deim_feed_flush (feed, &error))
    return deim_tool_fail ("%s", error->message);
  return status;
}

static int
run (gchar **argv)
{
  g_auto (DeimToolOptions) shared = { 0 };
  g_autofree gchar *json = NULL, *draw = NULL;
  gdouble threshold = 0.5;
  const GOptionEntry entries[] = {
    { "threshold", 't', 0, G_OPTION_ARG_DOUBLE, &threshold, "Least score of a detection, 0 to 1 (default: 0.5)", "T" },
    { "json", 0, 0, G_OPTION_ARG_FILENAME, &json, "Write a line of JSON per frame; \"-\" is the standard output",
      "FILE" },
    { "draw", 0, 0, G_OPTION_ARG_FILENAME, &draw, "Write each frame with its boxes as a PNG into this folder", "DIR" },
    { NULL },
  };
  g_auto (GStrv) arguments = NULL;
  g_autoptr (GError) error = NULL;

  if (!deim_tool_parse (&deim_tool_detect, entries, &shared, argv, &arguments))
    return DEIM_EXIT_USAGE;
  if (g_strv_length (arguments) < 2)
    return deim_tool_misuse ("%s missing; give a MODEL and at least one INPUT", arguments[0] ? "INPUT" : "MODEL");
  if (deim_tool_check_threshold (threshold) != DEIM_EXIT_OK)
    return DEIM_EXIT_USAGE;
  if (!deim_media_init (&error) || (draw && !deim_tool_make_folder (draw, &error)))
    return deim_tool_fail ("%s", error->message);

  g_autoptr (DeimDetector) detector =
      deim_tool_open_detector (arguments[0], &shared, &(DeimDetectorOptions){ 0 }, &error);
  if (!detector)
    return deim_tool_fail ("%s", error->message);
  g_autoptr (GHashTable) stems = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  Job job = { .model = deim_detector_get_model (detector), .threshold = threshold, .folder = draw, .stems = stems };
  gboolean to_stdout = json && g_str_equal (json, "-");
  if (json)
    job.json = to_stdout ? stdout : g_fopen (json, "w");
  if (json && !job.json)
    return deim_tool_fail ("%s cannot be written: %s", json, g_strerror (errno));
  if (!json)
    job.text = stdout;

  int status = detect (&job, detector, arguments + 1);
  gboolean written = !job.json || to_stdout || (fclose (job.json) == 0);
  if (!written)
    status = deim_tool_fail ("%s cannot be written: %s", json, g_strerror (errno));
  deim_progress_clear ();
  if (!to_stdout && (json || draw))
    printf ("%" G_GUINT64_FORMAT " detections in %" G_GUINT64_FORMAT " frames%s%s%s%s\n", job.found, job.frames,
            json ? ", listed in " : "", json ? json : "", draw ? ", drawn in " : "", draw ? draw : "");
  return status;
}

const DeimTool deim_tool_detect = {
  .name = "detect",
  .arguments = "MODEL INPUT...",
  .summary = "Find objects in pictures and videos",
  .details = "INPUT is any picture or video that GStreamer decodes: files, or URIs (rtsp://, http://).\n"
             "Boxes are x1, y1, x2, y2 in pixels of the frame as it is stored (nothing is turned upright).\n\n"
             "A line of JSON per frame:\n"
             "  {\"source\": as given, \"frame\": from 0, \"pts\": nanoseconds or null, \"width\", \"height\",\n"
             "   \"detections\": [{\"label\", \"class\": index, \"score\": 0..1, \"box\": [x1, y1, x2, y2]}]}\n\n"
             "An input that cannot be read is reported, the others go on, and the exit status is 1.\n\n"
             "Example: deim detect n.pth street.jpg drive.mp4 --json found.jsonl --draw out\n",
  .run = run,
};
