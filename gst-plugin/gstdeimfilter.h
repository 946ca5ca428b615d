/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * gstdeimfilter.h - which detections are wanted: threshold, thresholds by class, and a choice of classes.
 */
#pragma once

#include "engine/deim.h"

G_BEGIN_DECLS

/* The least score of each class; INFINITY for a class that is not wanted. */
typedef struct {
  guint num_classes;
  gfloat min_score[];
} GstDeimFilter;

/*
 * gst_deim_filter_new:
 * @threshold: for the classes that @class_thresholds does not name
 * @class_thresholds: (nullable): "person:0.4,car:0.6", classes by name or index
 * @classes: (nullable): "person,car", the only classes wanted; NULL or "" is all
 *
 * Free with g_free(). DEIM_ERROR_SETTINGS names the entry that makes no sense for @model.
 */
GstDeimFilter *gst_deim_filter_new (DeimModel *model, gdouble threshold, const gchar *class_thresholds,
                                    const gchar *classes, GError **error);

gboolean gst_deim_filter_keeps (const GstDeimFilter *filter, const DeimDetection *detection);

G_END_DECLS
