/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * json.h - json-glib's trees as one line of text with readable numbers: 0.21,
 * where json-glib's own generator writes 0.20999999999999999.
 */
#pragma once

#include <json-glib/json-glib.h>

/* The shortest decimal numbers that read back as the same doubles; what is not finite becomes null. Free with g_free().
 */
gchar *deim_json_text (JsonNode *node);

/* What the builder holds, as above. */
gchar *deim_json_builder_text (JsonBuilder *builder);

/* "name": value, inside an object. */
void deim_json_add_number (JsonBuilder *builder, const gchar *name, gdouble value);
void deim_json_add_int (JsonBuilder *builder, const gchar *name, gint64 value);
void deim_json_add_string (JsonBuilder *builder, const gchar *name, const gchar *value);
