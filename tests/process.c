/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* process.c - see process.h. */
#include "process.h"

#include <glib/gstdio.h>
#include <stdio.h>
#include <unistd.h>

gsize
resident_kib (void)
{
  g_autofree gchar *text = NULL;
  gsize pages = 0;
  if (g_file_get_contents ("/proc/self/statm", &text, NULL, NULL))
    sscanf (text, "%*u %" G_GSIZE_FORMAT, &pages);
  return pages * (gsize) sysconf (_SC_PAGESIZE) / 1024;
}

void
make_golden_file (const gchar *path)
{
  const gchar *const make[] = { DEIM_BUILD_ROOT "/tests/make-model", path, NULL };
  g_autoptr (GError) error = NULL;
  gint status = -1;
  g_spawn_sync (NULL, (gchar **) make, NULL, G_SPAWN_DEFAULT, NULL, NULL, NULL, NULL, &status, &error);
  g_assert_no_error (error);
  g_assert_true (g_spawn_check_wait_status (status, &error));
}

void
remove_tree (const gchar *path)
{
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  const gchar *name;
  while (dir && (name = g_dir_read_name (dir))) {
    g_autofree gchar *child = g_build_filename (path, name, NULL);
    remove_tree (child);
  }
  g_remove (path);
}
