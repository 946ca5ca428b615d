/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-evaluation.c - the COCO format and the twelve numbers: by hand, against the original cocoeval, broken files. */
#include "trainer/evaluation.h"

#include "engine/deim.h"
#include <glib/gstdio.h>
#include <json-glib/json-glib.h>
#include <math.h>

static gchar *scratch; /* a folder of this run */

static gchar *
write_file (const gchar *name, const gchar *text)
{
  gchar *path = g_build_filename (scratch, name, NULL);
  g_autoptr (GError) error = NULL;
  g_file_set_contents (path, text, -1, &error);
  g_assert_no_error (error);
  return path;
}

static DeimCoco *
read_text (const gchar *text)
{
  g_autofree gchar *path = write_file ("annotations.json", text);
  g_autoptr (GError) error = NULL;
  DeimCoco *coco = deim_coco_read (path, &error);
  g_assert_no_error (error);
  return coco;
}

static void
assert_near (gdouble value, gdouble expected)
{
  if (fabs (value - expected) > 1e-12)
    g_error ("got %.15g, expected %.15g", value, expected);
}

static void
detect (GArray *detections, guint image, guint category, gdouble x, gdouble y, gdouble size, gdouble score)
{
  DeimCocoDetection found = { image, category, x, y, size, size, score };
  g_array_append_val (detections, found);
}

static DeimEvaluation
evaluate (const DeimCoco *coco, const GArray *detections)
{
  DeimEvaluation evaluation;
  deim_evaluation_run (coco, detections, &evaluation);
  return evaluation;
}

/* Two pictures with one 40 x 40 object each (medium), ids deliberately not in order, one unused category. */
static const gchar two_objects[] =
    "{\"images\": [{\"id\": 9, \"file_name\": \"b.jpg\"}, {\"id\": 4, \"file_name\": \"a.jpg\", \"width\": 640}],"
    " \"categories\": [{\"id\": 70, \"name\": \"toaster\"}, {\"id\": 2, \"name\": \"bicycle\"}],"
    " \"annotations\": [{\"id\": 1, \"image_id\": 4, \"category_id\": 70, \"bbox\": [10, 10, 40, 40]},"
    "  {\"id\": 2, \"image_id\": 9, \"category_id\": 70, \"bbox\": [100, 100, 40, 40], \"area\": 1200,"
    "   \"iscrowd\": 0}]}";

static void
test_reading (void)
{
  g_autoptr (DeimCoco) coco = read_text (two_objects);
  guint index = 99;

  g_assert_cmpuint (coco->images->len, ==, 2);
  g_assert_cmpstr (g_array_index (coco->images, DeimCocoImage, 0).file_name, ==, "a.jpg");
  g_assert_cmpuint (g_array_index (coco->images, DeimCocoImage, 0).width, ==, 640);
  g_assert_cmpuint (g_array_index (coco->images, DeimCocoImage, 1).width, ==, 0);
  g_assert_cmpstr (g_array_index (coco->categories, DeimCocoCategory, 0).name, ==, "bicycle");
  g_assert_cmpuint (g_array_index (coco->objects, DeimCocoObject, 0).image, ==, 0);
  g_assert_cmpuint (g_array_index (coco->objects, DeimCocoObject, 1).category, ==, 1);
  g_assert_cmpfloat (g_array_index (coco->objects, DeimCocoObject, 0).area, ==, 1600);
  g_assert_cmpfloat (g_array_index (coco->objects, DeimCocoObject, 1).area, ==, 1200);
  g_assert_true (deim_coco_find_image (coco, 9, &index));
  g_assert_cmpuint (index, ==, 1);
  g_assert_false (deim_coco_find_category (coco, 3, &index));
}

