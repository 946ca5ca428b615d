/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-synth.c - made-up pictures: shapes and their boxes, what the splits promise, and the folder that is written. */
#include "process.h"
#include "trainer/dataset.h"
#include "trainer/synth-paint.h"
#include "trainer/synth.h"

#include "engine/deim.h"
#include <math.h>
#include <string.h>

/* The extent of half-covered pixels, and their number. */
static guint
measure (const DeimMask *mask, gdouble box[4])
{
  guint n = 0;
  for (guint y = 0; y < mask->height; y++)
    for (guint x = 0; x < mask->width; x++)
      if (mask->cover[y * mask->width + x] >= 128) {
        gdouble at[] = { mask->x + (gdouble) x, mask->y + (gdouble) y };
        for (guint k = 0; k < 2; k++) {
          box[k] = n ? MIN (box[k], at[k]) : at[k];
          box[2 + k] = n ? MAX (box[2 + k], at[k] + 1) : at[k] + 1;
        }
        n++;
      }
  return n;
}

/* Areas by geometry, in squared radii; extents of the upright shape. */
static void
test_shapes (void)
{
  static const gdouble areas[DEIM_SYNTH_CLASSES] = {
    G_PI, 1.44 * 1.44, 1.299, 10 * 0.5 * 0.42 * 0.587785, 4 * 0.28 * 0.95 * 2 - 4 * 0.28 * 0.28, G_PI * (1 - 0.3025),
  };
  static const gdouble extents[DEIM_SYNTH_CLASSES][4] = {
    { -1, -1, 1, 1 },
    { -0.72, -0.72, 0.72, 0.72 },
    { -0.866, -1, 0.866, 0.5 },
    { -0.951, -1, 0.951, 0.809 },
    { -0.95, -0.95, 0.95, 0.95 },
    { -1, -1, 1, 1 },
  };

  for (guint label = 0; label < DEIM_SYNTH_CLASSES; label++) {
    DeimMask mask;
    gdouble box[4];
    deim_mask_shape (&mask, label, 60, 50, 40, 1, 0);
    g_assert_cmpfloat_with_epsilon (measure (&mask, box) / 1600.0, areas[label], 0.03 * areas[label]);
    for (guint k = 0; k < 4; k++)
      g_assert_cmpfloat_with_epsilon (box[k], (k % 2 ? 50 : 60) + 40 * extents[label][k], 2.5); /* points are blunt */
    deim_mask_finish (&mask);
    /* Turned and stretched it is as large, and stands at the same place. */
    deim_mask_shape (&mask, label, 60, 50, 40, 1.2, 0.7);
    g_assert_cmpfloat_with_epsilon (measure (&mask, box) / 1600.0, areas[label], 0.03 * areas[label]);
    deim_mask_finish (&mask);
  }
}

/* A stretched disc fills pi / 4 of its box, turned ones a little less; a box that does not fit shows here. */
static void
test_tight_boxes (void)
{
  guint discs = 0, squares = 0;

  for (guint i = 0; i < 400; i++) {
    g_autoptr (DeimSample) sample = deim_synth_scene (DEIM_SYNTH_SPARSE, 96, 96, 5, i);
    if (sample->objects->len != 1)
      continue;
    const DeimObject *o = deim_sample_object (sample, 0);
    gdouble w = o->x2 - o->x1, h = o->y2 - o->y1, filled = o->area / (w * h);
    if (o->x1 <= 0 || o->y1 <= 0 || o->x2 >= 96 || o->y2 >= 96 || MIN (w, h) < 12)
      continue;
    if (o->label == 0) {
      g_assert_cmpfloat (filled, >, 0.68);
      g_assert_cmpfloat (filled, <, 0.82);
      discs++;
    } else if (o->label == 1) {
      g_assert_cmpfloat (filled, >, 0.44);
      squares++;
    }
  }
  g_assert_cmpuint (discs, >, 5);
  g_assert_cmpuint (squares, >, 5);
}

static void
test_splits (void)
{
  const guint least[] = { 1, 1, 10 }, most[] = { 12, 3, 40 };

  for (guint split = 0; split < DEIM_SYNTH_LAST; split++) {
    guint classes[DEIM_SYNTH_CLASSES] = { 0 }, objects = 0, small = 0, fewest = 99, fullest = 0;
    for (guint i = 0; i < 120; i++) {
      g_autoptr (DeimSample) sample = deim_synth_scene (split, 160, 120, 9, i);
      g_assert_cmpuint (sample->image->width, ==, 160);
      g_assert_cmpuint (sample->image->height, ==, 120);
      fewest = MIN (fewest, sample->objects->len);
      fullest = MAX (fullest, sample->objects->len);
      for (guint k = 0; k < sample->objects->len; k++) {
        const DeimObject *o = deim_sample_object (sample, k);
        g_assert_true (o->x1 >= 0 && o->y1 >= 0 && o->x2 <= 160 && o->y2 <= 120 && o->x1 < o->x2 && o->y1 < o->y2);
        g_assert_true (o->x1 == floor (o->x1) && o->y2 == floor (o->y2));
        g_assert_cmpfloat (o->area, <=, (o->x2 - o->x1) * (o->y2 - o->y1));
        g_assert_cmpfloat (o->area, >=, 2);
        classes[o->label]++;
        objects++;
        small += o->area < 100;
      }
    }
    /* A hard picture may be full before it has all it was to have. */
    g_assert_cmpuint (fewest, >=, split == DEIM_SYNTH_HARD ? 5 : least[split]);
    g_assert_cmpuint (fullest, <=, most[split]);
    g_assert_cmpuint (fullest, >, most[split] * 3 / 4);
    for (guint c = 0; c < DEIM_SYNTH_CLASSES; c++)
      g_assert_cmpfloat_with_epsilon (classes[c] / (gdouble) objects, 1.0 / 6, 5 * sqrt (5.0 / 36 / objects));
    if (split == DEIM_SYNTH_HARD)
      g_assert_cmpfloat (small / (gdouble) objects, >, 0.3);
  }
}

