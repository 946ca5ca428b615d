/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * onnx-names.c - from the names that PyTorch's ONNX exporter gives to those of
 * a state dict; see onnx.h.
 *
 * The exporter names a node after the modules that were being called. A module
 * has the name under which its parent holds it, with the list's name in front
 * where it is an item of a list ("stages.0"). A Sequential is called itself, a
 * ModuleList is not: hence "blocks/blocks.1" for the first and "stages.0" alone
 * for the second. Names of later calls of a module end with _1, _2, ..; nobody
 * asks for those, because the first call has told the name already.
 */
#include "onnx.h"

#include <string.h>

gchar *
deim_onnx_module_of_node (const gchar *node_name)
{
  if (!g_str_has_prefix (node_name, "/model/"))
    return NULL;
  g_auto (GStrv) parts = g_strsplit (node_name + strlen ("/model/"), "/", -1);
  guint n = g_strv_length (parts);
  if (n < 2)
    return NULL;
  GString *path = g_string_new (parts[0]);
  for (guint i = 1; i + 1 < n; i++) {
    gsize before = strlen (parts[i - 1]);
    /* The backbone, encoder and decoder are no Sequentials: "encoder/encoder.0" is the encoder's list "encoder". */
    gboolean item = i > 1 && g_str_has_prefix (parts[i], parts[i - 1]) && parts[i][before] == '.';
    if (item)
      g_string_append (path, parts[i] + before);
    else
      g_string_append_printf (path, ".%s", parts[i]);
  }
  return g_string_free (path, FALSE);
}

gboolean
deim_onnx_node_is_in (const gchar *node_name, const gchar *scope)
{
  gsize length = strlen (scope);
  return strncmp (node_name, scope, length) == 0 && node_name[length] == '/' && !strchr (node_name + length + 1, '/');
}

/* Splits "a.b.c" into "a.b" (to be freed) and "c"; FALSE if there is no dot. */
static gboolean
split_last (const gchar *path, gchar **ret_parent, const gchar **ret_last)
{
  const gchar *dot = strrchr (path, '.');
  if (!dot)
    return FALSE;
  *ret_parent = g_strndup (path, (gsize) (dot - path));
  *ret_last = dot + 1;
  return TRUE;
}

static gboolean
is_number (const gchar *text)
{
  gsize digits = strspn (text, "0123456789");
  return digits > 0 && digits < 4 && !text[digits];
}

gchar *
deim_onnx_norm_of_conv (const gchar *conv)
{
  g_autofree gchar *parent = NULL, *above = NULL;
  const gchar *last, *middle;
  if (!split_last (conv, &parent, &last))
    return NULL;
  if (is_number (last)) {
    /* RT-DETR's HGNetv2 pads in front of a convolution: X.conv.1, and X.bn; else the next of the Sequential. */
    if (split_last (parent, &above, &middle) && g_str_equal (middle, "conv"))
      return g_strconcat (above, ".bn", NULL);
    return g_strdup_printf ("%s.%d", parent, atoi (last) + 1);
  }
  if (g_str_equal (last, "conv")) {
    gboolean resnet = g_str_has_prefix (conv, "backbone.conv1.") || g_str_has_prefix (conv, "backbone.res_layers.");
    return g_strconcat (parent, g_str_has_prefix (conv, "backbone.") && !resnet ? ".bn" : ".norm", NULL);
  }
  if (g_str_has_prefix (last, "conv") && is_number (last + strlen ("conv"))) /* DLA */
    return g_strconcat (parent, ".bn", last + strlen ("conv"), NULL);
  return NULL;
}

gchar *
deim_onnx_repvgg_of_conv (const gchar *conv)
{
  g_autofree gchar *block = NULL, *list = NULL, *above = NULL;
  const gchar *last, *number, *name;
  if (!split_last (conv, &block, &last) || !g_str_equal (last, "conv"))
    return NULL;
  if (!split_last (block, &list, &number) || !is_number (number))
    return NULL;
  if (!split_last (list, &above, &name) || !g_str_equal (name, "bottlenecks"))
    return NULL;
  return g_steal_pointer (&block);
}
