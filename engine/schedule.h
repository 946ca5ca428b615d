/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * schedule.h - which frames are computed next. A pure function of who waits:
 * it reads no clock, takes no lock and allocates nothing, so that every rule
 * is tested without threads and without a device.
 *
 * The rules:
 *  1. A batch is taken round robin: one frame of each stream that has any,
 *     beginning after the stream that came last in the batch before, and round
 *     again while there is room. Of n streams, a waiting one is served after
 *     at most n - 1 frames of others.
 *  2. An idle device does not wait, unless it was told to (timeout): then until
 *     a batch is full, or nothing more can come, or the time is over. Streams
 *     that stayed away from the last batches are not waited for.
 *  3. While a batch runs, the next one follows on the device's queue as soon as
 *     it is full, so that the device never idles in between; without a timeout
 *     as soon as it is as large as the running one. Otherwise frames gather
 *     until the device is idle: this makes batches as large as the load asks
 *     for, and no frame waits for company when the device has nothing to do.
 */
#pragma once

#include <glib.h>

#define DEIM_MAX_BATCH 16
/* A stream that missed so many batches in a row is not waited for. */
#define DEIM_SCHEDULE_PATIENCE 8

typedef struct {
  guint waiting; /* frames that it has handed in and that are in no batch yet */
  guint room;    /* frames that it could still hand in now; 0 where it said that none will come */
  guint missed;  /* batches in a row that had no frame of it */
} DeimScheduleStream;

/* Times are monotonic, in microseconds. */
typedef struct {
  guint batch;    /* frames that one batch takes, 1 .. DEIM_MAX_BATCH */
  gint64 timeout; /* how long an idle device waits for a batch to fill */
  guint free;     /* batches that could be given to the device now */
  guint running;  /* frames in the batches that it has */
  gint64 since;   /* when the device became idle, or the oldest waiting frame came, whichever was later */
  guint turn;     /* the stream to begin with, below n_streams */
  guint n_streams;
  const DeimScheduleStream *streams;
} DeimScheduleState;

typedef struct {
  guint n; /* frames of the batch; 0: none now */
  guint stream[DEIM_MAX_BATCH];
  guint turn;  /* to begin with the next time */
  gint64 wake; /* n == 0: when to ask again though nothing happened; 0: never */
} DeimScheduleChoice;

void deim_schedule_choose (const DeimScheduleState *state, gint64 now, DeimScheduleChoice *ret);
