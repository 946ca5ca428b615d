/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* validation.c - from detections of pictures to the numbers of the evaluation. */
#include "validation.h"

#include "feed.h"

#include <math.h>

gboolean
deim_validation_add (const DeimCoco *coco, guint image, const GArray *detections, const guint *categories,
                     gdouble threshold, GArray *found, GError **error)
{
  for (guint i = 0; i < detections->len; i++) {
    const DeimDetection *one = &g_array_index (detections, DeimDetection, i);
    guint category = categories ? categories[one->label] : one->label;
    if (one->score < threshold || category == DEIM_NO_CATEGORY)
      continue;
    DeimCocoDetection detection = {
      .image = image,
      .category = category,
      .x = one->x1,
      .y = one->y1,
      .w = (gdouble) one->x2 - one->x1,
      .h = (gdouble) one->y2 - one->y1,
      .score = one->score,
    };
    if (!isfinite (detection.x + detection.y + detection.w + detection.h + detection.score)) {
      g_set_error (error, DEIM_ERROR, DEIM_ERROR_DEVICE, "%s: the network computed a box that is no number",
                   g_array_index (coco->images, DeimCocoImage, image).file_name);
      return FALSE;
    }
    deim_coco_round_detection (&detection);
    g_array_append_val (found, detection);
  }
  return TRUE;
}

typedef struct {
  const DeimCoco *coco;
  GArray *found;
} Job;

static gboolean
take_result (gpointer item, GArray *detections, gpointer user_data, GError **error)
{
  Job *job = user_data;
  return deim_validation_add (job->coco, GPOINTER_TO_UINT (item), detections, NULL, 0, job->found, error);
}

static gboolean
feed_picture (const DeimDataset *dataset, guint index, DeimFeed *feed, GError **error)
{
  g_autoptr (DeimSample) sample = deim_dataset_load (dataset, index, error);
  if (!sample)
    return FALSE;
  const DeimFrame frame = {
    .format = DEIM_FORMAT_RGB,
    .width = sample->image->width,
    .height = sample->image->height,
    .data = { sample->image->pixels },
    .stride = { 3 * sample->image->width },
  };
  return deim_feed_push (feed, &frame, GUINT_TO_POINTER (index), error);
}

/* This process's pictures. FALSE without an error where @progress stopped it. */
static gboolean
run_part (const DeimDataset *dataset, DeimFeed *feed, const DeimRanks *ranks, DeimValidationProgress progress,
          gpointer data, GError **error)
{
  guint64 n = deim_dataset_n_pictures (dataset), index = deim_ranks_get_index (ranks);
  guint first = (guint) (n * index / deim_ranks_get_count (ranks));
  guint end = (guint) (n * (index + 1) / deim_ranks_get_count (ranks));

  for (guint i = first; i < end; i++)
    if (!feed_picture (dataset, i, feed, error) || (progress && !progress (i + 1 - first, end - first, data)))
      return FALSE;
  return deim_feed_flush (feed, error);
}

gboolean
deim_validation_run (const DeimDataset *dataset, DeimDetector *detector, DeimRanks *ranks,
                     DeimValidationProgress progress, gpointer data, DeimEvaluation *ret_evaluation, GError **error)
{
  g_autoptr (GArray) found = g_array_new (FALSE, FALSE, sizeof (DeimCocoDetection));
  Job job = { dataset->coco, found };
  g_autoptr (DeimFeed) feed = deim_feed_new (detector, take_result, &job, NULL);
  GError *cause = NULL;
  gboolean whole = run_part (dataset, feed, ranks, progress, data, &cause);

  if (!deim_ranks_agree (ranks, cause, error) || deim_ranks_any (ranks, !whole))
    return FALSE;
  deim_ranks_join_arrays (ranks, found); /* in the order of pictures, as of one process */
  deim_evaluation_run (dataset->coco, found, ret_evaluation);
  return TRUE;
}
