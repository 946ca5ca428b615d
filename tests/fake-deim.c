/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fake-deim.c - see fake-deim.h. */
#include "fake-deim.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "fake-stages.h"

/* clang-format off */
G_DEFINE_QUARK (deim-error, deim_error)
/* clang-format on */

struct _DeimDevice {
  gatomicrefcount refs;
  gboolean no_cache;
};

struct _DeimModel {
  gatomicrefcount refs;
  DeimModelInfo info;
  gchar **labels;
};

typedef enum { FREE, PENDING, DROPPED } SlotState;

typedef struct {
  SlotState state;
  guint64 ticket;
  gint64 ends; /* monotonic */
  DeimFrame frame;
  guint8 first;
} Slot;

struct _DeimEngine {
  gatomicrefcount refs;
  DeimModel *model;
  DeimDevice *device;
  gint64 busy_until; /* one frame after the other, of whichever stream */
  guint64 frames;
};

struct _DeimDetector {
  gatomicrefcount refs;
  DeimEngine *engine;
  guint n_slots;
  Slot slots[16];
  gboolean resting, flushing;
  guint64 next_ticket;
};

/* One lock for everything: the fake is not about speed. */
static GMutex lock;
static GCond changed;
static gboolean gate_open = TRUE, nothing_found, company;
static gint64 opened; /* monotonic: the gate, last */
static FakeDmabuf dmabuf;
static guint delay_ms;
static gint victim = -1;
static FakeDeimCounts counts;

/* ------------------------------------------------------------------ control */

gchar *
fake_deim_write_model (guint num_classes)
{
  g_autoptr (GError) error = NULL;
  gchar *path = NULL;
  gint fd = g_file_open_tmp ("fake-deim-XXXXXX", &path, &error);
  g_assert_no_error (error);
  close (fd);
  g_autofree gchar *text = g_strdup_printf ("fake %u", num_classes);
  g_file_set_contents (path, text, -1, &error);
  g_assert_no_error (error);
  return path;
}

void
fake_deim_reset (void)
{
  g_mutex_lock (&lock);
  g_assert_cmpuint (counts.live, ==, 0);
  gate_open = TRUE;
  opened = 0;
  nothing_found = FALSE;
  company = FALSE;
  dmabuf = FAKE_DMABUF_NONE;
  delay_ms = 0;
  fake_stages_reset ();
  victim = -1;
  counts = (FakeDeimCounts){ 0 };
  g_mutex_unlock (&lock);
}

void
fake_deim_set_gate (gboolean open)
{
  g_mutex_lock (&lock);
  gate_open = open;
  opened = g_get_monotonic_time ();
  g_cond_broadcast (&changed);
  g_mutex_unlock (&lock);
}

void
fake_deim_set_company (gboolean wanted)
{
  g_mutex_lock (&lock);
  company = wanted;
  g_mutex_unlock (&lock);
}

void
fake_deim_set_delay (guint milliseconds)
{
  g_mutex_lock (&lock);
  delay_ms = milliseconds;
  g_mutex_unlock (&lock);
}

void
fake_deim_set_victim (gint first)
{
  g_mutex_lock (&lock);
  victim = first;
  g_mutex_unlock (&lock);
}

void
fake_deim_set_nothing (gboolean nothing)
{
  g_mutex_lock (&lock);
  nothing_found = nothing;
  g_mutex_unlock (&lock);
}

void
fake_deim_set_dmabuf (FakeDmabuf can)
{
  g_mutex_lock (&lock);
  dmabuf = can;
  g_mutex_unlock (&lock);
}

FakeDeimCounts
fake_deim_get_counts (void)
{
  g_mutex_lock (&lock);
  FakeDeimCounts copy = counts;
  g_mutex_unlock (&lock);
  return copy;
}

static void
count_live (gint change)
{
  g_mutex_lock (&lock);
  counts.live += (guint) change;
  g_mutex_unlock (&lock);
}

/* --------------------------------------------------------- device and model */

