/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* start.h - how long a start takes: from opening the device to the first detections. */
#pragma once

#include <glib.h>

/* The argument that makes a child of deim_start_measure() of this program. */
#define DEIM_START_ARGUMENT "--first-frame"

typedef struct {
  gdouble cold_ms; /* nothing is cached: not by this project, nor by the driver */
  gdouble warm_ms; /* everything is */
} DeimStart;

/*
 * Runs this program three times, in processes of their own that share a fresh
 * cache folder, with @argv (NULL-terminated, the subcommand first) and
 * DEIM_START_ARGUMENT; each prints its time in milliseconds. The second is not
 * counted: drivers write their caches in the background and may not get to the
 * end of it in the first. Loading the checkpoint does not count. FALSE with
 * @error where a start fails or the folder cannot be made.
 */
gboolean deim_start_measure (const gchar *const *argv, DeimStart *ret_start, GError **error);
