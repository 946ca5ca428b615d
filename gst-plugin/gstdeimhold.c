/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* gstdeimhold.c - see gstdeimhold.h. */
#include "gstdeimhold.h"

/* What one deimdetect found in the last frame that it looked at. */
typedef struct {
  const gchar *source; /* interned */
  GstClockTime since;  /* running time of the frame, or NONE */
  GArray *boxes;       /* of GstDeimBox */
} Held;

struct _GstDeimHold {
  GArray *held; /* of Held */
};

static void
clear_held (gpointer held)
{
  g_array_unref (((Held *) held)->boxes);
}

GstDeimHold *
gst_deim_hold_new (void)
{
  GstDeimHold *hold = g_new0 (GstDeimHold, 1);
  hold->held = g_array_new (FALSE, FALSE, sizeof (Held));
  g_array_set_clear_func (hold->held, clear_held);
  return hold;
}

void
gst_deim_hold_free (GstDeimHold *hold)
{
  if (!hold)
    return;
  g_array_unref (hold->held);
  g_free (hold);
}

void
gst_deim_hold_forget (GstDeimHold *hold)
{
  g_array_set_size (hold->held, 0);
}

static Held *
find_held (GstDeimHold *hold, const gchar *source)
{
  for (guint i = 0; i < hold->held->len; i++) {
    Held *held = &g_array_index (hold->held, Held, i);
    if (held->source == source)
      return held;
  }
  return NULL;
}

/* @boxes without a source are of @source too, when it is the @only one. */
static void
note (GstDeimHold *hold, const gchar *source, gboolean only, const GArray *boxes, GstClockTime now)
{
  Held *held = find_held (hold, source);
  if (!held) {
    const Held new_one = { .source = source, .boxes = g_array_new (FALSE, FALSE, sizeof (GstDeimBox)) };
    g_array_append_val (hold->held, new_one);
    held = find_held (hold, source);
  }
  held->since = now;
  g_array_set_size (held->boxes, 0);
  for (guint i = 0; i < boxes->len; i++) {
    const GstDeimBox *box = &g_array_index (boxes, GstDeimBox, i);
    if (box->source == source || (only && !box->source))
      g_array_append_vals (held->boxes, box, 1);
  }
}

static void
append_held (const Held *held, GArray *boxes, GstClockTime now, GstClockTime longest)
{
  if (!GST_CLOCK_TIME_IS_VALID (now) || !GST_CLOCK_TIME_IS_VALID (held->since) || now < held->since ||
      now - held->since > longest)
    return;
  guint former = boxes->len;
  g_array_append_vals (boxes, held->boxes->data, held->boxes->len);
  for (guint i = former; i < boxes->len; i++)
    g_array_index (boxes, GstDeimBox, i).predicted = TRUE;
}

/* Whether the first @n of @boxes hold any of @source's, or of somebody else's. */
static gboolean
has_boxes (const GArray *boxes, guint n, const gchar *source)
{
  for (guint i = 0; i < n; i++) {
    const gchar *other = g_array_index (boxes, GstDeimBox, i).source;
    if (!other || other == source)
      return TRUE;
  }
  return FALSE;
}

void
gst_deim_hold_complete (GstDeimHold *hold, const GArray *looks, GArray *boxes, GstClockTime now, GstClockTime longest)
{
  guint present = boxes->len;
  for (guint i = 0; i < looks->len; i++) {
    const GstDeimFrameLook *look = &g_array_index (looks, GstDeimFrameLook, i);
    const Held *held = find_held (hold, look->source);
    if (look->inferred)
      note (hold, look->source, looks->len == 1, boxes, now);
    else if (held && !has_boxes (boxes, present, look->source))
      append_held (held, boxes, now, longest);
  }
}
