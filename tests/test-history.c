/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-history.c - results, report and state of a training: written, read back, and what is refused. */
#include "trainer/chart.h"
#include "trainer/history.h"
#include "trainer/train-state.h"

#include "engine/deim.h"
#include <glib/gstdio.h>
#include <math.h>
#include <string.h>

static gchar *scratch; /* a folder of this run */

static gchar *
path_of (const gchar *name)
{
  return g_build_filename (scratch, name, NULL);
}

/* Three epochs; the second has no evaluation, the third is the best. */
static DeimHistory *
make_history (void)
{
  DeimHistory *history = deim_history_new ("deimv2_atto on <shapes>");

  for (guint epoch = 0; epoch < 3; epoch++) {
    DeimEpochResult result = {
      .epoch = epoch,
      .iterations = 100 * (epoch + 1),
      .seconds = 61.5 * (epoch + 1),
      .lr = 1e-3 / (epoch + 1),
      .loss = 20.25 - epoch,
      .parts = { 5, 4, 3, 0.125, 0 },
    };
    for (guint i = 0; i < DEIM_EVALUATION_LAST; i++)
      result.evaluation.numbers[i] = epoch == 1 ? -1 : 0.1 * (epoch + 1) + 0.01 * i;
    g_array_append_val (history->epochs, result);
  }
  return history;
}

static void
test_best (void)
{
  g_autoptr (DeimHistory) history = make_history (), nothing = deim_history_new ("x");

  g_assert_cmpuint (deim_history_best (history)->epoch, ==, 2);
  g_assert_null (deim_history_best (nothing));
}

