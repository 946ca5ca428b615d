/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * gstdeimengine.c - weak tables of models, devices and networks, and engine errors as bus messages.
 */
#include "gstdeimengine.h"

#include <glib/gstdio.h>

/* One shared object. It stands in its pool's table from before it is made until after it is destroyed, so that nobody
 * makes it twice, and a device is closed before it is opened again. A forgotten one lives on for its present users
 * only.
 */
typedef struct {
  gchar *name;
  gchar *settings; /* that its users agree about: lines of "name=value" */
  gpointer object;
  guint users;
  gboolean changing; /* it is being made or destroyed */
  gboolean forgotten;
} Shared;

/* Making and destroying take long and happen outside of the lock: who wants the same object waits, others do not. */
typedef struct {
  GMutex lock;
  GCond changed;     /* no longer `changing` */
  GHashTable *table; /* name -> Shared, borrowed; NULL while empty */
  GDestroyNotify destroy;
} Pool;

struct _GstDeimEngine {
  Shared *model;
  Shared *device;
  Shared *network; /* a DeimEngine; NULL before the first detector */
  gchar *instance_id;
  gchar *settings;
  DeimDetectorOptions options;
};

typedef gpointer (*CreateFunc) (gconstpointer what, GError **error);

static Pool models = { .destroy = (GDestroyNotify) deim_model_unref };
static Pool devices = { .destroy = (GDestroyNotify) deim_device_unref };
static Pool networks = { .destroy = (GDestroyNotify) deim_engine_unref };

/* The first line in which the settings differ, said so that a user knows which property to change. */
static void
set_disagreement (const Shared *shared, const gchar *settings, GError **error)
{
  g_auto (GStrv) theirs = g_strsplit (shared->settings, "\n", -1), ours = g_strsplit (settings, "\n", -1);
  guint i = 0;
  while (theirs[i] && ours[i] && g_str_equal (theirs[i], ours[i]))
    i++;
  g_set_error (
      error, DEIM_ERROR, DEIM_ERROR_SETTINGS,
      "the engine model-instance-id=%s of another element has %s, this element wants %s: elements of one id need "
      "the same settings of the network; make them equal, or give this element another id",
      shared->name, theirs[i] ? theirs[i] : "none", ours[i] ? ours[i] : "none");
}

/* The lock is held from here on, up to pool_take(). */
static Shared *
find_settled (Pool *pool, const gchar *name)
{
  Shared *shared;
  while ((shared = pool->table ? g_hash_table_lookup (pool->table, name) : NULL) && shared->changing)
    g_cond_wait (&pool->changed, &pool->lock);
  return shared;
}

static Shared *
add_shared (Pool *pool, const gchar *name, const gchar *settings)
{
  Shared *shared = g_new0 (Shared, 1);
  shared->name = g_strdup (name);
  shared->settings = g_strdup (settings);
  if (!pool->table)
    pool->table = g_hash_table_new (g_str_hash, g_str_equal);
  g_hash_table_insert (pool->table, shared->name, shared);
  return shared;
}

static void
forget_shared (Pool *pool, Shared *shared)
{
  if (shared->forgotten)
    return;
  shared->forgotten = TRUE;
  g_hash_table_remove (pool->table, shared->name);
  if (g_hash_table_size (pool->table) == 0)
    g_clear_pointer (&pool->table, g_hash_table_unref);
}

static void
remove_shared (Pool *pool, Shared *shared)
{
  forget_shared (pool, shared);
  g_free (shared->name);
  g_free (shared->settings);
  g_free (shared);
}

static void
begin_change (Pool *pool, Shared *shared)
{
  shared->changing = TRUE;
  g_mutex_unlock (&pool->lock);
}

static void
end_change (Pool *pool, Shared *shared)
{
  g_mutex_lock (&pool->lock);
  shared->changing = FALSE;
  g_cond_broadcast (&pool->changed);
}

/* Finds or creates what is called @name. */
static Shared *
pool_take (Pool *pool, const gchar *name, const gchar *settings, CreateFunc create, gconstpointer what, GError **error)
{
  g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&pool->lock);
  Shared *shared = find_settled (pool, name);
  if (shared && !g_str_equal (shared->settings, settings)) {
    set_disagreement (shared, settings, error);
    return NULL;
  }
  if (!shared) {
    shared = add_shared (pool, name, settings);
    begin_change (pool, shared);
    shared->object = create (what, error);
    end_change (pool, shared);
    if (!shared->object) {
      remove_shared (pool, shared);
      return NULL;
    }
  }
  shared->users++;
  return shared;
}

static void
pool_give (Pool *pool, Shared *shared)
{
  if (!shared)
    return;
  g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&pool->lock);
  if (--shared->users > 0)
    return;
  begin_change (pool, shared);
  pool->destroy (shared->object);
  end_change (pool, shared);
  remove_shared (pool, shared);
}

static void
pool_forget (Pool *pool, Shared *shared)
{
  g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&pool->lock);
  if (shared)
    forget_shared (pool, shared);
}

static gpointer
create_model (gconstpointer what, GError **error)
{
  const GstDeimEngineKey *key = what;
  DeimModelOptions options = { .labels_file = key->labels_file };
  return deim_model_load (key->model, &options, error);
}

static gpointer
create_device (gconstpointer what, GError **error)
{
  const GstDeimEngineKey *key = what;
  return deim_device_open_full (key->device, key->cache_dir, error);
}

static gpointer
create_network (gconstpointer what, GError **error)
{
  const GstDeimEngine *engine = what;
  return deim_engine_new (engine->model->object, engine->device->object, &engine->options, error);
}

