/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* structure.c - reading the values of a network off the names and shapes of its state dict. */
#include "engine/error.h"
#include "engine/models/recognise.h"

#include <math.h>
#include <string.h>

/* More blocks, layers or levels than any network has: a file that lies must not make us count forever. */
#define MAX_COUNT 64

gboolean
deim_dict_has (const DeimStateDict *dict, const gchar *format, ...)
{
  va_list args;
  va_start (args, format);
  g_autofree gchar *name = g_strdup_vprintf (format, args);
  va_end (args);
  DeimShape shape;
  return dict->shape (dict->data, name, &shape);
}

DeimShape
deim_dict_shape (const DeimStateDict *dict, const gchar *format, ...)
{
  va_list args;
  va_start (args, format);
  g_autofree gchar *name = g_strdup_vprintf (format, args);
  va_end (args);
  DeimShape shape = { 0 };
  if (!dict->shape (dict->data, name, &shape))
    return (DeimShape){ 0 };
  return shape;
}

gfloat *
deim_dict_values (const DeimStateDict *dict, const gchar *name, gsize n)
{
  DeimShape shape;
  gfloat *values = dict->values.lookup ? dict->values.lookup (dict->values.data, name, &shape) : NULL;
  if (values && (gsize) shape.n * (gsize) shape.c * (gsize) shape.h * (gsize) shape.w == n)
    return values;
  g_free (values);
  return NULL;
}

/* How many of @format with 0, 1, 2, .. are there; @format has one %d. */
static gint
count (const DeimStateDict *dict, const gchar *format)
{
  gint n = 0;
  g_auto (GStrv) parts = g_strsplit (format, "%d", 2);
  while (n < MAX_COUNT && deim_dict_has (dict, "%s%d%s", parts[0], n, parts[1]))
    n++;
  return n;
}

static gboolean
refuse (GError **error, const gchar *what)
{
  g_set_error (error, DEIM_ERROR, DEIM_ERROR_ARCHITECTURE,
               "not a network of the DEIM family: %s. Known are DEIM, DEIMv2 with HGNetv2, D-FINE, RT-DETR and "
               "RT-DETRv2 as their official code saves them",
               what);
  return FALSE;
}

/* Whether any tensor of a module is there. What a network is must not hang on a single tensor: one that is missing is
 * to be missed by its name. */
static gboolean
has_module (const DeimStateDict *dict, const gchar *prefix)
{
  for (guint i = 0; i < dict->n_tensors; i++)
    if (g_str_has_prefix (dict->name (dict->data, i), prefix))
      return TRUE;
  return FALSE;
}

/* ------------------------------------------------------------- backbones */

static gint
count_blocks (const DeimStateDict *dict, gint stage, gboolean light)
{
  g_autofree gchar *format =
      g_strdup_printf ("backbone.stages.%d.blocks.%%d.layers.0.%sconv.weight", stage, light ? "conv1." : "");
  return count (dict, format);
}

