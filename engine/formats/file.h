/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* file.h - a file of the user's, opened for reading, or the reason why not. For engine/formats/ alone. */
#pragma once

#include <glib.h>

/* The end of a message about a file whose parts do not fit together: the cause, and what to do. A literal. */
#define DEIM_FILE_DAMAGED "the file is cut short or damaged; copy or download it again"

/*
 * @what: the kind of file that was meant, "a checkpoint". DEIM_ERROR_NOT_FOUND;
 * DEIM_ERROR_READ for a folder, for what else is no file, and for what may not be read. Free with
 * g_mapped_file_unref().
 */
GMappedFile *deim_file_map (const gchar *path, const gchar *what, GError **error);
