/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * conv2d-variant.c - by which kernel, and with which tile, a dense convolution is computed: as `deim tune` measured
 * (tuning.h), else by rules.
 */
#include "engine/ops/conv2d.h"

static const DeimConvVariant variants[] = {
  { "rows-8x4", DEIM_CONV_ROWS, 8, 4 },
  { "rows-4x8", DEIM_CONV_ROWS, 4, 8 },
  { "rows-4x6", DEIM_CONV_ROWS, 4, 6 },
  { "rows-4x5", DEIM_CONV_ROWS, 4, 5 },
  { "rows-4x4", DEIM_CONV_ROWS, 4, 4 },
  { "rows-2x8", DEIM_CONV_ROWS, 2, 8 },
  { "rows-2x6", DEIM_CONV_ROWS, 2, 6 },
  { "rows-2x5", DEIM_CONV_ROWS, 2, 5 },
  { "rows-2x4", DEIM_CONV_ROWS, 2, 4 },
  { "rows-1x8", DEIM_CONV_ROWS, 1, 8 },
  { "rows-1x6", DEIM_CONV_ROWS, 1, 6 },
  { "rows-1x5", DEIM_CONV_ROWS, 1, 5 },
  { "rows-1x4", DEIM_CONV_ROWS, 1, 4 },
  { "winograd-4x8", DEIM_CONV_WINOGRAD, 4, 8 },
  { "winograd-4x6", DEIM_CONV_WINOGRAD, 4, 6 },
  { "winograd-4x5", DEIM_CONV_WINOGRAD, 4, 5 },
  { "winograd-4x4", DEIM_CONV_WINOGRAD, 4, 4 },
  /* Largest first. A tile's shared memory is 256 bytes per block of channels and 64 a position: 8 KiB at most. */
  { "tile-16x64", DEIM_CONV_TILES, 16, 64, 2, 4 },
  { "tile-8x64", DEIM_CONV_TILES, 8, 64, 2, 4 },
  { "tile-8x32", DEIM_CONV_TILES, 8, 32, 1, 4 },
  { "tile-4x64", DEIM_CONV_TILES, 4, 64, 1, 4 },
  { "tile-2x64", DEIM_CONV_TILES, 2, 64, 1, 2 },
  { "tile-1x64", DEIM_CONV_TILES, 1, 64, 1, 1 },
  /* Likewise. A subgroup of 32 has 16 or 32 channels and positions, multiples of any M and N (engine/gpu/policy.c). Of
   * two of a size the first is for sums that fill its turns. */
  { "matrix-16x128", DEIM_CONV_MATRICES, 16, 128, 2, 4, 8, 1 },
  { "matrix-16x64", DEIM_CONV_MATRICES, 16, 64, 2, 4, 16, 1 },
  { "matrix-16x32", DEIM_CONV_MATRICES, 16, 32, 2, 2, 32, 2 },
  { "matrix-8x64", DEIM_CONV_MATRICES, 8, 64, 2, 2, 16, 1 },
  { "matrix-8x32", DEIM_CONV_MATRICES, 8, 32, 2, 1, 32, 4 },
  { "matrix-8x16-long", DEIM_CONV_MATRICES, 8, 16, 2, 1, 64, 4 },
  { "matrix-8x16", DEIM_CONV_MATRICES, 8, 16, 2, 1, 32, 2 },
  { "matrix-4x64", DEIM_CONV_MATRICES, 4, 64, 1, 4, 16, 1 },
  { "matrix-4x32", DEIM_CONV_MATRICES, 4, 32, 1, 2, 32, 4 },
};

const gchar *const *
deim_conv2d_get_variants (void)
{
  static const gchar *names[G_N_ELEMENTS (variants) + 1];
  static gsize made;
  if (g_once_init_enter (&made)) {
    for (guint i = 0; i < G_N_ELEMENTS (variants); i++)
      names[i] = variants[i].name;
    g_once_init_leave (&made, 1);
  }
  return names;
}

/* Half of its channels or more are not there; matrices cannot be narrower than 4 blocks. */
static gboolean
wastes_half (const DeimConvVariant *variant, gint blocks)
{
  return variant->co4 > (variant->kernel == DEIM_CONV_MATRICES ? 4 : 1) && variant->co4 / 2 >= blocks;
}

static gboolean
is_legal (const DeimConvVariant *variant, const DeimConvWork *work, const DeimDispatchList *list)
{
  if (wastes_half (variant, deim_dispatch_layout (list, work->y)->blocks))
    return FALSE;
  switch (variant->kernel) {
  case DEIM_CONV_ROWS:
    return list->device.cpu;
  case DEIM_CONV_WINOGRAD:
    return list->device.cpu && deim_conv2d_allows_winograd (work, list);
  case DEIM_CONV_TILES:
    return !list->device.cpu;
  case DEIM_CONV_MATRICES:
    return !list->device.cpu && deim_conv2d_suits_matrices (work, list) && deim_conv2d_fits_matrices (variant, list);
  }
  return FALSE;
}

static const DeimConvVariant *
find (DeimConvKernel kernel, gint co4, gint positions)
{
  for (guint i = 0; i < G_N_ELEMENTS (variants); i++)
    if (variants[i].kernel == kernel && variants[i].co4 == co4 && variants[i].positions == positions)
      return &variants[i];
  g_return_val_if_reached (NULL);
}

/* Whether @tile is to be passed over: for the @fitting one, which has its size, or because a sum is over before the
 * first of its long turns. */
