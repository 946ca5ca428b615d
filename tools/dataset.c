/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* dataset.c - `deim dataset`: finds the action and hands over to it. */
#include "dataset.h"

#include <stdio.h>

static const DeimTool *const actions[] = { &deim_dataset_check, &deim_dataset_preview, &deim_dataset_synth };

static void
print_help (FILE *out)
{
  fprintf (out, "Usage:\n  deim dataset ACTION [OPTION...] ARGUMENTS\n\n%s.\n\nActions:\n", deim_tool_dataset.summary);
  for (guint i = 0; i < G_N_ELEMENTS (actions); i++)
    fprintf (out, "  %-8s %s\n", actions[i]->name, actions[i]->summary);
  fprintf (out, "\n%s", deim_tool_dataset.details);
}

static int
run (gchar **argv)
{
  const gchar *name = argv[1];

  if (!name)
    return deim_tool_misuse ("ACTION missing; there are check, preview, synth");
  if (g_str_equal (name, "--help") || g_str_equal (name, "-h")) {
    print_help (stdout);
    return DEIM_EXIT_OK;
  }
  for (guint i = 0; i < G_N_ELEMENTS (actions); i++)
    if (g_str_equal (name, actions[i]->name)) {
      g_autofree gchar *full_name = g_strconcat ("deim dataset ", name, NULL);
      g_set_prgname (full_name);
      return actions[i]->run (argv + 1);
    }
  return deim_tool_misuse ("unknown action \"%s\"; there are check, preview, synth", name);
}

const DeimTool deim_tool_dataset = {
  .name = "dataset",
  .arguments = "ACTION",
  .summary = "Check a data set, look at it as training sees it, or make one up",
  .details = "A data set is a folder of pictures with annotations in the COCO format:\n"
             "  DIR/annotations/instances_train2017.json, pictures in DIR/train2017        (as COCO is; likewise val)\n"
             "  DIR/train/_annotations.coco.json, pictures beside it                       (likewise valid)\n"
             "  DIR/train/annotations.json, pictures in DIR/train/images                   (likewise val)\n"
             "  DIR/annotations.json, pictures in DIR/images or beside it                  (one set for both uses)\n\n"
             "\"deim dataset ACTION --help\" explains an action.\n",
  .run = run,
};
