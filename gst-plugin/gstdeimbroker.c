/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* gstdeimbroker.c - see gstdeimbroker.h. */
#include "gstdeimbroker.h"

#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

GST_DEBUG_CATEGORY_EXTERN (gst_deim_debug);
#define GST_CAT_DEFAULT gst_deim_debug

/* How many documents are on the way at most: what a broker must expect (libmosquitto's and mosquitto's default). */
#define WINDOW 20
/* Between two attempts to connect, in milliseconds: doubled each time. */
#define FIRST_PAUSE 250
#define LAST_PAUSE  8000
/* A broker that has not answered by then is taken for one that does not; milliseconds. */
#define CONNECT_TIMEOUT 10000
/* A document that was unconfirmed when the broker cut so many connections in a row is given up, if it was alone on the
 * way then: after one less than that, those that were on the way go one by one, until they have all arrived. */
#define LAST_CUT 3
/* How long stopping waits for the library's resolver, in milliseconds. */
#define RESOLVER_TIMEOUT 500
/* How often the connection is looked after when nothing happens (its keep-alive); milliseconds. */
#define TICK 5000

typedef struct {
  gchar *topic, *payload;
  gsize size;
  gint number; /* on the way: what the link calls it */
  guint cuts;  /* how often the broker has cut the connection on which it was */
} Document;

struct _GstDeimBroker {
  GstElement *owner; /* the thread does not look at it where it may be abandoned */
  guint max_queued;
  gint qos;
  GThread *thread;
  GCancellable *cancellable;
  gint wake; /* an eventfd: something has changed for the thread */

  /* the thread's */
  GstDeimMqttLink *link;
  gboolean told_outage;

  GMutex lock;
  GCond arrived;     /* and whatever else those wait for who drain */
  GQueue waiting;    /* of Document */
  GQueue on_the_way; /* of Document; changed by the thread alone */
  guint window;      /* how many of these there may be: WINDOW, or 1 where one is suspected */
  guint suspects;    /* documents with cuts, on the way or waiting again */
  GstDeimBrokerStats stats;
  gboolean told_drop;    /* since the queue was empty */
  gboolean told_refusal; /* since a document has arrived */
  gboolean flushing, stopping, refused;
  gboolean connecting; /* the thread is where it may wait for a resolver */
  gboolean abandoned;  /* it is its own now: there is nobody else who knows the broker */
};

static void
document_free (gpointer data)
{
  Document *document = data;
  g_free (document->topic);
  g_free (document->payload);
  g_free (document);
}

static void
wake_thread (GstDeimBroker *broker)
{
  const guint64 one = 1;
  /* It fails only when the counter is full, and then the thread is awake. */
  if (write (broker->wake, &one, sizeof one) < 0)
    return;
}

/* Under the lock: @document has arrived, or is given up. */
static void
clear_suspicion (GstDeimBroker *broker, const Document *document)
{
  if (document->cuts > 0 && --broker->suspects == 0)
    broker->window = WINDOW;
}

static guint
count_queued (GstDeimBroker *broker)
{
  return broker->waiting.length + broker->on_the_way.length;
}

static void
post (GstDeimBroker *broker, GstMessageType type, gint code, gchar *text, const gchar *debug)
{
  gst_element_message_full (broker->owner, type, GST_RESOURCE_ERROR, code, text, g_strdup (debug), __FILE__, G_STRFUNC,
                            __LINE__);
}

/* --------------------------------------------------------------- the thread */

static void
on_arrival (gpointer data, gint number)
{
  GstDeimBroker *broker = data;
  g_mutex_lock (&broker->lock);
  for (GList *item = broker->on_the_way.head; item; item = item->next) {
    Document *document = item->data;
    if (document->number != number)
      continue;
    g_queue_delete_link (&broker->on_the_way, item);
    clear_suspicion (broker, document);
    document_free (document);
    broker->stats.published++;
    broker->told_refusal = FALSE;
    break;
  }
  if (count_queued (broker) == 0) {
    broker->told_drop = FALSE;
    g_cond_broadcast (&broker->arrived);
  }
  g_mutex_unlock (&broker->lock);
}

