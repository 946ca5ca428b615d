/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-deimmqtt.c - documents at a real broker: what arrives and in which order, what happens when the broker goes and
 * comes back, and when there is none.
 */
#include <arpa/inet.h>
#include <netdb.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mqtt-helpers.h"

GST_PLUGIN_STATIC_DECLARE (deim); /* for DeimFrameMeta */
GST_PLUGIN_STATIC_DECLARE (deimmqtt);

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
  g_autofree gchar *properties = g_strdup_printf ("mqtt-qos=%u%s", qos, qos == 2 ? " client-id=gate" : "");
  GstHarness *harness = setup_mqtt (broker->port, properties);
  gst_harness_push_event (harness, gst_event_new_stream_start ("gate+4/#1"));
  GstSegment segment;
  gst_segment_init (&segment, GST_FORMAT_TIME);
  gst_harness_push_event (harness, gst_event_new_segment (&segment));
  push_objects (harness, 0, 100);
  g_object_set (harness->element, "stream-id", "yard", NULL);
  push_objects (harness, 100, 1);
  test_reader_wait (reader, 101);

  for (guint i = 0; i < 101; i++)
    g_assert_cmpuint (get_frame_of (reader, i), ==, i);
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
  GstBuffer *empty = make_frame (RGB_CAPS, 102);
  gst_structure_set (gst_custom_meta_get_structure (gst_buffer_add_custom_meta (empty, "DeimFrameMeta")), "frame",
                     G_TYPE_UINT64, (guint64) 102, "inferred", G_TYPE_BOOLEAN, TRUE, NULL);
  gst_harness_push (harness, empty);
  test_reader_wait (reader, 102);
  g_assert_cmpuint (get_frame_of (reader, 101), ==, 102);

  /* Names that no topic can have. */
  g_autofree gchar *element = gst_object_get_name (GST_OBJECT (harness->element));
  g_object_set (harness->element, "stream-id", "", NULL);
  push_objects (harness, 103, 1);
  g_object_set (harness->element, "stream-id", "gate\357\277\276\357\267\220", NULL); /* U+FFFE, U+FDD0 */
  push_objects (harness, 104, 1);
  test_reader_wait (reader, 104);
  test_reader_get (reader, 102, &topic);
  g_assert_cmpstr (topic + strlen ("deim/"), ==, element);
  test_reader_get (reader, 103, &topic);
  g_assert_cmpstr (topic, ==, "deim/gate__");

  g_assert_cmpuint (get_stat (harness->element, "dropped"), ==, 0);
  g_assert_cmpuint (get_stat (harness->element, "connections"), ==, 1);
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
  push_objects (harness, 0, 1);
  gst_harness_push_event (harness, gst_event_new_eos ());
  g_assert_cmpuint (get_stat (harness->element, "published"), ==, 1);
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
  GstHarness *harness = setup_mqtt (broker->port, "topic=test/{element} name=gate retain=true");
  push_objects (harness, 0, 500);
  gst_harness_push_event (harness, gst_event_new_eos ());
  g_assert_cmpuint (get_stat (harness->element, "published"), ==, 500);
  g_assert_cmpuint (get_stat (harness->element, "queued"), ==, 0);
  gst_element_set_state (harness->element, GST_STATE_NULL);
  g_assert_cmpuint (get_stat (harness->element, "published"), ==, 500);
  assert_silence (harness, GST_MESSAGE_ERROR | GST_MESSAGE_WARNING);
  teardown_harness (harness);

  /* The broker has kept the last one for those who come later. */
  TestReader *reader = test_reader_new (broker, "test/gate");
  test_reader_wait (reader, 1);
  g_assert_cmpuint (get_frame_of (reader, 0), ==, 499);
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
  GstHarness *harness = setup_mqtt (broker->port, "");
  push_objects (harness, 0, 1);
  while (get_stat (harness->element, "published") == 0)
    g_usleep (1000);
  if (sought) {
    GstSegment segment;
    gst_segment_init (&segment, GST_FORMAT_TIME);
    gst_harness_push_event (harness, gst_event_new_eos ());
    gst_harness_push_event (harness, gst_event_new_flush_start ());
    gst_harness_push_event (harness, gst_event_new_flush_stop (TRUE));
    gst_harness_push_event (harness, gst_event_new_segment (&segment));
  }
  push_objects (harness, 1, 300);
  gst_element_set_state (harness->element, GST_STATE_NULL);
  g_assert_cmpuint (get_stat (harness->element, "published"), ==, 301);
  g_assert_cmpuint (get_stat (harness->element, "dropped"), ==, 0);
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
  /* Away until the end, so that no document is between broker and reader when the broker goes: mosquitto 2.0.11 forgets
   * which of those a reader has, and sends them twice however often they were published. */
  TestReader *reader = test_reader_new (broker, "deim/#");
  test_reader_leave (reader);
  g_autofree gchar *properties = g_strdup_printf ("mqtt-qos=%u client-id=gate", qos);
  GstHarness *harness = setup_mqtt (broker->port, properties);
  push_objects (harness, 0, 50);
  while (get_stat (harness->element, "published") == 0)
    g_usleep (1000);
  /* In full flight: documents are on the way when it goes. */
  push_objects (harness, 50, 50);
  test_broker_stop (broker);
  push_objects (harness, 100, 700);
  wait_for_message (harness, GST_MESSAGE_WARNING, GST_RESOURCE_ERROR_WRITE, "is gone");
  g_assert_cmpuint (get_stat (harness->element, "queued"), >=, 700);
  test_broker_start (broker);
  push_objects (harness, 800, 100);
  gst_harness_push_event (harness, gst_event_new_eos ());
  wait_for_message (harness, GST_MESSAGE_INFO, GST_RESOURCE_ERROR_FAILED, "has accepted");
  g_assert_cmpuint (get_stat (harness->element, "published"), ==, 900);
  g_assert_cmpuint (get_stat (harness->element, "dropped"), ==, 0);
  g_assert_cmpuint (get_stat (harness->element, "connections"), ==, 2);
  assert_silence (harness, GST_MESSAGE_ERROR | GST_MESSAGE_WARNING | GST_MESSAGE_INFO);

  /* At QoS 1 what was confirmed by nobody comes twice; at QoS 2 it does not. */
  test_reader_come_back (reader, broker);
  test_reader_wait (reader, 900);
  guint next = 0, again = 0;
  for (guint i = 0; next < 900; i++) {
    test_reader_wait (reader, i + 1);
    guint frame = get_frame_of (reader, i);
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
  GstHarness *harness = setup_mqtt (broker->port, "max-queued=10");
  wait_for_message (harness, GST_MESSAGE_WARNING, GST_RESOURCE_ERROR_OPEN_WRITE, "cannot be reached");
  push_objects (harness, 0, 10);
  assert_silence (harness, GST_MESSAGE_WARNING);
  push_objects (harness, 10, 90);
  wait_for_message (harness, GST_MESSAGE_WARNING, GST_RESOURCE_ERROR_WRITE, "max-queued");
  assert_silence (harness, GST_MESSAGE_WARNING);
  g_assert_cmpuint (get_stat (harness->element, "queued"), ==, 10);
  g_assert_cmpuint (get_stat (harness->element, "dropped"), ==, 90);

  test_broker_start (broker);
  gst_harness_push_event (harness, gst_event_new_eos ());
  g_assert_cmpuint (get_stat (harness->element, "published"), ==, 10);
  g_assert_cmpuint (get_stat (harness->element, "dropped"), ==, 90);
  test_reader_wait (reader, 10);
  for (guint i = 0; i < 10; i++)
    g_assert_cmpuint (get_frame_of (reader, i), ==, 90 + i);
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

  GstHarness *harness = setup_mqtt (ntohs (address.sin_port), "drain-timeout=100");
  push_objects (harness, 0, 1000);
  gst_harness_push_event (harness, gst_event_new_eos ());
  wait_for_message (harness, GST_MESSAGE_WARNING, GST_RESOURCE_ERROR_WRITE, "1000 documents");
  gst_element_set_state (harness->element, GST_STATE_NULL);
  wait_for_message (harness, GST_MESSAGE_WARNING, GST_RESOURCE_ERROR_WRITE, "are lost");
  g_assert_cmpuint (get_stat (harness->element, "dropped"), ==, 1000);
  g_assert_cmpuint (get_stat (harness->element, "queued"), ==, 0);
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
  GstHarness *harness = setup_mqtt (find_free_port (), "drain-timeout=3600000");
  push_objects (harness, 0, 3);
  GThread *thread = g_thread_new ("eos", push_eos, harness);
  g_usleep (100000);
  if (flush)
    gst_harness_push_event (harness, gst_event_new_flush_start ());
  else
    gst_element_set_state (harness->element, GST_STATE_NULL);
  g_thread_join (thread);
  teardown_harness (harness);
}

/* ------------------------------------------------------------------- manners */

static void
on_pipe (int unused)
{
}

/* The library would ignore SIGPIPE for the whole program; a password is nobody's to read. */
static void
test_manners (void)
{
  signal (SIGPIPE, on_pipe);
  GstHarness *harness = setup_mqtt (find_free_port (), "username=a password=secret");
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
  GST_PLUGIN_STATIC_REGISTER (deimmqtt);

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
  g_test_add_func ("/deimmqtt/manners", test_manners);
  return g_test_run ();
}
