/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-detector.c - frames in flight, on whatever device is there, with the golden Atto network (weights made from a
 * rule): results belong to their frame whatever the order of collecting, slots come back, geometry may change between
 * frames, and a lost device is an error after which everything can be made again.
 */
#include <math.h>
#include <string.h>

#include "engine/device.h"
#include "golden-model.h"

typedef struct {
  DeimModel *model;
  DeimDevice *device;
} Fixture;

static void
set_up (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  f->model = golden_model_new ();
  f->device = deim_device_open (NULL, &error);
  g_assert_no_error (error);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  deim_model_unref (f->model);
  deim_device_unref (f->device);
}

static DeimDetector *
make_detector (Fixture *f, guint in_flight)
{
  g_autoptr (GError) error = NULL;
  DeimDetectorOptions options = { .in_flight = in_flight, .max_detections = 20 };
  DeimDetector *detector = deim_detector_new (f->model, f->device, &options, &error);
  g_assert_no_error (error);
  return detector;
}

/* A frame of its own for every @seed. */
static DeimFrame
make_frame (guint8 *pixels, guint width, guint height, guint seed)
{
  g_autoptr (GRand) rng = g_rand_new_with_seed (seed);
  for (gsize i = 0; i < (gsize) width * height * 3; i++)
    pixels[i] = (guint8) g_rand_int (rng);
  return (DeimFrame){
    .format = DEIM_FORMAT_RGB, .width = width, .height = height, .data = { pixels }, .stride = { width * 3 }
  };
}

static guint64
submit (DeimDetector *detector, guint width, guint height, guint seed)
{
  g_autoptr (GError) error = NULL;
  g_autofree guint8 *pixels = g_malloc ((gsize) width * height * 3); /* gone when the call is over */
  DeimFrame frame = make_frame (pixels, width, height, seed);
  guint64 ticket = 0;
  deim_detector_submit (detector, &frame, &ticket, &error);
  g_assert_no_error (error);
  return ticket;
}

