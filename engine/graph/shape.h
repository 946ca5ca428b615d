/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* shape.h - shapes in messages and comparisons. */
#pragma once

#include "engine/graph/graph.h"

#define DEIM_SHAPE_FORMAT  "[%d, %d, %d, %d]"
#define DEIM_SHAPE_ARGS(s) (s).n, (s).c, (s).h, (s).w

static inline gboolean
deim_shape_equal (DeimShape a, DeimShape b)
{
  return a.n == b.n && a.c == b.c && a.h == b.h && a.w == b.w;
}
