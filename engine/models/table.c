/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * table.c - the published networks as rows of values. A row names its backbone
 * (a table of its own) and what its family leaves open; the family's own
 * values are filled in by expand().
 */
#include "engine/deim.h"
#include "engine/models/arch.h"

#include <string.h>

/* ------------------------------------------------------------- backbones */

typedef struct {
  const gchar *name;
  const gchar *title; /* for people */
  DeimBackboneKind kind;
  gint stem_mid, stem_out;
  gint n_stages;
  gboolean bottleneck;
  DeimStage stages[DEIM_MAX_STAGES]; /* in, mid, out, blocks, light, kernel, layers */
} Backbone;

/* clang-format off */
#define HGNET(name, mid, out, n, ...) { name, "HGNetv2 " name, DEIM_BACKBONE_HGNETV2, mid, out, n, FALSE, { __VA_ARGS__ } }
#define BLOCKS(a, b, c, d) { { .blocks = a }, { .blocks = b }, { .blocks = c }, { .blocks = d } }
#define RESNET(name, bottleneck, blocks) { name, "PResNet-" name, DEIM_BACKBONE_PRESNET, 0, 0, 4, bottleneck, blocks }

/* Stages that B0 shares with its smaller relatives. */
#define STAGE_S0 { 16, 16, 64, 1, FALSE, 3, 3 }
#define STAGE_S1 { 64, 32, 256, 1, FALSE, 3, 3 }
/* clang-format on */

static const Backbone backbones[] = {
  HGNET ("Atto", 16, 16, 3, STAGE_S0, STAGE_S1, { 256, 64, 256, 1, TRUE, 3, 3 }),
  HGNET ("Femto", 16, 16, 3, STAGE_S0, STAGE_S1, { 256, 64, 512, 1, TRUE, 5, 3 }),
  HGNET ("Pico", 16, 16, 3, STAGE_S0, STAGE_S1, { 256, 64, 512, 2, TRUE, 5, 3 }),
  HGNET ("B0", 16, 16, 4, STAGE_S0, STAGE_S1, { 256, 64, 512, 2, TRUE, 5, 3 }, { 512, 128, 1024, 1, TRUE, 5, 3 }),
  HGNET ("B2", 24, 32, 4, { 32, 32, 96, 1, FALSE, 3, 4 }, { 96, 64, 384, 1, FALSE, 3, 4 },
         { 384, 128, 768, 3, TRUE, 5, 4 }, { 768, 256, 1536, 1, TRUE, 5, 4 }),
  HGNET ("B4", 32, 48, 4, { 48, 48, 128, 1, FALSE, 3, 6 }, { 128, 96, 512, 1, FALSE, 3, 6 },
         { 512, 192, 1024, 3, TRUE, 5, 6 }, { 1024, 384, 2048, 1, TRUE, 5, 6 }),
  HGNET ("B5", 32, 64, 4, { 64, 64, 128, 1, FALSE, 3, 6 }, { 128, 128, 512, 2, FALSE, 3, 6 },
         { 512, 256, 1024, 5, TRUE, 5, 6 }, { 1024, 512, 2048, 2, TRUE, 5, 6 }),
  HGNET ("B6", 48, 96, 4, { 96, 96, 192, 2, FALSE, 3, 6 }, { 192, 192, 512, 3, FALSE, 3, 6 },
         { 512, 384, 1024, 6, TRUE, 5, 6 }, { 1024, 768, 2048, 3, TRUE, 5, 6 }),
  RESNET ("18", FALSE, BLOCKS (2, 2, 2, 2)),
  RESNET ("34", FALSE, BLOCKS (3, 4, 6, 3)),
  RESNET ("50", TRUE, BLOCKS (3, 4, 6, 3)),
  RESNET ("101", TRUE, BLOCKS (3, 4, 23, 3)),
  { "dla34", "DLA-34", DEIM_BACKBONE_DLA, 0, 0, 4, FALSE, BLOCKS (1, 1, 1, 1) },
};

/* -------------------------------------------------------------- families */

