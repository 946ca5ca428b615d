/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * tuning.c - the table of `deim tune`, and its text:
 *
 *     gst-deim tuning FINGERPRINT
 *     CHECKSUM                       of the lines below
 *     LAYER: VARIANT                 sorted
 */
#include "tuning.h"

#include <string.h>

#define MAGIC     "gst-deim tuning "
#define SEPARATOR ": "

struct _DeimTuning {
  GHashTable *variants; /* layer -> variant */
  gchar *forced;        /* or NULL */
};

DeimTuning *
deim_tuning_new (void)
{
  DeimTuning *self = g_new0 (DeimTuning, 1);
  self->variants = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  return self;
}

DeimTuning *
deim_tuning_new_forced (const gchar *variant)
{
  DeimTuning *self = deim_tuning_new ();
  self->forced = g_strdup (variant);
  return self;
}

void
deim_tuning_free (DeimTuning *self)
{
  if (!self)
    return;
  g_hash_table_unref (self->variants);
  g_free (self->forced);
  g_free (self);
}

const gchar *
deim_tuning_get (const DeimTuning *self, const gchar *layer)
{
  return self->forced ? self->forced : g_hash_table_lookup (self->variants, layer);
}

void
deim_tuning_set (DeimTuning *self, const gchar *layer, const gchar *variant)
{
  if (variant)
    g_hash_table_insert (self->variants, g_strdup (layer), g_strdup (variant));
  else
    g_hash_table_remove (self->variants, layer);
}

guint
deim_tuning_count (const DeimTuning *self)
{
  return g_hash_table_size (self->variants);
}

static gint
compare_lines (gconstpointer a, gconstpointer b)
{
  return strcmp (*(gchar *const *) a, *(gchar *const *) b);
}

static gchar *
make_lines (const DeimTuning *self)
{
  g_autoptr (GPtrArray) lines = g_ptr_array_new_with_free_func (g_free);
  GHashTableIter iter;
  gpointer layer, variant;
  g_hash_table_iter_init (&iter, self->variants);
  while (g_hash_table_iter_next (&iter, &layer, &variant))
    g_ptr_array_add (lines, g_strconcat (layer, SEPARATOR, variant, "\n", NULL));
  g_ptr_array_sort (lines, compare_lines);
  g_ptr_array_add (lines, NULL);
  return g_strjoinv (NULL, (gchar **) lines->pdata);
}

gchar *
deim_tuning_to_text (const DeimTuning *self, const gchar *fingerprint)
{
  g_autofree gchar *lines = make_lines (self);
  g_autofree gchar *checksum = g_compute_checksum_for_string (G_CHECKSUM_SHA1, lines, -1);
  return g_strconcat (MAGIC, fingerprint, "\n", checksum, "\n", lines, NULL);
}

static gboolean
add_lines (DeimTuning *self, const gchar *text)
{
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
  for (guint i = 0; lines[i] && *lines[i]; i++) {
    gchar *end = strstr (lines[i], SEPARATOR);
    if (!end)
      return FALSE;
    *end = '\0';
    deim_tuning_set (self, lines[i], end + strlen (SEPARATOR));
  }
  return TRUE;
}

DeimTuningState
deim_tuning_parse (const gchar *text, const gchar *fingerprint, DeimTuning **ret_tuning)
{
  g_auto (GStrv) parts = g_strsplit (text, "\n", 3);
  if (g_strv_length (parts) < 3 || !g_str_has_prefix (parts[0], MAGIC))
    return DEIM_TUNING_DAMAGED;
  g_autofree gchar *checksum = g_compute_checksum_for_string (G_CHECKSUM_SHA1, parts[2], -1);
  if (!g_str_equal (parts[1], checksum))
    return DEIM_TUNING_DAMAGED;
  if (!g_str_equal (parts[0] + strlen (MAGIC), fingerprint))
    return DEIM_TUNING_FOREIGN;
  g_autoptr (DeimTuning) tuning = deim_tuning_new ();
  if (!add_lines (tuning, parts[2]))
    return DEIM_TUNING_DAMAGED;
  *ret_tuning = g_steal_pointer (&tuning);
  return DEIM_TUNING_VALID;
}
