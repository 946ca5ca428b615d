/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* random.c - SplitMix64 and what is made of it. */
#include "random.h"

#include <math.h>

static const guint64 golden_gamma = G_GUINT64_CONSTANT (0x9E3779B97F4A7C15);

static guint64
mix (guint64 z)
{
  z = (z ^ (z >> 30)) * G_GUINT64_CONSTANT (0xBF58476D1CE4E5B9);
  z = (z ^ (z >> 27)) * G_GUINT64_CONSTANT (0x94D049BB133111EB);
  return z ^ (z >> 31);
}

DeimRandom
deim_random_new (guint64 seed)
{
  return (DeimRandom){ mix (seed + golden_gamma) };
}

DeimRandom
deim_random_fork (const DeimRandom *random, guint64 key)
{
  /* Twice mixed, so that streams of neighbouring keys do not run into each other's states. */
  return (DeimRandom){ mix (random->state ^ mix (key + golden_gamma)) };
}

guint64
deim_random_bits (DeimRandom *random)
{
  random->state += golden_gamma;
  return mix (random->state);
}

gdouble
deim_random_unit (DeimRandom *random)
{
  return (gdouble) (deim_random_bits (random) >> 11) * 0x1p-53;
}

gdouble
deim_random_range (DeimRandom *random, gdouble from, gdouble to)
{
  return from + (to - from) * deim_random_unit (random);
}

guint
deim_random_below (DeimRandom *random, guint n)
{
  /* 64 bits for a range of 32: the bias is below 2^-32. */
  return (guint) (deim_random_bits (random) % n);
}

gboolean
deim_random_chance (DeimRandom *random, gdouble probability)
{
  return deim_random_unit (random) < probability;
}

gdouble
deim_random_normal (DeimRandom *random)
{
  gdouble radius = sqrt (-2 * log (1 - deim_random_unit (random)));
  return radius * cos (2 * G_PI * deim_random_unit (random));
}

void
deim_random_shuffle (DeimRandom *random, guint n, guint *ret_order)
{
  for (guint i = 0; i < n; i++) {
    guint j = deim_random_below (random, i + 1);
    ret_order[i] = ret_order[j];
    ret_order[j] = i;
  }
}
