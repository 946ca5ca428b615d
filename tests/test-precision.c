/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-precision.c - what fp16 storage does to every network.
 *
 *     test-precision                     the committed sets
 *     test-precision --set deim_dfine    all golden sets that begin so, if they are there ('': all)
 *     test-precision --first             of each set the first picture only
 *
 * Each set runs as fp16 and is compared with the golden results (with our own
 * fp32 where the set is reduced; test-parity has compared that with the golden
 * ones). A set prints one row of the table in docs/precision.md:
 *
 *     set | selected by both, % | logits: median 95 % max | boxes: median 95 % max | best detections found again
 *
 * Errors are those of queries of the same token: the largest over classes, or
 * over the four numbers of a box (0..1 of the picture). The last column looks
 * at detections as users get them: of the ten with the best scores, how many
 * are among the fp16 run's 300 with the same label, a score within 0.05 and
 * the same box: IoU above 0.9, or no side off by more than a pixel (random
 * weights make boxes thinner than a pixel).
 */
#include "parity.h"

#include <math.h>
#include <string.h>

#include "engine/graph/op.h"

/*
 * What a set must keep. Golden weights are random: hundreds of tokens have nearly the same score, and one more or less
 * among the queries changes all others, through self-attention; discrete sampling takes another pixel as soon as a
 * location crosses a border. So there are two bounds: for sets in which both select the same tokens and sampling is
 * continuous, of fp16 alone; and for the others. Measured figures are in docs/precision.md.
 */
#define MIN_TOKENS   0.97 /* of the selected ones, selected by both */
#define MAX_LOGITS   0.1  /* median over queries */
#define MAX_BOXES    0.005
#define MIN_TOP      7 /* of TOP; 9 or 10 in all but two of the 33 sets concerned */
#define LOOSE_LOGITS 1.0
#define LOOSE_BOXES  0.05

#define TOP     10
#define LISTED  300
#define MIN_IOU 0.9
#define SCORE   0.05f

static gboolean first_only;

/* Results of one picture. Columns are queries. */
typedef struct {
  guint q, classes;
  gint32 *index;
  gfloat *logits; /* [classes][q] */
  gfloat *boxes;  /* [4][q] */
} Results;

static void
results_clear (Results *results)
{
  g_free (results->index);
  g_free (results->logits);
  g_free (results->boxes);
}

typedef struct {
  GArray *logits, *boxes; /* gdouble: per query that both selected, its largest error */
  guint queries, same;    /* over all pictures */
  guint top, top_found;
  gboolean discrete;
  gboolean ranked; /* a query's content belongs to its rank: other ranks are other queries */
  gboolean finite;
} Figures;

/* ----------------------------------------------------------------- running */

typedef struct {
  const ParityBackend *backend;
  gpointer session;
} Session;

static gboolean
session_open (Session *session, const gchar *backend, const GoldenSet *set, DeimArch *ret_arch, gchar **ret_message)
{
  g_autoptr (GError) error = NULL;
  DeimNetworkOutputs outputs;
  DeimGraph *graph = parity_build_set (set, ret_arch, &outputs, ret_message);
  if (!graph)
    return FALSE;
  DeimTensor *wanted[] = { outputs.logits, outputs.boxes, outputs.tokens };
  session->backend = parity_backend_find (backend);
  session->session = session->backend->open (graph, &outputs, wanted, G_N_ELEMENTS (wanted), &error);
  if (!session->session)
    *ret_message = g_strdup (error->message);
  return session->session != NULL;
}

static void
session_close (Session *session)
{
  if (session->session)
    session->backend->close (session->session);
  session->session = NULL;
}

static gboolean
session_run (Session *session, const DeimArch *arch, const gfloat *picture, Results *ret, gchar **ret_message)
{
  g_autoptr (GError) error = NULL;
  gfloat *values[3];
  if (!session->backend->run (session->session, picture, values, &error)) {
    *ret_message = g_strdup (error->message);
    return FALSE;
  }
  *ret = (Results){ .q = (guint) arch->decoder.queries,
                    .classes = (guint) arch->decoder.classes,
                    .logits = values[0],
                    .boxes = values[1],
                    .index = (gint32 *) values[2] };
  return TRUE;
}

