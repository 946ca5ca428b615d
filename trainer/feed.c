/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* feed.c - a queue of tickets. */
#include "feed.h"

typedef struct {
  guint64 ticket;
  gpointer item;
} Pending;

struct _DeimFeed {
  DeimDetector *detector;
  DeimFeedFunc func;
  gpointer user_data;
  GDestroyNotify free_item;
  guint limit;
  GArray *pending; /* of Pending, oldest first; never more than @limit */
};

DeimFeed *
deim_feed_new (DeimDetector *detector, DeimFeedFunc func, gpointer user_data, GDestroyNotify free_item)
{
  DeimFeed *feed = g_new0 (DeimFeed, 1);

  feed->detector = deim_detector_ref (detector);
  feed->func = func;
  feed->user_data = user_data;
  feed->free_item = free_item;
  feed->limit = deim_detector_get_in_flight (detector);
  feed->pending = g_array_new (FALSE, FALSE, sizeof (Pending));
  return feed;
}

static void
free_item (DeimFeed *feed, gpointer item)
{
  if (feed->free_item && item)
    feed->free_item (item);
}

static gboolean
collect_oldest (DeimFeed *feed, GError **error)
{
  Pending oldest = g_array_index (feed->pending, Pending, 0);

  g_array_remove_index (feed->pending, 0);
  g_autoptr (GArray) detections = deim_detector_collect (feed->detector, oldest.ticket, error);
  gboolean ok = detections && feed->func (oldest.item, detections, feed->user_data, error);
  free_item (feed, oldest.item);
  return ok;
}

gboolean
deim_feed_push (DeimFeed *feed, const DeimFrame *frame, gpointer item, GError **error)
{
  Pending next = { .item = item };

  if ((feed->pending->len >= feed->limit && !collect_oldest (feed, error)) ||
      !deim_detector_submit (feed->detector, frame, &next.ticket, error)) {
    free_item (feed, item);
    return FALSE;
  }
  g_array_append_val (feed->pending, next);
  return TRUE;
}

gboolean
deim_feed_flush (DeimFeed *feed, GError **error)
{
  while (feed->pending->len > 0)
    if (!collect_oldest (feed, error))
      return FALSE;
  return TRUE;
}

void
deim_feed_free (DeimFeed *feed)
{
  if (!feed)
    return;
  for (guint i = 0; i < feed->pending->len; i++) {
    Pending *pending = &g_array_index (feed->pending, Pending, i);
    deim_detector_drop (feed->detector, pending->ticket);
    free_item (feed, pending->item);
  }
  g_array_unref (feed->pending);
  deim_detector_unref (feed->detector);
  g_free (feed);
}
