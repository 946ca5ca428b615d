/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * gstdeimtiming.c - time in deimdetect: the latency it answers for, frames that come too late, and frames that would
 * stay because no other comes after them.
 */
#include "gstdeimdetect.h"

GST_DEBUG_CATEGORY_EXTERN (gst_deim_debug);
#define GST_CAT_DEFAULT gst_deim_debug

/* ------------------------------------------------------------------ latency */

/*
 * Nominally a frame is held until `slots` more have come. Where the device is slower than that, it is one inference,
 * and the time until the next frame comes and looks; only a live pipeline needs to know. What is announced has a
 * quarter of headroom, and stays until it is too little or twice too much: redistributing latency disturbs a running
 * pipeline. For the same reason pass-through, which holds nothing, is announced from the start only, and what was
 * announced before it was turned on stays.
 */
void
gst_deim_timing_update_latency (GstDeimDetect *self, gboolean exact)
{
  GST_OBJECT_LOCK (self);
  GstClockTime nominal = self->pass_through ? 0 : self->slots * self->duration, needed = nominal, wanted = nominal;
  if (self->live && self->counts.slowest > 0) {
    needed = MAX (nominal, self->counts.slowest + self->duration);
    wanted = MAX (nominal, needed + self->counts.slowest / 4);
  }
  GstClockTime former = self->latency;
  gboolean announce = exact ? wanted != former : needed > former || wanted < former / 2;
  if (announce)
    self->latency = wanted;
  GST_OBJECT_UNLOCK (self);

  if (announce) {
    GST_INFO_OBJECT (self, "latency %" GST_TIME_FORMAT ", was %" GST_TIME_FORMAT, GST_TIME_ARGS (wanted),
                     GST_TIME_ARGS (former));
    gst_element_post_message (GST_ELEMENT (self), gst_message_new_latency (GST_OBJECT (self)));
  }
}

void
gst_deim_timing_note_inference (GstDeimDetect *self, gint64 microseconds)
{
  GstClockTime time = (GstClockTime) MAX (microseconds, 0) * GST_USECOND;
  if (self->cold > 0) {
    self->cold--;
    return;
  }
  GST_OBJECT_LOCK (self);
  GstClockTime *average = &self->counts.inference, *slowest = &self->counts.slowest;
  *average = *average == 0 ? time : (*average * 7 + time) / 8;
  *slowest = MAX (time, *slowest - *slowest / 32);
  GST_OBJECT_UNLOCK (self);
  gst_deim_timing_update_latency (self, FALSE);
}

/* --------------------------------------------------------------------- late */

/* Microseconds without an inference after which a late sink is not this element's doing. */
#define QOS_PATIENCE G_USEC_PER_SEC

/* Whether lateness is for this element to mend, by fewer inferences. The object lock is held. */
static gboolean
can_catch_up (GstDeimDetect *self)
{
  gint64 patience = QOS_PATIENCE + (gint64) (2 * self->counts.inference / GST_USECOND);
  return self->settings.qos && !self->settings.pass_through && g_get_monotonic_time () < self->busy + patience;
}

gboolean
gst_deim_timing_hear_qos (GstDeimDetect *self, GstEvent *event)
{
  GstClockTimeDiff diff;
  GstClockTime timestamp;
  gdouble proportion;
  gst_event_parse_qos (event, NULL, &proportion, &diff, &timestamp);
  GST_OBJECT_LOCK (self);
  self->proportion = proportion;
  /* A late sink is given twice what it lacks, so that it catches up; one that is early moves the mark back. */
  if (!GST_CLOCK_TIME_IS_VALID (timestamp))
    self->earliest = GST_CLOCK_TIME_NONE;
  else if (diff > 0)
    self->earliest = timestamp + 2 * (GstClockTime) diff;
  else
    self->earliest = timestamp > (GstClockTime) -diff ? timestamp - (GstClockTime) -diff : 0;
  gboolean mends = diff > 0 && can_catch_up (self);
  GST_OBJECT_UNLOCK (self);
  return mends;
}

gboolean
gst_deim_timing_is_late (GstDeimDetect *self, const GstDeimPending *frame)
{
  if (!self->qos || !GST_CLOCK_TIME_IS_VALID (frame->running))
    return FALSE;
  GST_OBJECT_LOCK (self);
  GstClockTime earliest = self->earliest;
  GST_OBJECT_UNLOCK (self);
  return GST_CLOCK_TIME_IS_VALID (earliest) && frame->running <= earliest;
}

