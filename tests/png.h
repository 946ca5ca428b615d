/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* png.h - just enough PNG for the lossless photos of the tests. */
#pragma once

#include <gio/gio.h>

/* The pixels [height][width][3] of a PNG with 8 bits per channel, RGB, not interlaced. Free with g_free(). */
guint8 *png_read_rgb (const gchar *path, guint *ret_width, guint *ret_height, GError **error);
