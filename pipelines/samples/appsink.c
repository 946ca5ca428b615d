/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * appsink.c - an application that takes frames out of a pipeline and reads what was found in them.
 *
 *   appsink MODEL URI             URI: file:///home/me/street.mp4, rtsp://camera/stream
 *
 *   cc -o appsink appsink.c $(pkg-config --cflags --libs gstreamer-app-1.0 gstreamer-video-1.0)
 *
 * Prints a line for each object of each frame. It is linked with GStreamer alone: what deimdetect attaches is metadata
 * of GStreamer's. (With GStreamer 1.24 and later there is a GstAnalyticsRelationMeta too; read-metadata.py reads that.)
 */
#include <gst/app/app.h>
#include <gst/gst.h>
#include <gst/video/video.h>
#include <stdio.h>
#include <string.h>

static void
print_object (const GstVideoRegionOfInterestMeta *roi, GstClockTime time)
{
  /* The label is the type of the region. The structure "detection" has the rest, as with DL Streamer. */
  const GstStructure *detection =
      gst_video_region_of_interest_meta_get_param ((GstVideoRegionOfInterestMeta *) roi, "detection");
  gdouble confidence = 0;
  if (detection)
    gst_structure_get_double (detection, "confidence", &confidence);
  printf ("%" GST_TIME_FORMAT "  %-14s %.2f  at %u,%u, %u x %u\n", GST_TIME_ARGS (time),
          g_quark_to_string (roi->roi_type), confidence, roi->x, roi->y, roi->w, roi->h);
}

/* Called by the streaming thread for each frame; the pipeline goes on when it returns. */
static GstFlowReturn
read_frame (GstAppSink *sink, gpointer unused)
{
  g_autoptr (GstSample) sample = gst_app_sink_pull_sample (sink);
  if (!sample)
    return GST_FLOW_EOS;
  GstBuffer *buffer = gst_sample_get_buffer (sample);

  /* The frame itself is here as well: gst_video_frame_map() with the caps of the sample gives its pixels. */

  /* "Nothing was found" and "nobody looked" are different things: inference-interval, or a device that is too slow. */
  GstCustomMeta *mark = gst_buffer_get_custom_meta (buffer, "DeimFrameMeta");
  gboolean inferred = FALSE;
  if (mark)
    gst_structure_get_boolean (gst_custom_meta_get_structure (mark), "inferred", &inferred);
  if (!inferred)
    return GST_FLOW_OK;

  gpointer state = NULL;
  GstMeta *meta;
  while ((meta = gst_buffer_iterate_meta_filtered (buffer, &state, GST_VIDEO_REGION_OF_INTEREST_META_API_TYPE)))
    print_object ((GstVideoRegionOfInterestMeta *) meta, GST_BUFFER_PTS (buffer));
  return GST_FLOW_OK;
}

/* Waits for the end of the stream, or for an error: those say what is wrong and what to do. */
static gboolean
wait_for_end (GstElement *pipeline)
{
  g_autoptr (GstBus) bus = gst_element_get_bus (pipeline);
  g_autoptr (GstMessage) message =
      gst_bus_timed_pop_filtered (bus, GST_CLOCK_TIME_NONE, GST_MESSAGE_EOS | GST_MESSAGE_ERROR);
  g_autoptr (GError) error = NULL;
  if (GST_MESSAGE_TYPE (message) == GST_MESSAGE_EOS)
    return TRUE;
  gst_message_parse_error (message, &error, NULL);
  fprintf (stderr, "appsink: %s\n", error->message);
  return FALSE;
}

int
main (int argc, char **argv)
{
  gst_init (&argc, &argv);
  if (argc != 3) {
    gboolean help = argc == 2 && strcmp (argv[1], "--help") == 0;
    fprintf (help ? stdout : stderr, "usage: appsink MODEL URI\n");
    return help ? 0 : 2;
  }

  /* Properties are set on the elements: file names need no quoting then. */
  g_autoptr (GError) error = NULL;
  g_autoptr (GstElement) pipeline =
      gst_parse_launch ("uridecodebin name=source ! videoconvert ! deimdetect name=detect "
                        "! appsink name=out sync=false max-buffers=4",
                        &error);
  if (!pipeline) {
    fprintf (stderr, "appsink: %s (is GST_PLUGIN_PATH set?)\n", error->message);
    return 1;
  }
  g_autoptr (GstElement) source = gst_bin_get_by_name (GST_BIN (pipeline), "source");
  g_autoptr (GstElement) detect = gst_bin_get_by_name (GST_BIN (pipeline), "detect");
  g_autoptr (GstElement) out = gst_bin_get_by_name (GST_BIN (pipeline), "out");
  g_object_set (detect, "model", argv[1], "threshold", 0.5, NULL);
  g_object_set (source, "uri", argv[2], NULL);

  const GstAppSinkCallbacks callbacks = { .new_sample = read_frame };
  gst_app_sink_set_callbacks (GST_APP_SINK (out), (GstAppSinkCallbacks *) &callbacks, NULL, NULL);

  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  gboolean fine = wait_for_end (pipeline);
  gst_element_set_state (pipeline, GST_STATE_NULL);
  return fine ? 0 : 1;
}
