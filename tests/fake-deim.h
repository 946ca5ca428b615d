/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fake-deim.h - a libdeim without arithmetic, for tests of the elements: what they do while an inference runs, fails
 * or never ends cannot be timed with a real device. Linked in place of libdeim.
 *
 * A fake model is a text file "fake <classes>". Each frame yields three detections, relative to its region:
 *   class 0, score 0.7 + b / 1000, the middle half;
 *   class 1, score 0.6, the upper left corner, reaching out of the frame by 10 pixels;
 *   class 2, score 0.2, everything.
 * where b is the first byte of the frame's first plane, so that a result can be told from another frame's.
 *
 * A device with a cache_dir in /proc has nowhere to write.
 */
#pragma once

#include "engine/deim.h"

/* Writes a fake model into a new temporary file; free the path with g_free(). */
gchar *fake_deim_write_model (guint num_classes);

/* Back to the start: gate open, no delay, no failure, counters zero. Objects must all be gone. */
void fake_deim_reset (void);

/* While the gate is shut no inference ends. */
void fake_deim_set_gate (gboolean open);
/* Each inference takes so long, one after the other. */
void fake_deim_set_delay (guint milliseconds);
/* No inference ends before its detector has no free slot or rests, as if batches waited for company for ever. */
void fake_deim_set_company (gboolean wanted);
/* A stage, or collecting, fails with this code from now on; -1: never. */
typedef enum { FAKE_LOAD, FAKE_OPEN, FAKE_MAKE, FAKE_SUBMIT, FAKE_COLLECT, FAKE_N_STAGES } FakeStage;
void fake_deim_set_failure_at (FakeStage stage, gint code);
void fake_deim_set_failure (gint code);
/* From now on a stage does not end before it is let go: loading, opening or making. */
void fake_deim_hold_stage (FakeStage stage);
/* Waits until somebody is in the stage that is held. */
void fake_deim_await_held (void);
void fake_deim_release_stage (void);
/* Collecting fails for frames only whose first byte is @first; -1: for all. */
void fake_deim_set_victim (gint first);
/* Nothing is found in any frame. */
void fake_deim_set_nothing (gboolean nothing);

/* What the device does with DMABufs: says at once that it takes none; refuses each; reads them. */
typedef enum { FAKE_DMABUF_NONE, FAKE_DMABUF_REFUSE, FAKE_DMABUF_READ } FakeDmabuf;
void fake_deim_set_dmabuf (FakeDmabuf can);

typedef struct {
  guint models_loaded, devices_opened; /* ever */
  gchar cache_dir[64];                 /* of the last device; "": the user's */
  guint engines_made;                  /* ever */
  guint live;                          /* models, devices, engines and detectors that exist now */
  guint submitted, collected;          /* ever */
  DeimFrame last;                      /* the frame submitted last; its pointers are stale */
  DeimDmabuf last_at;                  /* where the last one in DMABufs lay */
  DeimDetectorOptions options;         /* of the last detector */
} FakeDeimCounts;

FakeDeimCounts fake_deim_get_counts (void);
