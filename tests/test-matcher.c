/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-matcher.c - boxes' overlap, the assignment, matching and union: by hand, by brute force, and against PyTorch. */
#include "golden-train.h"
#include "trainer/assignment.h"
#include "trainer/box.h"

#include <math.h>
#include <string.h>

static void
assert_near (gdouble value, gdouble expected, gdouble tolerance)
{
  if (!(fabs (value - expected) <= tolerance * MAX (1, fabs (expected))))
    g_error ("got %.15g, expected %.15g", value, expected);
}

/* ------------------------------------------------------------------- boxes */

static void
test_iou (void)
{
  const gdouble a[] = { 0, 0, 2, 2 }, b[] = { 1, 1, 3, 3 }, beside[] = { 2, 0, 4, 2 }, point[] = { 1, 1, 1, 1 };

  assert_near (deim_box_iou (a, b), 1.0 / 7, 1e-15);
  assert_near (deim_box_iou (a, a), 1, 0);
  assert_near (deim_box_iou (a, beside), 0, 0);
  assert_near (deim_box_iou (a, point), 0, 0);
  assert_near (deim_box_iou (point, point), 0, 0); /* 0 / 0 */
}

/* PyTorch 1.13 in float64: the formula of torchvision's generalized_box_iou, and autograd. */
static const struct {
  gfloat a[4], b[4];
  gdouble value, gradient[4];
} giou_cases[] = {
  { { 0.5f, 0.5f, 0.4f, 0.2f },
    { 0.55f, 0.45f, 0.3f, 0.3f },
    0.46212112623258134,
    { 3.4349169478221118, -4.7704309853034559, 0.10072313912325648, 0.67952254014547164 } },
  { { 0.2f, 0.2f, 0.1f, 0.1f },
    { 0.7f, 0.6f, 0.2f, 0.3f },
    -0.8205128160919466,
    { 0.27613413447009949, 0.29914529276911778, 0.11834318621162954, 0.10683760706212039 } },
  /* equal; around; a width below zero; touching */
  { { 0.5f, 0.5f, 0.25f, 0.25f }, { 0.5f, 0.5f, 0.25f, 0.25f }, 1, { 0, 0, 0, 0 } },
  { { 0.5f, 0.5f, 0.5f, 0.5f }, { 0.5f, 0.5f, 0.25f, 0.25f }, 0.25, { 0, 0, -0.5, -0.5 } },
  { { 0.5f, 0.5f, -0.25f, 0.25f }, { 0.5f, 0.5f, 0.25f, 0.25f }, 0, { 0, 0, 0, -2 } },
  { { 0.25f, 0.5f, 0.25f, 0.25f }, { 0.5f, 0.5f, 0.25f, 0.25f }, 0, { 2, 0, 1, 0 } },
};

static void
test_giou (void)
{
  const gfloat point[4] = { 0.5f, 0.5f, 0, 0 }, other[4] = { 0.25f, 0.5f, 0, 0 };
  gdouble gradient[4];

  for (guint i = 0; i < G_N_ELEMENTS (giou_cases); i++) {
    assert_near (deim_box_giou (giou_cases[i].a, giou_cases[i].b, gradient), giou_cases[i].value, 1e-14);
    for (guint k = 0; k < 4; k++)
      assert_near (gradient[k], giou_cases[i].gradient[k], 1e-13);
  }
  /* Without areas: defined, finite, and nothing is pulled anywhere. */
  assert_near (deim_box_giou (point, point, gradient), 0, 0);
  assert_near (deim_box_giou (point, other, gradient), 0, 0);
  for (guint k = 0; k < 4; k++)
    assert_near (gradient[k], 0, 0);
}

/* -------------------------------------------------------------- assignment */

static gdouble
sum_of (const gdouble *cost, guint rows, guint columns, const gint *column)
{
  g_autofree gboolean *taken = g_new0 (gboolean, columns);
  gdouble sum = 0;
  guint n = 0;
  for (guint i = 0; i < rows; i++)
    if (column[i] >= 0) {
      g_assert_cmpint (column[i], <, (gint) columns);
      g_assert_false (taken[column[i]]);
      taken[column[i]] = TRUE;
      sum += cost[i * columns + (guint) column[i]];
      n++;
    }
  g_assert_cmpuint (n, ==, MIN (rows, columns));
  return sum;
}

/* The least sum over all ways to serve rows from @row on, leaving out at most @spare of them. */
static gdouble
brute_force (const gdouble *cost, guint rows, guint columns, guint row, guint spare, guint taken)
{
  if (row == rows)
    return 0;
  gdouble best = G_MAXDOUBLE;
  for (guint j = 0; j < columns; j++)
    if (!(taken & 1u << j))
      best = MIN (best, cost[row * columns + j] + brute_force (cost, rows, columns, row + 1, spare, taken | 1u << j));
  if (spare)
    best = MIN (best, brute_force (cost, rows, columns, row + 1, spare - 1, taken));
  return best;
}

