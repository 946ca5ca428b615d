/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* engine.c - forms batches of the frames of all streams and hands their results out. See engine-private.h. */
#include "engine-private.h"

#include "error.h"

#define MAX_AUTO_BATCH 8

/* ------------------------------------------------------------- batches start */

static guint
count_running (const DeimEngine *self)
{
  guint n = deim_lanes_count_running (self->lanes);
  for (guint i = 0; i < self->retired->len; i++)
    n += deim_lanes_count_running (g_ptr_array_index (self->retired, i));
  return n;
}

static DeimSeat *
oldest_waiting (DeimDetector *detector)
{
  DeimSeat *oldest = NULL;
  for (guint i = 0; i < detector->in_flight; i++) {
    DeimSeat *seat = &detector->seats[i];
    if (seat->state == SEAT_WAITING && (!oldest || seat->ticket < oldest->ticket))
      oldest = seat;
  }
  return oldest;
}

static void
begin_seat (DeimSeat *seat)
{
  seat->state = SEAT_RUNNING;
  seat->detector->waiting--;
  seat->detector->running++;
  seat->detector->missed = 0;
}

/* The frame has a result or an error. */
static void
end_seat (DeimSeat *seat)
{
  seat->detector->running--;
  seat->state = seat->dropped ? SEAT_FREE : SEAT_DONE;
  seat->ended = g_get_monotonic_time ();
  if (seat->dropped)
    g_clear_error (&seat->error);
  g_cond_broadcast (&seat->detector->done);
}

/* Who waits, as the policy sees it. */
static void
describe_streams (DeimEngine *self, DeimScheduleState *state)
{
  *state = (DeimScheduleState){ .batch = self->lanes->batch,
                                .timeout = (gint64) self->options.batch_timeout * 1000,
                                .free = deim_lanes_find_free (self->lanes) ? 1 : 0,
                                .running = count_running (self),
                                .since = G_MAXINT64,
                                .turn = self->turn,
                                .n_streams = self->detectors->len };
  for (guint i = 0; i < self->detectors->len; i++) {
    DeimDetector *detector = g_ptr_array_index (self->detectors, i);
    DeimScheduleStream *stream = &g_array_index (self->streams, DeimScheduleStream, i);
    *stream = (DeimScheduleStream){ .waiting = detector->waiting, .missed = detector->missed };
    for (guint s = 0; s < detector->in_flight && !detector->resting; s++)
      stream->room += detector->seats[s].state == SEAT_FREE || detector->seats[s].state == SEAT_LOADING;
    if (detector->waiting > 0)
      state->since = MIN (state->since, oldest_waiting (detector)->since);
  }
  state->since = MAX (state->since, self->idle_since);
  state->streams = (const DeimScheduleStream *) self->streams->data;
}

static void
start_batch (DeimEngine *self, DeimBatch *batch, const DeimScheduleChoice *choice)
{
  DeimCommands *rows[DEIM_MAX_BATCH], *columns[DEIM_MAX_BATCH];
  guint n = 0;
  for (guint i = 0; i < self->detectors->len; i++)
    ((DeimDetector *) g_ptr_array_index (self->detectors, i))->missed++;
  for (guint i = 0; i < choice->n; i++) {
    DeimSeat *seat = oldest_waiting (g_ptr_array_index (self->detectors, choice->stream[i]));
    begin_seat (seat);
    if (deim_preprocessor_get_commands (seat->preprocessor, &batch->target, n, &rows[n], &columns[n], &seat->error))
      batch->seats[n++] = seat;
    else
      end_seat (seat);
  }
  self->turn = choice->turn;
  g_autoptr (GError) error = NULL;
  if (n == 0)
    return;
  if (!deim_lanes_submit (self->lanes, batch, rows, columns, n, &error)) {
    for (guint i = 0; i < n; i++) {
      batch->seats[i]->error = g_error_copy (error);
      end_seat (batch->seats[i]);
    }
    return;
  }
  for (guint i = 0; i < n; i++)
    batch->seats[i]->value = batch->value;
  self->n_batches++;
  self->n_frames += n;
}

