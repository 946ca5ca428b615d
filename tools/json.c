/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* json.c - JSON text. */
#include "json.h"

#include <math.h>

static void
append_double (GString *text, gdouble value)
{
  gchar format[8], digits[G_ASCII_DTOSTR_BUF_SIZE];

  if (!isfinite (value)) {
    g_string_append (text, "null");
    return;
  }
  for (guint precision = 6; precision <= 17; precision++) {
    g_snprintf (format, sizeof format, "%%.%ug", precision);
    g_ascii_formatd (digits, sizeof digits, format, value);
    if (g_ascii_strtod (digits, NULL) == value)
      break;
  }
  g_string_append (text, digits);
}

static void
append_name (GString *text, const gchar *name)
{
  g_autoptr (JsonNode) node = json_node_init_string (json_node_alloc (), name);
  g_autofree gchar *quoted = json_to_string (node, FALSE);

  g_string_append_printf (text, "%s: ", quoted);
}

static void
append_node (GString *text, JsonNode *node)
{
  if (JSON_NODE_HOLDS_OBJECT (node)) {
    JsonObject *object = json_node_get_object (node);
    g_autoptr (GList) names = json_object_get_members (object); /* in the order in which they were added */
    g_string_append_c (text, '{');
    for (GList *item = names; item; item = item->next) {
      if (item != names)
        g_string_append (text, ", ");
      append_name (text, item->data);
      append_node (text, json_object_get_member (object, item->data));
    }
    g_string_append_c (text, '}');
  } else if (JSON_NODE_HOLDS_ARRAY (node)) {
    JsonArray *array = json_node_get_array (node);
    g_string_append_c (text, '[');
    for (guint i = 0; i < json_array_get_length (array); i++) {
      if (i)
        g_string_append (text, ", ");
      append_node (text, json_array_get_element (array, i));
    }
    g_string_append_c (text, ']');
  } else if (JSON_NODE_HOLDS_VALUE (node) && json_node_get_value_type (node) == G_TYPE_DOUBLE) {
    append_double (text, json_node_get_double (node));
  } else {
    g_autofree gchar *plain = json_to_string (node, FALSE);
    g_string_append (text, plain);
  }
}

gchar *
deim_json_text (JsonNode *node)
{
  GString *text = g_string_new (NULL);
  append_node (text, node);
  return g_string_free (text, FALSE);
}

gchar *
deim_json_builder_text (JsonBuilder *builder)
{
  g_autoptr (JsonNode) root = json_builder_get_root (builder);
  return deim_json_text (root);
}

void
deim_json_add_number (JsonBuilder *builder, const gchar *name, gdouble value)
{
  json_builder_set_member_name (builder, name);
  json_builder_add_double_value (builder, value);
}

void
deim_json_add_int (JsonBuilder *builder, const gchar *name, gint64 value)
{
  json_builder_set_member_name (builder, name);
  json_builder_add_int_value (builder, value);
}

void
deim_json_add_string (JsonBuilder *builder, const gchar *name, const gchar *value)
{
  json_builder_set_member_name (builder, name);
  json_builder_add_string_value (builder, value);
}
