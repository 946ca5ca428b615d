/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "dispatch.h"

#include <string.h>

/* Inputs that an invocation fetches without a loop, where it has the choice: more take long to compile. */
#define MAX_WINDOW 96

static void
blob_clear (gpointer data)
{
  g_free (((DeimBlob *) data)->data);
}

static void
choice_clear (gpointer data)
{
  g_free (((DeimChoice *) data)->layer);
  g_free (((DeimChoice *) data)->candidates);
}

DeimDispatchList *
deim_dispatch_list_new (const DeimLayouts *layouts, const DeimOpDevice *device)
{
  DeimDispatchList *list = g_new0 (DeimDispatchList, 1);
  list->layouts = layouts;
  list->device = *device;
  list->parts = 1;
  list->dispatches = g_array_new (FALSE, TRUE, sizeof (DeimDispatch));
  list->blobs = g_array_new (FALSE, TRUE, sizeof (DeimBlob));
  list->scratch = g_array_new (FALSE, TRUE, sizeof (DeimScratch));
  list->choices = g_array_new (FALSE, TRUE, sizeof (DeimChoice));
  g_array_set_clear_func (list->blobs, blob_clear);
  g_array_set_clear_func (list->choices, choice_clear);
  return list;
}

void
deim_dispatch_list_free (DeimDispatchList *list)
{
  if (!list)
    return;
  g_array_unref (list->dispatches);
  g_array_unref (list->blobs);
  g_array_unref (list->scratch);
  g_array_unref (list->choices);
  g_free (list);
}

DeimDispatch *
deim_dispatch_append (DeimDispatchList *list, const gchar *shader)
{
  g_array_set_size (list->dispatches, list->dispatches->len + 1);
  DeimDispatch *d = &g_array_index (list->dispatches, DeimDispatch, list->dispatches->len - 1);
  d->node = list->node;
  d->shader = shader;
  d->local_size = list->device.subgroup_size;
  d->groups[0] = d->groups[1] = d->groups[2] = 1;
  return d;
}

gint
deim_dispatch_add_blob (DeimDispatchList *list, const gfloat *data, gsize n, gboolean keep_fp32)
{
  DeimBlob blob = { g_memdup2 (data, n * sizeof (gfloat)), n, keep_fp32 };
  g_array_append_val (list->blobs, blob);
  return (gint) list->blobs->len - 1;
}

gint
deim_dispatch_add_scratch (DeimDispatchList *list, gsize bytes)
{
  DeimScratch scratch = { list->node, bytes };
  g_array_append_val (list->scratch, scratch);
  return (gint) list->scratch->len - 1;
}

void
deim_dispatch_add_choice (DeimDispatchList *list, gchar *layer, const gchar *variant, const gchar **candidates)
{
  DeimChoice choice = { list->node, layer, variant, candidates };
  g_array_append_val (list->choices, choice);
}

static void
bind (DeimDispatch *d, DeimBindMode mode, DeimTensor *tensor, gint blob, gint scratch)
{
  g_return_if_fail (d->n_bind < DEIM_MAX_BINDINGS);
  d->bind[d->n_bind++] = (DeimBinding){ mode, tensor, blob, scratch };
}

void
deim_dispatch_bind (DeimDispatch *d, DeimBindMode mode, DeimTensor *tensor)
{
  bind (d, mode, tensor, -1, -1);
}

void
deim_dispatch_bind_blob (DeimDispatch *d, gint blob)
{
  bind (d, DEIM_BIND_READ, NULL, blob, -1);
}

void
deim_dispatch_bind_scratch (DeimDispatch *d, DeimBindMode mode, gint scratch)
{
  bind (d, mode, NULL, -1, scratch);
}

void
deim_dispatch_push_int (DeimDispatch *d, gint value)
{
  g_return_if_fail (d->n_push < DEIM_MAX_PUSH);
  d->push[d->n_push++] = (guint32) value;
}

void
deim_dispatch_push_float (DeimDispatch *d, gfloat value)
{
  guint32 word;
  memcpy (&word, &value, sizeof word);
  deim_dispatch_push_int (d, (gint) word);
}

void
deim_dispatch_push_place (DeimDispatch *d, const DeimDispatchList *list, const DeimTensor *tensor)
{
  const DeimLayout *layout = deim_layouts_get (list->layouts, tensor);
  deim_dispatch_push_int (d, layout->first);
  deim_dispatch_push_int (d, layout->block_stride);
  deim_dispatch_push_int (d, tensor->shape.n == 1 ? 0 : layout->batch_stride);
}

