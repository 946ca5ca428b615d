/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * detector.c - frames in flight.
 *
 *          submit               collect                      (a failed wait: to DROPPED)
 *   FREE ──────────► FILLING ──► PENDING ──────────► COLLECTING ──────────► FREE
 *                       │           └─ drop ──► DROPPED ── reached ──► FREE
 *                       └─ failed ──► FREE
 *
 * Invariants:
 *  1. A slot's buffers are touched by the host only in FILLING, and in COLLECTING once the timeline has reached
 * `value`.
 *  2. States, tickets and the order of submission change under `lock` only; copying a frame and waiting happen outside.
 *  3. Tickets grow in the order of submission, and the queue computes in that order.
 *  4. Everything a slot needs for one frame geometry is made when the first frame of that geometry comes to it; a frame
 *     of the same geometry allocates nothing on the device.
 */
#include <string.h>

#include "device.h"
#include "error.h"
#include "executor.h"
#include "engine/ops/ops.h"
#include "model.h"
#include "preprocessor.h"

#define MAX_IN_FLIGHT 16
#define RECORD        8 /* rows of deim_detections(): score, class, query, 0, cx, cy, w, h */

typedef enum { SLOT_FREE, SLOT_FILLING, SLOT_PENDING, SLOT_COLLECTING, SLOT_DROPPED } SlotState;

typedef struct {
  SlotState state;
  guint64 ticket;
  guint64 value; /* of the timeline, when done */
  DeimPreprocessor *preprocessor;
  DeimRun *run;
  gfloat *records; /* [RECORD][max_detections] */
} Slot;

struct _DeimDetector {
  gatomicrefcount refs;
  DeimModel *model;
  DeimDevice *device;
  DeimDetectorOptions options; /* with defaults filled in */
  DeimExecutor *executor;
  DeimTensor *input, *detections;
  DeimDetectorStats stats;

  GMutex lock;
  guint64 next_ticket;
  Slot slots[MAX_IN_FLIGHT];
  GArray *profile; /* of DeimProfileEntry: the last collected frame */
};

/* ------------------------------------------------------------------ object */

static gboolean
build (DeimDetector *self, GError **error)
{
  DeimNetworkOutputs outputs;
  DeimGraph *graph = deim_model_build (self->model, 1, self->options.height, self->options.width, &outputs, error);
  if (!graph)
    return FALSE;
  const DeimModelInfo *info = deim_model_get_info (self->model);
  guint pairs = info->num_classes * (guint) outputs.logits->shape.w;
  self->options.max_detections = MIN (self->options.max_detections, pairs);
  deim_graph_set_stage (graph, "postprocess");
  deim_graph_push_scope (graph, "detections");
  self->detections = deim_detections (graph, outputs.logits, outputs.boxes, (gint) self->options.max_detections);
  deim_graph_pop_scope (graph);
  deim_graph_clear_outputs (graph);
  deim_graph_mark_output (graph, self->detections);
  self->input = outputs.input;
  if (!deim_graph_finish (graph, error)) {
    deim_graph_free (graph);
    return FALSE;
  }
  self->executor = deim_executor_new (deim_device_get_gpu (self->device), graph, self->options.precision, TRUE, error);
  return self->executor != NULL;
}

static gboolean
make_slots (DeimDetector *self, GError **error)
{
  DeimRunFlags flags = self->options.timestamps ? DEIM_RUN_TIMESTAMPS : 0;
  for (guint i = 0; i < self->options.in_flight; i++) {
    Slot *slot = &self->slots[i];
    slot->run = deim_run_new (self->executor, flags, error);
    if (!slot->run)
      return FALSE;
    DeimSlot target;
    gboolean half;
    deim_run_get_slot (slot->run, self->input, &target, &half);
    slot->preprocessor = deim_preprocessor_new (deim_device_get_gpu (self->device), &target, half, self->options.width,
                                                self->options.height, self->options.resize, self->options.timestamps);
    slot->records = g_new (gfloat, (gsize) RECORD * self->options.max_detections);
  }
  return TRUE;
}

static gboolean
fill_defaults (DeimDetector *self, const DeimDetectorOptions *options, GError **error)
{
  const DeimModelInfo *info = deim_model_get_info (self->model);
  if (options)
    self->options = *options;
  DeimDetectorOptions *o = &self->options;
  o->in_flight = o->in_flight ? o->in_flight : 2;
  o->max_detections = o->max_detections ? o->max_detections : 300;
  o->height = o->height ? o->height : info->input_height;
  o->width = o->width ? o->width : info->input_width;
  if (o->in_flight > MAX_IN_FLIGHT) {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_SETTINGS, "%u frames in flight; take 1 to %d", o->in_flight,
                 MAX_IN_FLIGHT);
    return FALSE;
  }
  return TRUE;
}

