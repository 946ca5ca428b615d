/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * preprocessor.c - the commands of both ways to the network's input: by staging memory, and straight out of a DMABuf.
 *
 * A pool hands out the same few buffers again and again, so what was imported stays, with the commands that read it.
 * What no longer comes belongs to a pool that is gone, and is given up.
 */
#include "preprocessor.h"

#include <string.h>

#include "engine/error.h"
#include "engine/image/preprocess.h"

#define MAX_IMPORTS 32  /* more than a pool has buffers */
#define GIVEN_UP    128 /* frames since an import was used last */

/* A DMABuf that frames come in. */
typedef struct {
  DeimDmabufId id;
  gsize offset[DEIM_FRAME_MAX_PLANES];
  guint stride[DEIM_FRAME_MAX_PLANES];
  DeimGpuBuffer buffer;
  DeimCommands *rows;
  guint64 used; /* `loads` at its last frame */
} Import;

typedef struct {
  guint64 target; /* its id */
  DeimCommands *commands;
} Columns;

struct _DeimPreprocessor {
  DeimGpu *gpu;
  guint width, height;
  DeimResize resize;
  gboolean timestamps;
  guint64 loads;
  DeimCommands *loaded; /* the rows of the frame that was loaded: `rows` or an import's */
  DeimCommands *placed; /* the columns that were asked for last */
  DeimGpuBuffer place;  /* a word: where the picture begins in the target */

  gboolean ready; /* `plan` and everything below belong to a geometry */
  DeimPreprocess plan;
  DeimGpuBuffer table;
  DeimGpuBuffer scratch;
  Columns columns[DEIM_PREPROCESSOR_TARGETS]; /* by id */
  /* made when the first frame comes that has to be staged */
  DeimGpuBuffer staging; /* written by the host */
  DeimGpuBuffer frame;   /* its copy on the device, where shaders cannot read staging memory at full speed */
  DeimCommands *rows;
  GArray *imports; /* of Import, in no order */
};

DeimPreprocessor *
deim_preprocessor_new (DeimGpu *gpu, guint width, guint height, DeimResize resize, gboolean timestamps)
{
  DeimPreprocessor *self = g_new0 (DeimPreprocessor, 1);
  self->gpu = deim_gpu_ref (gpu);
  self->width = width;
  self->height = height;
  self->resize = resize;
  self->timestamps = timestamps;
  self->imports = g_array_new (FALSE, TRUE, sizeof (Import));
  return self;
}

static void
drop_import (DeimPreprocessor *self, guint index)
{
  Import *import = &g_array_index (self->imports, Import, index);
  deim_commands_free (import->rows);
  deim_gpu_buffer_finish (&import->buffer, self->gpu);
  g_array_remove_index_fast (self->imports, index);
}

/* Frees what cannot be used any more. */
static void
forget_geometry (DeimPreprocessor *self)
{
  self->ready = FALSE;
  self->loaded = self->placed = NULL;
  while (self->imports->len > 0)
    drop_import (self, self->imports->len - 1);
  g_clear_pointer (&self->rows, deim_commands_free);
  for (guint i = 0; i < DEIM_PREPROCESSOR_TARGETS; i++)
    g_clear_pointer (&self->columns[i].commands, deim_commands_free);
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
  forget_geometry (self);
  deim_gpu_buffer_finish (&self->place, self->gpu);
  g_array_unref (self->imports);
  deim_gpu_unref (self->gpu);
  g_free (self);
}

/* --------------------------------------------------------------- recording */

static gboolean
reads_staging (const DeimPreprocessor *self)
{
  return deim_gpu_get_properties (self->gpu)->unified_memory || deim_gpu_get_policy (self->gpu)->on[DEIM_DECISION_CPU];
}

