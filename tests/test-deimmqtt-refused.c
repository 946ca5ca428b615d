/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-deimmqtt-refused.c - what deimmqtt says where it gets no connection: nobody is there, the password or the
 * certificate is wrong, a property makes no sense; and which of these it tries again.
 */
#include <glib/gstdio.h>
#include <string.h>

#include "mqtt-helpers.h"

GST_PLUGIN_STATIC_DECLARE (deimmqtt);

static void
test_unreachable (void)
{
  g_autofree gchar *address = NULL;
  guint16 port = find_free_port ();
  GstHarness *harness = setup_mqtt (port, "");
  address = g_strdup_printf ("127.0.0.1:%u cannot be reached: Connection refused; check host and port", port);
  wait_for_message (harness, GST_MESSAGE_WARNING, GST_RESOURCE_ERROR_OPEN_WRITE, address);
  /* It goes on trying, and says nothing more. */
  g_usleep (1200000);
  assert_silence (harness, GST_MESSAGE_ERROR | GST_MESSAGE_WARNING);
  teardown_harness (harness);

  harness = setup_harness ("deimmqtt host=no-such-host.invalid", RGB_CAPS);
  wait_for_message (harness, GST_MESSAGE_WARNING, GST_RESOURCE_ERROR_NOT_FOUND, "no-such-host.invalid");
  push_objects (harness, 0, 1);
  assert_silence (harness, GST_MESSAGE_ERROR);
  teardown_harness (harness);
}

/* The user "gate" with the password "open sesame", as mosquitto_passwd writes it down. */
static gchar *
write_passwords (TestBroker *broker)
{
  gchar *path = g_build_filename (broker->folder, "passwords", NULL);
  g_assert_true (g_file_set_contents (path, "", 0, NULL));
  g_autoptr (GError) error = NULL;
  g_autoptr (GSubprocess) process =
      g_subprocess_new (G_SUBPROCESS_FLAGS_NONE, &error, "mosquitto_passwd", "-b", path, "gate", "open sesame", NULL);
  g_assert_no_error (error);
  g_assert_true (g_subprocess_wait_check (process, NULL, &error));
  return path;
}

static void
test_password (void)
{
  if (!have_mosquitto ())
    return;
  TestBroker *broker = test_broker_new ("127.0.0.1", "allow_anonymous false");
  g_autofree gchar *passwords = write_passwords (broker), *config = NULL, *more = NULL;
  g_assert_true (g_file_get_contents (broker->config, &config, NULL, NULL));
  more = g_strdup_printf ("%spassword_file %s\n", config, passwords);
  g_assert_true (g_file_set_contents (broker->config, more, -1, NULL));
  test_broker_start (broker);

  static const gchar *const wrong[] = { "", "username=gate", "username=gate password=shut" };
  for (guint i = 0; i < G_N_ELEMENTS (wrong); i++) {
    GstHarness *harness = setup_mqtt (broker->port, wrong[i]);
    wait_for_message (harness, GST_MESSAGE_ERROR, GST_RESOURCE_ERROR_NOT_AUTHORIZED, "check username and password");
    g_assert_cmpint (push_object (harness, 0), ==, GST_FLOW_ERROR);
    assert_silence (harness, GST_MESSAGE_ERROR | GST_MESSAGE_WARNING);
    gst_element_set_state (harness->element, GST_STATE_NULL);
    teardown_harness (harness);
  }

  g_autofree gchar *file = g_build_filename (broker->folder, "password", NULL);
  g_autofree gchar *by_file = g_strdup_printf ("username=gate password-file=%s", file);
  g_assert_true (g_file_set_contents (file, "open sesame\n", -1, NULL));
  const gchar *const right[] = { "username=gate password=\"open sesame\"", by_file };
  for (guint i = 0; i < G_N_ELEMENTS (right); i++) {
    GstHarness *harness = setup_mqtt (broker->port, right[i]);
    push_objects (harness, 0, 10);
    gst_harness_push_event (harness, gst_event_new_eos ());
    g_assert_cmpuint (get_stat (harness->element, "published"), ==, 10);
    teardown_harness (harness);
  }
  g_unlink (file);
  g_unlink (passwords);
  test_broker_free (broker);
}

