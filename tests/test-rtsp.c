/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-rtsp.c - a camera that is quicker than the network: every frame comes out, in time, and what was not inferred is
 * counted and told.
 *
 *   test-rtsp [--minutes N] [--model FILE]
 *
 * tests/rtsp-server.c serves 25 frames a second in another process; here they go through rtspsrc, decodebin,
 * deimdetect, deimoverlay and a sink that shows frames in time and drops late ones, as a video sink does. The network
 * is Atto at twice its usual area, which is too much for a processor 25 times a second. Prints a line every five
 * seconds, and TAP. Without --minutes it runs for a quarter of a minute.
 *
 * What is lost or doubled shows in media time: how many frames lie between the first and the last that came. By the
 * clock on the wall a second holds more frames than the camera makes where a backlog drains, and fewer where the
 * machine is busy with something else; that is what the bounds on the frames' age are for.
 */
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <gst/gst.h>
#include <unistd.h>

#include "element-helpers.h"
#include "engine/deim.h"
#include "process.h"

#define RATE 25
#define LINE 5 /* seconds of a line */

/* For how long a thread that could go on waits for the processor at most, where inferences take all of it. 20 to 110 ms
 * were seen beside five processes that compute. */
#define BUSY_MS 300

static gdouble minutes = 0.25;
static gchar *photo_model;

/* What the sink sees; written by its streaming thread. */
typedef struct {
  GMutex lock;
  GstElement *pipeline;
  guint entered, arrived, shown; /* frames at the detector, at the sink, and those of them that were in time there */
  GstClockTime entry_sum;        /* from the network to the detector, of all */
  GstClockTime sum, worst;       /* from the network to the sink, of all and of the slowest */
  GstClockTime first, last;      /* running time of the oldest that left the detector and of the newest, of all lines */
  guint all;                     /* from first to last */
  gboolean disorder;
  guint64 inferred; /* until the line before; the test's thread's own */
} Watch;

/* From the first frame that left the detector to the last. */
typedef struct {
  guint left;
  gdouble expected; /* so many frames the camera made from the first to the last, by their timestamps */
  gdouble lag_ms;   /* how long ago the network had the last; negative: its time is yet to come */
} Window;

/* A line of the output. */
typedef struct {
  gdouble seconds;
  guint arrived, shown;
  gdouble entry_ms, mean_ms, worst_ms;
  gdouble latency_ms; /* that the pipeline announces */
  gdouble moved_ms;   /* how far that went up and down meanwhile, all in all */
  gdouble detect_ms;  /* the detector's part of it */
  guint64 inferred;
  gsize rss_kib;
} Line;

/* Atto, made too slow. */
static gchar *
make_slow_model (const gchar *from)
{
  g_autoptr (GError) error = NULL;
  DeimModelOptions options = { .arch = "deimv2_atto:input=480x480" };
  g_autoptr (DeimModel) model = deim_model_load (from, &options, &error);
  g_assert_no_error (error);
  gchar *path = g_strdup_printf ("%s/deim-rtsp-%d.safetensors", g_get_tmp_dir (), getpid ());
  deim_model_save (model, path, FALSE, &error);
  g_assert_no_error (error);
  return path;
}

/* Starts the server and returns its address. */
static gchar *
start_camera (GSubprocess **ret_camera)
{
  g_autoptr (GError) error = NULL;
  *ret_camera = g_subprocess_new (G_SUBPROCESS_FLAGS_STDOUT_PIPE, &error, DEIM_BUILD_ROOT "/tests/rtsp-server", NULL);
  g_assert_no_error (error);
  g_autoptr (GDataInputStream) lines = g_data_input_stream_new (g_subprocess_get_stdout_pipe (*ret_camera));
  gchar *address = g_data_input_stream_read_line (lines, NULL, NULL, &error);
  g_assert_no_error (error);
  g_assert_nonnull (address);
  return address;
}

