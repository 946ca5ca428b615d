/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* missing.c - which tensor an incomplete state dict lacks, by the published network that it is closest to. */
#include "engine/error.h"
#include "engine/graph/op.h"
#include "engine/models/closest.h"
#include "engine/models/network.h"
#include "engine/models/recognise.h"

#include <string.h>

/* A source that has whatever it is asked for, and compares that with a state dict. */
typedef struct {
  const DeimStateDict *dict;
  guint asked, missing;
  gchar *first; /* of those that are missing */
} Comparison;

static gfloat *
lookup_and_compare (gpointer data, const gchar *name, DeimShape *ret_shape)
{
  Comparison *comparison = data;
  if (g_str_equal (name, "decoder.anchors")) /* is computed where it is absent */
    return NULL;
  comparison->asked++;
  if (!deim_dict_has (comparison->dict, "%s", name)) {
    comparison->missing++;
    if (!comparison->first)
      comparison->first = g_strdup (name);
  }
  return g_new0 (gfloat, deim_shape_size (*ret_shape));
}

gboolean
deim_name_missing (const DeimStateDict *dict, GError **error)
{
  if (!error || !g_error_matches (*error, DEIM_ERROR, DEIM_ERROR_ARCHITECTURE))
    return FALSE;
  DeimArch read;
  DeimClosest closest;
  deim_recognise_structure (dict, &read, NULL);
  deim_closest_find (&read, &closest);
  const DeimArch *arch = &closest.arch[0];
  Comparison comparison = { .dict = dict };
  DeimParamSource source = { lookup_and_compare, &comparison };
  DeimNetworkOutputs outputs;
  g_autoptr (DeimGraph) graph =
      deim_network_build (arch, &source, 1, (guint) arch->input_height, (guint) arch->input_width, &outputs, NULL);
  g_autofree gchar *first = comparison.first;
  /* Of another network nearly all are missing, and the first would say nothing. */
  if (!graph || !first || comparison.missing > comparison.asked / 2 || strstr ((*error)->message, first))
    return FALSE;
  g_autofree gchar *before = (*error)->message;
  (*error)->message =
      g_strdup_printf ("%s. If it is meant to be %s, which is closest, the file is incomplete: the first "
                       "tensor that is not there is \"%s\"",
                       before, arch->name, first);
  return TRUE;
}
