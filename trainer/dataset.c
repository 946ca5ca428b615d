/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* dataset.c - finding a data set's files, checking its annotations, loading its pictures. */
#include "dataset.h"

#include <deim.h>
#include <string.h>

/* ------------------------------------------------------------------ finding */

static gboolean
take_if_there (gchar *annotations, gchar *images, gchar **ret_annotations, gchar **ret_images)
{
  if (g_file_test (annotations, G_FILE_TEST_IS_REGULAR) && g_file_test (images, G_FILE_TEST_IS_DIR)) {
    *ret_annotations = annotations;
    *ret_images = images;
    return TRUE;
  }
  g_free (annotations);
  g_free (images);
  return FALSE;
}

/* A folder that holds one set. */
static gboolean
find_one (const gchar *folder, gchar **ret_annotations, gchar **ret_images)
{
  static const gchar *const files[] = { "annotations.json", "_annotations.coco.json" };

  for (guint i = 0; i < G_N_ELEMENTS (files); i++)
    if (take_if_there (g_build_filename (folder, files[i], NULL), g_build_filename (folder, "images", NULL),
                       ret_annotations, ret_images) ||
        take_if_there (g_build_filename (folder, files[i], NULL), g_strdup (folder), ret_annotations, ret_images))
      return TRUE;
  return FALSE;
}

static gboolean
find_named (const gchar *folder, const gchar *name, gchar **ret_annotations, gchar **ret_images)
{
  g_autofree gchar *file = g_strdup_printf ("instances_%s.json", name);
  g_autofree gchar *below = g_build_filename (folder, name, NULL);

  return take_if_there (g_build_filename (folder, "annotations", file, NULL), g_strdup (below), ret_annotations,
                        ret_images) ||
         take_if_there (g_build_filename (folder, "annotations", file, NULL),
                        g_build_filename (folder, "images", name, NULL), ret_annotations, ret_images) ||
         find_one (below, ret_annotations, ret_images);
}

static gboolean
find_files (const gchar *folder, DeimDatasetUse use, gchar **ret_annotations, gchar **ret_images)
{
  static const gchar *const names[2][6] = { { "train", "train2017", "training", NULL },
                                            { "val", "val2017", "valid", "validation", "test", NULL } };

  for (guint i = 0; names[use][i]; i++)
    if (find_named (folder, names[use][i], ret_annotations, ret_images))
      return TRUE;
  return find_one (folder, ret_annotations, ret_images);
}

/* ----------------------------------------------------------------- checking */

static void refuse (const DeimDataset *dataset, guint object, GError **error, const gchar *format, ...)
    G_GNUC_PRINTF (4, 5);

/* "instances.json: annotations[17] (id 4711, of cat.jpg): " and the reason. */
static void
refuse (const DeimDataset *dataset, guint object, GError **error, const gchar *format, ...)
{
  const DeimCocoObject *o = &g_array_index (dataset->coco->objects, DeimCocoObject, object);
  const DeimCocoImage *image = &g_array_index (dataset->coco->images, DeimCocoImage, o->image);
  va_list args;
  va_start (args, format);
  g_autofree gchar *reason = g_strdup_vprintf (format, args);
  va_end (args);

  g_set_error (error, DEIM_ERROR, DEIM_ERROR_FORMAT, "%s: annotations[%u] (id %" G_GINT64_FORMAT ", of %s): %s",
               dataset->annotations, object, o->id, image->file_name, reason);
}

/* Whether a box touches a picture of that size; one that reaches over the edge does. */
static gboolean
check_inside (const DeimDataset *dataset, guint object, guint width, guint height, GError **error)
{
  const DeimCocoObject *o = &g_array_index (dataset->coco->objects, DeimCocoObject, object);

  if (o->x < width && o->y < height && o->x + o->w > 0 && o->y + o->h > 0)
    return TRUE;
  refuse (dataset, object, error,
          "\"bbox\" %g, %g, %g, %g lies outside its picture, %u pixels wide and %u high; it is x, y, width, height in "
          "pixels",
          o->x, o->y, o->w, o->h, width, height);
  return FALSE;
}

