/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * gstdeimmeta.c - detections as regions of interest and as messages, and the mark of an inferred frame.
 */
#include "gstdeimmeta.h"

#include <math.h>

GType
gst_deim_meta_mode_get_type (void)
{
  static GType type;
  if (g_once_init_enter (&type)) {
    static const GEnumValue values[] = {
      { GST_DEIM_META_AUTO, "All that the GStreamer of this build has", "auto" },
      { GST_DEIM_META_ROI, "GstVideoRegionOfInterestMeta", "roi" },
      { GST_DEIM_META_ANALYTICS, "GstAnalyticsRelationMeta (GStreamer 1.24)", "analytics" },
      { GST_DEIM_META_BOTH, "Both", "both" },
      { 0, NULL, NULL },
    };
    g_once_init_leave (&type, g_enum_register_static ("GstDeimMetaMode", values));
  }
  return type;
}

gboolean
gst_deim_meta_mode_check (GstDeimMetaMode mode, GError **error)
{
#ifndef HAVE_ANALYTICS
  if (mode == GST_DEIM_META_ANALYTICS || mode == GST_DEIM_META_BOTH) {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_SETTINGS,
                 "meta: this plugin was built without GstAnalyticsRelationMeta, which came with GStreamer 1.24; use "
                 "meta=roi, or build it where gstreamer-analytics-1.0 is installed");
    return FALSE;
  }
#endif
  return TRUE;
}

static gboolean
copy_field (GQuark field, const GValue *value, gpointer to)
{
  gst_structure_id_set_value (to, field, value);
  return TRUE;
}

static gpointer
copy_structure (gconstpointer structure, gpointer unused)
{
  return gst_structure_copy (structure);
}

static GstVideoRegionOfInterestMeta *
find_region (GstBuffer *buffer, const GstVideoRegionOfInterestMeta *like)
{
  gpointer state = NULL;
  GstMeta *meta;
  while ((meta = gst_buffer_iterate_meta_filtered (buffer, &state, GST_VIDEO_REGION_OF_INTEREST_META_API_TYPE))) {
    GstVideoRegionOfInterestMeta *roi = (GstVideoRegionOfInterestMeta *) meta;
    if (roi->id == like->id && roi->roi_type == like->roi_type)
      return roi;
  }
  return NULL;
}

static gboolean
has_mark_of (GstBuffer *buffer, const GstStructure *like)
{
  gpointer state = NULL;
  GstStructure *fields;
  while ((fields = gst_deim_frame_meta_next (buffer, &state)))
    if (g_strcmp0 (gst_structure_get_string (fields, "source"), gst_structure_get_string (like, "source")) == 0)
      return TRUE;
  return FALSE;
}

/*
 * Goes along with every copy of a frame, whatever becomes of the picture. GStreamer 1.22 forgets the parameters of a
 * region of interest when a frame is scaled (and keeps them when it is copied), so they are put back here: the mark is
 * attached after the regions, and metadata is transformed in the order in which it was attached.
 */
static gboolean
transform_frame_meta (GstBuffer *to, GstCustomMeta *meta, GstBuffer *from, GQuark type, gpointer data, gpointer unused)
{
  GstStructure *mark = gst_custom_meta_get_structure (meta);
  if (!has_mark_of (to, mark)) {
    GstStructure *fields = gst_custom_meta_get_structure (gst_buffer_add_custom_meta (to, GST_DEIM_FRAME_META_NAME));
    gst_structure_foreach (mark, copy_field, fields);
  }
  gpointer state = NULL;
  GstMeta *found;
  while ((found = gst_buffer_iterate_meta_filtered (from, &state, GST_VIDEO_REGION_OF_INTEREST_META_API_TYPE))) {
    const GstVideoRegionOfInterestMeta *roi = (GstVideoRegionOfInterestMeta *) found;
    GstVideoRegionOfInterestMeta *other = roi->params ? find_region (to, roi) : NULL;
    if (other && !other->params)
      other->params = g_list_copy_deep (roi->params, copy_structure, NULL);
  }
  return TRUE;
}

