/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "shell.h"

#include "engine/graph/op.h"

static gboolean
is_gone (const Shell *shell, const gchar *name)
{
  return g_strcmp0 (name, shell->without) == 0 || (shell->lacking && g_str_has_suffix (name, shell->lacking));
}

static const gchar *
shell_name (gpointer data, guint index)
{
  Shell *shell = data;
  if (index >= shell->inner.n_tensors)
    return shell->extra;
  const gchar *name = shell->inner.name (shell->inner.data, index);
  /* A list has no holes: what is left out appears as its neighbour once more. */
  return is_gone (shell, name) ? shell->inner.name (shell->inner.data, index ? index - 1 : 1) : name;
}

static gboolean
shell_shape (gpointer data, const gchar *name, DeimShape *ret_shape)
{
  Shell *shell = data;
  DeimShape shape = { 3, 1, 1, 1 };
  if (is_gone (shell, name))
    return FALSE;
  if (g_strcmp0 (name, shell->extra) != 0 && !shell->inner.shape (shell->inner.data, name, &shape))
    return FALSE;
  if (g_strcmp0 (name, shell->bent) == 0)
    shape.n++;
  *ret_shape = shape;
  return TRUE;
}

static gfloat *
shell_values (gpointer data, const gchar *name, DeimShape *ret_shape)
{
  Shell *shell = data;
  if (!shell_shape (data, name, ret_shape))
    return NULL;
  GoldenParam *param = g_hash_table_lookup (shell->params->by_name, name);
  if (param && param->rule == GOLDEN_CONST && g_strcmp0 (name, shell->bent) != 0) {
    gfloat *values = shell->inner.values.lookup (shell->inner.values.data, name, ret_shape);
    if (g_strcmp0 (name, shell->moved) == 0)
      values[0] += 1.0f;
    return values;
  }
  return g_malloc0 (deim_shape_size (*ret_shape) * sizeof (gfloat));
}

DeimStateDict
shell_dict (Shell *shell)
{
  shell->inner = golden_params_dict (shell->params);
  return (DeimStateDict){
    .n_tensors = shell->inner.n_tensors + (shell->extra ? 1 : 0),
    .name = shell_name,
    .shape = shell_shape,
    .values = { shell_values, shell },
    .data = shell,
  };
}

GoldenParams *
shell_read_params (const gchar *folder, const gchar *model, const DeimArch *like)
{
  g_autoptr (GError) error = NULL;
  GoldenParams *params = golden_params_read (folder, model, &error);
  g_assert_no_error (error);
  if (like) {
    params->height = like->input_height;
    params->width = like->input_width;
    params->levels = like->decoder.levels;
    params->reg_scale = like->decoder.reg_scale;
    for (gint l = 0; l < like->decoder.levels; l++) {
      params->points[l] = like->decoder.points[l];
      params->strides[l] = deim_arch_stride (like, l);
    }
  }
  return params;
}

gchar *
shell_find_folder (const gchar *model)
{
  g_autofree gchar *folders[] = { golden_small_folder (), golden_folder () };
  gchar *found = NULL;
  for (guint i = 0; i < G_N_ELEMENTS (folders); i++) {
    g_autofree gchar *path = folders[i] ? g_strdup_printf ("%s/arch/%s.params.json", folders[i], model) : NULL;
    if (!found && path && g_file_test (path, G_FILE_TEST_EXISTS))
      found = g_steal_pointer (&folders[i]);
    g_clear_pointer (&folders[i], g_free);
  }
  folders[0] = NULL;
  if (!found)
    g_test_skip ("the golden data are not here");
  return found;
}
