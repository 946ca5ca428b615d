/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* roofline.c - the roofline of a profile as SVG. */
#include "roofline.h"

#include <math.h>

#define WIDTH  900.0
#define HEIGHT 620.0
#define LEFT   80.0
#define RIGHT  210.0
#define TOP    60.0
#define BOTTOM 60.0
#define NAMED  12 /* the slowest dispatches are named */

/* Both axes are powers of two. */
typedef struct {
  GString *svg;
  gdouble x0, x1, y0, y1; /* exponents */
  gdouble total_ms;
  const DeimDevicePeaks *peaks;
} Plot;

typedef struct {
  const DeimGroup *group;
  gdouble ms, intensity, gflops;
} Point;

static const struct {
  const gchar *op, *colour;
} colours[] = {
  { "conv", "#1f77b4" },   { "winograd", "#17a2b8" }, { "depthwise", "#2ca02c" },   { "attention", "#d62728" },
  { "deform", "#9467bd" }, { "norm", "#8c564b" },     { "elementwise", "#e377c2" }, { "preprocess", "#7f7f7f" },
};

static const gchar *
colour_of (const gchar *op)
{
  for (guint i = 0; i < G_N_ELEMENTS (colours); i++)
    if (g_str_has_prefix (op, colours[i].op))
      return colours[i].colour;
  return "#bcbd22";
}

static gdouble
place_x (const Plot *plot, gdouble intensity)
{
  gdouble part = (log2 (intensity) - plot->x0) / (plot->x1 - plot->x0);
  return LEFT + CLAMP (part, 0, 1) * (WIDTH - LEFT - RIGHT);
}

static gdouble
place_y (const Plot *plot, gdouble gflops)
{
  gdouble part = (log2 (gflops) - plot->y0) / (plot->y1 - plot->y0);
  return HEIGHT - BOTTOM - CLAMP (part, 0, 1) * (HEIGHT - TOP - BOTTOM);
}

/* What can be reached with so many operations a byte. */
static gdouble
roof (const Plot *plot, gdouble intensity)
{
  return MIN (plot->peaks->gflops, intensity * plot->peaks->gbytes);
}

/* SVG has a point before the decimals, whatever the locale. */
static void
add (Plot *plot, const gchar *format, gdouble a, gdouble b, gdouble c, gdouble d)
{
  const gdouble values[] = { a, b, c, d };
  guint next = 0;
  for (const gchar *p = format; *p; p++) {
    gchar digits[G_ASCII_DTOSTR_BUF_SIZE];
    if (*p == '#' && next < G_N_ELEMENTS (values))
      g_string_append (plot->svg, g_ascii_formatd (digits, sizeof digits, "%.1f", values[next++]));
    else
      g_string_append_c (plot->svg, *p);
  }
}

static void
add_text (Plot *plot, gdouble x, gdouble y, const gchar *attributes, const gchar *text)
{
  g_autofree gchar *escaped = g_markup_escape_text (text, -1);
  add (plot, "<text x=\"#\" y=\"#\" ", x, y, 0, 0);
  g_string_append_printf (plot->svg, "%s>%s</text>\n", attributes, escaped);
}

static void
draw_axes (Plot *plot)
{
  for (gdouble e = plot->x0; e <= plot->x1; e++) {
    gdouble x = place_x (plot, exp2 (e));
    g_autofree gchar *label = e >= 0 ? g_strdup_printf ("%.0f", exp2 (e)) : g_strdup_printf ("1/%.0f", exp2 (-e));
    add (plot, "<path d=\"M# #V#\" class=\"grid\"/>\n", x, HEIGHT - BOTTOM, TOP, 0);
    add_text (plot, x, HEIGHT - BOTTOM + 18, "text-anchor=\"middle\"", label);
  }
  for (gdouble e = plot->y0; e <= plot->y1; e++) {
    gdouble y = place_y (plot, exp2 (e));
    g_autofree gchar *label = e >= 0 ? g_strdup_printf ("%.0f", exp2 (e)) : g_strdup_printf ("1/%.0f", exp2 (-e));
    add (plot, "<path d=\"M# #H#\" class=\"grid\"/>\n", LEFT, y, WIDTH - RIGHT, 0);
    add_text (plot, LEFT - 8, y + 4, "text-anchor=\"end\"", label);
  }
  add_text (
      plot, LEFT + (WIDTH - LEFT - RIGHT) / 2, HEIGHT - 16, "text-anchor=\"middle\"",
      "operations a byte; on this line: without counted arithmetic, left to right by share of the memory's speed");
  add_text (plot, LEFT - 60, TOP - 14, "", "GFLOP/s");
}

static void
draw_roof (Plot *plot)
{
  gdouble ridge = plot->peaks->gflops / plot->peaks->gbytes, left = exp2 (plot->x0);
  add (plot, "<path d=\"M# #L# #", place_x (plot, left), place_y (plot, roof (plot, left)), place_x (plot, ridge),
       place_y (plot, plot->peaks->gflops));
  add (plot, "H#\" class=\"roof\"/>\n", WIDTH - RIGHT, 0, 0, 0);
  g_autofree gchar *label = g_strdup_printf ("%.1f GFLOP/s, %.1f GB/s", plot->peaks->gflops, plot->peaks->gbytes);
  add_text (plot, WIDTH - RIGHT, place_y (plot, plot->peaks->gflops) - 8, "text-anchor=\"end\"", label);
}

