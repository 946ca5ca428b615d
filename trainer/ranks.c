/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ranks.c - everything that processes tell each other, made of a transport's few calls. */
#include "ranks-private.h"

#include <deim.h>
#include <string.h>

struct _DeimRanks {
  guint index, count;
  const DeimTransport *transport;
  gpointer data;
  DeimLastWords last_words;
};

DeimRanks *
deim_ranks_new (guint index, guint count, const DeimTransport *transport, gpointer data, DeimLastWords last_words)
{
  DeimRanks *self = g_new0 (DeimRanks, 1);

  self->index = index;
  self->count = count;
  self->transport = transport;
  self->data = data;
  self->last_words = last_words;
  return self;
}

/* How many processes a launcher says it started: Open MPI's, or one that speaks PMI (MPICH, Intel MPI, Slurm). */
static guint
count_started (void)
{
  static const gchar *const names[] = { "OMPI_COMM_WORLD_SIZE", "PMI_SIZE" };
  guint64 count = 0;

  for (guint i = 0; i < G_N_ELEMENTS (names) && count == 0; i++)
    if (g_getenv (names[i]))
      g_ascii_string_to_unsigned (g_getenv (names[i]), 10, 0, G_MAXUINT16, &count, NULL);
  return (guint) count;
}

DeimRanks *
deim_ranks_join (DeimLastWords last_words, GError **error)
{
  guint started = count_started ();
  return started > 1 ? deim_ranks_join_mpi (started, last_words, error) : deim_ranks_new (0, 1, NULL, NULL, last_words);
}

void
deim_ranks_free (DeimRanks *self)
{
  if (!self)
    return;
  if (self->transport)
    self->transport->leave (self->data);
  g_free (self);
}

guint
deim_ranks_get_count (const DeimRanks *self)
{
  return self ? self->count : 1;
}

guint
deim_ranks_get_index (const DeimRanks *self)
{
  return self ? self->index : 0;
}

static gboolean
is_alone (const DeimRanks *self)
{
  return deim_ranks_get_count (self) == 1;
}

guint
deim_ranks_count_here (DeimRanks *self)
{
  guint count = deim_ranks_get_count (self), lower = 0;
  gchar own[64] = "";
  g_autofree gchar *all = g_malloc (count * sizeof own);

  g_strlcpy (own, g_get_host_name (), sizeof own);
  deim_ranks_gather (self, own, sizeof own, all);
  for (guint i = 0; i < deim_ranks_get_index (self); i++)
    lower += g_str_equal (all + i * sizeof own, own);
  return lower;
}

/* ------------------------------------------------------------------- numbers */

void
deim_ranks_sum (DeimRanks *self, gfloat *values, gsize n)
{
  if (!is_alone (self))
    self->transport->sum (values, n, self->data);
}

void
deim_ranks_gather (DeimRanks *self, gconstpointer own, gsize bytes, gpointer ret_all)
{
  if (is_alone (self))
    memcpy (ret_all, own, bytes);
  else
    self->transport->gather (own, bytes, ret_all, self->data);
}

void
deim_ranks_send (DeimRanks *self, gpointer bytes, gsize n)
{
  if (!is_alone (self))
    self->transport->send (bytes, n, self->data);
}

void
deim_ranks_sum_doubles (DeimRanks *self, gdouble *values, guint n)
{
  guint count = deim_ranks_get_count (self);
  g_autofree gdouble *all = g_new (gdouble, (gsize) count * n);

  deim_ranks_gather (self, values, n * sizeof *values, all);
  for (guint k = 0; k < n; k++) {
    values[k] = 0;
    for (guint i = 0; i < count; i++)
      values[k] += all[i * n + k];
  }
}

/* One number of each, in the order of ranks. Free with g_free(). */
static guint *
gather_numbers (DeimRanks *self, guint own)
{
  guint *all = g_new (guint, deim_ranks_get_count (self));

  deim_ranks_gather (self, &own, sizeof own, all);
  return all;
}

