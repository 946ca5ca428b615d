/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * conv2d-tile.c - dense convolutions on GPUs: tiles in shared memory, and in how many slices a sum is taken.
 *
 * Vulkan does not tell how many cores a GPU has. What counts is that enough workgroups run at a time, and that each
 * reads an operand for many multiplications: so tiles are as large as leaves GROUPS_WANTED workgroups
 * (conv2d-variant.c), where long sums may be shared by several. With matrices the subgroups of a workgroup share a sum,
 * which costs no dispatch for adding the parts.
 */
#include "engine/ops/conv2d.h"

/* One for each core of a large GPU: 132 in an H200, 46 in an RTX 4070, 20 to 36 in integrated ones. Of 64 to 264 none
 * was better on the first (docs/performance.md). */
#define GROUPS_WANTED 128
#define MAX_SLICES    8
/* Of a slice: with fewer, adding the parts, which is one more dispatch, costs about as much as it saves. It is a 3x3 of
 * 64 channels. */
#define MIN_STEPS 144

static gint
count_groups (const DeimConvWork *work, const DeimDispatchList *list, const DeimConvVariant *tile)
{
  DeimShape y = work->y->shape;
  gint blocks = deim_dispatch_layout (list, work->y)->blocks;
  return deim_conv2d_divide_up (blocks, tile->co4) * deim_conv2d_divide_up (y.h * y.w, tile->positions) * y.n;
}

gint
deim_conv2d_count_steps (const DeimConvWork *work, const DeimDispatchList *list)
{
  return work->kernel * work->kernel * deim_dispatch_layout (list, work->x)->blocks;
}

/* As many slices as make GROUPS_WANTED workgroups, if sums are that long; one with matrices. */
static gint
count_slices (const DeimConvWork *work, const DeimDispatchList *list, const DeimConvVariant *tile)
{
  if (tile->kernel == DEIM_CONV_MATRICES)
    return 1;
  gint wanted = deim_conv2d_divide_up (GROUPS_WANTED, count_groups (work, list, tile));
  return CLAMP (MIN (wanted, deim_conv2d_count_steps (work, list) / MIN_STEPS), 1, MAX_SLICES);
}

gboolean
deim_conv2d_leaves_idle (const DeimConvWork *work, const DeimDispatchList *list, const DeimConvVariant *tile)
{
  return count_groups (work, list, tile) * count_slices (work, list, tile) < GROUPS_WANTED;
}

static void
append_sum (const DeimConvWork *work, DeimDispatchList *list, gint parts, gint slices)
{
  DeimTensor *y = work->y, *r = work->residual;
  gint positions = y->shape.h * y->shape.w, blocks = deim_dispatch_layout (list, y)->blocks;
  DeimDispatch *d = deim_dispatch_append (list, "conv_sum");
  deim_dispatch_bind_scratch (d, DEIM_BIND_READ, parts);
  deim_dispatch_bind (d, DEIM_BIND_READ, r);
  deim_dispatch_bind (d, DEIM_BIND_WRITE, y);
  deim_dispatch_spec (d, work->epilogue.act);
  deim_dispatch_push_place (d, list, y);
  deim_dispatch_push_place (d, list, r);
  deim_dispatch_push_int (d, positions);
  deim_dispatch_push_int (d, blocks);
  deim_dispatch_push_int (d, slices);
  deim_conv2d_push_epilogue (d, &work->epilogue);
  deim_dispatch_cover (d, list, positions, blocks, y->shape.n);
}

/* shaders/conv_coopmat.comp takes weights that are fp16 already; what packs plain weights writes fp32. What is made of
 * reference points, and what makes boxes of 4 numbers, is computed from all digits. */
gboolean
deim_conv2d_suits_matrices (const DeimConvWork *work, const DeimDispatchList *list)
{
  gboolean four =
      deim_dispatch_layout (list, work->x)->blocks == 1 || deim_dispatch_layout (list, work->y)->blocks == 1;
  return list->device.matrices && list->device.half && !work->weight->plain &&
         (deim_dispatch_is_half (list, work->x) || !four);
}

/* Invocations of a workgroup: as many subgroups as the variant has, or more of small ones, for each position to be
 * fetched by an invocation. */
static guint
matrix_invocations (const DeimConvVariant *tile, const DeimDispatchList *list)
{
  guint local = (guint) (tile->rows * tile->columns * tile->parts) * list->device.subgroup_size;
  while (local < (guint) tile->positions)
    local *= 2;
  return local;
}

