/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * graph.h - tensors and nodes of a network, and the builder that strings them
 * together.
 *
 * A network is a list of nodes in execution order. Every tensor is logically
 * [n, c, h, w], row-major. Tokens (queries, flattened maps) are [n, c, 1, T]:
 * channels before positions, so that a linear layer over tokens is a 1x1
 * convolution over a map. How a tensor lies in device memory is not said here
 * (layout.h does).
 *
 * The builder checks shapes as it goes. The first error sticks: later calls
 * return NULL tensors and do nothing, and deim_graph_finish() reports it, so
 * a network description needs no checks of its own. Builder functions
 * accept NULL tensors for that reason.
 *
 * Parameters are looked up by official name in a parameter source and are
 * marked as used; what was not used can be listed afterwards.
 *
 * Ownership: nodes and tensors belong to the graph and live as long as it.
 * Thread-safety: one thread at a time per graph.
 */
#pragma once

#include <glib.h>

#define DEIM_MAX_INPUTS  8
#define DEIM_MAX_OUTPUTS 5
#define DEIM_MAX_LEVELS  4
#define DEIM_FDR_BINS    33

typedef struct _DeimGraph DeimGraph;
typedef struct _DeimTensor DeimTensor;
typedef struct _DeimNode DeimNode;
typedef struct _DeimOp DeimOp;
typedef struct _DeimBackward DeimBackward; /* differentiate.h */

typedef struct {
  gint n, c, h, w;
} DeimShape;

typedef enum {
  DEIM_TYPE_FLOAT, /* stored as fp32 or fp16, computed in fp32 */
  DEIM_TYPE_INT,   /* int32: token indices, [n, 1, 1, k] */
} DeimType;

typedef enum {
  DEIM_TENSOR_INPUT,      /* fed before a run */
  DEIM_TENSOR_PARAM,      /* a parameter of the checkpoint: `data` is set, `name` is official */
  DEIM_TENSOR_CONST,      /* computed when the network was built: `data` is set */
  DEIM_TENSOR_ACTIVATION, /* written by `producer` */
} DeimTensorKind;

struct _DeimTensor {
  gchar *name; /* parameter name, or the name of the module that made it: a tap in the sense of golden/ */
  DeimTensorKind kind;
  DeimType type;
  DeimShape shape;
  gboolean keep_fp32; /* never stored as fp16: boxes, locations, scores, what decoders compute, gradients */
  gboolean plain;     /* in device memory row-major and fp32, as in a checkpoint: trained parameters, their gradients */
  gboolean trained;   /* deim_graph_differentiate() makes its gradient */
  gfloat *data;       /* PARAM and CONST: shape's product of numbers; owned */
  gchar *param;       /* PARAM: the official name; `name`, but for the rows of one (deim_param_rows()) */
  gint first_row;     /* PARAM: which of the parameter's rows come first here */
  DeimNode *producer; /* ACTIVATION: who writes it */
  DeimTensor *gradient; /* once the graph is differentiated: of the loss with respect to this; NULL: none */
  guint id;             /* index in the graph's list */
};

typedef enum {
  DEIM_ACT_NONE,
  DEIM_ACT_RELU,
  DEIM_ACT_SILU,
  DEIM_ACT_GELU, /* the exact form, with erf */
  DEIM_ACT_SIGMOID,
  DEIM_ACT_INVERSE_SIGMOID, /* log (max (x, 1e-5) / max (1 - x, 1e-5)), x clipped to 0..1 */
  DEIM_ACT_CLAMP,           /* to lo..hi */
} DeimAct;

/* What happens to a convolution's sum before it is stored, in this order. Filled by fuse.c. */
typedef struct {
  gboolean residual_before; /* + residual (the last input) before the activation */
  DeimAct act;
  gfloat lo, hi;           /* of DEIM_ACT_CLAMP */
  gfloat scale, shift;     /* 1, 0 where there is no learnable affine block */
  gboolean residual_after; /* + residual after it */
} DeimEpilogue;

typedef enum { DEIM_SAMPLE_BILINEAR, DEIM_SAMPLE_DISCRETE } DeimSampling;