/* How long ago a frame came from the network. */
static GstClockTime
age (GstPad *pad, GstBuffer *buffer, GstElement *pipeline, GstClockTime *running)
{
  g_autoptr (GstEvent) event = gst_pad_get_sticky_event (pad, GST_EVENT_SEGMENT, 0);
  const GstSegment *segment;
  gst_event_parse_segment (event, &segment);
  *running = gst_segment_to_running_time (segment, GST_FORMAT_TIME, GST_BUFFER_PTS (buffer));
  GstClockTime now = gst_element_get_current_running_time (pipeline);
  return now > *running ? now - *running : 0;
}

static GstPadProbeReturn
on_entry (GstPad *pad, GstPadProbeInfo *info, gpointer data)
{
  Watch *watch = data;
  GstClockTime running, taken = age (pad, GST_PAD_PROBE_INFO_BUFFER (info), watch->pipeline, &running);
  g_mutex_lock (&watch->lock);
  watch->entered++;
  watch->entry_sum += taken;
  g_mutex_unlock (&watch->lock);
  return GST_PAD_PROBE_OK;
}

static GstPadProbeReturn
on_arrival (GstPad *pad, GstPadProbeInfo *info, gpointer data)
{
  Watch *watch = data;
  GstClockTime running, taken = age (pad, GST_PAD_PROBE_INFO_BUFFER (info), watch->pipeline, &running);
  g_mutex_lock (&watch->lock);
  watch->arrived++;
  watch->sum += taken;
  watch->worst = MAX (watch->worst, taken);
  g_mutex_unlock (&watch->lock);
  return GST_PAD_PROBE_OK;
}

/* Behind the detector: elements between it and the sink may drop frames that are late. */
static GstPadProbeReturn
on_departure (GstPad *pad, GstPadProbeInfo *info, gpointer data)
{
  Watch *watch = data;
  GstClockTime running;
  age (pad, GST_PAD_PROBE_INFO_BUFFER (info), watch->pipeline, &running);
  g_mutex_lock (&watch->lock);
  watch->disorder |= GST_CLOCK_TIME_IS_VALID (watch->last) && running <= watch->last;
  watch->last = running;
  if (!GST_CLOCK_TIME_IS_VALID (watch->first))
    watch->first = running;
  watch->all++;
  g_mutex_unlock (&watch->lock);
  return GST_PAD_PROBE_OK;
}

static void
on_shown (GstElement *sink, GstBuffer *buffer, GstPad *pad, gpointer data)
{
  Watch *watch = data;
  g_mutex_lock (&watch->lock);
  watch->shown++;
  g_mutex_unlock (&watch->lock);
}

static void
begin_window (Watch *watch)
{
  g_mutex_lock (&watch->lock);
  watch->first = GST_CLOCK_TIME_NONE;
  watch->all = 0;
  g_mutex_unlock (&watch->lock);
}

static Window
read_window (Watch *watch)
{
  GstClockTime now = gst_element_get_current_running_time (watch->pipeline);
  g_mutex_lock (&watch->lock);
  Window window = { .left = watch->all,
                    .expected = 1 + RATE * (gdouble) (watch->last - watch->first) / GST_SECOND,
                    .lag_ms = ((gdouble) now - (gdouble) watch->last) / GST_MSECOND };
  g_mutex_unlock (&watch->lock);
  return window;
}

/* What messages on the bus said. */
typedef struct {
  guint messages;               /* of the detector's QoS */
  guint64 dropped;              /* in the last of them */
  gdouble latency_ms, moved_ms; /* of the pipeline, since the last change; and as in Line */
} Told;

static gdouble
get_latency_ms (GstElement *pipeline)
{
  g_autoptr (GstQuery) query = gst_query_new_latency ();
  GstClockTime min = 0;
  if (gst_element_query (pipeline, query))
    gst_query_parse_latency (query, NULL, &min, NULL);
  return (gdouble) min / GST_MSECOND;
}

