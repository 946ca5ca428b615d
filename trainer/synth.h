/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * synth.h - made-up pictures for detectors: shapes of six classes with
 * textures, before all kinds of backgrounds, overlapping, blurred and noisy, of
 * any number and size, from a seed.
 *
 * A box is the extent of what shows of its object: the smallest rectangle of
 * whole pixels around all pixels that the object covers by half or more and that
 * no later object covers; the area is their number. (So it is in COCO, too.)
 * Blur and noise come afterwards and do not move boxes. Whatever object is in a
 * picture is annotated: one that would be hidden too much, or would hide
 * another too much, is not put there.
 */
#pragma once

#include "random.h"
#include "sample.h"

/* How scenes are. */
typedef enum {
  DEIM_SYNTH_DEFAULT, /* 1 to 12 objects, sides of about 0.05 to 0.5 of the picture's shorter one, clearly visible */
  DEIM_SYNTH_SPARSE,  /* 1 to 3, larger, hardly covered */
  DEIM_SYNTH_HARD,    /* 10 to 40, many tiny, in crowds, of nearly the background's colour, with blur and noise */
  DEIM_SYNTH_LAST
} DeimSynthSplit;

#define DEIM_SYNTH_CLASSES 6

const gchar *deim_synth_class_name (guint index);

/* "default", "sparse", "hard" */
const gchar *deim_synth_split_name (DeimSynthSplit split);
gboolean deim_synth_split_from_name (const gchar *name, DeimSynthSplit *ret_split);

/*
 * Picture @index of the endless data set of @seed. The same on every machine,
 * but for a few pixels at edges if Cairo's version differs. At least 32 x 32
 * pixels. Thread-safety: safe.
 */
DeimSample *deim_synth_scene (DeimSynthSplit split, guint width, guint height, guint64 seed, guint index);

typedef struct {
  DeimSynthSplit split;
  guint count, width, height;
  guint64 seed;
  guint threads;                                             /* 0: one per processor */
  void (*progress) (guint done, guint count, gpointer data); /* (nullable): from any thread, one at a time */
  gpointer progress_data;
} DeimSynthOptions;

/*
 * Writes pictures 0 .. count-1 to @folder/images/000000.png, ... and then
 * @folder/annotations.json. The folder is made; one that holds annotations
 * already is refused (DEIM_ERROR_SETTINGS). DEIM_ERROR_WRITE.
 */
gboolean deim_synth_write (const gchar *folder, const DeimSynthOptions *options, GError **error);
