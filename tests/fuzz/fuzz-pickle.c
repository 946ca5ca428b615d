/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fuzz-pickle.c - libFuzzer target of the pickle reader and of the choice of
 * the weights (engine/formats/pickle*.c, pytorch-state.c): a data.pkl, whose
 * storages are there whatever it says about them, as long as they are small.
 */
#include "fuzz.h"
#include "engine/error.h"
#include "engine/formats/pytorch.h"

static gboolean
fetch (gpointer user_data, DeimTorchStorage *storage, GError **error)
{
  gsize size = storage->n_elements * deim_dtype_size (storage->dtype);
  if (size > 1 << 16) {
    g_set_error (error, DEIM_ERROR, DEIM_ERROR_FORMAT, "storage %s is too large", storage->key);
    return FALSE;
  }
  storage->data = g_bytes_new_take (g_malloc0 (size), size);
  return TRUE;
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  GError *error = NULL;
  g_autoptr (DeimPickle) pickle = deim_pickle_read (data, size, "fuzz", NULL, &error);
  DeimCheckpoint *checkpoint = NULL;
  if (pickle)
    checkpoint = deim_torch_take_weights (pickle, "fuzz", 1 << 20, fetch, NULL, "fuzz", &error);
  fuzz_use (checkpoint, error);
  return 0;
}
