/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-draw.c - the look of detections: colours that stay apart for colour-blind eyes too, letters that can be read,
 * lines that follow the frame's size, and labels that stay inside it.
 */
#include <cairo.h>
#include <math.h>

#include "overlay/draw.h"

#define COLOURS 21 /* then they begin again */

typedef struct {
  double l, a, b;
} Lab;

/* ----------------------------------------------------------------- colours */

/*
 * What a dichromat sees, in linear RGB: G. M. Machado, M. M. Oliveira, L. A. F. Fernandes, "A Physiologically-based
 * Model for Simulation of Color Vision Deficiency", IEEE Transactions on Visualization and Computer Graphics 15(6),
 * 2009, the matrices for severity 1.0.
 */
static const struct {
  const gchar *name;
  double matrix[3][3];
} visions[] = {
  { "normal", { { 1, 0, 0 }, { 0, 1, 0 }, { 0, 0, 1 } } },
  { "protanopia",
    { { 0.152286, 1.052583, -0.204868 }, { 0.114503, 0.786281, 0.099216 }, { -0.003882, -0.048116, 1.051998 } } },
  { "deuteranopia",
    { { 0.367322, 0.860646, -0.227968 }, { 0.280085, 0.672501, 0.047413 }, { -0.011820, 0.042940, 0.968881 } } },
  { "tritanopia",
    { { 1.255528, -0.076749, -0.178779 }, { -0.078411, 0.930809, 0.147602 }, { 0.004733, 0.691367, 0.303900 } } },
};

static double
to_linear (double c)
{
  return c <= 0.04045 ? c / 12.92 : pow ((c + 0.055) / 1.055, 2.4);
}

static double
lab_curve (double t)
{
  return t > 216.0 / 24389 ? cbrt (t) : (24389.0 / 27 * t + 16) / 116;
}

/* CIELAB of what somebody with @matrix sees of an sRGB colour, under D65. */
static Lab
see (const double rgb[3], const double matrix[3][3])
{
  static const double xyz[3][3] = { { 0.4124564, 0.3575761, 0.1804375 },
                                    { 0.2126729, 0.7151522, 0.0721750 },
                                    { 0.0193339, 0.1191920, 0.9503041 } };
  static const double white[3] = { 0.95047, 1, 1.08883 };
  double seen[3] = { 0 }, f[3];
  for (guint i = 0; i < 3; i++) {
    for (guint j = 0; j < 3; j++)
      seen[i] += matrix[i][j] * to_linear (rgb[j]);
    seen[i] = CLAMP (seen[i], 0, 1);
  }
  for (guint i = 0; i < 3; i++) {
    double sum = 0;
    for (guint j = 0; j < 3; j++)
      sum += xyz[i][j] * seen[j];
    f[i] = lab_curve (sum / white[i]);
  }
  return (Lab){ 116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2]) };
}

static double
degrees (double y, double x)
{
  double angle = atan2 (y, x) * 180 / G_PI;
  return angle < 0 ? angle + 360 : angle;
}

static double
cosine (double angle)
{
  return cos (angle * G_PI / 180);
}

/* CIEDE2000, as in G. Sharma, W. Wu, E. N. Dalal, "The CIEDE2000 Color-Difference Formula", Color Research and
 * Application 30(1), 2005. About 1 can just be told apart side by side; colours of another name are 10 and more apart.
 */
static double
difference (Lab p, Lab q)
{
  double mean_c = (hypot (p.a, p.b) + hypot (q.a, q.b)) / 2;
  double g = 0.5 * (1 - sqrt (pow (mean_c, 7) / (pow (mean_c, 7) + pow (25, 7))));
  double pa = (1 + g) * p.a, qa = (1 + g) * q.a, pc = hypot (pa, p.b), qc = hypot (qa, q.b);
  double ph = pc > 0 ? degrees (p.b, pa) : 0, qh = qc > 0 ? degrees (q.b, qa) : 0;
  double dl = q.l - p.l, dc = qc - pc, dh = pc * qc > 0 ? qh - ph : 0;
  double l = (p.l + q.l) / 2, c = (pc + qc) / 2, h = ph + qh;
  if (dh > 180)
    dh -= 360;
  else if (dh < -180)
    dh += 360;
  if (pc * qc > 0)
    h = (ABS (ph - qh) > 180 ? (h < 360 ? h + 360 : h - 360) : h) / 2;
  double dhh = 2 * sqrt (pc * qc) * sin (dh / 2 * G_PI / 180);
  double t =
      1 - 0.17 * cosine (h - 30) + 0.24 * cosine (2 * h) + 0.32 * cosine (3 * h + 6) - 0.20 * cosine (4 * h - 63);
  double turn = 30 * exp (-pow ((h - 275) / 25, 2)), rc = 2 * sqrt (pow (c, 7) / (pow (c, 7) + pow (25, 7)));
  double sl = 1 + 0.015 * pow (l - 50, 2) / sqrt (20 + pow (l - 50, 2)), sc = 1 + 0.045 * c, sh = 1 + 0.015 * c * t;
  double rt = -sin (2 * turn * G_PI / 180) * rc;
  return sqrt (pow (dl / sl, 2) + pow (dc / sc, 2) + pow (dhh / sh, 2) + rt * (dc / sc) * (dhh / sh));
}

