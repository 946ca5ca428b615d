/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* preprocess-private.h - what deim_preprocess_init() is made of: preprocess.c calls, plan.c does. */
#pragma once

#include "preprocess.h"

/* Fills plane[] and staging_size. Needs info and region. */
gboolean deim_preprocess_plan_staging (DeimPreprocess *p, GError **error);
/* Fills table, scratch_size and dispatch[]. Needs everything else. */
gboolean deim_preprocess_plan_dispatches (DeimPreprocess *p, GError **error);