/* Attributes, by op. */
typedef struct {
  gint stride, groups;
  gint pad_top, pad_left, pad_bottom, pad_right;
  DeimEpilogue epilogue;
  gint addend_rows; /* the first so many channels of the result are made of x + in[4]; put there by fuse.c */
} DeimConvAttrs;
typedef struct {
  gfloat eps;
  gboolean batch; /* BatchNorm: by the batch's statistics; */
  DeimAct act;    /* then an activation that fuse.c put there, NONE, RELU or SILU */
} DeimNormAttrs;
typedef struct {
  DeimAct act;
  gfloat lo, hi;
} DeimActAttrs;
typedef struct {
  gboolean max;
  gint kernel, stride;
  gint pad_top, pad_left, pad_bottom, pad_right;
  gfloat pad_value;
  gfloat scale; /* of the sum, where it is no maximum */
} DeimPoolAttrs;
typedef struct {
  gboolean channels;
  gint start;
} DeimSliceAttrs; /* along channels, else along w of tokens */
typedef struct {
  gboolean channels;
} DeimConcatAttrs; /* likewise */
typedef struct {
  gfloat scale;
} DeimRepeatAttrs;
typedef struct {
  gint heads;
} DeimAttentionAttrs;
typedef struct {
  gint k;
  gboolean flat;
} DeimTopkAttrs; /* flat: over (token, class), else over tokens by best class */
typedef struct {
  gint divide;
} DeimGatherAttrs; /* token = index / divide */
typedef struct {
  gint padding;
} DeimEmbeddingAttrs; /* the row that is not trained, or -1 */
typedef struct {
  gint heads, levels;
  gint h[DEIM_MAX_LEVELS], w[DEIM_MAX_LEVELS], points[DEIM_MAX_LEVELS];
  gfloat point_scale[DEIM_MAX_LEVELS]; /* 1 / points of the level, or the checkpoint's value */
  DeimSampling sampling;
} DeimDeformAttrs;
typedef struct {
  gfloat bins[DEIM_FDR_BINS];
  gfloat reg_scale;
} DeimFdrAttrs; /* W(n) and R */

struct _DeimNode {
  const DeimOp *op;
  gchar *name;        /* for messages and profiles; the module's name */
  const gchar *stage; /* "backbone", "encoder", "decoder", "postprocess" (static) */
  gboolean backward;  /* appended by deim_graph_differentiate() */
  DeimTensor *in[DEIM_MAX_INPUTS];
  guint n_in;
  DeimTensor *out[DEIM_MAX_OUTPUTS];
  guint n_out;
  union {
    DeimConvAttrs conv;
    DeimNormAttrs norm;
    DeimActAttrs act;
    DeimPoolAttrs pool;
    DeimSliceAttrs slice;
    DeimConcatAttrs concat;
    DeimRepeatAttrs repeat;
    DeimAttentionAttrs attention;
    DeimTopkAttrs topk;
    DeimGatherAttrs gather;
    DeimEmbeddingAttrs embedding;
    DeimDeformAttrs deform;
    DeimFdrAttrs fdr;
  } attrs;
  guint id;
};

/* Whether the convolution @conv is 1x1, without stride and padding: each position is computed from itself. */
static inline gboolean
deim_conv_is_pointwise (const DeimNode *conv)
{
  const DeimConvAttrs *a = &conv->attrs.conv;
  return conv->in[1]->shape.h == 1 && a->stride == 1 && a->pad_top + a->pad_left + a->pad_bottom + a->pad_right == 0;
}

/* ------------------------------------------------------------------ graph */

/*
 * DeimParamSource: where parameters come from. @lookup returns the float32
 * values of @name (a new g_malloc()ed array) and sets the shape (trailing
 * ones for missing dimensions: a [d] bias is {d,1,1,1}, a linear weight
 * [out,in] is {out,in,1,1}, a depthwise [c,1,k,k] is {c,1,k,k}); NULL if absent.
 * Before the call *ret_shape is the shape that is needed, zero where any will do
 * and with the least number of rows where some of them are taken; a source that
 * makes parameters up goes by that.
 */
typedef struct {
  gfloat *(*lookup) (gpointer data, const gchar *name, DeimShape *ret_shape);
  gpointer data;
} DeimParamSource;

/* @source is copied; its data must outlive the building. */
DeimGraph *deim_graph_new (const DeimParamSource *source);
void deim_graph_free (DeimGraph *graph);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (DeimGraph, deim_graph_free)

