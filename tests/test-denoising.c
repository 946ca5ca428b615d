/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-denoising.c - random streams; denoising queries: their groups, their noise, their mask. */
#include "golden-train.h"
#include "trainer/box.h"
#include "trainer/denoising.h"

#include <math.h>
#include <string.h>

/* ------------------------------------------------------------------ streams */

static void
test_random (void)
{
  /* SplitMix64's published first outputs for state 1234567. */
  DeimRandom known = { 1234567 };
  g_assert_cmpuint (deim_random_bits (&known), ==, G_GUINT64_CONSTANT (6457827717110365317));
  g_assert_cmpuint (deim_random_bits (&known), ==, G_GUINT64_CONSTANT (3203168211198807973));

  DeimRandom random = deim_random_new (7), copy = random;
  gdouble sum = 0, squares = 0, normal = 0, normal_squares = 0;
  guint hits[6] = { 0 };
  enum { N = 60000 };
  for (guint i = 0; i < N; i++) {
    gdouble u = deim_random_unit (&random), z = deim_random_normal (&random);
    g_assert_true (u >= 0 && u < 1);
    sum += u;
    squares += u * u;
    normal += z;
    normal_squares += z * z;
    hits[deim_random_below (&random, 6)]++;
  }
  /* Five deviations of each mean. */
  g_assert_cmpfloat_with_epsilon (sum / N, 0.5, 5 * sqrt (1.0 / 12 / N));
  g_assert_cmpfloat_with_epsilon (squares / N, 1.0 / 3, 5 * sqrt (4.0 / 45 / N));
  g_assert_cmpfloat_with_epsilon (normal / N, 0, 5 * sqrt (1.0 / N));
  g_assert_cmpfloat_with_epsilon (normal_squares / N, 1, 5 * sqrt (2.0 / N));
  for (guint i = 0; i < 6; i++)
    g_assert_cmpfloat_with_epsilon (hits[i] / (gdouble) N, 1.0 / 6, 5 * sqrt (5.0 / 36 / N));

  DeimRandom a = deim_random_fork (&copy, 0), b = deim_random_fork (&copy, 1), again = deim_random_fork (&copy, 0);
  g_assert_cmpuint (a.state, ==, again.state);
  gdouble product = 0;
  for (guint i = 0; i < N; i++)
    product += (deim_random_unit (&a) - 0.5) * (deim_random_unit (&b) - 0.5);
  g_assert_cmpfloat_with_epsilon (product / N, 0, 5 / 12.0 * sqrt (1.0 / N));
}

static void
test_shuffle (void)
{
  DeimRandom random = deim_random_new (1);
  guint order[5], first[5] = { 0 };

  for (guint round = 0; round < 5000; round++) {
    gboolean seen[5] = { FALSE };
    deim_random_shuffle (&random, 5, order);
    for (guint i = 0; i < 5; i++) {
      g_assert_cmpuint (order[i], <, 5);
      g_assert_false (seen[order[i]]);
      seen[order[i]] = TRUE;
    }
    first[order[0]]++;
  }
  for (guint i = 0; i < 5; i++)
    g_assert_cmpfloat_with_epsilon (first[i] / 5000.0, 0.2, 5 * sqrt (0.16 / 5000));
}

/* ---------------------------------------------------------------- denoising */

static const gfloat some_boxes[] = {
  0.5f, 0.5f, 0.2f, 0.1f, 0.4f, 0.6f, 0.1f, 0.3f, 0.5f, 0.4f, 0.25f, 0.25f,
};
static const guint some_labels[] = { 2, 0, 1 };
static const DeimTargets some_targets[] = { { 3, some_labels, some_boxes }, { 0 }, { 1, some_labels, some_boxes } };

static DeimDenoising *
make (const DeimDenoisingRule *rule, guint first, guint n)
{
  DeimRandom random = deim_random_new (11);
  return deim_denoising_new (rule, some_targets + first, n, 80, 3, &random, first);
}

/* Groups, and the places of positives, are the official ones. */
static void
test_golden (const GoldenTrain *train)
{
  DeimRandom random = deim_random_new (1);
  g_autoptr (DeimDenoising) denoising =
      deim_denoising_new (&deim_denoising_default, train->targets, train->n_images, train->n_classes, 0, &random, 0);
  g_autoptr (DeimMatching) expected = golden_denoising (train);

  g_assert_cmpuint (denoising->groups, ==, (guint) json_object_get_int_member (train->root, "dn_groups"));
  g_assert_cmpuint (denoising->n_queries, ==, deim_denoising_used (denoising));
  g_assert_cmpmem (denoising->matching->first, (train->n_images + 1) * sizeof (guint), expected->first,
                   (train->n_images + 1) * sizeof (guint));
  g_assert_cmpmem (denoising->matching->pairs, deim_matching_size (denoising->matching) * sizeof (DeimMatch),
                   expected->pairs, deim_matching_size (expected) * sizeof (DeimMatch));
}