void
deim_engine_start_batches (DeimEngine *self)
{
  DeimScheduleState state;
  DeimScheduleChoice choice;
  do {
    describe_streams (self, &state);
    deim_schedule_choose (&state, g_get_monotonic_time (), &choice);
    if (choice.n > 0)
      start_batch (self, deim_lanes_find_free (self->lanes), &choice);
  } while (choice.n > 0);
  self->wake = choice.wake;
  g_cond_signal (&self->work);
}

/* --------------------------------------------------------------- batches end */

static DeimBatch *
older (DeimBatch *a, DeimLanes *lanes)
{
  for (guint i = 0; i < lanes->n_batches; i++) {
    DeimBatch *b = &lanes->batches[i];
    if (b->n > 0 && (!a || b->value < a->value))
      a = b;
  }
  return a;
}

/* The batch on the device that ends first, and in *ret_lanes whose it is. */
static DeimBatch *
oldest_running (DeimEngine *self, DeimLanes **ret_lanes)
{
  DeimBatch *oldest = NULL, *next;
  for (guint i = 0; i <= self->retired->len; i++) {
    DeimLanes *lanes = i < self->retired->len ? g_ptr_array_index (self->retired, i) : self->lanes;
    if ((next = older (oldest, lanes)) != oldest)
      *ret_lanes = lanes;
    oldest = next;
  }
  return oldest;
}

static void
note_profile (DeimLanes *lanes, DeimBatch *batch, DeimSeat *seat)
{
  guint n = deim_executor_get_n_dispatches (lanes->executor);
  gdouble pre[DEIM_PREPROCESSOR_STEPS];
  g_autofree gdouble *ms = g_new (gdouble, n);
  if (!deim_preprocessor_get_times (seat->preprocessor, pre) || !deim_run_get_times (batch->run, ms))
    return;
  GArray *profile = seat->detector->profile;
  g_array_set_size (profile, 0);
  for (guint i = 0; i < DEIM_PREPROCESSOR_STEPS + n; i++) {
    DeimProfileEntry entry = { 0 };
    if (i < DEIM_PREPROCESSOR_STEPS) {
      const gchar *step = deim_preprocessor_step_name (i);
      g_strlcpy (entry.name, step, sizeof entry.name);
      g_strlcpy (entry.op, step, sizeof entry.op);
      g_strlcpy (entry.stage, i ? "preprocess" : "upload", sizeof entry.stage);
      entry.ms = pre[i];
    } else {
      deim_executor_describe_dispatch (lanes->executor, i - DEIM_PREPROCESSOR_STEPS, &entry);
      entry.ms = ms[i - DEIM_PREPROCESSOR_STEPS];
    }
    g_array_append_val (profile, entry);
  }
}

static void
end_batch (DeimEngine *self, DeimLanes *lanes, DeimBatch *batch, const GError *error)
{
  for (guint i = 0; i < batch->n; i++) {
    DeimSeat *seat = batch->seats[i];
    if (error)
      seat->error = g_error_copy (error); /* and the device may not be through with it */
    else
      seat->value = 0;
    if (!error && lanes->timestamps)
      note_profile (lanes, batch, seat);
    end_seat (seat);
  }
  batch->n = 0;
  batch->value = error ? batch->value : 0;
  if (count_running (self) == 0)
    self->idle_since = g_get_monotonic_time ();
}

/* Waits for a batch and takes its results out. The lock is held, but not meanwhile. */
static void
wait_for_batch (DeimEngine *self, DeimLanes *lanes, DeimBatch *batch)
{
  g_autoptr (GError) error = NULL;
  g_mutex_unlock (&self->lock);
  if (deim_gpu_wait (lanes->gpu, batch->value, &error))
    for (guint i = 0; i < batch->n; i++)
      deim_run_read_entry (batch->run, lanes->detections, i, batch->seats[i]->records);
  g_mutex_lock (&self->lock);
  end_batch (self, lanes, batch, error);
}

