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

#include <json-glib/json-glib.h>
#include <math.h>
#include <string.h>

#include "gstdeimmeta.h"

GST_DEBUG_CATEGORY_EXTERN (gst_deim_debug);
#define GST_CAT_DEFAULT gst_deim_debug

#define DEFAULT_LOCATION          "-"
#define DEFAULT_APPEND            FALSE
#define DEFAULT_ADD_EMPTY_RESULTS FALSE

enum {
  PROP_0,
  PROP_LOCATION,
  PROP_APPEND,
  PROP_ADD_EMPTY_RESULTS,
  PROP_STREAM_ID,
};

#define CAPS "video/x-raw(ANY)"
static GstStaticPadTemplate sink_template =
    GST_STATIC_PAD_TEMPLATE ("sink", GST_PAD_SINK, GST_PAD_ALWAYS, GST_STATIC_CAPS (CAPS));
static GstStaticPadTemplate src_template =
    GST_STATIC_PAD_TEMPLATE ("src", GST_PAD_SRC, GST_PAD_ALWAYS, GST_STATIC_CAPS (CAPS));

#define gst_deim_json_parent_class parent_class
G_DEFINE_FINAL_TYPE (GstDeimJson, gst_deim_json, GST_TYPE_BASE_TRANSFORM)
GST_ELEMENT_REGISTER_DEFINE (deimjson, "deimjson", GST_RANK_NONE, GST_TYPE_DEIM_JSON)

/* ----------------------------------------------------------------- the line */

static void
append_string (GString *line, const gchar *text)
{
  g_autofree gchar *valid = text ? g_utf8_make_valid (text, -1) : NULL;
  g_autoptr (JsonNode) node = json_node_alloc ();
  if (valid)
    json_node_init_string (node, valid);
  else
    json_node_init_null (node);
  g_autofree gchar *quoted = json_to_string (node, FALSE);
  g_string_append (line, quoted);
}

static void
append_time (GString *line, const gchar *name, guint64 time)
{
  if (GST_CLOCK_TIME_IS_VALID (time))
    g_string_append_printf (line, ", \"%s\": %" G_GUINT64_FORMAT, name, time);
  else
    g_string_append_printf (line, ", \"%s\": null", name);
}

/* Six digits are more than a confidence has. JSON's decimal point is the same in all languages. */
static void
append_score (GString *line, gdouble score)
{
  gchar digits[G_ASCII_DTOSTR_BUF_SIZE];
  g_string_append (line,
                   isfinite (score) && score >= 0 ? g_ascii_formatd (digits, sizeof digits, "%.6g", score) : "null");
}

static void
append_box (GString *line, const GstDeimBox *box)
{
  g_string_append (line, "{\"label\": ");
  append_string (line, box->label);
  if (box->label_id >= 0)
    g_string_append_printf (line, ", \"label_id\": %d", box->label_id);
  else
    g_string_append (line, ", \"label_id\": null");
  g_string_append (line, ", \"score\": ");
  append_score (line, box->confidence);
  g_string_append_printf (line, ", \"box\": [%d, %d, %d, %d]", box->x, box->y, box->x + box->w, box->y + box->h);
  if (box->track_id >= 0)
    g_string_append_printf (line, ", \"track_id\": %" G_GINT64_FORMAT, box->track_id);
  if (box->predicted)
    g_string_append (line, ", \"predicted\": true");
  g_string_append_c (line, '}');
}

/* The wall clock of a reference timestamp, where its kind says since when it counts. */
static gchar *
utc_of (GstCaps *reference, GstClockTime time)
{
  /* Seconds from 1900 to 1970. */
  static const guint64 ntp_epoch = G_GUINT64_CONSTANT (2208988800);
  const gchar *kind = gst_structure_get_name (gst_caps_get_structure (reference, 0));
  guint64 seconds = time / GST_SECOND;
  if (strcmp (kind, "timestamp/x-ntp") == 0 && seconds >= ntp_epoch)
    seconds -= ntp_epoch;
  else if (strcmp (kind, "timestamp/x-unix") != 0)
    return NULL;
  g_autoptr (GDateTime) date = g_date_time_new_from_unix_utc ((gint64) seconds);
  g_autofree gchar *text = date ? g_date_time_format (date, "%Y-%m-%dT%H:%M:%S") : NULL;
  return text ? g_strdup_printf ("%s.%09" G_GUINT64_FORMAT "Z", text, time % GST_SECOND) : NULL;
}

