/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* detector.c - the frames of one stream. See engine-private.h. */
#include "engine-private.h"

#include "error.h"

/* ------------------------------------------------------------------ object */

DeimDetector *
deim_engine_add_detector (DeimEngine *engine, guint in_flight, DeimResize resize, GError **error)
{
  in_flight = in_flight ? in_flight : 2;
  if (in_flight > DEIM_MAX_IN_FLIGHT) {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_SETTINGS, "%u frames in flight; take 1 to %d", in_flight,
                 DEIM_MAX_IN_FLIGHT);
    return NULL;
  }
  const DeimDetectorOptions *o = &engine->options;
  DeimDetector *self = g_new0 (DeimDetector, 1);
  g_atomic_ref_count_init (&self->refs);
  g_cond_init (&self->done);
  self->engine = deim_engine_ref (engine);
  self->in_flight = in_flight;
  self->next_ticket = 1;
  self->profile = g_array_new (FALSE, TRUE, sizeof (DeimProfileEntry));
  for (guint i = 0; i < in_flight; i++) {
    DeimSeat *seat = &self->seats[i];
    seat->detector = self;
    seat->preprocessor =
        deim_preprocessor_new (deim_device_get_gpu (engine->device), o->width, o->height, resize, o->timestamps);
    seat->records = g_new (gfloat, (gsize) DEIM_RECORD * o->max_detections);
  }
  deim_engine_add (engine, self);
  return self;
}

DeimDetector *
deim_detector_new (DeimModel *model, DeimDevice *device, const DeimDetectorOptions *options, GError **error)
{
  g_autoptr (DeimEngine) engine = deim_engine_new (model, device, options, error);
  if (!engine)
    return NULL;
  return deim_engine_add_detector (engine, options ? options->in_flight : 0,
                                   options ? options->resize : DEIM_RESIZE_STRETCH, error);
}

DeimDetector *
deim_detector_ref (DeimDetector *self)
{
  g_atomic_ref_count_inc (&self->refs);
  return self;
}

void
deim_detector_destroy (DeimDetector *self)
{
  for (guint i = 0; i < self->in_flight; i++) {
    deim_preprocessor_free (self->seats[i].preprocessor);
    g_free (self->seats[i].records);
    g_clear_error (&self->seats[i].error);
  }
  g_cond_clear (&self->done);
  g_array_unref (self->profile);
  g_free (self);
}

/* Nobody waits for the frames that wait or run: the worker frees what still runs when it has ended. */
void
deim_detector_unref (DeimDetector *self)
{
  if (!self || !g_atomic_ref_count_dec (&self->refs))
    return;
  DeimEngine *engine = self->engine;
  guint index;
  g_mutex_lock (&engine->lock);
  for (guint i = 0; i < self->in_flight; i++)
    self->seats[i].claimed = self->seats[i].dropped = TRUE;
  if (g_ptr_array_find (engine->detectors, self, &index)) {
    g_ptr_array_remove_index (engine->detectors, index);
    engine->turn -= engine->turn > index;
    engine->turn = engine->turn < engine->detectors->len ? engine->turn : 0;
  }
  gboolean runs = self->running > 0;
  if (runs)
    g_ptr_array_add (engine->gone, self);
  deim_engine_start_batches (engine); /* others may have waited for company from this one */
  g_mutex_unlock (&engine->lock);
  if (!runs)
    deim_detector_destroy (self);
  deim_engine_unref (engine);
}

DeimEngine *
deim_detector_get_engine (DeimDetector *self)
{
  return self->engine;
}

DeimModel *
deim_detector_get_model (DeimDetector *self)
{
  return self->engine->model;
}

DeimDevice *
deim_detector_get_device (DeimDetector *self)
{
  return self->engine->device;
}

guint
deim_detector_get_in_flight (DeimDetector *self)
{
  return self->in_flight;
}

void
deim_detector_get_stats (DeimDetector *self, DeimDetectorStats *stats)
{
  deim_engine_get_stats (self->engine, stats);
}

/* ------------------------------------------------------------------ frames */

static DeimSeat *
find_free (DeimDetector *self)
{
  for (guint i = 0; i < self->in_flight; i++) {
    DeimSeat *seat = &self->seats[i];
    if (seat->state == SEAT_FREE &&
        (!seat->value || deim_gpu_is_reached (deim_device_get_gpu (self->engine->device), seat->value)))
      return seat;
  }
  return NULL;
}

static DeimSeat *
find_ticket (DeimDetector *self, guint64 ticket)
{
  for (guint i = 0; i < self->in_flight; i++) {
    DeimSeat *seat = &self->seats[i];
    if (seat->state >= SEAT_WAITING && !seat->claimed && seat->ticket == ticket)
      return seat;
  }
  return NULL;
}

/* Lets the loaded frame wait its turn, which may come at once. */
static gboolean
enqueue (DeimDetector *self, DeimSeat *seat, guint64 *ticket, GError **error)
{
  seat->state = SEAT_WAITING;
  seat->ticket = self->next_ticket;
  seat->since = g_get_monotonic_time ();
  self->waiting++;
  deim_engine_start_batches (self->engine);
  if (seat->state == SEAT_DONE && seat->error) { /* it never got to the device */
    g_propagate_error (error, g_steal_pointer (&seat->error));
    seat->state = SEAT_FREE;
    return FALSE;
  }
  *ticket = self->next_ticket++;
  return TRUE;
}

