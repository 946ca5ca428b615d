/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * random.h - numbers that look random and depend on a seed alone: the same on
 * every machine, in every version of every library, in any number of threads.
 *
 * A stream is a value; copying it copies its future. Streams of different keys
 * are independent, so each picture of each epoch has one of its own. The
 * generator is SplitMix64 (Steele, Lea, Flood 2014).
 */
#pragma once

#include <glib.h>

typedef struct {
  guint64 state;
} DeimRandom;

DeimRandom deim_random_new (guint64 seed);
/* A stream for @key beside @random, which it does not advance. */
DeimRandom deim_random_fork (const DeimRandom *random, guint64 key);

guint64 deim_random_bits (DeimRandom *random);
gdouble deim_random_unit (DeimRandom *random);                            /* 0 <= x < 1, 53 bits */
gdouble deim_random_range (DeimRandom *random, gdouble from, gdouble to); /* from <= x < to */
guint deim_random_below (DeimRandom *random, guint n);                    /* 0 .. n-1, n >= 1 */
gboolean deim_random_chance (DeimRandom *random, gdouble probability);
gdouble deim_random_normal (DeimRandom *random); /* mean 0, deviation 1 */

/* The numbers 0 .. n-1 in an order of their own. */
void deim_random_shuffle (DeimRandom *random, guint n, guint *ret_order);
