/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * gstdeimjson.h - the element deimjson: writes detections as lines of JSON.
 */
#pragma once

#include "gstdeimresults.h"

G_BEGIN_DECLS

#define GST_TYPE_DEIM_JSON (gst_deim_json_get_type ())
G_DECLARE_FINAL_TYPE (GstDeimJson, gst_deim_json, GST, DEIM_JSON, GstBaseTransform)
GST_ELEMENT_REGISTER_DECLARE (deimjson)

G_END_DECLS
