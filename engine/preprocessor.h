/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * preprocessor.h - a DeimPreprocess (engine/image/) made to run on a device:
 * staging memory or imported DMABufs, resize table, and command buffers that
 * are recorded anew when the geometry of the frames changes.
 *
 * The rows of a frame (upload, first dispatch) need nothing of the network, its
 * columns (second dispatch) bring it to an entry of a run's input. Those of
 * several frames may be computed side by side: all rows, a barrier, all columns.
 *
 * Thread-safety: one call at a time per object.
 */
#pragma once

#include "engine/deim.h"
#include "engine/gpu/gpu.h"

#define DEIM_PREPROCESSOR_DISPATCHES 2
#define DEIM_PREPROCESSOR_STEPS      3 /* the upload, and the dispatches */

typedef struct _DeimPreprocessor DeimPreprocessor;

/* The input of a run: a tensor of one or more entries. */
#define DEIM_PREPROCESSOR_TARGETS 2
typedef struct {
  guint64 id;    /* its own; of targets that take turns no two are equal modulo DEIM_PREPROCESSOR_TARGETS */
  DeimSlot slot; /* the whole tensor */
  gboolean half; /* stored as fp16 */
} DeimPreprocessorTarget;

/* @width, @height: of an entry. */
DeimPreprocessor *deim_preprocessor_new (DeimGpu *gpu, guint width, guint height, DeimResize resize,
                                         gboolean timestamps);
void deim_preprocessor_free (DeimPreprocessor *self); /* waits until its commands are no longer pending */

/* Copies @frame's pixels to staging memory, or makes its DMABuf known. No commands of this object may be pending.
 * DEIM_ERROR_UNSUPPORTED where a DMABuf cannot be read in place. */
gboolean deim_preprocessor_load (DeimPreprocessor *self, const DeimFrame *frame, GError **error);
/* What brings the loaded frame to entry @entry of @target, for the next submit. Recorded when a target comes for the
 * first time. */
gboolean deim_preprocessor_get_commands (DeimPreprocessor *self, const DeimPreprocessorTarget *target, guint entry,
                                         DeimCommands **ret_rows, DeimCommands **ret_columns, GError **error);
/* A box of the network in pixels of the loaded frame. */
void deim_preprocessor_map_box (DeimPreprocessor *self, const gfloat cxcywh[4], gfloat ret_xyxy[4]);
/* Milliseconds of each step of the last finished run; FALSE where not measured. */
gboolean deim_preprocessor_get_times (DeimPreprocessor *self, gdouble ret_ms[DEIM_PREPROCESSOR_STEPS]);
const gchar *deim_preprocessor_step_name (guint step);
