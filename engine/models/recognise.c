/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* recognise.c - which published network a state dict is, and what its shapes leave open; see recognise.h. */
#include "engine/models/recognise.h"
#include "engine/error.h"
#include "engine/models/network.h"

#include <string.h>

/* ------------------------------------------------------------ the preset */

static gint
backbone_distance (const DeimBackboneArch *a, const DeimBackboneArch *b)
{
  if (a->kind != b->kind)
    return 5000;
  gint distance = 0;
  gboolean same = a->n_stages == b->n_stages && a->stem_mid == b->stem_mid && a->stem_out == b->stem_out &&
                  a->bottleneck == b->bottleneck;
  for (gint s = 0; s < DEIM_MAX_STAGES && same; s++) {
    const DeimStage *x = &a->stages[s], *y = &b->stages[s];
    same = x->in == y->in && x->mid == y->mid && x->out == y->out && x->blocks == y->blocks && x->light == y->light &&
           x->kernel == y->kernel && x->layers == y->layers;
  }
  distance += same ? 0 : 200;
  distance += a->first_stage != b->first_stage ? 100 : 0;
  distance += a->rt_names != b->rt_names ? 50 : 0;
  distance += a->lab != b->lab ? 20 : 0;
  return distance;
}

/* How far a preset is from what was read: 0 is the same but for frozen norms; from 1000 on it is another family. */
static gint
structure_distance (const DeimArch *a, const DeimArch *b)
{
  const DeimEncoderArch *e = &a->encoder, *f = &b->encoder;
  const DeimDecoderArch *d = &a->decoder, *g = &b->decoder;
  gint distance = backbone_distance (&a->backbone, &b->backbone);
  distance += e->kind != f->kind ? 1000 : 0;
  distance += e->hidden != f->hidden ? 100 : 0;
  distance += e->fusion != f->fusion ? 100 : 0;
  distance += e->csp2 != f->csp2 ? 50 : 0;
  distance += e->width != f->width ? 50 : 0;
  distance += e->sum != f->sum ? 30 : 0;
  distance += e->layers != f->layers ? 20 : 0;
  distance += e->ff != f->ff && e->layers ? 20 : 0;
  distance += e->depth != f->depth ? 20 : 0;
  distance += d->kind != g->kind ? 10000 : 0;
  distance += d->query_pos_layers != g->query_pos_layers ? 1000 : 0;
  distance += d->v1_names != g->v1_names ? 500 : 0;
  distance += d->hidden != g->hidden ? 100 : 0;
  distance += d->levels != g->levels ? 50 : 0;
  distance += d->layers != g->layers ? 50 : 0;
  distance += d->ff != g->ff ? 30 : 0;
  distance += d->gate != g->gate ? 30 : 0;
  distance += d->reg_scale != g->reg_scale ? 10 : 0;
  for (gint l = 0; l < DEIM_MAX_LEVELS; l++)
    if (d->points[l] != g->points[l])
      return distance + 10;
  return distance;
}

typedef struct {
  DeimArch arch[16]; /* equally close */
  guint n;
  gint distance;
} Candidates;

static void
find_candidates (const DeimArch *read, Candidates *ret)
{
  *ret = (Candidates){ .distance = G_MAXINT };
  for (guint i = 0; i < deim_arch_n_presets (); i++) {
    DeimArch preset;
    deim_arch_preset (i, &preset);
    gint distance = structure_distance (read, &preset);
    if (distance < ret->distance) {
      ret->distance = distance;
      ret->n = 0;
    }
    if (distance == ret->distance && ret->n < G_N_ELEMENTS (ret->arch))
      ret->arch[ret->n++] = preset;
  }
}

/* Drops the candidates that @keep does not like, unless it likes none. */
static void
filter (Candidates *candidates, gboolean (*keep) (const DeimArch *arch, gconstpointer data), gconstpointer data)
{
  guint n = 0;
  for (guint i = 0; i < candidates->n; i++)
    n += keep (&candidates->arch[i], data) ? 1 : 0;
  if (!n || n == candidates->n)
    return;
  guint to = 0;
  for (guint i = 0; i < candidates->n; i++)
    if (keep (&candidates->arch[i], data))
      candidates->arch[to++] = candidates->arch[i];
  candidates->n = to;
}

