/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* plugin-overlay.c - the plugin "deimoverlay": deimoverlay, which needs Cairo and Pango. */
#include "gstdeimdebug.h"
#include "gstdeimoverlay.h"

static gboolean
plugin_init (GstPlugin *plugin)
{
  gst_deim_debug_init ();
  return GST_ELEMENT_REGISTER (deimoverlay, plugin);
}

#define PACKAGE "gst-deim"
GST_PLUGIN_DEFINE (GST_VERSION_MAJOR, GST_VERSION_MINOR, deimoverlay, "Drawing of detected objects", plugin_init,
                   DEIM_VERSION, "LGPL", "gst-deim", "gst-deim")