static void
test_assignment_random (void)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (3);

  for (guint round = 0; round < 4000; round++) {
    guint rows = (guint) g_rand_int_range (rand, 1, 7), columns = (guint) g_rand_int_range (rand, 1, 7);
    gboolean whole = round % 2; /* few distinct costs: many ties */
    gdouble cost[36];
    gint column[6], again[6];
    for (guint k = 0; k < rows * columns; k++)
      cost[k] = whole ? g_rand_int_range (rand, -2, 3) : g_rand_double_range (rand, -5, 5);
    deim_assignment_solve (cost, rows, columns, column);
    deim_assignment_solve (cost, rows, columns, again);
    g_assert_cmpmem (column, rows * sizeof *column, again, rows * sizeof *again);
    gdouble best = brute_force (cost, rows, columns, 0, rows > columns ? rows - columns : 0, 0);
    assert_near (sum_of (cost, rows, columns, column), best, 1e-13);
  }
}

static void
test_assignment_special (void)
{
  const gdouble ones[12] = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 };
  const gdouble greedy_fails[4] = { 1, 2, 2, 100 };
  const gdouble huge[4] = { 3e38, 1, 3e38, 3e38 };
  gint column[4];

  deim_assignment_solve (ones, 3, 4, column);
  for (gint i = 0; i < 3; i++)
    g_assert_cmpint (column[i], ==, i);
  deim_assignment_solve (ones, 4, 3, column);
  for (gint i = 0; i < 4; i++)
    g_assert_cmpint (column[i], ==, i < 3 ? i : -1);
  deim_assignment_solve (greedy_fails, 2, 2, column);
  g_assert_cmpint (column[0], ==, 1);
  g_assert_cmpint (column[1], ==, 0);
  deim_assignment_solve (huge, 2, 2, column);
  g_assert_cmpint (column[0], ==, 1);
  g_assert_cmpint (column[1], ==, 0);
  deim_assignment_solve (ones, 2, 0, column);
  g_assert_cmpint (column[0], ==, -1);
  g_assert_cmpint (column[1], ==, -1);
  deim_assignment_solve (ones, 0, 2, column);
}

/* As large as a crowded picture: an assignment is the best if prices exist that no reduced cost undercuts; here the
 * best is known, because it was hidden in the matrix. */
static void
test_assignment_large (void)
{
  enum { ROWS = 300, COLUMNS = 120 };
  g_autoptr (GRand) rand = g_rand_new_with_seed (5);
  g_autofree gdouble *cost = g_new (gdouble, ROWS * COLUMNS);
  gdouble price[COLUMNS];
  gint column[ROWS], of[COLUMNS];

  for (guint j = 0; j < COLUMNS; j++) {
    price[j] = g_rand_double_range (rand, -3, 3);
    of[j] = (gint) ((j * 77 + 5) % ROWS);
  }
  for (guint i = 0; i < ROWS; i++)
    for (guint j = 0; j < COLUMNS; j++)
      cost[i * COLUMNS + j] = price[j] + ((gint) i == of[j] ? 0 : g_rand_double_range (rand, 0.001, 4));
  deim_assignment_solve (cost, ROWS, COLUMNS, column);
  for (guint j = 0; j < COLUMNS; j++)
    g_assert_cmpint (column[of[j]], ==, (gint) j);
}

/* ---------------------------------------------------------------- matching */

static void
test_cost_by_iou (void)
{
  const gfloat logits[] = { 0, 2 }, boxes[] = { 0.5f, 0.5f, 0.5f, 0.5f }, target[] = { 0.5f, 0.5f, 0.5f, 0.25f };
  const guint label = 1;
  const DeimPredictions one = { 1, 1, 2, 1, logits, boxes };
  DeimMatcher matcher = deim_matcher_default;
  gdouble cost;

  matcher.by_iou = TRUE;
  deim_matcher_cost (&matcher, &one, 0, &(DeimTargets){ 1, &label, target }, &cost);
  assert_near (cost, -(1 / (1 + exp (-2.0))) / 16, 1e-15);
}

