/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-element-frames.c - the built plugin with the real engine: a picture is the same picture in whatever memory it
 * lies. Each format, at an odd size, gives to the bit the same detections with rows as GStreamer lays them out, with
 * padding between and before them, as a part of a larger frame, and in a DMABuf; all in one stream, whose caps change.
 *
 * The network is the golden Atto, whose detections mean nothing but depend on every pixel; it needs no files of others.
 */
#include <glib/gstdio.h>
#include <gst/allocators/allocators.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "element-helpers.h"
#include "process.h"

#define WIDTH  641
#define HEIGHT 361
/* Where the picture lies in the larger frame: on whole chroma samples, not on whole words. */
#define LEFT 26
#define TOP  14

static gchar *model;

typedef struct {
  gint label;
  gdouble score, x1, y1, x2, y2;
} Found;

static GstVideoInfo
make_info (GstVideoFormat format, guint width, guint height)
{
  GstVideoInfo info;
  gst_video_info_set_format (&info, format, width, height);
  info.fps_n = 25;
  info.fps_d = 1;
  return info;
}

/* Any bytes. */
static GstBuffer *
make_picture (const GstVideoInfo *info, guint32 seed)
{
  GstBuffer *buffer = gst_buffer_new_allocate (NULL, info->size, NULL);
  GstMapInfo map;
  g_assert_true (gst_buffer_map (buffer, &map, GST_MAP_WRITE));
  for (gsize i = 0; i < map.size; i++) {
    seed = seed * 1664525u + 1013904223u;
    map.data[i] = (guint8) (seed >> 24);
  }
  gst_buffer_unmap (buffer, &map);
  return buffer;
}

/* Bytes of a row of @plane, all chroma included: gst_video_frame_copy() leaves the last V of an odd YUY2 row out. */
static gsize
row_bytes (const GstVideoInfo *info, guint plane)
{
  gint components[GST_VIDEO_MAX_COMPONENTS];
  gst_video_format_info_component (info->finfo, plane, components);
  if (GST_VIDEO_INFO_FORMAT (info) == GST_VIDEO_FORMAT_YUY2 || GST_VIDEO_INFO_FORMAT (info) == GST_VIDEO_FORMAT_UYVY)
    return (gsize) (info->width + 1) / 2 * 4;
  return (gsize) (GST_VIDEO_INFO_COMP_WIDTH (info, components[0]) * GST_VIDEO_INFO_COMP_PSTRIDE (info, components[0]));
}

/* Copies @from's picture, of @from_info, into the frame @to of @to_info, so that it begins at @left, @top. */
static void
copy_picture (GstBuffer *from, const GstVideoInfo *from_info, GstBuffer *to, const GstVideoInfo *to_info, guint left,
              guint top)
{
  GstVideoFrame a, b;
  g_assert_true (gst_video_frame_map (&a, from_info, from, GST_MAP_READ));
  g_assert_true (gst_video_frame_map (&b, to_info, to, GST_MAP_WRITE));
  for (guint plane = 0; plane < GST_VIDEO_INFO_N_PLANES (from_info); plane++) {
    gint components[GST_VIDEO_MAX_COMPONENTS];
    const GstVideoFormatInfo *format = from_info->finfo;
    gst_video_format_info_component (format, plane, components);
    guint c = (guint) components[0];
    gsize x = (gsize) (GST_VIDEO_FORMAT_INFO_SCALE_WIDTH (format, c, left) * GST_VIDEO_FORMAT_INFO_PSTRIDE (format, c));
    gsize y = (gsize) GST_VIDEO_FORMAT_INFO_SCALE_HEIGHT (format, c, top);
    for (gsize row = 0; row < (gsize) GST_VIDEO_INFO_COMP_HEIGHT (from_info, c); row++)
      memcpy ((guint8 *) b.data[plane] + (y + row) * (gsize) b.info.stride[plane] + x,
              (guint8 *) a.data[plane] + row * (gsize) a.info.stride[plane], row_bytes (from_info, plane));
  }
  gst_video_frame_unmap (&b);
  gst_video_frame_unmap (&a);
}

/* The same with @padding bytes more in each row, each plane @gap bytes behind the other; all else is noise. */
static GstBuffer *
make_padded (GstBuffer *picture, const GstVideoInfo *info, guint padding, guint gap)
{
  GstVideoInfo loose = *info;
  gsize offset = gap;
  for (guint i = 0; i < GST_VIDEO_INFO_N_PLANES (info); i++) {
    loose.stride[i] = info->stride[i] + (gint) padding;
    loose.offset[i] = offset;
    /* As many rows as the plane has at most. */
    offset += (gsize) loose.stride[i] * HEIGHT + gap;
  }
  loose.size = offset;
  GstBuffer *buffer = make_picture (&loose, 99);
  gst_buffer_add_video_meta_full (buffer, GST_VIDEO_FRAME_FLAG_NONE, GST_VIDEO_INFO_FORMAT (info), WIDTH, HEIGHT,
                                  GST_VIDEO_INFO_N_PLANES (info), loose.offset, loose.stride);
  copy_picture (picture, info, buffer, info, 0, 0);
  return buffer;
}

