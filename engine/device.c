/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "device.h"

DeimDevice *
deim_device_open (const gchar *selector, GError **error)
{
  return (DeimDevice *) deim_gpu_open (selector, NULL, error);
}

DeimDevice *
deim_device_ref (DeimDevice *device)
{
  return (DeimDevice *) deim_gpu_ref (deim_device_get_gpu (device));
}

void
deim_device_unref (DeimDevice *device)
{
  deim_gpu_unref (deim_device_get_gpu (device));
}

const gchar *
deim_device_get_name (DeimDevice *device)
{
  return deim_gpu_get_name (deim_device_get_gpu (device));
}

gchar *
deim_device_describe (DeimDevice *device)
{
  return deim_gpu_describe (deim_device_get_gpu (device));
}

gchar **
deim_device_list (GError **error)
{
  return deim_gpu_list (error);
}
