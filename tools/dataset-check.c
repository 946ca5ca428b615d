/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* dataset-check.c - `deim dataset check`: whether a data set can be trained on, and what is in it. */
#include "dataset.h"
#include "progress.h"
#include "trainer/dataset-stats.h"

#include <stdio.h>
#include <string.h>

/* As many pictures are named one by one; of the rest the number is told. */
#define MAX_COMPLAINTS 20

static gdouble
percent (guint part, guint whole)
{
  return whole ? 100.0 * part / whole : 0;
}

static void
print_classes (const DeimDataset *dataset, const DeimDatasetStats *stats)
{
  for (guint i = 0; i < deim_dataset_n_classes (dataset); i++) {
    const DeimCocoCategory *category = &g_array_index (dataset->coco->categories, DeimCocoCategory, i);
    printf ("  %3u  %-24s %8u objects in %7u pictures  %5.1f %%\n", i, category->name, stats->per_class[i],
            stats->pictures_per_class[i], percent (stats->per_class[i], stats->n_objects));
  }
}

static void
print_stats (const DeimDataset *dataset, const DeimDatasetStats *stats)
{
  printf ("%s\n", dataset->annotations);
  printf ("Pictures     %u in %s, %u of them without objects\n", stats->n_pictures, dataset->images, stats->n_without);
  printf ("Objects      %u, %.1f per picture, %u at most\n", stats->n_objects,
          (gdouble) stats->n_objects / stats->n_pictures, stats->most);
  printf ("By area      %.1f %% small (below 32 x 32 pixels), %.1f %% medium, %.1f %% large (above 96 x 96)\n",
          percent (stats->by_area[0], stats->n_objects), percent (stats->by_area[1], stats->n_objects),
          percent (stats->by_area[2], stats->n_objects));
  if (dataset->n_empty || dataset->n_crowd)
    printf ("Left out     %u boxes without area, %u of crowds\n", dataset->n_empty, dataset->n_crowd);
  if (stats->n_cut)
    printf ("Cut          %u boxes reach beyond their picture\n", stats->n_cut);
  printf ("Classes      %u\n", deim_dataset_n_classes (dataset));
  print_classes (dataset, stats);
}

static void
warn_about (const DeimDataset *dataset, const DeimDatasetStats *stats)
{
  guint unused = 0;
  const gchar *example = NULL;

  for (guint i = 0; i < deim_dataset_n_classes (dataset); i++)
    if (stats->per_class[i] == 0) {
      unused++;
      example = example ? example : g_array_index (dataset->coco->categories, DeimCocoCategory, i).name;
    }
  if (unused)
    deim_tool_warn ("%s: %u of %u classes have no object (\"%s\", ...)", dataset->annotations, unused,
                    deim_dataset_n_classes (dataset), example);
  if (stats->repeated)
    deim_tool_warn ("%s: \"%s\" stands more than once among the images", dataset->annotations, stats->repeated);
  if (stats->n_objects == 0)
    deim_tool_warn ("%s: there is no object to learn", dataset->annotations);
}

/* Decodes every picture; FALSE after telling which cannot be used. */
static gboolean
check_pictures (const DeimDataset *dataset)
{
  guint n = deim_dataset_n_pictures (dataset), bad = 0;
  guint least[2] = { G_MAXUINT, G_MAXUINT }, most[2] = { 0, 0 };

  for (guint i = 0; i < n; i++) {
    g_autoptr (GError) error = NULL;
    g_autoptr (DeimSample) sample = deim_dataset_load (dataset, i, &error);
    deim_progress_update ("picture %u of %u", i + 1, n);
    if (!sample) {
      if (++bad <= MAX_COMPLAINTS)
        deim_tool_fail ("%s", error->message);
      continue;
    }
    const guint size[2] = { sample->image->width, sample->image->height };
    for (guint k = 0; k < 2; k++) {
      least[k] = MIN (least[k], size[k]);
      most[k] = MAX (most[k], size[k]);
    }
  }
  deim_progress_clear ();
  if (bad)
    deim_tool_fail ("%s: %u of %u pictures cannot be used", dataset->annotations, bad, n);
  else if (least[0] == most[0] && least[1] == most[1])
    printf ("Sizes        all %u wide, %u high\n", least[0], least[1]);
  else
    printf ("Sizes        %u to %u wide, %u to %u high\n", least[0], most[0], least[1], most[1]);
  return bad == 0;
}

/* One of the sets in the folder. */
static gboolean
check_one (const DeimDataset *dataset, gboolean decode)
{
  g_auto (DeimDatasetStats) stats = { 0 };

  deim_dataset_measure (dataset, &stats);
  print_stats (dataset, &stats);
  gboolean good = !decode || check_pictures (dataset);
  fflush (stdout);
  warn_about (dataset, &stats);
  return good;
}

/* What can only be said of two sets together. */
static gboolean
check_both (const DeimDataset *training, const DeimDataset *validation)
{
  if (!deim_dataset_same_classes (training, validation)) {
    deim_tool_fail ("%s and %s do not list the same categories; their ids and names must agree", training->annotations,
                    validation->annotations);
    return FALSE;
  }
  if (g_str_equal (training->images, validation->images)) {
    const gchar *name;
    guint common = deim_dataset_count_common (training, validation, &name);
    if (common)
      deim_tool_warn ("%u pictures are for training and for validation (%s, ...)", common, name);
  }
  return TRUE;
}

static int
check_folder (const gchar *folder, gboolean decode)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (DeimDataset) training = deim_dataset_open (folder, DEIM_DATASET_TRAINING, &error);
  if (!training)
    return deim_tool_fail ("%s", error->message);
  gboolean good = check_one (training, decode);

  g_autoptr (DeimDataset) validation = deim_dataset_open (folder, DEIM_DATASET_VALIDATION, &error);
  if (g_error_matches (error, DEIM_ERROR, DEIM_ERROR_NOT_FOUND)) {
    deim_tool_warn ("there is no set for validation: %s", error->message);
  } else if (!validation) {
    return deim_tool_fail ("%s", error->message);
  } else if (!g_str_equal (training->annotations, validation->annotations)) {
    putchar ('\n');
    good = check_one (validation, decode) && good;
    good = check_both (training, validation) && good;
  }
  return good ? DEIM_EXIT_OK : DEIM_EXIT_FAILED;
}

static int
run (gchar **argv)
{
  gboolean quick = FALSE;
  const GOptionEntry entries[] = {
    { "quick", 'q', 0, G_OPTION_ARG_NONE, &quick, "Look at the annotations alone, decode no picture", NULL },
    { NULL },
  };
  g_auto (GStrv) arguments = NULL;

  if (!deim_tool_parse (&deim_dataset_check, entries, NULL, argv, &arguments))
    return DEIM_EXIT_USAGE;
  if (!arguments[0] || arguments[1])
    return deim_tool_misuse ("give one folder, DIR");
  return check_folder (arguments[0], !quick);
}

const DeimTool deim_dataset_check = {
  .name = "check",
  .arguments = "DIR",
  .summary = "Say whether a data set can be trained on, and what is in it",
  .details =
      "Reads the annotations for training and for validation, decodes every picture, and prints how many objects\n"
      "of which class and size there are. What cannot be meant is told with file, entry and reason, and the exit\n"
      "status is 1. \"deim dataset --help\" says where annotations and pictures are looked for.\n\n"
      "Example:\n"
      "  deim dataset check shapes\n",
  .run = run,
};