/* A file under the same name is another model once its size or time has changed. */
static void
append_file (GString *settings, const gchar *property, const gchar *path)
{
  GStatBuf info = { 0 };
  if (path && g_stat (path, &info) != 0)
    info.st_size = -1;
  g_string_append_printf (settings, "%s=%s\nthe file of %s=%" G_GINT64_FORMAT " bytes of %" G_GINT64_FORMAT ".%09ld\n",
                          property, path ? path : "", property, (gint64) info.st_size, (gint64) info.st_mtim.tv_sec,
                          (long) info.st_mtim.tv_nsec);
}

GstDeimEngine *
gst_deim_engine_new (const GstDeimEngineKey *key, GError **error)
{
  static const gchar *const precisions[] = { "auto", "fp32", "fp16" };
  g_autoptr (GString) settings = g_string_new (NULL);
  append_file (settings, "model", key->model);
  append_file (settings, "labels-file", key->labels_file);
  Shared *model = pool_take (&models, settings->str, settings->str, create_model, key, error);
  if (!model)
    return NULL;
  g_autofree gchar *place = g_strdup_printf ("device=%s\ncache-dir=%s\n", key->device ? key->device : "",
                                             key->cache_dir ? key->cache_dir : "");
  Shared *device = pool_take (&devices, place, place, create_device, key, error);
  if (!device) {
    pool_give (&models, model);
    return NULL;
  }
  g_string_append_printf (settings, "%sprecision=%s\nmax-detections=%u\nbatch-size=%u\nbatch-timeout=%u\n", place,
                          precisions[key->precision], key->max_detections, key->batch_size, key->batch_timeout);
  GstDeimEngine *engine = g_new0 (GstDeimEngine, 1);
  engine->model = model;
  engine->device = device;
  engine->instance_id = g_strdup (key->instance_id);
  engine->settings = g_string_free (g_steal_pointer (&settings), FALSE);
  engine->options = (DeimDetectorOptions){ .precision = key->precision,
                                           .max_detections = key->max_detections,
                                           .batch = key->batch_size,
                                           .batch_timeout = key->batch_timeout };
  return engine;
}

void
gst_deim_engine_free (GstDeimEngine *engine)
{
  if (!engine)
    return;
  pool_give (&networks, engine->network);
  pool_give (&models, engine->model);
  pool_give (&devices, engine->device);
  g_free (engine->instance_id);
  g_free (engine->settings);
  g_free (engine);
}

DeimModel *
gst_deim_engine_get_model (GstDeimEngine *engine)
{
  return engine->model->object;
}

DeimDevice *
gst_deim_engine_get_device (GstDeimEngine *engine)
{
  return engine->device->object;
}

DeimDetector *
gst_deim_engine_new_detector (GstDeimEngine *engine, guint in_flight, DeimResize resize, GError **error)
{
  gboolean named = engine->instance_id && *engine->instance_id;
  if (!engine->network)
    engine->network = pool_take (&networks, named ? engine->instance_id : engine->settings, engine->settings,
                                 create_network, engine, error);
  if (!engine->network)
    return NULL;
  return deim_engine_add_detector (engine->network->object, in_flight, resize, error);
}

void
gst_deim_engine_forget_device (GstDeimEngine *engine)
{
  pool_forget (&devices, engine->device);
  pool_forget (&networks, engine->network);
}

typedef struct {
  GQuark domain;
  gint code;
} BusError;

static BusError
bus_error_of (const GError *error)
{
  if (error->domain != DEIM_ERROR)
    return (BusError){ GST_LIBRARY_ERROR, GST_LIBRARY_ERROR_FAILED };
  switch ((DeimError) error->code) {
  case DEIM_ERROR_NOT_FOUND:
  case DEIM_ERROR_NO_DEVICE:
    return (BusError){ GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_NOT_FOUND };
  case DEIM_ERROR_READ:
    return (BusError){ GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_OPEN_READ };
  case DEIM_ERROR_WRITE:
    return (BusError){ GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_OPEN_WRITE };
  case DEIM_ERROR_FORMAT:
  case DEIM_ERROR_ARCHITECTURE:
    return (BusError){ GST_STREAM_ERROR, GST_STREAM_ERROR_WRONG_TYPE };
  case DEIM_ERROR_SETTINGS:
  case DEIM_ERROR_UNSUPPORTED:
    return (BusError){ GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_SETTINGS };
  case DEIM_ERROR_DEVICE_LOST:
    return (BusError){ GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_FAILED };
  case DEIM_ERROR_MEMORY:
    return (BusError){ GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_NO_SPACE_LEFT };
  case DEIM_ERROR_BUSY:
    return (BusError){ GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_BUSY };
  case DEIM_ERROR_DEVICE:
    break;
  }
  return (BusError){ GST_LIBRARY_ERROR, GST_LIBRARY_ERROR_FAILED };
}

void
gst_deim_post_error_at (GstElement *element, const GError *error, const gchar *doing, const gchar *file,
                        const gchar *function, gint line)
{
  BusError bus = bus_error_of (error);
  /* What the engine advises then is for programs. */
  gboolean lost = g_error_matches (error, DEIM_ERROR, DEIM_ERROR_DEVICE_LOST);
  const gchar *text = lost ? "The device was lost; set the pipeline to NULL and start it again." : error->message;
  /* gst_element_message_full() takes both texts. */
  gst_element_message_full (element, GST_MESSAGE_ERROR, bus.domain, bus.code, g_strdup (text),
                            g_strdup_printf ("%s failed (%s, code %d): %s", doing, g_quark_to_string (error->domain),
                                             error->code, error->message),
                            file, function, line);
}
