/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* gstdeimmqttlink.c - see gstdeimmqttlink.h. */
#include "gstdeimmqttlink.h"

#include <errno.h>
#include <mosquitto.h>
#include <poll.h>
#include <signal.h>
#include <string.h>

GST_DEBUG_CATEGORY_EXTERN (gst_deim_debug);
#define GST_CAT_DEFAULT gst_deim_debug

/* Seconds. A broker that does not answer for twice as long is taken for gone. */
#define KEEP_ALIVE 15

struct _GstDeimMqttLink {
  struct mosquitto *mosquitto;
  gchar *host, *address;
  guint16 port;
  gint qos;
  gboolean retain, tls;
  GstDeimMqttArrived arrived;
  gpointer data;

  /* Address families of the host in the resolver's order, and which attempt since the last success this is. */
  GSocketFamily families[2];
  guint n_families, turn, tried;

  gboolean up;
  gint refusal;    /* of the last connection, as in CONNACK; 0: none */
  gchar *last_log; /* what the library complained of last */
};

/* What CONNACK says when it says no (MQTT 3.1.1, section 3.2.2.3). */
enum { REFUSED_VERSION = 1, REFUSED_ID, REFUSED_UNAVAILABLE, REFUSED_PASSWORD, REFUSED_AUTHORITY };

static gboolean
is_set (const gchar *text)
{
  return text && *text;
}

/* ---------------------------------------------------------------- callbacks */

static void
on_connect (struct mosquitto *mosquitto, void *data, int code)
{
  GstDeimMqttLink *link = data;
  link->up = code == 0;
  link->refusal = code;
  if (link->up)
    link->tried = 0;
}

static void
on_publish (struct mosquitto *mosquitto, void *data, int number)
{
  GstDeimMqttLink *link = data;
  link->arrived (link->data, number);
}

static void
on_log (struct mosquitto *mosquitto, void *data, int level, const char *text)
{
  GstDeimMqttLink *link = data;
  GST_LOG ("%s: %s", link->address, text);
  if (level & MOSQ_LOG_ERR) {
    g_free (link->last_log);
    link->last_log = g_strdup (text);
  }
}

/* A key with a password: an error and not a question on the terminal, which is what OpenSSL does by itself. */
static int
no_password (char *buffer, int size, int writing, void *unused)
{
  return 0;
}

/* ------------------------------------------------------------------- errors */

/* @text may be one of the library's, which are sentences. */
static gboolean
set_error (GError **error, gint code, const gchar *text, const gchar *mend)
{
  gint length = (gint) strlen (text);
  if (length > 0 && text[length - 1] == '.')
    length--;
  g_set_error (error, GST_RESOURCE_ERROR, code, "%.*s; %s", length, text, mend);
  return FALSE;
}

static gboolean
set_refusal (GstDeimMqttLink *link, GError **error)
{
  switch (link->refusal) {
  case REFUSED_VERSION:
    return set_error (error, GST_RESOURCE_ERROR_SETTINGS, "it does not speak MQTT 3.1.1", "use a broker that does");
  case REFUSED_ID:
    return set_error (error, GST_RESOURCE_ERROR_SETTINGS, "it refuses the client id",
                      "set client-id to one that it accepts");
  case REFUSED_PASSWORD:
  case REFUSED_AUTHORITY:
    return set_error (error, GST_RESOURCE_ERROR_NOT_AUTHORIZED,
                      link->refusal == REFUSED_PASSWORD ? "it refuses the user name or the password"
                                                        : "this client has no right to connect",
                      "check username and password (or password-file), and what the broker allows them");
  default:
    return set_error (error, GST_RESOURCE_ERROR_OPEN_WRITE, mosquitto_connack_string (link->refusal),
                      "look at the broker's log");
  }
}

/* What the result @code of a library call means; @number is errno after it. */
static gboolean
set_failure (GstDeimMqttLink *link, gint code, gint number, GError **error)
{
  gint kind = link->up ? GST_RESOURCE_ERROR_WRITE : GST_RESOURCE_ERROR_OPEN_WRITE;
  if (code == MOSQ_ERR_CONN_REFUSED && link->refusal != 0)
    return set_refusal (link, error);
  if (code == MOSQ_ERR_TLS)
    return set_error (
        error, link->up ? kind : GST_RESOURCE_ERROR_SETTINGS, link->last_log ? link->last_log : "TLS failed",
        "check that host is a name in the broker's certificate, that ca-file (else the system) vouches for "
        "it, that port is the one for TLS, and cert-file and key-file where the broker wants to know who "
        "we are");
  if (code == MOSQ_ERR_KEEPALIVE)
    return set_error (error, kind, "it has stopped to answer", "check the network");
  if (code == MOSQ_ERR_CONN_LOST && !link->up)
    return set_error (error, kind, "it hung up without a word",
                      "check that port is one for MQTT and whether it wants TLS");
  if (code == MOSQ_ERR_CONN_LOST)
    return set_error (error, kind, mosquitto_strerror (code),
                      "check that the broker runs, and that no other client has the same client-id");
  if (code == MOSQ_ERR_ERRNO)
    return set_error (error, kind, g_strerror (number), "check host and port, and that the broker runs");
  return set_error (error, kind, mosquitto_strerror (code), "check that the broker runs");
}