static gboolean
is_passed_over (const DeimConvVariant *tile, const DeimConvVariant *fitting, const DeimConvWork *work,
                const DeimDispatchList *list)
{
  if (fitting && fitting->co4 == tile->co4 && fitting->positions == tile->positions)
    return TRUE;
  return tile->steps > 32 && tile->steps > deim_conv2d_count_steps (work, list);
}

/* The largest tile that neither wastes half of itself on channels that are not there nor leaves the device idle; NULL
 * where none is legal. */
static const DeimConvVariant *
choose_tile (DeimConvKernel kernel, const DeimConvWork *work, const DeimDispatchList *list)
{
  const DeimConvVariant *fitting = NULL;
  for (guint i = 0; i < G_N_ELEMENTS (variants); i++) {
    const DeimConvVariant *tile = &variants[i];
    if (tile->kernel != kernel || !is_legal (tile, work, list) || is_passed_over (tile, fitting, work, list))
      continue;
    if (fitting && tile->co4 < MIN (fitting->co4, kernel == DEIM_CONV_MATRICES ? 8 : 4))
      break; /* narrow tiles are for convolutions of few channels */
    fitting = tile;
    if (!deim_conv2d_leaves_idle (work, list, tile))
      break;
  }
  return fitting;
}

/* Of the columns of positions that an invocation may have on a CPU, those which compute @positions soonest: wide tiles
 * fetch weights less often, but the last tile of a small map may be mostly empty. A workgroup is one subgroup there. */
static gint
choose_columns (gboolean window, gint positions, const DeimDispatchList *list)
{
  /* cost: a position's time, in hundredths of the best's; measured, docs/performance.md, "Columns" */
  static const struct {
    gint n, cost;
  } choices[][3] = {
    { { 6, 100 }, { 5, 102 }, { 4, 109 } }, /* sums in registers */
    { { 8, 100 }, { 5, 108 }, { 4, 112 } }, /* parked, 1x1 */
    { { 5, 100 }, { 8, 130 }, { 4, 130 } }, /* parked, with a window */
  };
  guint kind = !list->device.park ? 0 : window ? 2 : 1;
  gint chosen = 0, least = G_MAXINT;
  for (guint i = 0; i < G_N_ELEMENTS (choices[kind]); i++) {
    gint n = choices[kind][i].n, tile = n * (gint) list->device.subgroup_size;
    gint cost = deim_conv2d_divide_up (positions, tile) * n * choices[kind][i].cost;
    if (cost < least) {
      least = cost;
      chosen = n;
    }
  }
  return chosen;
}

static const DeimConvVariant *
choose_by_rule (const DeimConvWork *work, const DeimDispatchList *list)
{
  if (!list->device.cpu) {
    const DeimConvVariant *matrices = choose_tile (DEIM_CONV_MATRICES, work, list);
    return matrices ? matrices : choose_tile (DEIM_CONV_TILES, work, list);
  }
  if (deim_conv2d_suits_winograd (work, list))
    return find (DEIM_CONV_WINOGRAD, 4, choose_columns (FALSE, deim_conv2d_count_winograd_tiles (work->y), list));
  return find (DEIM_CONV_ROWS, deim_conv2d_panel_blocks (list, work->y),
               choose_columns (!work->pointwise, work->y->shape.h * work->y->shape.w, list));
}

/* "conv2d 3x3/2 16>64 40x40 x1 fp32": kernel and stride, channels with padding, size of the result, batch, the
 * precision, "kept" where the input is stored as fp32 all the same, and "addend": what is legal, and how fast, goes by
 * all of these. */
static gchar *
describe (const DeimConvWork *work, const DeimDispatchList *list)
{
  DeimShape y = work->y->shape;
  const gchar *precision = list->device.half ? "fp16" : list->device.winograd ? "auto" : "fp32";
  gboolean kept = list->device.half && !deim_dispatch_is_half (list, work->x);
  return g_strdup_printf ("conv2d %dx%d/%d %d>%d %dx%d x%d %s%s%s", work->kernel, work->kernel, work->stride,
                          4 * deim_dispatch_layout (list, work->x)->blocks,
                          4 * deim_dispatch_layout (list, work->y)->blocks, y.h, y.w, y.n, precision,
                          kept ? " kept" : "", work->addend_rows > 0 ? " addend" : "");
}

static const DeimConvVariant *
choose (const DeimConvWork *work, DeimDispatchList *list)
{
  gchar *layer = describe (work, list);
  const gchar *wanted = list->tuning ? deim_tuning_get (list->tuning, layer) : NULL;
  const gchar **candidates = g_new0 (const gchar *, G_N_ELEMENTS (variants) + 1);
  const DeimConvVariant *chosen = choose_by_rule (work, list);
  guint n = 0;
  for (guint i = 0; i < G_N_ELEMENTS (variants); i++) {
    if (!is_legal (&variants[i], work, list))
      continue;
    candidates[n++] = variants[i].name;
    if (g_strcmp0 (wanted, variants[i].name) == 0)
      chosen = &variants[i];
  }
  deim_dispatch_add_choice (list, layer, chosen->name, candidates);
  return chosen;
}

void
deim_conv2d_dispatch_dense (const DeimConvWork *work, DeimDispatchList *list)
{
  const DeimConvVariant *variant = choose (work, list);
  switch (variant->kernel) {
  case DEIM_CONV_ROWS:
    deim_conv2d_dispatch_rows (work, list, variant);
    break;
  case DEIM_CONV_WINOGRAD:
    deim_conv2d_dispatch_winograd (work, list, variant);
    break;
  case DEIM_CONV_TILES:
  case DEIM_CONV_MATRICES:
    deim_conv2d_dispatch_tiles (work, list, variant);
    break;
  }
}
