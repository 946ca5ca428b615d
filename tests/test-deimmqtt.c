/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-deimmqtt.c - documents at a real broker: what arrives and in which order, what happens when the broker goes and
 * comes back, when there is none, and when it does not want us.
 */
#include <arpa/inet.h>
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <json-glib/json-glib.h>
#include <netdb.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "element-helpers.h"
#include "mqtt-broker.h"

GST_PLUGIN_STATIC_DECLARE (deim);

#define OPEN_TO_ALL "allow_anonymous true"

static GstHarness *
setup (guint16 port, const gchar *properties)
{
  g_autofree gchar *launch = g_strdup_printf ("deimmqtt host=127.0.0.1 port=%u %s", port, properties);
  return setup_harness (launch, RGB_CAPS);
}

/* Pushes frame @number with one object in it. */
static GstFlowReturn
push (GstHarness *harness, guint number)
{
  GstBuffer *buffer = make_frame (RGB_CAPS, number);
  gst_buffer_add_video_region_of_interest_meta (buffer, "dog", 1, 2, 30, 40);
  GstFlowReturn flow = gst_harness_push (harness, buffer);
  if (flow == GST_FLOW_OK)
    gst_buffer_unref (gst_harness_pull (harness));
  return flow;
}

static void
push_all (GstHarness *harness, guint first, guint count)
{
  for (guint i = first; i < first + count; i++)
    g_assert_cmpint (push (harness, i), ==, GST_FLOW_OK);
}

static guint64
count (GstHarness *harness, const gchar *field)
{
  return get_stat (harness->element, field);
}

static guint
frame_of (TestReader *reader, guint index)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonNode) node = json_from_string (test_reader_get (reader, index, NULL), &error);
  g_assert_no_error (error);
  return (guint) json_object_get_int_member (json_node_get_object (node), "frame");
}

/* The next message of @type, which must come; its text must hold @words. */
static void
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

static void
assert_silence (GstHarness *harness, GstMessageType types)
{
  g_autoptr (GstMessage) message = pop_message (harness, types);
  if (message) {
    g_autofree gchar *text = gst_structure_to_string (gst_message_get_structure (message));
    g_error ("an unexpected message: %s", text);
  }
}

/* ----------------------------------------------------------------- delivery */

static void
test_delivery (gconstpointer data)
{
  guint qos = GPOINTER_TO_UINT (data);
  if (!have_mosquitto ())
    return;
  TestBroker *broker = test_broker_new ("127.0.0.1", OPEN_TO_ALL);
  test_broker_start (broker);
  TestReader *reader = test_reader_new (broker, "deim/#");
  g_autofree gchar *properties = g_strdup_printf ("mqtt-qos=%u", qos);
  GstHarness *harness = setup (broker->port, properties);
  gst_harness_push_event (harness, gst_event_new_stream_start ("gate+4/#1"));
  GstSegment segment;
  gst_segment_init (&segment, GST_FORMAT_TIME);
  gst_harness_push_event (harness, gst_event_new_segment (&segment));
  push_all (harness, 0, 100);
  g_object_set (harness->element, "stream-id", "yard", NULL);
  push_all (harness, 100, 1);
  test_reader_wait (reader, 101);

  for (guint i = 0; i < 101; i++)
    g_assert_cmpuint (frame_of (reader, i), ==, i);
  const gchar *topic;
  const gchar *text = test_reader_get (reader, 7, &topic);
  g_test_message ("%s: %s", topic, text);
  g_assert_cmpstr (topic, ==, "deim/gate_4/_1");
  g_assert_cmpstr (text, ==,
                   "{\"stream_id\": \"gate+4/#1\", \"frame\": 7, \"pts\": 280000000, \"running_time\": 280000000, "
                   "\"width\": 64, \"height\": 48, \"detections\": [{\"label\": \"dog\", \"label_id\": null, "
                   "\"score\": null, \"box\": [1, 2, 31, 42]}]}");
  test_reader_get (reader, 100, &topic);
  g_assert_cmpstr (topic, ==, "deim/yard");

  /* Frames without objects are told of only on request. */
  gst_harness_push (harness, make_frame (RGB_CAPS, 101));
  g_object_set (harness->element, "add-empty-results", TRUE, NULL);
  gst_harness_push (harness, make_frame (RGB_CAPS, 102));
  test_reader_wait (reader, 102);
  g_assert_cmpuint (frame_of (reader, 101), ==, 102);

  /* Names that no topic can have. */
  g_autofree gchar *element = gst_object_get_name (GST_OBJECT (harness->element));
  g_object_set (harness->element, "stream-id", "", NULL);
  push_all (harness, 103, 1);
  g_object_set (harness->element, "stream-id", "gate\357\277\276\357\267\220", NULL); /* U+FFFE, U+FDD0 */
  push_all (harness, 104, 1);
  test_reader_wait (reader, 104);
  test_reader_get (reader, 102, &topic);
  g_assert_cmpstr (topic + strlen ("deim/"), ==, element);
  test_reader_get (reader, 103, &topic);
  g_assert_cmpstr (topic, ==, "deim/gate__");

  g_assert_cmpuint (count (harness, "dropped"), ==, 0);
  g_assert_cmpuint (count (harness, "connections"), ==, 1);
  assert_silence (harness, GST_MESSAGE_ERROR | GST_MESSAGE_WARNING | GST_MESSAGE_INFO);
  teardown_harness (harness);
  test_reader_free (reader);
  test_broker_free (broker);
}