void
deim_dispatch_spec (DeimDispatch *d, guint32 value)
{
  g_return_if_fail (d->n_spec < DEIM_MAX_SPEC);
  d->spec[d->n_spec++] = value;
}

guint
deim_dispatch_local_size (const DeimDispatchList *list)
{
  return MAX (64, list->device.subgroup_size);
}

void
deim_dispatch_cover (DeimDispatch *d, const DeimDispatchList *list, gint lanes, gint groups_y, gint groups_z)
{
  d->local_size = deim_dispatch_local_size (list);
  d->groups[0] = ((guint) lanes + d->local_size - 1) / d->local_size;
  d->groups[1] = (guint) groups_y;
  d->groups[2] = (guint) groups_z;
}

gint
deim_dispatch_count_columns (DeimShape y, gint rows)
{
  return y.w * ((y.h + rows - 1) / rows);
}

gint
deim_dispatch_choose_rows (const DeimDispatchList *list, gint kernel, gint stride, DeimShape y, guint local,
                           gint on_gpu)
{
  static const gint choices[] = { 1, 4, 5, 8, 10 }; /* few, since each is a kernel to compile */
  if (!list->device.cpu)
    return on_gpu;
  gint chosen = 1, lanes = (gint) local;
  gint64 least = G_MAXINT64;
  for (guint i = 0; i < G_N_ELEMENTS (choices); i++) {
    gint rows = choices[i], column = (rows - 1) * stride + kernel; /* inputs under a column of outputs */
    /* Whole workgroups: an invocation beyond the map fetches as well, since on lavapipe it is only masked. */
    gint64 cost = (gint64) ((deim_dispatch_count_columns (y, rows) + lanes - 1) / lanes) * column;
    if (cost < least && (rows == 1 || column * kernel <= MAX_WINDOW)) {
      least = cost;
      chosen = rows;
    }
  }
  return chosen;
}

gboolean
deim_dispatch_is_half (const DeimDispatchList *list, const DeimTensor *tensor)
{
  return list->device.half && tensor->type == DEIM_TYPE_FLOAT &&
         !deim_dispatch_layout (list, deim_dispatch_layout (list, tensor)->root)->fp32;
}

const DeimLayout *
deim_dispatch_layout (const DeimDispatchList *list, const DeimTensor *tensor)
{
  return deim_layouts_get (list->layouts, tensor);
}

DeimExtent
deim_dispatch_extent (const DeimDispatchList *list, const DeimTensor *tensor)
{
  const DeimLayout *layout = deim_layouts_get (list->layouts, tensor);
  if (tensor->plain)
    return (DeimExtent){ layout->block_stride, 1, 1 };
  return (DeimExtent){ tensor->shape.h * tensor->shape.w, layout->blocks, tensor->shape.n };
}

gint
deim_dispatch_add_channel_map (DeimDispatchList *list, const DeimTensor *tensor)
{
  const DeimLayout *layout = deim_layouts_get (list->layouts, tensor);
  gsize n = (gsize) layout->blocks * 4;
  g_autofree gfloat *map = g_new (gfloat, n);
  for (gsize p = 0; p < n; p++)
    map[p] = (gfloat) deim_layout_logical (layout, (gint) p);
  return deim_dispatch_add_blob (list, map, n, TRUE);
}

gint
deim_dispatch_gather (DeimDispatchList *list, gint own)
{
  if (list->parts == 1)
    return own;
  gint all = deim_dispatch_add_scratch (list, g_array_index (list->scratch, DeimScratch, own).bytes * list->parts);
  DeimDispatch *d = deim_dispatch_append (list, "gather");
  deim_dispatch_bind_scratch (d, DEIM_BIND_READ, own);
  deim_dispatch_bind_scratch (d, DEIM_BIND_WRITE, all);
  d->gather = TRUE;
  return all;
}

void
deim_dispatch_zeros (DeimDispatchList *list, DeimTensor *tensor)
{
  const gint per_lane = 4;
  DeimExtent extent = deim_dispatch_extent (list, tensor);
  DeimDispatch *d = deim_dispatch_append (list, "zeros");
  deim_dispatch_bind (d, DEIM_BIND_WRITE, tensor);
  deim_dispatch_spec (d, (guint32) per_lane);
  deim_dispatch_push_place (d, list, tensor);
  deim_dispatch_push_int (d, extent.positions);
  deim_dispatch_cover (d, list, (extent.positions + per_lane - 1) / per_lane, extent.blocks, extent.batch);
}

guint
deim_dispatch_reduction_lanes (const DeimDispatchList *list)
{
  return list->device.cpu || !list->device.subgroup ? 1 : list->device.subgroup_size;
}
