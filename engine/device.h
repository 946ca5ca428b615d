/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* device.h - a public DeimDevice is a DeimGpu under another name. */
#pragma once

#include "engine/deim.h"
#include "engine/gpu/gpu.h"

static inline DeimGpu *
deim_device_get_gpu (DeimDevice *device)
{
  return (DeimGpu *) device;
}
