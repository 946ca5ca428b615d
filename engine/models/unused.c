/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* unused.c - tensors of a state dict that evaluation does not read: training's are known, others are refused. */
#include "engine/error.h"
#include "engine/models/recognise.h"

#include <string.h>

/* "prefix.INDEX.rest" with INDEX up to three digits; FALSE if @name is not of that form. */
static gboolean
split_index (const gchar *name, const gchar *prefix, gint *ret_index, const gchar **ret_rest)
{
  if (!g_str_has_prefix (name, prefix))
    return FALSE;
  const gchar *digits = name + strlen (prefix);
  gint index = 0, n = 0;
  for (; g_ascii_isdigit (digits[n]) && n < 3; n++)
    index = 10 * index + (digits[n] - '0');
  if (n == 0 || digits[n] != '.')
    return FALSE;
  *ret_index = index;
  *ret_rest = digits + n;
  return TRUE;
}

static gboolean
shape_is (const DeimShape *a, DeimShape b)
{
  return a->n == b.n && a->c == b.c && a->h == b.h && a->w == b.w;
}

typedef enum { UNKNOWN, KNOWN, ILL_SHAPED } Verdict;

/*
 * The shape of a tensor in a layer, or of a head, that is @scale times wider. What comes in and goes out between layers
 * is so wide, the feed-forward, too; not what is counted by classes, bins, points or heads. A quality head (reg_conf)
 * sees nothing of the layer.
 */
static void
widen (const gchar *rest, DeimShape *shape, gint scale)
{
  static const gchar *const counted[] = { ".cross_attn.", ".layers.2." };
  if (g_str_has_prefix (rest, ".reg_conf."))
    return;
  gboolean vector = shape->c == 1;                                                /* a bias, or the scale of a norm */
  gboolean rows = !g_str_equal (rest, ".weight") && !g_str_equal (rest, ".bias"); /* else of a class head */
  for (guint i = 0; i < G_N_ELEMENTS (counted); i++)
    rows = rows && !g_str_has_prefix (rest, counted[i]);
  shape->n *= rows ? scale : 1;
  shape->c *= vector ? 1 : scale;
}

/* Heads and layers that only training reads are built as those that evaluation reads. */
static Verdict
judge_repeated (DeimGraph *graph, const DeimArch *arch, const DeimStateDict *dict, const gchar *name,
                const DeimShape *shape)
{
  static const gchar *const lists[] = { "decoder.decoder.layers.", "decoder.dec_score_head.", "decoder.dec_bbox_head.",
                                        "decoder.decoder.lqe_layers." };
  const DeimDecoderArch *decoder = &arch->decoder;
  for (guint i = 0; i < G_N_ELEMENTS (lists); i++) {
    gint index;
    const gchar *rest;
    if (!split_index (name, lists[i], &index, &rest) || index >= decoder->layers)
      continue;
    g_autofree gchar *twin = g_strdup_printf ("%s%d%s", lists[i], decoder->eval_idx, rest);
    if (!deim_graph_param_is_known (graph, twin))
      return UNKNOWN;
    DeimShape expected = deim_dict_shape (dict, "%s", twin);
    if (index > decoder->eval_idx)
      widen (rest, &expected, decoder->layer_scale);
    return shape_is (shape, expected) ? KNOWN : ILL_SHAPED;
  }
  return UNKNOWN;
}

static Verdict
judge (DeimGraph *graph, const DeimArch *arch, const DeimStateDict *dict, const gchar *name)
{
  const DeimDecoderArch *decoder = &arch->decoder;
  DeimShape shape;
  if (!dict->shape (dict->data, name, &shape))
    return UNKNOWN; /* more dimensions than any tensor has */
  Verdict repeated = judge_repeated (graph, arch, dict, name, &shape);
  if (repeated != UNKNOWN)
    return repeated;
  if (g_str_equal (name, "decoder.denoising_class_embed.weight"))
    return shape_is (&shape, (DeimShape){ decoder->classes + 1, decoder->hidden, 1, 1 }) ? KNOWN : ILL_SHAPED;
  if (!decoder->v1_names) {
    if (g_str_equal (name, "decoder.anchors"))
      return shape_is (&shape, (DeimShape){ 1, shape.c, 4, 1 }) ? KNOWN : ILL_SHAPED;
    if (g_str_equal (name, "decoder.valid_mask"))
      return shape_is (&shape, (DeimShape){ 1, shape.c, 1, 1 }) ? KNOWN : ILL_SHAPED;
  }
  if (decoder->kind != DEIM_DECODER_RTDETR &&
      (g_str_equal (name, "decoder.up") || g_str_equal (name, "decoder.reg_scale") ||
       g_str_equal (name, "decoder.decoder.up") || g_str_equal (name, "decoder.decoder.reg_scale")))
    return shape_is (&shape, (DeimShape){ 1, 1, 1, 1 }) ? KNOWN : ILL_SHAPED;
  return UNKNOWN;
}

