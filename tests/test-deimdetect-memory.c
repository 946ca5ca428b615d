/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-deimdetect-memory.c - frames in DMABufs: how they are negotiated, what of them the engine is shown, and that
 * they are copied where it does not read them. Runs on fake-deim.c; test-dmabuf.c has the engine's side of it.
 *
 * The "DMABufs" are memfds that GstDmaBufAllocator wraps, which map like DMABufs of a driver that lets them be mapped.
 */
#include <fcntl.h>
#include <glib/gstdio.h>
#include <gst/allocators/allocators.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "element-helpers.h"
#include "fake-deim.h"

GST_PLUGIN_STATIC_DECLARE (deim);
GST_PLUGIN_STATIC_DECLARE (deimoverlay);

#define SIZE      "width=64,height=48,framerate=25/1"
#define SYSTEM    "video/x-raw,format=NV12," SIZE
#define DMABUF    "video/x-raw(memory:DMABuf),format=NV12," SIZE
#define DRM       "video/x-raw(memory:DMABuf),format=DMA_DRM,drm-format=NV12," SIZE
#define LUMA_SIZE (64 * 48)

static gchar *model;          /* a fake one of 5 classes */
static GstAllocator *dmabufs; /* wraps memfds */

static GstHarness *
setup (FakeDmabuf can, const gchar *caps)
{
  fake_deim_reset ();
  fake_deim_set_dmabuf (can);
  g_autofree gchar *launch = g_strdup_printf ("deimdetect model=%s in-flight=1", model);
  return setup_harness (launch, caps);
}

static void
teardown (GstHarness *harness)
{
  teardown_harness (harness);
  g_assert_cmpuint (fake_deim_get_counts ().live, ==, 0);
}

/* @size bytes of @value. */
static GstMemory *
make_memory (gsize size, guint8 value)
{
  gint fd = memfd_create ("frame", MFD_CLOEXEC);
  g_autofree guint8 *bytes = g_malloc (size);
  memset (bytes, value, size);
  g_assert_cmpint (write (fd, bytes, size), ==, (gssize) size);
  return gst_dmabuf_allocator_alloc (dmabufs, fd, size);
}

/* Frame @number of SYSTEM in one DMABuf, or its luma and its chroma each in one. */
static GstBuffer *
make_dmabuf (guint number, gboolean two)
{
  gsize offsets[GST_VIDEO_MAX_PLANES] = { 0, LUMA_SIZE };
  gint strides[GST_VIDEO_MAX_PLANES] = { 64, 64 };
  GstBuffer *buffer = gst_buffer_new ();
  gst_buffer_append_memory (buffer, make_memory (two ? LUMA_SIZE : LUMA_SIZE * 3 / 2, (guint8) number));
  if (two)
    gst_buffer_append_memory (buffer, make_memory (LUMA_SIZE / 2, (guint8) number));
  gst_buffer_add_video_meta_full (buffer, GST_VIDEO_FRAME_FLAG_NONE, GST_VIDEO_FORMAT_NV12, 64, 48, 2, offsets,
                                  strides);
  GST_BUFFER_PTS (buffer) = number * (GST_SECOND / 25);
  GST_BUFFER_DURATION (buffer) = GST_SECOND / 25;
  GST_BUFFER_OFFSET (buffer) = number;
  return buffer;
}

static guint warnings; /* of the element, in the log */

static void
note_log (GstDebugCategory *category, GstDebugLevel level, const gchar *file, const gchar *function, gint line,
          GObject *object, GstDebugMessage *message, gpointer data)
{
  if (level != GST_LEVEL_WARNING || strcmp (gst_debug_category_get_name (category), "deim") != 0)
    return;
  g_test_message ("%s", gst_debug_message_get (message));
  warnings++;
}

