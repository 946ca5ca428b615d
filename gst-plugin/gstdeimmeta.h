/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * gstdeimmeta.h - detections as buffer metadata, written by deimdetect and read by deimoverlay.
 *
 * Each object is a GstVideoRegionOfInterestMeta: roi_type is the label, x y w h are pixels of the frame, rounded
 * outwards and clipped to it, and one parameter structure carries the rest (docs/elements.md lists its fields):
 *
 *   detection, confidence=(double)0.83, label_id=(int)0, label_name=(string)person,
 *     x_min=(double)0.1, y_min=(double)0.2, x_max=(double)0.4, y_max=(double)0.9
 *
 * And each frame that went through deimdetect has one GstCustomMeta "DeimFrameMeta", which tells a frame without
 * objects from a frame that nobody looked at.
 */
#pragma once

#include <gst/video/video.h>

#include "gstdeimfilter.h"

G_BEGIN_DECLS

#define GST_DEIM_FRAME_META_NAME "DeimFrameMeta"

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
 * @GST_DEIM_META_AUTO: what suits the GStreamer that the plugin was built with
 * @GST_DEIM_META_ROI: GstVideoRegionOfInterestMeta
 *
 * Which metadata carries the detections. GstAnalyticsRelationMeta will be a third and fourth value where GStreamer
 * has it (1.24); gst_deim_meta_attach() is where it belongs.
 */
typedef enum {
  GST_DEIM_META_AUTO,
  GST_DEIM_META_ROI,
} GstDeimMetaMode;

#define GST_TYPE_DEIM_META_MODE (gst_deim_meta_mode_get_type ())
GType gst_deim_meta_mode_get_type (void);

/* Makes DeimFrameMeta known to GStreamer. Any number of times, from any thread. */
void gst_deim_frame_meta_register (void);

/* What DeimFrameMeta says. @source is the name of the element; @skip NONE means inferred. */
typedef struct {
  const gchar *source;
  guint64 frame; /* number of the frame since the stream began */
  GstDeimSkip skip;
  guint detections;
} GstDeimFrameMark;

/* @buffer must be writable. */
void gst_deim_frame_meta_add (GstBuffer *buffer, const GstDeimFrameMark *mark);

/* Adds the detections that @filter keeps to the writable @buffer, a frame of @width x @height. Returns their number. */
guint gst_deim_meta_attach (GstBuffer *buffer, GstDeimMetaMode mode, const GArray *detections,
                            const GstDeimFilter *filter, DeimModel *model, guint width, guint height);

/* A box for drawing, whoever attached it. */
typedef struct {
  gint x, y, w, h;    /* pixels of the frame */
  const gchar *label; /* static; NULL when there is none */
  gint label_id;      /* < 0: unknown */
  gdouble confidence; /* < 0: unknown */
  gint64 track_id;    /* < 0: not tracked */
} GstDeimBox;

/* Appends a GstDeimBox to @boxes for every region of interest of @buffer. */
void gst_deim_meta_read (GstBuffer *buffer, GArray *boxes);

G_END_DECLS
