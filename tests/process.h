/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* process.h - what tests ask of this process, and of another one. */
#pragma once

#include <glib.h>

/* Resident memory, in KiB. */
gsize resident_kib (void);

/* Has tests/make-model write the golden Atto to @path: programs that use the installed library cannot do it themselves.
 */
void make_golden_file (const gchar *path);
