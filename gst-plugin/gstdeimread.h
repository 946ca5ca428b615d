/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * gstdeimread.h - what deimdetect and others have attached to a frame (gstdeimmeta.h says how it looks), for the
 * elements that draw it or tell of it. It needs neither the engine nor that deimdetect is there.
 */
#pragma once

#include <gst/video/video.h>

G_BEGIN_DECLS

#define GST_DEIM_FRAME_META_NAME "DeimFrameMeta"
#define GST_DEIM_DETECTION       "detection" /* the parameters of a region that say what was found */

/* The next DeimFrameMeta of @buffer, its fields; NULL behind the last. @state is NULL at first. Each deimdetect adds
 * one. */
GstStructure *gst_deim_frame_meta_next (GstBuffer *buffer, gpointer *state);

/* Running and stream time of @pts; NONE outside of the segment, and where the segment does not count time at all. */
static inline guint64
gst_deim_running_time (const GstSegment *segment, GstClockTime pts)
{
  return segment->format == GST_FORMAT_TIME ? gst_segment_to_running_time (segment, GST_FORMAT_TIME, pts)
                                            : GST_CLOCK_TIME_NONE;
}

static inline guint64
gst_deim_stream_time (const GstSegment *segment, GstClockTime pts)
{
  return segment->format == GST_FORMAT_TIME ? gst_segment_to_stream_time (segment, GST_FORMAT_TIME, pts)
                                            : GST_CLOCK_TIME_NONE;
}

/* What an element reads of a DeimFrameMeta. */
typedef struct {
  const gchar *source; /* name of the deimdetect, interned; NULL: not said */
  guint64 frame;       /* its number of the frame */
  gboolean inferred;
  guint detections; /* how many it attached; they need not be there any more */
} GstDeimFrameLook;

/* Appends a GstDeimFrameLook to @looks for every deimdetect that marked @buffer, in the order in which they stand in
 * the stream. None: no deimdetect saw the frame, or all were told to let it pass. */
void gst_deim_frame_meta_read (GstBuffer *buffer, GArray *looks);

/* A box for drawing or telling, whoever attached it. */
typedef struct {
  gint x, y, w, h;    /* pixels of the picture: the frame, or what a GstVideoCropMeta leaves of it */
  const gchar *label; /* static (a quark's); NULL when there is none */
  gint label_id;      /* < 0: unknown */
  gdouble confidence; /* < 0: unknown */
  gint64 track_id;    /* < 0: not tracked */
  gboolean predicted; /* not seen in this frame */
  /* Name of the deimdetect that found it, interned. NULL: somebody else did, or it stands there as analytics only,
   * which have no place for it. */
  const gchar *source;
} GstDeimBox;

/* Appends a GstDeimBox to @boxes for every object that @buffer tells of. One that stands there both as a region of
 * interest and as analytics is one box. */
void gst_deim_meta_read (GstBuffer *buffer, GArray *boxes);

/* How many detections that @looks speak of are not among @boxes: at least so many, as boxes of others may be among them
 * that do not say whose they are. */
guint gst_deim_count_missing (const GArray *looks, const GArray *boxes);

/* gstdeimanalytics.c, where GStreamer has the analytics library (HAVE_ANALYTICS): appends the objects of @buffer to
 * @boxes, and completes those that stand there already. */
void gst_deim_analytics_read (GstBuffer *buffer, GArray *boxes);

G_END_DECLS
