/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-image-gpu.c - the shaders of the preprocessing against its reference on
 * the processor: equal to the bit in fp32, in both variants, for every format.
 * With -m perf it prints what common frames cost on this device.
 */
#include <glib/gstdio.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/gpu/gpu.h"
#include "engine/image/preprocess.h"
#include "image-frames.h"

static gchar *cache_dir;
static DeimGpu *gpu; /* NULL where there is no device */

/* One recording of both dispatches, its buffers poisoned. */
typedef struct {
  DeimGpuBuffer buffer[DEIM_PREPROCESS_N_BUFFERS];
  DeimCommands *commands;
  gsize output_size;
} Run;

static void
add_dispatch (Run *run, const DeimPreprocessDispatch *d, gboolean texel, gboolean half)
{
  g_autoptr (GError) error = NULL;
  g_autofree gchar *shader = g_strconcat (d->shader, texel ? ".texel" : ".ssbo", NULL);
  DeimPipelineKey key = {
    .shader = shader,
    .n_slots = d->n_bind,
    .spec = { deim_gpu_get_properties (gpu)->subgroup_size, d->local_size, half ? 4 : 0, 0 },
    .n_spec = 4 + d->n_spec,
    .push_bytes = d->n_push * 4,
  };
  DeimSlot slots[DEIM_PREPROCESS_BINDINGS];
  memcpy (key.spec + 4, d->spec, d->n_spec * sizeof d->spec[0]);
  for (guint i = 0; i < d->n_bind; i++) {
    const DeimGpuBuffer *b = &run->buffer[d->bind[i].buffer];
    gboolean words4 = d->bind[i].access == DEIM_PREPROCESS_READ_WORD4;
    slots[i] = (DeimSlot){ b->buffer, 0, b->size, words4 ? VK_FORMAT_R32G32B32A32_UINT : VK_FORMAT_R32_UINT };
    key.slots[i] = texel && d->bind[i].access != DEIM_PREPROCESS_WRITE ? DEIM_SLOT_TEXEL : DEIM_SLOT_STORAGE;
  }
  const DeimPipeline *pipeline = deim_gpu_get_pipeline (gpu, &key, &error);
  g_assert_no_error (error);
  deim_commands_dispatch (run->commands, pipeline, &key, slots, d->push, d->groups, &error);
  g_assert_no_error (error);
}

static void
run_init (Run *run, const DeimPreprocess *p, gboolean texel, gboolean half)
{
  g_autoptr (GError) error = NULL;
  run->output_size = (gsize) p->width * p->height * (half ? 8 : 16);
  const gsize sizes[] = { p->staging_size, p->table_size, p->scratch_size, run->output_size, 16 };
  const DeimMemoryKind kinds[] = { DEIM_MEMORY_UPLOAD, DEIM_MEMORY_UPLOAD, DEIM_MEMORY_DEVICE, DEIM_MEMORY_READBACK,
                                   DEIM_MEMORY_UPLOAD };
  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++) {
    deim_gpu_buffer_init (&run->buffer[i], gpu, kinds[i], sizes[i], &error);
    g_assert_no_error (error);
    if (run->buffer[i].map)
      memset (run->buffer[i].map, 0xff, run->buffer[i].size); /* as fp32 and fp16: not a number */
  }
  memcpy (run->buffer[DEIM_PREPROCESS_TABLE].map, p->table, p->table_size);
  *(guint32 *) run->buffer[DEIM_PREPROCESS_PLACE].map = 0;
  run->commands = deim_commands_new (gpu, 2, 3, &error);
  g_assert_no_error (error);
  deim_commands_begin (run->commands, &error);
  deim_commands_timestamp (run->commands, 0);
  add_dispatch (run, &p->dispatch[0], texel, FALSE);
  deim_commands_barrier (run->commands, FALSE);
  deim_commands_timestamp (run->commands, 1);
  add_dispatch (run, &p->dispatch[1], texel, half);
  deim_commands_barrier (run->commands, TRUE);
  deim_commands_timestamp (run->commands, 2);
  deim_commands_end (run->commands, &error);
  g_assert_no_error (error);
}

