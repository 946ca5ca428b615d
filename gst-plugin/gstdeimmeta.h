/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * gstdeimmeta.h - detections as buffer metadata, written by deimdetect and read by the other elements.
 *
 * As regions of interest, each object is a GstVideoRegionOfInterestMeta: roi_type is the label, x y w h are pixels of
 * the frame, rounded outwards and clipped to it, and one parameter structure carries the rest
 * (docs/elements/deimdetect.md lists its fields):
 *
 *   detection, confidence=(double)0.83, label_id=(int)0, label=(string)person,
 *     x_min=(double)0.1, y_min=(double)0.2, x_max=(double)0.4, y_max=(double)0.9
 *
 * As analytics (gstdeimanalytics.c, GStreamer 1.24), each is an object detection of the buffer's one
 * GstAnalyticsRelationMeta, with the same pixels, label and confidence.
 *
 * And each frame that went through deimdetect has one GstCustomMeta "DeimFrameMeta", which tells a frame without
 * objects from a frame that nobody looked at.
 */
#pragma once

#include <gst/video/video.h>

#include "gstdeimfilter.h"

G_BEGIN_DECLS

#define GST_DEIM_FRAME_META_NAME "DeimFrameMeta"

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

/* Why a frame was not inferred. */
typedef enum {
  GST_DEIM_SKIP_NONE,
  GST_DEIM_SKIP_INTERVAL, /* inference-interval leaves it out */
  GST_DEIM_SKIP_LATE,     /* downstream said that it comes too late */
  GST_DEIM_SKIP_OVERLOAD, /* live, and all slots are busy */
  GST_DEIM_SKIP_REGION,   /* the region lies outside this frame */
  GST_DEIM_SKIP_OFF,      /* pass-through: the buffer is not touched, so this one is never written */
  GST_DEIM_SKIP_COUNT
} GstDeimSkip;

/**
 * GstDeimMetaMode:
 * @GST_DEIM_META_AUTO: all that the GStreamer has that the plugin was built with
 * @GST_DEIM_META_ROI: GstVideoRegionOfInterestMeta
 * @GST_DEIM_META_ANALYTICS: GstAnalyticsRelationMeta (GStreamer 1.24)
 * @GST_DEIM_META_BOTH: both of them
 *
 * Which metadata carries the detections.
 */
typedef enum {
  GST_DEIM_META_AUTO,
  GST_DEIM_META_ROI,
  GST_DEIM_META_ANALYTICS,
  GST_DEIM_META_BOTH,
} GstDeimMetaMode;

#define GST_TYPE_DEIM_META_MODE (gst_deim_meta_mode_get_type ())
GType gst_deim_meta_mode_get_type (void);

/* DEIM_ERROR_SETTINGS: this build cannot write what @mode asks for. */
gboolean gst_deim_meta_mode_check (GstDeimMetaMode mode, GError **error);

/* Makes DeimFrameMeta known to GStreamer: once, when the plugin is loaded. */
void gst_deim_frame_meta_register (void);

/* What DeimFrameMeta says. @source is the name of the element; @skip NONE means inferred. */
typedef struct {
  const gchar *source;
  guint64 frame; /* number of the frame since the element started */
  GstDeimSkip skip;
  guint detections;
} GstDeimFrameMark;

/* @buffer must be writable. */
void gst_deim_frame_meta_add (GstBuffer *buffer, const GstDeimFrameMark *mark);

/* A detection that is given out: clipped to the frame. */
typedef struct {
  gdouble x1, y1, x2, y2; /* pixels of the frame */
  guint x, y, w, h;       /* the same, rounded outwards */
  const gchar *label;     /* the model's */
  guint label_id;
  gdouble score;
} GstDeimFound;

/* Sets @found, an array of GstDeimFound, to those @detections of a frame of @width x @height that @filter keeps. */
void gst_deim_meta_select (const GArray *detections, const GstDeimFilter *filter, DeimModel *model, guint width,
                           guint height, GArray *found);

/* Adds @found to the writable @buffer, a frame of @width x @height, as found by the element called @source. */
void gst_deim_meta_attach (GstBuffer *buffer, GstDeimMetaMode mode, const GArray *found, guint width, guint height,
                           const gchar *source);

/* Adds @found to the structure of a message, as its field "detections". */
void gst_deim_meta_describe (const GArray *found, GstStructure *content);

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

/* ---- gstdeimanalytics.c, where GStreamer has the analytics library (HAVE_ANALYTICS) */

void gst_deim_analytics_attach (GstBuffer *buffer, const GArray *found);
/* Appends the objects of @buffer to @boxes, and completes those that stand there already. */
void gst_deim_analytics_read (GstBuffer *buffer, GArray *boxes);

G_END_DECLS