/* What is written reads back the same, texts with quotes and all. */
static void
test_writing (void)
{
  g_autoptr (DeimCoco) coco = read_text (two_objects), again = NULL;
  g_autofree gchar *path = g_build_filename (scratch, "written.json", NULL);
  g_autoptr (GError) error = NULL;
  DeimCocoCategory *category = &g_array_index (coco->categories, DeimCocoCategory, 0);
  DeimCocoObject *object = &g_array_index (coco->objects, DeimCocoObject, 1);

  g_free (category->name);
  category->name = g_strdup ("a \"b\\\" \302\265");
  object->x = 0.1255;
  object->crowd = TRUE;
  deim_coco_write (coco, path, &error);
  g_assert_no_error (error);
  again = deim_coco_read (path, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (again->images->len, ==, 2);
  g_assert_cmpstr (g_array_index (again->images, DeimCocoImage, 1).file_name, ==, "b.jpg");
  g_assert_cmpuint (g_array_index (again->images, DeimCocoImage, 0).width, ==, 0); /* no height beside it */
  g_assert_cmpstr (g_array_index (again->categories, DeimCocoCategory, 0).name, ==, category->name);
  const DeimCocoObject *read = &g_array_index (again->objects, DeimCocoObject, 1);
  assert_near (read->x, 0.126);
  g_assert_cmpfloat (read->area, ==, 1200);
  g_assert_true (read->crowd);
  g_assert_cmpint (read->id, ==, object->id);
  g_assert_cmpuint (read->image, ==, object->image);
  g_assert_cmpuint (read->category, ==, object->category);

  g_autofree gchar *nowhere = g_build_filename (scratch, "missing", "x.json", NULL);
  g_assert_false (deim_coco_write (coco, nowhere, &error));
  g_assert_error (error, DEIM_ERROR, DEIM_ERROR_WRITE);
}

static void
test_by_hand (void)
{
  g_autoptr (DeimCoco) coco = read_text (two_objects);
  g_autoptr (GArray) found = g_array_new (FALSE, FALSE, sizeof (DeimCocoDetection));
  DeimEvaluation result = evaluate (coco, found);

  /* Nothing found; no small and no large object. */
  assert_near (result.numbers[DEIM_EVALUATION_AP], 0);
  assert_near (result.numbers[DEIM_EVALUATION_AR100], 0);
  assert_near (result.numbers[DEIM_EVALUATION_AP_SMALL], -1);
  assert_near (result.numbers[DEIM_EVALUATION_AR_LARGE], -1);

  /* Right, wrong, right by score: precision 1 up to recall 1/2, then 2/3. */
  detect (found, 0, 1, 10, 10, 40, 0.9);
  detect (found, 0, 1, 300, 300, 40, 0.8);
  detect (found, 1, 1, 100, 100, 40, 0.7);
  result = evaluate (coco, found);
  assert_near (result.numbers[DEIM_EVALUATION_AP], (51 + 50 * 2.0 / 3) / 101);
  assert_near (result.numbers[DEIM_EVALUATION_AP_MEDIUM], (51 + 50 * 2.0 / 3) / 101);
  assert_near (result.numbers[DEIM_EVALUATION_AP_SMALL], -1);
  assert_near (result.numbers[DEIM_EVALUATION_AR1], 1);

  /* A second box on a found object is wrong; boxes of another category neither help nor hurt, for it has no object. */
  detect (found, 1, 1, 100, 104, 40, 0.75);
  detect (found, 1, 0, 100, 100, 40, 0.99);
  result = evaluate (coco, found);
  assert_near (result.numbers[DEIM_EVALUATION_AP50], (51 + 50 * 2.0 / 3) / 101);
  assert_near (result.numbers[DEIM_EVALUATION_AR100], 1);
  assert_near (result.numbers[DEIM_EVALUATION_AR1], 0.5 + 0.5 * 0.7); /* IoU 36/44 reaches seven of ten thresholds */
}

static void
test_thresholds_and_ranges (void)
{
  g_autoptr (DeimCoco) coco =
      read_text ("{\"images\": [{\"id\": 1, \"file_name\": \"a\"}], \"categories\": [{\"id\": 1}], \"annotations\": ["
                 "{\"id\": 1, \"image_id\": 1, \"category_id\": 1, \"bbox\": [0, 0, 100, 100]},"
                 "{\"id\": 2, \"image_id\": 1, \"category_id\": 1, \"bbox\": [200, 0, 20, 20], \"area\": 300}]}");
  g_autoptr (GArray) found = g_array_new (FALSE, FALSE, sizeof (DeimCocoDetection));

  /* 80 x 80 within 100 x 100: IoU 0.64 counts for the thresholds .50 .55 .60, three of ten. */
  detect (found, 0, 0, 0, 0, 80, 0.9);
  DeimEvaluation result = evaluate (coco, found);
  assert_near (result.numbers[DEIM_EVALUATION_AP_LARGE], 0.3);
  assert_near (result.numbers[DEIM_EVALUATION_AR_LARGE], 0.3);
  assert_near (result.numbers[DEIM_EVALUATION_AP_SMALL], 0);
  assert_near (result.numbers[DEIM_EVALUATION_AP50], 51 / 101.0);
  assert_near (result.numbers[DEIM_EVALUATION_AP75], 0);

  /* An unmatched medium box is no mistake among the small, but it is one among all. */
  detect (found, 0, 0, 200, 0, 20, 0.8);
  detect (found, 0, 0, 400, 0, 50, 0.95);
  result = evaluate (coco, found);
  assert_near (result.numbers[DEIM_EVALUATION_AP_SMALL], 1);
  assert_near (result.numbers[DEIM_EVALUATION_AP50], 2 / 3.0);
}

static void
test_crowd (void)
{
  g_autoptr (DeimCoco) coco =
      read_text ("{\"images\": [{\"id\": 1, \"file_name\": \"a\"}], \"categories\": [{\"id\": 1}], \"annotations\": ["
                 "{\"id\": 1, \"image_id\": 1, \"category_id\": 1, \"bbox\": [0, 0, 300, 300], \"iscrowd\": 1},"
                 "{\"id\": 2, \"image_id\": 1, \"category_id\": 1, \"bbox\": [10, 10, 50, 50]}]}");
  g_autoptr (GArray) found = g_array_new (FALSE, FALSE, sizeof (DeimCocoDetection));

  /* Many boxes inside a crowd are neither right nor wrong; the object inside it is still to be found. */
  for (guint i = 0; i < 20; i++)
    detect (found, 0, 0, 100 + i, 100, 40, 0.99);
  assert_near (evaluate (coco, found).numbers[DEIM_EVALUATION_AP], 0);
  detect (found, 0, 0, 10, 10, 50, 0.5);
  assert_near (evaluate (coco, found).numbers[DEIM_EVALUATION_AP], 1);
  assert_near (evaluate (coco, found).numbers[DEIM_EVALUATION_AR10], 0);
  assert_near (evaluate (coco, found).numbers[DEIM_EVALUATION_AR100], 1);
}

static void
test_limit (void)
{
  g_autoptr (DeimCoco) coco = read_text (two_objects);
  g_autoptr (GArray) found = g_array_new (FALSE, FALSE, sizeof (DeimCocoDetection));

  /* The 101st box of a picture is not looked at; of equal scores the earlier in the file counts as better. */
  for (guint i = 0; i < 100; i++)
    detect (found, 0, 1, 1000 + i, 1000, 40, 0.5);
  detect (found, 0, 1, 10, 10, 40, 0.5);
  assert_near (evaluate (coco, found).numbers[DEIM_EVALUATION_AR100], 0);
  g_array_index (found, DeimCocoDetection, 100).score = 0.6;
  assert_near (evaluate (coco, found).numbers[DEIM_EVALUATION_AR1], 0.5);
}

/* The original evaluation's figures for stored detections of two networks on 24 photos. */
static void
test_original (gconstpointer data)
{
  const gchar *network = data;
  const gchar *env = g_getenv ("DEIM_SHARED");
  g_autofree gchar *open = env ? g_build_filename (env, "real", "open", NULL)
                               : g_build_filename (DEIM_SOURCE_ROOT, "..", "shared", "real", "open", NULL);
  g_autofree gchar *truth_path = g_build_filename (open, "instances_open24.json", NULL);
  g_autofree gchar *name = g_strdup_printf ("detections_%s_open24.json", network);
  g_autofree gchar *found_path = g_build_filename (open, name, NULL);
  g_autofree gchar *numbers_path = g_build_filename (open, "ap_open24.json", NULL);
  g_autoptr (GError) error = NULL;
  guint skipped = 99;

  if (!g_file_test (truth_path, G_FILE_TEST_EXISTS)) {
    g_test_skip ("no shared folder: set DEIM_SHARED");
    return;
  }
  g_autoptr (DeimCoco) coco = deim_coco_read (truth_path, &error);
  g_assert_no_error (error);
  g_autoptr (GArray) found = deim_coco_read_detections (coco, found_path, &skipped, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (skipped, ==, 0);
  g_autoptr (JsonParser) parser = json_parser_new ();
  json_parser_load_from_file (parser, numbers_path, &error);
  g_assert_no_error (error);
  JsonObject *numbers = json_node_get_object (json_parser_get_root (parser));
  numbers = json_object_get_object_member (numbers, "open24");
  numbers = json_object_get_object_member (json_object_get_object_member (numbers, network), "cocoeval");

  DeimEvaluation result = evaluate (coco, found);
  for (guint i = 0; i < DEIM_EVALUATION_LAST; i++) {
    gdouble expected = json_object_get_double_member (numbers, deim_evaluation_key (i));
    g_test_message ("%s: %.7f, cocoeval %.6f", deim_evaluation_key (i), result.numbers[i], expected);
    g_assert_cmpfloat (fabs (result.numbers[i] - expected), <, 1e-6);
  }
}

static void
test_round_trip (void)
{
  g_autoptr (DeimCoco) coco = read_text (two_objects);
  g_autoptr (GArray) found = g_array_new (FALSE, FALSE, sizeof (DeimCocoDetection));
  g_autofree gchar *path = g_build_filename (scratch, "detections.json", NULL);
  g_autofree gchar *nowhere = g_build_filename (scratch, "missing", "detections.json", NULL);
  g_autoptr (GError) error = NULL;

  detect (found, 0, 1, -3.14159265, 1e-9, 123456.5, 0.123456789);
  detect (found, 1, 0, 10, 100, 0, 1);
  for (guint i = 0; i < found->len; i++)
    deim_coco_round_detection (&g_array_index (found, DeimCocoDetection, i));
  deim_coco_write_detections (coco, found, path, &error);
  g_assert_no_error (error);
  g_autoptr (GArray) again = deim_coco_read_detections (coco, path, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (again->len, ==, 2);
  for (guint i = 0; i < 2; i++) {
    const DeimCocoDetection *a = &g_array_index (found, DeimCocoDetection, i);
    const DeimCocoDetection *b = &g_array_index (again, DeimCocoDetection, i);
    g_assert_cmpuint (a->image, ==, b->image);
    g_assert_cmpuint (a->category, ==, b->category);
    g_assert_true (a->x == b->x && a->y == b->y && a->w == b->w && a->h == b->h && a->score == b->score);
  }
  g_assert_cmpfloat (g_array_index (again, DeimCocoDetection, 0).x, ==, -3.142);
  g_assert_false (deim_coco_write_detections (coco, found, nowhere, &error));
  g_assert_error (error, DEIM_ERROR, DEIM_ERROR_WRITE);
}

/* Annotation files with one fault each, and the words that the message must hold. */
#define HEAD "{\"images\": [{\"id\": 1, \"file_name\": \"a\"}], \"categories\": [{\"id\": 1}], \"annotations\": ["
static const struct {
  const gchar *text, *words;
} broken[] = {
  { "", "annotations.json" },
  { "{\"images\": [", "is not JSON" },
  { "[]", "is not an annotation file" },
  { "{}", "no list \"images\"" },
  { "{\"images\": 7, \"categories\": [], \"annotations\": []}", "no list \"images\"" },
  { "{\"images\": [], \"categories\": []}", "no list \"annotations\"" },
  { "{\"images\": [3], \"categories\": [], \"annotations\": []}", "images[0]: this entry must be an object" },
  { "{\"images\": [{\"id\": \"x\"}], \"categories\": [], \"annotations\": []}", "images[0]: \"id\"" },
  { "{\"images\": [{\"id\": 1}], \"categories\": [], \"annotations\": []}", "images[0]: \"file_name\"" },
  { "{\"images\": [{\"id\": 1, \"file_name\": \"a\", \"width\": -4}], \"categories\": [], \"annotations\": []}",
    "images[0]: \"width\"" },
  { "{\"images\": [{\"id\": 1, \"file_name\": \"a\"}, {\"id\": 1, \"file_name\": \"b\"}], \"categories\": [], "
    "\"annotations\": []}",
    "more than one entry with id 1" },
  { "{\"images\": [], \"categories\": [{\"id\": 1, \"name\": 5}], \"annotations\": []}", "categories[0]: \"name\"" },
  { HEAD "{\"id\": 1, \"category_id\": 1, \"bbox\": [0, 0, 1, 1]}]}", "annotations[0]: \"image_id\"" },
  { HEAD "{\"id\": 1, \"image_id\": 5, \"category_id\": 1, \"bbox\": [0, 0, 1, 1]}]}", "\"image_id\" 5 is not" },
  { HEAD "{\"id\": 1, \"image_id\": 1, \"category_id\": 8, \"bbox\": [0, 0, 1, 1]}]}", "\"category_id\" 8 is not" },
  { HEAD "{\"id\": 1, \"image_id\": 1, \"category_id\": 1, \"bbox\": [0, 0, 1]}]}", "four numbers" },
  { HEAD "{\"id\": 1, \"image_id\": 1, \"category_id\": 1, \"bbox\": [0, 0, 1, null]}]}", "\"bbox\"[3]" },
  { HEAD "{\"id\": 1, \"image_id\": 1, \"category_id\": 1, \"bbox\": [0, 0, 1e999, 1]}]}", "\"bbox\"[2]" },
  { HEAD "{\"id\": 1, \"image_id\": 1, \"category_id\": 1, \"bbox\": [50, 50, -10, 1]}]}", "negative size" },
  { HEAD "{\"id\": 1, \"image_id\": 1, \"category_id\": 1, \"bbox\": [0, 0, 1, 1], \"area\": \"big\"}]}", "\"area\"" },
  { HEAD "{\"id\": 1, \"image_id\": 1, \"category_id\": 1, \"bbox\": [0, 0, 1, 1], \"iscrowd\": 2}]}", "\"iscrowd\"" },
  { HEAD "{\"id\": 1.5, \"image_id\": 1, \"category_id\": 1, \"bbox\": [0, 0, 1, 1]}]}", "\"id\"" },
};

static void
test_broken (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (broken); i++) {
    g_autofree gchar *path = write_file ("annotations.json", broken[i].text);
    g_autoptr (GError) error = NULL;
    g_autoptr (DeimCoco) coco = deim_coco_read (path, &error);

    g_assert_null (coco);
    g_assert_error (error, DEIM_ERROR, DEIM_ERROR_FORMAT);
    if (!g_strrstr (error->message, broken[i].words) || !g_strrstr (error->message, path))
      g_error ("case %u: \"%s\" does not say \"%s\"", i, error->message, broken[i].words);
  }
}

static void
test_broken_detections (void)
{
  static const struct {
    const gchar *text, *words;
  } cases[] = {
    { "{}", "is not a detections file" },
    { "[{\"image_id\": 3, \"category_id\": 70, \"bbox\": [0, 0, 1, 1], \"score\": 1}]",
      "detections[0]: \"image_id\" 3" },
    { "[{\"image_id\": 4, \"category_id\": 70, \"bbox\": [0, 0, 1, 1]}]", "\"score\"" },
    { "[{\"image_id\": 4, \"category_id\": 70, \"bbox\": {}, \"score\": 1}]", "\"bbox\"" },
  };
  g_autoptr (DeimCoco) coco = read_text (two_objects);
  g_autoptr (GError) missing = NULL;
  guint skipped = 0;

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree gchar *path = write_file ("detections.json", cases[i].text);
    g_autoptr (GError) error = NULL;
    g_assert_null (deim_coco_read_detections (coco, path, &skipped, &error));
    g_assert_error (error, DEIM_ERROR, DEIM_ERROR_FORMAT);
    g_assert_nonnull (g_strrstr (error->message, cases[i].words));
  }
  g_autofree gchar *unknown =
      write_file ("detections.json", "[{\"image_id\": 4, \"category_id\": 71, \"bbox\": [0, 0, 1, 1], \"score\": 1}]");
  g_autoptr (GArray) found = deim_coco_read_detections (coco, unknown, &skipped, &missing);
  g_assert_no_error (missing);
  g_assert_cmpuint (found->len, ==, 0);
  g_assert_cmpuint (skipped, ==, 1);
  g_assert_null (deim_coco_read (scratch, &missing));
  g_assert_error (missing, DEIM_ERROR, DEIM_ERROR_READ);
  g_clear_error (&missing);
  g_unlink (unknown);
  g_assert_null (deim_coco_read (unknown, &missing));
  g_assert_error (missing, DEIM_ERROR, DEIM_ERROR_NOT_FOUND);
}

static void
test_format (void)
{
  DeimEvaluation evaluation = { { 0 } };
  evaluation.numbers[DEIM_EVALUATION_AP] = 0.2121;
  evaluation.numbers[DEIM_EVALUATION_AR_LARGE] = -1;
  g_autofree gchar *text = deim_evaluation_format (&evaluation);
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);

  g_assert_cmpuint (g_strv_length (lines), ==, 13);
  g_assert_cmpstr (lines[0], ==, " Average Precision  (AP) @[ IoU=0.50:0.95 | area=   all | maxDets=100 ] = 0.212");
  g_assert_cmpstr (lines[6], ==, " Average Recall     (AR) @[ IoU=0.50:0.95 | area=   all | maxDets=  1 ] = 0.000");
  g_assert_cmpstr (lines[11], ==, " Average Recall     (AR) @[ IoU=0.50:0.95 | area= large | maxDets=100 ] = -1.000");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  scratch = g_dir_make_tmp ("deim-evaluation-XXXXXX", NULL);
  g_assert_nonnull (scratch);
  g_test_add_func ("/coco/reading", test_reading);
  g_test_add_func ("/coco/writing", test_writing);
  g_test_add_func ("/coco/round-trip", test_round_trip);
  g_test_add_func ("/coco/broken", test_broken);
  g_test_add_func ("/coco/broken-detections", test_broken_detections);
  g_test_add_func ("/evaluation/by-hand", test_by_hand);
  g_test_add_func ("/evaluation/thresholds-and-ranges", test_thresholds_and_ranges);
  g_test_add_func ("/evaluation/crowd", test_crowd);
  g_test_add_func ("/evaluation/limit", test_limit);
  g_test_add_func ("/evaluation/format", test_format);
  g_test_add_data_func ("/evaluation/original-atto", "atto", test_original);
  g_test_add_data_func ("/evaluation/original-femto", "femto", test_original);
  int status = g_test_run ();

  g_autofree gchar *annotations = g_build_filename (scratch, "annotations.json", NULL);
  g_autofree gchar *detections = g_build_filename (scratch, "detections.json", NULL);
  g_unlink (annotations);
  g_unlink (detections);
  g_rmdir (scratch);
  g_free (scratch);
  return status;
}