/* Corners of positives move by less than half the box, those of negatives by half to all of it. */
static void
test_noise (void)
{
  DeimDenoisingRule rule = deim_denoising_default;
  rule.queries = 9000;
  g_autoptr (DeimDenoising) denoising = make (&rule, 0, 3);
  guint changed = 0, n = 0;
  gdouble least[2] = { 9, 9 }, most[2] = { 0, 0 };

  g_assert_cmpuint (denoising->groups, ==, 3000);
  g_assert_cmpuint (denoising->per_group, ==, 6);
  for (guint q = 0; q < denoising->n_queries; q++) {
    guint object = q % 3, negative = q / 3 % 2;
    gdouble a[4], b[4];
    deim_box_corners (some_boxes + object * 4, a);
    deim_box_corners (denoising->boxes + q * 4, b);
    n++;
    changed += denoising->classes[q] != some_labels[object];
    g_assert_cmpuint (denoising->classes[q], <, 80);
    for (guint k = 0; k < 2; k++) {
      /* Corners of strongly moved boxes may have changed places: take the nearer reading. */
      gdouble half = 0.5 * some_boxes[object * 4 + 2 + k];
      gdouble straight[] = { fabs (b[k] - a[k]) / half, fabs (b[2 + k] - a[2 + k]) / half };
      gdouble crossed[] = { fabs (b[2 + k] - a[k]) / half, fabs (b[k] - a[2 + k]) / half };
      const gdouble *moved = negative && crossed[0] + crossed[1] < straight[0] + straight[1] ? crossed : straight;
      if (!negative || (moved[0] >= 1 - 1e-5 && moved[1] >= 1 - 1e-5)) {
        least[negative] = MIN (least[negative], MIN (moved[0], moved[1]));
        most[negative] = MAX (most[negative], MAX (moved[0], moved[1]));
      } else {
        moved = moved == crossed ? straight : crossed;
        g_assert_true (moved[0] >= 1 - 1e-5 && moved[0] < 2 + 1e-5 && moved[1] >= 1 - 1e-5 && moved[1] < 2 + 1e-5);
      }
    }
  }
  g_assert_cmpfloat (least[0], <, 0.01);
  g_assert_cmpfloat (most[0], >, 0.99);
  g_assert_cmpfloat (most[0], <, 1 + 1e-5);
  g_assert_cmpfloat (least[1], <, 1.01);
  g_assert_cmpfloat (most[1], >, 1.99);
  g_assert_cmpfloat (most[1], <, 2 + 1e-5);
  /* A quarter gets a random class, which is another one in 79 of 80 cases. */
  gdouble expected = 0.25 * 79 / 80;
  g_assert_cmpfloat_with_epsilon (changed / (gdouble) n, expected, 5 * sqrt (expected * (1 - expected) / n));

  /* Nothing but empty places where there are no objects, or fewer. */
  for (guint q = 0; q < denoising->n_queries; q++) {
    gsize empty = denoising->n_queries + q, one = 2 * (gsize) denoising->n_queries + q;
    g_assert_cmpuint (denoising->classes[empty], ==, 80);
    g_assert_cmpfloat (denoising->boxes[empty * 4 + 2], ==, 0);
    g_assert_cmpint (denoising->classes[one] == 80, ==, q % 3 != 0);
  }
}

/* A box at the edge is cut there, and no size is negative. */
static void
test_edge (void)
{
  const gfloat box[] = { 0.02f, 0.98f, 0.5f, 0.5f };
  const guint label = 0;
  const DeimTargets targets = { 1, &label, box };
  DeimRandom random = deim_random_new (2);
  g_autoptr (DeimDenoising) denoising = deim_denoising_new (&deim_denoising_default, &targets, 1, 1, 0, &random, 0);

  for (guint q = 0; q < denoising->n_queries; q++) {
    const gfloat *b = denoising->boxes + q * 4;
    for (guint k = 0; k < 2; k++) {
      g_assert_cmpfloat (b[2 + k], >=, 0);
      g_assert_cmpfloat (b[k] - 0.5f * b[2 + k], >=, -1e-6f);
      g_assert_cmpfloat (b[k] + 0.5f * b[2 + k], <=, 1 + 1e-6f);
    }
  }
}