/* As a part of a larger frame of noise. */
static GstBuffer *
make_cropped (GstBuffer *picture, const GstVideoInfo *info)
{
  GstVideoInfo large = make_info (GST_VIDEO_INFO_FORMAT (info), WIDTH + LEFT + 33, HEIGHT + TOP + 17);
  GstBuffer *buffer = make_picture (&large, 77);
  copy_picture (picture, info, buffer, &large, LEFT, TOP);
  gst_buffer_add_video_meta (buffer, GST_VIDEO_FRAME_FLAG_NONE, GST_VIDEO_INFO_FORMAT (info),
                             (guint) GST_VIDEO_INFO_WIDTH (&large), (guint) GST_VIDEO_INFO_HEIGHT (&large));
  GstVideoCropMeta *crop = gst_buffer_add_video_crop_meta (buffer);
  crop->x = LEFT;
  crop->y = TOP;
  crop->width = WIDTH;
  crop->height = HEIGHT;
  return buffer;
}

/* In a memfd that is called a DMABuf: read in place by Mesa's lavapipe from 25.0 on, copied before. */
static GstBuffer *
make_dmabuf (GstBuffer *picture, GstVideoInfo *info)
{
  static GstAllocator *allocator;
  if (!allocator) {
    allocator = gst_dmabuf_allocator_new ();
    GST_OBJECT_FLAG_SET (allocator, GST_OBJECT_FLAG_MAY_BE_LEAKED);
  }
  GstMapInfo map;
  gint fd = memfd_create ("frame", MFD_CLOEXEC);
  g_assert_true (gst_buffer_map (picture, &map, GST_MAP_READ));
  g_assert_cmpint (write (fd, map.data, map.size), ==, (gssize) map.size);
  gsize size = (map.size + 64 + 4095) / 4096 * 4096; /* DMABufs are whole pages */
  g_assert_cmpint (ftruncate (fd, (off_t) size), ==, 0);
  gst_buffer_unmap (picture, &map);
  GstBuffer *buffer = gst_buffer_new ();
  gst_buffer_append_memory (buffer, gst_dmabuf_allocator_alloc (allocator, fd, size));
  gst_buffer_add_video_meta_full (buffer, GST_VIDEO_FRAME_FLAG_NONE, GST_VIDEO_INFO_FORMAT (info), WIDTH, HEIGHT,
                                  GST_VIDEO_INFO_N_PLANES (info), info->offset, info->stride);
  return buffer;
}

/* What is found in @buffer, in pixels of the picture. */
static GArray *
detect (GstHarness *harness, GstBuffer *buffer)
{
  g_assert_cmpint (gst_harness_push (harness, buffer), ==, GST_FLOW_OK);
  g_autoptr (GstBuffer) out = gst_harness_pull (harness);
  const GstVideoMeta *video = gst_buffer_get_video_meta (out);
  const GstVideoCropMeta *crop = gst_buffer_get_video_crop_meta (out);
  gdouble width = video ? video->width : WIDTH, height = video ? video->height : HEIGHT;
  gdouble left = crop ? crop->x : 0, top = crop ? crop->y : 0;
  GArray *all = g_array_new (FALSE, TRUE, sizeof (Found));
  gpointer state = NULL;
  GstMeta *meta;
  g_assert_true (was_inferred (out));
  while ((meta = gst_buffer_iterate_meta_filtered (out, &state, GST_VIDEO_REGION_OF_INTEREST_META_API_TYPE))) {
    Found found;
    g_assert_true (gst_structure_get (
        gst_video_region_of_interest_meta_get_param ((GstVideoRegionOfInterestMeta *) meta, "detection"), "label_id",
        G_TYPE_INT, &found.label, "confidence", G_TYPE_DOUBLE, &found.score, "x_min", G_TYPE_DOUBLE, &found.x1, "y_min",
        G_TYPE_DOUBLE, &found.y1, "x_max", G_TYPE_DOUBLE, &found.x2, "y_max", G_TYPE_DOUBLE, &found.y2, NULL));
    found.x1 = found.x1 * width - left;
    found.x2 = found.x2 * width - left;
    found.y1 = found.y1 * height - top;
    found.y2 = found.y2 * height - top;
    g_array_append_val (all, found);
  }
  g_assert_cmpuint (all->len, >=, 10);
  return all;
}

