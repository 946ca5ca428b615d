/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-loader.c - mixup and CopyBlend by hand; batches that threads, processes and restarts do not change. */
#include "trainer/loader.h"

#include <math.h>
#include <string.h>

static void
assert_near (gdouble value, gdouble expected, gdouble tolerance)
{
  if (!(fabs (value - expected) <= tolerance))
    g_error ("got %.9g, expected %.9g", value, expected);
}

/* ------------------------------------------------------------------ batches */

static void
fill (DeimBatch *batch, guint row, gfloat value)
{
  gsize size = (gsize) 3 * batch->width * batch->height;
  for (gsize i = 0; i < size; i++)
    batch->pixels[row * size + i] = value;
}

static gfloat *
pixel (const DeimBatch *batch, guint row, guint c, guint x, guint y)
{
  return batch->pixels + ((gsize) (row * 3 + c) * batch->height + y) * batch->width + x;
}

static void
add_object (DeimBatch *batch, guint row, guint x, guint y, guint w, guint h, guint label)
{
  DeimBatchObject object = { { (x + 0.5f * w) / batch->width, (y + 0.5f * h) / batch->height, (gfloat) w / batch->width,
                               (gfloat) h / batch->height },
                             label,
                             w * h };
  g_array_append_val (batch->objects[row], object);
}

static const DeimBatchObject *
object_of (const DeimBatch *batch, guint row, guint index)
{
  return &g_array_index (batch->objects[row], DeimBatchObject, index);
}

static void
test_set (void)
{
  g_autoptr (DeimBatch) batch = deim_batch_new (2, 4, 2);
  g_autoptr (DeimSample) sample = deim_sample_new (deim_image_new (4, 2));
  DeimObject object = { 1, 0, 3, 2, 7, 55 };
  memset (deim_image_at (sample->image, 2, 1), 51, 3);
  g_array_append_val (sample->objects, object);

  deim_batch_set (batch, 1, sample, 99);
  assert_near (*pixel (batch, 1, 2, 2, 1), 0.2, 1e-7);
  assert_near (*pixel (batch, 1, 2, 1, 1), 0, 0);
  g_assert_cmpuint (batch->indices[1], ==, 99);
  const DeimBatchObject *set = object_of (batch, 1, 0);
  assert_near (set->box[0], 0.5, 0);
  assert_near (set->box[1], 0.5, 0);
  assert_near (set->box[2], 0.5, 0);
  assert_near (set->box[3], 1, 0);
  g_assert_cmpuint (set->label, ==, 7);

  g_autofree DeimTargets *targets = deim_batch_get_targets (batch);
  g_assert_cmpuint (targets[0].n, ==, 0);
  g_assert_cmpuint (targets[1].n, ==, 1);
  g_assert_cmpuint (targets[1].labels[0], ==, 7);
  assert_near (targets[1].boxes[3], 1, 0);
}

static void
test_mixup (void)
{
  g_autoptr (DeimBatch) batch = deim_batch_new (3, 32, 32);
  for (guint i = 0; i < 3; i++) {
    fill (batch, i, 0.1f * (gfloat) (1 + i));
    add_object (batch, i, 4, 4, 8, 8, i);
  }
  deim_batch_mixup (batch, 0.75);
  /* Three quarters of itself, a quarter of the one before; before the first stands the last. */
  assert_near (*pixel (batch, 0, 1, 5, 5), 0.75 * 0.1 + 0.25 * 0.3, 1e-7);
  assert_near (*pixel (batch, 1, 0, 5, 5), 0.75 * 0.2 + 0.25 * 0.1, 1e-7);
  assert_near (*pixel (batch, 2, 2, 31, 0), 0.75 * 0.3 + 0.25 * 0.2, 1e-7);
  for (guint i = 0; i < 3; i++) {
    g_assert_cmpuint (batch->objects[i]->len, ==, 2);
    g_assert_cmpuint (object_of (batch, i, 0)->label, ==, i);
    g_assert_cmpuint (object_of (batch, i, 1)->label, ==, (i + 2) % 3);
  }
}

