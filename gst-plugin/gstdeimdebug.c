/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* gstdeimdebug.c - see gstdeimdebug.h. */
#include "gstdeimdebug.h"

GST_DEBUG_CATEGORY (gst_deim_debug);

void
gst_deim_debug_init (void)
{
  GST_DEBUG_CATEGORY_INIT (gst_deim_debug, "deim", 0, "DEIM elements");
}
