/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-criterion.c - losses and their gradients against those of the official implementation. */
#include "golden-train.h"
#include "trainer/losses.h"

#include <float.h>
#include <math.h>
#include <string.h>

#define CORNERS (4 * DEIM_FDR_BINS)

static void
assert_near (const gchar *what, gdouble value, gdouble expected, gdouble tolerance)
{
  if (!(fabs (value - expected) <= tolerance))
    g_error ("%s: got %.9g, expected %.9g, tolerance %.3g", what, value, expected, tolerance);
}

static gdouble
member (JsonObject *object, const gchar *name)
{
  return json_object_get_double_member (object, name);
}

/* Losses to 1e-5 relative; gradients to 1e-4, or to what PyTorch in float32 is from itself in float64 (three digits are
 * given), plus our rounding to float32. */
static void
check_loss (const GoldenTrain *train, const gchar *name, gdouble loss, const gfloat *gradient)
{
  gdouble expected = member (json_object_get_object_member (train->root, "loss"), name);
  JsonObject *golden = json_object_get_object_member (json_object_get_object_member (train->root, "grad"), name);
  JsonArray *shape = json_object_get_array_member (golden, "shape");
  gsize size = 1;
  gdouble sum = 0, sum_abs = 0;

  assert_near (name, loss, expected, 1e-5 * fabs (expected));
  for (guint i = 0; i < json_array_get_length (shape); i++)
    size *= (gsize) json_array_get_int_element (shape, i);
  for (gsize i = 0; i < size; i++) {
    sum += gradient[i];
    sum_abs += fabs (gradient[i]);
  }
  gdouble noise = 1.01 * member (json_object_get_object_member (train->root, "grad_maxdiff_f64"), name);
  JsonArray *full = json_object_has_member (golden, "full") ? json_object_get_array_member (golden, "full") : NULL;
  JsonArray *places = full ? NULL : json_object_get_array_member (golden, "index");
  JsonArray *values = full ? full : json_object_get_array_member (golden, "value");
  for (guint i = 0; i < json_array_get_length (values); i++) {
    gdouble value = json_array_get_double_element (values, i);
    gsize place = places ? (gsize) json_array_get_int_element (places, i) : i;
    g_assert_cmpuint (place, <, size);
    assert_near (name, gradient[place], value, MAX (1e-4 * fabs (value), noise + FLT_EPSILON * fabs (value)));
  }
  if (!full) {
    assert_near (name, sum_abs, member (golden, "sum_abs"), 1e-5 * sum_abs);
    assert_near (name, sum, member (golden, "sum"), 1e-5 * sum_abs);
  }
}

static gfloat *
gradient_like (const GoldenTrain *train, gsize per_query)
{
  return g_new0 (gfloat, train->n_images * train->n_queries * per_query);
}

static void
check_classes (const GoldenTrain *train, const GoldenPredictions *p, const DeimMatching *matching, gdouble scale)
{
  const struct {
    const gchar *name;
    gboolean vfl;
    gdouble mal_alpha;
  } variants[] = { { "mal", FALSE, 1 }, { "mal_alpha0.6", FALSE, 0.6 }, { "vfl", TRUE, 1 } };

  for (guint i = 0; i < G_N_ELEMENTS (variants); i++) {
    DeimCriterion criterion = deim_criterion_default;
    g_autofree gfloat *gradient = gradient_like (train, train->n_classes);
    criterion.vfl = variants[i].vfl;
    criterion.mal_alpha = variants[i].mal_alpha;
    gdouble loss = deim_loss_class (&criterion, &p->own, train->targets, matching, scale, gradient);
    check_loss (train, variants[i].name, loss, gradient);
  }
}

/* DDF through the criterion, which knows how to weigh matched and other queries: the teacher as the main output. */
static void
check_ddf (const GoldenTrain *train, const GoldenPredictions *p, const DeimMatching *matching)
{
  DeimCriterion criterion = deim_criterion_default;
  DeimFdrAttrs fdr = golden_fdr ();
  g_autofree gfloat *gradient = gradient_like (train, CORNERS);
  DeimPart parts[] = { { .role = DEIM_PART_MAIN, .own = p->own },
                       { .role = DEIM_PART_AUX, .own = p->own, .d_corners = gradient } };

  memset (criterion.weights, 0, sizeof criterion.weights);
  criterion.weights[DEIM_LOSS_DDF] = 1;
  parts[0].own.logits = p->teacher_logits;
  parts[0].own.corners = p->teacher_corners;
  deim_criterion_match (&deim_matcher_default, parts, 2, train->targets);
  const DeimCriterionBatch batch = {
    .targets = train->targets,
    .united = matching,
    .fdr = &fdr,
    .counts = deim_criterion_count (train->targets, train->n_images, matching, NULL),
  };
  deim_criterion_run (&criterion, &batch, parts, 2);
  g_assert_false (parts[0].has[DEIM_LOSS_DDF]);
  check_loss (train, "ddf", parts[1].losses[DEIM_LOSS_DDF], gradient);
  deim_parts_clear (parts, 2);
}

