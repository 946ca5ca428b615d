/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * onnx-make.h - makes ONNX files in memory, for the tests and the seed of the
 * fuzzer; written without protobuf and without the reader under test.
 */
#pragma once

#include "golden.h"

/* Fields of a protobuf message. */
void make_number (GByteArray *out, guint field, guint64 value);
void make_field (GByteArray *out, guint field, gconstpointer data, gsize size); /* text, bytes or a message */

/* An initializer of @graph: float32 @data of the shape @dims. */
void make_onnx_tensor (GByteArray *graph, const gchar *name, guint n_dims, const gint64 *dims, const gfloat *data);
/* Likewise an int64 of the shape [1]. */
void make_onnx_int (GByteArray *graph, const gchar *name, gint64 value);
/* A node of @graph; inputs follow, then NULL. */
void make_onnx_node (GByteArray *graph, const gchar *op, const gchar *name, const gchar *output,
                     ...) G_GNUC_NULL_TERMINATED;
/* A node without inputs, of the operator set @domain, with one attribute: @text, or, where that is NULL, @number. */
void make_onnx_odd_node (GByteArray *graph, const gchar *op, const gchar *name, const gchar *domain,
                         const gchar *attribute, const gchar *text, gint64 number);
/* The model around @graph (transfer full). */
GBytes *make_onnx (GByteArray *graph);

/* A right file, of no whole network: one convolution, linear layer, attention and selection each, in the right places.
 * Returned is the graph, so that more can be put in. */
GByteArray *make_small_onnx (void);

/* How an exporter might write a network. */
typedef enum {
  EXPORT_SEQUENTIAL = 1 << 0, /* lists are called themselves: "blocks/blocks.0" */
  EXPORT_FROZEN = 1 << 1,     /* norms of the backbone stay behind, as a product and a sum */
  EXPORT_MERGED = 1 << 2,     /* RepVGG blocks are one convolution */
  EXPORT_RELU = 1 << 3,       /* in the decoder, instead of SiLU */
  EXPORT_DISCRETE = 1 << 4,   /* sampling without GridSample */
} ExportStyle;

/* What the official exporter makes of a network whose tensors are those of @params, with zeros for values (constants
 * are right), 77 queries, and a decoder that stops after layer @eval_idx: what did not run is not written. */
GBytes *make_onnx_export (GoldenParams *params, DeimStateDict *dict, gint eval_idx, ExportStyle style);
