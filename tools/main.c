/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* main.c - the `deim` command: finds the subcommand and hands over to it. */
#include "progress.h"
#include "tool.h"

#include <locale.h>
#include <stdio.h>

static const DeimTool *const tools[] = {
  &deim_tool_info,  &deim_tool_convert, &deim_tool_detect,  &deim_tool_run,   &deim_tool_eval,
  &deim_tool_bench, &deim_tool_tune,    &deim_tool_dataset, &deim_tool_train,
};

static void
print_help (FILE *out)
{
  fputs ("Usage:\n  deim SUBCOMMAND [OPTION...] ARGUMENTS\n\n"
         "Real-time object detection with DEIM networks on Vulkan.\n\nSubcommands:\n",
         out);
  for (guint i = 0; i < G_N_ELEMENTS (tools); i++)
    fprintf (out, "  %-8s %s\n", tools[i]->name, tools[i]->summary);
  fputs ("\n\"deim SUBCOMMAND --help\" explains one of them, \"deim --version\" prints the version.\n"
         "Exit status: 0 done, 1 something failed, 2 wrong command line.\n",
         out);
}

/* What the library has to say. Its informational lines are for those who ask: G_MESSAGES_DEBUG=deim or =all. */
static void
log_line (GLogLevelFlags level, const gchar *message, gpointer user_data)
{
  if (level & G_LOG_LEVEL_WARNING) {
    deim_tool_warn ("%s", message);
  } else if (level & G_LOG_LEVEL_MESSAGE || !g_log_writer_default_would_drop (level, "deim")) {
    deim_progress_clear ();
    g_printerr ("%s: %s\n", g_get_prgname (), message);
  }
}

int
main (int argc, char **argv)
{
  /* File names and labels are printed in the terminal's encoding; numbers stay as in C, with a point. */
  setlocale (LC_CTYPE, "");
  g_set_prgname ("deim");
  deim_set_log_func (log_line, NULL);

  const gchar *name = argc > 1 ? argv[1] : NULL;
  if (!name) {
    print_help (stderr);
    return DEIM_EXIT_USAGE;
  }
  if (g_str_equal (name, "--help") || g_str_equal (name, "-h") || g_str_equal (name, "help")) {
    print_help (stdout);
    return DEIM_EXIT_OK;
  }
  if (g_str_equal (name, "--version")) {
    printf ("deim %s\n", deim_version ());
    return DEIM_EXIT_OK;
  }
  for (guint i = 0; i < G_N_ELEMENTS (tools); i++) {
    if (!g_str_equal (name, tools[i]->name))
      continue;
    g_autofree gchar *full_name = g_strconcat ("deim ", name, NULL);
    g_set_prgname (full_name);
    int status = tools[i]->run (argv + 1);
    deim_progress_clear ();
    if (fflush (stdout) != 0 || ferror (stdout))
      status = deim_tool_fail ("the output could not be written; is the disk full?");
    return status;
  }

  g_autoptr (GString) known = g_string_new (NULL);
  for (guint i = 0; i < G_N_ELEMENTS (tools); i++)
    g_string_append_printf (known, "%s%s", i ? ", " : "", tools[i]->name);
  return deim_tool_misuse ("unknown subcommand \"%s\"; there are %s", name, known->str);
}
