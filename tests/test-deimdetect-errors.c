/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-deimdetect-errors.c - what goes wrong in deimdetect is one message, in the domain and code that GStreamer has
 * for it, whose text names cause and mend; and nothing is left behind. Runs on fake-deim.c; test-element-errors.c has
 * what the real engine says.
 */
#include <glib/gstdio.h>
#include <string.h>

#include "element-helpers.h"
#include "fake-deim.h"

GST_PLUGIN_STATIC_DECLARE (deim);

static gchar *model; /* a fake one of 5 classes */

/* One more element, that takes @path. */
static GstHarness *
add_element (const gchar *path, const gchar *properties)
{
  g_autofree gchar *launch = g_strdup_printf ("deimdetect model=%s %s", path, properties);
  return setup_harness (launch, RGB_CAPS);
}

static GstHarness *
setup (const gchar *properties)
{
  fake_deim_reset ();
  return add_element (model, properties);
}

static void
teardown (GstHarness *harness)
{
  fake_deim_set_gate (TRUE);
  teardown_harness (harness);
  g_assert_cmpuint (fake_deim_get_counts ().live, ==, 0);
}

static void
drop_outputs (GstHarness *harness)
{
  GstBuffer *buffer;
  while ((buffer = gst_harness_try_pull (harness)))
    gst_buffer_unref (buffer);
}

typedef struct {
  const gchar *properties; /* %s: the model */
  GQuark (*domain) (void);
  gint code;
  const gchar *words;
} StartError;

static void
test_start_error (gconstpointer data)
{
  const StartError *expected = data;
  fake_deim_reset ();
  GstElement *element = gst_object_ref_sink (gst_element_factory_make ("deimdetect", NULL));
  g_autoptr (GstBus) bus = gst_bus_new ();
  gst_element_set_bus (element, bus);
  GstHarness view = { .element = element };
  g_object_set (element, "model", model, NULL);
  g_auto (GStrv) settings = g_strsplit (expected->properties, ";", -1);
  for (guint i = 0; settings[i] && settings[i + 1]; i += 2)
    gst_util_set_object_arg (G_OBJECT (element), settings[i], settings[i + 1]);

  /* Twice: what failed may not leave anything behind that changes the second answer. */
  for (guint round = 0; round < 2; round++) {
    g_assert_cmpint (gst_element_set_state (element, GST_STATE_PAUSED), ==, GST_STATE_CHANGE_FAILURE);
    assert_one_error (&view, expected->domain (), expected->code, expected->words);
    g_assert_cmpint (gst_element_set_state (element, GST_STATE_NULL), ==, GST_STATE_CHANGE_SUCCESS);
    g_assert_cmpuint (fake_deim_get_counts ().live, ==, 0);
  }
  /* And it starts once the cause is gone. */
  g_object_set (element, "model", model, "device", NULL, "classes", NULL, "class-thresholds", NULL, "region", NULL,
                "labels-file", NULL, NULL);
  g_assert_cmpint (gst_element_set_state (element, GST_STATE_PAUSED), !=, GST_STATE_CHANGE_FAILURE);
  gst_element_set_state (element, GST_STATE_NULL);
  gst_element_set_bus (element, NULL);
  gst_object_unref (element);
}

static const StartError start_errors[] = {
  { "model;", gst_resource_error_quark, GST_RESOURCE_ERROR_SETTINGS, "\"model\" is empty" },
  { "model;/does/not/exist", gst_resource_error_quark, GST_RESOURCE_ERROR_NOT_FOUND, "/does/not/exist" },
  { "model;/", gst_resource_error_quark, GST_RESOURCE_ERROR_OPEN_READ, "" },
  { "model;/proc/self/cmdline", gst_stream_error_quark, GST_STREAM_ERROR_WRONG_TYPE, "not a checkpoint" },
  { "device;none", gst_resource_error_quark, GST_RESOURCE_ERROR_NOT_FOUND, "none" },
  { "labels-file;/proc/self/maps", gst_resource_error_quark, GST_RESOURCE_ERROR_SETTINGS, "5 classes" },
  { "classes;class 1,unicorn", gst_resource_error_quark, GST_RESOURCE_ERROR_SETTINGS, "\"unicorn\"" },
  { "classes;5", gst_resource_error_quark, GST_RESOURCE_ERROR_SETTINGS, "0 to 4" },
  { "class-thresholds;class 1:1.5", gst_resource_error_quark, GST_RESOURCE_ERROR_SETTINGS, "class 1:1.5" },
  { "class-thresholds;class 1", gst_resource_error_quark, GST_RESOURCE_ERROR_SETTINGS, "class:score" },
  { "class-thresholds;unicorn:0.5", gst_resource_error_quark, GST_RESOURCE_ERROR_SETTINGS, "\"unicorn\"" },
  { "region;1,2,3", gst_resource_error_quark, GST_RESOURCE_ERROR_SETTINGS, "x,y,w,h" },
  { "classes;5;region;1,2", gst_resource_error_quark, GST_RESOURCE_ERROR_SETTINGS, "region: \"1,2\"" },
  { "region;1,2,3,-4", gst_resource_error_quark, GST_RESOURCE_ERROR_SETTINGS, "x,y,w,h" },
};

