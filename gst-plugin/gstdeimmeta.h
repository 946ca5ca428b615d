/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * gstdeimmeta.h - detections as buffer metadata, as deimdetect writes them. gstdeimread.h reads them.
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

#include "gstdeimfilter.h"
#include "gstdeimread.h"

G_BEGIN_DECLS

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
  gint id; /* of its region of interest and of its object in the relation meta; gst_deim_meta_attach() gives it */
} GstDeimFound;

/* Sets @found, an array of GstDeimFound, to those @detections of a frame of @width x @height that @filter keeps. */
void gst_deim_meta_select (const GArray *detections, const GstDeimFilter *filter, DeimModel *model, guint width,
                           guint height, GArray *found);

/* Adds @found to the writable @buffer, a frame of @width x @height, as found by the element called @source. */
void gst_deim_meta_attach (GstBuffer *buffer, GstDeimMetaMode mode, GArray *found, guint width, guint height,
                           const gchar *source);

/* Adds @found to the structure of a message, as its field "detections". */
void gst_deim_meta_describe (const GArray *found, GstStructure *content);

/* gstdeimanalytics.c, where GStreamer has the analytics library (HAVE_ANALYTICS). Sets the ids of @found. */
void gst_deim_analytics_attach (GstBuffer *buffer, GArray *found);

G_END_DECLS
