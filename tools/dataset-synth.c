/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* dataset-synth.c - `deim dataset synth`: pictures of shapes, with annotations, from a seed. */
#include "dataset.h"
#include "progress.h"
#include "trainer/synth.h"

#include <stdio.h>

#define MAX_COUNT 1000000

typedef struct {
  gchar *output, *split, *size;
  gint count;
  gint64 seed;
} Options;

static void
clear_options (Options *options)
{
  g_free (options->output);
  g_free (options->split);
  g_free (options->size);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Options, clear_options)

static void
show_progress (guint done, guint count, gpointer data)
{
  deim_progress_update ("picture %u of %u", done, count);
}

static int
take_options (const Options *options, DeimSynthOptions *made)
{
  if (!options->output)
    return deim_tool_misuse ("--output DIR missing");
  if (options->count < 1 || options->count > MAX_COUNT)
    return deim_tool_misuse ("--count must be 1 to %d", MAX_COUNT);
  if (options->split && !deim_synth_split_from_name (options->split, &made->split))
    return deim_tool_misuse ("unknown split \"%s\"; use default, hard or sparse", options->split);
  if (options->size && !deim_tool_parse_size (options->size, &made->height, &made->width))
    return deim_tool_misuse ("\"%s\" is no size; give HxW, such as 320x320", options->size);
  if (made->height < 32 || made->width < 32 || made->height > 4096 || made->width > 4096)
    return deim_tool_misuse ("pictures of %u x %u (height x width); sides must be 32 to 4096", made->height,
                             made->width);
  made->count = (guint) options->count;
  made->seed = (guint64) options->seed;
  return DEIM_EXIT_OK;
}

static int
run (gchar **argv)
{
  g_auto (Options) options = { 0 };
  DeimSynthOptions made = { .width = 320, .height = 320, .progress = show_progress };
  const GOptionEntry entries[] = {
    { "output", 'o', 0, G_OPTION_ARG_FILENAME, &options.output, "Folder to write, new or empty", "DIR" },
    { "count", 'n', 0, G_OPTION_ARG_INT, &options.count, "Number of pictures", "N" },
    { "seed", 0, 0, G_OPTION_ARG_INT64, &options.seed, "Which pictures (default: 0)", "S" },
    { "split", 0, 0, G_OPTION_ARG_STRING, &options.split, "default, hard or sparse (default: default)", "NAME" },
    { "size", 0, 0, G_OPTION_ARG_STRING, &options.size, "Height and width of pictures (default: 320x320)", "HxW" },
    { NULL },
  };
  g_auto (GStrv) arguments = NULL;
  g_autoptr (GError) error = NULL;

  if (!deim_tool_parse (&deim_dataset_synth, entries, NULL, argv, &arguments))
    return DEIM_EXIT_USAGE;
  if (arguments[0])
    return deim_tool_misuse ("\"%s\" is one argument too many; the folder is given with --output", arguments[0]);
  int status = take_options (&options, &made);
  if (status != DEIM_EXIT_OK)
    return status;

  if (!deim_synth_write (options.output, &made, &error))
    return deim_tool_fail ("%s", error->message);
  deim_progress_clear ();
  printf ("%s  %u pictures of %u x %u (height x width), split %s, seed %" G_GUINT64_FORMAT ", %d classes\n",
          options.output, made.count, made.height, made.width, deim_synth_split_name (made.split), made.seed,
          DEIM_SYNTH_CLASSES);
  return DEIM_EXIT_OK;
}

const DeimTool deim_dataset_synth = {
  .name = "synth",
  .arguments = "--output DIR --count N",
  .summary = "Make up pictures of shapes, annotated, from a seed",
  .details =
      "Writes DIR/images/000000.png, ... and DIR/annotations.json (COCO format). Six classes: disc, square, triangle,\n"
      "star, cross, ring, turned, stretched, textured, over one another, blurred and noisy. A box is the extent of "
      "what\n"
      "shows of its object, in whole pixels. Splits:\n"
      "  default   1 to 12 objects, small and large, clearly visible\n"
      "  sparse    1 to 3, larger, hardly covered\n"
      "  hard      10 to 40, many tiny, in crowds, of nearly the background's colour, blurred, noisy\n"
      "Picture i of a seed is always the same, whatever the count.\n\n"
      "Examples:\n"
      "  deim dataset synth --output shapes/train --count 4000 --seed 1\n"
      "  deim dataset synth --output shapes/val --count 500 --seed 2\n",
  .run = run,
};
