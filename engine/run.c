/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * run.c - one arena of a network, with a prerecorded command buffer for each number of pictures it may compute, or, of
 * a differentiated graph, for each piece of its two phases.
 */
#include <string.h>

#include "engine/error.h"
#include "engine/graph/op.h"
#include "executor-private.h"

/* An input or output as it passes between the arena and mapped memory. */
typedef struct {
  const DeimTensor *tensor;
  gsize offset; /* in the staging buffer of its direction */
  guint phase;
} Transfer;

/* Dispatches between two points where processes that share a batch wait for each other. */
typedef struct {
  guint phase, first, n;
  const DeimDispatch *before, *after; /* the gathers that it begins and ends with; NULL: the phase */
} Piece;

struct _DeimRun {
  DeimExecutor *executor;
  DeimRunFlags flags;
  DeimGpuBuffer arena, upload, readback;
  GArray *inputs, *outputs; /* of Transfer */
  DeimGpuBuffer own, all;   /* what is gathered, of this process and of all; only where there are others */
  guint batch;
  GArray *pieces;         /* of Piece, in order */
  GPtrArray *recordings;  /* of DeimCommands: for 1 .. batch entries, or for all of them, of each piece */
  DeimCommands *commands; /* the one at hand */
};

/* Byte ranges touched since the last barrier. */
typedef struct {
  VkBuffer buffer;
  gsize begin, end;
  gboolean write;
} Access;

/* The bytes of the arena between a tensor's first and last element. */
static Access
tensor_access (const DeimRun *self, const DeimTensor *tensor, gboolean write)
{
  const DeimLayout *layout = deim_layouts_get (self->executor->layouts, tensor);
  gsize base = self->executor->tensor_offset[layout->root->id],
        unit = deim_executor_element_bytes (self->executor, tensor);
  VkBuffer buffer = self->arena.buffer;
  if (tensor->plain || tensor->type == DEIM_TYPE_INT)
    return (Access){ buffer, base, base + deim_executor_root_bytes (self->executor, tensor), write };
  gsize last = (gsize) layout->first + (gsize) (tensor->shape.n - 1) * layout->batch_stride +
               (gsize) (layout->blocks - 1) * layout->block_stride + (gsize) tensor->shape.h * tensor->shape.w;
  return (Access){ buffer, base + (gsize) layout->first * unit, base + last * unit, write };
}

static gboolean
conflicts (const GArray *accesses, const Access *access)
{
  for (guint i = 0; i < accesses->len; i++) {
    const Access *other = &g_array_index (accesses, Access, i);
    if ((access->write || other->write) && access->buffer == other->buffer && access->begin < other->end &&
        other->begin < access->end)
      return TRUE;
  }
  return FALSE;
}

static void
make_slot (const DeimRun *self, const DeimBinding *bind, DeimSlot *slot)
{
  const DeimExecutor *executor = self->executor;
  slot->buffer = self->arena.buffer;
  if (bind->tensor) {
    const DeimTensor *root = deim_layouts_get (executor->layouts, bind->tensor)->root;
    gboolean resident = deim_executor_is_resident (executor, root);
    if (resident)
      slot->buffer = executor->residents->buffer;
    else if (root->data)
      slot->buffer = executor->weights.buffer;
    slot->offset = resident ? executor->resident_offset[root->id] : executor->tensor_offset[root->id];
    slot->range = deim_executor_root_bytes (executor, root);
  } else if (bind->blob >= 0) {
    slot->buffer = executor->weights.buffer;
    slot->offset = executor->blob_offset[bind->blob];
    slot->range = executor->blob_bytes[bind->blob];
  } else {
    slot->offset = executor->scratch_offset[bind->scratch];
    slot->range = g_array_index (executor->list->scratch, DeimScratch, bind->scratch).bytes;
  }
  slot->texel_format = deim_executor_texel_format (executor, bind);
}

