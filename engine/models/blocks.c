/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/models/blocks.h"

/* Scopes nest only where there is a name. */
static void
enter (DeimGraph *graph, const gchar *scope)
{
  if (scope)
    deim_graph_push_scope (graph, "%s", scope);
}

static void
leave (DeimGraph *graph, const gchar *scope)
{
  if (scope)
    deim_graph_pop_scope (graph);
}

DeimTensor *
deim_block_batch_norm (DeimGraph *graph, DeimTensor *x, const gchar *scope)
{
  if (!x)
    return NULL;
  DeimTrainMode training = deim_graph_get_training (graph);
  if (training == DEIM_TRAIN_ALL_BUT_NORMS)
    deim_graph_set_training (graph, DEIM_TRAIN_NOTHING);
  enter (graph, scope);
  DeimShape shape = { x->shape.c, 1, 1, 1 };
  DeimTensor *weight = deim_param_shaped (graph, "weight", shape);
  DeimTensor *bias = deim_param_shaped (graph, "bias", shape);
  DeimTensor *mean = deim_param_shaped (graph, "running_mean", shape);
  DeimTensor *var = deim_param_shaped (graph, "running_var", shape);
  deim_param_ignore (graph, "num_batches_tracked"); /* training's; absent where the norm is frozen */
  DeimTensor *y = deim_batch_norm (graph, x, weight, bias, mean, var, 1e-5f);
  leave (graph, scope);
  deim_graph_set_training (graph, training);
  return y;
}

DeimTensor *
deim_block_conv_norm (DeimGraph *graph, DeimTensor *x, const gchar *scope, const DeimConvNorm *spec)
{
  if (!x)
    return NULL;
  gint in = x->shape.c;
  gint groups = spec->depthwise ? in : 1;
  gint before = spec->pad_end ? 0 : (spec->kernel - 1) / 2;
  gint after = spec->pad_end ? 1 : before;

  enter (graph, scope);
  deim_graph_push_scope (graph, "%s", spec->conv ? spec->conv : "conv");
  DeimTensor *weight =
      deim_param_shaped (graph, "weight", (DeimShape){ spec->out, in / groups, spec->kernel, spec->kernel });
  DeimTensor *y = deim_conv2d (graph, x, weight, NULL, MAX (spec->stride, 1), groups, before, before, after, after);
  deim_graph_pop_scope (graph);
  y = deim_block_batch_norm (graph, y, spec->norm ? spec->norm : "norm");
  if (spec->act != DEIM_ACT_NONE)
    y = deim_act (graph, y, spec->act);
  if (spec->lab) {
    DeimShape one = { 1, 1, 1, 1 };
    deim_graph_push_scope (graph, "lab");
    DeimTensor *scale = deim_param_shaped (graph, "scale", one);
    y = deim_affine (graph, y, scale, deim_param_shaped (graph, "bias", one));
    deim_graph_pop_scope (graph);
  }
  leave (graph, scope);
  return y;
}

DeimTensor *
deim_block_linear (DeimGraph *graph, DeimTensor *x, const gchar *scope, gint out)
{
  if (!x)
    return NULL;
  enter (graph, scope);
  DeimTensor *weight = deim_param_shaped (graph, "weight", (DeimShape){ out, x->shape.c, 1, 1 });
  DeimTensor *y = deim_linear (graph, x, weight, deim_param_shaped (graph, "bias", (DeimShape){ out, 1, 1, 1 }));
  leave (graph, scope);
  return y;
}

DeimTensor *
deim_block_mlp (DeimGraph *graph, DeimTensor *x, const gchar *scope, gint n, gint hidden, gint out, DeimAct act)
{
  enter (graph, scope);
  for (gint i = 0; i < n; i++) {
    g_autofree gchar *layer = g_strdup_printf ("layers.%d", i);
    x = deim_block_linear (graph, x, layer, i + 1 < n ? hidden : out);
    if (i + 1 < n)
      x = deim_act (graph, x, act);
  }
  leave (graph, scope);
  return x;
}

DeimTensor *
deim_block_layer_norm (DeimGraph *graph, DeimTensor *x, const gchar *scope)
{
  if (!x)
    return NULL;
  enter (graph, scope);
  DeimShape shape = { x->shape.c, 1, 1, 1 };
  DeimTensor *weight = deim_param_shaped (graph, "weight", shape);
  DeimTensor *y = deim_layer_norm (graph, x, weight, deim_param_shaped (graph, "bias", shape), 1e-5f);
  leave (graph, scope);
  return y;
}

DeimTensor *
deim_block_rms_norm (DeimGraph *graph, DeimTensor *x, const gchar *scope)
{
  if (!x)
    return NULL;
  enter (graph, scope);
  DeimTensor *scale = deim_param_shaped (graph, "scale", (DeimShape){ x->shape.c, 1, 1, 1 });
  DeimTensor *y = deim_rms_norm (graph, x, scale, 1e-6f);
  leave (graph, scope);
  return y;
}

DeimTensor *
deim_block_self_attention (DeimGraph *graph, DeimTensor *x, DeimTensor *pos, DeimTensor *groups, const gchar *scope)
{
  if (!x)
    return NULL;
  gint d = x->shape.c;
  deim_graph_push_scope (graph, "%s", scope);
  /* in_proj_weight is [3d, d], rows of q, k, v. q and k read the same tokens, so they are one product. */
  DeimTensor *qk = deim_linear (graph, deim_add (graph, x, pos), deim_param_rows (graph, "in_proj_weight", 0, 2 * d),
                                deim_param_rows (graph, "in_proj_bias", 0, 2 * d));
  DeimTensor *v = deim_linear (graph, x, deim_param_rows (graph, "in_proj_weight", 2 * d, d),
                               deim_param_rows (graph, "in_proj_bias", 2 * d, d));
  DeimTensor *q = deim_slice (graph, qk, TRUE, 0, d);
  DeimTensor *k = deim_slice (graph, qk, TRUE, d, d);
  DeimTensor *y = deim_block_linear (graph, deim_attention (graph, q, k, v, groups, DEIM_HEADS), "out_proj", d);
  deim_graph_tap (graph, y, NULL);
  deim_graph_pop_scope (graph);
  return y;
}

DeimTensor *
deim_block_repvgg (DeimGraph *graph, DeimTensor *x, const gchar *scope)
{
  if (!x)
    return NULL;
  gint c = x->shape.c;
  enter (graph, scope);
  DeimTensor *wide = deim_block_conv_norm (graph, x, "conv1", &(DeimConvNorm){ .out = c, .kernel = 3 });
  DeimTensor *narrow = deim_block_conv_norm (graph, x, "conv2", &(DeimConvNorm){ .out = c, .kernel = 1 });
  DeimTensor *y = deim_act (graph, deim_add (graph, wide, narrow), DEIM_ACT_SILU);
  leave (graph, scope);
  return y;
}

DeimTensor *
deim_block_detach (const DeimBuild *b, DeimTensor *x)
{
  return b->training ? deim_detach (b->graph, x) : x;
}

DeimTensor *
deim_block_keep_fp32 (DeimTensor *x)
{
  if (x)
    x->keep_fp32 = TRUE;
  return x;
}

gfloat *
deim_block_values (const DeimBuild *b, const gchar *name, gsize n)
{
  DeimShape shape;
  gfloat *values = b->source->lookup (b->source->data, name, &shape);
  if (values && (gsize) shape.n * (gsize) shape.c * (gsize) shape.h * (gsize) shape.w == n)
    return values;
  g_free (values);
  return NULL;
}