static gfloat *
transpose (const gfloat *rows, guint n, guint width)
{
  gfloat *columns = g_new (gfloat, (gsize) n * width);
  for (guint i = 0; i < n; i++)
    for (guint j = 0; j < width; j++)
      columns[(gsize) j * n + i] = rows[(gsize) i * width + j];
  return columns;
}

/* The golden results of a case; FALSE if the set holds a part of them only. */
static gboolean
take_golden (const GoldenSet *set, JsonObject *json, const DeimArch *arch, Results *ret)
{
  guint q = (guint) arch->decoder.queries, classes = (guint) arch->decoder.classes;
  gsize n;
  if (json_object_has_member (json, "logits_rows"))
    return FALSE;
  const gfloat *logits = golden_set_array (set, json, "logits", &n);
  g_assert_cmpuint (n, ==, q * classes);
  const gfloat *boxes = golden_set_array (set, json, "boxes", &n);
  g_assert_cmpuint (n, ==, q * 4);
  const gint32 *index = golden_set_array (set, json, "topk_index", &n);
  g_assert_cmpuint (n, ==, q);
  *ret = (Results){ q, classes, g_memdup2 (index, q * sizeof *index), transpose (logits, q, classes),
                    transpose (boxes, q, 4) };
  return TRUE;
}

/* --------------------------------------------------------------- comparing */

/* The largest difference between column @i of @a and @j of @b, both [width][q]. */
static gdouble
column_error (const gfloat *a, guint i, const gfloat *b, guint j, guint width, guint q)
{
  gdouble worst = 0;
  for (guint k = 0; k < width; k++)
    worst = fmax (worst, fabs ((gdouble) a[(gsize) k * q + i] - (gdouble) b[(gsize) k * q + j]));
  return worst;
}

static void
compare_queries (const Results *expected, const Results *got, Figures *figures)
{
  g_autoptr (GHashTable) places = g_hash_table_new (NULL, NULL);
  for (guint j = 0; j < got->q; j++)
    g_hash_table_insert (places, GINT_TO_POINTER (got->index[j] + 1), GUINT_TO_POINTER (j + 1));
  figures->queries += expected->q;
  for (guint i = 0; i < expected->q; i++) {
    guint place = GPOINTER_TO_UINT (g_hash_table_lookup (places, GINT_TO_POINTER (expected->index[i] + 1)));
    if (!place)
      continue;
    figures->same++;
    if (figures->ranked && place != i + 1)
      continue;
    gdouble logits = column_error (expected->logits, i, got->logits, place - 1, expected->classes, expected->q);
    gdouble boxes = column_error (expected->boxes, i, got->boxes, place - 1, 4, expected->q);
    g_array_append_val (figures->logits, logits);
    g_array_append_val (figures->boxes, boxes);
  }
}

typedef struct {
  gfloat score, box[4]; /* x1 y1 x2 y2 */
  guint label;
  gboolean taken;
} Found;

static gint
compare_scores (gconstpointer a, gconstpointer b)
{
  gfloat x = ((const Found *) a)->score, y = ((const Found *) b)->score;
  return x > y ? -1 : x < y;
}

/* The @n best (query, class) pairs, best first. */
static GArray *
list_detections (const Results *results, guint n)
{
  GArray *all = g_array_new (FALSE, FALSE, sizeof (Found));
  const gfloat *b = results->boxes;
  gsize q = results->q;
  for (guint c = 0; c < results->classes; c++)
    for (guint i = 0; i < q; i++) {
      gfloat x = b[i], y = b[q + i], w = b[2 * q + i], h = b[3 * q + i];
      Found found = { .score = 1.0f / (1.0f + expf (-results->logits[c * q + i])),
                      .box = { x - w / 2, y - h / 2, x + w / 2, y + h / 2 },
                      .label = c };
      g_array_append_val (all, found);
    }
  g_array_sort (all, compare_scores);
  g_array_set_size (all, MIN (n, all->len));
  return all;
}

