/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* parity.c - comparing a run with a golden set; see parity.h. */
#include "parity.h"

#include "engine/graph/rewrite.h"

#include <math.h>
#include <string.h>

/*
 * Tolerances are those of the golden READMEs: ten times what float32 does to the same network, and at least these. A
 * rounded coordinate of discrete sampling may fall on the other side, which moves single queries far and, through
 * self-attention, all others a little: there 95 % of the rows must be within the second pair where the golden float32
 * and float64 runs differ by a coordinate, within the usual limit where they do not, and all must be numbers; and the
 * median, which such a query hardly moves, must be within the third pair. The README asks for that of logits, in most
 * cases; here it holds in 11 of the 12 of the six discrete sets (5.4e-5 at most; boxes 2.3e-6). In the twelfth, the
 * noise picture of rtdetrv2_r50_dsp, queries that move by 1.5 move the median by 7.8e-4 (boxes 2.3e-5): for that set it
 * must be within what the README tells of float32 against float64 where that is worst, 1.4e-3. Of boxes it says
 * nothing: a tenth of the logits' limit, as in the second pair.
 */
#define FLOOR_LOGITS           2e-4
#define FLOOR_BOXES            2e-5
#define DISCRETE_LOGITS        5e-3
#define DISCRETE_BOXES         5e-4
#define DISCRETE_LOGITS_MEDIAN 1e-4
#define DISCRETE_BOXES_MEDIAN  1e-5
#define MOVED_SET              "rtdetrv2_r50_dsp_"
#define MOVED                  14 /* times as much */

/* Of a tap's mean and standard deviation: what its samples may differ by where float32 itself does nothing to them. */
#define FLOOR_TAP 2e-5
/* Taps of which every sample lies in a token that was not selected: that can be one, the box head that the official
 * code runs over all tokens. */
#define MAX_UNMATCHED 1
/* Samples of a tap that discrete sampling may have moved. */
#define DISCRETE_SAMPLES 0.05

void
parity_result_clear (ParityResult *result)
{
  g_free (result->first_tap);
  *result = (ParityResult){ 0 };
}

static gdouble
number (JsonObject *object, const gchar *name, gdouble otherwise)
{
  if (!json_object_has_member (object, name) || json_object_get_null_member (object, name))
    return otherwise;
  return json_object_get_double_member (object, name);
}

gboolean
parity_recognise (const GoldenSet *set, DeimArch *ret_arch, DeimNotes *notes, GError **error)
{
  DeimStateDict dict = golden_params_dict (set->params);
  DeimRecogniseHints hints = { 0 };
  DeimArch closest;
  g_autofree gchar *file = g_strconcat (json_object_get_string_member (set->root, "model"), ".pth", NULL);
  if (!deim_recognise (&dict, &hints, &closest, NULL, error))
    return FALSE;
  g_autofree gchar *spec = golden_set_spec (set, closest.name);
  if (spec)
    hints.arch = spec;
  else
    hints.file_name = file;
  return deim_recognise (&dict, &hints, ret_arch, notes, error);
}

gboolean
parity_check_crc (const GoldenSet *set, guint *ret_checked, gchar **ret_message)
{
  g_autofree gchar *path = g_strdup_printf ("%s/arch/%s.crc.json", set->folder, set->params->model);
  g_autoptr (JsonParser) json = json_parser_new ();
  *ret_checked = 0;
  if (!json_parser_load_from_file (json, path, NULL))
    return TRUE;
  JsonObject *root = json_node_get_object (json_parser_get_root (json));
  JsonObject *sums = json_object_has_member (root, "crc32") ? json_object_get_object_member (root, "crc32") : root;
  DeimStateDict dict = golden_params_dict (set->params);
  for (guint i = 0; i < set->params->list->len; i++) {
    const GoldenParam *param = g_ptr_array_index (set->params->list, i);
    if (param->rule != GOLDEN_UNIFORM || !json_object_has_member (sums, param->name))
      continue;
    DeimShape s;
    g_autofree gfloat *values = dict.values.lookup (dict.values.data, param->name, &s);
    gsize n = (gsize) s.n * (gsize) s.c * (gsize) s.h * (gsize) s.w;
    guint32 crc = golden_crc32 (values, n * sizeof (gfloat));
    if (crc != (guint32) json_object_get_int_member (sums, param->name)) {
      *ret_message = g_strdup_printf ("the rule made other values of %s than the official side", param->name);
      return FALSE;
    }
    ++*ret_checked;
  }
  return TRUE;
}

