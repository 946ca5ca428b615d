/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * plan.h - places in one arena for blocks of memory that live at known times.
 *
 * Invariant: two blocks whose lives touch never share a byte.
 */
#pragma once

#include <glib.h>

typedef struct {
  gsize size;        /* bytes */
  guint first, last; /* the steps (inclusive) at which it is in use */
  gsize offset;      /* found by deim_plan_solve() */
} DeimPlanBlock;

/* Sets all offsets (multiples of @alignment) and returns the size of the arena. Largest blocks first, each at the
 * lowest place that is free for its whole life. */
gsize deim_plan_solve (DeimPlanBlock *blocks, guint n, gsize alignment);
