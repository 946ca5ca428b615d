/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-deimmqtt-adverse.c - deimmqtt where its surroundings are at odds with it: a broker that hangs up on a document,
 * a proxy that cuts handshakes off while its broker starts, a resolver that does not answer.
 */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <netdb.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mqtt-helpers.h"

GST_PLUGIN_STATIC_DECLARE (deimmqtt);

/* ------------------------------------------------------------- large documents */

/* Pushes frame @number with @boxes objects, some 90 bytes of its document each. */
static void
push_crowd (GstHarness *harness, guint number, guint boxes)
{
  GstBuffer *buffer = make_frame (RGB_CAPS, number);
  for (guint i = 0; i < boxes; i++)
    gst_buffer_add_video_region_of_interest_meta (buffer, "somebody", i, 2, 30, 40);
  g_assert_cmpint (gst_harness_push (harness, buffer), ==, GST_FLOW_OK);
  gst_buffer_unref (gst_harness_pull (harness));
}

/*
 * Documents that are too large, among others that are not, on the way with them: these all arrive, in their order, and
 * those are given up, each said once. At QoS 2 nothing arrives twice.
 */
static void
test_too_large (gconstpointer data)
{
  guint qos = GPOINTER_TO_UINT (data);
  static const guint large[] = { 10, 25 };
  if (!have_mosquitto ())
    return;
  TestBroker *broker = test_broker_new ("127.0.0.1", OPEN_TO_ALL "\nmax_packet_size 2000");
  test_broker_start (broker);
  TestReader *reader = test_reader_new (broker, "deim/#");
  g_autofree gchar *properties = g_strdup_printf ("mqtt-qos=%u client-id=gate", qos);
  GstHarness *harness = setup_mqtt (broker->port, properties);
  for (guint i = 0; i < 40; i++)
    push_crowd (harness, i, i == large[0] || i == large[1] ? 100 : 1);
  for (gint64 end = g_get_monotonic_time () + 60 * G_TIME_SPAN_SECOND; get_stat (harness->element, "queued") > 0;) {
    g_assert_cmpint (g_get_monotonic_time (), <, end);
    g_usleep (10000);
  }
  g_assert_cmpuint (get_stat (harness->element, "dropped"), ==, 2);
  g_assert_cmpuint (get_stat (harness->element, "published"), ==, 38);

  /* Each is said once; every outage that was said to begin was said to end. */
  guint given_up = 0, gone = 0, back = 0;
  for (GstMessage *message; (message = pop_message (harness, GST_MESSAGE_WARNING | GST_MESSAGE_INFO));) {
    g_autoptr (GError) error = NULL;
    if (GST_MESSAGE_TYPE (message) == GST_MESSAGE_WARNING)
      gst_message_parse_warning (message, &error, NULL);
    else
      gst_message_parse_info (message, &error, NULL);
    g_test_message ("%s", error->message);
    given_up += strstr (error->message, "bytes") && strstr (error->message, "max_packet_size");
    gone += strstr (error->message, "is gone") != NULL;
    back += strstr (error->message, "has accepted") != NULL;
    gst_message_unref (message);
  }
  g_assert_cmpuint (given_up, ==, 2);
  g_assert_cmpuint (gone, >=, 1);
  g_assert_cmpuint (gone, ==, back);
  assert_silence (harness, GST_MESSAGE_ERROR);

  gboolean seen[40] = { FALSE };
  guint n_seen = 0, again = 0, disorder = 0;
  for (guint i = 0, last = 0; n_seen < 38; i++) {
    test_reader_wait (reader, i + 1);
    guint frame = get_frame_of (reader, i);
    g_assert_cmpuint (frame, <, 40);
    again += seen[frame];
    disorder += !seen[frame] && frame < last;
    n_seen += !seen[frame];
    last = MAX (last, frame);
    seen[frame] = TRUE;
  }
  g_test_message ("%u came twice", again);
  g_assert_cmpuint (disorder, ==, 0);
  /* It goes on. */
  push_crowd (harness, 40, 1);
  gst_harness_push_event (harness, gst_event_new_eos ());
  g_assert_cmpuint (get_stat (harness->element, "published"), ==, 39);
  teardown_harness (harness);
  test_reader_free (reader);
  test_broker_free (broker);
}