static void
run_submit (Run *run)
{
  g_autoptr (GError) error = NULL;
  guint64 value;
  deim_gpu_submit (gpu, &run->commands, 1, &value, &error);
  g_assert_no_error (error);
  deim_gpu_wait (gpu, value, &error);
  g_assert_no_error (error);
}

static void
run_finish (Run *run)
{
  deim_commands_free (run->commands);
  for (guint i = 0; i < G_N_ELEMENTS (run->buffer); i++)
    deim_gpu_buffer_finish (&run->buffer[i], gpu);
}

static gfloat
from_half (guint16 h)
{
  gint exponent = h >> 10 & 31, fraction = h & 1023;
  gfloat size = exponent ? ldexpf ((gfloat) (fraction | 1024), exponent - 25) : ldexpf ((gfloat) fraction, -24);
  return exponent == 31 ? NAN : h >> 15 ? -size : size;
}

/* Every pixel of the output, padding lane included. */
static void
compare (const Run *run, const DeimPreprocess *p, const DeimFrame *frame, gboolean half)
{
  gsize area = (gsize) p->width * p->height;
  const guint8 *map = run->buffer[DEIM_PREPROCESS_OUTPUT].map;
  g_autofree gfloat *expected = g_new (gfloat, area * 3);
  deim_preprocess_reference (p, frame, expected);
  for (gsize i = 0; i < area; i++)
    for (guint c = 0; c < 4; c++) {
      gfloat e = c < 3 ? expected[c * area + i] : 0;
      gfloat got = half ? from_half (((const guint16 *) map)[i * 4 + c]) : ((const gfloat *) map)[i * 4 + c];
      if (half) {
        g_assert_cmpfloat_with_epsilon (got, e, 1.0 / 2048); /* an ulp below 1, whatever the rounding */
      } else {
        /* The byte is exact; its division by 255 may be off in the last bit (Vulkan allows 2.5 ulp). */
        g_assert_cmpint (lrintf (got * 255), ==, lrintf (e * 255));
        g_assert_cmpfloat_with_epsilon (got, e, 3e-7);
      }
    }
}

static void
check (const DeimFrame *frame, guint w, guint h, DeimResize resize, gboolean half)
{
  g_autoptr (GError) error = NULL;
  DeimPreprocess p;
  deim_preprocess_init (&p, frame, w, h, resize, &error);
  g_assert_no_error (error);
  for (guint texel = 0; texel < 2; texel++) {
    Run run = { 0 };
    run_init (&run, &p, texel, half);
    deim_preprocess_upload (&p, frame, run.buffer[DEIM_PREPROCESS_FRAME].map);
    run_submit (&run);
    compare (&run, &p, frame, half);
    run_finish (&run);
  }
  deim_preprocess_finish (&p);
}

static void
test_format (gconstpointer data)
{
  DeimFormat format = (DeimFormat) GPOINTER_TO_INT (data);
  /* frame, region (0: all), output: shrunk, enlarged, odd, thin, one pixel, nothing to resize, one direction only; rows
   * that are copied by quads (AS_IS): of a region, in a letterbox, wider than a workgroup, as fp16 */
  static const guint cases[][8] = {
    { 64, 48, 0, 0, 0, 0, 32, 32 },   { 33, 31, 0, 0, 0, 0, 64, 96 }, { 131, 77, 0, 0, 0, 0, 32, 32 },
    { 1, 1, 0, 0, 0, 0, 7, 5 },       { 1, 50, 0, 0, 0, 0, 9, 9 },    { 50, 1, 0, 0, 0, 0, 9, 9 },
    { 37, 29, 0, 0, 0, 0, 37, 29 },   { 40, 30, 0, 0, 0, 0, 40, 8 },  { 40, 30, 0, 0, 0, 0, 200, 30 },
    { 61, 43, 7, 5, 31, 22, 32, 32 }, { 61, 43, 60, 42, 1, 1, 4, 4 }, { 61, 43, 3, 4, 58, 39, 16, 64 },
    { 700, 9, 0, 0, 0, 0, 3, 5 },     { 9, 700, 1, 1, 5, 600, 5, 3 }, { 64, 48, 8, 3, 40, 21, 40, 32 },
    { 40, 22, 0, 0, 0, 0, 40, 40 },   { 544, 3, 0, 0, 0, 0, 544, 3 }, { 4, 4, 0, 0, 0, 0, 4, 4 },
  };
  if (!gpu) {
    g_test_skip ("no Vulkan device");
    return;
  }
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    const guint *c = cases[i];
    TestFrame f;
    test_frame_init_random (&f, format, c[0], c[1], i % 3, i + 1);
    f.frame.matrix = (DeimMatrix) (i % 5);
    f.frame.range = i % 2 ? DEIM_RANGE_FULL : DEIM_RANGE_LIMITED;
    f.frame.region_x = c[2];
    f.frame.region_y = c[3];
    f.frame.region_w = c[4];
    f.frame.region_h = c[5];
    check (&f.frame, c[6], c[7], i % 4 == 3 ? DEIM_RESIZE_LETTERBOX : DEIM_RESIZE_STRETCH, i == 5 || i == 17);
    test_frame_clear (&f);
  }
}

