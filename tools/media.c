/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * media.c - uridecodebin ! videoconvert ! appsink, without a main loop: the
 * streaming threads report frames, the end and errors under one lock, and the
 * reader sleeps until there is one of them.
 */
#include "media.h"

#include <gst/app/gstappsink.h>
#include <string.h>

/* Decoded frames waiting to be read: enough to keep the decoder busy, few enough for 4k video. */
#define MAX_WAITING 3

struct _DeimMedia {
  gchar *name; /* for messages, UTF-8 */
  GstElement *pipeline;
  GstElement *convert;
  GstAppSink *sink;
  guint n_read;

  GMutex lock; /* of what follows */
  GCond changed;
  guint waiting; /* samples in the sink */
  gboolean linked, ended;
  gboolean no_video; /* all streams are known and none has pictures */
  gchar *failure;    /* an element's words */
};

gboolean
deim_media_init (GError **error)
{
  g_autoptr (GError) cause = NULL;

  if (gst_init_check (NULL, NULL, &cause))
    return TRUE;
  g_set_error (error, DEIM_ERROR, DEIM_ERROR_UNSUPPORTED, "GStreamer does not start: %s; check its installation",
               cause ? cause->message : "no reason given");
  return FALSE;
}

static GstFlowReturn
on_sample (GstAppSink *sink, gpointer user_data)
{
  DeimMedia *media = user_data;

  g_mutex_lock (&media->lock);
  media->waiting++;
  g_cond_signal (&media->changed);
  g_mutex_unlock (&media->lock);
  return GST_FLOW_OK;
}

static void
on_eos (GstAppSink *sink, gpointer user_data)
{
  DeimMedia *media = user_data;

  g_mutex_lock (&media->lock);
  media->ended = TRUE;
  g_cond_signal (&media->changed);
  g_mutex_unlock (&media->lock);
}

/* The last line of an element's debug text tells most: "no suitable plugins found: Missing decoder: ...". */
static gchar *
describe_failure (GstMessage *message)
{
  g_autoptr (GError) cause = NULL;
  g_autofree gchar *debug = NULL;

  gst_message_parse_error (message, &cause, &debug);
  const gchar *detail = debug ? strrchr (g_strchomp (debug), '\n') : NULL;
  if (g_error_matches (cause, GST_CORE_ERROR, GST_CORE_ERROR_MISSING_PLUGIN)) {
    /* Sound alone ends here too, since only video is asked for. */
    if (detail && strstr (detail, "(audio/"))
      return g_strdup ("it holds sound and no pictures; give another file");
    return g_strdup_printf ("%s; install the GStreamer plugins for it (gstreamer1.0-plugins-good, -bad, -libav)",
                            detail ? detail + 1 : cause->message);
  }
  return g_strdup_printf ("%s%s%s", cause->message, detail ? " " : "", detail ? detail + 1 : "");
}

static GstBusSyncReply
on_message (GstBus *bus, GstMessage *message, gpointer user_data)
{
  DeimMedia *media = user_data;

  if (GST_MESSAGE_TYPE (message) == GST_MESSAGE_ERROR) {
    g_mutex_lock (&media->lock);
    if (!media->failure) /* the first is the cause, the others follow from it */
      media->failure = describe_failure (message);
    g_cond_signal (&media->changed);
    g_mutex_unlock (&media->lock);
  }
  gst_message_unref (message);
  return GST_BUS_DROP;
}

static void
on_pad (GstElement *decoder, GstPad *pad, gpointer user_data)
{
  DeimMedia *media = user_data;
  g_autoptr (GstCaps) caps = gst_pad_get_current_caps (pad);

  if (!caps)
    caps = gst_pad_query_caps (pad, NULL);
  if (gst_caps_is_empty (caps) || gst_caps_is_any (caps) ||
      !g_str_has_prefix (gst_structure_get_name (gst_caps_get_structure (caps, 0)), "video/x-raw"))
    return;
  g_autoptr (GstPad) target = gst_element_get_static_pad (media->convert, "sink");
  g_mutex_lock (&media->lock);
  gboolean first = !media->linked;
  media->linked = TRUE;
  g_mutex_unlock (&media->lock);
  if (first)
    gst_pad_link (pad, target); /* a refusal comes back as an error message of the stream */
}

