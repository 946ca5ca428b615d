/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* gstdeimread.c - see gstdeimread.h. */
#include "gstdeimread.h"

#define TRACK "object_id" /* what DL Streamer's tracker calls it */

GstStructure *
gst_deim_frame_meta_next (GstBuffer *buffer, gpointer *state)
{
  const GstMetaInfo *info = gst_meta_get_info (GST_DEIM_FRAME_META_NAME);
  GstMeta *meta;
  while ((meta = gst_buffer_iterate_meta (buffer, state)))
    if (meta->info == info)
      return gst_custom_meta_get_structure ((GstCustomMeta *) meta);
  return NULL;
}

void
gst_deim_frame_meta_read (GstBuffer *buffer, GArray *looks)
{
  gpointer state = NULL;
  GstStructure *fields;
  while ((fields = gst_deim_frame_meta_next (buffer, &state))) {
    GstDeimFrameLook look = { .source = g_intern_string (gst_structure_get_string (fields, "source")) };
    gst_structure_get_boolean (fields, "inferred", &look.inferred);
    gst_structure_get_uint64 (fields, "frame", &look.frame);
    gst_structure_get_uint (fields, "detections", &look.detections);
    g_array_append_val (looks, look);
  }
}

static void
read_regions (GstBuffer *buffer, GArray *boxes)
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
    const GstStructure *fields = gst_video_region_of_interest_meta_get_param (roi, GST_DEIM_DETECTION);
    if (fields) {
      gst_structure_get_int (fields, "label_id", &box.label_id);
      gst_structure_get_double (fields, "confidence", &box.confidence);
      box.source = g_intern_string (gst_structure_get_string (fields, "source"));
    }
    const GstStructure *track = gst_video_region_of_interest_meta_get_param (roi, TRACK);
    gint id;
    if (track && gst_structure_get_int (track, "id", &id))
      box.track_id = id;
    g_array_append_val (boxes, box);
  }
}

void
gst_deim_meta_read (GstBuffer *buffer, GArray *boxes)
{
  read_regions (buffer, boxes);
#ifdef HAVE_ANALYTICS
  gst_deim_analytics_read (buffer, boxes);
#endif
  const GstVideoCropMeta *crop = gst_buffer_get_video_crop_meta (buffer);
  for (guint i = 0; crop && i < boxes->len; i++) {
    g_array_index (boxes, GstDeimBox, i).x -= (gint) MIN (crop->x, G_MAXINT / 2);
    g_array_index (boxes, GstDeimBox, i).y -= (gint) MIN (crop->y, G_MAXINT / 2);
  }
}

guint
gst_deim_count_missing (const GArray *looks, const GArray *boxes)
{
  guint missing = 0;
  for (guint i = 0; i < looks->len; i++) {
    const GstDeimFrameLook *look = &g_array_index (looks, GstDeimFrameLook, i);
    guint left = 0;
    for (guint j = 0; j < boxes->len; j++) {
      const gchar *source = g_array_index (boxes, GstDeimBox, j).source;
      left += !source || source == look->source;
    }
    missing += look->detections > left ? look->detections - left : 0;
  }
  return missing;
}
