/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * reference.h - runs a graph on the CPU with the references of its ops: the
 * specification that devices are compared with. Any graph, before or after
 * the passes.
 */
#pragma once

#include "engine/graph/graph.h"

/* The values of one input: dense [n][c][h][w], as many as its shape says; read during the call only. */
typedef struct {
  const DeimTensor *tensor;
  const gfloat *data;
} DeimFeed;

typedef struct {
  /* Keep the tensors that deim_graph_tap() named, beside the graph's outputs, which are always kept. */
  gboolean keep_taps;
  /* Called after each node, in order, with the node's dense outputs: to compare taps, or to show progress. The
   * arrays live during the call; of DEIM_TYPE_INT they are int32. May be NULL. FALSE stops the run without an error. */
  gboolean (*inspect) (const DeimNode *node, const gfloat *const *out, gpointer data);
  gpointer inspect_data;
} DeimReferenceOptions;

typedef struct _DeimReferenceRun DeimReferenceRun;

/*
 * Runs all nodes in order. Every input that a node reads must be fed
 * (DEIM_ERROR_SETTINGS names one that is not). @options may be NULL. A run
 * that @inspect stopped is a success; what was not reached reads as NULL.
 * Memory: intermediates are freed after their last reader.
 * Thread-safety: runs of one graph may go on at the same time; the graph is only read.
 */
gboolean deim_reference_run (DeimGraph *graph, const DeimFeed *feeds, guint n_feeds,
                             const DeimReferenceOptions *options, DeimReferenceRun **ret_run, GError **error);
void deim_reference_run_free (DeimReferenceRun *run);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (DeimReferenceRun, deim_reference_run_free)

/* The dense values of a kept tensor, which belong to @run; NULL if it was not kept or is of the other type. */
const gfloat *deim_reference_get (const DeimReferenceRun *run, const DeimTensor *tensor);
const gint32 *deim_reference_get_int (const DeimReferenceRun *run, const DeimTensor *tensor);
