/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * evaluation.c - average precision as COCO defines it.
 *
 * Classes are independent. In one class, per picture, detections take objects
 * greedily, best score first, once for every IoU threshold and area range.
 * All pictures' detections, ordered by score, then trace recall and precision,
 * and precision is averaged over 101 recalls.
 *
 * An object that is a crowd or whose area lies outside the range is "ignored":
 * it need not be found, and a detection that has to be matched with it counts
 * neither as right nor as wrong. So does an unmatched detection whose own area
 * is outside the range.
 */
#include "evaluation.h"

#include <string.h>

#define N_IOUS         10
#define N_AREAS        4
#define N_RECALLS      101
#define MAX_DETECTIONS 100

enum { AREA_ALL, AREA_SMALL, AREA_MEDIUM, AREA_LARGE };

static const gdouble area_limits[N_AREAS][2] = {
  { 0, 1e10 },
  { 0, 32 * 32 },
  { 32 * 32, 96 * 96 },
  { 96 * 96, 1e10 },
};

/* What became of one detection. Bit t stands for IoU threshold t. */
typedef struct {
  gdouble score;
  guint order; /* picture by picture: breaks ties of the score */
  guint rank;  /* in its picture and class, 0 is the best */
  guint16 matched[N_AREAS];
  guint16 ignored[N_AREAS];
} Outcome;

/* One class. */
typedef struct {
  GArray *outcomes;         /* of Outcome */
  guint n_objects[N_AREAS]; /* not ignored */
} Tally;

/* One class of one picture. */
typedef struct {
  const DeimCocoDetection *detections[MAX_DETECTIONS]; /* best first */
  guint n_detections;
  const DeimCocoObject **objects;
  guint n_objects;
  gdouble *ious;             /* [n_detections, n_objects] */
  guint *order;              /* of objects: those that count first */
  gboolean *ignored, *taken; /* [n_objects] */
} Scene;

/* Sums over the classes that have objects at all. */
typedef struct {
  gdouble sum;
  guint n;
} Mean;

static gdouble
iou_threshold (guint index)
{
  /* The rounding of these steps decides about boxes that lie exactly on a threshold, so they are taken as the
   * original takes them. */
  const gdouble step = (0.95 - 0.5) / (N_IOUS - 1);
  return index == N_IOUS - 1 ? 0.95 : index * step + 0.5;
}

static gdouble
recall_point (guint index)
{
  return index == N_RECALLS - 1 ? 1.0 : index * 0.01;
}

static gdouble
intersection_over_union (const DeimCocoDetection *d, const DeimCocoObject *o)
{
  gdouble w = MIN (d->x + d->w, o->x + o->w) - MAX (d->x, o->x);
  gdouble h = MIN (d->y + d->h, o->y + o->h) - MAX (d->y, o->y);

  if (w <= 0 || h <= 0)
    return 0;
  /* A crowd may hold many detections: what counts is how much of the detection lies in it. */
  gdouble whole = o->crowd ? d->w * d->h : d->w * d->h + o->w * o->h - w * h;
  return w * h / whole;
}

static gboolean
outside (gdouble area, guint range)
{
  return area < area_limits[range][0] || area > area_limits[range][1];
}

/* The object that detection @d takes at @threshold, or -1. */
static gint
best_object (const Scene *scene, guint d, gdouble threshold)
{
  gdouble best = threshold;
  gint choice = -1;

  for (guint i = 0; i < scene->n_objects; i++) {
    guint o = scene->order[i];
    if (scene->taken[o] && !scene->objects[o]->crowd)
      continue;
    /* Ignored objects stand last: they are taken only where no other fits. */
    if (choice >= 0 && !scene->ignored[choice] && scene->ignored[o])
      break;
    gdouble iou = scene->ious[(gsize) d * scene->n_objects + o];
    if (iou < best)
      continue;
    best = iou;
    choice = (gint) o;
  }
  return choice;
}

static void
match_range (Scene *scene, guint range, Outcome *outcomes, Tally *tally)
{
  guint n = 0;

  for (guint o = 0; o < scene->n_objects; o++)
    scene->ignored[o] = scene->objects[o]->crowd || outside (scene->objects[o]->area, range);
  for (guint pass = 0; pass < 2; pass++)
    for (guint o = 0; o < scene->n_objects; o++)
      if (scene->ignored[o] == (gboolean) pass)
        scene->order[n++] = o;
  for (guint o = 0; o < scene->n_objects; o++)
    tally->n_objects[range] += !scene->ignored[o];

  for (guint t = 0; t < N_IOUS; t++) {
    memset (scene->taken, 0, scene->n_objects * sizeof *scene->taken);
    for (guint d = 0; d < scene->n_detections; d++) {
      gint o = best_object (scene, d, MIN (iou_threshold (t), 1 - 1e-10));
      gboolean ignored;
      if (o >= 0) {
        scene->taken[o] = TRUE;
        outcomes[d].matched[range] |= 1u << t;
        ignored = scene->ignored[o];
      } else {
        ignored = outside (scene->detections[d]->w * scene->detections[d]->h, range);
      }
      if (ignored)
        outcomes[d].ignored[range] |= 1u << t;
    }
  }
}