/* Frees what nobody needs and the device is through with. The lock is held, but not meanwhile. */
static void
clear_away (DeimEngine *self)
{
  for (guint i = self->retired->len; i-- > 0;) {
    if (deim_lanes_count_running (g_ptr_array_index (self->retired, i)) > 0)
      continue;
    DeimLanes *lanes = g_ptr_array_remove_index (self->retired, i);
    g_mutex_unlock (&self->lock);
    deim_lanes_free (lanes);
    g_mutex_lock (&self->lock);
    i = self->retired->len;
  }
  for (guint i = self->gone->len; i-- > 0;) {
    if (((DeimDetector *) g_ptr_array_index (self->gone, i))->running > 0)
      continue;
    DeimDetector *detector = g_ptr_array_remove_index (self->gone, i);
    g_mutex_unlock (&self->lock);
    deim_detector_destroy (detector);
    g_mutex_lock (&self->lock);
    i = self->gone->len;
  }
}

static gpointer
worker_main (gpointer data)
{
  DeimEngine *self = data;
  DeimLanes *lanes = NULL;
  DeimBatch *batch;
  g_mutex_lock (&self->lock);
  while ((batch = oldest_running (self, &lanes)) || !self->quit) {
    if (batch) {
      wait_for_batch (self, lanes, batch);
      deim_engine_start_batches (self);
      clear_away (self);
    } else if (self->wake == 0) {
      g_cond_wait (&self->work, &self->lock);
    } else if (!g_cond_wait_until (&self->work, &self->lock, self->wake)) {
      deim_engine_start_batches (self);
    }
  }
  g_mutex_unlock (&self->lock);
  return NULL;
}

/* -------------------------------------------------------------------- growth */

/* Lanes for @frames at a time in place of those there are, which end what they have begun. */
static void
replace_lanes (DeimEngine *self, guint frames)
{
  g_autoptr (GError) error = NULL;
  DeimLanes *lanes = deim_lanes_new (self->model, self->device, &self->options, frames, self->generation + 1, &error);
  if (!lanes) {
    deim_warning ("no batches of %u frames, %u stay the most: %s", frames, self->lanes->batch, error->message);
    return;
  }
  self->generation++;
  g_mutex_lock (&self->lock);
  DeimLanes *former = self->lanes;
  self->lanes = lanes;
  if (deim_lanes_count_running (former) > 0) {
    g_ptr_array_add (self->retired, former);
    former = NULL;
  }
  deim_engine_start_batches (self);
  g_mutex_unlock (&self->lock);
  deim_lanes_free (former);
}

/* A second batch, so that the device always has the next one at hand. */
static void
add_batch (DeimEngine *self)
{
  g_autoptr (GError) error = NULL;
  DeimBatch made;
  if (!deim_lanes_make_batch (self->lanes, &made, &error)) {
    deim_warning ("frames are computed without overlap: %s", error->message);
    return;
  }
  g_mutex_lock (&self->lock);
  deim_lanes_add_batch (self->lanes, &made);
  g_mutex_unlock (&self->lock);
}

void
deim_engine_add (DeimEngine *self, DeimDetector *detector)
{
  gint64 start = g_get_monotonic_time ();
  g_mutex_lock (&self->growth); /* from here on this thread alone changes `lanes` */
  g_mutex_lock (&self->lock);
  g_ptr_array_add (self->detectors, detector);
  g_array_set_size (self->streams, self->detectors->len);
  guint in_flight = 0, frames = 1;
  for (guint i = 0; i < self->detectors->len; i++)
    in_flight += ((DeimDetector *) g_ptr_array_index (self->detectors, i))->in_flight;
  while (self->grows && frames < MIN (self->detectors->len, MAX_AUTO_BATCH))
    frames *= 2;
  g_mutex_unlock (&self->lock);

  if (frames > self->lanes->batch)
    replace_lanes (self, frames);
  while (in_flight > 1 && self->lanes->n_batches < DEIM_LANES_BATCHES) {
    guint before = self->lanes->n_batches;
    add_batch (self);
    if (self->lanes->n_batches == before)
      break;
  }
  g_mutex_lock (&self->lock);
  self->setup_ms += (gdouble) (g_get_monotonic_time () - start) / 1000;
  g_mutex_unlock (&self->lock);
  g_mutex_unlock (&self->growth);
}

/* -------------------------------------------------------------------- object */