void
gst_deim_frame_meta_register (void)
{
  /* No tags: the mark is about the frame, not about its pixels, so every element copies it. */
  static const gchar *no_tags[] = { NULL };
  gst_meta_register_custom (GST_DEIM_FRAME_META_NAME, no_tags, transform_frame_meta, NULL, NULL);
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

/* ---------------------------------------------------------------------- out */

/* The part of @detection in the frame, or FALSE when there is none. Written so that NaN fails too. */
static gboolean
clip (const DeimDetection *detection, guint width, guint height, GstDeimFound *found)
{
  found->x1 = MAX (0.0, detection->x1);
  found->y1 = MAX (0.0, detection->y1);
  found->x2 = MIN ((gdouble) width, detection->x2);
  found->y2 = MIN ((gdouble) height, detection->y2);
  if (!(found->x2 > found->x1 && found->y2 > found->y1))
    return FALSE;
  found->x = (guint) floor (found->x1);
  found->y = (guint) floor (found->y1);
  found->w = (guint) ceil (found->x2) - found->x;
  found->h = (guint) ceil (found->y2) - found->y;
  return TRUE;
}

void
gst_deim_meta_select (const GArray *detections, const GstDeimFilter *filter, DeimModel *model, guint width,
                      guint height, GArray *found)
{
  g_array_set_size (found, 0);
  for (guint i = 0; i < detections->len; i++) {
    const DeimDetection *detection = &g_array_index (detections, DeimDetection, i);
    GstDeimFound one;
    if (!gst_deim_filter_keeps (filter, detection) || !clip (detection, width, height, &one))
      continue;
    one.label = deim_model_get_label (model, detection->label);
    one.label_id = detection->label;
    one.score = (gdouble) detection->score;
    g_array_append_val (found, one);
  }
}

static void
attach_roi (GstBuffer *buffer, const GstDeimFound *found, guint width, guint height, const gchar *source)
{
  GstVideoRegionOfInterestMeta *roi =
      gst_buffer_add_video_region_of_interest_meta (buffer, found->label, found->x, found->y, found->w, found->h);
  roi->id = found->id;
  roi->parent_id = -1; /* no region contains this one */
  GstStructure *fields = gst_structure_new (GST_DEIM_DETECTION, "confidence", G_TYPE_DOUBLE, found->score, "label_id",
                                            G_TYPE_INT, (gint) found->label_id, "label", G_TYPE_STRING, found->label,
                                            "x_min", G_TYPE_DOUBLE, found->x1 / width, "y_min", G_TYPE_DOUBLE,
                                            found->y1 / height, "x_max", G_TYPE_DOUBLE, found->x2 / width, "y_max",
                                            G_TYPE_DOUBLE, found->y2 / height, "source", G_TYPE_STRING, source, NULL);
  gst_video_region_of_interest_meta_add_param (roi, fields);
}

void
gst_deim_meta_attach (GstBuffer *buffer, GstDeimMetaMode mode, GArray *found, guint width, guint height,
                      const gchar *source)
{
  /* Analytics elements tell the regions of a buffer apart by id, and know by it which object a region is. */
  for (guint i = 0; i < found->len; i++)
    g_array_index (found, GstDeimFound, i).id = (gint) (gst_util_seqnum_next () & G_MAXINT);
#ifdef HAVE_ANALYTICS
  if (mode != GST_DEIM_META_ROI)
    gst_deim_analytics_attach (buffer, found);
#endif
  for (guint i = 0; mode != GST_DEIM_META_ANALYTICS && i < found->len; i++)
    attach_roi (buffer, &g_array_index (found, GstDeimFound, i), width, height, source);
}

void
gst_deim_meta_describe (const GArray *found, GstStructure *content)
{
  GValue list = G_VALUE_INIT;
  g_value_init (&list, GST_TYPE_ARRAY);
  for (guint i = 0; i < found->len; i++) {
    const GstDeimFound *one = &g_array_index (found, GstDeimFound, i);
    GValue item = G_VALUE_INIT;
    g_value_init (&item, GST_TYPE_STRUCTURE);
    g_value_take_boxed (&item, gst_structure_new (GST_DEIM_DETECTION, "label", G_TYPE_STRING, one->label, "label-id",
                                                  G_TYPE_UINT, one->label_id, "score", G_TYPE_DOUBLE, one->score, "x1",
                                                  G_TYPE_DOUBLE, one->x1, "y1", G_TYPE_DOUBLE, one->y1, "x2",
                                                  G_TYPE_DOUBLE, one->x2, "y2", G_TYPE_DOUBLE, one->y2, NULL));
    gst_value_array_append_and_take_value (&list, &item);
  }
  gst_structure_take_value (content, "detections", &list);
}
