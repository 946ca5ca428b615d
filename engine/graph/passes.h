/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * passes.h - rewriting a graph for inference. Results are the same up to
 * rounding; tensors marked as outputs keep their values, others may vanish.
 * The reference executor runs the rewritten graph, too, so that each pass is
 * tested without a device.
 */
#pragma once

#include "graph.h"

/* Weights: BatchNorm into the convolution before it (in double), RepVGG's 3x3 + 1x1 into one 3x3. */
void deim_graph_fold (DeimGraph *graph);

/* Nodes: activation, learnable affine block and residual into the convolution before them; a sum into the 1x1
 * convolution after it; a sum, gated or not, into the norm after it; a sum into the upsampling before it; slices that
 * are joined again. Run deim_graph_fold() first. */
void deim_graph_fuse (DeimGraph *graph);

/* Convolutions of one input, alike in all but their weights, become one, with slices (the operator @slice) behind it.
 * Run it after deim_graph_fuse(), which makes more of them alike, and before another deim_graph_fuse(): sums that
 * several convolutions read have one reader then. */
void deim_graph_merge (DeimGraph *graph, const DeimOp *slice);
