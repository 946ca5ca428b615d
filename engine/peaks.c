/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* peaks.c - what a device can do at most, measured: arithmetic on registers, and copying memory. */
#include <math.h>
#include <string.h>

#include "device.h"
#include "error.h"

#define CHAINS    3 /* of shaders/peak.comp */
#define UNROLL    16
#define ROUNDS    2000
#define LONG_MS   20.0 /* a measurement that takes this long is taken for good */
#define MAX_LANES (1u << 24)
#define REPEATS   3
#define COPY      ((gsize) 64 << 20)

/* Shortest of a few runs of what was recorded, in milliseconds; by the device's clock, else by the host's. */
static gboolean
time_commands (DeimGpu *gpu, DeimCommands *commands, gdouble *ret_ms, GError **error)
{
  *ret_ms = INFINITY;
  for (guint i = 0; i < REPEATS; i++) {
    guint64 value;
    gdouble marks[2];
    gint64 start = g_get_monotonic_time ();
    if (!deim_gpu_submit (gpu, &commands, 1, &value, error) || !deim_gpu_wait (gpu, value, error))
      return FALSE;
    gdouble ms = (gdouble) (g_get_monotonic_time () - start) / 1000;
    if (deim_commands_get_timestamps (commands, marks, 2))
      ms = marks[1];
    *ret_ms = MIN (*ret_ms, MAX (ms, 1e-6));
  }
  return TRUE;
}

static gboolean
record_peak (DeimCommands *commands, DeimGpu *gpu, const DeimGpuBuffer *target, guint local, guint groups,
             GError **error)
{
  const gfloat factors[] = { 0.999f, 0.5f };
  guint32 push[3] = { ROUNDS };
  memcpy (push + 1, factors, sizeof factors);
  DeimPipelineKey key = {
    .shader = "peak.ssbo", /* it reads nothing: both variants are the same */
    .n_slots = 1,
    .spec = { deim_gpu_get_policy (gpu)->subgroup_size, local, 0, 0, CHAINS, UNROLL },
    .n_spec = 6,
    .push_bytes = sizeof push,
  };
  const DeimPipeline *pipeline = deim_gpu_get_pipeline (gpu, &key, error);
  DeimSlot slot = { .buffer = target->buffer, .range = target->size };
  if (!pipeline || !deim_commands_begin (commands, error))
    return FALSE;
  deim_commands_timestamp (commands, 0);
  if (!deim_commands_dispatch (commands, pipeline, &key, &slot, push, (guint32[]){ groups, 1, 1 }, error))
    return FALSE;
  deim_commands_timestamp (commands, 1);
  return deim_commands_end (commands, error);
}

/* Ever more invocations, until they keep the device busy long enough. */
static gboolean
measure_arithmetic (DeimGpu *gpu, DeimCommands *commands, gdouble *ret_gflops, GError **error)
{
  guint local = MAX (64, deim_gpu_get_policy (gpu)->subgroup_size);
  gboolean done = FALSE;
  for (guint lanes = 1024; !done; lanes *= 4) {
    DeimGpuBuffer target = { 0 };
    gdouble ms = 0;
    gboolean ok = deim_gpu_buffer_init (&target, gpu, DEIM_MEMORY_DEVICE, (gsize) lanes * 16, error) &&
                  record_peak (commands, gpu, &target, local, lanes / local, error) &&
                  time_commands (gpu, commands, &ms, error);
    deim_gpu_buffer_finish (&target, gpu);
    if (!ok)
      return FALSE;
    *ret_gflops = 8.0 * CHAINS * UNROLL * ROUNDS * lanes / ms * 1e-6;
    done = ms >= LONG_MS || lanes >= MAX_LANES;
  }
  return TRUE;
}

/* Reading and writing count. */
static gboolean
measure_memory (DeimGpu *gpu, DeimCommands *commands, gdouble *ret_gbytes, GError **error)
{
  DeimGpuBuffer buffer = { 0 };
  gdouble ms = 0;
  gboolean ok =
      deim_gpu_buffer_init (&buffer, gpu, DEIM_MEMORY_DEVICE, 2 * COPY, error) && deim_commands_begin (commands, error);
  if (ok) {
    deim_commands_fill (commands, buffer.buffer, 0, 2 * COPY, 0); /* pages that nobody has touched are not there yet */
    deim_commands_barrier (commands, FALSE);
    deim_commands_timestamp (commands, 0);
    deim_commands_copy (commands, buffer.buffer, 0, buffer.buffer, COPY, COPY);
    deim_commands_timestamp (commands, 1);
    ok = deim_commands_end (commands, error) && time_commands (gpu, commands, &ms, error);
  }
  if (ok)
    *ret_gbytes = 2.0 * (gdouble) COPY / ms * 1e-6;
  deim_gpu_buffer_finish (&buffer, gpu);
  return ok;
}

gboolean
deim_device_measure_peaks (DeimDevice *device, DeimDevicePeaks *ret_peaks, GError **error)
{
  DeimGpu *gpu = deim_device_get_gpu (device);
  DeimDevicePeaks peaks = { 0 };
  DeimCommands *commands = deim_commands_new (gpu, 1, 2, error);
  gboolean ok = commands && measure_arithmetic (gpu, commands, &peaks.gflops, error) &&
                measure_memory (gpu, commands, &peaks.gbytes, error);
  deim_commands_free (commands);
  if (ok)
    *ret_peaks = peaks;
  return ok;
}
