/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* gstdeimline.c - see gstdeimline.h. */
#include "gstdeimline.h"

#include <json-glib/json-glib.h>
#include <math.h>
#include <string.h>

static void
append_string (GString *line, const gchar *text)
{
  g_autofree gchar *valid = text ? g_utf8_make_valid (text, -1) : NULL;
  g_autoptr (JsonNode) node = json_node_alloc ();
  if (valid)
    json_node_init_string (node, valid);
  else
    json_node_init_null (node);
  g_autofree gchar *quoted = json_to_string (node, FALSE);
  g_string_append (line, quoted);
}

static void
append_time (GString *line, const gchar *name, guint64 time)
{
  if (GST_CLOCK_TIME_IS_VALID (time))
    g_string_append_printf (line, ", \"%s\": %" G_GUINT64_FORMAT, name, time);
  else
    g_string_append_printf (line, ", \"%s\": null", name);
}

/* Six digits are more than a confidence has. JSON's decimal point is the same in all languages. */
static void
append_score (GString *line, gdouble score)
{
  gchar digits[G_ASCII_DTOSTR_BUF_SIZE];
  g_string_append (line,
                   isfinite (score) && score >= 0 ? g_ascii_formatd (digits, sizeof digits, "%.6g", score) : "null");
}

static void
append_box (GString *line, const GstDeimBox *box)
{
  g_string_append (line, "{\"label\": ");
  append_string (line, box->label);
  if (box->label_id >= 0)
    g_string_append_printf (line, ", \"label_id\": %d", box->label_id);
  else
    g_string_append (line, ", \"label_id\": null");
  g_string_append (line, ", \"score\": ");
  append_score (line, box->confidence);
  g_string_append_printf (line, ", \"box\": [%d, %d, %d, %d]", box->x, box->y, box->x + box->w, box->y + box->h);
  if (box->track_id >= 0)
    g_string_append_printf (line, ", \"track_id\": %" G_GINT64_FORMAT, box->track_id);
  if (box->predicted)
    g_string_append (line, ", \"predicted\": true");
  if (box->source) {
    g_string_append (line, ", \"source\": ");
    append_string (line, box->source);
  }
  g_string_append_c (line, '}');
}

/* The wall clock of a reference timestamp, where its kind says since when it counts. */
static gchar *
utc_of (GstCaps *reference, GstClockTime time)
{
  /* Seconds from 1900 to 1970. */
  static const guint64 ntp_epoch = G_GUINT64_CONSTANT (2208988800);
  const gchar *kind = gst_structure_get_name (gst_caps_get_structure (reference, 0));
  guint64 seconds = time / GST_SECOND;
  if (strcmp (kind, "timestamp/x-ntp") == 0 && seconds >= ntp_epoch)
    seconds -= ntp_epoch;
  else if (strcmp (kind, "timestamp/x-unix") != 0)
    return NULL;
  g_autoptr (GDateTime) date = g_date_time_new_from_unix_utc ((gint64) seconds);
  g_autofree gchar *text = date ? g_date_time_format (date, "%Y-%m-%dT%H:%M:%S") : NULL;
  return text ? g_strdup_printf ("%s.%09" G_GUINT64_FORMAT "Z", text, time % GST_SECOND) : NULL;
}

static void
append_references (GString *line, GstBuffer *buffer)
{
  gpointer state = NULL;
  GstMeta *meta;
  guint count = 0;
  while ((meta = gst_buffer_iterate_meta_filtered (buffer, &state, GST_REFERENCE_TIMESTAMP_META_API_TYPE))) {
    const GstReferenceTimestampMeta *reference = (const GstReferenceTimestampMeta *) meta;
    if (!reference->reference || gst_caps_get_size (reference->reference) == 0)
      continue;
    g_autofree gchar *caps = gst_caps_to_string (reference->reference);
    g_autofree gchar *utc = utc_of (reference->reference, reference->timestamp);
    g_string_append (line, count++ == 0 ? ", \"reference_timestamps\": [{\"caps\": " : ", {\"caps\": ");
    append_string (line, caps);
    append_time (line, "time", reference->timestamp);
    if (utc)
      g_string_append_printf (line, ", \"utc\": \"%s\"", utc);
    g_string_append_c (line, '}');
  }
  if (count > 0)
    g_string_append_c (line, ']');
}

/* Which of the deimdetects that saw the frame looked at it; nothing where none saw it. */
static void
append_looks (GString *line, const GArray *looks)
{
  if (looks->len == 0)
    return;
  guint count = 0;
  g_string_append (line, ", \"inferred_by\": [");
  for (guint i = 0; i < looks->len; i++) {
    const GstDeimFrameLook *look = &g_array_index (looks, GstDeimFrameLook, i);
    if (!look->inferred)
      continue;
    if (count++ > 0)
      g_string_append (line, ", ");
    append_string (line, look->source);
  }
  g_string_append_c (line, ']');
}

void
gst_deim_line_format (GString *line, const GstDeimLineFrame *frame, GstBuffer *buffer, const GArray *boxes)
{
  g_string_assign (line, "{\"stream_id\": ");
  append_string (line, frame->stream_id);
  g_string_append_printf (line, ", \"frame\": %" G_GUINT64_FORMAT, frame->frame);
  append_time (line, "pts", frame->pts);
  append_time (line, "running_time", frame->running_time);
  append_references (line, buffer);
  append_looks (line, frame->looks);
  if (frame->missing > 0)
    g_string_append_printf (line, ", \"missing\": %u", frame->missing);
  g_string_append_printf (line, ", \"width\": %d, \"height\": %d, \"detections\": [", frame->width, frame->height);
  for (guint i = 0; i < boxes->len; i++) {
    if (i > 0)
      g_string_append (line, ", ");
    append_box (line, &g_array_index (boxes, GstDeimBox, i));
  }
  g_string_append (line, "]}");
}
