/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * recognise.h - from a state dict to the values of its network.
 *
 * Everything that names and shapes tell is read off them. What they cannot
 * tell - the decoder's activation, sampling, the layer to stop at, the number of
 * queries, the input size, query selection - is decided one by one, each by the
 * first of these that says something about it:
 *
 * - the caller's spec (--arch): what it writes out, and the activation and the
 *   sampling that its name stands for, where they are not what the name in the
 *   metadata stands for, too;
 * - the file's metadata ("deim.arch"), likewise;
 * - the state dict's own hints: stored anchors, wider layers, and the operators of
 *   the ONNX export that it came out of;
 * - the file's name;
 * - the preset that is closest; of several that differ in the activation alone the
 *   one whose norms are frozen or trained like these.
 *
 * Each decision becomes a note with its evidence; one that published networks of
 * these very tensors make differently, and that rests on the file's name or on
 * nothing, is a guess, too. A value that the tensors rule
 * out is an error, whoever says it; metadata that cannot be read or are of another
 * network are one where the caller names no architecture, else a note.
 */
#pragma once

#include "engine/models/arch.h"

/* Names and shapes of a state dict, and its values. Shapes as DeimParamSource gives them. */
typedef struct {
  guint n_tensors;
  const gchar *(*name) (gpointer data, guint index);
  gboolean (*shape) (gpointer data, const gchar *name, DeimShape *ret_shape); /* FALSE if absent */
  DeimParamSource values;
  gpointer data;
} DeimStateDict;

/* What is known beside the state dict. Any may be NULL. */
typedef struct {
  const gchar *file_name;     /* its last component is looked at */
  const gchar *arch;          /* a spec that overrules */
  const gchar *metadata_arch; /* "deim.arch" of the file */
  const gchar *operators;     /* options of a spec that the operators of an ONNX export show */
} DeimRecogniseHints;

/* What was decided: arrays of gchar * that are appended to. */
typedef struct {
  GPtrArray *all;
  GPtrArray *guesses; /* those of @all that are guesses, once more */
} DeimNotes;

DeimNotes *deim_notes_new (void);
void deim_notes_free (DeimNotes *notes);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (DeimNotes, deim_notes_free)

/* @notes: (nullable). DEIM_ERROR_ARCHITECTURE if it is none of the networks, or not the
 * one that hints->arch names (another size included); DEIM_ERROR_SETTINGS for a spec that cannot be read, or cannot be
 * of these tensors. */
gboolean deim_recognise (const DeimStateDict *dict, const DeimRecogniseHints *hints, DeimArch *ret_arch,
                         DeimNotes *notes, GError **error);

/* The structural half: what names and shapes tell. Leaves name, family, size and the undecidable values zero. After an
 * error @ret_arch holds what could be read. */
gboolean deim_recognise_structure (const DeimStateDict *dict, DeimArch *ret_arch, GError **error);

/*
 * Where @error is a DEIM_ERROR_ARCHITECTURE about @dict, of recognition or of
 * the building, whose message does not name the tensor that is at its bottom:
 * adds the first one that the closest published network has and @dict lacks,
 * if it lacks no more than half of them. Returns whether it did.
 */
gboolean deim_name_missing (const DeimStateDict *dict, GError **error);

/*
 * Tensors of @dict that @graph does not use: those of training become known
 * (deim_param_ignore()), any other is an error that names it. Also checks the
 * shapes of what was ignored.
 */
gboolean deim_check_unused (DeimGraph *graph, const DeimArch *arch, const DeimStateDict *dict, GError **error);

/* Trained numbers, each shared tensor once: what the papers' tables count. */
guint64 deim_count_parameters (const DeimArch *arch, const DeimStateDict *dict);

/* Lookups with a formatted name. */
gboolean deim_dict_has (const DeimStateDict *dict, const gchar *format, ...) G_GNUC_PRINTF (2, 3);
/* All zero if absent. */
DeimShape deim_dict_shape (const DeimStateDict *dict, const gchar *format, ...) G_GNUC_PRINTF (2, 3);
/* NULL if absent or not of @n numbers. Free with g_free(). */
gfloat *deim_dict_values (const DeimStateDict *dict, const gchar *name, gsize n);
