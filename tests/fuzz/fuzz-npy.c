/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fuzz-npy.c - libFuzzer target of engine/formats/npy.c: a whole file. */
#include "fuzz.h"
#include "engine/formats/npy.h"

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autoptr (GError) error = NULL;
  guint n_dims = 0;
  gsize shape[DEIM_NPY_MAX_DIMS], n = 1;
  g_autofree gfloat *values = deim_npy_parse_float (data, size, &n_dims, shape, &error);
  if ((values == NULL) != (error != NULL))
    abort ();
  for (guint i = 0; values && i < n_dims; i++)
    n *= shape[i];
  for (gsize i = 0; values && i < n; i++)
    fuzz_sink += values[i];
  return 0;
}
