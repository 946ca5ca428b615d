/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* assignment.h - the linear assignment problem, exactly. */
#pragma once

#include <glib.h>

/*
 * Chooses min (rows, columns) entries of @cost [rows][columns], no two in a row
 * or column, so that their sum is the least possible: what
 * scipy.optimize.linear_sum_assignment does. @ret_column [rows] gets the column
 * of each row, -1 for rows that are left over.
 *
 * Costs must be finite. The result depends on the numbers alone; where several
 * choices have the same sum, rows are served in order and prefer low columns,
 * so that a constant matrix gives the identity. Time: the shorter side squared
 * times the longer.
 */
void deim_assignment_solve (const gdouble *cost, guint rows, guint columns, gint *ret_column);
