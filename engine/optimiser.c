/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* optimiser.c - prerecorded dispatches; what changes from step to step is read from a small mapped buffer. */
#include "engine/optimiser.h"

#include <math.h>
#include <string.h>

#define CHUNK 4096 /* floats that make one part of the norm */
/* Floats of one dispatch: no device binds less than 128 MiB. */
#define REACH (1u << 22)

/* The settings as shaders/optimiser.comp reads them. */
typedef struct {
  gfloat beta1, beta2, eps, ema_decay;
  gfloat first_correction, second_correction, max_norm, momentum; /* 1 - beta1^step; sqrt (1 - beta2^step) */
  struct {
    gfloat lr, weight_decay, unused[2];
  } groups[DEIM_MAX_GROUPS];
} Settings;

struct _DeimOptimiser {
  DeimGpu *gpu;
  const DeimGpuBuffer *state;
  gsize values, gradients, count;
  DeimGpuBuffer vectors[DEIM_VECTOR_LAST];
  DeimGpuBuffer settings; /* mapped */
  DeimGpuBuffer parts;    /* [chunks] vec4: sums of squares */
  DeimGpuBuffer verdict;  /* one vec4: norm, factor */
  DeimGpuBuffer readback;
  DeimCommands *commands;
};

static DeimSlot
slot (const DeimGpuBuffer *buffer, gsize offset, gsize floats)
{
  return (DeimSlot){ buffer->buffer, offset, floats * 4, VK_FORMAT_R32G32B32A32_SFLOAT };
}

/* @reads: how many of the first @n slots are read as vec4s. */
static gboolean
dispatch (DeimOptimiser *self, const gchar *shader, const DeimSlot *slots, guint n, guint reads, const guint32 *spec,
          guint n_spec, const gint32 *push, guint n_push, guint local, guint groups, GError **error)
{
  const DeimGpuPolicy *policy = deim_gpu_get_policy (self->gpu);
  gboolean texel = policy->on[DEIM_DECISION_TEXEL];
  g_autofree gchar *name = g_strconcat (shader, texel ? ".texel" : ".ssbo", NULL);
  DeimPipelineKey key = { .shader = g_intern_string (name),
                          .n_slots = n,
                          .spec = { policy->subgroup_size, local },
                          .n_spec = 4 + n_spec,
                          .push_bytes = n_push * sizeof (gint32),
                          .required_subgroup_size = policy->subgroup_size };
  for (guint i = 0; i < n; i++)
    key.slots[i] = texel && i < reads ? DEIM_SLOT_TEXEL : DEIM_SLOT_STORAGE;
  if (n_spec)
    memcpy (key.spec + 4, spec, n_spec * sizeof *spec);
  const DeimPipeline *pipeline = deim_gpu_get_pipeline (self->gpu, &key, error);
  const guint32 size[3] = { groups, 1, 1 };
  return pipeline && deim_commands_dispatch (self->commands, pipeline, &key, slots, push, size, error);
}

/* ---------------------------------------------------------------- recording */

static gboolean
record_norm (DeimOptimiser *self, gsize trained, GError **error)
{
  const DeimGpuPolicy *policy = deim_gpu_get_policy (self->gpu);
  gboolean fold = policy->on[DEIM_DECISION_SUBGROUP];
  guint lanes = policy->subgroup_size, each = fold ? 1 : lanes, parts = 0;
  gsize chunk = CHUNK * each; /* as many parts in either case */
  const guint32 spec[] = { fold };
  for (gsize at = 0; at < trained; at += REACH) {
    gsize n = MIN (REACH, trained - at);
    guint chunks = (guint) ((n + chunk - 1) / chunk);
    const DeimSlot slots[] = { slot (self->state, self->gradients + at * 4, n),
                               slot (&self->parts, 0, self->parts.size / 4) };
    const gint32 push[] = { (gint32) (n / 4), (gint32) (chunk / 4), (gint32) parts };
    if (!dispatch (self, "gradient_squares", slots, 2, 1, spec, 1, push, 3, lanes, chunks, error))
      return FALSE;
    parts += chunks * each;
  }
  deim_commands_barrier (self->commands, FALSE);
  const DeimSlot slots[] = { slot (&self->parts, 0, self->parts.size / 4),
                             slot (&self->settings, 0, sizeof (Settings) / 4), slot (&self->verdict, 0, 4) };
  const gint32 push[] = { (gint32) parts };
  if (!dispatch (self, "gradient_norm", slots, 3, 2, NULL, 0, push, 1, lanes, 1, error))
    return FALSE;
  deim_commands_barrier (self->commands, FALSE);
  return TRUE;
}

static gboolean
record_range (DeimOptimiser *self, const DeimUpdateRange *range, GError **error)
{
  const guint32 spec[] = { range->group == DEIM_RUNNING_AVERAGES };
  const guint local = MAX (64, deim_gpu_get_policy (self->gpu)->subgroup_size);
  for (gsize done = 0; done < range->count; done += REACH) {
    gsize n = MIN (REACH, range->count - done), at = (range->first + done) * 4;
    DeimSlot slots[7] = { slot (self->state, self->gradients + at, n), slot (&self->settings, 0, sizeof (Settings) / 4),
                          slot (&self->verdict, 0, 4), slot (self->state, self->values + at, n) };
    for (guint i = 0; i < DEIM_VECTOR_LAST; i++)
      slots[4 + i] = slot (&self->vectors[i], at, n);
    const gint32 push[] = { (gint32) (n / 4), MAX (range->group, 0) };
    guint groups = (guint) ((n / 4 + local - 1) / local);
    if (!dispatch (self, "optimiser", slots, 7, 3, spec, 1, push, 2, local, groups, error))
      return FALSE;
  }
  return TRUE;
}

