/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* gstdeimresults.c - see gstdeimresults.h. */
#include "gstdeimresults.h"

#include "gstdeimline.h"

GST_DEBUG_CATEGORY_EXTERN (gst_deim_debug);
#define GST_CAT_DEFAULT gst_deim_debug

#define DEFAULT_ADD_EMPTY_RESULTS FALSE

enum {
  PROP_0,
  PROP_ADD_EMPTY_RESULTS,
  PROP_STREAM_ID,
};

typedef struct {
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
} GstDeimResultsPrivate;

#define CAPS "video/x-raw(ANY)"
static GstStaticPadTemplate sink_template =
    GST_STATIC_PAD_TEMPLATE ("sink", GST_PAD_SINK, GST_PAD_ALWAYS, GST_STATIC_CAPS (CAPS));
static GstStaticPadTemplate src_template =
    GST_STATIC_PAD_TEMPLATE ("src", GST_PAD_SRC, GST_PAD_ALWAYS, GST_STATIC_CAPS (CAPS));

#define gst_deim_results_parent_class parent_class
G_DEFINE_ABSTRACT_TYPE_WITH_PRIVATE (GstDeimResults, gst_deim_results, GST_TYPE_BASE_TRANSFORM)

static GstDeimResultsPrivate *
private_of (gpointer self)
{
  return gst_deim_results_get_instance_private (GST_DEIM_RESULTS (self));
}

static void
post_error (GstDeimResults *self, const GError *error, const gchar *debug)
{
  gst_element_message_full (GST_ELEMENT (self), GST_MESSAGE_ERROR, error->domain, error->code,
                            g_strdup (error->message), g_strdup (debug), __FILE__, G_STRFUNC, __LINE__);
}

/* ------------------------------------------------------------------- frames */

/* How many detections that @looks speak of are not among @boxes: at least so many, as boxes of others may be among them
 * that do not say whose they are. */
static guint
count_missing (const GArray *looks, const GArray *boxes)
{
  guint missing = 0;
  for (guint i = 0; i < looks->len; i++) {
    const GstDeimFrameLook *look = &g_array_index (looks, GstDeimFrameLook, i);
    guint left = 0;
    for (guint j = 0; j < boxes->len; j++) {
      const gchar *source = g_array_index (boxes, GstDeimBox, j).source;
      left += !source || source == look->source;
    }
    missing += look->detections > left ? look->detections - left : 0;
  }
  return missing;
}

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
  if (!private_of (self)->told_missing)
    GST_ELEMENT_WARNING (self, STREAM, FAILED,
                         ("Detections were removed from frames before they came here, so there are no documents of "
                          "those; if that is not intended, put this element before what crops or copies frames "
                          "(videocrop, for example)."),
                         ("DeimFrameMeta speaks of detections, and the frame has none"));
  private_of (self)->told_missing = TRUE;
}

static GstFlowReturn
gst_deim_results_transform_ip (GstBaseTransform *base, GstBuffer *buffer)
{
  GstDeimResults *self = GST_DEIM_RESULTS (base);
  GstDeimResultsPrivate *priv = private_of (self);
  g_array_set_size (priv->looks, 0);
  g_array_set_size (priv->boxes, 0);
  gst_deim_frame_meta_read (buffer, priv->looks);
  gst_deim_meta_read (buffer, priv->boxes);
  guint64 number = priv->looks->len > 0 ? g_array_index (priv->looks, GstDeimFrameLook, 0).frame : priv->next_frame;
  guint missing = count_missing (priv->looks, priv->boxes);
  priv->next_frame = number + 1;

  GST_OBJECT_LOCK (self);
  gboolean empty_too = priv->add_empty_results;
  g_autofree gchar *stream_id = g_strdup (priv->stream_id ? priv->stream_id : priv->upstream_id);
  GST_OBJECT_UNLOCK (self);
  if (priv->boxes->len == 0 && missing > 0)
    tell_of_missing (self);
  /* An empty document says: looked at, and nothing found. */
  if (priv->boxes->len == 0 && (!empty_too || missing > 0 || !is_inferred (priv->looks)))
    return GST_FLOW_OK;

  const GstDeimLineFrame frame = { .stream_id = stream_id,
                                   .frame = number,
                                   .pts = GST_BUFFER_PTS (buffer),
                                   .running_time = gst_deim_running_time (&base->segment, GST_BUFFER_PTS (buffer)),
                                   .width = priv->width,
                                   .height = priv->height,
                                   .looks = priv->looks,
                                   .missing = missing };
  gst_deim_line_format (priv->line, &frame, buffer, priv->boxes);
  g_autoptr (GError) error = NULL;
  GstFlowReturn flow = GST_DEIM_RESULTS_GET_CLASS (self)->write (self, stream_id, priv->line, &error);
  if (error)
    post_error (self, error, "writing a document failed");
  return flow;
}

