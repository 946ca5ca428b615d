/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-augment.c - augmentation of single pictures, on pictures small enough to
 * check by eye: an object is a patch of a colour of its own, and after each step
 * its box must be where that colour is.
 */
#include "trainer/augment.h"
#include "trainer/photometric.h"

#include <math.h>
#include <string.h>

/* ------------------------------------------------------------------ markers */

static void
colour_of (guint label, guint8 rgb[3])
{
  rgb[0] = (guint8) (60 + 40 * (label % 5));
  rgb[1] = (guint8) (250 - 30 * label);
  rgb[2] = (guint8) (label % 2 ? 200 : 20);
}

static void
add_marker (DeimSample *sample, guint x, guint y, guint w, guint h, guint label)
{
  DeimObject object = { x, y, x + w, y + h, label, w * h };

  for (guint j = y; j < y + h; j++)
    for (guint i = x; i < x + w; i++)
      colour_of (label, deim_image_at (sample->image, i, j));
  g_array_append_val (sample->objects, object);
}

static DeimSample *
make_sample (guint width, guint height)
{
  return deim_sample_new (deim_image_new (width, height));
}

/* The box around the pixels of a label's colour; FALSE if there are none. */
static gboolean
find_marker (const DeimImage *image, guint label, gdouble box[4])
{
  guint8 rgb[3];
  gboolean found = FALSE;
  colour_of (label, rgb);

  for (guint y = 0; y < image->height; y++)
    for (guint x = 0; x < image->width; x++)
      if (memcmp (deim_image_at (image, x, y), rgb, 3) == 0) {
        box[0] = found ? MIN (box[0], x) : x;
        box[1] = found ? MIN (box[1], y) : y;
        box[2] = found ? MAX (box[2], x + 1) : x + 1;
        box[3] = found ? MAX (box[3], y + 1) : y + 1;
        found = TRUE;
      }
  return found;
}

static gboolean
at_edge (const DeimSample *sample, const DeimObject *o)
{
  return o->x1 <= 0 || o->y1 <= 0 || o->x2 >= sample->image->width || o->y2 >= sample->image->height;
}

/*
 * Each object's box is where its colour is, to @tolerance pixels; an object that
 * is out of the picture has no area. @turned: a box around a turned patch that
 * is cut at the picture's edge may be larger than what is left of the patch,
 * but all of that must be in it.
 */
static void
check_boxes (const DeimSample *sample, gdouble tolerance, gboolean turned)
{
  for (guint i = 0; i < sample->objects->len; i++) {
    const DeimObject *o = deim_sample_object (sample, i);
    const gdouble box[] = { o->x1, o->y1, o->x2, o->y2 };
    gboolean loose = turned && at_edge (sample, o);
    gdouble found[4];
    if (!find_marker (sample->image, o->label, found)) {
      g_assert_true (loose || o->x2 - o->x1 <= tolerance || o->y2 - o->y1 <= tolerance);
      continue;
    }
    for (guint k = 0; k < 4; k++) {
      gdouble beyond = k < 2 ? box[k] - found[k] : found[k] - box[k];
      if (beyond > tolerance || (!loose && beyond < -tolerance))
        g_error ("object of label %u: box %g %g %g %g, but its colour is in %g %g %g %g", o->label, box[0], box[1],
                 box[2], box[3], found[0], found[1], found[2], found[3]);
    }
  }
}

static void
check_markers (const DeimSample *sample, gdouble tolerance)
{
  check_boxes (sample, tolerance, FALSE);
}

static DeimSample *
make_scene (void)
{
  DeimSample *sample = make_sample (60, 40);
  add_marker (sample, 3, 5, 10, 8, 0);
  add_marker (sample, 30, 2, 20, 11, 1);
  add_marker (sample, 24, 20, 6, 17, 2);
  return sample;
}

/* ------------------------------------------------------------- single steps */

static void
test_flip (void)
{
  g_autoptr (DeimSample) sample = make_scene ();

  deim_sample_flip (sample);
  check_markers (sample, 0);
  g_assert_cmpfloat (deim_sample_object (sample, 0)->x1, ==, 47);
  g_assert_cmpfloat (deim_sample_object (sample, 0)->x2, ==, 57);
  g_assert_cmpfloat (deim_sample_object (sample, 0)->y1, ==, 5);
  g_autoptr (DeimSample) odd = make_sample (7, 2);
  add_marker (odd, 0, 0, 3, 1, 3);
  deim_sample_flip (odd);
  check_markers (odd, 0);
}

