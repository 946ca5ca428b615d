/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "device.h"

#include "error.h"
#include "selftest.h"
#include "tuner.h"

struct _DeimDevice {
  gatomicrefcount refs;
  DeimGpu *gpu;
  GMutex lock;
  gboolean checked[2]; /* [half] */
  gboolean tuning_read;
  DeimTuning *tuning; /* or NULL */
};

DeimDevice *
deim_device_open (const gchar *selector, GError **error)
{
  return deim_device_open_full (selector, NULL, error);
}

DeimDevice *
deim_device_open_full (const gchar *selector, const gchar *cache_dir, GError **error)
{
  DeimGpu *gpu = deim_gpu_open (selector, cache_dir && *cache_dir ? cache_dir : NULL, error);
  if (!gpu)
    return NULL;
  DeimDevice *self = g_new0 (DeimDevice, 1);
  g_atomic_ref_count_init (&self->refs);
  g_mutex_init (&self->lock);
  self->gpu = gpu;
  return self;
}

DeimDevice *
deim_device_ref (DeimDevice *self)
{
  g_atomic_ref_count_inc (&self->refs);
  return self;
}

void
deim_device_unref (DeimDevice *self)
{
  if (!self || !g_atomic_ref_count_dec (&self->refs))
    return;
  deim_tuning_free (self->tuning);
  deim_gpu_unref (self->gpu);
  g_mutex_clear (&self->lock);
  g_free (self);
}

gboolean
deim_device_check_cache (DeimDevice *self, GError **error)
{
  return deim_gpu_check_cache (self->gpu, error);
}

DeimGpu *
deim_device_get_gpu (DeimDevice *self)
{
  return self->gpu;
}

const gchar *
deim_device_get_name (DeimDevice *self)
{
  return deim_gpu_get_name (self->gpu);
}

gchar *
deim_device_describe (DeimDevice *self)
{
  return deim_gpu_describe (self->gpu);
}

gboolean
deim_device_imports_dmabuf (DeimDevice *self)
{
  return deim_gpu_get_policy (self->gpu)->on[DEIM_DECISION_DMABUF];
}

gchar **
deim_device_list (GError **error)
{
  return deim_gpu_list (error);
}

gboolean
deim_device_check (DeimDevice *self, DeimPrecision wanted, DeimPrecision *ret_precision, GError **error)
{
  const DeimGpuPolicy *policy = deim_gpu_get_policy (self->gpu);
  gboolean half = wanted == DEIM_PRECISION_FP16 || (wanted == DEIM_PRECISION_AUTO && policy->on[DEIM_DECISION_FP16]);
  g_mutex_lock (&self->lock);
  gboolean good = self->checked[half] || deim_selftest_run (self->gpu, &half, error);
  if (good)
    self->checked[half] = TRUE;
  g_mutex_unlock (&self->lock);
  if (good)
    *ret_precision = half                            ? DEIM_PRECISION_FP16
                     : wanted == DEIM_PRECISION_AUTO ? DEIM_PRECISION_AUTO
                                                     : DEIM_PRECISION_FP32;
  return good;
}

const DeimTuning *
deim_device_get_tuning (DeimDevice *self)
{
  g_mutex_lock (&self->lock);
  if (!self->tuning_read)
    self->tuning = deim_tuner_load (self->gpu);
  self->tuning_read = TRUE;
  g_mutex_unlock (&self->lock);
  return self->tuning;
}