/* The bins and weights that the full cases list for the matched pairs, four edges each. */
static void
check_fgl_targets (const GoldenTrain *train, const GoldenPredictions *p, const DeimMatching *matching,
                   const DeimFdrAttrs *fdr)
{
  JsonArray *bins = json_object_get_array_member (train->root, "fgl_target");
  JsonArray *weights = json_object_get_array_member (train->root, "fgl_weight_right");
  guint n = 0;

  for (guint b = 0; b < train->n_images; b++)
    for (guint k = matching->first[b]; k < matching->first[b + 1]; k++) {
      const DeimMatch *pair = &matching->pairs[k];
      guint bin[4];
      gdouble weight[4];
      deim_loss_fgl_target (fdr, p->references + deim_predictions_row (&p->own, b, pair->query) * 4,
                            train->targets[b].boxes + pair->target * 4, bin, weight);
      for (guint edge = 0; edge < 4; edge++, n++) {
        /* The official distance is a difference of float32 coordinates over a small size: four roundings of it. */
        gfloat size = p->references[deim_predictions_row (&p->own, b, pair->query) * 4 + 2 + edge % 2];
        gdouble noise = 4 * (gdouble) FLT_EPSILON / 2 * fdr->reg_scale / size;
        gdouble width = fdr->bins[bin[edge] + 1] - fdr->bins[bin[edge]];
        g_assert_cmpuint (bin[edge], ==, (guint) json_array_get_double_element (bins, n));
        assert_near ("fgl_weight_right", weight[edge], json_array_get_double_element (weights, n),
                     noise / width + 1e-6);
      }
    }
  g_assert_cmpuint (n, ==, json_array_get_length (bins));
}

static void
test_golden_single (const GoldenTrain *train)
{
  g_auto (GoldenPredictions) p = { 0 };
  g_autoptr (DeimMatching) matching = golden_matching (json_object_get_array_member (train->root, "indices"));
  gdouble scale = 1 / member (train->root, "num_boxes");
  DeimFdrAttrs fdr = golden_fdr ();
  JsonArray *bins = json_object_get_array_member (train->root, "W");

  for (guint i = 0; i < DEIM_FDR_BINS; i++)
    assert_near ("W", fdr.bins[i], json_array_get_double_element (bins, i), 1e-6);
  golden_predictions_init (&p, train, "", 0);
  check_classes (train, &p, matching, scale);
  g_autofree gfloat *d_bbox = gradient_like (train, 4), *d_giou = gradient_like (train, 4);
  check_loss (train, "bbox", deim_loss_bbox (&p.own, train->targets, matching, scale, d_bbox), d_bbox);
  check_loss (train, "giou", deim_loss_giou (&p.own, train->targets, matching, scale, d_giou), d_giou);
  g_autofree gfloat *d_fgl = gradient_like (train, CORNERS);
  check_loss (train, "fgl", deim_loss_fgl (&p.own, &fdr, train->targets, matching, scale, d_fgl), d_fgl);
  check_ddf (train, &p, matching);
  if (json_object_has_member (train->root, "fgl_target"))
    check_fgl_targets (train, &p, matching, &fdr);
}

static void
test_golden_whole (const GoldenTrain *train)
{
  JsonObject *golden = json_object_get_object_member (train->root, "weighted_losses");
  JsonArray *go = json_object_get_array_member (json_object_get_object_member (train->root, "matching"), "go");
  g_autoptr (DeimMatching) united = golden_matching (go), denoising = golden_denoising (train);
  DeimFdrAttrs fdr = golden_fdr ();
  DeimCriterion criterion = deim_criterion_default;
  guint found = 0;
  GoldenWhole whole;

  golden_whole_init (&whole, train);
  criterion.use_union = criterion.local = json_object_get_boolean_member (train->root, "use_uni_set");
  deim_criterion_match (&deim_matcher_default, whole.parts, whole.n, train->targets);
  const DeimCriterionBatch batch = {
    .targets = train->targets,
    .united = united,
    .denoising = denoising,
    .fdr = &fdr,
    .counts = deim_criterion_count (train->targets, train->n_images, united, denoising),
  };
  gdouble total = deim_criterion_run (&criterion, &batch, whole.parts, whole.n);
  for (guint i = 0; i < whole.n; i++)
    for (guint k = 0; k < DEIM_LOSS_LAST; k++) {
      g_autofree gchar *key = deim_criterion_key (&criterion, whole.parts, i, k);
      g_assert_cmpint (json_object_has_member (golden, key), ==, whole.parts[i].has[k]);
      if (!whole.parts[i].has[k])
        continue;
      gdouble expected = member (golden, key);
      assert_near (key, whole.parts[i].losses[k], expected, 1e-5 * expected);
      found++;
    }
  g_assert_cmpuint (found, ==, json_object_get_size (golden));
  assert_near ("total", total, member (train->root, "total"), 1e-5 * total);
  golden_whole_finish (&whole);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  golden_train_add_tests ("/criterion", test_golden_single, test_golden_whole);
  return g_test_run ();
}
