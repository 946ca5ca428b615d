/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * trainee.h - a network in training: made of a preset or a checkpoint, turned
 * into models that evaluation can run, and its state on disk.
 *
 * Thread-safety: one thread at a time per object.
 */
#pragma once

#include "step.h"
#include "train-state.h"

typedef struct {
  const gchar *model;         /* a preset's name, or a spec of one, or a checkpoint's path */
  const gchar *backbone;      /* (nullable) a checkpoint whose backbone a preset begins with */
  const gchar *const *labels; /* NULL-terminated: names of the classes */
  guint batch;                /* pictures of this process's part of a batch */
  guint height, width;        /* of the input; 0: the model's */
  guint denoising;            /* queries for it, 0: none */
  guint64 seed;
  gboolean freeze_norms; /* BatchNorm stays as it is in the checkpoint */
  gboolean half;         /* activations of backbone and encoder are stored as fp16 */
  DeimRanks *ranks;      /* (nullable) the processes that share a batch; lives longer */
  gboolean timestamps;   /* for deim_training_get_profile() */
} DeimTraineeOptions;

typedef struct _DeimTrainee DeimTrainee;

/*
 * Options are read during the call only. Errors: a model that is neither, those of deim_model_load(), and those of
 * deim_training_new().
 */
DeimTrainee *deim_trainee_new (DeimDevice *device, const DeimTraineeOptions *options, GError **error);
void deim_trainee_free (DeimTrainee *trainee);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (DeimTrainee, deim_trainee_free)

/* These belong to the trainee. */
const DeimArch *deim_trainee_get_arch (const DeimTrainee *trainee);
DeimTrainingSession *deim_trainee_get_session (const DeimTrainee *trainee);
/* For people, how it was made: what of a checkpoint was made anew. NULL where there is nothing to say. */
const gchar *deim_trainee_get_note (const DeimTrainee *trainee);
/* Whether it was a checkpoint that it began with. */
gboolean deim_trainee_is_fine_tuned (const DeimTrainee *trainee);

/* The averaged weights as a model, under their official names, with labels, architecture and input size in its
 * metadata. */
DeimModel *deim_trainee_make_model (DeimTrainee *trainee, GError **error);

/* Takes weights and averages from a file that the model of deim_trainee_make_model() was saved to. AdamW's state stays.
 */
gboolean deim_trainee_take_up (DeimTrainee *trainee, const gchar *path, GError **error);

/* As deim_train_state_save() and deim_train_state_load(), with all parameters and AdamW's state. */
gboolean deim_trainee_save (DeimTrainee *trainee, const gchar *path, const DeimTrainPlace *place, const gchar *settings,
                            GError **error);
gboolean deim_trainee_load (DeimTrainee *trainee, const gchar *path, const gchar *settings, DeimTrainPlace *ret_place,
                            GError **error);

/* Gives all processes the parameters and AdamW's state of the first one. */
gboolean deim_trainee_share (DeimTrainee *trainee, GError **error);
