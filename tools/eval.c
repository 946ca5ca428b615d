/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* eval.c - `deim eval`: COCO average precision of a model, or of detections that lie in a file. */
#include "json.h"
#include "media.h"
#include "progress.h"
#include "tool.h"
#include "trainer/feed.h"
#include "trainer/validation.h"

#include <stdio.h>
#include <string.h>

typedef struct {
  gchar *images, *annotations, *detections, *from_detections;
  gdouble threshold;
  gboolean json;
} EvalOptions;

/* One evaluation of a model. */
typedef struct {
  const DeimCoco *coco;
  guint *categories; /* of each class its number in @coco, or DEIM_NO_CATEGORY */
  gdouble threshold;
  GArray *found; /* of DeimCocoDetection */
  guint done;    /* pictures */
  gboolean fp32; /* was asked for */
} Job;

static void
clear_options (EvalOptions *options)
{
  g_free (options->images);
  g_free (options->annotations);
  g_free (options->detections);
  g_free (options->from_detections);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (EvalOptions, clear_options)

/*
 * Which category each class of the model means. Networks trained on a file have
 * its categories in ascending order of id; where the counts differ (a model of
 * 80 classes on annotations of people alone), names decide.
 */
static guint *
map_classes (const DeimCoco *coco, DeimModel *model, GError **error)
{
  guint n_classes = deim_model_get_info (model)->num_classes, n_known = 0;
  g_autofree guint *map = g_new (guint, n_classes);

  for (guint i = 0; i < n_classes; i++) {
    map[i] = DEIM_NO_CATEGORY;
    if (n_classes == coco->categories->len) {
      map[i] = i;
    } else {
      for (guint j = 0; j < coco->categories->len && map[i] == DEIM_NO_CATEGORY; j++) {
        const gchar *name = g_array_index (coco->categories, DeimCocoCategory, j).name;
        if (g_ascii_strcasecmp (name, deim_model_get_label (model, i)) == 0)
          map[i] = j;
      }
    }
    n_known += map[i] != DEIM_NO_CATEGORY;
  }
  if (n_known == 0) {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_SETTINGS,
                 "the model has %u classes, the annotations %u categories, and no name is common to both; give the "
                 "model's class names with --labels",
                 n_classes, coco->categories->len);
    return NULL;
  }
  if (n_classes != coco->categories->len)
    deim_tool_warn ("the model has %u classes, the annotations %u categories; %u were matched by name", n_classes,
                    coco->categories->len, n_known);
  return g_steal_pointer (&map);
}

/* The picture's file; a PNG of the same name may stand in for it. @said: whether that has been told already. */
static gchar *
find_picture (const gchar *folder, const gchar *file_name, gboolean *said, GError **error)
{
  g_autofree gchar *path = g_build_filename (folder, file_name, NULL);
  if (g_file_test (path, G_FILE_TEST_EXISTS))
    return g_steal_pointer (&path);

  const gchar *dot = strrchr (path, '.');
  gsize stem = dot && !strchr (dot, G_DIR_SEPARATOR) ? (gsize) (dot - path) : strlen (path);
  g_autofree gchar *png = g_strdup_printf ("%.*s.png", (int) stem, path);
  if (g_file_test (png, G_FILE_TEST_EXISTS)) {
    if (!*said)
      deim_tool_warn ("%s is not there, %s is taken for it, and so on", path, png);
    *said = TRUE;
    return g_steal_pointer (&png);
  }
  g_set_error (error, DEIM_ERROR, DEIM_ERROR_NOT_FOUND,
               "%s does not exist, but the annotations name it; give the pictures' folder with --images", path);
  return NULL;
}

static gboolean
take_result (gpointer item, GArray *detections, gpointer user_data, GError **error)
{
  Job *job = user_data;

  g_autoptr (GError) cause = NULL;
  if (!deim_validation_add (job->coco, GPOINTER_TO_UINT (item), detections, job->categories, job->threshold, job->found,
                            &cause)) {
    g_set_error (error, cause->domain, cause->code, "%s%s", cause->message, job->fp32 ? "" : "; try --precision fp32");
    return FALSE;
  }
  job->done++;
  deim_progress_update ("picture %u of %u", job->done, job->coco->images->len);
  return TRUE;
}

