/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * gstdeimmeta.c - detections as GstVideoRegionOfInterestMeta, and the mark of an inferred frame.
 */
#include "gstdeimmeta.h"

#include <math.h>

#define DETECTION "detection"
#define TRACK     "object_id" /* what DL Streamer's tracker calls it */

GType
gst_deim_meta_mode_get_type (void)
{
  static GType type;
  if (g_once_init_enter (&type)) {
    static const GEnumValue values[] = {
      { GST_DEIM_META_AUTO, "What suits the GStreamer of this build", "auto" },
      { GST_DEIM_META_ROI, "GstVideoRegionOfInterestMeta", "roi" },
      { 0, NULL, NULL },
    };
    g_once_init_leave (&type, g_enum_register_static ("GstDeimMetaMode", values));
  }
  return type;
}

static gpointer
register_frame_meta (gpointer unused)
{
  /* No tags: the mark is about the frame, not about its pixels, so every element copies it. */
  static const gchar *no_tags[] = { NULL };
  return (gpointer) gst_meta_register_custom (GST_DEIM_FRAME_META_NAME, no_tags, NULL, NULL, NULL);
}

void
gst_deim_frame_meta_register (void)
{
  static GOnce once = G_ONCE_INIT;
  g_once (&once, register_frame_meta, NULL);
}

static const gchar *
skip_reason (GstDeimSkip skip)
{
  static const gchar *const names[GST_DEIM_SKIP_COUNT] = { "", "interval", "late", "overload", "region", "off" };
  return names[skip];
}

void
gst_deim_frame_meta_add (GstBuffer *buffer, const GstDeimFrameMark *mark)
{
  GstCustomMeta *meta = gst_buffer_add_custom_meta (buffer, GST_DEIM_FRAME_META_NAME);
  GstStructure *fields = gst_custom_meta_get_structure (meta);
  gst_structure_set (fields, "source", G_TYPE_STRING, mark->source, "frame", G_TYPE_UINT64, mark->frame, "inferred",
                     G_TYPE_BOOLEAN, mark->skip == GST_DEIM_SKIP_NONE, "detections", G_TYPE_UINT, mark->detections,
                     NULL);
  if (mark->skip != GST_DEIM_SKIP_NONE)
    gst_structure_set (fields, "skipped", G_TYPE_STRING, skip_reason (mark->skip), NULL);
}

/* One box in the frame, or FALSE when nothing of it is inside. Written so that NaN fails too. */
static gboolean
clip_box (const DeimDetection *detection, guint width, guint height, gdouble box[4])
{
  box[0] = MAX (0.0, detection->x1);
  box[1] = MAX (0.0, detection->y1);
  box[2] = MIN ((gdouble) width, detection->x2);
  box[3] = MIN ((gdouble) height, detection->y2);
  return box[2] > box[0] && box[3] > box[1];
}

static void
attach_roi (GstBuffer *buffer, const DeimDetection *detection, const gchar *label, const gdouble box[4], guint width,
            guint height)
{
  guint x = (guint) floor (box[0]), y = (guint) floor (box[1]);
  guint x_end = (guint) ceil (box[2]), y_end = (guint) ceil (box[3]);
  GstVideoRegionOfInterestMeta *roi =
      gst_buffer_add_video_region_of_interest_meta (buffer, label, x, y, x_end - x, y_end - y);
  /* Analytics elements tell the regions of a buffer apart by id; -1: no region contains this one. */
  roi->id = (gint) (gst_util_seqnum_next () & G_MAXINT);
  roi->parent_id = -1;
  GstStructure *fields =
      gst_structure_new (DETECTION, "confidence", G_TYPE_DOUBLE, (gdouble) detection->score, "label_id", G_TYPE_INT,
                         (gint) detection->label, "label_name", G_TYPE_STRING, label, "x_min", G_TYPE_DOUBLE,
                         box[0] / width, "y_min", G_TYPE_DOUBLE, box[1] / height, "x_max", G_TYPE_DOUBLE,
                         box[2] / width, "y_max", G_TYPE_DOUBLE, box[3] / height, NULL);
  gst_video_region_of_interest_meta_add_param (roi, fields);
}

guint
gst_deim_meta_attach (GstBuffer *buffer, GstDeimMetaMode mode, const GArray *detections, const GstDeimFilter *filter,
                      DeimModel *model, guint width, guint height)
{
  guint count = 0;
  for (guint i = 0; i < detections->len; i++) {
    const DeimDetection *detection = &g_array_index (detections, DeimDetection, i);
    gdouble box[4];
    if (!gst_deim_filter_keeps (filter, detection) || !clip_box (detection, width, height, box))
      continue;
    const gchar *label = deim_model_get_label (model, detection->label);
    /* Both modes of this build are regions of interest. */
    if (mode == GST_DEIM_META_AUTO || mode == GST_DEIM_META_ROI)
      attach_roi (buffer, detection, label, box, width, height);
    count++;
  }
  return count;
}

void
gst_deim_meta_read (GstBuffer *buffer, GArray *boxes)
{
  gpointer state = NULL;
  GstMeta *meta;
  while ((meta = gst_buffer_iterate_meta_filtered (buffer, &state, GST_VIDEO_REGION_OF_INTEREST_META_API_TYPE))) {
    GstVideoRegionOfInterestMeta *roi = (GstVideoRegionOfInterestMeta *) meta;
    GstDeimBox box = { .x = (gint) MIN (roi->x, G_MAXINT / 2),
                       .y = (gint) MIN (roi->y, G_MAXINT / 2),
                       .w = (gint) MIN (roi->w, G_MAXINT / 2),
                       .h = (gint) MIN (roi->h, G_MAXINT / 2),
                       .label = g_quark_to_string (roi->roi_type),
                       .label_id = -1,
                       .confidence = -1.0,
                       .track_id = -1 };
    /* The parameters are optional, and those of other elements may lack any of these fields. */
    const GstStructure *fields = gst_video_region_of_interest_meta_get_param (roi, DETECTION);
    if (fields) {
      gst_structure_get_int (fields, "label_id", &box.label_id);
      gst_structure_get_double (fields, "confidence", &box.confidence);
    }
    const GstStructure *track = gst_video_region_of_interest_meta_get_param (roi, TRACK);
    gint id;
    if (track && gst_structure_get_int (track, "id", &id))
      box.track_id = id;
    g_array_append_val (boxes, box);
  }
}