static gboolean
read_hgnetv2 (const DeimStateDict *dict, DeimBackboneArch *backbone, GError **error)
{
  backbone->kind = DEIM_BACKBONE_HGNETV2;
  backbone->stem_mid = deim_dict_shape (dict, "backbone.stem.stem1.conv.weight").n;
  backbone->stem_out = deim_dict_shape (dict, "backbone.stem.stem4.conv.weight").n;
  backbone->lab = deim_dict_has (dict, "backbone.stem.stem1.lab.scale");
  backbone->rt_names = deim_dict_has (dict, "backbone.stages.0.blocks.0.aggregation_squeeze_conv.conv.weight");
  gint s = 0;
  for (; s < DEIM_MAX_STAGES; s++) {
    DeimStage *stage = &backbone->stages[s];
    DeimShape first = deim_dict_shape (dict, "backbone.stages.%d.blocks.0.layers.0.conv.weight", s);
    DeimShape light = deim_dict_shape (dict, "backbone.stages.%d.blocks.0.layers.0.conv1.conv.weight", s);
    DeimShape kernel = first;
    if (first.n == 0 && light.n == 0)
      break;
    if (light.n) {
      stage->light = TRUE;
      first = light;
      kernel = deim_dict_shape (dict, "backbone.stages.%d.blocks.0.layers.0.conv2.conv.weight", s);
    }
    stage->in = first.c;
    stage->mid = first.n;
    stage->kernel = kernel.h;
    stage->out = deim_dict_shape (dict, "backbone.stages.%d.blocks.0.%s.conv.weight", s,
                                  backbone->rt_names ? "aggregation_excitation_conv" : "aggregation.1")
                     .n;
    stage->blocks = count_blocks (dict, s, stage->light);
    g_autofree gchar *layers = g_strdup_printf ("backbone.stages.%d.blocks.0.layers.%%d.%s", s,
                                                stage->light ? "conv1.conv.weight" : "conv.weight");
    stage->layers = count (dict, layers);
    if (stage->layers >= DEIM_MAX_INPUTS)
      return refuse (error, "its HGNetv2 has more layers in a block than any published one");
  }
  backbone->n_stages = s;
  return TRUE;
}

static gboolean
read_presnet (const DeimStateDict *dict, DeimBackboneArch *backbone, GError **error)
{
  backbone->kind = DEIM_BACKBONE_PRESNET;
  backbone->bottleneck = deim_dict_has (dict, "backbone.res_layers.0.blocks.0.branch2c.conv.weight");
  gint s = 0;
  for (; s < DEIM_MAX_STAGES; s++) {
    g_autofree gchar *blocks = g_strdup_printf ("backbone.res_layers.%d.blocks.%%d.branch2a.conv.weight", s);
    backbone->stages[s].blocks = count (dict, blocks);
    if (!backbone->stages[s].blocks)
      break;
  }
  backbone->n_stages = s;
  if (!deim_dict_has (dict, "backbone.conv1.conv1_3.conv.weight") ||
      !deim_dict_has (dict, "backbone.res_layers.1.blocks.0.short.conv.conv.weight"))
    return refuse (error, "its ResNet is not of variant d, the one that every published configuration uses");
  return TRUE;
}

static gboolean
read_backbone (const DeimStateDict *dict, DeimBackboneArch *backbone, GError **error)
{
  if (has_module (dict, "backbone.stem.")) {
    if (!read_hgnetv2 (dict, backbone, error))
      return FALSE;
  } else if (has_module (dict, "backbone.res_layers.")) {
    if (!read_presnet (dict, backbone, error))
      return FALSE;
  } else if (has_module (dict, "backbone.model.")) {
    backbone->kind = DEIM_BACKBONE_DLA;
    backbone->n_stages = 4; /* strides 4, 8, 16, 32: level2 .. level5 */
    for (gint s = 0; s < 4; s++)
      backbone->stages[s].blocks = 1;
  } else if (deim_dict_has (dict, "backbone.dinov3.rope_embed.periods") ||
             deim_dict_has (dict, "backbone.dinov3.cls_token")) {
    return refuse (error, "its backbone is DINOv3, which is not supported yet");
  } else {
    return refuse (error, "it has no backbone.stem (HGNetv2), backbone.res_layers (PResNet) or backbone.model (DLA)");
  }
  /* One map for the lite encoder; else one more than there are steps between levels. */
  gboolean lite = has_module (dict, "encoder.down_sample1.");
  gint maps = lite ? 1 : count (dict, "encoder.lateral_convs.%d.conv.weight") + 1;
  if (maps > backbone->n_stages || (maps < 2 && !lite))
    return refuse (error, "its encoder's levels (encoder.lateral_convs) do not fit the stages of its backbone");
  backbone->first_stage = backbone->n_stages - maps;

  return TRUE;
}

/* Frozen: the backbone's norms were not counting batches while the others were. A file in which none does, as one
 * without buffers of training, says nothing. */
