/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * feed.h - keeps a detector busy: frames are submitted ahead as far as it has
 * slots, results come back in order, each with the item it was pushed with.
 * Thread-safety: one thread at a time.
 */
#pragma once

#include <deim.h>

typedef struct _DeimFeed DeimFeed;

/* @detections: (of DeimDetection) and @item are the feed's; FALSE with @error ends the push or flush that called. */
typedef gboolean (*DeimFeedFunc) (gpointer item, GArray *detections, gpointer user_data, GError **error);

/* @free_item is called once for each item, whatever happens to its frame. */
DeimFeed *deim_feed_new (DeimDetector *detector, DeimFeedFunc func, gpointer user_data, GDestroyNotify free_item);

/* Submits @frame (read during the call only); first collects the oldest when all slots are taken. Takes @item. */
gboolean deim_feed_push (DeimFeed *feed, const DeimFrame *frame, gpointer item, GError **error);

/* Collects all that is under way. */
gboolean deim_feed_flush (DeimFeed *feed, GError **error);

/* Drops what is under way. */
void deim_feed_free (DeimFeed *feed);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (DeimFeed, deim_feed_free)
