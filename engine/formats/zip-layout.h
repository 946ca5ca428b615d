/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zip-layout.h - where the entries of a zip archive lie, which libzip does not tell. */
#pragma once

#include <glib.h>

/*
 * FALSE with DEIM_ERROR_FORMAT when two entries of the archive share bytes of
 * the file, or one does not lie in it. Says nothing about an archive without a
 * central directory: libzip refuses that.
 */
gboolean deim_zip_check_layout (const guint8 *data, gsize size, const gchar *where, GError **error);
