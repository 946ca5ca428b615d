/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* batch.c - batches, mixup, CopyBlend. */
#include "batch.h"

#include <math.h>
#include <string.h>

#define COPYBLEND_OBJECTS  3
#define COPYBLEND_MIN_AREA 100

static gsize
picture_size (const DeimBatch *batch)
{
  return (gsize) 3 * batch->height * batch->width;
}

DeimBatch *
deim_batch_new (guint n, guint width, guint height)
{
  DeimBatch *batch = g_new (DeimBatch, 1);

  *batch = (DeimBatch){ n, width, height };
  batch->pixels = g_new0 (gfloat, n * picture_size (batch));
  batch->objects = g_new (GArray *, n);
  batch->indices = g_new0 (guint, n);
  for (guint i = 0; i < n; i++)
    batch->objects[i] = g_array_new (FALSE, FALSE, sizeof (DeimBatchObject));
  return batch;
}

void
deim_batch_free (DeimBatch *batch)
{
  if (!batch)
    return;
  for (guint i = 0; i < batch->n; i++)
    g_array_unref (batch->objects[i]);
  g_free (batch->objects);
  g_free (batch->pixels);
  g_free (batch->indices);
  g_free (batch);
}

void
deim_batch_set (DeimBatch *batch, guint row, const DeimSample *sample, guint index)
{
  deim_image_to_planes (sample->image, batch->pixels + row * picture_size (batch));
  g_array_set_size (batch->objects[row], 0);
  for (guint i = 0; i < sample->objects->len; i++) {
    const DeimObject *o = deim_sample_object (sample, i);
    DeimBatchObject object = {
      .box = { (gfloat) ((o->x1 + o->x2) / 2 / batch->width), (gfloat) ((o->y1 + o->y2) / 2 / batch->height),
               (gfloat) ((o->x2 - o->x1) / batch->width), (gfloat) ((o->y2 - o->y1) / batch->height) },
      .label = o->label,
      .area = o->area,
    };
    g_array_append_val (batch->objects[row], object);
  }
  batch->indices[row] = index;
}

DeimBatch *
deim_batch_slice (const DeimBatch *batch, guint first, guint count)
{
  DeimBatch *slice = deim_batch_new (count, batch->width, batch->height);
  gsize size = picture_size (batch);

  memcpy (slice->pixels, batch->pixels + first * size, count * size * sizeof (gfloat));
  memcpy (slice->indices, batch->indices + first, count * sizeof (guint));
  for (guint i = 0; i < count; i++)
    g_array_append_vals (slice->objects[i], batch->objects[first + i]->data, batch->objects[first + i]->len);
  return slice;
}

void
deim_batch_mixup (DeimBatch *batch, gdouble beta)
{
  g_autoptr (DeimBatch) old = deim_batch_slice (batch, 0, batch->n);
  gsize size = picture_size (batch);
  gfloat own = (gfloat) beta, other = (gfloat) (1 - beta);

  for (guint i = 0; i < batch->n; i++) {
    guint before = (i + batch->n - 1) % batch->n;
    const gfloat *mixed_in = old->pixels + before * size;
    gfloat *pixels = batch->pixels + i * size;
    for (gsize k = 0; k < size; k++)
      pixels[k] = own * pixels[k] + other * mixed_in[k];
    g_array_append_vals (batch->objects[i], old->objects[before]->data, old->objects[before]->len);
  }
}

/* ---------------------------------------------------------------- CopyBlend */

/* An object that may be pasted: a copy, with the pixels that it covers. */
typedef struct {
  DeimBatchObject object;
  guint picture;
  guint x, y, w, h;
} Donor;

/* Whole pixels around the object, inside the picture. */
static Donor
donor_from (const DeimBatch *batch, guint picture, const DeimBatchObject *object)
{
  const gfloat *b = object->box;
  gdouble x1 = floor ((b[0] - 0.5 * b[2]) * batch->width + 1e-3), x2 = ceil ((b[0] + 0.5 * b[2]) * batch->width - 1e-3);
  gdouble y1 = floor ((b[1] - 0.5 * b[3]) * batch->height + 1e-3);
  gdouble y2 = ceil ((b[1] + 0.5 * b[3]) * batch->height - 1e-3);
  Donor donor = { .object = *object, .picture = picture };
  donor.x = (guint) CLAMP (x1, 0, batch->width - 1);
  donor.y = (guint) CLAMP (y1, 0, batch->height - 1);
  donor.w = (guint) CLAMP (x2 - donor.x, 1, batch->width - donor.x);
  donor.h = (guint) CLAMP (y2 - donor.y, 1, batch->height - donor.y);
  return donor;
}

