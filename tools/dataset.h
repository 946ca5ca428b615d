/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* dataset.h - the actions of `deim dataset`, a file each. */
#pragma once

#include "tool.h"

/* As subcommands: "synth", "check", "preview". */
extern const DeimTool deim_dataset_synth, deim_dataset_check, deim_dataset_preview;
