/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * predictions.h - the outputs of a network in training as the criterion takes
 * them: fetched from the device, queries in rows, denoising and selected
 * queries apart; and the gradients on their way back.
 *
 * Thread-safety: one thread at a time per object.
 */
#pragma once

#include "criterion.h"

#include "engine/training.h"

#define DEIM_MAX_PARTS (2 * (DEIM_MAX_LAYERS + 1) + 1)

typedef struct _DeimOutputs DeimOutputs;

/* @session must live longer. */
DeimOutputs *deim_outputs_new (DeimTrainingSession *session);
void deim_outputs_free (DeimOutputs *outputs);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (DeimOutputs, deim_outputs_free)

/* Fetches all, after deim_training_forward(). */
void deim_outputs_read (DeimOutputs *outputs);

/*
 * Fills @ret_parts, which have room for DEIM_MAX_PARTS, and returns their number. Arrays, gradients included, belong to
 * @outputs; gradients begin as zeros. @denoising: queries that are in use, at most as many as the network has; 0: no
 * part looks at them.
 */
guint deim_outputs_get_parts (DeimOutputs *outputs, guint denoising, DeimPart *ret_parts);

/* Hands the gradients over, for deim_training_backward(). */
void deim_outputs_write_seeds (DeimOutputs *outputs);
