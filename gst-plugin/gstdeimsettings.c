/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * gstdeimsettings.c - the properties of deimdetect.
 *
 * Setters only store: a wrong value is reported when it is read, by start() as an error and while playing as a
 * warning, so that the order in which an application sets properties does not matter.
 */
#include "gstdeimdetect.h"
#include "gstdeimenums.h"

#define DEFAULT_PRECISION          DEIM_PRECISION_AUTO
#define DEFAULT_RESIZE             DEIM_RESIZE_STRETCH
#define DEFAULT_META               GST_DEIM_META_AUTO
#define DEFAULT_THRESHOLD          0.5
#define DEFAULT_MAX_DETECTIONS     300
#define DEFAULT_INFERENCE_INTERVAL 1
#define DEFAULT_IN_FLIGHT          2
#define DEFAULT_BATCH_SIZE         0
#define DEFAULT_BATCH_TIMEOUT      0
#define DEFAULT_QOS                TRUE
#define DEFAULT_PASS_THROUGH       FALSE
#define DEFAULT_POST_MESSAGES      FALSE

#define MAX_DETECTIONS    10000
#define MAX_BATCH_SIZE    16 /* the engine's */
#define MAX_BATCH_TIMEOUT 10000

enum {
  PROP_0,
  PROP_MODEL,
  PROP_DEVICE,
  PROP_PRECISION,
  PROP_LABELS_FILE,
  PROP_THRESHOLD,
  PROP_CLASS_THRESHOLDS,
  PROP_CLASSES,
  PROP_MAX_DETECTIONS,
  PROP_INFERENCE_INTERVAL,
  PROP_IN_FLIGHT,
  PROP_RESIZE,
  PROP_REGION,
  PROP_META,
  PROP_QOS,
  PROP_STATS,
  PROP_PASS_THROUGH,
  PROP_CACHE_DIR,
  PROP_POST_MESSAGES,
  PROP_MODEL_INSTANCE_ID,
  PROP_BATCH_SIZE,
  PROP_BATCH_TIMEOUT,
};

void
gst_deim_settings_init (GstDeimDetect *self)
{
  self->settings = (GstDeimSettings){
    .precision = DEFAULT_PRECISION,
    .resize = DEFAULT_RESIZE,
    .meta = DEFAULT_META,
    .threshold = DEFAULT_THRESHOLD,
    .max_detections = DEFAULT_MAX_DETECTIONS,
    .inference_interval = DEFAULT_INFERENCE_INTERVAL,
    .in_flight = DEFAULT_IN_FLIGHT,
    .batch_size = DEFAULT_BATCH_SIZE,
    .batch_timeout = DEFAULT_BATCH_TIMEOUT,
    .qos = DEFAULT_QOS,
    .pass_through = DEFAULT_PASS_THROUGH,
    .post_messages = DEFAULT_POST_MESSAGES,
  };
}

void
gst_deim_settings_clear (GstDeimDetect *self)
{
  GstDeimSettings *settings = &self->settings;
  g_clear_pointer (&settings->model, g_free);
  g_clear_pointer (&settings->model_instance_id, g_free);
  g_clear_pointer (&settings->device, g_free);
  g_clear_pointer (&settings->cache_dir, g_free);
  g_clear_pointer (&settings->labels_file, g_free);
  g_clear_pointer (&settings->class_thresholds, g_free);
  g_clear_pointer (&settings->classes, g_free);
  g_clear_pointer (&settings->region, g_free);
}

static gchar **
string_setting (GstDeimSettings *settings, guint id)
{
  switch (id) {
  case PROP_MODEL:
    return &settings->model;
  case PROP_MODEL_INSTANCE_ID:
    return &settings->model_instance_id;
  case PROP_DEVICE:
    return &settings->device;
  case PROP_CACHE_DIR:
    return &settings->cache_dir;
  case PROP_LABELS_FILE:
    return &settings->labels_file;
  case PROP_CLASS_THRESHOLDS:
    return &settings->class_thresholds;
  case PROP_CLASSES:
    return &settings->classes;
  case PROP_REGION:
    return &settings->region;
  default:
    return NULL;
  }
}