typedef enum { F_DEIMV2, F_DEIM_DFINE, F_DFINE, F_DEIM_RT, F_RTV2, F_RTV1 } FamilyId;

typedef struct {
  const gchar *name;
  DeimDecoderKind decoder;
  DeimAct act;
  gint query_pos_layers;
  gboolean v1_names;
} Family;

static const Family families[] = {
  [F_DEIMV2] = { "DEIMv2", DEIM_DECODER_DEIM, DEIM_ACT_SILU, 3, FALSE },
  [F_DEIM_DFINE] = { "DEIM-D-FINE", DEIM_DECODER_DFINE, DEIM_ACT_SILU, 2, FALSE },
  [F_DFINE] = { "D-FINE", DEIM_DECODER_DFINE, DEIM_ACT_RELU, 2, FALSE },
  [F_DEIM_RT] = { "DEIM-RT-DETRv2", DEIM_DECODER_RTDETR, DEIM_ACT_SILU, 3, FALSE },
  [F_RTV2] = { "RT-DETRv2", DEIM_DECODER_RTDETR, DEIM_ACT_RELU, 2, FALSE },
  [F_RTV1] = { "RT-DETR", DEIM_DECODER_RTDETR, DEIM_ACT_RELU, 2, TRUE },
};

/* ------------------------------------------------------------------ rows */

enum { LAB = 1, FROZEN = 2, RELU = 4, DISCRETE = 8, TWO_LEVELS = 16, ELAN5 = 32 };

typedef struct {
  const gchar *name;
  FamilyId family;
  const gchar *size;
  const gchar *backbone;
  guint flags;
  gint hidden;             /* of the encoder */
  gint encoder_layers, ff; /* AIFI; 0 layers for the lite encoder */
  gint width, depth;       /* of the CSP in the fusion blocks */
  gint layers, eval_idx;   /* of the decoder */
  gint decoder_ff;
  gint queries;
  gint input;
  gint points; /* RT-DETR: per level; 0: 4 */
} Row;

