/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * gstdeimoverlay.h - the element deimoverlay: draws regions of interest into video.
 */
#pragma once

#include <cairo.h>
#include <gst/video/video.h>

#include "gstdeimhold.h"
#include "overlay/draw.h"

G_BEGIN_DECLS

#define GST_TYPE_DEIM_OVERLAY (gst_deim_overlay_get_type ())
G_DECLARE_FINAL_TYPE (GstDeimOverlay, gst_deim_overlay, GST, DEIM_OVERLAY, GstBin)
GST_ELEMENT_REGISTER_DECLARE (deimoverlay)

struct _GstDeimOverlay {
  GstBin parent;
  GstElement *composer; /* overlaycomposition, owned by the bin; NULL when GStreamer lacks it */

  /* object lock */
  gboolean draw_labels, draw_scores;
  guint line_width; /* pixels; 0: by frame size */
  guint hold;       /* milliseconds; 0: never */

  /* streaming thread */
  GstVideoInfo info;        /* of the picture */
  cairo_surface_t *surface; /* ARGB32, of the picture's size, empty between frames; NULL until there is a box */
  DeimPainter *painter;     /* for info and style; NULL until there is a box */
  DeimDrawStyle style;
  GArray *boxes;         /* of GstDeimBox, kept to save its memory */
  GArray *drawn;         /* of DeimDrawBox, likewise; empty but while a frame is drawn */
  GArray *looks;         /* of GstDeimFrameLook, likewise */
  gboolean told_missing; /* that boxes got lost before this element */
  GstDeimHold *held;
};

G_END_DECLS
