/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * SECTION:element-deimjson
 * @title: deimjson
 * @short_description: Writes detections as lines of JSON
 * @see_also: deimdetect
 *
 * Writes a line of JSON for each frame with objects, whoever attached them, to a file, a named pipe or the standard
 * output. The frames pass untouched, in any memory.
 *
 * |[
 * {"stream_id": "…", "frame": 7, "pts": 280000000, "running_time": 280000000, "width": 640, "height": 480,
 * "detections": [{"label": "person", "label_id": 0, "score": 0.83, "box": [10, 20, 110, 220]}]}
 * ]| A line, here on two. Times are nanoseconds, boxes x1, y1, x2, y2 in pixels of the frame.
 *
 * ## Example pipelines
 *
 * |[
 * gst-launch-1.0 -q filesrc location=in.mp4 ! decodebin ! videoconvert ! deimdetect model=deimv2.safetensors ! deimjson
 * ! fakesink
 * ]| What is found in a file, on the standard output.
 *
 * |[
 * gst-launch-1.0 v4l2src ! videoconvert ! deimdetect model=deimv2.safetensors ! deimjson location=found.jsonl
 * append=true ! deimoverlay ! videoconvert ! autovideosink
 * ]| A camera, with a log of what it saw.
 *
 * Since: 0.1
 */
#include "gstdeimjson.h"

#include "gstdeimwriter.h"

#define DEFAULT_LOCATION "-"
#define DEFAULT_APPEND   FALSE

enum {
  PROP_LOCATION = GST_DEIM_RESULTS_LAST_PROPERTY,
  PROP_APPEND,
};

struct _GstDeimJson {
  GstDeimResults parent;

  /* object lock */
  gchar *location;
  gboolean append;

  GstDeimWriter *writer; /* between open and close */
};

#define gst_deim_json_parent_class parent_class
G_DEFINE_FINAL_TYPE (GstDeimJson, gst_deim_json, GST_TYPE_BASE_TRANSFORM)
GST_ELEMENT_REGISTER_DEFINE (deimjson, "deimjson", GST_RANK_NONE, GST_TYPE_DEIM_JSON)

static gboolean
gst_deim_json_open (GstDeimResults *results, GError **error)
{
  GstDeimJson *self = GST_DEIM_JSON (results);

  GST_OBJECT_LOCK (self);
  g_autofree gchar *location = g_strdup (self->location);
  gboolean append = self->append;
  GST_OBJECT_UNLOCK (self);
  if (!location || !*location) {
    g_set_error (error, GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_SETTINGS,
                 "No location is set; set the property \"location\" to a file, or to \"-\" for the standard output.");
    return FALSE;
  }
  self->writer = gst_deim_writer_new (location, append, error);
  return self->writer != NULL;
}

static void
gst_deim_json_close (GstDeimResults *results)
{
  g_clear_pointer (&GST_DEIM_JSON (results)->writer, gst_deim_writer_free);
}

static GstFlowReturn
gst_deim_json_write (GstDeimResults *results, const gchar *stream_id, GString *line, GError **error)
{
  g_string_append_c (line, '\n');
  return gst_deim_writer_write (GST_DEIM_JSON (results)->writer, line, error);
}

static void
gst_deim_json_set_flushing (GstDeimResults *results, gboolean flushing)
{
  gst_deim_writer_set_flushing (GST_DEIM_JSON (results)->writer, flushing);
}

static const GstDeimResultsFuncs results_funcs = {
  .open = gst_deim_json_open,
  .close = gst_deim_json_close,
  .write = gst_deim_json_write,
  .set_flushing = gst_deim_json_set_flushing,
};

/* ------------------------------------------------------------------- object */

static void
gst_deim_json_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  GstDeimJson *self = GST_DEIM_JSON (object);

  if (id < GST_DEIM_RESULTS_LAST_PROPERTY) {
    gst_deim_results_set_property (object, id, value, pspec);
    return;
  }
  GST_OBJECT_LOCK (self);
  switch (id) {
  case PROP_LOCATION:
    g_free (self->location);
    self->location = g_value_dup_string (value);
    break;
  case PROP_APPEND:
    self->append = g_value_get_boolean (value);
    break;
  default:
    G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    break;
  }
  GST_OBJECT_UNLOCK (self);
}

static void
gst_deim_json_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  GstDeimJson *self = GST_DEIM_JSON (object);

  if (id < GST_DEIM_RESULTS_LAST_PROPERTY) {
    gst_deim_results_get_property (object, id, value, pspec);
    return;
  }
  GST_OBJECT_LOCK (self);
  switch (id) {
  case PROP_LOCATION:
    g_value_set_string (value, self->location);
    break;
  case PROP_APPEND:
    g_value_set_boolean (value, self->append);
    break;
  default:
    G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    break;
  }
  GST_OBJECT_UNLOCK (self);
}

static void
gst_deim_json_finalize (GObject *object)
{
  g_clear_pointer (&GST_DEIM_JSON (object)->location, g_free);
  gst_deim_results_finish (GST_DEIM_RESULTS (object));
  G_OBJECT_CLASS (parent_class)->finalize (object);
}

static void
gst_deim_json_class_init (GstDeimJsonClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  const GParamFlags ready = G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS | GST_PARAM_MUTABLE_READY;

  object_class->set_property = gst_deim_json_set_property;
  object_class->get_property = gst_deim_json_get_property;
  object_class->finalize = gst_deim_json_finalize;
  gst_deim_results_class_init (GST_BASE_TRANSFORM_CLASS (klass));

  /**
   * GstDeimJson:location:
   *
   * Where the lines go: a file, a named pipe that somebody reads already, or "-" for the standard output.
   *
   * Since: 0.1
   */
  g_object_class_install_property (object_class, PROP_LOCATION,
                                   g_param_spec_string ("location", "Location",
                                                        "File or named pipe to write to; \"-\" is the standard output",
                                                        DEFAULT_LOCATION, ready));
  /**
   * GstDeimJson:append:
   *
   * Since: 0.1
   */
  g_object_class_install_property (object_class, PROP_APPEND,
                                   g_param_spec_boolean ("append", "Append",
                                                         "Write behind what the file holds, instead of emptying it",
                                                         DEFAULT_APPEND, ready));

  gst_element_class_set_static_metadata (GST_ELEMENT_CLASS (klass), "DEIM results as JSON", "Filter/Analyzer/Video",
                                         "Writes detections as lines of JSON", "the gst-deim authors");
}

static void
gst_deim_json_init (GstDeimJson *self)
{
  gst_deim_results_init (GST_DEIM_RESULTS (self), &results_funcs);
  self->location = g_strdup (DEFAULT_LOCATION);
  self->append = DEFAULT_APPEND;
}