/* Two pictures, of which only one object is large enough: it is in both afterwards, half transparent, where its box
 * says, and its surroundings reach 10 to 25 % further. */
static void
test_copyblend (void)
{
  enum { SIDE = 64, X = 20, Y = 30, W = 20, H = 12 };
  gdouble widest = 0, narrowest = 1;

  for (guint seed = 0; seed < 50; seed++) {
    DeimRandom random = deim_random_new (seed);
    g_autoptr (DeimBatch) batch = deim_batch_new (2, SIDE, SIDE);
    add_object (batch, 0, X, Y, W, H, 3);
    add_object (batch, 1, 1, 1, 9, 9, 4); /* 81 square pixels */
    for (guint y = Y; y < Y + H; y++)
      for (guint x = X; x < X + W; x++)
        *pixel (batch, 0, 0, x, y) = 1;
    for (guint y = 0; y < SIDE; y++)
      for (guint x = 0; x < SIDE; x++)
        *pixel (batch, 0, 1, x, y) = 1; /* green: the whole picture, to see how far the patch reaches */
    deim_batch_copyblend (batch, &random);

    g_assert_cmpuint (batch->objects[0]->len, ==, 2);
    g_assert_cmpuint (batch->objects[1]->len, ==, 2);
    const DeimBatchObject *pasted = object_of (batch, 1, 1);
    g_assert_cmpuint (pasted->label, ==, 3);
    assert_near (pasted->box[2] * SIDE, W, 1e-4);
    assert_near (pasted->box[3] * SIDE, H, 1e-4);
    gint x1 = (gint) lround ((pasted->box[0] - 0.5 * pasted->box[2]) * SIDE);
    gint y1 = (gint) lround ((pasted->box[1] - 0.5 * pasted->box[3]) * SIDE);
    g_assert_true (x1 >= 0 && x1 + W <= SIDE && y1 >= 0 && y1 + H <= SIDE);
    guint green = 0, red = 0;
    for (guint y = 0; y < SIDE; y++)
      for (guint x = 0; x < SIDE; x++) {
        gboolean inside = (gint) x >= x1 && (gint) x < x1 + W && (gint) y >= y1 && (gint) y < y1 + H;
        gfloat value = *pixel (batch, 1, 0, x, y);
        g_assert_cmpint (value > 0, ==, inside); /* the object's pixels are where its box is */
        if (inside)
          g_assert_true (value >= 0.45f && value <= 0.55f);
        red += inside;
        green += *pixel (batch, 1, 1, x, y) > 0;
      }
    g_assert_cmpuint (red, ==, W * H);
    g_assert_cmpuint (green, <=, (W + 10) * (H + 6)); /* a quarter on each side */
    gdouble share = green / (gdouble) ((W + 10) * (H + 6));
    widest = MAX (widest, share);
    narrowest = MIN (narrowest, share);
  }
  g_assert_cmpfloat (widest, >, 0.75);
  g_assert_cmpfloat (narrowest, <, 0.65); /* less margin at an edge */
}

static void
test_copyblend_empty (void)
{
  DeimRandom random = deim_random_new (1);
  g_autoptr (DeimBatch) batch = deim_batch_new (2, 32, 32), full = deim_batch_new (1, 32, 32);

  deim_batch_copyblend (batch, &random);
  g_assert_cmpuint (batch->objects[0]->len, ==, 0);
  /* An object as large as its picture has one place only; five of them: three are taken. */
  for (guint i = 0; i < 5; i++)
    add_object (full, 0, 0, 0, 32, 32, i);
  deim_batch_copyblend (full, &random);
  g_assert_cmpuint (full->objects[0]->len, ==, 8);
  g_assert_cmpuint (object_of (full, 0, 5)->label, !=, object_of (full, 0, 6)->label);
}

/* ------------------------------------------------------------------- loader */