/* Without a model the default one is taken, and the user is told; not one who asks for it. */
static void
test_default_model (void)
{
  GstElement *element = gst_object_ref_sink (gst_element_factory_make ("deimdetect", NULL));
  g_autoptr (GstBus) bus = gst_bus_new ();
  gst_element_set_bus (element, bus);
  for (guint round = 0; round < 2; round++) {
    if (round)
      g_object_set (element, "model", "default", NULL);
    g_assert_cmpint (gst_element_set_state (element, GST_STATE_PAUSED), !=, GST_STATE_CHANGE_FAILURE);
    gst_element_set_state (element, GST_STATE_NULL);
    g_autoptr (GstMessage) message = gst_bus_pop_filtered (bus, GST_MESSAGE_WARNING | GST_MESSAGE_ERROR);
    g_assert_cmpint (message != NULL, ==, round == 0);
    if (!message)
      continue;
    g_autoptr (GError) warning = NULL;
    gst_message_parse_warning (message, &warning, NULL);
    g_assert_error (warning, GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_SETTINGS);
    g_assert_nonnull (strstr (warning->message, "class 0, class 1, class 2, class 3, class 4, class 5"));
  }
  gst_element_set_bus (element, NULL);
  gst_object_unref (element);
}

/* What each kind of failure is called on the bus. */
static const struct {
  DeimError engine;
  GQuark (*domain) (void);
  gint code;
} bus_errors[] = {
  { DEIM_ERROR_NOT_FOUND, gst_resource_error_quark, GST_RESOURCE_ERROR_NOT_FOUND },
  { DEIM_ERROR_READ, gst_resource_error_quark, GST_RESOURCE_ERROR_OPEN_READ },
  { DEIM_ERROR_WRITE, gst_resource_error_quark, GST_RESOURCE_ERROR_OPEN_WRITE },
  { DEIM_ERROR_FORMAT, gst_stream_error_quark, GST_STREAM_ERROR_WRONG_TYPE },
  { DEIM_ERROR_ARCHITECTURE, gst_stream_error_quark, GST_STREAM_ERROR_WRONG_TYPE },
  { DEIM_ERROR_SETTINGS, gst_resource_error_quark, GST_RESOURCE_ERROR_SETTINGS },
  { DEIM_ERROR_NO_DEVICE, gst_resource_error_quark, GST_RESOURCE_ERROR_NOT_FOUND },
  { DEIM_ERROR_DEVICE, gst_library_error_quark, GST_LIBRARY_ERROR_FAILED },
  { DEIM_ERROR_DEVICE_LOST, gst_resource_error_quark, GST_RESOURCE_ERROR_FAILED },
  { DEIM_ERROR_MEMORY, gst_resource_error_quark, GST_RESOURCE_ERROR_NO_SPACE_LEFT },
  { DEIM_ERROR_BUSY, gst_resource_error_quark, GST_RESOURCE_ERROR_BUSY },
  { DEIM_ERROR_UNSUPPORTED, gst_resource_error_quark, GST_RESOURCE_ERROR_SETTINGS },
};

/* An element that cannot start: one message, and nothing left behind. */
static void
fail_to_start (GQuark domain, gint code, const gchar *words)
{
  GstElement *element = gst_object_ref_sink (gst_element_factory_make ("deimdetect", NULL));
  g_autoptr (GstBus) bus = gst_bus_new ();
  GstHarness view = { .element = element };
  gst_element_set_bus (element, bus);
  g_object_set (element, "model", model, NULL);
  g_assert_cmpint (gst_element_set_state (element, GST_STATE_PLAYING), ==, GST_STATE_CHANGE_FAILURE);
  assert_one_error (&view, domain, code, words);
  gst_element_set_state (element, GST_STATE_NULL);
  gst_element_set_bus (element, NULL);
  gst_object_unref (element);
}

