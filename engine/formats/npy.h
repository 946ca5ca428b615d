/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* npy.h - NumPy's .npy files, versions 1.0 to 3.0: float32 in, float32 and int64 out. C order, little endian. */
#pragma once

#include <glib.h>

#ifndef DEIM_API
#define DEIM_API __attribute__ ((visibility ("default")))
#endif

#define DEIM_NPY_MAX_DIMS 8

/* A float32 array read from @path. Refuses other dtypes and Fortran order by name (DEIM_ERROR_FORMAT).
 * @ret_shape has DEIM_NPY_MAX_DIMS places. Free the result with g_free(). */
DEIM_API gfloat *deim_npy_read_float (const gchar *path, guint *ret_n_dims, gsize *ret_shape, GError **error);

/* The same from memory. */
DEIM_API gfloat *deim_npy_parse_float (const guint8 *data, gsize size, guint *ret_n_dims, gsize *ret_shape,
                                       GError **error);

/* @descr: "<f4" or "<i8"; written to a temporary name beside @path and renamed. */
DEIM_API gboolean deim_npy_write (const gchar *path, const gchar *descr, guint n_dims, const gsize *shape,
                                  gconstpointer data, GError **error);