/* Workgroups of @d that compute the first @entries of the batch. */
static gboolean
get_groups (const DeimRun *self, const DeimDispatch *d, guint entries, guint32 ret[3], GError **error)
{
  memcpy (ret, d->groups, sizeof d->groups);
  if (entries == self->batch || (guint) d->node->out[0]->shape.n < self->batch) /* the latter computes a constant */
    return TRUE;
  if (ret[2] % self->batch) {
    g_set_error (
        error, DEIM_ERROR, DEIM_ERROR_UNSUPPORTED,
        "%s does not compute a batch entry by entry (%u groups for %u entries): this is a mistake of its operator",
        d->shader, ret[2], self->batch);
    return FALSE;
  }
  ret[2] = ret[2] / self->batch * entries;
  return TRUE;
}

static const Piece *
get_piece (const DeimRun *self, guint index)
{
  return &g_array_index (self->pieces, Piece, index);
}

static void
cut_phase (DeimRun *self, guint phase, guint first, guint end)
{
  Piece piece = { .phase = phase, .first = first };
  for (guint i = first; i < end; i++) {
    const DeimDispatch *d = deim_executor_dispatch (self->executor, i);
    if (!d->gather)
      continue;
    piece.n = i - piece.first;
    piece.after = d;
    g_array_append_val (self->pieces, piece);
    piece = (Piece){ .phase = phase, .first = i + 1, .before = d };
  }
  piece.n = end - piece.first;
  g_array_append_val (self->pieces, piece);
}

static void
cut (DeimRun *self)
{
  guint first = deim_executor_first_phase (self->executor), n = self->executor->list->dispatches->len;
  cut_phase (self, 0, 0, first);
  if (first < n)
    cut_phase (self, 1, first, n);
}

/* Bytes that a gather takes of each process. */
static gsize
gather_bytes (const DeimRun *self, const DeimDispatch *gather)
{
  return g_array_index (self->executor->list->scratch, DeimScratch, gather->bind[0].scratch).bytes;
}

static gsize
most_gathered (const DeimRun *self)
{
  gsize most = 0;
  for (guint i = 0; i < self->pieces->len; i++)
    if (get_piece (self, i)->after)
      most = MAX (most, gather_bytes (self, get_piece (self, i)->after));
  return most;
}

static gboolean
record_dispatches (DeimRun *self, const Piece *piece, guint entries, GError **error)
{
  DeimExecutor *executor = self->executor;
  guint first = piece->first, n = piece->n;
  gboolean timestamps = (self->flags & DEIM_RUN_TIMESTAMPS) != 0;
  g_autoptr (GArray) accesses = g_array_new (FALSE, FALSE, sizeof (Access));
  g_autoptr (GArray) mine = g_array_new (FALSE, FALSE, sizeof (Access));

  if (timestamps)
    deim_commands_timestamp (self->commands, 0);
  for (guint i = first; i < first + n; i++) {
    const DeimDispatch *d = deim_executor_dispatch (executor, i);
    DeimSlot slots[DEIM_MAX_BINDINGS] = { 0 };
    gboolean wait = FALSE;
    g_array_set_size (mine, 0);
    for (guint b = 0; b < d->n_bind; b++) {
      const DeimBinding *bind = &d->bind[b];
      make_slot (self, bind, &slots[b]);
      Access access = { slots[b].buffer, slots[b].offset, slots[b].offset + slots[b].range,
                        bind->mode == DEIM_BIND_WRITE };
      if (slots[b].buffer == executor->weights.buffer)
        continue; /* never written */
      if (bind->tensor && slots[b].buffer == self->arena.buffer)
        access = tensor_access (self, bind->tensor, access.write);
      wait |= conflicts (accesses, &access);
      g_array_append_val (mine, access);
    }
    if (wait) {
      deim_commands_barrier_shaders (self->commands);
      g_array_set_size (accesses, 0);
    }
    g_array_append_vals (accesses, mine->data, mine->len);
    guint32 groups[3];
    if (!get_groups (self, d, entries, groups, error) ||
        !deim_commands_dispatch (self->commands, executor->pipelines[i], &executor->keys[i], slots, d->push, groups,
                                 error))
      return FALSE;
    if (timestamps)
      deim_commands_timestamp (self->commands, i - first + 1);
  }
  return TRUE;
}

