/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* conv2d.h - what the kernels of a convolution, and of its gradients, share on the host's side. */
#pragma once

#include "engine/ops/dispatch.h"

/* A convolution as its kernels do it: deim_conv2d() itself, or the gradient of its input. */
typedef struct {
  DeimTensor *x, *y;
  DeimTensor *residual;      /* x, to have something to bind, where there is none */
  DeimTensor *addend;        /* x likewise; n may be 1 */
  gint addend_rows;          /* channels of y that are made of x + addend: none, the first ones or all */
  DeimTensor *weight, *bias; /* bias: or NULL */
  gboolean transposed;       /* rows of the weight are channels of x, its taps in reverse order (plain weights only) */
  gint kernel, stride, pad_top, pad_left;
  gboolean pointwise; /* 1x1, stride 1, no padding */
  DeimEpilogue epilogue;
  gdouble flop;
} DeimConvWork;

static inline gint
deim_conv2d_divide_up (gint a, gint b)
{
  return (a + b - 1) / b;
}

/* Of a node of deim_conv2d(). */
DeimConvWork deim_conv2d_work (const DeimNode *node);

/* Weights in the order in which a kernel reads them: a blob that is packed here, or scratch that a dispatch packs in
 * every run, where the weight is plain; -1: the other. */
typedef struct {
  gint blob, scratch;
} DeimPanels;

/*
 * The weights of a dense convolution as panels (shaders/conv.comp): per @co4 blocks of output channels the biases,
 * then the weights [tap][ci4][lane][co], and a step of zeros where the number of steps (tap, ci4) is odd. May append a
 * dispatch.
 */
DeimPanels deim_conv2d_make_panels (const DeimConvWork *work, DeimDispatchList *list, gint co4);
void deim_conv2d_bind_panels (DeimDispatch *d, DeimPanels panels);

/* The weights of as many panels as @work has, filled in on the host: how many numbers they are, and @weight
 * [oc][ic][taps] and @bias [oc] or NULL into @panels, which are zeros. */
gsize deim_conv2d_count_panel_floats (const DeimConvWork *work, const DeimDispatchList *list, gint taps, gint co4);
void deim_conv2d_fill_panels (const DeimConvWork *work, const DeimDispatchList *list, gint taps, gint co4,
                              const gfloat *weight, const gfloat *bias, gfloat *panels);

/* The push constants iw .. pad_left, residual .. shift, and ps and adding, of the kernels of dense convolutions. */
void deim_conv2d_push_geometry (DeimDispatch *d, const DeimDispatchList *list, const DeimConvWork *work);
/* Where the residual goes, as kernels call it: 0 nowhere, 1 before the activation, 2 after the affine. */
guint32 deim_conv2d_residual (const DeimEpilogue *epilogue);
void deim_conv2d_push_epilogue (DeimDispatch *d, const DeimEpilogue *epilogue);
void deim_conv2d_push_addend (DeimDispatch *d, const DeimDispatchList *list, const DeimConvWork *work);

/* Blocks of output channels in a panel for the output @y: 1, 2 or 4, of which the last may waste some. */
gint deim_conv2d_panel_blocks (const DeimDispatchList *list, const DeimTensor *y);

void deim_conv2d_dispatch_depthwise (const DeimConvWork *work, DeimDispatchList *list);

/* The kernels of a dense convolution. */
typedef enum {
  DEIM_CONV_ROWS,     /* shaders/conv.comp, for CPUs */
  DEIM_CONV_WINOGRAD, /* a 3x3 with stride 1 by F(4x4, 3x3), its products by shaders/conv.comp (conv2d-winograd.c) */
  DEIM_CONV_TILES,    /* shaders/conv_tile.comp, for GPUs (conv2d-tile.c) */
  DEIM_CONV_MATRICES, /* shaders/conv_coopmat.comp, likewise */
} DeimConvKernel;

/* One of them with a size of tile. */
typedef struct {
  const gchar *name; /* "rows-4x8" */
  DeimConvKernel kernel;
  gint co4;           /* blocks of output channels: a panel's */
  gint positions;     /* of an invocation (rows, Winograd) or of a workgroup */
  gint rows, columns; /* of a tile: blocks and positions of an invocation; of matrices: subgroups of a workgroup */
  gint steps, parts;  /* matrices: steps of a turn, and how many times rows by columns the subgroups are */
} DeimConvVariant;

/* The NULL-terminated names of all of them, whether a device has a use for them or not: for tests. */
const gchar *const *deim_conv2d_get_variants (void);
/* By the variant that the list's tuning names, else by the one that should suit layer and device (conv2d-variant.c). */
void deim_conv2d_dispatch_dense (const DeimConvWork *work, DeimDispatchList *list);

void deim_conv2d_dispatch_rows (const DeimConvWork *work, DeimDispatchList *list, const DeimConvVariant *variant);
void deim_conv2d_dispatch_tiles (const DeimConvWork *work, DeimDispatchList *list, const DeimConvVariant *variant);
void deim_conv2d_dispatch_winograd (const DeimConvWork *work, DeimDispatchList *list, const DeimConvVariant *variant);
/* Steps of a sum: blocks of input channels, once for each tap. */
gint deim_conv2d_count_steps (const DeimConvWork *work, const DeimDispatchList *list);
/* Whether @tile leaves a GPU idle, however a sum may be shared. */
gboolean deim_conv2d_leaves_idle (const DeimConvWork *work, const DeimDispatchList *list, const DeimConvVariant *tile);
/* Whether cooperative matrices can compute it at all, and whether the device's subgroups can make up such a tile. */
gboolean deim_conv2d_suits_matrices (const DeimConvWork *work, const DeimDispatchList *list);
gboolean deim_conv2d_fits_matrices (const DeimConvVariant *tile, const DeimDispatchList *list);
/* How many tiles of 4x4 positions Winograd makes of @y. */
gint deim_conv2d_count_winograd_tiles (const DeimTensor *y);
/* Whether Winograd can be done at all, and whether it should pay. */
gboolean deim_conv2d_allows_winograd (const DeimConvWork *work, const DeimDispatchList *list);
gboolean deim_conv2d_suits_winograd (const DeimConvWork *work, const DeimDispatchList *list);

/* Which weights shaders/pack_conv.comp packs. */
typedef struct {
  DeimTensor *weight, *bias;   /* plain; bias: or NULL */
  DeimTensor *x, *y;           /* of the convolution that reads the panels: their channels are columns and rows; */
  gboolean transposed;         /* or rows and columns, with the taps in reverse order */
  gint first_y, first_x, step; /* which taps: first, first + step, ..; 0, 0, 1 for all of them */
} DeimConvPacking;

/* -> scratch: panels of dense kernels, or of shaders/depthwise.comp (conv2d-pack.c). */
gint deim_conv2d_pack_dense (DeimDispatchList *list, const DeimConvPacking *packing, gint co4);
gint deim_conv2d_pack_depthwise (DeimDispatchList *list, const DeimConvPacking *packing);

/* The op's gradient (conv2d-grad.c). */
void deim_conv2d_gradient (const DeimNode *node, DeimTensor *dy, DeimBackward *backward);
