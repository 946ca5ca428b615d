/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* recognise.c - which published network a state dict is, and what its shapes leave open; see recognise.h. */
#include "engine/models/recognise.h"
#include "engine/error.h"
#include "engine/models/closest.h"
#include "engine/models/network.h"

#include <string.h>

/* --------------------------------------------------------------- evidence */

/* A spec, or the options of one. */
typedef struct {
  DeimArch arch;
  DeimSpecKeys written; /* keys that stand in it */
  DeimSpecKeys says;    /* the values in @arch that count: those, and what its name stands for */
  const gchar *from;    /* for notes and messages; NULL: there is no such spec */
} Spec;

/* In the order in which they are asked. */
enum { CALLER, METADATA, OPERATORS, N_SPECS };

/* All that is known beside names and shapes. */
typedef struct {
  Spec specs[N_SPECS];
  const gchar *sampling_word; /* in the file name: "dsp" or "discrete"; NULL: neither */
  DeimArch preset;            /* whose values are taken where nothing else is known */
  gchar *chosen;              /* why that preset */
  gchar *act;                 /* why its activation */
  GPtrArray *notes;           /* nullable */
} Evidence;

static void
evidence_clear (Evidence *evidence)
{
  g_free (evidence->chosen);
  g_free (evidence->act);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Evidence, evidence_clear)

/* The first that says something about @key; NULL if none does. */
static const Spec *
find (const Evidence *evidence, DeimSpecKeys key)
{
  for (guint i = 0; i < N_SPECS; i++)
    if (evidence->specs[i].from && (evidence->specs[i].says & key))
      return &evidence->specs[i];
  return NULL;
}

static void note (const Evidence *evidence, const gchar *format, ...) G_GNUC_PRINTF (2, 3);

static void
note (const Evidence *evidence, const gchar *format, ...)
{
  if (!evidence->notes)
    return;
  va_list args;
  va_start (args, format);
  g_ptr_array_add (evidence->notes, g_strdup_vprintf (format, args));
  va_end (args);
}

/* A value that @spec writes out and that the tensors rule out. */
static gboolean G_GNUC_PRINTF (3, 4) refuse_value (const Spec *spec, GError **error, const gchar *format, ...)
{
  va_list args;
  va_start (args, format);
  g_autofree gchar *text = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (error, DEIM_ERROR, DEIM_ERROR_SETTINGS, "%s, which %s says, is not possible%s", text, spec->from,
               strstr (spec->from, "metadata") ? "; --arch overrules it" : "");
  return FALSE;
}

/* ------------------------------------------------------------------ specs */

/* What a preset's name stands for, beside its tensors. */
#define NAMED (DEIM_SPEC_ACT | DEIM_SPEC_SAMPLING)

/* Whether the network that @spec names is @read, but for what configurations change within a size. */
static gboolean
names_the_network (const Spec *spec, const DeimArch *read, GError **error)
{
  DeimClosest closest;
  deim_closest_find (read, &closest);
  gint distance = deim_arch_distance (read, &spec->arch);
  if (distance < DEIM_DISTANCE_FAMILY && distance - closest.distance < DEIM_DISTANCE_SIZE)
    return TRUE;
  g_set_error (error, DEIM_ERROR, DEIM_ERROR_ARCHITECTURE,
               "the tensors are not those of %s, the architecture given by %s; by their names and shapes they are %s",
               spec->arch.name, spec->from, closest.arch[0].name);
  return FALSE;
}

static gboolean
take_spec (const gchar *text, const gchar *from, const DeimArch *read, Spec *ret, GError **error)
{
  Spec spec = { .from = from };
  if (!deim_arch_parse_spec (text, &spec.arch, &spec.written, error) || !names_the_network (&spec, read, error))
    return FALSE;
  spec.says = (DeimSpecKeys) (spec.written | NAMED);
  *ret = spec;
  return TRUE;
}

