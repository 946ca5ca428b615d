/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* mqtt-broker.c - see mqtt-broker.h. */
#include "mqtt-broker.h"

#include <arpa/inet.h>
#include <glib/gstdio.h>
#include <mosquitto.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* Whatever a test waits for has failed when it takes so long; seconds. */
#define PATIENCE 30

struct _TestReader {
  struct mosquitto *mosquitto;
  gchar *topic;
  GMutex lock;
  GCond changed;
  gboolean subscribed;
  GPtrArray *topics, *documents;
};

guint16
find_free_port (void)
{
  struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl (INADDR_LOOPBACK) };
  socklen_t size = sizeof address;
  gint fd = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  g_assert_cmpint (bind (fd, (struct sockaddr *) &address, sizeof address), ==, 0);
  g_assert_cmpint (getsockname (fd, (struct sockaddr *) &address, &size), ==, 0);
  close (fd);
  return ntohs (address.sin_port);
}

/* ------------------------------------------------------------------- broker */

/* Debian installs it where only root looks. */
static gchar *
find_mosquitto (void)
{
  gchar *path = g_find_program_in_path ("mosquitto");
  if (!path && g_file_test ("/usr/sbin/mosquitto", G_FILE_TEST_IS_EXECUTABLE))
    path = g_strdup ("/usr/sbin/mosquitto");
  return path;
}

gboolean
have_mosquitto (void)
{
  g_autofree gchar *path = find_mosquitto ();
  if (!path)
    g_test_skip ("mosquitto is not installed (pipelines/setup.sh --tests)");
  return path != NULL;
}

TestBroker *
test_broker_new (const gchar *address, const gchar *settings)
{
  TestBroker *broker = g_new0 (TestBroker, 1);
  broker->address = g_strdup (address);
  broker->port = find_free_port ();
  broker->folder = g_dir_make_tmp ("deim-broker-XXXXXX", NULL);
  broker->config = g_build_filename (broker->folder, "mosquitto.conf", NULL);
  /* Started by root, mosquitto would take another user's identity, who cannot write here. */
  g_autofree gchar *text =
      g_strdup_printf ("%s"
                       "listener %u %s\n"
                       "persistence true\n"
                       "persistence_location %s/\n"
                       "max_queued_messages 0\n"
                       "log_dest none\n"
                       "%s\n",
                       geteuid () == 0 ? "user root\n" : "", broker->port, address, broker->folder, settings);
  g_assert_true (g_file_set_contents (broker->config, text, -1, NULL));
  return broker;
}

static gboolean
can_connect (const TestBroker *broker)
{
  g_autoptr (GSocketClient) client = g_socket_client_new ();
  g_autoptr (GSocketConnection) connection =
      g_socket_client_connect_to_host (client, broker->address, broker->port, NULL, NULL);
  return connection != NULL;
}

/* In the child: a test that fails does not leave its broker behind. */
static void
end_with_parent (gpointer unused)
{
  prctl (PR_SET_PDEATHSIG, SIGTERM);
}

void
test_broker_start (TestBroker *broker)
{
  g_autofree gchar *program = find_mosquitto ();
  g_autoptr (GError) error = NULL;
  g_autoptr (GSubprocessLauncher) launcher =
      g_subprocess_launcher_new (G_SUBPROCESS_FLAGS_STDOUT_SILENCE | G_SUBPROCESS_FLAGS_STDERR_SILENCE);
  g_subprocess_launcher_set_child_setup (launcher, end_with_parent, NULL, NULL);
  broker->process = g_subprocess_launcher_spawn (launcher, &error, program, "-c", broker->config, NULL);
  g_assert_no_error (error);
  gint64 end = g_get_monotonic_time () + PATIENCE * G_TIME_SPAN_SECOND;
  while (!can_connect (broker)) {
    g_assert_cmpint (g_get_monotonic_time (), <, end);
    g_usleep (10000);
  }
}

void
test_broker_stop (TestBroker *broker)
{
  if (!broker->process)
    return;
  g_subprocess_send_signal (broker->process, SIGTERM);
  g_assert_true (g_subprocess_wait (broker->process, NULL, NULL));
  g_clear_object (&broker->process);
}

void
test_broker_free (TestBroker *broker)
{
  test_broker_stop (broker);
  g_autofree gchar *kept = g_build_filename (broker->folder, "mosquitto.db", NULL);
  g_unlink (kept);
  g_unlink (broker->config);
  g_rmdir (broker->folder);
  g_free (broker->folder);
  g_free (broker->config);
  g_free (broker->address);
  g_free (broker);
}

