/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-dataset.c - folders of pictures and annotations: what is found, what is refused and how, what is loaded. */
#include "process.h"
#include "trainer/dataset.h"
#include "trainer/recipe.h"

#include "engine/deim.h"
#include <glib/gstdio.h>
#include <string.h>

static gchar *scratch; /* a folder of this run */

static gchar *
path_of (const gchar *name)
{
  return g_build_filename (scratch, name, NULL);
}

static void
write_text (const gchar *name, const gchar *text)
{
  g_autofree gchar *path = path_of (name), *folder = g_path_get_dirname (path);
  g_autoptr (GError) error = NULL;
  g_assert_cmpint (g_mkdir_with_parents (folder, 0777), ==, 0);
  g_file_set_contents (path, text, -1, &error);
  g_assert_no_error (error);
}

/* Every pixel of its own value. */
static void
write_picture (const gchar *name, guint width, guint height)
{
  g_autofree gchar *path = path_of (name), *folder = g_path_get_dirname (path);
  g_autoptr (DeimImage) image = deim_image_new (width, height);
  g_autoptr (GError) error = NULL;
  for (guint i = 0; i < width * height * 3; i++)
    image->pixels[i] = (guint8) (i * 7 + 1);
  g_assert_cmpint (g_mkdir_with_parents (folder, 0777), ==, 0);
  g_assert_true (deim_image_write_png (image, path, &error));
}

#define CATEGORIES "\"categories\": [{\"id\": 3, \"name\": \"cat\"}, {\"id\": 1, \"name\": \"dog\"}]"
#define TWO_IMAGES                                                                                                     \
  "\"images\": [{\"id\": 2, \"file_name\": \"b.png\", \"width\": 8, \"height\": 6}, "                                  \
  "{\"id\": 1, \"file_name\": \"a.png\"}]"

static const gchar good[] =
    "{" TWO_IMAGES ", " CATEGORIES ", \"annotations\": ["
    "{\"id\": 1, \"image_id\": 2, \"category_id\": 3, \"bbox\": [1, 2, 3, 4], \"area\": 7},"
    "{\"id\": 2, \"image_id\": 2, \"category_id\": 1, \"bbox\": [-2, 1, 5, 50]},"
    "{\"id\": 3, \"image_id\": 1, \"category_id\": 1, \"bbox\": [0, 0, 2, 0]},"
    "{\"id\": 4, \"image_id\": 1, \"category_id\": 1, \"bbox\": [0, 0, 9, 9], \"iscrowd\": 1}]}";

/* --------------------------------------------------------------- finding */

