/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* spec.c - "NAME:key=value,key=value": a preset and what a state dict cannot tell, as one string. */
#include "engine/error.h"
#include "engine/models/arch.h"

#include <string.h>

static const gchar *const act_names[] = { "relu", "silu", NULL };
static const gchar *const sampling_names[] = { "bilinear", "discrete", NULL };
static const gchar *const select_names[] = { "default", "agnostic", "one2many", NULL };
static const gchar *const bool_names[] = { "0", "1", NULL };

static gboolean
parse_word (const gchar *value, const gchar *const *words, gint *ret_index)
{
  for (gint i = 0; words[i]; i++)
    if (g_ascii_strcasecmp (value, words[i]) == 0) {
      *ret_index = i;
      return TRUE;
    }
  return FALSE;
}

static gboolean
parse_number (const gchar *value, gint min, gint max, gint *ret_number)
{
  guint64 number;
  if (!g_ascii_string_to_unsigned (value, 10, (guint64) min, (guint64) max, &number, NULL))
    return FALSE;
  *ret_number = (gint) number;
  return TRUE;
}

static gboolean
parse_input (const gchar *value, DeimArch *arch)
{
  g_auto (GStrv) sides = g_strsplit_set (value, "xX", 3);
  return g_strv_length (sides) == 2 && parse_number (sides[0], 32, DEIM_NETWORK_MAX_SIDE, &arch->input_height) &&
         parse_number (sides[1], 32, DEIM_NETWORK_MAX_SIDE, &arch->input_width);
}

/* Sets one key; 0 if the key is unknown, -1 if the value is wrong, else its bit. */
static gint
parse_option (const gchar *key, const gchar *value, DeimArch *arch)
{
  DeimDecoderArch *decoder = &arch->decoder;
  gint index;
  if (g_str_equal (key, "act")) {
    if (!parse_word (value, act_names, &index))
      return -1;
    decoder->act = index ? DEIM_ACT_SILU : DEIM_ACT_RELU;
    return DEIM_SPEC_ACT;
  }
  if (g_str_equal (key, "sampling")) {
    if (!parse_word (value, sampling_names, &index))
      return -1;
    decoder->sampling = index ? DEIM_SAMPLE_DISCRETE : DEIM_SAMPLE_BILINEAR;
    return DEIM_SPEC_SAMPLING;
  }
  if (g_str_equal (key, "select")) {
    if (!parse_word (value, select_names, &index))
      return -1;
    decoder->select = (DeimSelect) index;
    return DEIM_SPEC_SELECT;
  }
  if (g_str_equal (key, "share-score"))
    return parse_word (value, bool_names, &decoder->share_score) ? (gint) DEIM_SPEC_SHARE_SCORE : -1;
  if (g_str_equal (key, "frozen")) {
    if (!parse_word (value, bool_names, &index))
      return -1;
    arch->backbone.frozen = index ? DEIM_NORMS_FROZEN : DEIM_NORMS_TRAINED;
    return DEIM_SPEC_FROZEN;
  }
  if (g_str_equal (key, "eval-idx"))
    return parse_number (value, 0, 63, &decoder->eval_idx) ? (gint) DEIM_SPEC_EVAL_IDX : -1;
  if (g_str_equal (key, "queries"))
    return parse_number (value, 1, 65536, &decoder->queries) ? (gint) DEIM_SPEC_QUERIES : -1;
  if (g_str_equal (key, "input"))
    return parse_input (value, arch) ? (gint) DEIM_SPEC_INPUT : -1;
  return 0;
}

gboolean
deim_arch_parse_options (const gchar *options, DeimArch *arch, DeimSpecKeys *ret_given, GError **error)
{
  guint given = 0;
  g_auto (GStrv) list = g_strsplit (options, ",", -1);
  for (gchar **option = list; *option; option++) {
    g_auto (GStrv) pair = g_strsplit (*option, "=", 2);
    gint bit = g_strv_length (pair) == 2 ? parse_option (g_strstrip (pair[0]), g_strstrip (pair[1]), arch) : 0;
    if (bit <= 0) {
      g_set_error (error, DEIM_ERROR, DEIM_ERROR_SETTINGS,
                   "\"%s\" in the architecture's options \"%s\" is %s; options are act=relu|silu, "
                   "sampling=bilinear|discrete, select=default|agnostic|one2many, eval-idx=N, queries=N, input=HxW, "
                   "share-score=0|1, frozen=0|1",
                   *option, options, bit < 0 ? "no value that this option takes" : "no known option");
      return FALSE;
    }
    given |= (guint) bit;
  }
  if (ret_given)
    *ret_given = (DeimSpecKeys) given;
  return TRUE;
}

gboolean
deim_arch_parse_spec (const gchar *spec, DeimArch *ret_arch, DeimSpecKeys *ret_given, GError **error)
{
  const gchar *colon = strchr (spec, ':');
  g_autofree gchar *name = colon ? g_strndup (spec, (gsize) (colon - spec)) : g_strdup (spec);
  DeimArch arch;
  if (!deim_arch_find_preset (name, &arch)) {
    g_autofree gchar *list = g_strjoinv (" ", (gchar **) deim_arch_list ());
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_SETTINGS, "\"%s\" is no known architecture; there are: %s", name, list);
    return FALSE;
  }
  if (!deim_arch_parse_options (colon ? colon + 1 : "", &arch, ret_given, error))
    return FALSE;
  *ret_arch = arch;
  return TRUE;
}

gchar *
deim_arch_to_spec (const DeimArch *arch)
{
  const DeimDecoderArch *decoder = &arch->decoder;
  return g_strdup_printf ("%s:act=%s,sampling=%s,select=%s,eval-idx=%d,queries=%d,input=%dx%d,share-score=%d,frozen=%d",
                          arch->name, act_names[decoder->act == DEIM_ACT_SILU],
                          sampling_names[decoder->sampling == DEIM_SAMPLE_DISCRETE], select_names[decoder->select],
                          decoder->eval_idx, decoder->queries, arch->input_height, arch->input_width,
                          decoder->share_score != 0, arch->backbone.frozen == DEIM_NORMS_FROZEN);
}
