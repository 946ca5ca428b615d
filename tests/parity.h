/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * parity.h - running a network somewhere, and comparing what comes out with a
 * golden set: logits and boxes of every query, matched by encoder token, and
 * the sampled values of intermediate tensors, so that a network that is wrong
 * says where it goes wrong.
 */
#pragma once

#include "golden.h"

#include "engine/graph/reference.h"
#include "engine/models/network.h"

/*
 * Somewhere a graph can run. To add one, fill this in and add a line to the
 * table in parity-backends.c.
 */
typedef struct {
  const gchar *name;
  gboolean keeps_taps; /* run() returns every tensor that is wanted */
  gdouble tolerance;   /* times what is allowed where nothing but the order of sums differs */
  /* Takes @graph over, also on failure. @wanted: what run() is to return; tensors of the graph as it was built. NULL
   * entries are allowed. */
  gpointer (*open) (DeimGraph *graph, DeimTensor *const *wanted, guint n_wanted, GError **error);
  /* @feeds: all inputs. @ret_values [n_wanted]: each a new dense array (int32 of an int tensor), or NULL where this
   * backend no longer has the tensor. Free with g_free(). */
  gboolean (*run) (gpointer session, const DeimFeed *feeds, guint n_feeds, gfloat **ret_values, GError **error);
  void (*close) (gpointer session);
} ParityBackend;

const ParityBackend *parity_backend_find (const gchar *name);
/* "reference fused ..", for messages. Free with g_free(). */
gchar *parity_backend_names (void);

/* Largest deviations of one case. */
typedef struct {
  gboolean compared; /* FALSE: other queries were selected, and the figures mean nothing */
  guint queries;
  guint rows;                  /* of logits that the set holds; all, but in reduced sets */
  gdouble logits, boxes;       /* largest over all rows */
  gdouble logits_95, boxes_95; /* 95 % of the rows are below */
  gdouble logits_median, boxes_median;
  gdouble logits_limit, boxes_limit;
  guint taps;           /* compared */
  guint taps_unmatched; /* of which no sample is of a query that both sides selected */
  guint taps_missing;   /* of training, or no longer there after fusing */
  gchar *first_tap;     /* the first tap that differs, with figures; NULL: none does */
} ParityResult;

void parity_result_clear (ParityResult *result);

/*
 * Recognises the set's architecture (parity_recognise()), builds it, and compares
 * all cases. FALSE with the reason in @ret_message; the message is a report
 * of figures on success, too. @max_cases: 0 for all.
 */
gboolean parity_check_set (const ParityBackend *backend, const GoldenSet *set, guint max_cases, gchar **ret_message);

/* The graph of the set, from its rule-made weights, as parity_recognise() tells the architecture; NULL with the reason
 * in @ret_message. */
DeimGraph *parity_build_set (const GoldenSet *set, DeimArch *ret_arch, DeimNetworkOutputs *ret_outputs,
                             gchar **ret_message);

/*
 * Makes everything behind the selection go on with tokens that are fed as the returned int input, in the form of
 * "topk_index". What the network itself would select is still outputs->tokens.
 */
DeimTensor *parity_inject_tokens (DeimGraph *graph, const DeimNetworkOutputs *outputs);

/* CRC-32 of every tensor against MODEL.crc.json; TRUE also where there is none. */
gboolean parity_check_crc (const GoldenSet *set, guint *ret_checked, gchar **ret_message);

/* Takes "@name", or "@name VALUE", out of the arguments of main(): the value, or the name; NULL if it is not there. */
gchar *parity_take_option (gint *argc, gchar **argv, const gchar *name, gboolean has_value);

/* Adds the case "/@path/SET" for every set of the full golden data of which the name begins with one of @prefixes,
 * which have commas between them: one that is skipped where that data is not here, and one that fails where no set is
 * called so. NULL: for every committed set. */
typedef void (*ParitySetFunc) (GoldenSet *set);
void parity_add_sets (const gchar *path, const gchar *prefixes, ParitySetFunc func);

/*
 * The arch of a set, from names, shapes and constants of its state dict and a file name, MODEL.pth. Sets of variants
 * (var..) have what no tensor tells, as discrete sampling: for these the spec of golden_set_spec() is given, as a user
 * would give --arch, and what tensors do tell is still recognised. @notes: may be NULL.
 */
gboolean parity_recognise (const GoldenSet *set, DeimArch *ret_arch, DeimNotes *notes, GError **error);
