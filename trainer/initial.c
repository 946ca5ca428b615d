/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * initial.c - a state dict is made by building the network from a source that has whatever it is asked for, and
 * remembers it. What training does not read is added afterwards.
 */
#include "initial.h"

#include "engine/error.h"
#include "engine/models/network.h"

#include <string.h>

#define BACKBONE "backbone."

typedef struct {
  const DeimArch *arch;
  const DeimInitialOptions *options;
  DeimCheckpoint *result;
  GPtrArray *made;
} Making;

static gsize
size_of (const DeimShape *shape)
{
  return (gsize) shape->n * (gsize) shape->c * (gsize) shape->h * (gsize) shape->w;
}

/* The dimensions that the official code gives a parameter: convolutions over maps have four, however small. */
static guint
count_dims (const gchar *name, const DeimShape *shape)
{
  gboolean linear = (g_str_has_prefix (name, "decoder.") && !g_str_has_prefix (name, "decoder.input_proj.")) ||
                    g_str_has_prefix (name, "encoder.encoder.");
  if (shape->c == 1 && shape->h == 1 && shape->w == 1)
    return 1;
  return linear ? 2 : 4;
}

static gboolean
has_shape (const DeimCheckpointTensor *tensor, const DeimShape *shape)
{
  const gint sides[4] = { shape->n, shape->c, shape->h, shape->w };
  for (guint i = 0; i < 4; i++)
    if ((i < tensor->n_dims ? tensor->shape[i] : 1) != sides[i])
      return FALSE;
  return tensor->n_dims <= 4;
}

static void
add_values (Making *making, const gchar *name, const DeimShape *shape, gfloat *values)
{
  const gint64 sides[4] = { shape->n, shape->c, shape->h, shape->w };
  g_autoptr (GBytes) bytes = g_bytes_new_take (values, size_of (shape) * sizeof (gfloat));
  deim_checkpoint_add (making->result, name, DEIM_DTYPE_F32, count_dims (name, shape), sides, bytes);
}

static gfloat *
values_of (const DeimCheckpointTensor *tensor)
{
  gfloat *values = g_new (gfloat, MAX (tensor->n_elements, 1));
  deim_checkpoint_tensor_to_float (tensor, values);
  return values;
}

/* The tensor of a checkpoint that was given for @name, NULL where there is none. */
static const DeimCheckpointTensor *
find_given (const Making *making, const gchar *name)
{
  DeimCheckpoint *backbone = making->options->backbone;
  if (backbone && g_str_has_prefix (name, BACKBONE)) {
    const DeimCheckpointTensor *found = deim_checkpoint_lookup (backbone, name);
    return found ? found : deim_checkpoint_lookup (backbone, name + strlen (BACKBONE));
  }
  return making->options->from ? deim_checkpoint_lookup (making->options->from, name) : NULL;
}

/* A DeimParamSource. */
static gfloat *
lookup (gpointer data, const gchar *name, DeimShape *ret_shape)
{
  Making *making = data;
  const DeimCheckpointTensor *known = deim_checkpoint_lookup (making->result, name);
  DeimShape shape = *ret_shape;

  if (g_str_equal (name, "decoder.anchors")) /* are computed */
    return NULL;
  if (g_str_has_suffix (name, ".in_proj_weight")) /* asked for in parts */
    shape.n = 3 * shape.c;
  else if (g_str_has_suffix (name, ".in_proj_bias"))
    shape.n = known ? (gint) known->shape[0] : shape.n / 2 * 3;
  if (!known) {
    const DeimCheckpointTensor *old = find_given (making, name);
    gboolean usable = old && has_shape (old, &shape);
    add_values (making, name, &shape,
                usable ? values_of (old) : deim_initial_values (making->arch, name, &shape, making->options->seed));
    if (!usable)
      g_ptr_array_add (making->made, g_strdup (name));
    known = deim_checkpoint_lookup (making->result, name);
  }
  *ret_shape = shape;
  return values_of (known);
}

/* ------------------------------------------------ what training does not read */

/* Unless it is there already: what @from has, else @data of the given kind. */
static void
add_buffer (Making *making, const gchar *name, DeimDtype dtype, guint n_dims, const gint64 *shape, gconstpointer data)
{
  const DeimCheckpointTensor *old = find_given (making, name);
  gsize size = deim_dtype_size (dtype);

  for (guint i = 0; i < n_dims; i++)
    size *= (gsize) shape[i];
  if (old) {
    g_autoptr (GBytes) copy = g_bytes_new (old->data, old->n_elements * deim_dtype_size (old->dtype));
    deim_checkpoint_add (making->result, name, old->dtype, old->n_dims, old->shape, copy);
    return;
  }
  g_autoptr (GBytes) bytes = g_bytes_new (data, size);
  deim_checkpoint_add (making->result, name, dtype, n_dims, shape, bytes);
}

static void
add_counters (Making *making)
{
  static const gchar *const mean = ".running_mean";
  const gint64 zero = 0;

  for (guint i = deim_checkpoint_get_n_tensors (making->result); i-- > 0;) {
    const gchar *name = deim_checkpoint_get (making->result, i)->name;
    if (!g_str_has_suffix (name, mean) ||
        (g_str_has_prefix (name, "backbone.") && making->arch->backbone.frozen == DEIM_NORMS_FROZEN))
      continue;
    g_autofree gchar *counter =
        g_strdup_printf ("%.*s.num_batches_tracked", (int) (strlen (name) - strlen (mean)), name);
    add_buffer (making, counter, DEIM_DTYPE_I64, 0, NULL, &zero);
  }
}

