/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * dataset.h - a folder of pictures with annotations in the COCO format.
 *
 * Where things lie is found in this order (NAME: train, train2017 or training;
 * val, val2017, valid, validation or test):
 *
 *     FOLDER/annotations/instances_NAME.json    pictures in FOLDER/NAME, FOLDER/images/NAME   (as COCO is)
 *     FOLDER/NAME/_annotations.coco.json        pictures beside it                            (as exporters write)
 *     FOLDER/NAME/annotations.json              pictures in FOLDER/NAME/images, or beside it  (as `deim dataset synth`)
 *     FOLDER/annotations.json or FOLDER/_annotations.coco.json, likewise: one set, for either use
 *
 * What cannot be meant is refused, with file, entry and reason. What real data
 * sets do hold is left out and counted: boxes without area, and boxes of
 * crowds, which no network learns. Boxes are cut at the picture's edge.
 *
 * Immutable once open. Thread-safety: safe.
 */
#pragma once

#include "augment.h"
#include "coco.h"

typedef enum {
  DEIM_DATASET_TRAINING,
  DEIM_DATASET_VALIDATION,
} DeimDatasetUse;

typedef struct {
  gchar *annotations;     /* the file */
  gchar *images;          /* the folder of the pictures */
  DeimCoco *coco;         /* picture i of the data set is coco->images[i], class i is coco->categories[i] */
  guint *first;           /* [pictures + 1] where a picture's objects begin in .. */
  guint *objects;         /* .. this list of numbers of coco->objects, those left out excepted */
  guint n_empty, n_crowd; /* objects left out */
} DeimDataset;

/*
 * DEIM_ERROR_NOT_FOUND where no annotations are (the message says where they
 * may lie), DEIM_ERROR_FORMAT for broken ones. Pictures are not opened.
 */
DeimDataset *deim_dataset_open (const gchar *folder, DeimDatasetUse use, GError **error);

/* The same from a file of annotations and the folder of its pictures. */
DeimDataset *deim_dataset_open_files (const gchar *annotations, const gchar *images, GError **error);
void deim_dataset_free (DeimDataset *dataset);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (DeimDataset, deim_dataset_free)

guint deim_dataset_n_pictures (const DeimDataset *dataset);
guint deim_dataset_n_classes (const DeimDataset *dataset);
guint deim_dataset_n_objects (const DeimDataset *dataset); /* those left out excepted */

/* Objects that would be narrower or lower than @least pixels if their pictures were made @width x @height. Those whose
 * pictures' sizes the file does not say are not counted. */
guint deim_dataset_count_small (const DeimDataset *dataset, guint width, guint height, gdouble least);

/* Whether every picture is there, DEIM_ERROR_NOT_FOUND names the first that is not and says how many are not. They are
 * not opened, which takes seconds for tens of thousands. */
gboolean deim_dataset_check_files (const DeimDataset *dataset, GError **error);

/* SHA-256 over categories, pictures and objects, in hexadecimal. Not over pixels. Free with g_free(). */
gchar *deim_dataset_digest (const DeimDataset *dataset);

/* Whether class i has the same id and name in both. */
gboolean deim_dataset_same_classes (const DeimDataset *a, const DeimDataset *b);

/* Free with g_free(). */
gchar *deim_dataset_picture_path (const DeimDataset *dataset, guint index);

/*
 * Picture @index with its objects. DEIM_ERROR_FORMAT where picture and
 * annotations do not fit together: another size than they say, a box outside.
 */
DeimSample *deim_dataset_load (const DeimDataset *dataset, guint index, GError **error);

/* For deim_augment_load(); lives as long as @dataset. */
DeimSampleSource deim_dataset_source (const DeimDataset *dataset);
