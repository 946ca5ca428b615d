/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * loader.h - a data set as batches, made ahead by several threads.
 *
 * Everything random comes from seed, epoch, and the place of a picture or batch
 * in the epoch: the same batches come out whatever the number of threads, in
 * the same order, and from any batch of any epoch on.
 *
 * Training (with a policy): pictures in a new order each epoch; a last batch
 * that is not full is left out, but a data set smaller than one batch is begun
 * again until it is full. Otherwise (no policy): pictures in their order, the
 * last batch as small as it is.
 *
 * Processes that share batches take a part of each. They must have the same
 * seed and batch size. Only what is needed is loaded: mixup takes one picture
 * more, CopyBlend the whole batch.
 *
 * Thread-safety: one thread at a time per object.
 */
#pragma once

#include "augment.h"
#include "batch.h"

typedef struct {
  const DeimAugmentPolicy *policy; /* (nullable): copied */
  guint batch;                     /* pictures of the whole batch, >= 1 */
  guint first, count;              /* this process's part of it; count 0: all */
  guint width, height;             /* multiples of 32 */
  guint threads;                   /* 0: one */
  guint64 seed;
} DeimLoaderOptions;

typedef struct _DeimLoader DeimLoader;

/* @source must outlive the loader. DEIM_ERROR_SETTINGS. */
DeimLoader *deim_loader_new (const DeimSampleSource *source, const DeimLoaderOptions *options, GError **error);
void deim_loader_free (DeimLoader *loader);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (DeimLoader, deim_loader_free)

guint deim_loader_get_n_batches (const DeimLoader *loader); /* per epoch */

/* Goes to a batch of an epoch; what was made ahead is dropped. To be called before the first deim_loader_next(). */
void deim_loader_start (DeimLoader *loader, guint epoch, guint batch);

/* Waits for the next batch. NULL without an error after the epoch's last. */
DeimBatch *deim_loader_next (DeimLoader *loader, GError **error);
