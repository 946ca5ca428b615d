/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ops.h - the operations a network is written in. Each function appends one
 * node to the graph, checks its operands' shapes, and returns the output, or
 * NULL after the first error (see graph.h). The function lives in the file of
 * its operator, engine/ops/NAME.c.
 */
#pragma once

#include "../graph/graph.h"

/* Each appends one node and returns its output. Names follow PyTorch where there is one. */

/* torch.nn.functional.conv2d. weight [out, in/groups, k, k]; bias [out] or NULL; pads top, left, bottom, right. */
DeimTensor *deim_conv2d (DeimGraph *graph, DeimTensor *x, DeimTensor *weight, DeimTensor *bias, gint stride,
                         gint groups, gint pad_top, gint pad_left, gint pad_bottom, gint pad_right);
/* torch.nn.functional.linear over the channels of tokens [n, in, 1, T]: a 1x1 deim_conv2d(). */
DeimTensor *deim_linear (DeimGraph *graph, DeimTensor *x, DeimTensor *weight, DeimTensor *bias);
/* Evaluation-mode BatchNorm2d: (x - mean) / sqrt (var + eps) * weight + bias. */
DeimTensor *deim_batch_norm (DeimGraph *graph, DeimTensor *x, DeimTensor *weight, DeimTensor *bias, DeimTensor *mean,
                             DeimTensor *var, gfloat eps);
/* Elementwise; see DeimAct. */
DeimTensor *deim_act (DeimGraph *graph, DeimTensor *x, DeimAct act);
DeimTensor *deim_clamp (DeimGraph *graph, DeimTensor *x, gfloat lo, gfloat hi);
/* scale * x + bias, both parameters of one number: the learnable affine block of HGNetv2. */
DeimTensor *deim_affine (DeimGraph *graph, DeimTensor *x, DeimTensor *scale, DeimTensor *bias);
/* a + b, a * b. b may have n, c, h = w = 1 where a has more (broadcast). */
DeimTensor *deim_add (DeimGraph *graph, DeimTensor *a, DeimTensor *b);
DeimTensor *deim_mul (DeimGraph *graph, DeimTensor *a, DeimTensor *b);
/* torch.cat along channels, or along positions of tokens (h = 1). At most DEIM_MAX_INPUTS inputs. */
DeimTensor *deim_concat (DeimGraph *graph, DeimTensor *const *x, guint n, gboolean channels);
/* x[:, start : start + count], or the same along positions of tokens. */
DeimTensor *deim_slice (DeimGraph *graph, DeimTensor *x, gboolean channels, gint start, gint count);
/* [n, c, h, w] -> [n, c, 1, h*w] */
DeimTensor *deim_flatten (DeimGraph *graph, DeimTensor *x);
/* [n, c, 1, h*w] -> [n, c, h, w] */
DeimTensor *deim_unflatten (DeimGraph *graph, DeimTensor *x, gint h, gint w);
/* max_pool2d; places outside count as @pad_value (0 or -INFINITY). */
DeimTensor *deim_max_pool (DeimGraph *graph, DeimTensor *x, gint kernel, gint stride, gint pad_top, gint pad_left,
                           gint pad_bottom, gint pad_right, gfloat pad_value);
/* avg_pool2d with count_include_pad: always divides by kernel^2. */
DeimTensor *deim_avg_pool (DeimGraph *graph, DeimTensor *x, gint kernel, gint stride, gint pad);
/* interpolate (scale_factor=2, mode="nearest") */
DeimTensor *deim_upsample2x (DeimGraph *graph, DeimTensor *x);
/* x.mean ((2, 3), keepdim=True) */
DeimTensor *deim_global_mean (DeimGraph *graph, DeimTensor *x);
/* LayerNorm over channels at every position. */
DeimTensor *deim_layer_norm (DeimGraph *graph, DeimTensor *x, DeimTensor *weight, DeimTensor *bias, gfloat eps);
/* x / sqrt (mean (x^2) + eps) * scale, over channels at every position. */
DeimTensor *deim_rms_norm (DeimGraph *graph, DeimTensor *x, DeimTensor *scale, gfloat eps);
/* softmax (q k^T / sqrt (d / heads)) v per head, on projected tokens [n, d, 1, T]. */
DeimTensor *deim_attention (DeimGraph *graph, DeimTensor *q, DeimTensor *k, DeimTensor *v, gint heads);
/* Indices [n,1,1,k] of the k largest scores, descending, lower index first among equals. scores [n, C, 1, T];
 * not flat: a token's score is its largest over C, the index its position; flat: over all, the index is token * C +
 * class. */
DeimTensor *deim_topk (DeimGraph *graph, DeimTensor *scores, gint k, gboolean flat);
/* Columns index / divide of tokens x [n or 1, c, 1, T] -> [n, c, 1, k]. */
DeimTensor *deim_gather (DeimGraph *graph, DeimTensor *x, DeimTensor *index, gint divide);
/* Multi-scale deformable attention's sampling: value [n, d, 1, sum h*w], offsets [n, heads*P*2, 1, Q] ordered
 * [head][point][x,y], weights (before the softmax over P) [n, heads*P, 1, Q], refs [n, 4, 1, Q] cxcywh ->
 * [n, d, 1, Q]. P = sum of points, points ordered by level. */
DeimTensor *deim_deform_attn (DeimGraph *graph, DeimTensor *value, DeimTensor *offsets, DeimTensor *weights,
                              DeimTensor *refs, const DeimDeformAttrs *attrs);
/* D-FINE's distribution integral: corners [n, 4*33, 1, Q] (edges left, top, right, bottom) and initial boxes
 * [n, 4, 1, Q] cxcywh -> boxes [n, 4, 1, Q] cxcywh. */
DeimTensor *deim_fdr (DeimGraph *graph, DeimTensor *corners, DeimTensor *boxes, const DeimFdrAttrs *attrs);
/* Input of D-FINE's LQE: per edge softmax over 33 bins, the 4 largest in descending order and their mean
 * -> [n, 20, 1, Q], edge-major. */
DeimTensor *deim_lqe_stats (DeimGraph *graph, DeimTensor *corners);
/* The best k (query, class) pairs by logit: logits [n, C, 1, Q], boxes [n, 4, 1, Q] -> [n, 8, 1, k] with rows
 * score (sigmoid), class, query, 0, cx, cy, w, h; descending. */
DeimTensor *deim_detections (DeimGraph *graph, DeimTensor *logits, DeimTensor *boxes, gint k);
