/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tool.c - options, errors and opening of models, for all subcommands. */
#include "tool.h"
#include "progress.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <stdarg.h>

static void
complain (const gchar *kind, const gchar *format, va_list args)
{
  g_autofree gchar *message = g_strdup_vprintf (format, args);

  deim_progress_clear ();
  g_printerr ("%s: %s%s\n", g_get_prgname (), kind, message);
}

int
deim_tool_fail (const gchar *format, ...)
{
  va_list args;
  va_start (args, format);
  complain ("", format, args);
  va_end (args);
  return DEIM_EXIT_FAILED;
}

int
deim_tool_misuse (const gchar *format, ...)
{
  va_list args;
  va_start (args, format);
  complain ("", format, args);
  va_end (args);
  g_printerr ("Try \"%s --help\".\n", g_get_prgname ());
  return DEIM_EXIT_USAGE;
}

void
deim_tool_warn (const gchar *format, ...)
{
  va_list args;
  va_start (args, format);
  complain ("warning: ", format, args);
  va_end (args);
}

static gboolean
parse_precision (DeimToolOptions *shared)
{
  static const gchar *const names[] = { "auto", "fp32", "fp16", NULL };
  G_STATIC_ASSERT (DEIM_PRECISION_AUTO == 0 && DEIM_PRECISION_FP32 == 1 && DEIM_PRECISION_FP16 == 2);

  if (!shared->precision_name)
    return TRUE;
  for (guint i = 0; names[i]; i++)
    if (g_str_equal (names[i], shared->precision_name)) {
      shared->precision = (DeimPrecision) i;
      return TRUE;
    }
  return FALSE;
}

gboolean
deim_tool_parse (const DeimTool *tool, const GOptionEntry *entries, DeimToolOptions *shared, gchar **argv,
                 GStrv *ret_arguments)
{
  DeimToolOptions unused = { 0 };
  const GOptionEntry common[] = {
    { "arch", 0, 0, G_OPTION_ARG_STRING, shared ? &shared->arch : &unused.arch,
      "Take the checkpoint for this architecture (\"deim info --list\")", "NAME" },
    { "labels", 0, 0, G_OPTION_ARG_FILENAME, shared ? &shared->labels : &unused.labels,
      "Class names from this file, one a line", "FILE" },
    { "device", 0, 0, G_OPTION_ARG_STRING, shared ? &shared->device : &unused.device,
      "Vulkan device: index, UUID or part of its name (default: $DEIM_DEVICE, else the best)", "SELECTOR" },
    { "precision", 0, 0, G_OPTION_ARG_STRING, shared ? &shared->precision_name : &unused.precision_name,
      "auto, fp32 or fp16 (default: auto, what suits the device)", "P" },
    { NULL },
  };
  g_auto (GStrv) line = g_strdupv (argv), rest = NULL;
  const GOptionEntry remaining[] = {
    { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &rest, NULL, NULL },
    { NULL },
  };
  g_autoptr (GOptionContext) context = g_option_context_new (tool->arguments);
  g_autoptr (GError) error = NULL;

  g_option_context_set_summary (context, tool->summary);
  g_option_context_set_description (context, tool->details);
  if (entries)
    g_option_context_add_main_entries (context, entries, NULL);
  if (shared)
    g_option_context_add_main_entries (context, common, NULL);
  g_option_context_add_main_entries (context, remaining, NULL);
  if (!g_option_context_parse_strv (context, &line, &error)) {
    deim_tool_misuse ("%s", error->message);
    return FALSE;
  }
  if (shared && !parse_precision (shared)) {
    deim_tool_misuse ("unknown precision \"%s\"; use auto, fp32 or fp16", shared->precision_name);
    return FALSE;
  }
  *ret_arguments = rest ? g_steal_pointer (&rest) : g_new0 (gchar *, 1);
  return TRUE;
}

void
deim_tool_options_clear (DeimToolOptions *shared)
{
  g_clear_pointer (&shared->arch, g_free);
  g_clear_pointer (&shared->labels, g_free);
  g_clear_pointer (&shared->device, g_free);
  g_clear_pointer (&shared->precision_name, g_free);
}

DeimModel *
deim_tool_read_model (const gchar *path, const DeimToolOptions *shared, GError **error)
{
  const DeimModelOptions options = { .arch = shared->arch, .labels_file = shared->labels };
  return deim_model_load (path, &options, error);
}

DeimModel *
deim_tool_load_model (const gchar *path, const DeimToolOptions *shared, GError **error)
{
  DeimModel *model = deim_tool_read_model (path, shared, error);
  g_autofree gchar *display = g_filename_display_name (path);
  for (const gchar *const *guess = model ? deim_model_get_guesses (model) : NULL; guess && *guess; guess++)
    deim_tool_warn ("%s: guessed: %s; --arch overrules it, \"deim convert\" writes it down", display, *guess);
  return model;
}

DeimDetector *
deim_tool_open_detector (const gchar *path, const DeimToolOptions *shared, const DeimDetectorOptions *options,
                         GError **error)
{
  DeimDetectorOptions chosen = *options;
  chosen.precision = shared->precision;
  g_autoptr (DeimModel) model = deim_tool_load_model (path, shared, error);
  g_autoptr (DeimDevice) device = model ? deim_device_open (shared->device, error) : NULL;
  if (!device)
    return NULL;
  deim_progress_update ("preparing %s for %s", deim_model_get_info (model)->arch, deim_device_get_name (device));
  DeimDetector *detector = deim_detector_new (model, device, &chosen, error);
  deim_progress_clear ();
  return detector;
}

gboolean
deim_tool_parse_size (const gchar *text, guint *ret_height, guint *ret_width)
{
  gchar *end;
  guint64 height = g_ascii_isdigit (*text) ? g_ascii_strtoull (text, &end, 10) : 0;

  if (height < 1 || height > 65535 || *end != 'x' || !g_ascii_isdigit (end[1]))
    return FALSE;
  guint64 width = g_ascii_strtoull (end + 1, &end, 10);
  if (width < 1 || width > 65535 || *end)
    return FALSE;
  *ret_height = (guint) height;
  *ret_width = (guint) width;
  return TRUE;
}

gboolean
deim_tool_make_folder (const gchar *path, GError **error)
{
  if (g_mkdir_with_parents (path, 0777) == 0)
    return TRUE;
  g_set_error (error, DEIM_ERROR, DEIM_ERROR_WRITE, "cannot make the folder %s: %s; choose another", path,
               g_strerror (errno));
  return FALSE;
}

static volatile sig_atomic_t interrupted;

static void
on_signal (int number)
{
  interrupted = 1;
  signal (number, SIG_DFL); /* a second one ends the process at once */
}

gboolean
deim_tool_is_share (gdouble value)
{
  return value == DEIM_NOT_GIVEN || (value >= 0 && value <= 1);
}

int
deim_tool_check_threshold (gdouble threshold)
{
  if (threshold >= 0 && threshold <= 1)
    return DEIM_EXIT_OK;
  return deim_tool_misuse ("the threshold %g is no score; give 0 to 1", threshold);
}

void
deim_tool_catch_interrupt (void)
{
  signal (SIGINT, on_signal);
  signal (SIGTERM, on_signal);
}

gboolean
deim_tool_is_interrupted (void)
{
  return interrupted;
}
