/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* model-save.c - a model into a file that says all about itself. */
#include "engine/error.h"
#include "engine/formats/safetensors-write.h"
#include "engine/model.h"

#include <glib/gstdio.h>

static gboolean
is_same_file (const gchar *a, const gchar *b)
{
  GStatBuf x, y;
  return g_stat (a, &x) == 0 && g_stat (b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

gboolean
deim_model_save (DeimModel *model, const gchar *path, gboolean narrow, GError **error)
{
  if (is_same_file (deim_model_get_path (model), path)) {
    g_autofree gchar *display = g_filename_display_name (path);
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_SETTINGS,
                 "%s: this is the file that the model was read from; write to another one", display);
    return FALSE;
  }
  g_autoptr (GString) labels = g_string_new (NULL);
  for (guint i = 0; i < deim_model_get_info (model)->num_classes; i++)
    g_string_append_printf (labels, "%s%s", i ? "\n" : "", deim_model_get_label (model, i));
  g_autofree gchar *spec = deim_arch_to_spec (deim_model_get_arch (model));
  const DeimSafetensorsEntry entries[] = {
    { "format", "pt" }, /* what Transformers looks for: names and layouts are PyTorch's */
    { DEIM_METADATA_ARCH, spec },
    { DEIM_METADATA_LABELS, labels->str },
  };
  DeimCheckpoint *checkpoint = deim_model_get_checkpoint (model);
  g_autoptr (DeimCheckpoint) narrowed = narrow ? deim_checkpoint_narrow (checkpoint) : NULL;
  return deim_safetensors_write (narrowed ? narrowed : checkpoint, entries, G_N_ELEMENTS (entries), path, error);
}