static void
set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  GstDeimDetect *self = GST_DEIM_DETECT (object);
  GstDeimSettings *settings = &self->settings;

  GST_OBJECT_LOCK (self);
  gchar **string = string_setting (settings, id);
  if (string) {
    g_free (*string);
    *string = g_value_dup_string (value);
  }
  switch (id) {
  case PROP_PRECISION:
    settings->precision = (DeimPrecision) g_value_get_enum (value);
    break;
  case PROP_THRESHOLD:
    settings->threshold = g_value_get_double (value);
    break;
  case PROP_MAX_DETECTIONS:
    settings->max_detections = g_value_get_uint (value);
    break;
  case PROP_INFERENCE_INTERVAL:
    settings->inference_interval = g_value_get_uint (value);
    break;
  case PROP_IN_FLIGHT:
    settings->in_flight = g_value_get_uint (value);
    break;
  case PROP_BATCH_SIZE:
    settings->batch_size = g_value_get_uint (value);
    break;
  case PROP_BATCH_TIMEOUT:
    settings->batch_timeout = g_value_get_uint (value);
    break;
  case PROP_RESIZE:
    settings->resize = (DeimResize) g_value_get_enum (value);
    break;
  case PROP_META:
    settings->meta = (GstDeimMetaMode) g_value_get_enum (value);
    break;
  case PROP_QOS:
    settings->qos = g_value_get_boolean (value);
    break;
  case PROP_PASS_THROUGH:
    settings->pass_through = g_value_get_boolean (value);
    break;
  case PROP_POST_MESSAGES:
    settings->post_messages = g_value_get_boolean (value);
    break;
  default:
    if (!string)
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    break;
  }
  self->settings_changed |= 1 << id;
  GST_OBJECT_UNLOCK (self);
}

/* The object lock is held. */
static GstStructure *
make_stats (GstDeimDetect *self)
{
  const GstDeimCounts *counts = &self->counts;
  const guint64 *skipped = counts->skipped;
  return gst_structure_new (
      "deimdetect-stats", "frames", G_TYPE_UINT64, counts->frames, "inferred", G_TYPE_UINT64, counts->inferred,
      "skipped-interval", G_TYPE_UINT64, skipped[GST_DEIM_SKIP_INTERVAL], "skipped-late", G_TYPE_UINT64,
      skipped[GST_DEIM_SKIP_LATE], "skipped-overload", G_TYPE_UINT64, skipped[GST_DEIM_SKIP_OVERLOAD], "skipped-region",
      G_TYPE_UINT64, skipped[GST_DEIM_SKIP_REGION], "passed-through", G_TYPE_UINT64, skipped[GST_DEIM_SKIP_OFF],
      "discarded", G_TYPE_UINT64, counts->discarded, "detections", G_TYPE_UINT64, counts->detections, "inference-time",
      G_TYPE_UINT64, counts->inference, "latency", G_TYPE_UINT64, self->latency, "batches", G_TYPE_UINT64,
      counts->batches, "batch-frames", G_TYPE_UINT64, counts->batch_frames, NULL);
}

static void
get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  GstDeimDetect *self = GST_DEIM_DETECT (object);
  GstDeimSettings *settings = &self->settings;

  GST_OBJECT_LOCK (self);
  gchar **string = string_setting (settings, id);
  if (string)
    g_value_set_string (value, *string);
  switch (id) {
  case PROP_PRECISION:
    g_value_set_enum (value, (gint) settings->precision);
    break;
  case PROP_THRESHOLD:
    g_value_set_double (value, settings->threshold);
    break;
  case PROP_MAX_DETECTIONS:
    g_value_set_uint (value, settings->max_detections);
    break;
  case PROP_INFERENCE_INTERVAL:
    g_value_set_uint (value, settings->inference_interval);
    break;
  case PROP_IN_FLIGHT:
    g_value_set_uint (value, settings->in_flight);
    break;
  case PROP_BATCH_SIZE:
    g_value_set_uint (value, settings->batch_size);
    break;
  case PROP_BATCH_TIMEOUT:
    g_value_set_uint (value, settings->batch_timeout);
    break;
  case PROP_RESIZE:
    g_value_set_enum (value, (gint) settings->resize);
    break;
  case PROP_META:
    g_value_set_enum (value, (gint) settings->meta);
    break;
  case PROP_QOS:
    g_value_set_boolean (value, settings->qos);
    break;
  case PROP_STATS:
    g_value_take_boxed (value, make_stats (self));
    break;
  case PROP_PASS_THROUGH:
    g_value_set_boolean (value, settings->pass_through);
    break;
  case PROP_POST_MESSAGES:
    g_value_set_boolean (value, settings->post_messages);
    break;
  default:
    if (!string)
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    break;
  }
  GST_OBJECT_UNLOCK (self);
}