/* A name with two addresses, and a broker that listens on one of them. */
static void
test_families (gconstpointer address)
{
  const struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
  struct addrinfo *addresses = NULL;
  gint failed = getaddrinfo ("localhost", NULL, &hints, &addresses);
  gboolean two = !failed && addresses->ai_next;
  if (!failed)
    freeaddrinfo (addresses);
  if (!two) {
    g_test_skip ("localhost has one address here (/etc/hosts)");
    return;
  }
  if (!have_mosquitto ())
    return;
  TestBroker *broker = test_broker_new (address, OPEN_TO_ALL);
  test_broker_start (broker);
  g_autofree gchar *launch = g_strdup_printf ("deimmqtt host=localhost port=%u", broker->port);
  GstHarness *harness = setup_harness (launch, RGB_CAPS);
  push_all (harness, 0, 1);
  gst_harness_push_event (harness, gst_event_new_eos ());
  g_assert_cmpuint (count (harness, "published"), ==, 1);
  assert_silence (harness, GST_MESSAGE_ERROR | GST_MESSAGE_WARNING);
  teardown_harness (harness);
  test_broker_free (broker);
}

/* EOS leaves the element when all is confirmed; what counts was is there after the end too. */
static void
test_end (void)
{
  if (!have_mosquitto ())
    return;
  TestBroker *broker = test_broker_new ("127.0.0.1", OPEN_TO_ALL);
  test_broker_start (broker);
  GstHarness *harness = setup (broker->port, "topic=test/{element} name=gate retain=true");
  push_all (harness, 0, 500);
  gst_harness_push_event (harness, gst_event_new_eos ());
  g_assert_cmpuint (count (harness, "published"), ==, 500);
  g_assert_cmpuint (count (harness, "queued"), ==, 0);
  gst_element_set_state (harness->element, GST_STATE_NULL);
  g_assert_cmpuint (count (harness, "published"), ==, 500);
  assert_silence (harness, GST_MESSAGE_ERROR | GST_MESSAGE_WARNING);
  teardown_harness (harness);

  /* The broker has kept the last one for those who come later. */
  TestReader *reader = test_reader_new (broker, "test/gate");
  test_reader_wait (reader, 1);
  g_assert_cmpuint (frame_of (reader, 0), ==, 499);
  test_reader_free (reader);
  test_broker_free (broker);
}

/* Without an EOS, or where a seek made the stream go on behind it, stopping waits for what is under way. */
static void
test_stop (gconstpointer data)
{
  gboolean sought = data != NULL;
  if (!have_mosquitto ())
    return;
  TestBroker *broker = test_broker_new ("127.0.0.1", OPEN_TO_ALL);
  test_broker_start (broker);
  GstHarness *harness = setup (broker->port, "");
  push_all (harness, 0, 1);
  while (count (harness, "published") == 0)
    g_usleep (1000);
  if (sought) {
    GstSegment segment;
    gst_segment_init (&segment, GST_FORMAT_TIME);
    gst_harness_push_event (harness, gst_event_new_eos ());
    gst_harness_push_event (harness, gst_event_new_flush_start ());
    gst_harness_push_event (harness, gst_event_new_flush_stop (TRUE));
    gst_harness_push_event (harness, gst_event_new_segment (&segment));
  }
  push_all (harness, 1, 300);
  gst_element_set_state (harness->element, GST_STATE_NULL);
  g_assert_cmpuint (count (harness, "published"), ==, 301);
  g_assert_cmpuint (count (harness, "dropped"), ==, 0);
  assert_silence (harness, GST_MESSAGE_ERROR | GST_MESSAGE_WARNING);
  teardown_harness (harness);
  test_broker_free (broker);
}

/* ------------------------------------------------------------------ outages */

