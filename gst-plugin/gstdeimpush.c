/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * gstdeimpush.c - a frame of deimdetect on its way out: what is attached, counted and posted.
 */
#include "gstdeimdetect.h"

#include <string.h>

GST_DEBUG_CATEGORY_EXTERN (gst_deim_debug);
#define GST_CAT_DEFAULT gst_deim_debug

/* Unlike gst_video_frame_copy() with the last V of a YUY2 row of odd width. Both are of the same format and size. */
static void
copy_planes (GstVideoFrame *to, const GstVideoFrame *from)
{
  for (guint plane = 0; plane < GST_VIDEO_FRAME_N_PLANES (from); plane++) {
    gint components[GST_VIDEO_MAX_COMPONENTS];
    gst_video_format_info_component (from->info.finfo, plane, components);
    gsize bytes = 0, rows = (gsize) GST_VIDEO_FRAME_COMP_HEIGHT (from, components[0]);
    for (guint i = 0; i < GST_VIDEO_MAX_COMPONENTS && components[i] >= 0; i++)
      bytes = MAX (bytes, (gsize) (GST_VIDEO_FRAME_COMP_WIDTH (from, components[i]) *
                                   GST_VIDEO_FRAME_COMP_PSTRIDE (from, components[i])));
    for (gsize y = 0; y < rows; y++)
      memcpy ((guint8 *) to->data[plane] + y * (gsize) to->info.stride[plane],
              (const guint8 *) from->data[plane] + y * (gsize) from->info.stride[plane], bytes);
  }
}

/* @from as one piece of memory with the planes where the caps put them; NULL when it cannot be read. */
static GstBuffer *
copy_packed (const GstVideoInfo *info, GstBuffer *from)
{
  g_autoptr (GstBuffer) to = gst_buffer_new_allocate (NULL, info->size, NULL);
  GstVideoFrame source, target;
  if (!gst_video_frame_map (&source, info, from, GST_MAP_READ))
    return NULL;
  gboolean mapped = to && gst_video_frame_map (&target, info, to, GST_MAP_WRITE);
  if (mapped) {
    copy_planes (&target, &source);
    gst_video_frame_unmap (&target);
  }
  gst_video_frame_unmap (&source);
  return mapped ? g_steal_pointer (&to) : NULL;
}

/*
 * Downstream that knows no GstVideoMeta reads the planes where the caps put them. Upstream was told that any stride
 * will do, so a padded picture is copied here, which is what upstream would have had to do. NULL after an error, which
 * is posted.
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
  GstBuffer *copy = copy_packed (info, buffer);
  if (!copy) {
    GST_ELEMENT_ERROR (self, RESOURCE, READ,
                       ("A frame cannot be copied for what follows, which does not know the strides that it has: its "
                        "memory is not that of a %s picture.",
                        gst_video_format_to_string (GST_VIDEO_INFO_FORMAT (info))),
                       ("gst_video_frame_map() failed"));
    gst_buffer_unref (buffer);
    return NULL;
  }
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

GstFlowReturn
gst_deim_push (GstDeimDetect *self, GstDeimPending *frame)
{
  GstBuffer *buffer = g_steal_pointer (&frame->buffer);
  g_autoptr (GArray) detections = g_steal_pointer (&frame->detections);
  gboolean inferred = detections != NULL;
  GstDeimFrameMark mark = { .source = GST_OBJECT_NAME (self), .frame = frame->frame, .skip = frame->skip };

  if (mark.skip != GST_DEIM_SKIP_OFF)
    buffer = gst_buffer_make_writable (buffer);
  if (inferred) {
    gst_deim_meta_select (detections, self->filter, gst_deim_engine_get_model (self->engine), frame->width,
                          frame->height, self->found);
    gst_deim_meta_attach (buffer, self->meta, self->found, frame->width, frame->height, mark.source);
    mark.detections = self->found->len;
  }
  if (mark.skip != GST_DEIM_SKIP_OFF)
    gst_deim_frame_meta_add (buffer, &mark);

  guint64 position = position_after (self, buffer);
  GST_OBJECT_LOCK (self);
  if (position != GST_CLOCK_TIME_NONE)
    self->position = position;
  if (inferred) {
    self->counts.inferred++;
    self->counts.detections += mark.detections;
  } else {
    self->counts.skipped[mark.skip]++;
  }
  GST_OBJECT_UNLOCK (self);
  GST_LOG_OBJECT (self, "frame %" G_GUINT64_FORMAT " out: %u detections, %s", mark.frame, mark.detections,
                  inferred ? "inferred" : "not inferred");
  if (inferred && self->post_messages)
    post_detections (self, buffer, mark.frame, frame->width, frame->height);
  if (self->repack && !(buffer = pack (self, buffer)))
    return GST_FLOW_ERROR;
  return gst_pad_push (GST_BASE_TRANSFORM_SRC_PAD (self), buffer);
}
