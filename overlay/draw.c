/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * draw.c - layout and painting of labelled boxes. Layout is computed once, by
 * place(), for painting and for the extents alike: what is not inside the
 * extents is never painted.
 */
#include "draw.h"

#include <math.h>
#include <pango/pangocairo.h>

/* Width of the dark or light line around a box, which keeps it visible on a ground of its own colour. */
#define HALO 1

/* All numbers in whole pixels, so that lines are sharp. */
typedef struct {
  int x1, y1, x2, y2; /* outer edge of the coloured line */
  int line;           /* its width */
  PangoLayout *label; /* NULL: none */
  DeimDrawRect plate; /* its ground */
  int text_x, text_y;
} Placement;

/* Labels kept: shaping a text takes as long as painting it, and most come again in the next frame. */
#define MOST_LAYOUTS 1000

struct _DeimPainter {
  int w, h; /* of the frame */
  int line, font, padding;
  gboolean hide_scores;
  PangoContext *context; /* NULL: no labels */
  PangoFontDescription *description;
  GHashTable *layouts; /* text -> PangoLayout, MOST_LAYOUTS at most */
};

/*
 * Seven of the eight colours that Masataka Okabe and Kei Ito chose for all kinds of colour vision ("Color Universal
 * Design", 2002 and 2008, https://jfly.uni-koeln.de/color/); black drowns in video.
 */
static const double palette[][3] = {
  { 0.90, 0.62, 0.00 }, /* orange */
  { 0.34, 0.71, 0.91 }, /* sky blue */
  { 0.00, 0.62, 0.45 }, /* bluish green */
  { 0.94, 0.89, 0.26 }, /* yellow */
  { 0.80, 0.47, 0.65 }, /* reddish purple */
  { 0.84, 0.37, 0.00 }, /* vermilion */
  { 0.00, 0.45, 0.70 }, /* blue */
};

/*
 * Further rounds mix each colour with white (more than 0) or black (less). The amounts were searched for, so that all
 * colours lie as far apart as they can, to usual eyes and to those without red or green cones: tests/test-draw.c has
 * the distances. The darkest are left out, for lines that are seen.
 */
static const double tones[][G_N_ELEMENTS (palette)] = {
  { 0, 0, 0, 0, 0, 0, 0 },
  { -0.5, 0.55, 0.65, 0.75, -0.3, 0.55, -0.45 },
  { 0.45, 0.8, 0.25, 0.55, -0.5, -0.5, 0.3 },
};

void
deim_draw_colour (guint64 index, double ret_rgb[3])
{
  guint hue = (guint) (index % G_N_ELEMENTS (palette));
  double amount = tones[index / G_N_ELEMENTS (palette) % G_N_ELEMENTS (tones)][hue];

  for (guint i = 0; i < 3; i++)
    ret_rgb[i] = palette[hue][i] + ((amount > 0 ? 1 : 0) - palette[hue][i]) * fabs (amount);
}

/* Whether black stands out more from a colour than white does: by the contrast ratio of WCAG 2, (L + 0.05) : 0.05
 * against 1.05 : (L + 0.05). */
static gboolean
is_light (const double rgb[3])
{
  static const double weights[3] = { 0.2126, 0.7152, 0.0722 };
  double luminance = 0;

  for (guint i = 0; i < 3; i++)
    luminance += weights[i] * (rgb[i] <= 0.04045 ? rgb[i] / 12.92 : pow ((rgb[i] + 0.055) / 1.055, 2.4));
  return luminance > sqrt (1.05 * 0.05) - 0.05;
}

DeimPainter *
deim_painter_new (int frame_w, int frame_h, const DeimDrawStyle *style)
{
  static const DeimDrawStyle defaults;
  DeimPainter *painter = g_new0 (DeimPainter, 1);
  int side = MIN (frame_w, frame_h);

  style = style ? style : &defaults;
  painter->w = frame_w;
  painter->h = frame_h;
  painter->line = style->line_width > 0 ? (int) CLAMP (style->line_width + 0.5, 1, 256) : MAX (2, (side + 120) / 240);
  painter->font = style->font_size > 0 ? (int) CLAMP (style->font_size + 0.5, 4, 1024) : CLAMP (side / 28, 11, 48);
  painter->padding = MAX (2, painter->font / 5);
  painter->hide_scores = style->hide_scores;
  if (style->hide_labels)
    return painter;

  /* A context of our own, not the surface's: the same font options measure and paint. */
  painter->context = pango_font_map_create_context (pango_cairo_font_map_get_default ());
  painter->description = pango_font_description_new ();
  pango_font_description_set_family (painter->description, style->font ? style->font : "Sans");
  pango_font_description_set_weight (painter->description, PANGO_WEIGHT_SEMIBOLD);
  pango_font_description_set_absolute_size (painter->description, (double) painter->font * PANGO_SCALE);
  painter->layouts = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_object_unref);
  return painter;
}

