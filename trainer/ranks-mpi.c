/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ranks-mpi.c - MPI as a transport. Its default for errors stays: where a process is lost, the others end, too, and its
 * launcher says which one it was.
 */
#include "ranks-private.h"

#include <deim.h>
/* The header of Open MPI is C++ as well, and has another style. */
#define OMPI_SKIP_MPICXX 1
#include <mpi.h>
#include <string.h>

/* Counts are int, so what is longer goes in pieces. */
#define PIECE ((gsize) 1 << 28)

static void
sum (gfloat *values, gsize n, gpointer data)
{
  for (gsize at = 0; at < n; at += PIECE)
    MPI_Allreduce (MPI_IN_PLACE, values + at, (int) MIN (PIECE, n - at), MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
}

static void
gather (gconstpointer own, gsize bytes, gpointer ret_all, gpointer data)
{
  MPI_Allgather (own, (int) bytes, MPI_BYTE, ret_all, (int) bytes, MPI_BYTE, MPI_COMM_WORLD);
}

static void
send (gpointer bytes, gsize n, gpointer data)
{
  for (gsize at = 0; at < n; at += PIECE)
    MPI_Bcast ((guint8 *) bytes + at, (int) MIN (PIECE, n - at), MPI_BYTE, 0, MPI_COMM_WORLD);
}

static void
abandon (gpointer data)
{
  MPI_Abort (MPI_COMM_WORLD, 1);
}

static void
leave (gpointer data)
{
  MPI_Finalize ();
}

static const DeimTransport transport = { sum, gather, send, abandon, leave };

DeimRanks *
deim_ranks_join_mpi (guint started, DeimLastWords last_words, GError **error)
{
  gchar version[MPI_MAX_LIBRARY_VERSION_STRING];
  int index, count, length, level;

  MPI_Init_thread (NULL, NULL, MPI_THREAD_FUNNELED, &level);
  MPI_Comm_rank (MPI_COMM_WORLD, &index);
  MPI_Comm_size (MPI_COMM_WORLD, &count);
  if ((guint) count == started)
    return deim_ranks_new ((guint) index, (guint) count, &transport, NULL, last_words);
  MPI_Get_library_version (version, &length);
  MPI_Finalize ();
  *strchrnul (version, ',') = '\0';
  g_set_error (error, DEIM_ERROR, DEIM_ERROR_UNSUPPORTED,
               "%u processes were started, but MPI finds %d: this was built with %s; start it with the mpirun that "
               "belongs to that",
               started, count, version);
  return NULL;
}
