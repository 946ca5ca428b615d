/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * gstdeimmqtt.h - the element deimmqtt: publishes detections to an MQTT broker.
 */
#pragma once

#include "gstdeimresults.h"

G_BEGIN_DECLS

#define GST_TYPE_DEIM_MQTT (gst_deim_mqtt_get_type ())
G_DECLARE_FINAL_TYPE (GstDeimMqtt, gst_deim_mqtt, GST, DEIM_MQTT, GstBaseTransform)
GST_ELEMENT_REGISTER_DECLARE (deimmqtt)

G_END_DECLS