static gboolean
has_prefix (const DeimArch *arch, gconstpointer prefix)
{
  return g_str_has_prefix (arch->name, prefix);
}

static gboolean
is_discrete (const DeimArch *arch, gconstpointer wanted)
{
  return (arch->decoder.sampling == DEIM_SAMPLE_DISCRETE) == *(const gboolean *) wanted;
}

static gboolean
is_obj2coco (const DeimArch *arch, gconstpointer wanted)
{
  return (strstr (arch->name, "obj2coco") != NULL) == *(const gboolean *) wanted;
}

static gboolean
is_frozen (const DeimArch *arch, gconstpointer wanted)
{
  return arch->backbone.frozen == *(const gboolean *) wanted;
}

/* The last component in lower case without separators: "DEIM-D-FINE_N.pth" -> "deimdfinenpth". */
static gchar *
plain_file_name (const gchar *file_name)
{
  if (!file_name)
    return g_strdup ("");
  g_autofree gchar *base = g_path_get_basename (file_name);
  GString *plain = g_string_new (NULL);
  for (const gchar *p = base; *p; p++)
    if (g_ascii_isalnum (*p))
      g_string_append_c (plain, g_ascii_tolower (*p));
  return g_string_free (plain, FALSE);
}

/* Where the values that shapes do not tell were taken from. */
typedef struct {
  DeimArch arch;
  DeimSpecKeys given; /* keys written out in a spec */
  gchar *evidence;    /* of the preset's choice */
  gchar *activation;  /* more about that choice, for the activation; NULL: evidence */
  gchar *sampling;    /* likewise */
} Base;

static void
base_clear (Base *base)
{
  g_free (base->evidence);
  g_free (base->activation);
  g_free (base->sampling);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Base, base_clear)

static void
choose_preset (const DeimArch *read, const gchar *file_name, Base *ret)
{
  Candidates candidates;
  find_candidates (read, &candidates);
  g_autofree gchar *plain = plain_file_name (file_name);
  const gchar *family = strstr (plain, "deim")     ? "deim"
                        : strstr (plain, "dfine")  ? "dfine"
                        : strstr (plain, "rtdetr") ? "rtdetr"
                                                   : NULL;
  gboolean discrete = strstr (plain, "dsp") || strstr (plain, "discrete");
  gboolean obj2coco = strstr (plain, "obj2coco") != NULL;
  guint before = candidates.n;
  if (family)
    filter (&candidates, has_prefix, family);
  gboolean named = candidates.n < before;
  filter (&candidates, is_discrete, &discrete);
  filter (&candidates, is_obj2coco, &obj2coco);
  guint before_frozen = candidates.n;
  filter (&candidates, is_frozen, &read->backbone.frozen);

  ret->arch = candidates.arch[0];
  ret->evidence = g_strdup ("read off the names and shapes of its tensors");
  if (named)
    ret->activation = g_strdup_printf ("\"%s\" in the file name", family);
  else if (candidates.n < before_frozen)
    ret->activation = g_strdup_printf ("the backbone's BatchNorm is %s, as in %s",
                                       read->backbone.frozen ? "frozen" : "trained", ret->arch.name);
  else if (before > 1)
    ret->activation = g_strdup ("a default; the file name says neither deim nor dfine");
  ret->sampling = g_strdup (discrete ? "\"dsp\" or \"discrete\" in the file name"
                                     : "a default; the file name says neither dsp nor discrete");
}

/* ------------------------------------------------------------- deciding */

static void note (GPtrArray *notes, const gchar *format, ...) G_GNUC_PRINTF (2, 3);

static void
note (GPtrArray *notes, const gchar *format, ...)
{
  if (!notes)
    return;
  va_list args;
  va_start (args, format);
  g_ptr_array_add (notes, g_strdup_vprintf (format, args));
  va_end (args);
}