/* The caller's spec, then the file's: that of the file is heard where the caller's writes nothing. */
static gboolean
take_specs (const DeimRecogniseHints *hints, const DeimArch *read, Evidence *evidence, GError **error)
{
  Spec *caller = &evidence->specs[CALLER], *file = &evidence->specs[METADATA], *operators = &evidence->specs[OPERATORS];
  g_autoptr (GError) problem = NULL;
  if (hints->arch && !take_spec (hints->arch, "the architecture that was asked for", read, caller, error))
    return FALSE;
  if (hints->metadata_arch &&
      !take_spec (hints->metadata_arch, "the file's metadata (deim.arch)", read, file, &problem)) {
    if (!hints->arch) {
      g_set_error (error, problem->domain, problem->code,
                   "the file's metadata (deim.arch): %s; --arch NAME overrules it", problem->message);
      return FALSE;
    }
    note (evidence, "the file's metadata (deim.arch) is not heard: %s", problem->message);
  }
  /* Where both name an architecture, what the caller's stands for counts if it is not what the file's stands for. */
  DeimArch named, filed;
  if (caller->from && file->from && deim_arch_find_preset (caller->arch.name, &named) &&
      deim_arch_find_preset (file->arch.name, &filed)) {
    guint says = caller->written;
    says |= named.decoder.act != filed.decoder.act ? DEIM_SPEC_ACT : 0;
    says |= named.decoder.sampling != filed.decoder.sampling ? DEIM_SPEC_SAMPLING : 0;
    caller->says = (DeimSpecKeys) says;
  }
  if (!hints->operators)
    return TRUE;
  operators->from = "the operators of the ONNX export";
  return deim_arch_parse_options (hints->operators, &operators->arch, &operators->says, error);
}

/* ------------------------------------------------------------ the preset */

static gboolean
has_prefix (const DeimArch *arch, gconstpointer prefix)
{
  return g_str_has_prefix (arch->name, prefix);
}

static gboolean
has_sampling (const DeimArch *arch, gconstpointer wanted)
{
  return arch->decoder.sampling == *(const DeimSampling *) wanted;
}

static gboolean
has_act (const DeimArch *arch, gconstpointer wanted)
{
  return arch->decoder.act == *(const DeimAct *) wanted;
}

static gboolean
is_obj2coco (const DeimArch *arch, gconstpointer wanted)
{
  return (strstr (arch->name, "obj2coco") != NULL) == *(const gboolean *) wanted;
}