static DeimNorms
read_norms (const DeimStateDict *dict)
{
  gboolean backbone_counts = FALSE, others_count = FALSE;
  for (guint i = 0; i < dict->n_tensors; i++) {
    const gchar *name = dict->name (dict->data, i);
    if (g_str_has_suffix (name, ".num_batches_tracked")) {
      if (g_str_has_prefix (name, "backbone."))
        backbone_counts = TRUE;
      else
        others_count = TRUE;
    }
  }
  return backbone_counts ? DEIM_NORMS_TRAINED : others_count ? DEIM_NORMS_FROZEN : DEIM_NORMS_UNKNOWN;
}

/* -------------------------------------------------------------- encoders */

static gboolean
read_encoder (const DeimStateDict *dict, DeimArch *arch, GError **error)
{
  DeimEncoderArch *encoder = &arch->encoder;
  gboolean lite = has_module (dict, "encoder.down_sample1.");
  const gchar *block = lite ? "encoder.fpn_block" : "encoder.fpn_blocks.0";
  encoder->kind = lite ? DEIM_ENCODER_LITE : DEIM_ENCODER_HYBRID;
  encoder->v1_names = has_module (dict, "encoder.input_proj.0.0.") || has_module (dict, "encoder.input_proj.0.1.");
  encoder->hidden =
      deim_dict_shape (dict, lite ? "encoder.input_proj.0.conv.weight" : "encoder.lateral_convs.0.conv.weight").n;
  encoder->layers = count (dict, "encoder.encoder.0.layers.%d.linear1.weight");
  encoder->ff = deim_dict_shape (dict, "encoder.encoder.0.layers.0.linear1.weight").n;

  const gchar *bottlenecks;
  if (deim_dict_has (dict, "%s.cv1.conv.weight", block)) {
    encoder->fusion = deim_dict_has (dict, "%s.cv2.1.conv.weight", block) ? DEIM_FUSION_ELAN4 : DEIM_FUSION_ELAN5;
    encoder->csp2 = !deim_dict_has (dict, "%s.cv2.0.conv2.conv.weight", block);
    encoder->sum = deim_dict_shape (dict, "%s.cv1.conv.weight", block).c == encoder->hidden;
    encoder->width = (deim_dict_shape (dict, "%s.cv4.conv.weight", block).c - 2 * encoder->hidden) / 2;
    bottlenecks = ".cv2.0.bottlenecks.%d.conv1.conv.weight";
  } else {
    encoder->fusion = DEIM_FUSION_CSP;
    encoder->width = deim_dict_shape (dict, "%s.conv1.conv.weight", block).n;
    bottlenecks = ".bottlenecks.%d.conv1.conv.weight";
  }
  g_autofree gchar *format = g_strconcat (block, bottlenecks, NULL);
  encoder->depth = count (dict, format);
  if (encoder->hidden < 1 || encoder->width < 1)
    return refuse (error, "it has no fusion blocks (encoder.fpn_block) of a known form");
  if (lite && arch->backbone.n_stages - arch->backbone.first_stage != 1)
    return refuse (error, "its encoder is the lite one, which takes a single map, but there are more");
  return TRUE;
}

/* -------------------------------------------------------------- decoders */

/* Points of each level: how often 1/n stands in num_points_scale, or (RT-DETR v1) the same number for all. */
static gboolean
read_points (const DeimStateDict *dict, DeimDecoderArch *decoder, GError **error)
{
  gint total =
      deim_dict_shape (dict, "decoder.decoder.layers.0.cross_attn.sampling_offsets.weight").n / (2 * DEIM_HEADS);
  if (decoder->v1_names) {
    for (gint l = 0; l < decoder->levels; l++)
      decoder->points[l] = total / decoder->levels;
    if (total < 1 || total % decoder->levels)
      return refuse (error, "the rows of its sampling_offsets do not divide among the levels");
    return TRUE;
  }
  g_autofree gfloat *scale =
      total > 0 ? deim_dict_values (dict, "decoder.decoder.layers.0.cross_attn.num_points_scale", (gsize) total) : NULL;
  gint level = 0, point = 0;
  while (scale && point < total && level < DEIM_MAX_LEVELS && scale[point] > 1e-3f && scale[point] < 1.5f) {
    decoder->points[level] = (gint) lroundf (1.0f / scale[point]);
    point += decoder->points[level++];
  }
  if (!scale || point != total || level != decoder->levels)
    return refuse (error, "decoder.decoder.layers.0.cross_attn.num_points_scale does not fit the decoder's levels");
  return TRUE;
}

