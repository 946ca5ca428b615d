/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * gstdeimmqttlink.h - one connection to an MQTT broker (3.1.1), over libmosquitto.
 *
 * Nothing happens between calls: whoever owns the link drives it with gst_deim_mqtt_link_serve(). Documents that it
 * took at QoS 1 and 2 it sends again after a new connect, in their order, until the broker confirms them.
 *
 * Errors are in the domain GST_RESOURCE_ERROR; NOT_AUTHORIZED and SETTINGS are those that trying again does not mend.
 *
 * Thread-safety: one thread, the one that made it or another.
 */
#pragma once

#include <gio/gio.h>
#include <gst/gst.h>

G_BEGIN_DECLS

typedef struct _GstDeimMqttLink GstDeimMqttLink;

typedef struct {
  gchar *host;
  guint port;                  /* 0: 1883, or 8883 with TLS */
  gchar *client_id;            /* NULL or "": a made-up one, and no session that the broker keeps */
  gchar *username, *password;  /* NULL or "": none */
  gboolean tls;                /* @ca_file implies it */
  gchar *ca_file;              /* NULL or "": the certificates of the system */
  gchar *cert_file, *key_file; /* NULL or "": none */
  guint qos;                   /* 0 .. 2; 2 needs a client_id */
  gboolean retain;
} GstDeimMqttLinkOptions;

/*
 * GstDeimMqttArrived:
 * A document is where it should be: confirmed by the broker, or at QoS 0 in the hands of the system. Called from inside
 * gst_deim_mqtt_link_publish() and _serve().
 */
typedef void (*GstDeimMqttArrived) (gpointer data, gint number);

/* SETTINGS: an option that makes no sense, a file that is not there. @options need not outlive the call. */
GstDeimMqttLink *gst_deim_mqtt_link_new (const GstDeimMqttLinkOptions *options, GstDeimMqttArrived arrived,
                                         gpointer data, GError **error);
/* Says goodbye to the broker first, where there is a connection. */
void gst_deim_mqtt_link_free (GstDeimMqttLink *link);

/* Throws away what it took and has not seen confirmed, so that no later connection sends it, and has the broker forget
 * it too. Between connections. What the broker has passed on by then, without our knowing, arrives once more if it is
 * published again, at QoS 2 too. FALSE where a new client cannot be made (a file that was there is gone): then all is
 * as before. */
gboolean gst_deim_mqtt_link_forget (GstDeimMqttLink *link, GError **error);

/* "host:port", for messages. */
const gchar *gst_deim_mqtt_link_get_address (GstDeimMqttLink *link);

/* Begins to connect, in place of what connection there was. Waits for the resolver: for our own, which @cancellable
 * interrupts, and then once more for the library's, which nothing does. A host with addresses of both IPv6 and IPv4 is
 * tried with one and then the other, beginning with what worked last. */
gboolean gst_deim_mqtt_link_connect (GstDeimMqttLink *link, GCancellable *cancellable, GError **error);
/* Whether to connect again at once: it tries an address of another kind than those that have failed, or is the next
 * step after gst_deim_mqtt_link_forget(). */
gboolean gst_deim_mqtt_link_has_other (GstDeimMqttLink *link);
/* Whether the broker has accepted the connection. */
gboolean gst_deim_mqtt_link_is_up (GstDeimMqttLink *link);
/* Whether it was the broker (or what lies between) that ended the last one, which it had accepted, and not silence. */
gboolean gst_deim_mqtt_link_was_cut (GstDeimMqttLink *link);

/*
 * gst_deim_mqtt_link_serve:
 * @wake: a file descriptor; ends the waiting when there is something to read
 * @wait: how long to wait for the network at most, in milliseconds
 *
 * FALSE: the connection is over, or was never made.
 */
gboolean gst_deim_mqtt_link_serve (GstDeimMqttLink *link, gint wake, gint wait, GError **error);

/*
 * gst_deim_mqtt_link_publish:
 * @ret_number: (out): what GstDeimMqttArrived will call the document; set before that is called
 *
 * FALSE: it was not taken.
 */
gboolean gst_deim_mqtt_link_publish (GstDeimMqttLink *link, const gchar *topic, gconstpointer payload, gsize size,
                                     gint *ret_number, GError **error);

G_END_DECLS