#define N_PICTURES 23

static DeimSample *
load_numbered (gpointer data, guint index, GError **error)
{
  if (data && index == 7) {
    g_set_error (error, G_FILE_ERROR, G_FILE_ERROR_NOENT, "picture %u is gone", index);
    return NULL;
  }
  DeimSample *sample = deim_sample_new (deim_image_new (40, 30));
  DeimObject object = { 5, 6, 25, 20, index % 3, 280 };
  memset (sample->image->pixels, (gint) (10 * index), 40 * 30 * 3);
  g_array_append_val (sample->objects, object);
  return sample;
}

static const DeimSampleSource numbered = { N_PICTURES, load_numbered, NULL };
static const DeimAugmentPolicy policy = {
  .start = 1,
  .half = 3,
  .stop = 5,
  .mosaic = 0.5,
  .mixup = 0.4,
  .copyblend = 0.5,
  .copyblend_stop = 5,
  .min_size = 1,
  .multi_scale = 2,
  .multi_scale_stop = 4,
};

static DeimLoader *
open_loader (const DeimLoaderOptions *options)
{
  g_autoptr (GError) error = NULL;
  DeimLoader *loader = deim_loader_new (&numbered, options, &error);
  g_assert_no_error (error);
  return loader;
}

static void
assert_same_rows (const DeimBatch *a, guint from, const DeimBatch *b)
{
  gsize size = (gsize) 3 * a->width * a->height;

  g_assert_cmpuint (a->width, ==, b->width);
  g_assert_cmpuint (a->height, ==, b->height);
  g_assert_cmpmem (a->pixels + from * size, b->n * size * sizeof (gfloat), b->pixels, b->n * size * sizeof (gfloat));
  g_assert_cmpmem (a->indices + from, b->n * sizeof (guint), b->indices, b->n * sizeof (guint));
  for (guint i = 0; i < b->n; i++) {
    g_assert_cmpuint (a->objects[from + i]->len, ==, b->objects[i]->len);
    for (guint k = 0; k < b->objects[i]->len; k++) {
      const DeimBatchObject *x = object_of (a, from + i, k), *y = object_of (b, i, k);
      g_assert_cmpmem (x->box, sizeof x->box, y->box, sizeof y->box);
      g_assert_cmpuint (x->label, ==, y->label);
    }
  }
}

/* All batches of epochs 0 to 5, as one thread makes them. */
static GPtrArray *
read_all (const DeimLoaderOptions *options)
{
  g_autoptr (DeimLoader) loader = open_loader (options);
  GPtrArray *batches = g_ptr_array_new_with_free_func ((GDestroyNotify) deim_batch_free);

  for (guint epoch = 0; epoch < 6; epoch++) {
    DeimBatch *batch;
    g_autoptr (GError) error = NULL;
    deim_loader_start (loader, epoch, 0);
    while ((batch = deim_loader_next (loader, &error)))
      g_ptr_array_add (batches, batch);
    g_assert_no_error (error);
  }
  return batches;
}

static const DeimLoaderOptions whole = { .policy = &policy, .batch = 4, .width = 128, .height = 128, .seed = 5 };

static void
test_threads (void)
{
  g_autoptr (GPtrArray) one = read_all (&whole);
  DeimLoaderOptions options = whole;
  options.threads = 5;
  g_autoptr (GPtrArray) five = read_all (&options);

  g_assert_cmpuint (one->len, ==, 6 * (N_PICTURES / 4));
  g_assert_cmpuint (five->len, ==, one->len);
  for (guint i = 0; i < one->len; i++)
    assert_same_rows (one->pdata[i], 0, five->pdata[i]);
  /* Another seed is another world. */
  options.seed++;
  g_autoptr (GPtrArray) other = read_all (&options);
  guint same = 0;
  for (guint i = 0; i < one->len; i++)
    same += memcmp (((DeimBatch *) one->pdata[i])->indices, ((DeimBatch *) other->pdata[i])->indices,
                    4 * sizeof (guint)) == 0;
  g_assert_cmpuint (same, <, 3);
}

