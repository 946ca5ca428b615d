/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * coco.c - reading the COCO format through json-glib. json-glib's getters take a
 * well-formed tree for granted, so that every value goes through the few
 * functions below that look at its type first.
 */
#include "coco.h"

#include <deim.h>
#include <json-glib/json-glib.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>

/* Where the reader stands, for messages: "instances.json: annotations[17]". */
typedef struct {
  const gchar *path;
  const gchar *list; /* "images"; NULL: the top level is the list */
  guint index;
} Place;

static void refuse (GError **error, const Place *place, const gchar *format, ...) G_GNUC_PRINTF (3, 4);

static void
refuse (GError **error, const Place *place, const gchar *format, ...)
{
  va_list args;
  va_start (args, format);
  g_autofree gchar *reason = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (error, DEIM_ERROR, DEIM_ERROR_FORMAT, "%s: %s[%u]: %s", place->path,
               place->list ? place->list : "detections", place->index, reason);
}

static gboolean
node_number (JsonNode *node, gdouble *ret_value)
{
  if (!node || !JSON_NODE_HOLDS_VALUE (node))
    return FALSE;
  GType type = json_node_get_value_type (node);
  if (type != G_TYPE_INT64 && type != G_TYPE_DOUBLE)
    return FALSE;
  gdouble value = json_node_get_double (node);
  if (!isfinite (value))
    return FALSE;
  *ret_value = value;
  return TRUE;
}

static gboolean
get_id (JsonObject *entry, const gchar *key, const Place *place, gint64 *ret_id, GError **error)
{
  JsonNode *node = json_object_get_member (entry, key);
  gdouble number;

  if (!node_number (node, &number) || number != floor (number) || fabs (number) > 9007199254740992.0) {
    refuse (error, place, "\"%s\" must be there and be a whole number", key);
    return FALSE;
  }
  *ret_id = json_node_get_value_type (node) == G_TYPE_INT64 ? json_node_get_int (node) : (gint64) number;
  return TRUE;
}

/* A text that must be there, or may be missing when @optional. */
static gboolean
get_text (JsonObject *entry, const gchar *key, gboolean optional, const Place *place, const gchar **ret_text,
          GError **error)
{
  JsonNode *node = json_object_get_member (entry, key);

  if (!node && optional) {
    *ret_text = "";
    return TRUE;
  }
  if (!node || !JSON_NODE_HOLDS_VALUE (node) || json_node_get_value_type (node) != G_TYPE_STRING) {
    refuse (error, place, "\"%s\" must be %sa text", key, optional ? "" : "there and be ");
    return FALSE;
  }
  *ret_text = json_node_get_string (node);
  return TRUE;
}

/* A number of pixels that may be missing: 0 then. */
static gboolean
get_extent (JsonObject *entry, const gchar *key, const Place *place, guint *ret_extent, GError **error)
{
  gdouble number = 0;

  if (json_object_has_member (entry, key) &&
      (!node_number (json_object_get_member (entry, key), &number) || number < 1 || number > 1 << 24)) {
    refuse (error, place, "\"%s\" must be a number of pixels", key);
    return FALSE;
  }
  *ret_extent = (guint) number;
  return TRUE;
}

/* "bbox": x, y, width, height. */
static gboolean
get_box (JsonObject *entry, const Place *place, gdouble ret_box[4], GError **error)
{
  JsonNode *node = json_object_get_member (entry, "bbox");
  gdouble box[4];

  if (!node || !JSON_NODE_HOLDS_ARRAY (node) || json_array_get_length (json_node_get_array (node)) != 4) {
    refuse (error, place, "\"bbox\" must be there and be a list of four numbers, x, y, width, height");
    return FALSE;
  }
  for (guint i = 0; i < 4; i++)
    if (!node_number (json_array_get_element (json_node_get_array (node), i), &box[i])) {
      refuse (error, place, "\"bbox\"[%u] must be a finite number", i);
      return FALSE;
    }
  if (box[2] < 0 || box[3] < 0) {
    refuse (error, place, "\"bbox\" has a negative size, %g x %g; it is x, y, width, height, not two corners", box[2],
            box[3]);
    return FALSE;
  }
  memcpy (ret_box, box, sizeof box);
  return TRUE;
}

/* The entry at place->index of @list, which must be an object. */
static JsonObject *
get_entry (JsonArray *list, const Place *place, GError **error)
{
  JsonNode *node = json_array_get_element (list, place->index);

  if (!JSON_NODE_HOLDS_OBJECT (node)) {
    refuse (error, place, "this entry must be an object in braces");
    return NULL;
  }
  return json_node_get_object (node);
}

static JsonArray *
get_list (JsonObject *root, const gchar *key, const gchar *path, GError **error)
{
  JsonNode *node = json_object_get_member (root, key);

  if (!node || !JSON_NODE_HOLDS_ARRAY (node)) {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_FORMAT,
                 "%s: there is no list \"%s\"; an annotation file in COCO format has \"images\", \"annotations\" and "
                 "\"categories\"",
                 path, key);
    return NULL;
  }
  return json_node_get_array (node);
}