/* One that fails while playing: one message, and no frame. */
static void
fail_to_infer (FakeStage stage, DeimError failure, GQuark domain, gint code, const gchar *words)
{
  GstHarness *harness = add_element (model, "");
  fake_deim_set_failure_at (stage, (gint) failure);
  GstFlowReturn flow = GST_FLOW_OK;
  for (guint i = 0; i < 4 && flow == GST_FLOW_OK; i++)
    flow = gst_harness_push (harness, make_frame (RGB_CAPS, i));
  g_assert_cmpint (flow, ==, GST_FLOW_ERROR);
  g_assert_cmpint (gst_harness_push (harness, make_frame (RGB_CAPS, 9)), ==, GST_FLOW_ERROR);
  g_assert_cmpuint (gst_harness_buffers_received (harness), ==, 0);
  assert_one_error (harness, domain, code, words);
  teardown (harness);
}

/* Every kind of failure at every stage; all is well afterwards. */
static void
test_failures (void)
{
  static const gchar *const words[] = { "loading", "opening", "making", "submitting", "collecting" };
  for (FakeStage stage = FAKE_LOAD; stage < FAKE_N_STAGES; stage++)
    for (guint i = 0; i < G_N_ELEMENTS (bus_errors); i++) {
      GQuark domain = bus_errors[i].domain ();
      const gchar *says = bus_errors[i].engine == DEIM_ERROR_DEVICE_LOST ? "start it again" : words[stage];
      fake_deim_reset ();
      if (stage < FAKE_SUBMIT) {
        fake_deim_set_failure_at (stage, (gint) bus_errors[i].engine);
        fail_to_start (domain, bus_errors[i].code, says);
      } else {
        fail_to_infer (stage, bus_errors[i].engine, domain, bus_errors[i].code, says);
      }
      GstHarness *harness = setup ("");
      push_frames (harness, RGB_CAPS, 0, 3);
      gst_harness_push_event (harness, gst_event_new_eos ());
      g_assert_cmpuint (gst_harness_buffers_received (harness), ==, 3);
      drop_outputs (harness);
      teardown (harness);
    }
}

/* The debug text of the error on the bus names @file, which met the failure. */
static void
assert_place (GstHarness *harness, const gchar *file)
{
  g_autoptr (GstMessage) message = pop_message (harness, GST_MESSAGE_ERROR);
  g_autofree gchar *debug = NULL;
  g_assert_nonnull (message);
  gst_message_parse_error (message, NULL, &debug);
  g_test_message ("%s", debug);
  g_assert_nonnull (strstr (debug, file));
}

static void
test_place (void)
{
  GstHarness *harness = setup ("");
  fake_deim_set_failure_at (FAKE_SUBMIT, DEIM_ERROR_MEMORY);
  g_assert_cmpint (gst_harness_push (harness, make_frame (RGB_CAPS, 0)), ==, GST_FLOW_ERROR);
  assert_place (harness, "gstdeimsubmit.c(");
  gst_element_set_state (harness->element, GST_STATE_NULL);
  fake_deim_set_failure_at (FAKE_MAKE, DEIM_ERROR_MEMORY);
  g_assert_cmpint (gst_element_set_state (harness->element, GST_STATE_PAUSED), ==, GST_STATE_CHANGE_FAILURE);
  assert_place (harness, "gstdeimdetect.c(");
  teardown (harness);
}

/* Every frame that came in is counted once more, by what became of it. */
static void
assert_stats_add_up (GstElement *element, guint64 frames, guint64 discarded)
{
  static const gchar *const outcomes[] = { "inferred",       "skipped-interval", "skipped-late", "skipped-overload",
                                           "skipped-region", "passed-through",   "discarded" };
  guint64 sum = 0;
  for (guint i = 0; i < G_N_ELEMENTS (outcomes); i++)
    sum += get_stat (element, outcomes[i]);
  g_assert_cmpuint (get_stat (element, "frames"), ==, frames);
  g_assert_cmpuint (get_stat (element, "discarded"), ==, discarded);
  g_assert_cmpuint (sum, ==, frames);
}

