/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* measure.c - order statistics, and profiles summed by stage, by op kind and by dispatch. */
#include "measure.h"

#include <math.h>
#include <stdio.h>

static gint
compare_doubles (gconstpointer a, gconstpointer b)
{
  gdouble x = *(const gdouble *) a, y = *(const gdouble *) b;
  return (x > y) - (x < y);
}

/* Between the two nearest samples in proportion. */
static gdouble
quantile (const GArray *sorted, gdouble part)
{
  gdouble place = part * (sorted->len - 1);
  guint below = (guint) floor (place), above = MIN (below + 1, sorted->len - 1);
  gdouble low = g_array_index (sorted, gdouble, below), high = g_array_index (sorted, gdouble, above);

  return low + (high - low) * (place - below);
}

DeimSpread
deim_spread (GArray *samples)
{
  DeimSpread spread = { 0 };

  if (samples->len == 0)
    return spread;
  g_array_sort (samples, compare_doubles);
  spread.median = quantile (samples, 0.5);
  spread.p10 = quantile (samples, 0.1);
  spread.p90 = quantile (samples, 0.9);
  spread.min = quantile (samples, 0);
  spread.max = quantile (samples, 1);
  return spread;
}

static void
add_rounded (JsonBuilder *builder, const gchar *name, gdouble ms)
{
  json_builder_set_member_name (builder, name);
  json_builder_add_double_value (builder, round (ms * 1e6) / 1e6); /* clocks tell nanoseconds */
}

void
deim_spread_add_json (JsonBuilder *builder, const gchar *name, const DeimSpread *spread)
{
  json_builder_set_member_name (builder, name);
  json_builder_begin_object (builder);
  add_rounded (builder, "median", spread->median);
  add_rounded (builder, "p10", spread->p10);
  add_rounded (builder, "p90", spread->p90);
  add_rounded (builder, "min", spread->min);
  add_rounded (builder, "max", spread->max);
  json_builder_end_object (builder);
}

static void
group_free (gpointer data)
{
  DeimGroup *group = data;

  g_free (group->name);
  g_array_unref (group->samples);
  g_free (group);
}

static DeimGroup *
add_group (GPtrArray *groups, const DeimProfileEntry *entry, const gchar *name)
{
  DeimGroup *group = g_new0 (DeimGroup, 1);

  group->name = g_strdup (name);
  group->op = g_intern_string (entry->op);
  group->stage = g_intern_string (entry->stage);
  group->samples = g_array_new (FALSE, FALSE, sizeof (gdouble));
  g_ptr_array_add (groups, group);
  return group;
}

/* The group called @name; a few dozen at most, so that a search is good enough. */
static DeimGroup *
find_group (GPtrArray *groups, const DeimProfileEntry *entry, const gchar *name)
{
  for (guint i = 0; i < groups->len; i++) {
    DeimGroup *group = groups->pdata[i];
    if (g_str_equal (group->name, name))
      return group;
  }
  return add_group (groups, entry, name);
}

static void
count_entry (DeimGroup *group, const DeimProfileEntry *entry, gboolean first_frame)
{
  group->current += entry->ms;
  if (first_frame) {
    group->dispatches++;
    group->gflop += entry->gflop;
    group->gbyte += entry->gbyte;
  }
}

static void
close_frame (GPtrArray *groups)
{
  for (guint i = 0; i < groups->len; i++) {
    DeimGroup *group = groups->pdata[i];
    g_array_append_val (group->samples, group->current);
    group->current = 0;
  }
}

DeimProfile *
deim_profile_new (void)
{
  DeimProfile *profile = g_new0 (DeimProfile, 1);

  profile->stages = g_ptr_array_new_with_free_func (group_free);
  profile->kinds = g_ptr_array_new_with_free_func (group_free);
  profile->dispatches = g_ptr_array_new_with_free_func (group_free);
  profile->totals = g_array_new (FALSE, FALSE, sizeof (gdouble));
  return profile;
}

void
deim_profile_free (DeimProfile *profile)
{
  if (!profile)
    return;
  g_ptr_array_unref (profile->stages);
  g_ptr_array_unref (profile->kinds);
  g_ptr_array_unref (profile->dispatches);
  g_array_unref (profile->totals);
  g_free (profile);
}

void
deim_profile_add_frame (DeimProfile *profile, const GArray *entries)
{
  gboolean first = profile->totals->len == 0;
  gdouble total = 0;

  for (guint i = 0; i < entries->len; i++) {
    const DeimProfileEntry *entry = &g_array_index (entries, DeimProfileEntry, i);
    DeimGroup *dispatch = i < profile->dispatches->len ? profile->dispatches->pdata[i]
                                                       : add_group (profile->dispatches, entry, entry->name);
    count_entry (dispatch, entry, first);
    count_entry (find_group (profile->stages, entry, entry->stage), entry, first);
    count_entry (find_group (profile->kinds, entry, entry->op), entry, first);
    total += entry->ms;
  }
  close_frame (profile->stages);
  close_frame (profile->kinds);
  close_frame (profile->dispatches);
  g_array_append_val (profile->totals, total);
}

/* @amount, in 10^9, of @ms milliseconds as a rate; a dash where nothing is counted. */
static void
print_rate (gdouble amount, gdouble ms)
{
  if (amount > 0 && ms > 0)
    printf (" %8.1f", amount / ms * 1e3);
  else
    printf (" %8s", "-");
}

void
deim_groups_print (const gchar *title, const GPtrArray *groups, gdouble total)
{
  printf ("\n%-24s %10s %10s %10s %7s %6s %8s %8s\n", title, "median ms", "p10", "p90", "share", "calls", "GFLOP/s",
          "GB/s");
  for (guint i = 0; i < groups->len; i++) {
    const DeimGroup *group = groups->pdata[i];
    DeimSpread spread = deim_spread (group->samples);
    printf ("%-24s %10.3f %10.3f %10.3f %6.1f%% %6u", group->name, spread.median, spread.p10, spread.p90,
            total > 0 ? 100 * spread.median / total : 0, group->dispatches);
    print_rate (group->gflop, spread.median);
    print_rate (group->gbyte, spread.median);
    printf ("\n");
  }
}