static void
test_crop (void)
{
  g_autoptr (DeimSample) sample = make_scene ();

  deim_sample_crop (sample, 8, 4, 24, 20);
  g_assert_cmpuint (sample->image->width, ==, 24);
  g_assert_cmpuint (sample->image->height, ==, 20);
  check_markers (sample, 0);
  g_assert_cmpfloat (deim_sample_object (sample, 0)->x2, ==, 5); /* 13 - 8 */
  deim_sample_crop (sample, 0, 0, 4, 20);                        /* the second is outside now */
  check_markers (sample, 0);
  deim_sample_sanitize (sample, 1);
  g_assert_cmpuint (sample->objects->len, ==, 1);
  g_assert_cmpuint (deim_sample_object (sample, 0)->label, ==, 0);
}

static void
test_place (void)
{
  g_autoptr (DeimSample) sample = make_scene ();

  deim_sample_place (sample, 7, 11, 90, 80);
  g_assert_cmpuint (sample->image->width, ==, 90);
  check_markers (sample, 0);
  g_assert_cmpuint (deim_image_at (sample->image, 6, 20)[1], ==, 0);
}

static void
test_resize (void)
{
  g_autoptr (DeimSample) sample = make_sample (80, 40);
  add_marker (sample, 20, 4, 40, 16, 0);
  deim_sample_resize (sample, 40, 10);
  check_markers (sample, 1); /* the filter mixes one pixel at the edges */
  const DeimObject *o = deim_sample_object (sample, 0);
  g_assert_cmpfloat (o->x1, ==, 10);
  g_assert_cmpfloat (o->x2, ==, 30);
  g_assert_cmpfloat (o->y1, ==, 1);
  g_assert_cmpfloat (o->y2, ==, 5);
  g_assert_cmpfloat (o->area, ==, 640); /* the annotation's, as before */
}

static void
test_sanitize (void)
{
  g_autoptr (DeimSample) sample = make_scene ();

  deim_sample_sanitize (sample, 8);
  g_assert_cmpuint (sample->objects->len, ==, 2); /* the third is 6 wide */
  deim_sample_sanitize (sample, 8.5);
  g_assert_cmpuint (sample->objects->len, ==, 1);
  g_assert_cmpuint (deim_sample_object (sample, 0)->label, ==, 1);
}

static void
test_affine (void)
{
  g_autoptr (DeimSample) sample = make_scene ();

  deim_sample_affine (sample, 0, 1, 5, -3); /* whole pixels: exact */
  check_markers (sample, 0);
  g_assert_cmpfloat (deim_sample_object (sample, 0)->x1, ==, 8);
  g_assert_cmpfloat (deim_sample_object (sample, 0)->y1, ==, 2);
  g_assert_cmpfloat (deim_sample_object (sample, 1)->y1, ==, 0); /* cut at the edge */

  g_autoptr (DeimSample) turned = make_sample (41, 41);
  add_marker (turned, 4, 18, 10, 3, 0);
  deim_sample_affine (turned, 90, 1, 0, 0); /* from the x axis towards the y axis: left becomes top */
  check_markers (turned, 1e-9);
  const DeimObject *o = deim_sample_object (turned, 0);
  g_assert_cmpfloat_with_epsilon (o->x1, 20, 1e-9);
  g_assert_cmpfloat_with_epsilon (o->x2, 23, 1e-9);
  g_assert_cmpfloat_with_epsilon (o->y1, 4, 1e-9);
  g_assert_cmpfloat_with_epsilon (o->y2, 14, 1e-9);

  /* Any angle and scale: the corner of a turned box is a sharp point, of which the last pixel may be missing. */
  DeimRandom random = deim_random_new (4);
  for (guint round = 0; round < 60; round++) {
    g_autoptr (DeimSample) any = make_sample (120, 90);
    add_marker (any, 20, 30, 30, 20, 0);
    add_marker (any, 70, 10, 25, 40, 1);
    deim_sample_affine (any, deim_random_range (&random, -30, 30), deim_random_range (&random, 0.5, 1.5),
                        deim_random_range (&random, -20, 20), deim_random_range (&random, -20, 20));
    check_boxes (any, 2, TRUE);
  }
}