/* The same pictures make the same queries, whatever part of the batch they are made in. */
static void
test_processes (void)
{
  g_autoptr (DeimDenoising) all = make (&deim_denoising_default, 0, 3), last = make (&deim_denoising_default, 2, 1);
  g_autoptr (DeimDenoising) again = make (&deim_denoising_default, 0, 3);
  gsize n = all->n_queries;

  g_assert_cmpuint (last->n_queries, ==, n);
  g_assert_cmpmem (all->boxes, 3 * n * 4 * sizeof (gfloat), again->boxes, 3 * n * 4 * sizeof (gfloat));
  g_assert_cmpmem (all->boxes + 2 * n * 4, n * 4 * sizeof (gfloat), last->boxes, n * 4 * sizeof (gfloat));
  g_assert_cmpmem (all->classes + 2 * n, n * sizeof (guint), last->classes, n * sizeof (guint));
}

static void
assert_mask (const DeimDenoising *denoising, guint n_own, const gchar *const *rows)
{
  guint all = denoising->n_queries + n_own;
  g_autofree guint8 *blocked = g_malloc ((gsize) all * all);

  deim_denoising_mask (denoising, n_own, blocked);
  for (guint q = 0; q < all; q++) {
    g_assert_cmpuint (strlen (rows[q]), ==, all);
    for (guint k = 0; k < all; k++)
      g_assert_cmpint (blocked[q * all + k], ==, rows[q][k] == 'x');
  }
}

/* Two groups of one object (positive and negative) and two own queries; then a capacity with two empty places. */
static void
test_mask (void)
{
  static const gchar *const plain[] = { "..xx..", "..xx..", "xx....", "xx....", "xxxx..", "xxxx.." };
  static const gchar *const capacity[] = {
    "..xxxx.", "..xxxx.", "xx..xx.", "xx..xx.", "xxxx.xx", "xxxxx.x", "xxxxxx."
  };
  DeimDenoisingRule rule = deim_denoising_default;
  DeimRandom random = deim_random_new (2);

  rule.queries = 2;
  g_autoptr (DeimDenoising) two = deim_denoising_new (&rule, some_targets + 2, 1, 80, 0, &random, 0);
  assert_mask (two, 2, plain);
  rule.capacity = 6;
  g_autoptr (DeimDenoising) padded = deim_denoising_new (&rule, some_targets + 2, 1, 80, 0, &random, 0);
  g_assert_cmpuint (padded->n_queries, ==, 6);
  g_assert_cmpuint (deim_denoising_used (padded), ==, 4);
  g_assert_cmpuint (padded->classes[3], <, 80);
  g_assert_cmpuint (padded->classes[4], ==, 80);
  assert_mask (padded, 1, capacity);
}

/* More objects than there is room for: the first ones. */
static void
test_crowded (void)
{
  DeimDenoisingRule rule = deim_denoising_default;
  DeimRandom random = deim_random_new (2);

  rule.capacity = 5;
  g_autoptr (DeimDenoising) denoising = deim_denoising_new (&rule, some_targets, 1, 80, 0, &random, 0);
  g_assert_cmpuint (denoising->per_group, ==, 4);
  g_assert_cmpuint (denoising->groups, ==, 1);
  g_assert_cmpuint (denoising->n_queries, ==, 5);
  g_assert_cmpuint (deim_matching_size (denoising->matching), ==, 2);

  rule.capacity = 0; /* more than half of the queries asked for: one group all the same */
  rule.queries = 2;
  g_autoptr (DeimDenoising) grown = deim_denoising_new (&rule, some_targets, 1, 80, 0, &random, 0);
  g_assert_cmpuint (grown->n_queries, ==, 6);
}

static void
test_empty (void)
{
  DeimDenoisingRule rule = deim_denoising_default;
  DeimRandom random = deim_random_new (2);
  static const gchar *const mask[] = { ".xx", "x.x", "xx." };

  g_autoptr (DeimDenoising) nothing = deim_denoising_new (&rule, some_targets + 1, 1, 80, 0, &random, 0);
  g_assert_cmpuint (nothing->n_queries, ==, 0);
  g_assert_cmpuint (deim_matching_size (nothing->matching), ==, 0);
  rule.capacity = 2;
  g_autoptr (DeimDenoising) padded = deim_denoising_new (&rule, some_targets + 1, 1, 80, 0, &random, 0);
  g_assert_cmpuint (padded->n_queries, ==, 2);
  g_assert_cmpuint (deim_denoising_used (padded), ==, 0);
  assert_mask (padded, 1, mask);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/random/stream", test_random);
  g_test_add_func ("/random/shuffle", test_shuffle);
  g_test_add_func ("/denoising/noise", test_noise);
  g_test_add_func ("/denoising/edge", test_edge);
  g_test_add_func ("/denoising/processes", test_processes);
  g_test_add_func ("/denoising/mask", test_mask);
  g_test_add_func ("/denoising/crowded", test_crowded);
  g_test_add_func ("/denoising/empty", test_empty);
  golden_train_add_tests ("/denoising", NULL, test_golden);
  return g_test_run ();
}
