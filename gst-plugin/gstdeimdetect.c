/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * SECTION:element-deimdetect
 * @title: deimdetect
 * @short_description: Finds objects in video with a DETR-family network on Vulkan
 * @see_also: deimoverlay
 *
 * Takes video in any common format, of sides up to 16384 pixels, runs a DEIM, DEIMv2, D-FINE or RT-DETR checkpoint on
 * it, and attaches what it finds as #GstVideoRegionOfInterestMeta. The pictures pass unchanged; only metadata is added.
 *
 * No frame is ever dropped: when downstream reports lateness, or when a live source is quicker than the device, frames
 * pass without inference and say so (their `DeimFrameMeta` has `inferred=false`, and a QoS message is posted).
 *
 * Interlaced video is looked at frame by frame, both fields together.
 *
 * ## Example pipelines
 *
 * |[
 * gst-launch-1.0 videotestsrc num-buffers=50 ! deimdetect model=deimv2.safetensors ! deimoverlay ! videoconvert !
 * autovideosink
 * ]| Detects in a test picture and shows it.
 *
 * |[
 * gst-launch-1.0 filesrc location=in.mp4 ! decodebin ! videoconvert ! deimdetect model=deimv2.safetensors
 * classes=person threshold=0.4 ! deimoverlay ! videoconvert ! x264enc ! mp4mux ! filesink location=out.mp4
 * ]| Draws the people of one file into another.
 *
 * |[
 * gst-launch-1.0 v4l2src ! queue leaky=downstream max-size-buffers=1 ! videoconvert ! deimdetect
 * model=deimv2.safetensors in-flight=1 ! queue max-size-bytes=0 ! deimoverlay ! videoconvert ! autovideosink
 * ]| A camera, with the least latency. A live pipeline wants the queue behind the detector: what the sink waits for
 * would else keep the thread that takes the camera's frames.
 *
 * Since: 0.1
 */
#include "gstdeimdetect.h"

#include <gst/allocators/gstdmabuf.h>

#include "gstdeimframe.h"

GST_DEBUG_CATEGORY_EXTERN (gst_deim_debug);
#define GST_CAT_DEFAULT gst_deim_debug

/* A stream whose caps have no frame rate is taken for one of 25 frames a second. */
#define DEFAULT_FRAME_DURATION (GST_SECOND / 25)

/* Sides as the engine takes them (DEIM_FRAME_MAX_SIZE), so that a scaler before this element makes larger ones fit. */
#define MAX_SIDE 16384
#define SIDES    "(int) [ 1, " G_STRINGIFY (MAX_SIDE) " ]"
#define CAPS_OF(features, format)                                                                                      \
  "video/x-raw" features ",format=" format ",width=" SIDES ",height=" SIDES ",framerate=" GST_VIDEO_FPS_RANGE
/* How elements of 1.24 and later name the formats of DMABufs; those before, and some since, name them as elsewhere. */
#if GST_CHECK_VERSION(1, 24, 0)
#define DRM_CAPS CAPS_OF ("(" GST_CAPS_FEATURE_MEMORY_DMABUF ")", "DMA_DRM") ",drm-format=" GST_DEIM_DRM_FORMATS ";"
#else
#define DRM_CAPS
#endif
/* Compositions that another element attached pass like any other metadata. */
#define CAPS                                                                                                           \
  DRM_CAPS                                                                                                             \
  CAPS_OF ("(" GST_CAPS_FEATURE_MEMORY_DMABUF ")", GST_DEIM_FORMATS)                                                   \
  ";" CAPS_OF ("", GST_DEIM_FORMATS) ";" CAPS_OF ("(" GST_CAPS_FEATURE_MEMORY_SYSTEM_MEMORY                            \
                                                  "," GST_CAPS_FEATURE_META_GST_VIDEO_OVERLAY_COMPOSITION ")",         \
                                                  GST_DEIM_FORMATS)

static GstStaticPadTemplate sink_template =
    GST_STATIC_PAD_TEMPLATE ("sink", GST_PAD_SINK, GST_PAD_ALWAYS, GST_STATIC_CAPS (CAPS));