/* The second, third, ... name of every parameter that several layers share. */
static void
add_shared_heads (Making *making)
{
  for (guint i = deim_checkpoint_get_n_tensors (making->result); i-- > 0;)
    for (gint layer = 1; layer < making->arch->decoder.layers; layer++) {
      static const gchar *const heads[] = { "decoder.dec_bbox_head.", "decoder.dec_score_head." };
      const DeimCheckpointTensor *first = deim_checkpoint_get (making->result, i);
      for (guint k = 0; k < G_N_ELEMENTS (heads); k++) {
        if (!g_str_has_prefix (first->name, heads[k]) || first->name[strlen (heads[k])] != '0')
          continue;
        g_autofree gchar *name = g_strdup_printf ("%s%d%s", heads[k], layer, first->name + strlen (heads[k]) + 1);
        g_autofree gchar *trained = deim_network_trained_name (making->arch, name);
        if (g_str_equal (trained, name))
          continue;
        g_autoptr (GBytes) copy = g_bytes_new (first->data, first->n_elements * sizeof (gfloat));
        deim_checkpoint_add (making->result, name, first->dtype, first->n_dims, first->shape, copy);
      }
    }
}

static void
add_bins (Making *making)
{
  static const gchar *const scopes[] = { "decoder.", "decoder.decoder." };
  const gfloat up = making->arch->decoder.up;
  const gint64 reg_scale = (gint64) making->arch->decoder.reg_scale, one = 1;

  if (making->arch->decoder.kind == DEIM_DECODER_RTDETR)
    return;
  for (guint i = 0; i < G_N_ELEMENTS (scopes); i++) {
    g_autofree gchar *first = g_strconcat (scopes[i], "up", NULL), *second = g_strconcat (scopes[i], "reg_scale", NULL);
    add_buffer (making, first, DEIM_DTYPE_F32, 1, &one, &up);
    add_buffer (making, second, DEIM_DTYPE_I64, 1, &one, &reg_scale);
  }
}

/* Of the input's grid; those of a checkpoint may be of another one. */
static void
add_anchors (Making *making)
{
  gint h[DEIM_MAX_LEVELS], w[DEIM_MAX_LEVELS], levels = making->arch->decoder.levels;
  g_autofree gfloat *anchors = NULL;
  g_autofree gboolean *valid = NULL;

  if (making->arch->decoder.v1_names)
    return;
  for (gint l = 0; l < levels; l++) {
    h[l] = (gint) making->options->height / deim_arch_stride (making->arch, l);
    w[l] = (gint) making->options->width / deim_arch_stride (making->arch, l);
  }
  gint total = deim_anchors_compute (levels, h, w, &anchors, &valid);
  g_autofree guint8 *mask = g_new (guint8, total);
  for (gint t = 0; t < total; t++)
    mask[t] = valid[t] != 0;
  g_autoptr (GBytes) boxes = g_bytes_new (anchors, (gsize) total * 4 * sizeof (gfloat));
  g_autoptr (GBytes) good = g_bytes_new (mask, (gsize) total);
  deim_checkpoint_add (making->result, "decoder.anchors", DEIM_DTYPE_F32, 3, (const gint64[]){ 1, total, 4 }, boxes);
  deim_checkpoint_add (making->result, "decoder.valid_mask", DEIM_DTYPE_BOOL, 3, (const gint64[]){ 1, total, 1 }, good);
}

/* A backbone that was given is wanted whole. */
static gboolean
has_backbone (const Making *making, GError **error)
{
  for (guint i = 0; making->options->backbone && i < making->made->len; i++) {
    const gchar *name = g_ptr_array_index (making->made, i);
    if (!g_str_has_prefix (name, BACKBONE))
      continue;
    const DeimCheckpointTensor *given = find_given (making, name);
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_ARCHITECTURE,
                 "the checkpoint for the backbone %s %s, as the backbone of %s has it: take one of the same backbone",
                 given ? "has another shape of" : "lacks", name, making->arch->name);
    return FALSE;
  }
  return TRUE;
}

DeimCheckpoint *
deim_initial_checkpoint (const DeimArch *arch, const DeimInitialOptions *options, GPtrArray *ret_made, GError **error)
{
  g_autoptr (DeimCheckpoint) result = deim_checkpoint_new ();
  g_autoptr (GPtrArray) made = g_ptr_array_new_with_free_func (g_free);
  Making making = { arch, options, result, ret_made ? ret_made : made };
  DeimParamSource source = { lookup, &making };
  DeimTrainingOutputs outputs;
  /* One denoising query, so that the classes of denoising queries are asked for, too. */
  g_autoptr (DeimGraph) graph =
      deim_network_build_training (arch, &source, 1, options->height, options->width, 1, FALSE, &outputs, error);

  if (!graph || !has_backbone (&making, error))
    return NULL;
  add_counters (&making);
  add_shared_heads (&making);
  add_bins (&making);
  add_anchors (&making);
  return g_steal_pointer (&result);
}
