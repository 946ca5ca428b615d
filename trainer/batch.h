/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * batch.h - pictures of one size with their objects, ready for the network, and
 * what is done to a batch as a whole: mixup and CopyBlend.
 *
 * Thread-safety: one thread at a time per object.
 */
#pragma once

#include "random.h"
#include "sample.h"
#include "targets.h"

typedef struct {
  gfloat box[4]; /* cx, cy, w, h in units of the picture */
  guint label;
  gdouble area; /* as in DeimObject */
} DeimBatchObject;

typedef struct {
  guint n, width, height;
  gfloat *pixels;   /* [n][3][height][width] in 0..1 */
  GArray **objects; /* [n] of DeimBatchObject */
  guint *indices;   /* [n] numbers of the pictures in the data set */
} DeimBatch;

/* Black, without objects. */
DeimBatch *deim_batch_new (guint n, guint width, guint height);
void deim_batch_free (DeimBatch *batch);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (DeimBatch, deim_batch_free)

/* Sets picture @row from a sample of the batch's size. */
void deim_batch_set (DeimBatch *batch, guint row, const DeimSample *sample, guint index);

/* A batch of @count rows from @first on. */
DeimBatch *deim_batch_slice (const DeimBatch *batch, guint first, guint count);

/*
 * MixUp (Zhang et al. 2018, as DEIM has it): every picture becomes @beta times
 * itself plus 1 - @beta times the one before it (the first: the last), and has
 * the objects of both.
 */
void deim_batch_mixup (DeimBatch *batch, gdouble beta);

/*
 * CopyBlend (DEIMv2): each picture gets three objects of the batch, drawn
 * without repetition among those with an area of at least 100, pasted at random
 * places as (1 - beta) x patch + beta x picture with one beta of 0.45 .. 0.55.
 * The patch reaches 10 to 25 % further than the box on each side, as far as
 * both pictures do; the box stays. All patches are cut from the batch as it was.
 */
void deim_batch_copyblend (DeimBatch *batch, DeimRandom *random);

/* The objects as a criterion takes them: an array of n, which lives as long as the result. Free with g_free(). */
DeimTargets *deim_batch_get_targets (const DeimBatch *batch);
