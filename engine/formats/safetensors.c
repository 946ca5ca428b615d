/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * safetensors.c - reads .safetensors: a little-endian uint64 length of the
 * header, the header in JSON, then one buffer with the tensors side by side.
 *
 *     {"__metadata__": {"key": "text"},
 *      "name": {"dtype": "F32", "shape": [16,3,3,3], "data_offsets": [0,1728]}, ...}
 *
 * json-glib parses by recursion and makes about a hundred bytes of objects out
 * of two brackets, so the header is first looked over by scan_header(), which
 * lets through only what has the shape of the above.
 */
#include "reader.h"
#include "safetensors-write.h"

#include <string.h>
#include <json-glib/json-glib.h>

#include "engine/error.h"
#include "file.h"

/* The largest known detectors have headers of 200 KiB. */
#define MAX_HEADER (16u << 20)
#define METADATA   "__metadata__"

typedef struct {
  gsize begin, end; /* bytes in the buffer */
  const gchar *name;
} Range;

static gboolean G_GNUC_PRINTF (3, 4) refuse (GError **error, const gchar *where, const gchar *format, ...)
{
  va_list args;
  va_start (args, format);
  g_autofree gchar *text = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (error, DEIM_ERROR, DEIM_ERROR_FORMAT, "%s: %s", where, text);
  return FALSE;
}

/*
 * Counts what json-glib would allocate for. Brackets nest three deep at most
 * (header, tensor, list) and a list has at most DEIM_CHECKPOINT_MAX_DIMS
 * numbers. A tensor takes at least 48 bytes of text and three pairs of
 * brackets; more brackets than that per byte are not a header. @ret_members:
 * the colons of depth 1 and 2, that is, the members that json-glib should end
 * up with unless it dropped one for a later one of the same name.
 */
static gboolean
scan_header (const gchar *text, gsize size, const gchar *where, gsize *ret_members, GError **error)
{
  guint depth = 0, items = 0;
  gsize brackets = 0, members = 0;
  gboolean in_string = FALSE;
  for (gsize i = 0; i < size; i++) {
    gchar c = text[i];
    if (in_string) {
      if (c == '\\')
        i++;
      else if (c == '"')
        in_string = FALSE;
      continue;
    }
    switch (c) {
    case '"':
      in_string = TRUE;
      break;
    case '{':
    case '[':
      items = 0;
      if (++depth > 3)
        return refuse (error, where, "the header nests deeper than a safetensors header can, at byte %zu", i);
      if (++brackets > size / 16 + 2)
        return refuse (error, where, "the header is made of brackets and not of tensors");
      break;
    case '}':
    case ']':
      if (depth-- == 0)
        return refuse (error, where, "the header closes a bracket that it never opened, at byte %zu", i);
      break;
    case ',':
      if (depth == 3 && ++items >= DEIM_CHECKPOINT_MAX_DIMS)
        return refuse (error, where, "a shape has more than %d dimensions, at byte %zu of the header",
                       DEIM_CHECKPOINT_MAX_DIMS, i);
      break;
    case ':':
      members++;
      break;
    default:
      /* json-glib knows comments and strings in single quotes, in which it would see other brackets than this scan. */
      if (!g_ascii_isdigit (c) && !g_ascii_isspace (c) && c != '-')
        return refuse (error, where, "the header holds a \\x%02x outside of names, at byte %zu", (guchar) c, i);
    }
  }
  if (in_string || depth != 0)
    return refuse (error, where, "the header breaks off in the middle: " DEIM_FILE_DAMAGED);
  *ret_members = members;
  return TRUE;
}

static const gchar *const dtype_names[] = {
  [DEIM_DTYPE_F32] = "F32", [DEIM_DTYPE_F16] = "F16",   [DEIM_DTYPE_BF16] = "BF16", [DEIM_DTYPE_F64] = "F64",
  [DEIM_DTYPE_I64] = "I64", [DEIM_DTYPE_I32] = "I32",   [DEIM_DTYPE_I16] = "I16",   [DEIM_DTYPE_I8] = "I8",
  [DEIM_DTYPE_U8] = "U8",   [DEIM_DTYPE_BOOL] = "BOOL",
};

const gchar *
deim_safetensors_dtype_name (DeimDtype dtype)
{
  return dtype_names[dtype];
}

static gboolean
parse_dtype (const gchar *text, DeimDtype *ret_dtype)
{
  for (gsize i = 0; i < G_N_ELEMENTS (dtype_names); i++) {
    if (g_str_equal (text, dtype_names[i])) {
      *ret_dtype = (DeimDtype) i;
      return TRUE;
    }
  }
  return FALSE;
}

