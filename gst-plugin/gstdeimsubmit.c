/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * gstdeimsubmit.c - frames of deimdetect into the engine, and results out of it.
 */
#include "gstdeimdetect.h"

#include <string.h>

#include "gstdeimframe.h"

GST_DEBUG_CATEGORY_EXTERN (gst_deim_debug);
#define GST_CAT_DEFAULT gst_deim_debug

/* Nothing is tried after an error was posted, until the next start or flush: one failure, one message. */
static GstFlowReturn
stop_trying (GstDeimDetect *self)
{
  self->flow = GST_FLOW_ERROR;
  return GST_FLOW_ERROR;
}

static GstFlowReturn
engine_failed (GstDeimDetect *self, const GError *error, const gchar *doing)
{
  if (g_error_matches (error, DEIM_ERROR, DEIM_ERROR_DEVICE_LOST))
    gst_deim_engine_forget_device (self->engine);
  gst_deim_post_error (GST_ELEMENT (self), error, doing);
  return stop_trying (self);
}

/* ----------------------------------------------------------------------- in */

/* The part of the frame to look at: the picture that the caps promise (or the crop, where there is one), and of that
 * what the region property leaves. Coordinates are those of the whole frame in memory. */
static gboolean
choose_region (GstDeimDetect *self, GstBuffer *buffer, DeimFrame *frame)
{
  guint x = 0, y = 0;
  guint x_end = MIN (frame->width, (guint) GST_VIDEO_INFO_WIDTH (&self->info));
  guint y_end = MIN (frame->height, (guint) GST_VIDEO_INFO_HEIGHT (&self->info));
  GstVideoCropMeta *crop = gst_buffer_get_video_crop_meta (buffer);
  if (crop) {
    x = MIN (crop->x, frame->width);
    y = MIN (crop->y, frame->height);
    x_end = x + MIN (crop->width, frame->width - x);
    y_end = y + MIN (crop->height, frame->height - y);
  }
  const GstDeimRegion *region = &self->region;
  x = MAX (x, region->x);
  y = MAX (y, region->y);
  if (region->w > 0)
    x_end = MIN (x_end, region->x + region->w);
  if (region->h > 0)
    y_end = MIN (y_end, region->y + region->h);
  if (x >= x_end || y >= y_end)
    return FALSE;
  frame->region_x = x;
  frame->region_y = y;
  frame->region_w = x_end - x;
  frame->region_h = y_end - y;
  return TRUE;
}

/* Waits for a discarded frame's slot where there is no other. Discarding itself does not wait: a flush has to be quick.
 * FALSE when one comes meanwhile. */
static gboolean
reclaim_slot (GstDeimDetect *self)
{
  if (self->n_abandoned == 0 || self->submitted + self->n_abandoned < self->slots)
    return TRUE;
  if (!deim_detector_wait (self->detector, self->abandoned[0], G_MAXUINT64))
    return FALSE;
  /* An error is not lost: the submission that follows meets it again. */
  GArray *unwanted = deim_detector_collect (self->detector, self->abandoned[0], NULL);
  g_clear_pointer (&unwanted, g_array_unref);
  self->n_abandoned--;
  memmove (self->abandoned, self->abandoned + 1, self->n_abandoned * sizeof self->abandoned[0]);
  return TRUE;
}

/* Hands @frame, the picture of @pending, to the engine. DMABufs that the device does not read are NOT_SUPPORTED. */
static GstFlowReturn
show (GstDeimDetect *self, GstDeimPending *pending, DeimFrame *frame)
{
  pending->width = frame->width;
  pending->height = frame->height;
  if (!choose_region (self, pending->buffer, frame)) {
    pending->skip = GST_DEIM_SKIP_REGION;
    if (!self->region_warned)
      GST_ELEMENT_WARNING (
          self, RESOURCE, SETTINGS,
          ("The region %u,%u,%u,%u lies outside the frame of %ux%u (width x height); nothing is detected until one of "
           "them changes.",
           self->region.x, self->region.y, self->region.w, self->region.h, frame->width, frame->height),
          (NULL));
    self->region_warned = TRUE;
    return GST_FLOW_OK;
  }
  g_autoptr (GError) error = NULL;
  if (!reclaim_slot (self))
    return GST_FLOW_FLUSHING;
  if (deim_detector_submit (self->detector, frame, &pending->ticket, &error)) {
    self->submitted++;
    return GST_FLOW_OK;
  }
  if (!frame->dmabuf || !g_error_matches (error, DEIM_ERROR, DEIM_ERROR_UNSUPPORTED))
    return engine_failed (self, error, "submitting a frame");
  GST_WARNING_OBJECT (self,
                      "frames come in DMABufs that are not read where they lie, so each is copied once; upstream may "
                      "be quicker with video/x-raw: %s",
                      error->message);
  self->try_dmabuf = FALSE;
  return GST_FLOW_NOT_SUPPORTED;
}

