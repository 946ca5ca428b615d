/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * gstdeimanalytics.c - detections as GstAnalyticsRelationMeta. Built where GStreamer has its analytics library (1.24).
 *
 * A buffer has one relation meta at most, into which all analytics elements write; it is also there, and empty, when a
 * frame was looked at and nothing was found.
 */
#include "gstdeimmeta.h"

#define GST_USE_UNSTABLE_API
#include <gst/analytics/analytics.h>

/* A region of interest and an object detection of the same object were rounded apart by a scaler at most so much. */
#define SAME_BOX 2

/* Room in the relation meta for one object detection, somewhat more than it needs; the meta grows where it is less. */
#define OBJECT_BYTES 64

void
gst_deim_analytics_attach (GstBuffer *buffer, GArray *found)
{
  GstAnalyticsRelationMeta *relations = gst_buffer_get_analytics_relation_meta (buffer);
  if (!relations) {
    GstAnalyticsRelationMetaInitParams params = { .initial_relation_order = MAX (found->len, 4),
                                                  .initial_buf_size = MAX (found->len, 4) * OBJECT_BYTES };
    relations = gst_buffer_add_analytics_relation_meta_full (buffer, &params);
  }
  for (guint i = 0; i < found->len; i++) {
    GstDeimFound *one = &g_array_index (found, GstDeimFound, i);
    GstAnalyticsODMtd object;
    gst_analytics_relation_meta_add_od_mtd (relations, g_quark_from_string (one->label), (gint) one->x, (gint) one->y,
                                            (gint) one->w, (gint) one->h, (gfloat) one->score, &object);
    one->id = (gint) object.id;
  }
}

/* The track of @object, whichever of the two points to the other. */
static void
read_track (GstAnalyticsRelationMeta *relations, const GstAnalyticsODMtd *object, GstDeimBox *box)
{
  gpointer state = NULL;
  GstAnalyticsMtd found;
  while (gst_analytics_relation_meta_iterate (relations, &state, gst_analytics_tracking_mtd_get_mtd_type (), &found)) {
    if (gst_analytics_relation_meta_get_relation (relations, object->id, found.id) == GST_ANALYTICS_REL_TYPE_NONE &&
        gst_analytics_relation_meta_get_relation (relations, found.id, object->id) == GST_ANALYTICS_REL_TYPE_NONE)
      continue;
    guint64 id;
    GstClockTime first_seen, last_seen;
    gboolean lost;
    if (!gst_analytics_tracking_mtd_get_info (&found, &id, &first_seen, &last_seen, &lost))
      continue;
    box->track_id = (gint64) (id & G_MAXINT64);
    box->predicted = lost;
    return;
  }
}

/* The box among the first @n of @boxes that is the same object, or NULL. */
static GstDeimBox *
find_same (GArray *boxes, guint n, const GstDeimBox *box)
{
  for (guint i = 0; i < n; i++) {
    GstDeimBox *other = &g_array_index (boxes, GstDeimBox, i);
    if (other->label == box->label && ABS (other->x - box->x) <= SAME_BOX && ABS (other->y - box->y) <= SAME_BOX &&
        ABS (other->w - box->w) <= SAME_BOX && ABS (other->h - box->h) <= SAME_BOX)
      return other;
  }
  return NULL;
}

void
gst_deim_analytics_read (GstBuffer *buffer, GArray *boxes)
{
  GstAnalyticsRelationMeta *relations = gst_buffer_get_analytics_relation_meta (buffer);
  guint regions = boxes->len;
  gpointer state = NULL;
  GstAnalyticsODMtd object;
  while (relations && gst_analytics_relation_meta_iterate (relations, &state, gst_analytics_od_mtd_get_mtd_type (),
                                                           (GstAnalyticsMtd *) &object)) {
    GstDeimBox box = { .label_id = -1, .confidence = -1.0, .track_id = -1 };
    gfloat confidence;
    if (!gst_analytics_od_mtd_get_location (&object, &box.x, &box.y, &box.w, &box.h, &confidence))
      continue;
    box.x = CLAMP (box.x, -G_MAXINT / 2, G_MAXINT / 2);
    box.y = CLAMP (box.y, -G_MAXINT / 2, G_MAXINT / 2);
    box.w = CLAMP (box.w, 0, G_MAXINT / 2);
    box.h = CLAMP (box.h, 0, G_MAXINT / 2);
    box.label = g_quark_to_string (gst_analytics_od_mtd_get_obj_type (&object));
    box.confidence = (gdouble) confidence;
    read_track (relations, &object, &box);
    GstDeimBox *same = find_same (boxes, regions, &box);
    if (!same) {
      g_array_append_val (boxes, box);
    } else if (same->track_id < 0) {
      same->track_id = box.track_id;
      same->predicted = box.predicted;
    }
  }
}