/* A frame that is not what the caps promise is one error, however many follow, and is counted. */
static void
test_unreadable (void)
{
  GstHarness *harness = setup ("in-flight=1 inference-interval=2");
  push_frames (harness, RGB_CAPS, 0, 2);
  for (guint i = 2; i < 6; i++) {
    GstBuffer *buffer = make_frame (RGB_CAPS, i);
    gst_buffer_resize (buffer, 0, 100);
    g_assert_cmpint (gst_harness_push (harness, buffer), ==, GST_FLOW_ERROR);
  }
  assert_one_error (harness, GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_READ, "cannot be read");
  assert_stats_add_up (harness->element, 3, 1);
  drop_outputs (harness);

  /* A flush is a new beginning; what the engine refuses is counted too. */
  gst_harness_push_event (harness, gst_event_new_flush_start ());
  gst_harness_push_event (harness, gst_event_new_flush_stop (TRUE));
  GstSegment segment;
  gst_segment_init (&segment, GST_FORMAT_TIME);
  gst_harness_push_event (harness, gst_event_new_segment (&segment));
  fake_deim_set_failure_at (FAKE_SUBMIT, DEIM_ERROR_MEMORY);
  g_assert_cmpint (gst_harness_push (harness, make_frame (RGB_CAPS, 6)), ==, GST_FLOW_ERROR);
  assert_one_error (harness, GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_NO_SPACE_LEFT, "submitting");
  assert_stats_add_up (harness->element, 4, 2);
  teardown (harness);
}

/* Frames that the engine does not take for their size are refused before there are any, and a scaler makes them fit. */
static void
test_sizes (void)
{
  static const struct {
    const gchar *caps;
    gboolean taken;
  } cases[] = {
    { "video/x-raw,format=GRAY8,width=16384,height=16,framerate=25/1", TRUE },
    { "video/x-raw,format=GRAY8,width=16,height=16384,framerate=0/1", TRUE },
    { "video/x-raw,format=GRAY8,width=16385,height=16,framerate=25/1", FALSE },
    { "video/x-raw,format=GRAY8,width=20,height=20000,framerate=25/1", FALSE },
    { "video/x-raw(memory:DMABuf),format=NV12,width=20000,height=20,framerate=25/1", FALSE },
  };
  GstHarness *harness = setup ("in-flight=1");
  g_autoptr (GstPad) sink = gst_element_get_static_pad (harness->element, "sink");
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GstCaps) caps = gst_caps_from_string (cases[i].caps);
    g_assert_true (gst_pad_query_accept_caps (sink, caps) == cases[i].taken);
    g_autoptr (GstCaps) answer = gst_pad_query_caps (sink, caps);
    g_assert_true (gst_caps_is_empty (answer) == !cases[i].taken);
  }
  gst_harness_set_src_caps_str (harness, cases[0].caps);
  g_assert_cmpint (gst_harness_push (harness, make_frame (cases[0].caps, 0)), ==, GST_FLOW_OK);
  g_assert_cmpuint (fake_deim_get_counts ().last.width, ==, 16384);
  drop_outputs (harness);
  teardown (harness);
}

/* The device is lost with frames in flight: one error, no matter how many frames there are. */
static void
test_device_lost (void)
{
  GstHarness *harness = setup ("in-flight=4");
  GstHarness *other = add_element (model, "");
  fake_deim_set_gate (FALSE);
  push_frames (harness, RGB_CAPS, 0, 3);
  fake_deim_set_failure (DEIM_ERROR_DEVICE_LOST);
  fake_deim_set_gate (TRUE);
  g_assert_cmpint (gst_harness_push (harness, make_frame (RGB_CAPS, 3)), ==, GST_FLOW_ERROR);
  g_assert_cmpint (gst_harness_push (harness, make_frame (RGB_CAPS, 4)), ==, GST_FLOW_ERROR);
  gst_harness_push_event (harness, gst_event_new_eos ());
  assert_one_error (harness, GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_FAILED, "start it again");
  g_assert_cmpuint (gst_harness_buffers_received (harness), ==, 0);

  /* Starting again opens the device again, though the other element still holds the lost one. */
  fake_deim_set_failure (-1);
  guint opened = fake_deim_get_counts ().devices_opened;
  gst_element_set_state (harness->element, GST_STATE_NULL);
  gst_element_set_state (harness->element, GST_STATE_PLAYING);
  g_assert_cmpuint (fake_deim_get_counts ().devices_opened, ==, opened + 1);
  teardown_harness (other);
  teardown (harness);
}

