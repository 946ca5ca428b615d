/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * plan.c - the device's part of the preprocessing: where the frame's planes are
 * staged, the weights as the shaders read them, and the two dispatches.
 *
 * The shaders read four neighbouring pixels (a quad) or rows at a time, so
 * weights come in groups of four that begin at a multiple of four pixels, the
 * same number of groups for every output. Groups are moved inside the picture
 * and filled with zeros; a quad may reach past its row's end (there the weight
 * is zero), never past the buffer's.
 */
#include "preprocess-private.h"

#include <string.h>

#define BUFFER_MAX ((gsize) 128 << 20) /* what Vulkan guarantees of a storage buffer's range */
#define LOCAL_SIZE 64
#define MAX_LOCAL  128 /* that every device has */
#define COLUMNS    4   /* pixels that an invocation of the vertical dispatch makes */
#define STEP       8u  /* so many pixels of a row are whole words in every plane of every format */

static gsize
align (gsize size, gsize to)
{
  return (size + to - 1) / to * to;
}

static gboolean
check_buffer (gsize size, const gchar *what, const DeimPreprocess *p, GError **error)
{
  if (size <= BUFFER_MAX)
    return TRUE;
  g_set_error (error, DEIM_ERROR, DEIM_ERROR_UNSUPPORTED,
               "%s of a %ux%u (width x height) %s frame to %ux%u would take %" G_GSIZE_FORMAT
               " bytes, more than the 128 MiB that every device can bind; scale the frame down or set a region",
               what, p->region.w, p->region.h, p->info->name, p->width, p->height, size);
  return FALSE;
}

gboolean
deim_preprocess_plan_staging (DeimPreprocess *p, GError **error)
{
  const DeimFormatInfo *info = p->info;
  const DeimRegion *r = &p->region;
  gsize size = 0;
  for (guint i = 0; i < info->n_planes; i++) {
    const DeimPlaneInfo *plane = &info->plane[i];
    DeimStagedPlane *s = &p->plane[i];
    /* Every plane begins at the same pixel: at a multiple of STEP columns, and at a row of the chroma's. */
    guint x = r->x & ~(STEP - 1), y = r->y & ~((1u << info->sample[1].v_shift) - 1);
    s->source_x = (x >> plane->h_shift) * plane->bytes;
    s->source_y = y >> plane->v_shift;
    s->row_bytes = deim_format_row_bytes (info, i, r->x + r->w - x);
    s->rows = deim_format_rows (info, i, r->y + r->h - y);
    s->stride = (guint) align (s->row_bytes, 4);
    s->offset = align (size, 64);
    size = s->offset + (gsize) s->stride * s->rows;
  }
  /* The last quad of the last row: up to three pixels of four bytes. */
  p->staging_size = align (size + 12, 64);
  return check_buffer (p->staging_size, "the staging buffer", p, error);
}

void
deim_preprocess_upload (const DeimPreprocess *p, const DeimFrame *frame, guint8 *staging)
{
  for (guint i = 0; i < p->info->n_planes; i++) {
    const DeimStagedPlane *s = &p->plane[i];
    gsize stride = frame->stride[i];
    const guint8 *from = frame->data[i] + s->source_y * stride + s->source_x;
    guint8 *to = staging + s->offset;
    if (stride == s->stride) {
      memcpy (to, from, (s->rows - 1) * stride + s->row_bytes);
      continue;
    }
    for (guint y = 0; y < s->rows; y++)
      memcpy (to + (gsize) y * s->stride, from + y * stride, s->row_bytes);
  }
}

