/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* rewrite.h - what the passes share: who reads a tensor, and taking nodes out. */
#pragma once

#include "graph-private.h"
#include "op.h"

typedef struct {
  DeimGraph *graph;
  guint *readers;    /* by tensor id: how many nodes read it (outputs count as one more) */
  DeimNode **reader; /* by tensor id: the last node that reads it */
  guint n_tensors;
} DeimRewrite;

/* (Re)counts readers; call after any change. */
void deim_rewrite_begin (DeimRewrite *rewrite, DeimGraph *graph);
void deim_rewrite_end (DeimRewrite *rewrite);

/* The only node that reads @tensor, which no output needs; NULL if there are more or none. */
DeimNode *deim_rewrite_only_reader (const DeimRewrite *rewrite, const DeimTensor *tensor);

/* @node takes over output and position of @next, which reads it, and @next is freed. */
void deim_rewrite_absorb (DeimRewrite *rewrite, DeimNode *node, DeimNode *next);
/* Every reader of @from reads @to instead. */
void deim_rewrite_redirect (DeimRewrite *rewrite, const DeimTensor *from, DeimTensor *to);
/* Removes nodes that nothing needs any more. */
void deim_rewrite_sweep (DeimRewrite *rewrite);
