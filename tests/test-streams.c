/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-streams.c - many streams on one engine, with the golden Atto network at a small size: a frame's detections are
 * what they are without company (to the bit on a CPU), whatever batch and entry it is computed in; each stream gets its
 * own; one that stalls, fails or leaves changes nothing for the others; memory stays flat.
 */
#include <math.h>
#include <string.h>

#include "engine/device.h"
#include "golden-model.h"
#include "image-frames.h"
#include "process.h"

#define SIDE  160 /* of the network's input: the least that has as many tokens as queries */
#define KINDS 6   /* of frames that the tests use */

typedef struct {
  DeimModel *model;
  DeimDevice *device;
  TestFrame frames[KINDS];
  GArray *alone[KINDS]; /* what a detector of its own says to them */
  gboolean reordered;   /* the order of sums depends on the batch */
} Fixture;

static DeimResize
resize_of (guint kind)
{
  return kind % 2 ? DEIM_RESIZE_LETTERBOX : DEIM_RESIZE_STRETCH;
}

static DeimDetectorOptions
make_options (guint batch, guint timeout)
{
  return (DeimDetectorOptions){
    .max_detections = 20, .height = SIDE, .width = SIDE, .batch = batch, .batch_timeout = timeout
  };
}

static DeimEngine *
make_engine (Fixture *f, guint batch, guint timeout)
{
  g_autoptr (GError) error = NULL;
  DeimDetectorOptions options = make_options (batch, timeout);
  DeimEngine *engine = deim_engine_new (f->model, f->device, &options, &error);
  g_assert_no_error (error);
  return engine;
}

static DeimDetector *
add (DeimEngine *engine, guint in_flight, guint kind)
{
  g_autoptr (GError) error = NULL;
  DeimDetector *detector = deim_engine_add_detector (engine, in_flight, resize_of (kind), &error);
  g_assert_no_error (error);
  return detector;
}

static guint64
submit (Fixture *f, DeimDetector *detector, guint kind)
{
  g_autoptr (GError) error = NULL;
  guint64 ticket = 0;
  deim_detector_submit (detector, &f->frames[kind].frame, &ticket, &error);
  g_assert_no_error (error);
  return ticket;
}

/* The largest difference of scores. */
static gfloat
distance (GArray *a, GArray *b)
{
  gfloat largest = 0;
  for (guint i = 0; i < a->len; i++)
    largest =
        MAX (largest, fabsf (g_array_index (a, DeimDetection, i).score - g_array_index (b, DeimDetection, i).score));
  return largest;
}

/* The detections of @ticket are those of @kind: to the bit, or where sums may be taken in another order, nearly. */
static void
check (Fixture *f, DeimDetector *detector, guint64 ticket, guint kind)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GArray) found = deim_detector_collect (detector, ticket, &error);
  g_assert_no_error (error);
  if (f->reordered) {
    for (guint other = 0; other < KINDS; other++)
      if (other != kind)
        g_assert_cmpfloat (10 * distance (found, f->alone[kind]), <, distance (found, f->alone[other]));
    return;
  }
  g_assert_cmpmem (found->data, found->len * sizeof (DeimDetection), f->alone[kind]->data,
                   f->alone[kind]->len * sizeof (DeimDetection));
}

static DeimDetectorStats
get_stats (DeimEngine *engine)
{
  DeimDetectorStats stats;
  deim_engine_get_stats (engine, &stats);
  return stats;
}

