/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "preprocessor.h"

#include <string.h>

#include "engine/error.h"
#include "engine/image/preprocess.h"

struct _DeimPreprocessor {
  DeimGpu *gpu;
  DeimSlot target;
  gboolean half;
  guint width, height;
  DeimResize resize;
  gboolean timestamps;

  gboolean ready; /* `plan` and everything below belong to a geometry */
  DeimPreprocess plan;
  DeimGpuBuffer staging; /* written by the host */
  DeimGpuBuffer frame;   /* its copy on the device, where shaders cannot read staging memory at full speed */
  DeimGpuBuffer table;
  DeimGpuBuffer scratch;
  DeimCommands *commands;
};

DeimPreprocessor *
deim_preprocessor_new (DeimGpu *gpu, const DeimSlot *target, gboolean half, guint width, guint height,
                       DeimResize resize, gboolean timestamps, GError **error)
{
  DeimPreprocessor *self = g_new0 (DeimPreprocessor, 1);
  self->gpu = deim_gpu_ref (gpu);
  self->target = *target;
  self->half = half;
  self->width = width;
  self->height = height;
  self->resize = resize;
  self->timestamps = timestamps;
  self->commands =
      deim_commands_new (gpu, DEIM_PREPROCESSOR_DISPATCHES, timestamps ? DEIM_PREPROCESSOR_STEPS + 1 : 0, error);
  if (!self->commands)
    g_clear_pointer (&self, deim_preprocessor_free);
  return self;
}

static void
forget_geometry (DeimPreprocessor *self)
{
  self->ready = FALSE;
  deim_preprocess_finish (&self->plan);
  memset (&self->plan, 0, sizeof self->plan);
  deim_gpu_buffer_finish (&self->staging, self->gpu);
  deim_gpu_buffer_finish (&self->frame, self->gpu);
  deim_gpu_buffer_finish (&self->table, self->gpu);
  deim_gpu_buffer_finish (&self->scratch, self->gpu);
}

void
deim_preprocessor_free (DeimPreprocessor *self)
{
  if (!self)
    return;
  deim_commands_free (self->commands);
  forget_geometry (self);
  deim_gpu_unref (self->gpu);
  g_free (self);
}

/* --------------------------------------------------------------- recording */

static gboolean
reads_staging (const DeimPreprocessor *self)
{
  return deim_gpu_get_properties (self->gpu)->unified_memory || deim_gpu_get_policy (self->gpu)->on[DEIM_DECISION_CPU];
}

static DeimSlot
slot_of (const DeimPreprocessor *self, DeimPreprocessBuffer role, DeimPreprocessAccess access)
{
  DeimSlot slot = { .texel_format =
                        access == DEIM_PREPROCESS_READ_WORD4 ? VK_FORMAT_R32G32B32A32_UINT : VK_FORMAT_R32_UINT };
  const DeimGpuBuffer *buffer = NULL;
  switch (role) {
  case DEIM_PREPROCESS_OUTPUT:
    return self->target;
  case DEIM_PREPROCESS_FRAME:
    buffer = reads_staging (self) ? &self->staging : &self->frame;
    break;
  case DEIM_PREPROCESS_TABLE:
    buffer = &self->table;
    break;
  case DEIM_PREPROCESS_SCRATCH:
    buffer = &self->scratch;
    break;
  }
  slot.buffer = buffer->buffer;
  slot.range = buffer->size;
  return slot;
}

static gboolean
record_dispatch (DeimPreprocessor *self, const DeimPreprocessDispatch *d, gboolean last, GError **error)
{
  const DeimGpuPolicy *policy = deim_gpu_get_policy (self->gpu);
  DeimSlotKind reads = deim_gpu_read_kind (self->gpu, FALSE);
  DeimPipelineKey key = { .shader = deim_gpu_shader_name (d->shader, reads),
                          .n_slots = DEIM_PREPROCESS_BINDINGS,
                          .n_spec = 4 + d->n_spec,
                          .push_bytes = d->n_push * (guint) sizeof (guint32) };
  DeimSlot slots[DEIM_PREPROCESS_BINDINGS];
  for (guint b = 0; b < DEIM_PREPROCESS_BINDINGS; b++) {
    key.slots[b] = d->bind[b].access == DEIM_PREPROCESS_WRITE ? DEIM_SLOT_STORAGE : reads;
    slots[b] = slot_of (self, d->bind[b].buffer, d->bind[b].access);
  }
  key.spec[0] = policy->subgroup_size;
  key.spec[1] = d->local_size;
  key.spec[2] = last && self->half ? 1u << (DEIM_PREPROCESS_BINDINGS - 1) : 0;
  memcpy (key.spec + 4, d->spec, d->n_spec * sizeof (guint32));
  const DeimPipeline *pipeline = deim_gpu_get_pipeline (self->gpu, &key, error);
  return pipeline && deim_commands_dispatch (self->commands, pipeline, &key, slots, d->push, d->groups, error);
}

