/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* file.c - see file.h. */
#include "file.h"

#include <errno.h>
#include <glib/gstdio.h>

#include "engine/error.h"

GMappedFile *
deim_file_map (const gchar *path, const gchar *what, GError **error)
{
  g_autofree gchar *display = g_filename_display_name (path);
  GStatBuf status;
  if (g_stat (path, &status) != 0) {
    gint code = errno;
    if (code == ENOENT || code == ENOTDIR)
      g_set_error (error, DEIM_ERROR, DEIM_ERROR_NOT_FOUND, "%s does not exist; give the path of %s", display, what);
    else
      g_set_error (error, DEIM_ERROR, DEIM_ERROR_READ, "%s cannot be read (%s); give the path of %s", display,
                   g_strerror (code), what);
    return NULL;
  }
  if (!S_ISREG (status.st_mode)) {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_READ, "%s is %s; give the path of %s", display,
                 S_ISDIR (status.st_mode) ? "a folder" : "not a regular file", what);
    return NULL;
  }
  g_autoptr (GError) problem = NULL;
  GMappedFile *map = g_mapped_file_new (path, FALSE, &problem);
  if (!map)
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_READ, "%s cannot be read (%s); let this user read it", display,
                 problem->message);
  return map;
}
