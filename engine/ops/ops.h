/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ops.h - the operations a network is written in. Each function appends one
 * node to the graph, checks its operands' shapes, and returns the output, or
 * NULL after the first error (see graph.h). The function lives in the file of
 * its operator, engine/ops/NAME.c.
 */
#pragma once

#include "../graph/differentiate.h"

/* Each appends one node and returns its output. Names follow PyTorch where there is one. */

/* torch.nn.functional.conv2d. weight [out, in/groups, k, k]; bias [out] or NULL; pads top, left, bottom, right. */
DeimTensor *deim_conv2d (DeimGraph *graph, DeimTensor *x, DeimTensor *weight, DeimTensor *bias, gint stride,
                         gint groups, gint pad_top, gint pad_left, gint pad_bottom, gint pad_right);
/* torch.nn.functional.linear over the channels of tokens [n, in, 1, T]: a 1x1 deim_conv2d(). */
DeimTensor *deim_linear (DeimGraph *graph, DeimTensor *x, DeimTensor *weight, DeimTensor *bias);
/* BatchNorm2d: (x - mean) / sqrt (var + eps) * weight + bias, where @weight is trained with the mean and biased
 * variance of the batch in place of @mean and @var. */
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
/* softmax (q k^T / sqrt (d / heads)) v per head, on projected tokens [n, d, 1, T]. @groups [1, 1, 1, T] (NULL: all see
 * all): a query sees the keys of group 0 and of its own group. */
DeimTensor *deim_attention (DeimGraph *graph, DeimTensor *q, DeimTensor *k, DeimTensor *v, DeimTensor *groups,
                            gint heads);
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
/* Rows of a plain table [rows, d] as tokens: index int [n, 1, 1, k] -> [n, d, 1, k]. Row @padding (-1: none) is not
 * trained. */
DeimTensor *deim_embedding (DeimGraph *graph, DeimTensor *weight, DeimTensor *index, gint padding);
/* torch.Tensor.detach(): x, through which no gradient flows back. */
DeimTensor *deim_detach (DeimGraph *graph, DeimTensor *x);
/* The best k (query, class) pairs by logit: logits [n, C, 1, Q], boxes [n, 4, 1, Q] -> [n, 8, 1, k] with rows
 * score (sigmoid), class, query, 0, cx, cy, w, h; descending. */
DeimTensor *deim_detections (DeimGraph *graph, DeimTensor *logits, DeimTensor *boxes, gint k);

/* ---------------------------------------------------------- of gradients */

/* Sums over batch and positions: [n, c, h, w] -> plain [c]. */
DeimTensor *deim_channel_sum (DeimGraph *graph, DeimTensor *x);
/* Sums of windows of kernel x kernel, side by side: the gradient of a nearest upsampling. */
DeimTensor *deim_sum_pool (DeimGraph *graph, DeimTensor *x, gint kernel);
/* A tensor of @shape: @sum (NULL: zeros) + @part, which begins at channel (or position of tokens) @start. */
DeimTensor *deim_place (DeimGraph *graph, DeimTensor *sum, DeimTensor *part, DeimShape shape, gboolean channels,
                        gint start);
/* The sums of x over the dimensions in which @shape has 1: n, c, or h and w together. x itself if there are none. */
DeimTensor *deim_sum_to (DeimGraph *graph, DeimTensor *x, DeimShape shape);
/* scale * x, repeated where it has 1 and @shape more. */
DeimTensor *deim_repeat_to (DeimGraph *graph, DeimTensor *x, DeimShape shape, gfloat scale);

/* What deim_graph_differentiate() sums contributions with: add, concat and place. */
extern const DeimAccumulation deim_accumulation;