static GstStaticPadTemplate src_template =
    GST_STATIC_PAD_TEMPLATE ("src", GST_PAD_SRC, GST_PAD_ALWAYS, GST_STATIC_CAPS (CAPS));

#define gst_deim_detect_parent_class parent_class
G_DEFINE_FINAL_TYPE (GstDeimDetect, gst_deim_detect, GST_TYPE_BASE_TRANSFORM)
GST_ELEMENT_REGISTER_DEFINE (deimdetect, "deimdetect", GST_RANK_NONE, GST_TYPE_DEIM_DETECT)

/* ------------------------------------------------------------ start and stop */

static gboolean
gst_deim_detect_stop (GstBaseTransform *base)
{
  GstDeimDetect *self = GST_DEIM_DETECT (base);

  gst_deim_timing_stop (self);
  if (self->detector)
    gst_deim_flow_discard (self);
  for (guint i = 0; i < self->n_abandoned; i++)
    deim_detector_drop (self->detector, self->abandoned[i]);
  self->n_abandoned = 0;
  GST_OBJECT_LOCK (self);
  DeimDetector *detector = g_steal_pointer (&self->detector);
  GST_OBJECT_UNLOCK (self);
  g_clear_pointer (&detector, deim_detector_unref);
  g_clear_pointer (&self->engine, gst_deim_engine_free);
  g_clear_pointer (&self->filter, g_free);
  gst_video_info_init (&self->info);
  return TRUE;
}

/* From now on, or no longer, the streaming thread leaves at once: also when it sleeps, waiting for an inference. */
static void
set_flushing (GstDeimDetect *self, gboolean flushing)
{
  GST_OBJECT_LOCK (self);
  g_autoptr (DeimDetector) detector = self->detector ? deim_detector_ref (self->detector) : NULL;
  GST_OBJECT_UNLOCK (self);
  g_atomic_int_set (&self->flushing, flushing);
  if (detector)
    deim_detector_set_flushing (detector, flushing);
}

static void
reset (GstDeimDetect *self)
{
  self->first = self->pending = self->submitted = self->n_abandoned = 0;
  self->next_frame = 0;
  self->since_inferred = 0;
  self->overloaded = self->gave_up = FALSE;
  self->ring_limit = GST_DEIM_RING_LEAST;
  self->repack = self->repack_said = FALSE;
  self->flow = GST_FLOW_OK;
  g_atomic_int_set (&self->flushing, FALSE);
  gst_video_info_init (&self->info);

  GST_OBJECT_LOCK (self);
  self->counts = (GstDeimCounts){ 0 };
  self->earliest = GST_CLOCK_TIME_NONE;
  self->position = GST_CLOCK_TIME_NONE;
  self->proportion = 1.0;
  self->busy = 0;
  self->live = FALSE;
  self->upstream_latency = 0;
  self->configured = GST_CLOCK_TIME_NONE;
  self->slots = deim_detector_get_in_flight (self->detector);
  self->duration = DEFAULT_FRAME_DURATION;
  self->latency = self->slots * self->duration;
  self->copies_dmabuf = !deim_device_imports_dmabuf (gst_deim_engine_get_device (self->engine));
  GST_OBJECT_UNLOCK (self);
}

/* Without a cache all is well but the time that each start takes, which nobody would ever look for. */
static void
warn_of_cache (GstDeimDetect *self)
{
  g_autoptr (GError) error = NULL;
  if (!deim_device_check_cache (gst_deim_engine_get_device (self->engine), &error))
    GST_ELEMENT_WARNING (self, RESOURCE, OPEN_WRITE,
                         ("cache-dir: %s. Compiled pipelines and the device's self-test are not kept, and every start "
                          "takes as long as the first; set \"cache-dir\" to a folder that can be written.",
                          error->message),
                         ("checking the cache failed"));
}