/* Frames that differ in everything: size, format, region, resize. */
static void
make_frames (Fixture *f)
{
  static const struct {
    DeimFormat format;
    guint w, h, region[4];
  } kinds[KINDS] = {
    { DEIM_FORMAT_RGB, 64, 48, { 0 } },        { DEIM_FORMAT_NV12, 161, 90, { 0 } },
    { DEIM_FORMAT_I420, 320, 240, { 0 } },     { DEIM_FORMAT_BGRX, 200, 200, { 20, 30, 100, 90 } },
    { DEIM_FORMAT_P010_10LE, 64, 160, { 0 } }, { DEIM_FORMAT_YUY2, 33, 31, { 3, 4, 20, 21 } },
  };
  for (guint i = 0; i < KINDS; i++) {
    test_frame_init_random (&f->frames[i], kinds[i].format, kinds[i].w, kinds[i].h, 0, i + 1);
    DeimFrame *frame = &f->frames[i].frame;
    frame->region_x = kinds[i].region[0];
    frame->region_y = kinds[i].region[1];
    frame->region_w = kinds[i].region[2];
    frame->region_h = kinds[i].region[3];
    g_autoptr (GError) error = NULL;
    DeimDetectorOptions options = make_options (1, 0);
    options.in_flight = 1;
    options.resize = resize_of (i);
    g_autoptr (DeimDetector) detector = deim_detector_new (f->model, f->device, &options, &error);
    g_assert_no_error (error);
    f->alone[i] = deim_detector_collect (detector, submit (f, detector, i), &error);
    g_assert_no_error (error);
    g_assert_cmpuint (f->alone[i]->len, ==, 20);
    for (guint j = 0; j < i; j++) /* else no test would notice an exchange */
      g_assert_true (memcmp (f->alone[i]->data, f->alone[j]->data, 20 * sizeof (DeimDetection)) != 0);
  }
}

static void
set_up (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  f->model = golden_model_new ();
  f->device = deim_device_open (NULL, &error);
  g_assert_no_error (error);
  f->reordered = !deim_gpu_get_policy (deim_device_get_gpu (f->device))->on[DEIM_DECISION_CPU];
  make_frames (f);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  for (guint i = 0; i < KINDS; i++) {
    test_frame_clear (&f->frames[i]);
    g_array_unref (f->alone[i]);
  }
  deim_model_unref (f->model);
  deim_device_unref (f->device);
}

/* ----------------------------------------------------------------- batches */

/* Whole batches and partial ones, each frame in each entry. */
static void
test_batches (Fixture *f, gconstpointer data)
{
  const guint batch = GPOINTER_TO_UINT (data);
  g_autoptr (DeimEngine) engine = make_engine (f, batch, 60000);
  DeimDetector *detectors[KINDS];
  guint64 tickets[KINDS], batches = 0;
  for (guint i = 0; i < KINDS; i++)
    detectors[i] = add (engine, 1, i);
  g_assert_cmpuint (get_stats (engine).streams, ==, KINDS);
  g_assert_cmpuint (get_stats (engine).batch, ==, batch);
  for (guint round = 0; round < KINDS; round++) {
    /* Told to wait, the engine makes a batch where it is full, and of the rest when nothing more can come. */
    for (guint k = 0; k < KINDS; k++) {
      guint i = (round + k) % KINDS;
      tickets[i] = submit (f, detectors[i], i);
    }
    for (guint i = 0; i < KINDS; i++)
      check (f, detectors[i], tickets[i], i);
    batches += (KINDS + batch - 1) / batch;
    g_assert_cmpuint (get_stats (engine).batches, ==, batches);
    g_assert_cmpuint (get_stats (engine).frames, ==, KINDS * (round + 1));
  }
  for (guint i = 0; i < KINDS; i++)
    deim_detector_unref (detectors[i]);
}

/* A larger network: nothing in it lets a frame's result depend on its company, on any device. (test-ops.c asks each
 * operator.) */