/* ---------------------------------------------------------------------- proxy */

/* Listens on @port of the loopback. */
static gint
listen_on (guint16 port)
{
  struct sockaddr_in address = { .sin_family = AF_INET,
                                 .sin_addr.s_addr = htonl (INADDR_LOOPBACK),
                                 .sin_port = htons (port) };
  gint fd = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
  g_assert_cmpint (setsockopt (fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), ==, 0);
  g_assert_cmpint (bind (fd, (struct sockaddr *) &address, sizeof address), ==, 0);
  g_assert_cmpint (listen (fd, 1), ==, 0);
  return fd;
}

/* Takes the next connection, reads what comes, answers with @answer and hangs up. */
static void
answer_with (gint listener, gconstpointer answer, gsize size)
{
  gchar hello[4096];
  gint fd = accept (listener, NULL, NULL);
  g_assert_cmpint (fd, >=, 0);
  g_assert_cmpint (read (fd, hello, sizeof hello), >, 0);
  g_assert_cmpint (write (fd, answer, size), ==, (gssize) size);
  close (fd);
}

/* A proxy speaks TLS, and the broker behind it does not run yet: that is no error, and over when it runs. */
static void
test_proxy (void)
{
  static const gchar page[] = "HTTP/1.0 503 Service Unavailable\r\n\r\n";
  static const guint8 alert[] = { 21, 3, 3, 0, 2, 2, 80 }; /* fatal, internal_error */
  if (!have_mosquitto ())
    return;
  g_autofree gchar *settings = NULL, *folder = make_certificates (&settings);
  if (!folder)
    return;
  TestBroker *broker = test_broker_new ("127.0.0.1", settings);
  gint listener = listen_on (broker->port);
  g_autofree gchar *properties = g_strdup_printf ("ca-file=%s/ca.pem drain-timeout=30000", folder);
  GstHarness *harness = setup_mqtt (broker->port, properties);
  push_objects (harness, 0, 10);
  answer_with (listener, NULL, 0);
  answer_with (listener, alert, sizeof alert);
  answer_with (listener, page, strlen (page));
  close (listener);
  test_broker_start (broker);
  gst_harness_push_event (harness, gst_event_new_eos ());
  g_assert_cmpuint (get_stat (harness->element, "published"), ==, 10);
  wait_for_message (harness, GST_MESSAGE_WARNING, GST_RESOURCE_ERROR_OPEN_WRITE, "cannot be reached");
  wait_for_message (harness, GST_MESSAGE_INFO, GST_RESOURCE_ERROR_FAILED, "has accepted");
  assert_silence (harness, GST_MESSAGE_ERROR | GST_MESSAGE_WARNING);
  teardown_harness (harness);
  test_broker_free (broker);
  remove_certificates (folder);
}

/* ------------------------------------------------------------------- resolver */

static GMutex lock;
static GCond changed;
static gboolean shut;       /* lock: the resolver does not answer to the library */
static guint asking, ended; /* lock: calls of the library, and those that have their answer */

/*
 * In place of the C library's. "slow.test" is this machine; whoever asks in a thread of deimmqtt, which is the MQTT
 * library and not GLib's resolver, waits until the test lets it go.
 */
__attribute__ ((visibility ("default"))) int
getaddrinfo (const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **results)
{
  int (*real) (const char *, const char *, const struct addrinfo *, struct addrinfo **);
  gchar name[16] = "";
  *(void **) &real = dlsym (RTLD_NEXT, "getaddrinfo");
  if (g_strcmp0 (node, "slow.test") != 0)
    return real (node, service, hints, results);
  pthread_getname_np (pthread_self (), name, sizeof name);
  g_mutex_lock (&lock);
  if (strcmp (name, "deimmqtt") == 0) {
    asking++;
    g_cond_broadcast (&changed);
    while (shut)
      g_cond_wait (&changed, &lock);
    ended++;
    g_cond_broadcast (&changed);
  }
  g_mutex_unlock (&lock);
  return real ("127.0.0.1", service, hints, results);
}

