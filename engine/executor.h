/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * executor.h - a graph made to run on a device: the one place where graph, ops
 * and gpu meet.
 *
 *     graph ─ fold ─ fuse ─ merge ─► layouts ─► dispatches ─► arena plan ─► pipelines, weights   DeimExecutor (once)
 *                                                                    └► arena, commands     DeimRun (one a slot)
 *
 * A differentiated graph runs in two phases, each a command buffer of its own: what computes the outputs, and (nodes
 * that are `backward`) what computes gradients from the seeds, which come in between. Inputs are copied in at the
 * beginning of the phase that first reads them, outputs are copied out at the end of the phase that makes them. Where
 * processes share a batch, a phase is cut where they put together what they have (deim_dispatch_gather()).
 *
 * Invariants:
 *  1. Everything a run needs is made by deim_run_new(); submitting allocates nothing.
 *  2. A barrier stands between two dispatches exactly where one touches bytes that the other writes.
 *  3. A run's arena is its own; weights are shared by all runs and never written after deim_executor_new().
 *  4. Resident tensors belong to the caller, who alone decides when they change between submits.
 */
#pragma once

#include "engine/deim.h"
#include "engine/gpu/gpu.h"
#include "engine/graph/graph.h"
#include "engine/ops/tuning.h"
#include "engine/share.h"

/* Thread-safety: immutable after creation; any number of threads may make runs of it. */
typedef struct _DeimExecutor DeimExecutor;

/*
 * Takes @graph, whose inputs and outputs are its DEIM_TENSOR_INPUT tensors and
 * those marked by deim_graph_mark_output(). @optimise: fold, fuse and merge first
 * (tests of single ops go without). @precision: deim_device_check()'s answer. @tuning: (nullable): whose variants
 * operators prefer, read during the call only. Errors: those of the device, and
 * DEIM_ERROR_UNSUPPORTED for a graph that no kernel serves.
 */
DeimExecutor *deim_executor_new (DeimGpu *gpu, DeimGraph *graph, DeimPrecision precision, gboolean optimise,
                                 const DeimTuning *tuning, GError **error);

/* A plain tensor that lies in a buffer of the caller's: a trained parameter, or its gradient. */
typedef struct {
  DeimTensor *tensor;
  gsize offset; /* bytes, a multiple of deim_executor_alignment() */
} DeimResident;

/* For training: without passes, with tensors that are not kept in fp32 stored as fp16 if @half, and with @n @residents
 * in @buffer, which must live as long as runs do. @share is copied. */
DeimExecutor *deim_executor_new_training (DeimGpu *gpu, DeimGraph *graph, gboolean half, const DeimGpuBuffer *buffer,
                                          const DeimResident *residents, guint n, const DeimShare *share,
                                          GError **error);
/* What offsets of residents are multiples of. */
gsize deim_executor_alignment (DeimGpu *gpu);
void deim_executor_free (DeimExecutor *executor);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (DeimExecutor, deim_executor_free)

DeimGraph *deim_executor_get_graph (DeimExecutor *executor); /* (transfer none) */
guint deim_executor_get_n_dispatches (const DeimExecutor *executor);
gsize deim_executor_get_arena_bytes (const DeimExecutor *executor);
gsize deim_executor_get_weight_bytes (const DeimExecutor *executor);
/* Name, op, stage and arithmetic of dispatch @index; `ms` is left 0. */
void deim_executor_describe_dispatch (const DeimExecutor *executor, guint index, DeimProfileEntry *ret);

typedef enum {
  DEIM_RUN_HOST_INPUTS = 1 << 0, /* inputs come through deim_run_write(), else a kernel writes deim_run_get_slot() */
  DEIM_RUN_TIMESTAMPS = 1 << 1,  /* a mark before the first and after every dispatch */
  DEIM_RUN_POISON = 1 << 2,      /* the arena starts as NaN: how tests, and the self-test, find unwritten elements */
  DEIM_RUN_PARTIAL = 1 << 3,     /* it can compute the first entries of a batch alone, any number of them; not of a
                                  * differentiated graph, which mixes entries */
} DeimRunFlags;

/* Thread-safety: one call at a time per run. */
typedef struct _DeimRun DeimRun;

DeimRun *deim_run_new (DeimExecutor *executor, DeimRunFlags flags, GError **error);
void deim_run_free (DeimRun *run); /* waits until it is no longer pending; before its executor */
G_DEFINE_AUTOPTR_CLEANUP_FUNC (DeimRun, deim_run_free)

/* What computes the first @entries of the batch, for the next submit; without DEIM_RUN_PARTIAL that is all of them.
 * Of a differentiated graph: the first phase. */
DeimCommands *deim_run_get_commands (DeimRun *run, guint entries);
/* Where @tensor lies in the run's arena. @ret_half: stored as fp16. */
void deim_run_get_slot (DeimRun *run, const DeimTensor *tensor, DeimSlot *ret_slot, gboolean *ret_half);
/* Puts dense [n][c][h][w] values of input @tensor in place for the next submit: gfloat, int32 for integer tensors. */
void deim_run_write (DeimRun *run, const DeimTensor *tensor, gconstpointer dense);
/* Fetches output @tensor after the run has finished, dense; int32 for integer tensors. */
void deim_run_read (DeimRun *run, const DeimTensor *tensor, gpointer dense);
/* The same for one entry of the batch: [c][h][w]. */
void deim_run_read_entry (DeimRun *run, const DeimTensor *tensor, guint entry, gpointer dense);
/* Milliseconds of every dispatch of the last finished run; FALSE where not measured. */
gboolean deim_run_get_times (DeimRun *run, gdouble *ret_ms);
/* Submits all of it and waits. Not of what processes share. */
gboolean deim_run_execute (DeimRun *run, GError **error);
/* Phase 0 or, of a differentiated graph, 1. */
gboolean deim_run_execute_phase (DeimRun *run, guint phase, GError **error);
