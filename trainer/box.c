/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* box.c - IoU, generalised IoU and its gradient. */
#include "box.h"

void
deim_box_corners (const gfloat cxcywh[4], gdouble ret_xyxy[4])
{
  for (guint i = 0; i < 2; i++) {
    gdouble half = 0.5 * MAX ((gdouble) cxcywh[2 + i], 0.0);
    ret_xyxy[i] = cxcywh[i] - half;
    ret_xyxy[2 + i] = cxcywh[i] + half;
  }
}

static gdouble
area (const gdouble b[4])
{
  return (b[2] - b[0]) * (b[3] - b[1]);
}

gdouble
deim_box_iou (const gdouble a[4], const gdouble b[4])
{
  gdouble w = MIN (a[2], b[2]) - MAX (a[0], b[0]), h = MIN (a[3], b[3]) - MAX (a[1], b[1]);
  gdouble both = MAX (w, 0.0) * MAX (h, 0.0);
  gdouble either = area (a) + area (b) - both;
  return either > 0 ? both / either : 0.0;
}

/* The share of @x in the gradient of max (x, y); for a minimum swap the two. */
static gdouble
share (gdouble x, gdouble y)
{
  return x > y ? 1.0 : x == y ? 0.5 : 0.0;
}

/* Extents along one axis, and their derivatives with respect to a's low and high end. */
typedef struct {
  gdouble own, both, hull;
  gdouble d_own[2], d_both[2], d_hull[2];
} Axis;

static Axis
measure (gdouble a1, gdouble a2, gdouble b1, gdouble b2)
{
  Axis axis = { .own = a2 - a1, .d_own = { -1, 1 } };
  gdouble both = MIN (a2, b2) - MAX (a1, b1);
  axis.hull = MAX (a2, b2) - MIN (a1, b1);
  axis.d_hull[0] = -share (b1, a1);
  axis.d_hull[1] = share (a2, b2);
  if (both >= 0) {
    axis.both = both;
    axis.d_both[0] = -share (a1, b1);
    axis.d_both[1] = share (b2, a2);
  }
  return axis;
}

/* n / d, with 0 where d is no area; adds its derivative for dn and dd. */
static gdouble
quotient (gdouble n, gdouble d, const gdouble dn[4], const gdouble dd[4], gdouble sign, gdouble gradient[4])
{
  if (d <= 0)
    return 0;
  for (guint i = 0; i < 4; i++)
    gradient[i] += sign * (dn[i] * d - n * dd[i]) / (d * d);
  return sign * n / d;
}

gdouble
deim_box_giou (const gfloat a[4], const gfloat b[4], gdouble ret_gradient[4])
{
  gdouble ca[4], cb[4], gradient[4] = { 0 }; /* of the corners x1, y1, x2, y2 of a */
  deim_box_corners (a, ca);
  deim_box_corners (b, cb);
  Axis x = measure (ca[0], ca[2], cb[0], cb[2]), y = measure (ca[1], ca[3], cb[1], cb[3]);

  gdouble both = x.both * y.both, hull = x.hull * y.hull, either = x.own * y.own + area (cb) - both;
  gdouble d_both[4], d_either[4], d_gap[4], d_hull[4];
  for (guint i = 0; i < 2; i++) {
    d_both[2 * i] = x.d_both[i] * y.both;
    d_both[2 * i + 1] = x.both * y.d_both[i];
    d_hull[2 * i] = x.d_hull[i] * y.hull;
    d_hull[2 * i + 1] = x.hull * y.d_hull[i];
    d_either[2 * i] = x.d_own[i] * y.own - d_both[2 * i];
    d_either[2 * i + 1] = x.own * y.d_own[i] - d_both[2 * i + 1];
  }
  for (guint i = 0; i < 4; i++)
    d_gap[i] = d_hull[i] - d_either[i];
  gdouble value = quotient (both, either, d_both, d_either, 1, gradient);
  value += quotient (hull - either, hull, d_gap, d_hull, -1, gradient);

  if (ret_gradient)
    for (guint i = 0; i < 2; i++) {
      ret_gradient[i] = gradient[i] + gradient[2 + i];
      ret_gradient[2 + i] = a[2 + i] < 0 ? 0.0 : 0.5 * (gradient[2 + i] - gradient[i]);
    }
  return value;
}
