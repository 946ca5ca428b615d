/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* progress.c - the progress line. */
#include "progress.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#define INTERVAL_US (100 * 1000)

static GMutex lock;
static gboolean shown;
static gint64 last;

void
deim_progress_update (const gchar *format, ...)
{
  if (!isatty (STDERR_FILENO))
    return;
  va_list args;
  va_start (args, format);
  g_autofree gchar *line = g_strdup_vprintf (format, args);
  va_end (args);

  g_mutex_lock (&lock);
  gint64 now = g_get_monotonic_time ();
  if (!shown || now - last >= INTERVAL_US) {
    fprintf (stderr, "\r\033[K%s", line);
    fflush (stderr);
    shown = TRUE;
    last = now;
  }
  g_mutex_unlock (&lock);
}

void
deim_progress_clear (void)
{
  g_mutex_lock (&lock);
  if (shown) {
    fputs ("\r\033[K", stderr);
    fflush (stderr);
  }
  shown = FALSE;
  g_mutex_unlock (&lock);
}
