/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* error.h - the error domain and the log, for the inside of the library. */
#pragma once

#include "deim.h"

/* One line to the log function of deim_set_log_func(). Thread-safety: safe. */
void deim_log (GLogLevelFlags level, const gchar *format, ...) G_GNUC_PRINTF (2, 3);
#define deim_warning(...) deim_log (G_LOG_LEVEL_WARNING, __VA_ARGS__)
#define deim_info(...)    deim_log (G_LOG_LEVEL_INFO, __VA_ARGS__)
#define deim_debug(...)   deim_log (G_LOG_LEVEL_DEBUG, __VA_ARGS__)