static gboolean
record (DeimOptimiser *self, const DeimUpdateRange *ranges, guint n, gsize trained, GError **error)
{
  if (!deim_commands_begin (self->commands, error) || !record_norm (self, trained, error))
    return FALSE;
  for (guint i = 0; i < n; i++)
    if (!record_range (self, &ranges[i], error))
      return FALSE;
  deim_commands_barrier (self->commands, FALSE);
  deim_commands_copy (self->commands, self->verdict.buffer, 0, self->readback.buffer, 0, 16);
  deim_commands_barrier (self->commands, TRUE);
  return deim_commands_end (self->commands, error);
}

/* ------------------------------------------------------------------- object */

static gboolean
clear (DeimOptimiser *self, DeimGpuBuffer *buffer, GError **error)
{
  g_autofree guint8 *zeros = g_malloc0 (buffer->size);
  return deim_gpu_buffer_upload (buffer, self->gpu, 0, zeros, buffer->size, error);
}

DeimOptimiser *
deim_optimiser_new (DeimGpu *gpu, const DeimGpuBuffer *state, gsize values, gsize gradients, gsize count,
                    const DeimUpdateRange *ranges, guint n_ranges, GError **error)
{
  g_autoptr (DeimOptimiser) self = g_new0 (DeimOptimiser, 1);
  self->gpu = deim_gpu_ref (gpu);
  self->state = state;
  self->values = values;
  self->gradients = gradients;
  self->count = count;
  gsize trained = 0;
  guint dispatches = 1;
  for (guint i = 0; i < n_ranges; i++) {
    dispatches += (guint) (ranges[i].count / REACH) + 1;
    if (ranges[i].group != DEIM_RUNNING_AVERAGES)
      trained = MAX (trained, ranges[i].first + ranges[i].count);
  }
  dispatches += (guint) (trained / REACH) + 1;
  gsize chunks = trained / CHUNK + trained / REACH + 2;
  for (guint i = 0; i < DEIM_VECTOR_LAST; i++)
    if (!deim_gpu_buffer_init (&self->vectors[i], gpu, DEIM_MEMORY_DEVICE, MAX (count, 4) * 4, error) ||
        !clear (self, &self->vectors[i], error))
      return NULL;
  self->commands = deim_commands_new (gpu, dispatches, 0, error);
  if (!self->commands || !deim_gpu_buffer_init (&self->settings, gpu, DEIM_MEMORY_UPLOAD, sizeof (Settings), error) ||
      !deim_gpu_buffer_init (&self->parts, gpu, DEIM_MEMORY_DEVICE,
                             chunks * deim_gpu_get_policy (gpu)->subgroup_size * 16, error) ||
      !deim_gpu_buffer_init (&self->verdict, gpu, DEIM_MEMORY_DEVICE, 16, error) ||
      !deim_gpu_buffer_init (&self->readback, gpu, DEIM_MEMORY_READBACK, 16, error) ||
      !record (self, ranges, n_ranges, trained, error))
    return NULL;
  return g_steal_pointer (&self);
}

void
deim_optimiser_free (DeimOptimiser *self)
{
  if (!self)
    return;
  deim_commands_free (self->commands);
  for (guint i = 0; i < DEIM_VECTOR_LAST; i++)
    deim_gpu_buffer_finish (&self->vectors[i], self->gpu);
  deim_gpu_buffer_finish (&self->settings, self->gpu);
  deim_gpu_buffer_finish (&self->parts, self->gpu);
  deim_gpu_buffer_finish (&self->verdict, self->gpu);
  deim_gpu_buffer_finish (&self->readback, self->gpu);
  deim_gpu_unref (self->gpu);
  g_free (self);
}

DeimGpuBuffer *
deim_optimiser_get (DeimOptimiser *self, DeimVector vector)
{
  return &self->vectors[vector];
}

gboolean
deim_optimiser_run (DeimOptimiser *self, const DeimUpdate *update, gdouble *ret_norm, GError **error)
{
  gdouble step = (gdouble) update->step;
  Settings settings = { .beta1 = (gfloat) update->beta1,
                        .beta2 = (gfloat) update->beta2,
                        .eps = (gfloat) update->eps,
                        .ema_decay = (gfloat) update->ema_decay,
                        .first_correction = (gfloat) (1 - pow (update->beta1, step)),
                        .second_correction = (gfloat) sqrt (1 - pow (update->beta2, step)),
                        .max_norm = (gfloat) update->max_norm,
                        .momentum = (gfloat) update->momentum };
  for (guint i = 0; i < DEIM_MAX_GROUPS; i++) {
    settings.groups[i].lr = (gfloat) update->groups[i].lr;
    settings.groups[i].weight_decay = (gfloat) update->groups[i].weight_decay;
  }
  memcpy (self->settings.map, &settings, sizeof settings);
  guint64 value;
  if (!deim_gpu_submit (self->gpu, &self->commands, 1, &value, error) || !deim_gpu_wait (self->gpu, value, error))
    return FALSE;
  *ret_norm = ((const gfloat *) self->readback.map)[0];
  return TRUE;
}
