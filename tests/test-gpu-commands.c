/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-gpu-commands.c - engine/gpu/ on whatever device is there: recording,
 * submitting in order and again, misuse, timestamps. See test-gpu.c.
 */
#include "gpu-fixture.h"

/* --------------------------------------------------------------- commands */

/* Three recordings in flight that depend on each other, submitted 300 times: x = 0.5 x + a, x = x + b, copies. The
 * result is right only if every submit starts after the one before has finished. */
static void
test_order (void)
{
  OPEN_OR_SKIP (gpu);
  const gsize n = 4 * 3000;
  g_autofree gfloat *va = numbers (n, 3);
  g_autofree gfloat *vb = numbers (n, 4);
  g_autofree gfloat *expected = g_new0 (gfloat, n);
  DeimGpuBuffer a, b, x, t;
  make_buffer (gpu, &a, DEIM_MEMORY_DEVICE, n);
  make_buffer (gpu, &b, DEIM_MEMORY_UPLOAD, n);
  make_buffer (gpu, &x, DEIM_MEMORY_READBACK, n);
  make_buffer (gpu, &t, DEIM_MEMORY_DEVICE, n);
  upload (gpu, &a, va);
  upload (gpu, &b, vb);
  upload (gpu, &x, expected);

  DeimCommands *commands[3];
  for (guint i = 0; i < 3; i++) {
    commands[i] = new_commands (gpu, 1, 0);
    begin (commands[i]);
  }
  record (gpu, commands[0], FALSE, 1, 0.5f, &x, &a, &t); /* t = x / 2 + a */
  deim_commands_copy (commands[1], t.buffer, 0, x.buffer, 0, x.size);
  record (gpu, commands[2], TRUE, 1, 1.0f, &x, &b, &t); /* t = x + b, x = t */
  deim_commands_barrier (commands[2], FALSE);
  deim_commands_copy (commands[2], t.buffer, 0, x.buffer, 0, x.size);
  deim_commands_barrier (commands[2], TRUE);
  for (guint i = 0; i < 3; i++)
    end (commands[i]);

  guint64 value = 0;
  guint64 last = 0;
  for (guint round = 0; round < 100; round++) {
    g_autoptr (GError) error = NULL;
    if (round & 1) { /* three submits, or three in one */
      for (guint i = 0; i < 3; i++) {
        value = submit (gpu, commands[i]);
        g_assert_cmpuint (value, >, last);
        last = value;
      }
    } else {
      deim_gpu_submit (gpu, commands, 3, &value, &error);
      g_assert_no_error (error);
      g_assert_cmpuint (value, >, last);
      last = value;
    }
    wait_for (gpu, value);
    g_assert_true (deim_gpu_is_reached (gpu, value));
    g_assert_false (deim_gpu_is_reached (gpu, value + 1));
    for (gsize i = 0; i < n; i++)
      expected[i] = expected[i] * 0.5f + va[i] + vb[i];
    if (round % 33 == 0) /* the host's view of it, without a download */
      g_assert_cmpmem (x.map, x.size, expected, x.size);
  }
  g_autofree gfloat *vx = download (gpu, &x);
  g_assert_cmpmem (vx, x.size, expected, x.size);

  /* Recording again replaces what was there. */
  begin (commands[0]);
  deim_commands_fill (commands[0], x.buffer, 16, 32, 0x40000000);
  end (commands[0]);
  wait_for (gpu, submit (gpu, commands[0]));
  g_autofree gfloat *filled = download (gpu, &x);
  for (gsize i = 0; i < n; i++)
    g_assert_cmpfloat (filled[i], ==, i >= 4 && i < 12 ? 2.0f : expected[i]);

  for (guint i = 0; i < 3; i++)
    deim_commands_free (commands[i]);
  deim_commands_free (NULL);
  deim_gpu_buffer_finish (&a, gpu);
  deim_gpu_buffer_finish (&b, gpu);
  deim_gpu_buffer_finish (&x, gpu);
  deim_gpu_buffer_finish (&t, gpu);
}