/* Pairs 1, 7, 13, 17 and 25 of the test data in that paper. */
static void
test_difference (void)
{
  static const struct {
    Lab p, q;
    double expected;
  } pairs[] = {
    { { 50, 2.6772, -79.7751 }, { 50, 0, -82.7485 }, 2.0425 },
    { { 50, 0, 0 }, { 50, -1, 2 }, 2.3669 },
    { { 50, -0.0010, 2.4900 }, { 50, 0.0009, -2.4900 }, 4.8045 },
    { { 50, 2.5, 0 }, { 73, 25, -18 }, 27.1492 },
    { { 60.2574, -34.0099, 36.2677 }, { 60.4626, -34.1751, 39.4387 }, 1.2644 },
  };
  for (guint i = 0; i < G_N_ELEMENTS (pairs); i++)
    g_assert_cmpfloat_with_epsilon (difference (pairs[i].p, pairs[i].q), pairs[i].expected, 1e-4);
}

/* The least difference among the first @n colours. */
static double
closest (guint n, const double matrix[3][3])
{
  Lab seen[COLOURS];
  double least = 1000;
  for (guint i = 0; i < n; i++) {
    double rgb[3];
    deim_draw_colour (i, rgb);
    seen[i] = see (rgb, matrix);
    for (guint k = 0; k < i; k++)
      least = MIN (least, difference (seen[i], seen[k]));
  }
  return least;
}

static void
test_distinct (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (visions); i++) {
    double seven = closest (7, visions[i].matrix), fourteen = closest (14, visions[i].matrix);
    double all = closest (COLOURS, visions[i].matrix);
    g_test_message ("%s: colours are at least %.1f apart among 7, %.1f among 14, %.1f among %d", visions[i].name, seven,
                    fourteen, all, COLOURS);
    /* Tritanopia is rare (1 in 10000 or less, against 1 in 50 men); it was not searched for. */
    g_assert_cmpfloat (seven, >=, 10.5);
    g_assert_cmpfloat (fourteen, >=, i < 3 ? 11 : 3);
    g_assert_cmpfloat (all, >=, i < 3 ? 6.5 : 2);
  }
  double first[3], again[3];
  deim_draw_colour (4, first);
  deim_draw_colour (4 + COLOURS, again);
  for (guint i = 0; i < 3; i++)
    g_assert_cmpfloat (first[i], ==, again[i]);
  deim_draw_colour (G_MAXUINT64, again);
}

/* ----------------------------------------------------------------- drawing */

/* A gray frame with @boxes. Free with cairo_surface_destroy(). */
static cairo_surface_t *
paint (DeimPainter *painter, int width, int height, const DeimDrawBox *boxes, guint n, DeimDrawRect *ret_touched)
{
  cairo_surface_t *surface = cairo_image_surface_create (CAIRO_FORMAT_RGB24, width, height);
  cairo_t *cr = cairo_create (surface);
  cairo_set_source_rgb (cr, 0.4, 0.4, 0.4);
  cairo_paint (cr);
  deim_painter_draw (painter, cr, boxes, n, ret_touched);
  cairo_destroy (cr);
  cairo_surface_flush (surface);
  return surface;
}

static cairo_surface_t *
draw (int width, int height, const DeimDrawBox *boxes, guint n, const DeimDrawStyle *style)
{
  DeimPainter *painter = deim_painter_new (width, height, style);
  cairo_surface_t *surface = paint (painter, width, height, boxes, n, NULL);
  deim_painter_free (painter);
  return surface;
}