gboolean
deim_preprocess_read_in_place (const DeimPreprocess *p, const DeimDmabuf *at, const guint *stride, gsize size,
                               DeimPreprocessDispatch *ret_dispatch, GError **error)
{
  DeimPreprocessDispatch made = p->dispatch[0];
  guint columns = (guint) align ((p->region.x & (STEP - 1)) + p->region.w, STEP); /* quads reach no further */
  for (guint c = 0; c < 3; c++) {
    guint i = p->info->sample[c].plane;
    const DeimStagedPlane *s = &p->plane[i];
    /* Sums cannot wrap: neither number is larger than a buffer that can be bound. */
    gsize offset = MIN (at->offset[i], size), row = MIN (stride[i], size);
    gsize first = offset + s->source_y * row + s->source_x;
    gsize end = first + (s->rows - 1) * row + deim_format_row_bytes (p->info, i, columns);
    if (first % 4 != 0 || row % 4 != 0 || end > size) {
      g_set_error (error, DEIM_ERROR, DEIM_ERROR_UNSUPPORTED,
                   "plane %u, at byte %" G_GSIZE_FORMAT " with rows of %u bytes, is not read in place: words of four "
                   "bytes would lie across its rows or beyond its %" G_GSIZE_FORMAT " bytes of memory",
                   i, at->offset[i], stride[i], size);
      return FALSE;
    }
    made.push[DEIM_PREPROCESS_PUSH_PLANES + c] = (guint32) (first / 4);
    made.push[DEIM_PREPROCESS_PUSH_PLANES + 3 + c] = (guint32) (row / 4);
  }
  *ret_dispatch = made;
  return TRUE;
}

/* A direction's table: [out] x { (start, 0, 0, 0), [groups] weights of four inputs }. */
typedef struct {
  const DeimResample *r;
  guint shift; /* inputs that lie before the picture's first */
  guint unit;  /* starts are multiples of, and counted in, this many inputs: 4 (quads) or 1 (rows) */
  guint groups;
} Table;

static guint
table_start (const Table *t, guint o)
{
  return (t->r->first[o] + t->shift) / t->unit * t->unit;
}

static void
count_groups (Table *t)
{
  t->groups = 1;
  for (guint o = 0; o < t->r->out; o++) {
    guint inputs = t->r->first[o] + t->shift - table_start (t, o) + t->r->count[o];
    t->groups = MAX (t->groups, (inputs + 3) / 4);
  }
}

static gsize
table_entries (const Table *t)
{
  return (gsize) t->r->out * (1 + t->groups);
}

/* @words: zeroed, 4 * table_entries() of them. */
static void
fill_table (const Table *t, gint32 *words)
{
  const DeimResample *r = t->r;
  guint last = (guint) align (r->in + t->shift, 4) - 4 * t->groups; /* no group may begin later */
  for (guint o = 0; o < r->out; o++, words += 4 * (1 + t->groups)) {
    guint start = MIN (table_start (t, o), last);
    words[0] = (gint32) (start / t->unit);
    memcpy (words + 4 + (r->first[o] + t->shift - start), r->weight + (gsize) o * r->taps,
            r->count[o] * sizeof (gint32));
  }
}

/* Every pixel is taken as it is, and rows are whole quads. */
static gboolean
is_as_is (const Table *t)
{
  const DeimResample *r = t->r;
  if (t->shift || r->in != r->out || r->out % 4)
    return FALSE;
  for (guint o = 0; o < r->out; o++)
    for (guint i = 0; i < r->count[o]; i++)
      if (r->weight[o * r->taps + i] != (r->first[o] + i == o ? 1 << DEIM_RESIZE_BITS : 0))
        return FALSE;
  return TRUE;
}

/* Workgroups for @items side by side: of the sizes from LOCAL_SIZE on, the one which leaves the fewest invocations
 * without an item, since those compute in vain on a CPU. */
static void
divide_row (DeimPreprocessDispatch *d, guint items)
{
  guint least = G_MAXUINT;
  for (guint local = MAX_LOCAL; local >= LOCAL_SIZE; local -= 8) {
    guint groups = (items + local - 1) / local;
    if (groups * local >= least)
      continue;
    least = groups * local;
    d->local_size = local;
    d->groups[0] = groups;
  }
}