DeimDevice *
deim_device_open_full (const gchar *selector, const gchar *cache_dir, GError **error)
{
  if (selector && strcmp (selector, "none") == 0) {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_NO_DEVICE, "no Vulkan device is called \"%s\"", selector);
    return NULL;
  }
  if (!fake_stages_enter (FAKE_OPEN, error))
    return NULL;
  DeimDevice *device = g_new0 (DeimDevice, 1);
  g_atomic_ref_count_init (&device->refs);
  device->no_cache = cache_dir && g_str_has_prefix (cache_dir, "/proc/");
  count_live (1);
  g_mutex_lock (&lock);
  counts.devices_opened++;
  g_strlcpy (counts.cache_dir, cache_dir ? cache_dir : "", sizeof counts.cache_dir);
  g_mutex_unlock (&lock);
  return device;
}

DeimDevice *
deim_device_ref (DeimDevice *device)
{
  g_atomic_ref_count_inc (&device->refs);
  return device;
}

void
deim_device_unref (DeimDevice *device)
{
  if (!g_atomic_ref_count_dec (&device->refs))
    return;
  g_free (device);
  count_live (-1);
}

gboolean
deim_device_check_cache (DeimDevice *device, GError **error)
{
  if (device->no_cache)
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_WRITE, "the folder cannot be made");
  return !device->no_cache;
}

const gchar *
deim_device_get_name (DeimDevice *device)
{
  return "fake";
}

gboolean
deim_device_imports_dmabuf (DeimDevice *device)
{
  g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&lock);
  return dmabuf != FAKE_DMABUF_NONE;
}

static gboolean
read_labels (const gchar *path, guint num_classes, gchar ***labels, GError **error)
{
  g_autofree gchar *text = NULL;
  if (!g_file_get_contents (path, &text, NULL, NULL)) {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_NOT_FOUND, "no labels file \"%s\"", path);
    return FALSE;
  }
  g_auto (GStrv) lines = g_strsplit (g_strchomp (text), "\n", -1);
  if (g_strv_length (lines) != num_classes) {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_SETTINGS, "%s has %u labels, the model has %u classes", path,
                 g_strv_length (lines), num_classes);
    return FALSE;
  }
  *labels = g_steal_pointer (&lines);
  return TRUE;
}

DeimModel *
deim_model_load (const gchar *path, const DeimModelOptions *options, GError **error)
{
  g_autofree gchar *text = NULL;
  g_autoptr (GError) io = NULL;
  guint64 num_classes;
  if (!fake_stages_enter (FAKE_LOAD, error))
    return NULL;
  if (g_str_equal (path, DEIM_MODEL_DEFAULT)) {
    text = g_strdup ("fake 6");
  } else if (!g_file_get_contents (path, &text, NULL, &io)) {
    gboolean missing = g_error_matches (io, G_FILE_ERROR, G_FILE_ERROR_NOENT);
    g_set_error (error, DEIM_ERROR, missing ? DEIM_ERROR_NOT_FOUND : DEIM_ERROR_READ, "%s", io->message);
    return NULL;
  }
  if (!g_str_has_prefix (text, "fake ") ||
      !g_ascii_string_to_unsigned (g_strchomp (text) + 5, 10, 1, 1000, &num_classes, NULL)) {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_FORMAT, "%s is not a checkpoint", path);
    return NULL;
  }
  g_auto (GStrv) labels = NULL;
  if (options && options->labels_file) {
    if (!read_labels (options->labels_file, (guint) num_classes, &labels, error))
      return NULL;
  } else {
    labels = g_new0 (gchar *, num_classes + 1);
    for (guint i = 0; i < num_classes; i++)
      labels[i] = g_strdup_printf ("class %u", i);
  }
  DeimModel *model = g_new0 (DeimModel, 1);
  g_atomic_ref_count_init (&model->refs);
  model->info = (DeimModelInfo){ .arch = "fake", .num_classes = (guint) num_classes, .num_queries = 256 };
  model->labels = g_steal_pointer (&labels);
  count_live (1);
  g_mutex_lock (&lock);
  counts.models_loaded++;
  g_mutex_unlock (&lock);
  return model;
}

DeimModel *
deim_model_ref (DeimModel *model)
{
  g_atomic_ref_count_inc (&model->refs);
  return model;
}

void
deim_model_unref (DeimModel *model)
{
  if (!g_atomic_ref_count_dec (&model->refs))
    return;
  g_strfreev (model->labels);
  g_free (model);
  count_live (-1);
}

const DeimModelInfo *
deim_model_get_info (DeimModel *model)
{
  return &model->info;
}

const gchar *
deim_model_get_label (DeimModel *model, guint index)
{
  return model->labels[index];
}