static void
match_scene (Scene *scene, Tally *tally)
{
  Outcome outcomes[MAX_DETECTIONS] = { 0 };

  scene->ious = g_new (gdouble, (gsize) scene->n_detections * scene->n_objects + 1);
  scene->order = g_new (guint, scene->n_objects + 1);
  scene->ignored = g_new (gboolean, scene->n_objects + 1);
  scene->taken = g_new (gboolean, scene->n_objects + 1);
  for (guint d = 0; d < scene->n_detections; d++) {
    outcomes[d].score = scene->detections[d]->score;
    outcomes[d].order = tally->outcomes->len + d;
    outcomes[d].rank = d;
    for (guint o = 0; o < scene->n_objects; o++)
      scene->ious[(gsize) d * scene->n_objects + o] = intersection_over_union (scene->detections[d], scene->objects[o]);
  }
  for (guint range = 0; range < N_AREAS; range++)
    match_range (scene, range, outcomes, tally);
  g_array_append_vals (tally->outcomes, outcomes, scene->n_detections);
  g_free (scene->ious);
  g_free (scene->order);
  g_free (scene->ignored);
  g_free (scene->taken);
}

static gint
compare_outcomes (gconstpointer a, gconstpointer b)
{
  const Outcome *x = a, *y = b;
  if (x->score != y->score)
    return x->score > y->score ? -1 : 1;
  return (x->order > y->order) - (x->order < y->order);
}

/*
 * Walks the outcomes of one class, range, threshold and limit of detections per
 * picture. Returns the recall reached at the end; @ret_precision (nullable) is
 * the mean of the best precision at or beyond each of the recall points.
 */
static gdouble
trace_curve (const Tally *tally, guint range, guint threshold, guint limit, gdouble *ret_precision)
{
  g_autofree gdouble *recall = g_new (gdouble, tally->outcomes->len + 1);
  g_autofree gdouble *precision = g_new (gdouble, tally->outcomes->len + 1);
  const guint16 bit = 1u << threshold;
  gdouble right = 0, wrong = 0, sum = 0;
  guint n = 0;

  for (guint i = 0; i < tally->outcomes->len; i++) {
    const Outcome *outcome = &g_array_index (tally->outcomes, Outcome, i);
    if (outcome->rank >= limit || (outcome->ignored[range] & bit))
      continue;
    if (outcome->matched[range] & bit)
      right++;
    else
      wrong++;
    recall[n] = right / tally->n_objects[range];
    precision[n++] = right / (right + wrong);
  }
  if (ret_precision) {
    for (guint i = n; i-- > 1;)
      precision[i - 1] = MAX (precision[i - 1], precision[i]);
    for (guint point = 0, i = 0; point < N_RECALLS; point++) {
      while (i < n && recall[i] < recall_point (point))
        i++;
      if (i < n)
        sum += precision[i];
    }
    *ret_precision = sum / N_RECALLS;
  }
  return n ? recall[n - 1] : 0;
}

static void
add (Mean *mean, gdouble value)
{
  mean->sum += value;
  mean->n++;
}

static void
score_class (Tally *tally, Mean means[DEIM_EVALUATION_LAST])
{
  static const guint limits[] = { 1, 10, MAX_DETECTIONS };
  static const DeimEvaluationNumber ap[N_AREAS] = { DEIM_EVALUATION_AP, DEIM_EVALUATION_AP_SMALL,
                                                    DEIM_EVALUATION_AP_MEDIUM, DEIM_EVALUATION_AP_LARGE };
  static const DeimEvaluationNumber ar[N_AREAS] = { DEIM_EVALUATION_AR100, DEIM_EVALUATION_AR_SMALL,
                                                    DEIM_EVALUATION_AR_MEDIUM, DEIM_EVALUATION_AR_LARGE };

  g_array_sort (tally->outcomes, compare_outcomes);
  for (guint range = 0; range < N_AREAS; range++) {
    if (tally->n_objects[range] == 0)
      continue;
    for (guint t = 0; t < N_IOUS; t++) {
      gdouble precision;
      add (&means[ar[range]], trace_curve (tally, range, t, MAX_DETECTIONS, &precision));
      add (&means[ap[range]], precision);
      if (range != AREA_ALL)
        continue;
      if (t == 0)
        add (&means[DEIM_EVALUATION_AP50], precision);
      if (t == 5)
        add (&means[DEIM_EVALUATION_AP75], precision);
      add (&means[DEIM_EVALUATION_AR1], trace_curve (tally, range, t, limits[0], NULL));
      add (&means[DEIM_EVALUATION_AR10], trace_curve (tally, range, t, limits[1], NULL));
    }
  }
}

