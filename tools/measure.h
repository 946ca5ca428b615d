/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* measure.h - samples of durations, and what `deim bench` tells about them. All figures in milliseconds. */
#pragma once

#include <deim.h>
#include <json-glib/json-glib.h>

/* How a set of samples is spread: p10 and p90 have a tenth of them below and above. */
typedef struct {
  gdouble median, p10, p90, min, max;
} DeimSpread;

/* @samples: (of gdouble), sorted by this call; zeros where it is empty. */
DeimSpread deim_spread (GArray *samples);

/* "name": {"median", "p10", "p90", "min", "max"}. */
void deim_spread_add_json (JsonBuilder *builder, const gchar *name, const DeimSpread *spread);

/* A named sum of dispatches, one sample per frame. */
typedef struct {
  gchar *name;
  const gchar *op, *stage; /* interned */
  guint dispatches;        /* per frame */
  gdouble gflop, gbyte;    /* per frame, 0 where not counted */
  GArray *samples;         /* of gdouble, ms */
  gdouble current;         /* of the frame being added */
} DeimGroup;

/* Profiles of many frames, summed up in three ways. */
typedef struct {
  GPtrArray *stages, *kinds, *dispatches; /* of DeimGroup, in the order of the device */
  GArray *totals;                         /* of gdouble: device time of a frame */
} DeimProfile;

DeimProfile *deim_profile_new (void);
void deim_profile_free (DeimProfile *profile);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (DeimProfile, deim_profile_free)

/* One frame's entries, as deim_detector_get_profile() returns them. */
void deim_profile_add_frame (DeimProfile *profile, const GArray *entries);

/* Prints a table of groups; @total: milliseconds that shares are of. */
void deim_groups_print (const gchar *title, const GPtrArray *groups, gdouble total);