static void
append_references (GString *line, GstBuffer *buffer)
{
  gpointer state = NULL;
  GstMeta *meta;
  guint count = 0;
  while ((meta = gst_buffer_iterate_meta_filtered (buffer, &state, GST_REFERENCE_TIMESTAMP_META_API_TYPE))) {
    const GstReferenceTimestampMeta *reference = (const GstReferenceTimestampMeta *) meta;
    if (!reference->reference || gst_caps_get_size (reference->reference) == 0)
      continue;
    g_autofree gchar *caps = gst_caps_to_string (reference->reference);
    g_autofree gchar *utc = utc_of (reference->reference, reference->timestamp);
    g_string_append (line, count++ == 0 ? ", \"reference_timestamps\": [{\"caps\": " : ", {\"caps\": ");
    append_string (line, caps);
    append_time (line, "time", reference->timestamp);
    if (utc)
      g_string_append_printf (line, ", \"utc\": \"%s\"", utc);
    g_string_append_c (line, '}');
  }
  if (count > 0)
    g_string_append_c (line, ']');
}

static void
write_line (GstDeimJson *self, GstBuffer *buffer, guint64 frame)
{
  const GstSegment *segment = &GST_BASE_TRANSFORM (self)->segment;
  GString *line = self->line;

  GST_OBJECT_LOCK (self);
  g_autofree gchar *stream_id = g_strdup (self->stream_id ? self->stream_id : self->upstream_id);
  GST_OBJECT_UNLOCK (self);
  g_string_assign (line, "{\"stream_id\": ");
  append_string (line, stream_id);
  g_string_append_printf (line, ", \"frame\": %" G_GUINT64_FORMAT, frame);
  append_time (line, "pts", GST_BUFFER_PTS (buffer));
  append_time (line, "running_time", gst_deim_running_time (segment, GST_BUFFER_PTS (buffer)));
  append_references (line, buffer);
  g_string_append_printf (line, ", \"width\": %d, \"height\": %d, \"detections\": [", self->width, self->height);
  for (guint i = 0; i < self->boxes->len; i++) {
    if (i > 0)
      g_string_append (line, ", ");
    append_box (line, &g_array_index (self->boxes, GstDeimBox, i));
  }
  g_string_append (line, "]}\n");
}

/* ------------------------------------------------------------------- frames */

static GstFlowReturn
gst_deim_json_transform_ip (GstBaseTransform *base, GstBuffer *buffer)
{
  GstDeimJson *self = GST_DEIM_JSON (base);
  guint64 frame = self->next_frame;
  GstDeimFrameState state = gst_deim_frame_meta_read (buffer, &frame);
  self->next_frame = frame + 1;
  g_array_set_size (self->boxes, 0);
  gst_deim_meta_read (buffer, self->boxes);

  GST_OBJECT_LOCK (self);
  gboolean empty_too = self->add_empty_results;
  GST_OBJECT_UNLOCK (self);
  if (self->boxes->len == 0 && (!empty_too || state == GST_DEIM_NOT_INFERRED))
    return GST_FLOW_OK;

  write_line (self, buffer, frame);
  g_autoptr (GError) error = NULL;
  GstFlowReturn flow = gst_deim_writer_write (self->writer, self->line, &error);
  if (flow == GST_FLOW_ERROR)
    gst_element_message_full (GST_ELEMENT (self), GST_MESSAGE_ERROR, error->domain, error->code,
                              g_strdup (error->message), g_strdup ("writing a line failed"), __FILE__, G_STRFUNC,
                              __LINE__);
  return flow;
}