void
gst_deim_timing_post_qos (GstDeimDetect *self, const GstDeimPending *frame)
{
  GstClockTime pts = GST_BUFFER_PTS (frame->buffer), running = frame->running;
  guint64 stream = gst_deim_stream_time (&GST_BASE_TRANSFORM (self)->segment, pts);

  GST_OBJECT_LOCK (self);
  gboolean live = self->live;
  gdouble proportion = self->proportion;
  gint64 jitter = 0;
  if (GST_CLOCK_TIME_IS_VALID (self->earliest) && GST_CLOCK_TIME_IS_VALID (running))
    jitter = GST_CLOCK_DIFF (running, self->earliest);
  guint64 inferred = self->counts.inferred, skipped = ++self->counts.told;
  GST_OBJECT_UNLOCK (self);

  GstMessage *message =
      gst_message_new_qos (GST_OBJECT (self), live, running, stream, pts, GST_BUFFER_DURATION (frame->buffer));
  gst_message_set_qos_values (message, jitter, proportion, 1000000);
  gst_message_set_qos_stats (message, GST_FORMAT_BUFFERS, inferred, skipped);
  gst_element_post_message (GST_ELEMENT (self), message);
}

gboolean
gst_deim_timing_is_overdue (GstDeimDetect *self, const GstDeimPending *frame)
{
  GST_OBJECT_LOCK (self);
  GstClockTime slowest = self->counts.slowest, duration = self->duration;
  GstClockTime latency = self->configured;
  if (!GST_CLOCK_TIME_IS_VALID (latency))
    latency = self->upstream_latency + self->latency;
  GST_OBJECT_UNLOCK (self);
  GstClockTime age = (GstClockTime) MAX (self->came - frame->entered, 0) * GST_USECOND;
  GstClockTime passed = (GstClockTime) (g_get_monotonic_time () - self->came) * GST_USECOND; /* held by the sink */
  GstClockTime now = gst_element_get_current_running_time (GST_ELEMENT (self));
  if (slowest == 0 || age < slowest + duration || !GST_CLOCK_TIME_IS_VALID (now) ||
      !GST_CLOCK_TIME_IS_VALID (frame->running))
    return FALSE;
  /* The next chain call may be a frame away, and then it is too late. The sink holds this thread until the frame's time
   * meanwhile; in the quarter that is left, those that wait upstream come in. */
  return now + duration - duration / 4 >= frame->running + latency + passed;
}

/* ------------------------------------------------------------------- linger */

/*
 * Without the linger thread a frame would leave only when the next one comes: a camera that stalls would take its
 * last picture along. It sleeps until the oldest frame is overdue; while frames keep coming that is once per latency,
 * with nothing to do.
 */
gint64
gst_deim_timing_deadline (GstDeimDetect *self, const GstDeimPending *frame)
{
  GST_OBJECT_LOCK (self);
  gint64 latency = (gint64) (self->latency / GST_USECOND);
  GST_OBJECT_UNLOCK (self);
  return frame->entered + latency;
}

void
gst_deim_timing_arm (GstDeimDetect *self, gint64 until)
{
  g_mutex_lock (&self->linger_lock);
  if (self->linger_until == 0 || until < self->linger_until) { /* earlier when the latency has shrunk */
    self->linger_until = until;
    g_cond_signal (&self->linger_cond);
  }
  g_mutex_unlock (&self->linger_lock);
}

static gpointer
linger_main (gpointer data)
{
  GstDeimDetect *self = data;
  GstPad *sink = GST_BASE_TRANSFORM_SINK_PAD (self);

  g_mutex_lock (&self->linger_lock);
  while (!self->linger_quit) {
    if (self->linger_until == 0) {
      g_cond_wait (&self->linger_cond, &self->linger_lock);
      continue;
    }
    if (g_get_monotonic_time () < self->linger_until) {
      g_cond_wait_until (&self->linger_cond, &self->linger_lock, self->linger_until);
      continue;
    }
    /* Disarmed before looking, so that a frame that comes right after the look arms it again. */
    self->linger_until = 0;
    g_mutex_unlock (&self->linger_lock);
    GST_PAD_STREAM_LOCK (sink);
    gint64 next = gst_deim_flow_push_overdue (self);
    if (next)
      gst_deim_timing_arm (self, next);
    GST_PAD_STREAM_UNLOCK (sink);
    g_mutex_lock (&self->linger_lock);
  }
  g_mutex_unlock (&self->linger_lock);
  return NULL;
}

void
gst_deim_timing_start (GstDeimDetect *self)
{
  self->linger_quit = FALSE;
  self->linger_until = 0;
  self->linger = g_thread_new ("deim-linger", linger_main, self);
}

void
gst_deim_timing_stop (GstDeimDetect *self)
{
  if (!self->linger)
    return;
  g_mutex_lock (&self->linger_lock);
  self->linger_quit = TRUE;
  g_cond_signal (&self->linger_cond);
  g_mutex_unlock (&self->linger_lock);
  g_clear_pointer (&self->linger, g_thread_join);
}
