/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ranks-alone.c - in place of ranks-mpi.c where the build has no MPI. */
#include "ranks-private.h"

#include <deim.h>

DeimRanks *
deim_ranks_join_mpi (guint started, DeimLastWords last_words, GError **error)
{
  g_set_error (
      error, DEIM_ERROR, DEIM_ERROR_UNSUPPORTED,
      "%u processes were started, but this was built without MPI, so that each of them would train on its own: "
      "install MPI's development files (Debian: libopenmpi-dev), run \"meson setup --reconfigure\" and build "
      "again, or start one process",
      started);
  return NULL;
}
