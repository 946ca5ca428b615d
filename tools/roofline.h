/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* roofline.h - a picture of what dispatches achieve against what the device can do. */
#pragma once

#include "measure.h"

/*
 * Writes an SVG to @path: a point per dispatch at its operations a byte and its
 * operations a second, as large as its share of the time, under the roof of
 * @peaks (Williams, Waterman, Patterson: Roofline, CACM 52/4, 2009). Dispatches
 * without counted arithmetic stand on the bottom line at their bytes a second,
 * in proportion to the memory's. FALSE with @error where it cannot be written.
 */
gboolean deim_roofline_write (const gchar *path, const gchar *title, const DeimProfile *profile,
                              const DeimDevicePeaks *peaks, GError **error);
