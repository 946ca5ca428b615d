/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * plugin.c - the plugin "deim": deimdetect and deimjson. Quick, and without a look at the GPU: gst-plugin-scanner runs
 * this.
 *
 * What needs libraries that these two do not need is a plugin of its own (plugin-overlay.c, plugin-mqtt.c): a system
 * that lacks them lacks those elements only.
 */
#include "gstdeimdebug.h"
#include "gstdeimdetect.h"
#include "gstdeimjson.h"

GST_DEBUG_CATEGORY_STATIC (gst_deim_engine_debug);

static void
log_of_engine (GLogLevelFlags level, const gchar *message, gpointer unused)
{
  GstDebugLevel gst_level = GST_LEVEL_DEBUG;
  if (level & (G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL))
    gst_level = GST_LEVEL_ERROR;
  else if (level & G_LOG_LEVEL_WARNING)
    gst_level = GST_LEVEL_WARNING;
  else if (level & (G_LOG_LEVEL_MESSAGE | G_LOG_LEVEL_INFO))
    gst_level = GST_LEVEL_INFO;
  GST_CAT_LEVEL_LOG (gst_deim_engine_debug, gst_level, NULL, "%s", message);
}

static gboolean
plugin_init (GstPlugin *plugin)
{
  gst_deim_debug_init ();
  GST_DEBUG_CATEGORY_INIT (gst_deim_engine_debug, "deimengine", 0, "DEIM engine (libdeim)");
  deim_set_default_log_func (log_of_engine, NULL);

  gst_deim_frame_meta_register ();

  gboolean any = GST_ELEMENT_REGISTER (deimdetect, plugin);
  any |= GST_ELEMENT_REGISTER (deimjson, plugin);
  return any;
}

#define PACKAGE "gst-deim"
GST_PLUGIN_DEFINE (GST_VERSION_MAJOR, GST_VERSION_MINOR, deim, "Real-time object detection with DEIM on Vulkan",
                   plugin_init, DEIM_VERSION, "LGPL", "gst-deim", "gst-deim")