static gboolean
gst_deim_results_set_caps (GstBaseTransform *base, GstCaps *incaps, GstCaps *outcaps)
{
  GstDeimResultsPrivate *priv = private_of (base);
  /* No GstVideoInfo: memory of other kinds, DMABuf among them, has formats that it does not know. */
  const GstStructure *structure = gst_caps_get_structure (incaps, 0);
  priv->width = priv->height = 0;
  gst_structure_get_int (structure, "width", &priv->width);
  gst_structure_get_int (structure, "height", &priv->height);
  return TRUE;
}

/* ------------------------------------------------------------ state and events */

static gboolean
gst_deim_results_start (GstBaseTransform *base)
{
  GstDeimResults *self = GST_DEIM_RESULTS (base);
  GstDeimResultsPrivate *priv = private_of (self);
  g_autoptr (GError) error = NULL;

  if (!GST_DEIM_RESULTS_GET_CLASS (self)->open (self, &error)) {
    post_error (self, error, "opening failed");
    return FALSE;
  }
  priv->next_frame = 0;
  priv->told_missing = FALSE;
  priv->width = priv->height = 0;
  GST_OBJECT_LOCK (self);
  priv->is_open = TRUE;
  GST_OBJECT_UNLOCK (self);
  return TRUE;
}

static gboolean
gst_deim_results_stop (GstBaseTransform *base)
{
  GstDeimResults *self = GST_DEIM_RESULTS (base);
  GstDeimResultsPrivate *priv = private_of (self);

  GST_OBJECT_LOCK (self);
  gboolean was_open = priv->is_open;
  priv->is_open = FALSE;
  g_clear_pointer (&priv->upstream_id, g_free);
  GST_OBJECT_UNLOCK (self);
  if (was_open)
    GST_DEIM_RESULTS_GET_CLASS (self)->close (self);
  return TRUE;
}

/* Under the object lock, so that what is open stays so meanwhile. */
static void
set_flushing (GstDeimResults *self, gboolean flushing)
{
  GST_OBJECT_LOCK (self);
  if (private_of (self)->is_open)
    GST_DEIM_RESULTS_GET_CLASS (self)->set_flushing (self, flushing);
  GST_OBJECT_UNLOCK (self);
}

static gboolean
gst_deim_results_sink_event (GstBaseTransform *base, GstEvent *event)
{
  GstDeimResults *self = GST_DEIM_RESULTS (base);
  GstDeimResultsPrivate *priv = private_of (self);
  GstDeimResultsClass *klass = GST_DEIM_RESULTS_GET_CLASS (self);

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
    g_free (priv->upstream_id);
    priv->upstream_id = g_strdup (id);
    GST_OBJECT_UNLOCK (self);
    break;
  }
  case GST_EVENT_EOS:
    if (klass->drain)
      klass->drain (self);
    break;
  default:
    break;
  }
  return GST_BASE_TRANSFORM_CLASS (parent_class)->sink_event (base, event);
}

/* A reader that takes nothing must not keep the pipeline from stopping: pads are deactivated under the stream lock. */
static GstStateChangeReturn
gst_deim_results_change_state (GstElement *element, GstStateChange transition)
{
  if (transition == GST_STATE_CHANGE_PAUSED_TO_READY)
    set_flushing (GST_DEIM_RESULTS (element), TRUE);
  return GST_ELEMENT_CLASS (parent_class)->change_state (element, transition);
}

/* ------------------------------------------------------------------- object */

