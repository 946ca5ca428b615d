/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* predictions.c - outputs of a network, turned from columns of queries into rows and back. */
#include "predictions.h"

#include "engine/graph/op.h"

#include <string.h>

#define MAX_VIEWS (3 * DEIM_MAX_LAYERS + 5)

/* A tensor of the network on the host. */
typedef struct {
  const DeimTensor *tensor;
  gsize size;
  gfloat *rows, *gradient; /* [n][T][c]; gradient: NULL where nothing flows back */
} View;

struct _DeimOutputs {
  DeimTrainingSession *session;
  const DeimTrainingOutputs *io;
  View views[MAX_VIEWS];
  guint n_views;
  gfloat *columns; /* of one tensor as the device has it, [n][c][T] */
};

static void
add_view (DeimOutputs *self, const DeimTensor *tensor, gboolean seeded)
{
  if (!tensor)
    return;
  gsize size = deim_shape_size (tensor->shape);
  self->views[self->n_views++] = (View){
    .tensor = tensor,
    .size = size,
    .rows = g_new (gfloat, size),
    .gradient = seeded ? g_new0 (gfloat, size) : NULL,
  };
}

static void
add_predictions (DeimOutputs *self, const DeimPredictionTensors *tensors)
{
  add_view (self, tensors->logits, TRUE);
  add_view (self, tensors->boxes, TRUE);
  add_view (self, tensors->corners, TRUE);
}

DeimOutputs *
deim_outputs_new (DeimTrainingSession *session)
{
  DeimOutputs *self = g_new0 (DeimOutputs, 1);
  gsize most = 0;

  self->session = session;
  self->io = deim_training_get_io (session);
  for (gint i = 0; i < self->io->n_layers; i++)
    add_predictions (self, &self->io->layers[i]);
  add_predictions (self, &self->io->pre);
  add_predictions (self, &self->io->encoder);
  add_view (self, self->io->refs, FALSE);
  for (guint i = 0; i < self->n_views; i++)
    most = MAX (most, self->views[i].size);
  self->columns = g_new (gfloat, most);
  return self;
}

void
deim_outputs_free (DeimOutputs *self)
{
  if (!self)
    return;
  for (guint i = 0; i < self->n_views; i++) {
    g_free (self->views[i].rows);
    g_free (self->views[i].gradient);
  }
  g_free (self->columns);
  g_free (self);
}

/* [n][a][b] -> [n][b][a] */
static void
transpose (const gfloat *from, gsize n, gsize a, gsize b, gfloat *to)
{
  for (gsize k = 0; k < n; k++, from += a * b, to += a * b)
    for (gsize j = 0; j < b; j++)
      for (gsize i = 0; i < a; i++)
        to[j * a + i] = from[i * b + j];
}

void
deim_outputs_read (DeimOutputs *self)
{
  for (guint i = 0; i < self->n_views; i++) {
    const View *view = &self->views[i];
    DeimShape s = view->tensor->shape;
    deim_training_read (self->session, view->tensor, self->columns);
    transpose (self->columns, (gsize) s.n, (gsize) s.c, (gsize) s.w, view->rows);
  }
}

void
deim_outputs_write_seeds (DeimOutputs *self)
{
  for (guint i = 0; i < self->n_views; i++) {
    const View *view = &self->views[i];
    DeimShape s = view->tensor->shape;
    if (!view->gradient)
      continue;
    transpose (view->gradient, (gsize) s.n, (gsize) s.w, (gsize) s.c, self->columns);
    deim_training_write_seed (self->session, view->tensor, self->columns);
  }
}

static const View *
find_view (const DeimOutputs *self, const DeimTensor *tensor)
{
  for (guint i = 0; tensor && i < self->n_views; i++)
    if (self->views[i].tensor == tensor)
      return &self->views[i];
  return NULL;
}

/* A part of @count queries from @first on. */
static DeimPart
make_part (const DeimOutputs *self, DeimPartRole role, const DeimPredictionTensors *tensors, guint first, guint count)
{
  const View *logits = find_view (self, tensors->logits), *boxes = find_view (self, tensors->boxes);
  const View *corners = find_view (self, tensors->corners), *refs = corners ? find_view (self, self->io->refs) : NULL;
  DeimShape s = tensors->logits->shape;
  gsize c = (gsize) s.c, at = first;
  const gsize bins = 4 * DEIM_FDR_BINS;
  DeimPart part = {
    .role = role,
    .own = { (guint) s.n, count, (guint) s.c, (guint) s.w, logits->rows + at * c, boxes->rows + at * 4 },
    .d_logits = logits->gradient + at * c,
    .d_boxes = boxes->gradient + at * 4,
  };

  if (corners) {
    part.own.corners = corners->rows + at * bins;
    part.own.references = refs->rows + at * 4;
    part.d_corners = corners->gradient + at * bins;
  }
  return part;
}

guint
deim_outputs_get_parts (DeimOutputs *self, guint denoising, DeimPart *ret_parts)
{
  const DeimTrainingOutputs *io = self->io;
  gint last = io->n_layers - 1;
  guint first = (guint) io->denoising, queries = (guint) io->layers[last].logits->shape.w - first, n = 0;

  for (guint i = 0; i < self->n_views; i++)
    if (self->views[i].gradient)
      memset (self->views[i].gradient, 0, self->views[i].size * sizeof (gfloat));
  ret_parts[n++] = make_part (self, DEIM_PART_MAIN, &io->layers[last], first, queries);
  for (gint i = 0; i < last; i++)
    ret_parts[n++] = make_part (self, DEIM_PART_AUX, &io->layers[i], first, queries);
  if (io->pre.logits)
    ret_parts[n++] = make_part (self, DEIM_PART_PRE, &io->pre, first, queries);
  ret_parts[n++] = make_part (self, DEIM_PART_ENCODER, &io->encoder, 0, queries);
  for (gint i = 0; i <= last && denoising; i++)
    ret_parts[n++] = make_part (self, DEIM_PART_DENOISING, &io->layers[i], 0, denoising);
  if (io->pre.logits && denoising)
    ret_parts[n++] = make_part (self, DEIM_PART_DENOISING_PRE, &io->pre, 0, denoising);
  return n;
}
