/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * gstdeimspare.c - frames that wait in deimdetect must not hold upstream's buffers back.
 *
 * A camera has a few buffers. While the element waits for an inference, and in overload for its whole latency, more
 * frames than those are inside; letting them go earlier would only move the wait to the sink, which holds the streaming
 * thread then. So frames are copied whose pool has a limit: one copy of each that waits is cheap beside an inference.
 */
#include "gstdeimdetect.h"

#include "gstdeimframe.h"

/* So many buffers of @pool may stay here: what the ALLOCATION query asks for, unless that is more than half of them. */
static guint
get_share (GstDeimDetect *self, GstBufferPool *pool)
{
  guint most = 0;
  GstStructure *config = gst_buffer_pool_get_config (pool);
  gst_buffer_pool_config_get_params (config, NULL, NULL, NULL, &most);
  gst_structure_free (config);
  return most > 0 ? MIN (self->slots, most / 2) : G_MAXUINT;
}

/* The pool that gets the memory of @buffer back: where it is another buffer around the same memory, its parent's. */
static GstBufferPool *
pool_of (GstBuffer *buffer)
{
  const GstParentBufferMeta *parent;
  while (!buffer->pool && (parent = gst_buffer_get_parent_buffer_meta (buffer)))
    buffer = parent->buffer;
  return buffer->pool;
}

/* Memory and all; so it needs no parent, which a copy of the metadata would keep alive. */
static GstBuffer *
copy_whole (GstBuffer *buffer)
{
  GstBuffer *copy = gst_buffer_copy_deep (buffer);
  GstParentBufferMeta *parent;
  while (copy && (parent = gst_buffer_get_parent_buffer_meta (copy)))
    gst_buffer_remove_meta (copy, &parent->parent);
  return copy;
}

void
gst_deim_spare_pool (GstDeimDetect *self)
{
  GstBufferPool *pool = self->pending > 0 ? pool_of (gst_deim_flow_nth (self, self->pending - 1)->buffer) : NULL;
  if (!pool || self->keeps_memory)
    return;
  guint share = get_share (self, pool), held = 0;
  if (self->pending <= share)
    return;
  for (guint i = 0; i < self->pending; i++)
    held += pool_of (gst_deim_flow_nth (self, i)->buffer) == pool;
  for (guint i = 0; i < self->pending && held > share; i++) {
    GstDeimPending *frame = gst_deim_flow_nth (self, i);
    if (pool_of (frame->buffer) != pool || (frame->in_place && !frame->detections))
      continue;
    GstBuffer *copy = copy_whole (frame->buffer);
    if (!copy)
      return;
    gst_buffer_unref (frame->buffer);
    frame->buffer = copy;
    held--;
  }
}

void
gst_deim_spare_grow_pools (GstDeimDetect *self, GstQuery *query)
{
  guint pools = gst_query_get_n_allocation_pools (query);
  for (guint i = 0; i < pools; i++) {
    g_autoptr (GstBufferPool) pool = NULL;
    guint size, min, max;
    gst_query_parse_nth_allocation_pool (query, i, &pool, &size, &min, &max);
    min += self->slots;
    if (max > 0)
      min = MIN (min, max);
    gst_query_set_nth_allocation_pool (query, i, pool, size, min, max);
  }
  GstCaps *caps;
  GstVideoInfo info;
  gst_query_parse_allocation (query, &caps, NULL);
  if (pools == 0 && caps && gst_deim_frame_info (&info, caps))
    gst_query_add_allocation_pool (query, NULL, (guint) GST_VIDEO_INFO_SIZE (&info), self->slots + 1, 0);
}