/* The broker is gone for a while in the middle of a stream: nothing is lost, and the order is kept. */
static void
test_restart (gconstpointer data)
{
  guint qos = GPOINTER_TO_UINT (data);
  if (!have_mosquitto ())
    return;
  TestBroker *broker = test_broker_new ("127.0.0.1", OPEN_TO_ALL);
  test_broker_start (broker);
  TestReader *reader = test_reader_new (broker, "deim/#");
  g_autofree gchar *properties = g_strdup_printf ("mqtt-qos=%u client-id=gate", qos);
  GstHarness *harness = setup (broker->port, properties);
  push_all (harness, 0, 50);
  while (count (harness, "published") == 0)
    g_usleep (1000);
  /* In full flight: documents are on the way when it goes. */
  push_all (harness, 50, 50);
  test_broker_stop (broker);
  push_all (harness, 100, 700);
  wait_for_message (harness, GST_MESSAGE_WARNING, GST_RESOURCE_ERROR_WRITE, "is gone");
  g_assert_cmpuint (count (harness, "queued"), >=, 700);
  test_broker_start (broker);
  push_all (harness, 800, 100);
  gst_harness_push_event (harness, gst_event_new_eos ());
  wait_for_message (harness, GST_MESSAGE_INFO, GST_RESOURCE_ERROR_FAILED, "has accepted");
  g_assert_cmpuint (count (harness, "published"), ==, 900);
  g_assert_cmpuint (count (harness, "dropped"), ==, 0);
  g_assert_cmpuint (count (harness, "connections"), ==, 2);
  assert_silence (harness, GST_MESSAGE_ERROR | GST_MESSAGE_WARNING | GST_MESSAGE_INFO);

  /* At QoS 1 what was confirmed by nobody comes twice; at QoS 2 it does not. */
  test_reader_wait (reader, 900);
  guint next = 0, again = 0;
  for (guint i = 0; next < 900; i++) {
    test_reader_wait (reader, i + 1);
    guint frame = frame_of (reader, i);
    if (frame == next)
      next++;
    else if (frame < next)
      again++;
    else
      g_error ("document %u is frame %u, and frame %u has not come", i, frame, next);
  }
  g_test_message ("%u came twice", again);
  if (qos == 2)
    g_assert_cmpuint (again, ==, 0);
  teardown_harness (harness);
  test_reader_free (reader);
  test_broker_free (broker);
}

/* Over the bound the oldest go, which is said once. */
static void
test_bound (void)
{
  if (!have_mosquitto ())
    return;
  TestBroker *broker = test_broker_new ("127.0.0.1", OPEN_TO_ALL);
  test_broker_start (broker);
  TestReader *reader = test_reader_new (broker, "deim/#");
  test_broker_stop (broker);
  GstHarness *harness = setup (broker->port, "max-queued=10");
  wait_for_message (harness, GST_MESSAGE_WARNING, GST_RESOURCE_ERROR_OPEN_WRITE, "cannot be reached");
  push_all (harness, 0, 10);
  assert_silence (harness, GST_MESSAGE_WARNING);
  push_all (harness, 10, 90);
  wait_for_message (harness, GST_MESSAGE_WARNING, GST_RESOURCE_ERROR_WRITE, "max-queued");
  assert_silence (harness, GST_MESSAGE_WARNING);
  g_assert_cmpuint (count (harness, "queued"), ==, 10);
  g_assert_cmpuint (count (harness, "dropped"), ==, 90);

  test_broker_start (broker);
  gst_harness_push_event (harness, gst_event_new_eos ());
  g_assert_cmpuint (count (harness, "published"), ==, 10);
  g_assert_cmpuint (count (harness, "dropped"), ==, 90);
  test_reader_wait (reader, 10);
  for (guint i = 0; i < 10; i++)
    g_assert_cmpuint (frame_of (reader, i), ==, 90 + i);
  teardown_harness (harness);
  g_assert_cmpuint (test_reader_count (reader), ==, 10);
  test_reader_free (reader);
  test_broker_free (broker);
}

