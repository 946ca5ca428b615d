/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * onnx.h - between the two halves of the ONNX reader: onnx-graph.c turns a file
 * into nodes and constants that have been checked, onnx.c turns those back into
 * a state dict, with the help of onnx-names.c. For engine/formats/ alone.
 */
#pragma once

#include "engine/formats/reader.h"

/* A tensor that the file holds: an initializer, a Constant node, or an Identity of either. */
typedef struct {
  DeimCheckpointTensor tensor; /* name: as in the file, "onnx::Conv_2273" or "model.decoder.enc_score_head.bias" */
  GBytes *bytes;               /* what tensor.data points into; Identities share it */
  gboolean taken;              /* it has become part of the state dict */
} DeimOnnxConstant;

/* Strings belong to the graph; absent ones are "". */
typedef struct {
  const gchar *name; /* its way through the modules and its operator: "/model/backbone/stem/stem1/conv/Conv" */
  const gchar *op;
  guint n_inputs;
  gchar *const *inputs;
  const gchar *output; /* the first */
  gboolean trans_b;    /* of a Gemm: its second input is [out, in] */
} DeimOnnxNode;

typedef struct {
  GArray *nodes;         /* of DeimOnnxNode */
  GPtrArray *constants;  /* of DeimOnnxConstant *, in file order */
  GHashTable *by_name;   /* name -> DeimOnnxConstant */
  GHashTable *consumers; /* output -> the DeimOnnxNode of an Add that takes it, the first one */
  gpointer message;      /* what the strings belong to */
} DeimOnnxGraph;

/* @where begins messages. Every constant has the bytes that its shape needs and at most DEIM_CHECKPOINT_MAX_DIMS
 * dimensions. */
DeimOnnxGraph *deim_onnx_graph_parse (GBytes *bytes, const gchar *where, GError **error);
void deim_onnx_graph_free (DeimOnnxGraph *graph);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (DeimOnnxGraph, deim_onnx_graph_free)

/* NULL if @name is computed, or absent (@name may be NULL). */
DeimOnnxConstant *deim_onnx_graph_constant (const DeimOnnxGraph *graph, const gchar *name);

/*
 * The module that a node stands in, with the name that it has in a state dict:
 * "/model/backbone/stages.0/blocks/blocks.1/conv/Conv" -> "backbone.stages.0.blocks.1.conv". NULL if the node is
 * not inside "/model/". Free with g_free().
 */
gchar *deim_onnx_module_of_node (const gchar *node_name);

/* Whether @node_name is @scope, a slash, and an operator: is it in that module, and in none below? */
gboolean deim_onnx_node_is_in (const gchar *node_name, const gchar *scope);

/* The BatchNorm that follows the convolution @conv: "encoder.down_sample1.1" -> "encoder.down_sample1.2". NULL if no
 * network of the family has a convolution of such a name. Free with g_free(). */
gchar *deim_onnx_norm_of_conv (const gchar *conv);

/* "X.bottlenecks.0" of "X.bottlenecks.0.conv", the convolution that a RepVGG block becomes when it is merged; NULL for
 * any other. Free with g_free(). */
gchar *deim_onnx_repvgg_of_conv (const gchar *conv);

/* ------------------------------------------------------------ onnx-emit.c */

typedef struct {
  DeimOnnxGraph *graph;
  DeimCheckpoint *checkpoint;
  const gchar *where;
  gsize left; /* bytes of copies that may still be made: a file could ask for the same one again and again */
} DeimOnnxReader;

/* Both return FALSE, with a DEIM_ERROR_FORMAT. */
gboolean deim_onnx_refuse (const DeimOnnxReader *reader, GError **error, const gchar *format, ...) G_GNUC_PRINTF (3, 4);
gboolean deim_onnx_refuse_node (const DeimOnnxReader *reader, GError **error, const DeimOnnxNode *node,
                                const gchar *what);

gboolean deim_onnx_is_float (const DeimCheckpointTensor *tensor);
/* A parameter that kept its name: the name, without "model."; else NULL. */
const gchar *deim_onnx_own_name (const DeimOnnxConstant *constant);
/* "X" of a parameter "X" + @suffix that kept its name; else NULL. Free with g_free(). */
gchar *deim_onnx_owner (const DeimOnnxConstant *constant, const gchar *suffix);

/* Memory for a tensor of @n_elements, zeroed; NULL with an error when the file has asked for too much. */
guint8 *deim_onnx_make_room (DeimOnnxReader *reader, DeimDtype dtype, gsize n_elements, gsize *ret_size,
                             GError **error);

/* These add @module@leaf to the checkpoint: @tensor with @bytes in place of its own; a constant as a vector, whatever
 * its shape, which is taken by that; @n times @value. */
gboolean deim_onnx_emit (DeimOnnxReader *reader, const gchar *module, const gchar *leaf,
                         const DeimCheckpointTensor *tensor, GBytes *bytes, GError **error);
gboolean deim_onnx_emit_vector (DeimOnnxReader *reader, const gchar *module, const gchar *leaf,
                                DeimOnnxConstant *constant, GError **error);
gboolean deim_onnx_emit_fill (DeimOnnxReader *reader, const gchar *module, const gchar *leaf, gsize n, gfloat value,
                              GError **error);

/* See deim_checkpoint_get_operators(). Free with g_free(). */
gchar *deim_onnx_read_operators (const DeimOnnxReader *reader);

/* ----------------------------------------------------------- onnx-check.c */

/* Whether all nodes have operators that an official export may have there, with attributes that mean the same. */
gboolean deim_onnx_check_operators (const DeimOnnxReader *reader, GError **error);
/* Whether the decoder selects its queries. */
gboolean deim_onnx_check_selection (const DeimOnnxReader *reader, GError **error);

/* --------------------------------------------------------- onnx-weights.c */

/* What is added to the result of @node, if it is a constant. */
DeimOnnxConstant *deim_onnx_bias_of (const DeimOnnxReader *reader, const DeimOnnxNode *node);
/* The matrix of a MatMul or of a Gemm, if it is a constant without a name of its own that nobody has taken. */
DeimOnnxConstant *deim_onnx_matrix_of (const DeimOnnxReader *reader, const DeimOnnxNode *node);

gboolean deim_onnx_read_conv (DeimOnnxReader *reader, const DeimOnnxNode *node, GError **error);
/* A frozen BatchNorm: x * [1, c, 1, 1] + [1, c, 1, 1]; @constant is that of one of the two nodes. */
gboolean deim_onnx_read_frozen_norm (DeimOnnxReader *reader, const DeimOnnxNode *node, DeimOnnxConstant *constant,
                                     GError **error);
gboolean deim_onnx_read_linear (DeimOnnxReader *reader, const DeimOnnxNode *node, DeimOnnxConstant *matrix,
                                GError **error);
/* The projections of an attention, the first of which is the node @first. */
gboolean deim_onnx_read_attention (DeimOnnxReader *reader, guint first, GError **error);
