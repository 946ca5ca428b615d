/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * gstdeimresults.h - GstDeimResults, what the elements have in common that tell what was found: deimjson, deimmqtt.
 *
 * It lets frames of any memory pass untouched, reads what others attached to them, and hands a JSON document for each
 * (gstdeimline.h) to the element, which knows where documents go.
 *
 * Elements begin with it as with a parent, but it is no GType: deimjson and deimmqtt are in different plugins, both
 * have this code, and a process registers a type once. What a subclass would inherit is called by hand instead:
 * gst_deim_results_class_init(), _init(), _finish(), _set_property() and _get_property().
 */
#pragma once

#include <gst/base/gstbasetransform.h>

G_BEGIN_DECLS

typedef struct _GstDeimResults GstDeimResults;
#define GST_DEIM_RESULTS(element) ((GstDeimResults *) (element))

/*
 * Elements set all but @drain. Between a successful @open and @close, no other of them is called before or after.
 *
 * @open: when the element starts. FALSE with @error (GST_RESOURCE_ERROR), which is posted.
 * @close: when it stops; the streaming thread has left by then.
 * @write: on the streaming thread. Takes the document @line, which it may change; @stream_id is what the document calls
 *   the stream, or NULL. GST_FLOW_ERROR: with @error that is posted, without one the element has posted it.
 * @drain: on the streaming thread, before the EOS event goes on: waits until all documents have arrived.
 * @set_flushing: from any thread, under the object lock: TRUE wakes whoever waits in @write or @drain, and neither of
 *   them waits until it is set back. It must not wait itself.
 */
typedef struct {
  gboolean (*open) (GstDeimResults *self, GError **error);
  void (*close) (GstDeimResults *self);
  GstFlowReturn (*write) (GstDeimResults *self, const gchar *stream_id, GString *line, GError **error);
  void (*drain) (GstDeimResults *self);
  void (*set_flushing) (GstDeimResults *self, gboolean flushing);
} GstDeimResultsFuncs;

/* gstdeimresults.c alone looks inside. */
struct _GstDeimResults {
  GstBaseTransform parent;
  const GstDeimResultsFuncs *funcs; /* constant */

  /* object lock */
  gchar *stream_id;   /* the user's; NULL: upstream's */
  gchar *upstream_id; /* of the STREAM_START event */
  gboolean add_empty_results;
  gboolean is_open;

  /* stream lock */
  gint width, height; /* of the caps; 0: unknown */
  guint64 next_frame; /* for frames that no deimdetect has numbered */
  GArray *boxes;      /* of GstDeimBox, kept to save its memory */
  GArray *looks;      /* of GstDeimFrameLook, likewise */
  GString *line;      /* likewise */
  gboolean told_missing;
};

/* Ids of its properties; the element's own begin with the last. */
enum {
  GST_DEIM_RESULTS_ADD_EMPTY_RESULTS = 1,
  GST_DEIM_RESULTS_STREAM_ID,
  GST_DEIM_RESULTS_LAST_PROPERTY,
};

/* Sets the functions, pads and properties of a subclass of GstBaseTransform whose instances begin with GstDeimResults.
 */
void gst_deim_results_class_init (GstBaseTransformClass *klass);
void gst_deim_results_init (GstDeimResults *self, const GstDeimResultsFuncs *funcs); /* @funcs: static */
void gst_deim_results_finish (GstDeimResults *self);

/* For ids below GST_DEIM_RESULTS_LAST_PROPERTY. */
void gst_deim_results_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec);
void gst_deim_results_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec);

G_END_DECLS
