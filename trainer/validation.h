/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* validation.h - a model's detections on annotated pictures, as the evaluation takes them. */
#pragma once

#include "dataset.h"
#include "evaluation.h"
#include "ranks.h"

#include <deim.h>

/* Of a class that the annotations do not have. */
#define DEIM_NO_CATEGORY G_MAXUINT

/*
 * Adds what a detector found in picture @image to @found (of DeimCocoDetection), rounded as files are.
 * @categories: of each class its number in @coco, or DEIM_NO_CATEGORY; (nullable): class i is category i
 * @threshold: lower scores are left out
 * DEIM_ERROR_DEVICE for a box that is no number.
 */
gboolean deim_validation_add (const DeimCoco *coco, guint image, const GArray *detections, const guint *categories,
                              gdouble threshold, GArray *found, GError **error);

/* Return FALSE to stop. */
typedef gboolean (*DeimValidationProgress) (guint done, guint count, gpointer data);

/*
 * Runs @detector over all pictures of @dataset, whose classes are the model's, and measures. @ranks: (nullable)
 * processes that share the pictures; all get the result. @progress: (nullable), of this process's pictures. FALSE
 * without an error where it stopped.
 */
gboolean deim_validation_run (const DeimDataset *dataset, DeimDetector *detector, DeimRanks *ranks,
                              DeimValidationProgress progress, gpointer data, DeimEvaluation *ret_evaluation,
                              GError **error);