/* Gives the connection what it may have. */
static gboolean
hand_over (GstDeimBroker *broker, GError **error)
{
  for (;;) {
    g_mutex_lock (&broker->lock);
    Document *document = broker->on_the_way.length < broker->window ? g_queue_pop_head (&broker->waiting) : NULL;
    if (document) {
      document->number = 0;
      g_queue_push_tail (&broker->on_the_way, document);
    }
    g_mutex_unlock (&broker->lock);
    if (!document)
      return TRUE;
    if (!gst_deim_mqtt_link_publish (broker->link, document->topic, document->payload, document->size,
                                     &document->number, error)) {
      g_mutex_lock (&broker->lock);
      g_queue_remove (&broker->on_the_way, document);
      g_queue_push_head (&broker->waiting, document);
      g_mutex_unlock (&broker->lock);
      return FALSE;
    }
  }
}

/* Under the lock. */
static void
take_back (GstDeimBroker *broker)
{
  while (broker->on_the_way.length > 0)
    g_queue_push_head (&broker->waiting, g_queue_pop_tail (&broker->on_the_way));
}

static void
set_connected (GstDeimBroker *broker, gboolean connected)
{
  g_mutex_lock (&broker->lock);
  broker->stats.connected = connected;
  broker->stats.connections += connected;
  /* At QoS 0 nobody but us sends again what the connection had not written. */
  if (!connected && broker->qos == 0)
    take_back (broker);
  g_cond_broadcast (&broker->arrived);
  g_mutex_unlock (&broker->lock);
  if (connected)
    GST_INFO_OBJECT (broker->owner, "connected to %s", gst_deim_mqtt_link_get_address (broker->link));
}

/* The end of an outage: when the broker takes documents, and not only connections. */
static void
tell_of_recovery (GstDeimBroker *broker)
{
  g_mutex_lock (&broker->lock);
  gboolean over = broker->told_outage && broker->suspects == 0;
  g_mutex_unlock (&broker->lock);
  if (!over)
    return;
  post (broker, GST_MESSAGE_INFO, GST_RESOURCE_ERROR_FAILED,
        g_strdup_printf ("The MQTT broker at %s has accepted the connection.",
                         gst_deim_mqtt_link_get_address (broker->link)),
        NULL);
  broker->told_outage = FALSE;
}

/* Under the lock: counts one more cut of what is on the way. Returns the most that one of them has seen. */
static guint
count_cut (GstDeimBroker *broker)
{
  guint most = 0;
  for (GList *item = broker->on_the_way.head; item; item = item->next) {
    Document *document = item->data;
    broker->suspects += document->cuts++ == 0;
    most = MAX (most, document->cuts);
  }
  return most;
}

/*
 * The broker has cut the connection: it restarts, or does not take one of the documents and will cut all further
 * connections too. MQTT 3.1.1 has no other way to say so. Whether one was given up.
 *
 * The library sends all that it has taken again on each connection. To have one sent alone, or never again, it has to
 * forget them; we have them too.
 */
static gboolean
look_for_culprit (GstDeimBroker *broker)
{
  g_autoptr (GError) error = NULL;
  Document *culprit = NULL;
  gboolean tell = FALSE;
  g_mutex_lock (&broker->lock);
  if (count_cut (broker) < LAST_CUT - 1) {
    g_mutex_unlock (&broker->lock);
    return FALSE;
  }
  if (gst_deim_mqtt_link_forget (broker->link, &error)) {
    if (broker->on_the_way.length == 1 && ((Document *) g_queue_peek_head (&broker->on_the_way))->cuts >= LAST_CUT) {
      culprit = g_queue_pop_head (&broker->on_the_way);
      clear_suspicion (broker, culprit);
      broker->stats.dropped++;
      tell = !broker->told_refusal;
      broker->told_refusal = TRUE;
      g_cond_broadcast (&broker->arrived);
    }
    take_back (broker);
    broker->window = broker->suspects > 0 ? 1 : WINDOW;
  }
  g_mutex_unlock (&broker->lock);
  if (error)
    GST_WARNING_OBJECT (broker->owner, "documents cannot be taken back: %s", error->message);
  if (tell)
    post (broker, GST_MESSAGE_WARNING, GST_RESOURCE_ERROR_WRITE,
          g_strdup_printf ("The MQTT broker at %s hangs up on a document of %" G_GSIZE_FORMAT
                           " bytes (topic %s), which is given up; raise the largest packet that the broker takes "
                           "(mosquitto: max_packet_size), see whether this client may publish "
                           "there, or have fewer objects in a frame (threshold, max-detections). \"stats\" counts it "
                           "among the dropped.",
                           gst_deim_mqtt_link_get_address (broker->link), culprit->size, culprit->topic),
          NULL);
  if (culprit)
    document_free (culprit);
  return culprit != NULL;
}