/* How many threads of deimmqtt there are. */
static guint
count_threads (void)
{
  GDir *tasks = g_dir_open ("/proc/self/task", 0, NULL);
  guint count = 0;
  for (const gchar *task; (task = g_dir_read_name (tasks));) {
    g_autofree gchar *path = g_build_filename ("/proc/self/task", task, "comm", NULL), *name = NULL;
    if (g_file_get_contents (path, &name, NULL, NULL))
      count += strcmp (name, "deimmqtt\n") == 0;
  }
  g_dir_close (tasks);
  return count;
}

/* The pipeline stops although the library waits for a name; what waits ends by itself, and disturbs nobody. */
static void
test_resolver (void)
{
  gint listener = listen_on (0);
  struct sockaddr_in address;
  socklen_t size = sizeof address;
  g_assert_cmpint (getsockname (listener, (struct sockaddr *) &address, &size), ==, 0);
  g_autofree gchar *launch = g_strdup_printf ("deimmqtt host=slow.test port=%u", ntohs (address.sin_port));
  gint64 end = g_get_monotonic_time () + 30 * G_TIME_SPAN_SECOND;
  shut = TRUE;
  for (guint round = 0; round < 3; round++) {
    GstHarness *harness = setup_harness (launch, RGB_CAPS);
    push_objects (harness, 0, 3);
    g_mutex_lock (&lock);
    while (asking <= round)
      g_assert_true (g_cond_wait_until (&changed, &lock, end));
    g_mutex_unlock (&lock);
    gint64 began = g_get_monotonic_time ();
    g_assert_cmpint (gst_element_set_state (harness->element, GST_STATE_NULL), ==, GST_STATE_CHANGE_SUCCESS);
    gint64 taken = g_get_monotonic_time () - began;
    g_test_message ("stopping took %.0f ms", (gdouble) taken / 1000);
    g_assert_cmpint (taken, <, 5 * G_TIME_SPAN_SECOND);
    g_assert_cmpuint (get_stat (harness->element, "dropped"), ==, 3);
    g_assert_cmpuint (get_stat (harness->element, "queued"), ==, 0);
    teardown_harness (harness);
  }
  g_mutex_lock (&lock);
  g_assert_cmpuint (ended, ==, 0);
  shut = FALSE;
  g_cond_broadcast (&changed);
  while (ended < 3)
    g_assert_true (g_cond_wait_until (&changed, &lock, end));
  g_mutex_unlock (&lock);
  /* They see that nobody wants them any more, and with them goes all they had. */
  while (count_threads () > 0) {
    g_assert_cmpint (g_get_monotonic_time (), <, end);
    g_usleep (10000);
  }

  /* A resolver that does answer delays nothing. */
  GstHarness *harness = setup_harness (launch, RGB_CAPS);
  push_objects (harness, 0, 1);
  teardown_harness (harness);
  g_assert_cmpuint (count_threads (), ==, 0);
  close (listener);
}

int
main (int argc, char **argv)
{
  init_element_tests (&argc, &argv);
  GST_PLUGIN_STATIC_REGISTER (deimmqtt);

  g_test_add_data_func ("/deimmqtt-adverse/too-large/qos-1", GUINT_TO_POINTER (1), test_too_large);
  g_test_add_data_func ("/deimmqtt-adverse/too-large/qos-2", GUINT_TO_POINTER (2), test_too_large);
  g_test_add_func ("/deimmqtt-adverse/proxy", test_proxy);
  g_test_add_func ("/deimmqtt-adverse/resolver", test_resolver);
  return g_test_run ();
}
