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
  gboolean sampling_open;     /* published networks of these tensors sample in both ways */
  DeimArch preset;            /* whose values are taken where nothing else is known */
  gchar *chosen;              /* why that preset */
  gchar *act;                 /* why its activation */
  gboolean act_guessed;
  DeimNotes *notes; /* nullable */
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

DeimNotes *
deim_notes_new (void)
{
  DeimNotes *notes = g_new (DeimNotes, 1);
  *notes = (DeimNotes){ g_ptr_array_new_with_free_func (g_free), g_ptr_array_new_with_free_func (g_free) };
  return notes;
}

void
deim_notes_free (DeimNotes *notes)
{
  if (!notes)
    return;
  g_ptr_array_unref (notes->all);
  g_ptr_array_unref (notes->guesses);
  g_free (notes);
}

static void note (const Evidence *evidence, gboolean guess, const gchar *format, ...) G_GNUC_PRINTF (3, 4);

static void
note (const Evidence *evidence, gboolean guess, const gchar *format, ...)
{
  if (!evidence->notes)
    return;
  va_list args;
  va_start (args, format);
  g_autofree gchar *text = g_strdup_vprintf (format, args);
  va_end (args);
  if (guess)
    g_ptr_array_add (evidence->notes->guesses, g_strdup (text));
  g_ptr_array_add (evidence->notes->all, g_steal_pointer (&text));
}

/* A value that @spec writes out and that the tensors rule out. */
static gboolean G_GNUC_PRINTF (3, 4) refuse_value (const Spec *spec, GError **error, const gchar *format, ...)
{
  va_list args;
  va_start (args, format);
  g_autofree gchar *text = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (error, DEIM_ERROR, DEIM_ERROR_SETTINGS, "%s: %s is not possible; %s", spec->from, text,
               strstr (spec->from, "metadata") ? "--arch overrules it" : "leave it out, the tensors decide it");
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
               "%s: %s; but by their names and shapes the tensors are those of %s", spec->from, spec->arch.name,
               closest.arch[0].name);
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
    note (evidence, FALSE, "the file's metadata (deim.arch) is not heard: %s", problem->message);
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

/* The words of the last component, in lower case, and after them every two that stand together as one:
 * "DEIM-D-FINE_N.pth" -> deim d fine n pth, deimd dfine finen npth. */
static gchar **
words_of_file_name (const gchar *file_name)
{
  g_autofree gchar *base = file_name ? g_path_get_basename (file_name) : g_strdup ("");
  g_autofree gchar *lower = g_ascii_strdown (base, -1);
  g_auto (GStrv) parts = g_strsplit_set (g_strcanon (lower, "abcdefghijklmnopqrstuvwxyz0123456789", ' '), " ", -1);
  g_autoptr (GStrvBuilder) words = g_strv_builder_new ();
  guint n = g_strv_length (parts);
  for (guint i = 0; i < n; i++)
    g_strv_builder_add (words, parts[i]);
  for (guint i = 0; i + 1 < n; i++) {
    g_autofree gchar *pair = g_strconcat (parts[i], parts[i + 1], NULL);
    g_strv_builder_add (words, pair);
  }
  return g_strv_builder_end (words);
}

/* Whether @word is among them, alone or with a version or a number behind it: "deim", "deimv2", "deim3". */
static gboolean
has_word (const gchar *const *words, const gchar *word)
{
  gsize length = strlen (word);
  for (; *words; words++) {
    if (!g_str_has_prefix (*words, word))
      continue;
    const gchar *rest = *words + length;
    if (!*rest || g_ascii_isdigit (*rest) || (*rest == 'v' && g_ascii_isdigit (rest[1])))
      return TRUE;
  }
  return FALSE;
}

static gboolean
agree_on_act (const DeimClosest *closest)
{
  for (guint i = 1; i < closest->n; i++)
    if (closest->arch[i].decoder.act != closest->arch[0].decoder.act)
      return FALSE;
  return TRUE;
}

static gboolean
agree_on_sampling (const DeimClosest *closest)
{
  for (guint i = 1; i < closest->n; i++)
    if (closest->arch[i].decoder.sampling != closest->arch[0].decoder.sampling)
      return FALSE;
  return TRUE;
}

/* The preset that is closest; among equals by what is known, then by the file's name, then by its norms. */
static void
choose_preset (const DeimArch *read, DeimSampling sampling, const gchar *const *words, Evidence *evidence)
{
  DeimClosest closest;
  deim_closest_find (read, &closest);
  const Spec *act = find (evidence, DEIM_SPEC_ACT);
  const gchar *family = has_word (words, "deim")     ? "deim"
                        : has_word (words, "dfine")  ? "dfine"
                        : has_word (words, "rtdetr") ? "rtdetr"
                                                     : NULL;
  gboolean obj2coco = has_word (words, "obj2coco"), open = !agree_on_act (&closest);
  evidence->sampling_open = !agree_on_sampling (&closest);
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
  evidence->act_guessed = open && (named || closest.n == before_norms);
}

