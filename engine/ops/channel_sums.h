/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * channel_sums.h - sums over batch and positions for every channel, in two dispatches and a fixed order: what the
 * gradients of per-channel parameters and BatchNorm's statistics are made of.
 *
 *     shaders/channel_sums.comp    strips of positions -> one partial sum a strip (scratch)
 *     shaders/channel_totals.comp  partial sums -> plain vectors [c], or one number for all channels
 */
#pragma once

#include "dispatch.h"

typedef enum {
  DEIM_SUMS_PLAIN,      /* g */
  DEIM_SUMS_PRODUCT,    /* g; g * x */
  DEIM_SUMS_NORMALISED, /* g; g * (x - mean) / deviation of the position */
  DEIM_SUMS_MOMENTS,    /* mean and sum of squared deviations of g, of each strip */
} DeimSumsMode;

typedef struct {
  DeimSumsMode mode;
  DeimTensor *g, *x;
  gint stats; /* DEIM_SUMS_NORMALISED: scratch [n][positions] vec4 of mean and 1 / deviation */
} DeimSums;

/* Partial sums as shaders find them: [n * strips * lanes][blocks][terms] vec4. */
typedef struct {
  gint scratch;
  gint terms;                   /* 1, 2 or 4 */
  gint count;                   /* of partial sums */
  gint strips, lanes;           /* of a batch entry; of a strip */
  gint strip_length, positions; /* the last strip of a batch entry may be shorter */
} DeimPartials;

DeimPartials deim_dispatch_channel_sums (DeimDispatchList *list, const DeimSums *sums);
/* Scratch for @terms sums over @like, cut as above, for a kernel that fills it itself. */
DeimPartials deim_dispatch_partials (DeimDispatchList *list, const DeimTensor *like, gint terms);
/* The end of such a kernel's dispatch: pushes blocks, positions, strip length and strips, one workgroup for each strip,
 * block and picture of @like. */
void deim_dispatch_over_strips (DeimDispatch *d, DeimDispatchList *list, const DeimPartials *partials,
                                const DeimTensor *like);
/* Those of the whole batch, where these are of a process's part of it. */
DeimPartials deim_dispatch_gather_partials (DeimDispatchList *list, const DeimPartials *own);
/* Adds terms @term and @term + 1 up to plain tensors [c] (NULL: not wanted), or, where they have one number and @like
 * more channels, to the sum over all channels. @like: whose channels were summed. */
void deim_dispatch_channel_totals (DeimDispatchList *list, const DeimPartials *partials, gint term,
                                   const DeimTensor *like, DeimTensor *first, DeimTensor *second);

/* Plain vectors [c] (@b may be NULL: zeros) -> scratch [blocks][2] vec4 in the channels of @like; of single numbers
 * [1][2] vec4, repeated over the lanes. */
gint deim_dispatch_channel_table (DeimDispatchList *list, const DeimTensor *like, DeimTensor *a, DeimTensor *b);
