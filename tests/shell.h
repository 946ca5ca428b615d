/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * shell.h - a golden model's names and shapes with zeros for values (constants
 * are right), so that the largest network costs nothing; and with one change,
 * for the tests of refusals.
 */
#pragma once

#include "golden.h"

typedef struct {
  GoldenParams *params;
  DeimStateDict inner;
  const gchar *without; /* this tensor is not there */
  const gchar *lacking; /* nor is any whose name ends so */
  const gchar *extra;   /* this one is, a [3] */
  const gchar *bent;    /* this one has one row more */
  const gchar *moved;   /* this constant's first value is 1 more */
} Shell;

/* @shell must outlive it. */
DeimStateDict shell_dict (Shell *shell);

/* Names and shapes of a golden model, with constants as for @like (nullable). */
GoldenParams *shell_read_params (const gchar *folder, const gchar *model, const DeimArch *like);

/* The folder that has @model's names and shapes; NULL, with the test skipped, where there is none. */
gchar *shell_find_folder (const gchar *model);
