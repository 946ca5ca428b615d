/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* initial.h - the weights that a training begins with: of a checkpoint, made up, or some of each. */
#pragma once

#include "engine/formats/checkpoint.h"
#include "engine/models/arch.h"

typedef struct {
  DeimCheckpoint *from;     /* (nullable): a checkpoint of the same network, possibly with another number of classes */
  DeimCheckpoint *backbone; /* (nullable): one with the same backbone, of any network, or of the backbone alone */
  guint height, width;      /* of the input; anchors are stored for it */
  guint64 seed;
} DeimInitialOptions;

/*
 * A complete state dict of @arch, as the official code saves one, buffers and copies of shared heads included, so that
 * strict loading accepts it. What @from has in the shape that @arch needs is taken over; everything else is made up, in
 * the way of the official code (initial-values.c), and named in @ret_made (nullable; of gchar *). What is made up
 * depends on seed and name alone. With @backbone, its weights go before @from's, whether their names begin with
 * "backbone." or, as in a file of a pretrained backbone, do not. Errors: those of deim_network_build_training();
 * DEIM_ERROR_ARCHITECTURE where @backbone lacks a tensor or has it in another shape.
 */
DeimCheckpoint *deim_initial_checkpoint (const DeimArch *arch, const DeimInitialOptions *options, GPtrArray *ret_made,
                                         GError **error);

/*
 * Made-up values of the parameter @name of @arch, as many as @shape says (new, g_free()): convolutions and linear
 * layers by their fan-in, class heads so that everything is improbable at first, box heads so that they move nothing,
 * sampling points on rays around their reference.
 */
gfloat *deim_initial_values (const DeimArch *arch, const gchar *name, const DeimShape *shape, guint64 seed);