/* Frame @number through the element; it must come out as it was, with its result. */
static void
infer (GstHarness *harness, guint number, gboolean two)
{
  GstBuffer *buffer = make_dmabuf (number, two);
  GstMemory *memory = gst_buffer_peek_memory (buffer, 0);
  g_assert_cmpint (gst_harness_push (harness, buffer), ==, GST_FLOW_OK);
  g_autoptr (GstBuffer) out = pull_frame (harness, number);
  g_assert_true (gst_buffer_peek_memory (out, 0) == memory);
  g_assert_true (was_inferred (out));
  g_assert_cmpuint (count_regions (out), ==, 2);
  gdouble confidence = 0;
  GstStructure *detection = gst_video_region_of_interest_meta_get_param (get_region (out, "class 0"), "detection");
  g_assert_true (gst_structure_get_double (detection, "confidence", &confidence));
  /* The fake reads a mapped frame's first byte, and nothing of a DMABuf. */
  gboolean mapped = fake_deim_get_counts ().last.dmabuf == NULL;
  g_assert_cmpfloat_with_epsilon (confidence, 0.7 + (mapped ? number / 1000.0 : 0), 1e-6);
}

/* ----------------------------------------------------------------- reading */

/* Whatever the caps call it: memory that is a DMABuf goes to the engine as one. */
static void
test_read (gconstpointer caps)
{
  GstHarness *harness = setup (FAKE_DMABUF_READ, caps);
  warnings = 0;
  for (guint i = 0; i < 4; i++) {
    infer (harness, 50 + i, i % 2);
    FakeDeimCounts counts = fake_deim_get_counts ();
    g_assert_nonnull (counts.last.dmabuf);
    g_assert_cmpuint (counts.last.width, ==, 64);
    g_assert_cmpuint (counts.last.height, ==, 48);
    g_assert_cmpint (counts.last.format, ==, deim_format_from_name ("NV12"));
    g_assert_cmpuint (counts.last.stride[0], ==, 64);
    g_assert_cmpuint (counts.last.stride[1], ==, 64);
    g_assert_cmpuint (counts.last_at.offset[0], ==, 0);
    g_assert_cmpuint (counts.last_at.offset[1], ==, i % 2 ? 0 : LUMA_SIZE);
    g_assert_true ((counts.last_at.fd[0] == counts.last_at.fd[1]) == (i % 2 == 0));
  }
  g_assert_cmpuint (warnings, ==, 0);
  g_autoptr (GstCaps) in = gst_caps_from_string (caps), out = gst_pad_get_current_caps (harness->sinkpad);
  g_assert_true (gst_caps_is_equal (in, out));
  teardown (harness);
}

/* A part of a DMABuf, and a frame without GstVideoMeta. */
static void
test_offset (void)
{
  GstHarness *harness = setup (FAKE_DMABUF_READ, SYSTEM);
  GstMemory *whole = make_memory (4096 + LUMA_SIZE * 3 / 2, 9);
  GstBuffer *buffer = make_frame (SYSTEM, 9);
  gst_buffer_replace_all_memory (buffer, gst_memory_share (whole, 4096, LUMA_SIZE * 3 / 2));
  gst_memory_unref (whole);
  g_assert_cmpint (gst_harness_push (harness, buffer), ==, GST_FLOW_OK);
  gst_buffer_unref (pull_frame (harness, 9));
  FakeDeimCounts counts = fake_deim_get_counts ();
  g_assert_nonnull (counts.last.dmabuf);
  g_assert_cmpuint (counts.last_at.offset[0], ==, 4096);
  g_assert_cmpuint (counts.last_at.offset[1], ==, 4096 + LUMA_SIZE);
  teardown (harness);
}

/* Not read by the device, or not these ones: copied, which is said once for each stream of frames. */
static void
test_copied (gconstpointer can)
{
  static const gchar *const caps[] = { SYSTEM, DMABUF };
  for (guint i = 0; i < G_N_ELEMENTS (caps); i++) {
    GstHarness *harness = setup ((FakeDmabuf) GPOINTER_TO_INT (can), caps[i]);
    warnings = 0;
    for (guint frame = 0; frame < 4; frame++)
      infer (harness, 50 + frame, frame % 2);
    g_assert_null (fake_deim_get_counts ().last.dmabuf);
    g_assert_cmpuint (warnings, ==, 1);
    g_assert_null (pop_message (harness, GST_MESSAGE_ERROR));
    teardown (harness);
  }
}

