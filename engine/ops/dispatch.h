/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * dispatch.h - shader dispatches as data. An op describes its work in these
 * terms and makes no Vulkan call; the executor turns them into pipelines,
 * descriptors and a command buffer.
 */
#pragma once

#include "engine/graph/layout.h"
#include "engine/graph/op.h"
#include "engine/ops/tuning.h"

#define DEIM_MAX_BINDINGS 8
#define DEIM_MAX_SPEC     12
#define DEIM_MAX_PUSH     32

typedef enum {
  DEIM_BIND_READ,     /* vec4s: a storage texel buffer or a storage buffer, by device policy */
  DEIM_BIND_READ_RAW, /* 32-bit words of a storage buffer on every device (indices, keys) */
  DEIM_BIND_WRITE,    /* a storage buffer */
} DeimBindMode;

/* Exactly one of tensor, blob and scratch says what is bound. */
typedef struct {
  DeimBindMode mode;
  DeimTensor *tensor;
  gint blob, scratch; /* index in the list, or -1 */
} DeimBinding;

/* One vkCmdDispatch. Push and specialization constants are 32-bit words. */
typedef struct {
  const DeimNode *node;
  const gchar *shader;         /* shaders/<shader>.comp */
  guint32 spec[DEIM_MAX_SPEC]; /* constant_id 4 upwards; 0..3 are the executor's (shaders/io.glsl) */
  guint n_spec;
  guint32 push[DEIM_MAX_PUSH];
  guint n_push;
  DeimBinding bind[DEIM_MAX_BINDINGS]; /* binding number = index */
  guint n_bind;
  gboolean shuffle; /* the kernel may exchange operands inside a subgroup */
  guint local_size; /* invocations of a workgroup; whole subgroups */
  /* z counts batch entries, or an equal number of workgroups for each, those of the first entry first: a run that
   * computes the first entries alone dispatches as many fewer. */
  guint32 groups[3];
  gdouble flop;    /* arithmetic, for profiles */
  gboolean gather; /* no kernel, see deim_dispatch_gather() */
} DeimDispatch;

/* Constant data of a node on the device. */
typedef struct {
  gfloat *data;
  gsize n; /* floats, a multiple of 4 */
  gboolean keep_fp32;
} DeimBlob;

/* Memory that lives during one node's dispatches. */
typedef struct {
  const DeimNode *node;
  gsize bytes;
} DeimScratch;

/* What an op may know of the device. */
typedef struct {
  guint subgroup_size;
  gboolean cpu;      /* a software device: few cores, no shared memory worth using */
  gboolean shuffle;  /* exchanging operands inside a subgroup pays */
  gboolean park;     /* arrays of a kernel that stay in memory pay (shaders/conv.comp) */
  gboolean winograd; /* convolutions may be computed so, with twice the error of rounding */
  gboolean subgroup; /* subgroup arithmetic can be trusted */
  guint max_local;   /* invocations of a workgroup */
  guint max_shared;  /* bytes of its memory */
  gboolean half;     /* tensors are stored as fp16, but for those that are kept in fp32 */
  gboolean matrices; /* cooperative matrices, of the shape m x n x k */
  guint matrix_m, matrix_n, matrix_k;
} DeimOpDevice;

/* Which variant of its kernels a node got, and which it could have got. */
typedef struct {
  const DeimNode *node;
  gchar *layer;             /* what it is in a DeimTuning */
  const gchar *variant;     /* static, as are the candidates */
  const gchar **candidates; /* NULL-terminated */
} DeimChoice;

/* The dispatches of a whole network, filled node by node. */
struct _DeimDispatchList {
  const DeimLayouts *layouts;
  DeimOpDevice device;
  guint parts;              /* processes that share a batch, each with an equal part of it: 1, but in training */
  const DeimTuning *tuning; /* the caller's, for as long as nodes are added; NULL: operators choose by themselves */
  const DeimNode *node;     /* whose dispatches are being appended */
  GArray *dispatches;       /* of DeimDispatch */
  GArray *blobs;            /* of DeimBlob */
  GArray *scratch;          /* of DeimScratch */
  GArray *choices;          /* of DeimChoice */
};

