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

#define DEIM_MAX_LAYERS 12 /* of a decoder that is trained; published ones have at most 6 */

/* What a loss looks at. */
typedef struct {
  DeimTensor *logits;  /* [n, C, 1, T] before the sigmoid */
  DeimTensor *boxes;   /* [n, 4, 1, T] cxcywh, 0..1 */
  DeimTensor *corners; /* [n, 4*33, 1, T] before the softmax; NULL where boxes are no distributions */
} DeimPredictionTensors;

/*
 * A network as it is trained: each decoder layer's outputs beside the last's, for T = D + Q queries: D denoising
 * queries, then the Q that were selected. Nothing flows back into the inputs, nor where the official code detaches.
 */
typedef struct {
  DeimTensor *input;    /* [n, 3, h, w], 0..1 */
  gint denoising;       /* D; 0: the next three are NULL */
  DeimTensor *dn_class; /* int [n, 1, 1, D]: the class that a denoising query claims; the number of classes: none */
  DeimTensor *dn_boxes; /* [n, 4, 1, D] cxcywh before the sigmoid */
  DeimTensor *groups;   /* [1, 1, 1, T]: 0 for selected queries; a query sees those of group 0 and of its own */
  DeimTensor *tokens;   /* as in DeimNetworkOutputs */
  gint token_divide;
  gint n_layers;
  DeimPredictionTensors layers[DEIM_MAX_LAYERS]; /* from the first */
  DeimPredictionTensors pre;                     /* D-FINE: layer 0's logits and the initial boxes; else NULL */
  DeimPredictionTensors encoder;                 /* of the selected tokens, T = Q; logits of one class if agnostic */
  DeimTensor *refs;                              /* [n, 4, 1, T] what corners count from: pre.boxes; else NULL */
} DeimTrainingOutputs;

/*
 * The graph of @arch for @batch pictures of @height x @width, its results
 * marked as outputs. DEIM_ERROR_SETTINGS for an impossible size,
 * DEIM_ERROR_ARCHITECTURE for a missing or ill-shaped parameter.
 */
DeimGraph *deim_network_build (const DeimArch *arch, const DeimParamSource *source, guint batch, guint height,
                               guint width, DeimNetworkOutputs *ret_outputs, GError **error);

/*
 * The same for training, with @denoising queries beside the selected ones. Parameters are plain and trained, but for
 * those that the official code freezes (a frozen backbone's norms and stem) and, with @freeze_norms, all BatchNorm,
 * which then goes by its running averages; no results are marked. Also reads "decoder.denoising_class_embed.weight", if
 * there are denoising queries, and the layers behind the last that evaluation runs. DEIM_ERROR_UNSUPPORTED where those
 * are wider.
 */
DeimGraph *deim_network_build_training (const DeimArch *arch, const DeimParamSource *source, guint batch, guint height,
                                        guint width, guint denoising, gboolean freeze_norms,
                                        DeimTrainingOutputs *ret_outputs, GError **error);

/* The parameter that is trained for @name: itself, but for copies of a shared head, for which it is the first one's.
 * Free with g_free(). */
gchar *deim_network_trained_name (const DeimArch *arch, const gchar *name);

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