static gboolean
record (DeimPreprocessor *self, GError **error)
{
  if (!deim_commands_begin (self->commands, error))
    return FALSE;
  if (self->timestamps)
    deim_commands_timestamp (self->commands, 0);
  if (!reads_staging (self)) {
    deim_commands_copy (self->commands, self->staging.buffer, 0, self->frame.buffer, 0, self->plan.staging_size);
    deim_commands_barrier (self->commands, FALSE);
  }
  for (guint i = 0; i < DEIM_PREPROCESSOR_DISPATCHES; i++) {
    if (self->timestamps)
      deim_commands_timestamp (self->commands, i + 1);
    if (!record_dispatch (self, &self->plan.dispatch[i], i == 1, error))
      return FALSE;
    deim_commands_barrier (self->commands, FALSE);
  }
  if (self->timestamps)
    deim_commands_timestamp (self->commands, DEIM_PREPROCESSOR_STEPS);
  return deim_commands_end (self->commands, error);
}

static gboolean
learn_geometry (DeimPreprocessor *self, const DeimFrame *frame, GError **error)
{
  forget_geometry (self);
  if (!deim_preprocess_init (&self->plan, frame, self->width, self->height, self->resize, error))
    return FALSE;
  DeimPreprocess *p = &self->plan;
  gsize least = 64;
  if (!deim_gpu_buffer_init (&self->staging, self->gpu, DEIM_MEMORY_UPLOAD, MAX (p->staging_size, least), error) ||
      (!reads_staging (self) &&
       !deim_gpu_buffer_init (&self->frame, self->gpu, DEIM_MEMORY_DEVICE, MAX (p->staging_size, least), error)) ||
      !deim_gpu_buffer_init (&self->table, self->gpu, DEIM_MEMORY_DEVICE, MAX (p->table_size, least), error) ||
      !deim_gpu_buffer_upload (&self->table, self->gpu, 0, p->table, p->table_size, error) ||
      !deim_gpu_buffer_init (&self->scratch, self->gpu, DEIM_MEMORY_DEVICE, MAX (p->scratch_size, least), error) ||
      !record (self, error)) {
    forget_geometry (self);
    return FALSE;
  }
  self->ready = TRUE;
  return TRUE;
}

/* ------------------------------------------------------------------ frames */

gboolean
deim_preprocessor_load (DeimPreprocessor *self, const DeimFrame *frame, GError **error)
{
  if (!deim_frame_check (frame, error))
    return FALSE;
  if (!(self->ready && deim_preprocess_matches (&self->plan, frame)) && !learn_geometry (self, frame, error))
    return FALSE;
  deim_preprocess_upload (&self->plan, frame, self->staging.map);
  return TRUE;
}

DeimCommands *
deim_preprocessor_get_commands (DeimPreprocessor *self)
{
  return self->commands;
}

void
deim_preprocessor_map_box (DeimPreprocessor *self, const gfloat cxcywh[4], gfloat ret_xyxy[4])
{
  deim_preprocess_map_box (&self->plan, cxcywh, ret_xyxy);
}

gboolean
deim_preprocessor_get_times (DeimPreprocessor *self, gdouble ret_ms[DEIM_PREPROCESSOR_STEPS])
{
  gdouble marks[DEIM_PREPROCESSOR_STEPS + 1];
  if (!self->timestamps || !deim_commands_get_timestamps (self->commands, marks, DEIM_PREPROCESSOR_STEPS + 1))
    return FALSE;
  for (guint i = 0; i < DEIM_PREPROCESSOR_STEPS; i++)
    ret_ms[i] = marks[i + 1] - marks[i];
  return TRUE;
}

const gchar *
deim_preprocessor_step_name (guint step)
{
  static const gchar *const names[DEIM_PREPROCESSOR_STEPS] = { "upload", "preprocess_h", "preprocess_v" };
  return names[step];
}