DeimDetector *
deim_detector_new (DeimModel *model, DeimDevice *device, const DeimDetectorOptions *options, GError **error)
{
  gint64 start = g_get_monotonic_time ();
  g_autoptr (DeimDetector) self = g_new0 (DeimDetector, 1);
  g_atomic_ref_count_init (&self->refs);
  g_mutex_init (&self->lock);
  self->model = deim_model_ref (model);
  self->device = deim_device_ref (device);
  self->next_ticket = 1;
  self->profile = g_array_new (FALSE, TRUE, sizeof (DeimProfileEntry));
  if (!fill_defaults (self, options, error) ||
      !deim_device_check (device, self->options.precision, &self->options.precision, error) || !build (self, error) ||
      !make_slots (self, error))
    return NULL;
  self->stats.dispatches = deim_executor_get_n_dispatches (self->executor) + DEIM_PREPROCESSOR_DISPATCHES;
  self->stats.arena_bytes = deim_executor_get_arena_bytes (self->executor);
  self->stats.weight_bytes = deim_executor_get_weight_bytes (self->executor);
  self->stats.setup_ms = (gdouble) (g_get_monotonic_time () - start) / 1000;
  return g_steal_pointer (&self);
}

DeimDetector *
deim_detector_ref (DeimDetector *self)
{
  g_atomic_ref_count_inc (&self->refs);
  return self;
}

void
deim_detector_unref (DeimDetector *self)
{
  if (!self || !g_atomic_ref_count_dec (&self->refs))
    return;
  for (guint i = 0; i < MAX_IN_FLIGHT; i++) {
    deim_preprocessor_free (self->slots[i].preprocessor);
    deim_run_free (self->slots[i].run);
    g_free (self->slots[i].records);
  }
  deim_executor_free (self->executor);
  deim_model_unref (self->model);
  deim_device_unref (self->device);
  g_array_unref (self->profile);
  g_mutex_clear (&self->lock);
  g_free (self);
}

DeimModel *
deim_detector_get_model (DeimDetector *self)
{
  return self->model;
}

DeimDevice *
deim_detector_get_device (DeimDetector *self)
{
  return self->device;
}

guint
deim_detector_get_in_flight (DeimDetector *self)
{
  return self->options.in_flight;
}

void
deim_detector_get_stats (DeimDetector *self, DeimDetectorStats *stats)
{
  *stats = self->stats;
}

/* ------------------------------------------------------------------ frames */

static Slot *
take_free_slot (DeimDetector *self)
{
  DeimGpu *gpu = deim_device_get_gpu (self->device);
  for (guint i = 0; i < self->options.in_flight; i++) {
    Slot *slot = &self->slots[i];
    if (slot->state == SLOT_FREE || (slot->state == SLOT_DROPPED && deim_gpu_is_reached (gpu, slot->value))) {
      slot->state = SLOT_FILLING;
      return slot;
    }
  }
  return NULL;
}

static Slot *
find_ticket (DeimDetector *self, guint64 ticket)
{
  for (guint i = 0; i < self->options.in_flight; i++)
    if (self->slots[i].state == SLOT_PENDING && self->slots[i].ticket == ticket)
      return &self->slots[i];
  return NULL;
}

gboolean
deim_detector_submit (DeimDetector *self, const DeimFrame *frame, guint64 *ticket, GError **error)
{
  g_mutex_lock (&self->lock);
  Slot *slot = take_free_slot (self);
  g_mutex_unlock (&self->lock);
  if (!slot) {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_BUSY, "all %u frames are in flight; collect one first",
                 self->options.in_flight);
    return FALSE;
  }

  gboolean done = deim_preprocessor_load (slot->preprocessor, frame, error);
  g_mutex_lock (&self->lock);
  if (done) {
    DeimCommands *commands[] = { deim_preprocessor_get_commands (slot->preprocessor),
                                 deim_run_get_commands (slot->run, 1) };
    done = deim_gpu_submit (deim_device_get_gpu (self->device), commands, G_N_ELEMENTS (commands), &slot->value, error);
  }
  slot->state = done ? SLOT_PENDING : SLOT_FREE;
  if (done)
    *ticket = slot->ticket = self->next_ticket++;
  g_mutex_unlock (&self->lock);
  return done;
}

