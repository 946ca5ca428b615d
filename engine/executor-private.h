/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* executor-private.h - what executor.c prepares, run.c records and tuner.c measures. */
#pragma once

#include "engine/executor.h"
#include "engine/graph/layout.h"
#include "engine/half.h"
#include "engine/ops/dispatch.h"

struct _DeimExecutor {
  DeimGpu *gpu;
  DeimGraph *graph;
  DeimLayouts *layouts;
  DeimDispatchList *list;
  gboolean half;     /* tensors and weights that allow it are stored as fp16 */
  gboolean winograd; /* 3x3 convolutions may be computed so */
  gsize alignment;   /* of everything that is bound */

  gsize arena_bytes;     /* a run's arena; */
  gsize *tensor_offset;  /* by root id: in the arena, or in the weights for tensors with data */
  gsize *scratch_offset; /* in the arena */

  DeimShare share;

  gsize *resident_offset; /* by tensor id: in the caller's buffer, or G_MAXSIZE; NULL: there are none */
  const DeimGpuBuffer *residents;

  DeimGpuBuffer weights;
  gsize weight_bytes;
  gsize *blob_offset, *blob_bytes;

  DeimPipelineKey *keys; /* by dispatch */
  const DeimPipeline **pipelines;
};

/* Dispatches of phase 0; the others are phase 1's. */
guint deim_executor_first_phase (const DeimExecutor *executor);
/* The phase that first reads an input, or that makes another tensor. */
guint deim_executor_phase_of (const DeimExecutor *executor, const DeimTensor *tensor);
gboolean deim_executor_is_resident (const DeimExecutor *executor, const DeimTensor *tensor);
DeimDispatch *deim_executor_dispatch (const DeimExecutor *executor, guint index);
gboolean deim_executor_is_half (const DeimExecutor *executor, const DeimTensor *tensor);
/* As which a binding is read where it is a texel buffer. */
VkFormat deim_executor_texel_format (const DeimExecutor *executor, const DeimBinding *bind);
/* Bytes of what a layout counts: a vec4, or a number of an integer tensor. */
gsize deim_executor_element_bytes (const DeimExecutor *executor, const DeimTensor *tensor);
/* Bytes of a root tensor's storage. */
gsize deim_executor_root_bytes (const DeimExecutor *executor, const DeimTensor *root);
/* Dense [n][c][h][w] values into the storage of @tensor's root. */
void deim_executor_pack (const DeimExecutor *executor, const DeimTensor *tensor, const gfloat *dense, guint8 *storage);
