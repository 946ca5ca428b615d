/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * gstdeimflow.c - frames through deimdetect.
 *
 *   enter ──► [ oldest ... newest ] ──► push
 *               │ skipped: ready at once
 *               │ submitted: ready when the engine is done
 *
 * Invariants:
 *  - Frames leave in the order in which they came; nothing overtakes.
 *  - submitted + n_abandoned <= slots; pending <= GST_DEIM_RING.
 *  - After advance() at most slots - 1 inferences are out, unless the element is live and overloaded. So with one
 *    slot every frame leaves within its own chain call.
 *  - Every frame leaves within the announced latency, or as soon after as its inference is done: through the next
 *    frame's chain call, through a serialized event or query, or through the linger thread.
 *
 * Frames are pushed here and not by the base class: three places push, and the base class would put a pending
 * DISCONT mark on whatever frame it pushes next.
 */
#include "gstdeimdetect.h"

#include <string.h>

#include "gstdeimframe.h"

GST_DEBUG_CATEGORY_EXTERN (gst_deim_debug);
#define GST_CAT_DEFAULT gst_deim_debug

/* So many frames in a row must find the device idle before live overload is over. */
#define IDLE_FRAMES 8

static GstDeimPending *
oldest (GstDeimDetect *self)
{
  return self->pending > 0 ? &self->ring[self->first] : NULL;
}

static void
forget_oldest (GstDeimDetect *self)
{
  self->ring[self->first].buffer = NULL;
  self->first = (self->first + 1) % GST_DEIM_RING;
  self->pending--;
}

/* ---------------------------------------------------------------------- out */

/* Nothing is tried after that until the next start or flush: one failure, one message. */
static GstFlowReturn
engine_failed (GstDeimDetect *self, const GError *error, const gchar *doing)
{
  if (g_error_matches (error, DEIM_ERROR, DEIM_ERROR_DEVICE_LOST))
    gst_deim_engine_forget_device (self->engine);
  gst_deim_post_error (GST_ELEMENT (self), error, doing);
  self->flow = GST_FLOW_ERROR;
  return GST_FLOW_ERROR;
}

/* Waits for the inference of @frame and attaches what it found. */
static GstFlowReturn
finish_inference (GstDeimDetect *self, GstDeimPending *frame)
{
  gboolean waited = !deim_detector_is_done (self->detector, frame->ticket);
  g_autoptr (GError) error = NULL;
  gint64 before = g_get_monotonic_time ();
  g_autoptr (GArray) detections = deim_detector_collect (self->detector, frame->ticket, &error);
  self->submitted--;
  frame->skip = GST_DEIM_SKIP_OFF; /* the ticket is used up */
  if (!detections)
    return engine_failed (self, error, "collecting an inference");

  gint64 now = g_get_monotonic_time ();
  gint64 taken = now - frame->entered;
  if (waited) {
    gst_deim_timing_note_inference (self, taken, TRUE);
    GST_OBJECT_LOCK (self);
    gboolean live = self->live;
    GST_OBJECT_UNLOCK (self);
    /* Holding a live source up for longer than a frame would make it drop frames or queue them without end. */
    if (live && self->qos && !self->overloaded && (GstClockTime) (now - before) * GST_USECOND > self->duration) {
      GST_INFO_OBJECT (self, "slower than the live source: skipping inferences to keep up");
      self->overloaded = TRUE;
      self->idle = 0;
    }
  } else if (frame->seen_busy) {
    /* It ended between two looks, which lie a frame apart unless downstream held this thread up. */
    gint64 look = frame->seen_busy - frame->entered + (gint64) (self->duration / GST_USECOND);
    gst_deim_timing_note_inference (self, MIN (taken, look), TRUE);
  } else {
    gst_deim_timing_note_inference (self, taken, FALSE);
  }
  gst_deim_meta_select (detections, self->filter, gst_deim_engine_get_model (self->engine), frame->width, frame->height,
                        self->found);
  gst_deim_meta_attach (frame->buffer, self->meta, self->found, frame->width, frame->height);
  return GST_FLOW_OK;
}

/*
 * Downstream that knows no GstVideoMeta reads the planes where the caps put them. Upstream was told that any stride
 * will do, so a padded picture is copied here, which is what upstream would have had to do.
 */