static const Row rows[] = {
  /* name, family, size, backbone, flags, hidden, AIFI, ff, width, depth, layers, eval, decoder ff, queries, input */
  { "deimv2_atto", F_DEIMV2, "Atto", "Atto", LAB, 64, 0, 0, 10, 2, 3, 2, 80, 100, 320, 0 },
  { "deimv2_femto", F_DEIMV2, "Femto", "Femto", LAB, 96, 0, 0, 16, 2, 3, 2, 128, 150, 416, 0 },
  { "deimv2_pico", F_DEIMV2, "Pico", "Pico", LAB, 112, 0, 0, 19, 2, 3, 2, 160, 200, 640, 0 },
  { "deimv2_n", F_DEIMV2, "N", "B0", LAB | TWO_LEVELS, 128, 1, 512, 21, 2, 3, 2, 256, 300, 640, 0 },
  { "deimv2_s", F_DEIMV2, "S", "B0", LAB, 256, 1, 1024, 64, 1, 3, 2, 1024, 300, 640, 0 },
  { "deimv2_m", F_DEIMV2, "M", "B2", LAB | ELAN5, 256, 1, 1024, 128, 2, 4, 3, 1024, 300, 640, 0 },
  { "deimv2_l", F_DEIMV2, "L", "B4", ELAN5, 256, 1, 1024, 128, 3, 6, 5, 1024, 300, 640, 0 },
  { "deimv2_x", F_DEIMV2, "X", "B5", FROZEN | ELAN5, 384, 1, 2048, 192, 3, 6, 5, 1024, 300, 640, 0 },

  { "deim_dfine_n", F_DEIM_DFINE, "N", "B0", LAB | TWO_LEVELS, 128, 1, 512, 21, 2, 3, 2, 512, 300, 640, 0 },
  { "deim_dfine_s", F_DEIM_DFINE, "S", "B0", LAB, 256, 1, 1024, 64, 1, 3, 2, 1024, 300, 640, 0 },
  { "deim_dfine_m", F_DEIM_DFINE, "M", "B2", LAB, 256, 1, 1024, 128, 2, 4, 3, 1024, 300, 640, 0 },
  { "deim_dfine_l", F_DEIM_DFINE, "L", "B4", 0, 256, 1, 1024, 128, 3, 6, 5, 1024, 300, 640, 0 },
  { "deim_dfine_x", F_DEIM_DFINE, "X", "B5", 0, 384, 1, 2048, 192, 3, 6, 5, 1024, 300, 640, 0 },

  { "dfine_n", F_DFINE, "N", "B0", LAB | TWO_LEVELS, 128, 1, 512, 21, 2, 3, 2, 512, 300, 640, 0 },
  { "dfine_s", F_DFINE, "S", "B0", LAB, 256, 1, 1024, 64, 1, 3, 2, 1024, 300, 640, 0 },
  { "dfine_m", F_DFINE, "M", "B2", LAB, 256, 1, 1024, 128, 2, 4, 3, 1024, 300, 640, 0 },
  { "dfine_l", F_DFINE, "L", "B4", FROZEN, 256, 1, 1024, 128, 3, 6, 5, 1024, 300, 640, 0 },
  { "dfine_x", F_DFINE, "X", "B5", FROZEN, 384, 1, 2048, 192, 3, 6, 5, 1024, 300, 640, 0 },
  /* A DEIM model whose configuration keeps D-FINE's activation and frozen norms. */
  { "deim_dfine_x_obj2coco", F_DEIM_DFINE, "X", "B5", FROZEN | RELU, 384, 1, 2048, 192, 3, 6, 5, 1024, 300, 640, 0 },

  { "deim_r18", F_DEIM_RT, "R18", "18", 0, 256, 1, 1024, 128, 3, 3, 2, 1024, 300, 640, 0 },
  { "deim_r34", F_DEIM_RT, "R34", "34", 0, 256, 1, 1024, 128, 3, 4, 3, 1024, 300, 640, 0 },
  { "deim_r50m", F_DEIM_RT, "R50-M", "50", 0, 256, 1, 1024, 128, 3, 3, 2, 1024, 300, 640, 0 },
  { "deim_r50", F_DEIM_RT, "R50", "50", 0, 256, 1, 1024, 256, 3, 6, 5, 1024, 300, 640, 0 },
  { "deim_r101", F_DEIM_RT, "R101", "101", 0, 384, 1, 2048, 384, 3, 6, 5, 1024, 300, 640, 0 },

  { "rtdetrv2_r18", F_RTV2, "R18", "18", 0, 256, 1, 1024, 128, 3, 3, 2, 1024, 300, 640, 0 },
  { "rtdetrv2_r34", F_RTV2, "R34", "34", 0, 256, 1, 1024, 128, 3, 4, 3, 1024, 300, 640, 0 },
  { "rtdetrv2_r50m", F_RTV2, "R50-M", "50", FROZEN, 256, 1, 1024, 128, 3, 6, 2, 1024, 300, 640, 0 },
  { "rtdetrv2_r50", F_RTV2, "R50", "50", FROZEN, 256, 1, 1024, 256, 3, 6, 5, 1024, 300, 640, 0 },
  { "rtdetrv2_r101", F_RTV2, "R101", "101", FROZEN, 384, 1, 2048, 384, 3, 6, 5, 1024, 300, 640, 0 },
  { "rtdetrv2_r18_dsp", F_RTV2, "R18", "18", DISCRETE, 256, 1, 1024, 128, 3, 3, 2, 1024, 300, 640, 0 },
  { "rtdetrv2_r34_dsp", F_RTV2, "R34", "34", DISCRETE, 256, 1, 1024, 128, 3, 4, 3, 1024, 300, 640, 0 },
  { "rtdetrv2_r50m_dsp", F_RTV2, "R50-M", "50", FROZEN | DISCRETE, 256, 1, 1024, 128, 3, 6, 2, 1024, 300, 640, 0 },
  { "rtdetrv2_r50_dsp", F_RTV2, "R50", "50", FROZEN | DISCRETE, 256, 1, 1024, 256, 3, 6, 5, 1024, 300, 640, 0 },
  { "rtdetrv2_r18_sp1", F_RTV2, "R18", "18", 0, 256, 1, 1024, 128, 3, 3, 2, 1024, 300, 640, 1 },
  { "rtdetrv2_r18_sp2", F_RTV2, "R18", "18", 0, 256, 1, 1024, 128, 3, 3, 2, 1024, 300, 640, 2 },
  { "rtdetrv2_r18_sp3", F_RTV2, "R18", "18", 0, 256, 1, 1024, 128, 3, 3, 2, 1024, 300, 640, 3 },
  { "rtdetrv2_hgl", F_RTV2, "HGNetv2-L", "B4", FROZEN, 256, 1, 1024, 256, 3, 6, 5, 1024, 300, 640, 0 },
  { "rtdetrv2_hgx", F_RTV2, "HGNetv2-X", "B5", FROZEN, 384, 1, 2048, 384, 3, 6, 5, 1024, 300, 640, 0 },
  { "rtdetrv2_hgh", F_RTV2, "HGNetv2-H", "B6", FROZEN, 512, 2, 2048, 512, 3, 6, 5, 1024, 300, 640, 0 },

  { "rtdetr_r18", F_RTV1, "R18", "18", 0, 256, 1, 1024, 128, 3, 3, 2, 1024, 300, 640, 0 },
  { "rtdetr_r34", F_RTV1, "R34", "34", 0, 256, 1, 1024, 128, 3, 4, 3, 1024, 300, 640, 0 },
  { "rtdetr_r50m", F_RTV1, "R50-M", "50", FROZEN, 256, 1, 1024, 128, 3, 6, 2, 1024, 300, 640, 0 },
  { "rtdetr_r50", F_RTV1, "R50", "50", FROZEN, 256, 1, 1024, 256, 3, 6, 5, 1024, 300, 640, 0 },
  { "rtdetr_r101", F_RTV1, "R101", "101", FROZEN, 384, 1, 2048, 384, 3, 6, 5, 1024, 300, 640, 0 },
  { "rtdetr_dla34", F_RTV1, "DLA-34", "dla34", 0, 256, 1, 1024, 256, 3, 6, 5, 1024, 300, 640, 0 },
};

