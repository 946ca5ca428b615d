/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * gstdeimfilter.c - reads the properties threshold, class-thresholds and classes against a model's labels.
 */
#include "gstdeimfilter.h"

#include <math.h>
#include <string.h>

/* Labels are compared first, so that a class called "7" can be named. */
static gboolean
find_class (DeimModel *model, const gchar *name, const gchar *property, guint *index, GError **error)
{
  guint num_classes = deim_model_get_info (model)->num_classes;
  for (guint i = 0; i < num_classes; i++) {
    if (g_strcmp0 (deim_model_get_label (model, i), name) == 0) {
      *index = i;
      return TRUE;
    }
  }
  guint64 number;
  if (g_ascii_string_to_unsigned (name, 10, 0, num_classes - 1, &number, NULL)) {
    *index = (guint) number;
    return TRUE;
  }
  g_set_error (error, DEIM_ERROR, DEIM_ERROR_SETTINGS,
               "%s: the model has no class \"%s\"; give a label (the first is \"%s\") or an index of 0 to %u", property,
               name, deim_model_get_label (model, 0), num_classes - 1);
  return FALSE;
}

static gboolean
read_class_thresholds (GstDeimFilter *filter, DeimModel *model, const gchar *text, GError **error)
{
  g_auto (GStrv) entries = g_strsplit (text, ",", -1);
  for (guint i = 0; entries[i]; i++) {
    gchar *entry = g_strstrip (entries[i]);
    if (!*entry)
      continue;
    gchar *colon = strrchr (entry, ':');
    gchar *end = NULL;
    gdouble value = colon ? g_ascii_strtod (colon + 1, &end) : -1.0;
    if (!colon || end == colon + 1 || *g_strstrip (end) || !(value >= 0.0 && value <= 1.0)) {
      g_set_error (error, DEIM_ERROR, DEIM_ERROR_SETTINGS,
                   "class-thresholds: \"%s\" is not class:score with a score of 0 to 1; write for instance "
                   "\"person:0.4,car:0.6\"",
                   entry);
      return FALSE;
    }
    *colon = '\0';
    guint index;
    if (!find_class (model, g_strstrip (entry), "class-thresholds", &index, error))
      return FALSE;
    filter->min_score[index] = (gfloat) value;
  }
  return TRUE;
}

static gboolean
read_classes (GstDeimFilter *filter, DeimModel *model, const gchar *text, GError **error)
{
  g_autofree gboolean *wanted = g_new0 (gboolean, filter->num_classes);
  guint count = 0;
  g_auto (GStrv) entries = g_strsplit (text, ",", -1);
  for (guint i = 0; entries[i]; i++) {
    gchar *entry = g_strstrip (entries[i]);
    guint index;
    if (!*entry)
      continue;
    if (!find_class (model, entry, "classes", &index, error))
      return FALSE;
    wanted[index] = TRUE;
    count++;
  }
  for (guint i = 0; count > 0 && i < filter->num_classes; i++) {
    if (!wanted[i])
      filter->min_score[i] = INFINITY;
  }
  return TRUE;
}

GstDeimFilter *
gst_deim_filter_new (DeimModel *model, gdouble threshold, const gchar *class_thresholds, const gchar *classes,
                     GError **error)
{
  guint num_classes = deim_model_get_info (model)->num_classes;
  g_autofree GstDeimFilter *filter = g_malloc0 (sizeof *filter + num_classes * sizeof filter->min_score[0]);
  filter->num_classes = num_classes;
  for (guint i = 0; i < num_classes; i++)
    filter->min_score[i] = (gfloat) threshold;
  if (class_thresholds && !read_class_thresholds (filter, model, class_thresholds, error))
    return NULL;
  if (classes && !read_classes (filter, model, classes, error))
    return NULL;
  return g_steal_pointer (&filter);
}

gboolean
gst_deim_filter_keeps (const GstDeimFilter *filter, const DeimDetection *detection)
{
  return detection->label < filter->num_classes && detection->score >= filter->min_score[detection->label];
}