static void
note_qos (GstMessage *message, Told *told)
{
  GstFormat format;
  guint64 processed, dropped = told->dropped;
  gst_message_parse_qos_stats (message, &format, &processed, &told->dropped);
  g_assert_cmpint (format, ==, GST_FORMAT_BUFFERS);
  g_assert_cmpuint (told->dropped, ==, dropped + 1);
  told->messages++;
}

static void
follow_latency (GstElement *pipeline, Told *told)
{
  gst_bin_recalculate_latency (GST_BIN (pipeline));
  gdouble former = told->latency_ms;
  told->latency_ms = get_latency_ms (pipeline);
  told->moved_ms += ABS (told->latency_ms - former);
}

/* Waits for @seconds, or for the end of the stream, which it returns; an error fails the test. */
static gboolean
listen (GstElement *pipeline, GstElement *detect, gdouble seconds, Told *told)
{
  g_autoptr (GstBus) bus = gst_element_get_bus (pipeline);
  gint64 until = g_get_monotonic_time () + (gint64) (seconds * G_USEC_PER_SEC), now;
  while ((now = g_get_monotonic_time ()) < until) {
    g_autoptr (GstMessage) message =
        gst_bus_timed_pop_filtered (bus, (GstClockTime) (until - now) * GST_USECOND,
                                    GST_MESSAGE_QOS | GST_MESSAGE_ERROR | GST_MESSAGE_EOS | GST_MESSAGE_LATENCY);
    if (!message)
      continue;
    if (GST_MESSAGE_TYPE (message) == GST_MESSAGE_ERROR) {
      g_autoptr (GError) error = NULL;
      g_autofree gchar *debug = NULL;
      gst_message_parse_error (message, &error, &debug);
      g_error ("%s (%s)", error->message, debug);
    }
    if (GST_MESSAGE_TYPE (message) == GST_MESSAGE_EOS)
      return TRUE;
    if (GST_MESSAGE_TYPE (message) == GST_MESSAGE_LATENCY)
      follow_latency (pipeline, told);
    else if (GST_MESSAGE_SRC (message) == GST_OBJECT (detect))
      note_qos (message, told);
  }
  return FALSE;
}

/* What happened since the last call. */
static Line
read_watch (Watch *watch, GstElement *detect, Told *told, gint64 *since)
{
  gint64 now = g_get_monotonic_time ();
  Line line = { .seconds = (gdouble) (now - *since) / G_USEC_PER_SEC, .rss_kib = resident_kib () };
  g_mutex_lock (&watch->lock);
  line.arrived = watch->arrived;
  line.shown = watch->shown;
  line.mean_ms = watch->arrived ? (gdouble) watch->sum / watch->arrived / GST_MSECOND : 0;
  line.entry_ms = watch->entered ? (gdouble) watch->entry_sum / watch->entered / GST_MSECOND : 0;
  line.worst_ms = (gdouble) watch->worst / GST_MSECOND;
  watch->entered = watch->arrived = watch->shown = 0;
  watch->entry_sum = watch->sum = watch->worst = 0;
  g_mutex_unlock (&watch->lock);
  line.latency_ms = get_latency_ms (watch->pipeline);
  line.detect_ms = (gdouble) get_stat (detect, "latency") / GST_MSECOND;
  line.inferred = get_stat (detect, "inferred") - watch->inferred;
  line.moved_ms = told->moved_ms;
  told->moved_ms = 0;
  watch->inferred += line.inferred;
  *since = now;
  return line;
}

static void
print_line (guint end, const Line *line)
{
  g_print ("# %3u s: %.2f frames a second arrive, %.2f are shown in time, %.2f are inferred; from the network to the "
           "detector %.0f ms, to the sink %.0f ms and at most %.0f ms; latency %.0f ms, of it the detector's %.0f ms; "
           "%" G_GSIZE_FORMAT " MiB\n",
           end, line->arrived / line->seconds, line->shown / line->seconds, (gdouble) line->inferred / line->seconds,
           line->entry_ms, line->mean_ms, line->worst_ms, line->latency_ms, line->detect_ms, line->rss_kib / 1024);
}