/* The graph takes q, k, v by rows; that there are no more rows than those is seen here. */
static gboolean
packed_rows_fit (const DeimStateDict *dict, const gchar *name)
{
  if (!g_str_has_suffix (name, ".in_proj_weight") && !g_str_has_suffix (name, ".in_proj_bias"))
    return TRUE;
  DeimShape shape = deim_dict_shape (dict, "%s", name);
  g_autofree gchar *module = g_strndup (name, (gsize) (strrchr (name, '.') - name));
  /* Where the weight is not there, the graph misses it, or nothing reads it. */
  return !deim_dict_has (dict, "%s.in_proj_weight", module) ||
         shape.n == 3 * deim_dict_shape (dict, "%s.in_proj_weight", module).c;
}

gboolean
deim_check_unused (DeimGraph *graph, const DeimArch *arch, const DeimStateDict *dict, GError **error)
{
  g_autoptr (GString) unknown = g_string_new (NULL);
  guint n_unknown = 0;
  for (guint i = 0; i < dict->n_tensors; i++) {
    const gchar *name = dict->name (dict->data, i);
    Verdict verdict = deim_graph_param_is_known (graph, name) ? KNOWN : judge (graph, arch, dict, name);
    if (verdict == ILL_SHAPED || !packed_rows_fit (dict, name)) {
      DeimShape shape = deim_dict_shape (dict, "%s", name);
      g_set_error (error, DEIM_ERROR, DEIM_ERROR_ARCHITECTURE,
                   "parameter \"%s\" has the shape %dx%dx%dx%d, which does not fit the rest of this %s; the file is "
                   "damaged or of another network",
                   name, shape.n, shape.c, shape.h, shape.w, arch->name);
      return FALSE;
    }
    if (verdict == KNOWN) {
      deim_param_ignore (graph, name);
      continue;
    }
    if (n_unknown++ < 5)
      g_string_append_printf (unknown, "%s\"%s\"", unknown->len ? ", " : "", name);
  }
  if (!n_unknown)
    return TRUE;
  g_set_error (error, DEIM_ERROR, DEIM_ERROR_ARCHITECTURE,
               "%s does not have %u of the file's tensors, such as %s: the file is of another network, or of a newer "
               "version of this one",
               arch->name, n_unknown, unknown->str);
  return FALSE;
}

/* Whether @name is a second name of a tensor that has one already. */
static gboolean
is_alias (const DeimArch *arch, const gchar *name)
{
  gint index;
  const gchar *rest;
  if (g_str_equal (name, "decoder.decoder.up") || g_str_equal (name, "decoder.decoder.reg_scale"))
    return TRUE;
  return (arch->decoder.share_bbox && split_index (name, "decoder.dec_bbox_head.", &index, &rest) && index > 0) ||
         (arch->decoder.share_score && split_index (name, "decoder.dec_score_head.", &index, &rest) && index > 0);
}

static gboolean
is_buffer (const DeimArch *arch, const DeimStateDict *dict, const gchar *name)
{
  const gchar *leaf = strrchr (name, '.');
  leaf = leaf ? leaf + 1 : name;
  static const gchar *const buffers[] = { "running_mean", "running_var", "num_batches_tracked",
                                          "anchors",      "valid_mask",  "num_points_scale" };
  for (guint i = 0; i < G_N_ELEMENTS (buffers); i++)
    if (g_str_equal (leaf, buffers[i]))
      return TRUE;
  if (arch->backbone.frozen != DEIM_NORMS_FROZEN || !g_str_has_prefix (name, "backbone."))
    return FALSE;
  g_autofree gchar *module = g_strndup (name, (gsize) (leaf - name));
  return deim_dict_has (dict, "%srunning_mean", module);
}

guint64
deim_count_parameters (const DeimArch *arch, const DeimStateDict *dict)
{
  guint64 total = 0;
  for (guint i = 0; i < dict->n_tensors; i++) {
    const gchar *name = dict->name (dict->data, i);
    DeimShape s;
    if (dict->shape (dict->data, name, &s) && !is_buffer (arch, dict, name) && !is_alias (arch, name))
      total += (guint64) s.n * (guint64) s.c * (guint64) s.h * (guint64) s.w;
  }
  return total;
}