static void
test_family (gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (DeimModel) model = golden_model_new_of (data, NULL);
  g_autoptr (DeimDevice) device = deim_device_open (NULL, &error);
  g_assert_no_error (error);
  DeimDetectorOptions options = { .height = 320, .width = 320, .batch = 3, .batch_timeout = 60000 };
  GArray *found[3] = { NULL };
  for (guint n = 1; n <= 3; n++) { /* so many of three, the last frame alone in the first entry to begin with */
    options.in_flight = n;
    g_autoptr (DeimDetector) detector = deim_detector_new (model, device, &options, &error);
    g_assert_no_error (error);
    guint64 tickets[3];
    for (guint i = 3 - n; i < 3; i++) {
      TestFrame frame;
      test_frame_init_random (&frame, DEIM_FORMAT_RGB, 80, 60, 0, i);
      deim_detector_submit (detector, &frame.frame, &tickets[i], &error);
      g_assert_no_error (error);
      test_frame_clear (&frame);
    }
    for (guint i = 3 - n; i < 3; i++) {
      g_autoptr (GArray) now = deim_detector_collect (detector, tickets[i], &error);
      g_assert_no_error (error);
      if (found[i])
        g_assert_cmpmem (now->data, now->len * sizeof (DeimDetection), found[i]->data,
                         found[i]->len * sizeof (DeimDetection));
      else
        found[i] = g_array_ref (now);
    }
    DeimDetectorStats stats;
    deim_detector_get_stats (detector, &stats);
    g_assert_cmpuint (stats.batches, ==, 1);
  }
  for (guint i = 0; i < 3; i++)
    g_array_unref (found[i]);
}

/* A stream alone fills batches by itself where it may have enough in flight. */
static void
test_one_stream (Fixture *f, gconstpointer data)
{
  g_autoptr (DeimEngine) engine = make_engine (f, 4, 60000);
  g_autoptr (DeimDetector) detector = add (engine, 8, 0);
  guint64 tickets[8];
  for (guint i = 0; i < 8; i++)
    tickets[i] = submit (f, detector, 0);
  for (guint i = 8; i-- > 0;)
    check (f, detector, tickets[i], 0);
  g_assert_cmpuint (get_stats (engine).batches, ==, 2);
}

typedef struct {
  DeimDetector *detector;
  guint64 ticket;
} Sleeper;

static gpointer
sleep_main (gpointer data)
{
  Sleeper *sleeper = data;
  return GINT_TO_POINTER (deim_detector_wait (sleeper->detector, sleeper->ticket, G_MAXUINT64));
}

/* Who waits for a frame that waits for company can be woken, and the frame stays. */
static void
test_flushing (Fixture *f, gconstpointer data)
{
  g_autoptr (DeimEngine) engine = make_engine (f, 2, 60000);
  g_autoptr (DeimDetector) a = add (engine, 1, 0), b = add (engine, 1, 2);
  Sleeper sleeper = { a, submit (f, a, 0) };
  GThread *thread = g_thread_new ("sleeper", sleep_main, &sleeper);
  g_usleep (20000); /* most likely it sleeps by now; else it must not begin to */
  deim_detector_set_flushing (a, TRUE);
  g_assert_false (GPOINTER_TO_INT (g_thread_join (thread)));
  g_assert_false (deim_detector_wait (a, sleeper.ticket, G_MAXUINT64));
  g_assert_cmpint (deim_detector_get_end_time (a, sleeper.ticket), ==, 0);
  deim_detector_set_flushing (a, FALSE);
  check (f, b, submit (f, b, 2), 2);
  check (f, a, sleeper.ticket, 0);
}

/* An idle device waits for company, but no longer than it is told, and a frame is taken back without any wait. */
static void
test_waiting (Fixture *f, gconstpointer data)
{
  g_autoptr (DeimEngine) engine = make_engine (f, 2, 60000);
  g_autoptr (DeimDetector) a = add (engine, 1, 0);
  DeimDetector *b = add (engine, 1, 2);
  guint64 ticket = submit (f, a, 0);
  g_assert_false (deim_detector_is_done (a, ticket));
  g_assert_cmpuint (get_stats (engine).batches, ==, 0);
  deim_detector_drop (a, ticket);
  ticket = submit (f, a, 0);
  g_assert_cmpuint (get_stats (engine).batches, ==, 0);
  deim_detector_unref (b); /* with it goes all hope of company */
  check (f, a, ticket, 0);

  /* Nothing more comes from a stream that says so, until it does. */
  g_autoptr (DeimDetector) roomy = add (engine, 3, 0);
  deim_detector_rest (a);
  ticket = submit (f, roomy, 0);
  g_assert_cmpuint (get_stats (engine).batches, ==, 1);
  deim_detector_rest (roomy);
  g_assert_cmpuint (get_stats (engine).batches, ==, 2);
  check (f, roomy, ticket, 0);
  ticket = submit (f, roomy, 0);
  g_assert_cmpuint (get_stats (engine).batches, ==, 2);
  guint64 second = submit (f, a, 0);
  g_assert_cmpuint (get_stats (engine).batches, ==, 3);
  check (f, a, second, 0);
  check (f, roomy, ticket, 0);

  g_autoptr (DeimEngine) hasty = make_engine (f, 2, 30);
  g_autoptr (DeimDetector) c = add (hasty, 1, 0), d = add (hasty, 1, 2);
  gint64 start = g_get_monotonic_time ();
  check (f, c, submit (f, c, 0), 0);
  g_assert_cmpint (g_get_monotonic_time () - start, >=, 30000);
  check (f, d, submit (f, d, 2), 2);
}