/* The array of whole numbers >= 0 called @member, of at most @max numbers; its length, or -1. */
static gint
get_numbers (JsonObject *object, const gchar *member, guint max, gint64 *numbers)
{
  JsonNode *node = json_object_get_member (object, member);
  if (!node || !JSON_NODE_HOLDS_ARRAY (node))
    return -1;
  JsonArray *array = json_node_get_array (node);
  guint n = json_array_get_length (array);
  if (n > max)
    return -1;
  for (guint i = 0; i < n; i++) {
    JsonNode *item = json_array_get_element (array, i);
    if (!JSON_NODE_HOLDS_VALUE (item) || json_node_get_value_type (item) != G_TYPE_INT64)
      return -1;
    numbers[i] = json_node_get_int (item);
    if (numbers[i] < 0)
      return -1;
  }
  return (gint) n;
}

static const gchar *
get_text (JsonNode *node)
{
  if (!node || !JSON_NODE_HOLDS_VALUE (node) || json_node_get_value_type (node) != G_TYPE_STRING)
    return NULL;
  return json_node_get_string (node);
}

static gboolean
read_tensor (DeimCheckpoint *checkpoint, JsonNode *node, const gchar *name, GBytes *bytes, gsize buffer_offset,
             GArray *ranges, const gchar *where, GError **error)
{
  g_autofree gchar *quoted = deim_quote (name, strlen (name));
  if (!JSON_NODE_HOLDS_OBJECT (node))
    return refuse (error, where, "the header's entry \"%s\" is not an object", quoted);
  JsonObject *object = json_node_get_object (node);
  if (json_object_get_size (object) != 3)
    return refuse (error, where, "tensor %s: its entry must hold dtype, shape and data_offsets, and nothing else",
                   quoted);

  DeimCheckpointTensor tensor = { 0 };
  const gchar *dtype = get_text (json_object_get_member (object, "dtype"));
  if (!dtype || !parse_dtype (dtype, &tensor.dtype)) {
    g_autofree gchar *what = dtype ? deim_quote (dtype, strlen (dtype)) : g_strdup ("missing");
    return refuse (error, where, "tensor %s: its dtype, %s, is not one of F32 F16 BF16 F64 I64 I32 I16 I8 U8 BOOL",
                   quoted, what);
  }
  gint n_dims = get_numbers (object, "shape", DEIM_CHECKPOINT_MAX_DIMS, tensor.shape);
  if (n_dims < 0)
    return refuse (error, where, "tensor %s: its shape is not a list of at most %d whole numbers", quoted,
                   DEIM_CHECKPOINT_MAX_DIMS);
  tensor.n_dims = (guint) n_dims;
  if (!deim_shape_count (tensor.dtype, tensor.n_dims, tensor.shape, &tensor.n_elements))
    return refuse (error, where, "tensor %s: its shape is too large for any memory", quoted);
  gint64 offsets[2];
  if (get_numbers (object, "data_offsets", 2, offsets) != 2)
    return refuse (error, where, "tensor %s: its data_offsets are not two whole numbers", quoted);

  gsize buffer_size = g_bytes_get_size (bytes) - buffer_offset;
  if (offsets[0] > offsets[1] || (guint64) offsets[1] > buffer_size)
    return refuse (error, where,
                   "tensor %s: its bytes %" G_GINT64_FORMAT " to %" G_GINT64_FORMAT
                   " are not inside the buffer of %zu bytes: " DEIM_FILE_DAMAGED,
                   quoted, offsets[0], offsets[1], buffer_size);
  gsize need = tensor.n_elements * deim_dtype_size (tensor.dtype);
  if ((guint64) (offsets[1] - offsets[0]) != need)
    return refuse (error, where, "tensor %s: its shape needs %zu bytes, its data_offsets span %" G_GINT64_FORMAT,
                   quoted, need, offsets[1] - offsets[0]);

  tensor.data = (const guint8 *) g_bytes_get_data (bytes, NULL) + buffer_offset + offsets[0];
  if (!deim_checkpoint_append (checkpoint, name, strlen (name), &tensor, bytes, where, error))
    return FALSE;
  Range range = { (gsize) offsets[0], (gsize) offsets[1], name };
  if (need > 0)
    g_array_append_val (ranges, range);
  return TRUE;
}

static gboolean
read_metadata (DeimCheckpoint *checkpoint, JsonNode *node, const gchar *where, GError **error)
{
  if (!JSON_NODE_HOLDS_OBJECT (node))
    return refuse (error, where, METADATA " is not an object");
  JsonObjectIter iter;
  const gchar *key;
  JsonNode *value;
  json_object_iter_init_ordered (&iter, json_node_get_object (node));
  while (json_object_iter_next_ordered (&iter, &key, &value)) {
    const gchar *text = get_text (value);
    if (!text) {
      g_autofree gchar *quoted = deim_quote (key, strlen (key));
      return refuse (error, where, "\"%s\" in " METADATA " is not a string", quoted);
    }
    deim_checkpoint_set_metadata (checkpoint, key, text);
  }
  return TRUE;
}

