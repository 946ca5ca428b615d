/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * arch.h - every value that decides what a network's graph looks like.
 *
 * Families and sizes are rows of such values (table.c); a state dict is turned
 * into one by recognise.c; network.c makes the graph from it. Words follow the
 * official configurations, so that a value can be found there.
 */
#pragma once

#include "engine/graph/graph.h"

#define DEIM_MAX_STAGES 4
#define DEIM_HEADS      8 /* of every attention in every network of the family */

/* Largest side of a picture that a network takes. */
#define DEIM_NETWORK_MAX_SIDE 8192

typedef enum { DEIM_BACKBONE_HGNETV2, DEIM_BACKBONE_PRESNET, DEIM_BACKBONE_DLA } DeimBackboneKind;

/* One stage of HGNetv2. PResNet uses `blocks` alone. */
typedef struct {
  gint in, mid, out; /* channels */
  gint blocks;
  gboolean light; /* layers are 1x1 + depthwise */
  gint kernel;
  gint layers; /* in a block */
} DeimStage;

/* Whether BatchNorm's affine is a buffer: same arithmetic, other count of parameters. Unknown only as read off a state
 * dict without any counter of batches. */
typedef enum { DEIM_NORMS_TRAINED, DEIM_NORMS_FROZEN, DEIM_NORMS_UNKNOWN } DeimNorms;

typedef struct {
  DeimBackboneKind kind;
  gint stem_mid, stem_out; /* HGNetv2 */
  gint n_stages;
  DeimStage stages[DEIM_MAX_STAGES];
  gint first_stage;    /* of those handed to the encoder; the last is n_stages - 1. Stage s has stride 4 << s */
  gboolean lab;        /* HGNetv2: learnable affine blocks */
  gboolean bottleneck; /* PResNet 50 and up */
  gboolean rt_names;   /* HGNetv2 as RT-DETR's repository names its parts */
  DeimNorms frozen;
} DeimBackboneArch;

typedef enum { DEIM_ENCODER_HYBRID, DEIM_ENCODER_LITE } DeimEncoderKind;

typedef enum {
  DEIM_FUSION_CSP,   /* RT-DETR */
  DEIM_FUSION_ELAN4, /* D-FINE, DEIMv2 up to S */
  DEIM_FUSION_ELAN5, /* DEIMv2 M and up: ELAN4 without its two 3x3 */
} DeimFusion;

typedef struct {
  DeimEncoderKind kind;
  gint hidden; /* channels of every level */
  gint layers; /* AIFI */
  gint ff;     /* width of AIFI's feed-forward */
  DeimFusion fusion;
  gboolean csp2;                      /* inside ELAN: one 1x1 in two halves, instead of two 1x1 */
  gboolean sum;                       /* levels are added, instead of concatenated */
  gint width;                         /* channels of the CSP inside a fusion block */
  gint depth;                         /* RepVGG blocks in it */
  gboolean v1_names;                  /* input_proj.i.{0,1} */
  gboolean identity[DEIM_MAX_LEVELS]; /* DEIMv2: a map that has `hidden` channels already is not projected */
} DeimEncoderArch;

typedef enum {
  DEIM_DECODER_RTDETR, /* boxes refined as logits; value and output projections */
  DEIM_DECODER_DFINE,  /* boxes as distributions, gateway, LayerNorm */
  DEIM_DECODER_DEIM,   /* DEIMv2: the same with RMSNorm, SwiGLU, no enc_output */
} DeimDecoderKind;

typedef enum { DEIM_SELECT_DEFAULT, DEIM_SELECT_AGNOSTIC, DEIM_SELECT_ONE2MANY } DeimSelect;

typedef struct {
  DeimDecoderKind kind;
  gint hidden;
  gint levels;
  gint points[DEIM_MAX_LEVELS];
  gboolean projected; /* has decoder.input_proj */
  gint layers;        /* in the file */
  gint eval_idx;      /* the last one that is run */
  gint layer_scale;   /* layers after eval_idx are so many times wider */
  gint ff;            /* linear1's rows; of SwiGLU half of w12's */
  DeimAct act;        /* in every MLP and feed-forward of the decoder */
  gint queries;
  gint classes;
  DeimSelect select;
  DeimSampling sampling;
  gboolean learned_content; /* tgt_embed */
  gboolean gate;
  gboolean share_bbox, share_score; /* one head under all names: same arithmetic, other count of parameters */
  gint query_pos_layers;
  gfloat up, reg_scale; /* of W(n) */
  gboolean v1_names;    /* enc_output.{0,1}; no anchors, no num_points_scale */
} DeimDecoderArch;

typedef struct {
  gchar name[40];      /* the preset it is, or is closest to */
  const gchar *family; /* "DEIM-D-FINE" */
  const gchar *size;   /* "N" */
  DeimBackboneArch backbone;
  DeimEncoderArch encoder;
  DeimDecoderArch decoder;
  gint input_height, input_width; /* what it was trained for */
} DeimArch;

/* Presets (table.c). Names are those of DeimModelOptions.arch; the list ends with NULL. */
guint deim_arch_n_presets (void);
void deim_arch_preset (guint index, DeimArch *ret_arch);
/* FALSE if there is none called @name. */
gboolean deim_arch_find_preset (const gchar *name, DeimArch *ret_arch);

/*
 * A spec is a preset's name and, after a colon, what differs from it where a
 * state dict cannot tell: "deim_dfine_n:queries=100,sampling=discrete". Keys:
 * act (relu, silu), sampling (bilinear, discrete), select (default, agnostic,
 * one2many), eval-idx, queries, input (HxW), share-score (0, 1), frozen (0, 1).
 */
typedef enum {
  DEIM_SPEC_ACT = 1 << 0,
  DEIM_SPEC_SAMPLING = 1 << 1,
  DEIM_SPEC_SELECT = 1 << 2,
  DEIM_SPEC_EVAL_IDX = 1 << 3,
  DEIM_SPEC_QUERIES = 1 << 4,
  DEIM_SPEC_INPUT = 1 << 5,
  DEIM_SPEC_SHARE_SCORE = 1 << 6,
  DEIM_SPEC_FROZEN = 1 << 7,
} DeimSpecKeys;

/* Fills @ret_arch from the preset and the options; @ret_given (nullable) says which keys were written out.
 * DEIM_ERROR_SETTINGS for an unknown name, key or value. */
gboolean deim_arch_parse_spec (const gchar *spec, DeimArch *ret_arch, DeimSpecKeys *ret_given, GError **error);
/* The part after the colon alone: sets in @arch what @options write out. */
gboolean deim_arch_parse_options (const gchar *options, DeimArch *arch, DeimSpecKeys *ret_given, GError **error);
/* The spec that leaves nothing to guess. Free with g_free(). */
gchar *deim_arch_to_spec (const DeimArch *arch);

/* Encoder maps, from the finest; the decoder may have one level more. */
gint deim_arch_encoder_levels (const DeimArch *arch);
/* Pixels per token of level @level. */
gint deim_arch_stride (const DeimArch *arch, gint level);
