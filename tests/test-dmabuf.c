/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-dmabuf.c - frames in DMABufs: the device reads them where they lie and finds what it finds in a copy, to the
 * bit; what it cannot read so is refused with a reason.
 *
 * The memory is a memfd. /dev/udmabuf makes a DMABuf of it where the kernel has that; elsewhere the memfd itself takes
 * its place, which Mesa's lavapipe imports in the same way (it maps the file). Where the device imports nothing (Mesa
 * before 25.0), that is what is tested.
 */
#include <fcntl.h>
#include <linux/udmabuf.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/gpu/gpu.h"
#include "engine/image/format.h"
#include "golden-model.h"
#include "image-frames.h"

typedef struct {
  DeimModel *model;
  DeimDevice *device;
  DeimDetector *detector;
} Fixture;

static void
set_up (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  DeimDetectorOptions options = { .in_flight = 2, .max_detections = 20, .height = 160, .width = 160 };
  f->model = golden_model_new ();
  f->device = deim_device_open (NULL, &error);
  g_assert_no_error (error);
  f->detector = deim_detector_new (f->model, f->device, &options, &error);
  g_assert_no_error (error);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  deim_detector_unref (f->detector);
  deim_device_unref (f->device);
  deim_model_unref (f->model);
}

#define NEEDS_IMPORT(f)                                                                                                \
  if (!deim_device_imports_dmabuf ((f)->device)) {                                                                     \
    g_test_skip ("this device imports no DMABuf");                                                                     \
    return;                                                                                                            \
  }

/* ------------------------------------------------------------------ memory */

typedef struct {
  gint memory, fd; /* the memfd, and the DMABuf made of it (or the memfd once more) */
  guint8 *map;
  gsize size;
} Buffer;

static void
buffer_init (Buffer *b, gsize size)
{
  gsize page = (gsize) sysconf (_SC_PAGESIZE);
  b->size = (size + page - 1) / page * page;
  b->memory = memfd_create ("frame", MFD_ALLOW_SEALING | MFD_CLOEXEC);
  g_assert_cmpint (b->memory, >=, 0);
  g_assert_cmpint (ftruncate (b->memory, (off_t) b->size), ==, 0);
  g_assert_cmpint (fcntl (b->memory, F_ADD_SEALS, F_SEAL_SHRINK), ==, 0);
  b->map = mmap (NULL, b->size, PROT_READ | PROT_WRITE, MAP_SHARED, b->memory, 0);
  g_assert_true (b->map != MAP_FAILED);
  b->fd = -1;
  gint maker = open ("/dev/udmabuf", O_RDWR | O_CLOEXEC);
  if (maker >= 0) {
    struct udmabuf_create create = { .memfd = (guint32) b->memory, .flags = UDMABUF_FLAGS_CLOEXEC, .size = b->size };
    b->fd = ioctl (maker, UDMABUF_CREATE, &create);
    close (maker);
  }
  if (b->fd < 0)
    b->fd = dup (b->memory);
}

static void
buffer_finish (Buffer *b)
{
  munmap (b->map, b->size);
  close (b->fd);
  close (b->memory);
}

/* Bytes that a frame of @format takes from @offset on, and where its planes lie; rows are words, columns eights. */
static gsize
lay_out (DeimFormat format, guint width, guint height, gsize offset, DeimFrame *frame, DeimDmabuf *at)
{
  const DeimFormatInfo *info = deim_format_get_info (format);
  memset (at, 0, sizeof *at);
  *frame = (DeimFrame){ .format = format, .width = width, .height = height, .dmabuf = at };
  for (guint k = 0; k < info->n_planes; k++) {
    at->offset[k] = offset;
    frame->stride[k] = (deim_format_row_bytes (info, k, (width + 7) & ~7u) + 3u) & ~3u;
    offset += (gsize) frame->stride[k] * deim_format_rows (info, k, height);
  }
  return offset;
}

static void
fill (Buffer *b, guint32 seed)
{
  for (gsize i = 0; i < b->size; i++) {
    seed = seed * 1664525u + 1013904223u;
    b->map[i] = (guint8) (seed >> 24);
  }
}

static void
set_fd (DeimDmabuf *at, gint fd)
{
  for (guint k = 0; k < G_N_ELEMENTS (at->fd); k++)
    at->fd[k] = fd;
}

/* ----------------------------------------------------------------- frames */

static GArray *
detect (Fixture *f, const DeimFrame *frame)
{
  g_autoptr (GError) error = NULL;
  guint64 ticket = 0;
  deim_detector_submit (f->detector, frame, &ticket, &error);
  g_assert_no_error (error);
  GArray *found = deim_detector_collect (f->detector, ticket, &error);
  g_assert_no_error (error);
  return found;
}

/* The same frame, copied out of @b. */
static GArray *
detect_copy (Fixture *f, const DeimFrame *frame, const Buffer *b)
{
  DeimFrame copy = *frame;
  for (guint k = 0; k < 4; k++)
    copy.data[k] = b->map + frame->dmabuf->offset[k];
  copy.dmabuf = NULL;
  return detect (f, &copy);
}

