/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * SECTION:element-deimmqtt
 * @title: deimmqtt
 * @short_description: Publishes detections to an MQTT broker
 * @see_also: deimjson
 *
 * Publishes a JSON document for each frame with objects, whoever attached them: the same that deimjson writes as a
 * line. The frames pass untouched, in any memory, and never wait for the broker.
 *
 * Documents are kept until the broker has confirmed them. While it is away they wait, as many as `max-queued` says, and
 * arrive in their order when it is back. Over that, the oldest are dropped, which is said once and counted in `stats`.
 *
 * ## Example pipelines
 *
 * |[
 * gst-launch-1.0 filesrc location=in.mp4 ! decodebin ! videoconvert ! deimdetect model=deimv2.safetensors ! deimmqtt
 * host=localhost topic=cameras/gate ! fakesink
 * ]| What is found in a file, at a broker on this machine. `mosquitto_sub -t 'cameras/#'` shows it.
 *
 * |[
 * gst-launch-1.0 v4l2src ! videoconvert ! deimdetect model=deimv2.safetensors ! deimmqtt host=broker.example
 * ca-file=ca.pem username=gate password-file=gate.password stream-id=gate topic=cameras/{stream} ! fakesink
 * ]| A camera, over TLS.
 *
 * Since: 0.1
 */
#include "gstdeimmqtt.h"

#include "gstdeimbroker.h"
#include "gstdeimmqtttopic.h"

#include <string.h>

#define DEFAULT_HOST          "localhost"
#define DEFAULT_PORT          0
#define DEFAULT_TOPIC         "deim/{stream}"
#define DEFAULT_QOS           1
#define DEFAULT_RETAIN        FALSE
#define DEFAULT_TLS           FALSE
#define DEFAULT_MAX_QUEUED    3000
#define DEFAULT_DRAIN_TIMEOUT 5000

enum {
  PROP_HOST = GST_DEIM_RESULTS_LAST_PROPERTY,
  PROP_PORT,
  PROP_TOPIC,
  PROP_QOS,
  PROP_RETAIN,
  PROP_CLIENT_ID,
  PROP_USERNAME,
  PROP_PASSWORD,
  PROP_PASSWORD_FILE,
  PROP_TLS,
  PROP_CA_FILE,
  PROP_CERT_FILE,
  PROP_KEY_FILE,
  PROP_MAX_QUEUED,
  PROP_DRAIN_TIMEOUT,
  PROP_STATS,
};

struct _GstDeimMqtt {
  GstDeimResults parent;

  /* object lock */
  GstDeimMqttLinkOptions options;
  gchar *topic_template, *password_file;
  guint max_queued, drain_timeout;
  GstDeimBroker *broker;    /* between open and close; written there under the object lock */
  GstDeimBrokerStats stats; /* of the last one */

  /* stream lock */
  gchar *topic, *topic_of; /* the topic of the stream that was seen last, and its id */
  gboolean drained;        /* there was an EOS: all that could arrive has done so */
};

#define gst_deim_mqtt_parent_class parent_class
G_DEFINE_FINAL_TYPE (GstDeimMqtt, gst_deim_mqtt, GST_TYPE_BASE_TRANSFORM)
GST_ELEMENT_REGISTER_DEFINE (deimmqtt, "deimmqtt", GST_RANK_NONE, GST_TYPE_DEIM_MQTT)

/* ------------------------------------------------------------------ the way out */

/* The first line of the file. */
static gchar *
read_password (const gchar *path, GError **error)
{
  gchar *text;
  g_autoptr (GError) cause = NULL;
  if (!g_file_get_contents (path, &text, NULL, &cause)) {
    g_set_error (error, GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_OPEN_READ,
                 "password-file: %s; set it to a file whose first line is the password.", cause->message);
    return NULL;
  }
  text[strcspn (text, "\r\n")] = '\0';
  return text;
}

