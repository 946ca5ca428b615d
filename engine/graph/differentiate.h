/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * differentiate.h - reverse-mode differentiation: appends to a graph the nodes
 * that make gradients of a loss, which is outside of the graph.
 *
 *     outputs ──► (loss, on the host) ──► seeds: one input for each output, d loss / d output
 *                                           │
 *     parameter->gradient ◄── nodes ◄───────┘   node->backward is set; node by node in reverse order
 *
 * A gradient is needed of the tensors that are `trained`, and of those between them and the outputs. Where several
 * nodes read a tensor, their contributions are summed in a fixed order. Nothing flows through an op without a
 * `gradient` (topk, detach).
 *
 * Differentiate the graph as it was built; the passes (passes.h) are for inference.
 */
#pragma once

#include "graph.h"

/* How contributions are summed. The graph knows no op, so its caller names these (deim_accumulation, ops.h). */
typedef struct {
  DeimTensor *(*add) (DeimGraph *graph, DeimTensor *a, DeimTensor *b);
  DeimTensor *(*concat) (DeimGraph *graph, DeimTensor *const *x, guint n, gboolean channels);
  /* A tensor of @shape: @sum (NULL: zeros) + @part, which begins at channel or position @start. */
  DeimTensor *(*place) (DeimGraph *graph, DeimTensor *sum, DeimTensor *part, DeimShape shape, gboolean channels,
                        gint start);
} DeimAccumulation;

/*
 * Makes an input "seed.NAME" (or "seed.I" where an output has no name) for each of the @n @outputs, and sets
 * `gradient` of each trained tensor that they depend on, and marks those gradients as outputs. All that it makes is
 * `keep_fp32`. @ret_seeds [n]: NULL where an output depends on nothing that is trained. DEIM_ERROR_ARCHITECTURE where
 * an op cannot do what is asked of it.
 */
gboolean deim_graph_differentiate (DeimGraph *graph, const DeimAccumulation *accumulation, DeimTensor *const *outputs,
                                   guint n, DeimTensor **ret_seeds, GError **error);

/* ------------------------------------------------- for the ops' `gradient` */

/* The graph to append to. */
DeimGraph *deim_backward_graph (DeimBackward *backward);
/* Whether anybody needs the gradient of @tensor (which may be NULL). */
gboolean deim_backward_wants (const DeimBackward *backward, const DeimTensor *tensor);
/* A contribution to the gradient of @tensor, of its shape. */
void deim_backward_give (DeimBackward *backward, DeimTensor *tensor, DeimTensor *gradient);
/* A contribution to channels (or positions) @start and following only. */
void deim_backward_give_part (DeimBackward *backward, DeimTensor *tensor, DeimTensor *gradient, gboolean channels,
                              gint start);