static void
draw_point (Plot *plot, const Point *p, guint rank)
{
  gboolean counted = p->group->gflop > 0;
  gdouble share = plot->total_ms > 0 ? p->ms / plot->total_ms : 0;
  gdouble x, y;
  if (counted) {
    x = place_x (plot, p->intensity);
    y = place_y (plot, p->gflops);
  } else { /* how much of the memory's speed: along the bottom */
    x = LEFT + CLAMP (p->group->gbyte / p->ms * 1e3 / plot->peaks->gbytes, 0, 1) * (WIDTH - LEFT - RIGHT);
    y = HEIGHT - BOTTOM;
  }
  g_autofree gchar *name = g_markup_escape_text (p->group->name, -1);
  add (plot, "<circle cx=\"#\" cy=\"#\" r=\"#\" ", x, y, 2.5 + 40 * sqrt (share / G_PI), 0);
  g_string_append_printf (plot->svg, "fill=\"%s\"%s><title>%s (%s): ", colour_of (p->group->op),
                          counted ? "" : " class=\"bytes\"", name, p->group->op);
  add (plot, "# ms, # GFLOP/s, # GB/s</title></circle>\n", p->ms, p->gflops, p->group->gbyte / p->ms * 1e3, 0);
  if (rank < NAMED && counted) {
    g_autofree gchar *number = g_strdup_printf ("%u", rank + 1);
    add_text (plot, x, y + 3, "class=\"rank\"", number);
  }
}

static gint
slower_first (gconstpointer a, gconstpointer b)
{
  gdouble x = ((const Point *) a)->ms, y = ((const Point *) b)->ms;
  return (x < y) - (x > y);
}

static GArray *
collect_points (const DeimProfile *profile)
{
  GArray *points = g_array_new (FALSE, FALSE, sizeof (Point));
  for (guint i = 0; i < profile->dispatches->len; i++) {
    const DeimGroup *group = profile->dispatches->pdata[i];
    Point p = { group, deim_spread (group->samples).median, 0, 0 };
    if (p.ms <= 0 || group->gbyte <= 0)
      continue;
    p.intensity = group->gflop / group->gbyte;
    p.gflops = group->gflop / p.ms * 1e3;
    g_array_append_val (points, p);
  }
  g_array_sort (points, slower_first);
  return points;
}

static void
draw_list (Plot *plot, const GArray *points)
{
  add_text (plot, WIDTH - RIGHT + 16, TOP, "class=\"head\"", "Slowest dispatches");
  for (guint i = 0; i < MIN (points->len, NAMED); i++) {
    const Point *p = &g_array_index (points, Point, i);
    gsize length = strlen (p->group->name);
    g_autofree gchar *line = g_strdup_printf ("%u  %.2f ms  %.1f GFLOP/s", i + 1, p->ms, p->gflops);
    add_text (plot, WIDTH - RIGHT + 16, TOP + 24 + 32 * i, "", line);
    add_text (plot, WIDTH - RIGHT + 28, TOP + 37 + 32 * i, "class=\"small\"",
              p->group->name + (length > 34 ? length - 34 : 0));
  }
}

gboolean
deim_roofline_write (const gchar *path, const gchar *title, const DeimProfile *profile, const DeimDevicePeaks *peaks,
                     GError **error)
{
  g_autoptr (GString) svg = g_string_new (NULL);
  g_autoptr (GArray) points = collect_points (profile);
  Plot plot = { .svg = svg, .x0 = -2, .x1 = 9, .peaks = peaks, .total_ms = deim_spread (profile->totals).median };
  plot.y1 = ceil (log2 (peaks->gflops)) + 1;
  plot.y0 = plot.y1 - 10;

  g_string_append_printf (svg,
                          "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" "
                          "font-family=\"sans-serif\" font-size=\"12\">\n"
                          "<style>.grid{stroke:#ddd;fill:none}.roof{stroke:#000;stroke-width:2;fill:none}"
                          "circle{fill-opacity:.55;stroke:#fff}.bytes{fill-opacity:.3}"
                          ".rank{font-size:9px;text-anchor:middle}.small{font-size:9px;fill:#555}"
                          ".head{font-weight:bold}.title{font-size:15px}</style>\n"
                          "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
                          WIDTH, HEIGHT);
  add_text (&plot, LEFT, 26, "class=\"title\"", title);
  draw_axes (&plot);
  for (guint i = points->len; i-- > 0;) /* the large ones on top */
    draw_point (&plot, &g_array_index (points, Point, i), i);
  draw_roof (&plot);
  draw_list (&plot, points);
  g_string_append (svg, "</svg>\n");
  return g_file_set_contents (path, svg->str, (gssize) svg->len, error);
}