/* Three processes with 2, 1 and 1 pictures of each batch see what one sees, mixup and CopyBlend included. */
static void
test_processes (void)
{
  const guint first[] = { 0, 2, 3 }, count[] = { 2, 1, 1 };
  g_autoptr (GPtrArray) one = read_all (&whole);

  for (guint p = 0; p < 3; p++) {
    DeimLoaderOptions options = whole;
    options.first = first[p];
    options.count = count[p];
    g_autoptr (GPtrArray) part = read_all (&options);
    g_assert_cmpuint (part->len, ==, one->len);
    for (guint i = 0; i < one->len; i++) {
      g_assert_cmpuint (((DeimBatch *) part->pdata[i])->n, ==, count[p]);
      assert_same_rows (one->pdata[i], first[p], part->pdata[i]);
    }
  }
}

/* From any batch of any epoch on, also while threads are busy with others. */
static void
test_resume (void)
{
  g_autoptr (GPtrArray) one = read_all (&whole);
  DeimLoaderOptions options = whole;
  options.threads = 3;
  g_autoptr (DeimLoader) loader = open_loader (&options);
  guint per_epoch = deim_loader_get_n_batches (loader);

  for (guint i = 0; i < one->len; i += 7) {
    deim_loader_start (loader, i / per_epoch, i % per_epoch);
    g_autoptr (DeimBatch) batch = deim_loader_next (loader, NULL);
    assert_same_rows (one->pdata[i], 0, batch);
  }
}

/* What the policy asks for does happen, in its epochs and with about its probability: told by sizes and objects. */
static void
test_policy (void)
{
  guint n[6] = { 0 }, scaled[6] = { 0 }, mixed[6] = { 0 }, blended[6] = { 0 }, sizes[8] = { 0 };

  for (guint seed = 0; seed < 40; seed++) {
    DeimLoaderOptions options = whole;
    DeimAugmentPolicy plain = policy;
    plain.mosaic = 0; /* so that a picture has one object but for mixup and CopyBlend */
    options.policy = &plain;
    options.seed = seed;
    g_autoptr (GPtrArray) batches = read_all (&options);
    guint per_epoch = batches->len / 6;
    for (guint i = 0; i < batches->len; i++) {
      const DeimBatch *batch = batches->pdata[i];
      guint epoch = i / per_epoch, least = G_MAXUINT, most = 0;
      for (guint k = 0; k < 4; k++) {
        least = MIN (least, batch->objects[k]->len);
        most = MAX (most, batch->objects[k]->len);
      }
      n[epoch]++;
      scaled[epoch] += batch->width != 128;
      mixed[epoch] += most == 2;
      blended[epoch] += least >= 3;
      sizes[batch->width / 32]++;
      g_assert_cmpuint (batch->width, ==, batch->height);
    }
  }
  for (guint epoch = 0; epoch < 6; epoch++) {
    gdouble mixup = epoch >= 1 && epoch < 3 ? 0.4 : 0, copyblend = epoch >= 1 && epoch < 5 ? 0.5 * (1 - mixup) : 0;
    assert_near (mixed[epoch] / (gdouble) n[epoch], mixup, 5 * sqrt (0.25 / n[epoch]) * (mixup > 0));
    /* An object is sometimes lost to a crop, so that a batch looks less blended than it is. */
    assert_near (blended[epoch] / (gdouble) n[epoch], copyblend, (5 * sqrt (0.25 / n[epoch]) + 0.05) * (copyblend > 0));
    if (epoch >= 4)
      g_assert_cmpuint (scaled[epoch], ==, 0);
    else
      assert_near (scaled[epoch] / (gdouble) n[epoch], 2.0 / 4, 5 * sqrt (0.25 / n[epoch]));
  }
  g_assert_cmpuint (sizes[3], >, 0); /* 96 */
  g_assert_cmpuint (sizes[5], >, 0); /* 160 */
}

