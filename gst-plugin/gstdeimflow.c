/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * gstdeimflow.c - the order of frames through deimdetect, and which of them are inferred.
 *
 *   enter ──► [ oldest ... newest ] ──► push
 *               │ skipped: ready at once
 *               │ submitted: ready when the engine is done
 *
 * Invariants:
 *  - Frames leave in the order in which they came; nothing overtakes.
 *  - submitted + n_abandoned <= slots; pending <= ring_limit.
 *  - After advance() at most slots - 1 inferences are out, unless the element is overloaded. So with one slot every
 *    frame leaves within its own chain call.
 *  - Every frame leaves within the announced latency, or as soon after as its inference is done: through the next
 *    frame's chain call, through a serialized event or query, or through the linger thread.
 *  - Serialized events stay where they are among the frames. In a live stream those that change nothing about frames
 *    (gaps, tags, what applications send) leave behind the frame that they came behind; all frames leave before the
 *    others.
 *  - A live stream is not made to wait for longer than a frame, unless it is told to by qos=false. One that is quicker
 *    than the device is overloaded: frames that come during an inference are not inferred. All of them stay for the
 *    announced latency, so that one leaves for each that comes: in bursts they would wait for their time in the sink,
 *    and the frames behind them for this thread. An inference that would keep a whole ring waiting is given up. The
 *    latency is counted from when they came: were they kept until a sink wants them, one would leave and wait there for
 *    each that comes, and a backlog before this element would stay for ever and cost inferences their time.
 *  - A frame in overload that is late already, because it waited upstream, stays for an inference instead of for the
 *    whole latency. At most two leave for each that comes: the backlog drains, and nothing leaves in bursts.
 *
 * Frames are pushed here and not by the base class: three places push, and the base class would put a pending
 * DISCONT mark on whatever frame it pushes next.
 */
#include "gstdeimdetect.h"

GST_DEBUG_CATEGORY_EXTERN (gst_deim_debug);
#define GST_CAT_DEFAULT gst_deim_debug

/* So many frames in a row must find the device idle before live overload is over. */
#define IDLE_FRAMES 8
/* Two inferences that wait for each other take twice as long; in overload that pays while they are shorter than this.
 */
#define SHORT_FRAMES 4
/* In overload so many frames leave for each that comes. */
#define MOST_LEAVING 2

GstDeimPending *
gst_deim_flow_nth (GstDeimDetect *self, guint n)
{
  return &self->ring[(self->first + n) % GST_DEIM_RING];
}

static GstDeimPending *
oldest (GstDeimDetect *self)
{
  return self->pending > 0 ? gst_deim_flow_nth (self, 0) : NULL;
}

static gboolean
is_unfinished (const GstDeimPending *frame)
{
  return frame->skip == GST_DEIM_SKIP_NONE && !frame->detections;
}

static void
forget_oldest (GstDeimDetect *self)
{
  self->first = (self->first + 1) % GST_DEIM_RING;
  self->pending--;
}

/* Takes over what the application has changed: for the frame that comes next, and for the one that leaves next. */
static void
follow_settings (GstDeimDetect *self)
{
  GST_OBJECT_LOCK (self);
  gboolean changed = self->settings_changed;
  GST_OBJECT_UNLOCK (self);
  if (!changed)
    return;
  gboolean passed_through = self->pass_through;
  g_autoptr (GError) error = NULL;
  if (!gst_deim_settings_read (self, &error))
    GST_ELEMENT_WARNING (self, RESOURCE, SETTINGS, ("%s", error->message), ("the former setting stays in force"));
  if (passed_through && !self->pass_through)
    gst_deim_timing_update_latency (self, FALSE);
}

/* ---------------------------------------------------------------------- out */

/* Takes the results that are there, which makes their slots free. The engine computes in the order of submission. */
static GstFlowReturn
collect_finished (GstDeimDetect *self)
{
  GstFlowReturn flow = GST_FLOW_OK;
  for (guint i = 0; i < self->pending && self->submitted > 0 && flow == GST_FLOW_OK; i++) {
    GstDeimPending *frame = gst_deim_flow_nth (self, i);
    if (!is_unfinished (frame))
      continue;
    if (!deim_detector_is_done (self->detector, frame->ticket))
      break;
    flow = gst_deim_submit_collect (self, frame);
  }
  return flow;
}

