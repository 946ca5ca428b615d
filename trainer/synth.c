/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* synth.c - a folder of made-up pictures, written by several threads. */
#include "synth.h"

#include "coco.h"

#include <deim.h>
#include <errno.h>
#include <glib/gstdio.h>

typedef struct {
  const DeimSynthOptions *options;
  const gchar *images; /* folder */
  GArray **objects;    /* [count] of each picture */
  GMutex lock;         /* of what follows, and of progress() */
  guint done;
  GError *error; /* the first */
} Job;

static gchar *
file_name (guint index)
{
  return g_strdup_printf ("%06u.png", index);
}

static void
write_one (gpointer data, gpointer user_data)
{
  Job *job = user_data;
  const DeimSynthOptions *options = job->options;
  guint index = GPOINTER_TO_UINT (data) - 1;
  g_autoptr (GError) error = NULL;

  g_mutex_lock (&job->lock);
  gboolean failed = job->error != NULL;
  g_mutex_unlock (&job->lock);
  if (failed)
    return;

  g_autoptr (DeimSample) sample =
      deim_synth_scene (options->split, options->width, options->height, options->seed, index);
  g_autofree gchar *name = file_name (index), *path = g_build_filename (job->images, name, NULL);
  deim_image_write_png (sample->image, path, &error);
  job->objects[index] = g_array_ref (sample->objects);

  g_mutex_lock (&job->lock);
  job->done++;
  if (error && !job->error)
    job->error = g_steal_pointer (&error);
  if (options->progress)
    options->progress (job->done, options->count, options->progress_data);
  g_mutex_unlock (&job->lock);
}

static gboolean
write_annotations (const gchar *path, const Job *job, GError **error)
{
  g_autoptr (DeimCoco) coco = deim_coco_new ();

  for (guint i = 0; i < DEIM_SYNTH_CLASSES; i++) {
    DeimCocoCategory category = { i + 1, g_strdup (deim_synth_class_name (i)) };
    g_array_append_val (coco->categories, category);
  }
  for (guint i = 0; i < job->options->count; i++) {
    DeimCocoImage image = { i + 1, file_name (i), job->options->width, job->options->height };
    g_array_append_val (coco->images, image);
    for (guint k = 0; k < job->objects[i]->len; k++) {
      const DeimObject *o = &g_array_index (job->objects[i], DeimObject, k);
      DeimCocoObject object = {
        .id = coco->objects->len + 1,
        .image = i,
        .category = o->label,
        .x = o->x1,
        .y = o->y1,
        .w = o->x2 - o->x1,
        .h = o->y2 - o->y1,
        .area = o->area,
      };
      g_array_append_val (coco->objects, object);
    }
  }
  return deim_coco_write (coco, path, error);
}

static gboolean
prepare_folder (const gchar *images, const gchar *annotations, GError **error)
{
  if (g_file_test (annotations, G_FILE_TEST_EXISTS)) {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_SETTINGS,
                 "%s is there already; choose another folder, or remove that one first", annotations);
    return FALSE;
  }
  if (g_mkdir_with_parents (images, 0777) == 0)
    return TRUE;
  g_set_error (error, DEIM_ERROR, DEIM_ERROR_WRITE, "cannot make the folder %s: %s; choose another", images,
               g_strerror (errno));
  return FALSE;
}

gboolean
deim_synth_write (const gchar *folder, const DeimSynthOptions *options, GError **error)
{
  g_autofree gchar *images = g_build_filename (folder, "images", NULL);
  g_autofree gchar *annotations = g_build_filename (folder, "annotations.json", NULL);
  if (!prepare_folder (images, annotations, error))
    return FALSE;

  Job job = { options, images, g_new0 (GArray *, options->count) };
  g_mutex_init (&job.lock);
  guint threads = options->threads ? options->threads : g_get_num_processors ();
  GThreadPool *pool = g_thread_pool_new (write_one, &job, (gint) threads, FALSE, NULL);
  for (guint i = 0; i < options->count; i++)
    g_thread_pool_push (pool, GUINT_TO_POINTER (i + 1), NULL);
  g_thread_pool_free (pool, FALSE, TRUE);

  gboolean ok = !job.error && write_annotations (annotations, &job, error);
  if (job.error)
    g_propagate_error (error, job.error);
  for (guint i = 0; i < options->count; i++)
    g_clear_pointer (&job.objects[i], g_array_unref);
  g_free (job.objects);
  g_mutex_clear (&job.lock);
  return ok;
}
