/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * gstdeimresults.h - GstDeimResults, the base of the elements that tell what was found: deimjson, deimmqtt.
 *
 * It lets frames of any memory pass untouched, reads what others attached to them, and hands a JSON document for each
 * (gstdeimline.h) to the element, which knows where documents go.
 */
#pragma once

#include <gst/base/gstbasetransform.h>

G_BEGIN_DECLS

#define GST_TYPE_DEIM_RESULTS (gst_deim_results_get_type ())
G_DECLARE_DERIVABLE_TYPE (GstDeimResults, gst_deim_results, GST, DEIM_RESULTS, GstBaseTransform)

/*
 * Elements set all but @drain. Between a successful @open and @close, no other of them is called before or after.
 *
 * @open: when the element starts. FALSE with @error (GST_RESOURCE_ERROR), which the base posts.
 * @close: when it stops; the streaming thread has left by then.
 * @write: on the streaming thread. Takes the document @line, which it may change; @stream_id is what the document calls
 *   the stream, or NULL. GST_FLOW_ERROR: with @error the base posts it, without one the element has posted it.
 * @drain: on the streaming thread, before the EOS event goes on: waits until all documents have arrived.
 * @set_flushing: from any thread, under the object lock: TRUE wakes whoever waits in @write or @drain, and neither of
 *   them waits until it is set back. It must not wait itself.
 */
struct _GstDeimResultsClass {
  GstBaseTransformClass parent_class;

  gboolean (*open) (GstDeimResults *self, GError **error);
  void (*close) (GstDeimResults *self);
  GstFlowReturn (*write) (GstDeimResults *self, const gchar *stream_id, GString *line, GError **error);
  void (*drain) (GstDeimResults *self);
  void (*set_flushing) (GstDeimResults *self, gboolean flushing);
};

G_END_DECLS