void
deim_painter_free (DeimPainter *painter)
{
  if (!painter)
    return;
  g_clear_pointer (&painter->layouts, g_hash_table_unref);
  g_clear_pointer (&painter->description, pango_font_description_free);
  g_clear_object (&painter->context);
  g_free (painter);
}

/* The words of @box, shaped and no wider than the frame. The caller unrefs it; NULL when there are none. */
static PangoLayout *
get_label (DeimPainter *painter, const DeimDrawBox *box)
{
  g_autoptr (GString) text = g_string_new (NULL);
  int width;

  if (!painter->context)
    return NULL;
  if (box->track_id >= 0)
    g_string_append_printf (text, "#%" G_GINT64_FORMAT " ", box->track_id);
  if (box->label) {
    g_autofree gchar *label = g_utf8_make_valid (box->label, -1);
    g_string_append_printf (text, "%s ", label);
  }
  if (box->score >= 0 && !painter->hide_scores)
    g_string_append_printf (text, "%.0f%%", 100 * MIN (box->score, 1));
  g_strchomp (text->str);
  if (!text->str[0])
    return NULL;

  PangoLayout *layout = g_hash_table_lookup (painter->layouts, text->str);
  if (layout)
    return g_object_ref (layout);
  layout = pango_layout_new (painter->context);
  pango_layout_set_font_description (layout, painter->description);
  pango_layout_set_single_paragraph_mode (layout, TRUE);
  pango_layout_set_ellipsize (layout, PANGO_ELLIPSIZE_MIDDLE);
  pango_layout_set_text (layout, text->str, -1);
  pango_layout_get_pixel_size (layout, &width, NULL);
  if (width > painter->w - 2 * painter->padding)
    pango_layout_set_width (layout, MAX (1, painter->w - 2 * painter->padding) * PANGO_SCALE);
  if (g_hash_table_size (painter->layouts) >= MOST_LAYOUTS)
    g_hash_table_remove_all (painter->layouts);
  g_hash_table_insert (painter->layouts, g_strdup (text->str), g_object_ref (layout));
  return layout;
}

static int
to_pixel (double coordinate, int limit)
{
  return (int) (CLAMP (coordinate, 0, limit) + 0.5);
}

/* The label's plate: above the box, or inside its upper edge where the frame ends; never outside the frame. */
static void
place_label (const DeimPainter *painter, Placement *place)
{
  int padding = painter->padding, width, height;

  pango_layout_get_pixel_size (place->label, &width, &height);
  /* A shortened label is as wide as it may be, whatever its letters leave of that. */
  if (pango_layout_get_width (place->label) >= 0)
    width = pango_layout_get_width (place->label) / PANGO_SCALE;
  place->plate.width = MIN (width + 2 * padding, painter->w);
  place->plate.height = MIN (height + padding, painter->h);
  place->plate.x = MAX (0, MIN (place->x1, painter->w - place->plate.width));
  if (place->y1 >= place->plate.height)
    place->plate.y = place->y1 - place->plate.height;
  else
    place->plate.y = MIN (place->y1, painter->h - place->plate.height);
  place->text_x = place->plate.x + padding;
  place->text_y = place->plate.y + padding / 2;
}

static gboolean
place (DeimPainter *painter, const DeimDrawBox *box, Placement *ret_place)
{
  Placement result = { .line = painter->line };

  if (!isfinite (box->x1) || !isfinite (box->y1) || !isfinite (box->x2) || !isfinite (box->y2))
    return FALSE;
  if (box->x1 >= box->x2 || box->y1 >= box->y2)
    return FALSE;
  if (box->x2 <= 0 || box->y2 <= 0 || box->x1 >= painter->w || box->y1 >= painter->h)
    return FALSE;
  result.x1 = to_pixel (box->x1, painter->w);
  result.y1 = to_pixel (box->y1, painter->h);
  result.x2 = to_pixel (box->x2, painter->w);
  result.y2 = to_pixel (box->y2, painter->h);
  result.label = get_label (painter, box);
  if (result.label)
    place_label (painter, &result);
  *ret_place = result;
  return TRUE;
}