/*
 * Frames come to the sink when they are as old as the latency that is announced, and no later; where that has shrunk
 * lately, older ones are still on their way. The detector announces the slowest inference of late and a quarter more;
 * where two wait for each other, as before it knows that it is too slow, one takes twice as long; and what it has
 * announced stays until it is twice too much. So it is five times what the inferences of this line took in the mean,
 * and more where these differ.
 */
static void
check_line (const Line *line, const Line *before)
{
  gdouble latency_ms = MAX (line->latency_ms, before->latency_ms) + line->moved_ms + before->moved_ms;
  g_assert_cmpfloat (line->worst_ms, <, latency_ms + BUSY_MS);
  g_assert_cmpuint (line->inferred, >, 0);
  g_assert_cmpfloat (line->detect_ms, <, 5 * line->seconds * 1000 / (gdouble) line->inferred + BUSY_MS);
}

static void
test_slow_network (void)
{
  g_autofree gchar *slow = make_slow_model (photo_model);
  g_autoptr (GSubprocess) camera = NULL;
  g_autofree gchar *address = start_camera (&camera);
  g_autoptr (GError) error = NULL;
  /* rtspsrc waits 100 ms for packets that come late; its timestamps are the camera's, without the corrections of two
   * clocks that drift apart, of which there is one here. Late by up to 20 ms is in time, as for video sinks. */
  g_autofree gchar *text = g_strdup_printf (
      "rtspsrc location=%s latency=100 buffer-mode=none ! decodebin ! videoconvert ! deimdetect name=detect "
      "model=%s threshold=0.3 ! queue max-size-bytes=0 ! deimoverlay ! videoconvert ! fakesink name=sink sync=true "
      "qos=true max-lateness=20000000 signal-handoffs=true",
      address, slow);
  g_autoptr (GstElement) pipeline = gst_parse_launch (text, &error);
  g_assert_no_error (error);
  g_autoptr (GstElement) detect = gst_bin_get_by_name (GST_BIN (pipeline), "detect");
  g_autoptr (GstElement) sink = gst_bin_get_by_name (GST_BIN (pipeline), "sink");
  g_autoptr (GstPad) pad = gst_element_get_static_pad (sink, "sink");
  Watch watch = { .pipeline = pipeline, .first = GST_CLOCK_TIME_NONE, .last = GST_CLOCK_TIME_NONE };
  g_autoptr (GstPad) entry = gst_element_get_static_pad (detect, "sink");
  gst_pad_add_probe (entry, GST_PAD_PROBE_TYPE_BUFFER, on_entry, &watch, NULL);
  g_autoptr (GstPad) way_out = gst_element_get_static_pad (detect, "src");
  gst_pad_add_probe (way_out, GST_PAD_PROBE_TYPE_BUFFER, on_departure, &watch, NULL);
  gst_pad_add_probe (pad, GST_PAD_PROBE_TYPE_BUFFER, on_arrival, &watch, NULL);
  g_signal_connect (sink, "handoff", G_CALLBACK (on_shown), &watch);

  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  /* Connecting, the first key frame, compiling and finding out how slow the network is do not count. */
  Told told = { 0 };
  for (guint i = 0; i < 60 && get_stat (detect, "inferred") < 4; i++)
    g_assert_false (listen (pipeline, detect, 1, &told));
  gint64 since = g_get_monotonic_time ();
  told.moved_ms = 0;
  g_assert_false (listen (pipeline, detect, 2, &told));
  Line before = read_watch (&watch, detect, &told, &since);
  begin_window (&watch);
  guint lines = MAX (2, (guint) (minutes * 60 / LINE)), shown = 0;
  gdouble moved_ms = before.moved_ms;
  g_autofree Line *line = g_new0 (Line, lines);
  for (guint i = 0; i < lines; i++) {
    g_assert_false (listen (pipeline, detect, LINE, &told));
    line[i] = read_watch (&watch, detect, &told, &since);
    print_line ((i + 1) * LINE, &line[i]);
    check_line (&line[i], i > 0 ? &line[i - 1] : &before);
    shown += line[i].shown;
    moved_ms += line[i].moved_ms;
  }
  Window window = read_window (&watch);
  gst_element_send_event (pipeline, gst_event_new_eos ());
  g_assert_true (listen (pipeline, detect, 60, &told));
  guint64 frames = get_stat (detect, "frames"), all_inferred = get_stat (detect, "inferred");
  guint64 late = get_stat (detect, "skipped-late"), overload = get_stat (detect, "skipped-overload");
  g_print ("# %u frames left the detector, where the camera made %.2f; %u in time; the last is %.0f ms old. Since the "
           "start: "
           "%" G_GUINT64_FORMAT " frames, %" G_GUINT64_FORMAT " inferred, %" G_GUINT64_FORMAT
           " late, %" G_GUINT64_FORMAT " skipped in overload, %u QoS messages\n",
           window.left, window.expected, shown, window.lag_ms, frames, all_inferred, late, overload, told.messages);
  gst_element_set_state (pipeline, GST_STATE_NULL);
  g_subprocess_force_exit (camera);
  g_unlink (slow);

  /* Nothing is lost or held back, whatever the speed: what was skipped was counted and told. */
  g_assert_false (watch.disorder);
  g_assert_cmpuint (window.left, >, RATE * LINE * lines / 2);
  g_assert_cmpfloat_with_epsilon (window.left, window.expected, 0.5);
  g_assert_cmpuint (all_inferred, >, 0);
  g_assert_cmpuint (late + overload, >, 0);
  g_assert_cmpuint (all_inferred + late + overload, ==, frames);
  g_assert_cmpuint (told.messages, ==, late + overload);
  g_assert_cmpuint (told.dropped, ==, late + overload);
  /* In time, so that a viewer sees 25 frames a second. When the latency changes, the frames that were on their way are
   * late by the change at most, and as many as fit into it. */
  g_assert_cmpfloat ((gdouble) window.left - shown, <, 0.03 * window.left + RATE * moved_ms / 1000);
  g_assert_cmpfloat (window.lag_ms, <, line[lines - 1].latency_ms + line[lines - 1].moved_ms + BUSY_MS);
  /* Memory does not pile up. */
  if (lines > 6)
    g_assert_cmpuint (line[lines - 1].rss_kib, <, line[lines / 3].rss_kib + 16 * 1024);
}