/* ----------------------------------------------------------------- queries */

/* One case under comparison. */
typedef struct {
  const GoldenSet *set;
  const DeimArch *arch;
  const DeimTensor *input;
  JsonObject *json;
  gdouble tolerance; /* the backend's */
  guint q, classes;
  const gint32 *golden_index; /* [q] */
  const gint32 *index;        /* [q], ours */
  gint *rank;                 /* ours, of the golden rank's query; -1: not selected */
} Case;

/* Our rank of every golden query: by token, or the same where content belongs to the rank. */
static gboolean
match_queries (Case *c, gchar **ret_message)
{
  guint missing = 0, moved = 0;
  g_autoptr (GHashTable) ours = g_hash_table_new (NULL, NULL);
  for (guint i = 0; i < c->q; i++)
    g_hash_table_insert (ours, GINT_TO_POINTER (c->index[i] + 1), GUINT_TO_POINTER (i + 1));
  for (guint i = 0; i < c->q; i++) {
    guint found = GPOINTER_TO_UINT (g_hash_table_lookup (ours, GINT_TO_POINTER (c->golden_index[i] + 1)));
    c->rank[i] = (gint) found - 1;
    missing += found ? 0 : 1;
    moved += c->rank[i] != (gint) i ? 1 : 0;
  }
  if (missing) {
    *ret_message = g_strdup_printf ("%u of %u queries come from other tokens", missing, c->q);
    return FALSE;
  }
  if (c->arch->decoder.learned_content && moved) {
    *ret_message = g_strdup_printf ("%u queries have another rank, to which their content belongs", moved);
    return FALSE;
  }
  return TRUE;
}

static gint
compare_doubles (gconstpointer a, gconstpointer b)
{
  gdouble x = *(const gdouble *) a, y = *(const gdouble *) b;
  return x < y ? -1 : x > y;
}

/*
 * Per query the largest difference between golden rows [n][width] and our
 * columns [width][q]; NaN counts as infinite. @rows: the golden rank of each
 * row, NULL: all in order. Returns the largest of all.
 */
static gdouble
compare_rows (const Case *c, const gfloat *golden, const gint32 *rows, guint n, guint width, const gfloat *ours,
              gdouble *ret_95, gdouble *ret_median)
{
  g_autofree gdouble *worst = g_new0 (gdouble, n);
  for (guint i = 0; i < n; i++)
    for (guint j = 0; j < width; j++) {
      guint rank = rows ? (guint) rows[i] : i;
      gdouble d = fabs ((gdouble) golden[i * width + j] - (gdouble) ours[j * c->q + (guint) c->rank[rank]]);
      if (!(d <= worst[i]))
        worst[i] = isnan (d) ? INFINITY : d;
    }
  qsort (worst, n, sizeof *worst, compare_doubles);
  *ret_95 = worst[(guint) (0.95 * (n - 1))];
  *ret_median = worst[(n - 1) / 2];
  return worst[n - 1];
}

/* What float32 itself does to @what ("logits", "boxes") of a case: the largest difference to the same network in
 * float64, of the set's first case where this one was not run in float64; 0 where none was. */
static gdouble
float_noise (const GoldenSet *set, JsonObject *json, const gchar *what)
{
  g_autofree gchar *name = g_strconcat (what, "_maxdiff_f64", NULL);
  return number (json, name, number (golden_set_case (set, 0), name, 0));
}

static gboolean
compare_queries (const Case *c, const gfloat *logits, const gfloat *boxes, ParityResult *result)
{
  gsize n_logits, n_rows = 0;
  const gfloat *golden_logits = golden_set_array (c->set, c->json, "logits", &n_logits);
  const gfloat *golden_boxes = golden_set_array (c->set, c->json, "boxes", NULL);
  const gint32 *rows = json_object_has_member (c->json, "logits_rows")
                           ? golden_set_array (c->set, c->json, "logits_rows", &n_rows)
                           : NULL;
  result->queries = c->q;
  result->rows = (guint) n_logits / c->classes;
  g_assert_true (!rows || n_rows == result->rows);
  result->logits = compare_rows (c, golden_logits, rows, result->rows, c->classes, logits, &result->logits_95,
                                 &result->logits_median);
  result->boxes = compare_rows (c, golden_boxes, NULL, c->q, 4, boxes, &result->boxes_95, &result->boxes_median);

  result->compared = TRUE;
  result->logits_limit = c->tolerance * MAX (10 * float_noise (c->set, c->json, "logits"), FLOOR_LOGITS);
  result->boxes_limit = c->tolerance * MAX (10 * float_noise (c->set, c->json, "boxes"), FLOOR_BOXES);
  if (c->arch->decoder.sampling != DEIM_SAMPLE_DISCRETE)
    return result->logits <= result->logits_limit && result->boxes <= result->boxes_limit;
  result->logits_limit = MIN (result->logits_limit, c->tolerance * DISCRETE_LOGITS);
  result->boxes_limit = MIN (result->boxes_limit, c->tolerance * DISCRETE_BOXES);
  gdouble times = c->tolerance * (g_str_has_prefix (c->set->name, MOVED_SET) ? MOVED : 1);
  return isfinite (result->logits) && isfinite (result->boxes) && result->logits_95 <= result->logits_limit &&
         result->boxes_95 <= result->boxes_limit && result->logits_median <= times * DISCRETE_LOGITS_MEDIAN &&
         result->boxes_median <= times * DISCRETE_BOXES_MEDIAN;
}

