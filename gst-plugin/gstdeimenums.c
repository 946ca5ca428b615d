/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* gstdeimenums.c - the engine's enumerations as types of properties. */
#include "gstdeimenums.h"

#include "engine/deim.h"

/**
 * GstDeimPrecision:
 *
 * Since: 0.1
 */
GType
gst_deim_precision_get_type (void)
{
  static GType type;
  if (g_once_init_enter (&type)) {
    static const GEnumValue values[] = {
      { DEIM_PRECISION_AUTO, "What suits the device: 16-bit storage on GPUs, Winograd on CPUs", "auto" },
      { DEIM_PRECISION_FP32, "32-bit floating point, without Winograd", "fp32" },
      { DEIM_PRECISION_FP16, "16-bit storage, 32-bit accumulation", "fp16" },
      { 0, NULL, NULL },
    };
    g_once_init_leave (&type, g_enum_register_static ("GstDeimPrecision", values));
  }
  return type;
}

/**
 * GstDeimResize:
 *
 * Since: 0.1
 */
GType
gst_deim_resize_get_type (void)
{
  static GType type;
  if (g_once_init_enter (&type)) {
    static const GEnumValue values[] = {
      { DEIM_RESIZE_STRETCH, "Stretch to the model's input size, as in training", "stretch" },
      { DEIM_RESIZE_LETTERBOX, "Keep the proportions, pad the rest", "letterbox" },
      { 0, NULL, NULL },
    };
    g_once_init_leave (&type, g_enum_register_static ("GstDeimResize", values));
  }
  return type;
}
