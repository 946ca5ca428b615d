/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * blocks.h - the small pieces that every network is made of. Each pushes
 * @scope (the module's name, relative to the current scope; NULL: none) for
 * the time of its work.
 */
#pragma once

#include "engine/ops/ops.h"
#include "engine/models/arch.h"

/* What a network is being built from and for. */
typedef struct {
  DeimGraph *graph;
  const DeimArch *arch;
  const DeimParamSource *source; /* for values that become attributes */
  gint batch, height, width;
  gboolean training; /* all decoder layers, with gradients stopped where the official code stops them; */
  gint denoising;    /* and so many denoising queries */
} DeimBuild;

/* A convolution without bias, BatchNorm, activation, and in some HGNetv2 a learnable affine block. */
typedef struct {
  const gchar *conv, *norm; /* names inside the scope; NULL: "conv" and "norm" */
  gint out, kernel;
  gint stride; /* 0: 1 */
  gboolean depthwise;
  gboolean pad_end; /* one zero right and below, for 2x2 kernels; else (kernel - 1) / 2 on all sides */
  DeimAct act;
  gboolean lab; /* after the activation: "lab" */
} DeimConvNorm;

DeimTensor *deim_block_conv_norm (DeimGraph *graph, DeimTensor *x, const gchar *scope, const DeimConvNorm *spec);

DeimTensor *deim_block_batch_norm (DeimGraph *graph, DeimTensor *x, const gchar *scope);

/* weight [out, in], bias [out] */
DeimTensor *deim_block_linear (DeimGraph *graph, DeimTensor *x, const gchar *scope, gint out);

/* layers.0 .. layers.n-1, @act between them: in -> hidden -> .. -> out */
DeimTensor *deim_block_mlp (DeimGraph *graph, DeimTensor *x, const gchar *scope, gint n, gint hidden, gint out,
                            DeimAct act);

/* LayerNorm, eps 1e-5. */
DeimTensor *deim_block_layer_norm (DeimGraph *graph, DeimTensor *x, const gchar *scope);
/* RMSNorm, eps 1e-6, parameter "scale". */
DeimTensor *deim_block_rms_norm (DeimGraph *graph, DeimTensor *x, const gchar *scope);

/* torch.nn.MultiheadAttention over tokens: q = k = x + pos, v = x. pos has x's shape, or its shape with n = 1. @groups:
 * see deim_attention(). */
DeimTensor *deim_block_self_attention (DeimGraph *graph, DeimTensor *x, DeimTensor *pos, DeimTensor *groups,
                                       const gchar *scope);

/* RepVGG: SiLU (BN (3x3) + BN (1x1)), channels unchanged. */
DeimTensor *deim_block_repvgg (DeimGraph *graph, DeimTensor *x, const gchar *scope);

/* @x, through which no gradient flows: a node in training, nothing in evaluation. */
DeimTensor *deim_block_detach (const DeimBuild *b, DeimTensor *x);

/* Never stored as fp16. Returns @x. */
DeimTensor *deim_block_keep_fp32 (DeimTensor *x);

/* The values of a parameter of @n numbers (absolute name) that becomes attributes; NULL if it is absent or of another
 * size. Counts as known. Free with g_free(). */
gfloat *deim_block_values (const DeimBuild *b, const gchar *name, gsize n);