static guint
find_most (const guint *values, guint n)
{
  guint most = 0;

  for (guint i = 0; i < n; i++)
    most = MAX (most, values[i]);
  return most;
}

guint
deim_ranks_most (DeimRanks *self, guint value)
{
  g_autofree guint *all = gather_numbers (self, value);

  return find_most (all, deim_ranks_get_count (self));
}

guint
deim_ranks_any (DeimRanks *self, guint flags)
{
  g_autofree guint *all = gather_numbers (self, flags);

  for (guint i = 0; i < deim_ranks_get_count (self); i++)
    flags |= all[i];
  return flags;
}

/* Pieces of different lengths travel as if all had that of the longest. */
void
deim_ranks_join_arrays (DeimRanks *self, GArray *array)
{
  if (is_alone (self))
    return;
  guint count = deim_ranks_get_count (self), own = array->len;
  g_autofree guint *lengths = gather_numbers (self, own);
  gsize size = g_array_get_element_size (array), longest = find_most (lengths, count);
  g_autofree guint8 *all = g_malloc (MAX (count * longest * size, 1));

  g_array_set_size (array, (guint) longest);
  memset (array->data + own * size, 0, (longest - own) * size);
  deim_ranks_gather (self, array->data, longest * size, all);
  g_array_set_size (array, 0);
  for (guint i = 0; i < count; i++)
    g_array_append_vals (array, all + i * longest * size, lengths[i]);
}

/* ------------------------------------------------------------------ failures */

/* What a process has to say: a message of so many bytes, or 0. */
typedef struct {
  guint length;
  gint code;
  gchar host[64];
} Report;

static GError *
choose_error (const DeimRanks *self, const Report *reports, const gchar *messages, guint longest)
{
  guint first = 0;
  gboolean same = TRUE;

  while (reports[first].length == 0)
    first++;
  const gchar *message = messages + first * longest;
  for (guint i = 0; i < self->count; i++)
    same = same && reports[i].length && g_str_equal (messages + i * longest, message);
  if (same)
    return g_error_new_literal (DEIM_ERROR, reports[first].code, message);
  return g_error_new (DEIM_ERROR, reports[first].code, "process %u of %u, on %s: %s", first + 1, self->count,
                      reports[first].host, message);
}

gboolean
deim_ranks_agree (DeimRanks *self, GError *own, GError **error)
{
  if (is_alone (self)) {
    if (own)
      g_propagate_error (error, own);
    return own == NULL;
  }
  g_autoptr (GError) mine = own;
  g_autofree Report *reports = g_new0 (Report, self->count);
  Report report = { .length = mine ? (guint) strlen (mine->message) + 1 : 0,
                    .code = mine && mine->domain == DEIM_ERROR ? mine->code : DEIM_ERROR_READ };
  g_strlcpy (report.host, g_get_host_name (), sizeof report.host);
  deim_ranks_gather (self, &report, sizeof report, reports);
  guint longest = 0;
  for (guint i = 0; i < self->count; i++)
    longest = MAX (longest, reports[i].length);
  if (longest == 0)
    return TRUE;
  g_autofree gchar *message = g_malloc0 (longest), *messages = g_malloc0 ((gsize) self->count * longest);
  if (mine)
    memcpy (message, mine->message, report.length);
  deim_ranks_gather (self, message, longest, messages);
  g_propagate_error (error, choose_error (self, reports, messages, longest));
  return FALSE;
}

gboolean
deim_ranks_abandon (DeimRanks *self, GError *own, GError **error)
{
  if (!is_alone (self)) {
    g_autofree gchar *words =
        g_strdup_printf ("process %u of %u, on %s: %s", self->index + 1, self->count, g_get_host_name (), own->message);
    if (self->last_words)
      self->last_words (words);
    self->transport->abandon (self->data);
  }
  g_propagate_error (error, own);
  return FALSE;
}