/* Left open, batches grow with the number of streams on a device that gains by it, in the middle of work. */
static void
test_growth (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_setenv ("DEIM_DISABLE", "cpu", TRUE); /* and so is every device */
  g_autoptr (DeimDevice) device = deim_device_open (NULL, &error);
  g_unsetenv ("DEIM_DISABLE");
  g_assert_no_error (error);
  Fixture other = { .model = f->model, .device = device, .reordered = TRUE };
  make_frames (&other); /* its kernels are others */
  g_autoptr (DeimEngine) engine = make_engine (&other, 0, 0);
  enum { N = 5 };
  DeimDetector *detectors[N];
  guint64 tickets[N];
  static const guint expected[N] = { 1, 2, 4, 4, 8 };
  for (guint n = 0; n < N; n++) {
    detectors[n] = add (engine, 2, n % KINDS);
    g_assert_cmpuint (get_stats (engine).batch, ==, expected[n]);
    tickets[n] = submit (&other, detectors[n], n % KINDS);
  }
  for (guint round = 0; round < 2; round++)
    for (guint i = 0; i < N; i++) {
      guint64 next = submit (&other, detectors[i], i % KINDS);
      check (&other, detectors[i], tickets[i], i % KINDS);
      tickets[i] = next;
    }
  for (guint i = 0; i < N; i++)
    deim_detector_unref (detectors[i]); /* with a frame in flight each */
  for (guint i = 0; i < KINDS; i++) {
    test_frame_clear (&other.frames[i]);
    g_array_unref (other.alone[i]);
  }
}

static void
test_options (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  DeimDetectorOptions options = make_options (17, 0);
  g_assert_null (deim_engine_new (f->model, f->device, &options, &error));
  g_assert_error (error, DEIM_ERROR, DEIM_ERROR_SETTINGS);
  g_clear_error (&error);
  g_autoptr (DeimEngine) engine = make_engine (f, 2, 0);
  g_assert_null (deim_engine_add_detector (engine, 17, DEIM_RESIZE_STRETCH, &error));
  g_assert_error (error, DEIM_ERROR, DEIM_ERROR_SETTINGS);
}

/* ----------------------------------------------------------------- threads */

typedef enum { STREAM_HEALTHY, STREAM_STALLS, STREAM_FAILS, STREAM_LEAVES, STREAM_DROPS } Behaviour;

typedef struct {
  Fixture *f;
  DeimEngine *engine;
  guint kind, frames;
  Behaviour behaviour;
  gint *stop; /* atomic: when set a stream that has no number of frames ends */
  GThread *thread;
  guint64 done; /* frames that came back, all of them right */
} Stream;

