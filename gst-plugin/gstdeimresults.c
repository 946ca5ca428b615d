/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* gstdeimresults.c - see gstdeimresults.h. */
#include "gstdeimresults.h"

#include "gstdeimline.h"

GST_DEBUG_CATEGORY_EXTERN (gst_deim_debug);
#define GST_CAT_DEFAULT gst_deim_debug

#define DEFAULT_ADD_EMPTY_RESULTS FALSE

#define CAPS "video/x-raw(ANY)"
static GstStaticPadTemplate sink_template =
    GST_STATIC_PAD_TEMPLATE ("sink", GST_PAD_SINK, GST_PAD_ALWAYS, GST_STATIC_CAPS (CAPS));
static GstStaticPadTemplate src_template =
    GST_STATIC_PAD_TEMPLATE ("src", GST_PAD_SRC, GST_PAD_ALWAYS, GST_STATIC_CAPS (CAPS));

static GstBaseTransformClass *
base_class (void)
{
  return g_type_class_peek (GST_TYPE_BASE_TRANSFORM);
}

static void
post_error (GstDeimResults *self, const GError *error, const gchar *debug)
{
  gst_element_message_full (GST_ELEMENT (self), GST_MESSAGE_ERROR, error->domain, error->code,
                            g_strdup (error->message), g_strdup (debug), __FILE__, G_STRFUNC, __LINE__);
}

/* ------------------------------------------------------------------- frames */

static gboolean
is_inferred (const GArray *looks)
{
  for (guint i = 0; i < looks->len; i++)
    if (g_array_index (looks, GstDeimFrameLook, i).inferred)
      return TRUE;
  return FALSE;
}

/* What was found is gone, and without a word nobody would know why there are no documents. */
static void
tell_of_missing (GstDeimResults *self)
{
  if (!self->told_missing)
    GST_ELEMENT_WARNING (self, STREAM, FAILED,
                         ("Detections were removed from frames before they came here, so there are no documents of "
                          "those; if that is not intended, put this element before what crops or copies frames "
                          "(videocrop, for example)."),
                         ("DeimFrameMeta speaks of detections, and the frame has none"));
  self->told_missing = TRUE;
}

static GstFlowReturn
gst_deim_results_transform_ip (GstBaseTransform *base, GstBuffer *buffer)
{
  GstDeimResults *self = GST_DEIM_RESULTS (base);
  g_array_set_size (self->looks, 0);
  g_array_set_size (self->boxes, 0);
  gst_deim_frame_meta_read (buffer, self->looks);
  gst_deim_meta_read (buffer, self->boxes);
  guint64 number = self->looks->len > 0 ? g_array_index (self->looks, GstDeimFrameLook, 0).frame : self->next_frame;
  guint missing = gst_deim_count_missing (self->looks, self->boxes);
  self->next_frame = number + 1;

  GST_OBJECT_LOCK (self);
  gboolean empty_too = self->add_empty_results;
  g_autofree gchar *stream_id = g_strdup (self->stream_id ? self->stream_id : self->upstream_id);
  GST_OBJECT_UNLOCK (self);
  if (self->boxes->len == 0 && missing > 0)
    tell_of_missing (self);
  /* An empty document says: looked at, and nothing found. */
  if (self->boxes->len == 0 && (!empty_too || missing > 0 || !is_inferred (self->looks)))
    return GST_FLOW_OK;

  const GstDeimLineFrame frame = { .stream_id = stream_id,
                                   .frame = number,
                                   .pts = GST_BUFFER_PTS (buffer),
                                   .running_time = gst_deim_running_time (&base->segment, GST_BUFFER_PTS (buffer)),
                                   .width = self->width,
                                   .height = self->height,
                                   .looks = self->looks,
                                   .missing = missing };
  gst_deim_line_format (self->line, &frame, buffer, self->boxes);
  g_autoptr (GError) error = NULL;
  GstFlowReturn flow = self->funcs->write (self, stream_id, self->line, &error);
  if (error)
    post_error (self, error, "writing a document failed");
  return flow;
}

static gboolean
gst_deim_results_set_caps (GstBaseTransform *base, GstCaps *incaps, GstCaps *outcaps)
{
  GstDeimResults *self = GST_DEIM_RESULTS (base);
  /* No GstVideoInfo: memory of other kinds, DMABuf among them, has formats that it does not know. */
  const GstStructure *structure = gst_caps_get_structure (incaps, 0);
  self->width = self->height = 0;
  gst_structure_get_int (structure, "width", &self->width);
  gst_structure_get_int (structure, "height", &self->height);
  return TRUE;
}

/* ------------------------------------------------------------ state and events */

static gboolean
gst_deim_results_start (GstBaseTransform *base)
{
  GstDeimResults *self = GST_DEIM_RESULTS (base);
  g_autoptr (GError) error = NULL;

  if (!self->funcs->open (self, &error)) {
    post_error (self, error, "opening failed");
    return FALSE;
  }
  self->next_frame = 0;
  self->told_missing = FALSE;
  self->width = self->height = 0;
  GST_OBJECT_LOCK (self);
  self->is_open = TRUE;
  GST_OBJECT_UNLOCK (self);
  return TRUE;
}