static gboolean
is_same (const GArray *a, const GArray *b)
{
  return a->len == b->len && memcmp (a->data, b->data, a->len * sizeof (DeimDetection)) == 0;
}

static void
assert_refused (Fixture *f, const DeimFrame *frame, DeimError code, const gchar *words)
{
  g_autoptr (GError) error = NULL;
  guint64 ticket = 77;
  g_assert_false (deim_detector_submit (f->detector, frame, &ticket, &error));
  g_assert_error (error, DEIM_ERROR, (gint) code);
  g_test_message ("%s", error->message);
  g_assert_nonnull (strstr (error->message, words));
  g_assert_cmpuint (ticket, ==, 77);
}

/* Every format, an odd size, whole and in part. */
static void
test_formats (Fixture *f, gconstpointer data)
{
  NEEDS_IMPORT (f);
  for (DeimFormat format = DEIM_FORMAT_INVALID + 1; format < DEIM_FORMAT_LAST; format++)
    for (guint part = 0; part < 2; part++) {
      Buffer b;
      DeimFrame frame;
      DeimDmabuf at;
      buffer_init (&b, lay_out (format, 161, 91, part * 128, &frame, &at));
      fill (&b, (guint32) format);
      set_fd (&at, b.fd);
      if (part) {
        frame.region_x = 13;
        frame.region_y = 7;
        frame.region_w = 101;
        frame.region_h = 55;
      }
      g_autoptr (GArray) a = detect (f, &frame);
      g_autoptr (GArray) c = detect_copy (f, &frame, &b);
      if (!is_same (a, c))
        g_error ("%s, %s: not what a copy gives", deim_format_to_name (format), part ? "a part" : "whole");
      buffer_finish (&b);
    }
}

static guint
count_fds (void)
{
  g_autoptr (GDir) dir = g_dir_open ("/proc/self/fd", 0, NULL);
  guint n = 0;
  while (g_dir_read_name (dir))
    n++;
  return n;
}

/* A pool of buffers goes round and round, then another pool takes its place: each frame is its own, nothing piles up,
 * and a descriptor may be closed when the frame is submitted. */
static void
test_pools (Fixture *f, gconstpointer data)
{
  NEEDS_IMPORT (f);
  enum { BUFFERS = 5, POOLS = 10 };
  guint before = count_fds (), most = 0;
  for (guint pool = 0; pool < POOLS; pool++) {
    Buffer b[BUFFERS];
    DeimFrame frame;
    DeimDmabuf at;
    for (guint i = 0; i < BUFFERS; i++)
      buffer_init (&b[i], lay_out (DEIM_FORMAT_NV12, 64, 48, 0, &frame, &at));
    for (guint round = 0; round < 3; round++)
      for (guint i = 0; i < BUFFERS; i++) {
        fill (&b[i], pool * 100 + round * 10 + i);
        g_autoptr (GArray) expected = detect_copy (f, &frame, &b[i]);
        gint passing = dup (b[i].fd);
        set_fd (&at, passing);
        g_autoptr (GError) error = NULL;
        guint64 ticket = 0;
        deim_detector_submit (f->detector, &frame, &ticket, &error);
        g_assert_no_error (error);
        close (passing);
        g_autoptr (GArray) found = deim_detector_collect (f->detector, ticket, &error);
        g_assert_no_error (error);
        g_assert_true (is_same (found, expected));
      }
    for (guint i = 0; i < BUFFERS; i++)
      buffer_finish (&b[i]);
    most = MAX (most, count_fds ());
  }
  /* A slot keeps 32 imports at most, and a driver a descriptor or two for each. */
  g_test_message ("%u descriptors before, %u at most", before, most);
  g_assert_cmpuint (most, <=, before + 2 * 2 * 32);
  g_clear_pointer (&f->detector, deim_detector_unref);
  g_assert_cmpuint (count_fds (), <=, before);
}

/* Imports of a pool that is gone are given up, though other buffers keep coming. */
static void
test_forgotten (Fixture *f, gconstpointer data)
{
  NEEDS_IMPORT (f);
  DeimFrame frame;
  DeimDmabuf at;
  gsize size = lay_out (DEIM_FORMAT_GRAY8, 32, 32, 0, &frame, &at);
  guint before = count_fds ();
  for (guint i = 0; i < 20; i++) {
    Buffer b;
    buffer_init (&b, size);
    set_fd (&at, b.fd);
    g_array_unref (detect (f, &frame));
    buffer_finish (&b);
  }
  guint many = count_fds ();
  Buffer last[2];
  for (guint i = 0; i < 2; i++)
    buffer_init (&last[i], size);
  for (guint i = 0; i < 300; i++) {
    set_fd (&at, last[i / 299].fd);
    g_array_unref (detect (f, &frame));
  }
  for (guint i = 0; i < 2; i++)
    buffer_finish (&last[i]);
  g_test_message ("%u descriptors, %u after 20 buffers, %u when these are long gone", before, many, count_fds ());
  g_assert_cmpuint (many, >, before + 10);
  g_assert_cmpuint (count_fds (), <, before + 10);
}