/* Somebody who forgot the model would wait for detections in vain. */
static void
warn_of_default_model (GstDeimDetect *self)
{
  DeimModel *model = gst_deim_engine_get_model (self->engine);
  g_autoptr (GString) classes = g_string_new (NULL);
  for (guint i = 0; i < deim_model_get_info (model)->num_classes; i++)
    g_string_append_printf (classes, "%s%s", i ? ", " : "", deim_model_get_label (model, i));
  GST_ELEMENT_WARNING (
      self, RESOURCE, SETTINGS,
      ("No model is set. The default one is used, which knows nothing but drawn shapes (%s); set the "
       "property \"model\" to a .safetensors, .pth or .onnx checkpoint of DEIM, DEIMv2, D-FINE or RT-DETR, "
       "or to \"" DEIM_MODEL_DEFAULT "\" if shapes are what is meant.",
       classes->str),
      ("model=NULL"));
}

static gboolean
gst_deim_detect_start (GstBaseTransform *base)
{
  GstDeimDetect *self = GST_DEIM_DETECT (base);
  g_autoptr (GError) error = NULL;

  GST_OBJECT_LOCK (self);
  g_autofree gchar *model = g_strdup (self->settings.model);
  g_autofree gchar *labels_file = g_strdup (self->settings.labels_file);
  g_autofree gchar *device = g_strdup (self->settings.device);
  g_autofree gchar *cache_dir = g_strdup (self->settings.cache_dir);
  g_autofree gchar *instance_id = g_strdup (self->settings.model_instance_id);
  GstDeimEngineKey key = { .model = model ? model : DEIM_MODEL_DEFAULT,
                           .labels_file = labels_file,
                           .device = device,
                           .cache_dir = cache_dir,
                           .instance_id = instance_id,
                           .precision = self->settings.precision,
                           .max_detections = self->settings.max_detections,
                           .batch_size = self->settings.batch_size,
                           .batch_timeout = self->settings.batch_timeout };
  guint in_flight = self->settings.in_flight;
  DeimResize resize = self->settings.resize;
  self->meta = self->settings.meta;
  GST_OBJECT_UNLOCK (self);

  if (model && !*model) {
    GST_ELEMENT_ERROR (
        self, RESOURCE, SETTINGS,
        ("The property \"model\" is empty; set it to a .safetensors, .pth or .onnx checkpoint of DEIM, DEIMv2, "
         "D-FINE or RT-DETR."),
        (NULL));
    return FALSE;
  }
  const gchar *doing = "reading the properties";
  if (gst_deim_meta_mode_check (self->meta, &error)) {
    doing = "loading the model and opening the device";
    self->engine = gst_deim_engine_new (&key, &error);
  }
  if (self->engine) {
    doing = "making the network ready for the device";
    DeimDetector *detector = gst_deim_engine_new_detector (self->engine, in_flight, resize, &error);
    GST_OBJECT_LOCK (self);
    self->detector = detector;
    GST_OBJECT_UNLOCK (self);
  }
  if (self->detector) {
    doing = "reading the properties";
    gst_deim_settings_read (self, &error);
  }
  if (error) {
    gst_deim_post_error (GST_ELEMENT (self), error, doing);
    gst_deim_detect_stop (base);
    return FALSE;
  }

  warn_of_cache (self);
  if (!model)
    warn_of_default_model (self);
  reset (self);
  gst_deim_timing_start (self);
  DeimModel *loaded = gst_deim_engine_get_model (self->engine);
  const DeimModelInfo *info = deim_model_get_info (loaded);
  GST_INFO_OBJECT (self, "%s: %s with %u classes at %ux%u (height x width) on %s, %u in flight", key.model, info->arch,
                   info->num_classes, info->input_height, info->input_width,
                   deim_device_get_name (gst_deim_engine_get_device (self->engine)), self->slots);
  for (const gchar *const *note = deim_model_get_notes (loaded); *note; note++)
    GST_INFO_OBJECT (self, "%s", *note);
  for (const gchar *const *guess = deim_model_get_guesses (loaded); *guess; guess++)
    GST_WARNING_OBJECT (self, "guessed: %s; a file written by \"deim convert\" says it", *guess);
  return TRUE;
}