static gboolean
gst_deim_json_set_caps (GstBaseTransform *base, GstCaps *incaps, GstCaps *outcaps)
{
  GstDeimJson *self = GST_DEIM_JSON (base);
  /* No GstVideoInfo: memory of other kinds, DMABuf among them, has formats that it does not know. */
  const GstStructure *structure = gst_caps_get_structure (incaps, 0);
  self->width = self->height = 0;
  gst_structure_get_int (structure, "width", &self->width);
  gst_structure_get_int (structure, "height", &self->height);
  return TRUE;
}

/* ------------------------------------------------------------ state and events */

static gboolean
gst_deim_json_start (GstBaseTransform *base)
{
  GstDeimJson *self = GST_DEIM_JSON (base);
  g_autoptr (GError) error = NULL;

  GST_OBJECT_LOCK (self);
  g_autofree gchar *location = g_strdup (self->location);
  gboolean append = self->append;
  GST_OBJECT_UNLOCK (self);
  if (!location || !*location) {
    GST_ELEMENT_ERROR (self, RESOURCE, SETTINGS,
                       ("No location is set; set the property \"location\" to a file, or to \"-\" for the standard "
                        "output."),
                       ("location is empty"));
    return FALSE;
  }
  GstDeimWriter *writer = gst_deim_writer_new (location, append, &error);
  if (!writer) {
    gst_element_message_full (GST_ELEMENT (self), GST_MESSAGE_ERROR, error->domain, error->code,
                              g_strdup (error->message), g_strdup ("opening the location failed"), __FILE__, G_STRFUNC,
                              __LINE__);
    return FALSE;
  }
  self->next_frame = 0;
  self->width = self->height = 0;
  GST_OBJECT_LOCK (self);
  self->writer = writer;
  GST_OBJECT_UNLOCK (self);
  return TRUE;
}

static gboolean
gst_deim_json_stop (GstBaseTransform *base)
{
  GstDeimJson *self = GST_DEIM_JSON (base);

  GST_OBJECT_LOCK (self);
  GstDeimWriter *writer = g_steal_pointer (&self->writer);
  g_clear_pointer (&self->upstream_id, g_free);
  GST_OBJECT_UNLOCK (self);
  gst_deim_writer_free (writer);
  return TRUE;
}

/* Under the object lock, so that the writer does not go away meanwhile. It wakes a waiting thread and does not wait. */
static void
set_flushing (GstDeimJson *self, gboolean flushing)
{
  GST_OBJECT_LOCK (self);
  if (self->writer)
    gst_deim_writer_set_flushing (self->writer, flushing);
  GST_OBJECT_UNLOCK (self);
}

static gboolean
gst_deim_json_sink_event (GstBaseTransform *base, GstEvent *event)
{
  GstDeimJson *self = GST_DEIM_JSON (base);

  switch (GST_EVENT_TYPE (event)) {
  case GST_EVENT_FLUSH_START:
    set_flushing (self, TRUE);
    break;
  case GST_EVENT_FLUSH_STOP:
    set_flushing (self, FALSE);
    break;
  case GST_EVENT_STREAM_START: {
    const gchar *id;
    gst_event_parse_stream_start (event, &id);
    GST_OBJECT_LOCK (self);
    g_free (self->upstream_id);
    self->upstream_id = g_strdup (id);
    GST_OBJECT_UNLOCK (self);
    break;
  }
  default:
    break;
  }
  return GST_BASE_TRANSFORM_CLASS (parent_class)->sink_event (base, event);
}

/* A reader that takes nothing must not keep the pipeline from stopping: pads are deactivated under the stream lock. */
static GstStateChangeReturn
gst_deim_json_change_state (GstElement *element, GstStateChange transition)
{
  if (transition == GST_STATE_CHANGE_PAUSED_TO_READY)
    set_flushing (GST_DEIM_JSON (element), TRUE);
  return GST_ELEMENT_CLASS (parent_class)->change_state (element, transition);
}

/* ------------------------------------------------------------------- object */