/* Under the object lock: what is set stays so, and nothing here waits for a network. */
static GstDeimBroker *
make_broker (GstDeimMqtt *self, GError **error)
{
  GstDeimMqttLinkOptions options = self->options;
  g_autofree gchar *password = NULL;
  if (!gst_deim_mqtt_topic_check (self->topic_template, error))
    return NULL;
  if (self->password_file && *self->password_file) {
    password = read_password (self->password_file, error);
    if (!password)
      return NULL;
    options.password = password;
  }
  return gst_deim_broker_new (GST_ELEMENT (self), &options, self->max_queued, error);
}

static gboolean
gst_deim_mqtt_open (GstDeimResults *results, GError **error)
{
  GstDeimMqtt *self = GST_DEIM_MQTT (results);

  self->drained = FALSE;
  GST_OBJECT_LOCK (self);
  g_clear_pointer (&self->topic, g_free);
  self->broker = make_broker (self, error);
  gboolean made = self->broker != NULL;
  GST_OBJECT_UNLOCK (self);
  return made;
}

static void
tell_of_lost (GstDeimMqtt *self, guint64 count, const gchar *when)
{
  if (count > 0)
    GST_ELEMENT_WARNING (self, RESOURCE, WRITE,
                         ("%" G_GUINT64_FORMAT " documents had not arrived at the broker %s; raise drain-timeout to "
                          "wait longer, and see what the broker does.",
                          count, when),
                         (NULL));
}

static void
gst_deim_mqtt_close (GstDeimResults *results)
{
  GstDeimMqtt *self = GST_DEIM_MQTT (results);
  GstDeimBrokerStats before, after;

  GST_OBJECT_LOCK (self);
  GstDeimBroker *broker = g_steal_pointer (&self->broker);
  GstClockTime wait = self->drained ? 0 : self->drain_timeout * GST_MSECOND;
  GST_OBJECT_UNLOCK (self);
  gst_deim_broker_get_stats (broker, &before);
  gst_deim_broker_free (broker, wait, &after);
  GST_OBJECT_LOCK (self);
  self->stats = after;
  GST_OBJECT_UNLOCK (self);
  tell_of_lost (self, after.dropped - before.dropped, "when the element stopped, and are lost");
}

static const gchar *
topic_of (GstDeimMqtt *self, const gchar *stream_id)
{
  if (!self->topic || g_strcmp0 (self->topic_of, stream_id) != 0) {
    g_autofree gchar *name = gst_object_get_name (GST_OBJECT (self));
    g_free (self->topic);
    g_free (self->topic_of);
    GST_OBJECT_LOCK (self);
    self->topic = gst_deim_mqtt_topic_fill (self->topic_template, stream_id, name);
    GST_OBJECT_UNLOCK (self);
    self->topic_of = g_strdup (stream_id);
  }
  return self->topic;
}

static GstFlowReturn
gst_deim_mqtt_write (GstDeimResults *results, const gchar *stream_id, GString *line, GError **error)
{
  GstDeimMqtt *self = GST_DEIM_MQTT (results);
  self->drained = FALSE; /* a stream may go on behind its end, after a seek */
  return gst_deim_broker_publish (self->broker, topic_of (self, stream_id), line) ? GST_FLOW_OK : GST_FLOW_ERROR;
}

static void
gst_deim_mqtt_drain (GstDeimResults *results)
{
  GstDeimMqtt *self = GST_DEIM_MQTT (results);

  GST_OBJECT_LOCK (self);
  GstClockTime wait = self->drain_timeout * GST_MSECOND;
  GST_OBJECT_UNLOCK (self);
  guint left = gst_deim_broker_drain (self->broker, wait);
  self->drained = TRUE;
  tell_of_lost (self, left, "when the stream ended; those that do not until the element stops are lost");
}

static void
gst_deim_mqtt_set_flushing (GstDeimResults *results, gboolean flushing)
{
  gst_deim_broker_set_flushing (GST_DEIM_MQTT (results)->broker, flushing);
}