static GstBuffer *
pack (GstDeimDetect *self, GstBuffer *buffer)
{
  const GstVideoInfo *info = &self->info;
  const GstVideoMeta *meta = gst_buffer_get_video_meta (buffer);
  gboolean packed = TRUE;
  for (guint i = 0; meta && i < meta->n_planes; i++)
    packed = packed && meta->stride[i] == info->stride[i] && meta->offset[i] == info->offset[i];
  if (packed || meta->width != (guint) info->width || meta->height != (guint) info->height)
    return buffer;

  if (!self->repack_said)
    GST_INFO_OBJECT (self, "downstream does not know strides: one copy for each padded frame");
  self->repack_said = TRUE;
  GstVideoFrame from, to;
  GstBuffer *copy = gst_buffer_new_allocate (NULL, info->size, NULL);
  if (!gst_video_frame_map (&from, info, buffer, GST_MAP_READ)) {
    gst_buffer_unref (copy);
    return buffer;
  }
  if (!gst_video_frame_map (&to, info, copy, GST_MAP_WRITE)) {
    gst_video_frame_unmap (&from);
    gst_buffer_unref (copy);
    return buffer;
  }
  gst_video_frame_copy (&to, &from);
  gst_video_frame_unmap (&to);
  gst_video_frame_unmap (&from);
  gst_buffer_copy_into (copy, buffer, GST_BUFFER_COPY_METADATA, 0, -1);
  GstVideoMeta *stale = gst_buffer_get_video_meta (copy);
  if (stale)
    gst_buffer_remove_meta (copy, &stale->meta);
  gst_buffer_unref (buffer);
  return copy;
}

/* What was found in @buffer, for applications that look at the bus and not at buffers. */
static void
post_detections (GstDeimDetect *self, GstBuffer *buffer, guint64 frame, guint width, guint height)
{
  const GstSegment *segment = &GST_BASE_TRANSFORM (self)->segment;
  GstClockTime pts = GST_BUFFER_PTS (buffer);
  GstStructure *content = gst_structure_new (
      "deim-detections", "frame", G_TYPE_UINT64, frame, "timestamp", G_TYPE_UINT64, pts, "stream-time", G_TYPE_UINT64,
      gst_deim_stream_time (segment, pts), "running-time", G_TYPE_UINT64, gst_deim_running_time (segment, pts),
      "duration", G_TYPE_UINT64, GST_BUFFER_DURATION (buffer), "width", G_TYPE_UINT, width, "height", G_TYPE_UINT,
      height, NULL);
  gst_deim_meta_describe (self->found, content);
  gst_element_post_message (GST_ELEMENT (self), gst_message_new_element (GST_OBJECT (self), content));
}

/* Stream time at the end of @buffer, or at its beginning when played backwards; NONE where it has no time. */
static guint64
position_after (GstDeimDetect *self, GstBuffer *buffer)
{
  const GstSegment *segment = &GST_BASE_TRANSFORM (self)->segment;
  GstClockTime time = GST_BUFFER_PTS (buffer);
  if (segment->format != GST_FORMAT_TIME || !GST_CLOCK_TIME_IS_VALID (time))
    return GST_CLOCK_TIME_NONE;
  if (segment->rate > 0 && GST_BUFFER_DURATION_IS_VALID (buffer))
    time += GST_BUFFER_DURATION (buffer);
  if (GST_CLOCK_TIME_IS_VALID (segment->stop))
    time = MIN (time, segment->stop);
  return gst_deim_stream_time (segment, time);
}

/* Lets the oldest frame go, waiting for its inference where there is one. */
static GstFlowReturn
push_oldest (GstDeimDetect *self)
{
  GstDeimPending *frame = oldest (self);
  GstFlowReturn flow = GST_FLOW_OK;
  GstDeimFrameMark mark = { .source = GST_OBJECT_NAME (self), .frame = frame->frame, .skip = frame->skip };

  if (mark.skip != GST_DEIM_SKIP_OFF)
    frame->buffer = gst_buffer_make_writable (frame->buffer);
  if (mark.skip == GST_DEIM_SKIP_NONE)
    flow = finish_inference (self, frame);
  /* Pushing may come back to this element (a seek from a probe), so the frame leaves the ring first. */
  GstBuffer *buffer = frame->buffer;
  guint width = frame->width, height = frame->height;
  forget_oldest (self);
  if (flow == GST_FLOW_OK && g_atomic_int_get (&self->flushing))
    flow = GST_FLOW_FLUSHING;

  if (mark.skip == GST_DEIM_SKIP_NONE)
    mark.detections = self->found->len;
  guint64 position = position_after (self, buffer);
  GST_OBJECT_LOCK (self);
  if (flow == GST_FLOW_OK && position != GST_CLOCK_TIME_NONE)
    self->position = position;
  if (flow != GST_FLOW_OK) {
    self->counts.discarded++;
  } else if (mark.skip == GST_DEIM_SKIP_NONE) {
    self->counts.inferred++;
    self->counts.detections += mark.detections;
  } else {
    self->counts.skipped[mark.skip]++;
  }
  GST_OBJECT_UNLOCK (self);
  if (flow != GST_FLOW_OK) {
    gst_buffer_unref (buffer);
    return flow;
  }
  if (mark.skip != GST_DEIM_SKIP_OFF)
    gst_deim_frame_meta_add (buffer, &mark);
  GST_LOG_OBJECT (self, "frame %" G_GUINT64_FORMAT " out: %u detections, %s", mark.frame, mark.detections,
                  mark.skip == GST_DEIM_SKIP_NONE ? "inferred" : "not inferred");
  if (mark.skip == GST_DEIM_SKIP_NONE && self->post_messages)
    post_detections (self, buffer, mark.frame, width, height);
  if (self->repack)
    buffer = pack (self, buffer);
  return gst_pad_push (GST_BASE_TRANSFORM_SRC_PAD (self), buffer);
}