static gboolean
feed_picture (Job *job, DeimFeed *feed, guint index, const gchar *path, GError **error)
{
  const DeimCocoImage *image = &g_array_index (job->coco->images, DeimCocoImage, index);
  g_autoptr (DeimMedia) media = deim_media_open (path, error);
  g_autoptr (GstSample) sample = NULL;
  DeimPicture picture;

  if (!media || !deim_media_read (media, &sample, error) || !deim_picture_map (&picture, sample, error))
    return FALSE;
  const DeimFrame *frame = &picture.frame;
  gboolean ok = (!image->width || image->width == frame->width) && (!image->height || image->height == frame->height);
  if (!ok)
    g_set_error (
        error, DEIM_ERROR, DEIM_ERROR_FORMAT,
        "%s is %u pixels wide and %u high, the annotations say %u and %u; boxes would not fit, give the original "
        "picture",
        path, frame->width, frame->height, image->width, image->height);
  ok = ok && deim_feed_push (feed, frame, GUINT_TO_POINTER (index), error);
  deim_picture_unmap (&picture);
  return ok;
}

/* All pictures of the annotations through the model; a GArray of DeimCocoDetection. */
static GArray *
detect_all (const DeimCoco *coco, const gchar *folder, gdouble threshold, gboolean fp32, DeimDetector *detector,
            GError **error)
{
  g_autofree guint *categories = map_classes (coco, deim_detector_get_model (detector), error);
  if (!categories)
    return NULL;
  g_autoptr (GArray) found = g_array_new (FALSE, FALSE, sizeof (DeimCocoDetection));
  Job job = { .coco = coco, .categories = categories, .threshold = threshold, .found = found, .fp32 = fp32 };
  g_autoptr (DeimFeed) feed = deim_feed_new (detector, take_result, &job, NULL);
  gboolean said = FALSE;

  for (guint i = 0; i < coco->images->len; i++) {
    const gchar *name = g_array_index (coco->images, DeimCocoImage, i).file_name;
    g_autofree gchar *path = find_picture (folder, name, &said, error);
    if (!path || !feed_picture (&job, feed, i, path, error))
      return NULL;
  }
  if (!deim_feed_flush (feed, error))
    return NULL;
  deim_progress_clear ();
  return g_steal_pointer (&found);
}

static GArray *
evaluate_model (const EvalOptions *options, const DeimToolOptions *shared, const gchar *path, const DeimCoco *coco,
                GError **error)
{
  g_autoptr (DeimDetector) detector = NULL;

  if (deim_media_init (error))
    detector = deim_tool_open_detector (path, shared, &(DeimDetectorOptions){ 0 }, error);
  gboolean fp32 = shared->precision == DEIM_PRECISION_FP32;
  return detector ? detect_all (coco, options->images, options->threshold, fp32, detector, error) : NULL;
}

static GArray *
read_found (const EvalOptions *options, const DeimCoco *coco, GError **error)
{
  guint skipped = 0, kept = 0;
  GArray *found = deim_coco_read_detections (coco, options->from_detections, &skipped, error);

  if (!found)
    return NULL;
  if (skipped)
    deim_tool_warn ("%s: %u detections of categories that the annotations do not have were left out",
                    options->from_detections, skipped);
  for (guint i = 0; i < found->len; i++)
    if (g_array_index (found, DeimCocoDetection, i).score >= options->threshold)
      g_array_index (found, DeimCocoDetection, kept++) = g_array_index (found, DeimCocoDetection, i);
  g_array_set_size (found, kept);
  return found;
}

