/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* coco-write.c - annotations and detections written in the COCO format. */
#include "coco.h"

#include <deim.h>
#include <json-glib/json-glib.h>
#include <math.h>
#include <string.h>

void
deim_coco_round_detection (DeimCocoDetection *detection)
{
  detection->x = round (detection->x * 1e3) / 1e3;
  detection->y = round (detection->y * 1e3) / 1e3;
  detection->w = round (detection->w * 1e3) / 1e3;
  detection->h = round (detection->h * 1e3) / 1e3;
  detection->score = round (detection->score * 1e7) / 1e7;
}

/* Appends a number without trailing zeros, with a point in every locale. */
static void
append_number (GString *text, gdouble value, const gchar *format)
{
  gchar digits[G_ASCII_DTOSTR_BUF_SIZE * 10]; /* "%.3f" of the largest double has 313 characters */

  g_ascii_formatd (digits, sizeof digits, format, value);
  gsize length = strlen (digits);
  while (digits[length - 1] == '0')
    length--;
  if (digits[length - 1] == '.')
    length--;
  g_string_append_len (text, digits, length);
}

static gboolean
write_text (const gchar *path, const GString *text, GError **error)
{
  g_autoptr (GError) cause = NULL;

  if (g_file_set_contents (path, text->str, (gssize) text->len, &cause))
    return TRUE;
  g_set_error (error, DEIM_ERROR, DEIM_ERROR_WRITE, "%s cannot be written: %s; check the folder and its permissions",
               path, cause->message);
  return FALSE;
}

/* ,"bbox":[x,y,w,h] */
static void
append_box (GString *text, gdouble x, gdouble y, gdouble w, gdouble h)
{
  const gdouble box[4] = { x, y, w, h };

  g_string_append (text, ",\"bbox\":");
  for (guint i = 0; i < 4; i++) {
    g_string_append_c (text, i ? ',' : '[');
    append_number (text, box[i], "%.3f");
  }
  g_string_append_c (text, ']');
}

gboolean
deim_coco_write_detections (const DeimCoco *coco, const GArray *detections, const gchar *path, GError **error)
{
  g_autoptr (GString) text = g_string_new ("[");

  for (guint i = 0; i < detections->len; i++) {
    const DeimCocoDetection *found = &g_array_index (detections, DeimCocoDetection, i);

    g_string_append_printf (text, "%s{\"image_id\":%" G_GINT64_FORMAT ",\"category_id\":%" G_GINT64_FORMAT,
                            i ? ",\n" : "", g_array_index (coco->images, DeimCocoImage, found->image).id,
                            g_array_index (coco->categories, DeimCocoCategory, found->category).id);
    append_box (text, found->x, found->y, found->w, found->h);
    g_string_append (text, ",\"score\":");
    append_number (text, found->score, "%.7f");
    g_string_append_c (text, '}');
  }
  g_string_append (text, "]\n");
  return write_text (path, text, error);
}

/* A text as JSON has it, in quotes. */
static void
append_text (GString *text, const gchar *value)
{
  g_autoptr (JsonNode) node = json_node_alloc ();
  json_node_init_string (node, value);
  g_autofree gchar *quoted = json_to_string (node, FALSE);
  g_string_append (text, quoted);
}

static void
append_images (GString *text, const DeimCoco *coco)
{
  g_string_append (text, "{\"images\":[");
  for (guint i = 0; i < coco->images->len; i++) {
    const DeimCocoImage *image = &g_array_index (coco->images, DeimCocoImage, i);
    g_string_append_printf (text, "%s{\"id\":%" G_GINT64_FORMAT ",\"file_name\":", i ? ",\n" : "\n", image->id);
    append_text (text, image->file_name);
    if (image->width && image->height)
      g_string_append_printf (text, ",\"width\":%u,\"height\":%u", image->width, image->height);
    g_string_append_c (text, '}');
  }
}

static void
append_categories (GString *text, const DeimCoco *coco)
{
  g_string_append (text, "\n],\n\"categories\":[");
  for (guint i = 0; i < coco->categories->len; i++) {
    const DeimCocoCategory *category = &g_array_index (coco->categories, DeimCocoCategory, i);
    g_string_append_printf (text, "%s{\"id\":%" G_GINT64_FORMAT ",\"name\":", i ? ",\n" : "\n", category->id);
    append_text (text, category->name);
    g_string_append_c (text, '}');
  }
}

static void
append_objects (GString *text, const DeimCoco *coco)
{
  g_string_append (text, "\n],\n\"annotations\":[");
  for (guint i = 0; i < coco->objects->len; i++) {
    const DeimCocoObject *object = &g_array_index (coco->objects, DeimCocoObject, i);
    g_string_append_printf (
        text, "%s{\"id\":%" G_GINT64_FORMAT ",\"image_id\":%" G_GINT64_FORMAT ",\"category_id\":%" G_GINT64_FORMAT,
        i ? ",\n" : "\n", object->id, g_array_index (coco->images, DeimCocoImage, object->image).id,
        g_array_index (coco->categories, DeimCocoCategory, object->category).id);
    append_box (text, object->x, object->y, object->w, object->h);
    g_string_append (text, ",\"area\":");
    append_number (text, object->area, "%.3f");
    g_string_append_printf (text, ",\"iscrowd\":%d}", object->crowd ? 1 : 0);
  }
}

gboolean
deim_coco_write (const DeimCoco *coco, const gchar *path, GError **error)
{
  g_autoptr (GString) text = g_string_new (NULL);

  append_images (text, coco);
  append_categories (text, coco);
  append_objects (text, coco);
  g_string_append (text, "\n]}\n");
  return write_text (path, text, error);
}
