/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-deimdetect-overload.c - a live source that is quicker than the device: no frame is lost or held up, few are
 * inferred, and all is counted and told. Runs on fake-deim.c, so that an inference lasts as long as the test wants.
 */
#include <glib/gstdio.h>

#include "fake-harness.h"

GST_PLUGIN_STATIC_DECLARE (deim);

static gchar *model; /* a fake one of 5 classes */

/* Frames first .. first + count - 1, @pace_ms apart, as a source gives them that nobody can slow down. Returns the
 * longest time in milliseconds for which a push kept it. */
static gdouble
push_paced (GstHarness *harness, const gchar *caps, guint first, guint count, guint pace_ms)
{
  gint64 start = g_get_monotonic_time (), longest = 0;
  for (guint i = 0; i < count; i++) {
    gint64 early = start + (gint64) i * pace_ms * 1000 - g_get_monotonic_time ();
    if (early > 0)
      g_usleep ((gulong) early);
    gint64 before = g_get_monotonic_time ();
    push_frames (harness, caps, first + i, 1);
    longest = MAX (longest, g_get_monotonic_time () - before);
  }
  return (gdouble) longest / 1000;
}

/* What the bus holds: the number of QoS messages, what the last of them counts, and warnings. */
typedef struct {
  guint messages, warnings;
  guint64 processed, dropped;
} Told;

static Told
read_bus (GstHarness *harness)
{
  g_autoptr (GstBus) bus = gst_element_get_bus (harness->element);
  Told told = { 0 };
  GstMessage *message;
  for (; (message = gst_bus_pop (bus)); gst_message_unref (message)) {
    g_autoptr (GError) error = NULL;
    GstFormat format;
    guint64 dropped = told.dropped;
    switch (GST_MESSAGE_TYPE (message)) {
    case GST_MESSAGE_QOS:
      told.messages++;
      gst_message_parse_qos_stats (message, &format, &told.processed, &told.dropped);
      g_assert_cmpint (format, ==, GST_FORMAT_BUFFERS);
      g_assert_cmpuint (told.dropped, ==, dropped + 1);
      break;
    case GST_MESSAGE_WARNING:
      told.warnings++;
      gst_message_parse_warning (message, &error, NULL);
      g_test_message ("%s", error->message);
      g_assert_error (error, GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_BUSY);
      break;
    default:
      g_assert_cmpint (GST_MESSAGE_TYPE (message), !=, GST_MESSAGE_ERROR);
      break;
    }
  }
  return told;
}

#define OVERLOAD_FRAMES 200

/* How long frames stay in the element, and how many leave with the one that comes. */
typedef struct {
  GMutex lock;
  gint64 came[OVERLOAD_FRAMES]; /* monotonic; like all times here in microseconds */
  gint64 oldest;                /* the longest that one stayed */
  GThread *source;
  guint with, most; /* left in this chain call, and in one at most */
} Leaving;

static GstPadProbeReturn
note_coming (GstPad *pad, GstPadProbeInfo *info, gpointer data)
{
  Leaving *leaving = data;
  g_mutex_lock (&leaving->lock);
  leaving->came[GST_BUFFER_OFFSET (GST_PAD_PROBE_INFO_BUFFER (info))] = g_get_monotonic_time ();
  leaving->source = g_thread_self ();
  leaving->with = 0;
  g_mutex_unlock (&leaving->lock);
  return GST_PAD_PROBE_OK;
}

static GstPadProbeReturn
note_leaving (GstPad *pad, GstPadProbeInfo *info, gpointer data)
{
  Leaving *leaving = data;
  g_mutex_lock (&leaving->lock);
  gint64 came = leaving->came[GST_BUFFER_OFFSET (GST_PAD_PROBE_INFO_BUFFER (info))];
  leaving->oldest = MAX (leaving->oldest, g_get_monotonic_time () - came);
  leaving->with += leaving->source == g_thread_self (); /* not the linger thread */
  leaving->most = MAX (leaving->most, leaving->with);
  g_mutex_unlock (&leaving->lock);
  return GST_PAD_PROBE_OK;
}

/*
 * A live source, quicker than the device: every frame comes out, few with results, and nothing piles up; nor is the
 * source held up. What was skipped is counted and told.
 *
 * Times are bounded in parts of an inference, which is long, because threads have to wait for the processor where
 * others compute: a push may keep the source for a frame (5 ms), so for less than half of an inference; one that waited
 * for the device would keep it for all of it. Likewise for the time that frames stay, which is announced.
 */