static const GstDeimResultsFuncs results_funcs = {
  .open = gst_deim_mqtt_open,
  .close = gst_deim_mqtt_close,
  .write = gst_deim_mqtt_write,
  .drain = gst_deim_mqtt_drain,
  .set_flushing = gst_deim_mqtt_set_flushing,
};

/* ------------------------------------------------------------------- object */

static GstStructure *
make_stats (GstDeimMqtt *self)
{
  GstDeimBrokerStats stats = self->stats;
  if (self->broker)
    gst_deim_broker_get_stats (self->broker, &stats);
  return gst_structure_new ("deimmqtt-stats", "connected", G_TYPE_BOOLEAN, stats.connected, "connections",
                            G_TYPE_UINT64, stats.connections, "published", G_TYPE_UINT64, stats.published, "dropped",
                            G_TYPE_UINT64, stats.dropped, "queued", G_TYPE_UINT64, (guint64) stats.queued, NULL);
}

/* Where the string property @id is kept; NULL: it is no string. */
static gchar **
string_of (GstDeimMqtt *self, guint id)
{
  switch (id) {
  case PROP_HOST:
    return &self->options.host;
  case PROP_TOPIC:
    return &self->topic_template;
  case PROP_CLIENT_ID:
    return &self->options.client_id;
  case PROP_USERNAME:
    return &self->options.username;
  case PROP_PASSWORD:
    return &self->options.password;
  case PROP_PASSWORD_FILE:
    return &self->password_file;
  case PROP_CA_FILE:
    return &self->options.ca_file;
  case PROP_CERT_FILE:
    return &self->options.cert_file;
  case PROP_KEY_FILE:
    return &self->options.key_file;
  default:
    return NULL;
  }
}

static void
gst_deim_mqtt_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  GstDeimMqtt *self = GST_DEIM_MQTT (object);
  gchar **text = string_of (self, id);

  if (id < GST_DEIM_RESULTS_LAST_PROPERTY) {
    gst_deim_results_set_property (object, id, value, pspec);
    return;
  }
  GST_OBJECT_LOCK (self);
  switch (id) {
  case PROP_PORT:
    self->options.port = g_value_get_uint (value);
    break;
  case PROP_QOS:
    self->options.qos = g_value_get_uint (value);
    break;
  case PROP_RETAIN:
    self->options.retain = g_value_get_boolean (value);
    break;
  case PROP_TLS:
    self->options.tls = g_value_get_boolean (value);
    break;
  case PROP_MAX_QUEUED:
    self->max_queued = g_value_get_uint (value);
    break;
  case PROP_DRAIN_TIMEOUT:
    self->drain_timeout = g_value_get_uint (value);
    break;
  default:
    if (text) {
      g_free (*text);
      *text = g_value_dup_string (value);
    } else {
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
    break;
  }
  GST_OBJECT_UNLOCK (self);
}

static void
gst_deim_mqtt_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  GstDeimMqtt *self = GST_DEIM_MQTT (object);
  gchar **text = string_of (self, id);

  if (id < GST_DEIM_RESULTS_LAST_PROPERTY) {
    gst_deim_results_get_property (object, id, value, pspec);
    return;
  }
  GST_OBJECT_LOCK (self);
  switch (id) {
  case PROP_PORT:
    g_value_set_uint (value, self->options.port);
    break;
  case PROP_QOS:
    g_value_set_uint (value, self->options.qos);
    break;
  case PROP_RETAIN:
    g_value_set_boolean (value, self->options.retain);
    break;
  case PROP_TLS:
    g_value_set_boolean (value, self->options.tls);
    break;
  case PROP_MAX_QUEUED:
    g_value_set_uint (value, self->max_queued);
    break;
  case PROP_DRAIN_TIMEOUT:
    g_value_set_uint (value, self->drain_timeout);
    break;
  case PROP_STATS:
    g_value_take_boxed (value, make_stats (self));
    break;
  default:
    if (text)
      g_value_set_string (value, *text);
    else
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    break;
  }
  GST_OBJECT_UNLOCK (self);
}