/* -------------------------------------------------------------------- taps */

/* Where golden flat index @k of a tap lies in ours (an array of @shape); -1: in no query of ours. */
static gint64
tap_place (const Case *c, JsonArray *golden_shape, gboolean query_layout, gint64 k, DeimShape shape)
{
  guint dims = json_array_get_length (golden_shape);
  gint64 width = json_array_get_int_element (golden_shape, dims - 1);
  if (dims == 4 && !query_layout)
    return k;                                 /* a map */
  gint64 row = k / width, column = k % width; /* [1, T, C], or [1, Q, 1, 4] */
  gint64 golden_rows = json_array_get_int_element (golden_shape, 1);
  if (query_layout) {
    row = c->rank[row];
  } else if (golden_rows != shape.w) {
    /* The official side ran all tokens, we the selected ones. */
    gint64 found = -1;
    for (guint i = 0; i < c->q && found < 0; i++)
      if (c->index[i] / (c->arch->decoder.select == DEIM_SELECT_ONE2MANY ? c->arch->decoder.classes : 1) == row)
        found = (gint64) i;
    row = found;
  }
  return row < 0 ? -1 : column * shape.w + row;
}

/* What evaluation does not need and the official code runs all the same. */
static gboolean
is_training_tap (const Case *c, const gchar *name)
{
  if (g_str_equal (name, "decoder.dec_score_head.0"))
    return c->arch->decoder.eval_idx != 0;
  return g_str_equal (name, "decoder.dec_score_head.call0");
}

/* What float32 itself does to tap @index: of the set's first case where this one was not run in float64. */
static gdouble
tap_noise (const Case *c, guint index)
{
  JsonObject *cases[] = { golden_set_case (c->set, 0), c->json };
  gdouble noise = 0;
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    noise = number (json_array_get_object_element (json_object_get_array_member (cases[i], "taps"), index),
                    "maxdiff_f64", noise);
  return noise;
}

/* Compares tap @index; describes it in @ret_what if more than @allowed of its samples differ. FALSE: none is of a query
 * that both have. */
static gboolean
compare_tap (const Case *c, guint index, JsonObject *tap, const DeimTensor *tensor, const gfloat *ours, gdouble allowed,
             gchar **ret_what)
{
  const gchar *name = json_object_get_string_member (tap, "name");
  JsonArray *shape = json_object_get_array_member (tap, "shape");
  JsonArray *values = json_object_get_array_member (tap, "values");
  gboolean query_layout = json_object_get_boolean_member (tap, "query_layout");
  gint64 numel = 1;
  for (guint i = 0; i < json_array_get_length (shape); i++)
    numel *= json_array_get_int_element (shape, i);
  gdouble mean = number (tap, "mean", 0), std = number (tap, "std", 0);
  gdouble limit = c->tolerance * MAX (20 * tap_noise (c, index), FLOOR_TAP * (fabs (mean) + std) + 1e-6);
  g_autofree gchar *stream = g_strconcat ("sample:", name, NULL);
  gdouble worst = 0;
  guint compared = 0, beyond = 0;
  for (guint k = 0; k < json_array_get_length (values); k++) {
    gint64 flat = (gint64) (golden_bits (stream, 0, k) % (guint64) numel);
    gint64 place = tap_place (c, shape, query_layout, flat, tensor->shape);
    if (place < 0)
      continue;
    gdouble d = fabs (json_array_get_double_element (values, k) - (gdouble) ours[place]);
    compared++;
    beyond += d <= limit ? 0 : 1;
    if (!(d <= worst))
      worst = isnan (d) ? INFINITY : d;
  }
  if (beyond > allowed * compared)
    *ret_what = g_strdup_printf ("%s: %u of %u samples differ, by up to %.2g (allowed %.2g; mean %.3g, std %.3g)", name,
                                 beyond, compared, worst, limit, mean, std);
  return compared > 0;
}

