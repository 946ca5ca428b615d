/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-image.c - engine/image/ on the processor: the resize against Pillow's
 * bytes, every pixel format against packers of the test's own, frame checks,
 * staging, boxes.
 */
#include <gio/gio.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/image/preprocess.h"
#include "image-cases.h"
#include "image-frames.h"

static const DeimMatrix matrices[] = { DEIM_MATRIX_BT601, DEIM_MATRIX_BT709, DEIM_MATRIX_BT2020, DEIM_MATRIX_SMPTE240M,
                                       DEIM_MATRIX_FCC };

/* A plan for @frame that must come about. */
static void
make (DeimPreprocess *p, const DeimFrame *frame, guint w, guint h, DeimResize resize)
{
  g_autoptr (GError) error = NULL;
  deim_preprocess_init (p, frame, w, h, resize, &error);
  g_assert_no_error (error);
}

static DeimFrame
rgb_frame (const guint8 *rgb, guint w, guint h)
{
  return (DeimFrame){ .format = DEIM_FORMAT_RGB, .width = w, .height = h, .data = { rgb }, .stride = { 3 * w } };
}

/* The reference's output as bytes [h][w][3], which it must be made of. */
static guint8 *
run_bytes (const DeimPreprocess *p, const DeimFrame *frame)
{
  gsize area = (gsize) p->width * p->height;
  g_autofree gfloat *out = g_new (gfloat, area * 3);
  guint8 *bytes = g_malloc (area * 3);
  deim_preprocess_reference (p, frame, out);
  for (gsize i = 0; i < area * 3; i++) {
    gsize level = (gsize) lrintf (out[i / 3 + i % 3 * area] * 255);
    g_assert_cmpfloat (out[i / 3 + i % 3 * area], ==, level / 255.0f);
    bytes[i] = (guint8) level;
  }
  return bytes;
}

static guint8 *
resize_bytes (const guint8 *rgb, guint w, guint h, guint out_w, guint out_h)
{
  DeimFrame frame = rgb_frame (rgb, w, h);
  DeimPreprocess p;
  make (&p, &frame, out_w, out_h, DEIM_RESIZE_STRETCH);
  guint8 *bytes = run_bytes (&p, &frame);
  deim_preprocess_finish (&p);
  return bytes;
}

/* ------------------------------------------------------------------ resize */

static void
test_resize (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (resize_cases); i++) {
    guint w = resize_cases[i].w, h = resize_cases[i].h, ow = resize_cases[i].out_w, oh = resize_cases[i].out_h;
    g_autofree guint8 *rgb = test_picture_new (w, h, 1, FALSE, 12345);
    g_autofree guint8 *got = resize_bytes (rgb, w, h, ow, oh);
    gsize size = (gsize) ow * oh * 3;
    if (resize_cases[i].expected)
      g_assert_cmpmem (got, size, resize_cases[i].expected, size);
    g_test_message ("%ux%u to %ux%u", w, h, ow, oh);
    g_assert_cmphex (test_crc32 (got, size), ==, resize_cases[i].crc);
  }
}

/* Any pair of sizes: weights add up to one and stay inside. */
static void
test_weights (void)
{
  for (guint i = 0; i < 400; i++) {
    DeimResample r;
    guint in = (guint) g_test_rand_int_range (1, i % 4 ? 300 : 5000), out = (guint) g_test_rand_int_range (1, 700);
    deim_resample_init (&r, in, out);
    for (guint o = 0; o < out; o++) {
      gint64 sum = 0;
      for (guint t = 0; t < r.taps; t++)
        sum += r.weight[(gsize) o * r.taps + t];
      g_assert_cmpint (ABS (sum - (1 << DEIM_RESIZE_BITS)), <=, r.count[o]);
      g_assert_cmpuint (r.count[o], >=, 1);
      g_assert_cmpuint (r.first[o] + r.count[o], <=, in);
    }
    deim_resample_finish (&r);
  }
}

static gchar *
shared_folder (void)
{
  const gchar *set = g_getenv ("DEIM_SHARED");
  return set ? g_strdup (set) : g_build_filename (DEIM_SOURCE_ROOT, "..", "shared", NULL);
}

