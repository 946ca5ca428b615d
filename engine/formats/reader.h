/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * reader.h - what the readers of checkpoint files share: how they fill a
 * DeimCheckpoint, and the arithmetic of shapes that nobody has checked yet.
 * For engine/formats/ alone.
 */
#pragma once

#include "checkpoint.h"

/*
 * A reader takes the whole file, and the name that its messages begin with. It
 * returns a checkpoint whose tensors point into @bytes (of which it keeps a
 * reference) or into memory of its own.
 */
DeimCheckpoint *deim_safetensors_read (GBytes *bytes, const gchar *name, GError **error);
DeimCheckpoint *deim_pytorch_zip_read (GBytes *bytes, const gchar *name, GError **error);
DeimCheckpoint *deim_pytorch_legacy_read (GBytes *bytes, const gchar *name, GError **error);
/* An official ONNX export; DEIM_ERROR_FORMAT in a build without libprotobuf-c. */
DeimCheckpoint *deim_onnx_read (GBytes *bytes, const gchar *name, GError **error);

/*
 * Adds the tensor @tensor, whose fields are copied; its data lie in @data (a
 * reference is taken, unless the checkpoint holds it already). The name need
 * not end with a zero: it has @name_length bytes. Fails with DEIM_ERROR_FORMAT
 * on a name that is empty, endless, not text, or there already.
 */
gboolean deim_checkpoint_append (DeimCheckpoint *checkpoint, const gchar *name, gsize name_length,
                                 const DeimCheckpointTensor *tensor, GBytes *data, const gchar *where, GError **error);
void deim_checkpoint_set_source (DeimCheckpoint *checkpoint, const gchar *source);
/* See deim_checkpoint_get_operators(). */
void deim_checkpoint_set_operators (DeimCheckpoint *checkpoint, const gchar *options);

/* Removes "module." from all names if all of them begin with it (DistributedDataParallel puts it there). */
gboolean deim_checkpoint_strip_prefix (DeimCheckpoint *checkpoint, const gchar *where, GError **error);

/* FALSE where the shape's numbers, with zeros taken for ones, would not fit into memory as @dtype. */
gboolean deim_shape_count (DeimDtype dtype, guint n_dims, const gint64 *shape, gsize *ret_n_elements);

/* Bytes out of a file as they may stand in a message: shortened, control characters escaped. Free with g_free(). */
gchar *deim_quote (gconstpointer text, gsize length);