static const Backbone *
find_backbone (const Row *row)
{
  const Backbone *backbone = backbones;
  while (!g_str_equal (backbone->name, row->backbone))
    backbone++;
  return backbone;
}

static void
expand_backbone (const Row *row, const Family *family, DeimBackboneArch *ret)
{
  const Backbone *backbone = find_backbone (row);
  *ret = (DeimBackboneArch){
    .kind = backbone->kind,
    .stem_mid = backbone->stem_mid,
    .stem_out = backbone->stem_out,
    .n_stages = backbone->n_stages,
    .first_stage = row->encoder_layers == 0 || (row->flags & TWO_LEVELS) ? 2 : 1,
    .lab = (row->flags & LAB) != 0,
    .bottleneck = backbone->bottleneck,
    .rt_names = family->decoder == DEIM_DECODER_RTDETR && backbone->kind == DEIM_BACKBONE_HGNETV2,
    .frozen = row->flags & FROZEN ? DEIM_NORMS_FROZEN : DEIM_NORMS_TRAINED,
  };
  memcpy (ret->stages, backbone->stages, sizeof ret->stages);
}

static void
expand_decoder (const Row *row, const Family *family, DeimDecoderArch *ret)
{
  gboolean lite = row->encoder_layers == 0;
  gboolean rt = family->decoder == DEIM_DECODER_RTDETR;
  *ret = (DeimDecoderArch){
    .kind = family->decoder,
    .hidden = MIN (row->hidden, 256),
    .levels = lite || (row->flags & TWO_LEVELS) ? 2 : 3,
    .projected = rt || row->hidden > 256,
    .layers = row->layers,
    .eval_idx = row->eval_idx,
    .layer_scale = 1,
    .ff = row->decoder_ff,
    .act = row->flags & RELU ? DEIM_ACT_RELU : family->act,
    .queries = row->queries,
    .classes = 80,
    .select = DEIM_SELECT_DEFAULT,
    .sampling = row->flags & DISCRETE ? DEIM_SAMPLE_DISCRETE : DEIM_SAMPLE_BILINEAR,
    .gate = !rt && !lite,
    .share_bbox = lite,
    .query_pos_layers = family->query_pos_layers,
    .up = rt ? 0.0f : 0.5f,
    .reg_scale = rt                   ? 0.0f
                 : row->hidden == 384 ? 8.0f
                                      : 4.0f,
    .v1_names = family->v1_names,
  };
  static const gint dfine_points[2][3] = { { 6, 6, 0 }, { 3, 6, 3 } };
  static const gint lite_points[2] = { 4, 2 };
  for (gint i = 0; i < ret->levels; i++)
    ret->points[i] = rt ? (row->points ? row->points : 4) : lite ? lite_points[i] : dfine_points[ret->levels == 3][i];
}