/* Hash of golden/README.md section 1. */
static guint64
golden_bits (const gchar *name, guint64 seed, guint64 i)
{
  guint64 h = G_GUINT64_CONSTANT (0xcbf29ce484222325);
  for (; *name; name++)
    h = (h ^ (guint8) *name) * G_GUINT64_CONSTANT (0x100000001b3);
  guint64 z = h + seed * G_GUINT64_CONSTANT (0x9E3779B97F4A7C15) + i + G_GUINT64_CONSTANT (0x9E3779B97F4A7C15);
  z = (z ^ (z >> 30)) * G_GUINT64_CONSTANT (0xBF58476D1CE4E5B9);
  z = (z ^ (z >> 27)) * G_GUINT64_CONSTANT (0x94D049BB133111EB);
  return z ^ (z >> 31);
}

/* Files of golden/preproc say all in their names: noise_<h>x<w>_to_<h>x<w>.rgb. */
static void
test_golden (void)
{
  g_autofree gchar *shared = shared_folder ();
  g_autofree gchar *folder = g_build_filename (shared, "golden", "preproc", NULL);
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  guint compared = 0;
  if (!dir) {
    g_test_skip ("no golden resizes here; set DEIM_SHARED");
    return;
  }
  for (const gchar *name = g_dir_read_name (dir); name; name = g_dir_read_name (dir)) {
    guint w, h, ow, oh;
    if (sscanf (name, "noise_%ux%u_to_%ux%u.rgb", &h, &w, &oh, &ow) != 4)
      continue;
    g_autofree gchar *path = g_build_filename (folder, name, NULL);
    g_autofree gchar *expected = NULL;
    gsize size;
    g_assert_true (g_file_get_contents (path, &expected, &size, NULL));
    g_assert_cmpuint (size, ==, (gsize) ow * oh * 3);
    g_autofree guint8 *rgb = g_malloc ((gsize) w * h * 3);
    for (gsize i = 0; i < (gsize) w * h * 3; i++)
      rgb[i] = (guint8) (golden_bits ("preproc", 3, i) >> 56);
    g_autofree guint8 *got = resize_bytes (rgb, w, h, ow, oh);
    g_assert_cmpmem (got, size, expected, size);
    compared++;
  }
  g_assert_cmpuint (compared, >=, 5);
}

/* The binary PPM that a program writes to its output, as [h][w][3]; NULL where the program is not installed. */
static guint8 *
run_ppm (const gchar *const *argv, guint *ret_w, guint *ret_h)
{
  g_autofree gchar *program = g_find_program_in_path (argv[0]);
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) out = NULL;
  if (!program)
    return NULL;
  g_autoptr (GSubprocess) child = g_subprocess_newv (argv, G_SUBPROCESS_FLAGS_STDOUT_PIPE, &error);
  g_assert_no_error (error);
  g_subprocess_communicate (child, NULL, NULL, &out, NULL, &error);
  g_assert_no_error (error);
  gsize size;
  const gchar *data = g_bytes_get_data (out, &size);
  g_autofree gchar *head = g_strndup (data, MIN (size, 64));
  gint start = 0;
  guint top;
  g_assert_cmpint (sscanf (head, "P6 %u %u %u%n", ret_w, ret_h, &top, &start), ==, 3);
  g_assert_cmpuint (size, ==, (gsize) start + 1 + (gsize) *ret_w * *ret_h * 3);
  return g_memdup2 (data + start + 1, size - (gsize) start - 1);
}