gboolean
deim_conv2d_fits_matrices (const DeimConvVariant *tile, const DeimDispatchList *list)
{
  guint local = matrix_invocations (tile, list), positions = (guint) tile->positions, steps = (guint) tile->steps;
  guint x_loads = steps * positions / local, w_loads = 4 * steps * (guint) tile->co4 / local; /* a bit of a mask each */
  guint parts = (guint) tile->parts, columns = local / list->device.subgroup_size / ((guint) tile->rows * parts);
  guint shared = 8 * (positions * (steps + 2) + 4 * steps * (guint) (tile->co4 + 2)) +
                 16 * parts * columns * list->device.matrix_n * (guint) (tile->co4 + 1); /* xs, ws, ys */
  return local <= list->device.max_local && local % positions == 0 && steps % (local / positions) == 0 &&
         positions % (columns * list->device.matrix_n) == 0 && 4 * steps % (parts * list->device.matrix_k) == 0 &&
         x_loads <= 32 && w_loads <= 32 && shared <= list->device.max_shared;
}

static void
push_matrix_specs (DeimDispatch *d, const DeimDispatchList *list, const DeimConvVariant *tile)
{
  deim_dispatch_spec (d, list->device.matrix_m);
  deim_dispatch_spec (d, list->device.matrix_n);
  deim_dispatch_spec (d, list->device.matrix_k);
  deim_dispatch_spec (d, (guint32) tile->rows);
  deim_dispatch_spec (d, (guint32) tile->steps);
  deim_dispatch_spec (d, (guint32) tile->parts);
  d->local_size = matrix_invocations (tile, list);
}

static void
push_tile_specs (DeimDispatch *d, const DeimConvVariant *tile, gint slices)
{
  deim_dispatch_spec (d, (guint32) slices);
  deim_dispatch_spec (d, (guint32) tile->rows);
  deim_dispatch_spec (d, (guint32) tile->columns);
  d->local_size = (guint) (tile->co4 / tile->rows * (tile->positions / tile->columns));
}

void
deim_conv2d_dispatch_tiles (const DeimConvWork *work, DeimDispatchList *list, const DeimConvVariant *tile)
{
  DeimTensor *x = work->x, *y = work->y, *r = work->residual;
  gint positions = y->shape.h * y->shape.w, blocks = deim_dispatch_layout (list, y)->blocks;
  gint steps = deim_conv2d_count_steps (work, list), slices = count_slices (work, list, tile);
  gboolean matrices = tile->kernel == DEIM_CONV_MATRICES;
  gint slice_steps = deim_conv2d_divide_up (steps, slices);
  slices = deim_conv2d_divide_up (steps, slice_steps);
  gsize part_bytes = (gsize) y->shape.n * (gsize) slices * (gsize) blocks * (gsize) positions * 16;
  gint parts = slices == 1 ? -1 : deim_dispatch_add_scratch (list, part_bytes);

  DeimPanels panels = deim_conv2d_make_panels (work, list, tile->co4);
  DeimDispatch *d = deim_dispatch_append (list, matrices ? "conv_coopmat" : "conv_tile");
  deim_dispatch_bind (d, DEIM_BIND_READ, x);
  deim_conv2d_bind_panels (d, panels);
  deim_dispatch_bind (d, DEIM_BIND_READ, r);
  if (slices == 1)
    deim_dispatch_bind (d, DEIM_BIND_WRITE, y);
  else
    deim_dispatch_bind_scratch (d, DEIM_BIND_WRITE, parts);
  deim_dispatch_bind (d, DEIM_BIND_READ, work->addend);
  deim_dispatch_spec (d, (guint32) tile->co4);
  deim_dispatch_spec (d, (guint32) tile->positions);
  deim_dispatch_spec (d, work->pointwise);
  deim_dispatch_spec (d, work->epilogue.act);
  deim_dispatch_spec (d, work->addend_rows > 0);
  if (matrices)
    push_matrix_specs (d, list, tile);
  else
    push_tile_specs (d, tile, slices);
  deim_dispatch_push_place (d, list, x);
  if (slices == 1) {
    deim_dispatch_push_place (d, list, y);
  } else {
    deim_dispatch_push_int (d, 0);
    deim_dispatch_push_int (d, positions);
    deim_dispatch_push_int (d, blocks * positions);
  }
  deim_dispatch_push_place (d, list, r);
  deim_conv2d_push_geometry (d, list, work);
  deim_conv2d_push_epilogue (d, &work->epilogue);
  deim_dispatch_push_int (d, slice_steps);
  deim_conv2d_push_addend (d, list, work);
  d->groups[0] = (guint) deim_conv2d_divide_up (blocks, tile->co4);
  d->groups[1] = (guint) deim_conv2d_divide_up (positions, tile->positions);
  d->groups[2] = (guint) (y->shape.n * slices);
  d->flop = work->flop;
  if (slices > 1)
    append_sum (work, list, parts, slices);
}