/* Without a policy: every picture once, in order, unchanged. */
static void
test_validation (void)
{
  const DeimLoaderOptions options = { .batch = 4, .width = 64, .height = 32, .threads = 3 };
  g_autoptr (DeimLoader) loader = open_loader (&options);
  guint next = 0;
  DeimBatch *batch;

  g_assert_cmpuint (deim_loader_get_n_batches (loader), ==, 6);
  deim_loader_start (loader, 3, 0);
  while ((batch = deim_loader_next (loader, NULL))) {
    g_assert_cmpuint (batch->n, ==, next + 4 <= N_PICTURES ? 4 : N_PICTURES - next);
    for (guint i = 0; i < batch->n; i++, next++) {
      g_assert_cmpuint (batch->indices[i], ==, next);
      assert_near (*pixel (batch, i, 1, 40, 9), (guint8) (10 * next) / 255.0, 1e-6);
      assert_near (object_of (batch, i, 0)->box[0], 15.0 / 40, 1e-6);
    }
    deim_batch_free (batch);
  }
  g_assert_cmpuint (next, ==, N_PICTURES);
}

/* A data set smaller than a batch is repeated, in training; each picture is augmented anew. */
static void
test_small (void)
{
  DeimLoaderOptions options = whole;
  options.batch = 50;
  g_autoptr (DeimLoader) loader = open_loader (&options);
  guint seen[N_PICTURES] = { 0 };

  g_assert_cmpuint (deim_loader_get_n_batches (loader), ==, 1);
  deim_loader_start (loader, 0, 0);
  g_autoptr (DeimBatch) batch = deim_loader_next (loader, NULL);
  g_assert_cmpuint (batch->n, ==, 50);
  for (guint i = 0; i < 50; i++)
    seen[batch->indices[i]]++;
  for (guint i = 0; i < N_PICTURES; i++)
    g_assert_true (seen[i] == 2 || seen[i] == 3);
  g_assert_null (deim_loader_next (loader, NULL));
}

static void
test_errors (void)
{
  DeimSampleSource broken = numbered, empty = numbered;
  DeimLoaderOptions options = { .batch = 4, .width = 64, .height = 32, .threads = 2 };
  g_autoptr (GError) error = NULL, none = NULL, size = NULL;
  broken.data = &broken;
  empty.n = 0;

  g_autoptr (DeimLoader) loader = deim_loader_new (&broken, &options, NULL);
  deim_loader_start (loader, 0, 0);
  g_autoptr (DeimBatch) first = deim_loader_next (loader, &error);
  g_assert_no_error (error);
  g_assert_nonnull (first);
  g_assert_null (deim_loader_next (loader, &error));
  g_assert_cmpstr (error->message, ==, "picture 7 is gone");
  g_autoptr (DeimBatch) third = deim_loader_next (loader, NULL); /* the reader decides whether to go on */
  g_assert_cmpuint (third->indices[0], ==, 8);

  g_assert_null (deim_loader_new (&empty, &options, &none));
  g_assert_cmpstr (none->message, ==, "the data set has no picture; change the settings");
  options.width = 65;
  g_assert_null (deim_loader_new (&numbered, &options, &size));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/batch/set", test_set);
  g_test_add_func ("/batch/mixup", test_mixup);
  g_test_add_func ("/batch/copyblend", test_copyblend);
  g_test_add_func ("/batch/copyblend-empty", test_copyblend_empty);
  g_test_add_func ("/loader/threads", test_threads);
  g_test_add_func ("/loader/processes", test_processes);
  g_test_add_func ("/loader/resume", test_resume);
  g_test_add_func ("/loader/policy", test_policy);
  g_test_add_func ("/loader/validation", test_validation);
  g_test_add_func ("/loader/small", test_small);
  g_test_add_func ("/loader/errors", test_errors);
  return g_test_run ();
}
