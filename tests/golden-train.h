/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * golden-train.h - what the official implementation makes of batches of random
 * predictions: matchings, losses and gradients. The inputs come from a rule
 * (README of the golden data, section 7); the cases are CASE.json in
 * tests/data/train, and in full in $DEIM_SHARED/golden/train.
 */
#pragma once

#include "trainer/matcher.h"

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

/* Names of the cases of @folder that begin with @prefix, sorted, NULL-terminated. */
gchar **golden_train_list (const gchar *folder, const gchar *prefix);
gchar *golden_train_small_folder (void);
gchar *golden_train_folder (void); /* the full one, or NULL */

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

/* [[[query..], [target..]] per image] */
DeimMatching *golden_matching (JsonArray *images);