static gboolean
has_norms (const DeimArch *arch, gconstpointer wanted)
{
  return arch->backbone.frozen == *(const DeimNorms *) wanted;
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

static gboolean
agree_on_act (const DeimClosest *closest)
{
  for (guint i = 1; i < closest->n; i++)
    if (closest->arch[i].decoder.act != closest->arch[0].decoder.act)
      return FALSE;
  return TRUE;
}

/* The preset that is closest; among equals by what is known, then by the file's name, then by its norms. */
static void
choose_preset (const DeimArch *read, DeimSampling sampling, const gchar *plain, Evidence *evidence)
{
  DeimClosest closest;
  deim_closest_find (read, &closest);
  const Spec *act = find (evidence, DEIM_SPEC_ACT);
  const gchar *family = strstr (plain, "deim")     ? "deim"
                        : strstr (plain, "dfine")  ? "dfine"
                        : strstr (plain, "rtdetr") ? "rtdetr"
                                                   : NULL;
  gboolean obj2coco = strstr (plain, "obj2coco") != NULL, open = !agree_on_act (&closest);
  if (act)
    deim_closest_filter (&closest, has_act, &act->arch.decoder.act);
  guint before = closest.n;
  if (family)
    deim_closest_filter (&closest, has_prefix, family);
  gboolean named = closest.n < before;
  deim_closest_filter (&closest, has_sampling, &sampling);
  deim_closest_filter (&closest, is_obj2coco, &obj2coco);
  guint before_norms = closest.n;
  if (read->backbone.frozen != DEIM_NORMS_UNKNOWN)
    deim_closest_filter (&closest, has_norms, &read->backbone.frozen);

  evidence->preset = closest.arch[0];
  evidence->chosen = g_strdup ("read off the names and shapes of its tensors");
  if (!open)
    evidence->act = g_strdup_printf ("as in %s", evidence->preset.name);
  else if (named)
    evidence->act = g_strdup_printf ("\"%s\" in the file name", family);
  else if (closest.n < before_norms)
    evidence->act =
        g_strdup_printf ("the backbone's BatchNorm is %s, as in %s",
                         read->backbone.frozen == DEIM_NORMS_FROZEN ? "frozen" : "trained", evidence->preset.name);
  else
    evidence->act = g_strdup ("a default; the file name says neither deim nor dfine");
}

/* The preset that a spec names, else the closest. */
static void
decide_preset (const DeimArch *read, const gchar *file_name, Evidence *evidence)
{
  g_autofree gchar *plain = plain_file_name (file_name);
  evidence->sampling_word = strstr (plain, "dsp") ? "dsp" : strstr (plain, "discrete") ? "discrete" : NULL;
  for (guint i = CALLER; i <= METADATA; i++)
    if (evidence->specs[i].from) {
      deim_arch_find_preset (evidence->specs[i].arch.name, &evidence->preset);
      evidence->chosen = g_strdup (evidence->specs[i].from);
      return;
    }
  const Spec *spec = find (evidence, DEIM_SPEC_SAMPLING);
  DeimSampling sampling = spec                      ? spec->arch.decoder.sampling
                          : evidence->sampling_word ? DEIM_SAMPLE_DISCRETE
                                                    : DEIM_SAMPLE_BILINEAR;
  choose_preset (read, sampling, plain, evidence);
}

/* ------------------------------------------------------------- deciding */

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
decide_size (const DeimStateDict *dict, const Evidence *evidence, DeimArch *arch)
{
  const Spec *spec = find (evidence, DEIM_SPEC_INPUT);
  g_autofree gchar *usual = g_strdup_printf ("the usual one of %s", arch->name);
  const gchar *from = usual;
  if (spec) {
    arch->input_height = spec->arch.input_height;
    arch->input_width = spec->arch.input_width;
    from = spec->from;
  } else if (size_of_anchors (dict, arch)) {
    from = "that of the stored decoder.anchors";
  } else {
    arch->input_height = evidence->preset.input_height;
    arch->input_width = evidence->preset.input_width;
  }
  note (evidence, "input size %dx%d (height x width): %s", arch->input_height, arch->input_width, from);
}

static gboolean
decide_queries (const Evidence *evidence, DeimDecoderArch *decoder, GError **error)
{
  const Spec *spec = find (evidence, DEIM_SPEC_QUERIES);
  if (decoder->learned_content) { /* the rows of tgt_embed */
    if (spec && spec->arch.decoder.queries != decoder->queries)
      return refuse_value (spec, error, "queries=%d beside a decoder.tgt_embed of %d", spec->arch.decoder.queries,
                           decoder->queries);
    return TRUE;
  }
  decoder->queries = spec ? spec->arch.decoder.queries : evidence->preset.decoder.queries;
  if (spec)
    note (evidence, "%d queries: %s", decoder->queries, spec->from);
  else
    note (evidence, "%d queries: the usual number of %s", decoder->queries, evidence->preset.name);
  return TRUE;
}

static gboolean
decide_eval_idx (const Evidence *evidence, DeimDecoderArch *decoder, GError **error)
{
  const Spec *spec = find (evidence, DEIM_SPEC_EVAL_IDX);
  gint last = decoder->layers - 1;
  gint from_width = decoder->eval_idx; /* -1: all layers have one width */
  g_autofree gchar *usual = g_strdup_printf ("as in %s", evidence->preset.name);
  const gchar *from = usual;
  if (spec) {
    gint most = from_width >= 0 ? from_width : last;
    decoder->eval_idx = spec->arch.decoder.eval_idx;
    from = spec->from;
    if (decoder->eval_idx > most)
      return refuse_value (spec, error, "eval-idx=%d where the decoder's layers of that width are 0 to %d",
                           decoder->eval_idx, most);
  } else if (from_width >= 0) {
    from = "the layers after it are wider";
  } else if (evidence->preset.decoder.layers == decoder->layers) {
    decoder->eval_idx = evidence->preset.decoder.eval_idx;
  } else {
    decoder->eval_idx = last;
    from = "a default, since no published network of this kind has as many";
  }
  if (decoder->eval_idx != last)
    note (evidence, "decoder stops after layer %d of %d: %s", decoder->eval_idx + 1, decoder->layers, from);
  else
    note (evidence, "decoder runs all of its %d layers: %s", decoder->layers, from);
  return TRUE;
}

static void
decide_act (const Evidence *evidence, DeimDecoderArch *decoder)
{
  const Spec *spec = find (evidence, DEIM_SPEC_ACT);
  decoder->act = spec ? spec->arch.decoder.act : evidence->preset.decoder.act;
  note (evidence, "%s in the decoder: %s", decoder->act == DEIM_ACT_SILU ? "SiLU" : "ReLU",
        spec ? spec->from : evidence->act);
}

static void
decide_sampling (const Evidence *evidence, DeimDecoderArch *decoder)
{
  const Spec *spec = find (evidence, DEIM_SPEC_SAMPLING);
  g_autofree gchar *named = g_strdup_printf ("\"%s\" in the file name", evidence->sampling_word);
  const gchar *from = spec ? spec->from : named;
  if (spec) {
    decoder->sampling = spec->arch.decoder.sampling;
  } else if (decoder->v1_names) {
    decoder->sampling = DEIM_SAMPLE_BILINEAR;
    from = "as in every RT-DETR of the first version";
  } else if (evidence->sampling_word) {
    decoder->sampling = DEIM_SAMPLE_DISCRETE;
  } else {
    decoder->sampling = DEIM_SAMPLE_BILINEAR;
    from = "a default; the file name says neither dsp nor discrete";
  }
  note (evidence, "%s sampling: %s", decoder->sampling == DEIM_SAMPLE_DISCRETE ? "discrete" : "bilinear", from);
}

static gboolean
decide_select (const Evidence *evidence, DeimDecoderArch *decoder, GError **error)
{
  static const gchar *const names[] = { "default", "agnostic", "one2many" };
  const Spec *spec = find (evidence, DEIM_SPEC_SELECT);
  DeimSelect wanted = spec ? spec->arch.decoder.select : decoder->select;
  gboolean one_row = decoder->select == DEIM_SELECT_AGNOSTIC; /* of several classes */
  if ((wanted == DEIM_SELECT_AGNOSTIC) != one_row && (one_row || decoder->classes > 1))
    return refuse_value (spec, error, "select=%s beside a decoder.enc_score_head of %d rows for %d classes",
                         names[wanted], one_row ? 1 : decoder->classes, decoder->classes);
  decoder->select = wanted;
  note (evidence, "%s query selection: %s", names[wanted],
        spec      ? spec->from
        : one_row ? "decoder.enc_score_head has a single row"
                  : "as in every published network");
  return TRUE;
}

/* What changes only the count of parameters. */
static void
decide_counts (const Evidence *evidence, DeimArch *arch)
{
  const Spec *share = find (evidence, DEIM_SPEC_SHARE_SCORE), *frozen = find (evidence, DEIM_SPEC_FROZEN);
  if (share)
    arch->decoder.share_score = share->arch.decoder.share_score;
  if (frozen)
    arch->backbone.frozen = frozen->arch.backbone.frozen;
  else if (arch->backbone.frozen == DEIM_NORMS_UNKNOWN)
    arch->backbone.frozen = evidence->preset.backbone.frozen;
}

gboolean
deim_recognise (const DeimStateDict *dict, const DeimRecogniseHints *hints, DeimArch *ret_arch, GPtrArray *notes,
                GError **error)
{
  DeimArch arch;
  g_auto (Evidence) evidence = { .notes = notes };
  if (!deim_recognise_structure (dict, &arch, error) || !take_specs (hints, &arch, &evidence, error))
    return FALSE;
  const Spec *frozen = find (&evidence, DEIM_SPEC_FROZEN);
  if (frozen)
    arch.backbone.frozen = frozen->arch.backbone.frozen;
  decide_preset (&arch, hints->file_name, &evidence);
  g_strlcpy (arch.name, evidence.preset.name, sizeof arch.name);
  arch.family = evidence.preset.family;
  arch.size = evidence.preset.size;
  note (&evidence, "architecture %s: %s", arch.name, evidence.chosen);
  if (deim_arch_distance (&arch, &evidence.preset) > 0)
    note (&evidence, "not exactly %s: where its tensors differ, they are followed", arch.name);
  if (!decide_eval_idx (&evidence, &arch.decoder, error) || !decide_select (&evidence, &arch.decoder, error) ||
      !decide_queries (&evidence, &arch.decoder, error))
    return FALSE;
  decide_act (&evidence, &arch.decoder);
  decide_sampling (&evidence, &arch.decoder);
  decide_counts (&evidence, &arch);
  decide_size (dict, &evidence, &arch);
  *ret_arch = arch;
  return TRUE;
}
