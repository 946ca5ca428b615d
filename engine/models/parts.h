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

/* The queries that the decoder starts with. */
typedef struct {
  DeimTensor *index;   /* int [n, 1, 1, Q] */
  gint divide;         /* token = index / divide */
  DeimTensor *content; /* [n, d, 1, Q] */
  DeimTensor *boxes;   /* [n, 4, 1, Q] cxcywh, 0..1 */
} DeimQueries;

/* Encoder maps -> memory, by decoder.input_proj where there is one. Called with no scope. */
void deim_decoder_memory (const DeimBuild *b, DeimTensor *const *maps, DeimMemory *ret_memory);
/* Called in scope "decoder". */
void deim_decoder_select (const DeimBuild *b, const DeimMemory *memory, DeimQueries *ret_queries);
/* Layer @i on queries @x with position @pos and boxes @boxes. Called in scope "decoder". */
DeimTensor *deim_decoder_layer (const DeimBuild *b, gint i, DeimTensor *x, DeimTensor *pos, DeimTensor *boxes,
                                const DeimMemory *memory);
/* The query position of boxes, the @call-th time. Called in scope "decoder". */
DeimTensor *deim_decoder_query_pos (const DeimBuild *b, DeimTensor *boxes, gint call);

/* The distances W(n) that D-FINE's bins stand for, in units of the initial box's size over R; dense near zero. */
void deim_decoder_fdr_attrs (const DeimDecoderArch *arch, DeimFdrAttrs *ret_attrs);

/* The loops over layers: queries -> logits and boxes. Called in scope "decoder". */
void deim_rtdetr_decoder (const DeimBuild *b, const DeimMemory *memory, const DeimQueries *queries,
                          DeimNetworkOutputs *ret_outputs);
void deim_dfine_decoder (const DeimBuild *b, const DeimMemory *memory, const DeimQueries *queries,
                         DeimNetworkOutputs *ret_outputs);
