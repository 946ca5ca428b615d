/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* targets.h - what a network should say about a picture, and what one of its outputs says about a batch. */
#pragma once

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
 */
typedef struct {
  guint n_images, n_queries, n_classes;
  const gfloat *logits; /* [image][query][class] before the sigmoid */
  const gfloat *boxes;  /* [image][query][4] cx, cy, w, h */
  /* (nullable) both: decoders that refine distributions of distances have them */
  const gfloat *corners;    /* [image][query][left, top, right, bottom][DEIM_DISTANCE_BINS] logits */
  const gfloat *references; /* [image][query][4] the boxes that the distances are counted from */
} DeimPredictions;

#define DEIM_DISTANCE_BINS 33 /* reg_max + 1 of D-FINE */

static inline guint
deim_predictions_label (const DeimPredictions *predictions, guint label)
{
  return predictions->n_classes == 1 ? 0 : label;
}