static void
gst_deim_json_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  GstDeimJson *self = GST_DEIM_JSON (object);

  GST_OBJECT_LOCK (self);
  switch (id) {
  case PROP_LOCATION:
    g_free (self->location);
    self->location = g_value_dup_string (value);
    break;
  case PROP_APPEND:
    self->append = g_value_get_boolean (value);
    break;
  case PROP_ADD_EMPTY_RESULTS:
    self->add_empty_results = g_value_get_boolean (value);
    break;
  case PROP_STREAM_ID:
    g_free (self->stream_id);
    self->stream_id = g_value_dup_string (value);
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

  GST_OBJECT_LOCK (self);
  switch (id) {
  case PROP_LOCATION:
    g_value_set_string (value, self->location);
    break;
  case PROP_APPEND:
    g_value_set_boolean (value, self->append);
    break;
  case PROP_ADD_EMPTY_RESULTS:
    g_value_set_boolean (value, self->add_empty_results);
    break;
  case PROP_STREAM_ID:
    g_value_set_string (value, self->stream_id);
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
  GstDeimJson *self = GST_DEIM_JSON (object);

  g_clear_pointer (&self->location, g_free);
  g_clear_pointer (&self->stream_id, g_free);
  g_clear_pointer (&self->upstream_id, g_free);
  g_array_unref (self->boxes);
  g_string_free (self->line, TRUE);
  G_OBJECT_CLASS (parent_class)->finalize (object);
}

static void
gst_deim_json_class_init (GstDeimJsonClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GstElementClass *element_class = GST_ELEMENT_CLASS (klass);
  GstBaseTransformClass *base_class = GST_BASE_TRANSFORM_CLASS (klass);
  const GParamFlags ready = G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS | GST_PARAM_MUTABLE_READY;
  const GParamFlags live = G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS | GST_PARAM_MUTABLE_PLAYING;

  object_class->set_property = gst_deim_json_set_property;
  object_class->get_property = gst_deim_json_get_property;
  object_class->finalize = gst_deim_json_finalize;
  element_class->change_state = GST_DEBUG_FUNCPTR (gst_deim_json_change_state);
  base_class->start = GST_DEBUG_FUNCPTR (gst_deim_json_start);
  base_class->stop = GST_DEBUG_FUNCPTR (gst_deim_json_stop);
  base_class->set_caps = GST_DEBUG_FUNCPTR (gst_deim_json_set_caps);
  base_class->sink_event = GST_DEBUG_FUNCPTR (gst_deim_json_sink_event);
  base_class->transform_ip = GST_DEBUG_FUNCPTR (gst_deim_json_transform_ip);

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
  /**
   * GstDeimJson:add-empty-results:
   *
   * Since: 0.1
   */
  g_object_class_install_property (
      object_class, PROP_ADD_EMPTY_RESULTS,
      g_param_spec_boolean (
          "add-empty-results", "Add empty results",
          "Write a line for frames too in which nothing was found; frames without inference have none",
          DEFAULT_ADD_EMPTY_RESULTS, live));
  /**
   * GstDeimJson:stream-id:
   *
   * Since: 0.1
   */
  g_object_class_install_property (object_class, PROP_STREAM_ID,
                                   g_param_spec_string ("stream-id", "Stream id",
                                                        "What the lines call the stream; unset takes the id that the "
                                                        "source gave it",
                                                        NULL, live));

  gst_element_class_set_static_metadata (element_class, "DEIM results as JSON", "Filter/Analyzer/Video",
                                         "Writes detections as lines of JSON", "the gst-deim authors");
  gst_element_class_add_static_pad_template (element_class, &sink_template);
  gst_element_class_add_static_pad_template (element_class, &src_template);
}

static void
gst_deim_json_init (GstDeimJson *self)
{
  self->location = g_strdup (DEFAULT_LOCATION);
  self->append = DEFAULT_APPEND;
  self->add_empty_results = DEFAULT_ADD_EMPTY_RESULTS;
  self->boxes = g_array_new (FALSE, FALSE, sizeof (GstDeimBox));
  self->line = g_string_new (NULL);
  /* Buffers are looked at and never made writable. */
  gst_base_transform_set_in_place (GST_BASE_TRANSFORM (self), TRUE);
  gst_base_transform_set_passthrough (GST_BASE_TRANSFORM (self), TRUE);
}
