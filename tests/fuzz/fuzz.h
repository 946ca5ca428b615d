/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fuzz.h - what the fuzzers of the readers share. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "engine/formats/checkpoint.h"

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

/* Where sums go, so that the compiler cannot leave out the reading. */
static volatile gfloat fuzz_sink;

/* Reads every byte of what came out, as a caller would; a reader that says nothing of its failure is a bug. */
static inline void
fuzz_use (DeimCheckpoint *checkpoint, GError *error)
{
  if ((checkpoint == NULL) != (error != NULL))
    abort ();
  for (guint i = 0; checkpoint && i < deim_checkpoint_get_n_tensors (checkpoint); i++) {
    const DeimCheckpointTensor *tensor = deim_checkpoint_get (checkpoint, i);
    if (deim_checkpoint_lookup (checkpoint, tensor->name) != tensor)
      abort ();
    if (tensor->n_elements > 1 << 20)
      continue;
    gfloat *values = g_new (gfloat, tensor->n_elements + 1);
    deim_checkpoint_tensor_to_float (tensor, values);
    for (gsize k = 0; k < tensor->n_elements; k++)
      fuzz_sink += values[k];
    g_free (values);
  }
  deim_checkpoint_free (checkpoint);
  g_clear_error (&error);
}