static void
test_live_overload (gconstpointer in_flight)
{
  enum { FRAMES = OVERLOAD_FRAMES, PACE = 5, DELAY = 300 };
  g_autofree gchar *properties = g_strdup_printf ("in-flight=%d", GPOINTER_TO_INT (in_flight));
  GstHarness *harness = fake_harness_setup_live (model, properties, QUICK_CAPS);
  Leaving leaving = { 0 };
  g_autoptr (GstPad) in = gst_element_get_static_pad (harness->element, "sink");
  g_autoptr (GstPad) out = gst_element_get_static_pad (harness->element, "src");
  gst_pad_add_probe (in, GST_PAD_PROBE_TYPE_BUFFER, note_coming, &leaving, NULL);
  gst_pad_add_probe (out, GST_PAD_PROBE_TYPE_BUFFER, note_leaving, &leaving, NULL);
  fake_deim_set_delay (DELAY);
  gint64 start = g_get_monotonic_time ();
  gdouble longest = push_paced (harness, QUICK_CAPS, 0, FRAMES, PACE);
  gint64 taken = (g_get_monotonic_time () - start) / 1000;
  guint most = leaving.most; /* at the end all leave at once */
  gst_harness_push_event (harness, gst_event_new_eos ());
  g_assert_cmpuint (gst_harness_buffers_received (harness), ==, FRAMES);
  guint64 inferred = get_stat (harness->element, "inferred"), skipped = get_stat (harness->element, "skipped-overload");
  gint latency = (gint) (get_stat (harness->element, "latency") / GST_MSECOND);
  g_test_message ("%d ms for %d frames, %d inferred, longest push %.1f ms; they stay for %d ms of %d at most, and %u "
                  "leave at once",
                  (gint) taken, FRAMES, (gint) inferred, longest, (gint) (leaving.oldest / 1000), latency, most);
  g_assert_cmpuint (inferred + skipped, ==, FRAMES);
  g_assert_cmpuint (skipped, >, FRAMES / 2);
  g_assert_cmpuint (inferred, >=, 2);
  g_assert_cmpfloat (longest, <, DELAY / 2);
  g_assert_cmpint (taken, <, FRAMES * PACE + DELAY / 2);
  g_assert_cmpint (leaving.oldest / 1000, <, latency + DELAY / 2);
  g_assert_cmpuint (most, <=, 2);
  Told told = read_bus (harness);
  g_assert_cmpuint (told.messages, ==, skipped);
  g_assert_cmpuint (told.dropped, ==, skipped);
  g_assert_cmpuint (told.processed, <=, inferred);
  g_assert_cmpuint (told.warnings, ==, 0);
  for (guint i = 0; i < FRAMES; i++)
    gst_buffer_unref (pull_frame (harness, i));
  fake_harness_teardown (harness);
}

/* Counts the frames that leave, and finds that each event has as many before it as it says. */
static GstPadProbeReturn
check_place (GstPad *pad, GstPadProbeInfo *info, gpointer data)
{
  guint *left = data, behind;
  if (info->type & GST_PAD_PROBE_TYPE_BUFFER) {
    left[0]++;
  } else if (GST_EVENT_TYPE (GST_PAD_PROBE_INFO_EVENT (info)) == GST_EVENT_CUSTOM_DOWNSTREAM) {
    const GstStructure *place = gst_event_get_structure (GST_PAD_PROBE_INFO_EVENT (info));
    g_assert_true (gst_structure_get_uint (place, "behind", &behind));
    g_assert_cmpuint (behind, ==, left[0]);
    left[1]++;
  }
  return GST_PAD_PROBE_OK;
}

/* Tags, gaps and what applications send among the frames hold up neither: all are in long before the first inference
 * ends. */