/* Photos decoded by libjpeg-turbo, against what PIL made of them. */
static void
test_photos (void)
{
  static const gchar *const ids[] = { "139", "183709", "404484" };
  static const gchar *const models[] = { "atto", "femto" };
  g_autofree gchar *shared = shared_folder ();
  for (guint i = 0; i < G_N_ELEMENTS (ids) * G_N_ELEMENTS (models); i++) {
    const gchar *id = ids[i / 2];
    g_autofree gchar *jpg = g_strdup_printf ("%s/real/open/%012d.jpg", shared, atoi (id));
    g_autofree gchar *png = g_strdup_printf ("%s/real/open/resized_%s_%s.png", shared, models[i % 2], id);
    if (!g_file_test (jpg, G_FILE_TEST_EXISTS)) {
      g_test_skip ("no photos here; set DEIM_SHARED");
      return;
    }
    guint w, h, ow, oh;
    g_autofree guint8 *photo = run_ppm ((const gchar *[]){ "djpeg", "-dct", "int", "-ppm", jpg, NULL }, &w, &h);
    g_autofree guint8 *expected = run_ppm ((const gchar *[]){ "pngtopnm", png, NULL }, &ow, &oh);
    if (!photo || !expected) {
      g_test_skip ("needs djpeg (libjpeg-turbo-progs) and pngtopnm (netpbm)");
      return;
    }
    g_autofree guint8 *got = resize_bytes (photo, w, h, ow, oh);
    g_assert_cmpmem (got, (gsize) ow * oh * 3, expected, (gsize) ow * oh * 3);
  }
}

/* ----------------------------------------------------------------- formats */

static void
test_names (void)
{
  for (DeimFormat f = DEIM_FORMAT_INVALID + 1; f < DEIM_FORMAT_LAST; f++) {
    g_assert_nonnull (deim_format_to_name (f));
    g_assert_cmpint (deim_format_from_name (deim_format_to_name (f)), ==, f);
    g_assert_cmpint (deim_format_get_info (f)->format, ==, f);
  }
  g_assert_null (deim_format_to_name (DEIM_FORMAT_INVALID));
  g_assert_null (deim_format_to_name (DEIM_FORMAT_LAST));
  g_assert_null (deim_format_to_name ((DeimFormat) -1));
  g_assert_cmpint (deim_format_from_name ("nv12"), ==, DEIM_FORMAT_INVALID);
  g_assert_cmpint (deim_format_from_name (""), ==, DEIM_FORMAT_INVALID);
  g_assert_cmpint (deim_format_from_name (NULL), ==, DEIM_FORMAT_INVALID);
}

static void
assert_close (const guint8 *got, const guint8 *expected, gsize size, gint limit, const gchar *what)
{
  gint worst = 0;
  for (gsize i = 0; i < size; i++)
    worst = MAX (worst, ABS ((gint) got[i] - expected[i]));
  if (worst > limit)
    g_test_message ("%s: off by %d levels", what, worst);
  g_assert_cmpint (worst, <=, limit);
}

/* Pictures whose chroma can be subsampled without loss come back: to the byte from RGB, else to within rounding. */
static void
test_round_trip (gconstpointer data)
{
  DeimFormat format = (DeimFormat) GPOINTER_TO_INT (data);
  const DeimFormatInfo *info = deim_format_get_info (format);
  static const guint sizes[][2] = { { 16, 12 }, { 17, 11 }, { 1, 1 }, { 2, 3 }, { 641, 3 }, { 31, 64 } };
  for (guint i = 0; i < G_N_ELEMENTS (sizes) * G_N_ELEMENTS (matrices) * 2; i++) {
    guint w = sizes[i % 6][0], h = sizes[i % 6][1];
    DeimMatrix matrix = matrices[i / 6 % 5];
    DeimRange range = i / 30 ? DEIM_RANGE_FULL : DEIM_RANGE_LIMITED;
    g_autofree guint8 *rgb = test_picture_new (w, h, 2, format == DEIM_FORMAT_GRAY8, i);
    g_autofree guint8 *got = g_malloc ((gsize) w * h * 3);
    TestFrame f;
    DeimPreprocess p;
    test_frame_init (&f, format, rgb, w, h, matrix, range, i % 3 * 5);
    make (&p, &f.frame, 32, 32, DEIM_RESIZE_STRETCH);
    deim_preprocess_convert (&p, &f.frame, got);
    g_autofree gchar *what = g_strdup_printf ("%s %ux%u matrix %d range %d", info->name, w, h, matrix, range);
    /* Half a step of chroma is worth up to 2 x 0.94 x 255 / 224 / 2 levels of blue, half a step of luma 0.6. */
    assert_close (got, rgb, (gsize) w * h * 3, !info->yuv ? 0 : info->depth == 8 ? 2 : 1, what);
    deim_preprocess_finish (&p);
    test_frame_clear (&f);
  }
}

