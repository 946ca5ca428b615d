/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * conv2d-winograd.c - 3x3 convolutions with stride 1 by Winograd's F(4x4, 3x3): a quarter of the multiplications, for
 * two more passes over memory. Inputs and filters of a tile are taken to 6x6 numbers each, of which one convolution is
 * 36 products (shaders/winograd.glsl).
 *
 *   x -> winograd_in -> [36][ci4][tiles] -> conv, 36 times 1x1 -> [36][co4][tiles] -> winograd_out -> y
 */
#include "engine/ops/conv2d.h"
#include "engine/ops/util.h"

#define TILE 4  /* outputs a tile, each way */
#define IN   6  /* inputs */
#define SETS 36 /* IN * IN */

/* Fewer channels leave so little to multiply that the passes over memory cost more than they save, the more the larger
 * the map and where products are slower (PARKED); fewer tiles fill only a part of what conv.comp computes at a time,
 * which pays for many channels alone (docs/performance.md). */
#define MIN_BLOCKS        16
#define MIN_BLOCKS_PARKED 12
#define MIN_BLOCKS_SMALL  8
#define MIN_TILES         64
#define MAX_TILES_SMALL   192
#define BLOCKS_OF_A_FEW   32
/* Of one of the two buffers: what is larger than caches can hold goes through memory twice. */
#define MAX_BYTES (64u << 20)

gint
deim_conv2d_count_winograd_tiles (const DeimTensor *y)
{
  return deim_conv2d_divide_up (y->shape.h, TILE) * deim_conv2d_divide_up (y->shape.w, TILE);
}

static gsize
count_bytes (const DeimTensor *y, gint blocks)
{
  return (gsize) y->shape.n * SETS * (gsize) blocks * (gsize) deim_conv2d_count_winograd_tiles (y) * 16;
}

gboolean
deim_conv2d_allows_winograd (const DeimConvWork *work, const DeimDispatchList *list)
{
  gint in = deim_dispatch_layout (list, work->x)->blocks, out = deim_dispatch_layout (list, work->y)->blocks;
  return list->device.winograd && work->kernel == 3 && work->stride == 1 && !work->weight->plain &&
         count_bytes (work->y, MAX (in, out)) <= MAX_BYTES;
}

static gint
least_blocks (gint tiles, const DeimDispatchList *list)
{
  if (tiles < MIN_TILES)
    return BLOCKS_OF_A_FEW;
  if (!list->device.park)
    return MIN_BLOCKS;
  return tiles <= MAX_TILES_SMALL ? MIN_BLOCKS_SMALL : MIN_BLOCKS_PARKED;
}

gboolean
deim_conv2d_suits_winograd (const DeimConvWork *work, const DeimDispatchList *list)
{
  gint in = deim_dispatch_layout (list, work->x)->blocks, out = deim_dispatch_layout (list, work->y)->blocks;
  return deim_conv2d_allows_winograd (work, list) &&
         MIN (in, out) >= least_blocks (deim_conv2d_count_winograd_tiles (work->y), list);
}

/* G of winograd.glsl: for each of the points p, the values of 1, p and p^2, over the product of its distances to the
 * others; the last point is infinity. */
static void
make_filter_transform (gdouble g[IN][3])
{
  const gdouble points[] = { 0, G_SQRT2 / 2, -G_SQRT2 / 2, G_SQRT2, -G_SQRT2 };
  for (guint i = 0; i < G_N_ELEMENTS (points); i++) {
    gdouble distances = 1;
    for (guint j = 0; j < G_N_ELEMENTS (points); j++)
      if (j != i)
        distances *= points[i] - points[j];
    g[i][0] = 1 / distances;
    g[i][1] = points[i] / distances;
    g[i][2] = points[i] * points[i] / distances;
  }
  g[IN - 1][0] = g[IN - 1][1] = 0;
  g[IN - 1][2] = 1;
}