/* "x,y,w,h"; NULL and "" are the whole frame. */
static gboolean
parse_region (const gchar *text, GstDeimRegion *region, GError **error)
{
  guint64 values[4] = { 0, 0, 0, 0 };
  if (text && *text) {
    g_auto (GStrv) parts = g_strsplit (text, ",", -1);
    gboolean good = g_strv_length (parts) == 4;
    for (guint i = 0; good && i < 4; i++)
      good = g_ascii_string_to_unsigned (g_strstrip (parts[i]), 10, 0, G_MAXINT, &values[i], NULL);
    if (!good) {
      g_set_error (error, DEIM_ERROR, DEIM_ERROR_SETTINGS,
                   "region: \"%s\" is not four numbers x,y,w,h; write for instance \"0,120,1280,600\", or \"\" for the "
                   "whole frame",
                   text);
      return FALSE;
    }
  }
  *region = (GstDeimRegion){ (guint) values[0], (guint) values[1], (guint) values[2], (guint) values[3] };
  return TRUE;
}

/* Adds @problem, which it takes, to those of the same reading. */
static void
join_error (GError **joined, GError *problem)
{
  if (!*joined) {
    *joined = problem;
    return;
  }
  g_autoptr (GError) former = g_steal_pointer (joined);
  *joined = g_error_new (former->domain, former->code, "%s\n%s", former->message, problem->message);
  g_error_free (problem);
}

gboolean
gst_deim_settings_read (GstDeimDetect *self, GError **error)
{
  GST_OBJECT_LOCK (self);
  const GstDeimSettings *settings = &self->settings;
  gdouble threshold = settings->threshold;
  g_autofree gchar *class_thresholds = g_strdup (settings->class_thresholds);
  g_autofree gchar *classes = g_strdup (settings->classes);
  g_autofree gchar *region = g_strdup (settings->region);
  gint changed = self->settings_changed;
  self->settings_changed = 0;
  self->interval = settings->inference_interval;
  self->qos = settings->qos;
  self->pass_through = settings->pass_through;
  self->post_messages = settings->post_messages;
  GST_OBJECT_UNLOCK (self);

  DeimModel *model = gst_deim_engine_get_model (self->engine);
  if (!self->filter) {
    self->filter = gst_deim_filter_new (model);
    changed = ~0;
  }
  self->filter->threshold = (gfloat) threshold;
  g_autoptr (GError) problems = NULL;
  GError *problem = NULL;
  if (changed & 1 << PROP_CLASS_THRESHOLDS &&
      !gst_deim_filter_set_class_thresholds (self->filter, model, class_thresholds, &problem))
    join_error (&problems, g_steal_pointer (&problem));
  if (changed & 1 << PROP_CLASSES && !gst_deim_filter_set_classes (self->filter, model, classes, &problem))
    join_error (&problems, g_steal_pointer (&problem));
  if (changed & 1 << PROP_REGION && !parse_region (region, &self->region, &problem))
    join_error (&problems, g_steal_pointer (&problem));
  if (changed & 1 << PROP_REGION)
    self->region_warned = FALSE;
  if (!problems)
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&problems));
  return FALSE;
}