int
main (int argc, char **argv)
{
  g_autofree gchar *model = NULL;
  GOptionEntry entries[] = {
    { "minutes", 0, 0, G_OPTION_ARG_DOUBLE, &minutes, "How long", "N" },
    { "model", 0, 0, G_OPTION_ARG_FILENAME, &model, "A checkpoint of DEIMv2 Atto", "FILE" },
    { NULL, 0, 0, 0, NULL, NULL, NULL },
  };
  g_autoptr (GError) error = NULL;
  g_autoptr (GOptionContext) options = g_option_context_new (NULL);
  g_option_context_add_main_entries (options, entries, NULL);
  g_option_context_set_ignore_unknown_options (options, TRUE);
  if (!g_option_context_parse (options, &argc, &argv, &error)) {
    g_printerr ("test-rtsp: %s\n", error->message);
    return 2;
  }
  init_element_tests (&argc, &argv);
  photo_model = g_steal_pointer (&model);
  if (!photo_model) {
    const gchar *shared = g_getenv ("DEIM_SHARED");
    photo_model = g_build_filename (shared ? shared : DEIM_SOURCE_ROOT "/../shared",
                                    "real/deimv2_hgnetv2_atto_coco.safetensors", NULL);
  }
  if (!g_file_test (photo_model, G_FILE_TEST_EXISTS)) {
    g_print ("1..0 # SKIP the shared folder is not here (DEIM_SHARED), and no --model was given\n");
    return 0;
  }
  g_test_add_func ("/rtsp/slow-network", test_slow_network);
  int result = run_element_tests ();
  g_free (photo_model);
  return result;
}
