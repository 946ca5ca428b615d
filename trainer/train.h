/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * train.h - a whole training: a folder of annotated pictures in, a folder with
 * checkpoints, results and a report out.
 *
 *     OUTPUT/best.safetensors    the averaged weights of the epoch with the highest AP
 *     OUTPUT/last.safetensors    those of the last epoch
 *     OUTPUT/results.csv         a line per epoch
 *     OUTPUT/report.html         the same as curves
 *     OUTPUT/state.safetensors   what a training needs to go on to the bit
 */
#pragma once

#include "history.h"
#include "ranks.h"
#include "step.h"

/* How far it is. */
typedef struct {
  guint epoch, epochs;     /* from 0 */
  guint batch, batches;    /* done, of the epoch's */
  guint picture, pictures; /* 0 of 0, or how many were evaluated, of how many */
  gdouble loss;            /* mean of the epoch so far */
  gdouble parts[DEIM_LOSS_LAST];
  gdouble lr;
  gdouble left;               /* seconds until the end, about; negative: not known yet */
  const DeimStepResult *step; /* (nullable) the last one */
} DeimTrainProgress;

/* Told from the thread that called deim_train(). Any may be NULL. */
typedef struct {
  void (*message) (const gchar *text, gpointer data); /* what should be known, once */
  void (*progress) (const DeimTrainProgress *progress, gpointer data);
  void (*epoch) (const DeimEpochResult *result, gboolean best, gpointer data);
  void (*profile) (const GArray *entries, gpointer data); /* of each step, see deim_training_get_profile(); is slower */
  gboolean (*stop) (gpointer data); /* asked often: whether to end after this step, ready to be gone on with */
  gpointer data;
} DeimTrainWatcher;

typedef struct {
  const gchar *data;     /* a folder, see dataset.h */
  const gchar *model;    /* a preset or a checkpoint, see trainee.h */
  const gchar *backbone; /* (nullable) a checkpoint whose backbone a preset begins with */
  const gchar *output;   /* a folder, which is there */
  gboolean resume;       /* go on with what is in @output; else a training there is an error */
  guint epochs;          /* 0: the recipe's */
  guint batch;           /* of all processes together, a multiple of their number */
  guint height, width;   /* 0: the model's */
  gdouble lr;            /* 0: the recipe's */
  gdouble lr_end;        /* share of it in the end; negative: the recipe's */
  guint denoising;       /* positives per picture, about; 0: none */
  gboolean vfl;          /* VFL in place of MAL */
  gboolean freeze_norms; /* BatchNorm stays as it is in the checkpoint */
  gboolean half;         /* activations of backbone and encoder are stored as fp16 */
  gboolean light; /* pictures are flipped alone, but for mosaic and mixup if given; no restart from the best weights */
  gdouble mosaic; /* probability; negative: the recipe's */
  gdouble mixup;  /* likewise */
  guint evaluate; /* every so many epochs, and after the last; >= 1 */
  guint threads;  /* that load pictures; 0: one */
  guint64 seed;
  DeimRanks *ranks; /* (nullable) the processes that train together; lives longer */
  DeimTrainWatcher watcher;
} DeimTrainOptions;

/*
 * Trains to the end, or until the watcher stops it, which is no error (*@ret_finished is FALSE then).
 *
 * The same options on the same device give the same numbers to the bit, wherever the training was interrupted: by the
 * watcher, or by a signal that ended the process. Errors: DEIM_ERROR_SETTINGS, DEIM_ERROR_FORMAT for annotations that
 * cannot be meant (file, entry and reason), DEIM_ERROR_DEVICE for a training that has diverged, those of reading and
 * writing files.
 *
 * Several processes (@ranks) each call it with the same options, on a device of their own or a common one. Each loads
 * and computes its part of every batch, and its part of the evaluation; the result is that of one process but for
 * rounding. The first one alone reads and writes @output; it may go on with what another number of processes left. They
 * end together: finished, stopped (by the watcher of any), or with the same error. @data and @model must be the same
 * for all, settings that differ are DEIM_ERROR_SETTINGS.
 */
gboolean deim_train (DeimDevice *device, const DeimTrainOptions *options, gboolean *ret_finished, GError **error);