static gboolean
gst_deim_results_stop (GstBaseTransform *base)
{
  GstDeimResults *self = GST_DEIM_RESULTS (base);

  GST_OBJECT_LOCK (self);
  gboolean was_open = self->is_open;
  self->is_open = FALSE;
  g_clear_pointer (&self->upstream_id, g_free);
  GST_OBJECT_UNLOCK (self);
  if (was_open)
    self->funcs->close (self);
  return TRUE;
}

/* Under the object lock, so that what is open stays so meanwhile. */
static void
set_flushing (GstDeimResults *self, gboolean flushing)
{
  GST_OBJECT_LOCK (self);
  if (self->is_open)
    self->funcs->set_flushing (self, flushing);
  GST_OBJECT_UNLOCK (self);
}

static gboolean
gst_deim_results_sink_event (GstBaseTransform *base, GstEvent *event)
{
  GstDeimResults *self = GST_DEIM_RESULTS (base);

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
  case GST_EVENT_EOS:
    if (self->funcs->drain)
      self->funcs->drain (self);
    break;
  default:
    break;
  }
  return base_class ()->sink_event (base, event);
}

/* A reader that takes nothing must not keep the pipeline from stopping: pads are deactivated under the stream lock. */
static GstStateChangeReturn
gst_deim_results_change_state (GstElement *element, GstStateChange transition)
{
  if (transition == GST_STATE_CHANGE_PAUSED_TO_READY)
    set_flushing (GST_DEIM_RESULTS (element), TRUE);
  return GST_ELEMENT_CLASS (base_class ())->change_state (element, transition);
}

/* ------------------------------------------------------------------- object */

void
gst_deim_results_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  GstDeimResults *self = GST_DEIM_RESULTS (object);

  GST_OBJECT_LOCK (object);
  switch (id) {
  case GST_DEIM_RESULTS_ADD_EMPTY_RESULTS:
    self->add_empty_results = g_value_get_boolean (value);
    break;
  case GST_DEIM_RESULTS_STREAM_ID:
    g_free (self->stream_id);
    self->stream_id = g_value_dup_string (value);
    break;
  default:
    G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    break;
  }
  GST_OBJECT_UNLOCK (object);
}

void
gst_deim_results_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  GstDeimResults *self = GST_DEIM_RESULTS (object);

  GST_OBJECT_LOCK (object);
  switch (id) {
  case GST_DEIM_RESULTS_ADD_EMPTY_RESULTS:
    g_value_set_boolean (value, self->add_empty_results);
    break;
  case GST_DEIM_RESULTS_STREAM_ID:
    g_value_set_string (value, self->stream_id);
    break;
  default:
    G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    break;
  }
  GST_OBJECT_UNLOCK (object);
}

void
gst_deim_results_finish (GstDeimResults *self)
{
  g_clear_pointer (&self->stream_id, g_free);
  g_clear_pointer (&self->upstream_id, g_free);
  g_array_unref (self->boxes);
  g_array_unref (self->looks);
  g_string_free (self->line, TRUE);
}

void
gst_deim_results_class_init (GstBaseTransformClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GstElementClass *element_class = GST_ELEMENT_CLASS (klass);
  const GParamFlags live = G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS | GST_PARAM_MUTABLE_PLAYING;

  element_class->change_state = GST_DEBUG_FUNCPTR (gst_deim_results_change_state);
  klass->start = GST_DEBUG_FUNCPTR (gst_deim_results_start);
  klass->stop = GST_DEBUG_FUNCPTR (gst_deim_results_stop);
  klass->set_caps = GST_DEBUG_FUNCPTR (gst_deim_results_set_caps);
  klass->sink_event = GST_DEBUG_FUNCPTR (gst_deim_results_sink_event);
  klass->transform_ip = GST_DEBUG_FUNCPTR (gst_deim_results_transform_ip);

  /**
   * GstDeimJson:add-empty-results:
   *
   * Since: 0.1
   */
  g_object_class_install_property (
      object_class, GST_DEIM_RESULTS_ADD_EMPTY_RESULTS,
      g_param_spec_boolean ("add-empty-results", "Add empty results",
                            "Tell too of frames that were looked at and in which nothing was found",
                            DEFAULT_ADD_EMPTY_RESULTS, live));
  /**
   * GstDeimJson:stream-id:
   *
   * Since: 0.1
   */
  g_object_class_install_property (object_class, GST_DEIM_RESULTS_STREAM_ID,
                                   g_param_spec_string ("stream-id", "Stream id",
                                                        "What the documents call the stream; unset takes the id that "
                                                        "the source gave it",
                                                        NULL, live));

  gst_element_class_add_static_pad_template (element_class, &sink_template);
  gst_element_class_add_static_pad_template (element_class, &src_template);
}

void
gst_deim_results_init (GstDeimResults *self, const GstDeimResultsFuncs *funcs)
{
  self->funcs = funcs;
  self->add_empty_results = DEFAULT_ADD_EMPTY_RESULTS;
  self->boxes = g_array_new (FALSE, FALSE, sizeof (GstDeimBox));
  self->looks = g_array_new (FALSE, FALSE, sizeof (GstDeimFrameLook));
  self->line = g_string_new (NULL);
  /* Buffers are looked at and never made writable. */
  gst_base_transform_set_in_place (GST_BASE_TRANSFORM (self), TRUE);
  gst_base_transform_set_passthrough (GST_BASE_TRANSFORM (self), TRUE);
}
