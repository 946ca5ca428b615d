/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * engine-private.h - frames of several streams on their way through one
 * network: what engine.c and detector.c share. A detector is a stream; it has
 * a seat for each frame that it may have in flight.
 *
 *         submit              a batch starts       it ends            collect
 *   FREE ────────► LOADING ─► WAITING ─────────► RUNNING ──────► DONE ────────► FREE
 *                     │          │ drop             │ drop         │ drop
 *                     └ failed   └─► FREE           └─ (dropped)   └─► FREE
 *
 * Who runs: threads of the streams copy pixels into their seats, start batches
 * for which it is time, and sleep in collect. The engine's worker sleeps until
 * the oldest batch on the device ends, or until an idle device has waited long
 * enough; it hands results out and starts batches.
 *
 * Invariants:
 *  1. Everything here is under `lock`, except what a seat owns: its
 *     preprocessor belongs to the thread that submits in LOADING, to whoever
 *     collects in DONE. Copying, waiting and reading results happen outside.
 *  2. Frames of one stream are computed in the order of their tickets.
 *  3. No stream waits for another: a result that nobody fetches stays in its
 *     seat, and a batch keeps nothing once it has ended.
 *  4. A frame of known geometry allocates nothing on the device.
 */
#pragma once

#include "device.h"
#include "lanes.h"

#define DEIM_MAX_IN_FLIGHT 16

typedef enum { SEAT_FREE, SEAT_LOADING, SEAT_WAITING, SEAT_RUNNING, SEAT_DONE } DeimSeatState;

struct _DeimSeat {
  DeimDetector *detector;
  DeimSeatState state;
  gboolean claimed; /* somebody collects it, or it was dropped: its ticket is used up */
  gboolean dropped;
  guint64 ticket;
  gint64 since;  /* monotonic: it waits */
  gint64 ended;  /* monotonic: DONE since then */
  guint64 value; /* of the timeline: the device may be at its memory until then; 0: it is not */
  DeimPreprocessor *preprocessor;
  gfloat *records; /* [DEIM_RECORD][max_detections] */
  GError *error;   /* in place of records */
};

struct _DeimDetector {
  gatomicrefcount refs;
  DeimEngine *engine;
  guint in_flight;
  guint64 next_ticket;
  guint waiting, running; /* seats in these states */
  guint missed;           /* batches in a row without a frame of it */
  gboolean resting;       /* hands nothing in for now */
  gboolean flushing;      /* nobody may sleep in deim_detector_wait() */
  GCond done;             /* a seat became DONE, or `flushing` changed */
  DeimSeat seats[DEIM_MAX_IN_FLIGHT];
  GArray *profile; /* of DeimProfileEntry: the frame computed last */
};

struct _DeimEngine {
  gatomicrefcount refs;
  DeimModel *model;
  DeimDevice *device;
  DeimDetectorOptions options; /* with defaults filled in */
  gboolean grows;              /* lanes for as many detectors as there are */
  GMutex growth;               /* one thread at a time makes lanes; taken before `lock` */
  guint generation;            /* growth: of lanes */

  GMutex lock;
  GCond work; /* for the worker: a batch started, or `wake` or `quit` changed */
  GThread *worker;
  gboolean quit;
  DeimLanes *lanes;
  GPtrArray *retired;   /* of DeimLanes: replaced, their last batches still run */
  GPtrArray *detectors; /* of DeimDetector, in turn */
  GPtrArray *gone;      /* of DeimDetector: freed, but frames of theirs still run */
  GArray *streams;      /* of DeimScheduleStream, one a detector */
  guint turn;
  gint64 idle_since; /* monotonic */
  gint64 wake;       /* monotonic; 0: nothing is waited for but the device */
  guint64 n_batches, n_frames;
  gdouble setup_ms;
};

/* ---- engine.c */

/* Adds @detector, whose seats are all free, and makes the lanes that so many streams want. */
void deim_engine_add (DeimEngine *engine, DeimDetector *detector);
/* Starts the batches for which it is time. The lock is held. */
void deim_engine_start_batches (DeimEngine *engine);

/* ---- detector.c */

/* Frees a detector of which no frame runs; not its engine. */
void deim_detector_destroy (DeimDetector *detector);
