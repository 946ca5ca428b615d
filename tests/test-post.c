/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-post.c - the official post-processor's results, from its own inputs: the logits and boxes of every golden set go
 * through the last operator on the device and the mapping to pixels, and what comes out is "post" of the set: the same
 * (query, class) pairs with the same scores and boxes. Needs $DEIM_SHARED.
 */
#include "parity.h"

#include "engine/graph/op.h"
#include "engine/image/preprocess.h"
#include "engine/ops/ops.h"

#include <math.h>

/* Scores: a sigmoid in float32. Boxes: sums of numbers up to 1000 in float32. */
#define SCORE_OFF 1e-6
#define PIXEL_OFF 1e-3

/* What may be missing: equals, or nearly, of the last score that is kept. */
#define LAST_MARGIN 1e-4

typedef struct {
  gint label;
  gfloat score, box[4];
} Found;

/* [q][c] -> [c][q] */
static gfloat *
transpose (const gfloat *rows, gint q, gint c)
{
  gfloat *columns = g_new (gfloat, q * c);
  for (gint i = 0; i < q; i++)
    for (gint k = 0; k < c; k++)
      columns[k * q + i] = rows[i * c + k];
  return columns;
}

/* The best @n pairs, by the device. */
static GArray *
run_device (const gfloat *logits, const gfloat *boxes, gint q, gint c, gint n, guint width, guint height)
{
  g_autoptr (GError) error = NULL;
  const ParityBackend *backend = parity_backend_find ("vulkan");
  DeimParamSource none = { 0 };
  DeimGraph *graph = deim_graph_new (&none);
  DeimTensor *in[] = { deim_input (graph, "logits", (DeimShape){ 1, c, 1, q }),
                       deim_input (graph, "boxes", (DeimShape){ 1, 4, 1, q }) };
  DeimTensor *out = deim_detections (graph, in[0], in[1], n);
  deim_graph_mark_output (graph, out);
  gpointer session = backend->open (graph, &out, 1, &error);
  g_assert_no_error (error);
  g_autofree gfloat *columns = transpose (logits, q, c), *box_columns = transpose (boxes, q, 4);
  const DeimFeed feeds[] = { { in[0], columns }, { in[1], box_columns } };
  gfloat *records = NULL; /* [8][n]: score, class, query, 0, box */
  backend->run (session, feeds, 2, &records, &error);
  g_assert_no_error (error);
  backend->close (session);

  DeimFrame frame = { .format = DEIM_FORMAT_RGB, .width = width, .height = height, .stride = { 3 * width } };
  const guint8 unread = 0; /* only the geometry counts */
  frame.data[0] = &unread;
  DeimPreprocess preprocess;
  g_assert_true (deim_preprocess_init (&preprocess, &frame, 320, 320, DEIM_RESIZE_STRETCH, &error));
  GArray *found = g_array_new (FALSE, FALSE, sizeof (Found));
  for (gint i = 0; i < n; i++) {
    Found one = { (gint) records[n + i], records[i], { 0 } };
    const gfloat box[] = { records[4 * n + i], records[5 * n + i], records[6 * n + i], records[7 * n + i] };
    deim_preprocess_map_box (&preprocess, box, one.box);
    g_array_append_val (found, one);
  }
  deim_preprocess_finish (&preprocess);
  g_free (records);
  return found;
}

static gdouble
distance (const gfloat *a, const gfloat *b)
{
  gdouble worst = 0;
  for (guint k = 0; k < 4; k++)
    worst = fmax (worst, fabs ((gdouble) a[k] - (gdouble) b[k]));
  return worst;
}

static void
test_case (GoldenSet *set, JsonObject *json)
{
  JsonObject *post = json_object_get_object_member (json, "post");
  gsize n_logits, n_boxes, n;
  const gfloat *logits = golden_set_array (set, json, "logits", &n_logits);
  const gfloat *boxes = golden_set_array (set, json, "boxes", &n_boxes);
  const gint32 *labels = golden_set_array (set, post, "labels", &n);
  const gfloat *scores = golden_set_array (set, post, "scores", &n);
  const gfloat *pixels = golden_set_array (set, post, "boxes", NULL);
  gint q = (gint) n_boxes / 4, c = (gint) n_logits / q;
  guint width = (guint) json_object_get_int_member (post, "orig_w");
  guint height = (guint) json_object_get_int_member (post, "orig_h");
  g_autoptr (GArray) found = run_device (logits, boxes, q, c, (gint) n, width, height);

  g_autofree gboolean *taken = g_new0 (gboolean, n);
  guint missing = 0;
  gdouble worst_score = 0, worst_box = 0;
  for (gsize i = 0; i < n; i++) {
    gsize best = n;
    for (gsize k = 0; k < n; k++) {
      const Found *one = &g_array_index (found, Found, k);
      if (!taken[k] && one->label == labels[i] && distance (one->box, pixels + 4 * i) < PIXEL_OFF &&
          fabs ((gdouble) one->score - (gdouble) scores[i]) < SCORE_OFF) {
        best = k;
        break;
      }
    }
    if (best == n) {
      missing++;
      g_assert_cmpfloat ((gdouble) scores[i], <, (gdouble) scores[n - 1] + LAST_MARGIN);
      continue;
    }
    taken[best] = TRUE;
    const Found *one = &g_array_index (found, Found, best);
    worst_box = fmax (worst_box, distance (one->box, pixels + 4 * i));
    worst_score = fmax (worst_score, fabs ((gdouble) one->score - (gdouble) scores[i]));
  }
  g_test_message ("%s: %u of %u found, scores within %.1e, boxes within %.1e pixels", set->name, (guint) n - missing,
                  (guint) n, worst_score, worst_box);
  for (guint i = 1; i < found->len; i++)
    g_assert_cmpfloat ((gdouble) g_array_index (found, Found, i - 1).score, >=,
                       (gdouble) g_array_index (found, Found, i).score);
}

static void
test_set (GoldenSet *set)
{
  guint cases = golden_set_n_cases (set);
  for (guint i = 0; i < cases; i++)
    test_case (set, golden_set_case (set, i));
}

gint
main (gint argc, gchar **argv)
{
  g_test_init (&argc, &argv, NULL);
  parity_add_sets ("post", "", test_set);
  return g_test_run ();
}
