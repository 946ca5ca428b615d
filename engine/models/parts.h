/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * parts.h - the large parts of a network: backbones, encoders, decoders. Maps
 * go from one to the next as arrays of DEIM_MAX_LEVELS, finest first.
 */
#pragma once

#include "engine/models/blocks.h"
#include "engine/models/network.h"

/* Backbones (scope "backbone"): picture [n, 3, h, w] -> the maps of the returned stages. */
void deim_hgnetv2 (const DeimBuild *b, DeimTensor *picture, DeimTensor **ret_maps);
void deim_presnet (const DeimBuild *b, DeimTensor *picture, DeimTensor **ret_maps);
void deim_dla (const DeimBuild *b, DeimTensor *picture, DeimTensor **ret_maps);

/* Encoders (scope "encoder"): backbone maps -> deim_arch_encoder_levels() maps of encoder.hidden channels. */
void deim_hybrid_encoder (const DeimBuild *b, DeimTensor *const *maps, DeimTensor **ret_maps);
void deim_lite_encoder (const DeimBuild *b, DeimTensor *map, DeimTensor **ret_maps);

/* A fusion block of an encoder: @x -> encoder.hidden channels. */
DeimTensor *deim_fusion_block (const DeimBuild *b, DeimTensor *x, const gchar *scope);

/* All levels as tokens: [n, d, 1, sum h*w], finest first. */
typedef struct {
  DeimTensor *tokens;
  gint levels;
  gint h[DEIM_MAX_LEVELS], w[DEIM_MAX_LEVELS];
  gint total; /* tokens */
} DeimMemory;

/* The queries that the decoder starts with: T = Q, in training with the denoising queries before them. */
typedef struct {
  DeimTensor *index;   /* int [n, 1, 1, Q] */
  gint divide;         /* token = index / divide */
  DeimTensor *content; /* [n, d, 1, T] */
  DeimTensor *boxes;   /* [n, 4, 1, T] cxcywh, 0..1 */
  DeimTensor *groups;  /* [1, 1, 1, T] who sees whom, see deim_attention(); NULL: all see all */
} DeimQueries;

/* What decoders fill: in evaluation `network`, in training `training`; the other is NULL. */
typedef struct {
  DeimNetworkOutputs *network;
  DeimTrainingOutputs *training;
} DeimDecoderOutputs;

/* Encoder maps -> memory, by decoder.input_proj where there is one. Called with no scope. */
void deim_decoder_memory (const DeimBuild *b, DeimTensor *const *maps, DeimMemory *ret_memory);
/* Called in scope "decoder". @outputs: gets the inputs of denoising queries and the encoder's predictions in training.
 */
void deim_decoder_select (const DeimBuild *b, const DeimMemory *memory, DeimDecoderOutputs *outputs,
                          DeimQueries *ret_queries);
/* Layer @i on queries @x with position @pos and boxes @boxes, seen by @groups. Called in scope "decoder". */
DeimTensor *deim_decoder_layer (const DeimBuild *b, gint i, DeimTensor *x, DeimTensor *pos, DeimTensor *groups,
                                DeimTensor *boxes, const DeimMemory *memory);
/* The query position of boxes, the @call-th time. Called in scope "decoder". */
DeimTensor *deim_decoder_query_pos (const DeimBuild *b, DeimTensor *boxes, gint call);

/* The loops over layers: queries -> logits and boxes. Called in scope "decoder". */
void deim_rtdetr_decoder (const DeimBuild *b, const DeimMemory *memory, const DeimQueries *queries,
                          DeimDecoderOutputs *outputs);
void deim_dfine_decoder (const DeimBuild *b, const DeimMemory *memory, const DeimQueries *queries,
                         DeimDecoderOutputs *outputs);
/* The last layer that is run, and the layer whose class head, box head serves layer @i: @i itself, unless training
 * shares one. */
gint deim_decoder_last_layer (const DeimBuild *b);
gint deim_decoder_score_head (const DeimBuild *b, gint i);
gint deim_decoder_box_head (const DeimBuild *b, gint i);
