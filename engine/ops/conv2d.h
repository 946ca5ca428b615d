/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* conv2d.h - what the kernels of a convolution share on the host's side. Nodes are those of deim_conv2d(). */
#pragma once

#include "engine/ops/dispatch.h"

/*
 * Adds the weights of a dense convolution as panels (shaders/conv.comp): per @co4 blocks of output channels the biases,
 * then the weights [tap][ci4][lane][co], and a step of zeros where the number of steps (tap, ci4) is odd.
 */
gint deim_conv2d_add_panels (const DeimNode *node, DeimDispatchList *list, gint co4);

/* The residual; the input, to have something to bind, where there is none. */
DeimTensor *deim_conv2d_get_residual (const DeimNode *node);
/* 1x1, stride 1, no padding. */
gboolean deim_conv2d_is_pointwise (const DeimNode *node);

/* The push constants iw .. pad_left, and residual .. shift, of the kernels of dense convolutions. */
void deim_conv2d_push_geometry (DeimDispatch *d, const DeimDispatchList *list, const DeimNode *node);
void deim_conv2d_push_epilogue (DeimDispatch *d, const DeimEpilogue *epilogue);

/* A dense convolution by shaders/conv_tile.comp (conv2d-tile.c). */
void deim_conv2d_dispatch_tiles (const DeimNode *node, DeimDispatchList *list);