/* @frame: what the rows read. @target: what the columns write. */
static DeimSlot
slot_of (const DeimPreprocessor *self, const DeimGpuBuffer *frame, const DeimPreprocessorTarget *target,
         DeimPreprocessBuffer role, DeimPreprocessAccess access)
{
  DeimSlot slot = { .texel_format =
                        access == DEIM_PREPROCESS_READ_WORD4 ? VK_FORMAT_R32G32B32A32_UINT : VK_FORMAT_R32_UINT };
  const DeimGpuBuffer *buffer = NULL;
  switch (role) {
  case DEIM_PREPROCESS_OUTPUT:
    return target->slot;
  case DEIM_PREPROCESS_FRAME:
    buffer = frame;
    break;
  case DEIM_PREPROCESS_TABLE:
    buffer = &self->table;
    break;
  case DEIM_PREPROCESS_SCRATCH:
    buffer = &self->scratch;
    break;
  case DEIM_PREPROCESS_PLACE:
    buffer = &self->place;
    break;
  case DEIM_PREPROCESS_N_BUFFERS:
    g_assert_not_reached ();
  }
  slot.buffer = buffer->buffer;
  slot.range = buffer->size;
  return slot;
}

static gboolean
record_dispatch (DeimPreprocessor *self, DeimCommands *commands, const DeimGpuBuffer *frame,
                 const DeimPreprocessorTarget *target, const DeimPreprocessDispatch *d, GError **error)
{
  const DeimGpuPolicy *policy = deim_gpu_get_policy (self->gpu);
  gboolean texel = policy->on[DEIM_DECISION_TEXEL];
  g_autofree gchar *name = g_strconcat (d->shader, texel ? ".texel" : ".ssbo", NULL);
  DeimPipelineKey key = {
    .shader = name, .n_slots = d->n_bind, .n_spec = 4 + d->n_spec, .push_bytes = d->n_push * (guint) sizeof (guint32)
  };
  DeimSlot slots[DEIM_PREPROCESS_BINDINGS];
  for (guint b = 0; b < d->n_bind; b++) {
    key.slots[b] = texel && d->bind[b].access != DEIM_PREPROCESS_WRITE ? DEIM_SLOT_TEXEL : DEIM_SLOT_STORAGE;
    slots[b] = slot_of (self, frame, target, d->bind[b].buffer, d->bind[b].access);
  }
  key.spec[0] = policy->subgroup_size;
  key.spec[1] = d->local_size;
  key.spec[2] = target && target->half ? 1u << 2 : 0;
  memcpy (key.spec + 4, d->spec, d->n_spec * sizeof (guint32));
  const DeimPipeline *pipeline = deim_gpu_get_pipeline (self->gpu, &key, error);
  return pipeline && deim_commands_dispatch (commands, pipeline, &key, slots, d->push, d->groups, error);
}

/* The rows: @d, which reads @frame. NULL with @error. */
static DeimCommands *
record_rows (DeimPreprocessor *self, const DeimGpuBuffer *frame, const DeimPreprocessDispatch *d, gboolean imported,
             GError **error)
{
  DeimCommands *commands = deim_commands_new (self->gpu, 1, self->timestamps ? 3 : 0, error);
  if (!commands || !deim_commands_begin_apart (commands, error))
    goto fail;
  if (self->timestamps)
    deim_commands_timestamp (commands, 0);
  if (imported) {
    deim_commands_take (commands, frame->buffer);
  } else if (frame == &self->frame) {
    deim_commands_copy (commands, self->staging.buffer, 0, self->frame.buffer, 0, self->plan.staging_size);
    deim_commands_barrier (commands, FALSE);
  }
  if (self->timestamps)
    deim_commands_timestamp (commands, 1);
  if (!record_dispatch (self, commands, frame, NULL, d, error))
    goto fail;
  if (imported)
    deim_commands_give_back (commands, frame->buffer);
  if (self->timestamps)
    deim_commands_timestamp (commands, 2);
  if (deim_commands_end (commands, error))
    return commands;

fail:
  deim_commands_free (commands);
  return NULL;
}