/* Both ways in turn, and other sizes in between. */
static void
test_mixed (Fixture *f, gconstpointer data)
{
  NEEDS_IMPORT (f);
  Buffer b;
  DeimFrame small, large;
  DeimDmabuf small_at, large_at;
  gsize end = lay_out (DEIM_FORMAT_I420, 64, 48, 0, &small, &small_at);
  buffer_init (&b, lay_out (DEIM_FORMAT_RGBA, 100, 70, (end + 63) & ~(gsize) 63, &large, &large_at));
  fill (&b, 3);
  set_fd (&small_at, b.fd);
  set_fd (&large_at, b.fd);
  g_autoptr (GArray) a = detect (f, &small);
  g_autoptr (GArray) c = detect (f, &large);
  for (guint i = 0; i < 3; i++) {
    g_autoptr (GArray) a2 = i % 2 ? detect (f, &small) : detect_copy (f, &small, &b);
    g_autoptr (GArray) c2 = i % 2 ? detect_copy (f, &large, &b) : detect (f, &large);
    g_assert_true (is_same (a, a2) && is_same (c, c2) && !is_same (a, c));
  }
  buffer_finish (&b);
}

static void
test_refused (Fixture *f, gconstpointer data)
{
  Buffer b, other;
  DeimFrame frame;
  DeimDmabuf at;
  buffer_init (&b, lay_out (DEIM_FORMAT_NV12, 64, 48, 0, &frame, &at));
  buffer_init (&other, b.size);
  set_fd (&at, b.fd);
  if (!deim_device_imports_dmabuf (f->device)) {
    assert_refused (f, &frame, DEIM_ERROR_UNSUPPORTED, "DMABuf");
  } else {
    at.fd[1] = other.fd;
    assert_refused (f, &frame, DEIM_ERROR_UNSUPPORTED, "several DMABufs");
    set_fd (&at, b.fd);
    frame.stride[0] = 66;
    assert_refused (f, &frame, DEIM_ERROR_UNSUPPORTED, "rows of 66 bytes");
    frame.stride[0] = 64;
    at.offset[1] = b.size;
    assert_refused (f, &frame, DEIM_ERROR_UNSUPPORTED, "bytes of memory");
    at.offset[1] = 64 * 48;
    gint nothing[2];
    g_assert_cmpint (pipe (nothing), ==, 0);
    set_fd (&at, nothing[0]);
    assert_refused (f, &frame, DEIM_ERROR_UNSUPPORTED, "");
    close (nothing[0]);
    close (nothing[1]);
    set_fd (&at, nothing[0]);
    assert_refused (f, &frame, DEIM_ERROR_SETTINGS, "file descriptor");
  }
  set_fd (&at, -1);
  assert_refused (f, &frame, DEIM_ERROR_SETTINGS, "plane 0");
  /* The copy still works, and so does the slot. */
  set_fd (&at, b.fd);
  fill (&b, 1);
  g_array_unref (detect_copy (f, &frame, &b));
  g_array_unref (detect_copy (f, &frame, &b));
  buffer_finish (&b);
  buffer_finish (&other);
}

/* Told not to, with the reason where people look for it. */
static void
test_disabled (void)
{
  g_setenv ("DEIM_DISABLE", "dmabuf", TRUE);
  Fixture f;
  set_up (&f, NULL);
  g_unsetenv ("DEIM_DISABLE");
  g_autofree gchar *text = deim_device_describe (f.device);
  g_assert_nonnull (strstr (text, "dmabuf    off"));
  g_assert_false (deim_device_imports_dmabuf (f.device));
  Buffer b;
  DeimFrame frame;
  DeimDmabuf at;
  buffer_init (&b, lay_out (DEIM_FORMAT_NV12, 64, 48, 0, &frame, &at));
  set_fd (&at, b.fd);
  assert_refused (&f, &frame, DEIM_ERROR_UNSUPPORTED,
                  strstr (text, "DEIM_DISABLE") ? "DEIM_DISABLE" : "VK_EXT_external_memory_dma_buf");
  buffer_finish (&b);
  tear_down (&f, NULL);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(path, function) g_test_add ("/dmabuf/" path, Fixture, NULL, set_up, function, tear_down)
  ADD ("formats", test_formats);
  ADD ("pools", test_pools);
  ADD ("forgotten", test_forgotten);
  ADD ("mixed", test_mixed);
  ADD ("refused", test_refused);
  g_test_add_func ("/dmabuf/disabled", test_disabled);
  int status = g_test_run ();
  if (deim_gpu_get_validation_messages () != 0) {
    g_printerr ("the validation layer had %u messages\n", deim_gpu_get_validation_messages ());
    return 1;
  }
  return status;
}
