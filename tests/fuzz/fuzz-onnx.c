/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fuzz-onnx.c - libFuzzer target of engine/formats/onnx*.c: a whole file. */
#include "fuzz.h"
#include "engine/formats/reader.h"

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autoptr (GBytes) bytes = g_bytes_new_static (data, size);
  GError *error = NULL;
  DeimCheckpoint *checkpoint = deim_onnx_read (bytes, "fuzz", &error);
  fuzz_use (checkpoint, error);
  return 0;
}
