/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* chart.h - curves as SVG. */
#pragma once

#include <glib.h>

typedef struct {
  const gchar *name;
  guint n;
  const gdouble *x, *y; /* [n]; points that are not finite are left out */
} DeimCurve;

/*
 * An <svg> element of 640 x 300 units with axes, ticks at round numbers, a
 * legend and a line for each curve (a dot for a lone point). Colours differ for
 * colour-blind eyes, too. @title, @x_name and names are escaped. Free with
 * g_free().
 */
gchar *deim_chart_svg (const gchar *title, const gchar *x_name, const DeimCurve *curves, guint n_curves);
