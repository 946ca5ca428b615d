/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* precision-table.c - reads docs/precision.md; see precision-table.h. */
#include "precision-table.h"

#include <stdio.h>
#include <string.h>

static const gchar *
table_text (void)
{
  static gchar *text;
  if (!text) {
    g_autofree gchar *path = g_build_filename (DEIM_SOURCE_ROOT, "docs", "precision.md", NULL);
    g_autoptr (GError) error = NULL;
    g_file_get_contents (path, &text, NULL, &error);
    g_assert_no_error (error);
  }
  return text;
}

gboolean
precision_table_find (const gchar *name, PrecisionRow *ret_row)
{
  const gchar *seed = strrchr (name, '_'); /* which the table leaves out */
  g_autofree gchar *start = g_strdup_printf ("\n| %.*s |", (gint) (seed - name), name);
  const gchar *row = strstr (table_text (), start);
  PrecisionRow r;
  gint n = row ? sscanf (row + strlen (start), "%lf |%lf |%lf |%lf |%lf |%lf |%u of %u |%lf |%u |", &r.logits[0],
                         &r.logits[1], &r.logits[2], &r.boxes[0], &r.boxes[1], &r.boxes[2], &r.found, &r.top,
                         &r.selected, &r.alone)
               : 0;
  if (n != 10) {
    g_test_message ("docs/precision.md has no row, or a broken one, of %s: measure it (--first)", name);
    g_test_fail ();
    return FALSE;
  }
  *ret_row = r;
  return TRUE;
}