/* Memory that is neither read nor mapped: one error. */
static void
test_unmappable (void)
{
  GstHarness *harness = setup (FAKE_DMABUF_REFUSE, DMABUF);
  gint ends[2];
  g_assert_cmpint (pipe (ends), ==, 0);
  GstBuffer *buffer = make_dmabuf (0, FALSE);
  gst_buffer_replace_all_memory (buffer, gst_dmabuf_allocator_alloc (dmabufs, ends[0], LUMA_SIZE * 3 / 2));
  g_assert_cmpint (gst_harness_push (harness, buffer), ==, GST_FLOW_ERROR);
  assert_one_error (harness, GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_READ, "cannot be read");
  close (ends[1]);
  teardown (harness);
}

/* ------------------------------------------------------------- negotiation */

/* What is asked for first: DMABufs where they are read, else system memory. */
static void
test_preference (void)
{
  for (FakeDmabuf can = FAKE_DMABUF_NONE; can <= FAKE_DMABUF_READ; can += 2) {
    GstHarness *harness = setup (can, NULL);
    g_autoptr (GstPad) pad = gst_element_get_static_pad (harness->element, "sink");
    g_autoptr (GstCaps) caps = gst_pad_query_caps (pad, NULL);
    gboolean dmabuf_first =
        gst_caps_features_contains (gst_caps_get_features (caps, 0), GST_CAPS_FEATURE_MEMORY_DMABUF);
    g_assert_true (dmabuf_first == (can == FAKE_DMABUF_READ));
    static const gchar *const all[] = { SYSTEM, DMABUF };
    for (guint i = 0; i < G_N_ELEMENTS (all); i++) {
      g_autoptr (GstCaps) one = gst_caps_from_string (all[i]);
      g_assert_true (gst_caps_can_intersect (caps, one));
      g_assert_true (gst_pad_query_accept_caps (pad, one));
    }
    /* Downstream that wants one kind gets it, whatever is preferred. */
    g_autoptr (GstCaps) filter = gst_caps_from_string (DMABUF);
    g_autoptr (GstCaps) filtered = gst_pad_query_caps (pad, filter);
    g_assert_true (gst_caps_is_equal (filter, filtered));
    teardown (harness);
  }
}

/* What is not taken is named in the log, with the mend. */
static void
test_not_taken (void)
{
  static const gchar *const caps[] = { "video/x-raw,format=v210," SIZE,
                                       "video/x-raw(memory:VAMemory),format=NV12," SIZE,
                                       "video/x-raw(format:Interlaced),format=NV12,interlace-mode=alternate," SIZE,
                                       "audio/x-raw" };
  GstHarness *harness = setup (FAKE_DMABUF_READ, NULL);
  g_autoptr (GstPad) pad = gst_element_get_static_pad (harness->element, "sink");
  for (guint i = 0; i < G_N_ELEMENTS (caps); i++) {
    g_autoptr (GstCaps) one = gst_caps_from_string (caps[i]);
    warnings = 0;
    g_assert_false (gst_pad_query_accept_caps (pad, one));
    g_assert_cmpuint (warnings, ==, 1);
  }
  /* A pipeline fails as any other does. */
  gst_harness_set_src_caps_str (harness, caps[0]);
  g_assert_cmpint (gst_harness_push (harness, make_dmabuf (0, FALSE)), ==, GST_FLOW_NOT_NEGOTIATED);
  teardown (harness);
}