static void
push_events (GstDeimDetect *self, GQueue *events)
{
  GstEvent *event;
  while ((event = g_queue_pop_head (events)))
    gst_pad_push_event (GST_BASE_TRANSFORM_SRC_PAD (self), event);
}

/* Those that stick to a pad do so after a flush, too. */
static void
discard_events (GstDeimDetect *self, GQueue *events)
{
  GstEvent *event;
  for (; (event = g_queue_pop_head (events)); gst_event_unref (event))
    if (GST_EVENT_IS_STICKY (event))
      gst_pad_store_sticky_event (GST_BASE_TRANSFORM_SRC_PAD (self), event);
}

/* Lets the oldest frame go, waiting for its inference where there is one. */
static GstFlowReturn
push_oldest (GstDeimDetect *self)
{
  GstDeimPending *frame = oldest (self);
  GstFlowReturn flow = is_unfinished (frame) ? gst_deim_submit_collect (self, frame) : GST_FLOW_OK;
  if (flow == GST_FLOW_OK && g_atomic_int_get (&self->flushing))
    flow = GST_FLOW_FLUSHING;
  if (flow != GST_FLOW_OK) {
    gst_deim_flow_discard (self);
    return flow;
  }
  /* Pushing may come back to this element (a seek from a probe), so the frame leaves the ring first. */
  GstDeimPending leaving = *frame;
  forget_oldest (self);
  follow_settings (self);
  flow = gst_deim_push (self, &leaving);
  push_events (self, &leaving.events);
  return flow;
}

/* Whether a frame whose result is there has to stay: in overload, until the chain call before its latency is over. That
 * goes by when this call began: the sink may hold the thread for as long as a frame for each that leaves, and were that
 * counted, another would leave, and be waited for, in every call, and those that come would pile up upstream. */
static gboolean
is_early (GstDeimDetect *self, const GstDeimPending *frame)
{
  gint64 next = self->came + (gint64) (self->duration / GST_USECOND);
  return self->overloaded && next < gst_deim_timing_deadline (self, frame) && !gst_deim_timing_is_overdue (self, frame);
}

/* Pushes the frames that need not wait any more. */
static GstFlowReturn
push_ready (GstDeimDetect *self)
{
  GstFlowReturn flow = collect_finished (self);
  while (flow == GST_FLOW_OK && self->pending > 0 && !is_unfinished (oldest (self)) &&
         !is_early (self, oldest (self)) && (!self->overloaded || self->left++ < MOST_LEAVING))
    flow = push_oldest (self);
  return flow;
}

/* A live source that is held up drops frames, or queues them without end. */
static gboolean
must_not_wait (GstDeimDetect *self)
{
  GST_OBJECT_LOCK (self);
  gboolean live = self->live;
  GST_OBJECT_UNLOCK (self);
  return live && self->qos;
}

static void
overload (GstDeimDetect *self)
{
  if (!self->overloaded)
    GST_INFO_OBJECT (self, "slower than the live source: skipping inferences to keep up");
  self->overloaded = TRUE;
  self->idle = 0;
}

/* Waits for the oldest inference; a live source for no longer than a frame, after which FALSE says that it goes on. */
static gboolean
wait_for_oldest (GstDeimDetect *self)
{
  if (!must_not_wait (self) || deim_detector_wait (self->detector, oldest (self)->ticket, self->duration / GST_USECOND))
    return TRUE;
  overload (self);
  return FALSE;
}

GstFlowReturn
gst_deim_flow_advance (GstDeimDetect *self)
{
  GstFlowReturn flow = push_ready (self);
  while (flow == GST_FLOW_OK && self->submitted >= self->slots && !self->overloaded && wait_for_oldest (self)) {
    flow = push_oldest (self);
    if (flow == GST_FLOW_OK)
      flow = push_ready (self);
  }
  self->active = g_get_monotonic_time ();
  gst_deim_spare_pool (self);
  if (self->pending > 0) /* whatever it waits for, no other frame may come */
    gst_deim_timing_arm (self, gst_deim_timing_deadline (self, oldest (self)));
  return flow;
}