/* A picture depends on seed and number alone. */
static void
test_seeds (void)
{
  g_autoptr (DeimSample) a = deim_synth_scene (DEIM_SYNTH_DEFAULT, 64, 64, 1, 7);
  g_autoptr (DeimSample) b = deim_synth_scene (DEIM_SYNTH_DEFAULT, 64, 64, 1, 7);
  g_autoptr (DeimSample) other = deim_synth_scene (DEIM_SYNTH_DEFAULT, 64, 64, 2, 7);
  g_autoptr (DeimSample) next = deim_synth_scene (DEIM_SYNTH_DEFAULT, 64, 64, 1, 8);
  const gsize size = 64 * 64 * 3;

  g_assert_cmpmem (a->image->pixels, size, b->image->pixels, size);
  g_assert_true (memcmp (a->image->pixels, other->image->pixels, size) != 0);
  g_assert_true (memcmp (a->image->pixels, next->image->pixels, size) != 0);
}

static void
test_names (void)
{
  DeimSynthSplit split = DEIM_SYNTH_DEFAULT;
  g_assert_true (deim_synth_split_from_name ("hard", &split));
  g_assert_cmpint (split, ==, DEIM_SYNTH_HARD);
  g_assert_false (deim_synth_split_from_name ("harder", &split));
  g_assert_cmpstr (deim_synth_split_name (DEIM_SYNTH_SPARSE), ==, "sparse");
  g_assert_cmpstr (deim_synth_class_name (3), ==, "star");
}

static void
test_write (void)
{
  g_autofree gchar *scratch = g_dir_make_tmp ("deim-synth-XXXXXX", NULL);
  g_autofree gchar *folder = g_build_filename (scratch, "a", "b", NULL);
  const DeimSynthOptions options = { .count = 5, .width = 64, .height = 48, .seed = 3, .threads = 3 };
  g_autoptr (GError) error = NULL;

  deim_synth_write (folder, &options, &error);
  g_assert_no_error (error);
  g_autoptr (DeimDataset) dataset = deim_dataset_open (folder, DEIM_DATASET_TRAINING, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (deim_dataset_n_pictures (dataset), ==, 5);
  g_assert_cmpuint (deim_dataset_n_classes (dataset), ==, DEIM_SYNTH_CLASSES);
  for (guint i = 0; i < 5 && deim_image_can_read (); i++) {
    g_autoptr (DeimSample) read = deim_dataset_load (dataset, i, &error);
    g_assert_no_error (error);
    g_autoptr (DeimSample) made = deim_synth_scene (DEIM_SYNTH_DEFAULT, 64, 48, 3, i);
    g_assert_cmpmem (read->image->pixels, 64 * 48 * 3, made->image->pixels, 64 * 48 * 3);
    g_assert_cmpuint (read->objects->len, ==, made->objects->len);
    for (guint k = 0; k < made->objects->len; k++) {
      const DeimObject *a = deim_sample_object (read, k), *b = deim_sample_object (made, k);
      g_assert_true (a->x1 == b->x1 && a->y1 == b->y1 && a->x2 == b->x2 && a->y2 == b->y2 && a->label == b->label);
      g_assert_cmpfloat (a->area, ==, b->area);
    }
  }
  g_assert_false (deim_synth_write (folder, &options, &error));
  g_assert_error (error, DEIM_ERROR, DEIM_ERROR_SETTINGS);

  /* A file where the folder of pictures should be. */
  g_autofree gchar *blocked = g_build_filename (folder, "annotations.json", NULL);
  g_autoptr (GError) second = NULL;
  g_assert_false (deim_synth_write (blocked, &options, &second));
  g_assert_error (second, DEIM_ERROR, DEIM_ERROR_WRITE);
  remove_tree (scratch);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/synth/shapes", test_shapes);
  g_test_add_func ("/synth/tight-boxes", test_tight_boxes);
  g_test_add_func ("/synth/splits", test_splits);
  g_test_add_func ("/synth/seeds", test_seeds);
  g_test_add_func ("/synth/names", test_names);
  g_test_add_func ("/synth/write", test_write);
  return g_test_run ();
}
