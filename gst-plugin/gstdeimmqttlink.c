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
  GstDeimMqttLinkOptions options; /* a copy */
  gchar *address;
  guint16 port;
  gboolean tls;
  GstDeimMqttArrived arrived;
  gpointer data;

  /* Address families of the host in the resolver's order, and which attempt since the last success this is. */
  GSocketFamily families[2];
  guint n_families, turn, tried;

  gboolean up;
  gboolean sweep;  /* the client is there to have the broker forget the session, and publishes nothing */
  gboolean again;  /* it has done so */
  gboolean cut;    /* it was the broker, or what lies between, that ended a connection that was up */
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

/*
 * Whether a TLS failure that was logged as @text is none that mends itself. A broker behind a proxy, or one that is
 * just starting, may cut a handshake off, answer it with an alert, or with something that is no TLS at all: all this is
 * over when it has started, so it is tried again, as a refused connection is. Certificates are what they are: ours
 * cannot be read, the broker refuses it, or nobody vouches for the broker's. Sending documents there is not what the
 * user wants, and a typing error in ca-file should not look like a network that is not up yet.
 *
 * The library says what happened by OpenSSL's number alone: "OpenSSL Error[0]: error:0A000086:SSL routines::...", of
 * which bits 23 to 30 are the part of OpenSSL and those below the reason (ERR_GET_LIB() and ERR_GET_REASON() of OpenSSL
 * 3).
 */
static gboolean
is_tls_for_good (const gchar *text)
{
  enum { PART_SSL = 20, VERIFY_FAILED = 134, ALERT = 1000 /* and its number in RFC 8446, section 6 */ };
  if (!text)
    return FALSE;
  const gchar *number = strstr (text, "error:");
  if (!number) /* its own words: about files that it cannot use */
    return TRUE;
  guint64 packed = g_ascii_strtoull (number + strlen ("error:"), NULL, 16);
  if (packed >> 31) /* an error of the system, of the socket */
    return FALSE;
  if (packed >> 23 != PART_SSL) /* about the contents of our files */
    return TRUE;
  switch (packed & 0x7fffff) {
  case VERIFY_FAILED:
  case ALERT + 42: /* bad, unsupported, revoked, expired, unknown certificate */
  case ALERT + 43:
  case ALERT + 44:
  case ALERT + 45:
  case ALERT + 46:
  case ALERT + 48:  /* unknown CA */
  case ALERT + 49:  /* access denied */
  case ALERT + 116: /* certificate required */
    return TRUE;
  default:
    return FALSE;
  }
}

