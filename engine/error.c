/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "error.h"

/* clang-format off */
G_DEFINE_QUARK (deim-error, deim_error)
/* clang-format on */

static GMutex log_lock;
static DeimLogFunc log_func;
static gpointer log_data;

void
deim_set_log_func (DeimLogFunc func, gpointer user_data)
{
  g_mutex_lock (&log_lock);
  log_func = func;
  log_data = user_data;
  g_mutex_unlock (&log_lock);
}

void
deim_log (GLogLevelFlags level, const gchar *format, ...)
{
  va_list args;
  va_start (args, format);
  g_autofree gchar *line = g_strdup_vprintf (format, args);
  va_end (args);

  g_mutex_lock (&log_lock);
  DeimLogFunc func = log_func;
  gpointer data = log_data;
  g_mutex_unlock (&log_lock);
  if (func)
    func (level, line, data);
  else
    g_log ("deim", level, "%s", line);
}

const gchar *
deim_version (void)
{
  return DEIM_VERSION;
}
