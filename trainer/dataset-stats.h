/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* dataset-stats.h - what annotations hold, in numbers. */
#pragma once

#include "dataset.h"

typedef struct {
  guint n_pictures, n_without; /* without is without any object to learn */
  guint n_objects, most;       /* in one picture */
  guint *per_class;            /* [n_classes] objects */
  guint *pictures_per_class;   /* [n_classes] pictures that show the class */
  guint by_area[3];            /* below 32 x 32 pixels, up to 96 x 96, above: COCO's small, medium, large */
  guint n_cut;                 /* boxes that reach beyond their picture, where its size is known */
  gchar *repeated;             /* (nullable) a file name that stands there more than once */
} DeimDatasetStats;

void deim_dataset_measure (const DeimDataset *dataset, DeimDatasetStats *ret_stats);
void deim_dataset_stats_clear (DeimDatasetStats *stats);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (DeimDatasetStats, deim_dataset_stats_clear)

/* How many pictures two data sets have in common, by file name; @ret_name (nullable) gets one of them. */
guint deim_dataset_count_common (const DeimDataset *a, const DeimDataset *b, const gchar **ret_name);