static void
on_no_more_pads (GstElement *decoder, gpointer user_data)
{
  DeimMedia *media = user_data;

  g_mutex_lock (&media->lock);
  media->no_video = !media->linked;
  g_cond_signal (&media->changed);
  g_mutex_unlock (&media->lock);
}

/*
 * jpegdec's usual inverse cosine transform trades accuracy for speed, by up to
 * a few grey levels of 255. A detector's scores show that, and its time is
 * spent elsewhere: take the accurate one (0: "islow").
 */
static void
on_element (GstBin *bin, GstBin *sub_bin, GstElement *element, gpointer user_data)
{
  GstElementFactory *factory = gst_element_get_factory (element);

  if (factory && g_str_equal (GST_OBJECT_NAME (factory), "jpegdec"))
    g_object_set (element, "idct-method", 0, NULL);
}

/* Raw video of every format that the detector reads. */
static GstCaps *
readable_caps (void)
{
  GValue list = G_VALUE_INIT;
  GstCaps *caps = gst_caps_new_empty_simple ("video/x-raw");

  g_value_init (&list, GST_TYPE_LIST);
  for (guint format = DEIM_FORMAT_INVALID + 1; format < DEIM_FORMAT_LAST; format++) {
    GValue name = G_VALUE_INIT;
    g_value_init (&name, G_TYPE_STRING);
    g_value_set_string (&name, deim_format_to_name ((DeimFormat) format));
    gst_value_list_append_and_take_value (&list, &name);
  }
  gst_caps_set_value (caps, "format", &list);
  g_value_unset (&list);
  return caps;
}

static gboolean
build_pipeline (DeimMedia *media, const gchar *uri, GError **error)
{
  static const gchar *const names[] = { "uridecodebin", "videoconvert", "appsink" };
  GstElement *elements[G_N_ELEMENTS (names)];
  GstAppSinkCallbacks callbacks = { .new_sample = on_sample, .eos = on_eos };

  media->pipeline = gst_pipeline_new (NULL);
  for (guint i = 0; i < G_N_ELEMENTS (names); i++) {
    elements[i] = gst_element_factory_make (names[i], NULL);
    if (!elements[i]) {
      g_set_error (error, DEIM_ERROR, DEIM_ERROR_UNSUPPORTED,
                   "GStreamer has no element \"%s\"; install gstreamer1.0-plugins-base", names[i]);
      return FALSE;
    }
    gst_bin_add (GST_BIN (media->pipeline), elements[i]);
  }
  media->convert = elements[1];
  media->sink = GST_APP_SINK (elements[2]);
  gst_element_link (media->convert, elements[2]);

  g_autoptr (GstCaps) raw = gst_caps_new_empty_simple ("video/x-raw");
  g_object_set (elements[0], "uri", uri, "caps", raw, "expose-all-streams", FALSE, NULL);
  g_signal_connect (media->pipeline, "deep-element-added", G_CALLBACK (on_element), NULL);
  g_signal_connect (elements[0], "pad-added", G_CALLBACK (on_pad), media);
  g_signal_connect (elements[0], "no-more-pads", G_CALLBACK (on_no_more_pads), media);
  g_autoptr (GstCaps) caps = readable_caps ();
  gst_app_sink_set_caps (media->sink, caps);
  gst_app_sink_set_max_buffers (media->sink, MAX_WAITING);
  gst_app_sink_set_callbacks (media->sink, &callbacks, media, NULL);
  g_object_set (media->sink, "sync", FALSE, "qos", FALSE, "enable-last-sample", FALSE, NULL);
  g_autoptr (GstBus) bus = gst_element_get_bus (media->pipeline);
  gst_bus_set_sync_handler (bus, on_message, media, NULL);
  return TRUE;
}

