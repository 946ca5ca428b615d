/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * tsan-glib.c - tells ThreadSanitizer about GLib's locks. GLib's own mutexes, conditions and reference counts are made
 * of futexes and atomic instructions inside a library that was built without the sanitizer, which therefore takes all
 * that they order for races. These functions stand before GLib's of the same names, call them, and say what they order.
 *
 * Linked into test programs of a build with -Db_sanitize=thread only.
 */
#include <dlfcn.h>
#include <glib.h>

void __tsan_acquire (void *addr);
void __tsan_release (void *addr);

/* The function that is hidden behind ours. */
#define REAL(name)                                                                                                     \
  static __typeof__ (name) *real;                                                                                      \
  if (!real)                                                                                                           \
  *(void **) &real = dlsym (RTLD_NEXT, #name)

#define EXPORT __attribute__ ((visibility ("default"), no_sanitize_thread))

EXPORT void
g_mutex_lock (GMutex *mutex)
{
  REAL (g_mutex_lock);
  real (mutex);
  __tsan_acquire (mutex);
}

EXPORT gboolean
g_mutex_trylock (GMutex *mutex)
{
  REAL (g_mutex_trylock);
  gboolean taken = real (mutex);
  if (taken)
    __tsan_acquire (mutex);
  return taken;
}

EXPORT void
g_mutex_unlock (GMutex *mutex)
{
  REAL (g_mutex_unlock);
  __tsan_release (mutex);
  real (mutex);
}

EXPORT void
g_cond_wait (GCond *cond, GMutex *mutex)
{
  REAL (g_cond_wait);
  __tsan_release (mutex);
  real (cond, mutex);
  __tsan_acquire (mutex);
}

EXPORT gboolean
g_cond_wait_until (GCond *cond, GMutex *mutex, gint64 end_time)
{
  REAL (g_cond_wait_until);
  __tsan_release (mutex);
  gboolean signalled = real (cond, mutex, end_time);
  __tsan_acquire (mutex);
  return signalled;
}

EXPORT void
g_rec_mutex_lock (GRecMutex *mutex)
{
  REAL (g_rec_mutex_lock);
  real (mutex);
  __tsan_acquire (mutex);
}

EXPORT void
g_rec_mutex_unlock (GRecMutex *mutex)
{
  REAL (g_rec_mutex_unlock);
  __tsan_release (mutex);
  real (mutex);
}

EXPORT
gboolean (g_atomic_ref_count_dec) (gatomicrefcount *count)
{
  static gboolean (*real) (gatomicrefcount *);
  if (!real)
    *(void **) &real = dlsym (RTLD_NEXT, "g_atomic_ref_count_dec");
  __tsan_release (count);
  gboolean last = real (count);
  if (last)
    __tsan_acquire (count);
  return last;
}

EXPORT GThread *
g_thread_new (const gchar *name, GThreadFunc func, gpointer data)
{
  REAL (g_thread_new);
  __tsan_release (data);
  return real (name, func, data);
}

/* A thread pool's queue is inside of GLib: what is pushed comes before the work, the work before the pool's end. */
typedef struct {
  GFunc func;
  gpointer user_data;
} Pool;

static void __attribute__ ((no_sanitize_thread)) work (gpointer data, gpointer user_data)
{
  Pool *pool = user_data;
  __tsan_acquire (pool);
  pool->func (data, pool->user_data);
  __tsan_release (pool);
}

EXPORT GThreadPool *
g_thread_pool_new (GFunc func, gpointer user_data, gint max_threads, gboolean exclusive, GError **error)
{
  REAL (g_thread_pool_new);
  Pool *pool = g_new (Pool, 1); /* stays: its address stands for the pool */
  *pool = (Pool){ func, user_data };
  return real (work, pool, max_threads, exclusive, error);
}

EXPORT gboolean
g_thread_pool_push (GThreadPool *pool, gpointer data, GError **error)
{
  REAL (g_thread_pool_push);
  if (pool->func == work)
    __tsan_release (pool->user_data);
  return real (pool, data, error);
}

EXPORT void
g_thread_pool_free (GThreadPool *pool, gboolean immediate, gboolean wait)
{
  REAL (g_thread_pool_free);
  gpointer ours = pool->func == work ? pool->user_data : NULL;
  real (pool, immediate, wait);
  if (ours && wait)
    __tsan_acquire (ours);
}