static GArray *
collect (DeimDetector *detector, guint64 ticket)
{
  g_autoptr (GError) error = NULL;
  GArray *found = deim_detector_collect (detector, ticket, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (found->len, ==, 20);
  for (guint i = 0; i < found->len; i++) {
    const DeimDetection *d = &g_array_index (found, DeimDetection, i);
    g_assert_true (isfinite (d->x1) && isfinite (d->y1) && isfinite (d->x2) && isfinite (d->y2));
    g_assert_cmpuint (d->label, <, 80);
    g_assert_cmpuint (d->query, <, 100);
    if (i)
      g_assert_cmpfloat (d->score, <=, g_array_index (found, DeimDetection, i - 1).score);
  }
  return found;
}

static void
assert_same (GArray *a, GArray *b)
{
  g_assert_cmpmem (a->data, a->len * sizeof (DeimDetection), b->data, b->len * sizeof (DeimDetection));
}

/* ------------------------------------------------------------------- cases */

static void
test_in_flight (Fixture *f, gconstpointer data)
{
  g_autoptr (DeimDetector) one = make_detector (f, 1), three = make_detector (f, 3);
  GArray *alone[6];
  for (guint i = 0; i < 6; i++)
    alone[i] = collect (one, submit (one, 64, 48, i));
  g_assert_false (memcmp (alone[0]->data, alone[1]->data, alone[0]->len * sizeof (DeimDetection)) == 0);

  /* collected in any order, each result is its own frame's, to the bit */
  for (guint round = 0; round < 2; round++) {
    guint64 tickets[3];
    for (guint i = 0; i < 3; i++)
      tickets[i] = submit (three, 64, 48, 3 * round + i);
    static const guint order[3] = { 2, 0, 1 };
    for (guint i = 0; i < 3; i++) {
      g_autoptr (GArray) found = collect (three, tickets[order[i]]);
      assert_same (found, alone[3 * round + order[i]]);
    }
  }
  for (guint i = 0; i < 6; i++)
    g_array_unref (alone[i]);
}

static void
test_busy (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (DeimDetector) detector = make_detector (f, 2);
  guint8 pixels[32 * 32 * 3];
  DeimFrame frame = make_frame (pixels, 32, 32, 1);
  guint64 first = submit (detector, 32, 32, 1), second = submit (detector, 32, 32, 2), third = 77;
  g_assert_false (deim_detector_submit (detector, &frame, &third, &error));
  g_assert_error (error, DEIM_ERROR, DEIM_ERROR_BUSY);
  g_assert_cmpuint (third, ==, 77); /* untouched */
  g_clear_error (&error);

  /* a dropped frame's slot comes back without being collected */
  deim_detector_drop (detector, first);
  g_array_unref (collect (detector, second));
  gint64 begin = g_get_monotonic_time ();
  third = submit (detector, 32, 32, 3);
  guint64 fourth = submit (detector, 32, 32, 4);
  g_assert_null (deim_detector_collect (detector, first, &error));
  g_assert_error (error, DEIM_ERROR, DEIM_ERROR_SETTINGS);
  g_assert_true (deim_detector_wait (detector, fourth, G_MAXUINT64));
  g_assert_true (deim_detector_is_done (detector, third)); /* in the order of submission */
  gint64 ended = deim_detector_get_end_time (detector, third);
  g_assert_cmpint (ended, >, begin);
  g_assert_cmpint (deim_detector_get_end_time (detector, fourth), >=, ended);
  g_assert_cmpint (g_get_monotonic_time (), >=, deim_detector_get_end_time (detector, fourth));
  g_array_unref (collect (detector, fourth));
  g_array_unref (collect (detector, third));
  g_assert_true (deim_detector_is_done (detector, third));
  g_assert_cmpint (deim_detector_get_end_time (detector, third), ==, 0);
}

/* Boxes are in pixels of the frame: of a frame of one colour, twice as wide, they are twice as wide. */
static void
test_geometry (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (DeimDetector) detector = make_detector (f, 1);
  static guint8 gray[640 * 320 * 3];
  memset (gray, 90, sizeof gray);
  DeimFrame frame = { .format = DEIM_FORMAT_RGB, .width = 320, .height = 320, .data = { gray }, .stride = { 960 } };
  DeimFrame twice = frame;
  twice.width = 640;
  twice.stride[0] = 1920;
  guint64 ticket;
  g_assert_true (deim_detector_submit (detector, &frame, &ticket, &error));
  g_autoptr (GArray) a = collect (detector, ticket);
  g_assert_true (deim_detector_submit (detector, &twice, &ticket, &error));
  g_autoptr (GArray) b = collect (detector, ticket);
  g_assert_true (deim_detector_submit (detector, &frame, &ticket, &error));
  g_autoptr (GArray) again = collect (detector, ticket);
  assert_same (a, again); /* back to the first geometry */
  for (guint i = 0; i < a->len; i++) {
    const DeimDetection *p = &g_array_index (a, DeimDetection, i), *q = &g_array_index (b, DeimDetection, i);
    g_assert_cmpfloat (p->score, ==, q->score);
    g_assert_cmpfloat_with_epsilon (2 * p->x1, q->x1, 1e-3);
    g_assert_cmpfloat_with_epsilon (2 * p->x2, q->x2, 1e-3);
    g_assert_cmpfloat_with_epsilon (p->y1, q->y1, 1e-3);
  }
}

/* A region is a frame of its own, its boxes shifted. */
static void
test_region (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (DeimDetector) detector = make_detector (f, 1);
  static guint8 pixels[200 * 150 * 3];
  DeimFrame whole = make_frame (pixels, 200, 150, 5), region = whole, alone;
  region.region_x = 100;
  region.region_y = 60;
  region.region_w = 80;
  region.region_h = 70;
  alone = whole;
  alone.data[0] = pixels + (60 * 200 + 100) * 3;
  alone.width = 80;
  alone.height = 70;
  guint64 ticket;
  g_assert_true (deim_detector_submit (detector, &region, &ticket, &error));
  g_autoptr (GArray) a = collect (detector, ticket);
  g_assert_true (deim_detector_submit (detector, &alone, &ticket, &error));
  g_autoptr (GArray) b = collect (detector, ticket);
  for (guint i = 0; i < a->len; i++) {
    const DeimDetection *p = &g_array_index (a, DeimDetection, i), *q = &g_array_index (b, DeimDetection, i);
    g_assert_cmpfloat (p->score, ==, q->score);
    g_assert_cmpfloat_with_epsilon (p->x1, q->x1 + 100, 1e-3);
    g_assert_cmpfloat_with_epsilon (p->y2, q->y2 + 60, 1e-3);
  }
}

static void
test_bad_frames (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (DeimDetector) detector = make_detector (f, 1);
  guint8 pixels[16 * 16 * 3];
  DeimFrame frame = make_frame (pixels, 16, 16, 1);
  guint64 ticket;
  frame.stride[0] = 5;
  g_assert_false (deim_detector_submit (detector, &frame, &ticket, &error));
  g_assert_error (error, DEIM_ERROR, DEIM_ERROR_SETTINGS);
  g_clear_error (&error);
  frame.stride[0] = 48;
  g_assert_true (deim_detector_submit (detector, &frame, &ticket, &error)); /* the slot was given back */
  g_array_unref (collect (detector, ticket));
}

static void
test_options (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  DeimDetectorOptions options = { .in_flight = 17 };
  g_assert_null (deim_detector_new (f->model, f->device, &options, &error));
  g_assert_error (error, DEIM_ERROR, DEIM_ERROR_SETTINGS);
  g_clear_error (&error);
  options = (DeimDetectorOptions){ .width = 330 };
  g_assert_null (deim_detector_new (f->model, f->device, &options, &error));
  g_assert_error (error, DEIM_ERROR, DEIM_ERROR_SETTINGS);
}

static void
test_profile (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  DeimDetectorOptions options = { .in_flight = 1, .max_detections = 20, .timestamps = TRUE };
  g_autoptr (DeimDetector) detector = deim_detector_new (f->model, f->device, &options, &error);
  g_assert_no_error (error);
  g_array_unref (collect (detector, submit (detector, 64, 64, 1)));
  g_autoptr (GArray) profile = deim_detector_get_profile (detector);
  DeimDetectorStats stats;
  deim_detector_get_stats (detector, &stats);
  g_assert_cmpuint (profile->len, ==, stats.dispatches + 1); /* and the upload */
  gdouble total = 0, gflop = 0, gbyte = 0;
  for (guint i = 0; i < profile->len; i++) {
    const DeimProfileEntry *e = &g_array_index (profile, DeimProfileEntry, i);
    g_assert_cmpfloat (e->ms, >=, 0);
    g_assert_true (e->stage[0] && e->op[0] && e->name[0]);
    total += e->ms;
    gflop += e->gflop;
    gbyte += e->gbyte;
    g_assert_true (e->gbyte > 0 || g_str_equal (e->stage, "upload") || g_str_equal (e->stage, "preprocess"));
  }
  g_assert_cmpfloat (total, >, 0);
  /* the dispatches' arithmetic is the model's, but for RepVGG's 1x1 branches that were folded away and training heads
   */
  g_assert_cmpfloat_with_epsilon (gflop, deim_model_get_info (f->model)->gflops,
                                  0.05 * deim_model_get_info (f->model)->gflops);
  /* every weight is read; up to what alignment puts between them */
  g_assert_cmpfloat (gbyte, >, 0.95e-9 * (gdouble) stats.weight_bytes);
}

static void
count_warnings (GLogLevelFlags level, const gchar *message, gpointer user_data)
{
  *(guint *) user_data += level == G_LOG_LEVEL_WARNING;
}

static void
test_lost_device (void)
{
  guint warnings = 0;
  deim_set_log_func (count_warnings, &warnings);
  g_autoptr (GError) error = NULL;
  g_autoptr (DeimModel) model = golden_model_new ();
  g_setenv ("DEIM_TEST_LOSE_DEVICE", "8", TRUE); /* the eighth submit of this device fails, uploads included */
  for (guint attempt = 0; attempt < 2; attempt++) {
    g_autoptr (DeimDevice) device = deim_device_open (NULL, &error);
    g_assert_no_error (error);
    DeimDetectorOptions options = { .in_flight = 1, .max_detections = 20 };
    g_autoptr (DeimDetector) detector = deim_detector_new (model, device, &options, &error);
    for (guint i = 0; detector && !error && i < 12; i++) {
      guint8 pixels[32 * 32 * 3];
      DeimFrame frame = make_frame (pixels, 32, 32, i);
      guint64 ticket;
      if (deim_detector_submit (detector, &frame, &ticket, &error)) {
        GArray *found = deim_detector_collect (detector, ticket, &error);
        g_clear_pointer (&found, g_array_unref);
      }
    }
    if (attempt == 0) {
      g_assert_error (error, DEIM_ERROR, DEIM_ERROR_DEVICE_LOST);
      g_clear_error (&error);
    } else {
      g_assert_no_error (error); /* opened again, all is well */
    }
  }
  g_unsetenv ("DEIM_TEST_LOSE_DEVICE");
  deim_set_log_func (NULL, NULL);
  g_assert_cmpuint (warnings, ==, 1); /* said once */
}

/* Each dispatch costs what it costs to start one, and often a barrier: a pass that fuses or merges less shows here. */
static void
test_dispatches (Fixture *f, gconstpointer data)
{
  static const struct {
    const gchar *set, *arch;
    guint cpu, gpu; /* at most; on a CPU with those of Winograd, on a GPU with those that add slices of sums */
    guint parked;   /* by Winograd for narrower layers, where sums are parked */
  } networks[] = {
    { "deimv2_atto_320x320_1", "deimv2_atto", 127, 127, 6 },
    { "deimv2_femto_416x416_1", "deimv2_femto", 127, 127, 6 },
    { "deim_dfine_n_320x320_1", "deim_dfine_n", 150, 150, 0 },
    { "deim_dfine_s_384x640_1", "deim_dfine_s", 192, 168, 0 },
    { "deim_r18_320x320_1", "deim_r18", 188, 162, 0 },
  };
  const gboolean *on = deim_gpu_get_policy (deim_device_get_gpu (f->device))->on;
  for (guint i = 0; i < G_N_ELEMENTS (networks); i++) {
    g_autoptr (GError) error = NULL;
    g_autoptr (DeimModel) model = golden_model_new_of (networks[i].set, networks[i].arch);
    g_autoptr (DeimDetector) detector = deim_detector_new (model, f->device, NULL, &error);
    g_assert_no_error (error);
    DeimDetectorStats stats;
    deim_detector_get_stats (detector, &stats);
    g_test_message ("%s: %u dispatches", networks[i].arch, stats.dispatches);
    guint most = on[DEIM_DECISION_CPU] ? networks[i].cpu : networks[i].gpu;
    g_assert_cmpuint (stats.dispatches, <=, most + (on[DEIM_DECISION_PARK] ? networks[i].parked : 0));
  }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(path, function) g_test_add ("/detector/" path, Fixture, NULL, set_up, function, tear_down)
  ADD ("in-flight", test_in_flight);
  ADD ("busy", test_busy);
  ADD ("geometry", test_geometry);
  ADD ("region", test_region);
  ADD ("bad-frames", test_bad_frames);
  ADD ("options", test_options);
  ADD ("profile", test_profile);
  ADD ("dispatches", test_dispatches);
  g_test_add_func ("/detector/lost-device", test_lost_device);
  return g_test_run ();
}