/* Somebody takes the connection and never says a word: frames go on, and the end comes in its time. */
static void
test_silence (void)
{
  gint listener = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl (INADDR_LOOPBACK) };
  socklen_t size = sizeof address;
  g_assert_cmpint (bind (listener, (struct sockaddr *) &address, size), ==, 0);
  g_assert_cmpint (listen (listener, 1), ==, 0);
  g_assert_cmpint (getsockname (listener, (struct sockaddr *) &address, &size), ==, 0);

  GstHarness *harness = setup (ntohs (address.sin_port), "drain-timeout=100");
  push_all (harness, 0, 1000);
  gst_harness_push_event (harness, gst_event_new_eos ());
  wait_for_message (harness, GST_MESSAGE_WARNING, GST_RESOURCE_ERROR_WRITE, "1000 documents");
  gst_element_set_state (harness->element, GST_STATE_NULL);
  wait_for_message (harness, GST_MESSAGE_WARNING, GST_RESOURCE_ERROR_WRITE, "are lost");
  g_assert_cmpuint (count (harness, "dropped"), ==, 1000);
  g_assert_cmpuint (count (harness, "queued"), ==, 0);
  teardown_harness (harness);
  close (listener);
}

static gpointer
push_eos (gpointer harness)
{
  gst_harness_push_event (harness, gst_event_new_eos ());
  return NULL;
}

/* An EOS that waits for documents is waked by a flush, and by stopping. */
static void
test_flush (gconstpointer data)
{
  gboolean flush = data != NULL;
  GstHarness *harness = setup (find_free_port (), "drain-timeout=3600000");
  push_all (harness, 0, 3);
  GThread *thread = g_thread_new ("eos", push_eos, harness);
  g_usleep (100000);
  if (flush)
    gst_harness_push_event (harness, gst_event_new_flush_start ());
  else
    gst_element_set_state (harness->element, GST_STATE_NULL);
  g_thread_join (thread);
  teardown_harness (harness);
}

/* -------------------------------------------------------------------- refusals */

static void
test_unreachable (void)
{
  g_autofree gchar *address = NULL;
  guint16 port = find_free_port ();
  GstHarness *harness = setup (port, "");
  address = g_strdup_printf ("127.0.0.1:%u cannot be reached: Connection refused; check host and port", port);
  wait_for_message (harness, GST_MESSAGE_WARNING, GST_RESOURCE_ERROR_OPEN_WRITE, address);
  /* It goes on trying, and says nothing more. */
  g_usleep (1200000);
  assert_silence (harness, GST_MESSAGE_ERROR | GST_MESSAGE_WARNING);
  teardown_harness (harness);

  harness = setup_harness ("deimmqtt host=no-such-host.invalid", RGB_CAPS);
  wait_for_message (harness, GST_MESSAGE_WARNING, GST_RESOURCE_ERROR_NOT_FOUND, "no-such-host.invalid");
  push_all (harness, 0, 1);
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
    GstHarness *harness = setup (broker->port, wrong[i]);
    wait_for_message (harness, GST_MESSAGE_ERROR, GST_RESOURCE_ERROR_NOT_AUTHORIZED, "check username and password");
    g_assert_cmpint (push (harness, 0), ==, GST_FLOW_ERROR);
    assert_silence (harness, GST_MESSAGE_ERROR | GST_MESSAGE_WARNING);
    gst_element_set_state (harness->element, GST_STATE_NULL);
    teardown_harness (harness);
  }

  g_autofree gchar *file = g_build_filename (broker->folder, "password", NULL);
  g_autofree gchar *by_file = g_strdup_printf ("username=gate password-file=%s", file);
  g_assert_true (g_file_set_contents (file, "open sesame\n", -1, NULL));
  const gchar *const right[] = { "username=gate password=\"open sesame\"", by_file };
  for (guint i = 0; i < G_N_ELEMENTS (right); i++) {
    GstHarness *harness = setup (broker->port, right[i]);
    push_all (harness, 0, 10);
    gst_harness_push_event (harness, gst_event_new_eos ());
    g_assert_cmpuint (count (harness, "published"), ==, 10);
    teardown_harness (harness);
  }
  g_unlink (file);
  g_unlink (passwords);
  test_broker_free (broker);
}

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