static void
gst_deim_results_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  GstDeimResultsPrivate *priv = private_of (object);

  GST_OBJECT_LOCK (object);
  switch (id) {
  case PROP_ADD_EMPTY_RESULTS:
    priv->add_empty_results = g_value_get_boolean (value);
    break;
  case PROP_STREAM_ID:
    g_free (priv->stream_id);
    priv->stream_id = g_value_dup_string (value);
    break;
  default:
    G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    break;
  }
  GST_OBJECT_UNLOCK (object);
}

static void
gst_deim_results_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  GstDeimResultsPrivate *priv = private_of (object);

  GST_OBJECT_LOCK (object);
  switch (id) {
  case PROP_ADD_EMPTY_RESULTS:
    g_value_set_boolean (value, priv->add_empty_results);
    break;
  case PROP_STREAM_ID:
    g_value_set_string (value, priv->stream_id);
    break;
  default:
    G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    break;
  }
  GST_OBJECT_UNLOCK (object);
}

static void
gst_deim_results_finalize (GObject *object)
{
  GstDeimResultsPrivate *priv = private_of (object);

  g_clear_pointer (&priv->stream_id, g_free);
  g_clear_pointer (&priv->upstream_id, g_free);
  g_array_unref (priv->boxes);
  g_array_unref (priv->looks);
  g_string_free (priv->line, TRUE);
  G_OBJECT_CLASS (parent_class)->finalize (object);
}

static void
gst_deim_results_class_init (GstDeimResultsClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GstElementClass *element_class = GST_ELEMENT_CLASS (klass);
  GstBaseTransformClass *base_class = GST_BASE_TRANSFORM_CLASS (klass);
  const GParamFlags live = G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS | GST_PARAM_MUTABLE_PLAYING;

  object_class->set_property = gst_deim_results_set_property;
  object_class->get_property = gst_deim_results_get_property;
  object_class->finalize = gst_deim_results_finalize;
  element_class->change_state = GST_DEBUG_FUNCPTR (gst_deim_results_change_state);
  base_class->start = GST_DEBUG_FUNCPTR (gst_deim_results_start);
  base_class->stop = GST_DEBUG_FUNCPTR (gst_deim_results_stop);
  base_class->set_caps = GST_DEBUG_FUNCPTR (gst_deim_results_set_caps);
  base_class->sink_event = GST_DEBUG_FUNCPTR (gst_deim_results_sink_event);
  base_class->transform_ip = GST_DEBUG_FUNCPTR (gst_deim_results_transform_ip);

  /**
   * GstDeimResults:add-empty-results:
   *
   * Since: 0.1
   */
  g_object_class_install_property (
      object_class, PROP_ADD_EMPTY_RESULTS,
      g_param_spec_boolean ("add-empty-results", "Add empty results",
                            "Tell too of frames that were looked at and in which nothing was found",
                            DEFAULT_ADD_EMPTY_RESULTS, live));
  /**
   * GstDeimResults:stream-id:
   *
   * Since: 0.1
   */
  g_object_class_install_property (object_class, PROP_STREAM_ID,
                                   g_param_spec_string ("stream-id", "Stream id",
                                                        "What the documents call the stream; unset takes the id that "
                                                        "the source gave it",
                                                        NULL, live));

  gst_element_class_add_static_pad_template (element_class, &sink_template);
  gst_element_class_add_static_pad_template (element_class, &src_template);
  gst_type_mark_as_plugin_api (GST_TYPE_DEIM_RESULTS, 0);
}

static void
gst_deim_results_init (GstDeimResults *self)
{
  GstDeimResultsPrivate *priv = private_of (self);

  priv->add_empty_results = DEFAULT_ADD_EMPTY_RESULTS;
  priv->boxes = g_array_new (FALSE, FALSE, sizeof (GstDeimBox));
  priv->looks = g_array_new (FALSE, FALSE, sizeof (GstDeimFrameLook));
  priv->line = g_string_new (NULL);
  /* Buffers are looked at and never made writable. */
  gst_base_transform_set_in_place (GST_BASE_TRANSFORM (self), TRUE);
  gst_base_transform_set_passthrough (GST_BASE_TRANSFORM (self), TRUE);
}
