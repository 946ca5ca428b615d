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

GstDeimFilter *
gst_deim_filter_new (DeimModel *model)
{
  guint num_classes = deim_model_get_info (model)->num_classes;
  GstDeimFilter *filter = g_malloc (sizeof *filter + num_classes * sizeof filter->classes[0]);
  filter->threshold = 0;
  filter->num_classes = num_classes;
  for (guint i = 0; i < num_classes; i++)
    filter->classes[i] = (GstDeimFilterClass){ .min_score = NAN, .wanted = TRUE };
  return filter;
}

gboolean
gst_deim_filter_set_class_thresholds (GstDeimFilter *filter, DeimModel *model, const gchar *text, GError **error)
{
  g_autofree gfloat *min_scores = g_new (gfloat, filter->num_classes);
  for (guint i = 0; i < filter->num_classes; i++)
    min_scores[i] = NAN;
  g_auto (GStrv) entries = g_strsplit (text ? text : "", ",", -1);
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
    min_scores[index] = (gfloat) value;
  }
  for (guint i = 0; i < filter->num_classes; i++)
    filter->classes[i].min_score = min_scores[i];
  return TRUE;
}

gboolean
gst_deim_filter_set_classes (GstDeimFilter *filter, DeimModel *model, const gchar *text, GError **error)
{
  g_autofree gboolean *wanted = g_new0 (gboolean, filter->num_classes);
  guint count = 0;
  g_auto (GStrv) entries = g_strsplit (text ? text : "", ",", -1);
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
  for (guint i = 0; i < filter->num_classes; i++)
    filter->classes[i].wanted = count == 0 || wanted[i];
  return TRUE;
}

gboolean
gst_deim_filter_keeps (const GstDeimFilter *filter, const DeimDetection *detection)
{
  if (detection->label >= filter->num_classes)
    return FALSE;
  const GstDeimFilterClass *of_class = &filter->classes[detection->label];
  gfloat least = isnan (of_class->min_score) ? filter->threshold : of_class->min_score;
  return of_class->wanted && detection->score >= least;
}