static void
test_mosaic (void)
{
  DeimSample *samples[4];
  for (guint i = 0; i < 4; i++) {
    samples[i] = make_sample (10 + i, 8 - i);
    add_marker (samples[i], 1, 2, 4, 3, i);
  }
  g_autoptr (DeimSample) mosaic = deim_sample_mosaic (samples);
  g_assert_cmpuint (mosaic->image->width, ==, 26);
  g_assert_cmpuint (mosaic->image->height, ==, 16);
  g_assert_cmpuint (mosaic->objects->len, ==, 4);
  check_markers (mosaic, 0);
  g_assert_cmpfloat (deim_sample_object (mosaic, 3)->x1, ==, 14);
  g_assert_cmpfloat (deim_sample_object (mosaic, 3)->y1, ==, 10);
  for (guint i = 0; i < 4; i++)
    deim_sample_free (samples[i]);
}

/* The shorter sides become equal, and boxes follow through all of it. Marked with squares, whose colour survives a
 * resize in the middle. */
static void
test_random_mosaic (void)
{
  for (guint seed = 0; seed < 40; seed++) {
    DeimRandom random = deim_random_new (seed);
    DeimSample *samples[4];
    for (guint i = 0; i < 4; i++) {
      samples[i] = make_sample (80 + 20 * i, 100);
      add_marker (samples[i], 20, 30, 40, 40, i);
    }
    g_autoptr (DeimSample) mosaic = deim_augment_mosaic (samples, 64, &random);
    g_assert_cmpuint (mosaic->image->width, ==, 2 * 89);  /* 140 x 100 -> 89 x 64 */
    g_assert_cmpuint (mosaic->image->height, ==, 2 * 80); /* 80 x 100 -> 64 x 80 */
    check_boxes (mosaic, 4, TRUE);
    for (guint i = 0; i < 4; i++)
      deim_sample_free (samples[i]);
  }
}

static void
test_zoom_out (void)
{
  guint most = 0, least = G_MAXUINT;
  for (guint seed = 0; seed < 200; seed++) {
    DeimRandom random = deim_random_new (seed);
    g_autoptr (DeimSample) sample = make_scene ();
    deim_augment_zoom_out (sample, &random);
    check_markers (sample, 0);
    most = MAX (most, sample->image->width);
    least = MIN (least, sample->image->width);
    g_assert_cmpint (abs ((gint) sample->image->width * 2 - (gint) sample->image->height * 3), <=, 3);
  }
  g_assert_cmpuint (least, >=, 60);
  g_assert_cmpuint (least, <, 66);
  g_assert_cmpuint (most, <=, 240);
  g_assert_cmpuint (most, >, 234);

  DeimRandom random = deim_random_new (1);
  g_autoptr (DeimSample) wide = make_sample (6000, 8);
  deim_augment_zoom_out (wide, &random);
  g_assert_cmpuint (wide->image->width, <=, 4096);
}

static void
test_iou_crop (void)
{
  guint whole = 0, kept[4] = { 0 };
  for (guint seed = 0; seed < 600; seed++) {
    DeimRandom random = deim_random_new (seed);
    g_autoptr (DeimSample) sample = make_scene ();
    deim_augment_iou_crop (sample, &random);
    guint w = sample->image->width, h = sample->image->height;
    whole += w == 60 && h == 40;
    g_assert_cmpuint (w, <=, 2 * h);
    g_assert_cmpuint (h, <=, 2 * w);
    g_assert_cmpuint (w, >=, 18);
    g_assert_cmpuint (h, >=, 12);
    g_assert_cmpuint (sample->objects->len, >, 0);
    kept[sample->objects->len]++;
    check_markers (sample, 0);
    /* Of an object whose middle is inside, at least a quarter is. */
    for (guint i = 0; i < sample->objects->len; i++) {
      const DeimObject *o = deim_sample_object (sample, i);
      g_assert_cmpfloat ((o->x2 - o->x1) * (o->y2 - o->y1), >, o->area / 4);
    }
  }
  g_assert_cmpuint (whole, >, 0);
  g_assert_cmpuint (kept[1], >, 0);
  g_assert_cmpuint (kept[3], >, 0);

  DeimRandom random = deim_random_new (1);
  g_autoptr (DeimSample) nothing = make_sample (20, 20);
  deim_augment_iou_crop (nothing, &random);
  g_assert_cmpuint (nothing->image->width, ==, 20);
}

/* -------------------------------------------------------------- light, colour */

static void
check_colour (DeimPhotometric how, guint8 r, guint8 g, guint8 b, guint8 to_r, guint8 to_g, guint8 to_b)
{
  g_autoptr (DeimImage) image = deim_image_new (1, 1);
  const guint8 from[] = { r, g, b }, to[] = { to_r, to_g, to_b };
  memcpy (image->pixels, from, 3);
  deim_photometric_apply (image, &how);
  g_assert_cmpmem (image->pixels, 3, to, 3);
}