/* Maps the buffer of @pending for reading and hands it to the engine. */
static GstFlowReturn
show_mapped (GstDeimDetect *self, GstDeimPending *pending)
{
  GstVideoFrame video;
  if (!gst_video_frame_map (&video, &self->info, pending->buffer, GST_MAP_READ | GST_VIDEO_FRAME_MAP_FLAG_NO_REF)) {
    GST_ELEMENT_ERROR (self, RESOURCE, READ,
                       ("A frame cannot be read: its memory is not that of a %s picture.",
                        gst_video_format_to_string (GST_VIDEO_INFO_FORMAT (&self->info))),
                       ("gst_video_frame_map() failed"));
    return stop_trying (self);
  }
  DeimFrame frame = self->layout;
  frame.width = (guint) GST_VIDEO_FRAME_WIDTH (&video);
  frame.height = (guint) GST_VIDEO_FRAME_HEIGHT (&video);
  gboolean upright = TRUE;
  for (guint i = 0; i < GST_VIDEO_FRAME_N_PLANES (&video); i++) {
    gint stride = GST_VIDEO_FRAME_PLANE_STRIDE (&video, i);
    frame.data[i] = GST_VIDEO_FRAME_PLANE_DATA (&video, i);
    frame.stride[i] = (guint) stride;
    upright = upright && stride > 0;
  }
  GstFlowReturn flow;
  if (upright) {
    flow = show (self, pending, &frame);
  } else {
    GST_ELEMENT_ERROR (self, STREAM, FORMAT,
                       ("Frames that are stored upside down are not supported; put videoflip "
                        "or videoconvert before this element."),
                       ("negative stride"));
    flow = stop_trying (self);
  }
  gst_video_frame_unmap (&video);
  return flow;
}

GstFlowReturn
gst_deim_submit (GstDeimDetect *self, GstDeimPending *pending)
{
  DeimFrame frame = self->layout;
  DeimDmabuf at;
  GstFlowReturn flow = GST_FLOW_NOT_SUPPORTED;
  if (self->try_dmabuf && gst_deim_frame_find_dmabuf (&self->info, pending->buffer, &frame, &at))
    flow = show (self, pending, &frame);
  pending->in_place = flow == GST_FLOW_OK && pending->skip == GST_DEIM_SKIP_NONE;
  if (flow == GST_FLOW_NOT_SUPPORTED)
    flow = show_mapped (self, pending);
  if (flow != GST_FLOW_OK) { /* it never gets into the ring, where discarding would count it */
    GST_OBJECT_LOCK (self);
    self->counts.discarded++;
    GST_OBJECT_UNLOCK (self);
  }
  return flow;
}

/* ---------------------------------------------------------------------- out */

GstFlowReturn
gst_deim_submit_collect (GstDeimDetect *self, GstDeimPending *frame)
{
  g_autoptr (GError) error = NULL;
  if (!deim_detector_is_done (self->detector, frame->ticket)) {
    deim_detector_rest (self->detector); /* only this thread hands frames in */
    if (!deim_detector_wait (self->detector, frame->ticket, G_MAXUINT64))
      return GST_FLOW_FLUSHING;
  }
  gint64 ended = deim_detector_get_end_time (self->detector, frame->ticket);
  frame->detections = deim_detector_collect (self->detector, frame->ticket, &error);
  self->submitted--;
  if (!frame->detections) {
    frame->skip = GST_DEIM_SKIP_OFF; /* the ticket is used up */
    return engine_failed (self, error, "collecting an inference");
  }
  DeimDetectorStats stats;
  deim_detector_get_stats (self->detector, &stats);
  GST_OBJECT_LOCK (self);
  self->busy = g_get_monotonic_time ();
  self->counts.batches = stats.batches;
  self->counts.batch_frames = stats.frames;
  GST_OBJECT_UNLOCK (self);
  gst_deim_timing_note_inference (self, ended - frame->entered);
  return GST_FLOW_OK;
}

void
gst_deim_submit_reap (GstDeimDetect *self)
{
  guint kept = 0;
  for (guint i = 0; i < self->n_abandoned; i++) {
    if (deim_detector_is_done (self->detector, self->abandoned[i])) {
      GArray *unwanted = deim_detector_collect (self->detector, self->abandoned[i], NULL);
      g_clear_pointer (&unwanted, g_array_unref);
    } else {
      self->abandoned[kept++] = self->abandoned[i];
    }
  }
  self->n_abandoned = kept;
}