/* @filters [n][3][3] -> [36][n]: G f G^T of each. */
static gfloat *
transform_filters (const gfloat *filters, gsize n)
{
  gdouble g[IN][3];
  make_filter_transform (g);
  gfloat *transformed = g_new (gfloat, SETS * n);
  for (gsize f = 0; f < n; f++) {
    const gfloat *filter = filters + 9 * f;
    gdouble half[IN][3]; /* G f */
    for (gint i = 0; i < IN; i++)
      for (gint x = 0; x < 3; x++)
        half[i][x] = g[i][0] * filter[x] + g[i][1] * filter[3 + x] + g[i][2] * filter[6 + x];
    for (gint i = 0; i < IN; i++)
      for (gint j = 0; j < IN; j++)
        transformed[(gsize) (i * IN + j) * n + f] =
            (gfloat) (half[i][0] * g[j][0] + half[i][1] * g[j][1] + half[i][2] * g[j][2]);
  }
  return transformed;
}

/* Panels of the 36 sets of weights, one set after the other. */
static gint
add_weights (const DeimConvWork *work, DeimDispatchList *list, gint co4)
{
  DeimShape shape = work->weight->shape;
  gsize filters = (gsize) shape.n * (gsize) shape.c;
  g_autofree gfloat *transformed = transform_filters (work->weight->data, filters);
  gsize floats = deim_conv2d_count_panel_floats (work, list, 1, co4);
  g_autofree gfloat *panels = g_new0 (gfloat, SETS * floats);
  for (gsize set = 0; set < SETS; set++)
    deim_conv2d_fill_panels (work, list, 1, co4, transformed + set * filters, NULL, panels + set * floats);
  return deim_dispatch_add_blob (list, panels, SETS * floats, FALSE);
}

static gint
add_bias (const DeimConvWork *work, DeimDispatchList *list)
{
  const DeimLayout *out = deim_dispatch_layout (list, work->y);
  g_autofree gfloat *bias = g_new0 (gfloat, 4 * (gsize) out->blocks);
  for (gint o = 0; work->bias && o < 4 * out->blocks; o++) {
    gint co = deim_layout_logical (out, o);
    bias[o] = co < 0 ? 0 : work->bias->data[co];
  }
  return deim_dispatch_add_blob (list, bias, 4 * (gsize) out->blocks, TRUE);
}

static void
append_in (const DeimConvWork *work, DeimDispatchList *list, gint to)
{
  DeimTensor *x = work->x, *y = work->y;
  gint blocks = deim_dispatch_layout (list, x)->blocks;
  DeimDispatch *d = deim_dispatch_append (list, "winograd_in");
  deim_dispatch_bind (d, DEIM_BIND_READ, x);
  deim_dispatch_bind_scratch (d, DEIM_BIND_WRITE, to);
  deim_dispatch_push_place (d, list, x);
  deim_dispatch_push_int (d, x->shape.w);
  deim_dispatch_push_int (d, x->shape.h);
  deim_dispatch_push_int (d, work->pad_top);
  deim_dispatch_push_int (d, work->pad_left);
  deim_dispatch_push_int (d, deim_conv2d_divide_up (y->shape.w, TILE));
  deim_dispatch_push_int (d, deim_conv2d_count_winograd_tiles (y));
  deim_dispatch_push_int (d, blocks);
  deim_dispatch_cover (d, list, deim_conv2d_count_winograd_tiles (y), blocks, y->shape.n);
}

static void
append_out (const DeimConvWork *work, DeimDispatchList *list, gint from)
{
  DeimTensor *y = work->y;
  gint blocks = deim_dispatch_layout (list, y)->blocks;
  gint bias = add_bias (work, list);
  DeimDispatch *d = deim_dispatch_append (list, "winograd_out");
  deim_dispatch_bind_scratch (d, DEIM_BIND_READ, from);
  deim_dispatch_bind_blob (d, bias);
  deim_dispatch_bind (d, DEIM_BIND_READ, work->residual);
  deim_dispatch_bind (d, DEIM_BIND_WRITE, y);
  deim_dispatch_spec (d, work->epilogue.act);
  deim_dispatch_spec (d, deim_conv2d_residual (&work->epilogue));
  deim_dispatch_push_place (d, list, y);
  deim_dispatch_push_place (d, list, work->residual);
  deim_dispatch_push_int (d, y->shape.w);
  deim_dispatch_push_int (d, y->shape.h);
  deim_dispatch_push_int (d, deim_conv2d_divide_up (y->shape.w, TILE));
  deim_dispatch_push_int (d, deim_conv2d_count_winograd_tiles (y));
  deim_dispatch_push_int (d, blocks);
  deim_conv2d_push_epilogue (d, &work->epilogue);
  deim_dispatch_cover (d, list, deim_conv2d_count_winograd_tiles (y), blocks, y->shape.n);
}