static gboolean
record_columns (DeimPreprocessor *self, const DeimPreprocessorTarget *target, Columns *columns, GError **error)
{
  if (!columns->commands)
    columns->commands = deim_commands_new (self->gpu, 1, self->timestamps ? 2 : 0, error);
  columns->target = 0;
  if (!columns->commands || !deim_commands_begin_apart (columns->commands, error))
    return FALSE;
  if (self->timestamps)
    deim_commands_timestamp (columns->commands, 0);
  if (!record_dispatch (self, columns->commands, NULL, target, &self->plan.dispatch[1], error))
    return FALSE;
  if (self->timestamps)
    deim_commands_timestamp (columns->commands, 1);
  if (!deim_commands_end (columns->commands, error))
    return FALSE;
  columns->target = target->id;
  return TRUE;
}

static gboolean
learn_geometry (DeimPreprocessor *self, const DeimFrame *frame, GError **error)
{
  forget_geometry (self);
  if (!deim_preprocess_init (&self->plan, frame, self->width, self->height, self->resize, error))
    return FALSE;
  DeimPreprocess *p = &self->plan;
  gsize least = 64;
  if (!deim_gpu_buffer_init (&self->table, self->gpu, DEIM_MEMORY_DEVICE, MAX (p->table_size, least), error) ||
      !deim_gpu_buffer_upload (&self->table, self->gpu, 0, p->table, p->table_size, error) ||
      !deim_gpu_buffer_init (&self->scratch, self->gpu, DEIM_MEMORY_DEVICE, MAX (p->scratch_size, least), error) ||
      (!self->place.buffer && !deim_gpu_buffer_init (&self->place, self->gpu, DEIM_MEMORY_UPLOAD, least, error))) {
    forget_geometry (self);
    return FALSE;
  }
  self->ready = TRUE;
  return TRUE;
}

/* ----------------------------------------------------------------- staging */

static gboolean
make_staging (DeimPreprocessor *self, GError **error)
{
  gsize size = MAX (self->plan.staging_size, 64);
  if (!self->staging.buffer && !deim_gpu_buffer_init (&self->staging, self->gpu, DEIM_MEMORY_UPLOAD, size, error))
    return FALSE;
  if (!reads_staging (self) && !self->frame.buffer &&
      !deim_gpu_buffer_init (&self->frame, self->gpu, DEIM_MEMORY_DEVICE, size, error))
    return FALSE;
  self->rows =
      record_rows (self, reads_staging (self) ? &self->staging : &self->frame, &self->plan.dispatch[0], FALSE, error);
  return self->rows != NULL;
}

/* ----------------------------------------------------------------- imports */

static gboolean
is_import_of (const DeimPreprocessor *self, const Import *import, const DeimDmabufId *id, const DeimFrame *frame)
{
  guint n = self->plan.info->n_planes;
  return import->id.inode == id->inode && import->id.device == id->device &&
         memcmp (import->offset, frame->dmabuf->offset, n * sizeof import->offset[0]) == 0 &&
         memcmp (import->stride, frame->stride, n * sizeof import->stride[0]) == 0;
}

/* Makes room: nothing of this object is pending, so that any may go. */
static void
prune_imports (DeimPreprocessor *self)
{
  guint oldest = 0;
  for (guint i = self->imports->len; i-- > 0;)
    if (self->loads - g_array_index (self->imports, Import, i).used > GIVEN_UP)
      drop_import (self, i);
  if (self->imports->len < MAX_IMPORTS)
    return;
  for (guint i = 1; i < self->imports->len; i++)
    if (g_array_index (self->imports, Import, i).used < g_array_index (self->imports, Import, oldest).used)
      oldest = i;
  drop_import (self, oldest);
}

