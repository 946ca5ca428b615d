/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* losses.c - the losses of classes and boxes. */
#include "losses.h"

#include "box.h"

#include <math.h>

void
deim_losses_invert (const DeimMatching *matching, guint image, guint n_queries, gint *ret_target_of)
{
  for (guint q = 0; q < n_queries; q++)
    ret_target_of[q] = -1;
  for (guint k = matching->first[image]; k < matching->first[image + 1]; k++)
    ret_target_of[matching->pairs[k].query] = (gint) matching->pairs[k].target;
}

gdouble
deim_loss_iou (const DeimPredictions *own, gsize row, const DeimTargets *targets, guint target)
{
  gdouble a[4], b[4];
  deim_box_corners (own->boxes + row * 4, a);
  deim_box_corners (targets->boxes + target * 4, b);
  return deim_box_iou (a, b);
}

/* A logit's share of the class loss, and its derivative. The weight, in which score and IoU stand, is a constant to the
 * gradient. @iou: of the matched query for its class, else negative. */
static gdouble
class_term (const DeimCriterion *c, gdouble x, gdouble iou, gdouble *ret_gradient)
{
  gdouble e = exp (-fabs (x)), score = (x >= 0 ? 1 : e) / (1 + e), target = 0, weight;

  if (iou >= 0) {
    target = c->vfl ? iou : pow (iou, c->mal_gamma);
    weight = c->vfl ? iou : 1;
  } else {
    weight = c->vfl ? c->vfl_alpha * pow (score, c->vfl_gamma) : c->mal_alpha * pow (score, c->mal_gamma);
  }
  *ret_gradient = weight * (score - target);
  return weight * (MAX (x, 0.0) - x * target + log1p (e)); /* cross entropy of sigmoid (x) with the target */
}

gdouble
deim_loss_class (const DeimCriterion *criterion, const DeimPredictions *own, const DeimTargets *targets,
                 const DeimMatching *matching, gdouble scale, gfloat *d_logits)
{
  g_autofree gint *target_of = g_new (gint, own->n_queries);
  gdouble sum = 0, gradient;

  for (guint b = 0; b < own->n_images; b++) {
    deim_losses_invert (matching, b, own->n_queries, target_of);
    for (guint q = 0; q < own->n_queries; q++) {
      gsize row = deim_predictions_row (own, b, q);
      gint t = target_of[q];
      guint label = t < 0 ? G_MAXUINT : deim_predictions_label (own, targets[b].labels[t]);
      gdouble iou = t < 0 ? -1 : deim_loss_iou (own, row, &targets[b], (guint) t);
      for (guint c = 0; c < own->n_classes; c++) {
        gsize place = row * own->n_classes + c;
        sum += class_term (criterion, own->logits[place], c == label ? iou : -1, &gradient);
        if (d_logits)
          d_logits[place] += (gfloat) (scale * gradient);
      }
    }
  }
  return scale * sum;
}

gdouble
deim_loss_bbox (const DeimPredictions *own, const DeimTargets *targets, const DeimMatching *matching, gdouble scale,
                gfloat *d_boxes)
{
  gdouble sum = 0;

  for (guint b = 0; b < own->n_images; b++)
    for (guint k = matching->first[b]; k < matching->first[b + 1]; k++) {
      gsize row = deim_predictions_row (own, b, matching->pairs[k].query);
      const gfloat *box = own->boxes + row * 4, *target = targets[b].boxes + matching->pairs[k].target * 4;
      for (guint i = 0; i < 4; i++) {
        gdouble difference = (gdouble) box[i] - target[i];
        sum += fabs (difference);
        if (d_boxes)
          d_boxes[row * 4 + i] += (gfloat) (scale * ((difference > 0) - (difference < 0)));
      }
    }
  return scale * sum;
}

gdouble
deim_loss_giou (const DeimPredictions *own, const DeimTargets *targets, const DeimMatching *matching, gdouble scale,
                gfloat *d_boxes)
{
  gdouble sum = 0, gradient[4];

  for (guint b = 0; b < own->n_images; b++)
    for (guint k = matching->first[b]; k < matching->first[b + 1]; k++) {
      gsize row = deim_predictions_row (own, b, matching->pairs[k].query);
      sum += 1 - deim_box_giou (own->boxes + row * 4, targets[b].boxes + matching->pairs[k].target * 4, gradient);
      for (guint i = 0; d_boxes && i < 4; i++)
        d_boxes[row * 4 + i] -= (gfloat) (scale * gradient[i]);
    }
  return scale * sum;
}
