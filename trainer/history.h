/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * history.h - what each epoch of a training brought: kept in memory, written as
 * results.csv for programs and as report.html for people.
 *
 * Thread-safety: one thread at a time per object.
 */
#pragma once

#include "criterion.h"
#include "evaluation.h"

typedef struct {
  guint epoch;
  guint64 iterations;            /* done at its end, all epochs together */
  gdouble seconds;               /* since the training began, pauses left out */
  gdouble lr;                    /* at its end */
  gdouble loss;                  /* mean over its batches */
  gdouble parts[DEIM_LOSS_LAST]; /* the same by kind, all outputs together */
  DeimEvaluation evaluation;     /* of the averaged weights; -1 where not measured */
} DeimEpochResult;

typedef struct {
  gchar *title;   /* what is trained on what, for people */
  GArray *epochs; /* of DeimEpochResult, ascending */
} DeimHistory;

DeimHistory *deim_history_new (const gchar *title);
void deim_history_free (DeimHistory *history);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (DeimHistory, deim_history_free)

/* The result with the highest AP, the first of equals; NULL where none was measured. */
const DeimEpochResult *deim_history_best (const DeimHistory *history);

/*
 * Writes a line per epoch under a line of names, numbers with nine digits and a
 * point; the file appears whole or not at all. DEIM_ERROR_WRITE.
 */
gboolean deim_history_write_csv (const DeimHistory *history, const gchar *path, GError **error);

/*
 * Adds the epochs below @end of a file that deim_history_write_csv() wrote, for
 * a training that goes on from there. DEIM_ERROR_NOT_FOUND, DEIM_ERROR_READ,
 * DEIM_ERROR_FORMAT naming file and line.
 */
gboolean deim_history_read_csv (DeimHistory *history, const gchar *path, guint end, GError **error);

/* A page with curves and a table; needs no other file and no script. @notes: (nullable) lines under the title. */
gboolean deim_history_write_report (const DeimHistory *history, const gchar *const *notes, const gchar *path,
                                    GError **error);