static void
test_events_in_overload (void)
{
  enum { FRAMES = 24, EVERY = 4, DELAY = 1500 };
  GstHarness *harness = fake_harness_setup_live (model, "in-flight=2", QUICK_CAPS);
  guint left[2] = { 0 };
  g_autoptr (GstPad) pad = gst_element_get_static_pad (harness->element, "src");
  gst_pad_add_probe (pad, GST_PAD_PROBE_TYPE_BUFFER | GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM, check_place, left, NULL);
  fake_deim_set_delay (DELAY);
  gint64 start = g_get_monotonic_time ();
  for (guint i = 0; i < FRAMES; i++) {
    push_frames (harness, QUICK_CAPS, i, 1);
    if ((i + 1) % EVERY)
      continue;
    GstStructure *place = gst_structure_new ("place", "behind", G_TYPE_UINT, i + 1, NULL);
    gst_harness_push_event (harness, gst_event_new_custom (GST_EVENT_CUSTOM_DOWNSTREAM, place));
    gst_harness_push_event (harness, gst_event_new_tag (gst_tag_list_new (GST_TAG_BITRATE, 1000 + i, NULL)));
    gst_harness_push_event (harness, gst_event_new_gap (i * GST_SECOND, GST_SECOND));
  }
  g_assert_cmpint (g_get_monotonic_time () - start, <, DELAY * 1000);
  g_assert_cmpuint (left[1], ==, 0);
  gst_harness_push_event (harness, gst_event_new_eos ());
  g_assert_cmpuint (left[0], ==, FRAMES);
  g_assert_cmpuint (left[1], ==, FRAMES / EVERY);
  fake_harness_teardown (harness);
}

/* A tag that a flush throws out of the ring sticks all the same; other events are gone. */
static void
test_events_flushed (void)
{
  GstHarness *harness = fake_harness_setup_live (model, "in-flight=2", QUICK_CAPS);
  guint left[2] = { 0 }, bitrate = 0;
  g_autoptr (GstPad) pad = gst_element_get_static_pad (harness->element, "src");
  gst_pad_add_probe (pad, GST_PAD_PROBE_TYPE_BUFFER | GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM, check_place, left, NULL);
  fake_deim_set_delay (500);
  push_frames (harness, QUICK_CAPS, 0, 2);
  gst_harness_push_event (harness, gst_event_new_tag (gst_tag_list_new (GST_TAG_BITRATE, 1234, NULL)));
  gst_harness_push_event (harness, gst_event_new_custom (GST_EVENT_CUSTOM_DOWNSTREAM, gst_structure_new_empty ("x")));
  gst_harness_push_event (harness, gst_event_new_flush_start ());
  gst_harness_push_event (harness, gst_event_new_flush_stop (TRUE));
  g_autoptr (GstEvent) tag = gst_pad_get_sticky_event (pad, GST_EVENT_TAG, 0);
  g_assert_nonnull (tag);
  GstTagList *tags;
  gst_event_parse_tag (tag, &tags);
  g_assert_true (gst_tag_list_get_uint (tags, GST_TAG_BITRATE, &bitrate));
  g_assert_cmpuint (bitrate, ==, 1234);
  g_assert_cmpuint (left[1], ==, 0);
  fake_harness_teardown (harness);
}

/* And the way back, when the device is quick again. */
static void
test_overload_ends (void)
{
  GstHarness *harness = fake_harness_setup_live (model, "in-flight=1", RGB_CAPS);
  fake_deim_set_delay (150);
  push_paced (harness, RGB_CAPS, 0, 10, 40);
  guint64 skipped = get_stat (harness->element, "skipped-overload");
  g_assert_cmpuint (skipped, >=, 3);
  fake_deim_set_delay (1);
  push_paced (harness, RGB_CAPS, 10, 20, 40);
  guint64 since = get_stat (harness->element, "skipped-overload");
  g_test_message ("%d skipped while slow, %d after that", (gint) skipped, (gint) (since - skipped));
  g_assert_cmpuint (since - skipped, <=, 8); /* those behind the last slow one */
  /* Every frame leaves within its own call again. */
  push_frames (harness, RGB_CAPS, 30, 1);
  g_assert_cmpuint (gst_harness_buffers_received (harness), ==, 31);
  fake_harness_teardown (harness);
}

/* An inference that takes longer than frames can wait is given up; the source is not held up by it, and the
 * application is told, once. */