/* What the network says that is no number costs 1 or a finite much, so that the others still match. */
static void
test_cost_not_finite (void)
{
  const gfloat logits[] = { NAN, 0, 0, 0 };
  const gfloat boxes[] = { 0.5f, 0.5f, 0.1f, 0.1f, NAN,  0.5f, 0.1f,     0.1f,
                           0.5f, 0.5f, 0.1f, 0.1f, 0.5f, 0.5f, INFINITY, 0.1f };
  const gfloat target[] = { 0.5f, 0.5f, 0.1f, 0.1f };
  const guint label = 0;
  const DeimTargets targets = { 1, &label, target };
  const DeimPredictions four = { 1, 4, 1, 4, logits, boxes };
  gdouble cost[4];

  deim_matcher_cost (&deim_matcher_default, &four, 0, &targets, cost);
  assert_near (cost[0], 1, 0);
  assert_near (cost[1], 1, 0);
  for (guint i = 0; i < 4; i++)
    g_assert_true (isfinite (cost[i]));
  g_autoptr (DeimMatching) matching = deim_matcher_match (&deim_matcher_default, &four, &targets);
  g_assert_cmpuint (deim_matching_size (matching), ==, 1);
  g_assert_cmpuint (matching->pairs[0].query, ==, 2);
}

/* An output of one class matches objects of any class; an object without area has a finite cost. */
static void
test_agnostic (void)
{
  const gfloat logits[] = { 1, 1 }, boxes[] = { 0.25f, 0.25f, 0.1f, 0.1f, 0.75f, 0.75f, 0.1f, 0.1f };
  const gfloat target[] = { 0.75f, 0.75f, 0, 0 };
  const guint label = 7;
  const DeimPredictions two = { 1, 2, 1, 2, logits, boxes };
  const DeimTargets targets = { 1, &label, target };

  g_autoptr (DeimMatching) matching = deim_matcher_match (&deim_matcher_default, &two, &targets);
  g_assert_cmpuint (deim_matching_size (matching), ==, 1);
  g_assert_cmpuint (matching->pairs[0].query, ==, 1);
}

static DeimMatching *
matching_of (guint n, const DeimMatch *pairs)
{
  DeimMatching *matching = deim_matching_new (1, &n);
  memcpy (matching->pairs, pairs, n * sizeof *pairs);
  return matching;
}

static void
test_union (void)
{
  g_autoptr (DeimMatching) a = matching_of (2, (DeimMatch[]){ { 3, 0 }, { 5, 1 } });
  g_autoptr (DeimMatching) b = matching_of (2, (DeimMatch[]){ { 3, 1 }, { 4, 0 } });
  g_autoptr (DeimMatching) c = matching_of (2, (DeimMatch[]){ { 3, 1 }, { 5, 0 } });
  const DeimMatching *const all[] = { a, b, c };
  /* 3 says 1 twice and 0 once; 5 says 1 and 0 once each: the lower; 4 says 0 once. */
  const DeimMatch expected[] = { { 3, 1 }, { 4, 0 }, { 5, 0 } };

  g_autoptr (DeimMatching) united = deim_matching_unite (all, 3);
  g_assert_cmpmem (united->pairs, deim_matching_size (united) * sizeof (DeimMatch), expected, sizeof expected);
}

/* ------------------------------------------------------------------ golden */

static void
assert_same_pairs (const DeimMatching *matching, JsonArray *golden)
{
  g_autoptr (DeimMatching) expected = golden_matching (golden);
  g_assert_cmpmem (matching->first, (matching->n_images + 1) * sizeof (guint), expected->first,
                   (expected->n_images + 1) * sizeof (guint));
  g_assert_cmpmem (matching->pairs, deim_matching_size (matching) * sizeof (DeimMatch), expected->pairs,
                   deim_matching_size (expected) * sizeof (DeimMatch));
}

/* The rule makes the inputs that the official code saw. */
static void
check_inputs (const GoldenTrain *train, const GoldenPredictions *p)
{
  const struct {
    const gchar *name;
    const gfloat *values;
    gsize per_query;
  } arrays[] = {
    { "pred_logits", p->logits, train->n_classes },
    { "pred_boxes", p->boxes, 4 },
    { "pred_corners", p->corners, 4 * DEIM_FDR_BINS },
    { "ref_points", p->references, 4 },
    { "teacher_corners", p->teacher_corners, 4 * DEIM_FDR_BINS },
    { "teacher_logits", p->teacher_logits, train->n_classes },
  };
  JsonObject *places = json_object_get_object_member (train->root, "bin");
  for (guint i = 0; i < G_N_ELEMENTS (arrays); i++) {
    gsize offset =
        (gsize) json_object_get_int_member (json_object_get_object_member (places, arrays[i].name), "offset");
    gsize size = arrays[i].per_query * train->n_images * train->n_queries * sizeof (gfloat);
    g_assert_cmpmem (g_mapped_file_get_contents (train->bin) + offset, size, arrays[i].values, size);
  }
}