static void
get_pixel (cairo_surface_t *surface, int x, int y, double rgb[3])
{
  const guint8 *at = cairo_image_surface_get_data (surface) + y * cairo_image_surface_get_stride (surface) + x * 4;
  for (guint i = 0; i < 3; i++)
    rgb[i] = at[2 - i] / 255.0;
}

static gboolean
is_near (const double a[3], const double b[3])
{
  return ABS (a[0] - b[0]) < 0.01 && ABS (a[1] - b[1]) < 0.01 && ABS (a[2] - b[2]) < 0.01;
}

static double
luminance (const double rgb[3])
{
  return 0.2126 * to_linear (rgb[0]) + 0.7152 * to_linear (rgb[1]) + 0.0722 * to_linear (rgb[2]);
}

/* Letters against their plate, by the ratio that WCAG 2 asks to be 4.5 for text. */
static void
test_letters (void)
{
  double least = 100;
  for (guint i = 0; i < COLOURS; i++) {
    DeimDrawBox box = {
      .x1 = 20, .y1 = 90, .x2 = 300, .y2 = 180, .label = "IHIHIH", .score = -1, .class_index = i, .track_id = -1
    };
    DeimDrawStyle style = { .font_size = 60 };
    cairo_surface_t *surface = draw (400, 200, &box, 1, &style);
    double plate[3], pixel[3], best = 0;
    deim_draw_colour (i, plate);
    for (int x = 24; x < 100; x++) {
      get_pixel (surface, x, 55, pixel);
      double a = luminance (pixel) + 0.05, b = luminance (plate) + 0.05;
      best = MAX (best, MAX (a, b) / MIN (a, b));
    }
    least = MIN (least, best);
    cairo_surface_destroy (surface);
  }
  g_test_message ("the least contrast of letters is %.1f", least);
  g_assert_cmpfloat (least, >=, 4.5);
}

/* The line is about 1/240 of the shorter side, and at least two pixels. */
static void
test_line_width (void)
{
  static const struct {
    int width, height, line;
  } frames[] = { { 160, 120, 2 },   { 640, 480, 2 },   { 1280, 720, 3 },
                 { 1080, 1920, 5 }, { 1920, 1080, 5 }, { 3840, 2160, 9 } };
  double colour[3], pixel[3];
  deim_draw_colour (0, colour);
  for (guint i = 0; i < G_N_ELEMENTS (frames); i++) {
    DeimDrawBox box = { .x1 = 40, .y1 = 40, .x2 = 140, .y2 = 110, .score = -1, .track_id = -1 };
    cairo_surface_t *surface = draw (frames[i].width, frames[i].height, &box, 1, NULL);
    int line = 0;
    for (int x = 30; x < 60; x++) {
      get_pixel (surface, x, 75, pixel);
      line += is_near (pixel, colour);
    }
    g_assert_cmpint (line, ==, frames[i].line);
    cairo_surface_destroy (surface);
  }
}

/* Pixels of the letters' colour. */
static guint
count_letters (cairo_surface_t *surface, int width, int height, double ink)
{
  const double wanted[3] = { ink, ink, ink };
  guint n = 0;
  for (int y = 0; y < height; y++)
    for (int x = 0; x < width; x++) {
      double pixel[3];
      get_pixel (surface, x, y, pixel);
      n += is_near (pixel, wanted);
    }
  return n;
}

/* What is drawn lies in @touched, which lies in the frame. */
static void
assert_touched (cairo_surface_t *surface, int width, int height, const DeimDrawRect *touched)
{
  static const double ground[3] = { 0.4, 0.4, 0.4 };
  g_assert_true (touched->x >= 0 && touched->y >= 0 && touched->width > 0 && touched->height > 0 &&
                 touched->x + touched->width <= width && touched->y + touched->height <= height);
  for (int y = 0; y < height; y++)
    for (int x = 0; x < width; x++) {
      double pixel[3];
      get_pixel (surface, x, y, pixel);
      if (x < touched->x || y < touched->y || x >= touched->x + touched->width || y >= touched->y + touched->height)
        g_assert_true (is_near (pixel, ground));
    }
}