/* Frames of DMABuf caps are never packed into system memory, though downstream knows no strides. */
static void
test_allocation (void)
{
  GstHarness *harness = setup (FAKE_DMABUF_READ, DMABUF);
  g_autoptr (GstCaps) caps = gst_caps_from_string (DMABUF);
  g_autoptr (GstQuery) query = gst_query_new_allocation (caps, TRUE);
  g_assert_true (gst_pad_peer_query (harness->srcpad, query));
  g_assert_true (gst_query_find_allocation_meta (query, GST_VIDEO_META_API_TYPE, NULL));
  guint min;
  gst_query_parse_nth_allocation_pool (query, 0, NULL, NULL, &min, NULL);
  g_assert_cmpuint (min, >=, 1);
  gsize offsets[GST_VIDEO_MAX_PLANES] = { 0, 128 * 48 };
  gint strides[GST_VIDEO_MAX_PLANES] = { 128, 128 };
  GstBuffer *buffer = make_frame (SYSTEM, 3);
  gst_buffer_replace_all_memory (buffer, make_memory (128 * 72, 3));
  gst_buffer_add_video_meta_full (buffer, GST_VIDEO_FRAME_FLAG_NONE, GST_VIDEO_FORMAT_NV12, 64, 48, 2, offsets,
                                  strides);
  GstMemory *memory = gst_buffer_peek_memory (buffer, 0);
  gst_harness_push (harness, buffer);
  g_autoptr (GstBuffer) out = pull_frame (harness, 3);
  g_assert_true (gst_buffer_peek_memory (out, 0) == memory);
  g_assert_cmpuint (fake_deim_get_counts ().last.stride[1], ==, 128);
  teardown (harness);
}

#if GST_CHECK_VERSION(1, 24, 0)
/* Linear formats by their DRM names; tiled ones are none of ours. */
static void
test_drm (void)
{
  GstHarness *harness = setup (FAKE_DMABUF_READ, NULL);
  g_autoptr (GstPad) pad = gst_element_get_static_pad (harness->element, "sink");
  g_autoptr (GstCaps) caps = gst_pad_get_pad_template_caps (pad);
  const GValue *names = gst_structure_get_value (gst_caps_get_structure (caps, 0), "drm-format");
  g_assert_cmpuint (gst_value_list_get_size (names), ==, 19);
  for (guint i = 0; i < gst_value_list_get_size (names); i++) {
    guint64 modifier = 1;
    guint32 fourcc =
        gst_video_dma_drm_fourcc_from_string (g_value_get_string (gst_value_list_get_value (names, i)), &modifier);
    GstVideoFormat format = gst_video_dma_drm_fourcc_to_format (fourcc);
    g_assert_cmpuint (modifier, ==, 0);
    g_assert_cmpint (format, !=, GST_VIDEO_FORMAT_UNKNOWN);
    g_assert_cmpint (deim_format_from_name (gst_video_format_to_string (format)), !=, DEIM_FORMAT_INVALID);
  }
  g_autoptr (GstCaps) tiled =
      gst_caps_from_string ("video/x-raw(memory:DMABuf),format=DMA_DRM,drm-format=NV12:0x0100000000000002," SIZE);
  g_assert_false (gst_pad_query_accept_caps (pad, tiled));
  teardown (harness);
}
#endif

typedef struct {
  const gchar *name, *encode;
  guint frames;
} Encoding;

