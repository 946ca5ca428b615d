/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* conv2d-pack.c - plain weights into panels, on the device (conv2d.h). */
#include "engine/ops/conv2d.h"

/* Taps first, first + step, .. below @k. */
static gint
count_taps (gint k, gint first, gint step)
{
  return first < k ? (k - first + step - 1) / step : 0;
}

static void
push_packing (DeimDispatch *d, const DeimConvPacking *p)
{
  gint k = p->weight->shape.h, across = k * k, down = k * k * p->weight->shape.c;
  deim_dispatch_push_int (d, p->transposed ? across : down); /* between the output channels of the convolution */
  deim_dispatch_push_int (d, p->transposed ? down : across); /* between its input channels */
  deim_dispatch_push_int (d, k);
  deim_dispatch_push_int (d, p->first_y);
  deim_dispatch_push_int (d, p->first_x);
  deim_dispatch_push_int (d, p->step);
  deim_dispatch_push_int (d, count_taps (k, p->first_y, p->step));
  deim_dispatch_push_int (d, count_taps (k, p->first_x, p->step));
  deim_dispatch_push_int (d, p->transposed);
  deim_dispatch_push_int (d, p->bias != NULL);
}

static DeimDispatch *
append (DeimDispatchList *list, const DeimConvPacking *p, gboolean depthwise, gint co4, gint scratch)
{
  gint row_map = deim_dispatch_add_channel_map (list, p->y), column_map = deim_dispatch_add_channel_map (list, p->x);
  DeimDispatch *d = deim_dispatch_append (list, "pack_conv");
  deim_dispatch_bind (d, DEIM_BIND_READ, p->weight);
  deim_dispatch_bind (d, DEIM_BIND_READ, p->bias ? p->bias : p->weight);
  deim_dispatch_bind_blob (d, row_map);
  deim_dispatch_bind_blob (d, column_map);
  deim_dispatch_bind_scratch (d, DEIM_BIND_WRITE, scratch);
  deim_dispatch_spec (d, (guint32) depthwise);
  deim_dispatch_spec (d, (guint32) co4);
  push_packing (d, p);
  return d;
}

gint
deim_conv2d_pack_dense (DeimDispatchList *list, const DeimConvPacking *p, gint co4)
{
  gint k = p->weight->shape.h, taps = count_taps (k, p->first_y, p->step) * count_taps (k, p->first_x, p->step);
  gint in = deim_dispatch_layout (list, p->x)->blocks, out = deim_dispatch_layout (list, p->y)->blocks;
  gint panels = (out + co4 - 1) / co4, steps = (taps * in + 1) / 2 * 2, vec4s = panels * co4 * (1 + steps * 4);
  gint scratch = deim_dispatch_add_scratch (list, (gsize) vec4s * 16);
  DeimDispatch *d = append (list, p, FALSE, co4, scratch);
  deim_dispatch_push_int (d, out);
  deim_dispatch_push_int (d, in);
  deim_dispatch_push_int (d, steps);
  deim_dispatch_push_int (d, vec4s);
  deim_dispatch_cover (d, list, vec4s, 1, 1);
  return scratch;
}

gint
deim_conv2d_pack_depthwise (DeimDispatchList *list, const DeimConvPacking *p)
{
  gint k = p->weight->shape.h, blocks = deim_dispatch_layout (list, p->y)->blocks, vec4s = blocks * (1 + k * k);
  gint scratch = deim_dispatch_add_scratch (list, (gsize) vec4s * 16);
  DeimDispatch *d = append (list, p, TRUE, 1, scratch);
  deim_dispatch_push_int (d, blocks);
  deim_dispatch_push_int (d, 1);
  deim_dispatch_push_int (d, k * k);
  deim_dispatch_push_int (d, vec4s);
  deim_dispatch_cover (d, list, vec4s, 1, 1);
  return scratch;
}
