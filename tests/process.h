/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* process.h - what tests ask of this process, of another one, and of the folder that they made. */
#pragma once

#include <glib.h>

/* Resident memory, in KiB. */
gsize resident_kib (void);

/* Has tests/make-model write the golden Atto to @path: programs over the built plugin cannot do it themselves. */
void make_golden_file (const gchar *path);

/* Removes @path with all that is in it. */
void remove_tree (const gchar *path);