/* Commands that take long enough for the host to be quicker. */
static DeimCommands *
new_slow (DeimGpu *gpu, DeimGpuBuffer buffers[3], guint timestamps)
{
  const gsize n = 4 * 65536;
  g_autofree gfloat *zeros = g_new0 (gfloat, n);
  for (guint i = 0; i < 3; i++) {
    make_buffer (gpu, &buffers[i], DEIM_MEMORY_DEVICE, n);
    upload (gpu, &buffers[i], zeros);
  }
  DeimCommands *commands = new_commands (gpu, 2, timestamps);
  begin (commands);
  deim_commands_timestamp (commands, 0);
  record (gpu, commands, FALSE, 1, 1.0f, &buffers[0], &buffers[1], &buffers[2]);
  deim_commands_barrier (commands, FALSE);
  deim_commands_timestamp (commands, 1);
  record (gpu, commands, TRUE, 2000, 1.0f, &buffers[0], &buffers[1], &buffers[2]);
  deim_commands_barrier (commands, TRUE);
  deim_commands_timestamp (commands, 2);
  end (commands);
  return commands;
}

static void
test_busy (void)
{
  if (g_strcmp0 (g_getenv ("DEIM_VALIDATION"), "gpu") == 0) {
    g_test_skip ("GPU-assisted validation waits for every submit");
    return;
  }
  OPEN_OR_SKIP (gpu);
  g_autoptr (GError) error = NULL;
  DeimGpuBuffer buffers[3];
  DeimCommands *commands = new_slow (gpu, buffers, 0);
  guint64 value = submit (gpu, commands);
  guint64 untouched = 12345;
  g_assert_false (deim_gpu_is_reached (gpu, value));
  g_assert_false (deim_gpu_submit (gpu, &commands, 1, &untouched, &error));
  g_assert_error (error, DEIM_ERROR, DEIM_ERROR_BUSY);
  g_assert_cmpuint (untouched, ==, 12345);
  g_clear_error (&error);
  wait_for (gpu, value);
  value = submit (gpu, commands);
  begin (commands); /* waits */
  g_assert_true (deim_gpu_is_reached (gpu, value));
  g_assert_false (deim_gpu_submit (gpu, &commands, 1, &untouched, &error));
  g_assert_error (error, DEIM_ERROR, DEIM_ERROR_SETTINGS); /* not recorded to its end */
  g_clear_error (&error);
  end (commands);
  g_assert_false (deim_commands_end (commands, &error));
  g_assert_error (error, DEIM_ERROR, DEIM_ERROR_SETTINGS);
  g_clear_error (&error);
  deim_commands_free (commands);

  for (guint i = 0; i < 3; i++)
    deim_gpu_buffer_finish (&buffers[i], gpu);
  commands = new_slow (gpu, buffers, 0);
  submit (gpu, commands);
  deim_commands_free (commands); /* waits */
  for (guint i = 0; i < 3; i++)
    deim_gpu_buffer_finish (&buffers[i], gpu);
}