static gboolean
read_decoder_kind (const DeimStateDict *dict, DeimDecoderArch *decoder, GError **error)
{
  decoder->v1_names = has_module (dict, "decoder.enc_output.0.") || has_module (dict, "decoder.enc_output.1.");
  if (has_module (dict, "decoder.decoder.layers.0.swish_ffn."))
    decoder->kind = DEIM_DECODER_DEIM;
  else if (has_module (dict, "decoder.pre_bbox_head."))
    decoder->kind = DEIM_DECODER_DFINE;
  else if (has_module (dict, "decoder.decoder.layers.0.cross_attn.value_proj."))
    decoder->kind = DEIM_DECODER_RTDETR;
  else
    return refuse (error, "decoder.decoder.layers.0 is of no known kind");
  return TRUE;
}

static gboolean
same_values (const DeimStateDict *dict, const gchar *a, const gchar *b)
{
  DeimShape shape = deim_dict_shape (dict, "%s", a);
  gsize n = (gsize) shape.n * (gsize) shape.c * (gsize) shape.h * (gsize) shape.w;
  g_autofree gfloat *x = n ? deim_dict_values (dict, a, n) : NULL;
  g_autofree gfloat *y = n ? deim_dict_values (dict, b, n) : NULL;
  return x && y && memcmp (x, y, n * sizeof (gfloat)) == 0;
}

/* A number that the decoder computes with, and that no default could stand in for: D-FINE X has another reg_scale than
 * the rest. The decoder's inner module holds the same tensor under a second name. */
static gboolean
read_scalar (const DeimStateDict *dict, const gchar *leaf, gfloat *ret_value, GError **error)
{
  g_autofree gchar *name = g_strconcat ("decoder.", leaf, NULL), *inner = g_strconcat ("decoder.decoder.", leaf, NULL);
  g_autofree gfloat *value = deim_dict_values (dict, name, 1), *again = deim_dict_values (dict, inner, 1);
  if (value && again && *value != *again) {
    g_autofree gchar *what = g_strdup_printf ("its %s is %g and its %s is %g, which are one tensor", name,
                                              (gdouble) *value, inner, (gdouble) *again);
    return refuse (error, what);
  }
  const gfloat *found = value ? value : again;
  if (!found || !isfinite (*found) || *found == 0.0f) {
    g_autofree gchar *what = g_strdup_printf ("its decoder needs \"%s\", a single number other than 0, which is %s",
                                              name, found ? "not that" : "missing or of another shape");
    return refuse (error, what);
  }
  *ret_value = *found;
  return TRUE;
}