gboolean
gst_deim_flow_hold_event (GstDeimDetect *self, GstEvent *event)
{
  switch (GST_EVENT_TYPE (event)) {
  case GST_EVENT_GAP:
  case GST_EVENT_TAG:
  case GST_EVENT_TOC:
  case GST_EVENT_SINK_MESSAGE:
  case GST_EVENT_CUSTOM_DOWNSTREAM:
  case GST_EVENT_CUSTOM_DOWNSTREAM_STICKY:
    break;
  default:
    return FALSE;
  }
  if (self->pending == 0 || !must_not_wait (self))
    return FALSE;
  g_queue_push_tail (&gst_deim_flow_nth (self, self->pending - 1)->events, event);
  return TRUE;
}

GstFlowReturn
gst_deim_flow_drain (GstDeimDetect *self)
{
  GstFlowReturn flow = self->flow;
  while (flow == GST_FLOW_OK && self->pending > 0)
    flow = push_oldest (self);
  if (flow != GST_FLOW_OK)
    gst_deim_flow_discard (self);
  return flow;
}

void
gst_deim_flow_discard (GstDeimDetect *self)
{
  guint discarded = self->pending;
  for (; self->pending > 0; forget_oldest (self)) {
    GstDeimPending *frame = oldest (self);
    if (is_unfinished (frame))
      self->abandoned[self->n_abandoned++] = frame->ticket;
    g_clear_pointer (&frame->detections, g_array_unref);
    gst_clear_buffer (&frame->buffer);
    discard_events (self, &frame->events);
  }
  self->submitted = 0;
  self->overloaded = FALSE;
  self->since_inferred = 0;
  GST_OBJECT_LOCK (self);
  self->counts.discarded += discarded;
  GST_OBJECT_UNLOCK (self);
}

gint64
gst_deim_flow_push_overdue (GstDeimDetect *self)
{
  GstDeimPending *frame = oldest (self);
  if (!frame || self->flow != GST_FLOW_OK || g_atomic_int_get (&self->flushing))
    return 0;
  gint64 now = g_get_monotonic_time (), duration = (gint64) (self->duration / GST_USECOND);
  /* While frames keep coming they push those before them: a sink may make them wait for longer than the latency. */
  gint64 deadline = MAX (gst_deim_timing_deadline (self, frame), self->active + 2 * duration);
  if (deadline > now)
    return deadline;
  GstFlowReturn flow = collect_finished (self);
  if (flow == GST_FLOW_OK && is_unfinished (frame)) /* waiting here would hold up the frames that come */
    return now + duration;
  if (flow == GST_FLOW_OK)
    flow = push_oldest (self);
  if (flow == GST_FLOW_FLUSHING) /* over when the next frame comes */
    return 0;
  if (flow == GST_FLOW_ERROR) { /* the chain function returns it to upstream */
    self->flow = flow;
    gst_deim_flow_discard (self);
    return 0;
  }
  /* Other results (NOT_LINKED, EOS) hold for this frame: what downstream says to the next one counts when it is pushed.
   * A frame that comes at last must not wait behind all of them: the lock is not fair. */
  return self->pending > 0 ? g_get_monotonic_time () + duration : 0;
}

/* ----------------------------------------------------------------------- in */

/* Whether one more inference would make a stream wait that cannot: for a slot, or for so long that nothing is gained.
 */
static gboolean
is_busy (GstDeimDetect *self)
{
  if (!must_not_wait (self))
    return self->submitted >= self->slots;
  gst_deim_submit_reap (self);
  if (self->submitted + self->n_abandoned >= self->slots) {
    overload (self);
    return TRUE;
  }
  GST_OBJECT_LOCK (self);
  gboolean is_short = self->counts.inference <= SHORT_FRAMES * self->duration;
  GST_OBJECT_UNLOCK (self);
  return self->overloaded && self->submitted > 0 && !is_short;
}