static void
gst_deim_mqtt_finalize (GObject *object)
{
  GstDeimMqtt *self = GST_DEIM_MQTT (object);

  for (guint id = PROP_HOST; id <= PROP_STATS; id++) {
    gchar **text = string_of (self, id);
    if (text)
      g_free (*text);
  }
  g_free (self->topic);
  g_free (self->topic_of);
  gst_deim_results_finish (GST_DEIM_RESULTS (object));
  G_OBJECT_CLASS (parent_class)->finalize (object);
}

#define READY (G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS | GST_PARAM_MUTABLE_READY)
#define LIVE  (G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS | GST_PARAM_MUTABLE_PLAYING)
/* Dumps and logs of pipelines show what can be read. */
#define SECRET   (G_PARAM_WRITABLE | G_PARAM_STATIC_STRINGS | GST_PARAM_MUTABLE_READY)
#define READABLE (G_PARAM_READABLE | G_PARAM_STATIC_STRINGS)

static void
install_string (GObjectClass *klass, guint id, const gchar *name, const gchar *nick, const gchar *blurb,
                const gchar *value, GParamFlags flags)
{
  g_object_class_install_property (klass, id, g_param_spec_string (name, nick, blurb, value, flags));
}

static void
install_properties (GObjectClass *klass)
{
  /**
   * GstDeimMqtt:host:
   *
   * Since: 0.1
   */
  install_string (klass, PROP_HOST, "host", "Host", "Name or address of the broker", DEFAULT_HOST, READY);
  /**
   * GstDeimMqtt:port:
   *
   * Since: 0.1
   */
  g_object_class_install_property (klass, PROP_PORT,
                                   g_param_spec_uint ("port", "Port", "Port of the broker; 0 is 1883, or 8883 with TLS",
                                                      0, 65535, DEFAULT_PORT, READY));
  /**
   * GstDeimMqtt:topic:
   *
   * A template: "{stream}" and "{element}" in it are replaced, see gstdeimmqtttopic.h.
   *
   * Since: 0.1
   */
  install_string (
      klass, PROP_TOPIC, "topic", "Topic",
      "Where to publish; {stream} in it is the stream id of the document, {element} the name of the element",
      DEFAULT_TOPIC, READY);
  /**
   * GstDeimMqtt:mqtt-qos:
   *
   * Not called "qos", which is a boolean of #GstBaseTransform.
   *
   * Since: 0.1
   */
  g_object_class_install_property (
      klass, PROP_QOS,
      g_param_spec_uint ("mqtt-qos", "MQTT QoS",
                         "0: what is under way when the connection breaks may be lost; 1: it may arrive twice; 2: once",
                         0, 2, DEFAULT_QOS, READY));
  /**
   * GstDeimMqtt:retain:
   *
   * Since: 0.1
   */
  g_object_class_install_property (klass, PROP_RETAIN,
                                   g_param_spec_boolean ("retain", "Retain",
                                                         "Have the broker keep the last document for those who "
                                                         "subscribe later",
                                                         DEFAULT_RETAIN, READY));
  /**
   * GstDeimMqtt:client-id:
   *
   * Since: 0.1
   */
  install_string (
      klass, PROP_CLIENT_ID, "client-id", "Client id",
      "The name at the broker, under which it keeps a session; no two clients may have the same. Unset makes "
      "one up, and no session is kept",
      NULL, READY);
  /**
   * GstDeimMqtt:username:
   *
   * Since: 0.1
   */
  install_string (klass, PROP_USERNAME, "username", "User name", "User at the broker", NULL, READY);
  /**
   * GstDeimMqtt:password:
   *
   * It cannot be read, so that dumps of pipelines do not show it.
   *
   * Since: 0.1
   */
  install_string (klass, PROP_PASSWORD, "password", "Password",
                  "The user's password; others on this machine see it where it stands on a command line", NULL, SECRET);
  /**
   * GstDeimMqtt:password-file:
   *
   * Since: 0.1
   */
  install_string (klass, PROP_PASSWORD_FILE, "password-file", "Password file",
                  "A file whose first line is the password, in place of password", NULL, READY);
  /**
   * GstDeimMqtt:tls:
   *
   * Since: 0.1
   */
  g_object_class_install_property (klass, PROP_TLS,
                                   g_param_spec_boolean ("tls", "TLS",
                                                         "Speak TLS, and trust the certificates that the system trusts",
                                                         DEFAULT_TLS, READY));
  /**
   * GstDeimMqtt:ca-file:
   *
   * Since: 0.1
   */
  install_string (klass, PROP_CA_FILE, "ca-file", "CA file",
                  "Certificates (PEM) of those who vouch for the broker, in place of the system's; turns TLS on", NULL,
                  READY);
  /**
   * GstDeimMqtt:cert-file:
   *
   * Since: 0.1
   */
  install_string (klass, PROP_CERT_FILE, "cert-file", "Certificate file",
                  "Our own certificate (PEM), where the broker asks for it; wants key-file and ca-file", NULL, READY);
  /**
   * GstDeimMqtt:key-file:
   *
   * Since: 0.1
   */
  install_string (klass, PROP_KEY_FILE, "key-file", "Key file", "The key of our certificate (PEM), without a password",
                  NULL, READY);
  /**
   * GstDeimMqtt:max-queued:
   *
   * Documents that are on the way to the broker are not among them.
   *
   * Since: 0.1
   */
  g_object_class_install_property (
      klass, PROP_MAX_QUEUED,
      g_param_spec_uint ("max-queued", "Maximum queued",
                         "How many documents wait while the broker is away or slow; the oldest beyond it are dropped",
                         1, G_MAXINT, DEFAULT_MAX_QUEUED, READY));
  /**
   * GstDeimMqtt:drain-timeout:
   *
   * Since: 0.1
   */
  g_object_class_install_property (
      klass, PROP_DRAIN_TIMEOUT,
      g_param_spec_uint ("drain-timeout", "Drain timeout",
                         "How long the end of the stream waits for documents to arrive, in milliseconds", 0, G_MAXINT,
                         DEFAULT_DRAIN_TIMEOUT, LIVE));
  /**
   * GstDeimMqtt:stats:
   *
   * A #GstStructure of `connected` (boolean) and, as uint64, `connections`, `published`, `dropped` and `queued`.
   *
   * Since: 0.1
   */
  g_object_class_install_property (
      klass, PROP_STATS,
      g_param_spec_boxed ("stats", "Statistics", "Counts since the element started", GST_TYPE_STRUCTURE, READABLE));
}

static void
gst_deim_mqtt_class_init (GstDeimMqttClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->set_property = gst_deim_mqtt_set_property;
  object_class->get_property = gst_deim_mqtt_get_property;
  object_class->finalize = gst_deim_mqtt_finalize;
  gst_deim_results_class_init (GST_BASE_TRANSFORM_CLASS (klass));
  install_properties (object_class);

  gst_element_class_set_static_metadata (GST_ELEMENT_CLASS (klass), "DEIM results over MQTT", "Filter/Analyzer/Video",
                                         "Publishes detections to an MQTT broker", "the gst-deim authors");
}

static void
gst_deim_mqtt_init (GstDeimMqtt *self)
{
  gst_deim_results_init (GST_DEIM_RESULTS (self), &results_funcs);
  self->options.host = g_strdup (DEFAULT_HOST);
  self->options.port = DEFAULT_PORT;
  self->options.qos = DEFAULT_QOS;
  self->options.retain = DEFAULT_RETAIN;
  self->options.tls = DEFAULT_TLS;
  self->topic_template = g_strdup (DEFAULT_TOPIC);
  self->max_queued = DEFAULT_MAX_QUEUED;
  self->drain_timeout = DEFAULT_DRAIN_TIMEOUT;
}