static void
copy_inputs (DeimRun *self, guint phase)
{
  const DeimExecutor *executor = self->executor;
  for (guint i = 0; i < self->inputs->len; i++) {
    const Transfer *t = &g_array_index (self->inputs, Transfer, i);
    if (t->phase == phase)
      deim_commands_copy (self->commands, self->upload.buffer, t->offset, self->arena.buffer,
                          executor->tensor_offset[t->tensor->id], deim_executor_root_bytes (executor, t->tensor));
  }
  deim_commands_barrier (self->commands, FALSE);
}

static void
copy_outputs (DeimRun *self, guint phase)
{
  const DeimExecutor *executor = self->executor;
  for (guint i = 0; i < self->outputs->len; i++) {
    const Transfer *t = &g_array_index (self->outputs, Transfer, i);
    const DeimTensor *root = deim_layouts_get (executor->layouts, t->tensor)->root;
    if (t->phase == phase)
      deim_commands_copy (self->commands, self->arena.buffer, executor->tensor_offset[root->id], self->readback.buffer,
                          t->offset, deim_executor_root_bytes (executor, root));
  }
}

/* What @gather leads to, from the host; what it takes, to the host. */
static void
copy_gathered (DeimRun *self, const DeimDispatch *gather, gboolean to_host)
{
  gsize bytes = gather_bytes (self, gather), *offsets = self->executor->scratch_offset;
  if (to_host) {
    deim_commands_copy (self->commands, self->arena.buffer, offsets[gather->bind[0].scratch], self->own.buffer, 0,
                        bytes);
    return;
  }
  deim_commands_copy (self->commands, self->all.buffer, 0, self->arena.buffer, offsets[gather->bind[1].scratch],
                      bytes * self->executor->share.count);
  deim_commands_barrier (self->commands, FALSE);
}

static gboolean
record (DeimRun *self, const Piece *piece, guint entries, GError **error)
{
  if (!deim_commands_begin (self->commands, error))
    return FALSE;
  if ((self->flags & DEIM_RUN_POISON) && piece == get_piece (self, 0)) {
    deim_commands_fill (self->commands, self->arena.buffer, 0, self->arena.size,
                        0x7fc07fc0); /* NaN as float and half */
    deim_commands_barrier (self->commands, FALSE);
  }
  if (piece->before)
    copy_gathered (self, piece->before, FALSE);
  else if (self->flags & DEIM_RUN_HOST_INPUTS)
    copy_inputs (self, piece->phase);
  if (!record_dispatches (self, piece, entries, error))
    return FALSE;
  deim_commands_barrier (self->commands, FALSE);
  if (piece->after)
    copy_gathered (self, piece->after, TRUE);
  else
    copy_outputs (self, piece->phase);
  deim_commands_barrier (self->commands, TRUE);
  return deim_commands_end (self->commands, error);
}

/* Lists the tensors that pass in or out, and returns the bytes of staging that they need. */
static gsize
list_transfers (DeimRun *self, GArray *transfers, gboolean outputs)
{
  const DeimGraph *graph = self->executor->graph;
  gsize total = 0;
  for (guint i = 0; i < deim_graph_get_n_tensors (graph); i++) {
    const DeimTensor *tensor = deim_graph_get_tensor (graph, i);
    if (outputs ? !deim_graph_is_output (graph, tensor) : tensor->kind != DEIM_TENSOR_INPUT)
      continue;
    const DeimTensor *root = deim_layouts_get (self->executor->layouts, tensor)->root;
    Transfer transfer = { tensor, total, deim_executor_phase_of (self->executor, tensor) };
    g_array_append_val (transfers, transfer);
    gsize bytes = deim_executor_root_bytes (self->executor, root);
    total += (bytes + self->executor->alignment - 1) / self->executor->alignment * self->executor->alignment;
  }
  return total;
}

static gboolean
add_recording (DeimRun *self, const Piece *piece, guint entries, GError **error)
{
  self->commands =
      deim_commands_new (self->executor->gpu, piece->n, self->flags & DEIM_RUN_TIMESTAMPS ? piece->n + 1 : 0, error);
  if (!self->commands)
    return FALSE;
  g_ptr_array_add (self->recordings, self->commands);
  return record (self, piece, entries, error);
}

