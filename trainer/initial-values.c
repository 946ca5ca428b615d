/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * initial-values.c - how parameters are made up, by their names. The rules are those of the official code: PyTorch's
 * defaults, and what the backbones, decoders and attention modules set otherwise.
 */
#include "initial.h"

#include "random.h"

#include <math.h>
#include <string.h>

/* Of a class at a query, before anything is learned. */
#define PRIOR 0.01

typedef enum {
  RULE_ZERO,
  RULE_ONE,
  RULE_PRIOR,   /* the logit of PRIOR */
  RULE_FAN_IN,  /* uniform, +-1 / sqrt (fan-in): PyTorch's default of convolutions and linear layers */
  RULE_KAIMING, /* normal, deviation sqrt (2 / fan-in) */
  RULE_XAVIER,  /* uniform, +-sqrt (6 / (fan-in + fan-out)) */
  RULE_NORMAL,  /* normal, deviation 1; the last row, of no class, is zero */
  RULE_RAYS,    /* sampling offsets */
  RULE_POINTS,  /* 1 / points of the level */
} Rule;

/* The first row whose pieces are both in the name decides; @end is at its end. */
static const struct {
  const gchar *piece, *end;
  Rule rule;
} rules[] = {
  { "num_points_scale", "", RULE_POINTS },
  { ".running_var", "", RULE_ONE },
  { ".running_mean", "", RULE_ZERO },
  { ".lab.", ".scale", RULE_ONE },
  { ".lab.", ".bias", RULE_ZERO },
  { "norm", ".scale", RULE_ONE },
  { "sampling_offsets", ".bias", RULE_RAYS },
  { "sampling_offsets", ".weight", RULE_ZERO },
  { "attention_weights", "", RULE_ZERO },
  { "value_proj", ".bias", RULE_ZERO },
  { "output_proj", ".bias", RULE_ZERO },
  { "value_proj", ".weight", RULE_XAVIER },
  { "output_proj", ".weight", RULE_XAVIER },
  { "in_proj_weight", "", RULE_XAVIER },
  { "in_proj_bias", "", RULE_ZERO },
  { "out_proj", ".bias", RULE_ZERO },
  { "gateway.gate", "", RULE_ZERO },
  { "swish_ffn", ".weight", RULE_XAVIER },
  { "swish_ffn", ".bias", RULE_ZERO },
  { "decoder.decoder.layers", "linear1.weight", RULE_XAVIER },
  { "decoder.decoder.layers", "linear2.weight", RULE_XAVIER },
  { "reg_conf.layers.1.", "", RULE_ZERO },
  { "score_head", ".bias", RULE_PRIOR },
  { "bbox_head", "layers.2.weight", RULE_ZERO },
  { "bbox_head", "layers.2.bias", RULE_ZERO },
  { "query_pos_head", ".weight", RULE_XAVIER },
  { "decoder.enc_output.0", ".weight", RULE_XAVIER },
  { "tgt_embed", "", RULE_XAVIER },
  { "denoising_class_embed", "", RULE_NORMAL },
};

/* A weight of one dimension is a norm's. */
static Rule
find_rule (const gchar *name, const DeimShape *shape)
{
  for (guint i = 0; i < G_N_ELEMENTS (rules); i++)
    if (strstr (name, rules[i].piece) && g_str_has_suffix (name, rules[i].end))
      return rules[i].rule;
  gboolean vector = shape->c == 1 && shape->h == 1 && shape->w == 1;
  if (vector && g_str_has_suffix (name, ".weight"))
    return RULE_ONE;
  if (g_str_has_prefix (name, "backbone."))
    return vector ? RULE_ZERO : RULE_KAIMING;
  /* In an encoder, biases are of norms, but for the transformer's linear layers. */
  if (vector && g_str_has_prefix (name, "encoder.") && !strstr (name, ".linear"))
    return RULE_ZERO;
  return vector && strstr (name, "norm") ? RULE_ZERO : RULE_FAN_IN;
}

/* Heads look in as many directions, and points of a level stand at 1, 2, 3, ... times the ray. */
static void
fill_rays (const DeimDecoderArch *decoder, gfloat *values)
{
  for (guint head = 0; head < DEIM_HEADS; head++) {
    gdouble angle = head * 2 * G_PI / DEIM_HEADS, x = cos (angle), y = sin (angle), longer = MAX (fabs (x), fabs (y));
    for (gint l = 0; l < decoder->levels; l++)
      for (gint p = 1; p <= decoder->points[l]; p++) {
        *values++ = (gfloat) (x / longer * p);
        *values++ = (gfloat) (y / longer * p);
      }
  }
}

static void
fill_points (const DeimDecoderArch *decoder, gfloat *values)
{
  for (gint l = 0; l < decoder->levels; l++)
    for (gint p = 0; p < decoder->points[l]; p++)
      *values++ = 1.0f / (gfloat) decoder->points[l];
}

/* Numbers that feed one output of the layer whose bias @name is. */
static gdouble
fan_in_of_bias (const DeimArch *arch, const gchar *name)
{
  const DeimDecoderArch *decoder = &arch->decoder;
  if (strstr (name, "linear2"))
    return g_str_has_prefix (name, "encoder.") ? arch->encoder.ff : decoder->ff;
  if (strstr (name, "linear1"))
    return arch->encoder.hidden;
  if (strstr (name, "reg_conf.layers.0"))
    return 4 * 5;
  return strstr (name, "query_pos_head.layers.0") ? 4 : decoder->hidden;
}

gfloat *
deim_initial_values (const DeimArch *arch, const gchar *name, const DeimShape *shape, guint64 seed)
{
  gsize n = (gsize) shape->n * (gsize) shape->c * (gsize) shape->h * (gsize) shape->w;
  gfloat *values = g_new0 (gfloat, n);
  Rule rule = find_rule (name, shape);
  DeimRandom root = deim_random_new (seed), random = deim_random_fork (&root, g_str_hash (name));
  gboolean vector = shape->c == 1 && shape->h == 1 && shape->w == 1;
  gdouble window = (gdouble) shape->h * shape->w, fan_in = vector ? fan_in_of_bias (arch, name) : shape->c * window;
  gdouble bound = 1 / sqrt (fan_in), fan_out = shape->n * window;

  if (rule == RULE_ZERO)
    return values;
  if (rule == RULE_RAYS) {
    fill_rays (&arch->decoder, values);
    return values;
  }
  if (rule == RULE_POINTS) {
    fill_points (&arch->decoder, values);
    return values;
  }
  if (rule == RULE_XAVIER)
    bound = sqrt (6 / (fan_in + fan_out));
  if (rule == RULE_NORMAL)
    n -= (gsize) shape->c;
  for (gsize i = 0; i < n; i++)
    values[i] = (gfloat) (rule == RULE_ONE       ? 1
                          : rule == RULE_PRIOR   ? log (PRIOR / (1 - PRIOR))
                          : rule == RULE_KAIMING ? sqrt (2 / fan_in) * deim_random_normal (&random)
                          : rule == RULE_NORMAL  ? deim_random_normal (&random)
                                                 : deim_random_range (&random, -bound, bound));
  return values;
}
