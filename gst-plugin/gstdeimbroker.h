/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * gstdeimbroker.h - documents to an MQTT broker, from a thread of its own, so that nobody else ever waits for a
 * network.
 *
 * A document waits in a queue, is on the way once the connection has taken it (20 are at most), and is gone when it has
 * arrived: confirmed by the broker, or at QoS 0 in the hands of the system. When a connection ends, the next one sends
 * what was on the way first, in its order. Nothing is lost but what the queue has no room for (then the documents that
 * have waited longest are dropped, and counted), and a document on which the broker hangs up, as one that is too large
 * for it: sent on three connections in a row, on the last of them alone, it is dropped and counted too.
 *
 * The element that owns it posts what there is to say: a warning when an outage begins, an information when it is over,
 * a warning when documents begin to be dropped, or one is given up; and an error where the broker refuses the first
 * connection for good (password, certificate). Nothing is sent then.
 *
 * Thread-safety: safe, but gst_deim_broker_free() must be the last call.
 */
#pragma once

#include "gstdeimmqttlink.h"

G_BEGIN_DECLS

typedef struct _GstDeimBroker GstDeimBroker;

typedef struct {
  gboolean connected;
  guint64 connections; /* how many were made */
  guint64 published;   /* documents that have arrived */
  guint64 dropped;     /* documents given up */
  guint queued;        /* documents that wait or are on the way */
} GstDeimBrokerStats;

/*
 * gst_deim_broker_new:
 * @owner: (not owned): must outlive the broker
 * @max_queued: how many documents may wait, >= 1
 *
 * Returns at once; the connection is made in the background. Errors are those of gst_deim_mqtt_link_new().
 */
GstDeimBroker *gst_deim_broker_new (GstElement *owner, const GstDeimMqttLinkOptions *options, guint max_queued,
                                    GError **error);

/*
 * gst_deim_broker_free:
 * @wait: how long to wait for documents that have not arrived; only while there is a connection
 * @ret_stats: (out) (optional): the last counts, with what has not arrived among the dropped
 *
 * Beyond @wait it takes half a second at most. Where the resolver of the C library does not answer by then, the thread
 * that waits for it is left to itself: it touches nothing but what is its own, posts nothing, and ends when it has an
 * answer.
 */
void gst_deim_broker_free (GstDeimBroker *broker, GstClockTime wait, GstDeimBrokerStats *ret_stats);

/* Queues a document; never waits. FALSE: we were refused, which was posted as an error. */
gboolean gst_deim_broker_publish (GstDeimBroker *broker, const gchar *topic, const GString *document);

/* Waits until all documents have arrived, but no longer than @wait, and not while flushing. Returns how many have not.
 */
guint gst_deim_broker_drain (GstDeimBroker *broker, GstClockTime wait);
void gst_deim_broker_set_flushing (GstDeimBroker *broker, gboolean flushing);

void gst_deim_broker_get_stats (GstDeimBroker *broker, GstDeimBrokerStats *ret_stats);

G_END_DECLS
