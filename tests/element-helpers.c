/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* element-helpers.c - see element-helpers.h. */
#include "element-helpers.h"

#include <string.h>

#define FRAME_TIME (GST_SECOND / 25)

void
init_element_tests (int *argc, char ***argv)
{
  g_setenv ("GST_TRACERS", "leaks(log-leaks-on-deinit=false)", FALSE);
  g_setenv ("GST_REGISTRY", DEIM_BUILD_ROOT "/test-registry.bin", FALSE);
  gst_init (argc, argv);
  g_test_init (argc, argv, NULL);
}

/* Plugins and factories belong to the registry, and so do the caps of type finders once somebody has used these. */
static gboolean
is_leak (GType type, gboolean with_finders)
{
  return !g_type_is_a (type, GST_TYPE_PLUGIN) && !g_type_is_a (type, GST_TYPE_PLUGIN_FEATURE) &&
         !(with_finders && type == GST_TYPE_CAPS);
}

static guint
list_leaks (const GValue *list, gboolean print)
{
  gboolean with_finders = FALSE;
  guint leaks = 0;
  for (guint round = 0; round < 2; round++)
    for (guint i = 0; i < gst_value_list_get_size (list); i++) {
      const GstStructure *entry = gst_value_get_structure (gst_value_list_get_value (list, i));
      GType type = G_VALUE_TYPE (gst_structure_get_value (entry, "object"));
      with_finders |= g_type_is_a (type, GST_TYPE_TYPE_FIND_FACTORY);
      if (round == 0 || !is_leak (type, with_finders))
        continue;
      leaks++;
      if (!print)
        continue;
      g_autofree gchar *text = gst_structure_to_string (entry); /* of buffers with all of their bytes */
      g_printerr ("# left over: %.200s\n", text);
    }
  return leaks;
}

/* What the leaks tracer still holds; it must be there, else this would check nothing. */
static guint
count_leaks (gboolean print)
{
  guint leaks = 0;
  gboolean traced = FALSE;
  /* A streaming thread that has just been joined may still hold its task: wait for the threads themselves. */
  gst_task_cleanup_all ();
  GList *tracers = gst_tracing_get_active_tracers ();
  for (GList *item = tracers; item; item = item->next) {
    if (g_strcmp0 (G_OBJECT_TYPE_NAME (item->data), "GstLeaksTracer") != 0)
      continue;
    traced = TRUE;
    static GSList *infos; /* never freed: they hold the objects without a reference and would give one back */
    GstStructure *info = NULL;
    g_signal_emit_by_name (item->data, "get-live-objects", &info);
    infos = g_slist_prepend (infos, info);
    leaks = list_leaks (gst_structure_get_value (info, "live-objects-list"), print);
  }
  g_list_free_full (tracers, gst_object_unref);
  g_assert_true (traced);
  return leaks;
}

static guint before, forgiven;

void
begin_foreign_leaks (void)
{
  before = count_leaks (FALSE);
}

void
end_foreign_leaks (void)
{
  forgiven += MAX (count_leaks (FALSE), before) - before;
}

int
run_element_tests (void)
{
  int result = g_test_run ();
  if (count_leaks (FALSE) <= forgiven)
    return result;
  count_leaks (TRUE);
  g_printerr ("Bail out! objects are left over\n");
  return 1;
}

/* GstHarness itself says that it is live. */
static GstPadProbeReturn
answer_latency (GstPad *pad, GstPadProbeInfo *info, gpointer unused)
{
  GstQuery *query = GST_PAD_PROBE_INFO_QUERY (info);
  if (GST_QUERY_TYPE (query) != GST_QUERY_LATENCY)
    return GST_PAD_PROBE_OK;
  gst_query_set_latency (query, FALSE, 0, GST_CLOCK_TIME_NONE);
  return GST_PAD_PROBE_HANDLED;
}

static GstHarness *
make_harness (const gchar *launch)
{
  g_autoptr (GError) error = NULL;
  GstElement *element = gst_parse_launch (launch, &error);
  g_assert_no_error (error);
  gst_object_ref_sink (element);
  g_autoptr (GstBus) bus = gst_bus_new ();
  gst_element_set_bus (element, bus);
  GstHarness *harness = gst_harness_new_with_element (element, "sink", "src");
  gst_object_unref (element);
  return harness;
}

GstHarness *
setup_harness (const gchar *launch, const gchar *caps)
{
  GstHarness *harness = make_harness (launch);
  gst_pad_add_probe (harness->srcpad, GST_PAD_PROBE_TYPE_QUERY_UPSTREAM, answer_latency, NULL, NULL);
  if (caps)
    gst_harness_set_src_caps_str (harness, caps);
  return harness;
}