/* A region is what a copy of its pixels would be, wherever it begins. */
static void
test_region (gconstpointer data)
{
  DeimFormat format = (DeimFormat) GPOINTER_TO_INT (data);
  const guint w = 23, h = 17;
  TestFrame f;
  test_frame_init_random (&f, format, w, h, 3, 99);
  DeimPreprocess whole;
  make (&whole, &f.frame, 8, 8, DEIM_RESIZE_STRETCH);
  g_autofree guint8 *all = g_malloc (w * h * 3);
  deim_preprocess_convert (&whole, &f.frame, all);

  static const DeimRegion regions[] = { { 0, 0, 23, 17 }, { 1, 1, 22, 16 }, { 5, 2, 1, 1 },
                                        { 22, 16, 1, 1 }, { 3, 7, 9, 4 },   { 4, 0, 19, 17 } };
  for (guint i = 0; i < G_N_ELEMENTS (regions); i++) {
    DeimRegion r = regions[i];
    DeimPreprocess p, copy;
    f.frame.region_x = r.x;
    f.frame.region_y = r.y;
    f.frame.region_w = r.w;
    f.frame.region_h = r.h;
    g_autofree guint8 *part = g_malloc ((gsize) r.w * r.h * 3);
    for (guint y = 0; y < r.h; y++)
      memcpy (part + (gsize) y * r.w * 3, all + ((r.y + y) * w + r.x) * 3, r.w * 3);
    DeimFrame cut = rgb_frame (part, r.w, r.h);
    make (&p, &f.frame, 13, 9, DEIM_RESIZE_STRETCH);
    make (&copy, &cut, 13, 9, DEIM_RESIZE_STRETCH);
    g_autofree guint8 *a = run_bytes (&p, &f.frame);
    g_autofree guint8 *b = run_bytes (&copy, &cut);
    g_assert_cmpmem (a, 13 * 9 * 3, b, 13 * 9 * 3);
    g_assert_true (deim_preprocess_matches (&p, &f.frame));
    g_assert_cmpint (deim_preprocess_matches (&whole, &f.frame), ==, i == 0);
    deim_preprocess_finish (&p);
    deim_preprocess_finish (&copy);
  }
  deim_preprocess_finish (&whole);
  test_frame_clear (&f);
}

/* The staged planes, read as a frame of their own, show the region; nothing outside the given sizes is touched. */
static void
test_staging (gconstpointer data)
{
  DeimFormat format = (DeimFormat) GPOINTER_TO_INT (data);
  static const guint cases[][6] = { { 23, 17, 0, 0, 0, 0 },   { 24, 16, 0, 0, 0, 0 }, { 23, 17, 5, 3, 7, 9 },
                                    { 23, 17, 22, 16, 1, 1 }, { 1, 1, 0, 0, 0, 0 },   { 23, 17, 4, 2, 18, 6 } };
  for (guint i = 0; i < G_N_ELEMENTS (cases) * 4; i++) {
    const guint *c = cases[i / 4];
    TestFrame f;
    DeimPreprocess p, staged;
    test_frame_init_random (&f, format, c[0], c[1], i % 4, i);
    f.frame.region_x = c[2];
    f.frame.region_y = c[3];
    f.frame.region_w = c[4];
    f.frame.region_h = c[5];
    make (&p, &f.frame, 16, 16, DEIM_RESIZE_STRETCH);
    g_autofree guint8 *staging = g_malloc (p.staging_size);
    deim_preprocess_upload (&p, &f.frame, staging);

    DeimFrame view = f.frame;
    guint dx = p.region.x & 7; /* eight pixels are whole words in every format */
    guint dy = p.region.y & ((1u << p.info->sample[1].v_shift) - 1);
    view.width = dx + p.region.w;
    view.height = dy + p.region.h;
    for (guint k = 0; k < p.info->n_planes; k++) {
      view.data[k] = staging + p.plane[k].offset;
      view.stride[k] = p.plane[k].stride;
      g_assert_cmpuint (p.plane[k].offset % 64, ==, 0);
      g_assert_cmpuint (p.plane[k].stride % 4, ==, 0);
    }
    view.region_x = dx;
    view.region_y = dy;
    view.region_w = p.region.w;
    view.region_h = p.region.h;
    make (&staged, &view, 16, 16, DEIM_RESIZE_STRETCH);
    g_autofree guint8 *a = run_bytes (&p, &f.frame);
    g_autofree guint8 *b = run_bytes (&staged, &view);
    g_assert_cmpmem (a, 16 * 16 * 3, b, 16 * 16 * 3);
    deim_preprocess_finish (&p);
    deim_preprocess_finish (&staged);
    test_frame_clear (&f);
  }
}