static JsonParser *
load (const gchar *path, GError **error)
{
  g_autoptr (JsonParser) parser = json_parser_new_immutable ();
  g_autoptr (GError) cause = NULL;

  if (g_file_test (path, G_FILE_TEST_IS_DIR)) {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_READ, "%s is a folder; give the .json file in it", path);
    return NULL;
  }
  if (json_parser_load_from_mapped_file (parser, path, &cause))
    return g_steal_pointer (&parser);
  if (g_error_matches (cause, G_FILE_ERROR, G_FILE_ERROR_NOENT))
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_NOT_FOUND, "%s does not exist; check the path", path);
  else if (cause->domain == G_FILE_ERROR)
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_READ, "%s cannot be read: %s", path, cause->message);
  else
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_FORMAT, "%s is not JSON: %s", path, cause->message);
  return NULL;
}

static void
clear_image (gpointer data)
{
  g_free (((DeimCocoImage *) data)->file_name);
}

static void
clear_category (gpointer data)
{
  g_free (((DeimCocoCategory *) data)->name);
}

/* Both structs begin with their id. */
static gint
compare_ids (gconstpointer a, gconstpointer b)
{
  gint64 x = *(const gint64 *) a, y = *(const gint64 *) b;
  return (x > y) - (x < y);
}

/* Sorts images or categories by id; two with the same id are an error. */
static gboolean
sort_by_id (GArray *array, const gchar *list, const gchar *path, GError **error)
{
  guint size = g_array_get_element_size (array);

  g_array_sort (array, compare_ids);
  for (guint i = 1; i < array->len; i++)
    if (compare_ids (array->data + (gsize) (i - 1) * size, array->data + (gsize) i * size) == 0) {
      g_set_error (error, DEIM_ERROR, DEIM_ERROR_FORMAT,
                   "%s: \"%s\" has more than one entry with id %" G_GINT64_FORMAT "; ids must be unique", path, list,
                   *(gint64 *) (void *) (array->data + (gsize) i * size));
      return FALSE;
    }
  return TRUE;
}

static gboolean
find (const GArray *array, gint64 id, guint *ret_index)
{
  return g_array_binary_search ((GArray *) array, &id, compare_ids, ret_index);
}

gboolean
deim_coco_find_image (const DeimCoco *coco, gint64 id, guint *ret_index)
{
  return find (coco->images, id, ret_index);
}

gboolean
deim_coco_find_category (const DeimCoco *coco, gint64 id, guint *ret_index)
{
  return find (coco->categories, id, ret_index);
}

static gboolean
read_images (DeimCoco *coco, JsonArray *list, Place place, GError **error)
{
  for (place.list = "images"; place.index < json_array_get_length (list); place.index++) {
    JsonObject *entry = get_entry (list, &place, error);
    DeimCocoImage image = { 0 };
    const gchar *name;

    if (!entry || !get_id (entry, "id", &place, &image.id, error) ||
        !get_text (entry, "file_name", FALSE, &place, &name, error) ||
        !get_extent (entry, "width", &place, &image.width, error) ||
        !get_extent (entry, "height", &place, &image.height, error))
      return FALSE;
    image.file_name = g_strdup (name);
    g_array_append_val (coco->images, image);
  }
  return sort_by_id (coco->images, place.list, place.path, error);
}

static gboolean
read_categories (DeimCoco *coco, JsonArray *list, Place place, GError **error)
{
  for (place.list = "categories"; place.index < json_array_get_length (list); place.index++) {
    JsonObject *entry = get_entry (list, &place, error);
    DeimCocoCategory category = { 0 };
    const gchar *name;

    if (!entry || !get_id (entry, "id", &place, &category.id, error) ||
        !get_text (entry, "name", TRUE, &place, &name, error))
      return FALSE;
    if (strchr (name, '\n')) {
      refuse (error, &place, "\"name\" has more than one line");
      return FALSE;
    }
    category.name = g_strdup (name);
    g_array_append_val (coco->categories, category);
  }
  return sort_by_id (coco->categories, place.list, place.path, error);
}

/* The numbers of an entry's picture and category. An unknown picture is refused; an unknown category only if @strict.
 */
static gboolean
get_links (const DeimCoco *coco, JsonObject *entry, const Place *place, gboolean strict, guint *ret_image,
           guint *ret_category, gboolean *ret_known, GError **error)
{
  gint64 image_id, category_id;

  if (!get_id (entry, "image_id", place, &image_id, error) ||
      !get_id (entry, "category_id", place, &category_id, error))
    return FALSE;
  if (!deim_coco_find_image (coco, image_id, ret_image)) {
    refuse (error, place, "\"image_id\" %" G_GINT64_FORMAT " is not among the images of the annotations", image_id);
    return FALSE;
  }
  *ret_known = deim_coco_find_category (coco, category_id, ret_category);
  if (!*ret_known && strict) {
    refuse (error, place, "\"category_id\" %" G_GINT64_FORMAT " is not in \"categories\"", category_id);
    return FALSE;
  }
  return TRUE;
}