static gchar *
location_to_uri (const gchar *location, GError **error)
{
  g_autoptr (GError) cause = NULL;

  if (gst_uri_is_valid (location) && strstr (location, "://"))
    return g_strdup (location);
  g_autofree gchar *name = g_filename_display_name (location);
  if (!g_file_test (location, G_FILE_TEST_EXISTS)) {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_NOT_FOUND, "%s does not exist; check the path", name);
    return NULL;
  }
  if (g_file_test (location, G_FILE_TEST_IS_DIR)) {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_READ, "%s is a folder; give the files in it", name);
    return NULL;
  }
  gchar *uri = gst_filename_to_uri (location, &cause);
  if (!uri)
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_READ, "%s has no URI: %s", name, cause->message);
  return uri;
}

DeimMedia *
deim_media_open (const gchar *location, GError **error)
{
  g_autofree gchar *uri = location_to_uri (location, error);
  if (!uri)
    return NULL;
  g_autoptr (DeimMedia) media = g_new0 (DeimMedia, 1);
  media->name = g_filename_display_name (location);
  g_mutex_init (&media->lock);
  g_cond_init (&media->changed);
  if (!build_pipeline (media, uri, error))
    return NULL;
  /* A failure posts a message with the reason, which deim_media_read() finds. */
  gst_element_set_state (media->pipeline, GST_STATE_PLAYING);
  return g_steal_pointer (&media);
}

gboolean
deim_media_read (DeimMedia *media, GstSample **ret_sample, GError **error)
{
  g_autofree gchar *failure = NULL;

  g_mutex_lock (&media->lock);
  while (!media->waiting && !media->ended && !media->failure && !media->no_video)
    g_cond_wait (&media->changed, &media->lock);
  gboolean available = media->waiting > 0; /* what was decoded before an error still counts */
  if (available)
    media->waiting--;
  gboolean no_video = media->no_video;
  failure = g_strdup (media->failure);
  g_mutex_unlock (&media->lock);

  if (available) {
    GstSample *sample = gst_app_sink_try_pull_sample (media->sink, 0);
    if (sample) {
      media->n_read++;
      *ret_sample = sample;
      return TRUE;
    }
    failure = failure ? failure : g_strdup ("the decoder took a frame back");
  }
  if (failure)
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_READ, "%s%s: %s", media->name,
                 media->n_read ? " breaks off" : " cannot be decoded", failure);
  else if (no_video)
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_FORMAT, "%s holds neither a picture nor video; give another file",
                 media->name);
  else if (media->n_read == 0)
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_FORMAT, "%s: no frame could be decoded; the file is damaged or cut off",
                 media->name);
  else {
    *ret_sample = NULL;
    return TRUE;
  }
  return FALSE;
}

void
deim_media_close (DeimMedia *media)
{
  if (!media)
    return;
  if (media->pipeline) {
    gst_element_set_state (media->pipeline, GST_STATE_NULL);
    /* An element of a half-built pipeline may outlive this call in nobody's hands: no callback must reach us then. */
    g_autoptr (GstBus) bus = gst_element_get_bus (media->pipeline);
    gst_bus_set_sync_handler (bus, NULL, NULL, NULL);
    gst_object_unref (media->pipeline);
  }
  g_mutex_clear (&media->lock);
  g_cond_clear (&media->changed);
  g_free (media->failure);
  g_free (media->name);
  g_free (media);
}

static DeimMatrix
map_matrix (GstVideoColorMatrix matrix)
{
  switch (matrix) {
  case GST_VIDEO_COLOR_MATRIX_BT709:
    return DEIM_MATRIX_BT709;
  case GST_VIDEO_COLOR_MATRIX_BT2020:
    return DEIM_MATRIX_BT2020;
  case GST_VIDEO_COLOR_MATRIX_SMPTE240M:
    return DEIM_MATRIX_SMPTE240M;
  case GST_VIDEO_COLOR_MATRIX_FCC:
    return DEIM_MATRIX_FCC;
  default:
    return DEIM_MATRIX_BT601;
  }
}