/* Keeps two frames in flight and checks every result. What else it does must not matter to the others. */
static gpointer
stream_main (gpointer data)
{
  Stream *s = data;
  DeimDetector *detector = add (s->engine, 2, s->kind);
  guint64 pending = 0;
  for (guint i = 0; s->frames ? i < s->frames : !g_atomic_int_get (s->stop); i++) {
    g_autoptr (GError) error = NULL;
    guint64 ticket;
    if (s->behaviour == STREAM_FAILS && i % 3 == 1) {
      DeimFrame bad = s->f->frames[s->kind].frame;
      bad.stride[0] = 1;
      g_assert_false (deim_detector_submit (detector, &bad, &ticket, &error));
      g_assert_error (error, DEIM_ERROR, DEIM_ERROR_SETTINGS);
      g_clear_error (&error);
    }
    if (s->behaviour == STREAM_STALLS && i == 4) { /* and never fetches what it has in flight */
      submit (s->f, detector, s->kind);
      while (!g_atomic_int_get (s->stop))
        g_usleep (1000);
      break;
    }
    if (s->behaviour == STREAM_LEAVES && i % 4 == 3) { /* with frames that wait and frames that run */
      deim_detector_unref (detector);
      detector = add (s->engine, 2, s->kind);
      pending = 0;
    }
    ticket = submit (s->f, detector, s->kind);
    if (pending && s->behaviour == STREAM_DROPS && i % 3 == 0) {
      deim_detector_drop (detector, pending);
      if (!deim_detector_is_done (detector, ticket))
        check (s->f, detector, ticket, s->kind);
      else
        deim_detector_drop (detector, ticket);
      ticket = 0;
    } else if (pending) {
      check (s->f, detector, pending, s->kind);
      s->done++;
    }
    pending = ticket;
  }
  deim_detector_unref (detector);
  return NULL;
}

static void
run_streams (Stream *streams, guint n, guint healthy)
{
  gint stop = FALSE;
  for (guint i = 0; i < n; i++) {
    streams[i].stop = &stop;
    streams[i].thread = g_thread_new ("stream", stream_main, &streams[i]);
  }
  for (guint i = 0; i < healthy; i++)
    g_thread_join (streams[i].thread);
  g_atomic_int_set (&stop, TRUE);
  for (guint i = healthy; i < n; i++)
    g_thread_join (streams[i].thread);
}

/* Three healthy streams and one that is not: the three get all their results, and the right ones. */
static void
test_isolation (Fixture *f, gconstpointer data)
{
  const Behaviour behaviour = (Behaviour) GPOINTER_TO_INT (data);
  g_autoptr (DeimEngine) engine = make_engine (f, 4, behaviour == STREAM_STALLS ? 5 : 0);
  Stream streams[4];
  for (guint i = 0; i < 4; i++)
    streams[i] = (Stream){ .f = f, .engine = engine, .kind = i, .frames = 12 };
  streams[3].behaviour = behaviour;
  streams[3].frames = 0;
  run_streams (streams, 4, 3);
  for (guint i = 0; i < 3; i++)
    g_assert_cmpuint (streams[i].done, ==, 11);
  g_test_message ("%" G_GUINT64_FORMAT " frames in %" G_GUINT64_FORMAT " batches", get_stats (engine).frames,
                  get_stats (engine).batches);
}

/* Sixteen streams: all make progress, at the same pace, and memory stays where it is. */
static void
test_sixteen (Fixture *f, gconstpointer data)
{
#ifdef __SANITIZE_ADDRESS__
  g_test_skip ("AddressSanitizer keeps what is freed: the memory of this process says nothing");
  return;
#endif
  enum { N = 16 };
  const guint frames = g_test_perf () ? 200 : 16;
  g_autoptr (DeimEngine) engine = make_engine (f, GPOINTER_TO_UINT (data), 0);
  DeimDetector *detectors[N];
  guint64 tickets[N];
  gsize half_way = 0, last = 0;
  guint grown = 0; /* rounds of the second half in which memory grew */
  for (guint i = 0; i < N; i++) {
    detectors[i] = add (engine, 1, i % KINDS);
    tickets[i] = submit (f, detectors[i], i % KINDS);
  }
  for (guint round = 0; round < frames; round++) {
    for (guint i = 0; i < N; i++) {
      check (f, detectors[i], tickets[i], i % KINDS);
      tickets[i] = submit (f, detectors[i], i % KINDS);
    }
    gsize before = last;
    last = resident_kib ();
    if (round == frames / 2) /* every frame's memory has met both of the batches that take turns */
      half_way = last;
    else if (round > frames / 2)
      grown += last > before;
    if (round % MAX (frames / 10, 1) == 0)
      g_test_message ("round %u: %" G_GSIZE_FORMAT " KiB resident", round, last);
  }
  for (guint i = 0; i < N; i++)
    deim_detector_unref (detectors[i]);
  g_test_message ("%u rounds, the second half: from %" G_GSIZE_FORMAT " to %" G_GSIZE_FORMAT
                  " KiB, grown in %u rounds, %.2f frames a batch",
                  frames, half_way, last, grown,
                  (gdouble) get_stats (engine).frames / (gdouble) get_stats (engine).batches);
  /* What leaks does so in every round; a batch of a size that has not been computed before touches memory once. */
  g_assert_cmpuint (grown, <, (frames - frames / 2) / 2);
}

