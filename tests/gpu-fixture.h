/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * gpu-fixture.h - what the test programs of engine/gpu/ share: a device with
 * the validation layer on, a cache folder of their own, and one computation of
 * shaders/selftest.comp. Include it once per program and call gpu_test_main().
 */
#pragma once

#include <glib/gstdio.h>

#include "engine/error.h"
#include "engine/gpu/gpu-private.h"
#include "process.h"

#define WORKGROUP 64

static gchar *cache_dir; /* of this run alone */
static gint warnings;    /* lines of the library at warning level */

static inline void
on_log (GLogLevelFlags level, const gchar *message, gpointer user_data)
{
  if (level != G_LOG_LEVEL_WARNING)
    return;
  g_atomic_int_inc (&warnings);
  g_test_message ("%s", message);
}

/* The device, or NULL after g_test_skip() when the machine has none. */
static inline DeimGpu *
open_device (void)
{
  g_autoptr (GError) error = NULL;
  DeimGpu *gpu = deim_gpu_open (NULL, cache_dir, &error);
  if (!gpu && g_error_matches (error, DEIM_ERROR, DEIM_ERROR_NO_DEVICE))
    g_test_skip (error->message);
  else
    g_assert_no_error (error);
  return gpu;
}

#define OPEN_OR_SKIP(name)                                                                                             \
  g_autoptr (DeimGpu) name = open_device ();                                                                           \
  if (!name)                                                                                                           \
  return

/* ----------------------------------------------------------- the selftest */

typedef struct {
  gint32 count;
  gfloat scale;
} Push;

static inline DeimPipelineKey
selftest_key (gboolean texel, guint repeats)
{
  return (DeimPipelineKey){
    .shader = texel ? "selftest.texel" : "selftest.ssbo",
    .slots = { texel ? DEIM_SLOT_TEXEL : DEIM_SLOT_STORAGE, texel ? DEIM_SLOT_TEXEL : DEIM_SLOT_STORAGE,
               DEIM_SLOT_STORAGE },
    .n_slots = 3,
    .spec = { WORKGROUP, repeats },
    .n_spec = 2,
    .push_bytes = sizeof (Push),
  };
}

static inline DeimSlot
slot (const DeimGpuBuffer *buffer)
{
  return (DeimSlot){ buffer->buffer, 0, buffer->size, VK_FORMAT_R32G32B32A32_SFLOAT };
}

/* Records y = a * scale + b with b added @repeats times, over whole buffers of floats. */
static inline void
record (DeimGpu *gpu, DeimCommands *commands, gboolean texel, guint repeats, gfloat scale, const DeimGpuBuffer *a,
        const DeimGpuBuffer *b, const DeimGpuBuffer *y)
{
  g_autoptr (GError) error = NULL;
  DeimPipelineKey key = selftest_key (texel, repeats);
  const DeimPipeline *pipeline = deim_gpu_get_pipeline (gpu, &key, &error);
  g_assert_no_error (error);
  Push push = { (gint32) (y->size / 16), scale };
  DeimSlot slots[] = { slot (a), slot (b), slot (y) };
  guint32 groups[3] = { ((guint) push.count + WORKGROUP - 1) / WORKGROUP, 1, 1 };
  deim_commands_dispatch (commands, pipeline, &key, slots, &push, groups, &error);
  g_assert_no_error (error);
}

static inline void
begin (DeimCommands *commands)
{
  g_autoptr (GError) error = NULL;
  deim_commands_begin (commands, &error);
  g_assert_no_error (error);
}

static inline void
end (DeimCommands *commands)
{
  g_autoptr (GError) error = NULL;
  deim_commands_end (commands, &error);
  g_assert_no_error (error);
}

static inline DeimCommands *
new_commands (DeimGpu *gpu, guint dispatches, guint timestamps)
{
  g_autoptr (GError) error = NULL;
  DeimCommands *commands = deim_commands_new (gpu, dispatches, timestamps, &error);
  g_assert_no_error (error);
  return commands;
}

static inline guint64
submit (DeimGpu *gpu, DeimCommands *commands)
{
  g_autoptr (GError) error = NULL;
  guint64 value = 0;
  deim_gpu_submit (gpu, &commands, 1, &value, &error);
  g_assert_no_error (error);
  return value;
}

static inline void
wait_for (DeimGpu *gpu, guint64 value)
{
  g_autoptr (GError) error = NULL;
  deim_gpu_wait (gpu, value, &error);
  g_assert_no_error (error);
}