/* The preset that a spec names, else the closest. */
static void
decide_preset (const DeimArch *read, const gchar *file_name, Evidence *evidence)
{
  g_auto (GStrv) words = words_of_file_name (file_name);
  const gchar *const *known = (const gchar *const *) words;
  /* The short one is RT-DETRv2's own. */
  evidence->sampling_word = has_word (known, "discrete")                                           ? "discrete"
                            : has_word (known, "dsp") && read->decoder.kind == DEIM_DECODER_RTDETR ? "dsp"
                                                                                                   : NULL;
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
  choose_preset (read, sampling, known, evidence);
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
  const gint largest = DEIM_NETWORK_MAX_SIDE;
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
  gboolean stored = !arch->decoder.v1_names && deim_dict_has (dict, "decoder.anchors");
  gboolean readable = stored && size_of_anchors (dict, arch);
  gint height = arch->input_height, width = arch->input_width; /* of the stored ones */
  if (spec) {
    arch->input_height = spec->arch.input_height;
    arch->input_width = spec->arch.input_width;
    from = spec->from;
  } else if (readable) {
    from = "that of the stored decoder.anchors";
  } else {
    arch->input_height = evidence->preset.input_height;
    arch->input_width = evidence->preset.input_width;
  }
  note (evidence, FALSE, "input size %dx%d (height x width): %s", arch->input_height, arch->input_width, from);
  if (stored && !readable)
    note (evidence, FALSE, "decoder.anchors are not heard and computed anew: they are of no input size");
  else if (stored && (height != arch->input_height || width != arch->input_width))
    note (evidence, FALSE, "decoder.anchors are computed anew: the stored ones are of %dx%d", height, width);
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
    note (evidence, FALSE, "%d queries: %s", decoder->queries, spec->from);
  else
    note (evidence, FALSE, "%d queries: the usual number of %s", decoder->queries, evidence->preset.name);
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
    note (evidence, FALSE, "decoder stops after layer %d of %d: %s", decoder->eval_idx + 1, decoder->layers, from);
  else
    note (evidence, FALSE, "decoder runs all of its %d layers: %s", decoder->layers, from);
  return TRUE;
}

static void
decide_act (const Evidence *evidence, DeimDecoderArch *decoder)
{
  const Spec *spec = find (evidence, DEIM_SPEC_ACT);
  decoder->act = spec ? spec->arch.decoder.act : evidence->preset.decoder.act;
  note (evidence, !spec && evidence->act_guessed, "%s in the decoder: %s",
        decoder->act == DEIM_ACT_SILU ? "SiLU" : "ReLU", spec ? spec->from : evidence->act);
}

static void
decide_sampling (const Evidence *evidence, DeimDecoderArch *decoder)
{
  const Spec *spec = find (evidence, DEIM_SPEC_SAMPLING);
  g_autofree gchar *named = g_strdup_printf ("\"%s\" in the file name", evidence->sampling_word);
  const gchar *from = spec ? spec->from : named;
  gboolean guess = FALSE;
  if (spec) {
    decoder->sampling = spec->arch.decoder.sampling;
  } else if (decoder->v1_names) {
    decoder->sampling = DEIM_SAMPLE_BILINEAR;
    from = "as in every RT-DETR of the first version";
  } else if (evidence->sampling_word) {
    decoder->sampling = DEIM_SAMPLE_DISCRETE;
    guess = TRUE;
  } else {
    decoder->sampling = DEIM_SAMPLE_BILINEAR;
    guess = evidence->sampling_open;
    from = "a default; the file name says neither dsp nor discrete";
  }
  note (evidence, guess, "%s sampling: %s", decoder->sampling == DEIM_SAMPLE_DISCRETE ? "discrete" : "bilinear", from);
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
  note (evidence, FALSE, "%s query selection: %s", names[wanted],
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
deim_recognise (const DeimStateDict *dict, const DeimRecogniseHints *hints, DeimArch *ret_arch, DeimNotes *notes,
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
  note (&evidence, FALSE, "architecture %s: %s", arch.name, evidence.chosen);
  g_autofree gchar *differences = deim_arch_describe_differences (&arch, &evidence.preset);
  if (*differences)
    note (&evidence, FALSE, "not exactly %s, where its tensors differ they are followed: %s", arch.name, differences);
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