static gboolean
is_stopping (GstDeimBroker *broker)
{
  g_mutex_lock (&broker->lock);
  gboolean stopping = broker->stopping;
  g_mutex_unlock (&broker->lock);
  return stopping;
}

static void
clear_wake (GstDeimBroker *broker)
{
  guint64 count;
  if (read (broker->wake, &count, sizeof count) < 0)
    return; /* nobody has waked us */
}

/* Where the thread may be left to itself: it looks at nothing of the owner's before it has asked whether it was. */
static gboolean
begin_connecting (GstDeimBroker *broker, GError **error)
{
  g_mutex_lock (&broker->lock);
  broker->connecting = !broker->stopping;
  gboolean go_on = broker->connecting;
  g_mutex_unlock (&broker->lock);
  gboolean begun = go_on && gst_deim_mqtt_link_connect (broker->link, broker->cancellable, error);
  g_mutex_lock (&broker->lock);
  broker->connecting = FALSE;
  g_cond_broadcast (&broker->arrived);
  g_mutex_unlock (&broker->lock);
  return begun;
}

/* From connecting to the end of the connection: FALSE with what ended it, TRUE when the broker is to stop. */
static gboolean
keep_connection (GstDeimBroker *broker, GError **error)
{
  if (!begin_connecting (broker, error))
    return is_stopping (broker);
  gint64 deadline = g_get_monotonic_time () + CONNECT_TIMEOUT * G_TIME_SPAN_MILLISECOND;
  gboolean was_up = FALSE, going = TRUE;
  while (going && !is_stopping (broker)) {
    going = gst_deim_mqtt_link_serve (broker->link, broker->wake, was_up ? TICK : CONNECT_TIMEOUT / 10, error);
    clear_wake (broker);
    gboolean up = going && gst_deim_mqtt_link_is_up (broker->link);
    if (up && !was_up)
      set_connected (broker, TRUE);
    was_up = was_up || up;
    if (up) {
      tell_of_recovery (broker);
      going = hand_over (broker, error);
    } else if (going && g_get_monotonic_time () > deadline) {
      g_set_error (error, GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_OPEN_WRITE,
                   "it does not answer; check host and port, and what lies between");
      going = FALSE;
    }
  }
  if (was_up && !going)
    set_connected (broker, FALSE);
  return going;
}

/* Trying again does not mend it. */
static gboolean
is_for_good (const GError *error)
{
  return g_error_matches (error, GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_NOT_AUTHORIZED) ||
         g_error_matches (error, GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_SETTINGS);
}

/* Says why there is no connection, once; whether to try again. */
static gboolean
report_outage (GstDeimBroker *broker, const GError *error)
{
  const gchar *address = gst_deim_mqtt_link_get_address (broker->link);
  GstDeimBrokerStats stats;
  gst_deim_broker_get_stats (broker, &stats);
  GST_INFO_OBJECT (broker->owner, "no connection to %s: %s", address, error->message);
  if (is_for_good (error) && stats.connections == 0) {
    g_mutex_lock (&broker->lock);
    broker->refused = TRUE;
    g_cond_broadcast (&broker->arrived);
    g_mutex_unlock (&broker->lock);
    post (broker, GST_MESSAGE_ERROR, error->code,
          g_strdup_printf ("The MQTT broker at %s cannot be used: %s.", address, error->message), NULL);
    return FALSE;
  }
  if (!broker->told_outage)
    post (broker, GST_MESSAGE_WARNING, error->code,
          g_strdup_printf ("The MQTT broker at %s %s: %s. Documents wait, %u at most (max-queued), while connecting is "
                           "tried again.",
                           address, stats.connections ? "is gone" : "cannot be reached", error->message,
                           broker->max_queued),
          NULL);
  broker->told_outage = TRUE;
  return TRUE;
}