static void
test_tls (void)
{
  if (!have_mosquitto ())
    return;
  g_autofree gchar *settings = NULL, *folder = make_certificates (&settings);
  if (!folder)
    return;
  TestBroker *broker = test_broker_new ("127.0.0.1", settings);
  test_broker_start (broker);

  g_autofree gchar *right = g_strdup_printf ("ca-file=%s/ca.pem", folder);
  GstHarness *harness = setup_mqtt (broker->port, right);
  push_objects (harness, 0, 100);
  gst_harness_push_event (harness, gst_event_new_eos ());
  g_assert_cmpuint (get_stat (harness->element, "published"), ==, 100);
  assert_silence (harness, GST_MESSAGE_ERROR | GST_MESSAGE_WARNING);
  /* It comes back over TLS too. */
  test_broker_stop (broker);
  wait_for_message (harness, GST_MESSAGE_WARNING, GST_RESOURCE_ERROR_WRITE, "is gone");
  test_broker_start (broker);
  wait_for_message (harness, GST_MESSAGE_INFO, GST_RESOURCE_ERROR_FAILED, "has accepted");
  teardown_harness (harness);

  g_autofree gchar *stranger = g_strdup_printf ("ca-file=%s/other.pem", folder);
  harness = setup_mqtt (broker->port, stranger);
  wait_for_message (harness, GST_MESSAGE_ERROR, GST_RESOURCE_ERROR_SETTINGS, "certificate verify failed");
  teardown_harness (harness);

  harness = setup_mqtt (broker->port, "tls=true");
  wait_for_message (harness, GST_MESSAGE_ERROR, GST_RESOURCE_ERROR_SETTINGS, "check that host is a name in");
  teardown_harness (harness);

  /* Plain MQTT to a port that wants TLS. */
  harness = setup_mqtt (broker->port, "");
  wait_for_message (harness, GST_MESSAGE_WARNING, GST_RESOURCE_ERROR_OPEN_WRITE, "whether it wants TLS");
  teardown_harness (harness);

  test_broker_free (broker);
  remove_certificates (folder);
}

static void
test_settings (void)
{
  static const struct {
    const gchar *properties;
    gint code;
    const gchar *words;
  } cases[] = {
    { "host=\"\"", GST_RESOURCE_ERROR_SETTINGS, "set host" },
    { "topic=\"\"", GST_RESOURCE_ERROR_SETTINGS, "cameras/{stream}" },
    { "topic=cameras/#", GST_RESOURCE_ERROR_SETTINGS, "leave them out" },
    { "topic=cameras/{camera}", GST_RESOURCE_ERROR_SETTINGS, "stream}" },
    { "mqtt-qos=2", GST_RESOURCE_ERROR_SETTINGS, "set client-id" },
    { "password=x", GST_RESOURCE_ERROR_SETTINGS, "set username" },
    { "username=x password-file=/nowhere/at/all", GST_RESOURCE_ERROR_OPEN_READ, "/nowhere/at/all" },
    { "ca-file=/nowhere/at/all", GST_RESOURCE_ERROR_NOT_FOUND, "ca-file" },
    { "key-file=/dev/null", GST_RESOURCE_ERROR_NOT_FOUND, "key-file" },
  };
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree gchar *launch = g_strdup_printf ("deimmqtt %s", cases[i].properties);
    g_autoptr (GstElement) element = gst_object_ref_sink (gst_parse_launch (launch, NULL));
    g_autoptr (GstBus) bus = gst_bus_new ();
    gst_element_set_bus (element, bus);
    g_assert_cmpint (gst_element_set_state (element, GST_STATE_PAUSED), ==, GST_STATE_CHANGE_FAILURE);
    g_autoptr (GstMessage) message = gst_bus_pop_filtered (bus, GST_MESSAGE_ERROR);
    g_assert_nonnull (message);
    g_autoptr (GError) error = NULL;
    gst_message_parse_error (message, &error, NULL);
    g_test_message ("%s", error->message);
    g_assert_error (error, GST_RESOURCE_ERROR, cases[i].code);
    g_assert_nonnull (strstr (error->message, cases[i].words));
    g_autoptr (GstMessage) second = gst_bus_pop_filtered (bus, GST_MESSAGE_ERROR);
    g_assert_null (second);
    gst_element_set_state (element, GST_STATE_NULL);
    gst_element_set_bus (element, NULL);
  }
}

int
main (int argc, char **argv)
{
  init_element_tests (&argc, &argv);
  GST_PLUGIN_STATIC_REGISTER (deimmqtt);

  g_test_add_func ("/deimmqtt-refused/unreachable", test_unreachable);
  g_test_add_func ("/deimmqtt-refused/password", test_password);
  g_test_add_func ("/deimmqtt-refused/tls", test_tls);
  g_test_add_func ("/deimmqtt-refused/settings", test_settings);
  return g_test_run ();
}