/* A crop's boxes are not cut at its edges, and floats at other places round otherwise: they are compared inside. */
static void
assert_same (const GArray *a, const GArray *b, gboolean cropped, const gchar *format, const gchar *what)
{
  gboolean same = a->len == b->len;
  for (guint i = 0; same && i < a->len; i++) {
    const Found *p = &g_array_index (a, Found, i), *q = &g_array_index (b, Found, i);
    gdouble limit = cropped ? 1e-3 : 1e-9;
    same = p->label == q->label && p->score == q->score && ABS (p->x1 - CLAMP (q->x1, 0, WIDTH)) < limit &&
           ABS (p->y1 - CLAMP (q->y1, 0, HEIGHT)) < limit && ABS (p->x2 - CLAMP (q->x2, 0, WIDTH)) < limit &&
           ABS (p->y2 - CLAMP (q->y2, 0, HEIGHT)) < limit;
  }
  if (!same)
    g_error ("%s, %s: other detections than those of the plain frame", format, what);
}

static void
test_memory (void)
{
  static const gchar *const names[] = { "I420", "YV12", "NV12", "NV21", "YUY2",      "UYVY",      "Y42B",
                                        "Y444", "RGB",  "BGR",  "RGBx", "BGRx",      "RGBA",      "BGRA",
                                        "ARGB", "ABGR", "xRGB", "xBGR", "P010_10LE", "I420_10LE", "GRAY8" };
  g_autofree gchar *launch = g_strdup_printf ("deimdetect model=%s threshold=0 max-detections=20 in-flight=1", model);
  GstHarness *harness = setup_harness (launch, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (names); i++) {
    GstVideoInfo info = make_info (gst_video_format_from_string (names[i]), WIDTH, HEIGHT);
    gst_harness_set_src_caps (harness, gst_video_info_to_caps (&info));
    g_autoptr (GstBuffer) picture = make_picture (&info, i + 1);
    g_autoptr (GArray) plain = detect (harness, gst_buffer_copy_deep (picture));
    g_autoptr (GArray) padded = detect (harness, make_padded (picture, &info, 52, 128));
    g_autoptr (GArray) uneven = detect (harness, make_padded (picture, &info, 3, 7));
    g_autoptr (GArray) cropped = detect (harness, make_cropped (picture, &info));
    g_autoptr (GArray) shared = detect (harness, make_dmabuf (picture, &info));
    assert_same (plain, padded, FALSE, names[i], "padded");
    assert_same (plain, uneven, FALSE, names[i], "padded by odd numbers");
    assert_same (plain, cropped, TRUE, names[i], "part of a larger frame");
    assert_same (plain, shared, FALSE, names[i], "DMABuf");
  }
  teardown_harness (harness);
}

/* What a broken stream decodes to, or does not, is no reason to fall over. */
static void
test_broken_stream (void)
{
  for (guint seed = 1; seed <= 3; seed++) {
    g_autoptr (GError) error = NULL;
    g_autofree gchar *text =
        g_strdup_printf ("videotestsrc num-buffers=20 pattern=ball ! video/x-raw,width=%d,height=%d ! jpegenc ! "
                         "breakmydata probability=0.002 skip=600 seed=%u ! jpegdec max-errors=-1 ! "
                         "deimdetect model=%s threshold=0 ! deimoverlay ! fakesink",
                         WIDTH, HEIGHT, seed, model);
    g_autoptr (GstElement) pipeline = gst_parse_launch (text, &error);
    if (g_error_matches (error, GST_PARSE_ERROR, GST_PARSE_ERROR_NO_SUCH_ELEMENT)) {
      g_test_skip (error->message);
      return;
    }
    g_assert_no_error (error);
    g_autoptr (GstBus) bus = gst_element_get_bus (pipeline);
    gst_element_set_state (pipeline, GST_STATE_PLAYING);
    g_autoptr (GstMessage) end = gst_bus_timed_pop_filtered (bus, 60 * GST_SECOND, GST_MESSAGE_EOS | GST_MESSAGE_ERROR);
    g_assert_nonnull (end);
    g_test_message ("seed %u: %s", seed, GST_MESSAGE_TYPE_NAME (end));
    gst_element_set_state (pipeline, GST_STATE_NULL);
  }
}

int
main (int argc, char **argv)
{
  g_autofree gchar *folder = g_dir_make_tmp ("deim-frames-XXXXXX", NULL);
  model = g_build_filename (folder, "golden.safetensors", NULL);
  make_golden_file (model);
  init_element_tests (&argc, &argv);

  g_test_add_func ("/element-frames/memory", test_memory);
  g_test_add_func ("/element-frames/broken-stream", test_broken_stream);
  int result = run_element_tests ();
  g_unlink (model);
  g_rmdir (folder);
  g_free (model);
  return result;
}
