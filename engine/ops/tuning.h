/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * tuning.h - which variant of its kernel was measured to be the fastest for a layer (`deim tune`): a table from what
 * describes a layer to the name of a variant, both texts that the operator makes up (conv2d-variant.c). It decides
 * nothing by itself: an operator asks it, and takes its own choice where the table has none, or one that is not legal.
 * Thread-safety: any number of threads may read a table that nobody changes.
 */
#pragma once

#include <glib.h>

typedef struct _DeimTuning DeimTuning;

DeimTuning *deim_tuning_new (void);
/* Says @variant of every layer: how variants are measured and tested. */
DeimTuning *deim_tuning_new_forced (const gchar *variant);
void deim_tuning_free (DeimTuning *tuning);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (DeimTuning, deim_tuning_free)

/* The variant for @layer, or NULL where none is known. (transfer none) */
const gchar *deim_tuning_get (const DeimTuning *tuning, const gchar *layer);
/* @variant: NULL takes the layer out. */
void deim_tuning_set (DeimTuning *tuning, const gchar *layer, const gchar *variant);
guint deim_tuning_count (const DeimTuning *tuning);

/* The table as a text of lines, the first with @fingerprint: of what the choices hold for. Free with g_free(). */
gchar *deim_tuning_to_text (const DeimTuning *tuning, const gchar *fingerprint);

typedef enum {
  DEIM_TUNING_VALID,
  DEIM_TUNING_FOREIGN, /* whole, but of another fingerprint */
  DEIM_TUNING_DAMAGED,
} DeimTuningState;

/* *ret_tuning is set where the answer is DEIM_TUNING_VALID. */
DeimTuningState deim_tuning_parse (const gchar *text, const gchar *fingerprint, DeimTuning **ret_tuning);