/* ------------------------------------------------------------------- reader */

static void
on_connect (struct mosquitto *mosquitto, void *data, int code)
{
  TestReader *reader = data;
  if (code == 0)
    mosquitto_subscribe (mosquitto, NULL, reader->topic, 2);
}

static void
on_subscribe (struct mosquitto *mosquitto, void *data, int number, int count, const int *granted)
{
  TestReader *reader = data;
  g_mutex_lock (&reader->lock);
  reader->subscribed = TRUE;
  g_cond_broadcast (&reader->changed);
  g_mutex_unlock (&reader->lock);
}

static void
on_message (struct mosquitto *mosquitto, void *data, const struct mosquitto_message *message)
{
  TestReader *reader = data;
  g_mutex_lock (&reader->lock);
  g_ptr_array_add (reader->topics, g_strdup (message->topic));
  g_ptr_array_add (reader->documents, g_strndup (message->payload, (gsize) message->payloadlen));
  g_cond_broadcast (&reader->changed);
  g_mutex_unlock (&reader->lock);
}

TestReader *
test_reader_new (TestBroker *broker, const gchar *topic)
{
  TestReader *reader = g_new0 (TestReader, 1);
  reader->topic = g_strdup (topic);
  g_mutex_init (&reader->lock);
  g_cond_init (&reader->changed);
  reader->topics = g_ptr_array_new_with_free_func (g_free);
  reader->documents = g_ptr_array_new_with_free_func (g_free);
  g_autofree gchar *id = g_strdup_printf ("reader%08x", g_random_int ());
  mosquitto_lib_init ();
  reader->mosquitto = mosquitto_new (id, FALSE, reader);
  mosquitto_connect_callback_set (reader->mosquitto, on_connect);
  mosquitto_subscribe_callback_set (reader->mosquitto, on_subscribe);
  mosquitto_message_callback_set (reader->mosquitto, on_message);
  mosquitto_reconnect_delay_set (reader->mosquitto, 1, 1, FALSE);
  test_reader_come_back (reader, broker);
  return reader;
}

void
test_reader_leave (TestReader *reader)
{
  mosquitto_disconnect (reader->mosquitto);
  mosquitto_loop_stop (reader->mosquitto, FALSE);
}

void
test_reader_come_back (TestReader *reader, const TestBroker *broker)
{
  reader->subscribed = FALSE;
  g_assert_cmpint (mosquitto_connect (reader->mosquitto, broker->address, broker->port, 60), ==, MOSQ_ERR_SUCCESS);
  g_assert_cmpint (mosquitto_loop_start (reader->mosquitto), ==, MOSQ_ERR_SUCCESS);

  gint64 end = g_get_monotonic_time () + PATIENCE * G_TIME_SPAN_SECOND;
  g_mutex_lock (&reader->lock);
  while (!reader->subscribed)
    g_assert_true (g_cond_wait_until (&reader->changed, &reader->lock, end));
  g_mutex_unlock (&reader->lock);
}

void
test_reader_free (TestReader *reader)
{
  test_reader_leave (reader);
  mosquitto_destroy (reader->mosquitto);
  mosquitto_lib_cleanup ();
  g_ptr_array_unref (reader->topics);
  g_ptr_array_unref (reader->documents);
  g_cond_clear (&reader->changed);
  g_mutex_clear (&reader->lock);
  g_free (reader->topic);
  g_free (reader);
}

void
test_reader_wait (TestReader *reader, guint count)
{
  gint64 end = g_get_monotonic_time () + PATIENCE * G_TIME_SPAN_SECOND;
  g_mutex_lock (&reader->lock);
  while (reader->documents->len < count)
    if (!g_cond_wait_until (&reader->changed, &reader->lock, end))
      g_error ("%u of %u documents came", reader->documents->len, count);
  g_mutex_unlock (&reader->lock);
}

guint
test_reader_count (TestReader *reader)
{
  g_mutex_lock (&reader->lock);
  guint count = reader->documents->len;
  g_mutex_unlock (&reader->lock);
  return count;
}

const gchar *
test_reader_get (TestReader *reader, guint index, const gchar **ret_topic)
{
  g_mutex_lock (&reader->lock);
  g_assert_cmpuint (index, <, reader->documents->len);
  const gchar *document = g_ptr_array_index (reader->documents, index);
  if (ret_topic)
    *ret_topic = g_ptr_array_index (reader->topics, index);
  g_mutex_unlock (&reader->lock);
  return document;
}