static void
test_photometric (void)
{
  DeimPhotometric none = deim_photometric_none, how;

  check_colour (none, 1, 128, 254, 1, 128, 254);
  how = none, how.brightness = 1.1;
  check_colour (how, 10, 100, 250, 11, 110, 255);
  how = none, how.saturation = 0; /* 0.299 * 200 + 0.587 * 100 + 0.114 * 50 = 124.2 */
  check_colour (how, 200, 100, 50, 124, 124, 124);
  how.saturation = 1.5; /* 124.2 + 1.5 * (200 - 124.2) = 237.9, 87.9, 12.9 */
  check_colour (how, 200, 100, 50, 238, 88, 13);
  how = none, how.hue = 0.04; /* Python's colorsys */
  check_colour (how, 200, 50, 100, 200, 50, 64);
  how.hue = -0.05;
  check_colour (how, 10, 240, 30, 59, 240, 10);
  how.hue = 1.0 / 3;
  check_colour (how, 255, 0, 0, 0, 255, 0);
  how.hue = 0.25;
  check_colour (how, 120, 130, 125, 120, 120, 130);
  how = none, how.order[0] = 2, how.order[2] = 0;
  check_colour (how, 1, 2, 3, 3, 2, 1);

  /* Contrast: about the mean gray of the whole picture, here 100; before or after saturation makes a difference. */
  g_autoptr (DeimImage) image = deim_image_new (2, 1);
  memset (image->pixels, 50, 3);
  memset (image->pixels + 3, 150, 3);
  how = none, how.contrast = 0.5;
  deim_photometric_apply (image, &how);
  g_assert_cmpuint (image->pixels[0], ==, 75);
  g_assert_cmpuint (image->pixels[5], ==, 125);
}

static void
test_photometric_draw (void)
{
  DeimRandom random = deim_random_new (9);
  guint changed[5] = { 0 };
  enum { N = 4000 };

  for (guint i = 0; i < N; i++) {
    DeimPhotometric how = deim_photometric_draw (&random, 0.5);
    changed[0] += how.brightness != 1;
    changed[1] += how.contrast != 1;
    changed[2] += how.saturation != 1;
    changed[3] += how.hue != 0;
    changed[4] += how.contrast_last;
    g_assert_true (how.brightness >= 0.875 && how.brightness < 1.125 && how.contrast >= 0.5 && how.contrast < 1.5);
    g_assert_true (how.saturation >= 0.5 && how.saturation < 1.5 && how.hue >= -0.05 && how.hue < 0.05);
  }
  for (guint i = 0; i < 5; i++)
    g_assert_cmpfloat_with_epsilon (changed[i] / (gdouble) N, 0.5, 5 * sqrt (0.25 / N));
}

/* ------------------------------------------------------------------- policy */

/* Pictures of 64 x 64 with one marker of their number each, and how many were asked for. */
static guint loads;

static DeimSample *
load_numbered (gpointer data, guint index, GError **error)
{
  if (data && index == GPOINTER_TO_UINT (data)) {
    g_set_error (error, G_FILE_ERROR, G_FILE_ERROR_NOENT, "picture %u is gone", index);
    return NULL;
  }
  loads++;
  DeimSample *sample = make_sample (64, 64);
  memset (sample->image->pixels, 100, 64 * 64 * 3);
  add_marker (sample, 10, 20, 24, 24, index);
  return sample;
}

static const DeimSampleSource numbered = { 5, load_numbered, NULL };
static const DeimAugmentPolicy policy = { .start = 4, .half = 10, .stop = 20, .mosaic = 0.5, .min_size = 1 };

/* In how many of 400 draws the picture was loaded with others, and changed by more than a flip. */
static void
count_changes (const DeimAugmentPolicy *how, guint epoch, guint *ret_mosaics, guint *ret_changed)
{
  *ret_mosaics = *ret_changed = 0;
  for (guint seed = 0; seed < 400; seed++) {
    DeimRandom random = deim_random_new (seed);
    g_autoptr (GError) error = NULL;
    loads = 0;
    g_autoptr (DeimSample) sample = deim_augment_load (how, epoch, 64, 64, &numbered, 2, &random, &error);
    g_assert_no_error (error);
    g_autoptr (DeimSample) plain = load_numbered (NULL, 2, NULL);
    loads--;
    *ret_mosaics += loads == 4;
    gboolean same = FALSE;
    for (guint flip = 0; flip < 2; flip++, deim_sample_flip (plain))
      same = same || memcmp (sample->image->pixels, plain->image->pixels, 64 * 64 * 3) == 0;
    *ret_changed += !same;
  }
}