static gboolean
make_recordings (DeimRun *self, GError **error)
{
  self->batch = 1;
  for (guint i = 0; i < self->inputs->len; i++)
    self->batch = MAX (self->batch, (guint) g_array_index (self->inputs, Transfer, i).tensor->shape.n);
  if (!(self->flags & DEIM_RUN_PARTIAL)) {
    for (guint i = 0; i < self->pieces->len; i++)
      if (!add_recording (self, get_piece (self, i), self->batch, error))
        return FALSE;
    return TRUE;
  }
  for (guint entries = 1; entries <= self->batch; entries++)
    if (!add_recording (self, get_piece (self, 0), entries, error))
      return FALSE;
  return TRUE;
}

DeimRun *
deim_run_new (DeimExecutor *executor, DeimRunFlags flags, GError **error)
{
  g_autoptr (DeimRun) self = g_new0 (DeimRun, 1);
  DeimGpu *gpu = executor->gpu;
  self->executor = executor;
  self->flags = flags;
  self->pieces = g_array_new (FALSE, FALSE, sizeof (Piece));
  cut (self);
  self->recordings = g_ptr_array_new_with_free_func ((GDestroyNotify) deim_commands_free);
  self->inputs = g_array_new (FALSE, FALSE, sizeof (Transfer));
  self->outputs = g_array_new (FALSE, FALSE, sizeof (Transfer));
  gsize in_bytes = list_transfers (self, self->inputs, FALSE);
  gsize out_bytes = list_transfers (self, self->outputs, TRUE);
  gsize least = executor->alignment, gathered = most_gathered (self);
  if (!deim_gpu_buffer_init (&self->arena, gpu, DEIM_MEMORY_DEVICE, MAX (executor->arena_bytes, least), error) ||
      ((flags & DEIM_RUN_HOST_INPUTS) &&
       !deim_gpu_buffer_init (&self->upload, gpu, DEIM_MEMORY_UPLOAD, MAX (in_bytes, least), error)) ||
      !deim_gpu_buffer_init (&self->readback, gpu, DEIM_MEMORY_READBACK, MAX (out_bytes, least), error) ||
      (gathered &&
       (!deim_gpu_buffer_init (&self->own, gpu, DEIM_MEMORY_READBACK, gathered, error) ||
        !deim_gpu_buffer_init (&self->all, gpu, DEIM_MEMORY_UPLOAD, gathered * executor->share.count, error))) ||
      !make_recordings (self, error))
    return NULL;
  return g_steal_pointer (&self);
}

void
deim_run_free (DeimRun *self)
{
  if (!self)
    return;
  g_ptr_array_unref (self->recordings);
  deim_gpu_buffer_finish (&self->arena, self->executor->gpu);
  deim_gpu_buffer_finish (&self->upload, self->executor->gpu);
  deim_gpu_buffer_finish (&self->readback, self->executor->gpu);
  deim_gpu_buffer_finish (&self->own, self->executor->gpu);
  deim_gpu_buffer_finish (&self->all, self->executor->gpu);
  g_array_unref (self->pieces);
  g_array_unref (self->inputs);
  g_array_unref (self->outputs);
  g_free (self);
}

DeimCommands *
deim_run_get_commands (DeimRun *self, guint entries)
{
  guint index = self->flags & DEIM_RUN_PARTIAL ? entries - 1 : 0;
  g_return_val_if_fail (index < self->recordings->len, NULL);
  self->commands = g_ptr_array_index (self->recordings, index);
  return self->commands;
}

void
deim_run_get_slot (DeimRun *self, const DeimTensor *tensor, DeimSlot *ret_slot, gboolean *ret_half)
{
  DeimBinding bind = { DEIM_BIND_WRITE, (DeimTensor *) tensor, -1, -1 };
  make_slot (self, &bind, ret_slot);
  *ret_half = deim_executor_is_half (self->executor, tensor);
}

static const Transfer *
find_transfer (const GArray *transfers, const DeimTensor *tensor)
{
  for (guint i = 0; i < transfers->len; i++)
    if (g_array_index (transfers, Transfer, i).tensor == tensor)
      return &g_array_index (transfers, Transfer, i);
  return NULL;
}

void
deim_run_write (DeimRun *self, const DeimTensor *tensor, gconstpointer dense)
{
  const Transfer *t = find_transfer (self->inputs, tensor);
  g_return_if_fail (t && self->upload.map);
  deim_executor_pack (self->executor, tensor, dense, self->upload.map + t->offset);
}