/* Sorts objects by picture, leaving out those that are not for learning. */
static gboolean
index_objects (DeimDataset *dataset, GError **error)
{
  const DeimCoco *coco = dataset->coco;
  g_autofree guint8 *used = g_malloc0 (coco->objects->len);

  dataset->first = g_new0 (guint, coco->images->len + 1);
  for (guint i = 0; i < coco->objects->len; i++) {
    const DeimCocoObject *o = &g_array_index (coco->objects, DeimCocoObject, i);
    const DeimCocoImage *image = &g_array_index (coco->images, DeimCocoImage, o->image);
    if (o->crowd) {
      dataset->n_crowd++;
    } else if (o->w <= 0 || o->h <= 0) {
      dataset->n_empty++;
    } else {
      if (image->width && image->height && !check_inside (dataset, i, image->width, image->height, error))
        return FALSE;
      used[i] = TRUE;
      dataset->first[o->image + 1]++;
    }
  }
  for (guint i = 0; i < coco->images->len; i++)
    dataset->first[i + 1] += dataset->first[i];

  dataset->objects = g_new (guint, dataset->first[coco->images->len]);
  g_autofree guint *next = g_memdup2 (dataset->first, coco->images->len * sizeof (guint));
  for (guint i = 0; i < coco->objects->len; i++)
    if (used[i])
      dataset->objects[next[g_array_index (coco->objects, DeimCocoObject, i).image]++] = i;
  return TRUE;
}

DeimDataset *
deim_dataset_open_files (const gchar *annotations, const gchar *images, GError **error)
{
  g_autoptr (DeimDataset) dataset = g_new0 (DeimDataset, 1);

  dataset->annotations = g_strdup (annotations);
  dataset->images = g_strdup (images);
  dataset->coco = deim_coco_read (annotations, error);
  if (!dataset->coco)
    return NULL;
  if (dataset->coco->images->len == 0 || dataset->coco->categories->len == 0) {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_FORMAT, "%s: the list \"%s\" is empty; there is nothing to learn from",
                 annotations, dataset->coco->images->len ? "categories" : "images");
    return NULL;
  }
  return index_objects (dataset, error) ? g_steal_pointer (&dataset) : NULL;
}

DeimDataset *
deim_dataset_open (const gchar *folder, DeimDatasetUse use, GError **error)
{
  g_autofree gchar *annotations = NULL, *images = NULL;

  if (!g_file_test (folder, G_FILE_TEST_IS_DIR)) {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_NOT_FOUND, "%s is no folder; give the one that holds the data set",
                 folder);
    return NULL;
  }
  if (!find_files (folder, use, &annotations, &images)) {
    const gchar *name = use == DEIM_DATASET_TRAINING ? "train" : "val";
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_NOT_FOUND,
                 "%s holds no annotations in COCO format; they are expected in annotations/instances_%s.json with "
                 "pictures in %s/, in %s/annotations.json or in annotations.json",
                 folder, name, name, name);
    return NULL;
  }
  return deim_dataset_open_files (annotations, images, error);
}

void
deim_dataset_free (DeimDataset *dataset)
{
  if (!dataset)
    return;
  g_free (dataset->annotations);
  g_free (dataset->images);
  deim_coco_free (dataset->coco);
  g_free (dataset->first);
  g_free (dataset->objects);
  g_free (dataset);
}

/* ------------------------------------------------------------------ loading */

guint
deim_dataset_n_pictures (const DeimDataset *dataset)
{
  return dataset->coco->images->len;
}

guint
deim_dataset_n_classes (const DeimDataset *dataset)
{
  return dataset->coco->categories->len;
}

guint
deim_dataset_n_objects (const DeimDataset *dataset)
{
  return dataset->first[dataset->coco->images->len];
}

guint
deim_dataset_count_small (const DeimDataset *dataset, guint width, guint height, gdouble least)
{
  guint n = 0;
  for (guint k = 0; k < deim_dataset_n_objects (dataset); k++) {
    const DeimCocoObject *o = &g_array_index (dataset->coco->objects, DeimCocoObject, dataset->objects[k]);
    const DeimCocoImage *image = &g_array_index (dataset->coco->images, DeimCocoImage, o->image);
    if (image->width && image->height && (o->w * width / image->width < least || o->h * height / image->height < least))
      n++;
  }
  return n;
}

gboolean
deim_dataset_check_files (const DeimDataset *dataset, GError **error)
{
  g_autofree gchar *first = NULL;
  guint missing = 0;

  for (guint i = 0; i < deim_dataset_n_pictures (dataset); i++) {
    g_autofree gchar *path = deim_dataset_picture_path (dataset, i);
    if (g_file_test (path, G_FILE_TEST_EXISTS))
      continue;
    if (missing++ == 0)
      first = g_steal_pointer (&path);
  }
  if (missing == 0)
    return TRUE;
  g_set_error (error, DEIM_ERROR, DEIM_ERROR_NOT_FOUND,
               "%s names %u pictures, of which %u are not there, the first one is %s; put them there, or take them out "
               "of the file",
               dataset->annotations, deim_dataset_n_pictures (dataset), missing, first);
  return FALSE;
}

