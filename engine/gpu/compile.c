/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * compile.c - compiling ahead, for drivers that compile inside the first
 * dispatch of a pipeline.
 *
 * lavapipe does so one pipeline after the other, in the only queue of a device,
 * and keeps the code in Mesa's cache on disk. So copies of the device, one for
 * each core, dispatch their share of the pipelines over no workgroups; where
 * the device itself then dispatches, it finds the code on disk.
 *
 * Invariants:
 * (1) Nothing depends on it: what went wrong here costs time at the first
 *     dispatch, which compiles as if this file did not exist.
 * (2) Code is compiled ahead once: the note beside the pipeline cache has a line
 *     for each pipeline, below the fingerprint of what all lines hold for. A
 *     start that finds them there leaves loading to the device, which has to do
 *     it anyhow.
 *
 * The note says what was compiled, not what is still there: Mesa writes in the
 * background, and its cache can be emptied or turned off. By (1) that costs a
 * slow start.
 */
#include "gpu-private.h"

#include "engine/error.h"

#define NOTE       ".compiled"
#define MAX_COPIES 16 /* of the device */

/* Of the buffer that stands for all bindings. Whether its size is a power of two is part of lavapipe's code; networks'
 * buffers seldom are one. */
#define BUFFER_SIZE (3 * 4096)

/* ------------------------------------------------------------------- note */

/* Of each pipeline compiled so far, what identify() says; empty if the note is another build's or driver's. */
static GHashTable *
read_note (const gchar *path, const gchar *fingerprint)
{
  GHashTable *known = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_autofree gchar *text = NULL;
  if (!g_file_get_contents (path, &text, NULL, NULL))
    return known;
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
  if (lines[0] && g_str_equal (lines[0], fingerprint))
    for (gchar **line = lines + 1; *line; line++)
      g_hash_table_add (known, g_strdup (*line));
  return known;
}

static void
write_note (const gchar *path, const gchar *fingerprint, GHashTable *known)
{
  g_autoptr (GString) text = g_string_new (fingerprint);
  GHashTableIter iter;
  gpointer line;
  g_hash_table_iter_init (&iter, known);
  while (g_hash_table_iter_next (&iter, &line, NULL))
    if (*(const gchar *) line)
      g_string_append_printf (text, "\n%s", (const gchar *) line);
  if (!g_file_set_contents (path, text->str, (gssize) text->len, NULL))
    deim_info ("%s cannot be written: the next start compiles again", path);
}

static gchar *
identify (const DeimPipelineUse *use)
{
  const DeimPipelineKey *key = &use->key;
  g_autoptr (GString) text = g_string_new (key->shader);
  g_string_append_printf (text, " %u %u %d", key->push_bytes, key->required_subgroup_size, key->full_subgroups);
  for (guint i = 0; i < key->n_slots; i++)
    g_string_append_printf (text, " %d/%d", key->slots[i], key->slots[i] == DEIM_SLOT_TEXEL ? use->formats[i] : 0);
  for (guint i = 0; i < key->n_spec; i++)
    g_string_append_printf (text, " %u", key->spec[i]);
  return g_strdup_printf ("%016" G_GINT64_MODIFIER "x", deim_pipeline_cache_checksum (text->str, text->len));
}

/* -------------------------------------------------------------- compiling */

typedef struct {
  DeimGpu *gpu;
  GPtrArray *uses;
  gint next;      /* of them, that nobody has taken; atomic */
  gboolean *done; /* of each; its thread's alone until all have ended */
} Work;

static gboolean
compile (DeimGpu *copy, DeimCommands *commands, const DeimGpuBuffer *buffer, const DeimPipelineUse *use, GError **error)
{
  static const guint32 no_groups[3] = { 0 };
  static const guint8 push[256] = { 0 };
  if (use->key.push_bytes > sizeof push)
    return TRUE;
  DeimSlot slots[DEIM_GPU_MAX_SLOTS];
  for (guint i = 0; i < use->key.n_slots; i++)
    slots[i] = (DeimSlot){ buffer->buffer, 0, buffer->size, use->formats[i] };
  const DeimPipeline *pipeline = deim_gpu_get_pipeline (copy, &use->key, error);
  guint64 value;
  return pipeline && deim_commands_begin (commands, error) &&
         deim_commands_dispatch (commands, pipeline, &use->key, slots, push, no_groups, error) &&
         deim_commands_end (commands, error) && deim_gpu_submit (copy, &commands, 1, &value, error) &&
         deim_gpu_wait (copy, value, error);
}

static gpointer
compile_some (gpointer data)
{
  Work *work = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (DeimGpu) copy = deim_gpu_open_copy (work->gpu, &error);
  DeimGpuBuffer buffer = { 0 };
  DeimCommands *commands = NULL;
  if (copy && deim_gpu_buffer_init (&buffer, copy, DEIM_MEMORY_DEVICE, BUFFER_SIZE, &error) &&
      (commands = deim_commands_new (copy, 1, 0, &error)))
    for (guint i; (i = (guint) g_atomic_int_add (&work->next, 1)) < work->uses->len;) {
      g_clear_error (&error);
      work->done[i] = compile (copy, commands, &buffer, g_ptr_array_index (work->uses, i), &error);
      if (error)
        deim_debug ("compiling ahead: %s", error->message);
    }
  else
    deim_debug ("no copy of the device to compile with: %s", error->message);
  deim_commands_free (commands);
  if (copy)
    deim_gpu_buffer_finish (&buffer, copy);
  return NULL;
}

void
deim_gpu_compile_ahead (DeimGpu *gpu, const DeimPipelineUse *uses, guint n)
{
  guint n_threads = MIN (g_get_num_processors (), MAX_COPIES), started = 0, done = 0;
  g_autofree gchar *path = deim_gpu_cache_file (gpu, NOTE);
  if (!gpu->policy.on[DEIM_DECISION_AHEAD] || n_threads < 2 || !path)
    return;
  g_autofree gchar *fingerprint = deim_gpu_code_fingerprint (gpu);
  g_autoptr (GHashTable) known = read_note (path, fingerprint);
  g_autoptr (GPtrArray) wanted = g_ptr_array_new ();
  for (guint i = 0; i < n; i++)
    if (g_hash_table_add (known, identify (&uses[i])))
      g_ptr_array_add (wanted, (gpointer) &uses[i]);
  if (wanted->len < 2)
    return; /* the device itself is as quick */

  deim_info ("compiling %u kernels, once for this driver", wanted->len);
  gint64 since = g_get_monotonic_time ();
  g_autofree gboolean *results = g_new0 (gboolean, wanted->len);
  Work work = { .gpu = gpu, .uses = wanted, .done = results };
  GThread *threads[MAX_COPIES];
  for (guint i = 0; i < MIN (n_threads, wanted->len); i++)
    if ((threads[started] = g_thread_try_new ("deim-compile", compile_some, &work, NULL)))
      started++;
  for (guint i = 0; i < started; i++)
    g_thread_join (threads[i]);

  /* Another process may have written meanwhile. */
  g_autoptr (GHashTable) all = read_note (path, fingerprint);
  for (guint i = 0; i < wanted->len; i++)
    if (results[i]) {
      g_hash_table_add (all, identify (g_ptr_array_index (wanted, i)));
      done++;
    }
  if (done > 0)
    write_note (path, fingerprint, all);
  deim_debug ("compiled %u of %u kernels ahead in %.1f s", done, wanted->len,
              (gdouble) (g_get_monotonic_time () - since) / 1e6);
}
