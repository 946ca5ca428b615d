/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * tool.h - what the subcommands of `deim` share: their table, their options,
 * how they fail. Words for people go to stdout, errors and progress to stderr.
 */
#pragma once

#include <deim.h>

enum {
  DEIM_EXIT_OK = 0,
  DEIM_EXIT_FAILED = 1, /* something could not be done; stderr says what */
  DEIM_EXIT_USAGE = 2,  /* the command line is wrong */
};

typedef struct {
  const gchar *name;      /* "detect" */
  const gchar *arguments; /* "MODEL INPUT..." */
  const gchar *summary;   /* one line for the list of subcommands */
  const gchar *details;   /* units, shapes, examples: below the options of --help */
  int (*run) (gchar **argv);
} DeimTool;

extern const DeimTool deim_tool_info, deim_tool_convert, deim_tool_detect, deim_tool_run, deim_tool_eval,
    deim_tool_bench, deim_tool_tune, deim_tool_dataset, deim_tool_train;

/* The options of every subcommand that opens a model. Zero-initialise; finish with deim_tool_options_clear(). */
typedef struct {
  gchar *arch, *labels, *device, *precision_name;
  DeimPrecision precision;
} DeimToolOptions;

/*
 * Reads the command line @argv ("detect", ..., NULL). @entries and @shared are
 * nullable; @ret_arguments gets what is no option, possibly an empty list (free
 * with g_strfreev()). Prints help and exits on --help; returns FALSE after
 * saying what is wrong (exit with DEIM_EXIT_USAGE).
 */
gboolean deim_tool_parse (const DeimTool *tool, const GOptionEntry *entries, DeimToolOptions *shared, gchar **argv,
                          GStrv *ret_arguments);
void deim_tool_options_clear (DeimToolOptions *shared);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (DeimToolOptions, deim_tool_options_clear)

/* Prints "deim detect: " and the message to stderr; they return DEIM_EXIT_FAILED and DEIM_EXIT_USAGE. */
int deim_tool_fail (const gchar *format, ...) G_GNUC_PRINTF (1, 2);
int deim_tool_misuse (const gchar *format, ...) G_GNUC_PRINTF (1, 2);
/* Likewise, for something that goes on all the same. */
void deim_tool_warn (const gchar *format, ...) G_GNUC_PRINTF (1, 2);

/* What an option of a number is before it is given, where no number that may be given says so: nothing that anyone
 * types, so that what is out of range is refused. An integer that a double has, too. */
#define DEIM_NOT_GIVEN G_MININT
/* Whether @value is 0 to 1, or DEIM_NOT_GIVEN; NaN is neither. */
gboolean deim_tool_is_share (gdouble value);
/* DEIM_EXIT_OK where @threshold is a score, 0 to 1; else as deim_tool_misuse(). */
int deim_tool_check_threshold (gdouble threshold);

/* From now on the first SIGINT or SIGTERM only asks: who works looks at it now and then, and ends where nothing is
 * lost. The second ends the process at once. */
void deim_tool_catch_interrupt (void);
gboolean deim_tool_is_interrupted (void);

/* To look at: info and convert print every decision themselves. */
DeimModel *deim_tool_read_model (const gchar *path, const DeimToolOptions *shared, GError **error);
/* To run: warns of guesses. */
DeimModel *deim_tool_load_model (const gchar *path, const DeimToolOptions *shared, GError **error);
/* Model and detector in one go, the detector on the device of @shared and with its precision. */
DeimDetector *deim_tool_open_detector (const gchar *path, const DeimToolOptions *shared,
                                       const DeimDetectorOptions *options, GError **error);

/* "640x480": height, then width, each 1 .. 65535. */
gboolean deim_tool_parse_size (const gchar *text, guint *ret_height, guint *ret_width);

/* Makes the folder @path, and those above it, where it is not there yet. */
gboolean deim_tool_make_folder (const gchar *path, GError **error);
