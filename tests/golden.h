/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * golden.h - outputs of the official implementation for weights that both
 * sides make from a rule: reading the sets, and making the weights and the
 * pictures. The rule: README of the golden data, sections 1 to 5.
 *
 * A set is MODEL_HxW_SEED.json with its .bin, and MODEL.params.json with names
 * and shapes. They lie in FOLDER/open and FOLDER/arch, where FOLDER is
 * $DEIM_SHARED/golden or ../shared/golden beside the source; a few reduced
 * sets in the same form are in tests/data/golden.
 */
#pragma once

#include "engine/models/recognise.h"

#include <json-glib/json-glib.h>

/* ---------------------------------------------------------------- the rule */

/* bits (NAME, seed, i) = mix (stream (NAME, seed) + i) */
guint64 golden_bits (const gchar *name, guint64 seed, guint64 i);
guint64 golden_stream (const gchar *name, guint64 seed);
guint64 golden_mix (guint64 x);
guint32 golden_crc32 (gconstpointer data, gsize size);

/* How a tensor's values are made. */
typedef enum { GOLDEN_UNIFORM, GOLDEN_ZERO, GOLDEN_CONST, GOLDEN_ALIAS } GoldenRule;

typedef struct {
  gchar *name;
  guint n_dims;
  gint64 dims[4];
  gboolean integer;
  GoldenRule rule;
  gfloat s, o;     /* value = o + u * s */
  gchar *alias_of; /* the first name of the same tensor */
} GoldenParam;

/* s and o by the table of rules, from name and shape; @deimv2: with that family's additions. FALSE for constants. */
gboolean golden_rule (const GoldenParam *p, gboolean deimv2, gfloat *ret_s, gfloat *ret_o);

/* The names of a model's tensors, in the order of its state dict. */
typedef struct {
  gchar *model;
  GPtrArray *list; /* GoldenParam */
  GHashTable *by_name;
  guint64 seed;
  /* What the constants depend on. */
  gint height, width; /* 0: no values for anchors */
  gint levels, strides[4], points[4];
  gfloat reg_scale;
} GoldenParams;

GoldenParams *golden_params_read (const gchar *folder, const gchar *model, GError **error);
void golden_params_free (GoldenParams *params);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (GoldenParams, golden_params_free)
DeimStateDict golden_params_dict (GoldenParams *params);

/* ---------------------------------------------------------------- the sets */

typedef struct {
  gchar *folder;
  gchar *name; /* "deimv2_atto_320x320_1" */
  JsonParser *json;
  JsonObject *root, *arch;
  GMappedFile *bin;
  GoldenParams *params;
} GoldenSet;

/* NULL where there is none. */
gchar *golden_folder (void);       /* the full one */
gchar *golden_small_folder (void); /* tests/data/golden */
gchar *golden_shared_file (const gchar *path);

/* Names of all sets of @folder that begin with @prefix, sorted, NULL-terminated. */
gchar **golden_list (const gchar *folder, const gchar *prefix);

GoldenSet *golden_set_open (const gchar *folder, const gchar *name, GError **error);
void golden_set_free (GoldenSet *set);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (GoldenSet, golden_set_free)

guint golden_set_n_cases (const GoldenSet *set);
JsonObject *golden_set_case (const GoldenSet *set, guint index);
/* The numbers of member @name of @object: {"offset", "shape", "dtype"} into the .bin. */
gconstpointer golden_set_array (const GoldenSet *set, JsonObject *object, const gchar *name, gsize *ret_n);

/* The spec that says what this set's state dict cannot; NULL where its model's name does. */
gchar *golden_set_spec (const GoldenSet *set, const gchar *preset);

/* Compares every value of @arch with the set's "arch". FALSE with the first difference in @ret_what. */
gboolean golden_check_arch (JsonObject *golden, const DeimArch *arch, gchar **ret_what);

/* The picture of a case, [3][height][width]. */
gfloat *golden_image (const gchar *kind, guint64 seed, gint height, gint width);