/* Waits before the next attempt. Clients that one restart has cut off do not all come back in the same moment. */
static void
wait_before_retry (GstDeimBroker *broker, gint pause)
{
  gint64 end = g_get_monotonic_time () + pause * G_TIME_SPAN_MILLISECOND * g_random_int_range (75, 126) / 100;
  g_mutex_lock (&broker->lock);
  while (!broker->stopping && g_cond_wait_until (&broker->arrived, &broker->lock, end))
    continue;
  g_mutex_unlock (&broker->lock);
}

static void
keep_connecting (GstDeimBroker *broker)
{
  gint pause = FIRST_PAUSE;
  for (;;) {
    g_autoptr (GError) error = NULL;
    gint64 began = g_get_monotonic_time ();
    if (keep_connection (broker, &error))
      return;
    if (gst_deim_mqtt_link_has_other (broker->link) && !is_for_good (error))
      continue;
    if (!report_outage (broker, error))
      return;
    /* One that held for a while. A broker that accepts us and hangs up at once is not asked again at once, unless what
     * it hung up on has gone. */
    gboolean gone = broker->qos > 0 && gst_deim_mqtt_link_was_cut (broker->link) && look_for_culprit (broker);
    if (gone || g_get_monotonic_time () - began > LAST_PAUSE * G_TIME_SPAN_MILLISECOND)
      pause = FIRST_PAUSE;
    wait_before_retry (broker, pause);
    pause = MIN (2 * pause, LAST_PAUSE);
  }
}

static void
destroy (GstDeimBroker *broker)
{
  gst_deim_mqtt_link_free (broker->link);
  if (broker->wake >= 0)
    close (broker->wake);
  g_queue_clear_full (&broker->waiting, document_free);
  g_queue_clear_full (&broker->on_the_way, document_free);
  g_object_unref (broker->cancellable);
  g_cond_clear (&broker->arrived);
  g_mutex_clear (&broker->lock);
  g_free (broker);
}

static gpointer
run (gpointer data)
{
  GstDeimBroker *broker = data;
  /* TLS writes in a way that raises it, and the program's handler is not ours to change. */
  sigset_t pipe_signal;
  sigemptyset (&pipe_signal);
  sigaddset (&pipe_signal, SIGPIPE);
  pthread_sigmask (SIG_BLOCK, &pipe_signal, NULL);

  keep_connecting (broker);
  g_mutex_lock (&broker->lock);
  gboolean abandoned = broker->abandoned;
  g_mutex_unlock (&broker->lock);
  if (abandoned)
    destroy (broker);
  return NULL;
}

/* ------------------------------------------------------------- the interface */

GstDeimBroker *
gst_deim_broker_new (GstElement *owner, const GstDeimMqttLinkOptions *options, guint max_queued, GError **error)
{
  GstDeimBroker *broker = g_new0 (GstDeimBroker, 1);
  broker->owner = owner;
  broker->max_queued = max_queued;
  broker->qos = (gint) options->qos;
  broker->cancellable = g_cancellable_new ();
  broker->wake = -1;
  broker->window = WINDOW;
  g_mutex_init (&broker->lock);
  g_cond_init (&broker->arrived);
  g_queue_init (&broker->waiting);
  g_queue_init (&broker->on_the_way);
  broker->link = gst_deim_mqtt_link_new (options, on_arrival, broker, error);
  if (!broker->link) {
    gst_deim_broker_free (broker, 0, NULL);
    return NULL;
  }
  broker->wake = eventfd (0, EFD_NONBLOCK | EFD_CLOEXEC);
  broker->thread = g_thread_new ("deimmqtt", run, broker);
  return broker;
}

/* Under the lock: waits until all has arrived, @deadline, or until @whatever says that there is no sense in it. */
static void
wait_for_arrival (GstDeimBroker *broker, GstClockTime wait, gboolean (*go_on) (GstDeimBroker *))
{
  gint64 deadline = g_get_monotonic_time () + (gint64) (wait / GST_USECOND);
  while (count_queued (broker) > 0 && !broker->refused && go_on (broker))
    if (!g_cond_wait_until (&broker->arrived, &broker->lock, deadline))
      break;
}