static gdouble
iou (const gfloat *a, const gfloat *b)
{
  gdouble w = fmin (a[2], b[2]) - fmax (a[0], b[0]), h = fmin (a[3], b[3]) - fmax (a[1], b[1]);
  gdouble both = w > 0 && h > 0 ? w * h : 0;
  gdouble all = (gdouble) (a[2] - a[0]) * (gdouble) (a[3] - a[1]) + (gdouble) (b[2] - b[0]) * (gdouble) (b[3] - b[1]);
  return both / (all - both);
}

static gboolean
same_box (const gfloat *a, const gfloat *b, const GoldenSet *set)
{
  gboolean near = TRUE;
  for (guint k = 0; k < 4; k++)
    near = near && fabsf (a[k] - b[k]) * (gfloat) (k % 2 ? set->params->height : set->params->width) <= 1;
  return near || iou (a, b) > MIN_IOU;
}

static void
compare_detections (const GoldenSet *set, const Results *expected, const Results *got, Figures *figures)
{
  g_autoptr (GArray) best = list_detections (expected, TOP), listed = list_detections (got, LISTED);
  for (guint i = 0; i < best->len; i++) {
    const Found *one = &g_array_index (best, Found, i);
    figures->top++;
    for (guint j = 0; j < listed->len; j++) {
      Found *other = &g_array_index (listed, Found, j);
      if (other->taken || other->label != one->label || fabsf (other->score - one->score) > SCORE ||
          !same_box (one->box, other->box, set))
        continue;
      other->taken = TRUE;
      figures->top_found++;
      break;
    }
  }
}

static gboolean
all_finite (const Results *results)
{
  for (gsize i = 0; i < (gsize) results->q * results->classes; i++)
    if (!isfinite (results->logits[i]))
      return FALSE;
  for (gsize i = 0; i < (gsize) results->q * 4; i++)
    if (!isfinite (results->boxes[i]))
      return FALSE;
  return TRUE;
}

/* -------------------------------------------------------------------- sets */

static gboolean
measure_set (const GoldenSet *set, Figures *figures, gchar **ret_message)
{
  DeimArch arch;
  Session half = { 0 }, full = { 0 };
  gboolean good = session_open (&half, "vulkan-fp16", set, &arch, ret_message);
  figures->ranked = good && arch.decoder.learned_content;
  figures->discrete = good && arch.decoder.sampling == DEIM_SAMPLE_DISCRETE;
  for (guint i = 0; good && i < golden_set_n_cases (set) && (i == 0 || !first_only); i++) {
    JsonObject *json = golden_set_case (set, i);
    g_autofree gfloat *picture = golden_image (json_object_get_string_member (json, "image"),
                                               (guint64) json_object_get_int_member (json, "image_seed"),
                                               set->params->height, set->params->width);
    Results expected = { 0 }, got = { 0 };
    good = session_run (&half, &arch, picture, &got, ret_message);
    if (good && !take_golden (set, json, &arch, &expected))
      good = (full.session || session_open (&full, "vulkan", set, &arch, ret_message)) &&
             session_run (&full, &arch, picture, &expected, ret_message);
    if (good) {
      figures->finite = figures->finite && all_finite (&got);
      compare_queries (&expected, &got, figures);
      if (figures->finite)
        compare_detections (set, &expected, &got, figures);
    }
    results_clear (&expected);
    results_clear (&got);
  }
  session_close (&half);
  session_close (&full);
  return good;
}

static gint
compare_doubles (gconstpointer a, gconstpointer b)
{
  gdouble x = *(const gdouble *) a, y = *(const gdouble *) b;
  return x < y ? -1 : x > y;
}