/* -------------------------------------------------------- caps and allocation */

static DeimMatrix
matrix_of (const GstVideoInfo *info)
{
  switch (info->colorimetry.matrix) {
  case GST_VIDEO_COLOR_MATRIX_BT709:
    return DEIM_MATRIX_BT709;
  case GST_VIDEO_COLOR_MATRIX_BT2020:
    return DEIM_MATRIX_BT2020;
  case GST_VIDEO_COLOR_MATRIX_SMPTE240M:
    return DEIM_MATRIX_SMPTE240M;
  case GST_VIDEO_COLOR_MATRIX_FCC:
    return DEIM_MATRIX_FCC;
  case GST_VIDEO_COLOR_MATRIX_BT601:
    return DEIM_MATRIX_BT601;
  default:
    /* Not said: what GStreamer itself assumes by height. */
    return info->height > 576 ? DEIM_MATRIX_BT709 : DEIM_MATRIX_BT601;
  }
}

/*
 * The same on both pads. Where frames in DMABufs have to be copied, system memory is asked for first: a driver brings
 * frames there more quickly than a mapping of its memory is read.
 */
static GstCaps *
gst_deim_detect_transform_caps (GstBaseTransform *base, GstPadDirection direction, GstCaps *caps, GstCaps *filter)
{
  GstDeimDetect *self = GST_DEIM_DETECT (base);
  GstCaps *same = filter ? gst_caps_intersect_full (filter, caps, GST_CAPS_INTERSECT_FIRST) : gst_caps_ref (caps);
  GST_OBJECT_LOCK (self);
  gboolean reorder = self->copies_dmabuf;
  GST_OBJECT_UNLOCK (self);
  if (!reorder || gst_caps_is_any (same))
    return same;
  GstCaps *ordered = gst_caps_new_empty ();
  for (guint last = 0; last < 2; last++)
    for (guint i = 0; i < gst_caps_get_size (same); i++) {
      GstCapsFeatures *features = gst_caps_get_features (same, i);
      if (gst_caps_features_contains (features, GST_CAPS_FEATURE_MEMORY_DMABUF) == (last == 1))
        gst_caps_append_structure_full (ordered, gst_structure_copy (gst_caps_get_structure (same, i)),
                                        gst_caps_features_copy (features));
    }
  gst_caps_unref (same);
  return ordered;
}

/* Remembers what upstream answered to a LATENCY query. */
static void
note_upstream_latency (GstDeimDetect *self, GstQuery *query)
{
  gboolean live;
  GstClockTime least;
  gst_query_parse_latency (query, &live, &least, NULL);
  GST_OBJECT_LOCK (self);
  self->live = live;
  self->upstream_latency = GST_CLOCK_TIME_IS_VALID (least) ? least : 0;
  GST_OBJECT_UNLOCK (self);
}

/* Latency queries say it too, but applications need not send any before the first frames come. */
static void
ask_whether_live (GstDeimDetect *self)
{
  g_autoptr (GstQuery) query = gst_query_new_latency ();
  if (gst_pad_peer_query (GST_BASE_TRANSFORM_SINK_PAD (self), query))
    note_upstream_latency (self, query);
}

/* All that the application sees of a refusal is "not-negotiated". */
static gboolean
gst_deim_detect_accept_caps (GstBaseTransform *base, GstPadDirection direction, GstCaps *caps)
{
  gboolean accepted = GST_BASE_TRANSFORM_CLASS (parent_class)->accept_caps (base, direction, caps);
  if (!accepted)
    GST_WARNING_OBJECT (base,
                        "these frames are not taken; put videoconvert before this element, or videoscale where a side "
                        "is longer than %d: %" GST_PTR_FORMAT,
                        MAX_SIDE, caps);
  return accepted;
}

