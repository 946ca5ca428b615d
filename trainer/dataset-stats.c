/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* dataset-stats.c - counting objects, classes and sizes. */
#include "dataset-stats.h"

static const DeimCocoImage *
image_at (const DeimDataset *dataset, guint index)
{
  return &g_array_index (dataset->coco->images, DeimCocoImage, index);
}

static void
measure_picture (const DeimDataset *dataset, guint index, DeimDatasetStats *stats, guint *last_seen)
{
  const DeimCocoImage *image = image_at (dataset, index);
  guint n = dataset->first[index + 1] - dataset->first[index];

  stats->n_without += n == 0;
  stats->n_objects += n;
  stats->most = MAX (stats->most, n);
  for (guint k = dataset->first[index]; k < dataset->first[index + 1]; k++) {
    const DeimCocoObject *o = &g_array_index (dataset->coco->objects, DeimCocoObject, dataset->objects[k]);
    stats->per_class[o->category]++;
    stats->pictures_per_class[o->category] += last_seen[o->category] != index + 1;
    last_seen[o->category] = index + 1;
    stats->by_area[o->area < 32 * 32 ? 0 : o->area <= 96 * 96 ? 1 : 2]++;
    stats->n_cut += o->x < 0 || o->y < 0 || (image->width && o->x + o->w > image->width) ||
                    (image->height && o->y + o->h > image->height);
  }
}

void
deim_dataset_measure (const DeimDataset *dataset, DeimDatasetStats *ret_stats)
{
  guint n_classes = deim_dataset_n_classes (dataset);
  g_autofree guint *last_seen = g_new0 (guint, n_classes);
  g_autoptr (GHashTable) names = g_hash_table_new (g_str_hash, g_str_equal);
  DeimDatasetStats stats = {
    .n_pictures = deim_dataset_n_pictures (dataset),
    .per_class = g_new0 (guint, n_classes),
    .pictures_per_class = g_new0 (guint, n_classes),
  };

  for (guint i = 0; i < stats.n_pictures; i++) {
    measure_picture (dataset, i, &stats, last_seen);
    if (!g_hash_table_add (names, image_at (dataset, i)->file_name) && !stats.repeated)
      stats.repeated = g_strdup (image_at (dataset, i)->file_name);
  }
  *ret_stats = stats;
}

void
deim_dataset_stats_clear (DeimDatasetStats *stats)
{
  g_clear_pointer (&stats->per_class, g_free);
  g_clear_pointer (&stats->pictures_per_class, g_free);
  g_clear_pointer (&stats->repeated, g_free);
}

guint
deim_dataset_count_common (const DeimDataset *a, const DeimDataset *b, const gchar **ret_name)
{
  g_autoptr (GHashTable) names = g_hash_table_new (g_str_hash, g_str_equal);
  guint n = 0;

  for (guint i = 0; i < deim_dataset_n_pictures (a); i++)
    g_hash_table_add (names, image_at (a, i)->file_name);
  for (guint i = 0; i < deim_dataset_n_pictures (b); i++)
    if (g_hash_table_contains (names, image_at (b, i)->file_name)) {
      if (ret_name && n == 0)
        *ret_name = image_at (b, i)->file_name;
      n++;
    }
  return n;
}
