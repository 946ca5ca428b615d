/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "error.h"

/* clang-format off */
G_DEFINE_QUARK (deim-error, deim_error)
/* clang-format on */

typedef struct {
  DeimLogFunc func; /* NULL: none */
  gpointer data;
} Log;

static GMutex log_lock;
static Log program_log, default_log; /* log_lock */

static void
set_log (Log *log, DeimLogFunc func, gpointer user_data)
{
  g_mutex_lock (&log_lock);
  *log = (Log){ func, user_data };
  g_mutex_unlock (&log_lock);
}

void
deim_set_log_func (DeimLogFunc func, gpointer user_data)
{
  set_log (&program_log, func, user_data);
}

void
deim_set_default_log_func (DeimLogFunc func, gpointer user_data)
{
  set_log (&default_log, func, user_data);
}

void
deim_log (GLogLevelFlags level, const gchar *format, ...)
{
  va_list args;
  va_start (args, format);
  g_autofree gchar *line = g_strdup_vprintf (format, args);
  va_end (args);

  g_mutex_lock (&log_lock);
  const Log log = program_log.func ? program_log : default_log;
  g_mutex_unlock (&log_lock);
  if (log.func)
    log.func (level, line, log.data);
  else
    g_log ("deim", level, "%s", line);
}

const gchar *
deim_version (void)
{
  return DEIM_VERSION;
}
