/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* plugin-mqtt.c - the plugin "deimmqtt": deimmqtt, which needs libmosquitto. */
#include "gstdeimdebug.h"
#include "gstdeimmqtt.h"

static gboolean
plugin_init (GstPlugin *plugin)
{
  gst_deim_debug_init ();
  return GST_ELEMENT_REGISTER (deimmqtt, plugin);
}

#define PACKAGE "gst-deim"
GST_PLUGIN_DEFINE (GST_VERSION_MAJOR, GST_VERSION_MINOR, deimmqtt, "Publishing of detections over MQTT", plugin_init,
                   DEIM_VERSION, "LGPL", "gst-deim", "gst-deim")