static GstDeimSkip
choose_skip (GstDeimDetect *self, const GstDeimPending *frame)
{
  if (self->pass_through)
    return GST_DEIM_SKIP_OFF;
  /* The first frame is inferred, then every interval-th; one that is skipped for another reason hands its turn on. */
  if (self->since_inferred > 0 && self->since_inferred < self->interval)
    return GST_DEIM_SKIP_INTERVAL;
  if (gst_deim_timing_is_late (self, frame))
    return GST_DEIM_SKIP_LATE;
  if (is_busy (self))
    return GST_DEIM_SKIP_OVERLOAD;
  return GST_DEIM_SKIP_NONE;
}

/* Lets the oldest frame of a full ring go: without its result, where waiting for that would hold up a live stream. */
static GstFlowReturn
make_room (GstDeimDetect *self)
{
  GstDeimPending *frame = oldest (self);
  if (self->overloaded && is_unfinished (frame)) {
    self->abandoned[self->n_abandoned++] = frame->ticket;
    self->submitted--;
    frame->skip = GST_DEIM_SKIP_OVERLOAD;
    gst_deim_timing_post_qos (self, frame);
    gst_deim_timing_note_inference (self, g_get_monotonic_time () - frame->entered); /* and it goes on */
    if (!self->gave_up)
      GST_ELEMENT_WARNING (self, RESOURCE, BUSY,
                           ("An inference takes longer than %u frames of this live stream can wait, so that nothing is "
                            "detected in time; use a smaller model, a quicker device or fewer frames a second.",
                            self->ring_limit),
                           ("qos=false would wait for it, and hold the source up"));
    self->gave_up = TRUE;
  }
  return push_oldest (self);
}

/* Makes room for one more frame, and finds out whether the device keeps up again. */
static GstFlowReturn
prepare (GstDeimDetect *self)
{
  GstFlowReturn flow = self->flow;
  /* In overload this takes finished inferences out and does not wait for the others. */
  if (flow == GST_FLOW_OK)
    flow = gst_deim_flow_advance (self);
  while (flow == GST_FLOW_OK && self->pending >= self->ring_limit)
    flow = make_room (self);
  if (flow != GST_FLOW_OK || !self->overloaded)
    return flow;

  gst_deim_submit_reap (self);
  self->idle = self->submitted + self->n_abandoned == 0 ? self->idle + 1 : 0;
  if (self->idle < IDLE_FRAMES && self->qos)
    return flow;
  GST_INFO_OBJECT (self, "as quick as the live source again, or told to wait");
  self->overloaded = FALSE;
  return gst_deim_flow_advance (self);
}

GstFlowReturn
gst_deim_flow_enter (GstDeimDetect *self, GstBuffer *buffer)
{
  follow_settings (self);
  self->came = g_get_monotonic_time ();
  self->left = 0;
  GstFlowReturn flow = prepare (self);
  if (flow != GST_FLOW_OK) {
    gst_buffer_unref (buffer);
    return flow;
  }
  const GstSegment *segment = &GST_BASE_TRANSFORM (self)->segment;
  GstDeimPending *frame = gst_deim_flow_nth (self, self->pending);
  *frame = (GstDeimPending){ .buffer = buffer,
                             .frame = self->next_frame++,
                             .running = gst_deim_running_time (segment, GST_BUFFER_PTS (buffer)),
                             .entered = self->came };
  frame->skip = choose_skip (self, frame);
  GST_OBJECT_LOCK (self);
  self->counts.frames++;
  GST_OBJECT_UNLOCK (self);
  GST_LOG_OBJECT (self, "frame %" G_GUINT64_FORMAT " in: %u wait, %u are inferred", frame->frame, self->pending,
                  self->submitted);
  if (frame->skip == GST_DEIM_SKIP_LATE || frame->skip == GST_DEIM_SKIP_OVERLOAD)
    gst_deim_timing_post_qos (self, frame);
  if (frame->skip == GST_DEIM_SKIP_NONE)
    flow = gst_deim_submit (self, frame);
  if (frame->skip == GST_DEIM_SKIP_NONE)
    self->since_inferred = 1;
  else if (frame->skip == GST_DEIM_SKIP_INTERVAL)
    self->since_inferred++;
  else if (frame->skip == GST_DEIM_SKIP_OFF)
    self->since_inferred = 0;
  if (flow != GST_FLOW_OK) {
    gst_buffer_unref (buffer);
    return flow;
  }
  self->pending++;
  return GST_FLOW_OK;
}
