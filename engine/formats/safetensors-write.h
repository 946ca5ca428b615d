/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* safetensors-write.h - writes a state dict as .safetensors. */
#pragma once

#include "checkpoint.h"

/* A key of "__metadata__" and its text, UTF-8. */
typedef struct {
  const gchar *key, *value;
} DeimSafetensorsEntry;

/*
 * Writes all tensors of @checkpoint to @path, each under its name with its own
 * dtype and bytes, to a temporary file beside it that then takes its place, so
 * that @path is never half a file. Metadata: that of the checkpoint, with
 * @entries added or put in place. Errors: DEIM_ERROR_WRITE.
 *
 * The layout is that of the safetensors library: the header is padded with
 * spaces to a multiple of 8 bytes, wider dtypes come first, so that every
 * tensor is aligned to its element, and offsets rise without gaps.
 */
gboolean deim_safetensors_write (DeimCheckpoint *checkpoint, const DeimSafetensorsEntry *entries, guint n_entries,
                                 const gchar *path, GError **error);

/* "F32" */
const gchar *deim_safetensors_dtype_name (DeimDtype dtype);
