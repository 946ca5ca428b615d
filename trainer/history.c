/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* history.c - results.csv, written and read. */
#include "history.h"

#include <deim.h>
#include <math.h>
#include <string.h>

DeimHistory *
deim_history_new (const gchar *title)
{
  DeimHistory *history = g_new (DeimHistory, 1);
  *history = (DeimHistory){ g_strdup (title), g_array_new (FALSE, FALSE, sizeof (DeimEpochResult)) };
  return history;
}

void
deim_history_free (DeimHistory *history)
{
  if (!history)
    return;
  g_free (history->title);
  g_array_unref (history->epochs);
  g_free (history);
}

const DeimEpochResult *
deim_history_best (const DeimHistory *history)
{
  const DeimEpochResult *best = NULL;

  for (guint i = 0; i < history->epochs->len; i++) {
    const DeimEpochResult *result = &g_array_index (history->epochs, DeimEpochResult, i);
    gdouble ap = result->evaluation.numbers[DEIM_EVALUATION_AP];
    if (ap >= 0 && (!best || ap >= best->evaluation.numbers[DEIM_EVALUATION_AP]))
      best = result;
  }
  return best;
}

/* ---------------------------------------------------------------- the file */

#define N_FIXED  5
#define N_FIELDS (N_FIXED + DEIM_LOSS_LAST + DEIM_EVALUATION_LAST)

static const gchar *
field_name (guint field)
{
  static const gchar *const names[N_FIXED + DEIM_LOSS_LAST] = { "epoch",    "iterations", "seconds",   "lr",
                                                                "loss",     "loss_class", "loss_bbox", "loss_giou",
                                                                "loss_fgl", "loss_ddf" };
  return field < G_N_ELEMENTS (names) ? names[field] : deim_evaluation_key (field - G_N_ELEMENTS (names));
}

/* All numbers of a result in the order of the columns. */
static void
to_fields (const DeimEpochResult *result, gdouble fields[N_FIELDS])
{
  const gdouble fixed[N_FIXED] = { result->epoch, (gdouble) result->iterations, result->seconds, result->lr,
                                   result->loss };
  memcpy (fields, fixed, sizeof fixed);
  memcpy (fields + N_FIXED, result->parts, sizeof result->parts);
  memcpy (fields + N_FIXED + DEIM_LOSS_LAST, result->evaluation.numbers, sizeof result->evaluation.numbers);
}

static void
from_fields (const gdouble fields[N_FIELDS], DeimEpochResult *result)
{
  result->epoch = (guint) fields[0];
  result->iterations = (guint64) fields[1];
  result->seconds = fields[2];
  result->lr = fields[3];
  result->loss = fields[4];
  memcpy (result->parts, fields + N_FIXED, sizeof result->parts);
  memcpy (result->evaluation.numbers, fields + N_FIXED + DEIM_LOSS_LAST, sizeof result->evaluation.numbers);
}

static void
append_header (GString *text)
{
  for (guint i = 0; i < N_FIELDS; i++)
    g_string_append_printf (text, "%s%s", i ? "," : "", field_name (i));
  g_string_append_c (text, '\n');
}

gboolean
deim_history_write_csv (const DeimHistory *history, const gchar *path, GError **error)
{
  g_autoptr (GString) text = g_string_new (NULL);
  g_autoptr (GError) cause = NULL;

  append_header (text);
  for (guint i = 0; i < history->epochs->len; i++) {
    gdouble fields[N_FIELDS];
    to_fields (&g_array_index (history->epochs, DeimEpochResult, i), fields);
    for (guint k = 0; k < N_FIELDS; k++) {
      gchar number[G_ASCII_DTOSTR_BUF_SIZE];
      g_ascii_formatd (number, sizeof number, k < 2 ? "%.0f" : "%.9g", fields[k]);
      g_string_append_printf (text, "%s%s", k ? "," : "", number);
    }
    g_string_append_c (text, '\n');
  }
  if (g_file_set_contents (path, text->str, (gssize) text->len, &cause))
    return TRUE;
  g_set_error (error, DEIM_ERROR, DEIM_ERROR_WRITE, "%s cannot be written: %s; check the folder and its space", path,
               cause->message);
  return FALSE;
}

/* A line of as many numbers as there are columns. */
static gboolean
parse_line (const gchar *line, gdouble fields[N_FIELDS])
{
  for (guint i = 0; i < N_FIELDS; i++) {
    gchar *end;
    fields[i] = g_ascii_strtod (line, &end);
    if (end == line || *end != (i + 1 < N_FIELDS ? ',' : '\0'))
      return FALSE;
    line = end + 1;
  }
  return fields[0] >= 0 && fields[0] < G_MAXUINT && fields[1] >= 0;
}

gboolean
deim_history_read_csv (DeimHistory *history, const gchar *path, guint end, GError **error)
{
  g_autofree gchar *contents = NULL;
  g_autoptr (GError) cause = NULL;
  g_autoptr (GString) header = g_string_new (NULL);
  g_autoptr (GArray) read = g_array_new (FALSE, FALSE, sizeof (DeimEpochResult));

  if (!g_file_get_contents (path, &contents, NULL, &cause)) {
    gboolean missing = g_error_matches (cause, G_FILE_ERROR, G_FILE_ERROR_NOENT);
    g_set_error (error, DEIM_ERROR, missing ? DEIM_ERROR_NOT_FOUND : DEIM_ERROR_READ, "%s cannot be read: %s", path,
                 cause->message);
    return FALSE;
  }
  g_auto (GStrv) lines = g_strsplit (contents, "\n", -1);
  append_header (header);
  g_string_truncate (header, header->len - 1); /* the line's end */
  for (guint i = 0; i == 0 || lines[i]; i++) {
    gdouble fields[N_FIELDS];
    DeimEpochResult result;
    const gchar *line = lines[i] ? lines[i] : ""; /* an empty file has no line at all */
    gboolean good = i == 0 ? g_str_equal (line, header->str) : !*line || parse_line (line, fields);
    if (!good) {
      g_set_error (error, DEIM_ERROR, DEIM_ERROR_FORMAT,
                   "%s: line %u is not what a training writes; move the file away to go on without it", path, i + 1);
      return FALSE;
    }
    if (i == 0 || !*line)
      continue;
    from_fields (fields, &result);
    if (result.epoch < end)
      g_array_append_val (read, result);
  }
  g_array_append_vals (history->epochs, read->data, read->len);
  return TRUE;
}
