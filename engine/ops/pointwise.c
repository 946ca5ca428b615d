/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pointwise.h"

#define PER_LANE 4

DeimPointwise
deim_pointwise (DeimPointwiseMode mode, DeimTensor *a, DeimTensor *b, DeimTensor *y)
{
  return (DeimPointwise){
    .mode = mode, .a = a, .b = b, .y = y, .blob = -1, .scratch = -1, .act = DEIM_ACT_NONE, .scale = 1
  };
}

/* A stride of 0 repeats the operand. */
static void
push_broadcast (DeimDispatch *d, const DeimDispatchList *list, const DeimTensor *b)
{
  const DeimLayout *layout = deim_dispatch_layout (list, b);
  deim_dispatch_push_int (d, layout->first);
  deim_dispatch_push_int (d, b->shape.c == 1 ? 0 : layout->block_stride);
  deim_dispatch_push_int (d, b->shape.n == 1 ? 0 : layout->batch_stride);
}

void
deim_dispatch_pointwise (DeimDispatchList *list, const DeimPointwise *p)
{
  const DeimLayout *to = deim_dispatch_layout (list, p->y);
  DeimExtent extent = deim_dispatch_extent (list, p->a);
  DeimDispatch *d = deim_dispatch_append (list, "elementwise");
  deim_dispatch_bind (d, DEIM_BIND_READ, p->a);
  if (p->blob >= 0)
    deim_dispatch_bind_blob (d, p->blob);
  else if (p->scratch >= 0)
    deim_dispatch_bind_scratch (d, DEIM_BIND_READ, p->scratch);
  else
    deim_dispatch_bind (d, DEIM_BIND_READ, p->b ? p->b : p->a);
  deim_dispatch_bind (d, DEIM_BIND_WRITE, p->y);
  deim_dispatch_spec (d, p->mode);
  deim_dispatch_spec (d, PER_LANE);
  deim_dispatch_spec (d, p->act);
  deim_dispatch_push_place (d, list, p->a);
  if (p->b) {
    push_broadcast (d, list, p->b);
  } else {
    deim_dispatch_push_int (d, 0);
    deim_dispatch_push_int (d, p->same_for_all ? 0 : 2);
    deim_dispatch_push_int (d, 0);
  }
  deim_dispatch_push_int (d, to->first + p->first_block * to->block_stride + p->first_position);
  deim_dispatch_push_int (d, to->block_stride);
  deim_dispatch_push_int (d, to->batch_stride);
  deim_dispatch_push_int (d, p->b && p->b->shape.h * p->b->shape.w == 1 && !p->a->plain ? 0 : 1);
  deim_dispatch_push_int (d, p->b && p->b->shape.c == 1 && !p->a->plain);
  deim_dispatch_push_int (d, extent.positions);
  deim_dispatch_push_float (d, p->lo);
  deim_dispatch_push_float (d, p->hi);
  deim_dispatch_push_float (d, p->scale);
  deim_dispatch_push_float (d, p->shift);
  deim_dispatch_cover (d, list, (extent.positions + PER_LANE - 1) / PER_LANE, extent.blocks, extent.batch);
}
