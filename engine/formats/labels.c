/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* labels.c - class names, built in or from a file. */
#include "labels.h"

#include <string.h>

#include "engine/error.h"
#include "file.h"
#include "labels-data.h"

/* Far above any list of names; what is longer is some other file. */
#define MAX_SIZE (16u << 20)

static const struct {
  guint num_classes;
  const gchar *name;
  const gchar *const *labels;
} builtin[] = {
  { 2, "CrowdHuman", deim_labels_crowdhuman },
  { 20, "Pascal VOC", deim_labels_voc },
  { 80, "COCO", deim_labels_coco },
  { 365, "Objects365", deim_labels_objects366 + 1 },
  { 366, "Objects365", deim_labels_objects366 },
};

const gchar *const *
deim_labels_builtin (guint num_classes)
{
  for (gsize i = 0; i < G_N_ELEMENTS (builtin); i++)
    if (builtin[i].num_classes == num_classes)
      return builtin[i].labels;
  return NULL;
}

const gchar *
deim_labels_builtin_name (guint num_classes)
{
  for (gsize i = 0; i < G_N_ELEMENTS (builtin); i++)
    if (builtin[i].num_classes == num_classes)
      return builtin[i].name;
  return NULL;
}

gchar **
deim_labels_read (const gchar *path, guint num_classes, GError **error)
{
  g_autofree gchar *display = g_filename_display_name (path);
  g_autoptr (GMappedFile) map = deim_file_map (path, "a labels file", error);
  if (!map)
    return NULL;
  gsize size = g_mapped_file_get_length (map);
  const gchar *text = size > 0 ? g_mapped_file_get_contents (map) : "";
  if (size >= 3 && memcmp (text, "\xef\xbb\xbf", 3) == 0) { /* a byte order mark */
    text += 3;
    size -= 3;
  }
  if (size > MAX_SIZE || (size > 0 && !g_utf8_validate (text, (gssize) size, NULL))) {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_FORMAT, "labels file %s: not a text file in UTF-8 with one name a line",
                 display);
    return NULL;
  }

  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  guint count = 0; /* without the blank lines at the end */
  for (const gchar *line = text, *end = text + size; line < end;) {
    const gchar *stop = memchr (line, '\n', (gsize) (end - line));
    gsize length = stop ? (gsize) (stop - line) : (gsize) (end - line);
    g_ptr_array_add (names, g_strstrip (g_strndup (line, length)));
    if (*(const gchar *) g_ptr_array_index (names, names->len - 1))
      count = names->len;
    line += length + 1;
  }
  if (count != num_classes) {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_SETTINGS,
                 "labels file %s: it names %u classes, the model has %u; give one line for each class", display, count,
                 num_classes);
    return NULL;
  }
  g_ptr_array_set_size (names, (gint) count);
  g_ptr_array_add (names, NULL);
  return (gchar **) g_ptr_array_free (g_steal_pointer (&names), FALSE);
}
