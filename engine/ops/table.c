/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* table.c - all operators, one line each. */
#include "engine/ops/op.h"
#include <string.h>

extern const DeimOp deim_op_conv2d, deim_op_batch_norm, deim_op_act, deim_op_affine, deim_op_add, deim_op_mul,
    deim_op_concat, deim_op_slice, deim_op_flatten, deim_op_unflatten, deim_op_max_pool, deim_op_avg_pool,
    deim_op_upsample2x, deim_op_global_mean, deim_op_layer_norm, deim_op_rms_norm, deim_op_attention, deim_op_topk,
    deim_op_gather, deim_op_deform_attn, deim_op_fdr, deim_op_lqe_stats, deim_op_detections;
/* of training */
extern const DeimOp deim_op_detach, deim_op_embedding, deim_op_place, deim_op_sum_to, deim_op_repeat_to,
    deim_op_channel_sum, deim_op_act_grad, deim_op_affine_grad, deim_op_batch_norm_grad, deim_op_conv2d_grad_input,
    deim_op_conv2d_grad_weight, deim_op_layer_norm_grad, deim_op_rms_norm_grad, deim_op_max_pool_grad,
    deim_op_avg_pool_grad, deim_op_attention_grad, deim_op_gather_grad, deim_op_embedding_grad,
    deim_op_deform_attn_grad_value, deim_op_deform_attn_grad_points, deim_op_fdr_grad, deim_op_lqe_stats_grad;

const DeimOp *const deim_op_table[] = {
  &deim_op_conv2d,
  &deim_op_batch_norm,
  &deim_op_act,
  &deim_op_affine,
  &deim_op_add,
  &deim_op_mul,
  &deim_op_concat,
  &deim_op_slice,
  &deim_op_flatten,
  &deim_op_unflatten,
  &deim_op_max_pool,
  &deim_op_avg_pool,
  &deim_op_upsample2x,
  &deim_op_global_mean,
  &deim_op_layer_norm,
  &deim_op_rms_norm,
  &deim_op_attention,
  &deim_op_topk,
  &deim_op_gather,
  &deim_op_deform_attn,
  &deim_op_fdr,
  &deim_op_lqe_stats,
  &deim_op_detections,
  &deim_op_detach,
  &deim_op_embedding,
  &deim_op_place,
  &deim_op_sum_to,
  &deim_op_repeat_to,
  &deim_op_channel_sum,
  &deim_op_act_grad,
  &deim_op_affine_grad,
  &deim_op_batch_norm_grad,
  &deim_op_conv2d_grad_input,
  &deim_op_conv2d_grad_weight,
  &deim_op_layer_norm_grad,
  &deim_op_rms_norm_grad,
  &deim_op_max_pool_grad,
  &deim_op_avg_pool_grad,
  &deim_op_attention_grad,
  &deim_op_gather_grad,
  &deim_op_embedding_grad,
  &deim_op_deform_attn_grad_value,
  &deim_op_deform_attn_grad_points,
  &deim_op_fdr_grad,
  &deim_op_lqe_stats_grad,
  NULL,
};

const DeimOp *
deim_op_find (const gchar *name)
{
  for (guint i = 0; deim_op_table[i]; i++)
    if (!strcmp (deim_op_table[i]->name, name))
      return deim_op_table[i];
  return NULL;
}