/* A label is whole wherever its box lies, also beyond the edges. */
static void
test_labels_stay_inside (void)
{
  enum { W = 320, H = 200 };
  DeimDrawBox box = {
    .x1 = 100, .y1 = 80, .x2 = 180, .y2 = 160, .label = "person", .score = 0.87, .class_index = 6, .track_id = -1
  };
  cairo_surface_t *surface = draw (W, H, &box, 1, NULL);
  guint whole = count_letters (surface, W, H, 1);
  cairo_surface_destroy (surface);
  g_assert_cmpuint (whole, >, 50);
  /* The same painter for all, as for the frames of a stream. */
  DeimPainter *painter = deim_painter_new (W, H, NULL);
  for (int y = -70; y < H; y += 15)
    for (int x = -70; x < W; x += 15) {
      DeimDrawRect touched;
      box.x1 = x;
      box.x2 = x + 80;
      box.y1 = y;
      box.y2 = y + 80;
      surface = paint (painter, W, H, &box, 1, &touched);
      assert_touched (surface, W, H, &touched);
      guint letters = count_letters (surface, W, H, 1);
      cairo_surface_destroy (surface);
      if (letters != whole)
        g_error ("box at %d,%d: %u pixels of letters instead of %u", x, y, letters, whole);
    }
  deim_painter_free (painter);
  /* Where the frame is too small, the words are shortened and nothing else happens. */
  for (int size = 1; size < 40; size += 3) {
    DeimDrawBox small = { .x2 = size, .y2 = size, .label = "a label that is much too long", .score = 1, .track_id = 7 };
    cairo_surface_destroy (draw (size, size, &small, 1, NULL));
  }
}

/* A painter that has drawn many other labels, more than it keeps, draws what a new one draws. */
static void
test_kept_labels (void)
{
  enum { W = 320, H = 200 };
  DeimPainter *painter = deim_painter_new (W, H, NULL);
  for (guint i = 0; i < 2500; i++) {
    g_autofree gchar *label =
        g_strdup_printf ("thing %u%s", i % 1250, i % 1250 % 100 ? "" : " with a name too long for it");
    DeimDrawBox boxes[] = {
      { .x1 = 20, .y1 = 60, .x2 = 180, .y2 = 160, .label = label, .score = 0.5, .class_index = i, .track_id = -1 },
      { .x1 = 5, .y1 = 5, .x2 = 9, .y2 = 5, .label = "flat", .score = -1, .track_id = -1 },
    };
    DeimDrawRect touched[2];
    cairo_surface_t *kept = paint (painter, W, H, boxes, 2, touched);
    g_assert_cmpint (touched[0].width, >, 0);
    g_assert_cmpint (touched[1].width, ==, 0);
    if (i % 50 == 0) {
      cairo_surface_t *fresh = draw (W, H, boxes, 2, NULL);
      gsize size = (gsize) cairo_image_surface_get_stride (kept) * H;
      g_assert_cmpmem (cairo_image_surface_get_data (kept), size, cairo_image_surface_get_data (fresh), size);
      cairo_surface_destroy (fresh);
    }
    cairo_surface_destroy (kept);
  }
  deim_painter_free (painter);
  deim_painter_free (NULL);
}

/* A track has a number, and a colour of its own instead of its class'. */
static void
test_tracks (void)
{
  DeimDrawBox box = {
    .x1 = 100, .y1 = 80, .x2 = 180, .y2 = 160, .label = "car", .score = -1, .class_index = 2, .track_id = -1
  };
  double colour[3], pixel[3];
  guint letters[2];
  for (guint i = 0; i < 2; i++) {
    box.track_id = i ? 6 : -1;
    box.class_index = i ? 2 : 6;
    cairo_surface_t *surface = draw (320, 200, &box, 1, NULL);
    deim_draw_colour (6, colour);
    get_pixel (surface, 100, 120, pixel);
    g_assert_true (is_near (pixel, colour));
    letters[i] = count_letters (surface, 320, 200, 1);
    cairo_surface_destroy (surface);
  }
  g_assert_cmpuint (letters[1], >, letters[0]); /* "#6 " */
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/draw/difference", test_difference);
  g_test_add_func ("/draw/distinct", test_distinct);
  g_test_add_func ("/draw/letters", test_letters);
  g_test_add_func ("/draw/line-width", test_line_width);
  g_test_add_func ("/draw/labels-stay-inside", test_labels_stay_inside);
  g_test_add_func ("/draw/kept-labels", test_kept_labels);
  g_test_add_func ("/draw/tracks", test_tracks);
  return g_test_run ();
}
