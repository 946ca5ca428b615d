/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * selftest.h - drivers that compute wrongly, found before they show wrong boxes.
 *
 * A small fixed network of the kernels that carry all models runs through the
 * real executor and is compared with the reference. What passed is remembered
 * in a file beside the pipeline cache, so that a device, driver and build is
 * tested once.
 */
#pragma once

#include "engine/gpu/gpu.h"
#include "engine/ops/tuning.h"

/*
 * *half: whether to test fp16 storage; set to FALSE where only fp32 computes
 * rightly. A feature of the policy (park, shuffle, subgroup, texel) without which
 * the results are right is turned off for @gpu. Each of these is said in one
 * warning that names device, driver and feature.
 */
gboolean deim_selftest_run (DeimGpu *gpu, gboolean *half, GError **error);

/* Whether the network comes out right with the variants of @tuning (nullable). FALSE without an error: it does not.
 * With one: it could not be run. */
gboolean deim_selftest_computes_rightly (DeimGpu *gpu, gboolean half, const DeimTuning *tuning, GError **error);