/* ------------------------------------------------------------ settings while playing */

/* Frame @number through the element, with @regions regions of interest. */
static void
assert_regions (GstHarness *harness, guint number, guint regions)
{
  push_frames (harness, RGB_CAPS, number, 1);
  g_autoptr (GstBuffer) buffer = pull_frame (harness, number);
  g_assert_true (was_inferred (buffer));
  g_assert_cmpuint (count_regions (buffer), ==, regions);
}

/* "meta" is read by the next start: detections do not vanish meanwhile, and nobody is warned of what is not wrong. */
static void
test_live_meta (void)
{
  GstHarness *harness = setup ("in-flight=1 meta=roi");
  assert_regions (harness, 0, 2);
  gst_util_set_object_arg (G_OBJECT (harness->element), "meta", "analytics");
  assert_regions (harness, 1, 2);
  g_assert_null (pop_message (harness, GST_MESSAGE_WARNING));
  teardown (harness);
}

/* The one warning that there is has these words, and not those. */
static void
assert_one_warning (GstHarness *harness, const gchar *words, const gchar *other_words, const gchar *no_words)
{
  g_autoptr (GstMessage) message = pop_message (harness, GST_MESSAGE_WARNING);
  g_autoptr (GError) error = NULL;
  g_assert_nonnull (message);
  gst_message_parse_warning (message, &error, NULL);
  g_test_message ("%s", error->message);
  g_assert_error (error, GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_SETTINGS);
  g_assert_nonnull (strstr (error->message, words));
  g_assert_nonnull (strstr (error->message, other_words));
  g_assert_null (strstr (error->message, no_words));
  g_assert_null (pop_message (harness, GST_MESSAGE_WARNING));
}

/* A wrong setting keeps its former value; it is told once, and does not keep the others from their effect. */
static void
test_live_settings (void)
{
  GstHarness *harness = setup ("in-flight=1 classes=1,2");
  GObject *element = G_OBJECT (harness->element);
  assert_regions (harness, 0, 1);
  g_object_set (element, "region", "a,b", "threshold", 0.1, NULL);
  assert_regions (harness, 1, 2);
  assert_one_warning (harness, "region: \"a,b\"", "x,y,w,h", "class");
  /* Others are written, and the wrong one still stands there. */
  g_object_set (element, "classes", "class 2", NULL);
  assert_regions (harness, 2, 1);
  g_object_set (element, "threshold", 0.65, "inference-interval", 1, NULL);
  assert_regions (harness, 3, 0);
  g_assert_null (pop_message (harness, GST_MESSAGE_WARNING));
  /* All that are wrong at a time are named; thresholds by class hold in spite of them. */
  g_object_set (element, "class-thresholds", "2:0.1", "region", "1,2", "classes", "unicorn", NULL);
  assert_regions (harness, 4, 1);
  assert_one_warning (harness, "region: \"1,2\"", "classes: the model has no class \"unicorn\"", "class-thresholds");
  g_object_set (element, "region", "0,0,16,16", "classes", NULL, "class-thresholds", "", "threshold", 0.1, NULL);
  assert_regions (harness, 5, 3);
  g_assert_cmpuint (fake_deim_get_counts ().last.region_w, ==, 16);
  g_assert_null (pop_message (harness, GST_MESSAGE_WARNING));
  teardown (harness);
}

int
main (int argc, char **argv)
{
  init_element_tests (&argc, &argv);
  GST_PLUGIN_STATIC_REGISTER (deim);
  model = fake_deim_write_model (5);

  for (guint i = 0; i < G_N_ELEMENTS (start_errors); i++) {
    g_autofree gchar *path = g_strdup_printf ("/deimdetect/start-error/%u", i);
    g_test_add_data_func (path, &start_errors[i], test_start_error);
  }
  g_test_add_func ("/deimdetect/default-model", test_default_model);
  g_test_add_func ("/deimdetect/failures", test_failures);
  g_test_add_func ("/deimdetect/place", test_place);
  g_test_add_func ("/deimdetect/unreadable", test_unreadable);
  g_test_add_func ("/deimdetect/sizes", test_sizes);
  g_test_add_func ("/deimdetect/device-lost", test_device_lost);
  g_test_add_func ("/deimdetect/live-meta", test_live_meta);
  g_test_add_func ("/deimdetect/live-settings", test_live_settings);
  int result = run_element_tests ();
  g_unlink (model);
  g_free (model);
  return result;
}
