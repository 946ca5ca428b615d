/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* golden-model.h - the golden Atto network as a model, for tests of what stands on models: it needs no file. */
#pragma once

#include "engine/deim.h"

/* DEIMv2 Atto for 320x320, 80 classes, 100 queries, its weights made from a rule. Free with deim_model_unref(). */
DeimModel *golden_model_new (void);