static inline void
make_buffer (DeimGpu *gpu, DeimGpuBuffer *buffer, DeimMemoryKind kind, gsize floats)
{
  g_autoptr (GError) error = NULL;
  deim_gpu_buffer_init (buffer, gpu, kind, floats * sizeof (gfloat), &error);
  g_assert_no_error (error);
}

static inline void
upload (DeimGpu *gpu, DeimGpuBuffer *buffer, const gfloat *data)
{
  g_autoptr (GError) error = NULL;
  deim_gpu_buffer_upload (buffer, gpu, 0, data, buffer->size, &error);
  g_assert_no_error (error);
}

static inline gfloat *
download (DeimGpu *gpu, DeimGpuBuffer *buffer)
{
  g_autoptr (GError) error = NULL;
  gfloat *data = g_malloc (buffer->size);
  deim_gpu_buffer_download (buffer, gpu, 0, data, buffer->size, &error);
  g_assert_no_error (error);
  return data;
}

/* Whole numbers, so that sums are exact. */
static inline gfloat *
numbers (gsize n, guint32 seed)
{
  gfloat *data = g_new (gfloat, n);
  for (gsize i = 0; i < n; i++) {
    seed = seed * 1664525u + 1013904223u;
    data[i] = (gfloat) (seed >> 24);
  }
  return data;
}

/* One computation on @gpu, checked. */
static inline void
check_works (DeimGpu *gpu, gboolean texel)
{
  const gsize n = 4 * 1000; /* no multiple of the workgroup */
  g_autofree gfloat *va = numbers (n, 1);
  g_autofree gfloat *vb = numbers (n, 2);
  g_autofree gfloat *poison = g_new (gfloat, n);
  for (gsize i = 0; i < n; i++)
    poison[i] = -12345.0f;
  DeimGpuBuffer a, b, y;
  make_buffer (gpu, &a, DEIM_MEMORY_DEVICE, n);
  make_buffer (gpu, &b, DEIM_MEMORY_DEVICE, n);
  make_buffer (gpu, &y, DEIM_MEMORY_DEVICE, n);
  upload (gpu, &a, va);
  upload (gpu, &b, vb);
  upload (gpu, &y, poison);
  DeimCommands *commands = new_commands (gpu, 1, 0);
  begin (commands);
  record (gpu, commands, texel, 3, 0.5f, &a, &b, &y);
  end (commands);
  wait_for (gpu, submit (gpu, commands));
  g_autofree gfloat *vy = download (gpu, &y);
  for (gsize i = 0; i < n; i++)
    g_assert_cmpfloat (vy[i], ==, va[i] * 0.5f + 3 * vb[i]);
  deim_commands_free (commands);
  deim_gpu_buffer_finish (&a, gpu);
  deim_gpu_buffer_finish (&b, gpu);
  deim_gpu_buffer_finish (&y, gpu);
}

/* ------------------------------------------------------------------- main */

/* The layer's synchronization checks leak a little inside themselves (1.3.239), which LeakSanitizer sees. */
#if defined(__SANITIZE_ADDRESS__)
#define VALIDATION "1"
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define VALIDATION "1"
#endif
#endif
#ifndef VALIDATION
#define VALIDATION "sync"
#endif

/* Turns the validation layer on, with all that this build can take, unless the caller decided otherwise or it is not
 * installed. */
static inline void
try_validation (void)
{
  const gchar *mode = g_getenv ("DEIM_VALIDATION");
  if (mode && strcmp (mode, "1") != 0)
    return;
  g_setenv ("DEIM_VALIDATION", VALIDATION, TRUE);
  g_autoptr (GError) error = NULL;
  gchar **names = deim_gpu_list (&error);
  g_strfreev (names);
  if (g_error_matches (error, DEIM_ERROR, DEIM_ERROR_UNSUPPORTED)) {
    g_test_message ("without validation: %s", error->message);
    g_setenv ("DEIM_VALIDATION", "0", TRUE);
  }
}

/* Runs what @add_tests adds; any message of the validation layer fails the program. */
static inline int
gpu_test_main (int argc, char **argv, void (*add_tests) (void))
{
  g_test_init (&argc, &argv, NULL);
  deim_set_log_func (on_log, NULL);
  if (!g_test_subprocess ())
    try_validation ();
  cache_dir = g_dir_make_tmp ("deim-test-gpu-XXXXXX", NULL);
  add_tests ();
  int status = g_test_run ();

  remove_tree (cache_dir);
  g_free (cache_dir);
  if (deim_gpu_get_validation_messages () != 0) {
    g_printerr ("the validation layer had %u messages\n", deim_gpu_get_validation_messages ());
    return 1;
  }
  return status;
}
