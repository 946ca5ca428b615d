/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* golden-model.c - see golden-model.h. */
#include "golden-model.h"

#include "engine/model.h"
#include "golden.h"

DeimModel *
golden_model_new_of (const gchar *name, const gchar *arch)
{
  g_autoptr (GError) error = NULL;
  g_autofree gchar *folder = golden_small_folder ();
  g_autoptr (GoldenSet) set = golden_set_open (folder, name, &error);
  g_assert_no_error (error);
  DeimStateDict dict = golden_params_dict (set->params);
  DeimCheckpoint *checkpoint = deim_checkpoint_new ();
  for (guint i = 0; i < set->params->list->len; i++) {
    const GoldenParam *p = g_ptr_array_index (set->params->list, i);
    if (p->integer && !g_str_has_suffix (p->name, "reg_scale"))
      continue; /* counters and masks, without which a checkpoint loads */
    if (g_str_has_suffix (p->name, "decoder.anchors") && !g_str_has_prefix (name, "deimv2_atto"))
      continue; /* listed for the usual size, computed for the set's */
    DeimShape shape;
    gfloat *values = dict.values.lookup (dict.values.data, p->name, &shape);
    g_assert_nonnull (values);
    gsize size = sizeof (gfloat);
    for (guint d = 0; d < p->n_dims; d++)
      size *= (gsize) p->dims[d];
    g_autoptr (GBytes) bytes = g_bytes_new_take (values, size);
    deim_checkpoint_add (checkpoint, p->name, DEIM_DTYPE_F32, p->n_dims, p->dims, bytes);
  }
  DeimModel *model = deim_model_new (checkpoint, "golden", &(DeimModelOptions){ .arch = arch }, &error);
  g_assert_no_error (error);
  return model;
}

DeimModel *
golden_model_new (void)
{
  return golden_model_new_of ("deimv2_atto_320x320_1", "deimv2_atto");
}
