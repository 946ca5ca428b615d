/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * closest.h - how far the published networks are from what was read off a state
 * dict. For engine/models/ alone.
 */
#pragma once

#include "engine/models/arch.h"

/* A distance, or a difference of two, from which on it is another size, or another family. What configurations change
 * within a size (points, reg_scale, AIFI's layers, a gateway) is less. */
#define DEIM_DISTANCE_SIZE   50
#define DEIM_DISTANCE_FAMILY 1000

/* The presets that are equally close. */
typedef struct {
  DeimArch arch[16];
  guint n;
  gint distance;
} DeimClosest;

/* How far a preset is from what was read; 0: the same but for frozen norms and what tensors do not tell. */
gint deim_arch_distance (const DeimArch *read, const DeimArch *preset);

/* In which parts, as a list to read; "" where in none. Free with g_free(). */
gchar *deim_arch_describe_differences (const DeimArch *read, const DeimArch *preset);

void deim_closest_find (const DeimArch *read, DeimClosest *ret);

/* Drops those that @keep does not like, unless it likes none. */
void deim_closest_filter (DeimClosest *closest, gboolean (*keep) (const DeimArch *arch, gconstpointer data),
                          gconstpointer data);