guint
deim_arch_n_presets (void)
{
  return G_N_ELEMENTS (rows);
}

void
deim_arch_preset (guint index, DeimArch *ret_arch)
{
  const Row *row = &rows[index];
  const Family *family = &families[row->family];
  gboolean lite = row->encoder_layers == 0;
  gboolean rt = family->decoder == DEIM_DECODER_RTDETR;
  DeimArch arch = {
    .family = family->name,
    .size = row->size,
    .input_height = row->input,
    .input_width = row->input,
  };
  g_strlcpy (arch.name, row->name, sizeof arch.name);
  expand_backbone (row, family, &arch.backbone);
  arch.encoder = (DeimEncoderArch){
    .kind = lite ? DEIM_ENCODER_LITE : DEIM_ENCODER_HYBRID,
    .hidden = row->hidden,
    .layers = row->encoder_layers,
    .ff = row->ff,
    .fusion = rt                   ? DEIM_FUSION_CSP
              : row->flags & ELAN5 ? DEIM_FUSION_ELAN5
                                   : DEIM_FUSION_ELAN4,
    .csp2 = row->family == F_DEIMV2,
    .sum = row->family == F_DEIMV2,
    .width = row->width,
    .depth = row->depth,
    .v1_names = family->v1_names,
  };
  for (gint l = 0; l < arch.backbone.n_stages - arch.backbone.first_stage; l++)
    arch.encoder.identity[l] =
        row->family == F_DEIMV2 && arch.backbone.stages[arch.backbone.first_stage + l].out == row->hidden;
  expand_decoder (row, family, &arch.decoder);
  *ret_arch = arch;
}

gboolean
deim_arch_find_preset (const gchar *name, DeimArch *ret_arch)
{
  for (guint i = 0; i < G_N_ELEMENTS (rows); i++)
    if (g_ascii_strcasecmp (rows[i].name, name) == 0) {
      deim_arch_preset (i, ret_arch);
      return TRUE;
    }
  return FALSE;
}

gboolean
deim_arch_get_info (const gchar *name, DeimArchInfo *ret_info)
{
  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    if (!g_str_equal (rows[i].name, name))
      continue;
    DeimArch arch;
    deim_arch_preset (i, &arch);
    *ret_info = (DeimArchInfo){
      .family = arch.family,
      .size = arch.size,
      .backbone = find_backbone (&rows[i])->title,
      .input_width = (guint) arch.input_width,
      .input_height = (guint) arch.input_height,
      .num_queries = (guint) arch.decoder.queries,
      .num_classes = (guint) arch.decoder.classes,
    };
    return TRUE;
  }
  return FALSE;
}

const gchar *const *
deim_arch_list (void)
{
  static const gchar *names[G_N_ELEMENTS (rows) + 1];
  static gsize once;
  if (g_once_init_enter (&once)) {
    for (guint i = 0; i < G_N_ELEMENTS (rows); i++)
      names[i] = rows[i].name;
    g_once_init_leave (&once, 1);
  }
  return names;
}

gint
deim_arch_encoder_levels (const DeimArch *arch)
{
  return arch->encoder.kind == DEIM_ENCODER_LITE ? 2 : arch->backbone.n_stages - arch->backbone.first_stage;
}

gint
deim_arch_stride (const DeimArch *arch, gint level)
{
  return 4 << (arch->backbone.first_stage + level);
}
