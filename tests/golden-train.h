/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * golden-train.h - what the official implementation makes of batches of random
 * predictions: matchings, losses and gradients. The inputs come from a rule
 * (README of the golden data, section 7); the cases are CASE.json in
 * tests/data/train, and in full in $DEIM_SHARED/golden/train.
 */
#pragma once

#include "trainer/criterion.h"

#include <json-glib/json-glib.h>

#define GOLDEN_TRAIN_MAX_IMAGES 4

typedef struct {
  gchar *name;
  JsonParser *json;
  JsonObject *root;
  GMappedFile *bin; /* the inputs once more, of the full cases a to f; else NULL */
  guint n_images, n_queries, n_classes;
  DeimTargets targets[GOLDEN_TRAIN_MAX_IMAGES];
} GoldenTrain;

/* @folder: NULL is tests/data/train. */
GoldenTrain *golden_train_open (const gchar *folder, const gchar *name);
void golden_train_free (GoldenTrain *train);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (GoldenTrain, golden_train_free)

/* Predictions by the rule with what a teacher says beside them. The arrays are owned. */
typedef struct {
  DeimPredictions own;
  gfloat *teacher_logits, *teacher_corners;
  gfloat *logits, *boxes, *corners, *references;
} GoldenPredictions;

/* @part: "", or ".main", ".aux0", ... of a whole criterion. @n_queries: 0 takes the case's. */
void golden_predictions_init (GoldenPredictions *predictions, const GoldenTrain *train, const gchar *part,
                              guint n_queries);
void golden_predictions_finish (GoldenPredictions *predictions);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (GoldenPredictions, golden_predictions_finish)

/* All outputs of a case "w_...", without gradients, and the predictions that they borrow. */
#define GOLDEN_MAX_PARTS 9

typedef struct {
  GoldenPredictions predictions[GOLDEN_MAX_PARTS];
  DeimPart parts[GOLDEN_MAX_PARTS];
  guint n;
} GoldenWhole;

void golden_whole_init (GoldenWhole *whole, const GoldenTrain *train);
void golden_whole_finish (GoldenWhole *whole);

/* Which denoising query stands for which object: each object stands once in each group. */
DeimMatching *golden_denoising (const GoldenTrain *train);

/* The bins of DEIM-D-FINE but X. */
DeimFdrAttrs golden_fdr (void);

/* One test for each case of the small folder, and for each of the full one where it is there: @prefix/golden-small/...;
 * @single for cases of one output, @whole for those of all ("w_...") get the open case; (nullable): none. */
typedef void (*GoldenTrainTest) (const GoldenTrain *train);
void golden_train_add_tests (const gchar *prefix, GoldenTrainTest single, GoldenTrainTest whole);

/* [[[query..], [target..]] per image] */
DeimMatching *golden_matching (JsonArray *images);