/* Whether decoder.anchors [1, T, 4] are those of a picture of that size. */
static gboolean
anchors_fit (const DeimArch *arch, const gfloat *stored, gint total, gint height, gint width)
{
  gint h[DEIM_MAX_LEVELS], w[DEIM_MAX_LEVELS], tokens = 0;
  for (gint l = 0; l < arch->decoder.levels; l++) {
    h[l] = height / deim_arch_stride (arch, l);
    w[l] = width / deim_arch_stride (arch, l);
    tokens += h[l] * w[l];
  }
  if (tokens != total)
    return FALSE;
  g_autofree gfloat *computed = NULL;
  g_autofree gboolean *valid = NULL;
  deim_anchors_compute (arch->decoder.levels, h, w, &computed, &valid);
  return deim_anchors_agree (stored, computed, total);
}

/* The input size that the stored anchors are made for; squares first. */
static gboolean
size_of_anchors (const DeimStateDict *dict, DeimArch *arch)
{
  const gint largest = 1536;
  gint total = deim_dict_shape (dict, "decoder.anchors").c;
  g_autofree gfloat *stored = total > 0 ? deim_dict_values (dict, "decoder.anchors", 4 * (gsize) total) : NULL;
  if (!stored)
    return FALSE;
  gint unit = MAX (deim_arch_stride (arch, arch->decoder.levels - 1), 32);
  for (gint pass = 0; pass < 2; pass++)
    for (gint h = unit; h <= largest; h += unit)
      for (gint w = pass ? unit : h; w <= (pass ? largest : h); w += unit)
        if (anchors_fit (arch, stored, total, h, w)) {
          arch->input_height = h;
          arch->input_width = w;
          return TRUE;
        }
  return FALSE;
}

static void
decide_size (const DeimStateDict *dict, const Base *base, DeimArch *arch, GPtrArray *notes)
{
  const gchar *evidence = NULL;
  if (base->given & DEIM_SPEC_INPUT) {
    arch->input_height = base->arch.input_height;
    arch->input_width = base->arch.input_width;
    evidence = base->evidence;
  } else if (size_of_anchors (dict, arch)) {
    evidence = "that of the stored decoder.anchors";
  } else {
    arch->input_height = base->arch.input_height;
    arch->input_width = base->arch.input_width;
  }
  if (evidence)
    note (notes, "input size %dx%d: %s", arch->input_width, arch->input_height, evidence);
  else
    note (notes, "input size %dx%d: the usual one of %s", arch->input_width, arch->input_height, arch->name);
}

static void
decide_queries (const Base *base, DeimDecoderArch *decoder, const gchar *name, GPtrArray *notes)
{
  if (decoder->learned_content)
    return; /* the rows of tgt_embed */
  decoder->queries = base->arch.decoder.queries;
  if (base->given & DEIM_SPEC_QUERIES)
    note (notes, "%d queries: %s", decoder->queries, base->evidence);
  else
    note (notes, "%d queries: the usual number of %s", decoder->queries, name);
}

static gboolean
decide_eval_idx (const Base *base, DeimDecoderArch *decoder, GPtrArray *notes, GError **error)
{
  gint last = decoder->layers - 1;
  gint from_width = decoder->eval_idx; /* -1: all layers have one width */
  const gchar *evidence = base->evidence;
  g_autofree gchar *usual = NULL;
  if (base->given & DEIM_SPEC_EVAL_IDX) {
    decoder->eval_idx = base->arch.decoder.eval_idx;
  } else if (from_width >= 0) {
    evidence = "the layers after it are wider";
  } else if (base->arch.decoder.layers == decoder->layers) {
    decoder->eval_idx = base->arch.decoder.eval_idx;
    evidence = usual = g_strdup_printf ("as in %s", base->arch.name);
  } else {
    decoder->eval_idx = last;
  }
  if (decoder->eval_idx > last || (from_width >= 0 && decoder->eval_idx > from_width)) {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_SETTINGS,
                 "eval-idx=%d is not possible: the decoder's layers of that width are 0 to %d", decoder->eval_idx,
                 from_width >= 0 ? from_width : last);
    return FALSE;
  }
  if (decoder->eval_idx != last)
    note (notes, "decoder stops after layer %d of %d: %s", decoder->eval_idx + 1, decoder->layers, evidence);
  return TRUE;
}