void
gst_deim_settings_install (GObjectClass *klass)
{
  const GParamFlags ready = G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS | GST_PARAM_MUTABLE_READY;
  const GParamFlags live = G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS | GST_PARAM_MUTABLE_PLAYING;

  klass->set_property = set_property;
  klass->get_property = get_property;

  /**
   * GstDeimDetect:model:
   *
   * The checkpoint: a .safetensors file, an official ONNX export, or a PyTorch .pth file of DEIM, DEIMv2, D-FINE or
   * RT-DETR as its authors published it, or "default": a model of six drawn shapes that is part of the library, for
   * trying things out. It is also used, with a warning, when nothing is set. Read when the element starts.
   *
   * Since: 0.1
   */
  g_object_class_install_property (
      klass, PROP_MODEL,
      g_param_spec_string (
          "model", "Model",
          "Checkpoint file to load (.safetensors, .pth or .onnx), or \"default\", which knows drawn shapes", NULL,
          ready));
  /**
   * GstDeimDetect:device:
   *
   * Since: 0.1
   */
  g_object_class_install_property (
      klass, PROP_DEVICE,
      g_param_spec_string ("device", "Device",
                           "Vulkan device: an index, a UUID or a part of its name; unset takes the best one", NULL,
                           ready));
  /**
   * GstDeimDetect:precision:
   *
   * Since: 0.1
   */
  g_object_class_install_property (klass, PROP_PRECISION,
                                   g_param_spec_enum ("precision", "Precision", "Arithmetic of the network",
                                                      GST_TYPE_DEIM_PRECISION, DEFAULT_PRECISION, ready));
  /**
   * GstDeimDetect:labels-file:
   *
   * Since: 0.1
   */
  g_object_class_install_property (
      klass, PROP_LABELS_FILE,
      g_param_spec_string ("labels-file", "Labels file",
                           "Text file with one class name a line, as many as the model has classes; unset takes the "
                           "model's own",
                           NULL, ready));
  /**
   * GstDeimDetect:threshold:
   *
   * Since: 0.1
   */
  g_object_class_install_property (klass, PROP_THRESHOLD,
                                   g_param_spec_double ("threshold", "Threshold", "Least confidence of a detection",
                                                        0.0, 1.0, DEFAULT_THRESHOLD, live | GST_PARAM_CONTROLLABLE));
  /**
   * GstDeimDetect:class-thresholds:
   *
   * Since: 0.1
   */
  g_object_class_install_property (
      klass, PROP_CLASS_THRESHOLDS,
      g_param_spec_string ("class-thresholds", "Class thresholds",
                           "Least confidence by class, before threshold: \"person:0.4,car:0.6\"", NULL, live));
  /**
   * GstDeimDetect:classes:
   *
   * Since: 0.1
   */
  g_object_class_install_property (
      klass, PROP_CLASSES,
      g_param_spec_string ("classes", "Classes",
                           "The only classes to report, by name or index: \"person,car\"; unset reports all", NULL,
                           live));
  /**
   * GstDeimDetect:max-detections:
   *
   * Since: 0.1
   */
  g_object_class_install_property (
      klass, PROP_MAX_DETECTIONS,
      g_param_spec_uint ("max-detections", "Maximum detections",
                         "How many of the best (query, class) pairs of a frame are considered", 1, MAX_DETECTIONS,
                         DEFAULT_MAX_DETECTIONS, ready));
  /**
   * GstDeimDetect:inference-interval:
   *
   * Since: 0.1
   */
  g_object_class_install_property (klass, PROP_INFERENCE_INTERVAL,
                                   g_param_spec_uint ("inference-interval", "Inference interval",
                                                      "Infer every n-th frame; the others pass without detections", 1,
                                                      G_MAXINT, DEFAULT_INFERENCE_INTERVAL, live));
  /**
   * GstDeimDetect:in-flight:
   *
   * How many frames the element works on at a time. 1 adds the least latency: every frame leaves before the next one
   * is taken. More let decoding, inference and encoding overlap.
   *
   * Since: 0.1
   */
  g_object_class_install_property (klass, PROP_IN_FLIGHT,
                                   g_param_spec_uint ("in-flight", "In flight",
                                                      "Frames worked on at a time; 1 adds the least latency", 1,
                                                      GST_DEIM_MAX_SLOTS, DEFAULT_IN_FLIGHT, ready));
  /**
   * GstDeimDetect:resize:
   *
   * Since: 0.1
   */
  g_object_class_install_property (klass, PROP_RESIZE,
                                   g_param_spec_enum ("resize", "Resize",
                                                      "How a frame is brought to the model's input size",
                                                      GST_TYPE_DEIM_RESIZE, DEFAULT_RESIZE, ready));
  /**
   * GstDeimDetect:region:
   *
   * Since: 0.1
   */
  g_object_class_install_property (
      klass, PROP_REGION,
      g_param_spec_string ("region", "Region",
                           "The part of the frame to look at, in its pixels: \"x,y,w,h\", where w or h 0 reaches to "
                           "the edge; unset is the whole frame",
                           NULL, live));
  /**
   * GstDeimDetect:meta:
   *
   * Since: 0.1
   */
  g_object_class_install_property (klass, PROP_META,
                                   g_param_spec_enum ("meta", "Metadata", "Which metadata carries the detections",
                                                      GST_TYPE_DEIM_META_MODE, DEFAULT_META, ready));
  /**
   * GstDeimDetect:qos:
   *
   * When downstream reports that frames come too late, or when a live source is quicker than the device, frames pass
   * without inference, are counted, and are reported by QoS messages. No frame is ever dropped.
   *
   * Since: 0.1
   */
  g_object_class_install_property (
      klass, PROP_QOS,
      g_param_spec_boolean ("qos", "QoS", "Skip the inference (never the frame) of frames that come too late",
                            DEFAULT_QOS, live));
  /**
   * GstDeimDetect:stats:
   *
   * Counts since the element started: frames, inferred, skipped-interval, skipped-late, skipped-overload,
   * skipped-region, passed-through, discarded, detections; inference-time (moving average from submission to result)
   * and latency, in nanoseconds; batches that the shared engine has computed, and batch-frames, the frames of all
   * elements in them, both as of the last result of this element.
   *
   * Since: 0.1
   */
  g_object_class_install_property (klass, PROP_STATS,
                                   g_param_spec_boxed ("stats", "Statistics",
                                                       "Counts of frames and detections, inference time and latency",
                                                       GST_TYPE_STRUCTURE, G_PARAM_READABLE | G_PARAM_STATIC_STRINGS));
  /**
   * GstDeimDetect:pass-through:
   *
   * Since: 0.1
   */
  g_object_class_install_property (klass, PROP_PASS_THROUGH,
                                   g_param_spec_boolean ("pass-through", "Pass through",
                                                         "Let frames pass untouched, without inference",
                                                         DEFAULT_PASS_THROUGH, live));
  /**
   * GstDeimDetect:cache-dir:
   *
   * Where compiled pipelines are kept, so that the next start is quick. Elements that name different folders do not
   * share the device.
   *
   * Since: 0.1
   */
  g_object_class_install_property (klass, PROP_CACHE_DIR,
                                   g_param_spec_string ("cache-dir", "Cache folder",
                                                        "Folder for compiled pipelines, made when it is not there; "
                                                        "unset is $XDG_CACHE_HOME/gst-deim",
                                                        NULL, ready));
  /**
   * GstDeimDetect:post-messages:
   *
   * Post an element message "deim-detections" for each inferred frame, right before the frame is pushed.
   *
   * Since: 0.1
   */
  g_object_class_install_property (
      klass, PROP_POST_MESSAGES,
      g_param_spec_boolean ("post-messages", "Post messages",
                            "Post what is found in each inferred frame as an element message \"deim-detections\"",
                            DEFAULT_POST_MESSAGES, live));

  /**
   * GstDeimDetect:model-instance-id:
   *
   * Elements of a process whose settings of the network are equal (model, labels-file, device, cache-dir, precision,
   * max-detections, batch-size, batch-timeout) share one engine: weights, memory and batches. With an id they share it
   * with elements of the same id only, which then must have the same settings.
   *
   * Since: 0.1
   */
  g_object_class_install_property (
      klass, PROP_MODEL_INSTANCE_ID,
      g_param_spec_string ("model-instance-id", "Model instance",
                           "Elements with the same id share one engine, and with no others; unset shares it with all "
                           "elements of equal settings",
                           NULL, ready));
  /**
   * GstDeimDetect:batch-size:
   *
   * How many frames, of all elements that share the engine, are computed together at most. 0 is as many as there are
   * elements, up to 8, on devices that gain by it, and 1 on others. A batch is made of what is there: it needs not be
   * full.
   *
   * Since: 0.1
   */
  g_object_class_install_property (
      klass, PROP_BATCH_SIZE,
      g_param_spec_uint ("batch-size", "Batch size",
                         "Frames of all streams of the engine computed together at most; 0 is what suits the device "
                         "and the number of streams",
                         0, MAX_BATCH_SIZE, DEFAULT_BATCH_SIZE, ready));
  /**
   * GstDeimDetect:batch-timeout:
   *
   * For how long an idle device waits for more frames than it has. 0, the default, never waits: batches grow by
   * themselves when the device is busy. What is longer than a frame of a live stream makes it skip inferences.
   *
   * Since: 0.1
   */
  g_object_class_install_property (
      klass, PROP_BATCH_TIMEOUT,
      g_param_spec_uint ("batch-timeout", "Batch timeout",
                         "Milliseconds for which an idle device waits for a batch to fill; 0 never waits", 0,
                         MAX_BATCH_TIMEOUT, DEFAULT_BATCH_TIMEOUT, ready));

  gst_type_mark_as_plugin_api (GST_TYPE_DEIM_PRECISION, 0);
  gst_type_mark_as_plugin_api (GST_TYPE_DEIM_RESIZE, 0);
  gst_type_mark_as_plugin_api (GST_TYPE_DEIM_META_MODE, 0);
}
