/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* start.h - how long a start takes: from opening the device to the first detections. */
#pragma once

#include <glib.h>

typedef struct {
  gdouble cold_ms; /* nothing is cached: not by this project, nor by the driver */
  gdouble warm_ms; /* the second start after that */
} DeimStart;

/*
 * Runs this program twice, in processes of their own that share a fresh cache
 * directory, with @arguments (a NULL-terminated list without the program's
 * name) and "--first-frame" behind them; each prints its time as one number.
 * Loading the checkpoint does not count.
 */
gboolean deim_start_measure (const gchar *const *arguments, DeimStart *ret_start, GError **error);
