/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* losses-local.c - the losses of D-FINE's distributions over the distances of a box's edges. */
#include "losses.h"

#include "box.h"

#include <math.h>
#include <string.h>

#define BINS DEIM_FDR_BINS

/* log of softmax (x / temperature). */
static void
log_softmax (const gfloat *x, gdouble temperature, gdouble ret_log[BINS])
{
  gdouble most = -INFINITY, sum = 0;

  for (guint i = 0; i < BINS; i++)
    most = MAX (most, (gdouble) x[i]);
  for (guint i = 0; i < BINS; i++) {
    ret_log[i] = ((gdouble) x[i] - most) / temperature;
    sum += exp (ret_log[i]);
  }
  for (guint i = 0; i < BINS; i++)
    ret_log[i] -= log (sum);
}

void
deim_loss_fgl_target (const DeimFdrAttrs *fdr, const gfloat reference[4], const gfloat target[4], guint ret_bin[4],
                      gdouble ret_weight[4])
{
  gdouble corner[4], r = fdr->reg_scale;
  deim_box_corners (target, corner);

  for (guint edge = 0; edge < 4; edge++) {
    guint axis = edge % 2;
    /* Outwards from the middle, in units of the reference's size over R, counted from its own edge. */
    gdouble outwards = edge < 2 ? reference[axis] - corner[edge] : corner[edge] - reference[axis];
    gdouble distance = outwards / (reference[2 + axis] / r + 1e-16) - 0.5 * r;
    guint above = 0;
    while (above < BINS && fdr->bins[above] <= distance)
      above++;
    guint bin = CLAMP (above, 1, BINS - 1) - 1;
    gdouble low = fdr->bins[bin], high = fdr->bins[bin + 1];
    ret_bin[edge] = bin;
    ret_weight[edge] = above == 0 ? 0 : above == BINS ? 1 : (distance - low) / (high - low);
  }
}

gdouble
deim_loss_fgl (const DeimPredictions *own, const DeimFdrAttrs *fdr, const DeimTargets *targets,
               const DeimMatching *matching, gdouble scale, gfloat *d_corners)
{
  gdouble sum = 0;

  for (guint b = 0; b < own->n_images; b++)
    for (guint k = matching->first[b]; k < matching->first[b + 1]; k++) {
      gsize row = deim_predictions_row (own, b, matching->pairs[k].query);
      guint target = matching->pairs[k].target, bin[4];
      gdouble weight[4], iou = deim_loss_iou (own, row, &targets[b], target);
      deim_loss_fgl_target (fdr, own->references + row * 4, targets[b].boxes + target * 4, bin, weight);
      for (guint edge = 0; edge < 4; edge++) {
        gsize place = (row * 4 + edge) * BINS;
        gdouble log_p[BINS];
        log_softmax (own->corners + place, 1, log_p);
        sum -= iou * ((1 - weight[edge]) * log_p[bin[edge]] + weight[edge] * log_p[bin[edge] + 1]);
        for (guint i = 0; d_corners && i < BINS; i++) {
          gdouble wanted = i == bin[edge] ? 1 - weight[edge] : i == bin[edge] + 1 ? weight[edge] : 0;
          d_corners[place + i] += (gfloat) (scale * iou * (exp (log_p[i]) - wanted));
        }
      }
    }
  return scale * sum;
}

/* KL divergence of the student's distribution from the teacher's, both at @temperature, times @scale. */
static gdouble
distil (const gfloat *student, const gfloat *teacher, gdouble temperature, gdouble scale, gfloat *gradient)
{
  gdouble log_p[BINS], log_q[BINS], sum = 0;

  log_softmax (student, temperature, log_p);
  log_softmax (teacher, temperature, log_q);
  for (guint i = 0; i < BINS; i++) {
    gdouble q = exp (log_q[i]);
    sum += q * (log_q[i] - log_p[i]);
    if (gradient)
      gradient[i] += (gfloat) (scale * (exp (log_p[i]) - q) / temperature);
  }
  return scale * sum;
}

static gdouble
best_score (const DeimPredictions *predictions, gsize row)
{
  const gfloat *logits = predictions->logits + row * predictions->n_classes;
  gfloat best = logits[0];
  for (guint c = 1; c < predictions->n_classes; c++)
    best = MAX (best, logits[c]);
  return 1 / (1 + exp (-(gdouble) best));
}

gdouble
deim_loss_ddf (const DeimPredictions *own, const DeimPredictions *teacher, gdouble temperature,
               const DeimTargets *targets, const DeimMatching *matching, gdouble matched_scale, gdouble other_scale,
               gfloat *d_corners)
{
  g_autofree gint *target_of = g_new (gint, own->n_queries);
  gdouble sum = 0;

  for (guint b = 0; b < own->n_images; b++) {
    deim_losses_invert (matching, b, own->n_queries, target_of);
    for (guint q = 0; q < own->n_queries; q++) {
      gsize row = deim_predictions_row (own, b, q), teacher_row = deim_predictions_row (teacher, b, q);
      gint t = target_of[q];
      /* A matched query learns as much as its box is right, the others as much as the teacher is sure. */
      gdouble weight = t >= 0 ? matched_scale * deim_loss_iou (own, row, &targets[b], (guint) t)
                              : other_scale * best_score (teacher, teacher_row);
      for (guint edge = 0; edge < 4; edge++) {
        gsize place = (row * 4 + edge) * BINS;
        sum += distil (own->corners + place, teacher->corners + (teacher_row * 4 + edge) * BINS, temperature,
                       weight * temperature * temperature, d_corners ? d_corners + place : NULL);
      }
    }
  }
  return sum;
}