static void
check_found (const gchar *folder, DeimDatasetUse use, const gchar *annotations, const gchar *images)
{
  g_autofree gchar *path = path_of (folder), *file = g_build_filename (path, annotations, NULL);
  g_autofree gchar *pictures = *images ? g_build_filename (path, images, NULL) : g_strdup (path);
  g_autoptr (GError) error = NULL;
  g_autoptr (DeimDataset) dataset = deim_dataset_open (path, use, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (dataset->annotations, ==, file);
  g_assert_cmpstr (dataset->images, ==, pictures);
}

static void
test_layouts (void)
{
  write_text ("coco/annotations/instances_train2017.json", good);
  write_text ("coco/annotations/instances_val2017.json", good);
  write_text ("coco/train2017/x", "");
  write_text ("coco/images/val2017/x", "");
  check_found ("coco", DEIM_DATASET_TRAINING, "annotations/instances_train2017.json", "train2017");
  check_found ("coco", DEIM_DATASET_VALIDATION, "annotations/instances_val2017.json", "images/val2017");

  write_text ("exported/train/_annotations.coco.json", good);
  write_text ("exported/valid/_annotations.coco.json", good);
  check_found ("exported", DEIM_DATASET_TRAINING, "train/_annotations.coco.json", "train");
  check_found ("exported", DEIM_DATASET_VALIDATION, "valid/_annotations.coco.json", "valid");

  write_text ("made/train/annotations.json", good);
  write_text ("made/train/images/x", "");
  write_text ("made/val/annotations.json", good);
  check_found ("made", DEIM_DATASET_TRAINING, "train/annotations.json", "train/images");
  check_found ("made", DEIM_DATASET_VALIDATION, "val/annotations.json", "val");

  write_text ("single/annotations.json", good);
  check_found ("single", DEIM_DATASET_TRAINING, "annotations.json", "");
  check_found ("single", DEIM_DATASET_VALIDATION, "annotations.json", "");
}

static void
check_refused (DeimDataset *dataset, GError *error, gint code, const gchar *pattern)
{
  g_assert_null (dataset);
  g_assert_error (error, DEIM_ERROR, code);
  if (!g_pattern_match_simple (pattern, error->message))
    g_error ("\"%s\" does not match \"%s\"", error->message, pattern);
}

static void
test_not_found (void)
{
  g_autoptr (GError) error = NULL, missing = NULL;
  write_text ("nothing/x", "");
  g_autofree gchar *empty = path_of ("nothing"), *nowhere = path_of ("nowhere");

  DeimDataset *dataset = deim_dataset_open (empty, DEIM_DATASET_TRAINING, &error);
  check_refused (dataset, error, DEIM_ERROR_NOT_FOUND, "*nothing holds no annotations*in train/annotations.json*");
  dataset = deim_dataset_open (nowhere, DEIM_DATASET_TRAINING, &missing);
  check_refused (dataset, missing, DEIM_ERROR_NOT_FOUND, "*nowhere is no folder*");
}

/* -------------------------------------------------------------- refusing */

static void
check_broken (const gchar *annotations, const gchar *pattern)
{
  g_autofree gchar *text = g_strdup_printf ("{" TWO_IMAGES ", " CATEGORIES ", \"annotations\": [%s]}", annotations);
  g_autofree gchar *folder = path_of ("broken");
  g_autoptr (GError) error = NULL;

  write_text ("broken/annotations.json", text);
  DeimDataset *dataset = deim_dataset_open (folder, DEIM_DATASET_TRAINING, &error);
  check_refused (dataset, error, DEIM_ERROR_FORMAT, pattern);
}

static void
test_broken (void)
{
  static const gchar fine[] = "{\"id\": 1, \"image_id\": 2, \"category_id\": 3, \"bbox\": [1, 2, 3, 4]}";
  g_autofree gchar *outside =
      g_strconcat (fine, ", {\"id\": 77, \"image_id\": 2, \"category_id\": 3, \"bbox\": [8, 0, 3, 4]}", NULL);
  check_broken (outside, "*broken/annotations.json: annotations?1? (id 77, of b.png): \"bbox\" 8, 0, 3, 4 lies "
                         "outside its picture, 8 pixels wide and 6 high*");
  g_autofree gchar *above =
      g_strconcat (fine, ", {\"id\": 78, \"image_id\": 2, \"category_id\": 3, \"bbox\": [1, -4, 3, 4]}", NULL);
  check_broken (above, "*annotations?1? (id 78*");
  check_broken ("{\"id\": 1, \"image_id\": 9, \"category_id\": 3, \"bbox\": [1, 2, 3, 4]}",
                "*annotations.json: annotations?0?: \"image_id\" 9 is not among*");
  check_broken ("{\"id\": 1, \"image_id\": 2, \"category_id\": 4, \"bbox\": [1, 2, 3, 4]}",
                "*annotations?0?: \"category_id\" 4*");
  check_broken ("{\"id\": 1, \"image_id\": 2, \"category_id\": 3, \"bbox\": [1, 2, -3, 4]}",
                "*annotations?0?: \"bbox\" has a negative size*");
  check_broken ("{\"id\": 1, \"image_id\": 2, \"category_id\": 3, \"bbox\": [1, 2, 3]}",
                "*annotations?0?: \"bbox\" must be*");

  g_autofree gchar *folder = path_of ("unlabelled");
  g_autoptr (GError) error = NULL;
  write_text ("unlabelled/annotations.json",
              "{\"images\": [{\"id\": 1, \"file_name\": \"a.png\"}], \"categories\": [], \"annotations\": []}");
  DeimDataset *dataset = deim_dataset_open (folder, DEIM_DATASET_TRAINING, &error);
  check_refused (dataset, error, DEIM_ERROR_FORMAT, "*the list \"categories\" is empty*");
}

/* --------------------------------------------------------------- loading */

static gboolean
skip_without_pixbuf (void)
{
  if (!deim_image_can_read ())
    g_test_skip ("built without gdk-pixbuf");
  return !deim_image_can_read ();
}

static void
test_load (void)
{
  if (skip_without_pixbuf ())
    return;
  write_text ("good/annotations.json", good);
  write_picture ("good/a.png", 5, 4);
  write_picture ("good/b.png", 8, 6);
  g_autofree gchar *folder = path_of ("good");
  g_autoptr (GError) error = NULL;
  g_autoptr (DeimDataset) dataset = deim_dataset_open (folder, DEIM_DATASET_TRAINING, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (deim_dataset_n_pictures (dataset), ==, 2);
  g_assert_cmpuint (deim_dataset_n_classes (dataset), ==, 2);
  g_assert_cmpuint (dataset->n_empty, ==, 1);
  g_assert_cmpuint (dataset->n_crowd, ==, 1);

  g_autoptr (DeimSample) a = deim_dataset_load (dataset, 0, &error), b = deim_dataset_load (dataset, 1, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (a->objects->len, ==, 0);
  g_assert_cmpuint (a->image->width, ==, 5);
  g_assert_cmpuint (a->image->height, ==, 4);
  for (guint i = 0; i < 60; i++)
    g_assert_cmpuint (a->image->pixels[i], ==, (guint8) (i * 7 + 1));
  g_assert_cmpuint (b->objects->len, ==, 2);
  const DeimObject *cat = deim_sample_object (b, 0), *dog = deim_sample_object (b, 1);
  g_assert_cmpuint (cat->label, ==, 1); /* categories in the order of their ids */
  g_assert_cmpfloat (cat->x2, ==, 4);
  g_assert_cmpfloat (cat->area, ==, 7);
  g_assert_cmpuint (dog->label, ==, 0);
  g_assert_cmpfloat (dog->x1, ==, 0); /* cut at the edge */
  g_assert_cmpfloat (dog->x2, ==, 3);
  g_assert_cmpfloat (dog->y2, ==, 6);
}

static void
check_load_refused (const gchar *pattern)
{
  g_autofree gchar *folder = path_of ("bad");
  g_autoptr (GError) error = NULL;
  g_autoptr (DeimDataset) dataset = deim_dataset_open (folder, DEIM_DATASET_TRAINING, &error);
  g_assert_no_error (error);
  g_assert_null (deim_dataset_load (dataset, 0, &error));
  if (!g_pattern_match_simple (pattern, error->message))
    g_error ("\"%s\" does not match \"%s\"", error->message, pattern);
}

static void
test_load_refused (void)
{
  if (skip_without_pixbuf ())
    return;
  write_text ("bad/annotations.json",
              "{\"images\": [{\"id\": 5, \"file_name\": \"a.png\", \"width\": 8, \"height\": 6}], " CATEGORIES
              ", \"annotations\": []}");
  check_load_refused ("*bad/annotations.json names a picture that cannot be used: *bad/a.png does not exist*");
  write_text ("bad/a.png", "no picture at all");
  check_load_refused ("*annotations.json names*a.png is no picture that can be decoded*");
  write_picture ("bad/a.png", 8, 7);
  check_load_refused (
      "*annotations.json: the image with id 5 is said to be 8 pixels wide and 6 high, but *a.png is 8 and 7*");

  /* A box outside a picture whose size the annotations do not say. */
  write_text ("bad/annotations.json",
              "{\"images\": [{\"id\": 5, \"file_name\": \"a.png\"}], " CATEGORIES ", \"annotations\": ["
              "{\"id\": 9, \"image_id\": 5, \"category_id\": 3, \"bbox\": [9, 2, 3, 4]}]}");
  check_load_refused (
      "*annotations?0? (id 9, of a.png): \"bbox\" 9, 2, 3, 4 lies outside its picture, 8 pixels wide and 7 high*");

  /* A picture that breaks off. */
  g_autofree gchar *path = path_of ("bad/a.png"), *bytes = NULL;
  gsize size;
  g_assert_true (g_file_get_contents (path, &bytes, &size, NULL));
  g_assert_true (g_file_set_contents (path, bytes, (gssize) size / 2, NULL));
  check_load_refused ("*annotations.json names*a.png*");
}

/* -------------------------------------------------------------- recipes */

static void
test_recipes (void)
{
  DeimRecipe n = deim_recipe_find ("deimv2_n"), atto = deim_recipe_find ("deimv2_atto");
  DeimRecipe other = deim_recipe_find ("rtdetr_dla34"), large = deim_recipe_find ("deim_dfine_l");

  g_assert_cmpuint (n.epochs, ==, 160);
  g_assert_cmpuint (n.augment.half, ==, 78);
  g_assert_cmpfloat (atto.augment.mosaic, ==, 0.3);
  g_assert_cmpfloat (atto.augment.mixup, ==, 0);
  g_assert_false (atto.local);
  g_assert_cmpuint (large.augment.half, ==, 29);
  g_assert_cmpstr (other.arch, ==, "");

  DeimRecipe half = deim_recipe_scale (&n, 80), same = deim_recipe_scale (&n, 160), one = deim_recipe_scale (&atto, 1);
  g_assert_cmpuint (half.augment.start, ==, 2);
  g_assert_cmpuint (half.augment.half, ==, 39);
  g_assert_cmpuint (half.augment.stop, ==, 74);
  g_assert_cmpuint (half.matcher_epoch, ==, 68);
  g_assert_cmpuint (same.augment.stop, ==, 148);
  g_assert_cmpuint (one.augment.start, ==, 0);
  g_assert_cmpuint (one.augment.stop, ==, 1);
  g_assert_cmpuint (one.epochs, ==, 1);
}

static void
test_recipe_changes (void)
{
  DeimRecipe n = deim_recipe_find ("deimv2_n"), atto = deim_recipe_find ("deimv2_atto");
  DeimRecipe small = deim_recipe_find ("deimv2_s");
  DeimRecipeChanges changes = { .mosaic = -1, .mixup = -1, .lr_end = -1, .scale = 0.5 };

  g_assert_cmpuint (small.augment.multi_scale, >, 0);
  DeimRecipe adapted = deim_recipe_adapt (&small, &changes);
  g_assert_cmpuint (adapted.augment.multi_scale, ==, 0);
  g_assert_cmpfloat (adapted.augment.mosaic, ==, small.augment.mosaic);
  g_assert_cmpuint (adapted.epochs, ==, small.epochs);
  adapted = deim_recipe_adapt (&atto, &changes);
  g_assert_cmpfloat (adapted.augment.min_size, ==, 6);
  g_assert_cmpfloat (adapted.lr_gamma, ==, 0.5);

  /* flips alone keep all objects; mosaic makes them smaller */
  changes.light = TRUE;
  adapted = deim_recipe_adapt (&atto, &changes);
  g_assert_cmpfloat (adapted.augment.min_size, ==, 1);
  g_assert_cmpfloat (adapted.augment.mosaic, ==, 0);
  g_assert_cmpuint (adapted.augment.stop, ==, adapted.augment.start);
  changes.mosaic = 0.25;
  adapted = deim_recipe_adapt (&atto, &changes);
  g_assert_cmpfloat (adapted.augment.min_size, ==, 6);
  g_assert_cmpfloat (adapted.augment.mosaic, ==, 0.25);

  /* a rate that never falls does where it is told to */
  changes = (DeimRecipeChanges){ .epochs = 20, .mosaic = -1, .mixup = -1, .lr_end = 0.1, .scale = 1 };
  g_assert_cmpuint (n.flat_epoch, ==, n.epochs);
  adapted = deim_recipe_adapt (&n, &changes);
  g_assert_cmpuint (adapted.flat_epoch, ==, 10);
  g_assert_cmpfloat (adapted.lr_gamma, ==, 0.1);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  scratch = g_dir_make_tmp ("deim-dataset-XXXXXX", NULL);
  g_test_add_func ("/dataset/layouts", test_layouts);
  g_test_add_func ("/dataset/not-found", test_not_found);
  g_test_add_func ("/dataset/broken", test_broken);
  g_test_add_func ("/dataset/load", test_load);
  g_test_add_func ("/dataset/load-refused", test_load_refused);
  g_test_add_func ("/recipe/table", test_recipes);
  g_test_add_func ("/recipe/changes", test_recipe_changes);
  int status = g_test_run ();
  remove_tree (scratch);
  g_free (scratch);
  return status;
}
