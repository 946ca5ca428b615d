/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* convert.c - `deim convert`: any checkpoint into a file that leaves nothing to guess. */
#include "tool.h"

#include <stdio.h>

#define SUFFIX ".safetensors"

static int
run (gchar **argv)
{
  g_auto (DeimToolOptions) shared = { 0 };
  gboolean narrow = FALSE;
  const GOptionEntry entries[] = {
    { "arch", 0, 0, G_OPTION_ARG_STRING, &shared.arch,
      "Take the checkpoint for this architecture (\"deim info --list\")", "SPEC" },
    { "labels", 0, 0, G_OPTION_ARG_FILENAME, &shared.labels, "Class names from this file, one a line", "FILE" },
    { "half", 0, 0, G_OPTION_ARG_NONE, &narrow, "Store floats in half precision, for half the size", NULL },
    { NULL },
  };
  g_auto (GStrv) arguments = NULL;
  g_autoptr (GError) error = NULL;

  if (!deim_tool_parse (&deim_tool_convert, entries, NULL, argv, &arguments))
    return DEIM_EXIT_USAGE;
  if (g_strv_length (arguments) != 2)
    return deim_tool_misuse ("give the checkpoint and the file to write: IN OUT" SUFFIX);
  const gchar *path = arguments[1];
  if (!g_str_has_suffix (path, SUFFIX))
    return deim_tool_misuse ("%s: what is written is " SUFFIX "; give a name that ends so", path);

  g_autoptr (DeimModel) model = deim_tool_read_model (arguments[0], &shared, &error);
  if (!model || !deim_model_save (model, path, narrow, &error))
    return deim_tool_fail ("%s", error->message);
  const DeimModelInfo *info = deim_model_get_info (model);
  printf ("%s  %s, %u classes, input %u x %u (height x width)\n", path, info->arch, info->num_classes,
          info->input_height, info->input_width);
  const gchar *const *notes = deim_model_get_notes (model);
  for (guint i = 0; notes[i]; i++)
    printf ("%-13s %s\n", i ? "" : "Decided", notes[i]);
  return DEIM_EXIT_OK;
}

const DeimTool deim_tool_convert = {
  .name = "convert",
  .arguments = "IN OUT.safetensors",
  .summary = "Write a checkpoint so that nothing about it is guessed again",
  .details =
      "IN is anything that the other subcommands take. OUT holds every tensor of it, to the bit and under its\n"
      "official name, and in its metadata the architecture (\"deim.arch\") and the class names (\"deim.labels\").\n"
      "With --half floats are rounded to binary16, but in tensors with numbers beyond its range.\n"
      "What was decided, and from what, is printed; --arch and --labels overrule it. SPEC is a name of\n"
      "\"deim info --list\" and, after a colon, what shapes do not tell:\n"
      "  act=relu|silu, sampling=bilinear|discrete, select=default|agnostic|one2many, eval-idx=N,\n"
      "  queries=N, input=HxW (height x width), share-score=0|1, frozen=0|1\n\n"
      "Examples:\n"
      "  deim convert deimv2_atto.pth atto.safetensors\n"
      "  deim convert best_stg2.pth mine.safetensors --labels names.txt --arch dfine_s:input=512x896\n",
  .run = run,
};