DeimDispatchList *deim_dispatch_list_new (const DeimLayouts *layouts, const DeimOpDevice *device);
void deim_dispatch_list_free (DeimDispatchList *list);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (DeimDispatchList, deim_dispatch_list_free)

/* Appends a dispatch of one workgroup of one subgroup and returns it; valid until the next append. */
DeimDispatch *deim_dispatch_append (DeimDispatchList *list, const gchar *shader);
/* Copies @n floats, a multiple of 4; stored in the network's precision, or always as fp32. */
gint deim_dispatch_add_blob (DeimDispatchList *list, const gfloat *data, gsize n, gboolean keep_fp32);
gint deim_dispatch_add_scratch (DeimDispatchList *list, gsize bytes);
/* Notes a choice for the node. Takes @layer and @candidates. */
void deim_dispatch_add_choice (DeimDispatchList *list, gchar *layer, const gchar *variant, const gchar **candidates);

/* Each takes the next binding number. */
void deim_dispatch_bind (DeimDispatch *d, DeimBindMode mode, DeimTensor *tensor);
void deim_dispatch_bind_blob (DeimDispatch *d, gint blob);
void deim_dispatch_bind_scratch (DeimDispatch *d, DeimBindMode mode, gint scratch);

void deim_dispatch_push_int (DeimDispatch *d, gint value);
void deim_dispatch_push_float (DeimDispatch *d, gfloat value);
/* The three ints of a struct Place (shaders/io.glsl). */
void deim_dispatch_push_place (DeimDispatch *d, const DeimDispatchList *list, const DeimTensor *tensor);
void deim_dispatch_spec (DeimDispatch *d, guint32 value);

/* Invocations of a workgroup for kernels with little work a lane. */
guint deim_dispatch_local_size (const DeimDispatchList *list);
/* Sets local_size to deim_dispatch_local_size(), and groups so that @lanes invocations run in x. */
void deim_dispatch_cover (DeimDispatch *d, const DeimDispatchList *list, gint lanes, gint groups_y, gint groups_z);

/* Of a map @y that is made with windows of @kernel inputs each way, @stride apart: how many rows of a column an
 * invocation computes. On a CPU, where fetches take the time, those with which workgroups of @local invocations fetch
 * the fewest inputs, of a few numbers whose code is not too long; the last rows may lie below the map. On a GPU
 * @on_gpu. */
gint deim_dispatch_choose_rows (const DeimDispatchList *list, gint kernel, gint stride, DeimShape y, guint local,
                                gint on_gpu);
/* How many invocations a block of map @y takes, each with @rows outputs of a column; the last may lie partly below. */
gint deim_dispatch_count_columns (DeimShape y, gint rows);

/* Whether @tensor is stored as fp16. */
gboolean deim_dispatch_is_half (const DeimDispatchList *list, const DeimTensor *tensor);

const DeimLayout *deim_dispatch_layout (const DeimDispatchList *list, const DeimTensor *tensor);
/* Positions, blocks and batch entries of a tensor as kernels see it; a plain one is a single block of positions. */
typedef struct {
  gint positions, blocks, batch;
} DeimExtent;
DeimExtent deim_dispatch_extent (const DeimDispatchList *list, const DeimTensor *tensor);
/* A blob [blocks] vec4 of which logical channel each lane of @tensor is, -1 for padding: how kernels find a channel's
 * number in a plain vector. */
gint deim_dispatch_add_channel_map (DeimDispatchList *list, const DeimTensor *tensor);

/* What all processes have in scratch @own, one after the other in the order of their parts of the batch -> scratch. The
 * host does that, between two submits. With one process: @own itself. */
gint deim_dispatch_gather (DeimDispatchList *list, gint own);

/* Zeros in all of @tensor, which must be a root: before kernels that add to it. */
void deim_dispatch_zeros (DeimDispatchList *list, DeimTensor *tensor);

/* How many invocations share one reduction: a whole subgroup, or 1 where that does not pay or is not to be trusted. */
guint deim_dispatch_reduction_lanes (const DeimDispatchList *list);