static gint
compare_objects (gconstpointer a, gconstpointer b)
{
  const DeimCocoObject *x = *(DeimCocoObject *const *) a, *y = *(DeimCocoObject *const *) b;
  if (x->category != y->category)
    return x->category < y->category ? -1 : 1;
  if (x->image != y->image)
    return x->image < y->image ? -1 : 1;
  return (x > y) - (x < y); /* the order of the file */
}

static gint
compare_detections (gconstpointer a, gconstpointer b)
{
  const DeimCocoDetection *x = *(DeimCocoDetection *const *) a, *y = *(DeimCocoDetection *const *) b;
  if (x->category != y->category)
    return x->category < y->category ? -1 : 1;
  if (x->image != y->image)
    return x->image < y->image ? -1 : 1;
  if (x->score != y->score)
    return x->score > y->score ? -1 : 1;
  return (x > y) - (x < y);
}

void
deim_evaluation_run (const DeimCoco *coco, const GArray *detections, DeimEvaluation *ret_evaluation)
{
  g_autoptr (GPtrArray) objects = g_ptr_array_new (), found = g_ptr_array_new ();
  Mean means[DEIM_EVALUATION_LAST] = { 0 };

  for (guint i = 0; i < coco->objects->len; i++)
    g_ptr_array_add (objects, &g_array_index (coco->objects, DeimCocoObject, i));
  for (guint i = 0; i < detections->len; i++)
    g_ptr_array_add (found, &g_array_index (detections, DeimCocoDetection, i));
  g_ptr_array_sort (objects, compare_objects);
  g_ptr_array_sort (found, compare_detections);

  guint o = 0, d = 0;
  for (guint category = 0; category < coco->categories->len; category++) {
    Tally tally = { .outcomes = g_array_new (FALSE, FALSE, sizeof (Outcome)) };
    for (;;) {
      const DeimCocoObject *object = o < objects->len ? objects->pdata[o] : NULL;
      const DeimCocoDetection *detection = d < found->len ? found->pdata[d] : NULL;
      gboolean has_object = object && object->category == category;
      gboolean has_detection = detection && detection->category == category;
      if (!has_object && !has_detection)
        break;
      guint image = MIN (has_object ? object->image : G_MAXUINT, has_detection ? detection->image : G_MAXUINT);

      Scene scene = { .objects = (const DeimCocoObject **) &objects->pdata[o] };
      for (; o < objects->len && (object = objects->pdata[o])->category == category && object->image == image; o++)
        scene.n_objects++;
      for (; d < found->len && (detection = found->pdata[d])->category == category && detection->image == image; d++)
        if (scene.n_detections < MAX_DETECTIONS)
          scene.detections[scene.n_detections++] = detection;
      match_scene (&scene, &tally);
    }
    score_class (&tally, means);
    g_array_unref (tally.outcomes);
  }
  for (guint i = 0; i < DEIM_EVALUATION_LAST; i++)
    ret_evaluation->numbers[i] = means[i].n ? means[i].sum / means[i].n : -1;
}

const gchar *
deim_evaluation_key (DeimEvaluationNumber number)
{
  static const gchar *const keys[] = { "AP",  "AP50", "AP75",  "APs", "APm", "APl",
                                       "AR1", "AR10", "AR100", "ARs", "ARm", "ARl" };
  G_STATIC_ASSERT (G_N_ELEMENTS (keys) == DEIM_EVALUATION_LAST);
  return number < DEIM_EVALUATION_LAST ? keys[number] : NULL;
}

gchar *
deim_evaluation_format (const DeimEvaluation *evaluation)
{
  static const struct {
    const gchar *iou, *area;
    guint limit;
  } rows[DEIM_EVALUATION_LAST] = {
    { "0.50:0.95", "all", 100 },   { "0.50", "all", 100 },         { "0.75", "all", 100 },
    { "0.50:0.95", "small", 100 }, { "0.50:0.95", "medium", 100 }, { "0.50:0.95", "large", 100 },
    { "0.50:0.95", "all", 1 },     { "0.50:0.95", "all", 10 },     { "0.50:0.95", "all", 100 },
    { "0.50:0.95", "small", 100 }, { "0.50:0.95", "medium", 100 }, { "0.50:0.95", "large", 100 },
  };
  g_autoptr (GString) text = g_string_new (NULL);

  for (guint i = 0; i < DEIM_EVALUATION_LAST; i++)
    g_string_append_printf (text, " Average %-9s  (%s) @[ IoU=%-9s | area=%6s | maxDets=%3u ] = %5.3f\n",
                            i < DEIM_EVALUATION_AR1 ? "Precision" : "Recall", i < DEIM_EVALUATION_AR1 ? "AP" : "AR",
                            rows[i].iou, rows[i].area, rows[i].limit, evaluation->numbers[i]);
  return g_string_free (g_steal_pointer (&text), FALSE);
}