static void
push_place (DeimDispatch *d, gint blocks, gint tiles)
{
  deim_dispatch_push_int (d, 0);
  deim_dispatch_push_int (d, tiles);
  deim_dispatch_push_int (d, blocks * tiles);
}

/* The products, as one pointwise convolution of 36 times as many batch entries: shaders/conv.comp. */
static void
append_products (const DeimConvWork *work, DeimDispatchList *list, const DeimConvVariant *variant, gint from, gint to)
{
  gint in = deim_dispatch_layout (list, work->x)->blocks, out = deim_dispatch_layout (list, work->y)->blocks;
  gint tiles = deim_conv2d_count_winograd_tiles (work->y), co4 = variant->co4, px = variant->positions;
  DeimEpilogue nothing = deim_epilogue_none ();
  gint weights = add_weights (work, list, co4);

  DeimDispatch *d = deim_dispatch_append (list, "conv");
  d->shuffle = list->device.shuffle;
  deim_dispatch_bind_scratch (d, DEIM_BIND_READ, from);
  deim_dispatch_bind_blob (d, weights);
  deim_dispatch_bind_scratch (d, DEIM_BIND_READ, from); /* no residual */
  deim_dispatch_bind_scratch (d, DEIM_BIND_WRITE, to);
  deim_dispatch_bind_scratch (d, DEIM_BIND_READ, from); /* no addend */
  deim_dispatch_spec (d, (guint32) co4);
  deim_dispatch_spec (d, (guint32) px);
  deim_dispatch_spec (d, TRUE);
  deim_dispatch_spec (d, nothing.act);
  deim_dispatch_spec (d, 0);
  deim_dispatch_spec (d, list->device.park);
  deim_dispatch_spec (d, FALSE);
  push_place (d, in, tiles);
  push_place (d, out, tiles);
  push_place (d, 0, 0);
  for (gint i = 0; i < 3; i++)
    deim_dispatch_push_int (d, 0); /* width and height of maps: what is pointwise has none */
  deim_dispatch_push_int (d, tiles);
  deim_dispatch_push_int (d, in);
  deim_dispatch_push_int (d, out);
  for (gint i = 0; i < 4; i++)
    deim_dispatch_push_int (d, 0); /* kernel, stride, padding: likewise */
  deim_conv2d_push_epilogue (d, &nothing);
  push_place (d, 0, 0);
  deim_dispatch_push_int (d, 0);
  deim_dispatch_push_int (d, SETS);
  d->groups[0] = (guint) deim_conv2d_divide_up (out, co4);
  d->groups[1] = (guint) deim_conv2d_divide_up (tiles, (gint) d->local_size * px);
  d->groups[2] = (guint) (work->y->shape.n * SETS);
  d->flop = work->flop;
}

void
deim_conv2d_dispatch_winograd (const DeimConvWork *work, DeimDispatchList *list, const DeimConvVariant *variant)
{
  DeimTensor *y = work->y;
  gint in = deim_dispatch_layout (list, work->x)->blocks, out = deim_dispatch_layout (list, y)->blocks;
  gint taken = deim_dispatch_add_scratch (list, count_bytes (y, in));
  gint products = deim_dispatch_add_scratch (list, count_bytes (y, out));
  append_in (work, list, taken);
  append_products (work, list, variant, taken, products);
  append_out (work, list, products);
}