static void
decide_rest (const Base *base, DeimDecoderArch *decoder, GPtrArray *notes)
{
  decoder->act = base->arch.decoder.act;
  if (decoder->kind == DEIM_DECODER_DFINE)
    note (notes, "%s in the decoder: %s", decoder->act == DEIM_ACT_SILU ? "SiLU" : "ReLU",
          !(base->given & DEIM_SPEC_ACT) && base->activation ? base->activation : base->evidence);
  decoder->sampling = base->arch.decoder.sampling;
  if (decoder->sampling == DEIM_SAMPLE_DISCRETE || (decoder->kind == DEIM_DECODER_RTDETR && !decoder->v1_names))
    note (notes, "%s sampling: %s", decoder->sampling == DEIM_SAMPLE_DISCRETE ? "discrete" : "bilinear",
          !(base->given & DEIM_SPEC_SAMPLING) && base->sampling ? base->sampling : base->evidence);
  if (decoder->select == DEIM_SELECT_DEFAULT) { /* agnostic shows in the shape of enc_score_head */
    decoder->select = base->arch.decoder.select;
    if (decoder->select != DEIM_SELECT_DEFAULT)
      note (notes, "one2many query selection: %s", base->evidence);
  }
  if (base->given & DEIM_SPEC_SHARE_SCORE)
    decoder->share_score = base->arch.decoder.share_score;
}

/* The preset and the options of a spec that the caller or the file gives. */
static gboolean
take_spec (const DeimArch *read, const gchar *spec, const gchar *evidence, Base *ret, GError **error)
{
  if (!deim_arch_parse_spec (spec, &ret->arch, &ret->given, error))
    return FALSE;
  if (structure_distance (read, &ret->arch) >= 1000) {
    Candidates candidates;
    find_candidates (read, &candidates);
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_ARCHITECTURE,
                 "the tensors are not those of %s, the architecture given by %s; by their names and shapes they are %s",
                 ret->arch.name, evidence, candidates.arch[0].name);
    return FALSE;
  }
  ret->evidence = g_strdup (evidence);
  return TRUE;
}

gboolean
deim_recognise (const DeimStateDict *dict, const DeimRecogniseHints *hints, DeimArch *ret_arch, GPtrArray *notes,
                GError **error)
{
  DeimArch arch;
  g_auto (Base) base = { .given = (DeimSpecKeys) 0 };
  if (!deim_recognise_structure (dict, &arch, error))
    return FALSE;
  if (hints->arch) {
    if (!take_spec (&arch, hints->arch, "the architecture that was asked for", &base, error))
      return FALSE;
  } else if (hints->metadata_arch) {
    if (!take_spec (&arch, hints->metadata_arch, "the file's metadata (deim.arch)", &base, error))
      return FALSE;
  } else {
    choose_preset (&arch, hints->file_name, &base);
  }

  g_strlcpy (arch.name, base.arch.name, sizeof arch.name);
  arch.family = base.arch.family;
  arch.size = base.arch.size;
  note (notes, "architecture %s: %s", arch.name, base.evidence);
  if (structure_distance (&arch, &base.arch) > 0)
    note (notes, "not exactly %s: where its tensors differ, they are followed", arch.name);
  if (!decide_eval_idx (&base, &arch.decoder, notes, error))
    return FALSE;
  decide_rest (&base, &arch.decoder, notes);
  decide_queries (&base, &arch.decoder, arch.name, notes);
  decide_size (dict, &base, &arch, notes);
  *ret_arch = arch;
  return TRUE;
}
