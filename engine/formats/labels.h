/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* labels.h - class names: built-in sets by class count, or a text file with one name a line. */
#pragma once

#include <glib.h>

/* The built-in set of @num_classes names, ended by NULL: 2 CrowdHuman and 366 Objects365, both with an unused class 0
 * (so the official networks count), 20 Pascal VOC, 80 COCO, 365 Objects365 without. NULL when there is none of that
 * size. */
const gchar *const *deim_labels_builtin (guint num_classes);

/* "COCO", say, for messages; NULL as above. */
const gchar *deim_labels_builtin_name (guint num_classes);

/* A NULL-terminated list of exactly @num_classes names (free with g_strfreev()): one name a line, UTF-8, blank lines
 * at the end ignored. Another count is DEIM_ERROR_SETTINGS, which says both counts. */
gchar **deim_labels_read (const gchar *path, guint num_classes, GError **error);
