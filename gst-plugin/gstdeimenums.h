/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* gstdeimenums.h - the engine's enumerations as types of properties. */
#pragma once

#include <glib-object.h>

G_BEGIN_DECLS

/* DeimPrecision and DeimResize; their nicks are "auto", "fp32", "fp16" and "stretch", "letterbox". */
#define GST_TYPE_DEIM_PRECISION (gst_deim_precision_get_type ())
GType gst_deim_precision_get_type (void);
#define GST_TYPE_DEIM_RESIZE (gst_deim_resize_get_type ())
GType gst_deim_resize_get_type (void);

G_END_DECLS