/* ------------------------------------------------------------------ options */

/* The library resets the handler of SIGPIPE and the seed of rand(), both of which belong to the program. The first is
 * put back here, where nobody else is likely to write at the same time; the thread that serves blocks the signal. */
static struct mosquitto *
make_client (const gchar *id, gboolean clean, gpointer data)
{
  static GMutex lock;
  static gboolean initialised;
  struct sigaction former;

  g_mutex_lock (&lock);
  sigaction (SIGPIPE, NULL, &former);
  if (!initialised)
    mosquitto_lib_init (); /* and no cleanup: other users of the library may be left */
  initialised = TRUE;
  struct mosquitto *client = mosquitto_new (id, clean, data);
  sigaction (SIGPIPE, &former, NULL);
  g_mutex_unlock (&lock);
  return client;
}

static gboolean
check_file (const gchar *property, const gchar *path, GError **error)
{
  if (!is_set (path) || g_file_test (path, G_FILE_TEST_IS_REGULAR))
    return TRUE;
  g_set_error (error, GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_NOT_FOUND, "%s: there is no file %s; set it to a PEM file",
               property, path);
  return FALSE;
}

static gboolean
set_tls (GstDeimMqttLink *link, const GstDeimMqttLinkOptions *options, GError **error)
{
  gboolean cert = is_set (options->cert_file), ca = is_set (options->ca_file);
  if (!check_file ("ca-file", options->ca_file, error) || !check_file ("cert-file", options->cert_file, error) ||
      !check_file ("key-file", options->key_file, error))
    return FALSE;
  if (cert != is_set (options->key_file) || (cert && !ca))
    return set_error (error, GST_RESOURCE_ERROR_SETTINGS, "cert-file, key-file and ca-file belong together",
                      "set all three of them, or only ca-file");
  if (!link->tls)
    return TRUE;
  gint code = ca ? mosquitto_tls_set (link->mosquitto, options->ca_file, NULL, cert ? options->cert_file : NULL,
                                      cert ? options->key_file : NULL, no_password)
                 : mosquitto_int_option (link->mosquitto, MOSQ_OPT_TLS_USE_OS_CERTS, 1);
  if (code == MOSQ_ERR_SUCCESS)
    return TRUE;
  return set_error (error, GST_RESOURCE_ERROR_SETTINGS, mosquitto_strerror (code),
                    "check that ca-file, cert-file and key-file can be read");
}

static gboolean
set_user (GstDeimMqttLink *link, const GstDeimMqttLinkOptions *options, GError **error)
{
  if (is_set (options->password) && !is_set (options->username))
    return set_error (error, GST_RESOURCE_ERROR_SETTINGS, "a password is set and no user name",
                      "set username, or neither of them");
  if (!is_set (options->username))
    return TRUE;
  gint code = mosquitto_username_pw_set (link->mosquitto, options->username,
                                         is_set (options->password) ? options->password : NULL);
  return code == MOSQ_ERR_SUCCESS ||
         set_error (error, GST_RESOURCE_ERROR_SETTINGS, mosquitto_strerror (code), "check username and password");
}

GstDeimMqttLink *
gst_deim_mqtt_link_new (const GstDeimMqttLinkOptions *options, GstDeimMqttArrived arrived, gpointer data,
                        GError **error)
{
  if (!is_set (options->host)) {
    set_error (error, GST_RESOURCE_ERROR_SETTINGS, "no broker is named", "set host");
    return NULL;
  }
  GstDeimMqttLink *link = g_new0 (GstDeimMqttLink, 1);
  link->tls = options->tls || is_set (options->ca_file);
  link->host = g_strdup (options->host);
  link->port = (guint16) (options->port ? options->port : link->tls ? 8883 : 1883);
  link->address = g_strdup_printf (strchr (link->host, ':') ? "[%s]:%u" : "%s:%u", link->host, link->port);
  link->qos = (gint) options->qos;
  link->retain = options->retain;
  link->arrived = arrived;
  link->data = data;

  /* Brokers of 3.1.1 must take 23 letters and digits, and may refuse anything else. */
  gboolean named = is_set (options->client_id);
  g_autofree gchar *made_up = g_strdup_printf ("deim%08x%08x", g_random_int (), g_random_int ());
  link->mosquitto = make_client (named ? options->client_id : made_up, !named, link);
  if (!link->mosquitto) {
    set_error (error, GST_RESOURCE_ERROR_SETTINGS, g_strerror (errno), "set client-id to one that brokers accept");
    gst_deim_mqtt_link_free (link);
    return NULL;
  }
  mosquitto_connect_callback_set (link->mosquitto, on_connect);
  mosquitto_publish_callback_set (link->mosquitto, on_publish);
  mosquitto_log_callback_set (link->mosquitto, on_log);
  if (!set_user (link, options, error) || !set_tls (link, options, error)) {
    gst_deim_mqtt_link_free (link);
    return NULL;
  }
  return link;
}

