/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* pointwise.h - the dispatch of shaders/elementwise.comp, which several ops share. */
#pragma once

#include "dispatch.h"

typedef enum { DEIM_POINTWISE_UNARY, DEIM_POINTWISE_ADD, DEIM_POINTWISE_MUL, DEIM_POINTWISE_CHANNEL } DeimPointwiseMode;

/* y = act (a op b) * scale + shift. Only the places of a and y count, not their shapes: @positions and @blocks do. */
typedef struct {
  DeimPointwiseMode mode;
  DeimTensor *a, *b, *y;
  gint blob, scratch; /* DEIM_POINTWISE_CHANNEL: [blocks][2] vec4 of factor and summand, in place of b; -1: not this */
  gboolean same_for_all; /* of them there is one pair for all blocks */
  DeimAct act;
  gfloat lo, hi, scale, shift;
  gint first_block, first_position; /* where in y the result begins: a copy into a part of a concatenation */
} DeimPointwise;

/* Plain: act NONE, scale 1. */
DeimPointwise deim_pointwise (DeimPointwiseMode mode, DeimTensor *a, DeimTensor *b, DeimTensor *y);
void deim_dispatch_pointwise (DeimDispatchList *list, const DeimPointwise *p);