/* The whole frame in one piece of memory, padded and followed by nothing, read without staging. */
static void
test_in_place (gconstpointer data)
{
  DeimFormat format = (DeimFormat) GPOINTER_TO_INT (data);
  static const guint cases[][7] = {
    /* frame, region, bytes before the first plane */
    { 64, 48, 0, 0, 0, 0, 0 },    { 131, 77, 0, 0, 0, 0, 8 }, { 61, 43, 7, 5, 31, 22, 64 }, { 61, 43, 60, 42, 1, 1, 4 },
    { 61, 43, 3, 4, 58, 39, 12 }, { 1, 50, 0, 0, 0, 0, 0 },   { 48, 21, 16, 3, 32, 9, 8 }
  };
  if (!gpu) {
    g_test_skip ("no Vulkan device");
    return;
  }
  for (guint i = 0; i < G_N_ELEMENTS (cases) * 2; i++) {
    const guint *c = cases[i / 2];
    g_autoptr (GError) error = NULL;
    TestFrame f;
    DeimPreprocess p;
    test_frame_init_random (&f, format, c[0], c[1], 0, i);
    f.frame.region_x = c[2];
    f.frame.region_y = c[3];
    f.frame.region_w = c[4];
    f.frame.region_h = c[5];
    g_assert_true (deim_preprocess_init (&p, &f.frame, 32, 32, DEIM_RESIZE_STRETCH, &error));

    DeimDmabuf at = { { 0 }, { 0 } };
    guint stride[4];
    gsize size = c[6];
    for (guint k = 0; k < p.info->n_planes; k++) {
      at.offset[k] = size;
      stride[k] = (deim_format_row_bytes (p.info, k, (c[0] + 7) & ~7u) + 3u) & ~3u;
      size += (gsize) stride[k] * deim_format_rows (p.info, k, c[1]);
    }
    DeimPreprocessDispatch staged = p.dispatch[0];
    p.staging_size = size;
    g_assert_true (deim_preprocess_read_in_place (&p, &at, stride, size, &p.dispatch[0], &error));
    Run run = { 0 };
    run_init (&run, &p, i % 2, FALSE);
    for (guint k = 0; k < p.info->n_planes; k++)
      for (guint y = 0; y < deim_format_rows (p.info, k, c[1]); y++)
        memcpy (run.buffer[DEIM_PREPROCESS_FRAME].map + at.offset[k] + (gsize) y * stride[k],
                f.frame.data[k] + (gsize) y * f.frame.stride[k], deim_format_row_bytes (p.info, k, c[0]));
    run_submit (&run);
    compare (&run, &p, &f.frame, FALSE);
    run_finish (&run);

    /* What is not made of words, or not all there, is not read: it would be read wrongly. */
    DeimPreprocessDispatch untouched = staged;
    guint last = p.info->n_planes - 1;
    DeimDmabuf crooked = at, outside = at;
    crooked.offset[last] += 2;
    outside.offset[0] = G_MAXSIZE;
    guint odd[4] = { stride[0], stride[1], stride[2] }, huge[4] = { stride[0], stride[1], stride[2] };
    odd[last] += 2;
    huge[last] = G_MAXUINT & ~3u;
    g_assert_false (deim_preprocess_read_in_place (&p, &crooked, stride, size + 8, &untouched, NULL));
    g_assert_false (deim_preprocess_read_in_place (&p, &outside, stride, size, &untouched, NULL));
    g_assert_false (deim_preprocess_read_in_place (&p, &at, odd, 2 * size, &untouched, NULL));
    g_assert_true (c[1] == 1 || !deim_preprocess_read_in_place (&p, &at, huge, size, &untouched, NULL));
    g_assert_false (deim_preprocess_read_in_place (&p, &at, stride, 16, &untouched, &error));
    g_assert_error (error, DEIM_ERROR, DEIM_ERROR_UNSUPPORTED);
    g_assert_cmpmem (&untouched, sizeof untouched, &staged, sizeof staged);
    deim_preprocess_finish (&p);
    test_frame_clear (&f);
  }
}