static void
test_hopeless (void)
{
  /* 512 MiB hold 32 of these. */
  static const gchar caps[] = "video/x-raw,format=RGBA,width=2160,height=2160,framerate=100/1";
  GstHarness *harness = fake_harness_setup_live (model, "in-flight=2", caps);
  g_autoptr (GstCaps) parsed = gst_caps_from_string (caps);
  GstVideoInfo info;
  gst_video_info_from_caps (&info, parsed);
  g_autoptr (GstMemory) memory = gst_allocator_alloc (NULL, info.size, NULL); /* all frames show the same */
  fake_deim_set_gate (FALSE);
  for (guint i = 0; i < 100; i++) {
    GstBuffer *buffer = gst_buffer_new ();
    gst_buffer_append_memory (buffer, gst_memory_ref (memory));
    GST_BUFFER_PTS (buffer) = i * 10 * GST_MSECOND;
    GST_BUFFER_DURATION (buffer) = 10 * GST_MSECOND;
    g_assert_cmpint (gst_harness_push (harness, buffer), ==, GST_FLOW_OK);
  }
  g_assert_cmpuint (gst_harness_buffers_received (harness), >=, 100 - 32);
  /* The device comes back to life, and everything with it. */
  fake_deim_set_gate (TRUE);
  gst_harness_push_event (harness, gst_event_new_eos ());
  g_assert_cmpuint (gst_harness_buffers_received (harness), ==, 100);
  guint64 skipped = get_stat (harness->element, "skipped-overload");
  g_assert_cmpuint (get_stat (harness->element, "inferred") + skipped, ==, 100);
  Told told = read_bus (harness);
  g_assert_cmpuint (told.messages, ==, skipped);
  g_assert_cmpuint (told.warnings, ==, 1);
  fake_harness_teardown (harness);
}

/* A camera of six buffers: however many frames wait, it finds a free one for the next, and all come out as they were.
 */
static void
test_small_pool (gconstpointer shallow)
{
  enum { FRAMES = 40, SIZE = 64 * 48 * 3 };
  GstHarness *harness = fake_harness_setup_live (model, "in-flight=2", QUICK_CAPS);
  g_autoptr (GstCaps) caps = gst_caps_from_string (QUICK_CAPS);
  GstBufferPool *pool = gst_buffer_pool_new ();
  GstStructure *config = gst_buffer_pool_get_config (pool);
  gst_buffer_pool_config_set_params (config, caps, SIZE, 2, 6);
  g_assert_true (gst_buffer_pool_set_config (pool, config));
  g_assert_true (gst_buffer_pool_set_active (pool, TRUE));
  fake_deim_set_gate (FALSE);
  for (guint i = 0; i < FRAMES; i++) {
    GstBufferPoolAcquireParams no_wait = { .flags = GST_BUFFER_POOL_ACQUIRE_FLAG_DONTWAIT };
    GstBuffer *buffer = NULL;
    g_assert_cmpint (gst_buffer_pool_acquire_buffer (pool, &buffer, &no_wait), ==, GST_FLOW_OK);
    gst_buffer_memset (buffer, 0, (guint8) i, SIZE);
    GST_BUFFER_PTS (buffer) = i * (GST_SECOND / 25);
    GST_BUFFER_DURATION (buffer) = GST_SECOND / 25;
    GST_BUFFER_OFFSET (buffer) = i;
    if (shallow) { /* what an element in front leaves that was made writable: another buffer around the same memory */
      GstBuffer *inner = buffer;
      buffer = gst_buffer_copy (inner);
      gst_buffer_unref (inner);
    }
    g_assert_cmpint (gst_harness_push (harness, buffer), ==, GST_FLOW_OK);
  }
  g_assert_cmpuint (gst_harness_buffers_received (harness), ==, 0); /* all of them wait */
  fake_deim_set_gate (TRUE);
  gst_harness_push_event (harness, gst_event_new_eos ());
  for (guint i = 0; i < FRAMES; i++) {
    g_autoptr (GstBuffer) out = pull_frame (harness, i);
    GstMapInfo map;
    g_assert_true (gst_buffer_map (out, &map, GST_MAP_READ));
    g_assert_cmpuint (map.size, ==, SIZE);
    g_assert_cmpuint (map.data[0], ==, i);
    g_assert_cmpuint (map.data[SIZE - 1], ==, i);
    gst_buffer_unmap (out, &map);
    g_assert_cmpuint (count_regions (out), ==, was_inferred (out) ? 2 : 0);
  }
  g_assert_cmpuint (get_stat (harness->element, "inferred"), >=, 2);
  gst_buffer_pool_set_active (pool, FALSE);
  gst_object_unref (pool);
  fake_harness_teardown (harness);
}

/* ------------------------------------------------------------- late frames */

#define SLOW_CAPS "video/x-raw,format=RGB,width=64,height=48,framerate=100/1"
#define WAITING   5

/* A stream in overload whose inferences took 600 ms lately; so its latency is longer than that by a quarter. */
static GstHarness *
setup_slow (guint *number)
{
  GstHarness *harness = fake_harness_setup_live (model, "in-flight=1", SLOW_CAPS);
  push_frames (harness, SLOW_CAPS, 0, 1); /* not counted */
  fake_deim_set_delay (600);
  push_frames (harness, SLOW_CAPS, 1, 1);
  fake_deim_set_delay (0);
  for (*number = 2; get_stat (harness->element, "latency") < 600 * GST_MSECOND; (*number)++) {
    push_frames (harness, SLOW_CAPS, *number, 1);
    g_usleep (10000);
  }
  return harness;
}