static DeimTensor **
find_taps (DeimGraph *graph, JsonArray *taps)
{
  DeimTensor **tensors = g_new0 (DeimTensor *, json_array_get_length (taps));
  for (guint i = 0; i < json_array_get_length (taps); i++)
    tensors[i] =
        deim_graph_find (graph, json_object_get_string_member (json_array_get_object_element (taps, i), "name"));
  return tensors;
}

/* All taps, in the order of the network. FALSE if the graph lacks one that it should have, or a backend that keeps
 * them all, or if too many have no sample of a query that both sides have. */
static gboolean
compare_taps (const Case *c, gboolean keeps_taps, DeimTensor *const *tensors, gfloat *const *values,
              ParityResult *result, gchar **ret_message)
{
  JsonArray *taps = json_object_get_array_member (c->json, "taps");
  gboolean discrete = c->arch->decoder.sampling == DEIM_SAMPLE_DISCRETE;
  for (guint i = 0; i < json_array_get_length (taps); i++) {
    JsonObject *tap = json_array_get_object_element (taps, i);
    const gchar *name = json_object_get_string_member (tap, "name");
    if (!tensors[i] && !is_training_tap (c, name)) {
      *ret_message = g_strdup_printf ("there is no tensor called %s in the graph", name);
      return FALSE;
    }
    if (tensors[i] && !values[i] && keeps_taps) {
      *ret_message = g_strdup_printf ("%s was not kept", name);
      return FALSE;
    }
    if (!tensors[i] || !values[i]) {
      result->taps_missing++;
      continue;
    }
    if (result->first_tap)
      break;
    gboolean sampled = discrete && g_str_has_suffix (name, ".layers.0.cross_attn");
    if (compare_tap (c, i, tap, tensors[i], values[i], sampled ? DISCRETE_SAMPLES : 0, &result->first_tap))
      result->taps++;
    else
      result->taps_unmatched++;
    if (sampled)
      break; /* what follows has heard of every pixel that fell on the other side */
  }
  if (keeps_taps && result->taps == 0) {
    *ret_message = g_strdup ("no tap was compared");
    return FALSE;
  }
  if (result->taps_unmatched > MAX_UNMATCHED) {
    *ret_message = g_strdup_printf ("%u taps have no sample of a selected query", result->taps_unmatched);
    return FALSE;
  }
  return TRUE;
}

/* ------------------------------------------------------------------- a set */

static gboolean
check_case (const ParityBackend *backend, gpointer session, Case *c, DeimTensor *const *wanted, guint n_wanted,
            GString *report, gchar **ret_message)
{
  const gchar *kind = json_object_get_string_member (c->json, "image");
  guint64 seed = (guint64) json_object_get_int_member (c->json, "image_seed");
  g_autofree gfloat *input = golden_image (kind, seed, c->set->params->height, c->set->params->width);
  g_autofree gfloat **values = g_new0 (gfloat *, n_wanted);
  g_autoptr (GError) error = NULL;
  ParityResult result = { 0 };
  DeimFeed feed = { c->input, input };
  gboolean good = backend->run (session, &feed, 1, values, &error);
  if (!good) {
    *ret_message = g_strdup (error->message);
  } else {
    c->index = (const gint32 *) values[2];
    good = match_queries (c, ret_message);
    gboolean matched = good;
    if (matched)
      good = compare_queries (c, values[0], values[1], &result);
    else
      for (guint i = 0; i < c->q; i++)
        c->rank[i] = MAX (c->rank[i], 0); /* taps before the selection still tell where it went wrong */
    if (!compare_taps (c, backend->keeps_taps, wanted + 3, values + 3, &result, ret_message))
      good = FALSE;
    g_string_append_printf (report, " %s: logits %.1e (limit %.1e) boxes %.1e (%.1e) taps %u, %u unmatched, %u missing",
                            kind, result.logits, result.logits_limit, result.boxes, result.boxes_limit, result.taps,
                            result.taps_unmatched, result.taps_missing);
    if (c->arch->decoder.sampling == DEIM_SAMPLE_DISCRETE)
      g_string_append_printf (report, " medians %.1e %.1e", result.logits_median, result.boxes_median);
    if (result.first_tap)
      good = FALSE;
    if (!good) {
      g_autofree gchar *before = *ret_message;
      g_autofree gchar *figures =
          result.compared
              ? g_strdup_printf (
                    "logits off by %.3g (95 %%: %.3g; median %.3g; allowed %.3g), boxes by %.3g (%.3g; %.3g; %.3g)",
                    result.logits, result.logits_95, result.logits_median, result.logits_limit, result.boxes,
                    result.boxes_95, result.boxes_median, result.boxes_limit)
              : g_strdup ("nothing compared behind the selection");
      *ret_message = g_strdup_printf ("%s image: %s%s%s; first difference at %s", kind, before ? before : "",
                                      before ? "; " : "", figures, result.first_tap ? result.first_tap : "no tap");
    }
  }
  for (guint i = 0; i < n_wanted; i++)
    g_free (values[i]);
  parity_result_clear (&result);
  return good;
}

