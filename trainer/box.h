/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * box.h - overlap of two boxes, and how it changes with one of them.
 *
 * Boxes of networks and targets are cx, cy, w, h in units of the picture; they
 * may reach beyond it. A width or height below zero, which a decoder of
 * distances can produce, counts as zero. All in double.
 */
#pragma once

#include <glib.h>

/* x1, y1, x2, y2 of cx, cy, w, h. */
void deim_box_corners (const gfloat cxcywh[4], gdouble ret_xyxy[4]);

/* Intersection over union of corner boxes; 0 where the union has no area. */
gdouble deim_box_iou (const gdouble a[4], const gdouble b[4]);

/*
 * Generalised IoU (Rezatofighi et al. 2019): IoU - (hull - union) / hull, in
 * -1..1. A quotient whose divisor is no area is taken as 0: two boxes that are
 * the same point have 0. The operator is torchvision's generalized_box_iou on
 * the diagonal.
 *
 * @ret_gradient: (nullable): of the value with respect to the cx, cy, w, h of
 *   @a. Where a maximum or minimum is taken of two equal numbers, each side
 *   has half of it, as in PyTorch; where the boxes just touch, the
 *   intersection's side counts; 0 with respect to a negative w or h.
 */
gdouble deim_box_giou (const gfloat a[4], const gfloat b[4], gdouble ret_gradient[4]);
