/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * gstdeimfilter.h - which detections are wanted: threshold, thresholds by class, and a choice of classes.
 */
#pragma once

#include "engine/deim.h"

G_BEGIN_DECLS

typedef struct {
  gfloat min_score; /* NaN: the filter's threshold */
  gboolean wanted;
} GstDeimFilterClass;

typedef struct {
  gfloat threshold; /* of the classes that have none of their own; 0 at first */
  guint num_classes;
  GstDeimFilterClass classes[];
} GstDeimFilter;

/* One for @model that keeps everything. Free with g_free(). */
GstDeimFilter *gst_deim_filter_new (DeimModel *model);

/*
 * Each setting is taken over by itself. @text: (nullable): "person:0.4,car:0.6" or "person,car", the only classes
 * wanted, by name or index; NULL or "" is none of their own, and all of them. @model: the one of gst_deim_filter_new().
 * FALSE: DEIM_ERROR_SETTINGS names the entry that makes no sense for @model, and the former setting stays.
 */
gboolean gst_deim_filter_set_class_thresholds (GstDeimFilter *filter, DeimModel *model, const gchar *text,
                                               GError **error);
gboolean gst_deim_filter_set_classes (GstDeimFilter *filter, DeimModel *model, const gchar *text, GError **error);

gboolean gst_deim_filter_keeps (const GstDeimFilter *filter, const DeimDetection *detection);

G_END_DECLS