static Import *
add_import (DeimPreprocessor *self, const DeimDmabufId *id, const DeimFrame *frame, GError **error)
{
  Import made = { .id = *id };
  guint n = self->plan.info->n_planes;
  memcpy (made.offset, frame->dmabuf->offset, n * sizeof made.offset[0]);
  memcpy (made.stride, frame->stride, n * sizeof made.stride[0]);
  DeimPreprocessDispatch first;
  if (!deim_gpu_buffer_import (&made.buffer, self->gpu, frame->dmabuf->fd[0], error))
    return NULL;
  if (!deim_preprocess_read_in_place (&self->plan, frame->dmabuf, frame->stride, made.buffer.size, &first, error) ||
      !(made.rows = record_rows (self, &made.buffer, &first, TRUE, error))) {
    deim_gpu_buffer_finish (&made.buffer, self->gpu);
    return NULL;
  }
  g_array_append_val (self->imports, made);
  return &g_array_index (self->imports, Import, self->imports->len - 1);
}

static gboolean
load_dmabuf (DeimPreprocessor *self, const DeimFrame *frame, GError **error)
{
  const gint *fd = frame->dmabuf->fd;
  DeimDmabufId id, other;
  if (!deim_dmabuf_identify (fd[0], &id, error))
    return FALSE;
  for (guint i = 1; i < self->plan.info->n_planes; i++) {
    if (!deim_dmabuf_identify (fd[i], &other, error))
      return FALSE;
    if (other.inode != id.inode || other.device != id.device) {
      g_set_error (error, DEIM_ERROR, DEIM_ERROR_UNSUPPORTED, "its planes lie in several DMABufs");
      return FALSE;
    }
  }
  Import *import = NULL;
  for (guint i = 0; i < self->imports->len && !import; i++)
    if (is_import_of (self, &g_array_index (self->imports, Import, i), &id, frame))
      import = &g_array_index (self->imports, Import, i);
  if (!import) {
    prune_imports (self);
    import = add_import (self, &id, frame, error);
  }
  if (!import || !deim_gpu_wait_for_dmabuf (self->gpu, fd[0], error))
    return FALSE;
  import->used = self->loads;
  self->loaded = import->rows;
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
  self->loads++;
  if (frame->dmabuf)
    return load_dmabuf (self, frame, error);
  if (!self->rows && !make_staging (self, error))
    return FALSE;
  deim_preprocess_upload (&self->plan, frame, self->staging.map);
  self->loaded = self->rows;
  return TRUE;
}

gboolean
deim_preprocessor_get_commands (DeimPreprocessor *self, const DeimPreprocessorTarget *target, guint entry,
                                DeimCommands **ret_rows, DeimCommands **ret_columns, GError **error)
{
  Columns *columns = &self->columns[target->id % DEIM_PREPROCESSOR_TARGETS];
  if (!(columns->commands && columns->target == target->id) && !record_columns (self, target, columns, error))
    return FALSE;
  guint32 first = entry * self->width * self->height;
  memcpy (self->place.map, &first, sizeof first);
  self->placed = columns->commands;
  *ret_rows = self->loaded;
  *ret_columns = columns->commands;
  return TRUE;
}

void
deim_preprocessor_map_box (DeimPreprocessor *self, const gfloat cxcywh[4], gfloat ret_xyxy[4])
{
  deim_preprocess_map_box (&self->plan, cxcywh, ret_xyxy);
}

gboolean
deim_preprocessor_get_times (DeimPreprocessor *self, gdouble ret_ms[DEIM_PREPROCESSOR_STEPS])
{
  gdouble rows[3], columns[2];
  if (!self->timestamps || !self->loaded || !self->placed || !deim_commands_get_timestamps (self->loaded, rows, 3) ||
      !deim_commands_get_timestamps (self->placed, columns, 2))
    return FALSE;
  ret_ms[0] = rows[1];
  ret_ms[1] = rows[2] - rows[1];
  ret_ms[2] = columns[1];
  return TRUE;
}

const gchar *
deim_preprocessor_step_name (guint step)
{
  static const gchar *const names[DEIM_PREPROCESSOR_STEPS] = { "upload", "preprocess_h", "preprocess_v" };
  return names[step];
}
