/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* util.h - what the operators' files share: checks of builder functions, and pieces of the references. */
#pragma once

#include "engine/graph/shape.h"
#include "engine/ops/op.h"
#include <math.h>

/*
 * What every builder function asks first: FALSE when the graph has failed, and
 * (as an error) when one of the @n required tensors is NULL or not of floats.
 * @n is 0 for a list that may be anything.
 */
gboolean deim_op_ready (DeimGraph *graph, const DeimOp *op, DeimTensor *const *required, guint n);

/* Reports that @a and @b (may be NULL) do not suit @op: names the scope, the op, @what must hold, and both shapes. */
void deim_op_fail_shapes (DeimGraph *graph, const DeimOp *op, const DeimTensor *a, const DeimTensor *b,
                          const gchar *what);

/* Appends a node of one float output; NULL after an error. The output is kept in fp32 where one of @in is. */
DeimNode *deim_op_append (DeimGraph *graph, const DeimOp *op, DeimTensor *const *in, guint n_in, DeimShape shape);

/* Elements of a tensor of @c elements: whether it is a bias, a scale, a mean: {c, 1, 1, 1}. */
static inline gboolean
deim_tensor_is_vector (const DeimTensor *tensor, gint c)
{
  return deim_shape_equal (tensor->shape, (DeimShape){ c, 1, 1, 1 });
}

/* The activation of one number (act.c). */
gdouble deim_act_apply (gdouble x, DeimAct act, gdouble lo, gdouble hi);
/* Its derivative; at corners what PyTorch takes: 0 for relu, 1 at the bounds of a clamp. */
gdouble deim_act_derive (gdouble x, DeimAct act, gdouble lo, gdouble hi);

/* Mean and biased variance of channel @c over batch and positions (batch_norm-grad.c). */
void deim_channel_moments (const gfloat *x, DeimShape shape, gint c, gdouble *ret_mean, gdouble *ret_var);
/* The gradient of BatchNorm in both modes (batch_norm-grad.c). */
void deim_batch_norm_gradient (const DeimNode *node, DeimTensor *dy, DeimBackward *backward);
/* softmax (q k^T / sqrt (hd)) of one head's query @i over @tk keys: q [hd][tq], k [hd][tk] (attention.c). */
void deim_attention_weights (const gfloat *q, const gfloat *k, const gfloat *groups, gint hd, gint tq, gint tk, gint i,
                             gdouble *ret_p);
/* Heads of @tensor are whole blocks: the projections pad a head of 14 channels to 16. */
void deim_attention_heads (DeimChannelSolver *solver, const DeimTensor *tensor, gint heads);
/* The gradient of attention (attention-grad.c). */
void deim_attention_gradient (const DeimNode *node, DeimTensor *dy, DeimBackward *backward);
/* The gradient of deformable attention's sampling (deform_attn-grad.c). */
void deim_deform_attn_gradient (const DeimNode *node, DeimTensor *dy, DeimBackward *backward);
/* The gradient of LayerNorm and RMSNorm (norm-grad.c). */
void deim_norm_gradient (const DeimNode *node, DeimTensor *dy, DeimBackward *backward);
/* The gradient of both poolings (pool-grad.c). */
void deim_pool_gradient (const DeimNode *node, DeimTensor *dy, DeimBackward *backward);

/* The epilogue of a convolution that stores its sum as it is (conv2d.c). */
DeimEpilogue deim_epilogue_none (void);

/*
 * Indices 0 .. n-1 of the @k largest @keys in descending order, the lower
 * index first among equals (topk.c). NaN counts as -infinity, so that it can
 * only come last: PyTorch sorts it first, which would fill a detector's
 * results with garbage.
 */
void deim_top_k (const gfloat *keys, gint n, gint k, gint32 *ret_indices);

/* The same on the device, but for the order, of scores [n, C, 1, T] (see deim_topk()) -> scratch: the candidates of
 * shaders/topk.glsl (topk.c). */
gint deim_dispatch_candidates (DeimDispatchList *list, DeimTensor *scores, gint k, gboolean flat);
