/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * tuner.h - `deim tune` (deim_device_tune()): measures the variants of a network's layers (tuner.c), and keeps the
 * fastest in a file beside the pipeline cache (tuner-file.c), which the next DeimDevice of the same device, driver,
 * build and decisions reads.
 */
#pragma once

#include "engine/gpu/gpu.h"
#include "engine/ops/tuning.h"

/* What the file says; NULL where there is none, where it is of another driver or build (said as information), or where
 * it is damaged (a warning). Free with deim_tuning_free(). */
DeimTuning *deim_tuner_load (DeimGpu *gpu);
/* DEIM_ERROR_WRITE names the file and the cause. */
gboolean deim_tuner_save (DeimGpu *gpu, const DeimTuning *tuning, GError **error);