static gboolean
gst_deim_detect_set_caps (GstBaseTransform *base, GstCaps *incaps, GstCaps *outcaps)
{
  GstDeimDetect *self = GST_DEIM_DETECT (base);

  /* The frames inside are of the former caps. After this the base class sends the new ones downstream. */
  gst_deim_flow_drain (self);
  GstVideoInfo info;
  if (!gst_deim_frame_info (&info, incaps)) {
    GST_ERROR_OBJECT (self, "no video caps: %" GST_PTR_FORMAT, incaps);
    return FALSE;
  }
  self->info = info;
  self->region_warned = FALSE;
  self->keeps_memory = gst_deim_frame_is_dmabuf (incaps);
  self->try_dmabuf = TRUE;
  self->layout = (DeimFrame){
    .format = deim_format_from_name (gst_video_format_to_string (GST_VIDEO_INFO_FORMAT (&info))),
    .matrix = matrix_of (&info),
    .range = info.colorimetry.range == GST_VIDEO_COLOR_RANGE_0_255 ? DEIM_RANGE_FULL : DEIM_RANGE_LIMITED,
  };
  GST_OBJECT_LOCK (self);
  self->duration = DEFAULT_FRAME_DURATION;
  if (GST_VIDEO_INFO_FPS_N (&info) > 0 && GST_VIDEO_INFO_FPS_D (&info) > 0)
    self->duration = gst_util_uint64_scale (GST_SECOND, (guint64) GST_VIDEO_INFO_FPS_D (&info),
                                            (guint64) GST_VIDEO_INFO_FPS_N (&info));
  GST_OBJECT_UNLOCK (self);
  ask_whether_live (self);
  self->ring_limit = CLAMP ((guint) (GST_DEIM_RING_BYTES / MAX (info.size, 1)), GST_DEIM_RING_LEAST, GST_DEIM_RING);
  self->cold = self->slots;
  gst_deim_timing_update_latency (self, TRUE);
  return TRUE;
}

static gboolean
gst_deim_detect_propose_allocation (GstBaseTransform *base, GstQuery *decide_query, GstQuery *query)
{
  GstDeimDetect *self = GST_DEIM_DETECT (base);

  /* Buffers pass through, so what downstream wants counts; an element that does not answer wants nothing special. */
  GST_BASE_TRANSFORM_CLASS (parent_class)->propose_allocation (base, decide_query, query);
  gst_deim_spare_grow_pools (self, query);
  /* Any stride is fine here. Where it is not fine downstream, pack() of gstdeimpush.c copies. */
  gboolean known = gst_query_find_allocation_meta (query, GST_VIDEO_META_API_TYPE, NULL);
  if (!known)
    gst_query_add_allocation_meta (query, GST_VIDEO_META_API_TYPE, NULL);
  GstCaps *caps;
  gst_query_parse_allocation (query, &caps, NULL);
  self->repack = !known && caps && !gst_deim_frame_is_dmabuf (caps);
  return TRUE;
}

/* -------------------------------------------------------- events and queries */

static gboolean
gst_deim_detect_sink_event (GstBaseTransform *base, GstEvent *event)
{
  GstDeimDetect *self = GST_DEIM_DETECT (base);

  switch (GST_EVENT_TYPE (event)) {
  case GST_EVENT_FLUSH_START: {
    set_flushing (self, TRUE);
    /* Downstream flushes first: then nothing that holds the stream lock can be blocked there. */
    gboolean done = GST_BASE_TRANSFORM_CLASS (parent_class)->sink_event (base, event);
    GST_PAD_STREAM_LOCK (GST_BASE_TRANSFORM_SINK_PAD (self));
    gst_deim_flow_discard (self);
    GST_PAD_STREAM_UNLOCK (GST_BASE_TRANSFORM_SINK_PAD (self));
    return done;
  }
  case GST_EVENT_FLUSH_STOP:
    self->flow = GST_FLOW_OK;
    GST_OBJECT_LOCK (self);
    self->earliest = GST_CLOCK_TIME_NONE;
    self->proportion = 1.0;
    GST_OBJECT_UNLOCK (self);
    set_flushing (self, FALSE);
    break;
  default:
    /* Events stay where they are among the frames. */
    if (gst_deim_flow_hold_event (self, event))
      return TRUE;
    if (GST_EVENT_IS_SERIALIZED (event))
      gst_deim_flow_drain (self);
    if (GST_EVENT_TYPE (event) == GST_EVENT_SEGMENT) {
      GST_OBJECT_LOCK (self);
      self->position = GST_CLOCK_TIME_NONE;
      GST_OBJECT_UNLOCK (self);
    }
    break;
  }
  return GST_BASE_TRANSFORM_CLASS (parent_class)->sink_event (base, event);
}