static void
print_result (const DeimCoco *coco, const GArray *found, gboolean json)
{
  DeimEvaluation evaluation;

  deim_evaluation_run (coco, found, &evaluation);
  if (!json) {
    g_autofree gchar *table = deim_evaluation_format (&evaluation);
    printf ("%u pictures, %u annotations, %u detections\n%s", coco->images->len, coco->objects->len, found->len, table);
    return;
  }
  g_autoptr (JsonBuilder) builder = json_builder_new ();
  json_builder_begin_object (builder);
  deim_json_add_int (builder, "images", coco->images->len);
  deim_json_add_int (builder, "annotations", coco->objects->len);
  deim_json_add_int (builder, "detections", found->len);
  for (guint i = 0; i < DEIM_EVALUATION_LAST; i++)
    deim_json_add_number (builder, deim_evaluation_key (i), evaluation.numbers[i]);
  json_builder_end_object (builder);
  g_autofree gchar *text = deim_json_builder_text (builder);
  puts (text);
}

static int
check_usage (const EvalOptions *options, gchar **arguments)
{
  gboolean with_model = arguments[0] != NULL;

  if (with_model == (options->from_detections != NULL))
    return deim_tool_misuse (with_model ? "a MODEL and --from-detections exclude each other; give one of them"
                                        : "MODEL missing; give a MODEL or --from-detections FILE");
  if (with_model && arguments[1])
    return deim_tool_misuse ("more than one model; give one MODEL");
  if (!options->annotations)
    return deim_tool_misuse ("--annotations instances.json missing");
  if (with_model && !options->images)
    return deim_tool_misuse ("--images DIR missing");
  return deim_tool_check_threshold (options->threshold);
}

static int
run (gchar **argv)
{
  g_auto (DeimToolOptions) shared = { 0 };
  g_auto (EvalOptions) options = { 0 };
  const GOptionEntry entries[] = {
    { "images", 0, 0, G_OPTION_ARG_FILENAME, &options.images, "Folder of the pictures", "DIR" },
    { "annotations", 0, 0, G_OPTION_ARG_FILENAME, &options.annotations, "Annotations in COCO format", "FILE" },
    { "detections", 0, 0, G_OPTION_ARG_FILENAME, &options.detections, "Write the detections in COCO format", "FILE" },
    { "from-detections", 0, 0, G_OPTION_ARG_FILENAME, &options.from_detections,
      "Take detections in COCO format instead of running a model", "FILE" },
    { "threshold", 't', 0, G_OPTION_ARG_DOUBLE, &options.threshold,
      "Leave out detections of a lower score (default: none are left out)", "T" },
    { "json", 0, 0, G_OPTION_ARG_NONE, &options.json, "Print the numbers as one line of JSON", NULL },
    { NULL },
  };
  g_auto (GStrv) arguments = NULL;
  g_autoptr (GError) error = NULL;

  if (!deim_tool_parse (&deim_tool_eval, entries, &shared, argv, &arguments))
    return DEIM_EXIT_USAGE;
  int status = check_usage (&options, arguments);
  if (status != DEIM_EXIT_OK)
    return status;

  g_autoptr (DeimCoco) coco = deim_coco_read (options.annotations, &error);
  g_autoptr (GArray) found = NULL;
  if (coco && options.from_detections)
    found = read_found (&options, coco, &error);
  else if (coco)
    found = evaluate_model (&options, &shared, arguments[0], coco, &error);
  if (!found || (options.detections && !deim_coco_write_detections (coco, found, options.detections, &error)))
    return deim_tool_fail ("%s", error->message);
  print_result (coco, found, options.json);
  return DEIM_EXIT_OK;
}

const DeimTool deim_tool_eval = {
  .name = "eval",
  .arguments = "MODEL --images DIR --annotations FILE",
  .summary = "Measure average precision on annotated pictures, as COCO does",
  .details = "The pictures are those that the annotations name. Class i of the model is the i-th smallest category\n"
             "id where their counts agree; else categories are found by name. All 300 detections of a picture are\n"
             "scored, of which at most 100 of a class count; AP is -1 where there is nothing to measure it on.\n\n"
             "Keys of --json: images, annotations, detections, AP, AP50, AP75, APs, APm, APl (area below 32 x 32,\n"
             "up to 96 x 96, above), AR1, AR10, AR100, ARs, ARm, ARl; all but the first three in 0..1.\n\n"
             "Examples:\n"
             "  deim eval n.pth --images val2017 --annotations instances_val2017.json\n"
             "  deim eval --from-detections found.json --annotations instances_val2017.json\n",
  .run = run,
};