/* What decodebin makes of it, plainly linked, is taken as it is. */
static void
test_decodebin (gconstpointer data)
{
  const Encoding *encoding = data;
  fake_deim_reset ();
  g_autofree gchar *path = g_strdup_printf ("%s/deim-decodebin-%d", g_get_tmp_dir (), getpid ());
  g_autofree gchar *write =
      g_strdup_printf ("videotestsrc num-buffers=%u ! video/x-raw,format=I420,width=322,height=182 ! videoconvert ! "
                       "%s ! filesink location=%s",
                       encoding->frames, encoding->encode, path);
  g_autofree gchar *read =
      g_strdup_printf ("filesrc location=%s ! decodebin ! deimdetect model=%s ! deimoverlay ! fakesink", path, model);
  const gchar *const launches[] = { write, read };
  for (guint i = 0; i < G_N_ELEMENTS (launches); i++) {
    g_autoptr (GError) error = NULL;
    g_autoptr (GstElement) pipeline = gst_parse_launch (launches[i], &error);
    if (g_error_matches (error, GST_PARSE_ERROR, GST_PARSE_ERROR_NO_SUCH_ELEMENT)) {
      g_test_skip (error->message);
      return;
    }
    g_assert_no_error (error);
    g_autoptr (GstBus) bus = gst_element_get_bus (pipeline);
    gst_element_set_state (pipeline, GST_STATE_PLAYING);
    g_autoptr (GstMessage) end = gst_bus_timed_pop_filtered (bus, 20 * GST_SECOND, GST_MESSAGE_EOS | GST_MESSAGE_ERROR);
    g_assert_nonnull (end);
    if (GST_MESSAGE_TYPE (end) == GST_MESSAGE_ERROR)
      gst_message_parse_error (end, &error, NULL);
    g_assert_no_error (error);
    gst_element_set_state (pipeline, GST_STATE_NULL);
  }
  g_assert_cmpuint (fake_deim_get_counts ().submitted, ==, encoding->frames);
  g_unlink (path);
}

static const Encoding encodings[] = {
  { "jpeg", "jpegenc ! matroskamux", 5 },
  { "jpeg-gray", "video/x-raw,format=GRAY8 ! jpegenc ! matroskamux", 5 },
  { "jpeg-444", "video/x-raw,format=Y444 ! jpegenc ! matroskamux", 5 },
  { "png", "pngenc snapshot=true", 1 },
  { "theora", "theoraenc ! oggmux", 5 },
  { "vp8", "vp8enc deadline=1 ! webmmux", 5 },
  { "h264", "x264enc speed-preset=ultrafast ! mp4mux", 5 },
  { "h264-10", "video/x-raw,format=I420_10LE ! x264enc speed-preset=ultrafast ! mp4mux", 5 },
};

int
main (int argc, char **argv)
{
  init_element_tests (&argc, &argv);
  GST_PLUGIN_STATIC_REGISTER (deim);
  GST_PLUGIN_STATIC_REGISTER (deimoverlay);
  model = fake_deim_write_model (5);
  dmabufs = gst_dmabuf_allocator_new ();
  GST_OBJECT_FLAG_SET (dmabufs, GST_OBJECT_FLAG_MAY_BE_LEAKED); /* it goes after the leaks are counted */
  gst_debug_set_active (TRUE);
  gst_debug_set_threshold_for_name ("deim", GST_LEVEL_WARNING);
  gst_debug_add_log_function (note_log, NULL, NULL);
  gst_debug_remove_log_function (gst_debug_log_default);

  g_test_add_data_func ("/memory/read/system", SYSTEM, test_read);
  g_test_add_data_func ("/memory/read/dmabuf", DMABUF, test_read);
#if GST_CHECK_VERSION(1, 24, 0)
  g_test_add_data_func ("/memory/read/drm", DRM, test_read);
  g_test_add_func ("/memory/drm", test_drm);
#endif
  g_test_add_func ("/memory/offset", test_offset);
  g_test_add_data_func ("/memory/copied/device", GINT_TO_POINTER (FAKE_DMABUF_NONE), test_copied);
  g_test_add_data_func ("/memory/copied/buffer", GINT_TO_POINTER (FAKE_DMABUF_REFUSE), test_copied);
  g_test_add_func ("/memory/unmappable", test_unmappable);
  g_test_add_func ("/memory/preference", test_preference);
  g_test_add_func ("/memory/not-taken", test_not_taken);
  g_test_add_func ("/memory/allocation", test_allocation);
  for (guint i = 0; i < G_N_ELEMENTS (encodings); i++) {
    g_autofree gchar *path = g_strdup_printf ("/memory/decodebin/%s", encodings[i].name);
    g_test_add_data_func (path, &encodings[i], test_decodebin);
  }
  int result = run_element_tests ();
  gst_object_unref (dmabufs);
  g_unlink (model);
  g_free (model);
  return result;
}
