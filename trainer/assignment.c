/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * assignment.c - successive shortest augmenting paths with dual prices.
 *
 * Rows enter one after the other. For each, Dijkstra's search over the reduced
 * costs c[i][j] - u[i] - v[j] >= 0 finds the cheapest way to a free column,
 * stepping from a taken column to the row that holds it; the prices u and v
 * then move so that reduced costs stay non-negative and those on the path are
 * zero, and the path's columns change hands.
 */
#include "assignment.h"

typedef struct {
  const gdouble *cost;
  gsize row_step, column_step; /* the matrix, transposed where it is higher than wide */
  guint rows, columns;         /* rows <= columns */
  gdouble *u, *v;              /* prices of rows and columns */
  gint *holder;                /* [columns] its row, or -1 */
  gint *column_of;             /* [rows] the reverse */
  gdouble *distance;           /* [columns] of the search */
  guint *via;                  /* [columns] the row that the shortest way comes from */
  gboolean *done;              /* [columns] */
} Problem;

/* The cheapest column that is not done; of equals a free one, else the lowest. */
static guint
nearest (const Problem *p)
{
  guint best = p->columns;
  for (guint j = 0; j < p->columns; j++) {
    if (p->done[j])
      continue;
    if (best == p->columns || p->distance[j] < p->distance[best] ||
        (p->distance[j] == p->distance[best] && p->holder[j] < 0 && p->holder[best] >= 0))
      best = j;
  }
  return best;
}

static void
add_row (Problem *p, guint row)
{
  for (guint j = 0; j < p->columns; j++) {
    p->distance[j] = G_MAXDOUBLE;
    p->done[j] = FALSE;
  }

  guint i = row, end;
  gdouble so_far = 0;
  for (;;) {
    for (guint j = 0; j < p->columns; j++) {
      gdouble d = so_far + p->cost[i * p->row_step + j * p->column_step] - p->u[i] - p->v[j];
      if (!p->done[j] && d < p->distance[j]) {
        p->distance[j] = d;
        p->via[j] = i;
      }
    }
    end = nearest (p);
    so_far = p->distance[end];
    if (p->holder[end] < 0)
      break;
    p->done[end] = TRUE;
    i = (guint) p->holder[end];
  }

  p->u[row] += so_far;
  for (guint j = 0; j < p->columns; j++)
    if (p->done[j]) {
      p->u[p->holder[j]] += so_far - p->distance[j];
      p->v[j] -= so_far - p->distance[j];
    }

  /* Along the way each row takes the column it was reached for and gives up its own; @row had none. */
  for (gint j = (gint) end; j >= 0;) {
    guint taker = p->via[j];
    gint given = p->column_of[taker];
    p->holder[j] = (gint) taker;
    p->column_of[taker] = j;
    j = given;
  }
}

void
deim_assignment_solve (const gdouble *cost, guint rows, guint columns, gint *ret_column)
{
  gboolean wide = rows <= columns;
  Problem p = {
    .cost = cost,
    .row_step = wide ? columns : 1,
    .column_step = wide ? 1 : columns,
    .rows = wide ? rows : columns,
    .columns = wide ? columns : rows,
  };
  g_autofree gdouble *u = p.u = g_new0 (gdouble, p.rows);
  g_autofree gdouble *v = p.v = g_new0 (gdouble, p.columns);
  g_autofree gdouble *distance = p.distance = g_new (gdouble, p.columns);
  g_autofree guint *via = p.via = g_new (guint, p.columns);
  g_autofree gboolean *done = p.done = g_new (gboolean, p.columns);
  g_autofree gint *holder = p.holder = g_new (gint, p.columns);
  g_autofree gint *column_of = p.column_of = g_new (gint, p.rows);

  for (guint j = 0; j < p.columns; j++)
    holder[j] = -1;
  for (guint i = 0; i < p.rows; i++)
    column_of[i] = -1;
  for (guint i = 0; i < p.rows; i++)
    add_row (&p, i);
  for (guint i = 0; i < rows; i++)
    ret_column[i] = wide ? column_of[i] : holder[i];
}
