/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * bench.c - `deim bench`: how long a frame takes, and where. Latency,
 * throughput and CPU time are taken without timestamps on the device, which
 * can keep dispatches from overlapping; the profile has a detector of its own.
 */
#include "trainer/feed.h"
#include "json.h"
#include "measure.h"
#include "progress.h"
#include "roofline.h"
#include "start.h"
#include "tool.h"

#include <gst/video/video.h>
#include <stdio.h>
#include <sys/resource.h>

typedef struct {
  gchar *size, *frame_size, *format, *roofline;
  gint frames, warmup, in_flight;
  gboolean json, ops, start, first_frame;
} BenchOptions;

typedef struct {
  DeimFrame frame;
  guint8 *pixels;
  guint height, width; /* of the network */
  guint in_flight;
  gchar *arch, *device;
  const gchar *precision;
  DeimStart start; /* zeros: not measured */
  DeimDetectorStats stats;
  DeimSpread latency;
  gdouble throughput;    /* frames a second */
  gdouble cpu_ms;        /* per frame, all threads of the process */
  gdouble host_ms;       /* per frame, the thread that submits and collects */
  DeimDevicePeaks peaks; /* zeros: not measured */
  DeimProfile *profile;
} Bench;

static void
clear_options (BenchOptions *options)
{
  g_free (options->size);
  g_free (options->frame_size);
  g_free (options->format);
  g_free (options->roofline);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (BenchOptions, clear_options)

static void
clear_bench (Bench *bench)
{
  g_free (bench->pixels);
  g_free (bench->arch);
  g_free (bench->device);
  deim_profile_free (bench->profile);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Bench, clear_bench)

/* Noise of a fixed seed: no shortcut of a device or an encoder of zeros helps with it. */
static gboolean
make_frame (Bench *bench, const gchar *format, guint height, guint width)
{
  GstVideoFormat layout = gst_video_format_from_string (format);
  GstVideoInfo info;

  if (deim_format_from_name (format) == DEIM_FORMAT_INVALID || layout == GST_VIDEO_FORMAT_UNKNOWN ||
      !gst_video_info_set_format (&info, layout, width, height))
    return FALSE;
  g_autoptr (GRand) random = g_rand_new_with_seed (1);
  bench->pixels = g_malloc (info.size);
  for (gsize i = 0; i < info.size; i++)
    bench->pixels[i] = (guint8) (g_rand_int (random) >> 24);
  bench->frame = (DeimFrame){ .format = deim_format_from_name (format), .width = width, .height = height };
  for (guint i = 0; i < GST_VIDEO_INFO_N_PLANES (&info); i++) {
    bench->frame.data[i] = bench->pixels + GST_VIDEO_INFO_PLANE_OFFSET (&info, i);
    bench->frame.stride[i] = (guint) GST_VIDEO_INFO_PLANE_STRIDE (&info, i);
  }
  return TRUE;
}

static gdouble
cpu_time_ms (int who)
{
  struct rusage usage;

  getrusage (who, &usage);
  return (gdouble) (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e3 +
         (gdouble) (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e3;
}

static gboolean
run_frame (Bench *bench, DeimDetector *detector, GError **error)
{
  guint64 ticket;

  if (!deim_detector_submit (detector, &bench->frame, &ticket, error))
    return FALSE;
  g_autoptr (GArray) detections = deim_detector_collect (detector, ticket, error);
  return detections != NULL;
}

static gboolean
warm_up (Bench *bench, DeimDetector *detector, guint n, GError **error)
{
  for (guint i = 0; i < n; i++) {
    deim_progress_update ("warming up, frame %u of %u", i + 1, n);
    if (!run_frame (bench, detector, error))
      return FALSE;
  }
  return TRUE;
}

/* One frame at a time: from handing it over to holding its detections. */
static gboolean
measure_latency (Bench *bench, DeimDetector *detector, guint n, GError **error)
{
  g_autoptr (GArray) samples = g_array_new (FALSE, FALSE, sizeof (gdouble));
  gdouble cpu = cpu_time_ms (RUSAGE_SELF), host = cpu_time_ms (RUSAGE_THREAD);

  for (guint i = 0; i < n; i++) {
    gint64 start = g_get_monotonic_time ();
    if (!run_frame (bench, detector, error))
      return FALSE;
    gdouble ms = (gdouble) (g_get_monotonic_time () - start) / 1e3;
    g_array_append_val (samples, ms);
    deim_progress_update ("latency, frame %u of %u: %.2f ms", i + 1, n, ms);
  }
  bench->cpu_ms = (cpu_time_ms (RUSAGE_SELF) - cpu) / n;
  bench->host_ms = (cpu_time_ms (RUSAGE_THREAD) - host) / n;
  bench->latency = deim_spread (samples);
  return TRUE;
}

static gboolean
ignore_result (gpointer item, GArray *detections, gpointer user_data, GError **error)
{
  return TRUE;
}

/* As many frames as possible under way. */
static gboolean
measure_throughput (Bench *bench, DeimDetector *detector, guint n, GError **error)
{
  g_autoptr (DeimFeed) feed = deim_feed_new (detector, ignore_result, NULL, NULL);
  gint64 start = g_get_monotonic_time ();

  for (guint i = 0; i < n; i++) {
    deim_progress_update ("throughput, frame %u of %u", i + 1, n);
    if (!deim_feed_push (feed, &bench->frame, NULL, error))
      return FALSE;
  }
  if (!deim_feed_flush (feed, error))
    return FALSE;
  bench->throughput = n / ((gdouble) MAX (g_get_monotonic_time () - start, 1) / 1e6);
  return TRUE;
}

static gboolean
measure_profile (Bench *bench, DeimDetector *detector, guint n, GError **error)
{
  bench->profile = deim_profile_new ();
  for (guint i = 0; i < n; i++) {
    deim_progress_update ("profile, frame %u of %u", i + 1, n);
    if (!run_frame (bench, detector, error))
      return FALSE;
    g_autoptr (GArray) entries = deim_detector_get_profile (detector);
    deim_profile_add_frame (bench->profile, entries);
  }
  return TRUE;
}

static gboolean
measure (Bench *bench, DeimModel *model, DeimDevice *device, DeimDetectorOptions settings, guint frames, guint warmup,
         GError **error)
{
  deim_progress_update ("preparing %s for %s", bench->arch, bench->device);
  g_autoptr (DeimDetector) plain = deim_detector_new (model, device, &settings, error);
  if (!plain)
    return FALSE;
  bench->in_flight = deim_detector_get_in_flight (plain);
  deim_detector_get_stats (plain, &bench->stats);
  if (!warm_up (bench, plain, warmup, error) || !measure_latency (bench, plain, frames, error) ||
      !measure_throughput (bench, plain, frames, error))
    return FALSE;
  g_clear_pointer (&plain, deim_detector_unref);

  settings.timestamps = TRUE;
  g_autoptr (DeimDetector) timed = deim_detector_new (model, device, &settings, error);
  return timed && warm_up (bench, timed, warmup, error) && measure_profile (bench, timed, frames, error);
}

static void
print_text (const Bench *bench, guint frames, gboolean ops)
{
  DeimSpread device = deim_spread (bench->profile->totals);

  printf ("Model       %s, input %u x %u (height x width), precision %s\n", bench->arch, bench->height, bench->width,
          bench->precision);
  printf ("Device      %s\n", bench->device);
  printf ("Frame       %s %u x %u (height x width), noise\n", deim_format_to_name (bench->frame.format),
          bench->frame.height, bench->frame.width);
  printf ("Set-up      %.0f ms\n", bench->stats.setup_ms);
  if (bench->start.cold_ms > 0)
    printf ("Start       cold %.0f ms, warm %.0f ms, from opening the device to the first detections\n",
            bench->start.cold_ms, bench->start.warm_ms);
  printf ("Network     %u dispatches a frame, arena %.2f MB per frame in flight, weights %.2f MB\n",
          bench->stats.dispatches, (gdouble) bench->stats.arena_bytes / 1e6, (gdouble) bench->stats.weight_bytes / 1e6);
  printf ("Latency     median %.2f ms (p10 %.2f, p90 %.2f, min %.2f, max %.2f) of %u frames, one at a time\n",
          bench->latency.median, bench->latency.p10, bench->latency.p90, bench->latency.min, bench->latency.max,
          frames);
  printf ("Throughput  %.2f frames a second with %u in flight\n", bench->throughput, bench->in_flight);
  printf ("CPU         %.2f ms a frame in all threads (a CPU device included), %.3f ms in the calling one\n",
          bench->cpu_ms, bench->host_ms);
  if (bench->profile->dispatches->len == 0) {
    printf ("\nNo profile: the device measures no time.\n");
    return;
  }
  if (bench->peaks.gflops > 0)
    printf ("Peaks       %.1f GFLOP/s on registers, %.1f GB/s copying memory\n", bench->peaks.gflops,
            bench->peaks.gbytes);
  printf ("On device   median %.2f ms (p10 %.2f, p90 %.2f) with timestamps\n", device.median, device.p10, device.p90);
  deim_groups_print ("Stage", bench->profile->stages, device.median);
  deim_groups_print ("Op kind", bench->profile->kinds, device.median);
  if (ops)
    deim_groups_print ("Dispatch", bench->profile->dispatches, device.median);
}

static void
add_groups (JsonBuilder *builder, const gchar *name, const GPtrArray *groups)
{
  json_builder_set_member_name (builder, name);
  json_builder_begin_array (builder);
  for (guint i = 0; i < groups->len; i++) {
    const DeimGroup *group = groups->pdata[i];
    DeimSpread spread = deim_spread (group->samples);
    json_builder_begin_object (builder);
    deim_json_add_string (builder, "name", group->name);
    deim_spread_add_json (builder, "ms", &spread);
    deim_json_add_int (builder, "dispatches", group->dispatches);
    deim_json_add_number (builder, "gflop", group->gflop);
    deim_json_add_number (builder, "gbyte", group->gbyte);
    json_builder_end_object (builder);
  }
  json_builder_end_array (builder);
}

static void
print_json (const Bench *bench, guint frames, gboolean ops)
{
  g_autoptr (JsonBuilder) builder = json_builder_new ();
  DeimSpread device = deim_spread (bench->profile->totals);

  json_builder_begin_object (builder);
  deim_json_add_string (builder, "model", bench->arch);
  deim_json_add_string (builder, "device", bench->device);
  deim_json_add_string (builder, "precision", bench->precision);
  deim_json_add_int (builder, "height", bench->height);
  deim_json_add_int (builder, "width", bench->width);
  deim_json_add_string (builder, "frame_format", deim_format_to_name (bench->frame.format));
  deim_json_add_int (builder, "frame_height", bench->frame.height);
  deim_json_add_int (builder, "frame_width", bench->frame.width);
  deim_json_add_int (builder, "frames", frames);
  deim_json_add_number (builder, "setup_ms", bench->stats.setup_ms);
  if (bench->start.cold_ms > 0) {
    deim_json_add_number (builder, "start_cold_ms", bench->start.cold_ms);
    deim_json_add_number (builder, "start_warm_ms", bench->start.warm_ms);
  }
  deim_json_add_int (builder, "dispatches", bench->stats.dispatches);
  deim_json_add_int (builder, "arena_bytes", (gint64) bench->stats.arena_bytes);
  deim_json_add_int (builder, "weight_bytes", (gint64) bench->stats.weight_bytes);
  deim_spread_add_json (builder, "latency_ms", &bench->latency);
  deim_json_add_number (builder, "frames_per_second", bench->throughput);
  deim_json_add_int (builder, "in_flight", bench->in_flight);
  deim_json_add_number (builder, "cpu_ms", bench->cpu_ms);
  deim_json_add_number (builder, "host_ms", bench->host_ms);
  deim_spread_add_json (builder, "device_ms", &device);
  if (bench->peaks.gflops > 0) {
    deim_json_add_number (builder, "peak_gflops", bench->peaks.gflops);
    deim_json_add_number (builder, "peak_gbytes", bench->peaks.gbytes);
  }
  add_groups (builder, "stages", bench->profile->stages);
  add_groups (builder, "op_kinds", bench->profile->kinds);
  if (ops)
    add_groups (builder, "ops", bench->profile->dispatches);
  json_builder_end_object (builder);
  g_autofree gchar *text = deim_json_builder_text (builder);
  puts (text);
}

/* The picture of the profile, with the device's peaks measured now. */
static gboolean
draw_roofline (Bench *bench, DeimDevice *device, const gchar *path, GError **error)
{
  if (bench->profile->dispatches->len == 0) {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_UNSUPPORTED,
                 "no roofline can be drawn: %s measures no time of a dispatch", bench->device);
    return FALSE;
  }
  deim_progress_update ("measuring what %s can do", bench->device);
  g_autofree gchar *title =
      g_strdup_printf ("%s, %u x %u, on %s", bench->arch, bench->height, bench->width, bench->device);
  return deim_device_measure_peaks (device, &bench->peaks, error) &&
         deim_roofline_write (path, title, bench->profile, &bench->peaks, error);
}

/* What a child of deim_start_measure() does. */
static int
print_first_frame (Bench *bench, DeimModel *model, const DeimToolOptions *shared, const DeimDetectorOptions *settings)
{
  g_autoptr (GError) error = NULL;
  gint64 start = g_get_monotonic_time ();
  g_autoptr (DeimDevice) device = deim_device_open (shared->device, &error);
  g_autoptr (DeimDetector) detector = device ? deim_detector_new (model, device, settings, &error) : NULL;

  if (!detector || !run_frame (bench, detector, &error))
    return deim_tool_fail ("%s", error->message);
  printf ("%.3f\n", (gdouble) (g_get_monotonic_time () - start) / 1e3);
  return DEIM_EXIT_OK;
}

static int
bench_model (const BenchOptions *options, const DeimToolOptions *shared, const gchar *path, gchar **argv)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (DeimModel) model = deim_tool_load_model (path, shared, &error);
  g_auto (Bench) bench = { .precision = shared->precision_name ? shared->precision_name : "auto" };

  if (!model)
    return deim_tool_fail ("%s", error->message);
  const DeimModelInfo *info = deim_model_get_info (model);
  bench.arch = g_strdup (info->arch);
  bench.height = info->input_height;
  bench.width = info->input_width;
  if (options->size && !deim_tool_parse_size (options->size, &bench.height, &bench.width))
    return deim_tool_misuse ("--size \"%s\" is not height x width; write 640x640", options->size);
  guint height = bench.height, width = bench.width;
  if (options->frame_size && !deim_tool_parse_size (options->frame_size, &height, &width))
    return deim_tool_misuse ("--frame \"%s\" is not height x width; write 1080x1920", options->frame_size);
  const gchar *format = options->format ? options->format : "RGB";
  if (!make_frame (&bench, format, height, width))
    return deim_tool_misuse ("unknown pixel format \"%s\"; use RGB, NV12, I420 or another one of GStreamer's", format);

  DeimDetectorOptions settings = {
    .in_flight = (guint) options->in_flight,
    .height = bench.height,
    .width = bench.width,
    .precision = shared->precision,
  };
  if (options->first_frame)
    return print_first_frame (&bench, model, shared, &settings);
  if (options->start) {
    deim_progress_update ("starting cold, then warm");
    if (!deim_start_measure ((const gchar *const *) argv, &bench.start, &error))
      return deim_tool_fail ("%s", error->message);
  }
  g_autoptr (DeimDevice) device = deim_device_open (shared->device, &error);
  if (!device)
    return deim_tool_fail ("%s", error->message);
  bench.device = g_strdup (deim_device_get_name (device));
  gboolean ok = measure (&bench, model, device, settings, (guint) options->frames, (guint) options->warmup, &error) &&
                (!options->roofline || draw_roofline (&bench, device, options->roofline, &error));
  deim_progress_clear ();
  if (!ok)
    return deim_tool_fail ("%s", error->message);
  if (options->json)
    print_json (&bench, (guint) options->frames, options->ops);
  else
    print_text (&bench, (guint) options->frames, options->ops);
  return DEIM_EXIT_OK;
}

static int
run (gchar **argv)
{
  g_auto (DeimToolOptions) shared = { 0 };
  g_auto (BenchOptions) options = { .frames = 50, .warmup = 5, .in_flight = 2 };
  const GOptionEntry entries[] = {
    { "size", 0, 0, G_OPTION_ARG_STRING, &options.size,
      "Input of the network, multiples of 32 (default: the model's own)", "HxW" },
    { "frame", 0, 0, G_OPTION_ARG_STRING, &options.frame_size, "Size of the frames (default: as the input)", "HxW" },
    { "format", 0, 0, G_OPTION_ARG_STRING, &options.format, "Pixel format of the frames (default: RGB)", "NAME" },
    { "frames", 'n', 0, G_OPTION_ARG_INT, &options.frames, "Frames to measure (default: 50)", "N" },
    { "warmup", 0, 0, G_OPTION_ARG_INT, &options.warmup, "Frames before that (default: 5)", "N" },
    { "in-flight", 0, 0, G_OPTION_ARG_INT, &options.in_flight, "Frames under way for the throughput (default: 2)",
      "N" },
    { "ops", 0, 0, G_OPTION_ARG_NONE, &options.ops, "List every dispatch", NULL },
    { "roofline", 0, 0, G_OPTION_ARG_FILENAME, &options.roofline,
      "Draw every dispatch under the roof of the device's measured peaks", "FILE.svg" },
    { "start", 0, 0, G_OPTION_ARG_NONE, &options.start,
      "Measure a start with empty caches and one with full ones, too, the driver's included", NULL },
    { &DEIM_START_ARGUMENT[2], 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_NONE, &options.first_frame, NULL, NULL },
    { "json", 0, 0, G_OPTION_ARG_NONE, &options.json, "Print everything as one line of JSON", NULL },
    { NULL },
  };
  g_auto (GStrv) arguments = NULL;

  if (!deim_tool_parse (&deim_tool_bench, entries, &shared, argv, &arguments))
    return DEIM_EXIT_USAGE;
  if (g_strv_length (arguments) != 1)
    return deim_tool_misuse ("give one MODEL");
  if (options.frames < 1 || options.frames > 1000000 || options.warmup < 0 || options.warmup > 1000000)
    return deim_tool_misuse ("--frames must be 1 to 1000000, --warmup 0 to 1000000");
  if (options.in_flight < 1 || options.in_flight > 16)
    return deim_tool_misuse ("--in-flight must be 1 to 16");
  return bench_model (&options, &shared, arguments[0], argv);
}

const DeimTool deim_tool_bench = {
  .name = "bench",
  .arguments = "MODEL",
  .summary = "Measure the time per frame, per stage and per kind of operation",
  .details = "A frame of noise goes through the whole path: upload, conversion and resize, network, top-k, readback.\n"
             "All times in milliseconds; p10 and p90 have a tenth of the frames below and above. Latency is from\n"
             "handing over a frame to holding its detections with nothing else under way. CPU time counts user and\n"
             "system time of all threads of the process, which on a CPU device (lavapipe) includes the device.\n"
             "Stages and kinds are measured on the device, in frames of their own, with timestamps. GB/s count every\n"
             "operand and result of a dispatch whole and once. A start is from opening the device to the first\n"
             "detections, in a process of its own.\n",
  .run = run,
};