static void
plan_horizontal (const DeimPreprocess *p, DeimPreprocessDispatch *d, const Table *table)
{
  const DeimFormatInfo *info = p->info;
  const DeimSampleInfo *chroma = &info->sample[1];
  const DeimColour *k = &p->colour;
  guint sample_bytes = info->depth > 8 ? 2 : 1;
  gboolean as_is = is_as_is (table);

  d->shader = "preprocess_horizontal";
  d->bind[0].buffer = DEIM_PREPROCESS_FRAME;
  d->bind[2].buffer = DEIM_PREPROCESS_SCRATCH;
  d->spec[d->n_spec++] = info->layout;
  for (guint c = 0; c < 3; c++)
    d->spec[d->n_spec++] = info->sample[c].offset / sample_bytes;
  d->spec[d->n_spec++] = chroma->h_shift;
  d->spec[d->n_spec++] = chroma->v_shift;
  d->spec[d->n_spec++] = as_is;

  guint first_row = p->region.y & ((1u << chroma->v_shift) - 1);
  d->push[d->n_push++] = p->inner_w;
  d->push[d->n_push++] = p->region.h;
  d->push[d->n_push++] = table->groups;
  d->push[d->n_push++] = first_row;
  for (guint c = 0; c < 3; c++) {
    const DeimStagedPlane *s = &p->plane[info->sample[c].plane];
    d->push[DEIM_PREPROCESS_PUSH_PLANES + c] = (guint32) (s->offset / 4);
    d->push[DEIM_PREPROCESS_PUSH_PLANES + 3 + c] = s->stride / 4;
  }
  d->n_push = DEIM_PREPROCESS_PUSH_PLANES + 6;
  const gint32 colour[] = { k->y0, k->c0, k->y, k->rv, k->gu, k->gv, k->bu };
  for (guint i = 0; i < G_N_ELEMENTS (colour); i++)
    d->push[d->n_push++] = (guint32) colour[i];
  if (as_is)
    divide_row (d, p->inner_w / 4);
  else /* one size for all frames: another is another pipeline */
    d->groups[0] = (p->inner_w + LOCAL_SIZE - 1) / LOCAL_SIZE;
  d->groups[1] = (first_row + p->region.h + 1) / 2; /* two rows each */
}

static void
plan_vertical (const DeimPreprocess *p, DeimPreprocessDispatch *d, guint groups, gsize table_first)
{
  const guint32 push[] = {
    p->width, p->inner_x, p->inner_y, p->inner_w, p->inner_h, groups, (guint32) table_first, DEIM_LETTERBOX_GRAY
  };
  d->shader = "preprocess_vertical";
  d->bind[0].buffer = DEIM_PREPROCESS_SCRATCH;
  d->bind[2].buffer = DEIM_PREPROCESS_OUTPUT;
  d->bind[3].buffer = DEIM_PREPROCESS_PLACE;
  d->bind[3].access = DEIM_PREPROCESS_READ_WORD;
  d->n_bind = 4;
  memcpy (d->push, push, sizeof push);
  d->n_push = G_N_ELEMENTS (push);
  d->spec[d->n_spec++] = COLUMNS;
  divide_row (d, (p->width + COLUMNS - 1) / COLUMNS);
  d->groups[1] = p->height;
}

gboolean
deim_preprocess_plan_dispatches (DeimPreprocess *p, GError **error)
{
  Table h = { &p->horizontal, p->region.x & (STEP - 1), 4, 0 };
  Table v = { &p->vertical, 0, 1, 0 };
  count_groups (&h);
  count_groups (&v);

  p->table_size = (table_entries (&h) + table_entries (&v)) * 4 * sizeof (gint32);
  p->scratch_size = align (p->region.h, 4) * p->inner_w * sizeof (guint32);
  if (!check_buffer (p->table_size, "the weights", p, error) ||
      !check_buffer (p->scratch_size, "the half-way picture", p, error) ||
      !check_buffer ((gsize) p->width * p->height * 16, "the output", p, error))
    return FALSE;
  p->table = g_malloc0 (p->table_size);
  fill_table (&h, p->table);
  fill_table (&v, p->table + table_entries (&h) * 4);

  for (guint i = 0; i < G_N_ELEMENTS (p->dispatch); i++) {
    DeimPreprocessDispatch *d = &p->dispatch[i];
    d->bind[0].access = DEIM_PREPROCESS_READ_WORD;
    d->bind[1].buffer = DEIM_PREPROCESS_TABLE;
    d->bind[1].access = DEIM_PREPROCESS_READ_WORD4;
    d->bind[2].access = DEIM_PREPROCESS_WRITE;
    d->n_bind = 3;
    d->local_size = LOCAL_SIZE;
    d->groups[2] = 1;
  }
  plan_horizontal (p, &p->dispatch[0], &h);
  plan_vertical (p, &p->dispatch[1], v.groups, table_entries (&h));
  return TRUE;
}