static void
test_tls (void)
{
  if (!have_mosquitto ())
    return;
  g_autofree gchar *openssl = g_find_program_in_path ("openssl");
  if (!openssl) {
    g_test_skip ("openssl is not installed (pipelines/setup.sh --tests)");
    return;
  }
  g_autofree gchar *folder = g_dir_make_tmp ("deim-tls-XXXXXX", NULL);
  run_in (folder, "for who in ca other; do\n"
                  "  openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=$who -keyout $who.key -out $who.pem\n"
                  "done\n"
                  "echo subjectAltName=IP:127.0.0.1 > names\n"
                  "openssl req -newkey rsa:2048 -nodes -subj /CN=broker -keyout broker.key -out broker.csr\n"
                  "openssl x509 -req -in broker.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names "
                  "-out broker.pem\n");
  g_autofree gchar *settings =
      g_strdup_printf ("allow_anonymous true\ncertfile %s/broker.pem\nkeyfile %s/broker.key", folder, folder);
  TestBroker *broker = test_broker_new ("127.0.0.1", settings);
  test_broker_start (broker);

  g_autofree gchar *right = g_strdup_printf ("ca-file=%s/ca.pem", folder);
  GstHarness *harness = setup (broker->port, right);
  push_all (harness, 0, 100);
  gst_harness_push_event (harness, gst_event_new_eos ());
  g_assert_cmpuint (count (harness, "published"), ==, 100);
  assert_silence (harness, GST_MESSAGE_ERROR | GST_MESSAGE_WARNING);
  /* It comes back over TLS too. */
  test_broker_stop (broker);
  wait_for_message (harness, GST_MESSAGE_WARNING, GST_RESOURCE_ERROR_WRITE, "is gone");
  test_broker_start (broker);
  wait_for_message (harness, GST_MESSAGE_INFO, GST_RESOURCE_ERROR_FAILED, "has accepted");
  teardown_harness (harness);

  g_autofree gchar *stranger = g_strdup_printf ("ca-file=%s/other.pem", folder);
  harness = setup (broker->port, stranger);
  wait_for_message (harness, GST_MESSAGE_ERROR, GST_RESOURCE_ERROR_SETTINGS, "certificate verify failed");
  teardown_harness (harness);

  harness = setup (broker->port, "tls=true");
  wait_for_message (harness, GST_MESSAGE_ERROR, GST_RESOURCE_ERROR_SETTINGS, "check that host is a name in");
  teardown_harness (harness);

  /* Plain MQTT to a port that wants TLS. */
  harness = setup (broker->port, "");
  wait_for_message (harness, GST_MESSAGE_WARNING, GST_RESOURCE_ERROR_OPEN_WRITE, "whether it wants TLS");
  teardown_harness (harness);

  test_broker_free (broker);
  run_in (folder, "rm -f ca.* other.* broker.* names");
  g_rmdir (folder);
}

/* ----------------------------------------------------------------- settings */

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

static void
on_pipe (int unused)
{
}

/* The library would ignore SIGPIPE for the whole program; a password is nobody's to read. */
static void
test_manners (void)
{
  signal (SIGPIPE, on_pipe);
  GstHarness *harness = setup (find_free_port (), "username=a password=secret");
  struct sigaction now;
  sigaction (SIGPIPE, NULL, &now);
  g_assert_true (now.sa_handler == on_pipe);
  signal (SIGPIPE, SIG_DFL);
  GParamSpec *password = g_object_class_find_property (G_OBJECT_GET_CLASS (harness->element), "password");
  g_assert_false (password->flags & G_PARAM_READABLE);
  teardown_harness (harness);
}

int
main (int argc, char **argv)
{
  init_element_tests (&argc, &argv);
  GST_PLUGIN_STATIC_REGISTER (deim);

  g_test_add_data_func ("/deimmqtt/delivery/qos-0", GUINT_TO_POINTER (0), test_delivery);
  g_test_add_data_func ("/deimmqtt/delivery/qos-1", GUINT_TO_POINTER (1), test_delivery);
  g_test_add_data_func ("/deimmqtt/delivery/qos-2", GUINT_TO_POINTER (2), test_delivery);
  g_test_add_data_func ("/deimmqtt/families/ipv4", "127.0.0.1", test_families);
  g_test_add_data_func ("/deimmqtt/families/ipv6", "::1", test_families);
  g_test_add_func ("/deimmqtt/end", test_end);
  g_test_add_data_func ("/deimmqtt/stop", NULL, test_stop);
  g_test_add_data_func ("/deimmqtt/stop/after-seek", "seek", test_stop);
  g_test_add_data_func ("/deimmqtt/restart/qos-1", GUINT_TO_POINTER (1), test_restart);
  g_test_add_data_func ("/deimmqtt/restart/qos-2", GUINT_TO_POINTER (2), test_restart);
  g_test_add_func ("/deimmqtt/bound", test_bound);
  g_test_add_func ("/deimmqtt/silence", test_silence);
  g_test_add_data_func ("/deimmqtt/waked/flush", "", test_flush);
  g_test_add_data_func ("/deimmqtt/waked/stop", NULL, test_flush);
  g_test_add_func ("/deimmqtt/unreachable", test_unreachable);
  g_test_add_func ("/deimmqtt/password", test_password);
  g_test_add_func ("/deimmqtt/tls", test_tls);
  g_test_add_func ("/deimmqtt/settings", test_settings);
  g_test_add_func ("/deimmqtt/manners", test_manners);
  return g_test_run ();
}
