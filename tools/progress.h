/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * progress.h - one line on stderr that says how far the work is; nothing where
 * stderr is no terminal. Whoever prints something else clears it first.
 * Thread-safety: safe.
 */
#pragma once

#include <glib.h>

/* Shows a line in place of the last one, at most ten times a second. */
void deim_progress_update (const gchar *format, ...) G_GNUC_PRINTF (1, 2);
void deim_progress_clear (void);
