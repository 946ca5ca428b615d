/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* gstdeimdebug.h - the debug category "deim" of all elements, whichever plugin they are in. */
#pragma once

#include <gst/gst.h>

G_BEGIN_DECLS

/* When a plugin is loaded. Several may do so: GStreamer has one category of a name. */
void gst_deim_debug_init (void);

G_END_DECLS