static gboolean
is_connected (GstDeimBroker *broker)
{
  return broker->stats.connected;
}

static gboolean
is_not_flushing (GstDeimBroker *broker)
{
  return !broker->flushing;
}

/* What has not arrived by now does not any more. */
static void
close_stats (GstDeimBroker *broker, GstDeimBrokerStats *ret_stats)
{
  broker->stats.connected = FALSE;
  broker->stats.dropped += count_queued (broker);
  broker->stats.queued = 0;
  if (ret_stats)
    *ret_stats = broker->stats;
}

void
gst_deim_broker_free (GstDeimBroker *broker, GstClockTime wait, GstDeimBrokerStats *ret_stats)
{
  if (!broker)
    return;
  g_mutex_lock (&broker->lock);
  wait_for_arrival (broker, wait, is_connected);
  broker->stopping = TRUE;
  g_cond_broadcast (&broker->arrived);
  g_mutex_unlock (&broker->lock);
  g_cancellable_cancel (broker->cancellable);
  wake_thread (broker);

  /* A resolver may take minutes to give up, and nothing ends the library's wait for it. The thread is not waited for
   * then: it ends by itself when it comes back, and with it the broker. */
  GThread *thread = broker->thread;
  g_mutex_lock (&broker->lock);
  gint64 deadline = g_get_monotonic_time () + RESOLVER_TIMEOUT * G_TIME_SPAN_MILLISECOND;
  while (broker->connecting && g_cond_wait_until (&broker->arrived, &broker->lock, deadline))
    continue;
  gboolean abandoned = broker->abandoned = broker->connecting;
  if (abandoned) {
    GST_INFO_OBJECT (broker->owner, "the resolver does not answer; its thread is left to end by itself");
    close_stats (broker, ret_stats);
  }
  g_mutex_unlock (&broker->lock);
  if (abandoned) {
    g_thread_unref (thread);
    return;
  }
  if (thread)
    g_thread_join (thread);
  close_stats (broker, ret_stats);
  destroy (broker);
}

gboolean
gst_deim_broker_publish (GstDeimBroker *broker, const gchar *topic, const GString *payload)
{
  Document *document = g_new0 (Document, 1), *oldest = NULL;
  document->topic = g_strdup (topic);
  document->payload = g_strndup (payload->str, payload->len);
  document->size = payload->len;

  g_mutex_lock (&broker->lock);
  gboolean refused = broker->refused;
  if (broker->waiting.length >= broker->max_queued) {
    oldest = g_queue_pop_head (&broker->waiting);
    clear_suspicion (broker, oldest);
    broker->stats.dropped++;
  }
  g_queue_push_tail (&broker->waiting, document);
  gboolean tell = oldest && !broker->told_drop;
  broker->told_drop = broker->told_drop || tell;
  g_mutex_unlock (&broker->lock);
  wake_thread (broker);

  if (oldest)
    document_free (oldest);
  if (tell)
    post (broker, GST_MESSAGE_WARNING, GST_RESOURCE_ERROR_WRITE,
          g_strdup_printf ("%u documents wait for the MQTT broker, and the oldest are dropped from now on; raise "
                           "max-queued to bridge a longer outage, or see why the broker takes so few. \"stats\" counts "
                           "them.",
                           broker->max_queued),
          NULL);
  return !refused;
}

guint
gst_deim_broker_drain (GstDeimBroker *broker, GstClockTime wait)
{
  g_mutex_lock (&broker->lock);
  wait_for_arrival (broker, wait, is_not_flushing);
  guint left = count_queued (broker);
  g_mutex_unlock (&broker->lock);
  return left;
}

void
gst_deim_broker_set_flushing (GstDeimBroker *broker, gboolean flushing)
{
  g_mutex_lock (&broker->lock);
  broker->flushing = flushing;
  g_cond_broadcast (&broker->arrived);
  g_mutex_unlock (&broker->lock);
}

void
gst_deim_broker_get_stats (GstDeimBroker *broker, GstDeimBrokerStats *ret_stats)
{
  g_mutex_lock (&broker->lock);
  *ret_stats = broker->stats;
  ret_stats->queued = count_queued (broker);
  g_mutex_unlock (&broker->lock);
}
