/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* results.c - what `deim detect` gives out. */
#include "results.h"
#include "json.h"
#include "overlay/draw.h"

#include <math.h>

void
deim_result_free (DeimResult *result)
{
  if (!result)
    return;
  g_clear_pointer (&result->sample, gst_sample_unref);
  g_free (result->source);
  g_free (result->drawing);
  g_free (result);
}

/* A hundredth of a pixel is more than a network knows; floats printed in full would drown the reader in digits. */
static gdouble
pixels (gfloat value)
{
  return round (value * 100.0) / 100.0;
}

void
deim_result_write_json (const DeimResult *result, const GArray *detections, DeimModel *model, FILE *out)
{
  g_autoptr (JsonBuilder) builder = json_builder_new ();
  g_autofree gchar *source = g_filename_display_name (result->source);

  json_builder_begin_object (builder);
  deim_json_add_string (builder, "source", source);
  deim_json_add_int (builder, "frame", (gint64) result->frame);
  json_builder_set_member_name (builder, "pts");
  if (result->pts >= 0)
    json_builder_add_int_value (builder, result->pts);
  else
    json_builder_add_null_value (builder);
  deim_json_add_int (builder, "width", result->width);
  deim_json_add_int (builder, "height", result->height);
  json_builder_set_member_name (builder, "detections");
  json_builder_begin_array (builder);
  for (guint i = 0; i < detections->len; i++) {
    const DeimDetection *found = &g_array_index (detections, DeimDetection, i);
    const gfloat box[4] = { found->x1, found->y1, found->x2, found->y2 };
    json_builder_begin_object (builder);
    deim_json_add_string (builder, "label", deim_model_get_label (model, found->label));
    deim_json_add_int (builder, "class", found->label);
    deim_json_add_number (builder, "score", round (found->score * 1e6) / 1e6);
    json_builder_set_member_name (builder, "box");
    json_builder_begin_array (builder);
    for (guint j = 0; j < 4; j++)
      json_builder_add_double_value (builder, pixels (box[j]));
    json_builder_end_array (builder);
    json_builder_end_object (builder);
  }
  json_builder_end_array (builder);
  json_builder_end_object (builder);
  g_autofree gchar *text = deim_json_builder_text (builder);
  fprintf (out, "%s\n", text);
}

void
deim_result_write_text (const DeimResult *result, const GArray *detections, DeimModel *model, FILE *out)
{
  g_autofree gchar *source = g_filename_display_name (result->source);

  fprintf (out, "%s, frame %" G_GUINT64_FORMAT ", %u wide, %u high: %u %s\n", source, result->frame, result->width,
           result->height, detections->len, detections->len == 1 ? "detection" : "detections");
  for (guint i = 0; i < detections->len; i++) {
    const DeimDetection *found = &g_array_index (detections, DeimDetection, i);
    fprintf (out, "  %-16s %.3f  (%.1f, %.1f) - (%.1f, %.1f)\n", deim_model_get_label (model, found->label),
             found->score, found->x1, found->y1, found->x2, found->y2);
  }
}

gboolean
deim_result_draw (const DeimResult *result, const GArray *detections, DeimModel *model, GError **error)
{
  DeimPicture picture;
  g_autofree DeimDrawBox *boxes = g_new0 (DeimDrawBox, detections->len + 1);

  if (!deim_picture_map (&picture, result->sample, error))
    return FALSE;
  cairo_surface_t *surface = deim_picture_to_surface (&picture, error);
  deim_picture_unmap (&picture);
  if (!surface)
    return FALSE;
  for (guint i = 0; i < detections->len; i++) {
    const DeimDetection *found = &g_array_index (detections, DeimDetection, i);
    boxes[i] = (DeimDrawBox){
      .x1 = found->x1,
      .y1 = found->y1,
      .x2 = found->x2,
      .y2 = found->y2,
      .label = deim_model_get_label (model, found->label),
      .score = found->score,
      .class_index = found->label,
      .track_id = -1,
    };
  }
  cairo_t *cr = cairo_create (surface);
  deim_draw_boxes (cr, (int) result->width, (int) result->height, boxes, detections->len, NULL);
  cairo_destroy (cr);
  cairo_status_t status = cairo_surface_write_to_png (surface, result->drawing);
  cairo_surface_destroy (surface);
  if (status == CAIRO_STATUS_SUCCESS)
    return TRUE;
  g_set_error (error, DEIM_ERROR, DEIM_ERROR_WRITE, "%s cannot be written: %s; check the folder and its permissions",
               result->drawing, cairo_status_to_string (status));
  return FALSE;
}
