/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * draw.h - labelled boxes on a cairo surface: the one look of detections, for
 * `deim detect --draw` and for the deimoverlay element.
 *
 * Everything is in pixels of the frame, origin at its upper left corner. To
 * draw into a surface that holds only the part of the frame which begins at
 * (X,Y), call cairo_translate (cr, -X, -Y) first and pass the whole frame's
 * size: layout follows the frame, so all parts fit together.
 *
 * Thread-safety: safe, as long as one cairo_t and one DeimPainter are used by one thread at a time.
 */
#pragma once

#include <cairo.h>
#include <glib.h>

typedef struct {
  double x1, y1, x2, y2; /* corners; they may lie outside the frame */
  const char *label;     /* (nullable) UTF-8 */
  double score;          /* 0..1, printed in percent; < 0: none */
  guint class_index;     /* chooses the colour where there is no track */
  gint64 track_id;       /* printed as "#7" and chooses the colour; -1: none */
  gboolean predicted;    /* not seen in this frame but guessed by a tracker: dashed */
} DeimDrawBox;

/* Zeros and NULL stand for the defaults. */
typedef struct {
  double line_width;    /* pixels; 0: about 1/240 of the frame's shorter side, at least 2 */
  double font_size;     /* pixels; 0: about 1/28 of the shorter side, 11 to 48 */
  const char *font;     /* a family for Pango; NULL: "Sans" */
  gboolean hide_labels; /* boxes alone */
  gboolean hide_scores; /* labels without the percentage */
} DeimDrawStyle;

/* A rectangle of whole pixels. */
typedef struct {
  int x, y, width, height;
} DeimDrawRect;

/* Draws boxes into one frame after the other: it keeps fonts and labels. For one thread at a time. */
typedef struct _DeimPainter DeimPainter;

/* For frames of one size. @style: (nullable), copied, its font too. Free with deim_painter_free(), which takes NULL. */
DeimPainter *deim_painter_new (int frame_w, int frame_h, const DeimDrawStyle *style);
void deim_painter_free (DeimPainter *painter);

/*
 * Draws @boxes, the first on top of the later ones. Boxes are cut at the edge
 * of the frame, labels are moved so that they stay inside it. A box that is
 * empty, not finite or wholly outside is left out.
 *
 * @ret_touched: (nullable), @n of them: rectangles of the frame; what is drawn
 * for a box lies in its rectangle. Width and height are 0 for one left out.
 */
void deim_painter_draw (DeimPainter *painter, cairo_t *cr, const DeimDrawBox *boxes, guint n,
                        DeimDrawRect *ret_touched);

/* The same for a single frame, without a painter. @style: (nullable). */
void deim_draw_boxes (cairo_t *cr, int frame_w, int frame_h, const DeimDrawBox *boxes, guint n,
                      const DeimDrawStyle *style);

/* The colour of a class or track: red, green, blue in 0..1. Neighbouring indices differ for colour-blind eyes too. */
void deim_draw_colour (guint64 index, double ret_rgb[3]);
