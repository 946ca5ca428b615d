/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fake-stages.h - where fake-deim.c fails or stays when it was told to. */
#pragma once

#include "fake-deim.h"

/* Stays in @stage for as long as it is held, but for those who come while somebody is in there already. FALSE when it
 * was told to fail. */
gboolean fake_stages_enter (FakeStage stage, GError **error);
/* None fails and none is held. */
void fake_stages_reset (void);