/* Whether the oldest frame can go without waiting. */
static gboolean
is_ready (GstDeimDetect *self)
{
  GstDeimPending *frame = oldest (self);
  if (frame->skip != GST_DEIM_SKIP_NONE || deim_detector_is_done (self->detector, frame->ticket))
    return TRUE;
  frame->seen_busy = g_get_monotonic_time ();
  return FALSE;
}

static GstFlowReturn
push_ready (GstDeimDetect *self)
{
  GstFlowReturn flow = GST_FLOW_OK;
  while (flow == GST_FLOW_OK && self->pending > 0 && is_ready (self))
    flow = push_oldest (self);
  return flow;
}

GstFlowReturn
gst_deim_flow_advance (GstDeimDetect *self)
{
  GstFlowReturn flow = push_ready (self);
  while (flow == GST_FLOW_OK && self->submitted >= self->slots && !self->overloaded) {
    flow = push_oldest (self);
    if (flow == GST_FLOW_OK)
      flow = push_ready (self);
  }
  return flow;
}

GstFlowReturn
gst_deim_flow_drain (GstDeimDetect *self)
{
  GstFlowReturn flow = self->flow;
  while (flow == GST_FLOW_OK && self->pending > 0)
    flow = push_oldest (self);
  if (flow != GST_FLOW_OK)
    gst_deim_flow_discard (self);
  return flow;
}

void
gst_deim_flow_discard (GstDeimDetect *self)
{
  guint discarded = self->pending;
  for (; self->pending > 0; forget_oldest (self)) {
    GstDeimPending *frame = oldest (self);
    if (frame->skip == GST_DEIM_SKIP_NONE)
      self->abandoned[self->n_abandoned++] = frame->ticket;
    gst_buffer_unref (frame->buffer);
  }
  self->submitted = 0;
  self->overloaded = FALSE;
  self->since_inferred = 0;
  GST_OBJECT_LOCK (self);
  self->counts.discarded += discarded;
  GST_OBJECT_UNLOCK (self);
}

/* ----------------------------------------------------------------------- in */

static void
follow_settings (GstDeimDetect *self)
{
  GST_OBJECT_LOCK (self);
  gboolean changed = self->settings_changed;
  GST_OBJECT_UNLOCK (self);
  g_autoptr (GError) error = NULL;
  if (changed && !gst_deim_settings_read (self, &error))
    GST_ELEMENT_WARNING (self, RESOURCE, SETTINGS, ("%s", error->message), ("the former setting stays in force"));
}

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
 */
static void
reclaim_slot (GstDeimDetect *self)
{
  if (self->n_abandoned == 0 || self->submitted + self->n_abandoned < self->slots)
    return;
  /* An error is not lost: the submission that follows meets it again. */
  GArray *unwanted = deim_detector_collect (self->detector, self->abandoned[0], NULL);
  g_clear_pointer (&unwanted, g_array_unref);
  self->n_abandoned--;
  memmove (self->abandoned, self->abandoned + 1, self->n_abandoned * sizeof self->abandoned[0]);
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
      GST_ELEMENT_WARNING (self, RESOURCE, SETTINGS,
                           ("The region %u,%u,%u,%u lies outside the frame of %ux%u; nothing is detected until one of "
                            "them changes.",
                            self->region.x, self->region.y, self->region.w, self->region.h, frame->width,
                            frame->height),
                           (NULL));
    self->region_warned = TRUE;
    return GST_FLOW_OK;
  }
  g_autoptr (GError) error = NULL;
  reclaim_slot (self);
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
    return GST_FLOW_ERROR;
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
  GstFlowReturn flow = GST_FLOW_ERROR;
  if (upright)
    flow = show (self, pending, &frame);
  else
    GST_ELEMENT_ERROR (self, STREAM, FORMAT,
                       ("Frames that are stored upside down are not supported; put videoflip "
                        "or videoconvert before this element."),
                       ("negative stride"));
  gst_video_frame_unmap (&video);
  return flow;
}