DeimGraph *
parity_build_set (const GoldenSet *set, DeimArch *ret_arch, DeimNetworkOutputs *ret_outputs, gchar **ret_message)
{
  g_autoptr (GError) error = NULL;
  g_autofree gchar *what = NULL;
  DeimArch arch;
  DeimNetworkOutputs outputs;
  DeimStateDict dict = golden_params_dict (set->params);
  if (!parity_recognise (set, &arch, NULL, &error)) {
    *ret_message = g_strdup (error->message);
    return NULL;
  }
  if (!golden_check_arch (set->arch, &arch, &what)) {
    *ret_message = g_strdup_printf ("recognised wrongly: %s", what);
    return NULL;
  }
  g_autoptr (DeimGraph) graph = deim_network_build (&arch, &dict.values, 1, (guint) set->params->height,
                                                    (guint) set->params->width, &outputs, &error);
  if (!graph || !deim_check_unused (graph, &arch, &dict, &error)) {
    *ret_message = g_strdup (error->message);
    return NULL;
  }
  *ret_arch = arch;
  *ret_outputs = outputs;
  return g_steal_pointer (&graph);
}

DeimTensor *
parity_inject_tokens (DeimGraph *graph, const DeimNetworkOutputs *outputs)
{
  DeimRewrite rewrite = { 0 };
  DeimTensor *tokens = deim_input_int (graph, "tokens", outputs->tokens->shape);
  deim_rewrite_begin (&rewrite, graph);
  deim_rewrite_redirect (&rewrite, outputs->tokens, tokens);
  deim_rewrite_end (&rewrite);
  return tokens;
}

gboolean
parity_check_set (const ParityBackend *backend, const GoldenSet *set, guint max_cases, gchar **ret_message)
{
  g_autoptr (GError) error = NULL;
  DeimArch arch;
  DeimNetworkOutputs outputs;
  *ret_message = NULL;
  DeimGraph *graph = parity_build_set (set, &arch, &outputs, ret_message);
  if (!graph)
    return FALSE;

  JsonArray *taps = json_object_get_array_member (golden_set_case (set, 0), "taps");
  guint n_wanted = 3 + json_array_get_length (taps);
  g_autofree DeimTensor **found = find_taps (graph, taps);
  g_autofree DeimTensor **wanted = g_new0 (DeimTensor *, n_wanted);
  wanted[0] = outputs.logits;
  wanted[1] = outputs.boxes;
  wanted[2] = outputs.tokens;
  memcpy (wanted + 3, found, (n_wanted - 3) * sizeof *found);
  gpointer session = backend->open (graph, wanted, n_wanted, &error);
  if (!session) {
    *ret_message = g_strdup (error->message);
    return FALSE;
  }

  guint cases = golden_set_n_cases (set);
  guint q = (guint) arch.decoder.queries;
  g_autofree gint *rank = g_new0 (gint, q);
  g_autoptr (GString) report = g_string_new (NULL);
  gboolean good = TRUE;
  for (guint i = 0; good && i < cases && (max_cases == 0 || i < max_cases); i++) {
    Case c = { .set = set,
               .arch = &arch,
               .input = outputs.input,
               .json = golden_set_case (set, i),
               .tolerance = backend->tolerance,
               .q = q,
               .classes = (guint) arch.decoder.classes,
               .rank = rank };
    gsize n_index;
    c.golden_index = golden_set_array (set, c.json, "topk_index", &n_index);
    g_assert_cmpuint (n_index, ==, q);
    good = check_case (backend, session, &c, wanted, n_wanted, report, ret_message);
  }
  backend->close (session);
  if (good)
    *ret_message = g_strdup (report->str);
  return good;
}