/* What the result @code of a library call means; @number is errno after it. */
static gboolean
set_failure (GstDeimMqttLink *link, gint code, gint number, GError **error)
{
  gint kind = link->up ? GST_RESOURCE_ERROR_WRITE : GST_RESOURCE_ERROR_OPEN_WRITE;
  link->cut = link->up && (code == MOSQ_ERR_CONN_LOST || code == MOSQ_ERR_TLS ||
                           (code == MOSQ_ERR_ERRNO && (number == ECONNRESET || number == EPIPE || number == EPROTO)));
  if (code == MOSQ_ERR_CONN_REFUSED && link->refusal != 0)
    return set_refusal (link, error);
  /* EPROTO: what TLS finds while it reads, so the broker's answer to our certificate in TLS 1.3. */
  if (code == MOSQ_ERR_TLS || (code == MOSQ_ERR_ERRNO && number == EPROTO && link->tls && !link->up))
    return set_error (
        error, !link->up && is_tls_for_good (link->last_log) ? GST_RESOURCE_ERROR_SETTINGS : kind,
        link->last_log ? link->last_log : "TLS failed",
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
new_client (const gchar *id, gboolean clean, gpointer data)
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
set_tls (struct mosquitto *client, gboolean tls, const GstDeimMqttLinkOptions *options, GError **error)
{
  gboolean cert = is_set (options->cert_file), ca = is_set (options->ca_file);
  if (!check_file ("ca-file", options->ca_file, error) || !check_file ("cert-file", options->cert_file, error) ||
      !check_file ("key-file", options->key_file, error))
    return FALSE;
  if (cert != is_set (options->key_file) || (cert && !ca))
    return set_error (error, GST_RESOURCE_ERROR_SETTINGS, "cert-file, key-file and ca-file belong together",
                      "set all three of them, or only ca-file");
  if (!tls)
    return TRUE;
  gint code = ca ? mosquitto_tls_set (client, options->ca_file, NULL, cert ? options->cert_file : NULL,
                                      cert ? options->key_file : NULL, no_password)
                 : mosquitto_int_option (client, MOSQ_OPT_TLS_USE_OS_CERTS, 1);
  if (code == MOSQ_ERR_SUCCESS)
    return TRUE;
  return set_error (error, GST_RESOURCE_ERROR_SETTINGS, mosquitto_strerror (code),
                    "check that ca-file, cert-file and key-file can be read");
}

static gboolean
set_user (struct mosquitto *client, const GstDeimMqttLinkOptions *options, GError **error)
{
  if (is_set (options->password) && !is_set (options->username))
    return set_error (error, GST_RESOURCE_ERROR_SETTINGS, "a password is set and no user name",
                      "set username, or neither of them");
  if (!is_set (options->username))
    return TRUE;
  gint code =
      mosquitto_username_pw_set (client, options->username, is_set (options->password) ? options->password : NULL);
  return code == MOSQ_ERR_SUCCESS ||
         set_error (error, GST_RESOURCE_ERROR_SETTINGS, mosquitto_strerror (code), "check username and password");
}

/* A client with all that the options ask for; NULL with @error. */
static struct mosquitto *
make_client (GstDeimMqttLink *link, gboolean keep_session, GError **error)
{
  /* Brokers of 3.1.1 must take 23 letters and digits, and may refuse anything else. */
  gboolean named = is_set (link->options.client_id);
  g_autofree gchar *made_up = g_strdup_printf ("deim%08x%08x", g_random_int (), g_random_int ());
  struct mosquitto *client = new_client (named ? link->options.client_id : made_up, !named || !keep_session, link);
  if (!client) {
    set_error (error, GST_RESOURCE_ERROR_SETTINGS, g_strerror (errno), "set client-id to one that brokers accept");
    return NULL;
  }
  mosquitto_connect_callback_set (client, on_connect);
  mosquitto_publish_callback_set (client, on_publish);
  mosquitto_log_callback_set (client, on_log);
  if (set_user (client, &link->options, error) && set_tls (client, link->tls, &link->options, error))
    return client;
  mosquitto_destroy (client);
  return NULL;
}

static void
copy_options (GstDeimMqttLinkOptions *to, const GstDeimMqttLinkOptions *from)
{
  *to = *from;
  to->host = g_strdup (from->host);
  to->client_id = g_strdup (from->client_id);
  to->username = g_strdup (from->username);
  to->password = g_strdup (from->password);
  to->ca_file = g_strdup (from->ca_file);
  to->cert_file = g_strdup (from->cert_file);
  to->key_file = g_strdup (from->key_file);
}

static void
clear_options (GstDeimMqttLinkOptions *options)
{
  g_free (options->host);
  g_free (options->client_id);
  g_free (options->username);
  g_free (options->password);
  g_free (options->ca_file);
  g_free (options->cert_file);
  g_free (options->key_file);
}

GstDeimMqttLink *
gst_deim_mqtt_link_new (const GstDeimMqttLinkOptions *options, GstDeimMqttArrived arrived, gpointer data,
                        GError **error)
{
  if (!is_set (options->host)) {
    set_error (error, GST_RESOURCE_ERROR_SETTINGS, "no broker is named", "set host");
    return NULL;
  }
  if (options->qos == 2 && !is_set (options->client_id)) {
    set_error (error, GST_RESOURCE_ERROR_SETTINGS,
               "mqtt-qos=2 needs a client-id, by which the broker knows after a cut what it has already",
               "set client-id, or use mqtt-qos=1");
    return NULL;
  }
  GstDeimMqttLink *link = g_new0 (GstDeimMqttLink, 1);
  copy_options (&link->options, options);
  link->tls = options->tls || is_set (options->ca_file);
  link->port = (guint16) (options->port ? options->port : link->tls ? 8883 : 1883);
  link->address = g_strdup_printf (strchr (options->host, ':') ? "[%s]:%u" : "%s:%u", options->host, link->port);
  link->arrived = arrived;
  link->data = data;
  link->mosquitto = make_client (link, TRUE, error);
  if (!link->mosquitto) {
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
  clear_options (&link->options);
  g_free (link->last_log);
  g_free (link->address);
  g_free (link);
}

static gboolean
replace_client (GstDeimMqttLink *link, gboolean keep_session, GError **error)
{
  struct mosquitto *client = make_client (link, keep_session, error);
  if (!client)
    return FALSE;
  mosquitto_destroy (link->mosquitto);
  link->mosquitto = client;
  return TRUE;
}

gboolean
gst_deim_mqtt_link_forget (GstDeimMqttLink *link, GError **error)
{
  /* The library has no call for it. At QoS 2 a broker that keeps a session remembers the numbers of messages that it
   * has not seen the end of. A new client counts from 1 again, and its documents would be taken for those; so the
   * session is ended first, by a connection that asks for none. Documents must not go over that one: after a cut, the
   * broker would confirm what it has forgotten. */
  link->sweep = link->options.qos == 2 && is_set (link->options.client_id);
  return replace_client (link, !link->sweep, error);
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
  GList *addresses = g_resolver_lookup_by_name (resolver, link->options.host, cancellable, &unknown);
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
  link->up = link->cut = link->again = FALSE;
  link->refusal = 0;
  g_clear_pointer (&link->last_log, g_free);
  if (!find_families (link, cancellable, error))
    return FALSE;

  /* Where connecting does not wait, the library takes the first address and never hears of the others: "localhost" is
   * ::1, and the broker listens on 127.0.0.1 alone. An own address of one family makes it leave out the other. */
  if (link->tried++ > 0)
    link->turn++;
  gboolean ipv6 = link->families[link->turn % link->n_families] == G_SOCKET_FAMILY_IPV6;
  gint code = mosquitto_connect_bind_async (link->mosquitto, link->options.host, link->port, KEEP_ALIVE,
                                            ipv6 ? "::" : "0.0.0.0");
  gint number = errno;
  return code == MOSQ_ERR_SUCCESS || set_failure (link, code, number, error);
}

gboolean
gst_deim_mqtt_link_has_other (GstDeimMqttLink *link)
{
  return link->again || (link->n_families > 0 && link->tried % link->n_families != 0);
}

gboolean
gst_deim_mqtt_link_is_up (GstDeimMqttLink *link)
{
  return link->up;
}

gboolean
gst_deim_mqtt_link_was_cut (GstDeimMqttLink *link)
{
  return link->cut;
}

/* The broker has forgotten the session: the next connection begins a new one. */
static gboolean
end_sweep (GstDeimMqttLink *link, GError **error)
{
  link->up = FALSE;
  mosquitto_disconnect (link->mosquitto);
  if (!replace_client (link, TRUE, error))
    return FALSE;
  link->sweep = FALSE;
  link->again = TRUE;
  return set_error (error, GST_RESOURCE_ERROR_FAILED, "the session was ended", "connect again");
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
  if (code == MOSQ_ERR_SUCCESS && link->up && link->sweep)
    return end_sweep (link, error);
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
  gint code = mosquitto_publish (link->mosquitto, ret_number, topic, (gint) size, payload, (gint) link->options.qos,
                                 link->options.retain);
  gint number = errno;
  switch (code) {
  case MOSQ_ERR_SUCCESS:
    return TRUE;
  case MOSQ_ERR_NO_CONN:
  case MOSQ_ERR_CONN_LOST:
  case MOSQ_ERR_ERRNO:
  case MOSQ_ERR_TLS:
    /* The connection has just broken: the library keeps what it has to see confirmed, and only that. */
    if (link->options.qos > 0)
      return TRUE;
    G_GNUC_FALLTHROUGH;
  default:
    return set_failure (link, code, number, error);
  }
}