gchar *
deim_dataset_digest (const DeimDataset *dataset)
{
  g_autoptr (GChecksum) sum = g_checksum_new (G_CHECKSUM_SHA256);
  g_autoptr (GString) text = g_string_new (NULL);
  const DeimCoco *coco = dataset->coco;

  for (guint i = 0; i < coco->categories->len; i++) {
    const DeimCocoCategory *category = &g_array_index (coco->categories, DeimCocoCategory, i);
    g_string_append_printf (text, "%" G_GINT64_FORMAT " %s\n", category->id, category->name);
  }
  for (guint i = 0; i < coco->images->len; i++) {
    const DeimCocoImage *image = &g_array_index (coco->images, DeimCocoImage, i);
    g_string_append_printf (text, "%s %u %u\n", image->file_name, image->width, image->height);
  }
  for (guint i = 0; i < coco->objects->len; i++) {
    const DeimCocoObject *o = &g_array_index (coco->objects, DeimCocoObject, i);
    const gdouble numbers[] = { o->x, o->y, o->w, o->h, o->area };
    g_string_append_printf (text, "%u %u %d", o->image, o->category, o->crowd);
    for (guint k = 0; k < G_N_ELEMENTS (numbers); k++) {
      gchar number[G_ASCII_DTOSTR_BUF_SIZE];
      g_string_append_printf (text, " %s", g_ascii_dtostr (number, sizeof number, numbers[k]));
    }
    g_string_append_c (text, '\n');
  }
  g_checksum_update (sum, (const guchar *) text->str, (gssize) text->len);
  return g_strdup (g_checksum_get_string (sum));
}

gboolean
deim_dataset_same_classes (const DeimDataset *a, const DeimDataset *b)
{
  if (deim_dataset_n_classes (a) != deim_dataset_n_classes (b))
    return FALSE;
  for (guint i = 0; i < deim_dataset_n_classes (a); i++) {
    const DeimCocoCategory *x = &g_array_index (a->coco->categories, DeimCocoCategory, i);
    const DeimCocoCategory *y = &g_array_index (b->coco->categories, DeimCocoCategory, i);
    if (x->id != y->id || strcmp (x->name, y->name) != 0)
      return FALSE;
  }
  return TRUE;
}

gchar *
deim_dataset_picture_path (const DeimDataset *dataset, guint index)
{
  return g_build_filename (dataset->images, g_array_index (dataset->coco->images, DeimCocoImage, index).file_name,
                           NULL);
}

static gboolean
check_size (const DeimDataset *dataset, guint index, const DeimImage *image, GError **error)
{
  const DeimCocoImage *said = &g_array_index (dataset->coco->images, DeimCocoImage, index);

  if ((!said->width || said->width == image->width) && (!said->height || said->height == image->height))
    return TRUE;
  g_set_error (error, DEIM_ERROR, DEIM_ERROR_FORMAT,
               "%s: the image with id %" G_GINT64_FORMAT " is said to be %u pixels wide and %u high, but %s/%s is %u "
               "and %u; its boxes would not fit, give the original picture",
               dataset->annotations, said->id, said->width, said->height, dataset->images, said->file_name,
               image->width, image->height);
  return FALSE;
}

DeimSample *
deim_dataset_load (const DeimDataset *dataset, guint index, GError **error)
{
  g_autofree gchar *path = deim_dataset_picture_path (dataset, index);
  DeimImage *image = deim_image_read (path, error);
  if (!image) {
    g_prefix_error (error, "%s names a picture that cannot be used: ", dataset->annotations);
    return NULL;
  }
  g_autoptr (DeimSample) sample = deim_sample_new (image);
  if (!check_size (dataset, index, image, error))
    return NULL;

  for (guint k = dataset->first[index]; k < dataset->first[index + 1]; k++) {
    const DeimCocoObject *o = &g_array_index (dataset->coco->objects, DeimCocoObject, dataset->objects[k]);
    if (!check_inside (dataset, dataset->objects[k], image->width, image->height, error))
      return NULL;
    DeimObject object = {
      .x1 = MAX (o->x, 0),
      .y1 = MAX (o->y, 0),
      .x2 = MIN (o->x + o->w, image->width),
      .y2 = MIN (o->y + o->h, image->height),
      .label = o->category,
      .area = o->area,
    };
    g_array_append_val (sample->objects, object);
  }
  return g_steal_pointer (&sample);
}

static DeimSample *
load_from (gpointer data, guint index, GError **error)
{
  return deim_dataset_load (data, index, error);
}

DeimSampleSource
deim_dataset_source (const DeimDataset *dataset)
{
  return (DeimSampleSource){ deim_dataset_n_pictures (dataset), load_from, (gpointer) dataset };
}
