/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* gstdeimoutput.c - see gstdeimoutput.h. */
#include "gstdeimoutput.h"

#include <sys/stat.h>

static GMutex registry_lock;
static GQueue registry = G_QUEUE_INIT; /* of GstDeimOutput; a process has a few */

static GstDeimOutput *
find_output (const struct stat *info)
{
  for (GList *item = registry.head; item; item = item->next) {
    GstDeimOutput *output = item->data;
    if (output->dev == info->st_dev && output->ino == info->st_ino)
      return output;
  }
  return NULL;
}

GstDeimOutput *
gst_deim_output_get (gint fd, gboolean *ret_first)
{
  struct stat info;
  if (fstat (fd, &info) < 0)
    return NULL;
  g_mutex_lock (&registry_lock);
  GstDeimOutput *output = find_output (&info);
  *ret_first = !output;
  if (!output) {
    output = g_new0 (GstDeimOutput, 1);
    g_mutex_init (&output->lock);
    g_cond_init (&output->changed);
    g_queue_init (&output->turns);
    output->rest = g_string_new (NULL);
    output->dev = info.st_dev;
    output->ino = info.st_ino;
    g_queue_push_tail (&registry, output);
  }
  output->users++;
  g_mutex_unlock (&registry_lock);
  return output;
}

void
gst_deim_output_unref (GstDeimOutput *output)
{
  g_mutex_lock (&registry_lock);
  gboolean last = --output->users == 0;
  if (last)
    g_queue_remove (&registry, output);
  g_mutex_unlock (&registry_lock);
  if (!last)
    return;
  g_string_free (output->rest, TRUE);
  g_queue_clear (&output->turns);
  g_cond_clear (&output->changed);
  g_mutex_clear (&output->lock);
  g_free (output);
}

gboolean
gst_deim_output_begin (GstDeimOutput *output, gpointer who, const gboolean *flushing)
{
  g_mutex_lock (&output->lock);
  g_queue_push_tail (&output->turns, who);
  while (!*flushing && g_queue_peek_head (&output->turns) != who)
    g_cond_wait (&output->changed, &output->lock);
  gboolean mine = g_queue_peek_head (&output->turns) == who;
  if (!mine)
    g_queue_remove (&output->turns, who);
  g_mutex_unlock (&output->lock);
  return mine;
}

void
gst_deim_output_end (GstDeimOutput *output, gpointer who)
{
  g_mutex_lock (&output->lock);
  g_queue_remove (&output->turns, who);
  g_cond_broadcast (&output->changed);
  g_mutex_unlock (&output->lock);
}

void
gst_deim_output_set_flushing (GstDeimOutput *output, gboolean *flushing, gboolean value)
{
  g_mutex_lock (&output->lock);
  *flushing = value;
  g_cond_broadcast (&output->changed);
  g_mutex_unlock (&output->lock);
}