/* ------------------------------------------------------------------ checks */

static void
refuse (DeimFrame frame, const gchar *because)
{
  g_autoptr (GError) error = NULL;
  DeimPreprocess p = { .width = 4711 };
  g_assert_false (deim_frame_check (&frame, &error));
  g_assert_error (error, DEIM_ERROR, DEIM_ERROR_SETTINGS);
  g_test_message ("%s", error->message);
  g_assert_nonnull (strstr (error->message, because));
  g_assert_false (deim_preprocess_init (&p, &frame, 32, 32, DEIM_RESIZE_STRETCH, NULL));
  g_assert_cmpuint (p.width, ==, 4711); /* untouched */
}

static void
test_checks (void)
{
  guint8 byte = 0;
  const DeimFrame good = {
    .format = DEIM_FORMAT_NV12, .width = 5, .height = 5, .data = { &byte, &byte }, .stride = { 5, 6 }
  };
  DeimFrame f;
  g_assert_true (deim_frame_check (&good, NULL));
  f = good, f.format = DEIM_FORMAT_INVALID, refuse (f, "format");
  f = good, f.format = (DeimFormat) 12345, refuse (f, "format");
  f = good, f.width = 0, refuse (f, "0x5");
  f = good, f.height = 0, refuse (f, "5x0");
  f = good, f.width = DEIM_FRAME_MAX_SIZE + 1, refuse (f, "16384");
  f = good, f.height = G_MAXUINT, refuse (f, "16384");
  f = good, f.data[1] = NULL, refuse (f, "plane 1");
  f = good, f.stride[0] = 4, refuse (f, "stride of plane 0");
  f = good, f.stride[1] = 5, refuse (f, "stride of plane 1");
  f = good, f.matrix = (DeimMatrix) 99, refuse (f, "matrix");
  f = good, f.range = (DeimRange) -1, refuse (f, "range");
  f = good, f.region_w = 1, refuse (f, "empty");
  f = good, f.region_x = 5, f.region_w = f.region_h = 1, refuse (f, "outside");
  f = good, f.region_y = 1, f.region_w = f.region_h = 5, refuse (f, "outside");
  f = good, f.region_x = 4, f.region_w = G_MAXUINT, f.region_h = 1, refuse (f, "outside");
  /* Matrix and range mean nothing to RGB. */
  f = good, f.format = DEIM_FORMAT_GRAY8, f.matrix = (DeimMatrix) 99;
  g_assert_true (deim_frame_check (&f, NULL));

  g_autoptr (GError) error = NULL;
  DeimPreprocess p;
  g_assert_false (deim_preprocess_init (&p, &good, 0, 32, DEIM_RESIZE_STRETCH, &error));
  g_assert_error (error, DEIM_ERROR, DEIM_ERROR_SETTINGS);
  g_clear_error (&error);
  f = (DeimFrame){
    .format = DEIM_FORMAT_RGBA, .width = 16384, .height = 16384, .data = { &byte }, .stride = { 65536 }
  };
  g_assert_false (deim_preprocess_init (&p, &f, 32, 32, DEIM_RESIZE_STRETCH, &error));
  g_assert_error (error, DEIM_ERROR, DEIM_ERROR_UNSUPPORTED);
  g_test_message ("%s", error->message);
}

/* ------------------------------------------------------------------- boxes */