guint deim_graph_get_n_nodes (const DeimGraph *graph);
DeimNode *deim_graph_get_node (const DeimGraph *graph, guint index);
guint deim_graph_get_n_tensors (const DeimGraph *graph);
DeimTensor *deim_graph_get_tensor (const DeimGraph *graph, guint id);

/* The tensor called @name (official module name or parameter name), or NULL. */
DeimTensor *deim_graph_find (const DeimGraph *graph, const gchar *name);

/* Marks a tensor as a result: it stays alive to the end of a run and can be read. */
void deim_graph_mark_output (DeimGraph *graph, DeimTensor *tensor);
gboolean deim_graph_is_output (const DeimGraph *graph, const DeimTensor *tensor);
/* Unmarks all, for a graph that goes on from what were results. */
void deim_graph_clear_outputs (DeimGraph *graph);

/* FALSE with the first error of the building (DEIM_ERROR_ARCHITECTURE), if any. */
gboolean deim_graph_finish (DeimGraph *graph, GError **error);

/* Whether the building has failed already: for descriptions that would otherwise look at a NULL tensor. */
gboolean deim_graph_has_failed (const DeimGraph *graph);

/* Reports an error found by a network description itself. The first one sticks. */
void deim_graph_fail (DeimGraph *graph, const gchar *format, ...) G_GNUC_PRINTF (2, 3);

/* Names of following nodes and tensors begin so: "backbone.stages.0". Nest as deep as you like; @format NULL pops one.
 */
void deim_graph_push_scope (DeimGraph *graph, const gchar *format, ...) G_GNUC_PRINTF (2, 3);
void deim_graph_pop_scope (DeimGraph *graph);
/* "backbone", "encoder", "decoder": the stage of the following nodes. Static string. */
void deim_graph_set_stage (DeimGraph *graph, const gchar *stage);

/* What becomes of the parameters that are looked up next. */
typedef enum {
  DEIM_TRAIN_NOTHING,       /* they are constants: what evaluation wants */
  DEIM_TRAIN_ALL,           /* they are plain and trained; BatchNorm takes the batch's statistics */
  DEIM_TRAIN_ALL_BUT_NORMS, /* likewise, but a BatchNorm stays as it is, with its affine: a frozen backbone */
} DeimTrainMode;
void deim_graph_set_training (DeimGraph *graph, DeimTrainMode training);
DeimTrainMode deim_graph_get_training (const DeimGraph *graph);

/* Gives @tensor the current scope (+ "." + @suffix, if not NULL) as its name: a tap. Returns it. */
DeimTensor *deim_graph_tap (DeimGraph *graph, DeimTensor *tensor, const gchar *suffix);

/* ------------------------------------------------- parameters and constants */

/* The parameter "scope.suffix"; its absence is an error that names it. */
DeimTensor *deim_param (DeimGraph *graph, const gchar *suffix);
/* Likewise, but with the shape it must have (an error says both). */
DeimTensor *deim_param_shaped (DeimGraph *graph, const gchar *suffix, DeimShape shape);
/* @rows.n rows (first dimension) of a parameter, from @start on, each of the other sides of @rows: q of a packed
 * in_proj_weight. A copy in inference. */
DeimTensor *deim_param_rows (DeimGraph *graph, const gchar *suffix, gint start, DeimShape rows);
/* Whether the source has "scope.suffix". Does not mark it as used. */
gboolean deim_has_param (DeimGraph *graph, const gchar *suffix);
/* Marks "scope.suffix" as known though evaluation does not need it (no error if absent). */
void deim_param_ignore (DeimGraph *graph, const gchar *suffix);
/* Whether the absolute official name @name was used or ignored. */
gboolean deim_graph_param_is_known (DeimGraph *graph, const gchar *name);

DeimTensor *deim_input (DeimGraph *graph, const gchar *name, DeimShape shape);
/* An input of DEIM_TYPE_INT: indices. */
DeimTensor *deim_input_int (DeimGraph *graph, const gchar *name, DeimShape shape);
/* Takes a copy of @data. */
DeimTensor *deim_const (DeimGraph *graph, const gchar *name, DeimShape shape, const gfloat *data);
/* Of DEIM_TYPE_INT: indices. */
DeimTensor *deim_const_int (DeimGraph *graph, const gchar *name, DeimShape shape, const gint32 *data);
