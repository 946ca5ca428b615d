/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ranks.h - the processes that train together, each with its part of every batch: who they are, and how they talk. All
 * of them make the same calls in the same order; each call waits for the others. Rank 0 is the first.
 *
 * What goes wrong at one process alone must not leave the others waiting. So each stage of the work ends with
 * deim_ranks_agree(), which fails everywhere what failed somewhere. In the middle of a step, where the others are in
 * calls of their own, there is only deim_ranks_abandon().
 *
 * Everything takes NULL for a process that is alone; then it is cheap, and nothing is sent. Thread-safety: one thread
 * at a time.
 */
#pragma once

#include <glib.h>

typedef struct _DeimRanks DeimRanks;

/* How bytes get from process to process. None of these can fail: where a process is lost, all end. */
typedef struct {
  void (*sum) (gfloat *values, gsize n, gpointer data);
  void (*gather) (gconstpointer own, gsize bytes, gpointer ret_all, gpointer data); /* in the order of ranks */
  void (*send) (gpointer bytes, gsize n, gpointer data);                            /* from rank 0 to all */
  void (*abandon) (gpointer data);                                                  /* ends all, does not return */
  void (*leave) (gpointer data);
} DeimTransport;

/* What is said before deim_ranks_abandon() ends all; NULL: nothing. */
typedef void (*DeimLastWords) (const gchar *message);

/* For @count processes that have found each other by other means. @transport lives as long. */
DeimRanks *deim_ranks_new (guint index, guint count, const DeimTransport *transport, gpointer data,
                           DeimLastWords last_words);

/*
 * Joins the processes that mpirun started with this one, once in a program; where it was started alone, is alone.
 * DEIM_ERROR_UNSUPPORTED where there are others but this build knows no MPI, or another one than they were started by.
 */
DeimRanks *deim_ranks_join (DeimLastWords last_words, GError **error);
void deim_ranks_free (DeimRanks *ranks);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (DeimRanks, deim_ranks_free)

guint deim_ranks_get_count (const DeimRanks *ranks);
guint deim_ranks_get_index (const DeimRanks *ranks);
/* How many lower ranks run on the same machine, by its name. */
guint deim_ranks_count_here (DeimRanks *ranks);

/* Adds @values up over all. */
void deim_ranks_sum (DeimRanks *ranks, gfloat *values, gsize n);
void deim_ranks_sum_doubles (DeimRanks *ranks, gdouble *values, guint n); /* few: in the order of ranks */
guint deim_ranks_most (DeimRanks *ranks, guint value);
guint deim_ranks_any (DeimRanks *ranks, guint flags); /* those that are set anywhere */

/* @bytes of everyone, as many of each, in the order of ranks. */
void deim_ranks_gather (DeimRanks *ranks, gconstpointer own, gsize bytes, gpointer ret_all);
/* Elements of everyone's @array, however many, replace it. */
void deim_ranks_join_arrays (DeimRanks *ranks, GArray *array);
/* What rank 0 has. */
void deim_ranks_send (DeimRanks *ranks, gpointer bytes, gsize n);

/*
 * Whether all is well with everyone. @own: (nullable) (transfer full) what is not, here. Otherwise the error of the
 * first process that has one, and, unless all say the same, which one that is.
 */
gboolean deim_ranks_agree (DeimRanks *ranks, GError *own, GError **error);

/* Takes a failure that the others cannot know of, says it and ends all of them. Alone it returns FALSE, and the
 * error. */
gboolean deim_ranks_abandon (DeimRanks *ranks, GError *own, GError **error);