/* Where the frame's memory is a DMABuf the device reads it there, if it can; its buffer stays in the ring until then.
 */
static GstFlowReturn
submit (GstDeimDetect *self, GstDeimPending *pending)
{
  DeimFrame frame = self->layout;
  DeimDmabuf at;
  if (self->try_dmabuf && gst_deim_frame_find_dmabuf (&self->info, pending->buffer, &frame, &at)) {
    GstFlowReturn flow = show (self, pending, &frame);
    if (flow != GST_FLOW_NOT_SUPPORTED)
      return flow;
  }
  return show_mapped (self, pending);
}

static GstDeimSkip
choose_skip (GstDeimDetect *self, GstBuffer *buffer)
{
  if (self->pass_through)
    return GST_DEIM_SKIP_OFF;
  /* The first frame is inferred, then every interval-th; one that is skipped for another reason hands its turn on. */
  if (self->since_inferred > 0 && self->since_inferred < self->interval)
    return GST_DEIM_SKIP_INTERVAL;
  if (gst_deim_timing_is_late (self, buffer))
    return GST_DEIM_SKIP_LATE;
  if (self->submitted >= self->slots)
    return GST_DEIM_SKIP_OVERLOAD;
  return GST_DEIM_SKIP_NONE;
}

GstFlowReturn
gst_deim_flow_enter (GstDeimDetect *self, GstBuffer *buffer)
{
  follow_settings (self);
  GstFlowReturn flow = self->flow;
  /* In overload this takes finished inferences out and does not wait for the others. */
  if (flow == GST_FLOW_OK)
    flow = gst_deim_flow_advance (self);
  if (flow == GST_FLOW_OK && self->pending == GST_DEIM_RING)
    flow = push_oldest (self);
  if (flow != GST_FLOW_OK) {
    gst_buffer_unref (buffer);
    return flow;
  }
  if (self->overloaded) {
    self->idle = self->submitted == 0 ? self->idle + 1 : 0;
    if (self->idle >= IDLE_FRAMES || !self->qos) {
      GST_INFO_OBJECT (self, "as quick as the live source again, or told to wait");
      self->overloaded = FALSE;
      flow = gst_deim_flow_advance (self);
      if (flow != GST_FLOW_OK) {
        gst_buffer_unref (buffer);
        return flow;
      }
    }
  }

  GstDeimPending *pending = &self->ring[(self->first + self->pending) % GST_DEIM_RING];
  *pending = (GstDeimPending){ .buffer = buffer,
                               .frame = self->next_frame++,
                               .skip = choose_skip (self, buffer),
                               .entered = g_get_monotonic_time () };
  GST_OBJECT_LOCK (self);
  self->counts.frames++;
  GST_OBJECT_UNLOCK (self);
  if (pending->skip == GST_DEIM_SKIP_LATE || pending->skip == GST_DEIM_SKIP_OVERLOAD)
    gst_deim_timing_post_qos (self, buffer);
  if (pending->skip == GST_DEIM_SKIP_NONE)
    flow = submit (self, pending);
  if (pending->skip == GST_DEIM_SKIP_NONE)
    self->since_inferred = 1;
  else if (pending->skip == GST_DEIM_SKIP_INTERVAL)
    self->since_inferred++;
  else if (pending->skip == GST_DEIM_SKIP_OFF)
    self->since_inferred = 0;
  if (flow != GST_FLOW_OK) {
    gst_buffer_unref (buffer);
    return flow;
  }
  self->pending++;
  if (self->pending == 1 && pending->skip == GST_DEIM_SKIP_NONE)
    gst_deim_timing_arm (self, gst_deim_timing_deadline (self, pending));
  return GST_FLOW_OK;
}

gint64
gst_deim_flow_push_overdue (GstDeimDetect *self)
{
  GstDeimPending *frame;
  GstFlowReturn flow = self->flow;
  while (flow == GST_FLOW_OK && (frame = oldest (self)) && !g_atomic_int_get (&self->flushing)) {
    gint64 deadline = gst_deim_timing_deadline (self, frame);
    if (deadline > g_get_monotonic_time ())
      return deadline;
    flow = push_oldest (self);
  }
  /* The chain function returns it to upstream. Flushing is over when the next frame comes. */
  if (flow != GST_FLOW_OK && flow != GST_FLOW_FLUSHING) {
    self->flow = flow;
    gst_deim_flow_discard (self);
  }
  return 0;
}
