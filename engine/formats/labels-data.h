/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* labels-data.h - the built-in lists of labels.c, each with NULL at its end. */
#pragma once

#include <glib.h>

extern const gchar *const deim_labels_coco[];
extern const gchar *const deim_labels_voc[];
extern const gchar *const deim_labels_crowdhuman[];
extern const gchar *const deim_labels_objects366[];