static void
test_lost_device (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (DeimModel) model = golden_model_new ();
  g_setenv ("DEIM_TEST_LOSE_DEVICE", "12", TRUE);
  g_autoptr (DeimDevice) device = deim_device_open (NULL, &error);
  g_unsetenv ("DEIM_TEST_LOSE_DEVICE");
  g_assert_no_error (error);
  DeimDetectorOptions options = make_options (2, 0);
  g_autoptr (DeimEngine) engine = deim_engine_new (model, device, &options, &error);
  g_assert_no_error (error);
  g_autoptr (DeimDetector) a = add (engine, 2, 0), b = add (engine, 2, 0);
  TestFrame frame;
  test_frame_init_random (&frame, DEIM_FORMAT_RGB, 32, 32, 0, 1);
  /* Both are told, and nobody hangs. */
  for (guint i = 0; i < 2; i++) {
    DeimDetector *detector = i ? b : a;
    g_clear_error (&error);
    for (guint k = 0; k < 12 && !error; k++) {
      guint64 ticket;
      if (deim_detector_submit (detector, &frame.frame, &ticket, &error)) {
        GArray *found = deim_detector_collect (detector, ticket, &error);
        g_clear_pointer (&found, g_array_unref);
      }
    }
    g_assert_error (error, DEIM_ERROR, DEIM_ERROR_DEVICE_LOST);
  }
  test_frame_clear (&frame);
}

static void
ignore_log (GLogLevelFlags level, const gchar *message, gpointer user_data)
{
}

int
main (int argc, char **argv)
{
  static const gchar *const families[] = { "deimv2_n_384x640_1", "deim_dfine_n_320x320_1" };
  g_test_init (&argc, &argv, NULL);
  deim_set_log_func (ignore_log, NULL);
#define ADD(path, data, function) g_test_add ("/streams/" path, Fixture, data, set_up, function, tear_down)
  ADD ("sixteen-alone", GUINT_TO_POINTER (1), test_sixteen); /* first, while memory has no holes of other tests */
  ADD ("sixteen-batched", GUINT_TO_POINTER (8), test_sixteen);
  ADD ("batches/1", GUINT_TO_POINTER (1), test_batches);
  ADD ("batches/4", GUINT_TO_POINTER (4), test_batches);
  ADD ("batches/6", GUINT_TO_POINTER (6), test_batches);
  ADD ("one-stream", NULL, test_one_stream);
  ADD ("flushing", NULL, test_flushing);
  ADD ("waiting", NULL, test_waiting);
  ADD ("growth", NULL, test_growth);
  ADD ("options", NULL, test_options);
  ADD ("isolation/healthy", GINT_TO_POINTER (STREAM_HEALTHY), test_isolation);
  ADD ("isolation/stalls", GINT_TO_POINTER (STREAM_STALLS), test_isolation);
  ADD ("isolation/fails", GINT_TO_POINTER (STREAM_FAILS), test_isolation);
  ADD ("isolation/leaves", GINT_TO_POINTER (STREAM_LEAVES), test_isolation);
  ADD ("isolation/drops", GINT_TO_POINTER (STREAM_DROPS), test_isolation);
  for (guint i = 0; i < G_N_ELEMENTS (families); i++) {
    g_autofree gchar *path = g_strdup_printf ("/streams/family/%s", families[i]);
    g_test_add_data_func (path, families[i], test_family);
  }
  g_test_add_func ("/streams/lost-device", test_lost_device);
  return g_test_run ();
}
