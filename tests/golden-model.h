/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* golden-model.h - the golden Atto network as a model, for tests of what stands on models: it needs no file. */
#pragma once

#include "engine/deim.h"

/* DEIMv2 Atto for 320x320, 80 classes, 100 queries, its weights made from a rule. Free with deim_model_unref(). */
DeimModel *golden_model_new (void);

/* The same of any reduced set in tests/data/golden, "deimv2_n_384x640_1". @arch: as in DeimModelOptions. */
DeimModel *golden_model_new_of (const gchar *set, const gchar *arch);
