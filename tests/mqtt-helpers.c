/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* mqtt-helpers.c - see mqtt-helpers.h. */
#include "mqtt-helpers.h"

#include <glib/gstdio.h>
#include <json-glib/json-glib.h>
#include <string.h>

GstHarness *
setup_mqtt (guint16 port, const gchar *properties)
{
  g_autofree gchar *launch = g_strdup_printf ("deimmqtt host=127.0.0.1 port=%u %s", port, properties);
  return setup_harness (launch, RGB_CAPS);
}

GstFlowReturn
push_object (GstHarness *harness, guint number)
{
  GstBuffer *buffer = make_frame (RGB_CAPS, number);
  gst_buffer_add_video_region_of_interest_meta (buffer, "dog", 1, 2, 30, 40);
  GstFlowReturn flow = gst_harness_push (harness, buffer);
  if (flow == GST_FLOW_OK)
    gst_buffer_unref (gst_harness_pull (harness));
  return flow;
}

void
push_objects (GstHarness *harness, guint first, guint count)
{
  for (guint i = first; i < first + count; i++)
    g_assert_cmpint (push_object (harness, i), ==, GST_FLOW_OK);
}

guint
get_frame_of (TestReader *reader, guint index)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonNode) node = json_from_string (test_reader_get (reader, index, NULL), &error);
  g_assert_no_error (error);
  return (guint) json_object_get_int_member (json_node_get_object (node), "frame");
}

void
wait_for_message (GstHarness *harness, GstMessageType type, gint code, const gchar *words)
{
  g_autoptr (GstBus) bus = gst_element_get_bus (harness->element);
  g_autoptr (GstMessage) message = gst_bus_timed_pop_filtered (bus, 30 * GST_SECOND, type);
  g_autoptr (GError) error = NULL;
  g_assert_nonnull (message);
  if (type == GST_MESSAGE_ERROR)
    gst_message_parse_error (message, &error, NULL);
  else if (type == GST_MESSAGE_WARNING)
    gst_message_parse_warning (message, &error, NULL);
  else
    gst_message_parse_info (message, &error, NULL);
  g_test_message ("%s", error->message);
  g_assert_error (error, GST_RESOURCE_ERROR, code);
  g_assert_nonnull (strstr (error->message, words));
}

void
assert_silence (GstHarness *harness, GstMessageType types)
{
  g_autoptr (GstMessage) message = pop_message (harness, types);
  if (message) {
    g_autofree gchar *text = gst_structure_to_string (gst_message_get_structure (message));
    g_error ("an unexpected message: %s", text);
  }
}

/* ------------------------------------------------------------- certificates */

/* Runs a line of shell in @folder. */
static void
run_in (const gchar *folder, const gchar *line)
{
  g_autoptr (GSubprocessLauncher) launcher =
      g_subprocess_launcher_new (G_SUBPROCESS_FLAGS_STDOUT_SILENCE | G_SUBPROCESS_FLAGS_STDERR_SILENCE);
  g_autoptr (GError) error = NULL;
  g_subprocess_launcher_set_cwd (launcher, folder);
  g_autoptr (GSubprocess) process = g_subprocess_launcher_spawn (launcher, &error, "sh", "-ec", line, NULL);
  g_assert_no_error (error);
  g_subprocess_wait_check (process, NULL, &error);
  g_assert_no_error (error);
}

gchar *
make_certificates (gchar **ret_settings)
{
  g_autofree gchar *openssl = g_find_program_in_path ("openssl");
  if (!openssl) {
    g_test_skip ("openssl is not installed (pipelines/setup.sh --tests)");
    return NULL;
  }
  gchar *folder = g_dir_make_tmp ("deim-tls-XXXXXX", NULL);
  run_in (folder, "for who in ca other; do\n"
                  "  openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=$who -keyout $who.key -out $who.pem\n"
                  "done\n"
                  "echo subjectAltName=IP:127.0.0.1 > names\n"
                  "openssl req -newkey rsa:2048 -nodes -subj /CN=broker -keyout broker.key -out broker.csr\n"
                  "openssl x509 -req -in broker.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names "
                  "-out broker.pem\n");
  *ret_settings = g_strdup_printf (OPEN_TO_ALL "\ncertfile %s/broker.pem\nkeyfile %s/broker.key", folder, folder);
  return folder;
}

void
remove_certificates (const gchar *folder)
{
  run_in (folder, "rm -f ca.* other.* broker.* names");
  g_rmdir (folder);
}