static GArray *
find_donors (const DeimBatch *batch)
{
  GArray *donors = g_array_new (FALSE, FALSE, sizeof (Donor));

  for (guint i = 0; i < batch->n; i++)
    for (guint k = 0; k < batch->objects[i]->len; k++) {
      const DeimBatchObject *object = &g_array_index (batch->objects[i], DeimBatchObject, k);
      if (object->area >= COPYBLEND_MIN_AREA) {
        Donor donor = donor_from (batch, i, object);
        g_array_append_val (donors, donor);
      }
    }
  return donors;
}

/* How far a patch reaches beyond its box on one side: a share of @extent, as far as there is room. */
static guint
draw_margin (DeimRandom *random, guint extent, guint room_from, guint room_to)
{
  guint wanted = (guint) (extent * deim_random_range (random, 0.1, 0.25));
  return MIN (wanted, MIN (room_from, room_to));
}

static void
paste (DeimBatch *batch, guint row, const DeimBatch *source, const Donor *donor, gdouble beta, DeimRandom *random)
{
  guint width = batch->width, height = batch->height;
  guint x = deim_random_below (random, width - donor->w + 1), y = deim_random_below (random, height - donor->h + 1);
  guint left = draw_margin (random, donor->w, donor->x, x);
  guint right = draw_margin (random, donor->w, width - donor->x - donor->w, width - x - donor->w);
  guint top = draw_margin (random, donor->h, donor->y, y);
  guint bottom = draw_margin (random, donor->h, height - donor->y - donor->h, height - y - donor->h);
  gfloat own = (gfloat) beta, other = (gfloat) (1 - beta);

  for (guint c = 0; c < 3; c++) {
    gfloat *to = batch->pixels + (row * 3 + c) * (gsize) width * height;
    const gfloat *from = source->pixels + (donor->picture * 3 + c) * (gsize) width * height;
    for (guint j = 0; j < top + donor->h + bottom; j++)
      for (guint i = 0; i < left + donor->w + right; i++) {
        gfloat *pixel = to + (gsize) (y - top + j) * width + x - left + i;
        *pixel = own * *pixel + other * from[(gsize) (donor->y - top + j) * width + donor->x - left + i];
      }
  }
  DeimBatchObject object = donor->object;
  object.box[0] += ((gfloat) x - (gfloat) donor->x) / (gfloat) width;
  object.box[1] += ((gfloat) y - (gfloat) donor->y) / (gfloat) height;
  g_array_append_val (batch->objects[row], object);
}

void
deim_batch_copyblend (DeimBatch *batch, DeimRandom *random)
{
  g_autoptr (DeimBatch) old = deim_batch_slice (batch, 0, batch->n);
  g_autoptr (GArray) donors = find_donors (old);
  g_autofree guint *order = g_new (guint, donors->len);
  gdouble beta = deim_random_range (random, 0.45, 0.55);

  for (guint i = 0; i < batch->n; i++) {
    DeimRandom own = deim_random_fork (random, i);
    deim_random_shuffle (&own, donors->len, order);
    for (guint k = 0; k < MIN (donors->len, COPYBLEND_OBJECTS); k++)
      paste (batch, i, old, &g_array_index (donors, Donor, order[k]), beta, &own);
  }
}

/* ------------------------------------------------------------------ targets */

DeimTargets *
deim_batch_get_targets (const DeimBatch *batch)
{
  gsize total = 0;
  for (guint i = 0; i < batch->n; i++)
    total += batch->objects[i]->len;

  /* One piece of memory: the targets, then all boxes, then all labels. */
  DeimTargets *targets = g_malloc (batch->n * sizeof *targets + total * (4 * sizeof (gfloat) + sizeof (guint)));
  gfloat *box = (gfloat *) (targets + batch->n);
  guint *label = (guint *) (box + total * 4);
  for (guint i = 0; i < batch->n; i++) {
    targets[i] = (DeimTargets){ batch->objects[i]->len, label, box };
    for (guint k = 0; k < targets[i].n; k++) {
      const DeimBatchObject *object = &g_array_index (batch->objects[i], DeimBatchObject, k);
      memcpy (box, object->box, sizeof object->box);
      box += 4;
      *label++ = object->label;
    }
  }
  return targets;
}
