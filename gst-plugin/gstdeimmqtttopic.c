/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* gstdeimmqtttopic.c - see gstdeimmqtttopic.h. */
#include "gstdeimmqtttopic.h"

#include <string.h>

/* Of a template, and of each name that is filled in: a topic has 65535 bytes at most. */
#define MAX_TEMPLATE 1024
#define MAX_NAME     1024
#define MAX_WORDS    16

static const gchar *const words[] = { "{stream}", "{element}" };

/* Which of the words @text begins with; -1: none. */
static gint
find_word (const gchar *text)
{
  for (guint i = 0; i < G_N_ELEMENTS (words); i++)
    if (g_str_has_prefix (text, words[i]))
      return (gint) i;
  return -1;
}

/* MQTT 3.1.1, 4.7: subscribers use + and #; control characters and noncharacters may make a broker hang up (1.5.3), and
 * libmosquitto takes no topic with the latter. */
static gboolean
is_allowed (gunichar c)
{
  gboolean noncharacter = (c & 0xfffe) == 0xfffe || (c >= 0xfdd0 && c <= 0xfdef);
  return c != '+' && c != '#' && !g_unichar_iscntrl (c) && !noncharacter;
}

gboolean
gst_deim_mqtt_topic_check (const gchar *template_text, GError **error)
{
  const gchar *wrong = NULL;
  guint count = 0;
  if (!template_text || !*template_text)
    wrong = "it is empty; set it to something like cameras/{stream}";
  else if (strlen (template_text) > MAX_TEMPLATE)
    wrong = "it is longer than 1024 bytes; use a shorter one";
  else if (!g_utf8_validate (template_text, -1, NULL))
    wrong = "it is not UTF-8; write it in UTF-8";
  for (const gchar *c = template_text; !wrong && *c; c = g_utf8_next_char (c)) {
    if (!is_allowed (g_utf8_get_char (c)))
      wrong = "one cannot publish to a topic with +, #, control characters or noncharacters; leave them out";
    else if (*c == '{' && (find_word (c) < 0 || ++count > MAX_WORDS))
      wrong = "{ begins {stream} or {element}, of which there may be sixteen; use those";
  }
  if (!wrong)
    return TRUE;
  g_set_error (error, GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_SETTINGS, "topic \"%s\": %s",
               template_text ? template_text : "", wrong);
  return FALSE;
}

static void
append_name (GString *topic, const gchar *name)
{
  g_autofree gchar *valid = g_utf8_make_valid (name, -1);
  for (const gchar *c = valid; *c && c - valid < MAX_NAME; c = g_utf8_next_char (c))
    g_string_append_unichar (topic, is_allowed (g_utf8_get_char (c)) ? g_utf8_get_char (c) : '_');
}

gchar *
gst_deim_mqtt_topic_fill (const gchar *template_text, const gchar *stream_id, const gchar *element)
{
  GString *topic = g_string_new (NULL);
  const gchar *const names[G_N_ELEMENTS (words)] = { stream_id && *stream_id ? stream_id : element, element };
  for (const gchar *c = template_text; *c;) {
    gint word = find_word (c);
    if (word >= 0)
      append_name (topic, names[word]);
    else
      g_string_append_c (topic, *c);
    c += word >= 0 ? strlen (words[word]) : 1;
  }
  return g_string_free (topic, FALSE);
}