static void
test_boxes (void)
{
  guint8 byte = 0;
  DeimFrame f = { .format = DEIM_FORMAT_GRAY8, .width = 640, .height = 480, .data = { &byte }, .stride = { 640 } };
  const gfloat whole[4] = { 0.5f, 0.5f, 1, 1 };
  gfloat box[4];
  DeimPreprocess p;

  make (&p, &f, 320, 320, DEIM_RESIZE_STRETCH);
  deim_preprocess_map_box (&p, whole, box);
  g_assert_true (box[0] == 0 && box[1] == 0 && box[2] == 640 && box[3] == 480);
  deim_preprocess_finish (&p);

  /* 640x480 in 320x320: 320x240 at y 40. The network's whole input reaches 80 pixels above and below. */
  make (&p, &f, 320, 320, DEIM_RESIZE_LETTERBOX);
  g_assert_true (p.inner_x == 0 && p.inner_y == 40 && p.inner_w == 320 && p.inner_h == 240);
  deim_preprocess_map_box (&p, whole, box);
  g_assert_true (box[0] == 0 && box[1] == -80 && box[2] == 640 && box[3] == 560);
  deim_preprocess_finish (&p);

  f.region_x = 100, f.region_y = 50, f.region_w = 30, f.region_h = 300;
  make (&p, &f, 320, 640, DEIM_RESIZE_LETTERBOX);
  g_assert_true (p.inner_x == 128 && p.inner_y == 0 && p.inner_w == 64 && p.inner_h == 640);
  deim_preprocess_map_box (&p, (gfloat[4]){ 0.5f, 0.25f, 0.2f, 0.5f }, box);
  const gfloat expected[4] = { 100, 50, 130, 200 };
  for (guint i = 0; i < 4; i++)
    g_assert_cmpfloat_with_epsilon (box[i], expected[i], 1e-3);
  deim_preprocess_finish (&p);

  /* So flat that its letterboxed height would round to nothing. */
  f.region_x = f.region_y = 0, f.region_w = 640, f.region_h = 1;
  make (&p, &f, 32, 32, DEIM_RESIZE_LETTERBOX);
  g_assert_cmpuint (p.inner_h, ==, 1);
  deim_preprocess_finish (&p);
}

/* Letterboxed: the picture's part is a plain resize, the rest is gray. */
static void
test_letterbox (void)
{
  const guint w = 37, h = 20;
  g_autofree guint8 *rgb = test_picture_new (w, h, 1, FALSE, 7);
  DeimFrame f = rgb_frame (rgb, w, h);
  DeimPreprocess p;
  make (&p, &f, 32, 32, DEIM_RESIZE_LETTERBOX);
  g_autofree guint8 *got = run_bytes (&p, &f);
  g_autofree guint8 *inner = resize_bytes (rgb, w, h, 32, 17);
  g_assert_true (p.inner_w == 32 && p.inner_h == 17 && p.inner_y == 7);
  g_assert_cmpmem (got + 7 * 96, 17 * 96, inner, 17 * 96);
  for (guint i = 0; i < 32 * 96; i++)
    if (i < 7 * 96 || i >= 24 * 96)
      g_assert_cmpuint (got[i], ==, DEIM_LETTERBOX_GRAY);
  deim_preprocess_finish (&p);
}

static void
add_per_format (const gchar *kind, GTestDataFunc func)
{
  for (DeimFormat f = DEIM_FORMAT_INVALID + 1; f < DEIM_FORMAT_LAST; f++) {
    g_autofree gchar *path = g_strdup_printf ("/image/%s/%s", kind, deim_format_to_name (f));
    g_test_add_data_func (path, GINT_TO_POINTER (f), func);
  }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/image/resize/pillow", test_resize);
  g_test_add_func ("/image/resize/weights", test_weights);
  g_test_add_func ("/image/resize/golden", test_golden);
  g_test_add_func ("/image/resize/photos", test_photos);
  g_test_add_func ("/image/names", test_names);
  add_per_format ("round-trip", test_round_trip);
  add_per_format ("region", test_region);
  add_per_format ("staging", test_staging);
  g_test_add_func ("/image/checks", test_checks);
  g_test_add_func ("/image/boxes", test_boxes);
  g_test_add_func ("/image/letterbox", test_letterbox);
  return g_test_run ();
}
