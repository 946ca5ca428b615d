/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * op.h - what an operator is to the graph: a name, a rule for its channels, a
 * reference in plain C, and the shader dispatches that do the same on a device.
 * The operators themselves are files of engine/ops/; the graph reaches them
 * only through the DeimOp of a node.
 */
#pragma once

#include "graph.h"

#include <string.h>

typedef struct _DeimDispatchList DeimDispatchList; /* engine/ops/dispatch.h */

/* Values of a node's operands for the reference: in[i] and out[i] are dense [n][c][h][w] float arrays
 * (int32 for DEIM_TYPE_INT tensors, behind the same pointer type). */
typedef struct {
  const gfloat *in[DEIM_MAX_INPUTS];
  gfloat *out[DEIM_MAX_OUTPUTS];
} DeimOperands;

/* How an op takes part in the placing of tensors (layout.h). */
typedef enum {
  DEIM_OP_COMPUTE, /* writes its output */
  DEIM_OP_VIEW,    /* the output is a part of input 0: slice, flatten */
  DEIM_OP_JOIN,    /* the inputs are parts of the output: concat; dispatches copy those that could not be placed */
} DeimOpKind;

/* What an op asks of its operands' channel segments; see DeimOp.channels. */
typedef struct _DeimChannelSolver DeimChannelSolver;
/* @a and @b have the same channels, in the same segments. NULL tensors are ignored. */
void deim_channels_same (DeimChannelSolver *solver, const DeimTensor *a, const DeimTensor *b);
/* Channels of @part are those of @whole from @start on. */
void deim_channels_part (DeimChannelSolver *solver, const DeimTensor *whole, const DeimTensor *part, gint start);
/* A block begins at channel @c of @tensor. */
void deim_channels_cut (DeimChannelSolver *solver, const DeimTensor *tensor, gint c);
/* Channel c of @tensor is lane c % 4 of block c / 4: no padding inside. */
void deim_channels_dense (DeimChannelSolver *solver, const DeimTensor *tensor);

struct _DeimOp {
  const gchar *name;
  DeimOpKind kind;
  /* States the op's wishes. NULL: all float operands that are not parameters are dense. */
  void (*channels) (const DeimNode *node, DeimChannelSolver *solver);
  /* VIEW: where in input 0 the output begins. JOIN: where in the output input @operand begins. Channel and position. */
  void (*place) (const DeimNode *node, guint operand, gint *channel, gint *position);
  /* The specification: slow, double accumulation, obviously right. */
  void (*reference) (const DeimNode *node, const DeimOperands *operands);
  /* Appends the dispatches of @node. NULL: the op is a pure view (slice, flatten) and has none. */
  gboolean (*dispatch) (const DeimNode *node, DeimDispatchList *list, GError **error);
  /* Appends the nodes that make the gradients of the inputs from @dy, that of output 0, and hands them over with
   * deim_backward_give(). NULL: nothing flows back through this op. */
  void (*gradient) (const DeimNode *node, DeimTensor *dy, DeimBackward *backward);
  /* Multiply-adds x 2 of the published kind (convolution, linear, attention); NULL: none. */
  gdouble (*flop) (const DeimNode *node);
};

/* For builder functions (graph.c): a node with one fresh output of @shape, or NULL when any required input is NULL. */
DeimNode *deim_graph_append (DeimGraph *graph, const DeimOp *op, DeimTensor *const *in, guint n_in, DeimShape shape,
                             DeimType type);
/* One more output of @node, which was just appended; NULL if it is NULL. */
DeimTensor *deim_graph_append_output (DeimGraph *graph, DeimNode *node, DeimShape shape, DeimType type);
static inline gboolean
deim_node_is (const DeimNode *node, const gchar *op)
{
  return node && strcmp (node->op->name, op) == 0;
}

static inline gsize
deim_shape_size (DeimShape s)
{
  return (gsize) s.n * (gsize) s.c * (gsize) s.h * (gsize) s.w;
}
