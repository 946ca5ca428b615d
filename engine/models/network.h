/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* network.h - a whole network as a graph, from its values and its parameters. */
#pragma once

#include "engine/models/arch.h"

typedef struct {
  DeimTensor *input;  /* [n, 3, h, w], 0..1 */
  DeimTensor *tokens; /* int [n, 1, 1, Q], in selection order: encoder token * token_divide (+ class) */
  gint token_divide;  /* 1, but for one2many selection: the number of classes */
  DeimTensor *logits; /* [n, C, 1, Q] before the sigmoid */
  DeimTensor *boxes;  /* [n, 4, 1, Q] cxcywh, 0..1 */
} DeimNetworkOutputs;

/*
 * The graph of @arch for @batch pictures of @height x @width, its results
 * marked as outputs. DEIM_ERROR_SETTINGS for an impossible size,
 * DEIM_ERROR_ARCHITECTURE for a missing or ill-shaped parameter.
 */
DeimGraph *deim_network_build (const DeimArch *arch, const DeimParamSource *source, guint batch, guint height,
                               guint width, DeimNetworkOutputs *ret_outputs, GError **error);

/* Whether @arch can take pictures of that size. */
gboolean deim_network_check_size (const DeimArch *arch, guint height, guint width, GError **error);

/*
 * Anchors in logit space and their validity, as the official code computes
 * them: anchors [T][4], valid [T]; anchors that are not valid are +inf.
 * Levels from the finest. Each array is allocated for the caller.
 */
gint deim_anchors_compute (gint levels, const gint *h, const gint *w, gfloat **ret_anchors, gboolean **ret_valid);
/* Whether stored anchors [T][4] belong to the same grid (training moves them by some 1e-4). */
gboolean deim_anchors_agree (const gfloat *stored, const gfloat *computed, gint total);