static gboolean
read_decoder (const DeimStateDict *dict, DeimArch *arch, GError **error)
{
  DeimDecoderArch *decoder = &arch->decoder;
  if (!read_decoder_kind (dict, decoder, error))
    return FALSE;
  for (gint l = 0; l < arch->backbone.n_stages - arch->backbone.first_stage; l++)
    arch->encoder.identity[l] =
        decoder->kind == DEIM_DECODER_DEIM && !deim_dict_has (dict, "encoder.input_proj.%d.conv.weight", l);
  decoder->hidden = deim_dict_shape (dict, "decoder.enc_score_head.weight").c;
  decoder->classes = deim_dict_shape (dict, "decoder.dec_score_head.0.weight").n;
  decoder->layers = count (dict, "decoder.decoder.layers.%d.self_attn.in_proj_weight");
  if (decoder->hidden < DEIM_HEADS || decoder->hidden % DEIM_HEADS)
    return refuse (error, "decoder.enc_score_head.weight, which tells the decoder's width, is missing or odd");
  if (decoder->classes < 1)
    return refuse (error, "decoder.dec_score_head.0.weight, which tells the classes, is missing or empty");
  if (decoder->layers < 1)
    return refuse (error, "its decoder has no layers (decoder.decoder.layers.0.self_attn.in_proj_weight)");
  if (deim_dict_shape (dict, "decoder.enc_score_head.weight").n == 1 && decoder->classes > 1)
    decoder->select = DEIM_SELECT_AGNOSTIC;

  gint projections = count (dict, "decoder.input_proj.%d.conv.weight");
  gint maps = deim_arch_encoder_levels (arch);
  decoder->projected = projections > 0;
  decoder->levels = projections > 0 ? projections : maps;
  if (decoder->levels < MAX (maps, 1) || decoder->levels > DEIM_MAX_LEVELS)
    return refuse (error, "decoder.input_proj does not fit the encoder's levels");

  gboolean swish = decoder->kind == DEIM_DECODER_DEIM;
  decoder->ff = swish ? deim_dict_shape (dict, "decoder.decoder.layers.0.swish_ffn.w12.weight").n / 2
                      : deim_dict_shape (dict, "decoder.decoder.layers.0.linear1.weight").n;
  decoder->gate = deim_dict_has (dict, "decoder.decoder.layers.0.gateway.gate.weight");
  decoder->query_pos_layers = has_module (dict, "decoder.query_pos_head.layers.2.") ? 3 : 2;
  decoder->learned_content = deim_dict_has (dict, "decoder.tgt_embed.weight");
  if (decoder->learned_content)
    decoder->queries = deim_dict_shape (dict, "decoder.tgt_embed.weight").n;

  /* Layers that evaluation does not reach may be wider, and then say where it stops. */
  decoder->layer_scale = 1;
  decoder->eval_idx = -1;
  for (gint i = 0; i < decoder->layers; i++) {
    gint width = deim_dict_shape (dict, "decoder.decoder.layers.%d.self_attn.in_proj_weight", i).c;
    if (i > 0 && width != decoder->hidden && width % decoder->hidden == 0 && decoder->layer_scale == 1) {
      decoder->layer_scale = width / decoder->hidden;
      decoder->eval_idx = i - 1;
    }
  }

  if (decoder->layers > 1) {
    decoder->share_bbox =
        same_values (dict, "decoder.dec_bbox_head.0.layers.0.weight", "decoder.dec_bbox_head.1.layers.0.weight");
    /* Files remade from an ONNX export fill the heads that it lacks with copies, the quality heads among them. Those
     * are never shared, so copies there mean copies here. */
    decoder->share_score = same_values (dict, "decoder.dec_score_head.0.weight", "decoder.dec_score_head.1.weight") &&
                           !same_values (dict, "decoder.decoder.lqe_layers.0.reg_conf.layers.0.weight",
                                         "decoder.decoder.lqe_layers.1.reg_conf.layers.0.weight");
  }
  if (!read_points (dict, decoder, error))
    return FALSE;
  return decoder->kind == DEIM_DECODER_RTDETR ||
         (read_scalar (dict, "up", &decoder->up, error) && read_scalar (dict, "reg_scale", &decoder->reg_scale, error));
}

gboolean
deim_recognise_structure (const DeimStateDict *dict, DeimArch *ret_arch, GError **error)
{
  DeimArch arch = { .family = "", .size = "" };
  gboolean backbone = read_backbone (dict, &arch.backbone, error);
  gboolean encoder = read_encoder (dict, &arch, backbone ? error : NULL);
  gboolean decoder = read_decoder (dict, &arch, backbone && encoder ? error : NULL);
  arch.backbone.frozen = read_norms (dict);
  *ret_arch = arch;
  return backbone && encoder && decoder;
}
