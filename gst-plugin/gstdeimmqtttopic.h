/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * gstdeimmqtttopic.h - the topic of a document from a template: "cameras/{stream}/objects".
 *
 * {stream} is what the document calls the stream, and the name of the element where it has none or an empty one;
 * {element} is the name of the element.
 */
#pragma once

#include <gst/gst.h>

G_BEGIN_DECLS

/* GST_RESOURCE_ERROR_SETTINGS: @template_text is no topic that one may publish to, or has an unknown {word}. */
gboolean gst_deim_mqtt_topic_check (const gchar *template_text, GError **error);

/* Fills a template in that passed the check. Characters that have no place in a topic become "_", and a name is cut off
 * where the topic would be longer than MQTT allows. Free with g_free(). */
gchar *gst_deim_mqtt_topic_fill (const gchar *template_text, const gchar *stream_id, const gchar *element);

G_END_DECLS