static void
test_csv (void)
{
  g_autoptr (DeimHistory) history = make_history (), again = deim_history_new ("x"), part = deim_history_new ("x");
  g_autofree gchar *path = path_of ("results.csv"), *text = NULL;
  g_autoptr (GError) error = NULL;

  deim_history_write_csv (history, path, &error);
  g_assert_no_error (error);
  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  g_assert_true (g_str_has_prefix (text, "epoch,iterations,seconds,lr,loss,loss_class,loss_bbox,loss_giou,loss_fgl,"
                                         "loss_ddf,AP,AP50,AP75,APs,APm,APl,AR1,AR10,AR100,ARs,ARm,ARl\n"
                                         "0,100,61.5,0.001,20.25,5,4,3,0.125,0,0.1,0.11,"));
  deim_history_read_csv (again, path, 99, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (again->epochs->len, ==, 3);
  const DeimEpochResult *read = &g_array_index (again->epochs, DeimEpochResult, 2);
  g_assert_cmpuint (read->iterations, ==, 300);
  g_assert_cmpfloat_with_epsilon (read->lr, 1e-3 / 3, 1e-12);
  g_assert_cmpfloat_with_epsilon (read->evaluation.numbers[DEIM_EVALUATION_AR_LARGE], 0.41, 1e-9);
  g_assert_cmpfloat (g_array_index (again->epochs, DeimEpochResult, 1).evaluation.numbers[0], ==, -1);
  /* A training that goes on in epoch 2 knows of 0 and 1. */
  deim_history_read_csv (part, path, 2, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (part->epochs->len, ==, 2);
}

static void
check_csv_refused (const gchar *text, const gchar *line)
{
  g_autoptr (DeimHistory) history = deim_history_new ("x");
  g_autofree gchar *path = path_of ("broken.csv");
  g_autoptr (GError) error = NULL;

  g_assert_true (g_file_set_contents (path, text, -1, NULL));
  g_assert_false (deim_history_read_csv (history, path, 99, &error));
  g_assert_error (error, DEIM_ERROR, DEIM_ERROR_FORMAT);
  g_assert_nonnull (strstr (error->message, line));
  g_assert_cmpuint (history->epochs->len, ==, 0);
}

static void
test_csv_refused (void)
{
  g_autoptr (DeimHistory) history = make_history (), none = deim_history_new ("x");
  g_autofree gchar *path = path_of ("results.csv"), *missing = path_of ("missing.csv"), *text = NULL;
  g_autofree gchar *nowhere = path_of ("missing/results.csv");
  g_autoptr (GError) error = NULL, write = NULL;

  deim_history_write_csv (history, path, NULL);
  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  check_csv_refused ("", "line 1");
  check_csv_refused ("epoch,loss\n0,1\n", "line 1");
  text[strlen (text) - 3] = '\0'; /* the last line breaks off in a number: still as many columns, so fewer, too */
  *strrchr (text, ',') = '\0';
  check_csv_refused (text, "line 4");
  g_assert_false (deim_history_read_csv (none, missing, 9, &error));
  g_assert_error (error, DEIM_ERROR, DEIM_ERROR_NOT_FOUND);
  g_assert_false (deim_history_write_csv (history, nowhere, &write));
  g_assert_error (write, DEIM_ERROR, DEIM_ERROR_WRITE);
}

/* ------------------------------------------------------------------ report */

static guint
count (const gchar *text, const gchar *word)
{
  guint n = 0;
  for (; (text = strstr (text, word)); text++)
    n++;
  return n;
}

static void
check_markup (const gchar *text)
{
  g_autoptr (GError) error = NULL;
  const GMarkupParser ignore = { NULL };
  GMarkupParseContext *context = g_markup_parse_context_new (&ignore, 0, NULL, NULL);
  g_markup_parse_context_parse (context, text, -1, &error);
  g_assert_no_error (error);
  g_markup_parse_context_end_parse (context, &error);
  g_assert_no_error (error);
  g_markup_parse_context_free (context);
}

static void
test_chart (void)
{
  const gdouble x[] = { 1, 2, 3, 4, 5 }, y[] = { 0.03, 0.52, NAN, 0.31, 0.97 }, low[] = { 0, 0, 0, 0, NAN };
  const DeimCurve curves[] = { { "up & down", 5, x, y }, { "low", 5, x, low } };
  g_autofree gchar *svg = deim_chart_svg ("A <title>", "epoch", curves, 2);

  check_markup (svg);
  g_assert_nonnull (strstr (svg, "A &lt;title&gt;"));
  g_assert_nonnull (strstr (svg, "up &amp; down"));
  /* The axis goes from 0 to 1 in fifths; the plot is 454 wide from 56, 230 high down to 260. */
  g_assert_nonnull (strstr (svg, ">0.2</text>"));
  g_assert_nonnull (strstr (svg, ">1</text>"));
  g_assert_cmpuint (count (svg, "<path"), ==, 2);
  g_assert_nonnull (strstr (svg, "d=\"M56.0 253.1L169.5 140.4L396.5 188.7L510.0 36.9\"")); /* over the gap */
  g_assert_nonnull (strstr (svg, "M56.0 260.0L169.5 260.0L283.0 260.0L396.5 260.0\""));

  const gdouble one = 7;
  const DeimCurve dot = { "dot", 1, &one, &one };
  g_autofree gchar *point = deim_chart_svg ("t", "x", &dot, 1), *empty = deim_chart_svg ("t", "x", NULL, 0);
  check_markup (point);
  check_markup (empty);
  g_assert_nonnull (strstr (point, "h0.1"));
  g_assert_null (strstr (point, "nan"));
  g_assert_null (strstr (empty, "nan"));
}

static void
test_report (void)
{
  g_autoptr (DeimHistory) history = make_history (), nothing = deim_history_new ("begun");
  static const gchar *const notes[] = { "batch 8", "a < b", NULL };
  g_autofree gchar *path = path_of ("report.html"), *text = NULL, *bare = NULL;
  g_autoptr (GError) error = NULL;

  deim_history_write_report (history, notes, path, &error);
  g_assert_no_error (error);
  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  g_assert_nonnull (strstr (text, "<h1>deimv2_atto on &lt;shapes&gt;</h1>"));
  g_assert_nonnull (strstr (text, "a &lt; b<br/>"));
  g_assert_nonnull (strstr (text, "Best: AP 0.300 after epoch 3"));
  g_assert_cmpuint (count (text, "<svg"), ==, 3);
  g_assert_cmpuint (count (text, "<tr"), ==, 4);
  g_assert_cmpuint (count (text, "class=\"best\""), ==, 1);
  g_assert_null (strstr (text, "<script"));
  g_autofree gchar *body =
      g_strndup (strstr (text, "<body>"), (gsize) (strstr (text, "</html>") - strstr (text, "<body>")));
  check_markup (body);

  deim_history_write_report (nothing, NULL, path, &error); /* before the first epoch has ended */
  g_assert_no_error (error);
  g_assert_true (g_file_get_contents (path, &bare, NULL, NULL));
  g_assert_null (strstr (bare, "nan"));
  g_assert_null (strstr (bare, "Best"));
}

/* ------------------------------------------------------------------- state */

static const DeimTrainPlace some_place = {
  .seed = G_MAXUINT64,
  .iteration = 12345678901,
  .averages = 17,
  .epoch = 3,
  .batch = 99,
  .seconds = 1.0 / 3,
  .epoch_loss = { 0.1, 1e300, 0, 3, 4, 5 },
  .best = -1,
  .best_epoch = 2,
};

static const gchar settings[] = "model deimv2_atto\nbatch 8\nlr 0.002";

static void
test_state (void)
{
  gfloat weights[6] = { 1, -2, 0.1f, 1e-30f, 3e38f, -0.0f }, scalar = 7, read_weights[6] = { 0 }, read_scalar = 0;
  const DeimStateTensor tensors[] = { { "weights/a.weight", 2, { 2, 3 }, 6, weights },
                                      { "mean/b", 0, { 0 }, 1, &scalar } };
  const DeimStateTensor into[] = { { "mean/b", 0, { 0 }, 1, &read_scalar },
                                   { "weights/a.weight", 2, { 2, 3 }, 6, read_weights } };
  DeimTrainPlace place = { 0 };
  g_autofree gchar *path = path_of ("state.safetensors");
  g_autoptr (GError) error = NULL;

  for (guint round = 0; round < 2; round++) { /* the second replaces the first */
    deim_train_state_save (path, &some_place, settings, tensors, 2, &error);
    g_assert_no_error (error);
  }
  deim_train_state_load (path, settings, into, 2, &place, &error);
  g_assert_no_error (error);
  g_assert_cmpmem (weights, sizeof weights, read_weights, sizeof read_weights);
  g_assert_cmpfloat (read_scalar, ==, 7);
  g_assert_cmpuint (place.seed, ==, some_place.seed);
  g_assert_cmpuint (place.iteration, ==, some_place.iteration);
  g_assert_cmpuint (place.averages, ==, 17);
  g_assert_cmpuint (place.epoch, ==, 3);
  g_assert_cmpuint (place.batch, ==, 99);
  g_assert_cmpuint (place.best_epoch, ==, 2);
  g_assert_cmpfloat (place.seconds, ==, some_place.seconds); /* to the bit */
  g_assert_cmpfloat (place.best, ==, -1);
  g_assert_cmpmem (place.epoch_loss, sizeof place.epoch_loss, some_place.epoch_loss, sizeof some_place.epoch_loss);
}

static void
check_state_refused (const gchar *path, const gchar *these, const DeimStateTensor *tensors, guint n, gint code,
                     const gchar *words)
{
  DeimTrainPlace place = { .seed = 5 };
  g_autoptr (GError) error = NULL;

  g_assert_false (deim_train_state_load (path, these, tensors, n, &place, &error));
  g_assert_error (error, DEIM_ERROR, code);
  if (!strstr (error->message, words))
    g_error ("\"%s\" does not say \"%s\"", error->message, words);
  g_assert_cmpuint (place.seed, ==, 5);
}

static void
test_state_refused (void)
{
  gfloat values[6] = { 1, 2, 3, 4, 5, 6 }, into[6] = { 0 };
  const DeimStateTensor saved[] = { { "weights/a", 2, { 2, 3 }, 6, values }, { "weights/b", 1, { 2 }, 2, values } };
  DeimStateTensor same[] = { { "weights/a", 2, { 2, 3 }, 6, into }, { "weights/b", 1, { 2 }, 2, into } };
  DeimStateTensor turned[] = { { "weights/a", 2, { 3, 2 }, 6, into }, same[1] };
  DeimStateTensor more[] = { same[0], same[1], { "weights/c", 1, { 1 }, 1, into } };
  g_autofree gchar *path = path_of ("refused.safetensors"), *missing = path_of ("none.safetensors");
  g_autofree gchar *bytes = NULL;
  gsize size;

  g_assert_true (deim_train_state_save (path, &some_place, settings, saved, 2, NULL));
  check_state_refused (missing, settings, same, 2, DEIM_ERROR_NOT_FOUND, "none.safetensors");
  check_state_refused (path, "model deimv2_atto\nbatch 16\nlr 0.002", same, 2, DEIM_ERROR_SETTINGS,
                       "a training with \"batch 8\", this one has \"batch 16\"");
  check_state_refused (path, "model deimv2_atto\nbatch 8", same, 2, DEIM_ERROR_SETTINGS, "with \"lr 0.002\"");
  check_state_refused (path, settings, turned, 2, DEIM_ERROR_FORMAT, "of another shape is weights/a");
  check_state_refused (path, settings, more, 3, DEIM_ERROR_FORMAT, "it lacks the tensor weights/c");
  check_state_refused (path, settings, same, 1, DEIM_ERROR_FORMAT, "does not have its tensor weights/b");
  g_assert_cmpfloat (into[0], ==, 0); /* nothing was filled in */

  g_assert_true (g_file_get_contents (path, &bytes, &size, NULL));
  g_assert_true (g_file_set_contents (path, bytes, (gssize) size - 5, NULL));
  check_state_refused (path, settings, same, 2, DEIM_ERROR_FORMAT, "refused.safetensors");
}

static void
remove_files (void)
{
  g_autoptr (GDir) dir = g_dir_open (scratch, 0, NULL);
  const gchar *name;
  while (dir && (name = g_dir_read_name (dir))) {
    g_autofree gchar *path = path_of (name);
    g_remove (path);
  }
  g_rmdir (scratch);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  scratch = g_dir_make_tmp ("deim-history-XXXXXX", NULL);
  g_test_add_func ("/history/best", test_best);
  g_test_add_func ("/history/csv", test_csv);
  g_test_add_func ("/history/csv-refused", test_csv_refused);
  g_test_add_func ("/history/chart", test_chart);
  g_test_add_func ("/history/report", test_report);
  g_test_add_func ("/train-state/round-trip", test_state);
  g_test_add_func ("/train-state/refused", test_state_refused);
  int status = g_test_run ();
  remove_files ();
  g_free (scratch);
  return status;
}
