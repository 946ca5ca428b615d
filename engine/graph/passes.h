/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * passes.h - rewriting a graph. Results are the same up to
 * rounding; tensors marked as outputs keep their values, others may vanish.
 * The reference executor runs the rewritten graph, too, so that each pass is
 * tested without a device.
 */
#pragma once

#include "graph.h"

/* Weights: BatchNorm into the convolution before it (in double), RepVGG's 3x3 + 1x1 into one 3x3. */
void deim_graph_fold (DeimGraph *graph);

/*
 * The one pass of training, before deim_graph_differentiate(): relu or silu, and a learnable affine block behind that,
 * go into the BatchNorm before them, whose gradient knows them. Of everything else gradients need what lies between.
 */
void deim_graph_fuse_training (DeimGraph *graph);

/* Nodes: activation, learnable affine block and residual into the convolution before them; a sum into the 1x1
 * convolution or the norm after it, and a sum of products into the norm; a residual into the upsampling before it;
 * slices that are joined again. Run deim_graph_fold() first. */
void deim_graph_fuse (DeimGraph *graph);

/* Nodes: convolutions of one input that differ in their weights alone become one, whose result is sliced; also where a
 * sum went into one of them and not into the other. @slice: that
 * operator. Run deim_graph_fuse() first: what was fused may differ, or no longer. */
void deim_graph_merge (DeimGraph *graph, const DeimOp *slice);

/* All of these: what a device runs. */
void deim_graph_optimise (DeimGraph *graph, const DeimOp *slice);