static void
test_policy (void)
{
  const guint epochs[] = { 0, 3, 4, 9, 10, 19, 20, 50 };

  for (guint i = 0; i < G_N_ELEMENTS (epochs); i++) {
    guint mosaics, changed;
    count_changes (&policy, epochs[i], &mosaics, &changed);
    gboolean heavy = epochs[i] >= 4 && epochs[i] < 20, with_mosaic = heavy && epochs[i] < 10;
    if (with_mosaic)
      g_assert_cmpfloat_with_epsilon (mosaics / 400.0, 0.5, 5 * sqrt (0.25 / 400));
    else
      g_assert_cmpuint (mosaics, ==, 0);
    if (heavy)
      g_assert_cmpuint (changed, >, 360);
    else
      g_assert_cmpuint (changed, ==, 0);
  }

  /* Dense O2O alone. */
  DeimAugmentPolicy light = policy;
  guint mosaics, changed;
  light.stop = light.start;
  count_changes (&light, 5, &mosaics, &changed);
  g_assert_cmpfloat_with_epsilon (mosaics / 400.0, 0.5, 5 * sqrt (0.25 / 400));
  g_assert_cmpuint (changed, ==, mosaics);
}

/* Reproducible; without a policy nothing but a resize; the smallest objects of the input's pixels go. */
static void
test_load (void)
{
  DeimRandom a = deim_random_new (3), b = a;
  DeimAugmentPolicy strict = policy;
  g_autoptr (GError) error = NULL;

  for (guint epoch = 0; epoch < 12; epoch++) {
    g_autoptr (DeimSample) one = deim_augment_load (&policy, epoch, 64, 96, &numbered, 1, &a, NULL);
    g_autoptr (DeimSample) two = deim_augment_load (&policy, epoch, 64, 96, &numbered, 1, &b, NULL);
    g_assert_cmpuint (one->image->height, ==, 96);
    g_assert_cmpmem (one->image->pixels, 64 * 96 * 3, two->image->pixels, 64 * 96 * 3);
    g_assert_cmpuint (one->objects->len, ==, two->objects->len);
    for (guint i = 0; i < one->objects->len; i++)
      g_assert_cmpfloat (deim_sample_object (one, i)->x1, ==, deim_sample_object (two, i)->x1);
  }
  g_autoptr (DeimSample) plain = deim_augment_load (NULL, 9, 64, 64, &numbered, 1, &a, NULL);
  check_markers (plain, 0);
  g_assert_cmpfloat (deim_sample_object (plain, 0)->x1, ==, 10);

  strict.min_size = 12.5;
  g_autoptr (DeimSample) half = deim_augment_load (&strict, 0, 32, 32, &numbered, 1, &a, NULL);
  g_assert_cmpuint (half->objects->len, ==, 0); /* 24 pixels have become 12 */
  strict.min_size = 11.5;
  g_autoptr (DeimSample) kept = deim_augment_load (&strict, 0, 32, 32, &numbered, 1, &a, NULL);
  g_assert_cmpuint (kept->objects->len, ==, 1);

  DeimSampleSource broken = numbered;
  broken.data = GUINT_TO_POINTER (2);
  g_assert_null (deim_augment_load (NULL, 0, 64, 64, &broken, 2, &a, &error));
  g_assert_cmpstr (error->message, ==, "picture 2 is gone");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/augment/flip", test_flip);
  g_test_add_func ("/augment/crop", test_crop);
  g_test_add_func ("/augment/place", test_place);
  g_test_add_func ("/augment/resize", test_resize);
  g_test_add_func ("/augment/sanitize", test_sanitize);
  g_test_add_func ("/augment/affine", test_affine);
  g_test_add_func ("/augment/mosaic", test_mosaic);
  g_test_add_func ("/augment/random-mosaic", test_random_mosaic);
  g_test_add_func ("/augment/zoom-out", test_zoom_out);
  g_test_add_func ("/augment/iou-crop", test_iou_crop);
  g_test_add_func ("/augment/photometric", test_photometric);
  g_test_add_func ("/augment/photometric-draw", test_photometric_draw);
  g_test_add_func ("/augment/policy", test_policy);
  g_test_add_func ("/augment/load", test_load);
  return g_test_run ();
}
