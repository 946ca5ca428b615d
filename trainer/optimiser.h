/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * optimiser.h - AdamW (Loshchilov, Hutter 2019; torch.optim.AdamW) with the
 * recipes' groups of parameters, and clipping of gradients: the reference of
 * what devices do. State and weights are float, arithmetic is double.
 *
 * Thread-safety: safe; objects are the caller's.
 */
#pragma once

#include <glib.h>

/* A tensor that is trained. The arrays are borrowed, of n numbers each. */
typedef struct {
  const gchar *name; /* the official one */
  guint n_dims;
  gsize n;
  gfloat *weights;
  const gfloat *gradient;
  gfloat *mean, *square; /* running averages of the gradient and of its square; zero at first */
} DeimParameter;

/* What the group of a parameter says. */
typedef struct {
  gdouble lr_factor; /* 0.5 in the backbone, else 1 */
  gboolean decays;   /* not: norms and biases, by their names ("norm", "bn", "bias") or for being of one dimension */
} DeimParameterGroup;

DeimParameterGroup deim_parameter_group (const gchar *name, guint n_dims);

typedef struct {
  gdouble lr;
  gdouble beta1, beta2, epsilon;
  gdouble weight_decay;
  gdouble max_norm; /* of all gradients together; 0: not clipped */
} DeimOptimiser;

/* 0.9, 0.999, 1e-8; decay 1e-4; norm 0.1. The learning rate is the recipe's. */
extern const DeimOptimiser deim_optimiser_default;

/* Euclidean norm of all gradients together. */
gdouble deim_gradient_norm (const DeimParameter *parameters, guint n);

/* What gradients of that norm are multiplied with: torch.nn.utils.clip_grad_norm_. */
gdouble deim_clip_factor (gdouble norm, gdouble max_norm);

/* One tensor's step: the @step-th (1, 2, ...), with gradients times @clip. */
void deim_optimiser_update (const DeimOptimiser *optimiser, const DeimParameter *parameter, guint64 step,
                            gdouble lr_factor, gdouble clip);

/*
 * A step of all parameters: the @step-th, with learning rates times @factor. A
 * gradient that is not finite is DEIM_ERROR_DEVICE, naming the first tensor
 * that has one; then nothing has changed. @ret_norm: (nullable).
 */
gboolean deim_optimiser_step (const DeimOptimiser *optimiser, const DeimParameter *parameters, guint n, guint64 step,
                              gdouble factor, gdouble *ret_norm, GError **error);