static gboolean
read_object (DeimCoco *coco, JsonObject *entry, const Place *place, GError **error)
{
  DeimCocoObject object = { 0 };
  gdouble box[4], crowd = 0;
  gboolean known;

  if (!get_id (entry, "id", place, &object.id, error) ||
      !get_links (coco, entry, place, TRUE, &object.image, &object.category, &known, error) ||
      !get_box (entry, place, box, error))
    return FALSE;
  object.x = box[0], object.y = box[1], object.w = box[2], object.h = box[3];
  object.area = object.w * object.h;
  if (json_object_has_member (entry, "area") &&
      (!node_number (json_object_get_member (entry, "area"), &object.area) || object.area < 0)) {
    refuse (error, place, "\"area\" must be a number of square pixels");
    return FALSE;
  }
  JsonNode *node = json_object_get_member (entry, "iscrowd");
  if (node && JSON_NODE_HOLDS_VALUE (node) && json_node_get_value_type (node) == G_TYPE_BOOLEAN)
    crowd = json_node_get_boolean (node);
  else if (node && (!node_number (node, &crowd) || (crowd != 0 && crowd != 1))) {
    refuse (error, place, "\"iscrowd\" must be 0 or 1");
    return FALSE;
  }
  object.crowd = crowd != 0;
  g_array_append_val (coco->objects, object);
  return TRUE;
}

static gboolean
read_objects (DeimCoco *coco, JsonArray *list, Place place, GError **error)
{
  for (place.list = "annotations"; place.index < json_array_get_length (list); place.index++) {
    JsonObject *entry = get_entry (list, &place, error);
    if (!entry || !read_object (coco, entry, &place, error))
      return FALSE;
  }
  return TRUE;
}

DeimCoco *
deim_coco_new (void)
{
  DeimCoco *coco = g_new0 (DeimCoco, 1);

  coco->images = g_array_new (FALSE, FALSE, sizeof (DeimCocoImage));
  coco->categories = g_array_new (FALSE, FALSE, sizeof (DeimCocoCategory));
  coco->objects = g_array_new (FALSE, FALSE, sizeof (DeimCocoObject));
  g_array_set_clear_func (coco->images, clear_image);
  g_array_set_clear_func (coco->categories, clear_category);
  return coco;
}

DeimCoco *
deim_coco_read (const gchar *path, GError **error)
{
  g_autoptr (JsonParser) parser = load (path, error);
  if (!parser)
    return NULL;
  JsonNode *root = json_parser_get_root (parser);
  if (!root || !JSON_NODE_HOLDS_OBJECT (root)) {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_FORMAT,
                 "%s is not an annotation file in COCO format, which is an object; a detections file is a list", path);
    return NULL;
  }

  g_autoptr (DeimCoco) coco = deim_coco_new ();
  JsonObject *object = json_node_get_object (root);
  JsonArray *images = get_list (object, "images", path, error);
  JsonArray *categories = images ? get_list (object, "categories", path, error) : NULL;
  JsonArray *annotations = categories ? get_list (object, "annotations", path, error) : NULL;
  Place place = { .path = path };
  if (!annotations || !read_images (coco, images, place, error) || !read_categories (coco, categories, place, error) ||
      !read_objects (coco, annotations, place, error))
    return NULL;
  return g_steal_pointer (&coco);
}

void
deim_coco_free (DeimCoco *coco)
{
  if (!coco)
    return;
  g_clear_pointer (&coco->images, g_array_unref);
  g_clear_pointer (&coco->categories, g_array_unref);
  g_clear_pointer (&coco->objects, g_array_unref);
  g_free (coco);
}

GArray *
deim_coco_read_detections (const DeimCoco *coco, const gchar *path, guint *ret_skipped, GError **error)
{
  g_autoptr (JsonParser) parser = load (path, error);
  if (!parser)
    return NULL;
  JsonNode *root = json_parser_get_root (parser);
  if (!root || !JSON_NODE_HOLDS_ARRAY (root)) {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_FORMAT,
                 "%s is not a detections file, which is a list of {image_id, category_id, bbox, score}", path);
    return NULL;
  }

  JsonArray *list = json_node_get_array (root);
  guint length = json_array_get_length (list), skipped = 0;
  g_autoptr (GArray) detections = g_array_sized_new (FALSE, FALSE, sizeof (DeimCocoDetection), length);
  for (Place place = { .path = path }; place.index < length; place.index++) {
    JsonObject *entry = get_entry (list, &place, error);
    DeimCocoDetection found = { 0 };
    gdouble box[4];
    gboolean known;

    if (!entry || !get_links (coco, entry, &place, FALSE, &found.image, &found.category, &known, error) ||
        !get_box (entry, &place, box, error))
      return NULL;
    if (!node_number (json_object_get_member (entry, "score"), &found.score)) {
      refuse (error, &place, "\"score\" must be there and be a finite number");
      return NULL;
    }
    found.x = box[0], found.y = box[1], found.w = box[2], found.h = box[3];
    if (known)
      g_array_append_val (detections, found);
    else
      skipped++;
  }
  if (ret_skipped)
    *ret_skipped = skipped;
  return g_steal_pointer (&detections);
}
