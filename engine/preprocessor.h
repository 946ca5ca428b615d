/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * preprocessor.h - a DeimPreprocess (engine/image/) made to run on a device:
 * staging memory or imported DMABufs, resize table, and command buffers that
 * are recorded anew when the geometry of the frames changes.
 *
 * Thread-safety: one call at a time per object.
 */
#pragma once

#include "engine/deim.h"
#include "engine/gpu/gpu.h"

#define DEIM_PREPROCESSOR_DISPATCHES 2
#define DEIM_PREPROCESSOR_STEPS      3 /* the upload, and the dispatches */

typedef struct _DeimPreprocessor DeimPreprocessor;

/* @target: where the network's input lies, @half: stored as fp16; @width, @height: its size. */
DeimPreprocessor *deim_preprocessor_new (DeimGpu *gpu, const DeimSlot *target, gboolean half, guint width, guint height,
                                         DeimResize resize, gboolean timestamps);
void deim_preprocessor_free (DeimPreprocessor *self); /* waits until its commands are no longer pending */

/* Copies @frame's pixels to staging memory, or makes its DMABuf known. No commands of this object may be pending.
 * DEIM_ERROR_UNSUPPORTED where a DMABuf cannot be read in place. */
gboolean deim_preprocessor_load (DeimPreprocessor *self, const DeimFrame *frame, GError **error);
/* What brings the loaded frame to the target; others for each DMABuf. */
DeimCommands *deim_preprocessor_get_commands (DeimPreprocessor *self);
/* A box of the network in pixels of the loaded frame. */
void deim_preprocessor_map_box (DeimPreprocessor *self, const gfloat cxcywh[4], gfloat ret_xyxy[4]);
/* Milliseconds of each step of the last finished run; FALSE where not measured. */
gboolean deim_preprocessor_get_times (DeimPreprocessor *self, gdouble ret_ms[DEIM_PREPROCESSOR_STEPS]);
const gchar *deim_preprocessor_step_name (guint step);
