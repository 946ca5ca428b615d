/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * step.h - one step of a training: a batch through the network, its losses,
 * their gradients back through it, and the update.
 *
 * Thread-safety: one thread at a time per object.
 */
#pragma once

#include "batch.h"
#include "denoising.h"
#include "predictions.h"
#include "ranks.h"

typedef struct _DeimStepper DeimStepper;

/* Where the time of a step goes, milliseconds. */
typedef enum {
  DEIM_STEP_WRITE,    /* pictures and denoising queries to the device */
  DEIM_STEP_FORWARD,  /* the network */
  DEIM_STEP_READ,     /* outputs from the device */
  DEIM_STEP_LOSS,     /* matching, losses, gradients with respect to outputs; these to the device */
  DEIM_STEP_BACKWARD, /* the network's gradients */
  DEIM_STEP_UPDATE,   /* of parameters and averages */
  DEIM_STEP_LAST
} DeimStepPhase;

typedef struct {
  gdouble loss;                  /* the sum of all */
  gdouble parts[DEIM_LOSS_LAST]; /* by kind, all outputs together */
  gdouble norm;                  /* of the gradient, before clipping */
  gdouble ms[DEIM_STEP_LAST];
  gdouble processor_ms; /* that all threads of the process spent meanwhile, those of a device that is the CPU, too */
} DeimStepResult;

/*
 * @criterion is copied. @fdr: (nullable): the decoder's bins, of networks whose boxes are distributions. @ranks:
 * (nullable) the processes that share each batch, of which @session has a part. @session and @ranks must live longer.
 */
DeimStepper *deim_stepper_new (DeimTrainingSession *session, const DeimCriterion *criterion, const DeimFdrAttrs *fdr,
                               DeimRanks *ranks);
void deim_stepper_free (DeimStepper *stepper);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (DeimStepper, deim_stepper_free)

/*
 * @batch: of the session's size: this process's part
 * @random: of the denoising queries; is not advanced
 *
 * Where processes share the batch, all have the same result, of the whole batch, and fail together; should only the
 * device of one fail, that ends all of them. DEIM_ERROR_DEVICE where a loss or a gradient is no finite number, naming
 * the first tensor that holds one; the parameters are then those of before.
 */
gboolean deim_stepper_run (DeimStepper *stepper, const DeimBatch *batch, const DeimMatcher *matcher,
                           const DeimUpdate *update, const DeimRandom *random, DeimStepResult *ret_result,
                           GError **error);