static void
test_bad_slots (void)
{
  OPEN_OR_SKIP (gpu);
  g_autoptr (GError) error = NULL;
  DeimGpuBuffer buffer;
  make_buffer (gpu, &buffer, DEIM_MEMORY_DEVICE, 4096);
  DeimPipelineKey key = selftest_key (TRUE, 1);
  const DeimPipeline *pipeline = deim_gpu_get_pipeline (gpu, &key, &error);
  g_assert_no_error (error);
  DeimCommands *commands = new_commands (gpu, 1, 0);
  const guint32 groups[3] = { 1, 1, 1 };
  Push push = { 0, 1.0f };

  DeimSlot good = slot (&buffer);
  DeimSlot bad[5] = { good, good, good, good, good };
  bad[0].buffer = VK_NULL_HANDLE;
  bad[1].range = 0;
  bad[2].offset = 4;
  bad[3].range = 100; /* no whole texels */
  bad[4].texel_format = VK_FORMAT_UNDEFINED;
  DeimSlot slots[3] = { good, good, good };
  g_assert_false (deim_commands_dispatch (commands, pipeline, &key, slots, &push, groups, &error));
  g_assert_error (error, DEIM_ERROR, DEIM_ERROR_SETTINGS); /* before begin */
  g_clear_error (&error);
  begin (commands);
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++) {
    slots[1] = bad[i];
    g_assert_false (deim_commands_dispatch (commands, pipeline, &key, slots, &push, groups, &error));
    g_assert_error (error, DEIM_ERROR, DEIM_ERROR_SETTINGS);
    g_clear_error (&error);
  }
  slots[1] = good;
  const guint32 many[3] = { 1, G_MAXUINT32, 1 };
  if (gpu->limits.maxComputeWorkGroupCount[1] < G_MAXUINT32) {
    g_assert_false (deim_commands_dispatch (commands, pipeline, &key, slots, &push, many, &error));
    g_assert_error (error, DEIM_ERROR, DEIM_ERROR_UNSUPPORTED);
    g_clear_error (&error);
  }
  g_assert_true (deim_commands_dispatch (commands, pipeline, &key, slots, &push, groups, &error));
  g_assert_no_error (error);
  g_assert_false (deim_commands_dispatch (commands, pipeline, &key, slots, &push, groups, &error));
  g_assert_error (error, DEIM_ERROR, DEIM_ERROR_SETTINGS); /* one more than announced */
  end (commands);
  deim_commands_free (commands);
  deim_gpu_buffer_finish (&buffer, gpu);
}

static void
test_timestamps (void)
{
  OPEN_OR_SKIP (gpu);
  DeimGpuBuffer buffers[3];
  DeimCommands *commands = new_slow (gpu, buffers, 4);
  gdouble ms[4] = { -1, -1, -1, -1 };
  g_assert_false (deim_commands_get_timestamps (commands, ms, 3)); /* has not run */
  if (deim_gpu_get_properties (gpu)->timestamp_period_ns > 0) {
    for (guint round = 0; round < 2; round++) {
      gint64 start = g_get_monotonic_time ();
      wait_for (gpu, submit (gpu, commands));
      gdouble wall = (gdouble) (g_get_monotonic_time () - start) * 1e-3;
      g_assert_true (deim_commands_get_timestamps (commands, ms, 3));
      g_test_message ("marks at %.3f %.3f %.3f ms, %.3f ms on the clock", ms[0], ms[1], ms[2], wall);
      g_assert_cmpfloat (ms[0], ==, 0);
      g_assert_cmpfloat (ms[1], >, 0);
      g_assert_cmpfloat (ms[2], >, ms[1]);
      g_assert_cmpfloat (ms[2], <, wall * 1.05 + 0.1);
      if (deim_gpu_get_policy (gpu)->on[DEIM_DECISION_CPU])
        g_assert_cmpfloat (ms[2] - ms[1], >, wall * 0.2); /* the slow part is most of it; a GPU needs longer to begin */
    }
    g_assert_false (deim_commands_get_timestamps (commands, ms, 4)); /* mark 3 is not recorded */
  }
  g_assert_false (deim_commands_get_timestamps (commands, ms, 5)); /* more than asked for */
  deim_commands_free (commands);
  for (guint i = 0; i < 3; i++)
    deim_gpu_buffer_finish (&buffers[i], gpu);
}

/* ------------------------------------------------------------------- main */

static void
add_tests (void)
{
  g_test_add_func ("/gpu-commands/order", test_order);
  g_test_add_func ("/gpu-commands/busy", test_busy);
  g_test_add_func ("/gpu-commands/bad-slots", test_bad_slots);
  g_test_add_func ("/gpu-commands/timestamps", test_timestamps);
}

int
main (int argc, char **argv)
{
  return gpu_test_main (argc, argv, add_tests);
}