static void
append_profile (DeimDetector *self, Slot *slot)
{
  guint n = deim_executor_get_n_dispatches (self->executor);
  gdouble pre[DEIM_PREPROCESSOR_STEPS];
  g_autofree gdouble *ms = g_new (gdouble, n);
  if (!deim_preprocessor_get_times (slot->preprocessor, pre) || !deim_run_get_times (slot->run, ms))
    return;
  g_array_set_size (self->profile, 0);
  for (guint i = 0; i < DEIM_PREPROCESSOR_STEPS + n; i++) {
    DeimProfileEntry entry = { 0 };
    if (i < DEIM_PREPROCESSOR_STEPS) {
      const gchar *step = deim_preprocessor_step_name (i);
      g_strlcpy (entry.name, step, sizeof entry.name);
      g_strlcpy (entry.op, step, sizeof entry.op);
      g_strlcpy (entry.stage, i ? "preprocess" : "upload", sizeof entry.stage);
      entry.ms = pre[i];
    } else {
      deim_executor_describe_dispatch (self->executor, i - DEIM_PREPROCESSOR_STEPS, &entry);
      entry.ms = ms[i - DEIM_PREPROCESSOR_STEPS];
    }
    g_array_append_val (self->profile, entry);
  }
}

static GArray *
read_detections (DeimDetector *self, Slot *slot)
{
  guint k = self->options.max_detections;
  const gfloat *r = slot->records; /* [RECORD][k] */
  deim_run_read (slot->run, self->detections, slot->records);
  GArray *found = g_array_sized_new (FALSE, FALSE, sizeof (DeimDetection), k);
  for (guint i = 0; i < k; i++) {
    gfloat box[4], xyxy[4];
    for (guint j = 0; j < 4; j++)
      box[j] = r[(4 + j) * k + i];
    deim_preprocessor_map_box (slot->preprocessor, box, xyxy);
    DeimDetection d = { xyxy[0], xyxy[1], xyxy[2], xyxy[3], r[i], (guint) r[k + i], (guint) r[2 * k + i] };
    g_array_append_val (found, d);
  }
  return found;
}

GArray *
deim_detector_collect (DeimDetector *self, guint64 ticket, GError **error)
{
  g_mutex_lock (&self->lock);
  Slot *slot = find_ticket (self, ticket);
  if (slot)
    slot->state = SLOT_COLLECTING;
  g_mutex_unlock (&self->lock);
  if (!slot) {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_SETTINGS,
                 "no frame is in flight under ticket %" G_GUINT64_FORMAT "; each is collected once", ticket);
    return NULL;
  }
  GArray *found = NULL;
  if (deim_gpu_wait (deim_device_get_gpu (self->device), slot->value, error))
    found = read_detections (self, slot);
  g_mutex_lock (&self->lock);
  if (found && self->options.timestamps)
    append_profile (self, slot);
  slot->state = found ? SLOT_FREE : SLOT_DROPPED; /* after a failed wait the device may still read its memory */
  g_mutex_unlock (&self->lock);
  return found;
}

gboolean
deim_detector_wait (DeimDetector *self, guint64 ticket, guint64 microseconds)
{
  g_mutex_lock (&self->lock);
  Slot *slot = find_ticket (self, ticket);
  guint64 value = slot ? slot->value : 0;
  g_mutex_unlock (&self->lock);
  return !slot || deim_gpu_wait_for (deim_device_get_gpu (self->device), value, microseconds);
}

gboolean
deim_detector_is_done (DeimDetector *self, guint64 ticket)
{
  return deim_detector_wait (self, ticket, 0);
}

void
deim_detector_drop (DeimDetector *self, guint64 ticket)
{
  g_mutex_lock (&self->lock);
  Slot *slot = find_ticket (self, ticket);
  if (slot)
    slot->state = SLOT_DROPPED;
  g_mutex_unlock (&self->lock);
}

GArray *
deim_detector_get_profile (DeimDetector *self)
{
  g_mutex_lock (&self->lock);
  GArray *copy = g_array_sized_new (FALSE, TRUE, sizeof (DeimProfileEntry), self->profile->len);
  g_array_append_vals (copy, self->profile->data, self->profile->len);
  g_mutex_unlock (&self->lock);
  return copy;
}
