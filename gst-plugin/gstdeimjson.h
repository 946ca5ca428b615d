/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * gstdeimjson.h - the element deimjson: writes detections as lines of JSON.
 */
#pragma once

#include <gst/base/gstbasetransform.h>

#include "gstdeimwriter.h"

G_BEGIN_DECLS

#define GST_TYPE_DEIM_JSON (gst_deim_json_get_type ())
G_DECLARE_FINAL_TYPE (GstDeimJson, gst_deim_json, GST, DEIM_JSON, GstBaseTransform)
GST_ELEMENT_REGISTER_DECLARE (deimjson)

struct _GstDeimJson {
  GstBaseTransform parent;

  /* object lock */
  gchar *location, *stream_id;
  gboolean append, add_empty_results;
  GstDeimWriter *writer; /* between start and stop; written there under the object lock */

  /* stream lock */
  gchar *upstream_id; /* of the STREAM_START event */
  gint width, height; /* of the caps; 0: unknown */
  guint64 next_frame; /* for frames that no deimdetect has numbered */
  GArray *boxes;      /* of GstDeimBox, kept to save its memory */
  GString *line;      /* likewise */
};

G_END_DECLS