void
gst_deim_mqtt_link_free (GstDeimMqttLink *link)
{
  if (!link)
    return;
  if (link->mosquitto) {
    if (link->up)
      mosquitto_disconnect (link->mosquitto);
    mosquitto_destroy (link->mosquitto);
  }
  g_free (link->last_log);
  g_free (link->host);
  g_free (link->address);
  g_free (link);
}

const gchar *
gst_deim_mqtt_link_get_address (GstDeimMqttLink *link)
{
  return link->address;
}

/* --------------------------------------------------------------- connection */

/* The library resolves once more, but cannot be interrupted while it does, nor say what is wrong with a name. */
static gboolean
find_families (GstDeimMqttLink *link, GCancellable *cancellable, GError **error)
{
  g_autoptr (GResolver) resolver = g_resolver_get_default ();
  g_autoptr (GError) unknown = NULL;
  GList *addresses = g_resolver_lookup_by_name (resolver, link->host, cancellable, &unknown);
  link->n_families = 0;
  if (!addresses)
    return set_error (error, GST_RESOURCE_ERROR_NOT_FOUND, unknown->message, "check host and the network");
  for (GList *item = addresses; item; item = item->next) {
    GSocketFamily family = g_inet_address_get_family (item->data);
    if (link->n_families == 0 || (link->n_families == 1 && link->families[0] != family))
      link->families[link->n_families++] = family;
  }
  g_resolver_free_addresses (addresses);
  return TRUE;
}

gboolean
gst_deim_mqtt_link_connect (GstDeimMqttLink *link, GCancellable *cancellable, GError **error)
{
  link->up = FALSE;
  link->refusal = 0;
  g_clear_pointer (&link->last_log, g_free);
  if (!find_families (link, cancellable, error))
    return FALSE;

  /* Where connecting does not wait, the library takes the first address and never hears of the others: "localhost" is
   * ::1, and the broker listens on 127.0.0.1 alone. An own address of one family makes it leave out the other. */
  if (link->tried++ > 0)
    link->turn++;
  gboolean ipv6 = link->families[link->turn % link->n_families] == G_SOCKET_FAMILY_IPV6;
  gint code =
      mosquitto_connect_bind_async (link->mosquitto, link->host, link->port, KEEP_ALIVE, ipv6 ? "::" : "0.0.0.0");
  gint number = errno;
  return code == MOSQ_ERR_SUCCESS || set_failure (link, code, number, error);
}

gboolean
gst_deim_mqtt_link_has_other (GstDeimMqttLink *link)
{
  return link->n_families > 0 && link->tried % link->n_families != 0;
}

gboolean
gst_deim_mqtt_link_is_up (GstDeimMqttLink *link)
{
  return link->up;
}

gboolean
gst_deim_mqtt_link_serve (GstDeimMqttLink *link, gint wake, gint wait, GError **error)
{
  struct pollfd watched[2] = { { .fd = wake, .events = POLLIN },
                               { .fd = mosquitto_socket (link->mosquitto), .events = POLLIN } };
  if (mosquitto_want_write (link->mosquitto))
    watched[1].events |= POLLOUT;
  if (poll (watched, 2, wait) < 0 && errno != EINTR)
    return set_failure (link, MOSQ_ERR_ERRNO, errno, error);

  /* Reading first, whatever happened: it is also what goes on with a TLS handshake. */
  gint code = watched[1].revents ? mosquitto_loop_read (link->mosquitto, 1) : MOSQ_ERR_SUCCESS;
  if (code == MOSQ_ERR_SUCCESS && watched[1].revents & POLLOUT)
    code = mosquitto_loop_write (link->mosquitto, 1);
  if (code == MOSQ_ERR_SUCCESS)
    code = mosquitto_loop_misc (link->mosquitto);
  gint number = errno;
  if (code == MOSQ_ERR_SUCCESS)
    return TRUE;
  set_failure (link, code, number, error);
  link->up = FALSE;
  return FALSE;
}

gboolean
gst_deim_mqtt_link_publish (GstDeimMqttLink *link, const gchar *topic, gconstpointer payload, gsize size,
                            gint *ret_number, GError **error)
{
  gint code = mosquitto_publish (link->mosquitto, ret_number, topic, (gint) size, payload, link->qos, link->retain);
  gint number = errno;
  switch (code) {
  case MOSQ_ERR_SUCCESS:
    return TRUE;
  case MOSQ_ERR_NO_CONN:
  case MOSQ_ERR_CONN_LOST:
  case MOSQ_ERR_ERRNO:
  case MOSQ_ERR_TLS:
    /* The connection has just broken: the library keeps what it has to see confirmed, and only that. */
    if (link->qos > 0)
      return TRUE;
    G_GNUC_FALLTHROUGH;
  default:
    return set_failure (link, code, number, error);
  }
}
