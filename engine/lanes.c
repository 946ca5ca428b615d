/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lanes.h"

#include <string.h>

#include "engine/ops/ops.h"
#include "model.h"

static gboolean
build (DeimLanes *self, DeimModel *model, const DeimTuning *tuning, const DeimDetectorOptions *options, GError **error)
{
  DeimNetworkOutputs outputs;
  DeimGraph *graph = deim_model_build (model, self->batch, self->height, self->width, &outputs, error);
  if (!graph)
    return FALSE;
  guint pairs = deim_model_get_info (model)->num_classes * (guint) outputs.logits->shape.w;
  self->max_detections = MIN (options->max_detections, pairs);
  deim_graph_set_stage (graph, "postprocess");
  deim_graph_push_scope (graph, "detections");
  self->detections = deim_detections (graph, outputs.logits, outputs.boxes, (gint) self->max_detections);
  deim_graph_pop_scope (graph);
  deim_graph_clear_outputs (graph);
  deim_graph_mark_output (graph, self->detections);
  self->input = outputs.input;
  if (!deim_graph_finish (graph, error)) {
    deim_graph_free (graph);
    return FALSE;
  }
  self->executor = deim_executor_new (self->gpu, graph, options->precision, TRUE, tuning, error);
  return self->executor != NULL;
}

static void
finish_batch (DeimBatch *batch)
{
  deim_run_free (batch->run);
  deim_commands_free (batch->barrier);
}

gboolean
deim_lanes_make_batch (const DeimLanes *self, DeimBatch *ret, GError **error)
{
  DeimBatch made = { 0 };
  made.run = deim_run_new (self->executor, DEIM_RUN_PARTIAL | (self->timestamps ? DEIM_RUN_TIMESTAMPS : 0), error);
  if (!made.run)
    return FALSE;
  made.target.id = self->first_id + self->n_batches;
  deim_run_get_slot (made.run, self->input, &made.target.slot, &made.target.half);
  made.barrier = deim_commands_new (self->gpu, 0, 0, error);
  if (!made.barrier || !deim_commands_begin (made.barrier, error) || !deim_commands_end (made.barrier, error)) {
    finish_batch (&made);
    return FALSE;
  }
  *ret = made;
  return TRUE;
}

void
deim_lanes_add_batch (DeimLanes *self, const DeimBatch *made)
{
  g_return_if_fail (self->n_batches < DEIM_LANES_BATCHES);
  self->batches[self->n_batches++] = *made;
}

DeimLanes *
deim_lanes_new (DeimModel *model, DeimDevice *device, const DeimDetectorOptions *options, guint batch, guint generation,
                GError **error)
{
  g_autoptr (DeimLanes) self = g_new0 (DeimLanes, 1);
  DeimBatch first;
  self->gpu = deim_gpu_ref (deim_device_get_gpu (device));
  self->batch = batch;
  self->height = options->height;
  self->width = options->width;
  self->timestamps = options->timestamps;
  self->first_id = ((guint64) generation + 1) * DEIM_LANES_BATCHES;
  if (!build (self, model, deim_device_get_tuning (device), options, error) ||
      !deim_lanes_make_batch (self, &first, error))
    return NULL;
  deim_lanes_add_batch (self, &first);
  return g_steal_pointer (&self);
}

void
deim_lanes_free (DeimLanes *self)
{
  if (!self)
    return;
  for (guint i = 0; i < self->n_batches; i++)
    finish_batch (&self->batches[i]);
  deim_executor_free (self->executor);
  deim_gpu_unref (self->gpu);
  g_free (self);
}

gboolean
deim_lanes_submit (DeimLanes *self, DeimBatch *batch, DeimCommands *const *rows, DeimCommands *const *columns, guint n,
                   GError **error)
{
  DeimCommands *all[2 * DEIM_MAX_BATCH + 2];
  memcpy (all, rows, n * sizeof rows[0]);
  all[n] = batch->barrier;
  memcpy (all + n + 1, columns, n * sizeof columns[0]);
  all[2 * n + 1] = deim_run_get_commands (batch->run, n);
  if (!deim_gpu_submit (self->gpu, all, 2 * n + 2, &batch->value, error))
    return FALSE;
  batch->n = n;
  return TRUE;
}

DeimBatch *
deim_lanes_find_free (DeimLanes *self)
{
  for (guint i = 0; i < self->n_batches; i++)
    if (self->batches[i].n == 0 && (!self->batches[i].value || deim_gpu_is_reached (self->gpu, self->batches[i].value)))
      return &self->batches[i];
  return NULL;
}

guint
deim_lanes_count_running (const DeimLanes *self)
{
  guint n = 0;
  for (guint i = 0; i < self->n_batches; i++)
    n += self->batches[i].n;
  return n;
}