static void
wait_until_empty (GstHarness *harness)
{
  while (gst_harness_buffers_received (harness) < get_stat (harness->element, "frames"))
    g_usleep (1000);
}

/* WAITING frames wait inside, until they are as old as the slowest inference where @old. Then the clock is @late after
 * their time, and one more comes: how many leave with that? Tried again where the machine was busy meanwhile, so that
 * some left because their latency was over. */
static guint
count_leaving (GstHarness *harness, guint *number, gboolean old, GstClockTime late)
{
  for (guint attempt = 0; attempt < 20; attempt++) {
    const gint64 frame = 10000, latency = (gint64) get_stat (harness->element, "latency") / 1000;
    const gint64 slowest = (latency - frame) * 4 / 5;
    wait_until_empty (harness);
    *number += 1000; /* the clock only goes forward */
    gst_harness_set_time (harness, *number * (GST_SECOND / 25));
    fake_deim_set_gate (FALSE);
    gint64 start = g_get_monotonic_time ();
    push_frames (harness, SLOW_CAPS, *number, WAITING);
    *number += WAITING;
    gint64 last = g_get_monotonic_time ();
    g_usleep (old ? (gulong) (slowest + 2 * frame) : 1);
    fake_deim_set_gate (TRUE);
    guint before = gst_harness_buffers_received (harness);
    gst_harness_set_time (harness, *number * (GST_SECOND / 25) + late);
    push_frames (harness, SLOW_CAPS, (*number)++, 1);
    guint leaving = gst_harness_buffers_received (harness) - before;
    gint64 oldest = g_get_monotonic_time () - start;
    g_test_message ("aged %d to %d ms of %d: %u leave", (gint) ((oldest - (last - start)) / 1000),
                    (gint) (oldest / 1000), (gint) (latency / 1000), leaving);
    if (oldest < (old ? latency - 2 * frame : slowest))
      return leaving;
  }
  g_error ("this machine is too busy");
}

/* In overload frames stay for the latency by their age. Those that a sink wants already leave when they are as old as
 * an inference, two for each that comes; a source whose timestamps are late for good is none that has bursts. */
static void
test_late_in_overload (void)
{
  guint number;
  GstHarness *harness = setup_slow (&number);
  g_assert_cmpuint (count_leaving (harness, &number, TRUE, 0), ==, 0);
  g_assert_cmpuint (count_leaving (harness, &number, TRUE, 2 * GST_SECOND), ==, 2);
  g_assert_cmpuint (count_leaving (harness, &number, TRUE, 30 * GST_SECOND), ==, 2);
  g_assert_cmpuint (count_leaving (harness, &number, FALSE, 30 * GST_SECOND), ==, 0);
  /* What was configured counts, where the pipeline says it. */
  gst_harness_push_upstream_event (harness, gst_event_new_latency (10 * GST_SECOND));
  g_assert_cmpuint (count_leaving (harness, &number, TRUE, 2 * GST_SECOND), ==, 0);
  g_assert_cmpuint (count_leaving (harness, &number, TRUE, 30 * GST_SECOND), ==, 2);
  wait_until_empty (harness);
  fake_harness_teardown (harness);
}

int
main (int argc, char **argv)
{
  init_element_tests (&argc, &argv);
  GST_PLUGIN_STATIC_REGISTER (deim);
  model = fake_deim_write_model (5);

  g_test_add_data_func ("/deimdetect/live-overload/1", GINT_TO_POINTER (1), test_live_overload);
  g_test_add_data_func ("/deimdetect/live-overload/3", GINT_TO_POINTER (3), test_live_overload);
  g_test_add_func ("/deimdetect/events-in-overload", test_events_in_overload);
  g_test_add_func ("/deimdetect/events-flushed", test_events_flushed);
  g_test_add_func ("/deimdetect/overload-ends", test_overload_ends);
  g_test_add_func ("/deimdetect/hopeless", test_hopeless);
  g_test_add_data_func ("/deimdetect/small-pool", NULL, test_small_pool);
  g_test_add_data_func ("/deimdetect/small-pool/shallow", "shallow", test_small_pool);
  g_test_add_func ("/deimdetect/late-in-overload", test_late_in_overload);
  int result = run_element_tests ();
  g_unlink (model);
  g_free (model);
  return result;
}