static const gchar *const notes[] = { "input size 8x8 (height x width): a default", NULL };

const gchar *const *
deim_model_get_notes (DeimModel *model)
{
  return notes;
}

const gchar *const *
deim_model_get_guesses (DeimModel *model)
{
  return notes;
}

/* In the order of DeimFormat. */
static const gchar *const formats[DEIM_FORMAT_LAST] = {
  "",      "RGB",  "BGR",  "RGBx", "BGRx", "xRGB", "xBGR", "RGBA", "BGRA", "ARGB",      "ABGR",
  "GRAY8", "I420", "YV12", "NV12", "NV21", "YUY2", "UYVY", "Y42B", "Y444", "P010_10LE", "I420_10LE",
};

DeimFormat
deim_format_from_name (const gchar *name)
{
  for (guint i = 1; i < DEIM_FORMAT_LAST; i++)
    if (strcmp (formats[i], name) == 0)
      return (DeimFormat) i;
  return DEIM_FORMAT_INVALID;
}

/* And no deim_set_log_func(), which is the program's. */
void
deim_set_default_log_func (DeimLogFunc func, gpointer user_data)
{
}

/* ----------------------------------------------------------------- detector */

DeimEngine *
deim_engine_new (DeimModel *model, DeimDevice *device, const DeimDetectorOptions *options, GError **error)
{
  if (!fake_stages_enter (FAKE_MAKE, error))
    return NULL;
  DeimEngine *engine = g_new0 (DeimEngine, 1);
  g_atomic_ref_count_init (&engine->refs);
  engine->model = deim_model_ref (model);
  engine->device = deim_device_ref (device);
  count_live (1);
  g_mutex_lock (&lock);
  counts.engines_made++;
  counts.options = *options;
  g_mutex_unlock (&lock);
  return engine;
}

void
deim_engine_unref (DeimEngine *engine)
{
  if (!g_atomic_ref_count_dec (&engine->refs))
    return;
  deim_model_unref (engine->model);
  deim_device_unref (engine->device);
  g_free (engine);
  count_live (-1);
}

DeimDetector *
deim_engine_add_detector (DeimEngine *engine, guint in_flight, DeimResize resize, GError **error)
{
  DeimDetector *detector = g_new0 (DeimDetector, 1);
  g_atomic_ref_count_init (&detector->refs);
  g_atomic_ref_count_inc (&engine->refs);
  detector->engine = engine;
  detector->n_slots = in_flight;
  detector->next_ticket = 1;
  count_live (1);
  g_mutex_lock (&lock);
  counts.options.in_flight = in_flight;
  counts.options.resize = resize;
  g_mutex_unlock (&lock);
  return detector;
}

DeimDetector *
deim_detector_ref (DeimDetector *detector)
{
  g_atomic_ref_count_inc (&detector->refs);
  return detector;
}

void
deim_detector_unref (DeimDetector *detector)
{
  if (!g_atomic_ref_count_dec (&detector->refs))
    return;
  deim_engine_unref (detector->engine);
  g_free (detector);
  count_live (-1);
}

void
deim_detector_get_stats (DeimDetector *detector, DeimDetectorStats *stats)
{
  g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&lock);
  *stats = (DeimDetectorStats){ .batches = detector->engine->frames, .frames = detector->engine->frames };
}

guint
deim_detector_get_in_flight (DeimDetector *detector)
{
  return detector->n_slots;
}

/* Whether the inference has ended, or will do so by itself. */
static gboolean
runs (const DeimDetector *detector)
{
  gboolean full = TRUE;
  for (guint i = 0; i < detector->n_slots; i++)
    full = full && detector->slots[i].state == PENDING;
  return gate_open && (!company || full || detector->resting);
}

static gboolean
has_ended (const DeimDetector *detector, const Slot *slot)
{
  return runs (detector) && g_get_monotonic_time () >= slot->ends;
}

/* The real one says BUSY too while dropped frames are still computed. */
static Slot *
find_free (DeimDetector *detector)
{
  for (guint i = 0; i < detector->n_slots; i++) {
    Slot *slot = &detector->slots[i];
    if (slot->state == FREE || (slot->state == DROPPED && has_ended (detector, slot)))
      return slot;
  }
  return NULL;
}