/* Everything that paint_box() and paint_label() may touch, inside the frame. */
static DeimDrawRect
touched (const DeimPainter *painter, const Placement *place)
{
  /* A box thinner than its line still gets a whole line, hence the max. */
  int x1 = place->x1 - HALO, y1 = place->y1 - HALO;
  int x2 = MAX (place->x2, place->x1 + place->line) + HALO, y2 = MAX (place->y2, place->y1 + place->line) + HALO;

  if (place->label) {
    x1 = MIN (x1, place->plate.x);
    y1 = MIN (y1, place->plate.y);
    x2 = MAX (x2, place->plate.x + place->plate.width);
    y2 = MAX (y2, place->plate.y + place->plate.height);
  }
  x1 = MAX (x1, 0);
  y1 = MAX (y1, 0);
  return (DeimDrawRect){ x1, y1, MIN (x2, painter->w) - x1, MIN (y2, painter->h) - y1 };
}

static void
box_colour (const DeimDrawBox *box, double rgb[3])
{
  deim_draw_colour (box->track_id >= 0 ? (guint64) box->track_id : box->class_index, rgb);
}

static void
paint_box (cairo_t *cr, const DeimDrawBox *box, const Placement *place)
{
  double inset = place->line / 2.0, dash = 3.0 * place->line;
  double width = MAX (0, place->x2 - place->x1 - place->line), height = MAX (0, place->y2 - place->y1 - place->line);
  double rgb[3];

  box_colour (box, rgb);
  cairo_set_line_join (cr, CAIRO_LINE_JOIN_MITER);
  cairo_set_line_cap (cr, CAIRO_LINE_CAP_BUTT);
  if (box->predicted)
    cairo_set_dash (cr, &dash, 1, 0);
  else
    cairo_set_dash (cr, NULL, 0, 0);
  cairo_rectangle (cr, place->x1 + inset, place->y1 + inset, width, height);
  double halo = is_light (rgb) ? 0 : 1;
  cairo_set_source_rgba (cr, halo, halo, halo, 0.45);
  cairo_set_line_width (cr, place->line + 2 * HALO);
  cairo_stroke_preserve (cr);
  cairo_set_source_rgb (cr, rgb[0], rgb[1], rgb[2]);
  cairo_set_line_width (cr, place->line);
  cairo_stroke (cr);
}

static void
paint_label (cairo_t *cr, const DeimDrawBox *box, const Placement *place)
{
  double rgb[3];

  if (!place->label)
    return;
  box_colour (box, rgb);
  cairo_save (cr);
  cairo_rectangle (cr, place->plate.x, place->plate.y, place->plate.width, place->plate.height);
  cairo_clip (cr);
  cairo_set_source_rgb (cr, rgb[0], rgb[1], rgb[2]);
  cairo_paint (cr);
  double ink = is_light (rgb) ? 0 : 1;
  cairo_set_source_rgb (cr, ink, ink, ink);
  cairo_move_to (cr, place->text_x, place->text_y);
  pango_cairo_show_layout (cr, place->label);
  cairo_restore (cr);
}

void
deim_painter_draw (DeimPainter *painter, cairo_t *cr, const DeimDrawBox *boxes, guint n, DeimDrawRect *ret_touched)
{
  if (n == 0 || painter->w <= 0 || painter->h <= 0)
    return;
  g_autofree Placement *spots = g_new0 (Placement, n);
  g_autofree gboolean *visible = g_new0 (gboolean, n);
  for (guint i = 0; i < n; i++) {
    visible[i] = place (painter, &boxes[i], &spots[i]);
    if (ret_touched)
      ret_touched[i] = visible[i] ? touched (painter, &spots[i]) : (DeimDrawRect){ 0 };
  }
  cairo_save (cr);
  cairo_rectangle (cr, 0, 0, painter->w, painter->h);
  cairo_clip (cr);
  /* All boxes, then all labels: no line runs through words. Backwards, so that the first ends on top. */
  for (guint i = n; i-- > 0;)
    if (visible[i])
      paint_box (cr, &boxes[i], &spots[i]);
  for (guint i = n; i-- > 0;)
    if (visible[i])
      paint_label (cr, &boxes[i], &spots[i]);
  cairo_restore (cr);
  for (guint i = 0; i < n; i++)
    g_clear_object (&spots[i].label);
}

void
deim_draw_boxes (cairo_t *cr, int frame_w, int frame_h, const DeimDrawBox *boxes, guint n, const DeimDrawStyle *style)
{
  DeimPainter *painter = deim_painter_new (frame_w, frame_h, style);
  deim_painter_draw (painter, cr, boxes, n, NULL);
  deim_painter_free (painter);
}
