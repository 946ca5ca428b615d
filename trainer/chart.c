/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* chart.c - axes, ticks and polylines. */
#include "chart.h"

#include <math.h>

#define WIDTH  640
#define HEIGHT 300
#define LEFT   56
#define RIGHT  130 /* where the legend is */
#define TOP    30
#define BOTTOM 40
#define TICKS  5 /* about as many */

/* Okabe and Ito's colours. */
static const gchar *const colours[] = { "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000" };

typedef struct {
  gdouble low, high, step;
} Axis;

/* Widens a range to multiples of 1, 2 or 5 times a power of ten. */
static Axis
round_axis (gdouble low, gdouble high)
{
  if (!(low <= high))
    low = 0, high = 1;
  if (low == high) {
    gdouble room = low != 0 ? 0.1 * fabs (low) : 1;
    low -= room, high += room;
  }
  gdouble rough = (high - low) / TICKS, power = pow (10, floor (log10 (rough)));
  gdouble step = power * (rough / power <= 1 ? 1 : rough / power <= 2 ? 2 : rough / power <= 5 ? 5 : 10);
  return (Axis){ step * floor (low / step + 1e-9), step * ceil (high / step - 1e-9), step };
}

static gboolean
is_shown (const DeimCurve *curve, guint i)
{
  return isfinite (curve->x[i]) && isfinite (curve->y[i]);
}

static void
measure (const DeimCurve *curves, guint n, Axis *ret_x, Axis *ret_y)
{
  gdouble x[2] = { INFINITY, -INFINITY }, y[2] = { INFINITY, -INFINITY };

  for (guint c = 0; c < n; c++)
    for (guint i = 0; i < curves[c].n; i++)
      if (is_shown (&curves[c], i)) {
        x[0] = MIN (x[0], curves[c].x[i]), x[1] = MAX (x[1], curves[c].x[i]);
        y[0] = MIN (y[0], curves[c].y[i]), y[1] = MAX (y[1], curves[c].y[i]);
      }
  *ret_x = round_axis (x[0], x[1]);
  *ret_y = round_axis (y[0], y[1]);
}

static gdouble
place_x (const Axis *axis, gdouble x)
{
  return LEFT + (x - axis->low) / (axis->high - axis->low) * (WIDTH - LEFT - RIGHT);
}

static gdouble
place_y (const Axis *axis, gdouble y)
{
  return HEIGHT - BOTTOM - (y - axis->low) / (axis->high - axis->low) * (HEIGHT - TOP - BOTTOM);
}

/* A number with a point in every locale. */
static void
append_number (GString *svg, gdouble value, const gchar *format)
{
  gchar digits[G_ASCII_DTOSTR_BUF_SIZE];
  g_ascii_formatd (digits, sizeof digits, format, value);
  g_string_append (svg, digits);
}

static void
append_text (GString *svg, gdouble x, gdouble y, const gchar *anchor, const gchar *text)
{
  g_autofree gchar *escaped = g_markup_escape_text (text, -1);
  g_string_append (svg, "<text x=\"");
  append_number (svg, x, "%.1f");
  g_string_append (svg, "\" y=\"");
  append_number (svg, y, "%.1f");
  g_string_append_printf (svg, "\" text-anchor=\"%s\">%s</text>\n", anchor, escaped);
}

static void
append_line (GString *svg, gdouble x1, gdouble y1, gdouble x2, gdouble y2, const gchar *style)
{
  const gdouble at[4] = { x1, y1, x2, y2 };
  static const gchar *const names[4] = { "x1", "y1", "x2", "y2" };

  g_string_append (svg, "<line");
  for (guint i = 0; i < 4; i++) {
    g_string_append_printf (svg, " %s=\"", names[i]);
    append_number (svg, at[i], "%.1f");
    g_string_append_c (svg, '"');
  }
  g_string_append_printf (svg, " %s/>\n", style);
}

static void
append_axes (GString *svg, const Axis *x, const Axis *y)
{
  gchar digits[G_ASCII_DTOSTR_BUF_SIZE];
  gint n_x = (gint) round ((x->high - x->low) / x->step), n_y = (gint) round ((y->high - y->low) / y->step);

  for (gint i = 0; i <= n_x; i++) {
    gdouble value = x->low + i * x->step;
    append_text (svg, place_x (x, value), HEIGHT - BOTTOM + 16, "middle",
                 g_ascii_formatd (digits, sizeof digits, "%.6g", fabs (value) < 1e-9 * x->step ? 0 : value));
  }
  for (gint i = 0; i <= n_y; i++) {
    gdouble value = y->low + i * y->step, at = place_y (y, value);
    append_line (svg, LEFT, at, WIDTH - RIGHT, at, "stroke=\"#ccc\"");
    append_text (svg, LEFT - 6, at + 4, "end",
                 g_ascii_formatd (digits, sizeof digits, "%.6g", fabs (value) < 1e-9 * y->step ? 0 : value));
  }
  append_line (svg, LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT, HEIGHT - BOTTOM, "stroke=\"#444\"");
}

/* One line through all shown points; a lone one becomes a dot, by the line's round ends. */
static void
append_curve (GString *svg, const DeimCurve *curve, const Axis *x, const Axis *y, const gchar *colour)
{
  guint shown = 0;
  for (guint i = 0; i < curve->n; i++)
    shown += is_shown (curve, i);
  if (shown == 0)
    return;

  g_string_append_printf (svg, "<path fill=\"none\" stroke=\"%s\" stroke-width=\"%s\" stroke-linecap=\"round\" d=\"",
                          colour, shown == 1 ? "5" : "1.8");
  const gchar *command = "M";
  for (guint i = 0; i < curve->n; i++) {
    if (!is_shown (curve, i))
      continue;
    g_string_append (svg, command);
    append_number (svg, place_x (x, curve->x[i]), "%.1f");
    g_string_append_c (svg, ' ');
    append_number (svg, place_y (y, curve->y[i]), "%.1f");
    command = "L";
  }
  g_string_append (svg, shown == 1 ? "h0.1\"/>\n" : "\"/>\n");
}

gchar *
deim_chart_svg (const gchar *title, const gchar *x_name, const DeimCurve *curves, guint n_curves)
{
  GString *svg = g_string_new (NULL);
  Axis x, y;

  measure (curves, n_curves, &x, &y);
  g_string_append_printf (svg,
                          "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" "
                          "font-family=\"sans-serif\" font-size=\"12\" fill=\"#222\">\n",
                          WIDTH, HEIGHT, WIDTH);
  append_text (svg, LEFT, 16, "start", title);
  append_axes (svg, &x, &y);
  append_text (svg, 0.5 * (LEFT + WIDTH - RIGHT), HEIGHT - 6, "middle", x_name);
  for (guint i = 0; i < n_curves; i++) {
    const gchar *colour = colours[i % G_N_ELEMENTS (colours)];
    g_autofree gchar *style = g_strdup_printf ("stroke=\"%s\" stroke-width=\"3\"", colour);
    gdouble at = TOP + 8 + 18 * i;
    append_curve (svg, &curves[i], &x, &y, colour);
    append_line (svg, WIDTH - RIGHT + 12, at, WIDTH - RIGHT + 32, at, style);
    append_text (svg, WIDTH - RIGHT + 38, at + 4, "start", curves[i].name);
  }
  g_string_append (svg, "</svg>\n");
  return g_string_free (svg, FALSE);
}