/* The official costs are float32; PyTorch in float64 is as far from them as we are, 3e-6. */
static void
check_costs (const GoldenTrain *train, const DeimPredictions *predictions)
{
  JsonArray *images = json_object_get_array_member (train->root, "cost");
  for (guint b = 0; b < train->n_images; b++) {
    guint n = train->targets[b].n;
    g_autofree gdouble *cost = g_new (gdouble, (gsize) train->n_queries * n);
    deim_matcher_cost (&deim_matcher_default, predictions, b, &train->targets[b], cost);
    JsonArray *rows = json_array_get_array_element (images, b);
    for (guint q = 0; n && q < train->n_queries; q++)
      for (guint t = 0; t < n; t++)
        assert_near (cost[q * n + t], json_array_get_double_element (json_array_get_array_element (rows, q), t), 1e-5);
  }
}

static void
test_golden_case (const GoldenTrain *train)
{
  g_auto (GoldenPredictions) p = { 0 };

  golden_predictions_init (&p, train, "", 0);
  if (train->bin)
    check_inputs (train, &p);
  if (json_object_has_member (train->root, "cost"))
    check_costs (train, &p.own);
  g_autoptr (DeimMatching) matching = deim_matcher_match (&deim_matcher_default, &p.own, train->targets);
  assert_same_pairs (matching, json_object_get_array_member (train->root, "indices"));
}

/* How many of @matchings have the pair in @image. */
static guint
votes_for (DeimMatching *const *matchings, guint n, guint image, DeimMatch pair)
{
  guint votes = 0;
  for (guint m = 0; m < n; m++)
    for (guint k = matchings[m]->first[image]; k < matchings[m]->first[image + 1]; k++)
      votes += matchings[m]->pairs[k].query == pair.query && matchings[m]->pairs[k].target == pair.target;
  return votes;
}

/* The official union leaves open which of equally frequent objects a query keeps: the same queries must be in it, each
 * with an object that was named as often as the official one. */
static void
check_union (DeimMatching *const *matchings, guint n, JsonArray *golden)
{
  g_autoptr (DeimMatching) expected = golden_matching (golden);
  g_autoptr (DeimMatching) united = deim_matching_unite ((const DeimMatching *const *) matchings, n);

  g_assert_cmpmem (united->first, (united->n_images + 1) * sizeof (guint), expected->first,
                   (expected->n_images + 1) * sizeof (guint));
  for (guint b = 0; b < united->n_images; b++)
    for (guint k = united->first[b]; k < united->first[b + 1]; k++) {
      guint e = expected->first[b];
      while (e < expected->first[b + 1] && expected->pairs[e].query != united->pairs[k].query)
        e++;
      g_assert_cmpuint (e, <, expected->first[b + 1]);
      g_assert_cmpuint (votes_for (matchings, n, b, united->pairs[k]), ==,
                        votes_for (matchings, n, b, expected->pairs[e]));
    }
}

static void
test_golden_union (const GoldenTrain *train)
{
  static const gchar *const dfine[] = { ".main", ".aux0", ".aux1", ".pre", ".enc" };
  static const gchar *const rtdetr[] = { ".main", ".aux0", ".aux1", ".enc" };
  JsonObject *golden = json_object_get_object_member (train->root, "matching");
  JsonArray *others = json_object_get_array_member (golden, "aux");
  gboolean is_dfine = json_object_get_boolean_member (train->root, "dfine");
  const gchar *const *parts = is_dfine ? dfine : rtdetr;
  guint n = is_dfine ? G_N_ELEMENTS (dfine) : G_N_ELEMENTS (rtdetr);
  DeimMatching *matchings[G_N_ELEMENTS (dfine)];

  g_assert_cmpuint (json_array_get_length (others), ==, n - 1);
  for (guint i = 0; i < n; i++) {
    g_auto (GoldenPredictions) p = { 0 };
    golden_predictions_init (&p, train, parts[i], 0);
    matchings[i] = deim_matcher_match (&deim_matcher_default, &p.own, train->targets);
    assert_same_pairs (matchings[i], i ? json_array_get_array_element (others, i - 1)
                                       : json_object_get_array_member (golden, "indices"));
  }
  check_union (matchings, n, json_object_get_array_member (golden, "go"));
  for (guint i = 0; i < n; i++)
    deim_matching_free (matchings[i]);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/box/iou", test_iou);
  g_test_add_func ("/box/giou", test_giou);
  g_test_add_func ("/assignment/random", test_assignment_random);
  g_test_add_func ("/assignment/special", test_assignment_special);
  g_test_add_func ("/assignment/large", test_assignment_large);
  g_test_add_func ("/matcher/by-iou", test_cost_by_iou);
  g_test_add_func ("/matcher/not-finite", test_cost_not_finite);
  g_test_add_func ("/matcher/agnostic", test_agnostic);
  g_test_add_func ("/matcher/union", test_union);
  golden_train_add_tests ("/matcher", test_golden_case, test_golden_union);
  return g_test_run ();
}
