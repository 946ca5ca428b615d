/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* targets.h - what a network should say about a picture, and what one of its outputs says about a batch. */
#pragma once

#include "engine/graph/graph.h"

#include <glib.h>

/* The objects of one picture. The arrays are borrowed. */
typedef struct {
  guint n;
  const guint *labels; /* [n] below the number of classes */
  const gfloat *boxes; /* [n][4] cx, cy, w, h, in units of the picture; w, h >= 0 */
} DeimTargets;

/*
 * One set of predictions for a batch: a decoder layer's, the encoder's, or
 * those of denoising queries. Of one class, when several exist, means an output
 * that tells objects from background alone: every label counts as 0 there. The
 * arrays are borrowed.
 *
 * Queries of one output may be a slice of those in memory (denoising queries
 * stand before the others): @pitch queries lie between an image's first and the
 * next image's, and each pointer is at the first image's first query.
 */
typedef struct {
  guint n_images, n_queries, n_classes;
  guint pitch;          /* >= n_queries */
  const gfloat *logits; /* [image][query][class] before the sigmoid */
  const gfloat *boxes;  /* [image][query][4] cx, cy, w, h */
  /* (nullable) both: decoders that refine distributions of distances (D-FINE, DEIMv2) have them */
  const gfloat *corners;    /* [image][query][left, top, right, bottom][DEIM_FDR_BINS] logits */
  const gfloat *references; /* [image][query][4] the boxes that the distances are counted from */
} DeimPredictions;

static inline guint
deim_predictions_label (const DeimPredictions *predictions, guint label)
{
  return predictions->n_classes == 1 ? 0 : label;
}

/* Where a query stands in the arrays, in queries. */
static inline gsize
deim_predictions_row (const DeimPredictions *predictions, guint image, guint query)
{
  return (gsize) image * predictions->pitch + query;
}