static gboolean
gst_deim_detect_src_event (GstBaseTransform *base, GstEvent *event)
{
  GstDeimDetect *self = GST_DEIM_DETECT (base);

  if (GST_EVENT_TYPE (event) == GST_EVENT_QOS && gst_deim_timing_hear_qos (self, event)) {
    gst_event_unref (event);
    return TRUE;
  }
  if (GST_EVENT_TYPE (event) == GST_EVENT_LATENCY) {
    GstClockTime latency;
    gst_event_parse_latency (event, &latency);
    GST_OBJECT_LOCK (self);
    self->configured = latency;
    GST_OBJECT_UNLOCK (self);
  }
  return GST_BASE_TRANSFORM_CLASS (parent_class)->src_event (base, event);
}

static void
add_latency (GstDeimDetect *self, GstQuery *query)
{
  gboolean live;
  GstClockTime min, max;
  note_upstream_latency (self, query);
  gst_query_parse_latency (query, &live, &min, &max);
  GST_OBJECT_LOCK (self);
  GstClockTime own = self->latency;
  GST_OBJECT_UNLOCK (self);
  if (GST_CLOCK_TIME_IS_VALID (min))
    min += own;
  if (GST_CLOCK_TIME_IS_VALID (max))
    max += own;
  gst_query_set_latency (query, live, min, max);
}

/* The base class answers from the frames that it pushes itself, and it pushes none here. */
static gboolean
answer_position (GstDeimDetect *self, GstQuery *query)
{
  GstFormat format;
  gst_query_parse_position (query, &format, NULL);
  GST_OBJECT_LOCK (self);
  guint64 position = self->position;
  GST_OBJECT_UNLOCK (self);
  if (format != GST_FORMAT_TIME || position == GST_CLOCK_TIME_NONE)
    return FALSE;
  gst_query_set_position (query, format, (gint64) position);
  return TRUE;
}

static gboolean
gst_deim_detect_query (GstBaseTransform *base, GstPadDirection direction, GstQuery *query)
{
  GstDeimDetect *self = GST_DEIM_DETECT (base);

  /* Upstream that asks DRAIN or ALLOCATION wants its buffers back first. */
  if (direction == GST_PAD_SINK && GST_QUERY_IS_SERIALIZED (query))
    gst_deim_flow_drain (self);
  if (direction == GST_PAD_SRC && GST_QUERY_TYPE (query) == GST_QUERY_POSITION && answer_position (self, query))
    return TRUE;
  if (!GST_BASE_TRANSFORM_CLASS (parent_class)->query (base, direction, query))
    return FALSE;
  if (direction == GST_PAD_SRC && GST_QUERY_TYPE (query) == GST_QUERY_LATENCY)
    add_latency (self, query);
  return TRUE;
}

/* ------------------------------------------------------------------- frames */

static GstFlowReturn
gst_deim_detect_submit_input_buffer (GstBaseTransform *base, gboolean is_discont, GstBuffer *buffer)
{
  GstDeimDetect *self = GST_DEIM_DETECT (base);

  /* Renegotiates if need be and leaves the buffer in queued_buf. Its own QoS, which would drop frames, is off. */
  GstFlowReturn flow = GST_BASE_TRANSFORM_CLASS (parent_class)->submit_input_buffer (base, is_discont, buffer);
  if (flow != GST_FLOW_OK)
    return flow;
  buffer = g_steal_pointer (&base->queued_buf);
  guint64 time = gst_deim_stream_time (&base->segment, GST_BUFFER_PTS (buffer));
  if (GST_CLOCK_TIME_IS_VALID (time))
    gst_object_sync_values (GST_OBJECT (self), time);
  return gst_deim_flow_enter (self, buffer);
}

