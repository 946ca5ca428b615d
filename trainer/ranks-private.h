/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ranks-private.h - what ranks.c asks of the one file that knows MPI, or knows that there is none. */
#pragma once

#include "ranks.h"

/* @started: how many processes the launcher says it started. */
DeimRanks *deim_ranks_join_mpi (guint started, DeimLastWords last_words, GError **error);