/* The widest frames make the longest loops; a megapixel makes many workgroups. */
static void
test_large (void)
{
  static const guint cases[][4] = {
    { 16384, 3, 1, 1 }, { 3, 16384, 1, 1 }, { 1920, 1080, 320, 320 }, { 641, 481, 640, 640 }
  };
  if (!gpu) {
    g_test_skip ("no Vulkan device");
    return;
  }
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    TestFrame f;
    test_frame_init_random (&f, DEIM_FORMAT_NV12, cases[i][0], cases[i][1], 0, i);
    check (&f.frame, cases[i][2], cases[i][3], DEIM_RESIZE_STRETCH, FALSE);
    test_frame_clear (&f);
  }
}

/* A batch is one tensor: the second entry leaves the first alone. */
static void
test_batch (void)
{
  if (!gpu) {
    g_test_skip ("no Vulkan device");
    return;
  }
  g_autoptr (GError) error = NULL;
  const gsize area = 32 * 32;
  TestFrame f;
  DeimPreprocess p;
  Run run = { 0 };
  test_frame_init_random (&f, DEIM_FORMAT_I420, 50, 40, 0, 1);
  deim_preprocess_init (&p, &f.frame, 32, 32, DEIM_RESIZE_STRETCH, &error);
  g_assert_no_error (error);
  p.height *= 2; /* for the sizes of run_init() alone: the dispatches are made already */
  run_init (&run, &p, deim_gpu_get_policy (gpu)->on[DEIM_DECISION_TEXEL], FALSE);
  p.height /= 2;
  *(guint32 *) run.buffer[DEIM_PREPROCESS_PLACE].map = (guint32) area;
  deim_preprocess_upload (&p, &f.frame, run.buffer[DEIM_PREPROCESS_FRAME].map);
  run_submit (&run);
  guint8 *map = run.buffer[DEIM_PREPROCESS_OUTPUT].map;
  for (gsize i = 0; i < area * 16; i++)
    g_assert_cmpuint (map[i], ==, 0xff);
  memmove (map, map + area * 16, area * 16);
  compare (&run, &p, &f.frame, FALSE);
  run_finish (&run);
  deim_preprocess_finish (&p);
  test_frame_clear (&f);
}

static gint
by_size (gconstpointer a, gconstpointer b)
{
  gdouble x = *(const gdouble *) a, y = *(const gdouble *) b;
  return (x > y) - (x < y);
}

