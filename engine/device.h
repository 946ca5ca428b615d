/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* device.h - a public DeimDevice: a DeimGpu, whether its kernels have been checked, and what they were tuned to. */
#pragma once

#include "engine/deim.h"
#include "engine/gpu/gpu.h"
#include "engine/ops/tuning.h"

DeimGpu *deim_device_get_gpu (DeimDevice *device); /* (transfer none) */

/*
 * What every network does before it is made: runs the self-test (selftest.h)
 * once per device, driver and build, and answers in which precision to run
 * where @wanted was asked for: AUTO stays AUTO where its storage is fp32, which lets the executor choose Winograd. A
 * feature that computes wrongly is turned off and named in one warning. DEIM_ERROR_DEVICE when the device computes
 * wrongly without any feature. Thread-safety: safe.
 */
gboolean deim_device_check (DeimDevice *device, DeimPrecision wanted, DeimPrecision *ret_precision, GError **error);

/* What `deim tune` has found out about the device, read at the first call, after deim_device_check(); NULL: nothing.
 * (transfer none) Thread-safety: safe. */
const DeimTuning *deim_device_get_tuning (DeimDevice *device);