static GstFlowReturn
gst_deim_detect_generate_output (GstBaseTransform *base, GstBuffer **outbuf)
{
  *outbuf = NULL;
  return gst_deim_flow_advance (GST_DEIM_DETECT (base));
}

/* ------------------------------------------------------------------- object */

static GstStateChangeReturn
gst_deim_detect_change_state (GstElement *element, GstStateChange transition)
{
  /* Before the base class waits for the streaming thread. */
  if (transition == GST_STATE_CHANGE_PAUSED_TO_READY)
    set_flushing (GST_DEIM_DETECT (element), TRUE);
  return GST_ELEMENT_CLASS (parent_class)->change_state (element, transition);
}

static void
gst_deim_detect_finalize (GObject *object)
{
  GstDeimDetect *self = GST_DEIM_DETECT (object);

  gst_deim_settings_clear (self);
  g_array_unref (self->found);
  g_mutex_clear (&self->linger_lock);
  g_cond_clear (&self->linger_cond);
  G_OBJECT_CLASS (parent_class)->finalize (object);
}

static void
gst_deim_detect_class_init (GstDeimDetectClass *klass)
{
  GstElementClass *element_class = GST_ELEMENT_CLASS (klass);
  GstBaseTransformClass *base_class = GST_BASE_TRANSFORM_CLASS (klass);

  G_OBJECT_CLASS (klass)->finalize = gst_deim_detect_finalize;
  gst_deim_settings_install (G_OBJECT_CLASS (klass));

  gst_element_class_set_static_metadata (element_class, "DEIM object detector", "Filter/Analyzer/Video",
                                         "Finds objects with DEIM, D-FINE or RT-DETR networks on Vulkan",
                                         "the gst-deim authors");
  gst_element_class_add_static_pad_template (element_class, &sink_template);
  gst_element_class_add_static_pad_template (element_class, &src_template);

  element_class->change_state = GST_DEBUG_FUNCPTR (gst_deim_detect_change_state);
  base_class->start = GST_DEBUG_FUNCPTR (gst_deim_detect_start);
  base_class->stop = GST_DEBUG_FUNCPTR (gst_deim_detect_stop);
  base_class->transform_caps = GST_DEBUG_FUNCPTR (gst_deim_detect_transform_caps);
  base_class->accept_caps = GST_DEBUG_FUNCPTR (gst_deim_detect_accept_caps);
  base_class->set_caps = GST_DEBUG_FUNCPTR (gst_deim_detect_set_caps);
  base_class->propose_allocation = GST_DEBUG_FUNCPTR (gst_deim_detect_propose_allocation);
  base_class->sink_event = GST_DEBUG_FUNCPTR (gst_deim_detect_sink_event);
  base_class->src_event = GST_DEBUG_FUNCPTR (gst_deim_detect_src_event);
  base_class->query = GST_DEBUG_FUNCPTR (gst_deim_detect_query);
  base_class->submit_input_buffer = GST_DEBUG_FUNCPTR (gst_deim_detect_submit_input_buffer);
  base_class->generate_output = GST_DEBUG_FUNCPTR (gst_deim_detect_generate_output);
}

static void
gst_deim_detect_init (GstDeimDetect *self)
{
  gst_deim_settings_init (self);
  self->found = g_array_new (FALSE, FALSE, sizeof (GstDeimFound));
  self->earliest = GST_CLOCK_TIME_NONE;
  self->position = GST_CLOCK_TIME_NONE;
  gst_video_info_init (&self->info);
  g_mutex_init (&self->linger_lock);
  g_cond_init (&self->linger_cond);
  /* Having no transform function, the base class is in passthrough: the same caps on both pads, and ALLOCATION goes on
   * to downstream. Buffers are made writable where metadata is attached. */
}