/* Asking for a ticket that is not out is a bug of the element. */
static Slot *
find_ticket (DeimDetector *detector, guint64 ticket)
{
  for (guint i = 0; i < detector->n_slots; i++)
    if (detector->slots[i].state == PENDING && detector->slots[i].ticket == ticket)
      return &detector->slots[i];
  g_error ("ticket %" G_GUINT64_FORMAT " is not out", ticket);
}

gboolean
deim_detector_submit (DeimDetector *detector, const DeimFrame *frame, guint64 *ticket, GError **error)
{
  if (!fake_stages_enter (FAKE_SUBMIT, error))
    return FALSE;
  g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&lock);
  Slot *slot = find_free (detector);
  if (!slot) {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_BUSY, "all %u frames are in flight", detector->n_slots);
    return FALSE;
  }
  if (frame->dmabuf && dmabuf != FAKE_DMABUF_READ) {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_UNSUPPORTED, "the fake was told to refuse DMABufs");
    return FALSE;
  }
  gint64 start = MAX (g_get_monotonic_time (), detector->engine->busy_until);
  detector->engine->busy_until = start + (gint64) delay_ms * 1000;
  detector->engine->frames++;
  detector->resting = FALSE;
  *slot = (Slot){ .state = PENDING,
                  .ticket = detector->next_ticket++,
                  .ends = detector->engine->busy_until,
                  .frame = *frame,
                  .first = frame->dmabuf ? 0 : frame->data[0][0] };
  *ticket = slot->ticket;
  counts.submitted++;
  counts.last = *frame;
  if (frame->dmabuf)
    counts.last_at = *frame->dmabuf;
  return TRUE;
}

GArray *
deim_detector_collect (DeimDetector *detector, guint64 ticket, GError **error)
{
  g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&lock);
  Slot *slot = find_ticket (detector, ticket);
  while (!has_ended (detector, slot)) {
    if (runs (detector))
      g_cond_wait_until (&changed, &lock, slot->ends);
    else
      g_cond_wait (&changed, &lock);
  }
  slot->state = FREE;
  counts.collected++;
  if ((victim < 0 || victim == slot->first) && !fake_stages_enter (FAKE_COLLECT, error))
    return NULL;
  GArray *found = g_array_new (FALSE, FALSE, sizeof (DeimDetection));
  if (nothing_found)
    return found;
  gfloat x = (gfloat) slot->frame.region_x, y = (gfloat) slot->frame.region_y;
  gfloat w = (gfloat) slot->frame.region_w, h = (gfloat) slot->frame.region_h;
  const DeimDetection all[] = {
    { x + w / 4, y + h / 4, x + w * 3 / 4, y + h * 3 / 4, 0.7f + (gfloat) slot->first / 1000, 0, 0 },
    { x - 10, y - 10, x + w / 4, y + h / 4, 0.6f, 1, 0 },
    { x, y, x + w, y + h, 0.2f, 2, 0 },
  };
  g_array_append_vals (found, all, G_N_ELEMENTS (all));
  return found;
}

gboolean
deim_detector_wait (DeimDetector *detector, guint64 ticket, guint64 microseconds)
{
  g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&lock);
  gint64 until = g_get_monotonic_time () + (gint64) MIN (microseconds, G_MAXINT64 / 2);
  Slot *slot = find_ticket (detector, ticket);
  while (!has_ended (detector, slot) && !detector->flushing && g_get_monotonic_time () < until)
    g_cond_wait_until (&changed, &lock, runs (detector) ? MIN (until, slot->ends) : until);
  return has_ended (detector, slot);
}

void
deim_detector_set_flushing (DeimDetector *detector, gboolean flushing)
{
  g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&lock);
  detector->flushing = flushing;
  g_cond_broadcast (&changed);
}

gint64
deim_detector_get_end_time (DeimDetector *detector, guint64 ticket)
{
  g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&lock);
  Slot *slot = find_ticket (detector, ticket);
  return has_ended (detector, slot) ? MAX (slot->ends, opened) : 0;
}

gboolean
deim_detector_is_done (DeimDetector *detector, guint64 ticket)
{
  g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&lock);
  return has_ended (detector, find_ticket (detector, ticket));
}

void
deim_detector_drop (DeimDetector *detector, guint64 ticket)
{
  g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&lock);
  find_ticket (detector, ticket)->state = DROPPED;
}

void
deim_detector_rest (DeimDetector *detector)
{
  g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&lock);
  detector->resting = TRUE;
  g_cond_broadcast (&changed);
}
