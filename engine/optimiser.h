/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * optimiser.h - one update of all parameters, on the device, where they stay: the norm of the gradient and its clipping
 * (torch.nn.utils.clip_grad_norm_), AdamW (torch.optim.AdamW), the running averages of BatchNorm, and the moving
 * average of everything.
 *
 * Parameters are one flat vector of floats, and so are their gradients; ranges of it belong to groups that have their
 * own learning rate and weight decay. The norm is summed in a fixed order.
 */
#pragma once

#include "engine/gpu/gpu.h"
#include "engine/update.h"

/* Floats [first, first + count) of the vectors, multiples of 4. */
typedef struct {
  gsize first, count;
  gint group; /* of DeimUpdate.groups; DEIM_RUNNING_AVERAGES: the "gradient" is what a running average moves towards */
} DeimUpdateRange;

#define DEIM_RUNNING_AVERAGES (-1)

/* Vectors as long as the parameters, which belong to the optimiser. All begin as zeros. */
typedef enum { DEIM_VECTOR_FIRST_MOMENT, DEIM_VECTOR_SECOND_MOMENT, DEIM_VECTOR_AVERAGE, DEIM_VECTOR_LAST } DeimVector;

/* Thread-safety: one call at a time per object. */
typedef struct _DeimOptimiser DeimOptimiser;

/*
 * Over @count floats at byte @values of @state, whose gradients are as many at byte @gradients; @state must live
 * longer. Trained ranges (those with a group) come first and touch each other; the numbers between parameters are zero.
 * What no range holds stays as it is.
 */
DeimOptimiser *deim_optimiser_new (DeimGpu *gpu, const DeimGpuBuffer *state, gsize values, gsize gradients, gsize count,
                                   const DeimUpdateRange *ranges, guint n_ranges, GError **error);
void deim_optimiser_free (DeimOptimiser *optimiser);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (DeimOptimiser, deim_optimiser_free)

DeimGpuBuffer *deim_optimiser_get (DeimOptimiser *optimiser, DeimVector vector);

/*
 * Updates and waits. @ret_norm: of the gradient, before clipping. Where that is no finite number, nothing at all is
 * changed, the running averages included.
 */
gboolean deim_optimiser_run (DeimOptimiser *optimiser, const DeimUpdate *update, gdouble *ret_norm, GError **error);