void
deim_run_read_entry (DeimRun *self, const DeimTensor *tensor, guint entry, gpointer dense)
{
  const Transfer *t = find_transfer (self->outputs, tensor);
  g_return_if_fail (t && entry < (guint) tensor->shape.n);
  const guint8 *storage = self->readback.map + t->offset;
  if (tensor->plain || tensor->type == DEIM_TYPE_INT) {
    gsize bytes = deim_shape_size (tensor->shape) / (gsize) tensor->shape.n * 4;
    memcpy (dense, storage + entry * bytes, bytes);
    return;
  }
  const DeimLayout *layout = deim_layouts_get (self->executor->layouts, tensor);
  gboolean half = deim_executor_is_half (self->executor, tensor);
  gint positions = tensor->shape.h * tensor->shape.w;
  gfloat *out = dense;
  for (gint c = 0; c < tensor->shape.c; c++) {
    gint p = deim_layout_channel (layout, c);
    gsize at =
        ((gsize) layout->first + (gsize) entry * layout->batch_stride + (gsize) (p / 4) * layout->block_stride) * 4 +
        p % 4;
    for (gint i = 0; i < positions; i++, at += 4)
      *out++ = half ? deim_half_to_float (((const guint16 *) storage)[at]) : ((const gfloat *) storage)[at];
  }
}

void
deim_run_read (DeimRun *self, const DeimTensor *tensor, gpointer dense)
{
  gsize size = deim_shape_size (tensor->shape) / (gsize) tensor->shape.n;
  for (gint n = 0; n < tensor->shape.n; n++)
    deim_run_read_entry (self, tensor, (guint) n, (gfloat *) dense + n * size); /* integers have the same size */
}

/* Of one recording of @n dispatches. */
static gboolean
get_times (DeimCommands *commands, guint n, gdouble *ret_ms)
{
  g_autofree gdouble *marks = g_new0 (gdouble, n + 1);
  if (!deim_commands_get_timestamps (commands, marks, n + 1))
    return FALSE;
  for (guint i = 0; i < n; i++)
    ret_ms[i] = marks[i + 1] - marks[i];
  return TRUE;
}

gboolean
deim_run_get_times (DeimRun *self, gdouble *ret_ms)
{
  if (!(self->flags & DEIM_RUN_TIMESTAMPS))
    return FALSE;
  for (guint i = 0; i < self->executor->list->dispatches->len; i++)
    ret_ms[i] = 0; /* of gathers */
  if (self->flags & DEIM_RUN_PARTIAL)
    return get_times (self->commands, get_piece (self, 0)->n, ret_ms);
  for (guint i = 0; i < self->pieces->len; i++)
    if (!get_times (g_ptr_array_index (self->recordings, i), get_piece (self, i)->n,
                    ret_ms + get_piece (self, i)->first))
      return FALSE;
  return TRUE;
}

static gboolean
submit (DeimRun *self, DeimCommands *const *commands, guint n, GError **error)
{
  guint64 value;
  return deim_gpu_submit (self->executor->gpu, commands, n, &value, error) &&
         deim_gpu_wait (self->executor->gpu, value, error);
}

gboolean
deim_run_execute (DeimRun *self, GError **error)
{
  DeimCommands *commands = deim_run_get_commands (self, self->batch);
  if (self->flags & DEIM_RUN_PARTIAL)
    return submit (self, &commands, 1, error);
  return submit (self, (DeimCommands *const *) self->recordings->pdata, self->recordings->len, error);
}

gboolean
deim_run_execute_phase (DeimRun *self, guint phase, GError **error)
{
  const DeimShare *share = &self->executor->share;
  g_return_val_if_fail (!(self->flags & DEIM_RUN_PARTIAL), FALSE);
  for (guint i = 0; i < self->pieces->len; i++) {
    const Piece *piece = get_piece (self, i);
    if (piece->phase != phase)
      continue;
    if (!submit (self, (DeimCommands *const *) &self->recordings->pdata[i], 1, error))
      return FALSE;
    if (piece->after)
      share->gather (self->own.map, gather_bytes (self, piece->after), self->all.map, share->data);
  }
  return TRUE;
}