static gint
compare_ranges (gconstpointer a, gconstpointer b)
{
  const Range *x = a, *y = b;
  return x->begin < y->begin ? -1 : x->begin > y->begin;
}

/* The format wants the buffer covered exactly: no byte by two tensors, none by no tensor. */
static gboolean
check_ranges (GArray *ranges, gsize buffer_size, const gchar *where, GError **error)
{
  g_array_sort (ranges, compare_ranges);
  gsize end = 0;
  const gchar *before = "the header";
  for (guint i = 0; i < ranges->len; i++) {
    const Range *range = &g_array_index (ranges, Range, i);
    if (range->begin < end)
      return refuse (error, where, "tensors %s and %s overlap in the file", before, range->name);
    if (range->begin > end)
      return refuse (error, where, "%zu bytes between %s and %s belong to no tensor", range->begin - end, before,
                     range->name);
    end = range->end;
    before = range->name;
  }
  if (end != buffer_size)
    return refuse (error, where, "%zu bytes at the end belong to no tensor", buffer_size - end);
  return TRUE;
}

/* Members of the header and of the objects in it. */
static gsize
count_members (JsonObject *header)
{
  gsize count = json_object_get_size (header);
  JsonObjectIter iter;
  JsonNode *node;
  json_object_iter_init (&iter, header);
  while (json_object_iter_next (&iter, NULL, &node))
    if (JSON_NODE_HOLDS_OBJECT (node))
      count += json_object_get_size (json_node_get_object (node));
  return count;
}

DeimCheckpoint *
deim_safetensors_read (GBytes *bytes, const gchar *name, GError **error)
{
  gsize size, members = 0;
  const guint8 *data = g_bytes_get_data (bytes, &size);
  guint64 length;
  if (size < 8) {
    refuse (error, name, "%zu bytes are too few for a safetensors file", size);
    return NULL;
  }
  memcpy (&length, data, 8);
  length = GUINT64_FROM_LE (length);
  if (length > size - 8 || length > MAX_HEADER) {
    refuse (error, name,
            "the header claims %" G_GUINT64_FORMAT " bytes, the file has %zu behind its first 8 and at most %u are "
            "accepted: it is not a safetensors file, or " DEIM_FILE_DAMAGED,
            length, size - 8, MAX_HEADER);
    return NULL;
  }
  const gchar *text = (const gchar *) data + 8;
  if (!g_utf8_validate (text, (gssize) length, NULL)) {
    refuse (error, name, "the header is not UTF-8");
    return NULL;
  }
  if (!scan_header (text, (gsize) length, name, &members, error))
    return NULL;

  g_autoptr (GError) problem = NULL;
  g_autoptr (JsonParser) parser = json_parser_new_immutable ();
  if (!json_parser_load_from_data (parser, text, (gssize) length, &problem)) {
    g_autofree gchar *escaped = g_strescape (problem->message, "\"\\"); /* it quotes the file */
    refuse (error, name, "the header is not JSON: %s", escaped);
    return NULL;
  }
  JsonNode *root = json_parser_get_root (parser);
  if (!root || !JSON_NODE_HOLDS_OBJECT (root)) {
    refuse (error, name, "the header is not a JSON object");
    return NULL;
  }
  JsonObject *header = json_node_get_object (root);
  if (count_members (header) != members) {
    refuse (error, name, "a name stands twice in the header");
    return NULL;
  }

  g_autoptr (DeimCheckpoint) checkpoint = deim_checkpoint_new ();
  g_autoptr (GArray) ranges = g_array_new (FALSE, FALSE, sizeof (Range));
  JsonObjectIter iter;
  const gchar *key;
  JsonNode *node;
  json_object_iter_init_ordered (&iter, header);
  while (json_object_iter_next_ordered (&iter, &key, &node)) {
    gboolean fine = g_str_equal (key, METADATA)
                        ? read_metadata (checkpoint, node, name, error)
                        : read_tensor (checkpoint, node, key, bytes, 8 + (gsize) length, ranges, name, error);
    if (!fine)
      return NULL;
  }
  if (!check_ranges (ranges, size - 8 - (gsize) length, name, error))
    return NULL;
  if (deim_checkpoint_get_n_tensors (checkpoint) == 0) {
    refuse (error, name, "the file holds no tensor");
    return NULL;
  }
  if (!deim_checkpoint_strip_prefix (checkpoint, name, error))
    return NULL;
  deim_checkpoint_set_source (checkpoint, "the tensors of a safetensors file");
  return g_steal_pointer (&checkpoint);
}