static void
test_perf (void)
{
  static const struct {
    DeimFormat format;
    guint w, h, out;
  } cases[] = {
    { DEIM_FORMAT_RGB, 640, 480, 320 },    { DEIM_FORMAT_RGB, 640, 480, 640 },    { DEIM_FORMAT_NV12, 640, 480, 320 },
    { DEIM_FORMAT_NV12, 1920, 1080, 320 }, { DEIM_FORMAT_NV12, 1920, 1080, 640 }, { DEIM_FORMAT_I420, 1920, 1080, 640 },
    { DEIM_FORMAT_BGRX, 1920, 1080, 640 },
  };
  gint64 cpu_us = 0;
  if (!gpu || !g_test_perf ()) {
    g_test_skip (gpu ? "with -m perf only" : "no Vulkan device");
    return;
  }
  g_print ("# %s, median of 21, ms: upload | horizontal + vertical | processor time of both\n",
           deim_gpu_get_name (gpu));
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    for (guint texel = 0; texel < 2; texel++) {
      TestFrame f;
      DeimPreprocess p;
      Run run = { 0 };
      gdouble ms[3], upload[21], rows[21], columns[21];
      test_frame_init_random (&f, cases[i].format, cases[i].w, cases[i].h, 0, 1);
      g_assert_true (deim_preprocess_init (&p, &f.frame, cases[i].out, cases[i].out, DEIM_RESIZE_STRETCH, NULL));
      run_init (&run, &p, texel, FALSE);
      run_submit (&run);
      for (guint k = 0; k < G_N_ELEMENTS (rows); k++) {
        gint64 start = g_get_monotonic_time ();
        deim_preprocess_upload (&p, &f.frame, run.buffer[DEIM_PREPROCESS_FRAME].map);
        upload[k] = (gdouble) (g_get_monotonic_time () - start) / 1000;
        cpu_us -= (gint64) clock () * 1000000 / CLOCKS_PER_SEC;
        run_submit (&run);
        cpu_us += (gint64) clock () * 1000000 / CLOCKS_PER_SEC;
        g_assert_true (deim_commands_get_timestamps (run.commands, ms, 3));
        rows[k] = ms[1];
        columns[k] = ms[2] - ms[1];
      }
      qsort (upload, 21, sizeof upload[0], by_size);
      qsort (rows, 21, sizeof rows[0], by_size);
      qsort (columns, 21, sizeof columns[0], by_size);
      g_print ("# %-5s %4ux%-4u to %ux%u %s: %5.2f | %6.2f + %5.2f | %6.2f\n", deim_format_to_name (cases[i].format),
               cases[i].w, cases[i].h, cases[i].out, cases[i].out, texel ? "texel" : "ssbo ", upload[10], rows[10],
               columns[10], (gdouble) cpu_us / 21000);
      cpu_us = 0;
      run_finish (&run);
      deim_preprocess_finish (&p);
      test_frame_clear (&f);
    }
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  g_test_init (&argc, &argv, NULL);
  cache_dir = g_dir_make_tmp ("deim-test-image-XXXXXX", NULL);
  gpu = deim_gpu_open (NULL, cache_dir, &error);
  if (!gpu && !g_error_matches (error, DEIM_ERROR, DEIM_ERROR_NO_DEVICE))
    g_error ("%s", error->message);

  for (DeimFormat f = DEIM_FORMAT_INVALID + 1; f < DEIM_FORMAT_LAST; f++) {
    g_autofree gchar *path = g_strdup_printf ("/image-gpu/format/%s", deim_format_to_name (f));
    g_test_add_data_func (path, GINT_TO_POINTER (f), test_format);
    g_autofree gchar *in_place = g_strdup_printf ("/image-gpu/in-place/%s", deim_format_to_name (f));
    g_test_add_data_func (in_place, GINT_TO_POINTER (f), test_in_place);
  }
  g_test_add_func ("/image-gpu/large", test_large);
  g_test_add_func ("/image-gpu/batch", test_batch);
  g_test_add_func ("/image-gpu/perf", test_perf);
  int status = g_test_run ();

  deim_gpu_unref (gpu);
  g_autoptr (GDir) dir = g_dir_open (cache_dir, 0, NULL);
  for (const gchar *name = dir ? g_dir_read_name (dir) : NULL; name; name = g_dir_read_name (dir)) {
    g_autofree gchar *path = g_build_filename (cache_dir, name, NULL);
    g_unlink (path);
  }
  g_rmdir (cache_dir);
  g_free (cache_dir);
  if (deim_gpu_get_validation_messages () != 0) {
    g_printerr ("the validation layer had %u messages\n", deim_gpu_get_validation_messages ());
    return 1;
  }
  return status;
}
