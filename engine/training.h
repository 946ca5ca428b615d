/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * training.h - a network being trained on one device: forward, backward, update, with parameters, gradients, moments
 * and averages in device memory from the first step to the last. The inside of libdeim; trainer/ uses it, too.
 *
 *     g_autoptr (DeimTrainingSession) session = deim_training_new (device, arch, source, &options, &error);
 *     const DeimTrainingOutputs *io = deim_training_get_io (session);
 *     deim_training_write (session, io->input, pictures);       and the denoising queries
 *     deim_training_forward (session, &error);
 *     deim_training_read (session, io->layers[0].logits, logits);     and so on; then the loss
 *     deim_training_write_seed (session, io->layers[0].logits, d_logits);
 *     deim_training_backward (session, &error);
 *     deim_training_update (session, &update, &norm, &error);
 *
 * Values pass dense, as [n][c][T], the way in which the graph has them.
 *
 * Thread-safety: one call at a time per object.
 */
#pragma once

#include "engine/deim.h"
#include "engine/models/network.h"
#include "engine/share.h"
#include "engine/update.h"

typedef struct _DeimTrainingSession DeimTrainingSession;

typedef struct {
  guint batch, height, width;
  guint denoising; /* queries, see DeimTrainingOutputs */
  /* The group of DeimUpdate.groups that parameter @name (official) belongs to; negative: it is not trained. NULL: all
   * belong to group 0. Not asked for running averages, which always go on. */
  gint (*group) (const gchar *name, gpointer data);
  gpointer group_data;
  gboolean freeze_norms; /* BatchNorm goes by its running averages and stays as it is */
  /* Store activations of backbone and encoder as fp16. Parameters, gradients, moments and what a decoder computes stay
   * fp32, and sums are added up so: no loss needs scaling. */
  gboolean half;
  /* The processes that share a batch, of which this session has @batch pictures: BatchNorm takes the statistics of all
   * of them, so each must run the same phases. Gradients have to be summed by the caller. */
  DeimShare share;
  gboolean timestamps; /* measure dispatches, for deim_training_get_profile() */
} DeimTrainingOptions;

/*
 * @arch and @source are read during the call only. The moving average begins as the values. Errors: those of
 * deim_network_build_training() and of the device, DEIM_ERROR_DEVICE also where fp16 is asked for and fails the
 * self-test; DEIM_ERROR_SETTINGS for a group out of range.
 */
DeimTrainingSession *deim_training_new (DeimDevice *device, const DeimArch *arch, const DeimParamSource *source,
                                        const DeimTrainingOptions *options, GError **error);
void deim_training_free (DeimTrainingSession *session);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (DeimTrainingSession, deim_training_free)

/* Whether it stores activations as fp16, as the options asked for. */
gboolean deim_training_is_half (const DeimTrainingSession *session);
/* The inputs and outputs, with their shapes; belongs to the session. */
const DeimTrainingOutputs *deim_training_get_io (const DeimTrainingSession *session);

/* ------------------------------------------------------------------- a step */

/* Puts values of an input in place: gfloat, gint32 for dn_class. They stay for further steps. */
void deim_training_write (DeimTrainingSession *session, const DeimTensor *input, gconstpointer dense);
/* Computes the outputs, and waits. */
gboolean deim_training_forward (DeimTrainingSession *session, GError **error);
/* Fetches an output: gfloat, gint32 for tokens. */
void deim_training_read (DeimTrainingSession *session, const DeimTensor *output, gpointer dense);
/* The gradient of the loss with respect to @output (not tokens, not refs); stays for further steps, zeros before. */
void deim_training_write_seed (DeimTrainingSession *session, const DeimTensor *output, const gfloat *dense);
/* Computes all gradients, after deim_training_forward(), and waits. */
gboolean deim_training_backward (DeimTrainingSession *session, GError **error);
/* See deim_optimiser_run(). A step that is not updated leaves the running averages, too. */
gboolean deim_training_update (DeimTrainingSession *session, const DeimUpdate *update, gdouble *ret_norm,
                               GError **error);

/* --------------------------------------------------------------- parameters */

typedef enum {
  DEIM_PARAMETER_TRAINED,
  DEIM_PARAMETER_RUNNING, /* a running average of BatchNorm */
  DEIM_PARAMETER_FIXED,   /* not trained; has a value only */
} DeimParameterKind;

/* A parameter of the network under its official name. Copies of a shared head stand under the first one's
 * (deim_network_trained_name()). What the network reads without being able to train it (a frozen norm) is not listed.
 */
typedef struct {
  const gchar *name;
  DeimShape shape; /* trailing ones where the checkpoint has fewer dimensions */
  gsize size;      /* numbers */
  DeimParameterKind kind;
  gint group; /* of a trained one */
} DeimParameter;

guint deim_training_get_n_parameters (const DeimTrainingSession *session);
const DeimParameter *deim_training_get_parameter (const DeimTrainingSession *session, guint index);
/* The index of @name; -1 if it is not there. */
gint deim_training_find_parameter (const DeimTrainingSession *session, const gchar *name);

typedef enum {
  DEIM_STATE_VALUE,
  DEIM_STATE_GRADIENT, /* of running averages: the batch's statistics, the variance unbiased */
  DEIM_STATE_FIRST_MOMENT,
  DEIM_STATE_SECOND_MOMENT,
  DEIM_STATE_AVERAGE, /* of a fixed one: its value */
  DEIM_STATE_LAST
} DeimState;

/* Numbers of parameter @index in the checkpoint's order; waits for the device. Writing the value of a fixed parameter
 * is allowed. */
gboolean deim_training_get_state (DeimTrainingSession *session, guint index, DeimState state, gfloat *ret_values,
                                  GError **error);
gboolean deim_training_set_state (DeimTrainingSession *session, guint index, DeimState state, const gfloat *values,
                                  GError **error);

/* All gradients as one vector, in an order of its own but the same for every session of the same network and groups:
 * for a sum over processes between backward and update. The batch's statistics are not in it, being those of the whole
 * batch already. */
gsize deim_training_get_gradient_size (const DeimTrainingSession *session);
gboolean deim_training_get_gradients (DeimTrainingSession *session, gfloat *ret_values, GError **error);
gboolean deim_training_set_gradients (DeimTrainingSession *session, const gfloat *values, GError **error);

/* What holds something that is no finite number: after forward the first of the network's outputs
 * ("decoder.dec_score_head.0"; the cause may lie in a tensor before it, which is not kept), or after backward the
 * gradient of a parameter, the last layers' first ("gradient of backbone.stem.stem1.conv.weight"). NULL if there is
 * none, or on an error. Free with g_free(). */
gchar *deim_training_find_bad (DeimTrainingSession *session, GError **error);

/* Device time of every dispatch of the last forward and backward, in order, as a GArray of DeimProfileEntry; empty
 * unless options.timestamps was set. */
GArray *deim_training_get_profile (DeimTrainingSession *session);
