/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * gstdeimengine.c - weak tables of models and devices, and engine errors as bus messages.
 */
#include "gstdeimengine.h"

#include <glib/gstdio.h>

/* One shared object. It stands in its pool's table for as long as somebody uses it; a forgotten one lives on for its
 * present users only. */
typedef struct {
  gchar *key;
  gpointer object;
  guint users;
  gboolean forgotten;
} Shared;

typedef struct {
  GMutex lock;
  GHashTable *table; /* key -> Shared, borrowed; NULL while empty */
  GDestroyNotify destroy;
} Pool;

struct _GstDeimEngine {
  Shared *model;
  Shared *device;
  DeimPrecision precision;
};

typedef gpointer (*CreateFunc) (const GstDeimEngineKey *key, GError **error);

static Pool models = { .destroy = (GDestroyNotify) deim_model_unref };
static Pool devices = { .destroy = (GDestroyNotify) deim_device_unref };

/* Creating happens under the lock: two elements that want the same object at the same time must not load it twice. */
static Shared *
pool_take (Pool *pool, const gchar *name, CreateFunc create, const GstDeimEngineKey *key, GError **error)
{
  g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&pool->lock);
  Shared *shared = pool->table ? g_hash_table_lookup (pool->table, name) : NULL;
  if (!shared) {
    gpointer object = create (key, error);
    if (!object)
      return NULL;
    shared = g_new0 (Shared, 1);
    shared->key = g_strdup (name);
    shared->object = object;
    if (!pool->table)
      pool->table = g_hash_table_new (g_str_hash, g_str_equal);
    g_hash_table_insert (pool->table, shared->key, shared);
  }
  shared->users++;
  return shared;
}

static void
pool_forget_unlocked (Pool *pool, Shared *shared)
{
  if (shared->forgotten)
    return;
  shared->forgotten = TRUE;
  g_hash_table_remove (pool->table, shared->key);
  if (g_hash_table_size (pool->table) == 0)
    g_clear_pointer (&pool->table, g_hash_table_unref);
}

/* The object is destroyed under the lock too, so that a device is closed before the same one is opened again. */
static void
pool_give (Pool *pool, Shared *shared)
{
  if (!shared)
    return;
  g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&pool->lock);
  if (--shared->users > 0)
    return;
  pool_forget_unlocked (pool, shared);
  pool->destroy (shared->object);
  g_free (shared->key);
  g_free (shared);
}

static gpointer
create_model (const GstDeimEngineKey *key, GError **error)
{
  DeimModelOptions options = { .labels_file = key->labels_file };
  return deim_model_load (key->model, &options, error);
}

static gpointer
create_device (const GstDeimEngineKey *key, GError **error)
{
  return deim_device_open_full (key->device, key->cache_dir, error);
}

/* A file under the same name is another model once its size or time has changed. */
static void
append_file (GString *name, const gchar *path)
{
  GStatBuf info = { 0 };
  if (path && g_stat (path, &info) != 0)
    info.st_size = -1;
  g_string_append_printf (name, "%s\n%" G_GINT64_FORMAT " %" G_GINT64_FORMAT ".%ld\n", path ? path : "",
                          (gint64) info.st_size, (gint64) info.st_mtim.tv_sec, (long) info.st_mtim.tv_nsec);
}

GstDeimEngine *
gst_deim_engine_new (const GstDeimEngineKey *key, GError **error)
{
  g_autoptr (GString) model_name = g_string_new (NULL);
  append_file (model_name, key->model);
  append_file (model_name, key->labels_file);

  Shared *model = pool_take (&models, model_name->str, create_model, key, error);
  if (!model)
    return NULL;
  g_autofree gchar *device_name =
      g_strdup_printf ("%s\n%s", key->device ? key->device : "", key->cache_dir ? key->cache_dir : "");
  Shared *device = pool_take (&devices, device_name, create_device, key, error);
  if (!device) {
    pool_give (&models, model);
    return NULL;
  }
  GstDeimEngine *engine = g_new0 (GstDeimEngine, 1);
  engine->model = model;
  engine->device = device;
  engine->precision = key->precision;
  return engine;
}

void
gst_deim_engine_free (GstDeimEngine *engine)
{
  if (!engine)
    return;
  pool_give (&models, engine->model);
  pool_give (&devices, engine->device);
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
gst_deim_engine_new_detector (GstDeimEngine *engine, const DeimDetectorOptions *options, GError **error)
{
  DeimDetectorOptions own = *options;
  own.precision = engine->precision;
  return deim_detector_new (engine->model->object, engine->device->object, &own, error);
}

void
gst_deim_engine_forget_device (GstDeimEngine *engine)
{
  g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&devices.lock);
  pool_forget_unlocked (&devices, engine->device);
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
gst_deim_post_error (GstElement *element, const GError *error, const gchar *doing)
{
  BusError bus = bus_error_of (error);
  /* What the engine advises then is for programs. */
  gboolean lost = g_error_matches (error, DEIM_ERROR, DEIM_ERROR_DEVICE_LOST);
  const gchar *text = lost ? "The device was lost; set the pipeline to NULL and start it again." : error->message;
  /* gst_element_message_full() takes both texts. */
  gst_element_message_full (element, GST_MESSAGE_ERROR, bus.domain, bus.code, g_strdup (text),
                            g_strdup_printf ("%s failed (%s, code %d): %s", doing, g_quark_to_string (error->domain),
                                             error->code, error->message),
                            __FILE__, G_STRFUNC, __LINE__);
}
