/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* file.h - a file of the user's, opened for reading, or the reason why not. For engine/formats/ alone. */
#pragma once

#include <glib.h>

/*
 * @what: the kind of file that was meant, "a checkpoint". DEIM_ERROR_NOT_FOUND;
 * DEIM_ERROR_READ for a folder, for what else is no file, and for what may not be read. Free with
 * g_mapped_file_unref().
 */
GMappedFile *deim_file_map (const gchar *path, const gchar *what, GError **error);