/* Of sorted @values; 0 of none. */
static gdouble
quantile (const GArray *values, gdouble part)
{
  return values->len ? g_array_index (values, gdouble, (guint) (part * (values->len - 1))) : 0;
}

typedef struct {
  gchar *folder, *name;
} SetName;

static void
set_name_free (gpointer data)
{
  SetName *set = data;
  g_free (set->folder);
  g_free (set->name);
  g_free (set);
}

static void
test_set (gconstpointer data)
{
  const SetName *name = data;
  g_autoptr (GError) error = NULL;
  g_autofree gchar *message = NULL;
  g_autoptr (GArray) logits = g_array_new (FALSE, FALSE, sizeof (gdouble));
  g_autoptr (GArray) boxes = g_array_new (FALSE, FALSE, sizeof (gdouble));
  Figures f = { .logits = logits, .boxes = boxes, .finite = TRUE };
  g_autoptr (GoldenSet) set = golden_set_open (name->folder, name->name, &error);
  g_assert_no_error (error);
  if (!measure_set (set, &f, &message)) {
    g_test_message ("%s: %s", name->name, message);
    g_test_fail ();
    return;
  }
  g_array_sort (logits, compare_doubles);
  g_array_sort (boxes, compare_doubles);
  g_test_message ("| %s | %.1f | %.4f | %.4f | %.4f | %.5f | %.5f | %.5f | %u of %u |%s", name->name,
                  100.0 * f.same / f.queries, quantile (logits, 0.5), quantile (logits, 0.95), quantile (logits, 1),
                  quantile (boxes, 0.5), quantile (boxes, 0.95), quantile (boxes, 1), f.top_found, f.top,
                  f.finite ? "" : " NaN or infinity");
  gboolean strict = f.same == f.queries && !f.discrete;
  g_assert_true (f.finite);
  g_assert_cmpfloat ((gdouble) f.same / f.queries, >=, MIN_TOKENS);
  if (f.ranked)
    return; /* where ranks swap, contents do, and the results are another network's */
  g_assert_cmpuint (logits->len, >, 0);
  g_assert_cmpfloat (quantile (logits, 0.5), <=, strict ? MAX_LOGITS : LOOSE_LOGITS);
  g_assert_cmpfloat (quantile (boxes, 0.5), <=, strict ? MAX_BOXES : LOOSE_BOXES);
  if (strict)
    g_assert_cmpuint (f.top_found * TOP, >=, MIN_TOP * f.top);
}

/* Takes "@name VALUE" out of the arguments. */
static gchar *
take_option (gint *argc, gchar **argv, const gchar *name, gboolean has_value)
{
  for (gint i = 1; i < *argc; i++)
    if (g_str_equal (argv[i], name) && (!has_value || i + 1 < *argc)) {
      gint used = has_value ? 2 : 1;
      gchar *value = argv[i + used - 1];
      memmove (argv + i, argv + i + used, (gsize) (*argc - i - used + 1) * sizeof *argv);
      *argc -= used;
      return value;
    }
  return NULL;
}

gint
main (gint argc, gchar **argv)
{
  const gchar *prefix = take_option (&argc, argv, "--set", TRUE);
  first_only = take_option (&argc, argv, "--first", FALSE) != NULL;
  g_test_init (&argc, &argv, NULL);
  g_test_set_nonfatal_assertions (); /* of a set that fails, all figures; and the other sets */
  g_autofree gchar *folder = prefix ? golden_folder () : golden_small_folder ();
  if (!folder)
    folder = golden_small_folder ();
  g_auto (GStrv) names = golden_list (folder, prefix ? prefix : "");
  for (gchar **name = names; *name; name++) {
    SetName *set = g_new (SetName, 1);
    set->folder = g_strdup (folder);
    set->name = g_strdup (*name);
    g_autofree gchar *path = g_strdup_printf ("/precision/%s", *name);
    g_test_add_data_func_full (path, set, test_set, set_name_free);
  }
  return g_test_run ();
}
