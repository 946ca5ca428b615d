/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* report.c - report.html: curves and numbers of a training. */
#include "chart.h"
#include "history.h"

#include <deim.h>
#include <math.h>

static const gchar head[] =
    "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width\">\n"
    "<style>body{font:15px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#222;background:#fff}"
    "table{border-collapse:collapse;font-variant-numeric:tabular-nums}td,th{padding:.15em .7em;text-align:right}"
    "tr.best{background:#e6f2ea}th{border-bottom:1px solid #444}svg{max-width:100%;height:auto}</style>\n";

static const DeimEpochResult *
result_at (const DeimHistory *history, guint index)
{
  return &g_array_index (history->epochs, DeimEpochResult, index);
}

static gdouble
part_of (const DeimEpochResult *result, guint part)
{
  return result->parts[part];
}

/* AP and the like; NAN where there is none. */
static gdouble
number_of (const DeimEpochResult *result, guint number)
{
  gdouble value = result->evaluation.numbers[number];
  return value >= 0 ? value : NAN;
}

static gdouble
loss_of (const DeimEpochResult *result, guint unused)
{
  return result->loss;
}

static gdouble
lr_of (const DeimEpochResult *result, guint unused)
{
  return result->lr;
}

typedef struct {
  const gchar *name;
  gdouble (*value) (const DeimEpochResult *result, guint argument);
  guint argument;
} Column;

/* A chart of @n columns over the epochs, which count from 1 for people. */
static void
append_chart (GString *page, const DeimHistory *history, const gchar *title, const Column *columns, guint n)
{
  guint length = history->epochs->len;
  g_autofree gdouble *x = g_new (gdouble, length + 1), *y = g_new (gdouble, (gsize) length * n + 1);
  g_autofree DeimCurve *curves = g_new (DeimCurve, n);

  for (guint c = 0; c < n; c++) {
    for (guint i = 0; i < length; i++) {
      x[i] = result_at (history, i)->epoch + 1.0;
      y[c * length + i] = columns[c].value (result_at (history, i), columns[c].argument);
    }
    curves[c] = (DeimCurve){ columns[c].name, length, x, y + c * length };
  }
  g_autofree gchar *svg = deim_chart_svg (title, "epoch", curves, n);
  g_string_append_printf (page, "<p>%s</p>\n", svg);
}

static void
append_cell (GString *page, gdouble value, const gchar *format)
{
  gchar digits[G_ASCII_DTOSTR_BUF_SIZE];
  g_string_append_printf (page, "<td>%s</td>",
                          isfinite (value) ? g_ascii_formatd (digits, sizeof digits, format, value) : "");
}

static void
append_table (GString *page, const DeimHistory *history, const Column *numbers, guint n)
{
  const DeimEpochResult *best = deim_history_best (history);

  g_string_append (page, "<table>\n<tr><th>epoch</th><th>iterations</th><th>minutes</th><th>loss</th>");
  for (guint i = 0; i < n; i++)
    g_string_append_printf (page, "<th>%s</th>", numbers[i].name);
  g_string_append (page, "</tr>\n");
  for (guint i = 0; i < history->epochs->len; i++) {
    const DeimEpochResult *result = result_at (history, i);
    g_string_append (page, result == best ? "<tr class=\"best\">" : "<tr>");
    append_cell (page, result->epoch + 1.0, "%.0f");
    append_cell (page, (gdouble) result->iterations, "%.0f");
    append_cell (page, result->seconds / 60, "%.1f");
    append_cell (page, result->loss, "%.3f");
    for (guint k = 0; k < n; k++)
      append_cell (page, numbers[k].value (result, numbers[k].argument), "%.3f");
    g_string_append (page, "</tr>\n");
  }
  g_string_append (page, "</table>\n");
}

static void
append_title (GString *page, const DeimHistory *history, const gchar *const *notes)
{
  g_autofree gchar *title = g_markup_escape_text (history->title, -1);
  const DeimEpochResult *best = deim_history_best (history);

  g_string_append_printf (page, "<title>%s</title></head><body>\n<h1>%s</h1>\n<p>", title, title);
  for (guint i = 0; notes && notes[i]; i++) {
    g_autofree gchar *note = g_markup_escape_text (notes[i], -1);
    g_string_append_printf (page, "%s<br/>\n", note);
  }
  if (best) {
    gchar digits[G_ASCII_DTOSTR_BUF_SIZE];
    g_string_append_printf (
        page, "Best: AP %s after epoch %u",
        g_ascii_formatd (digits, sizeof digits, "%.3f", best->evaluation.numbers[DEIM_EVALUATION_AP]), best->epoch + 1);
  }
  g_string_append (page, "</p>\n");
}

gboolean
deim_history_write_report (const DeimHistory *history, const gchar *const *notes, const gchar *path, GError **error)
{
  static const Column losses[] = {
    { "all", loss_of, 0 },
    { "class", part_of, DEIM_LOSS_CLASS },
    { "bbox", part_of, DEIM_LOSS_BBOX },
    { "giou", part_of, DEIM_LOSS_GIOU },
    { "fgl", part_of, DEIM_LOSS_FGL },
    { "ddf", part_of, DEIM_LOSS_DDF },
  };
  static const Column precisions[] = {
    { "AP", number_of, DEIM_EVALUATION_AP },         { "AP50", number_of, DEIM_EVALUATION_AP50 },
    { "AP75", number_of, DEIM_EVALUATION_AP75 },     { "APs", number_of, DEIM_EVALUATION_AP_SMALL },
    { "APm", number_of, DEIM_EVALUATION_AP_MEDIUM }, { "APl", number_of, DEIM_EVALUATION_AP_LARGE },
  };
  static const Column rate[] = { { "rate", lr_of, 0 } };
  g_autoptr (GString) page = g_string_new (head);
  g_autoptr (GError) cause = NULL;

  append_title (page, history, notes);
  append_chart (page, history, "Average precision", precisions, G_N_ELEMENTS (precisions));
  append_chart (page, history, "Loss, mean of each epoch", losses, G_N_ELEMENTS (losses));
  append_chart (page, history, "Learning rate", rate, 1);
  append_table (page, history, precisions, G_N_ELEMENTS (precisions));
  g_string_append (page, "</body></html>\n");
  if (g_file_set_contents (path, page->str, (gssize) page->len, &cause))
    return TRUE;
  g_set_error (error, DEIM_ERROR, DEIM_ERROR_WRITE, "%s cannot be written: %s; check the folder and its space", path,
               cause->message);
  return FALSE;
}
