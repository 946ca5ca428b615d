/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * lanes.h - a model's network made ready for batches: weights and pipelines
 * once, and two sets of memory to compute in, so that one batch waits on the
 * device's queue while the other is computed. A batch may be partial: only the
 * entries that hold frames are computed.
 */
#pragma once

#include "device.h"
#include "executor.h"
#include "preprocessor.h"
#include "schedule.h"

/* On the device at a time; each has a target of its own for the preprocessors. */
#define DEIM_LANES_BATCHES DEIM_PREPROCESSOR_TARGETS

#define DEIM_RECORD 8 /* rows of deim_detections(): score, class, query, 0, cx, cy, w, h */

typedef struct _DeimSeat DeimSeat;

typedef struct {
  DeimRun *run;
  DeimCommands *barrier; /* between the rows and the columns of its frames */
  DeimPreprocessorTarget target;
  guint64 value;                   /* of the timeline: the device may be at it until then; 0: it is not */
  guint n;                         /* frames that it computes; 0: none */
  DeimSeat *seats[DEIM_MAX_BATCH]; /* whose they are */
} DeimBatch;

typedef struct {
  DeimGpu *gpu;
  DeimExecutor *executor;
  DeimTensor *input, *detections;
  guint batch;          /* frames of a whole batch */
  guint height, width;  /* of the input */
  guint max_detections; /* rows of a result: what was asked for, or all that the network can say */
  gboolean timestamps;
  guint64 first_id; /* of the targets */
  guint n_batches;
  DeimBatch batches[DEIM_LANES_BATCHES];
} DeimLanes;

/* @options: height and width are given, precision is deim_device_check()'s answer. @batch: frames. @generation: no two
 * lanes with the same preprocessors have the same. */
DeimLanes *deim_lanes_new (DeimModel *model, DeimDevice *device, const DeimDetectorOptions *options, guint batch,
                           guint generation, GError **error);
void deim_lanes_free (DeimLanes *lanes); /* NULL is allowed; waits for the device */
G_DEFINE_AUTOPTR_CLEANUP_FUNC (DeimLanes, deim_lanes_free)

/* Makes what a further batch needs, and (in no time) adds it. At most DEIM_LANES_BATCHES. */
gboolean deim_lanes_make_batch (const DeimLanes *lanes, DeimBatch *ret, GError **error);
void deim_lanes_add_batch (DeimLanes *lanes, const DeimBatch *made);

/*
 * Gives frames 0 .. n-1 of the batch to the device: what @rows and @columns of
 * each bring to its entry of the target, then the network. On success the batch
 * has `n` and `value`.
 */
gboolean deim_lanes_submit (DeimLanes *lanes, DeimBatch *batch, DeimCommands *const *rows, DeimCommands *const *columns,
                            guint n, GError **error);
/* A batch that is not in use. NULL: wait for one. */
DeimBatch *deim_lanes_find_free (DeimLanes *lanes);
/* Frames in use. */
guint deim_lanes_count_running (const DeimLanes *lanes);