static gboolean
fill_defaults (DeimEngine *self, const DeimDetectorOptions *options, GError **error)
{
  const DeimModelInfo *info = deim_model_get_info (self->model);
  if (options)
    self->options = *options;
  DeimDetectorOptions *o = &self->options;
  o->max_detections = o->max_detections ? o->max_detections : 300;
  o->height = o->height ? o->height : info->input_height;
  o->width = o->width ? o->width : info->input_width;
  if (o->batch > DEIM_MAX_BATCH) {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_SETTINGS, "batches of %u frames; take 1 to %d, or 0 to leave it open",
                 o->batch, DEIM_MAX_BATCH);
    return FALSE;
  }
  return TRUE;
}

DeimEngine *
deim_engine_new (DeimModel *model, DeimDevice *device, const DeimDetectorOptions *options, GError **error)
{
  gint64 start = g_get_monotonic_time ();
  g_autoptr (DeimEngine) self = g_new0 (DeimEngine, 1);
  g_atomic_ref_count_init (&self->refs);
  g_mutex_init (&self->growth);
  g_mutex_init (&self->lock);
  g_cond_init (&self->work);
  self->model = deim_model_ref (model);
  self->device = deim_device_ref (device);
  self->retired = g_ptr_array_new ();
  self->detectors = g_ptr_array_new ();
  self->gone = g_ptr_array_new ();
  self->streams = g_array_new (FALSE, TRUE, sizeof (DeimScheduleStream));
  DeimGpu *gpu = deim_device_get_gpu (device);
  if (!fill_defaults (self, options, error) ||
      !deim_device_check (device, self->options.precision, &self->options.precision, error))
    return NULL;
  self->grows = self->options.batch == 0 && deim_gpu_get_policy (gpu)->on[DEIM_DECISION_BATCH];
  self->lanes = deim_lanes_new (model, device, &self->options, MAX (self->options.batch, 1), self->generation, error);
  if (!self->lanes)
    return NULL;
  self->options.max_detections = self->lanes->max_detections;
  self->worker = g_thread_new ("deim-engine", worker_main, self);
  self->setup_ms = (gdouble) (g_get_monotonic_time () - start) / 1000;
  return g_steal_pointer (&self);
}

DeimEngine *
deim_engine_ref (DeimEngine *self)
{
  g_atomic_ref_count_inc (&self->refs);
  return self;
}

void
deim_engine_unref (DeimEngine *self)
{
  if (!self || !g_atomic_ref_count_dec (&self->refs))
    return;
  if (self->worker) {
    g_mutex_lock (&self->lock);
    self->quit = TRUE;
    g_cond_signal (&self->work);
    g_mutex_unlock (&self->lock);
    g_thread_join (self->worker); /* it waits for what the device still computes */
  }
  for (guint i = 0; i < self->gone->len; i++)
    deim_detector_destroy (g_ptr_array_index (self->gone, i));
  for (guint i = 0; i < self->retired->len; i++)
    deim_lanes_free (g_ptr_array_index (self->retired, i));
  deim_lanes_free (self->lanes);
  g_ptr_array_unref (self->gone);
  g_ptr_array_unref (self->retired);
  g_ptr_array_unref (self->detectors);
  g_array_unref (self->streams);
  deim_model_unref (self->model);
  deim_device_unref (self->device);
  g_cond_clear (&self->work);
  g_mutex_clear (&self->lock);
  g_mutex_clear (&self->growth);
  g_free (self);
}

DeimModel *
deim_engine_get_model (DeimEngine *self)
{
  return self->model;
}

DeimDevice *
deim_engine_get_device (DeimEngine *self)
{
  return self->device;
}

void
deim_engine_get_stats (DeimEngine *self, DeimDetectorStats *stats)
{
  g_mutex_lock (&self->lock);
  const DeimExecutor *executor = self->lanes->executor;
  *stats = (DeimDetectorStats){
    .dispatches = deim_executor_get_n_dispatches (executor) + DEIM_PREPROCESSOR_DISPATCHES,
    .arena_bytes = deim_executor_get_arena_bytes (executor),
    .weight_bytes = deim_executor_get_weight_bytes (executor),
    .setup_ms = self->setup_ms,
    .streams = self->detectors->len,
    .batch = self->lanes->batch,
    .batches = self->n_batches,
    .frames = self->n_frames,
  };
  g_mutex_unlock (&self->lock);
}
