/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * train-state.h - all that a training needs to go on exactly where it was: a
 * .safetensors file with weights, averages, AdamW's state, and the place in the
 * data. What is random depends on seed and place alone (loader.h), so that is
 * all there is.
 *
 * The file appears whole: a training that is killed while it writes finds the
 * one before. Thread-safety: safe.
 */
#pragma once

#include <glib.h>

/* Where the next iteration stands. */
typedef struct {
  guint64 seed;
  guint64 iteration;     /* done so far */
  guint64 averages;      /* updates of the exponential average so far */
  guint epoch, batch;    /* the next batch */
  gdouble seconds;       /* of training so far */
  gdouble epoch_loss[6]; /* sums over the epoch's batches so far: all, then by kind as DeimLoss */
  gdouble best;          /* the best AP so far, -1: none yet */
  guint best_epoch;
} DeimTrainPlace;

/* A tensor of the state. The name says of what, too: "weights/backbone.stem.stem1.conv.weight". */
typedef struct {
  const gchar *name;
  guint n_dims; /* at most 8 */
  gint64 shape[8];
  gsize n;
  gfloat *data; /* [n] the caller's */
} DeimStateTensor;

/*
 * @settings: what must be the same when the training goes on, as text for
 * people: a line for each, "NAME VALUE". DEIM_ERROR_WRITE.
 */
gboolean deim_train_state_save (const gchar *path, const DeimTrainPlace *place, const gchar *settings,
                                const DeimStateTensor *tensors, guint n_tensors, GError **error);

/* Whether settings are not the same; if so the first lines that differ. Free them with g_free(). */
gboolean deim_settings_differ (const gchar *then, const gchar *now, gchar **ret_then, gchar **ret_now);

/*
 * Fills @ret_place and the tensors' data. DEIM_ERROR_NOT_FOUND where there is no
 * file; DEIM_ERROR_SETTINGS naming the first setting that is another one;
 * DEIM_ERROR_FORMAT where the file lacks a tensor, has one too many or of
 * another shape, or is damaged. On failure nothing has been filled in.
 */
gboolean deim_train_state_load (const gchar *path, const gchar *settings, const DeimStateTensor *tensors,
                                guint n_tensors, DeimTrainPlace *ret_place, GError **error);