gboolean
deim_detector_submit (DeimDetector *self, const DeimFrame *frame, guint64 *ticket, GError **error)
{
  DeimEngine *engine = self->engine;
  g_mutex_lock (&engine->lock);
  DeimSeat *seat = find_free (self);
  if (seat) {
    seat->state = SEAT_LOADING;
    seat->claimed = seat->dropped = FALSE;
    self->resting = FALSE;
  }
  g_mutex_unlock (&engine->lock);
  if (!seat) {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_BUSY, "all %u frames are in flight; collect one first", self->in_flight);
    return FALSE;
  }

  gboolean done = deim_preprocessor_load (seat->preprocessor, frame, error);
  g_mutex_lock (&engine->lock);
  if (done)
    done = enqueue (self, seat, ticket, error);
  else
    seat->state = SEAT_FREE;
  g_mutex_unlock (&engine->lock);
  return done;
}

static GArray *
read_detections (const DeimDetector *self, DeimSeat *seat)
{
  guint k = self->engine->options.max_detections;
  const gfloat *r = seat->records; /* [DEIM_RECORD][k] */
  GArray *found = g_array_sized_new (FALSE, FALSE, sizeof (DeimDetection), k);
  for (guint i = 0; i < k; i++) {
    gfloat box[4], xyxy[4];
    for (guint j = 0; j < 4; j++)
      box[j] = r[(4 + j) * k + i];
    deim_preprocessor_map_box (seat->preprocessor, box, xyxy);
    DeimDetection d = { xyxy[0], xyxy[1], xyxy[2], xyxy[3], r[i], (guint) r[k + i], (guint) r[2 * k + i] };
    g_array_append_val (found, d);
  }
  return found;
}

GArray *
deim_detector_collect (DeimDetector *self, guint64 ticket, GError **error)
{
  DeimEngine *engine = self->engine;
  g_mutex_lock (&engine->lock);
  DeimSeat *seat = find_ticket (self, ticket);
  if (!seat) {
    g_mutex_unlock (&engine->lock);
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_SETTINGS,
                 "no frame is in flight under ticket %" G_GUINT64_FORMAT "; each is collected once", ticket);
    return NULL;
  }
  seat->claimed = TRUE;
  while (seat->state != SEAT_DONE)
    g_cond_wait (&self->done, &engine->lock);
  g_mutex_unlock (&engine->lock);

  GArray *found = seat->error ? NULL : read_detections (self, seat);
  if (seat->error)
    g_propagate_error (error, g_steal_pointer (&seat->error));
  g_mutex_lock (&engine->lock);
  seat->state = SEAT_FREE;
  g_mutex_unlock (&engine->lock);
  return found;
}

gboolean
deim_detector_wait (DeimDetector *self, guint64 ticket, guint64 microseconds)
{
  gint64 until = g_get_monotonic_time () + (gint64) MIN (microseconds, G_MAXINT64 / 2);
  DeimSeat *seat;
  gboolean done;
  g_mutex_lock (&self->engine->lock);
  do {
    seat = find_ticket (self, ticket); /* another thread may take it meanwhile */
    done = !seat || seat->state == SEAT_DONE;
  } while (!done && microseconds > 0 && !self->flushing && g_cond_wait_until (&self->done, &self->engine->lock, until));
  g_mutex_unlock (&self->engine->lock);
  return done;
}

void
deim_detector_set_flushing (DeimDetector *self, gboolean flushing)
{
  g_mutex_lock (&self->engine->lock);
  self->flushing = flushing;
  g_cond_broadcast (&self->done);
  g_mutex_unlock (&self->engine->lock);
}

gboolean
deim_detector_is_done (DeimDetector *self, guint64 ticket)
{
  return deim_detector_wait (self, ticket, 0);
}

gint64
deim_detector_get_end_time (DeimDetector *self, guint64 ticket)
{
  g_mutex_lock (&self->engine->lock);
  const DeimSeat *seat = find_ticket (self, ticket);
  gint64 ended = seat && seat->state == SEAT_DONE ? seat->ended : 0;
  g_mutex_unlock (&self->engine->lock);
  return ended;
}

void
deim_detector_drop (DeimDetector *self, guint64 ticket)
{
  g_mutex_lock (&self->engine->lock);
  DeimSeat *seat = find_ticket (self, ticket);
  if (seat) {
    seat->claimed = seat->dropped = TRUE;
    self->waiting -= seat->state == SEAT_WAITING;
    if (seat->state != SEAT_RUNNING) {
      seat->state = SEAT_FREE;
      g_clear_error (&seat->error);
    }
  }
  g_mutex_unlock (&self->engine->lock);
}

void
deim_detector_rest (DeimDetector *self)
{
  g_mutex_lock (&self->engine->lock);
  self->resting = TRUE;
  deim_engine_start_batches (self->engine);
  g_mutex_unlock (&self->engine->lock);
}

GArray *
deim_detector_get_profile (DeimDetector *self)
{
  g_mutex_lock (&self->engine->lock);
  GArray *copy = g_array_sized_new (FALSE, TRUE, sizeof (DeimProfileEntry), self->profile->len);
  g_array_append_vals (copy, self->profile->data, self->profile->len);
  g_mutex_unlock (&self->engine->lock);
  return copy;
}
