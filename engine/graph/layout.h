/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * layout.h - how a tensor lies in device memory, and which tensors share it.
 *
 * Float tensors are NC4HW4: blocks of four channels, in each block one vec4
 * per position:  [n][block][position][4].  Tokens are maps of height 1, so
 * maps flatten to tokens, and levels join to one memory, without a copy.
 *
 * Channels come in segments, each padded to a multiple of four on its own, so
 * that a concatenation of 128 + 10 + 10 channels, or a slice of channels
 * 10..19, is a view made of whole blocks. A tensor is a place inside the
 * storage of a root tensor; views and the inputs of a concatenation share it.
 *
 * Invariants:
 *  1. padding lanes are written with finite values by every producer;
 *  2. whoever reads across channels gives padding lanes the weight zero;
 *  3. segments and places depend on the graph alone, never on the device;
 *  4. a root is stored in one precision: fp32 if any tensor in it asks for it.
 *
 * Integer tensors are plain arrays of 32-bit words and roots of their own. So are `plain` float tensors, row-major as
 * in a checkpoint: to kernels one block of positions, four numbers each.
 */
#pragma once

#include "graph.h"

#define DEIM_MAX_SEGMENTS 16

typedef struct {
  guint n_segments;
  gint count[DEIM_MAX_SEGMENTS]; /* logical channels; their sum is shape.c */
  gint blocks;                   /* vec4 blocks of all segments */
  DeimTensor *root;              /* whose storage this is (the tensor itself for a root) */
  gint first;                    /* in vec4, from the root's start */
  gint block_stride;             /* vec4s between blocks */
  gint batch_stride;             /* vec4s between batch entries */
  gboolean fp32;                 /* of a root: stored as fp32 whatever the precision */
} DeimLayout;

/* The layouts of all tensors of a graph, by tensor id. */
typedef struct _DeimLayouts DeimLayouts;

/* Thread-safety: the result is immutable. Fails (DEIM_ERROR_UNSUPPORTED) where channels would have to be taken apart
 * in a way that no view can express. */
DeimLayouts *deim_layouts_new (const DeimGraph *graph, GError **error);
void deim_layouts_free (DeimLayouts *layouts);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (DeimLayouts, deim_layouts_free)

const DeimLayout *deim_layouts_get (const DeimLayouts *layouts, const DeimTensor *tensor);

/* Whether @part lies where the concatenation or view @whole has it, so that nothing is to be copied. @channel and
 * @position: where in @whole. */
gboolean deim_layouts_is_placed (const DeimLayouts *layouts, const DeimTensor *part, const DeimTensor *whole,
                                 gint channel, gint position);

/* vec4s (words for integer tensors) of a root's storage; of a plain tensor the last is filled up with anything. */
gsize deim_layout_storage (const DeimLayout *layout, const DeimTensor *root);

/* Physical channel (block * 4 + lane) of logical channel @c. */
gint deim_layout_channel (const DeimLayout *layout, gint c);
/* Logical channel of physical channel @p, or -1 for a padding lane. */
gint deim_layout_logical (const DeimLayout *layout, gint p);
