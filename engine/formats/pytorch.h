/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* pytorch.h - from a pickle and its storages to the weights; shared by the two containers of torch.save(). */
#pragma once

#include "pickle.h"
#include "reader.h"

/*
 * Provides storage->data (exactly n_elements * deim_dtype_size (dtype) bytes).
 * Called once for each storage that a chosen tensor views.
 */
typedef gboolean (*DeimTorchFetch) (gpointer user_data, DeimTorchStorage *storage, GError **error);

/*
 * The checkpoint that the pickle describes: ema.module, else ema, else model,
 * else state_dict, else the top level, whichever first is a dict with tensors
 * in it. @form: the container, for people ("PyTorch checkpoint (zip)").
 * @copies: how many bytes tensors that are not contiguous may take.
 */
DeimCheckpoint *deim_torch_take_weights (DeimPickle *pickle, const gchar *form, gsize copies, DeimTorchFetch fetch,
                                         gpointer user_data, const gchar *where, GError **error);
