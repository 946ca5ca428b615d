/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * graph-private.h - the inside of a graph, for the passes that rewrite it
 * (fold.c, fuse.c) and nobody else.
 *
 * Invariants, which a pass keeps or restores before it returns:
 *  1. nodes are in execution order: an input's producer comes before its reader;
 *  2. tensor->producer->out[i] == tensor for some i, for every activation that a node reads;
 *  3. tensors[i]->id == i, and nodes[i]->id == i (deim_graph_renumber() restores the latter).
 * Tensors are never removed: one without readers or a producer costs nothing.
 */
#pragma once

#include "engine/graph/graph.h"

struct _DeimGraph {
  DeimParamSource source;
  GPtrArray *nodes;    /* DeimNode, owned */
  GPtrArray *tensors;  /* DeimTensor, owned */
  GHashTable *names;   /* name (owned) -> DeimTensor: parameters, inputs, constants, taps; the latest of a name */
  GHashTable *params;  /* absolute name, or "name[start:end]" for rows (owned) -> DeimTensor */
  GHashTable *known;   /* absolute parameter names that were used or ignored (owned) */
  GHashTable *outputs; /* set of DeimTensor */
  GHashTable *taps;    /* set of DeimTensor: those named by deim_graph_tap() */
  GString *scope;
  GArray *scope_lengths; /* gsize: length of @scope before each push */
  const gchar *stage;
  DeimTrainMode training;
  gboolean backward; /* of the nodes that are appended next */
  gchar *error;      /* the first one, or NULL */
};

/* A tensor of no producer, kept in the list. @data is taken (NULL for activations and inputs), @name is copied. */
DeimTensor *deim_graph_add_tensor (DeimGraph *graph, DeimTensorKind kind, DeimType type, DeimShape shape,
                                   const gchar *name, gfloat *data);
/* Gives nodes their index as id, after a pass has removed or inserted some. */
void deim_graph_renumber (DeimGraph *graph);
/* The node with its name; its tensors stay. For nodes that a pass took out of the list without its free function. */
void deim_node_free (DeimNode *node);
/* Whether deim_graph_tap() named @tensor. */
gboolean deim_graph_is_tap (const DeimGraph *graph, const DeimTensor *tensor);
