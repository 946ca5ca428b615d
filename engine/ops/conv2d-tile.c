/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * conv2d-tile.c - dense convolutions on GPUs: tiles in shared memory, and in how many slices a sum is taken.
 *
 * Vulkan does not tell how many cores a GPU has. What counts is that enough workgroups run at a time, and that each
 * reads an operand for many multiplications: so tiles are as large as leaves GROUPS_WANTED workgroups
 * (conv2d-variant.c), and where even the smallest does not, long sums are shared.
 */
#include "engine/ops/conv2d.h"

/* About two for each core of a large GPU: 132 in an H100, 46 in an RTX 4070, 20 to 36 in integrated ones. */
#define GROUPS_WANTED 128
#define MAX_SLICES    8
#define MIN_STEPS     32 /* of a slice: 128 multiplications a number, else adding the parts costs more than it saves */

/* Of fewer channels the smallest tile of matrices would be mostly empty. */
#define LEAST_MATRIX_BLOCKS 5

static gint
count_groups (const DeimConvWork *work, const DeimDispatchList *list, const DeimConvVariant *tile)
{
  DeimShape y = work->y->shape;
  gint blocks = deim_dispatch_layout (list, work->y)->blocks;
  return deim_conv2d_divide_up (blocks, tile->co4) * deim_conv2d_divide_up (y.h * y.w, tile->positions) * y.n;
}

gboolean
deim_conv2d_leaves_idle (const DeimConvWork *work, const DeimDispatchList *list, const DeimConvVariant *tile)
{
  return count_groups (work, list, tile) < GROUPS_WANTED;
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

/* shaders/conv_coopmat.comp: two by two subgroups, of operands that are fp16 already. */
gboolean
deim_conv2d_suits_matrices (const DeimConvWork *work, const DeimDispatchList *list)
{
  return list->device.matrices && deim_dispatch_is_half (list, work->x) && work->addend_rows == 0 &&
         deim_dispatch_layout (list, work->y)->blocks >= LEAST_MATRIX_BLOCKS &&
         4 * list->device.subgroup_size <= list->device.max_local;
}

void
deim_conv2d_dispatch_tiles (const DeimConvWork *work, DeimDispatchList *list, const DeimConvVariant *tile)
{
  DeimTensor *x = work->x, *y = work->y, *r = work->residual;
  gint positions = y->shape.h * y->shape.w, blocks = deim_dispatch_layout (list, y)->blocks;
  gint steps = work->kernel * work->kernel * deim_dispatch_layout (list, x)->blocks;
  gboolean matrices = tile->kernel == DEIM_CONV_MATRICES;
  gint groups = count_groups (work, list, tile);
  gint slices = CLAMP (MIN (deim_conv2d_divide_up (GROUPS_WANTED, groups), steps / MIN_STEPS), 1, MAX_SLICES);
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
  if (!matrices)
    deim_dispatch_bind (d, DEIM_BIND_READ, work->addend);
  deim_dispatch_spec (d, (guint32) tile->co4);
  deim_dispatch_spec (d, (guint32) tile->positions);
  deim_dispatch_spec (d, work->pointwise);
  deim_dispatch_spec (d, work->epilogue.act);
  deim_dispatch_spec (d, (guint32) slices);
  if (matrices) {
    deim_dispatch_spec (d, list->device.matrix_m);
    deim_dispatch_spec (d, list->device.matrix_n);
    deim_dispatch_spec (d, list->device.matrix_k);
    d->local_size = 4 * list->device.subgroup_size;
  } else {
    deim_dispatch_spec (d, (guint32) tile->own_co);
    deim_dispatch_spec (d, (guint32) tile->own_positions);
    deim_dispatch_spec (d, work->addend_rows > 0);
    d->local_size = (guint) (tile->co4 / tile->own_co * (tile->positions / tile->own_positions));
  }
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
  if (!matrices)
    deim_conv2d_push_addend (d, list, work);
  d->groups[0] = (guint) deim_conv2d_divide_up (blocks, tile->co4);
  d->groups[1] = (guint) deim_conv2d_divide_up (positions, tile->positions);
  d->groups[2] = (guint) (y->shape.n * slices);
  d->flop = work->flop;
  if (slices > 1)
    append_sum (work, list, parts, slices);
}
