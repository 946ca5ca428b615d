/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* op-cases.h - small graphs of every operator, for the tests of shaders (test-ops.c) and gradients (test-gradients.c).
 */
#pragma once

#include "engine/graph/graph.h"

typedef struct {
  const gchar *name; /* of the op, with a suffix after '/' for a second case; NULL ends the list */
  DeimTensor *(*append) (DeimGraph *graph); /* returns the output to compare */
  gboolean odd_scores;                      /* its "scores" or "logits" hold NaN and infinities, too */
  gboolean kept;                            /* operands and result stay fp32: of fp16 only the weights are rounded */
  gboolean fused;                           /* as only the passes of inference make it: it has no gradient */
} OpCase;

extern const OpCase op_cases[];

/* What the cases draw their shapes and constants from. */
extern GRand *op_rng;
/* Whether parameters are plain and trained, and nothing is fused. */
extern gboolean op_cases_train;

gint op_pick (gint low, gint high); /* inclusive */
gfloat *op_random_values (gsize n, gfloat low, gfloat high);

/* Largest difference over largest magnitude; infinite where one is no number and the other is. */
gdouble op_distance (const gfloat *a, const gfloat *b, gsize n);