GstHarness *
setup_live_harness (const gchar *launch, const gchar *caps, GstClockTime latency)
{
  GstHarness *harness = make_harness (launch);
  gst_harness_set_upstream_latency (harness, latency);
  if (caps)
    gst_harness_set_src_caps_str (harness, caps);
  return harness;
}

void
teardown_harness (GstHarness *harness)
{
  gst_element_set_bus (harness->element, NULL);
  gst_harness_teardown (harness);
}

GstBuffer *
make_frame (const gchar *caps_text, guint number)
{
  g_autoptr (GstCaps) caps = gst_caps_from_string (caps_text);
  GstVideoInfo info;
  g_assert_true (gst_video_info_from_caps (&info, caps));
  GstBuffer *buffer = gst_buffer_new_allocate (NULL, GST_VIDEO_INFO_SIZE (&info), NULL);
  gst_buffer_memset (buffer, 0, (guint8) number, GST_VIDEO_INFO_SIZE (&info));
  GST_BUFFER_PTS (buffer) = number * FRAME_TIME;
  GST_BUFFER_DURATION (buffer) = FRAME_TIME;
  GST_BUFFER_OFFSET (buffer) = number;
  return buffer;
}

void
push_frames (GstHarness *harness, const gchar *caps, guint first, guint count)
{
  for (guint i = first; i < first + count; i++)
    g_assert_cmpint (gst_harness_push (harness, make_frame (caps, i)), ==, GST_FLOW_OK);
}

GstBuffer *
pull_frame (GstHarness *harness, guint number)
{
  GstBuffer *buffer = gst_harness_pull (harness);
  g_assert_nonnull (buffer);
  g_assert_cmpuint (GST_BUFFER_OFFSET (buffer), ==, number);
  g_assert_cmpuint (GST_BUFFER_PTS (buffer), ==, number * FRAME_TIME);
  g_assert_cmpuint (GST_BUFFER_DURATION (buffer), ==, FRAME_TIME);
  return buffer;
}

GstMessage *
pop_message (GstHarness *harness, GstMessageType type)
{
  g_autoptr (GstBus) bus = gst_element_get_bus (harness->element);
  return gst_bus_pop_filtered (bus, type);
}

void
assert_one_error (GstHarness *harness, GQuark domain, gint code, const gchar *words)
{
  g_autoptr (GstMessage) message = pop_message (harness, GST_MESSAGE_ERROR);
  g_assert_nonnull (message);
  g_autoptr (GError) error = NULL;
  g_autofree gchar *debug = NULL;
  gst_message_parse_error (message, &error, &debug);
  g_test_message ("%s | %s", error->message, debug);
  g_assert_error (error, domain, code);
  g_assert_nonnull (strstr (error->message, words));
  g_assert_nonnull (debug);
  g_autoptr (GstMessage) second = pop_message (harness, GST_MESSAGE_ERROR);
  g_assert_null (second);
}

guint
count_regions (GstBuffer *buffer)
{
  gpointer state = NULL;
  guint count = 0;
  while (gst_buffer_iterate_meta_filtered (buffer, &state, GST_VIDEO_REGION_OF_INTEREST_META_API_TYPE))
    count++;
  return count;
}

GstVideoRegionOfInterestMeta *
get_region (GstBuffer *buffer, const gchar *label)
{
  gpointer state = NULL;
  GstMeta *meta;
  while ((meta = gst_buffer_iterate_meta_filtered (buffer, &state, GST_VIDEO_REGION_OF_INTEREST_META_API_TYPE))) {
    GstVideoRegionOfInterestMeta *roi = (GstVideoRegionOfInterestMeta *) meta;
    if (g_strcmp0 (g_quark_to_string (roi->roi_type), label) == 0)
      return roi;
  }
  g_error ("no region \"%s\"", label);
}

GstStructure *
get_frame_mark (GstBuffer *buffer)
{
  GstCustomMeta *meta = gst_buffer_get_custom_meta (buffer, "DeimFrameMeta");
  return meta ? gst_custom_meta_get_structure (meta) : NULL;
}

gboolean
was_inferred (GstBuffer *buffer)
{
  GstStructure *mark = get_frame_mark (buffer);
  gboolean inferred = FALSE;
  g_assert_nonnull (mark);
  g_assert_true (gst_structure_get_boolean (mark, "inferred", &inferred));
  g_assert_true (inferred == !gst_structure_has_field (mark, "skipped"));
  return inferred;
}

guint64
get_stat (GstElement *element, const gchar *field)
{
  g_autoptr (GstStructure) stats = NULL;
  guint64 value = 0;
  g_object_get (element, "stats", &stats, NULL);
  g_assert_true (gst_structure_get_uint64 (stats, field, &value));
  return value;
}