gboolean
deim_picture_map (DeimPicture *picture, GstSample *sample, GError **error)
{
  GstVideoInfo info;
  GstBuffer *buffer = gst_sample_get_buffer (sample);
  GstCaps *caps = gst_sample_get_caps (sample);
  DeimPicture result = { 0 };

  if (!buffer || !caps || !gst_video_info_from_caps (&info, caps) ||
      !gst_video_frame_map (&result.video, &info, buffer, GST_MAP_READ)) {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_READ, "a decoded frame cannot be read from memory");
    return FALSE;
  }
  const GstVideoInfo *video = &result.video.info;
  result.frame = (DeimFrame){
    .format = deim_format_from_name (gst_video_format_to_string (GST_VIDEO_INFO_FORMAT (video))),
    .width = (guint) GST_VIDEO_INFO_WIDTH (video),
    .height = (guint) GST_VIDEO_INFO_HEIGHT (video),
    .matrix = map_matrix (video->colorimetry.matrix),
    .range = video->colorimetry.range == GST_VIDEO_COLOR_RANGE_0_255 ? DEIM_RANGE_FULL : DEIM_RANGE_LIMITED,
  };
  for (guint i = 0; i < GST_VIDEO_INFO_N_PLANES (video); i++) {
    if (GST_VIDEO_FRAME_PLANE_STRIDE (&result.video, i) < 0) {
      gst_video_frame_unmap (&result.video);
      g_set_error (error, DEIM_ERROR, DEIM_ERROR_UNSUPPORTED, "a decoded frame stands upside down in memory");
      return FALSE;
    }
    result.frame.data[i] = GST_VIDEO_FRAME_PLANE_DATA (&result.video, i);
    result.frame.stride[i] = (guint) GST_VIDEO_FRAME_PLANE_STRIDE (&result.video, i);
  }
  *picture = result;
  return TRUE;
}

void
deim_picture_unmap (DeimPicture *picture)
{
  gst_video_frame_unmap (&picture->video);
}

cairo_surface_t *
deim_picture_to_surface (DeimPicture *picture, GError **error)
{
  int width = (int) picture->frame.width, height = (int) picture->frame.height;
  cairo_surface_t *surface = cairo_image_surface_create (CAIRO_FORMAT_RGB24, width, height);
  GstVideoFrame target;
  GstVideoInfo info;

  if (cairo_surface_status (surface) != CAIRO_STATUS_SUCCESS) {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_UNSUPPORTED,
                 "a frame that is %d pixels wide and %d high cannot be drawn: %s", width, height,
                 cairo_status_to_string (cairo_surface_status (surface)));
    cairo_surface_destroy (surface);
    return NULL;
  }
  gst_video_info_set_format (&info, G_BYTE_ORDER == G_LITTLE_ENDIAN ? GST_VIDEO_FORMAT_BGRx : GST_VIDEO_FORMAT_xRGB,
                             (guint) width, (guint) height);
  gsize size = (gsize) cairo_image_surface_get_stride (surface) * (gsize) height; /* both have four bytes a pixel */
  g_autoptr (GstBuffer) buffer =
      gst_buffer_new_wrapped_full (0, cairo_image_surface_get_data (surface), size, 0, size, NULL, NULL);
  GstVideoConverter *converter = gst_video_converter_new (&picture->video.info, &info, NULL);
  gboolean mapped = converter && gst_video_frame_map (&target, &info, buffer, GST_MAP_WRITE);
  if (mapped) {
    cairo_surface_flush (surface);
    gst_video_converter_frame (converter, &picture->video, &target);
    gst_video_frame_unmap (&target);
    cairo_surface_mark_dirty (surface);
  } else {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_UNSUPPORTED, "GStreamer cannot convert %s to RGB for drawing",
                 gst_video_format_to_string (GST_VIDEO_INFO_FORMAT (&picture->video.info)));
    g_clear_pointer (&surface, cairo_surface_destroy);
  }
  g_clear_pointer (&converter, gst_video_converter_free);
  return surface;
}
